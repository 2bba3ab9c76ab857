"""What an experiment needs to know of users whose exposure a collaboration graph gave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ..assignment.mechanisms import Mechanism
from ..spec.model_spec import ModelSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class ExposedUsers(ABC):
    """Users with their exposure, from which :class:`Experiment` can be built.

    :class:`bayescluster.Exposure` is the one such class.

    Parameters
    ----------
    mechanism : Mechanism
        How the units (clusters, or single users) were assigned.
    source : object, optional
        The users' table that the exposure belongs to.
    spec : ModelSpec, optional
        The specification.
    """

    mechanism: Mechanism
    source: Any = field(default=None, repr=False)
    spec: ModelSpec | None = field(default=None, repr=False)

    @property
    @abstractmethod
    def users(self) -> NDArray[Any]:
        """User ids, sorted; shape (n,)."""

    @property
    @abstractmethod
    def data(self) -> Any:
        """The users' table with the columns of exposure."""
