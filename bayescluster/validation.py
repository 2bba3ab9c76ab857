"""What data must satisfy, and the words that say where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .errors import (
    ColumnTypeError,
    DataError,
    DesignError,
    DuplicateUnitError,
    IdentificationError,
    MissingValueError,
    SpilloverError,
    StrataError,
    TreatmentError,
)
from .moments import ClusterMoments
from .spec import ModelSpec

if TYPE_CHECKING:
    import ibis

#: Roles whose columns are labels; every other role is a number.
LABEL_ROLES = ("cluster", "unit", "strata")


def check_types(table: ibis.Table, roles: Mapping[str, str]) -> None:
    """Raise ColumnTypeError where a column's type does not fit its role."""
    for role, kind in table.schema().items():
        as_label = role in LABEL_ROLES
        if (as_label and not kind.is_nested()) or (
            not as_label and (kind.is_numeric() or kind.is_boolean())
        ):
            continue
        if not int(table.count().to_pyarrow().as_py()):
            raise DataError("the data have no rows")
        where = f"column {roles[role]!r} ({role.split('_')[0]})"
        if kind.is_null() or "NULL" in str(kind):
            raise MissingValueError(f"{where} holds no value at all; name another column")
        if as_label:
            raise ColumnTypeError(f"{where} holds {kind}; expected one label a row")
        hint = "code it as 0 and 1" if role == "treatment" else "convert it to numbers"
        raise ColumnTypeError(f"{where} holds {kind}, not numbers; {hint}")


def checks(t: ibis.Table, varying: Iterable[str]) -> dict[str, Any]:
    """Return the aggregates that `check_groups` reads."""
    counts = {f"null_{name}": t[name].isnull() for name in (*varying, "treatment")}
    counts |= {f"inf_{name}": t[name].isinf() for name in varying}
    counts["not_binary"] = ~t.treatment.isin([0.0, 1.0])
    if "spillover" in t.columns:
        counts["out_of_range"] = (t.spillover < 0) | (t.spillover > 1)
        counts["treated_exposed"] = (t.treatment == 1) & (t.spillover != 0)
    # A comparison with null is null: it counts as false here, and as null_... above.
    results = {name: bad.fill_null(False).ifelse(1, 0).sum() for name, bad in counts.items()}
    return results | {"min_treatment": t.treatment.min(), "max_treatment": t.treatment.max()}


def check_groups(groups: pd.DataFrame, spec: ModelSpec, roles: Mapping[str, str]) -> None:
    """Raise the error of the first check that the aggregated clusters fail."""
    rows = int(groups["n_rows"].sum()) if len(groups) else 0
    if not rows:
        raise DataError("the data have no rows")
    _check_labels(groups, roles, rows)
    _check_strata(groups, roles)
    _check_treatment(groups, roles["treatment"], rows)
    _check_missing(groups, spec, roles, rows)
    if spec.design.spillover:
        _check_spillover(groups, spec.design.spillover, rows)


def _check_labels(groups: pd.DataFrame, roles: Mapping[str, str], rows: int) -> None:
    for role in ("cluster", "strata"):
        if role in groups and (null := int(groups.loc[groups[role].isna(), "n_rows"].sum())):
            raise MissingValueError(
                f"column {roles[role]!r} ({role}) is null in {null:,} of {rows:,} rows; "
                f"remove these rows or give each its {role}"
            )


def _check_strata(groups: pd.DataFrame, roles: Mapping[str, str]) -> None:
    repeated = groups.loc[groups["cluster"].duplicated(), "cluster"].unique()
    if len(repeated):
        raise StrataError(
            f"{len(repeated):,} clusters lie in more than one stratum of column "
            f"{roles['strata']!r}, such as {_some(repeated)}; a cluster belongs to one stratum"
        )


def _check_treatment(groups: pd.DataFrame, column: str, rows: int) -> None:
    if null := int(groups["null_treatment"].sum()):
        raise MissingValueError(
            f"column {column!r} (treatment) is null in {null:,} of {rows:,} rows"
        )
    if bad := int(groups["not_binary"].sum()):
        raise TreatmentError(
            f"column {column!r} (treatment) is neither 0 nor 1 in {bad:,} of {rows:,} rows; "
            "code treated clusters as 1 and control clusters as 0"
        )
    varies = groups[groups["min_treatment"] != groups["max_treatment"]]
    if len(varies):
        raise TreatmentError(
            f"column {column!r} (treatment) varies within {len(varies):,} of {len(groups):,} "
            f"clusters, such as {_some(varies['cluster'])}; the treatment is assigned to whole "
            "clusters: name the cluster column that was randomised"
        )


def _check_missing(
    groups: pd.DataFrame, spec: ModelSpec, roles: Mapping[str, str], rows: int
) -> None:
    for role, column in roles.items():
        if f"inf_{role}" not in groups:
            continue
        kind = role.split("_")[0]
        if infinite := int(groups[f"inf_{role}"].sum()):
            raise MissingValueError(
                f"column {column!r} ({kind}) is infinite in {infinite:,} of {rows:,} rows; "
                "remove or correct them"
            )
        droppable = role != "spillover"
        null = int(groups[f"null_{role}"].sum())
        if null and not (droppable and spec.outcome.missing == "drop"):
            remedy = (
                "correct them, or ask to leave these rows out with missing = 'drop' under [outcome]"
                if droppable
                else "an unexposed unit has 0"
            )
            raise MissingValueError(
                f"column {column!r} ({kind}) is null or NaN in {null:,} of {rows:,} rows; {remedy}"
            )
    if not groups["n"].sum():
        raise DataError(f"no row is left of {rows:,} after dropping missing values")


