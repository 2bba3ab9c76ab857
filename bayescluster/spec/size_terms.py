"""Names of the terms by which a cluster's level and the effects depend on its size."""

from __future__ import annotations

from collections.abc import Sequence

#: Coefficient of the level: of the centred logarithm of the cluster's size.
LOG_SIZE = "log_size"


def by_log_size(effect: str) -> str:
    """Return the name of the change of an effect per unit of the logarithm of the size."""
    return f"{effect}_by_log_size"


def size_terms(effects: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all terms of a design with these effects."""
    return (LOG_SIZE, *(by_log_size(name) for name in effects))


#: All terms of all designs.
SIZE_TERMS = size_terms(("direct", "spillover", "interaction", "within_spillover"))
