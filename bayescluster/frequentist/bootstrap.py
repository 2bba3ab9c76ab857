"""The pairs cluster bootstrap, vectorised over replicates."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._display import Tidy
from ..errors import DesignError
from ..experiment import Experiment
from .estimates import COLUMNS
from .regression import RANK_TOLERANCE, Regression

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: What is refitted on every replicate, by the name of its function.
ESTIMATORS = {
    "two_exposure": "two-exposure OLS",
    "naive_ols": "naive OLS",
    "cluster_wls": "cluster WLS",
}
#: Numbers held at once: bounds the memory of a block of replicates to some tens of megabytes.
BLOCK_ELEMENTS = 4_000_000


@dataclass(frozen=True, eq=False)
class BootstrapEstimates(Tidy):
    """Bootstrap distributions of the estimators, all from the same draws.

    Parameters
    ----------
    estimators, terms : tuple of str
        Estimator and coefficient of each of the m columns of `draws`.
    estimate : ndarray, shape (m,)
        Estimates on the data themselves.
    draws : ndarray, shape (R, m)
        Bootstrap replicates; NaN where a replicate does not identify the coefficient.
    ci_prob : float
        Probability of the percentile intervals.
    seed : int or None
        Seed of the resampling.
    """

    estimators: tuple[str, ...]
    terms: tuple[str, ...]
    estimate: Floats
    draws: Floats
    ci_prob: float
    seed: int | None

    @property
    def undefined(self) -> Integers:
        """Replicates that do not identify each coefficient; shape (m,)."""
        return np.isnan(self.draws).sum(axis=0)

    @property
    def ci(self) -> Floats:
        """Percentile intervals over the defined replicates, lower and upper; shape (m, 2)."""
        tail = 50 * (1 - self.ci_prob)
        return np.nanpercentile(self.draws, [tail, 100 - tail], axis=0).T

    def column(self, term: str, estimator: str = "two_exposure") -> Floats:
        """Return the replicates of one coefficient; shape (R,)."""
        return self.draws[
            :, list(zip(self.estimators, self.terms, strict=True)).index((estimator, term))
        ]

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row an estimator and coefficient; df and p_value are NaN."""
        frame = pd.DataFrame(
            {
                "method": [f"cluster bootstrap, {ESTIMATORS[name]}" for name in self.estimators],
                "term": self.terms,
                "estimate": self.estimate,
                "std_error": np.nanstd(self.draws, axis=0, ddof=1),
                "df": np.nan,
                "ci_lower": self.ci[:, 0],
                "ci_upper": self.ci[:, 1],
                "ci_prob": self.ci_prob,
                "p_value": np.nan,
            }
        )
        return frame[COLUMNS]


def cluster_bootstrap(
    exp: Experiment, draws: int = 10_000, seed: int | None = 0
) -> BootstrapEstimates:
    """Resample whole clusters with replacement and refit all estimators on the same draws.

    Parameters
    ----------
    exp : Experiment
        The experiment. Where strata are declared, clusters are resampled within their stratum.
    draws : int
        Number of replicates.
    seed : int or None
        Seed of ``numpy.random.default_rng``.

    Returns
    -------
    BootstrapEstimates
        ``two_exposure`` (direct, spillover), ``naive_ols`` (direct) and, unless covariates leave it
        unidentified, ``cluster_wls`` (direct), with percentile intervals by numpy's default rule.

    Raises
    ------
    DesignError
        Where no replicate identifies a coefficient.

    Warns
    -----
    UserWarning
        Where replicates lose an arm or all exposed units: such a replicate does not identify the
        coefficient, counts as undefined (NaN in `draws`, counted in `undefined`), and intervals
        condition on the others.

    Notes
    -----
    A replicate is a vector of multinomial weights over clusters (Cameron, Gelbach & Miller 2008,
    Review of Economics and Statistics 90: 414-427, pairs cluster bootstrap), so it costs one
    product of the weights with the stacked Gram matrices and one small solve. Clusters are drawn in
    the order of ``exp.cluster_order``: by first appearance for a frame in memory, else by label.
    """
    if draws < 2:
        raise ValueError(f"draws must be at least 2; given {draws}")
    problems = _problems(exp)
    width = problems[0].fit.gram.shape[1] ** 2
    weights = resampling_weights(exp.cluster_order, exp.moments().strata, draws, seed, width)
    blocks = [np.hstack([problem.replicate(block) for problem in problems]) for block in weights]
    result = BootstrapEstimates(
        estimators=tuple(p.estimator for p in problems for _ in p.terms),
        terms=tuple(term for p in problems for term in p.terms),
        estimate=np.concatenate([p.fit.estimate[p.rows] for p in problems]),
        draws=np.vstack(blocks),
        ci_prob=exp.spec.report.ci_prob,
        seed=seed,
    )
    _report_undefined(result)
    return result


