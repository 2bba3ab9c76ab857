"""The locations of the Gaussian hierarchical model, given its two standard deviations.

Given tau (between clusters) and sigma (within), the likelihood of :mod:`.gaussian_likelihood` is
Gaussian in theta = (intercept_mean, effects, stratum effects). Let b = theta - `reference`, with
rows [x, e]: the regressors (one of them 1), and the residual of the outcome at `reference`. Then -2
times the exponent is the quadratic form of one augmented matrix in (b, -1):

    A = sum_j w_j [x_j, e_j]'[x_j, e_j] + [R, z]'[R, z] / sigma^2 + priors,
    w_j = 1 / (tau^2 + sigma^2 / n_j).

Eliminating b leaves the evidence (Lindley & Smith 1972, JRSS B 34: 1-41, for the normal theory).
The sums over clusters depend on a cluster's size only through w_j, so they are stored by distinct
size (and stratum). Stratum effects, normal and summing to zero, are eliminated first: with the
diagonal D = (sum of w in the stratum) + 1 / prior variance, their covariance given b is
D^-1 - D^-1 1 1' D^-1 / (1' D^-1 1), at a cost that is linear in the number of strata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..._support.arrays import Floats, Integers
from ...spec.priors import Prior
from .gaussian_likelihood import GaussianStatistics

#: Size of the arrays in the sums over cluster sizes, and smallest number of points at once.
CHUNK, LEAST_POINTS = 16_384, 64
#: Largest number of multiplications in one matrix product. Beyond it OpenBLAS uses threads, which
#: for this shape, and next to other processes, take many times longer than one thread.
ONE_THREAD = 200_000


@dataclass(frozen=True, eq=False)
class Conditional:
    """The Gaussian conditional distribution of the locations, as a function of tau and sigma.

    With d locations (intercept_mean and effects), G groups of clusters with the same size (and
    stratum) and S strata:

    Parameters
    ----------
    names : tuple of str, length d
        The locations; those with Student's t priors come last.
    reference : ndarray, shape (d,)
        Point from which b is measured, near the posterior mean, in the outcome's unit.
    size, count : ndarray, shape (G,)
        Units in each cluster of the group, and the group's number of clusters.
    products : ndarray, shape ((d + 1)^2, G)
        Sums of [x, e]'[x, e] over the group's clusters.
    within : ndarray, shape (d + 1, d + 1)
        [R, z]'[R, z].
    prior : ndarray, shape (d + 1, d + 1)
        Part of A from the normal priors.
    log_sd : float
        Half the log of rss / nu; log sigma is measured from here.
    within_df, within_rank : int
        nu, and the rank of R.
    constant : float
        Log-evidence of all units, without the terms in tau, sigma and Student's t priors.
    starts : ndarray, shape (S,)
        First group of each stratum; empty without strata.
    stratum_sd : float
        Prior standard deviation of the stratum effects.
    """

    names: tuple[str, ...]
    reference: Floats
    size: Floats
    count: Floats
    products: Floats
    within: Floats
    prior: Floats
    log_sd: float
    within_df: int
    within_rank: int
    constant: float
    starts: NDArray[np.intp]
    stratum_sd: float

    @classmethod
    def of(
        cls,
        data: GaussianStatistics,
        priors: Mapping[str, Prior],
        stratum: Integers | None = None,
    ) -> Conditional:
        """Group statistics and priors by cluster size, in the outcome's unit.

        Parameters
        ----------
        data : GaussianStatistics
            The data.
        priors : mapping of str to Prior
            Prior of each parameter, in the outcome's own unit.
        stratum : ndarray, shape (J,), optional
            Code of each cluster's stratum, 0 to S - 1; needed if `priors` has stratum_effect.
        """
        names = ("intercept_mean", *data.names)
        order = sorted(range(len(names)), key=lambda i: _is_student(priors[names[i]]))
        names = tuple(names[i] for i in order)
        rows = np.column_stack([np.ones(len(data.n)), data.regressor_mean])[:, order]
        root = np.column_stack([np.zeros(len(data.within_root)), data.within_root])[:, order]
        reference = _reference(data, rows, root, [priors[name] for name in names])
        rows = np.column_stack([rows, data.outcome_mean - rows @ reference])
        root = np.column_stack([root, data.within_score - root @ reference])
        has_strata = "stratum_effect" in priors
        code = stratum if has_strata and stratum is not None else np.zeros(len(data.n), np.int64)
        key, group = np.unique(np.column_stack([code, data.n]), axis=0, return_inverse=True)
        group = group.ravel()
        products = [np.bincount(group, a * b) for a in rows.T for b in rows.T]
        sd = float(priors["stratum_effect"].parameters["sigma"]) if has_strata else 1.0
        normal, log_precision = _normal_part([priors[name] for name in names], reference)
        log_sd, half = float(np.log(data.within_ss / data.within_df)) / 2, data.within_df / 2
        scale = (len(data.n) + len(root) + data.within_df) * np.log(2 * np.pi) + np.log(
            data.n
        ).sum()
        return cls(
            names=names,
            reference=reference,
            size=key[:, 1],
            count=np.bincount(group).astype(float),
            products=np.array(products),
            within=root.T @ root,
            prior=normal,
            log_sd=log_sd,
            within_df=data.within_df,
            within_rank=len(root),
            constant=log_precision / 2 - scale / 2 - half * (1 + 2 * log_sd) - len(root) * log_sd,
            starts=np.unique(key[:, 0], return_index=True)[1] if has_strata else np.zeros(0, int),
            stratum_sd=sd,
        )

    def evaluate(self, between_sd: Floats, offset: Floats) -> tuple[Floats, Floats]:
        """Return the log factor that does not depend on b, and A, at K points.

        Parameters
        ----------
        between_sd, offset : ndarray, shape (K,)
            tau, and log sigma - `log_sd`.

        Returns
        -------
        log_scale : ndarray, shape (K,)
            Log of the factor of exp(-quadratic form / 2), with all constants.
        augmented : ndarray, shape (d + 1, d + 1, K)
            A, with stratum effects eliminated.
        """
        k = len(self.reference) + 1
        log_scale, augmented = np.empty(len(offset)), np.empty((k, k, len(offset)))
        for part in self._parts(len(offset)):
            spread, weight = self._weights(between_sd[part], offset[part])
            log_scale[part] = -0.5 * np.einsum("g,gk->k", self.count, np.log(spread))
            total = _matmul(self.products, weight).reshape(k, k, -1)
            if len(self.starts):
                log_factor, total = self._without_strata(weight, total)
                log_scale[part] += log_factor
            augmented[..., part] = total
        # rss / sigma^2 = nu exp(-2 offset), minus its value at offset 0, which `constant` holds.
        residual = np.expm1(-2 * offset) * self.within_df / 2
        log_scale += self.constant - (self.within_df + self.within_rank) * offset - residual
        precision = np.exp(-2 * (offset + self.log_sd))
        augmented += self.within[..., None] * precision + self.prior[..., None]
        return log_scale, augmented

    def strata(
        self, between_sd: Floats, offset: Floats
    ) -> Iterator[tuple[slice, Floats, Floats, Floats]]:
        """Yield the stratum effects' distribution given b, for parts of the K points.

        It is Normal with mean `center` - `slope` b and the covariance of independent normal
        variables with the given variances, conditioned on a sum of zero.

        Yields
        ------
        part : slice
            The points of this part.
        variance : ndarray, shape (S, part)
            1 / D.
        center : ndarray, shape (S, part)
        slope : ndarray, shape (d, S, part)
        """
        for part in self._parts(len(offset)):
            rows = self._stratum_rows(self._weights(between_sd[part], offset[part])[1])
            variance = 1 / self._stratum_precision(rows)
            slope = rows * variance
            share = variance / variance.sum(axis=0)
            slope -= share * slope.sum(axis=1, keepdims=True)
            yield part, variance, slope[-1], slope[:-1]

    def stratum_marginals(
        self, between_sd: Floats, offset: Floats, mean: Floats, cov: Floats
    ) -> tuple[Floats, Floats]:
        """Return means and SDs of the stratum effects at K points; each of shape (S, K).

        Parameters
        ----------
        between_sd, offset : ndarray, shape (K,)
            As in `evaluate`.
        mean, cov : ndarray, shape (d, K) and (d, d, K)
            Mean and covariance of b.
        """
        location, scale = np.empty((2, len(self.starts), len(offset)))
        for part, variance, center, slope in self.strata(between_sd, offset):
            location[:, part] = center - np.einsum("dsk,dk->sk", slope, mean[:, part])
            own = variance * (1 - variance / variance.sum(axis=0))
            shared = np.einsum("dsk,dek,esk->sk", slope, cov[..., part], slope, optimize=True)
            scale[:, part] = np.sqrt(own + shared)
        return location, scale

    @property
    def _intercept(self) -> int:
        return self.names.index("intercept_mean")

    def _parts(self, points: int) -> Iterator[slice]:
        rows = 1 + len(self.reference) * bool(len(self.starts))
        step = max(LEAST_POINTS, CHUNK // (len(self.size) * rows))
        return (slice(at, at + step) for at in range(0, points, step))

    def _weights(self, between_sd: Floats, offset: Floats) -> tuple[Floats, Floats]:
        """Return the variance of a cluster mean, and its inverse; each of shape (G, points)."""
        spread = np.exp(2 * (offset + self.log_sd)) / self.size[:, None] + between_sd**2
        return spread, 1 / spread

    def _stratum_rows(self, weight: Floats) -> Floats:
        k = len(self.reference) + 1
        sums = self.products[self._intercept * k : (self._intercept + 1) * k]  # of 1 x [x, e]
        return np.stack([np.add.reduceat(row[:, None] * weight, self.starts) for row in sums])

    def _stratum_precision(self, rows: Floats) -> Floats:
        return rows[self._intercept] + 1 / self.stratum_sd**2

    def _without_strata(self, weight: Floats, total: Floats) -> tuple[Floats, Floats]:
        """Eliminate the stratum effects; return the log of the resulting factor, and A."""
        rows = self._stratum_rows(weight)
        variance = 1 / self._stratum_precision(rows)
        scaled = rows * variance
        mean = scaled.sum(axis=1)
        total = total - np.einsum("ask,bsk->abk", scaled, rows, optimize=True)
        total += mean[:, None] * mean[None] / variance.sum(axis=0)
        n = len(self.starts)
        log_det = np.log(variance.sum(axis=0) / n) - np.log(variance).sum(axis=0)
        return -log_det / 2 - (n - 1) * np.log(self.stratum_sd), total


def eliminate(augmented: Floats, count: int) -> tuple[Floats, Floats]:
    """Integrate the first `count` locations out of augmented matrices.

    Parameters
    ----------
    augmented : ndarray, shape (k, k, ...)
        A; not modified.

    Returns
    -------
    log_factor : ndarray, shape (...)
        Log of the integral's factor: minus half the log-determinant of the eliminated block.
    rest : ndarray, shape (k - count, k - count, ...)
        A of the remaining locations; if none remain, the remaining quadratic form.
    """
    rest, log_factor = augmented, np.zeros(augmented.shape[2:])
    for _ in range(count):
        pivot = rest[0, 0]
        log_factor = log_factor - np.log(pivot) / 2
        rest = rest[1:, 1:] - rest[1:, :1] * (rest[:1, 1:] / pivot)
    return log_factor, rest


def solve(augmented: Floats) -> tuple[Floats, Floats]:
    """Return mean (d, K) and covariance (d, d, K) of b, from A of shape (d + 1, d + 1, K).

    Uses the symmetric sweep operator on each location (Goodnight 1979, The American Statistician
    33: 149-158), for all K at once.
    """
    swept = augmented.copy()
    for k in range(len(swept) - 1):
        pivot = swept[k, k].copy()
        row = swept[k] / pivot
        swept -= swept[:, k, None] * row
        swept[k] = swept[:, k] = row
        swept[k, k] = -1 / pivot
    return swept[:-1, -1], -swept[:-1, :-1]


def _matmul(left: Floats, right: Floats) -> Floats:
    """Return left @ right, in blocks small enough for a single thread."""
    step = max(1, ONE_THREAD // (len(left) * right.shape[1]))
    parts = (slice(at, at + step) for at in range(0, len(right), step))
    return np.sum([left[:, part] @ right[part] for part in parts], axis=0)


def _is_student(prior: Prior) -> bool:
    return prior.distribution == "student_t"


def _normal_part(priors: Sequence[Prior], reference: Floats) -> tuple[Floats, float]:
    """Return the part of A from the normal priors, and the log-determinant of their precision."""
    part, log_precision = np.zeros((len(priors) + 1, len(priors) + 1)), 0.0
    for at, prior in enumerate(priors):
        if not _is_student(prior):
            given = prior.parameters
            row = np.zeros(len(part))
            row[at], row[-1] = 1, given["mu"] - reference[at]
            part += np.outer(row, row) / given["sigma"] ** 2
            log_precision -= 2 * np.log(given["sigma"])
    return part, log_precision


def _reference(
    data: GaussianStatistics, rows: Floats, root: Floats, priors: Sequence[Prior]
) -> Floats:
    """Return a rough posterior mean: scales from moments, Student's t priors as normal ones."""
    variance = data.within_ss / data.within_df
    weight = 1 / (np.var(data.outcome_mean) + variance / data.n)
    precision = np.array([prior.parameters["sigma"] ** -2 for prior in priors])
    center = np.array([prior.parameters["mu"] for prior in priors])
    matrix = (rows.T * weight) @ rows + root.T @ root / variance + np.diag(precision)
    score = rows.T @ (weight * (data.outcome_mean - rows @ center))
    score += root.T @ (data.within_score - root @ center) / variance
    return center + np.linalg.solve(matrix, score)
