"""Exact sufficient statistics per cluster.

:class:`ClusterMoments` holds all that a Gaussian analysis needs of the data. Its size depends on
the number of clusters, not of units, and the moments of parts of the data can be added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .._support.arrays import Booleans, Floats, Integers
from .._support.tidy import Tidy
from ..errors import DataError
from .row_arrays import (
    checked_rows,
    checked_weights,
    factorized,
    label_per_cluster,
    sorted_union,
)


@dataclass(frozen=True, eq=False)
class ClusterMoments(Tidy):
    """Counts, means and centred cross-products of regressors and outcome, per cluster.

    With J clusters and k = number of regressors + 1 variables (regressors first, outcome last):

    Parameters
    ----------
    clusters : ndarray, shape (J,)
        Cluster labels, sorted, each once.
    n : ndarray, shape (J,)
        Units per cluster; with weights, the sum of the weights.
    mean : ndarray, shape (J, k)
        Means per cluster, as deviations from `origin`, so that a large common offset of a variable
        loses no digits.
    cross : ndarray, shape (J, k, k)
        Cross-products about the cluster's own means: sums of (v - v_mean)(v - v_mean)'.
    origin : ndarray, shape (k,)
        The point from which `mean` is measured, near the grand mean.
    names : tuple of str
        Names of the regressors (without the intercept), length k - 1.
    outcome : str
        Name of the outcome.
    strata : ndarray, shape (J,), optional
        Stratum of each cluster.
    observations : ndarray, shape (J,), optional
        Rows per cluster, if they differ from `n` because rows are weighted.
    size : ndarray, shape (J,), optional
        Units of each cluster before treatment, if they are not the rows.

    Notes
    -----
    Merging uses the pairwise update of Chan, Golub & LeVeque (1983, The American Statistician 37:
    242-247), which never forms a raw sum of squares. ``+`` is associative and commutative up to
    rounding, and ``ClusterMoments.empty`` is its zero.
    """

    clusters: NDArray[Any]
    n: Floats
    mean: Floats
    cross: Floats
    origin: Floats
    names: tuple[str, ...]
    outcome: str = "outcome"
    strata: NDArray[Any] | None = None
    observations: Floats | None = None
    size: Floats | None = None

    @classmethod
    def from_arrays(
        cls,
        y: ArrayLike,
        X: ArrayLike,
        cluster: ArrayLike,
        names: Sequence[str],
        *,
        outcome: str = "outcome",
        strata: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> ClusterMoments:
        """Compress the rows of any linear regression.

        Parameters
        ----------
        y : array-like, shape (N,)
            Outcome.
        X : array-like, shape (N, p)
            Regressors, without the intercept.
        cluster : array-like, shape (N,)
            Cluster label of each row.
        names : sequence of str, length p
            Names of the regressors.
        outcome : str
            Name of the outcome.
        strata : array-like, shape (N,), optional
            Stratum label of each row, constant within a cluster.
        weights : array-like, shape (N,), optional
            Positive weights (inverse variances) for weighted least squares.

        Raises
        ------
        DataError
            If shapes disagree, names repeat or there are no rows.
        MissingValueError
            If a value is NaN or infinite, or a label is null.
        """
        values, labels = checked_rows(y, X, cluster, names, outcome)
        weight = checked_weights(weights, len(values))
        code, clusters = factorized(labels)
        order = np.argsort(code, kind="stable")
        starts = np.searchsorted(code[order], np.arange(len(clusters)))
        n, weight = np.bincount(code, weight), weight[order, None]
        origin = values.mean(axis=0)
        centred = (values - origin)[order]
        mean = np.add.reduceat(weight * centred, starts, axis=0) / n[:, None]
        centred -= mean[code[order]]
        # Zero except for rounding errors, which it corrects in the mean.
        rest = np.add.reduceat(weight * centred, starts, axis=0)
        k = values.shape[1]
        cross = np.empty((len(n), k, k))
        for i in range(k):
            products = weight * centred[:, i, None] * centred[:, i:]
            products = np.add.reduceat(products, starts, axis=0)
            cross[:, i, i:] = cross[:, i:, i] = (
                products - rest[:, i, None] * rest[:, i:] / n[:, None]
            )
        return cls(
            clusters=clusters,
            n=n,
            mean=mean + rest / n[:, None],
            cross=cross,
            origin=origin,
            names=tuple(names),
            outcome=outcome,
            strata=None if strata is None else label_per_cluster(strata, code, clusters),
            observations=None if weights is None else np.bincount(code).astype(float),
        )

    @classmethod
    def empty(cls, names: Sequence[str], outcome: str = "outcome") -> ClusterMoments:
        """Return the moments of no data: the zero of ``+``."""
        k = len(names) + 1
        return cls(
            clusters=np.array([]),
            n=np.zeros(0),
            mean=np.zeros((0, k)),
            cross=np.zeros((0, k, k)),
            origin=np.zeros(k),
            names=tuple(names),
            outcome=outcome,
        )

    def __add__(self, other: ClusterMoments) -> ClusterMoments:
        return self.merge(other)

    def __radd__(self, other: object) -> ClusterMoments:
        if other == 0:  # the start of sum()
            return self
        return NotImplemented

    def merge(self, other: ClusterMoments) -> ClusterMoments:
        """Return the moments of both sets of rows together; a cluster may be in both.

        Raises
        ------
        DataError
            If the variables differ, labels have different types, or a cluster is in two strata.
        """
        if (self.names, self.outcome) != (other.names, other.outcome):
            raise DataError(
                f"moments of {[*self.names, self.outcome]} cannot be added to moments of "
                f"{[*other.names, other.outcome]}: the variables differ"
            )
        if not len(self.n) or not len(other.n):
            return other if len(other.n) else self
        for name in ("strata", "observations", "size"):
            if (getattr(self, name) is None) != (getattr(other, name) is None):
                what = {"observations": "weights", "size": "sizes"}.get(name, name)
                raise DataError(f"moments with {what} cannot be added to moments without")
        clusters = sorted_union(self.clusters, other.clusters)
        n1, mean1, cross1 = self._spread_over(clusters, self.origin)
        n2, mean2, cross2 = other._spread_over(clusters, self.origin)
        n = n1 + n2
        delta = mean2 - mean1
        share = (n2 / n)[:, None]
        between = delta[:, :, None] * delta[:, None, :] * (n1 * n2 / n)[:, None, None]
        return replace(
            self,
            clusters=clusters,
            n=n,
            mean=mean1 + delta * share,
            cross=cross1 + cross2 + between,
            strata=self._merged_labels(other, clusters, "strata"),
            observations=self._merged_observations(other, clusters),
            size=self._merged_labels(other, clusters, "size"),
        )

    def _spread_over(self, clusters: NDArray[Any], origin: Floats) -> tuple[Floats, Floats, Floats]:
        """Return n, mean and cross over a larger set of clusters, with n = 0 for absent ones."""
        at = np.searchsorted(clusters, self.clusters)
        n = np.zeros(len(clusters))
        mean = np.zeros((len(clusters), self.mean.shape[1]))
        cross = np.zeros((len(clusters), *self.cross.shape[1:]))
        n[at], mean[at], cross[at] = self.n, self.mean + (self.origin - origin), self.cross
        return n, mean, cross

    def _merged_observations(self, other: ClusterMoments, clusters: NDArray[Any]) -> Floats | None:
        if self.observations is None or other.observations is None:
            return None
        total = np.zeros(len(clusters))
        total[np.searchsorted(clusters, self.clusters)] += self.observations
        total[np.searchsorted(clusters, other.clusters)] += other.observations
        return total

    def _merged_labels(
        self, other: ClusterMoments, clusters: NDArray[Any], name: Literal["strata", "size"]
    ) -> NDArray[Any] | None:
        """Return what both give each cluster; raise where they give one cluster two values."""
        ours, theirs = getattr(self, name), getattr(other, name)
        if ours is None or theirs is None:
            return None
        of_cluster = dict(zip(self.clusters.tolist(), ours.tolist(), strict=True))
        twice = {
            label: (known, value)
            for label, value in zip(other.clusters.tolist(), theirs.tolist(), strict=True)
            if (known := of_cluster.setdefault(label, value)) != value
        }
        if twice:
            label, (one, two) = next(iter(twice.items()))
            raise DataError(
                f"cluster {label!r} lies in strata {one!r} and {two!r}; a cluster belongs to one "
                "stratum"
                if name == "strata"
                else f"{len(twice):,} clusters have two sizes, such as cluster {label!r}: {one:g} "
                f"and {two:g}"
            )
        return np.array([of_cluster[label] for label in clusters.tolist()])

    @property
    def n_clusters(self) -> int:
        """Number of clusters, J."""
        return len(self.n)

    @property
    def n_units(self) -> int:
        """Number of units (rows), N."""
        return int((self.n if self.observations is None else self.observations).sum())

    @property
    def sizes(self) -> Floats:
        """Units of each cluster before treatment (`size`), else its rows; shape (J,)."""
        rows = self.n if self.observations is None else self.observations
        return rows if self.size is None else self.size

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the regressors, then of the outcome."""
        return (*self.names, self.outcome)

    @cached_property
    def grand_mean(self) -> Floats:
        """Mean of each variable over all units, as deviation from `origin`; shape (k,)."""
        return self.n @ self.mean / self.n.sum()

    @property
    def means(self) -> Floats:
        """Mean of each variable in each cluster, in the variable's own unit; shape (J, k)."""
        return self.mean + self.origin

    @property
    def grand_means(self) -> Floats:
        """Mean of each variable over all units, in the variable's own unit; shape (k,)."""
        return self.grand_mean + self.origin

    @cached_property
    def total_cross(self) -> Floats:
        """Cross-products of all units about the grand mean; shape (k, k)."""
        deviation = self.mean - self.grand_mean
        return self.within_cross + np.einsum("j,ja,jb->ab", self.n, deviation, deviation)

    @cached_property
    def within_cross(self) -> Floats:
        """Cross-products about the clusters' means, pooled over clusters; shape (k, k)."""
        return self.cross.sum(axis=0)

    @cached_property
    def sd(self) -> Floats:
        """Standard deviation of each variable over all units (divisor N - 1); shape (k,)."""
        share = (self.n_units - 1) / max(self.n_units, 1)
        return np.sqrt(np.diag(self.total_cross) / self.n.sum() / (share or 1.0))

    def column(self, name: str) -> int:
        """Return the position of a regressor.

        Raises
        ------
        DataError
            If there is no such regressor.
        """
        if name not in self.names:
            raise DataError(f"no regressor {name!r}; there are {', '.join(self.names) or 'none'}")
        return self.names.index(name)

    def select(self, names: Sequence[str]) -> ClusterMoments:
        """Return the moments of the named regressors and the outcome only."""
        keep = [self.column(name) for name in names] + [len(self.names)]
        return replace(
            self,
            mean=self.mean[:, keep],
            cross=self.cross[:, keep][:, :, keep],
            origin=self.origin[keep],
            names=tuple(names),
        )

    def without(self, name: str) -> ClusterMoments:
        """Return the moments without one regressor; unchanged if there is no such regressor."""
        return self.select([x for x in self.names if x != name]) if name in self.names else self

    def keep(self, kept: Booleans) -> ClusterMoments:
        """Return the moments of some clusters only; `kept` has shape (J,)."""
        names = ("clusters", "n", "mean", "cross", "strata", "observations", "size")
        part: dict[str, Any] = {name: getattr(self, name) for name in names}
        rest: dict[str, Any] = {k: None if v is None else v[kept] for k, v in part.items()}
        return replace(self, **rest)

    def weighted(self, weights: Floats) -> ClusterMoments:
        """Return the moments with every cluster's rows weighted, for weighted least squares.

        Parameters
        ----------
        weights : ndarray, shape (J,)
            Positive weight of each row of a cluster. They are scaled so that the sum of `n` stays.
        """
        scaled = weights * (self.n.sum() / (self.n @ weights))
        rows = self.n if self.observations is None else self.observations
        return replace(
            self, n=self.n * scaled, cross=self.cross * scaled[:, None, None], observations=rows
        )

    def quasi_demeaned(self, icc: float) -> ClusterMoments:
        """Return moments whose least squares is generalised least squares of a random intercept.

        Parameters
        ----------
        icc : float
            Intracluster correlation, in [0, 1).

        Notes
        -----
        With theta_j = 1 - sqrt(w_j) and w_j = 1 / (1 + n_j icc / (1 - icc)), rows minus theta_j
        times their cluster's mean have equal, uncorrelated errors (Fuller & Battese 1973, Journal
        of the American Statistical Association 68: 626-632): cross-products within clusters stay,
        those of means count w_j.
        """
        rows = self.n if self.observations is None else self.observations
        return replace(self, n=self.n / (1 + self.n * icc / (1 - icc)), observations=rows)

    def between(self) -> ClusterMoments:
        """Return the moments of the cluster means, with one observation per cluster.

        Least squares on them is the regression of cluster means, weighted by cluster size.
        Regressors whose cluster means do not vary are left out.
        """
        deviation = self.mean - self.grand_mean
        spread = np.sqrt(self.n @ deviation**2 / self.n.sum())
        varying = spread[:-1] > 1e-9 * self.sd[:-1]
        kept = self.select([x for x, keep in zip(self.names, varying, strict=True) if keep])
        one = np.ones(self.n_clusters)
        return replace(kept, cross=np.zeros_like(kept.cross), observations=one)

    @property
    def stratum_levels(self) -> NDArray[Any]:
        """The strata, sorted; empty without strata."""
        return np.array([]) if self.strata is None else np.unique(self.strata)

    @cached_property
    def stratum_code(self) -> Integers:
        """Position of each cluster's stratum among `stratum_levels`; zeros without strata; (J,)."""
        if self.strata is None:
            return np.zeros(self.n_clusters, dtype=np.int64)
        return np.searchsorted(self.stratum_levels, self.strata)

    def gram(self, center: Floats, scale: Floats) -> Floats:
        """Return the Gram matrix of [1, (v - center) / scale] of each cluster; (J, k + 1, k + 1).

        Parameters
        ----------
        center, scale : ndarray, shape (k,)
            Location (as deviation from `origin`) and unit of each variable.
        """
        mean = (self.mean - center) / scale
        gram = np.empty((self.n_clusters, mean.shape[1] + 1, mean.shape[1] + 1))
        gram[:, 0, 0] = self.n
        gram[:, 0, 1:] = gram[:, 1:, 0] = self.n[:, None] * mean
        gram[:, 1:, 1:] = self.cross / np.multiply.outer(scale, scale)
        gram[:, 1:, 1:] += self.n[:, None, None] * mean[:, :, None] * mean[:, None, :]
        return gram

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that identify the compressed data.

        Computed from labels, counts and, to nine significant digits, means and cross-products. It
        is the same for any row order and engine, unless a value happens to round differently.
        """
        strata = None if self.strata is None else self.strata.tolist()
        digest = hashlib.sha256(repr((self.variables, self.clusters.tolist(), strata)).encode())
        root = np.sign(self.cross) * np.sqrt(np.abs(self.cross))
        for values in (self.n, self.means, root):
            scale = np.abs(values).max(axis=0, initial=1e-300)
            digest.update(np.round(values / scale * 1e9).astype(np.int64).tobytes())
        if self.size is not None:
            digest.update(repr(self.size.tolist()).encode())
        return digest.hexdigest()[:16]

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per cluster: label, number of units and mean of each variable."""
        frame = pd.DataFrame({"cluster": self.clusters, "n": self.n.astype(np.int64)})
        if self.strata is not None:
            frame["stratum"] = self.strata
        return frame.assign(**dict(zip(self.variables, self.means.T, strict=True)))

    def __repr__(self) -> str:
        return (
            f"ClusterMoments({self.n_clusters:,} clusters, {self.n_units:,} units, "
            f"{self.outcome} ~ {' + '.join(self.names) or '1'})"
        )
