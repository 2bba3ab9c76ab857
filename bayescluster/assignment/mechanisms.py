"""Mechanisms as objects: each draws assignments, counts them and gives their probabilities.

The randomisation test draws from the same object that the experiment was randomised by.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .._support.arrays import Booleans, Floats
from ..errors import DesignError
from .block_probabilities import Blocks, FixedNumber

#: Draws that probabilities without a closed form are estimated from.
PROBABILITY_DRAWS = 10_000


class Mechanism(ABC):
    """The random device that assigns J clusters to treatment or control.

    Assignments that can be enumerated are equally likely; others can only be drawn.
    """

    @property
    @abstractmethod
    def n_clusters(self) -> int:
        """Number of clusters, J."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> Booleans:
        """Draw assignments; shape (size, J)."""

    @property
    @abstractmethod
    def n_assignments(self) -> float:
        """Number of possible assignments; infinite if they are not equally likely or not known."""

    @abstractmethod
    def enumerate(self) -> Iterator[Booleans]:
        """Yield every possible assignment once; each of shape (J,)."""

    @abstractmethod
    def probability(self) -> Floats:
        """Return each cluster's probability of treatment; shape (J,)."""

    @abstractmethod
    def check(self, treated: ArrayLike) -> None:
        """Raise DesignError if the mechanism cannot have made an assignment."""

    def blocks(self) -> Blocks | None:
        """Return the independent blocks in which clusters are exchangeable; None without such."""
        return None

    def draw_given(
        self, rng: np.random.Generator, size: int, fixed: Booleans, treated: Booleans
    ) -> Booleans:
        """Draw assignments given those of some clusters; shape (size, J).

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        size : int
            Number of draws.
        fixed : ndarray of bool, shape (J,)
            Clusters whose assignment is given.
        treated : ndarray of bool, shape (J,)
            Their assignment (that of the others plays no part).

        Raises
        ------
        DesignError
            If the conditional distribution is not known.
        """
        raise DesignError(
            f"{type(self).__name__} cannot be drawn from given the assignment of some clusters"
        )


