"""When two intervals agree: about the same width, and about the same place."""

from __future__ import annotations

import numpy as np

Interval = tuple[float, float]

#: Intervals agree if neither is wider by more than this factor ...
MAX_WIDTH_RATIO = 1.25
#: ... and their intersection is at least this share of their joint range.
MIN_OVERLAP = 0.75


def intervals_agree(one: Interval, other: Interval) -> bool:
    """Return whether two intervals have about the same width and place."""
    if not np.isfinite([*one, *other]).all():
        return False
    ratio = (one[1] - one[0]) / (other[1] - other[0])
    return overlap(one, other) >= MIN_OVERLAP and 1 / MAX_WIDTH_RATIO <= ratio <= MAX_WIDTH_RATIO


def overlap(one: Interval, other: Interval) -> float:
    """Return the intersection of two intervals over their joint range."""
    shared = max(min(one[1], other[1]) - max(one[0], other[0]), 0.0)
    return shared / (max(one[1], other[1]) - min(one[0], other[0])) if shared else 0.0
