"""Each user's collaborators, counted by unit of assignment: what exposure depends on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._support.arrays import Booleans, Floats, Integers

if TYPE_CHECKING:
    import scipy.sparse as sp


@dataclass(frozen=True, eq=False)
class Collaborators:
    """Collaborators of n users, counted by the U units that are assigned to treatment.

    The units are the clusters; in a partial rollout they are the users themselves.

    Parameters
    ----------
    users : ndarray, shape (n,)
        User ids, sorted.
    clusters : ndarray, shape (J,)
        Cluster labels, sorted.
    cluster : ndarray, shape (n,)
        Position of each user's cluster.
    unit : ndarray, shape (n,)
        Position of each user's own unit of assignment.
    n_units : int
        Number of units of assignment, U.
    start : ndarray, shape (n + 1,)
        If each user's entries begin, by user and unit: the rows of a sparse matrix.
    other : ndarray, shape (E,)
        Unit of each entry.
    count : ndarray, shape (E,)
        Number of the user's collaborators in that unit.
    weight : ndarray, shape (E,)
        Total weight of the ties to them.
    """

    users: NDArray[Any]
    clusters: NDArray[Any]
    cluster: Integers
    unit: Integers
    n_units: int
    start: Integers
    other: NDArray[np.int32]
    count: NDArray[np.int32]
    weight: Floats

    @property
    def n_users(self) -> int:
        """Number of users, n."""
        return len(self.users)

    @property
    def by_user(self) -> bool:
        """Whether single users are the units of assignment."""
        return self.n_units == self.n_users and self.n_units != len(self.clusters)

    @cached_property
    def user(self) -> Integers:
        """User of each entry; shape (E,)."""
        return np.repeat(np.arange(self.n_users), np.diff(self.start))

    @cached_property
    def outside(self) -> Booleans:
        """Whether each entry belongs to a cluster other than the user's own; shape (E,)."""
        if self.by_user:
            return self.cluster[self.other] != self.cluster[self.user]
        return self.other != self.unit[self.user]

    @property
    def unit_cluster(self) -> Integers:
        """Position of the cluster of each unit; shape (U,)."""
        cluster = np.empty(self.n_units, dtype=np.int64)
        cluster[self.unit] = self.cluster
        return cluster

    @cached_property
    def _matrices(self) -> dict[tuple[str, bool], sp.csr_array]:
        return {}

    def matrix(self, of: str, *, within: bool = False) -> sp.csr_array:
        """Return the entries outside (or within) the own cluster as a matrix; shape (n, U).

        Parameters
        ----------
        of : {"collaborators", "clusters", "weight"}
            What the matrix holds: number of collaborators, 1 for any, or weight.
        within : bool
            Entries of the own cluster instead.
        """
        import scipy.sparse as sp

        if (of, within) in self._matrices:
            return self._matrices[of, within]
        keep = ~self.outside if within else self.outside
        data = self.entry_values(of)[keep]
        start = np.concatenate([[0], np.cumsum(keep)])[self.start]
        made = sp.csr_array((data, self.other[keep], start), shape=(self.n_users, self.n_units))
        self._matrices[of, within] = made
        return made

    @cached_property
    def by_cluster(self) -> tuple[sp.csr_array, sp.csr_array]:
        """Touched clusters outside the own one, where users are the units.

        Which units of it each (user, touched cluster) has, shape (G, U), and whose it is, (n, G).
        """
        import scipy.sparse as sp

        user, other = self.user[self.outside], self.other[self.outside]
        key = user * len(self.clusters) + self.cluster[other]
        first, group = np.unique(key, return_inverse=True)
        one, g = np.ones(len(user)), len(first)
        reached = sp.csr_array((one, (group.reshape(-1), other)), shape=(g, self.n_units))
        owner = first // len(self.clusters)
        belong = sp.csr_array((np.ones(g), (owner, np.arange(g))), shape=(self.n_users, g))
        return reached, belong

    def entry_values(self, of: str) -> Floats:
        """Return the number of collaborators, 1 (clusters) or weight of each entry; shape (E,)."""
        if of == "clusters":
            return np.ones(len(self.other))
        return (self.count if of == "collaborators" else self.weight).astype(float)

    @cached_property
    def degree(self) -> Integers:
        """Number of collaborators outside the own cluster; shape (n,)."""
        return np.bincount(self.user, self.count * self.outside, minlength=self.n_users).astype(
            np.int64
        )

    @cached_property
    def n_touched(self) -> Integers:
        """Number of other units (clusters) with collaborators outside the own cluster; (n,)."""
        return np.bincount(self.user, self.outside, minlength=self.n_users).astype(np.int64)

    @cached_property
    def sets(self) -> tuple[Integers, Integers]:
        """Users whose exposure always coincides: group of each user (n,), one user per group.

        They share the own unit and the units that they touch, with number and weight.
        """
        key = np.column_stack([self.unit, *self._hashes])
        _, first, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
        return group.reshape(-1).astype(np.int64), first.astype(np.int64)

    @property
    def _hashes(self) -> list[Integers]:
        """Two sums of pseudo-random numbers over a user's entries: equal for equal entries."""
        rng = np.random.default_rng(20)
        columns = []
        for _ in range(2):
            code = rng.integers(1, 2**62, self.n_units, dtype=np.uint64)[self.other]
            mixed = code * (self.count.astype(np.uint64) * np.uint64(2) + np.uint64(1))
            mixed ^= self.weight.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = np.where(self.outside, mixed, np.uint64(0))
            total = np.concatenate([[np.uint64(0)], np.cumsum(mixed, dtype=np.uint64)])
            columns.append((total[self.start[1:]] - total[self.start[:-1]]).view(np.int64))
        return columns