@dataclass(frozen=True, eq=False)
class Stratified(Mechanism):
    """Complete randomisation within strata: a fixed number of treated clusters in each.

    Matched pairs are strata of two with one treated cluster; complete randomisation is one stratum.

    Parameters
    ----------
    strata : array-like, shape (J,)
        Stratum of each cluster.
    n_treated : mapping of stratum to int
        Treated clusters of each stratum, at least one and not all.
    allow_constant : bool
        Whether strata may be all treated or all control; nothing is randomised in them.

    Raises
    ------
    DesignError
        If a stratum is all treated or all control.
    """

    strata: NDArray[Any]
    n_treated: dict[Any, int]
    allow_constant: bool = False
    _sizes: list[tuple[Any, NDArray[np.intp], int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "strata", np.asarray(self.strata))
        if pd.isna(self.strata).any():
            raise DesignError("a cluster has no stratum; give each cluster one")
        codes, levels = pd.factorize(self.strata, sort=True)
        order = np.argsort(codes, kind="stable")
        members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
        if missing := set(levels.tolist()) ^ set(self.n_treated):
            named = ", ".join(sorted(map(repr, missing))[:5])
            raise DesignError(f"strata and n_treated name different strata: {named}")
        sizes = [
            (level, at, self.n_treated[level])
            for level, at in zip(levels.tolist(), members, strict=True)
        ]
        object.__setattr__(self, "_sizes", sizes)
        constant = [one for one in sizes if not 0 < one[2] < len(one[1])]
        if constant and not self.allow_constant:
            level, at, treated = constant[0]
            others = f" (as in {len(constant) - 1:,} more strata)" * (len(constant) > 1)
            raise DesignError(
                f"stratum {level!r} has {treated} treated of {len(at)} clusters: the treatment is "
                f"constant there{others}, so nothing is randomised; merge the stratum with another "
                "or leave its clusters out"
            )

    @classmethod
    def of(cls, treated: ArrayLike, strata: ArrayLike, *, allow_constant: bool = False) -> Self:
        """Return the mechanism that has as many treated clusters a stratum as an assignment."""
        counts = pd.Series(np.asarray(treated, dtype=int)).groupby(np.asarray(strata)).sum()
        n_treated = {level: int(n) for level, n in counts.items()}
        return cls(np.asarray(strata), n_treated, allow_constant)

    @property
    def n_clusters(self) -> int:
        """Number of clusters, J."""
        return len(self.strata)

    def draw(self, rng: np.random.Generator, size: int) -> Booleans:
        """Draw assignments; shape (size, J)."""
        drawn = np.zeros((size, self.n_clusters), dtype=bool)
        key = rng.random((size, self.n_clusters))
        for members, treated in self._alike:
            rank = key[:, members].argsort(axis=2).argsort(axis=2)
            drawn[:, members] = rank < treated
        return drawn

    def blocks(self) -> Blocks:
        """Return the strata: a fixed number of treated clusters each."""
        code = np.empty(self.n_clusters, dtype=np.int64)
        for i, (_, at, _) in enumerate(self._sizes):
            code[at] = i
        kinds = tuple(FixedNumber(len(at), treated) for _, at, treated in self._sizes)
        return Blocks(code, kinds)

    def draw_given(
        self, rng: np.random.Generator, size: int, fixed: Booleans, treated: Booleans
    ) -> Booleans:
        """Draw assignments given those of some clusters; shape (size, J)."""
        drawn = np.tile(np.asarray(treated, dtype=bool), (size, 1))
        for level, at, count in self._sizes:
            free = at[~fixed[at]]
            rest = count - int(treated[at[fixed[at]]].sum())
            if not 0 <= rest <= len(free):
                raise DesignError(f"stratum {level!r} cannot have {count} treated clusters then")
            rank = rng.random((size, len(free))).argsort(axis=1).argsort(axis=1)
            drawn[:, free] = rank < rest
        return drawn

    @cached_property
    def _alike(self) -> list[tuple[NDArray[np.intp], int]]:
        """Strata of equal size and number of treated clusters: members (m, size), and treated."""
        found: dict[tuple[int, int], list[NDArray[np.intp]]] = {}
        for _, at, treated in self._sizes:
            found.setdefault((len(at), treated), []).append(at)
        return [(np.stack(members), treated) for (_, treated), members in found.items()]

    @property
    def n_assignments(self) -> float:
        """Product over strata of the ways to choose the treated clusters."""
        return math.prod(math.comb(len(at), treated) for _, at, treated in self._sizes)

    def enumerate(self) -> Iterator[Booleans]:
        """Yield every possible assignment once; each of shape (J,)."""
        choices = [list(itertools.combinations(at, treated)) for _, at, treated in self._sizes]
        for chosen in itertools.product(*choices):
            assignment = np.zeros(self.n_clusters, dtype=bool)
            assignment[list(itertools.chain.from_iterable(chosen))] = True
            yield assignment

    def probability(self) -> Floats:
        """Return each cluster's probability of treatment; shape (J,)."""
        probability = np.empty(self.n_clusters)
        for _, at, treated in self._sizes:
            probability[at] = treated / len(at)
        return probability

    def check(self, treated: ArrayLike) -> None:
        """Raise DesignError if a stratum has another number of treated clusters."""
        arm = checked(treated, self.n_clusters)
        for level, at, expected in self._sizes:
            if (found := int(arm[at].sum())) != expected:
                raise DesignError(
                    f"stratum {level!r} has {found} treated of {len(at)} "
                    f"clusters, where the mechanism treats {expected}: it cannot have made this "
                    "assignment; name the mechanism that was used"
                )


class Complete(Stratified):
    """Complete randomisation: a fixed number of treated clusters among all.

    Parameters
    ----------
    n_clusters, n_treated : int
        Number of clusters, and of those that are treated.
    """

    def __init__(self, n_clusters: int, n_treated: int) -> None:
        super().__init__(np.zeros(n_clusters, dtype=int), {0: n_treated})


@dataclass(frozen=True, eq=False)
class Custom(Mechanism):
    """A user's own mechanism.

    Parameters
    ----------
    clusters : int
        Number of clusters, J.
    function : callable
        Takes a ``numpy.random.Generator`` and returns one assignment, 0/1 or boolean, shape (J,).
    """

    clusters: int
    function: Callable[[np.random.Generator], ArrayLike]

    @property
    def n_clusters(self) -> int:
        """Number of clusters, J."""
        return self.clusters

    def draw(self, rng: np.random.Generator, size: int) -> Booleans:
        """Draw assignments; shape (size, J)."""
        return np.array([checked(self.function(rng), self.clusters) for _ in range(size)])

    @property
    def n_assignments(self) -> float:
        """Infinite: not known."""
        return math.inf

    def enumerate(self) -> Iterator[Booleans]:
        """Raise: a user's mechanism can be drawn from only."""
        raise DesignError("a custom mechanism cannot be enumerated; draw from it")

    def probability(self) -> Floats:
        """Return each cluster's probability of treatment, from 10,000 draws (error up to 0.005)."""
        return drawn_probability(self)

    def check(self, treated: ArrayLike) -> None:
        """Check the shape only: what a user's function can make is not known."""
        checked(treated, self.clusters)


def drawn_probability(mechanism: Mechanism) -> Floats:
    """Estimate each cluster's probability of treatment from draws; shape (J,)."""
    return mechanism.draw(np.random.default_rng(0), PROBABILITY_DRAWS).mean(axis=0)


def checked(treated: ArrayLike, n_clusters: int) -> Booleans:
    """Return an assignment as booleans; raise DesignError if it is not one per cluster."""
    values = np.asarray(treated)
    if values.shape != (n_clusters,) or not np.isin(values, (0, 1)).all():
        raise DesignError(
            f"an assignment has 0 or 1 for each of {n_clusters} clusters; given {values.shape}"
        )
    return values.astype(bool)
