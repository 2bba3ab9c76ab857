"""Checks of the design: the assignment, the clusters and their influence, the rows used."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._support.check_record import Check, Subject, Verdict, judged
from .._support.display import rounded
from ..answers.method_comparison import Comparison
from ..answers.recommended_interval import FEW_CLUSTERS, MIN_CLUSTERS
from ..data.experiment import Experiment
from ..frequentist.average_regression import named_moments
from ..frequentist.cluster_influence import effective_clusters, influence
from ..frequentist.ols import ols
from .five_assumptions import assignment_rows, balance_of
from .size_checks import sizes_of_arms

#: Partial leverage above this multiple of the average share is a reason for caution.
MAX_LEVERAGE_RATIO = 4.0


def assignment_checks(comparison: Comparison) -> Iterator[Check]:
    """Check that the arms differ only by chance."""
    found = balance_of(comparison.experiment)
    yield from assignment_rows(found)
    if found is not None:
        yield from sizes_of_arms(comparison.experiment, found)
    yield from _one_armed_strata(comparison.experiment)


def _one_armed_strata(exp: Experiment) -> Iterator[Check]:
    """Report strata with a single arm, which carry no information on the direct effect."""
    moments = exp.moments()
    if moments.strata is None:
        return
    code, levels = moments.stratum_code, moments.stratum_levels
    treated, total = np.bincount(code, exp.treated), np.bincount(code)
    constant = (treated == 0) | (treated == total)
    named = ", ".join(map(repr, levels[constant][:3].tolist())) + ", ..." * bool(constant.sum() > 3)
    yield Check(
        Subject.ASSIGNMENT,
        "strata with both arms",
        f"{int((~constant).sum()):,} of {len(levels):,}"
        + f"; one arm in {named}, with {int(total[constant].sum()):,} of {len(code):,} clusters"
        * bool(constant.any()),
        judged(not constant.any()),
        "a stratum with one arm has no information on the direct effect: the estimate describes "
        "the other strata; merge it with another stratum",
    )


def cluster_checks(comparison: Comparison) -> Iterator[Check]:
    """Check the number and sizes of the clusters, and the influence of each."""
    exp = comparison.experiment
    treated = int(exp.treated.sum())
    total = len(exp.treated)
    yield Check(
        Subject.CLUSTERS,
        "number of clusters",
        f"{total:,} ({treated:,} treated, {total - treated:,} control)",
        _by_count(total),
        f"below {MIN_CLUSTERS} clusters normal approximations fail; "
        f"{comparison.recommended['direct'].reason}",
    )
    size = exp.moments().n
    share = float(size.max() / size.sum())
    cv = float(size.std() / size.mean())
    yield Check(
        Subject.CLUSTERS,
        "cluster sizes",
        f"{size.min():,.0f} to {size.max():,.0f} units, CV {cv:.2f}, largest holds {share:.1%}",
        judged(cv <= 1 and share <= 0.25),
        "unequal clusters make cluster-robust intervals too short and let the largest cluster "
        "dominate; see how much the estimate changes without it",
    )
    for effect in comparison.effects:
        yield from _influence(comparison, effect)
    for one in comparison.skipped:
        yield Check(
            Subject.CLUSTERS,
            f"{one.label} left out",
            one.reason,
            judged(not one.applies),
            "the other methods do not need it",
        )
    for one in comparison.powerless:
        yield Check(
            Subject.CLUSTERS,
            f"{one.label} cannot reject",
            one.reason,
            Verdict.CAUTION,
            "its interval is unbounded for any data; read another method",
        )


def _by_count(clusters: float) -> Verdict:
    return judged(clusters >= MIN_CLUSTERS, clusters >= FEW_CLUSTERS)


def _influence(comparison: Comparison, effect: str) -> Iterator[Check]:
    exp = comparison.experiment
    moments = named_moments(exp)
    table = influence(exp, effect, moments=moments)
    estimated = effective_clusters(exp, effect, moments=moments)
    assumed = {
        rho: effective_clusters(exp, effect, rho, moments=moments) for rho in (0.0, 0.5, 1.0)
    }
    listed = ", ".join(f"{value:.1f} at rho = {rho:g}" for rho, value in assumed.items())
    yield Check(
        Subject.CLUSTERS,
        f"effective number of clusters: {effect}",
        f"G* = {estimated:.1f} ({listed})",
        _by_count(estimated),
        "the estimate depends on few clusters, however many there are; "
        f"{comparison.recommended[effect].reason}",
        effect=effect,
    )
    first = table.iloc[0]
    fit = ols(moments)
    at = fit.terms.index(effect)
    moved = float(first["estimate_without"] - fit.estimate[at])
    error = float(fit.std_error[at])
    errors = abs(moved) / error
    yield Check(
        Subject.CLUSTERS,
        f"most influential cluster: {effect}",
        f"{first['cluster']}: without it {rounded(float(first['estimate_without']), error)} "
        f"instead of {rounded(float(fit.estimate[at]), error)} ({errors:.1f} standard errors)",
        judged(errors <= 1),
        "one cluster decides the result: find out how it differs, and also report the estimate "
        "without it",
        effect=effect,
    )
    partial = table["partial_leverage"]
    ratio = float(partial.max() * len(partial))
    yield Check(
        Subject.CLUSTERS,
        f"largest partial leverage: {effect}",
        f"{partial.max():.1%} of the identifying variation, {ratio:.1f} times the average share",
        judged(ratio <= MAX_LEVERAGE_RATIO),
        "the effect depends on a few clusters: prefer CR2 or CR3 and the wild bootstrap",
        effect=effect,
    )


def data_checks(comparison: Comparison) -> Iterator[Check]:
    """Report the rows and bootstrap replicates that were left out."""
    exp = comparison.experiment
    if exp.spec.outcome.missing == "drop":
        rows = exp.n_units + exp.n_dropped
        yield Check(
            Subject.DATA,
            "rows dropped for missing values",
            f"{exp.n_dropped:,} of {rows:,}, and {exp.n_clusters_dropped:,} whole clusters",
            judged(not exp.n_dropped),
            "the estimates describe the units with an outcome; ask whether treatment could change "
            "who has one",
        )
    lost = int(comparison.bootstrap.undefined.max())
    if lost:
        yield Check(
            Subject.DATA,
            "undefined bootstrap replicates",
            f"{lost:,} of {len(comparison.bootstrap.draws):,}",
            Verdict.CAUTION,
            "replicates that do not identify an effect (an arm or all exposed units lost) are left "
            "out of the percentiles",
        )
