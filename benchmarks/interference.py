"""Spillover on collaboration graphs where well-connected users differ: bias and coverage."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

import bayescluster as bc
from bayescluster.exposure.expose import Exposure
from bayescluster.exposure.joint_probability_of_exposure import (
    JointProbabilities,
    joint_probabilities,
)
from bayescluster.exposure.mappings import AtLeast
from bayescluster.frequentist.exposure_contrasts import exposure_contrast
from bayescluster.frequentist.graph_estimators import (
    exposure_weighted_ols,
    recentred_ols,
    unadjusted_ols,
)

from .processes import progress
from .tables import Section, figure

SIMULATIONS = 1_000
#: Bias that a ratio estimator may have in samples of this size, in its own standard deviations.
RATIO_BIAS = 0.25
#: What theory says of the intervals of each estimator, where exposure depends on degree.
PROMISES = {
    "naive OLS": "none: biased and overconfident",
    "two-exposure OLS, CR2": "none: biased",
    "recentred OLS, CR2": "95%",
    "posterior with expected exposure": "95%",
    "exposure-weighted OLS, CR2": "95%",
    "Hajek, Aronow-Samii": "conservative",
    "Hajek, drawn assignments": "95%",
    "Horvitz-Thompson, Aronow-Samii": "conservative",
}


#: Weighted least squares treats clusters as independent, while neighbours share their exposure: on
#: the ring, theory promises its intervals nothing.
SHARED = {"exposure-weighted OLS, CR2": "none: neighbours share exposure"}


def run(quick: bool = False) -> list[Section]:
    """Simulate on two graphs: ties to any workspace, and to the nearest on a ring."""
    warnings.simplefilter("ignore", UserWarning)
    count = 40 if quick else SIMULATIONS
    scenarios = {
        "Interference, ties to any workspace": bc.simulate.GraphScenario(),
        "Interference, ties to near workspaces": bc.simulate.GraphScenario(n_clusters=60, reach=3),
    }
    return [
        _section(title, scenario, count, PROMISES | (SHARED if scenario.reach else {}))
        for title, scenario in scenarios.items()
    ]


class _Known(JointProbabilities):
    """Joint probabilities of all pairs of users, worked out once for a graph."""

    def __init__(self, exposure: Exposure) -> None:
        joint = joint_probabilities(exposure)
        self.method = joint.method
        at = np.arange(exposure.collaborators.n_users)
        names = list(exposure.arms)
        self._of = {(a, b): joint.of(a, at, b, at) for a in names for b in names}

    def of(self, a: str, rows: Any, b: str, columns: Any) -> Any:
        return self._of[a, b][np.ix_(rows, columns)]


def _section(
    title: str, scenario: bc.simulate.GraphScenario, count: int, promises: dict[str, str]
) -> Section:
    joint, rows = None, []
    for seed in range(count):
        if seed % 100 == 0:
            progress(f"{title}: {seed} of {count}")
        exposure, users = _draw(scenario, seed)
        joint = joint or _Known(exposure)
        rows += _estimate(exposure, users, scenario, joint)
    table = pd.DataFrame(rows, columns=["method", "term", "estimate", "std_error", "covered"])
    truth = {"direct": scenario.direct, "spillover": scenario.spillover}
    cells, failed = [], []
    for (method, term), part in table.groupby(["method", "term"], sort=False):
        bias = part["estimate"].mean() - truth[term]
        error = part["estimate"].std() / np.sqrt(len(part))
        coverage = part["covered"].mean()
        promise = promises[method]
        cells.append(
            [
                method,
                term,
                f"{bias:+.4f}",
                figure(error),
                figure(part["estimate"].std()),
                figure(np.sqrt((part["std_error"] ** 2).mean())),
                f"{coverage:.1%}",
                promise,
            ]
        )
        slack = 0.02 + 2 * np.sqrt(0.95 * 0.05 / len(part)) * (count < SIMULATIONS)
        if promise == "95%" and abs(coverage - 0.95) > slack:
            failed.append(f"{method}, {term}: coverage {coverage:.1%}")
        if promise == "conservative" and coverage < 0.95 - slack:
            failed.append(f"{method}, {term}: coverage {coverage:.1%}, not conservative")
        ratio = method.startswith("Hajek")
        most = max(4 * error, RATIO_BIAS * part["estimate"].std() if ratio else 0.0)
        if not promise.startswith("none") and abs(bias) > most:
            failed.append(f"{method}, {term}: bias {bias:+.4f}")
    return Section(
        title,
        f"{count:,} experiments on one graph of {scenario.n_clusters} workspaces with "
        f"{scenario.cluster_size} users each; direct {scenario.direct}, spillover "
        f"{scenario.spillover}, and a baseline that rises with degree.",
        ("method", "effect", "bias", "MC error", "SD", "SE (RMS)", "coverage", "promised"),
        cells,
        [
            f"Monte Carlo error of a coverage of 95%: {np.sqrt(0.95 * 0.05 / count):.1%}.",
            "two-exposure OLS takes exposure as it comes; recentred OLS and the posterior (by "
            "integration) have the expected exposure as a covariate; weighted methods set users "
            "apart whose conditions are less probable than 1%.",
            "Hajek contrasts (and weighted OLS, the same points) are ratios: their bias vanishes "
            f"with the number of clusters, and up to {RATIO_BIAS:g} SD passes here.",
        ],
        failed,
    )


def _draw(scenario: bc.simulate.GraphScenario, seed: int) -> tuple[Exposure, pd.DataFrame]:
    _, users = scenario.simulate(seed)
    collaborators = scenario.graph.collaborators
    treated = np.zeros(scenario.n_clusters, dtype=bool)
    treated[users["workspace"]] = users["treated"].to_numpy() == 1
    mechanism = bc.assignment.Complete(scenario.n_clusters, scenario.n_clusters // 2)
    exposure = Exposure.of(collaborators, treated, AtLeast(1), mechanism)
    return exposure.for_users(users, scenario.spec), users


def _estimate(
    exposure: Exposure,
    users: pd.DataFrame,
    scenario: bc.simulate.GraphScenario,
    joint: JointProbabilities,
) -> Sequence[tuple[str, str, float, float, bool]]:
    exp = exposure.experiment()
    y = exp.outcomes()
    found = {
        "naive OLS": bc.ols(exp.moments().select(["direct"]), "iid").to_dataframe(),
        "two-exposure OLS, CR2": unadjusted_ols(exp).to_dataframe(),
        "recentred OLS, CR2": recentred_ols(exp).to_dataframe(),
        "exposure-weighted OLS, CR2": exposure_weighted_ols(exp).to_dataframe(),
        "Hajek, Aronow-Samii": exposure_contrast(exposure, y, joint=joint).to_dataframe(),
        "Hajek, drawn assignments": exposure_contrast(exposure, y, variance="drawn").to_dataframe(),
        "Horvitz-Thompson, Aronow-Samii": exposure_contrast(
            exposure, y, "horvitz_thompson", joint=joint
        ).to_dataframe(),
        "posterior with expected exposure": bc.bayes.exact_posterior(exp)
        .to_dataframe()
        .rename(columns={"parameter": "term", "mean": "estimate", "sd": "std_error"}),
    }
    rows = []
    for method in PROMISES:
        table = found[method].set_index("term")
        for term, truth in (("direct", scenario.direct), ("spillover", scenario.spillover)):
            if term in table.index:
                row = table.loc[term]
                covered = bool(row["ci_lower"] <= truth <= row["ci_upper"])
                rows.append((method, term, row["estimate"], row["std_error"], covered))
    return rows
