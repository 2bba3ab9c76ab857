"""A conditional randomisation test of spillover: focal users, and reassignment of the others."""

from __future__ import annotations

import numpy as np

from .._support.arrays import Booleans, Floats, Integers
from ..data.experiment import Experiment
from ..errors import DesignError
from ..exposure.expose import Exposure, exposure_of
from .inverted_tests import TIE, ReferenceDistribution, ResamplingTest
from .ols import check_null

#: Exposures, in [0, 1], that differ by less than this differ only by rounding.
ROUNDING = 1e-9


def spillover_test(
    exp: Experiment,
    draws: int = 1_999,
    seed: int | None = 0,
    *,
    null: float = 0.0,
    focal_share: float = 0.5,
) -> ResamplingTest:
    """Test that other clusters' treatment affects nobody, for any direct effect.

    Half of the clusters, drawn completely at random, are focal: their own assignment is held fixed.
    The assignment of the other clusters is redrawn from the design, given that of the focal ones.
    Under the null, the outcomes of untreated focal users are the same in each draw, while their
    exposure changes. The test is therefore exact, without a model and for any number of clusters.

    Parameters
    ----------
    exp : Experiment
        An experiment with a collaboration graph (``expose(...).experiment()``).
    draws : int
        Number of assignments to draw.
    seed : int or None
        Seed of the focal clusters and of the draws.
    null : float
        Constant spillover effect to test, per unit of exposure.
    focal_share : float
        Share of the clusters that are focal, in (0, 1).

    Returns
    -------
    ResamplingTest
        p-value, and the interval of the constant effects not rejected. `estimate` uses only the
        focal users and so less information than :func:`recentred_ols`.

    Raises
    ------
    DesignError
        If the exposure of untreated focal users never varies within a cluster (as in clusters of
        one user), or the mechanism cannot be redrawn given part of the assignment.

    Notes
    -----
    The statistic is the sum over untreated focal users of (y - null E_observed) times adjusted
    exposure: exposure minus its mean over the draws and, to remove other influences on the outcome,
    minus its regression on clusters, degree, log(1 + degree) and that mean. The observed assignment
    counts as one of the draws.

    References
    ----------
    Athey, Eckles & Imbens (2018), Journal of the American Statistical Association 113: 230-240;
    Basse, Feller & Toulis (2019), Biometrika 106: 487-494.
    """
    return focal_test(
        exposure_of(exp),
        exp.outcomes(),
        draws,
        seed,
        null=null,
        focal_share=focal_share,
        ci_prob=exp.spec.report.ci_prob,
    )


def focal_test(
    exposure: Exposure,
    y: Floats,
    draws: int = 1_999,
    seed: int | None = 0,
    *,
    null: float = 0.0,
    focal_share: float = 0.5,
    ci_prob: float = 0.95,
) -> ResamplingTest:
    """Test outcomes in the order of the exposure's users, (n,); see :func:`spillover_test`.

    Users with outcome NaN are left out.
    """
    check_null(null)
    if draws < 1:
        raise ValueError(f"draws must be at least 1; given {draws}")
    if not 0 < focal_share < 1:
        raise ValueError(f"focal_share must lie in (0, 1); given {focal_share}")
    rng = np.random.default_rng(seed)
    fixed = _draw_focal(exposure, focal_share, rng)
    users = np.flatnonzero(fixed[exposure.collaborators.unit] & ~exposure.treated & np.isfinite(y))
    drawn = exposure.mechanism.draw_given(rng, draws, fixed, exposure.assignment)
    value = _exposure_values(exposure, drawn, users)
    observed = exposure.value[users]
    score, scores = _adjusted_exposure(exposure, users, observed, value)
    if max(np.abs(scores).max(initial=0.0), np.abs(score).max(initial=0.0)) < ROUNDING:
        raise DesignError(
            f"the exposure of the {len(users):,} untreated focal users does not vary between "
            "assignments of the other clusters, or only between clusters (users are compared "
            "within clusters): the test has no information; check the ties that cross clusters"
        )
    under_null = y[users] - null * observed
    statistic, others = float(under_null @ score), under_null @ scores
    size = abs(statistic) if statistic**2 > TIE**2 * (others**2).mean() else 0.0  # rounding
    extreme = np.abs(others) >= size * (1 - TIE)
    strength = float(observed @ score)
    estimate, std_error, ci = np.nan, np.nan, (-np.inf, np.inf)
    if strength > 0:
        estimate = float(y[users] @ score) / strength
        numerator = np.stack([(y[users] - estimate * observed) @ scores, observed @ scores])
        numerator /= strength
        std_error = float(np.sqrt((numerator[0] ** 2).mean())) or 1.0
        denominator = np.stack([np.full(draws, std_error**2), np.zeros(draws), np.zeros(draws)])
        reference = ReferenceDistribution(numerator, denominator, std_error, exhaustive=False)
        ci = reference.interval(estimate, ci_prob, "symmetric")
    return ResamplingTest(
        method="conditional randomisation test (focal users)",
        term="spillover",
        estimate=estimate,
        std_error=std_error,
        null=null,
        p_value=(int(extreme.sum()) + 1) / (draws + 1),
        ci=ci,
        ci_prob=ci_prob,
        draws=draws,
        enumerated=False,
        seed=seed,
        smallest_p_value=1 / (draws + 1),
    )


def _draw_focal(exposure: Exposure, share: float, rng: np.random.Generator) -> Booleans:
    """Draw the focal units: the same number in each block, or among all; shape (U,)."""
    n = exposure.collaborators.n_units
    blocks = exposure.mechanism.blocks()
    code = np.zeros(n, dtype=np.int64) if blocks is None else blocks.code
    fixed = np.zeros(n, dtype=bool)
    if np.bincount(code).max() <= 3:  # pairs: whole blocks, because one unit determines the other
        levels = rng.permutation(code.max() + 1)
        return np.isin(code, levels[: max(round(len(levels) * share), 1)])
    for block in range(code.max() + 1):
        members = rng.permutation(np.flatnonzero(code == block))
        fixed[members[: round(len(members) * share)]] = True
    return fixed


def _exposure_values(exposure: Exposure, assignments: Booleans, users: Integers) -> Floats:
    """Return the users' exposure under each assignment; shape (users, B)."""
    blocks = exposure.mapping.in_blocks(exposure.collaborators, assignments)
    return np.hstack([value[users] for _, value in blocks])


def _adjusted_exposure(
    exposure: Exposure, users: Integers, observed: Floats, drawn: Floats
) -> tuple[Floats, Floats]:
    """Return exposure minus its mean over draws and its regression on clusters and degree.

    The observed assignment is one of the draws, and each step treats all draws alike.
    """
    chance = (drawn.sum(axis=1) + observed) / (drawn.shape[1] + 1)
    all_ = np.column_stack([observed, drawn]) - chance[:, None]
    _, code = np.unique(exposure.collaborators.cluster[users], return_inverse=True)
    size = np.bincount(code)
    order = np.argsort(code, kind="stable")
    start = np.concatenate([[0], np.cumsum(size)[:-1]]).astype(np.int64)
    if not len(users):
        return all_[:, 0], all_[:, 1:]

    def within(values: Floats) -> Floats:
        mean = np.add.reduceat(values[order], start, axis=0) / size[:, None]
        return np.asarray(values - mean[code])

    degree = exposure.collaborators.degree[users].astype(float)
    fixed = within(np.column_stack([chance, degree, np.log1p(degree)]))
    all_ = within(all_)
    all_ -= fixed @ np.linalg.lstsq(fixed, all_, rcond=1e-10)[0]
    return all_[:, 0], all_[:, 1:]
