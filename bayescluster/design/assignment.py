"""Assignment mechanisms as objects: each draws assignments, counts them and gives probabilities.

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

from ..errors import DesignError

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: Draws that probabilities without a closed form are estimated from.
PROBABILITY_DRAWS = 10_000


class Assignment(ABC):
    """A random assignment of J clusters to treatment or control, all assignments equally likely."""

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
        """Number of possible assignments; infinite where it is not known."""

    @abstractmethod
    def enumerate(self) -> Iterator[Booleans]:
        """Yield every possible assignment once; each of shape (J,)."""

    @abstractmethod
    def probability(self) -> Floats:
        """Return each cluster's probability of treatment; shape (J,)."""

    @abstractmethod
    def check(self, treated: ArrayLike) -> None:
        """Raise DesignError where the mechanism cannot have made an assignment."""


@dataclass(frozen=True, eq=False)
class Stratified(Assignment):
    """Complete randomisation within strata: a fixed number of treated clusters in each.

    Matched pairs are strata of two with one treated cluster; complete randomisation is one stratum.

    Parameters
    ----------
    strata : array-like, shape (J,)
        Stratum of each cluster.
    n_treated : mapping of stratum to int
        Treated clusters of each stratum, at least one and not all.

    Raises
    ------
    DesignError
        Where a stratum is all treated or all control.
    """

    strata: NDArray[Any]
    n_treated: dict[Any, int]
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
        for level, at, treated in sizes:
            if not 0 < treated < len(at):
                raise DesignError(
                    f"stratum {level!r} has {treated} treated of {len(at)} clusters: "
                    "the treatment is constant there, so nothing is randomised; merge the stratum "
                    "with another or leave its clusters out"
                )

    @classmethod
    def of(cls, treated: ArrayLike, strata: ArrayLike) -> Self:
        """Return the mechanism that has as many treated clusters a stratum as an assignment."""
        counts = pd.Series(np.asarray(treated, dtype=int)).groupby(np.asarray(strata)).sum()
        return cls(np.asarray(strata), {level: int(n) for level, n in counts.items()})

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
        """Raise DesignError where a stratum has another number of treated clusters."""
        arm = _checked(treated, self.n_clusters)
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


@dataclass(frozen=True)
class Bernoulli(Assignment):
    """Independent coin flips with probability one half, given that both arms have enough clusters.

    Parameters
    ----------
    clusters : int
        Number of clusters, J.
    least : int
        Smallest number of clusters in an arm; assignments with fewer are drawn again.
    """

    clusters: int
    least: int = 2

    def __post_init__(self) -> None:
        if self.least < 0 or 2 * self.least > self.clusters:
            raise DesignError(
                f"{self.clusters} clusters cannot have {self.least} in each arm; lower `least`"
            )

    @property
    def n_clusters(self) -> int:
        """Number of clusters, J."""
        return self.clusters

    def draw(self, rng: np.random.Generator, size: int) -> Booleans:
        """Draw assignments; shape (size, J)."""
        return _draw_accepted(
            lambda n: rng.integers(0, 2, size=(n, self.clusters)).astype(bool),
            self._accepts,
            size,
        )

    def _accepts(self, assignment: Booleans) -> Booleans:
        treated = assignment.sum(axis=-1)
        return (treated >= self.least) & (treated <= self.clusters - self.least)

    @property
    def n_assignments(self) -> float:
        """Number of patterns with enough clusters in each arm."""
        counts = range(self.least, self.clusters - self.least + 1)
        return sum(math.comb(self.clusters, k) for k in counts)

    def enumerate(self) -> Iterator[Booleans]:
        """Yield every possible assignment once; each of shape (J,)."""
        for pattern in itertools.product((False, True), repeat=self.clusters):
            assignment = np.array(pattern)
            if self._accepts(assignment):
                yield assignment

    def probability(self) -> Floats:
        """Return one half for every cluster, by symmetry."""
        return np.full(self.clusters, 0.5)

    def check(self, treated: ArrayLike) -> None:
        """Raise DesignError where an arm has too few clusters."""
        arm = _checked(treated, self.clusters)
        if not self._accepts(arm):
            raise DesignError(
                f"{int(arm.sum())} of {self.clusters} clusters are treated, where the mechanism "
                f"has at least {self.least} in each arm"
            )


