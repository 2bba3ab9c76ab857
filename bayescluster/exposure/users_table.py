"""A table of users beside the graph: the assignment in it, the mechanism, and where users are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._support.arrays import Booleans
from ..data.compression import run
from ..data.table_readers import open_tables
from ..errors import DataError, MissingValueError, SpecError, StrataError, TreatmentError
from ..spec.exposure_section import ExposureSpec
from ..spec.model_spec import ModelSpec
from .collaboration_graph import CollaborationGraph
from .collaborators import Collaborators

if TYPE_CHECKING:
    import ibis

#: Columns that the users' table gets, besides the two that the specification names.
MADE = ("exposure_condition", "exposure_probability")


def checked_roles(spec: ModelSpec) -> tuple[str, ExposureSpec]:
    """Return the unit's column and the section on exposure, or raise SpecError."""
    if spec.exposure is None:
        raise SpecError(
            "the specification has no section [exposure]: it says which columns of the edges are "
            "the two users, and when a user is exposed"
        )
    if spec.design.unit is None or spec.design.spillover is None:
        raise SpecError(
            "exposure needs design.unit (the user's id, which the edges use) and design.spillover "
            "(the name of the column to make)"
        )
    roles = {
        **spec.design.columns,
        "outcome": spec.outcome.column,
        "pre_period": spec.outcome.pre_period,
    }
    taken = [(role, name) for role, name in roles.items() if name == spec.exposure.expected]
    taken += [(role, name) for role, name in roles.items() if name in MADE]
    taken += [("covariates", name) for name in spec.outcome.covariates if name in MADE]
    for role, column in taken:
        other = " (exposure.expected)" * (column == spec.exposure.expected)
        raise SpecError(
            f"column {column!r} is {role}, and exposure makes a column of that name{other}: rename "
            "one of them"
        )
    return spec.design.unit, spec.exposure


def read_assignment(
    users: Any, spec: ModelSpec, graph: CollaborationGraph
) -> tuple[Booleans, NDArray[Any] | None]:
    """Return treatment and stratum of every unit of assignment; both of shape (U,).

    The strata of single users are their clusters; clusters may have none.
    """
    design = spec.design
    assert design.unit is not None
    roles = {"unit": design.unit, "treatment": design.treatment}
    if design.strata:
        roles["strata"] = design.strata
    table = open_tables({"users": (users, roles)})["users"]
    frame = run(table).set_index("unit").loc[graph.users]
    column, n = repr(design.treatment), len(frame)
    if missing := int(frame["treatment"].isna().sum()):
        raise MissingValueError(
            f"column {column} (treatment) of the users' table is null in {missing:,} of {n:,} "
            "rows; fill it in, or leave the rows out"
        )
    values = pd.to_numeric(frame["treatment"], errors="coerce").to_numpy(float)
    if wrong := int((~np.isin(values, (0, 1))).sum()):
        raise TreatmentError(
            f"column {column} (treatment) of the users' table is neither 0 nor 1 in {wrong:,} of "
            f"{n:,} rows"
        )
    t = graph.collaborators
    treated = np.zeros(t.n_units)
    np.maximum.at(treated, t.unit, values)
    mixed = np.zeros(t.n_units)
    np.maximum.at(mixed, t.unit, 1 - values)
    if not t.by_user and (both := np.flatnonzero((treated > 0) & (mixed > 0))).size:
        raise TreatmentError(
            f"column {column} (treatment) varies within {len(both):,} clusters, such as "
            f"{t.clusters[both[0]]!r}; whole clusters are assigned (a partial rollout says "
            "level = 'unit' in the specification)"
        )
    strata = _strata(frame["strata"], t, design.strata) if design.strata else None
    return treated.astype(bool), t.cluster if design.level == "unit" else strata


def _strata(values: pd.Series[Any], t: Collaborators, name: str) -> NDArray[Any]:
    """Return the stratum of every unit of assignment."""
    if missing := int(values.isna().sum()):
        raise MissingValueError(
            f"column {name!r} (strata) of the users' table is null in {missing:,} of "
            f"{len(values):,} rows; fill it in"
        )
    codes, levels = pd.factorize(values)
    strata = np.empty(t.n_units, dtype=np.int64)
    strata[t.unit] = codes
    if (other := strata[t.unit] != codes).any():
        several = np.unique(t.cluster[other])
        raise StrataError(
            f"{len(several):,} clusters lie in more than one stratum of column {name!r}, such as "
            f"{t.clusters[several[0]]!r}; a stratum is made of whole clusters"
        )
    return np.asarray(levels)[strata]


def positions(wanted: pd.Series[Any], users: pd.Series[Any]) -> NDArray[np.intp]:
    """Return the positions of a table's users among the graph's, or raise DataError."""
    index = pd.Index(users)
    at = index.get_indexer(pd.Index(wanted))
    if (at < 0).any():  # engines hold UUIDs as text
        at = index.get_indexer(pd.Index([str(u) if isinstance(u, UUID) else u for u in wanted]))
    if (unknown := wanted[at < 0]).size:
        raise _unknown(len(unknown), len(wanted), wanted.name, unknown.iloc[0])
    return at


def check_known(table: ibis.Table, users: NDArray[Any], unit: str) -> None:
    """Raise DataError if a table has users whom the graph does not have."""
    import ibis

    unknown = table.anti_join(ibis.memtable(pd.DataFrame({unit: users})), unit).select(unit)
    found = run(unknown.limit(1))
    if len(found):
        count, of = (int(run(t.aggregate(n=t.count()))["n"].iloc[0]) for t in (unknown, table))
        raise _unknown(count, of, unit, found[unit].iloc[0])


def _unknown(count: int, of: int, column: Any, one: Any) -> DataError:
    return DataError(
        f"{count:,} of {of:,} users of column {column!r}, such as {one!r}, are not in the graph "
        "that the exposure was made from"
    )
