"""The pairs cluster bootstrap, vectorised over replicates."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from .._support.arrays import Floats, Integers
from .._support.tidy import Tidy
from ..data.experiment import Experiment
from ..data.orthonormal_basis import RANK_TOLERANCE
from ..errors import DesignError
from .average_regression import differs, named_moments
from .bootstrap_weights import resampling_groups, resampling_weights
from .cluster_influence import leave_one_out
from .estimates_record import COLUMNS
from .method_labels import OVER
from .normal_equations import Regression
from .ols import check_choice
from .standard_regressions import check_whole_clusters

Interval = Literal["percentile", "percentile-t", "bca"]

#: Labels of the estimators that are refitted on each replicate, by function name.
ESTIMATORS = {
    "two_exposure": "two-exposure OLS",
    **{one.key: one.label for one in OVER.values()},
    "naive_ols": "naive OLS",
    "cluster_wls": "cluster WLS",
}


@dataclass(frozen=True, eq=False)
class BootstrapEstimates(Tidy):
    """Bootstrap distributions of the estimators, all from the same draws.

    Parameters
    ----------
    estimators, terms : tuple of str
        Estimator and coefficient of each of the m columns of `draws`.
    estimate : ndarray, shape (m,)
        Estimates from the original data.
    std_error : ndarray, shape (m,)
        Their CR0 standard errors.
    draws, draws_std_error : ndarray, shape (R, m)
        Bootstrap replicates and their CR0 standard errors; NaN where a replicate does not identify
        the coefficient.
    acceleration : ndarray, shape (m,)
        Skewness of the leave-one-cluster-out estimates over six, for BCa intervals.
    ci_prob : float
        Probability of the intervals.
    seed : int or None
        Seed of the resampling.
    """

    estimators: tuple[str, ...]
    terms: tuple[str, ...]
    estimate: Floats
    std_error: Floats
    draws: Floats
    draws_std_error: Floats
    acceleration: Floats
    ci_prob: float
    seed: int | None

    @property
    def undefined(self) -> Integers:
        """Number of replicates that do not identify each coefficient; shape (m,)."""
        return np.isnan(self.draws).sum(axis=0)

    @property
    def effects(self) -> tuple[str, ...]:
        """Coefficients of the two-exposure regression, which come first."""
        pairs = zip(self.estimators, self.terms, strict=True)
        return tuple(term for estimator, term in pairs if estimator == "two_exposure")

    @property
    def named(self) -> str:
        """The estimator of the average that the specification names, by key of `ESTIMATORS`."""
        averaged = (one.key for one in OVER.values() if one.key in self.estimators)
        return next(averaged, "two_exposure")

    @property
    def ci(self) -> Floats:
        """Percentile intervals, lower and upper; shape (m, 2)."""
        return self.interval("percentile")

    def interval(self, kind: Interval = "percentile") -> Floats:
        """Return intervals over the defined replicates, lower and upper; shape (m, 2).

        Parameters
        ----------
        kind : {"percentile", "percentile-t", "bca"}
            Quantiles of the replicates (numpy's default rule); of their studentised deviations,
            reflected around the estimate (without replicates whose standard error vanishes because
            too few distinct clusters were drawn); or bias-corrected and accelerated quantiles, with
            the acceleration from leave-one-cluster-out estimates (Efron 1987, Journal of the
            American Statistical Association 82: 171-185).
        """
        check_choice("kind", kind, get_args(Interval))
        tail = (1 - self.ci_prob) / 2
        if kind == "percentile":
            return np.nanpercentile(self.draws, [100 * tail, 100 - 100 * tail], axis=0).T
        if kind == "percentile-t":
            with np.errstate(divide="ignore", invalid="ignore"):
                t = (self.draws - self.estimate) / self.draws_std_error
            degenerate = self.draws_std_error < 1e-6 * self.std_error  # few distinct clusters drawn
            t = np.where(np.isfinite(t) & ~degenerate, t, np.nan)
            quantiles = np.nanquantile(t, [1 - tail, tail], axis=0).T
            return self.estimate[:, None] - self.std_error[:, None] * quantiles
        return np.array([self._bca(column, tail) for column in range(len(self.terms))])

    def _bca(self, column: int, tail: float) -> Floats:
        from scipy import special

        draws = self.draws[:, column]
        draws = draws[~np.isnan(draws)]
        below = (draws < self.estimate[column]).mean() + (draws == self.estimate[column]).mean() / 2
        bias = special.ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
        z = bias + special.ndtri([tail, 1 - tail])
        level = special.ndtr(bias + z / (1 - self.acceleration[column] * z))
        return np.quantile(draws, level)

    def column(self, term: str, estimator: str | None = None) -> Floats:
        """Return the replicates of one coefficient, by default of `named`; shape (R,)."""
        columns = list(zip(self.estimators, self.terms, strict=True))
        return self.draws[:, columns.index((estimator or self.named, term))]

    def to_dataframe(self, interval: Interval = "percentile") -> pd.DataFrame:
        """Return one row per estimator and coefficient; df and p_value are NaN.

        `std_error` is the standard deviation of the replicates; `interval` is the kind of interval.
        """
        ci = self.interval(interval)
        kind = "" if interval == "percentile" else f" ({interval})"
        frame = pd.DataFrame(
            {
                "method": [
                    f"cluster bootstrap{kind}, {ESTIMATORS[name]}" for name in self.estimators
                ],
                "term": self.terms,
                "estimate": self.estimate,
                "std_error": np.nanstd(self.draws, axis=0, ddof=1),
                "df": np.nan,
                "ci_lower": ci[:, 0],
                "ci_upper": ci[:, 1],
                "ci_prob": self.ci_prob,
                "p_value": np.nan,
            }
        )
        return frame[COLUMNS]


def cluster_bootstrap(
    exp: Experiment, draws: int = 10_000, seed: int | None = 0, *, within_arm: bool = False
) -> BootstrapEstimates:
    """Resample whole clusters with replacement and refit all estimators on the same draws.

    Parameters
    ----------
    exp : Experiment
        The experiment. With strata, clusters are resampled within their stratum.
    draws : int
        Number of replicates.
    seed : int or None
        Seed of ``numpy.random.default_rng``.
    within_arm : bool
        Resample treated and control clusters separately (within strata, if there are any), so that
        each replicate keeps the arm sizes of the design and no arm is lost. Not allowed if an arm
        of a stratum is a single cluster, as in matched pairs; without it, clusters of a matched
        pair are resampled within their pair.

    Returns
    -------
    BootstrapEstimates
        ``two_exposure`` (the design's effects), ``over_users`` or ``over_clusters`` (the same, as
        the average that the specification names, if ordinary least squares does not give it),
        ``naive_ols`` (direct) and, if covariates leave it identified, ``cluster_wls`` (direct),
        with percentile intervals by numpy's default rule.

    Raises
    ------
    DesignError
        If no replicate identifies a coefficient, or `within_arm` would resample single clusters,
        which adds no variation.

    Warns
    -----
    UserWarning
        If strata with one cluster have variation within the cluster (spillover, covariates): their
        resampling adds no variation, so intervals of those coefficients are too narrow. If
        replicates lose an arm or all exposed units: such a replicate does not identify the
        coefficient, is undefined (NaN in `draws`, counted in `undefined`), and intervals condition
        on the others.

    Notes
    -----
    A replicate is a vector of multinomial weights over clusters (Cameron, Gelbach & Miller 2008,
    Review of Economics and Statistics 90: 414-427, pairs cluster bootstrap), so it costs one
    product of the weights with the stacked Gram matrices and one small solve. Clusters are drawn in
    the order of ``exp.cluster_order``: by first appearance for a data frame, otherwise by label.

    Resampling n clusters of a group (a stratum, or an arm of it) gives (n - 1) / n of the variance
    between them (Rao & Wu 1988, Journal of the American Statistical Association 83: 231-241): with
    two clusters per arm in each stratum, `within_arm` halves the variance.

    Examples
    --------
    >>> from bayescluster import Experiment
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> found = cluster_bootstrap(exp, draws=500, seed=1)
    >>> found.draws.shape  # replicates by coefficients
    (500, 4)
    """
    if draws < 2:
        raise ValueError(f"draws must be at least 2; given {draws}")
    groups = resampling_groups(exp, within_arm)
    problems = _problems(exp)
    size = max(p.fit.gram.shape[1] for p in problems)
    width = size * max(size, problems[0].fit.n_strata)
    weights = resampling_weights(exp.cluster_order, groups, draws, seed, width)
    blocks = [np.concatenate([p.replicate(block) for p in problems], axis=2) for block in weights]
    replicates = np.concatenate(blocks, axis=1)
    result = BootstrapEstimates(
        estimators=tuple(p.estimator for p in problems for _ in p.terms),
        terms=tuple(term for p in problems for term in p.terms),
        estimate=np.concatenate([p.fit.estimate[p.rows] for p in problems]),
        std_error=np.concatenate([p.std_error for p in problems]),
        draws=replicates[0],
        draws_std_error=replicates[1],
        acceleration=np.concatenate([p.acceleration for p in problems]),
        ci_prob=exp.spec.report.ci_prob,
        seed=seed,
    )
    _report_undefined(result)
    return result


@dataclass(frozen=True, eq=False)
class _Problem:
    """One estimator, prepared for refitting with cluster weights."""

    estimator: str
    terms: tuple[str, ...]
    fit: Regression

    @property
    def rows(self) -> list[int]:
        """Positions of the terms among the coefficients of the fit."""
        return [self.fit.terms.index(term) for term in self.terms]

    @property
    def std_error(self) -> Floats:
        """CR0 standard errors of the terms from the original data; shape (terms,)."""
        return np.sqrt(((self.fit.score @ self.fit.to_user[self.rows].T) ** 2).sum(axis=0))

    @property
    def acceleration(self) -> Floats:
        """Skewness of the leave-one-cluster-out estimates over six; shape (terms,)."""
        without = leave_one_out(self.fit)[:, self.rows]
        deviation = without.mean(axis=0) - without
        return (deviation**3).sum(axis=0) / (6 * ((deviation**2).sum(axis=0)) ** 1.5)

    def replicate(self, weights: Floats) -> Floats:
        """Return coefficients and CR0 standard errors under weights (B, J); (2, B, terms)."""
        cross, mean = self._cross(weights)
        left, right = cross[:, :-1, :-1], cross[:, :-1, -1:]
        # In orthonormal coordinates `left` is near the identity, and singular if an arm is lost.
        defined = np.linalg.eigvalsh(left)[:, 0] > RANK_TOLERANCE
        left = np.where(defined[:, None, None], left, np.eye(left.shape[1]))
        coefficients = np.linalg.solve(left, right)[:, :, 0]
        to_user = self.fit.to_user[self.rows, 1:]
        directions = np.linalg.solve(
            left, np.broadcast_to(to_user.T, (len(left), *to_user.T.shape))
        )
        errors = [
            self._std_error(weights, mean, coefficients, directions[:, :, i])
            for i in range(len(self.terms))
        ]
        found = np.stack([coefficients @ to_user.T, np.stack(errors, axis=1)])
        return np.where(defined[:, None], found, np.nan)

    def _cross(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return cross-products of [x, y] about a replicate's stratum means, and these means.

        Shapes (B, k + 1, k + 1) and (B, k + 1, S).
        """
        gram, size = self.fit.gram, self.fit.gram.shape[1]
        total = weights @ self.fit.by_stratum(gram[:, 0, :])
        total = total.reshape(len(weights), size, -1)
        mean = total[:, 1:] / total[:, :1]
        cross = (weights @ gram[:, 1:, 1:].reshape(len(gram), -1)).reshape(-1, size - 1, size - 1)
        return cross - np.einsum("bas,bcs->bac", total[:, 1:], mean), mean

    def _std_error(
        self, weights: Floats, mean: Floats, coefficients: Floats, direction: Floats
    ) -> Floats:
        """Return the CR0 standard error of one linear combination under weights; shape (B,)."""
        gram, stratum = self.fit.gram, self.fit.stratum
        residual = np.column_stack([-coefficients, np.ones(len(weights))])  # over [x, y]
        regressor = np.column_stack([direction, np.zeros(len(weights))])
        # Adjustment of the regressor and the residual for the stratum means; (B, S) each.
        level_x, level_e = (np.einsum("bas,ba->bs", mean, v) for v in (regressor, residual))
        if self.fit.n_strata == 1:
            regressor = np.column_stack([-level_x, regressor])
            residual = np.column_stack([-level_e, residual])
            scores = _products(regressor, residual) @ gram.reshape(len(gram), -1).T
        else:
            level_x, level_e = level_x[:, stratum], level_e[:, stratum]
            scores = _products(regressor, residual) @ gram[:, 1:, 1:].reshape(len(gram), -1).T
            scores -= level_e * (regressor @ gram[:, 0, 1:].T)
            scores -= level_x * (residual @ gram[:, 0, 1:].T - level_e * gram[:, 0, 0])
        return np.sqrt(np.einsum("bj,bj,bj->b", weights, scores, scores))


def _products(left: Floats, right: Floats) -> Floats:
    """Return all products of an entry of `left` and an entry of `right`, by row; (B, a x b)."""
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def _problems(exp: Experiment) -> list[_Problem]:
    full = exp.moments()
    naive = exp.naive_moments()
    effects, average = exp.spec.design.effects, exp.spec.report.estimand
    problems = [
        _Problem("two_exposure", effects, Regression.of(full)),
        _Problem("naive_ols", ("direct",), Regression.of(naive)),
    ]
    with suppress(DesignError):  # a partial rollout, or too many covariates: see the docstring
        check_whole_clusters(exp)
        means = Regression.of(naive.between())
        problems.append(_Problem("cluster_wls", ("direct",), means))
    if differs(exp, average):
        problems.append(_Problem(OVER[average].key, effects, Regression.of(named_moments(exp))))
    return problems


def _report_undefined(result: BootstrapEstimates) -> None:
    replicates = len(result.draws)
    for estimator, term, lost in zip(
        result.estimators, result.terms, result.undefined, strict=True
    ):
        if lost == replicates:
            raise DesignError(
                f"none of {replicates:,} bootstrap replicates identifies {term} by {estimator}: "
                "there are too few clusters to resample"
            )
    if lost := int(result.undefined.max()):
        warnings.warn(
            f"{lost:,} of {replicates:,} bootstrap replicates lose an arm or all exposed units (or "
            "more) and are undefined; the intervals condition on the others. Read CR2, the wild "
            "cluster bootstrap or the randomisation test instead",
            UserWarning,
            stacklevel=3,
        )
