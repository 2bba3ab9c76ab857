"""Mechanisms that draw again until an assignment is acceptable: coin flips, rerandomisation."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._support.arrays import Booleans, Floats
from ..errors import DesignError
from .block_probabilities import Blocks, Coins
from .mechanisms import Mechanism, checked, drawn_probability

#: A covariate whose spread is at most this share of its size is constant except for rounding.
CONSTANT = 1e-12
#: A direction of the standardised covariates with at most this share of the largest one's spread
#: is a linear combination of others except for rounding.
COLLINEAR = 1e-10


class Redrawn(Mechanism):
    """Another mechanism's assignments, drawn again until they meet a criterion."""

    @abstractmethod
    def _candidates(self, rng: np.random.Generator, size: int) -> Booleans:
        """Draw assignments, acceptable or not; shape (size, J)."""

    @abstractmethod
    def _every(self) -> Iterator[Booleans]:
        """Yield every candidate once; each of shape (J,)."""

    @abstractmethod
    def _accepts(self, assignment: Booleans) -> Booleans:
        """Say which assignments (..., J) meet the criterion."""

    def draw(self, rng: np.random.Generator, size: int) -> Booleans:
        """Draw accepted assignments; shape (size, J).

        Raises
        ------
        DesignError
            If hardly any assignment is accepted.
        """
        return self._drawn_until(lambda count: self._candidates(rng, count), size)

    def draw_given(
        self, rng: np.random.Generator, size: int, fixed: Booleans, treated: Booleans
    ) -> Booleans:
        """Draw accepted assignments given those of some clusters; shape (size, J)."""
        return self._drawn_until(
            lambda count: self._candidates_given(rng, count, fixed, treated), size
        )

    @abstractmethod
    def _candidates_given(
        self, rng: np.random.Generator, size: int, fixed: Booleans, treated: Booleans
    ) -> Booleans:
        """Draw assignments, acceptable or not, given those of some clusters; shape (size, J)."""

    def _drawn_until(self, candidates: Callable[[int], Booleans], size: int) -> Booleans:
        kept: list[Booleans] = []
        found = tried = 0
        while found < size:
            batch = candidates(max(size, 100))
            batch = batch[self._accepts(batch)]
            kept.append(batch[: size - found])
            found, tried = found + len(kept[-1]), tried + max(size, 100)
            if tried >= 100_000 and found < tried * 1e-4:
                raise DesignError(
                    f"only {found:,} of {tried:,} drawn assignments meet the criterion; relax it"
                )
        return np.concatenate(kept)

    def enumerate(self) -> Iterator[Booleans]:
        """Yield every accepted assignment once; each of shape (J,)."""
        return (assignment for assignment in self._every() if self._accepts(assignment))


@dataclass(frozen=True)
class Bernoulli(Redrawn):
    """Independent coin flips, given that both arms have enough clusters.

    The flips ignore strata, whether or not the analysis adjusts for them.

    Parameters
    ----------
    clusters : int
        Number of clusters, J.
    least : int
        Smallest number of clusters in an arm; assignments with fewer are drawn again.
    chance : float
        Probability of treatment at each flip. Unless it is one half, assignments are not equally
        likely, so they are drawn and not enumerated.
    """

    clusters: int
    least: int = 2
    chance: float = 0.5

    def __post_init__(self) -> None:
        if self.least < 0 or 2 * self.least > self.clusters:
            raise DesignError(
                f"{self.clusters} clusters cannot have {self.least} in each arm; lower `least`"
            )
        if not 0 < self.chance < 1:
            raise DesignError(f"chance must lie between 0 and 1; given {self.chance}")

    @property
    def n_clusters(self) -> int:
        """Number of clusters, J."""
        return self.clusters

    @property
    def _treated(self) -> range:
        """Numbers of treated clusters that leave enough in each arm."""
        return range(self.least, self.clusters - self.least + 1)

    def _candidates(self, rng: np.random.Generator, size: int) -> Booleans:
        if self.chance == 0.5:
            return rng.integers(0, 2, size=(size, self.clusters)).astype(bool)
        return rng.random((size, self.clusters)) < self.chance

    def _candidates_given(
        self, rng: np.random.Generator, size: int, fixed: Booleans, treated: Booleans
    ) -> Booleans:
        return np.where(fixed, treated, self._candidates(rng, size))

    def blocks(self) -> Blocks:
        """Return one block: clusters are exchangeable, also across strata."""
        coins = Coins(self.clusters, self.least, self.chance)
        return Blocks(np.zeros(self.clusters, dtype=np.int64), (coins,))

    def _every(self) -> Iterator[Booleans]:
        if self.chance != 0.5:
            raise DesignError(
                f"coin flips with chance {self.chance:g} cannot be enumerated as equally likely "
                "assignments; draw from them"
            )
        return map(np.array, itertools.product((False, True), repeat=self.clusters))

    def _accepts(self, assignment: Booleans) -> Booleans:
        treated = assignment.sum(axis=-1)
        return (treated >= self.least) & (treated <= self.clusters - self.least)

    @property
    def n_assignments(self) -> float:
        """Number of patterns with enough clusters in each arm; infinite unless chance is 0.5."""
        if self.chance != 0.5:
            return math.inf
        return sum(math.comb(self.clusters, k) for k in self._treated)

    def probability(self) -> Floats:
        """Return each cluster's probability of treatment, the same for all; shape (J,)."""
        if self.chance == 0.5:
            return np.full(self.clusters, 0.5)
        from scipy import special

        k = np.array(self._treated)
        j = self.clusters
        weight = special.gammaln(j + 1) - special.gammaln(k + 1) - special.gammaln(j - k + 1)
        weight += special.xlogy(k, self.chance) + special.xlogy(j - k, 1 - self.chance)
        weight = np.exp(weight - weight.max())
        return np.full(j, k @ weight / weight.sum() / j)

    def check(self, treated: ArrayLike) -> None:
        """Raise DesignError if an arm has too few clusters."""
        arm = checked(treated, self.clusters)
        if not self._accepts(arm):
            raise DesignError(
                f"{int(arm.sum())} of {self.clusters} clusters are treated, where the mechanism "
                f"has at least {self.least} in each arm"
            )


