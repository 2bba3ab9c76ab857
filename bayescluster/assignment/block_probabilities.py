"""Mechanisms whose clusters are exchangeable within independent blocks: exact probabilities."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._support.arrays import Floats, Integers


class Block(ABC):
    """Exchangeable clusters: any two sets of the same size are equally likely to be treated."""

    @abstractmethod
    def specific(self, of: int, treated: int) -> float:
        """Return the probability that of `of` given clusters just `treated` given ones are treated.

        That is, of one pattern: these `treated` clusters are treated and the other ones of the
        `of` are not.
        """


@dataclass(frozen=True)
class FixedNumber(Block):
    """A fixed number of the block's clusters is treated (complete randomisation).

    Parameters
    ----------
    size : int
        Number of clusters.
    n_treated : int
        Number of them that is treated.
    """

    size: int
    n_treated: int

    def specific(self, of: int, treated: int) -> float:
        """Return C(n - of, m - treated) / C(n, m), from whole numbers: correctly rounded."""
        rest = self.n_treated - treated
        if rest < 0 or rest > self.size - of:
            return 0.0
        return math.comb(self.size - of, rest) / math.comb(self.size, self.n_treated)


@dataclass(frozen=True)
class Coins(Block):
    """Independent coin flips, given that both arms have at least `least` clusters.

    Parameters
    ----------
    size : int
        Number of clusters.
    least : int
        Smallest number of clusters in an arm.
    chance : float
        Probability of treatment at each flip.
    """

    size: int
    least: int
    chance: float

    def specific(self, of: int, treated: int) -> float:
        """Return p^t (1 - p)^(of - t) x the share of flips of the rest that leave enough."""
        p, least = self.chance, self.least
        pattern = p**treated * (1 - p) ** (of - treated)
        return (
            pattern
            * _inside(self.size - of, p, least - treated, self.size - least - treated)
            / (_inside(self.size, p, least, self.size - least))
        )


@lru_cache(maxsize=100_000)
def _inside(n: int, p: float, low: int, high: int) -> float:
    """Return P(low <= Binomial(n, p) <= high), from the shorter side: its terms all positive."""
    low, high = max(low, 0), min(high, n)
    if low > high:
        return 0.0
    outside = [*range(low), *range(high + 1, n + 1)]
    inside = range(low, high + 1)
    terms = inside if len(inside) <= len(outside) else outside
    total = math.fsum(_binomial(n, k, p) for k in terms)
    return total if terms is inside else 1 - total


def _binomial(n: int, k: int, p: float) -> float:
    if n <= 1_000:
        return math.comb(n, k) * p**k * (1 - p) ** (n - k)
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(p) + (n - k) * math.log1p(-p))


@dataclass(frozen=True, eq=False)
class Blocks:
    """Clusters in independent blocks.

    Parameters
    ----------
    code : ndarray, shape (J,)
        Block of each cluster.
    kinds : tuple of Block
        Each block.
    """

    code: Integers
    kinds: tuple[Block, ...]

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.kinds)

    def specific(self, block: Integers, of: Integers, treated: Integers | int) -> Floats:
        """Return :meth:`Block.specific` for arrays of one shape, computed once a distinct case."""
        treated = np.broadcast_to(np.asarray(treated), of.shape)
        kind = self._kind[block]
        widest = int(max(of.max(initial=0), treated.max(initial=0))) + 1
        key = (kind * widest + of) * widest + treated
        distinct, at = np.unique(key, return_inverse=True)
        values = [
            self._distinct_kinds[int(k // widest**2)].specific(
                int(k // widest % widest), int(k % widest)
            )
            for k in distinct
        ]
        return np.array(values, dtype=float)[at].reshape(of.shape)

    @property
    def _distinct_kinds(self) -> list[Block]:
        return list(dict.fromkeys(self.kinds))

    @property
    def _kind(self) -> Integers:
        at = {kind: i for i, kind in enumerate(dict.fromkeys(self.kinds))}
        return np.array([at[kind] for kind in self.kinds], dtype=np.int64)
