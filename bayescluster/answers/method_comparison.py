"""Comparison of the posterior with the bootstrap and the other methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.calls_to_figures_and_report import draw
from .._support.tidy import Tidy
from ..bayes.exact.exact_posterior import ExactPosterior, exact_posterior, is_integrable
from ..bayes.fit import fit
from ..bayes.parameter_draws import check_posterior
from ..data.experiment import Experiment
from ..frequentist.average_regression import average_of_ols
from ..frequentist.cluster_bootstrap import BootstrapEstimates, cluster_bootstrap
from ..frequentist.estimates_record import COLUMNS as RESULT
from ..frequentist.estimator_registry import run_all
from ..frequentist.method_labels import NAIVE_OLS, OVER, TWO_EXPOSURE, Method, Unusable
from ..spec.model_spec import Average
from .average_outcomes import baseline_draws, mean_outcomes
from .bias_accounting import BiasAccounting
from .estimands import Estimand, coefficient_weights, draws_by_average
from .interval_agreement import agreement
from .lift import Lift, lift_of
from .posterior_summary import summarise
from .recommended_interval import Recommendation, cross_check, recommended_for

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

#: Columns of the estimates: those of a frequentist result, and whom the effect is averaged over.
COLUMNS = [*RESULT[:2], "average", *RESULT[2:]]


@dataclass(frozen=True, eq=False)
class Comparison(Tidy):
    """Estimates of every method side by side.

    Parameters
    ----------
    estimates : DataFrame
        One row per method and effect, with the columns of every frequentist result, and average:
        what the estimate averages over (user, cluster, or neither). For the posterior, `estimate`
        is the mean and `std_error` the standard deviation.
    agreement : DataFrame
        Posterior against bootstrap; see :func:`bayescluster.answers.interval_agreement.agreement`.
    estimands : DataFrame
        Summary of each estimand, averaged over users and over clusters, that of the specification
        first; see :func:`bayescluster.answers.posterior_summary.summarise`.
    bias : BiasAccounting
        Why the naive estimate differs.
    bootstrap : BootstrapEstimates
        The bootstrap draws.
    posterior : DataTree
        The posterior.
    experiment : Experiment
        The experiment.
    truth : dict
        True effects, if known.
    skipped : tuple of Unusable
        Methods that this design does not allow, each with the reason.
    powerless : tuple of Unusable
        Methods that cannot reject at the specification's level, whatever the effect.
    exact : ExactPosterior or None
        The same posterior by integration, if the model allows it: an independent check of the
        sampler.
    lift : Lift or None
        The control baseline and the effects relative to it, for the named average.
    """

    estimates: pd.DataFrame
    agreement: pd.DataFrame
    estimands: pd.DataFrame
    bias: BiasAccounting
    bootstrap: BootstrapEstimates
    posterior: xr.DataTree
    experiment: Experiment
    truth: Mapping[str, float]
    skipped: tuple[Unusable, ...] = ()
    powerless: tuple[Unusable, ...] = ()
    exact: ExactPosterior | None = None
    lift: Lift | None = None

    @property
    def named_estimands(self) -> pd.DataFrame:
        """The rows of `estimands` for the average that the specification names, or for none."""
        named = self.experiment.spec.report.estimand
        return self.estimands[self.estimands["average"].isin([named, ""])]

    @property
    def effects(self) -> list[str]:
        """The effects of the design, direct first."""
        return self.agreement["term"].tolist()

    @cached_property
    def recommended(self) -> dict[str, Recommendation]:
        """The interval to read first besides the posterior's, for each effect."""
        return {
            effect: recommended_for(self.experiment, effect, self.unusable(effect))
            for effect in self.effects
        }

    @cached_property
    def cross_checks(self) -> dict[str, pd.Series]:
        """The recommended interval of each effect, at the specification's level."""
        exp = self.experiment
        seed = self.bootstrap.seed or 0
        level = exp.spec.report.ci_prob
        return {
            effect: cross_check(exp, effect, first.method, level, seed)
            for effect, first in self.recommended.items()
        }

    def unusable(self, effect: str) -> dict[Method, str]:
        """Return the methods that do not serve an effect in this design, each with the reason."""
        return {
            one.method: one.reason
            for one in (*self.powerless, *self.skipped)
            if one.effect in (None, effect)
        }

    def to_dataframe(self) -> pd.DataFrame:
        """Return `estimates`."""
        return self.estimates

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw the forest plot: one panel per effect, one row per method."""
        return draw("forest_plot.forest", self, figure)


def compare(
    exp: Experiment,
    posterior: xr.DataTree | None = None,
    *,
    bootstrap_draws: int = 10_000,
    within_arm: bool = False,
    seed: int = 0,
    truth: Mapping[str, float] | None = None,
    **sampling: Any,
) -> Comparison:
    """Estimate the effects by every method and set posterior and bootstrap side by side.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    posterior : DataTree, optional
        Result of :func:`fit`; by default, the model is sampled.
    bootstrap_draws : int
        Replicates of the cluster bootstrap.
    within_arm : bool
        Whether it resamples within arms, so that no replicate loses an arm if clusters are few.
    seed : int
        Seed of the sampler and the bootstrap.
    truth : mapping of str to float, optional
        True effects by name, for simulated data.
    **sampling
        Further arguments of :func:`fit`, such as draws or chains.

    Returns
    -------
    Comparison
        Tables and the forest plot.

    Examples
    --------
    >>> from bayescluster import Experiment, fit_exact
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> found = compare(exp, fit_exact(exp, seed=1), bootstrap_draws=500)
    >>> found.estimates["method"].iloc[[0, 1, -1]].tolist()
    ['naive OLS', 'two-exposure OLS, CR2', 'posterior']
    >>> found.agreement["term"].tolist()
    ['direct', 'spillover']
    """
    if posterior is None:
        posterior = fit(exp, seed=seed, **sampling)
    elif sampling:
        raise TypeError(f"give either posterior or settings of the sampler ({', '.join(sampling)})")
    check_posterior(exp, posterior, recorded=True)
    truth = dict(truth or {})
    effects = exp.spec.design.effects
    if unknown := set(truth) - set(effects):
        raise ValueError(f"truth names {sorted(unknown)}; valid names: {', '.join(effects)}")
    bootstrap = cluster_bootstrap(exp, draws=bootstrap_draws, seed=seed, within_arm=within_arm)
    parameters = posterior["posterior"].to_dataset()
    outcomes = mean_outcomes(exp, parameters)
    draws = draws_by_average(exp, parameters, outcomes)
    estimands = _both_averages(exp, draws)
    named = {one.label: values for one, values in draws[exp.spec.report.estimand].items()}
    estimated = run_all(exp, seed)
    naive, two = estimated.results[NAIVE_OLS], estimated.results[TWO_EXPOSURE]
    rows = bootstrap.to_dataframe().assign(average=_bootstrap_averages(bootstrap, exp))
    studentised = bootstrap.to_dataframe("percentile-t").assign(average=rows["average"])
    studentised = studentised[[name == bootstrap.named for name in bootstrap.estimators]]
    exact = exact_posterior(exp) if is_integrable(exp.spec) else None
    tables = [*estimated.tables, rows, studentised]
    tables += [*_exact_rows(exact, exp), _posterior_rows(estimands, exp)]
    estimates = pd.concat(tables, ignore_index=True)[COLUMNS]
    estimates = estimates[estimates["term"].isin(effects)]
    at = two.terms.index("direct")
    return Comparison(
        estimates=estimates.reset_index(drop=True),
        agreement=agreement(exp, bootstrap, estimands, named, parameters),
        estimands=estimands,
        bias=BiasAccounting(
            naive=float(naive.estimate[naive.terms.index("direct")]),
            direct=float(two.estimate[at]),
            std_error=float(two.std_error[at]),
            truth=truth.get("direct"),
        ),
        bootstrap=bootstrap,
        posterior=posterior,
        experiment=exp,
        truth=truth,
        skipped=estimated.skipped,
        powerless=estimated.powerless,
        exact=exact,
        lift=lift_of(
            exp,
            draws[exp.spec.report.estimand],
            baseline_draws(exp, parameters, exp.spec.report.estimand, outcomes),
        ),
    )


def _bootstrap_averages(bootstrap: BootstrapEstimates, exp: Experiment) -> list[str]:
    """Return what each column of the bootstrap averages over."""
    known = {one.key: average for average, one in OVER.items()}
    return [known.get(name, average_of_ols(exp)) for name in bootstrap.estimators]


def _both_averages(
    exp: Experiment, draws: Mapping[Average, Mapping[Estimand, Floats]]
) -> pd.DataFrame:
    """Summarise the estimands as averages over users and clusters, the specification's first."""
    report = exp.spec.report
    first = summarise(draws[report.estimand], report)
    others = [summarise(found, report) for name, found in draws.items() if name != report.estimand]
    others = [table[table["average"] != ""] for table in others]  # the ICC is no average
    return pd.concat([first, *others], ignore_index=True)


def _posterior_rows(estimands: pd.DataFrame, exp: Experiment) -> pd.DataFrame:
    named = estimands["average"] == exp.spec.report.estimand
    rows = estimands[named & estimands["estimand"].isin(exp.spec.design.effects)]
    named = rows.rename(columns={"estimand": "term", "mean": "estimate", "sd": "std_error"})
    return named.assign(method="posterior", df=np.nan, p_value=np.nan)[COLUMNS]


def _exact_rows(exact: ExactPosterior | None, exp: Experiment) -> list[pd.DataFrame]:
    """Return the effects by integration, for the average that the specification names."""
    if exact is None:
        return []
    average = exp.spec.report.estimand
    found = exact.summary(
        {
            effect: exact.combination(coefficient_weights(exp, effect, average))
            for effect in exp.spec.design.effects
        }
    )
    named = found.rename(columns={"parameter": "term", "mean": "estimate", "sd": "std_error"})
    rows = named.assign(
        method="posterior by integration", average=average, df=np.nan, p_value=np.nan
    )
    return [rows[COLUMNS]]
