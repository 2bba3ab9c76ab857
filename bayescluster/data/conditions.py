"""Exposure conditions: their names and their one order."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._support.arrays import Booleans, Integers

#: Exposure conditions, in the order in which tables and plots show them.
CONDITIONS = (
    "direct",
    "direct_with_exposure",
    "spillover",
    "within_spillover",
    "pure_control",
)
#: Those that a collaboration graph puts users in: treated or not, exposed or not.
GRAPH_CONDITIONS = tuple(name for name in CONDITIONS if name != "within_spillover")


def graph_condition(treated: Booleans, exposed: Booleans) -> Integers:
    """Return each user's condition as position in `GRAPH_CONDITIONS`; shape of the arguments."""
    return np.where(treated, exposed, 3 - exposed.astype(np.int64))


def in_condition_order(frame: pd.DataFrame, *then: str) -> pd.DataFrame:
    """Return a table sorted by its column condition, then by others."""
    rank = {name: at for at, name in enumerate(CONDITIONS)}
    keyed = frame.assign(_rank=frame["condition"].map(rank))
    return keyed.sort_values(["_rank", *then], ignore_index=True).drop(columns="_rank")
