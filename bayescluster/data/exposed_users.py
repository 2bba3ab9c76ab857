"""What an experiment needs to know of users whose exposure a collaboration graph gave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .._support.arrays import Booleans
from ..assignment.mechanisms import Mechanism
from ..errors import DataError, SpecError
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
    def can_be_exposed(self) -> Booleans:
        """Whether each user may be exposed, and may not be, in the order of `users`; (n,)."""

    @property
    @abstractmethod
    def data(self) -> Any:
        """The users' table with the columns of exposure."""


def exposure_in(data: Any, spec: ModelSpec) -> ExposedUsers | None:
    """Return the data if they are an exposure; raise if it was made for another design."""
    if not isinstance(data, ExposedUsers):
        return None
    if data.spec is None:
        raise DataError("this exposure was made without a table of users; use expose()")
    if data.spec.design != spec.design:
        raise SpecError(
            "the specification's design differs from the one that the exposure was made for: "
            "expose the users again"
        )
    if data.spec.exposure != spec.exposure:
        raise SpecError(
            "the specification's section [exposure] differs from the one that the exposure was "
            "made by: expose the users again, or take that section"
        )
    return data
