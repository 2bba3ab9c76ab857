"""The five assumptions of a cluster-randomised experiment with spillover, and their checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.check_record import Check, Subject, Verdict, judged
from .._support.display import number, rounded
from .._support.tidy import Tidy
from ..data.experiment import Experiment
from ..errors import DataError, DesignError
from .arm_balance import Balance, balance

if TYPE_CHECKING:
    import xarray as xr


#: Statement of each assumption, in the order of the report.
ASSUMPTIONS = {
    Subject.ASSIGNMENT: "The arms differ only by chance: whole clusters were assigned at random.",
    Subject.INTERFERENCE: ("Other clusters affect a user only through the modelled spillover."),
    Subject.SUTVA: (
        "There is one version of the treatment, the same in every treated cluster, and one version "
        "of its absence in the others."
    ),
    Subject.EXCHANGEABILITY: (
        "Before treatment, clusters differ only by what is in the model and by chance: their "
        "levels vary around one mean, like draws from one normal distribution."
    ),
    Subject.CLUSTERS: "There are enough clusters, and no single one decides the result.",
}
#: p-values below these mean caution, and a problem.
CAUTION, PROBLEM = 0.05, 0.001


@dataclass(frozen=True, eq=False)
class ClusterLevels(Tidy):
    """Posterior levels of the clusters before treatment.

    Parameters
    ----------
    table : DataFrame
        One row per cluster: cluster, n_units, arm, intercept (posterior mean), ci_lower, ci_upper,
        deviation (from its arm's mean, in standard deviations over all clusters).
    sd_treated, sd_control : float
        Standard deviation of the intercepts' posterior means in each arm.
    spread_p_value : float
        Share of assignments in which the spread of the arms differs at least as much.
    size_correlation, size_p_value : float
        Spearman correlation of intercept and cluster size (within arms), and its p-value.
    largest, largest_p_value : float
        Largest absolute deviation, and the probability that the largest of as many
        normal draws is at least as large.
    """

    table: pd.DataFrame
    sd_treated: float
    sd_control: float
    spread_p_value: float
    size_correlation: float
    size_p_value: float
    largest: float
    largest_p_value: float

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table


def cluster_levels(
    exp: Experiment, posterior: xr.DataTree, draws: int = 1_999, seed: int = 0
) -> ClusterLevels:
    """Compare the clusters' intercepts between arms, with their sizes, and with a normal sample.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    posterior : DataTree
        The result of :func:`fit` or :func:`fit_exact`.
    draws, seed : int
        Number and seed of assignments in the test of spread (permutations for single units).

    Notes
    -----
    The test of spread re-assigns the intercepts' deviations from their arm's mean and compares
    |log(variance ratio)|. It is approximate, because the deviations are estimated.
    """
    from scipy import stats

    intercept = posterior["posterior"]["intercept"].to_numpy()
    intercept = intercept.reshape(-1, intercept.shape[-1])
    mean, treated = intercept.mean(axis=0), exp.treated
    half = (1 - exp.spec.report.ci_prob) / 2
    low, high = np.quantile(intercept, [half, 1 - half], axis=0)
    deviation = mean - mean.mean()
    for arm in (treated, ~treated):
        if arm.any():
            deviation[arm] = mean[arm] - mean[arm].mean()
    sd = float(deviation.std(ddof=1)) or 1.0
    standard = deviation / sd
    groups, size = len(mean), exp.moments().n
    largest = float(np.abs(standard).max())
    varied = np.ptp(size) > 0 and groups > 3
    rank = stats.spearmanr(deviation, size) if varied else None
    return ClusterLevels(
        table=pd.DataFrame(
            {
                "cluster": exp.moments().clusters,
                "n_units": size.astype(np.int64),
                "arm": np.where(treated, "treated", "control"),
                "intercept": mean,
                "ci_lower": low,
                "ci_upper": high,
                "deviation": standard,
            }
        ),
        sd_treated=float(deviation[treated].std(ddof=1)) if treated.sum() > 1 else np.nan,
        sd_control=float(deviation[~treated].std(ddof=1)) if (~treated).sum() > 1 else np.nan,
        spread_p_value=_spread_p_value(exp, deviation, draws, seed),
        size_correlation=float(rank.statistic) if rank else np.nan,
        size_p_value=float(rank.pvalue) if rank else np.nan,
        largest=largest,
        largest_p_value=float(-np.expm1(groups * np.log1p(-2 * stats.norm.sf(largest)))),
    )


def _spread_p_value(exp: Experiment, deviation: Floats, draws: int, seed: int) -> float:
    treated = exp.treated
    if min(treated.sum(), (~treated).sum()) < 2:
        return float("nan")
    rng = np.random.default_rng(seed)
    try:
        drawn = exp.mechanism.draw(rng, draws)
    except DataError:  # single units were treated: clusters are exchangeable instead
        drawn = rng.permuted(np.tile(treated, (draws, 1)), axis=1)
    assignments = np.vstack([treated, drawn]).astype(float)
    count = np.stack([assignments.sum(axis=1), (1 - assignments).sum(axis=1)])
    total = np.stack([assignments @ deviation, (1 - assignments) @ deviation])
    square = np.stack([assignments @ deviation**2, (1 - assignments) @ deviation**2])
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (square - total**2 / count) / (count - 1)
        ratio = np.abs(np.log(variance[0] / variance[1]))
    return float((ratio[1:] >= ratio[0] * (1 - 1e-9)).sum() + 1) / (draws + 1)


def balance_of(exp: Experiment) -> Balance | None:
    """Return the balance of the arms, or None if there is no mechanism to test against.

    This is so if single units were treated, or the mechanism cannot have made the assignment.
    """
    try:
        return balance(exp)
    except DesignError:
        return None


def assignment_rows(found: Balance | None) -> Iterator[Check]:
    """Judge the balance of the arms."""
    if found is None:
        yield Check(
            Subject.ASSIGNMENT,
            "balance of the arms",
            "not tested: the specification does not say how whole clusters were assigned, or the "
            "data contradict it",
            Verdict.CAUTION,
            "specify the mechanism that was used, so that the arms can be compared with its draws",
        )
        return
    worst = found.table.loc[found.table["difference"].abs().idxmax()]
    yield Check(
        Subject.ASSIGNMENT,
        "balance of the arms",
        f"omnibus p = {number(found.p_value)}; largest standardised difference "
        f"{worst['difference']:+.2f} ({worst['covariate']})",
        found.verdict,
        "arms this unequal are rare by chance: find out how clusters were assigned, and whether "
        "any left afterwards; adjust for what differs",
    )


def interference_rows(exp: Experiment, spillover: pd.Series | None) -> Iterator[Check]:
    """Report the spillover effect, if modelled, and the source of its exposure."""
    if spillover is None:
        yield Check(
            Subject.INTERFERENCE,
            "spillover between clusters",
            "not modelled: the specification names no spillover column"
            + " (only spillover within clusters)" * ("within_spillover" in exp.spec.design.effects),
            Verdict.CAUTION,
            "if users of different clusters work together, control users are partly treated and "
            "the effect is understated; add an exposure column or a collaboration graph",
        )
        return
    low, high, error = spillover["ci_lower"], spillover["ci_upper"], spillover["sd"]
    from_graph = exp.exposure is not None
    yield Check(
        Subject.INTERFERENCE,
        "spillover between clusters",
        f"effect {rounded(spillover['mean'], error)} ({rounded(low, error)} to "
        f"{rounded(high, error)}) on exposed control users; exposure from "
        + ("the collaboration graph" if from_graph else "a data column"),
        judged(from_graph),
        "exposure that users choose (opting in, collaborating more) is not randomised: the effect "
        "is only an association unless exposure comes from a graph recorded before treatment",
    )


def spread_rows(exp: Experiment, found: ClusterLevels) -> Iterator[Check]:
    """Judge the spread of the clusters by arm."""
    by_arm = exp.spec.heterogeneity.between_sd_by_arm
    p = found.spread_p_value
    yield Check(
        Subject.SUTVA,
        "spread of the clusters, by arm",
        f"SD {number(found.sd_treated)} treated, {number(found.sd_control)} control (p = "
        f"{number(p)})",
        judged(not p < CAUTION or by_arm, p >= PROBLEM),
        "treated clusters vary more or less than control clusters: the effect may differ between "
        "them (adoption, versions); let between_sd differ by arm, and look for the cause",
    )


def level_rows(found: ClusterLevels) -> Iterator[Check]:
    """Judge outlying clusters, and the correlation of levels with size."""
    p = found.largest_p_value
    far = found.table.loc[found.table["deviation"].abs().idxmax()]
    yield Check(
        Subject.EXCHANGEABILITY,
        "most distant cluster",
        f"{far['cluster']}, {found.largest:.1f} SDs from its arm's mean (p = {number(p)} among "
        f"{len(found.table):,} normal draws)",
        judged(p >= CAUTION, p >= PROBLEM),
        "that cluster is not like the others: find out why, and see the estimate without it",
    )
    if np.isnan(found.size_correlation):
        return
    p = found.size_p_value
    yield Check(
        Subject.EXCHANGEABILITY,
        "levels and cluster sizes",
        f"rank correlation {found.size_correlation:+.2f} (p = {number(p)})",
        judged(p >= CAUTION),
        "levels change with cluster size, so the mean over users and the mean over clusters are "
        "different questions; add a covariate that explains the difference",
    )
