"""Exposure mappings: from an assignment to each user's exposure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .._support.arrays import BLOCK_ELEMENTS, Booleans, Floats
from ..errors import DesignError
from ..spec.exposure_section import ExposureSpec
from .collaborators import Collaborators


class ExposureMapping(ABC):
    """How exposure follows from the graph and an assignment.

    See Aronow & Samii (2017), Annals of Applied Statistics 11: 1912-1947, section 3.
    """

    #: Whether exposure is a dose in [0, 1]; otherwise it is 0 or 1.
    is_dose: bool = False

    @abstractmethod
    def values(self, collaborators: Collaborators, treated: Booleans) -> Floats:
        """Return the exposure of n users under B assignments.

        Parameters
        ----------
        collaborators : Collaborators
            The graph.
        treated : ndarray of bool, shape (B, U)
            Assignments of the U units.

        Returns
        -------
        ndarray, shape (n, B)
            Exposure, for treated and untreated users alike.
        """

    def in_blocks(
        self, collaborators: Collaborators, treated: Booleans, size: int | None = None
    ) -> Iterator[tuple[slice, Floats]]:
        """Yield `values` of so many assignments at a time as bound the memory, and which they are.

        `size` is their number; by default the one that holds `BLOCK_ELEMENTS` numbers.
        """
        size = size or max(BLOCK_ELEMENTS // max(collaborators.n_users, 1), 1)
        for start in range(0, len(treated), size):
            now = slice(start, start + size)
            yield now, self.values(collaborators, treated[now])

    @abstractmethod
    def __str__(self) -> str:
        """Say in words when a user is exposed."""


@dataclass(frozen=True)
class AtLeast(ExposureMapping):
    """At least k treated collaborators (or clusters with some) outside the own cluster.

    Parameters
    ----------
    k : int
        How many.
    of : {"collaborators", "clusters"}
        Of what.
    """

    k: int = 1
    of: Literal["collaborators", "clusters"] = "collaborators"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1; given {self.k}")
        if self.of not in ("collaborators", "clusters"):
            raise ValueError(f"of must be 'collaborators' or 'clusters'; given {self.of!r}")

    def values(self, collaborators: Collaborators, treated: Booleans) -> Floats:
        """Return 1 if there are enough treated collaborators, otherwise 0."""
        columns = treated.T.astype(float)
        if self.of == "clusters" and collaborators.by_user and self.k > 1:
            reached, belong = collaborators.by_cluster
            total = belong @ (reached @ columns > 0).astype(float)
        else:
            total = collaborators.matrix(self.of) @ columns
        return np.asarray(total > self.k - 0.5, dtype=float)

    def __str__(self) -> str:
        if self.k == 1:
            return "at least one treated collaborator outside the own cluster"
        what = "treated collaborators" if self.of == "collaborators" else "treated clusters touched"
        return f"at least {self.k} {what} outside the own cluster"


@dataclass(frozen=True)
class TreatedShare(ExposureMapping):
    """Weighted share of collaborators outside the own cluster who are treated; 0 without any.

    Parameters
    ----------
    within : bool
        Collaborators in the own cluster instead, as in a partial rollout.
    """

    within: bool = False
    is_dose = True

    def values(self, collaborators: Collaborators, treated: Booleans) -> Floats:
        """Return the share, in [0, 1]."""
        matrix = collaborators.matrix("weight", within=self.within)
        total = np.asarray(matrix.sum(axis=1)).reshape(-1, 1)
        share = (matrix @ treated.T.astype(float)) / np.where(total > 0, total, 1.0)
        return np.clip(share, 0.0, 1.0)

    def __str__(self) -> str:
        where = "inside" if self.within else "outside"
        return f"weighted share of collaborators {where} the own cluster who are treated"


@dataclass(frozen=True)
class ShareAbove(ExposureMapping):
    """A weighted share of treated collaborators outside the own cluster above a threshold.

    Parameters
    ----------
    threshold : float
        Share that must be exceeded, in [0, 1).
    """

    threshold: float

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must lie in [0, 1); given {self.threshold}")

    def values(self, collaborators: Collaborators, treated: Booleans) -> Floats:
        """Return 1 if the share exceeds the threshold by more than rounding, otherwise 0."""
        share = TreatedShare().values(collaborators, treated)
        return np.asarray(share > self.threshold + 1e-12, dtype=float)

    def __str__(self) -> str:
        return f"a share of treated collaborators outside the own cluster above {self.threshold:g}"


@dataclass(frozen=True)
class CustomMapping(ExposureMapping):
    """A user's own mapping.

    Parameters
    ----------
    function : callable
        Takes :class:`Collaborators` and one assignment, boolean of shape (U,), and returns every
        user's exposure in [0, 1], shape (n,).
    is_dose : bool
        Whether it may lie between 0 and 1.
    words : str
        When a user is exposed, in words.
    """

    function: Callable[[Collaborators, Booleans], ArrayLike]
    is_dose: bool = False
    words: str = "a user's own mapping"

    def values(self, collaborators: Collaborators, treated: Booleans) -> Floats:
        """Return what the function says of each assignment.

        Raises
        ------
        DesignError
            If it returns another shape, or values that an exposure cannot have.
        """
        found = np.empty((collaborators.n_users, len(treated)))
        for b, assignment in enumerate(treated):
            values = np.asarray(self.function(collaborators, assignment), dtype=float)
            if values.shape != (collaborators.n_users,):
                raise DesignError(
                    f"the mapping returned shape {values.shape}, where one number for each of "
                    f"{collaborators.n_users:,} users is needed"
                )
            wrong = ~((values >= 0) & (values <= 1))
            if not self.is_dose:
                wrong |= ~np.isin(values, (0, 1))
            if wrong.any():
                valid = "in [0, 1]" if self.is_dose else "0 or 1 (is_dose=True allows shares)"
                raise DesignError(
                    f"the mapping gave {int(wrong.sum()):,} of {collaborators.n_users:,} users an "
                    f"exposure that is not {valid}"
                )
            found[:, b] = values
        return found

    def __str__(self) -> str:
        return self.words


def mapping_of(spec: ExposureSpec) -> ExposureMapping:
    """Return the mapping that a specification names."""
    match spec.mapping:
        case "any":
            return AtLeast(1)
        case "at_least":
            return AtLeast(spec.k, spec.of)
        case "share":
            return TreatedShare()
        case "share_above":
            return ShareAbove(spec.threshold)
        case "within_share":
            return TreatedShare(within=True)