@dataclass(frozen=True, eq=False)
class Rerandomised(Redrawn):
    """Another mechanism, drawn again until the arms' cluster covariates are balanced.

    Parameters
    ----------
    base : Mechanism
        What is drawn.
    covariates : array-like, shape (J,) or (J, k)
        Cluster covariates, such as baseline means, in any units; what is a linear combination of
        others counts once.
    max_distance : float
        Largest Mahalanobis distance between the arms' means that is accepted, n_T n_C / J x
        d'S^-1 d with S the covariance matrix of the covariates (Morgan & Rubin 2012, Annals of
        Statistics 40: 1263-1282).

    Raises
    ------
    DesignError
        If covariates are not a finite number for each cluster, one of them is constant, or they
        are so many that every assignment is at the same distance; where `max_distance` is not
        positive and finite.
    """

    base: Mechanism
    covariates: Floats
    max_distance: float
    _root: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        values = _checked_covariates(self.covariates, self.base.n_clusters)
        if not 0 < self.max_distance < math.inf:
            raise DesignError(
                f"max_distance must be positive and finite; given {self.max_distance}"
            )
        centred = values - values.mean(axis=0)
        left, size, _ = np.linalg.svd(centred / centred.std(axis=0), full_matrices=False)
        left = left[:, size > COLLINEAR * size[0]]
        if left.shape[1] >= self.n_clusters - 1:
            raise DesignError(
                f"{left.shape[1]} covariates of {self.n_clusters} clusters put every assignment at "
                "the same distance; balance fewer"
            )
        object.__setattr__(self, "covariates", values)
        object.__setattr__(self, "_root", left * np.sqrt(self.n_clusters - 1))

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

    def _candidates(self, rng: np.random.Generator, size: int) -> Booleans:
        return self.base.draw(rng, size)

    def _candidates_given(
        self, rng: np.random.Generator, size: int, fixed: Booleans, treated: Booleans
    ) -> Booleans:
        return self.base.draw_given(rng, size, fixed, treated)

    def _every(self) -> Iterator[Booleans]:
        return self.base.enumerate()

    def _accepts(self, assignment: Booleans) -> Booleans:
        return np.asarray(self.distance(assignment) <= self.max_distance)

    @property
    def n_assignments(self) -> float:
        """The number of the base mechanism's: an upper bound, exact only after enumeration."""
        return self.base.n_assignments

    def probability(self) -> Floats:
        """Return each cluster's probability of treatment, from 10,000 draws (error up to 0.005)."""
        return drawn_probability(self)

    def check(self, treated: ArrayLike) -> None:
        """Raise DesignError if the base cannot have made it, or it is out of balance."""
        arm = checked(treated, self.n_clusters)
        self.base.check(arm)
        if not self._accepts(arm):
            raise DesignError(
                f"the assignment's distance {float(self.distance(arm)):.3g} exceeds the accepted "
                f"{self.max_distance:g}: the mechanism cannot have made it"
            )


def _checked_covariates(covariates: ArrayLike, n_clusters: int) -> Floats:
    """Return covariates as (J, k), or raise DesignError."""
    names = covariates.columns if isinstance(covariates, pd.DataFrame) else itertools.count()
    values = np.array(covariates, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != n_clusters or not values.shape[1]:
        raise DesignError(
            f"covariates have shape {np.shape(covariates)}, where a row for each of {n_clusters} "
            "clusters is needed"
        )
    for name, column in zip(names, values.T, strict=False):
        if bad := int((~np.isfinite(column)).sum()):
            raise DesignError(
                f"covariate {name!r} is NaN or infinite in {bad} of {n_clusters} clusters"
            )
        if np.ptp(column) <= CONSTANT * np.abs(column).max():
            raise DesignError(
                f"covariate {name!r} is constant over all {n_clusters} clusters: there is nothing "
                "to balance; leave it out"
            )
    return values
