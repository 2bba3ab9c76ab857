"""Partitions of clusters by the ties between them: the Leiden algorithm over resolutions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._support.arrays import Floats, Integers
from ..exposure.collaborators import Collaborators

#: Fewest units of randomisation: two an arm.
LEAST_UNITS = 4
#: Resolutions tried, and steps of the search for one that yields a number of units.
RESOLUTIONS, STEPS = 24, 12
#: The smallest resolution, as share of the density of ties among all users.
LOWEST = 0.05


@dataclass(eq=False)
class Partitions:
    """Partitions of J clusters, searched for by number of units.

    Parameters
    ----------
    ends : ndarray, shape (m, 2)
        Pairs of clusters with ties between them.
    ties : ndarray, shape (m,)
        Ties of each pair.
    weight : ndarray, shape (J,)
        Weight of each cluster: what a unit's size is counted in.
    seed : int
        Of the algorithm.
    """

    ends: Integers
    ties: Floats
    weight: Floats
    seed: int
    _best: dict[int, tuple[float, Integers]] = field(default_factory=dict, repr=False)
    _tried: dict[float, int] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, ties: Collaborators, sizes: Integers, *, by_ties: bool, seed: int) -> Partitions:
        """Return the search on a graph; clusters weigh their users, or the ends of their ties."""
        import scipy.sparse as sp

        j = ties.n_units
        at = ties.unit[ties.user], ties.other
        counted = sp.coo_array((ties.count.astype(float), at), shape=(j, j)).tocsr()
        both = sp.coo_array(sp.triu(counted + counted.T, k=1))
        ends = np.stack([both.row, both.col], axis=1).astype(np.int64)
        strength = np.asarray((counted + counted.T).sum(axis=1)).ravel()
        weight = strength if by_ties else sizes.astype(float)
        found = cls(ends, both.data, weight, seed)
        found._keep(np.arange(j))
        for resolution in found.resolutions:
            found._at(float(resolution))
        return found

    @property
    def resolutions(self) -> Floats:
        """Resolutions from one unit a connected part (or nearly) to one unit a cluster."""
        density = self.ties / (self.weight[self.ends[:, 0]] * self.weight[self.ends[:, 1]])
        if not len(density):
            return np.zeros(0)
        overall = 2 * self.ties.sum() / self.weight.sum() ** 2
        return np.geomspace(LOWEST * min(overall, density.min()), density.max(), RESOLUTIONS)

    def suggested(self) -> dict[int, Integers]:
        """Return the partitions that a grid of resolutions yields, and halvings of the clusters."""
        j = len(self.weight)
        halves = [j >> i for i in range(1, j.bit_length()) if j >> i >= LEAST_UNITS]
        natural = [k for k in self._best if k >= LEAST_UNITS]
        return {k: self.into(k) for k in {*natural, *halves}}

    def into(self, k: int) -> Integers:
        """Return the best partition found into k units; unit of each cluster, shape (J,).

        If no resolution yields k units, those of the next finer partition are merged.
        """
        if k not in self._best and len(self.ends):
            self._search(k)
        if k not in self._best:
            finer = min(n for n in self._best if n > k)
            self._keep(self._merged(self._best[finer][1], k))
        return self._best[k][1]

    def _search(self, k: int) -> None:
        """Bisect the resolution between one that yields fewer units, and one that yields more."""
        fewer = [r for r, n in self._tried.items() if n < k]
        more = [r for r, n in self._tried.items() if n > k]
        if not fewer or not more:
            return
        low = max(fewer)
        high = min((r for r in more if r > low), default=low)
        for _ in range(STEPS):
            if k in self._best or not low < high:
                return
            middle = float(np.sqrt(low * high))
            if self._at(middle) < k:
                low = middle
            else:
                high = middle

    def _at(self, resolution: float) -> int:
        """Run the algorithm at a resolution; return its number of units."""
        import igraph

        graph = igraph.Graph(n=len(self.weight), edges=self.ends.tolist())
        with _seeded(self.seed):
            found = graph.community_leiden(
                objective_function="CPM",
                weights=self.ties.tolist(),
                resolution=resolution,
                node_weights=self.weight.tolist(),
                n_iterations=-1,
            )
        self._tried[resolution] = self._keep(np.array(found.membership))
        return self._tried[resolution]

    def _keep(self, unit: Integers) -> int:
        """Remember a partition if it is the best of its number of units; return that number."""
        unit = _in_order(unit)
        k = int(unit.max()) + 1
        cut = float(self.ties[unit[self.ends[:, 0]] != unit[self.ends[:, 1]]].sum())
        if k not in self._best or cut < self._best[k][0]:
            self._best[k] = cut, unit
        return k

    def _merged(self, unit: Integers, k: int) -> Integers:
        """Merge the two units with most ties for their sizes, the smallest first, down to k."""
        n = int(unit.max()) + 1
        between = np.zeros((n, n))
        np.add.at(between, (unit[self.ends[:, 0]], unit[self.ends[:, 1]]), self.ties)
        between += between.T
        size = np.maximum(np.bincount(unit, self.weight, minlength=n), 1e-300)
        alive = np.arange(n)
        unit = unit.copy()
        while len(alive) > k:
            a, b = alive[_pair_to_merge(between[np.ix_(alive, alive)], size[alive])]
            between[a] += between[b]
            between[:, a] += between[:, b]
            size[a] += size[b]
            unit[unit == b] = a
            alive = alive[alive != b]
        return unit


def _pair_to_merge(between: Floats, size: Floats) -> Integers:
    """Return the positions of the pair with most ties for its sizes; of equals the smallest."""
    density = between / np.multiply.outer(size, size)
    np.fill_diagonal(density, -1.0)
    first, second = np.nonzero(density == density.max())
    at = np.argmin(size[first] + size[second])
    return np.sort(np.array([first[at], second[at]]))


def _in_order(unit: Integers) -> Integers:
    """Number units by their first cluster."""
    _, first, at = np.unique(unit, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[at.reshape(-1)]


@contextmanager
def _seeded(seed: int) -> Iterator[Any]:
    """Let igraph draw from a generator of its own, and then from Python's again."""
    import random

    import igraph

    igraph.set_random_number_generator(random.Random(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)
