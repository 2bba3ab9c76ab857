"""Exact sufficient statistics for outcomes that are not gaussian: counts of like units.

:class:`CellCounts` serves the families with a link as :class:`bayescluster.ClusterMoments` serves
the gaussian one. Its size depends on the numbers of clusters and of distinct regressor patterns,
not on the number of units. A continuous covariate gives each unit a pattern of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .._support.arrays import Floats, Integers
from .._support.tidy import Tidy
from ..errors import DataError
from .cluster_moments import ClusterMoments


@dataclass(frozen=True, eq=False)
class CellCounts(Tidy):
    """Number of units, and the total of their outcomes, by cluster and regressor pattern.

    With J clusters, C cells, V distinct (cluster, outcome) pairs and p regressors:

    Parameters
    ----------
    clusters : ndarray, shape (J,)
        Cluster labels, sorted, each once.
    cluster : ndarray, shape (C,)
        Position of each cell's cluster among `clusters`.
    x : ndarray, shape (C, p)
        Regressors of each cell's units.
    n : ndarray, shape (C,)
        Units in each cell.
    total : ndarray, shape (C,)
        Sum of their outcomes.
    value_cluster, value, value_count : ndarray, shape (V,)
        Position of a cluster, an outcome that occurs in it, and its frequency. Count families need
        them for terms that do not depend on the regressors: constants and dispersion.
    names : tuple of str, length p
        Names of the regressors.
    outcome : str
        Name of the outcome.
    strata : ndarray, shape (J,), optional
        Stratum of each cluster.
    by_value : bool
        Whether the outcome is part of a cell's key.
    size : ndarray, shape (J,), optional
        Units of each cluster before treatment, if they are not the rows.

    Notes
    -----
    A bernoulli, poisson or negative binomial likelihood depends on the outcomes of a cell only
    through `n` and `total`, except for terms in the outcomes alone, which need the values. For a
    family that does not compress (student_t) the outcome is part of the key, so that ``total / n``
    is each unit's outcome.
    """

    clusters: NDArray[Any]
    cluster: Integers
    x: Floats
    n: Floats
    total: Floats
    value_cluster: Integers
    value: Floats
    value_count: Floats
    names: tuple[str, ...]
    outcome: str = "outcome"
    strata: NDArray[Any] | None = None
    by_value: bool = False
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
        by_value: bool = False,
    ) -> CellCounts:
        """Count rows by cell.

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
        by_value : bool
            Whether the outcome is part of a cell's key.

        Raises
        ------
        DataError
            As in :meth:`ClusterMoments.from_arrays`.
        """
        checked = ClusterMoments.from_arrays(y, X, cluster, names, outcome=outcome, strata=strata)
        rows = pd.DataFrame(np.asarray(X, dtype=float).reshape(len(np.asarray(y)), -1))
        rows = rows.rename(columns=lambda i: f"x{i}") + 0.0  # -0.0 and 0.0 are one pattern
        rows["y"] = np.asarray(y, dtype=float) + 0.0
        rows["cluster"] = pd.Index(checked.clusters).get_indexer(pd.Index(np.asarray(cluster)))
        keys = ["cluster", *(f"x{i}" for i in range(len(names)))]
        cells = rows.groupby([*keys, "y"] if by_value else keys, sort=True)["y"]
        counted = cells.agg(n="size", total="sum").reset_index()
        if by_value:  # exactly n times the outcome, without the rounding of a sum
            counted["total"] = counted["n"] * counted["y"]
        values = rows.groupby(["cluster", "y"], sort=True).size().reset_index(name="n")
        values = values.rename(columns={"y": "outcome"})
        return cls.from_frames(counted, keys[1:], values, checked, by_value=by_value)

    @classmethod
    def from_frames(
        cls,
        cells: pd.DataFrame,
        columns: Sequence[str],
        values: pd.DataFrame,
        moments: ClusterMoments,
        *,
        by_value: bool,
    ) -> CellCounts:
        """Return counts from tables whose clusters are positions among those of the moments.

        Parameters
        ----------
        cells : DataFrame
            Columns cluster, n, total, and the regressors.
        columns : sequence of str, length p
            Columns of the regressors.
        values : DataFrame
            Columns cluster, outcome, n: how often each outcome occurs.
        moments : ClusterMoments
            Moments of the same units, which have the labels and names.
        by_value : bool
            Whether cells are keyed by the outcome too.
        """
        return cls(
            clusters=moments.clusters,
            cluster=cells["cluster"].to_numpy(np.int64),
            x=cells[list(columns)].to_numpy(float),
            n=cells["n"].to_numpy(float),
            total=cells["total"].to_numpy(float),
            value_cluster=values["cluster"].to_numpy(np.int64),
            value=values["outcome"].to_numpy(float),
            value_count=values["n"].to_numpy(float),
            names=moments.names,
            outcome=moments.outcome,
            strata=moments.strata,
            by_value=by_value,
            size=moments.size,
        )

    def __add__(self, other: CellCounts) -> CellCounts:
        """Return the counts of both sets of rows together; a cluster may be in both.

        Raises
        ------
        DataError
            As in :meth:`ClusterMoments.merge`.
        """
        if self.by_value != other.by_value:
            raise DataError("cells keyed by the outcome cannot be added to cells that are not")
        moments = self.to_moments() + other.to_moments()  # checks names, labels and strata
        parts = [self._frames(moments.clusters), other._frames(moments.clusters)]
        cells, values = (pd.concat(frames) for frames in zip(*parts, strict=True))
        columns = [f"x{i}" for i in range(len(self.names))]
        keys = ["cluster", *columns] + ["y"] * self.by_value
        cells = cells.groupby(keys, sort=True)[["n", "total"]].sum().reset_index()
        if self.by_value:
            cells["total"] = cells["n"] * cells["y"]
        values = values.groupby(["cluster", "outcome"], sort=True)["n"].sum().reset_index()
        return CellCounts.from_frames(cells, columns, values, moments, by_value=self.by_value)

    def _frames(self, clusters: NDArray[Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
        at = np.searchsorted(clusters, self.clusters)
        cells = pd.DataFrame(self.x, columns=[f"x{i}" for i in range(self.x.shape[1])])
        if self.by_value:
            cells["y"] = self._value_of_cells()
        cells = cells.assign(cluster=at[self.cluster], n=self.n, total=self.total)
        values = {"cluster": at[self.value_cluster], "outcome": self.value, "n": self.value_count}
        return cells, pd.DataFrame(values)

    def _value_of_cells(self) -> Floats:
        """Return each cell's outcome: the value in its cluster that is nearest to total / n."""
        values = pd.DataFrame({"cluster": self.value_cluster, "value": self.value})
        cells = pd.DataFrame({"cluster": self.cluster, "rounded": self.total / self.n})
        cells = cells.reset_index().sort_values("rounded", kind="stable")
        matched = pd.merge_asof(
            cells,
            values.sort_values("value"),
            left_on="rounded",
            right_on="value",
            by="cluster",
            direction="nearest",
        )
        return matched.sort_values("index")["value"].to_numpy(float)

    @property
    def n_clusters(self) -> int:
        """Number of clusters, J."""
        return len(self.clusters)

    @property
    def n_cells(self) -> int:
        """Number of cells, C."""
        return len(self.n)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return round(float(self.n.sum()))

    @property
    def sizes(self) -> Floats:
        """Units of each cluster before treatment (`size`), else its rows; shape (J,)."""
        rows = np.bincount(self.cluster, self.n, self.n_clusters)
        return rows if self.size is None else self.size

    def to_moments(self) -> ClusterMoments:
        """Return the moments of the same units, which hold less information."""
        groups, k = self.n_clusters, len(self.names) + 1
        n = np.bincount(self.cluster, self.n, groups)
        v = np.column_stack([self.x, self.total / self.n])
        origin = self.n @ v / self.n.sum()
        v = v - origin
        mean = np.zeros((groups, k))
        np.add.at(mean, self.cluster, self.n[:, None] * v)
        mean /= n[:, None]
        v -= mean[self.cluster]
        cross = np.zeros((groups, k, k))
        np.add.at(cross, self.cluster, self.n[:, None, None] * v[:, :, None] * v[:, None, :])
        deviation = self.value - (mean[:, -1] + origin[-1])[self.value_cluster]
        cross[:, -1, -1] = np.bincount(self.value_cluster, self.value_count * deviation**2, groups)
        return ClusterMoments(
            clusters=self.clusters,
            n=n,
            mean=mean,
            cross=cross,
            origin=origin,
            names=self.names,
            outcome=self.outcome,
            strata=self.strata,
            size=self.size,
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per cell: cluster, regressors, number of units and total outcome."""
        frame = pd.DataFrame({"cluster": self.clusters[self.cluster]})
        regressors = dict(zip(self.names, self.x.T, strict=True))
        return frame.assign(**regressors, n=self.n.astype(np.int64), total=self.total)

    def __repr__(self) -> str:
        return (
            f"CellCounts({self.n_cells:,} cells in {self.n_clusters:,} clusters, "
            f"{self.n_units:,} units, {self.outcome} ~ {' + '.join(self.names) or '1'})"
        )