@dataclass(frozen=True, eq=False)
class _Problem:
    """One estimator, ready to be refitted under cluster weights."""

    estimator: str
    terms: tuple[str, ...]
    fit: Regression

    @property
    def rows(self) -> list[int]:
        """Where the terms stand among the fit's."""
        return [self.fit.terms.index(term) for term in self.terms]

    def replicate(self, weights: Floats) -> Floats:
        """Return the coefficients under each row of weights (B, J); shape (B, terms)."""
        cross = self._cross(weights)
        left, right = cross[:, :-1, :-1], cross[:, :-1, -1:]
        # In orthonormal coordinates `left` is near the identity, singular where an arm is lost.
        defined = np.linalg.eigvalsh(left)[:, 0] > RANK_TOLERANCE
        left = np.where(defined[:, None, None], left, np.eye(left.shape[1]))
        slopes = np.linalg.solve(left, right)[:, :, 0] @ self.fit.to_user[self.rows, 1:].T
        return np.where(defined[:, None], slopes, np.nan)

    def _cross(self, weights: Floats) -> Floats:
        """Return cross-products of [x, y] about a replicate's stratum means; (B, k + 1, k + 1)."""
        gram, stratum = self.fit.gram, self.fit.stratum
        size = gram.shape[1]
        cross = np.zeros((len(weights), size - 1, size - 1))
        order = np.argsort(stratum, kind="stable")
        for at in np.split(order, np.cumsum(np.bincount(stratum))[:-1]):
            total = (weights[:, at] @ gram[at].reshape(len(at), -1)).reshape(-1, size, size)
            first = total[:, 0, 1:]
            cross += total[:, 1:, 1:]
            cross -= first[:, :, None] * first[:, None, :] / total[:, 0, 0, None, None]
        return cross


def _problems(exp: Experiment) -> list[_Problem]:
    full = exp.moments()
    naive = full.without("spillover")
    effects = tuple(term for term in ("direct", "spillover") if term in full.names)
    problems = [
        _Problem("two_exposure", effects, Regression.of(full)),
        _Problem("naive_ols", ("direct",), Regression.of(naive)),
    ]
    with suppress(DesignError):  # more covariates than clusters allow: documented
        means = Regression.of(naive.between())
        problems.append(_Problem("cluster_wls", ("direct",), means))
    return problems


def resampling_weights(
    order: Integers, strata: NDArray[Any] | None, draws: int, seed: int | None, width: int = 1
) -> Iterator[Floats]:
    """Yield blocks of multinomial cluster weights, shape (B, J), `draws` rows in all.

    Parameters
    ----------
    order : ndarray, shape (J,)
        Positions of the clusters in the moments, in the order in which they are drawn.
    strata : ndarray, shape (J,), optional
        Stratum of each cluster in the moments; clusters are then drawn within strata.
    draws : int
        Number of replicates. The result does not depend on the size of the blocks.
    seed : int or None
        Seed of the generator.
    width : int
        Numbers that the caller holds per replicate, where these are more than the clusters.
    """
    rng = np.random.default_rng(seed)
    groups = len(order)
    label = np.zeros(groups, dtype=int) if strata is None else pd.factorize(strata)[0]
    order = order[np.argsort(label[order], kind="stable")]  # strata side by side
    size = np.bincount(label)[label[order]]
    first = np.searchsorted(label[order], label[order])
    high: int | Integers = groups if strata is None else size
    block = max(1, BLOCK_ELEMENTS // max(groups, width))
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = order[first + rng.integers(0, high, size=(rows, groups))]
        flat = drawn + groups * np.arange(rows)[:, None]
        yield np.bincount(flat.ravel(), minlength=rows * groups).reshape(rows, groups).astype(float)


def _report_undefined(result: BootstrapEstimates) -> None:
    replicates = len(result.draws)
    for estimator, term, lost in zip(
        result.estimators, result.terms, result.undefined, strict=True
    ):
        if lost == replicates:
            raise DesignError(
                f"none of {replicates:,} bootstrap replicates identifies {term} by {estimator}: "
                "the clusters are too few to resample"
            )
    if lost := int(result.undefined.max()):
        warnings.warn(
            f"{lost:,} of {replicates:,} bootstrap replicates lose an arm or all exposed units (or "
            "more) and are undefined; the intervals condition on the others. With so few clusters "
            "prefer a small-sample method",
            UserWarning,
            stacklevel=3,
        )