@dataclass(frozen=True, eq=False)
class Rerandomised(Assignment):
    """Another mechanism, drawn again until the arms' cluster covariates are balanced.

    Parameters
    ----------
    base : Assignment
        What is drawn.
    covariates : array-like, shape (J, k)
        Cluster covariates, such as baseline means.
    max_distance : float
        Largest Mahalanobis distance between the arms' means that is accepted, n_T n_C / J x
        d'S^-1 d with S the covariance matrix of the covariates (Morgan & Rubin 2012, Annals of
        Statistics 40: 1263-1282).
    """

    base: Assignment
    covariates: Floats
    max_distance: float
    _root: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        values = np.asarray(self.covariates, dtype=float).reshape(self.base.n_clusters, -1)
        object.__setattr__(self, "covariates", values)
        inverse = np.linalg.pinv(np.atleast_2d(np.cov(values.T)))
        value, vector = np.linalg.eigh(inverse)
        centred = values - values.mean(axis=0)
        object.__setattr__(self, "_root", centred @ vector * np.sqrt(np.maximum(value, 0)))

    @property
    def n_clusters(self) -> int:
        """Number of clusters, J."""
        return self.base.n_clusters

    def distance(self, assignment: Booleans) -> Floats:
        """Return the Mahalanobis distance between the arms of assignments (..., J)."""
        treated = assignment.sum(axis=-1)
        control = self.n_clusters - treated
        total = assignment @ self._root  # about the mean: the control total is its negative
        with np.errstate(divide="ignore", invalid="ignore"):
            difference = total / treated[..., None] + total / control[..., None]
            distance = treated * control / self.n_clusters * (difference**2).sum(axis=-1)
        return np.where((treated > 0) & (control > 0), distance, np.inf)

    def _accepts(self, assignment: Booleans) -> Booleans:
        return np.asarray(self.distance(assignment) <= self.max_distance)

    def draw(self, rng: np.random.Generator, size: int) -> Booleans:
        """Draw accepted assignments; shape (size, J)."""
        return _draw_accepted(lambda n: self.base.draw(rng, n), self._accepts, size)

    @property
    def n_assignments(self) -> float:
        """The number of the base mechanism's: an upper bound, exact only after enumeration."""
        return self.base.n_assignments

    def enumerate(self) -> Iterator[Booleans]:
        """Yield every accepted assignment once; each of shape (J,)."""
        return (assignment for assignment in self.base.enumerate() if self._accepts(assignment))

    def probability(self) -> Floats:
        """Return each cluster's probability of treatment, from 10,000 draws (error up to 0.005)."""
        return self.draw(np.random.default_rng(0), PROBABILITY_DRAWS).mean(axis=0)

    def check(self, treated: ArrayLike) -> None:
        """Raise DesignError where the base cannot have made it, or it is out of balance."""
        arm = _checked(treated, self.n_clusters)
        self.base.check(arm)
        if not self._accepts(arm):
            raise DesignError(
                f"the assignment's distance {float(self.distance(arm)):.3g} exceeds the accepted "
                f"{self.max_distance:g}: the mechanism cannot have made it"
            )


@dataclass(frozen=True, eq=False)
class Custom(Assignment):
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
        return np.array([_checked(self.function(rng), self.clusters) for _ in range(size)])

    @property
    def n_assignments(self) -> float:
        """Infinite: not known."""
        return math.inf

    def enumerate(self) -> Iterator[Booleans]:
        """Raise: a user's mechanism can be drawn from only."""
        raise DesignError("a custom mechanism cannot be enumerated; draw from it")

    def probability(self) -> Floats:
        """Return each cluster's probability of treatment, from 10,000 draws (error up to 0.005)."""
        return self.draw(np.random.default_rng(0), PROBABILITY_DRAWS).mean(axis=0)

    def check(self, treated: ArrayLike) -> None:
        """Check the shape only: what a user's function can make is not known."""
        _checked(treated, self.clusters)


def _checked(treated: ArrayLike, n_clusters: int) -> Booleans:
    values = np.asarray(treated)
    if values.shape != (n_clusters,) or not np.isin(values, (0, 1)).all():
        raise DesignError(
            f"an assignment has 0 or 1 for each of {n_clusters} clusters; given {values.shape}"
        )
    return values.astype(bool)


def _draw_accepted(
    draw: Callable[[int], Booleans], accepts: Callable[[Booleans], Booleans], size: int
) -> Booleans:
    """Draw until `size` assignments are accepted.

    Raises
    ------
    DesignError
        Where hardly any assignment is accepted.
    """
    kept: list[Booleans] = []
    found = tried = 0
    while found < size:
        batch = draw(max(size, 100))
        batch = batch[accepts(batch)]
        kept.append(batch[: size - found])
        found, tried = found + len(kept[-1]), tried + max(size, 100)
        if tried >= 100_000 and found < tried * 1e-4:
            raise DesignError(
                f"only {found:,} of {tried:,} drawn assignments meet the criterion; relax it"
            )
    return np.concatenate(kept)
