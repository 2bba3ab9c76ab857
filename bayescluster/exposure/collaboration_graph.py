"""The collaboration graph: edges and users, read once and compressed to what exposure needs."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._support.arrays import Floats
from .._support.tidy import Tidy
from ..data.compression import run
from ..data.table_readers import kept, open_tables
from ..spec.exposure_section import ExposureSpec
from . import edges as queries
from .collaborators import Collaborators

if TYPE_CHECKING:
    import ibis


class CollaborationGraph(Tidy):
    """A collaboration graph, reduced to what exposure depends on.

    Edges are joined to users, cleaned and counted by the engine that holds the data (DuckDB, or the
    backend of the given Ibis tables); only each user's collaborators by cluster come back.

    Parameters
    ----------
    edges : DataFrame, Table, path or ibis.Table
        One row per edge; columns as `options` names them.
    users : DataFrame, Table, path or ibis.Table
        One row per user.
    user, cluster : str
        Columns of the users' table: the id that the edges use, and the cluster (workspace).
    options : ExposureSpec
        Columns of the edges, and what to do with self-loops, duplicates, unknown users, direction.
    by_user : bool
        Whether single users are assigned to treatment (a partial rollout), not whole clusters.

    Raises
    ------
    DataError
        If edges or users cannot be used; the subclass and the message say which column is wrong,
        in how many rows, and what to do.

    Examples
    --------
    >>> import pandas as pd
    >>> users = pd.DataFrame({"user": [1, 2, 3, 4], "workspace": ["a", "a", "b", "c"]})
    >>> edges = pd.DataFrame({"from": [1, 1, 3], "to": [2, 3, 4]})
    >>> CollaborationGraph(edges, users, user="user", cluster="workspace")
    CollaborationGraph(4 users in 3 clusters, 3 ties, 66.7% of them across clusters)
    """

    def __init__(
        self,
        edges: Any,
        users: Any,
        *,
        user: str = "user",
        cluster: str = "cluster",
        options: ExposureSpec | None = None,
        by_user: bool = False,
    ) -> None:
        self.options: ExposureSpec = options or ExposureSpec()
        self.names: dict[str, str] = {"user": user, "cluster": cluster}
        tables = open_tables({"edges": (edges, self.options.columns), "users": (users, self.names)})
        people = tables["users"]
        queries.check_users(people, self.names)
        rows = queries.check_edges(tables["edges"], people, self.options, user)
        people = kept(_with_label(queries.coded_users(people)))
        found = run(people.order_by("code"))
        code, clusters = pd.factorize(found["cluster"], sort=True)
        units = np.arange(len(found)) if by_user else code
        self.counts: queries.EdgeCounts
        self._ties, self.counts = queries.ties(tables["edges"], people, self.options, rows)
        self._units = people.select("code", unit="code" if by_user else "label")
        # An engine's order of labels is its own affair: units are in the order of ours.
        self._unit_of_label = np.arange(len(found), dtype=np.int32)
        if not by_user:
            self._unit_of_label = np.zeros(len(clusters), dtype=np.int32)
            self._unit_of_label[found["label"]] = code
        self._base = Collaborators(
            users=found["user"].to_numpy(),
            clusters=np.asarray(clusters),
            cluster=code.astype(np.int64),
            unit=units.astype(np.int64),
            n_units=len(found) if by_user else len(clusters),
            start=np.zeros(len(found) + 1, dtype=np.int64),
            other=np.zeros(0, dtype=np.int32),
            count=np.zeros(0, dtype=np.int32),
            weight=np.zeros(0),
        )

    @cached_property
    def one_hop(self) -> Collaborators:
        """Collaborators by unit of assignment."""
        return self._counted(self._ties)

    @cached_property
    def two_hop(self) -> Collaborators:
        """Collaborators and their collaborators, by unit of assignment.

        The weight of a path is that of its weaker tie, and paths add up.
        """
        return self._counted(queries.second_hop(self._ties))

    @property
    def collaborators(self) -> Collaborators:
        """Collaborators within as many hops as the options say."""
        return self.two_hop if self.options.hops == 2 else self.one_hop

    def _counted(self, ties: ibis.Table) -> Collaborators:
        found = queries.touched(ties, self._units)
        user, count, weight = found["user"], found["n"], found["weight"]
        other = self._unit_of_label[found["unit"]]
        if (np.diff(self._unit_of_label) < 0).any():
            order = np.lexsort((other, user))
            other, count, weight = other[order], count[order], weight[order]
        start = np.searchsorted(user, np.arange(self._base.n_users + 1, dtype=user.dtype))
        return replace(
            self._base,
            start=start.astype(np.int64),
            other=other,
            count=count.astype(np.int32, copy=False),
            weight=weight.astype(float, copy=False),
        )

    @property
    def users(self) -> NDArray[Any]:
        """User ids, sorted; shape (n,)."""
        return self._base.users

    @property
    def clusters(self) -> NDArray[Any]:
        """Cluster labels, sorted; shape (J,)."""
        return self._base.clusters

    @cached_property
    def ties_between(self) -> Floats:
        """Ties between clusters, counted from the users' side: row's users to column's; (J, J).

        Where `direction` is both, each pair of collaborators counts on both sides.
        """
        import scipy.sparse as sp

        t, j = self.one_hop, len(self.clusters)
        ends = t.cluster[t.user], t.unit_cluster[t.other]
        return np.asarray(sp.coo_array((t.count.astype(float), ends), shape=(j, j)).todense())

    @property
    def cross_share(self) -> float:
        """Share of ties that cross clusters."""
        total = self.ties_between
        return float(1 - np.trace(total) / total.sum())

    def to_dataframe(self) -> pd.DataFrame:
        """Return what became of the edges: what, count."""
        return self.counts.to_dataframe()

    def __repr__(self) -> str:
        pairs = self.counts.ties // 2 if self.options.direction == "both" else self.counts.ties
        return (
            f"CollaborationGraph({len(self.users):,} users in {len(self.clusters):,} clusters, "
            f"{pairs:,} ties, {self.cross_share:.1%} of them across clusters)"
        )


def _with_label(people: ibis.Table) -> ibis.Table:
    """Number clusters from 0, in the engine's order: column label."""
    import ibis

    distinct = people.select("cluster").distinct()
    number = ibis.row_number().over(order_by=distinct.cluster).cast("int32")
    coded = distinct.mutate(label=number).rename(of="cluster")
    return people.inner_join(coded, people.cluster == coded.of).drop("of")
