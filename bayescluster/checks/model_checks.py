"""Checks of the posterior: the sampler, the model, and the agreement with the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .._support.check_record import Check, Subject, Verdict, judged
from .._support.display import number
from ..answers.method_comparison import Comparison
from ..bayes.convergence_checks import convergence, sampler_checks
from .leave_one_out import loo
from .predictive_check import posterior_predictive_check
from .sensitivity_to_priors import power_scaling

#: Means by sampling and by integration may differ by this many Monte Carlo standard errors.
MAX_MONTE_CARLO_ERRORS = 4.0


def sampling_checks(comparison: Comparison) -> Iterator[Check]:
    """Check the sampler's diagnostics, and its means against integration."""
    yield from sampler_checks(convergence(comparison.posterior))
    yield from _integration(comparison)


def _integration(comparison: Comparison) -> Iterator[Check]:
    """Compare the sampler's means with those by integration, in Monte Carlo standard errors."""
    if comparison.exact is None:
        return
    table = convergence(comparison.posterior).set_index("parameter")
    errors = {
        name: abs(table.loc[name, "mean"] - comparison.exact.mean[name])
        / table.loc[name, "mcse_mean"]
        for name in comparison.effects
    }
    name = max(errors, key=lambda effect: errors[effect])
    yield Check(
        Subject.SAMPLER,
        "sampler vs integration",
        f"{errors[name]:.1f} Monte Carlo standard errors apart at most ({name})",
        judged(errors[name] <= MAX_MONTE_CARLO_ERRORS, False),
        "sampling and integration of the same posterior disagree: take more draws, and rely on "
        "integration",
    )


def model_checks(comparison: Comparison) -> Iterator[Check]:
    """Check whether the model fits the data, and how much its priors matter."""
    exp, posterior = comparison.experiment, comparison.posterior
    found = _worst(posterior_predictive_check(exp, posterior).to_dataframe(), "tail_prob")
    yield Check(
        Subject.MODEL,
        "posterior predictive check",
        f"most surprising: {found['statistic']}, observed {number(found['observed'])}, expected "
        f"{number(found['ci_lower'])} to {number(found['ci_upper'])}",
        Verdict(found["verdict"]),
        str(found["advice"]),
    )
    clusters = loo(posterior).to_dataframe()
    found = clusters.loc[clusters["pareto_k"].idxmax()]
    yield Check(
        Subject.MODEL,
        "leave one cluster out (largest Pareto k)",
        f"k = {found['pareto_k']:.2f} ({found['cluster']})",
        Verdict(found["verdict"]),
        "that cluster alone changes the posterior: the model expects too little variation, and "
        "comparing models by LOO is unreliable",
    )
    table = power_scaling(exp, posterior).to_dataframe()
    found = _worst(table[table["parameter"].isin(comparison.effects)], "prior", largest=True)
    yield Check(
        Subject.MODEL,
        "power scaling of the priors",
        f"most sensitive: {found['parameter']}, {found['prior']:.3f} to its prior and "
        f"{found['likelihood']:.3f} to the data",
        Verdict(found["verdict"]),
        str(found["advice"]),
    )


def _worst(table: pd.DataFrame, by: str, largest: bool = False) -> pd.Series:
    """Return the row with the worst verdict; ties go to the smallest (or largest) value."""
    rank = [-Verdict(verdict).severity for verdict in table["verdict"]]
    value = -table[by].to_numpy() if largest else table[by].to_numpy()
    return table.iloc[np.lexsort((value, rank))[0]]


def agreement_checks(comparison: Comparison) -> Iterator[Check]:
    """Check whether posterior and bootstrap agree."""
    for row in comparison.agreement.itertuples():
        yield Check(
            Subject.AGREEMENT,
            f"posterior vs bootstrap: {row.term}",
            f"width ratio {row.width_ratio:.2f}, overlap {row.overlap:.0%}",
            judged(row.agree),
            str(row.conclusion),
            effect=str(row.term),
        )