def _check_spillover(groups: pd.DataFrame, column: str, rows: int) -> None:
    if bad := int(groups["out_of_range"].sum()):
        raise SpilloverError(
            f"column {column!r} (spillover) lies outside [0, 1] in {bad:,} of {rows:,} rows; give "
            "the exposure as 0 or 1, or as a share"
        )
    if bad := int(groups["treated_exposed"].sum()):
        clusters = groups.loc[groups["treated_exposed"] > 0, "cluster"]
        raise SpilloverError(
            f"column {column!r} (spillover) is not 0 in {bad:,} treated rows of {len(clusters):,} "
            f"clusters, such as {_some(clusters)}; spillover is the exposure of control units: set "
            "it to 0 for treated ones"
        )


def check_pairs(moments: ClusterMoments, spec: ModelSpec) -> None:
    """Raise StrataError where a matched pair does not have two clusters."""
    levels, sizes = np.unique(moments.stratum_code, return_counts=True)
    wrong = moments.stratum_levels[levels[sizes != 2]]
    if len(wrong):
        raise StrataError(
            f"{len(wrong):,} strata of column {spec.design.strata!r}, such as {_some(wrong)}, do "
            "not have two clusters, as matched pairs do"
        )


def check_units(counts: pd.Series, column: str) -> None:
    """Raise where a unit is null or occurs in more than one row."""
    rows, null = int(counts["n_rows"]), int(counts["n_null"])
    if null:
        raise MissingValueError(f"column {column!r} (unit) is null in {null:,} of {rows:,} rows")
    if repeated := rows - int(counts["n_distinct"]):
        raise DuplicateUnitError(
            f"column {column!r} (unit) repeats a unit in {repeated:,} of {rows:,} rows; "
            "aggregate to one row a unit"
        )


def check_moments(moments: ClusterMoments, spec: ModelSpec, regressors: list[str]) -> None:
    """Raise where moments are not those of the specification's experiment."""
    if list(moments.names) != regressors:
        raise DataError(f"the moments' regressors are {list(moments.names)}, not {regressors}")
    if moments.outcome != spec.outcome.column:
        raise DataError(
            f"the moments' outcome is {moments.outcome!r}, the specification's "
            f"{spec.outcome.column!r}"
        )
    if (moments.strata is None) != (spec.design.strata is None):
        raise StrataError("moments and specification disagree on whether there are strata")
    at = moments.column("direct")
    treatment = moments.mean[:, at] + moments.origin[at]
    bad = (np.abs(treatment - (treatment > 0.5)) > 1e-9) | (moments.cross[:, at, at] > 1e-9)
    if bad.any():
        raise TreatmentError(
            f"'direct' is not 0 or 1 throughout in {int(bad.sum()):,} of {len(bad):,} clusters, "
            f"such as {_some(moments.clusters[bad])}"
        )
    if spec.design.spillover:
        s = moments.column("spillover")
        dose = moments.mean[:, s] + moments.origin[s]
        # A variable in [0, 1] with mean m has a variance of at most m (1 - m).
        most = np.clip(dose * (1 - dose), 0, None) * (1 + 1e-9) + 1e-12
        wrong = (dose < -1e-9) | (dose > 1 + 1e-9) | (moments.cross[:, s, s] / moments.n > most)
        wrong |= (treatment > 0.5) & (np.abs(dose) > 1e-9)
        if wrong.any():
            raise SpilloverError(
                f"'spillover' lies outside [0, 1] or is not 0 for treated units in "
                f"{int(wrong.sum()):,} clusters, such as {_some(moments.clusters[wrong])}"
            )


def check_design(moments: ClusterMoments, spec: ModelSpec) -> None:
    """Raise where the design cannot answer the question, whatever the outcome."""
    if spec.design.strata and len(moments.stratum_levels) < 2:
        raise StrataError(
            f"column {spec.design.strata!r} (strata) has a single value; leave it out of the "
            "specification"
        )
    at = moments.column("direct")
    treated = int((moments.mean[:, at] + moments.origin[at] > 0.5).sum())
    control = moments.n_clusters - treated
    for arm, count in (("treated", treated), ("control", control)):
        if count < 2:
            raise DesignError(
                f"{count} {arm} cluster{'s' * (count != 1)} by column {spec.design.treatment!r} "
                f"({treated:,} treated, {control:,} control): an effect and its uncertainty "
                "need at least two clusters in each arm"
            )
    for name, sd in zip(moments.variables, moments.sd, strict=True):
        if sd > 0:
            continue
        column = spec.design.spillover if name == "spillover" else name
        role = "outcome" if name == moments.outcome else "regressor"
        raise IdentificationError(
            f"column {column!r} ({role}) has one value in all {moments.n_units:,} rows: there is "
            "nothing to estimate" + ("; leave it out of the specification" * (role == "regressor"))
        )
    from .frequentist.regression import Regression

    Regression.of(moments)  # raises where coefficients are not identified


def _some(labels: Iterable[Any], count: int = 3) -> str:
    shown = sorted(pd.Series(list(labels)).tolist(), key=lambda label: (str(type(label)), label))
    return ", ".join(repr(label) for label in shown[:count]) + ", ..." * (len(shown) > count)
