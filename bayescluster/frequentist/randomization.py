"""Randomisation inference: reassign the clusters by the design's mechanism, and compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._support.arrays import BLOCK_ELEMENTS, Floats
from ..assignment.mechanisms import Mechanism
from ..data.experiment import Experiment
from ..errors import DesignError
from .cluster_influence import coordinate_sums
from .cluster_robust_covariance import check_scores
from .inverted_tests import ReferenceDistribution, ResamplingTest, Tail
from .normal_equations import Regression
from .ols import check_choice, check_null
from .standard_regressions import check_whole_clusters

#: An assignment does not identify the effect if covariates and strata leave at most this share of
#: its variation.
UNIDENTIFIED = 1e-9


def randomization_test(
    exp: Experiment,
    term: str = "direct",
    draws: int = 9_999,
    seed: int | None = 0,
    *,
    null: float = 0.0,
    mechanism: Mechanism | None = None,
    studentise: bool = True,
    tail: Tail = "symmetric",
    ci_prob: float | None = None,
) -> ResamplingTest:
    """Test a sharp null hypothesis by reassigning the clusters by the design's mechanism.

    The null is that treating a user's own cluster adds exactly `null` to the outcome of each of its
    users **and that nobody is affected by other clusters' treatment**: under it every outcome is
    known for every assignment. The null thus includes no spillover. Rejecting an effect of zero
    means that the treatment affects somebody, directly or through spillover. With spillover, the
    interval is one for the contrast between arms, which is contaminated as in :func:`naive_ols`.
    :func:`naive_ols` is.

    Parameters
    ----------
    exp : Experiment
        The experiment, adjusted for its covariates and strata but not its spillover column.
    term : {"direct"}
        Tested coefficient.
    draws : int
        Number of assignments to draw. If there are at most as many possible ones, all are used.
    seed : int or None
        Seed of the draws.
    null : float
        Constant effect to test, in the outcome's unit.
    mechanism : Mechanism, optional
        How clusters were assigned, in the order of ``exp.moments().clusters``; by default
        ``exp.mechanism``, the one that the specification names or the experiment was built with.
    studentise : bool
        Divide the contrast by its cluster-robust (CR0) standard error under each assignment, which
        keeps the level under unequal variances too (in large samples, for the null of no average
        effect).
    tail : {"symmetric", "equal"}
        Two-sided p-value from absolute values, or twice the smaller tail.
    ci_prob : float, optional
        Probability of the interval; by default that of the specification.

    Returns
    -------
    ResamplingTest
        p-value and interval by inversion.

    Raises
    ------
    DesignError
        If the mechanism cannot produce the assignment in the data, or if `studentise` and the
        contrast has no cluster-robust standard error (see :func:`ols`).
    ValueError
        If an argument is not valid.

    Notes
    -----
    Assignments as extreme as the observed one count as extreme. If assignments are drawn, the
    observed one counts as an additional draw, so the level is never exceeded under the null.

    Assignments that leave the effect unidentified given covariates and strata (coin flips can make
    the treatment constant in each stratum) are left out. The test then conditions on identification
    of the effect, which depends only on the assignment, and so keeps its level. `draws` of the
    result counts the remaining ones.

    References
    ----------
    Gail, Mark, Carroll, Green & Pee (1996), Statistics in Medicine 15: 1069-1092; Zhao & Ding
    (2021), Journal of Econometrics 225: 278-294, on studentising.

    Examples
    --------
    >>> from bayescluster import Experiment
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=8, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> found = randomization_test(exp)
    >>> found.draws, found.enumerated  # all choices of 4 treated clusters of 8
    (70, True)
    """
    check_choice("term", term, ("direct",))
    check_choice("tail", tail, ("symmetric", "equal"))
    if draws < 1:
        raise ValueError(f"draws must be at least 1; given {draws}")
    check_null(null)
    check_whole_clusters(exp)
    mechanism = mechanism or exp.mechanism
    mechanism.check(exp.treated)
    if studentise:
        fit = Regression.of(exp.naive_moments())
        check_scores(fit, fit.contrast({term: 1.0})[None, :], repr(term))
    space = _Reassignment.of(exp)
    estimate, std_error = space.contrast(exp.treated[None, :].astype(float))
    enumerated = mechanism.n_assignments <= draws
    assignments = _assignments(mechanism, draws, seed, enumerated=enumerated)
    polynomials = [space.polynomials(block, float(estimate[0])) for block in assignments]
    numerator, denominator = (np.hstack(parts) for parts in zip(*polynomials, strict=True))
    identified = ~np.isnan(numerator[0])
    if not identified.any():
        raise DesignError(
            f"none of {len(identified):,} assignments by the mechanism identifies the effect given "
            "covariates and strata; adjust for fewer of them, or specify the actual mechanism"
        )
    numerator, denominator = numerator[:, identified], denominator[:, identified]
    if not studentise:
        denominator = np.vstack([np.ones_like(denominator[0]), 0 * denominator[1:]])
    scale = float(std_error[0]) if studentise else 1.0
    reference = ReferenceDistribution(numerator, denominator, scale, enumerated)
    ci_prob = exp.spec.report.ci_prob if ci_prob is None else ci_prob
    return ResamplingTest(
        method="randomisation test (arms)",
        term=term,
        estimate=float(estimate[0]),
        std_error=float(std_error[0]),
        null=null,
        p_value=reference.p_value(float(estimate[0]) - null, tail),
        ci=reference.interval(float(estimate[0]), ci_prob, tail),
        ci_prob=ci_prob,
        draws=reference.n_draws,
        enumerated=enumerated,
        seed=seed,
        smallest_p_value=reference.smallest(float(estimate[0]) - null, tail),
    )


@dataclass(frozen=True, eq=False)
class _Reassignment:
    """Per-cluster quantities that give the contrast between arms for any assignment.

    With z the orthonormal coordinates of covariates and strata (`Regression`) and e the residuals
    of the outcome on them: n (J,), sums of z (J, q), of z z' (J, q, q), of e (J,), of z e (J, q).
    The last two are affine in the null value; their second slice is for the observed treatment.
    """

    n: Floats
    z: Floats
    zz: Floats
    e: Floats  # (2, J): of the outcome, and of the observed treatment
    ze: Floats  # (2, J, q)
    fit: Regression

    @classmethod
    def of(cls, exp: Experiment) -> _Reassignment:
        moments = exp.naive_moments().without("direct")
        fit = Regression.of(moments)
        sd = fit.outcome_sd
        z = coordinate_sums(fit)
        zz = fit.gram[:, :-1, :-1]
        ze = fit.score * sd
        treated = exp.treated.astype(float)
        gamma = treated @ z[:, 1:]
        level = np.bincount(fit.stratum, treated * z[:, 0])[fit.stratum]
        coefficient = np.column_stack([level, np.broadcast_to(gamma, (len(level), len(gamma)))])
        ze_treated = treated[:, None] * z - np.einsum("jab,jb->ja", zz, coefficient)
        e = np.stack([ze[:, 0], ze_treated[:, 0]]) * fit.stratum_root
        return cls(moments.n, z, zz, e, np.stack([ze, ze_treated]), fit)

    def contrast(self, assignment: Floats) -> tuple[Floats, Floats]:
        """Return the contrast (B,) and its CR0 standard error (B,) under assignments (B, J)."""
        projection = self._project(assignment)
        estimate = assignment @ self.e[0] / projection.variation
        score = self._score(projection, 0) - estimate[:, None] * self._square(projection)
        return estimate, np.sqrt((score**2).sum(axis=1)) / projection.variation

    def polynomials(self, assignment: Floats, estimate: float) -> tuple[Floats, Floats]:
        """Return numerators (2, B) and squared denominators (3, B) in x = estimate - null.

        Under the null value estimate - x, the outcome is reduced by (estimate - x) x observed
        treatment. NaN if an assignment does not identify the contrast.
        """
        projection = self._project(assignment)
        variation, square = projection.variation, self._square(projection)
        slopes = assignment @ self.e.T / variation[:, None]
        numerator = np.stack([slopes[:, 0] - estimate * slopes[:, 1], slopes[:, 1]])
        error = [self._score(projection, i) - slopes[:, i, None] * square for i in (0, 1)]
        constant, linear = error[0] - estimate * error[1], error[1]
        products = [
            np.einsum("bj,bj->b", a, b) / variation**2
            for a, b in ((constant, constant), (2 * constant, linear), (linear, linear))
        ]
        return numerator, np.stack(products)

    def _project(self, assignment: Floats) -> _Projection:
        slopes = assignment @ self.z[:, 1:]
        levels = assignment @ self.fit.by_stratum(self.z[:, :1])
        variation = assignment @ self.n - (slopes**2).sum(axis=1) - (levels**2).sum(axis=1)
        variation[variation <= UNIDENTIFIED * self.n.sum()] = np.nan
        return _Projection(assignment, variation, levels[:, self.fit.stratum], slopes)

    def _score(self, to: _Projection, which: int) -> Floats:
        """Return sums of (residual of the assignment) x (residual) per cluster; (B, J)."""
        ze = self.ze[which]
        return to.assignment * self.e[which] - to.levels * ze[:, 0] - to.slopes @ ze[:, 1:].T

    def _square(self, to: _Projection) -> Floats:
        """Return sums of squared residuals of the assignment per cluster; (B, J)."""
        fitted = to.levels * self.z[:, 0] + to.slopes @ self.z[:, 1:].T
        pairs = (to.slopes[:, :, None] * to.slopes[:, None, :]).reshape(len(to.slopes), -1)
        quadratic = to.levels * (to.levels * self.zz[:, 0, 0] + 2 * to.slopes @ self.zz[:, 0, 1:].T)
        quadratic += pairs @ self.zz[:, 1:, 1:].reshape(len(self.zz), -1).T
        return to.assignment * (self.n - 2 * fitted) + quadratic


@dataclass(frozen=True, eq=False)
class _Projection:
    """Assignments (B, J), and their projection on covariates and strata.

    Fields: the remaining variation (B,; NaN if there is none), and the coefficients of the strata,
    at each cluster (B, J), and of the covariates (B, k).
    """

    assignment: Floats
    variation: Floats
    levels: Floats
    slopes: Floats


def _assignments(
    mechanism: Mechanism, draws: int, seed: int | None, *, enumerated: bool
) -> Iterator[Floats]:
    """Yield blocks of assignments (B, J): all possible ones, or `draws` random ones."""
    block = max(1, BLOCK_ELEMENTS // 4 // mechanism.n_clusters)  # four arrays live at once
    if enumerated:
        every = np.array(list(mechanism.enumerate()), dtype=float)
        yield from (every[start : start + block] for start in range(0, len(every), block))
        return
    rng = np.random.default_rng(seed)
    for start in range(0, draws, block):
        yield mechanism.draw(rng, min(block, draws - start)).astype(float)
