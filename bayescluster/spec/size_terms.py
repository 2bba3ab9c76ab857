"""Names of the effects, and of the terms by which level and effects depend on cluster size."""

from __future__ import annotations

from collections.abc import Sequence

#: The effects that a design can have.
EFFECTS = ("direct", "spillover", "interaction", "within_spillover")
#: Coefficient of the level: of the centred logarithm of the cluster's size.
LOG_SIZE = "log_size"


def by_log_size(effect: str) -> str:
    """Return the name of the change of an effect per unit of the logarithm of the size."""
    return f"{effect}_by_log_size"


def size_terms(effects: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all terms of a design with these effects."""
    return (LOG_SIZE, *(by_log_size(name) for name in effects))


#: All terms of all designs.
SIZE_TERMS = size_terms(EFFECTS)
