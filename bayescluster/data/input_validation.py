"""The rules that data must satisfy, and the errors that say how they break them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import (
    ColumnTypeError,
    DataError,
    DesignError,
    DuplicateUnitError,
    IdentificationError,
    MissingValueError,
    OutcomeError,
    SpilloverError,
    StrataError,
    TreatmentError,
)
from ..spec.model_spec import ModelSpec
from .cell_counts import CellCounts
from .cluster_moments import ClusterMoments
from .orthonormal_basis import OrthonormalBasis

if TYPE_CHECKING:
    import ibis

#: Roles whose columns are labels; every other role is a number.
LABEL_ROLES = ("cluster", "unit", "strata")
#: What to do about a missing value of a role whose rows cannot be left out.
REMEDIES = {
    "spillover": "an unexposed unit has 0",
    "saturation": "an untreated cluster has 0",
    "size": "give each cluster its number of units before treatment",
}
#: Most levels of a covariate of text: each is a regressor of its own.
MAX_LEVELS = 20


def check_types(table: ibis.Table, roles: Mapping[str, str]) -> None:
    """Raise ColumnTypeError if a column's type does not fit its role."""
    for role, kind in table.schema().items():
        as_label = role in LABEL_ROLES
        if (as_label and not kind.is_nested()) or (
            not as_label and (kind.is_numeric() or kind.is_boolean())
        ):
            continue
        if role.startswith("covariate_") and kind.is_string():
            continue
        if not int(table.count().to_pyarrow().as_py()):
            raise DataError("the data have no rows")
        where = f"column {roles[role]!r} ({role.split('_')[0]})"
        if kind.is_null() or "NULL" in str(kind):
            raise MissingValueError(f"{where} holds no value at all; name another column")
        if as_label:
            raise ColumnTypeError(f"{where} holds {kind}; expected one label per row")
        hint = "code it as 0 and 1" if role == "treatment" else "convert it to numbers"
        raise ColumnTypeError(f"{where} holds {kind}, not numbers; {hint}")


def check_levels(levels: Mapping[str, list[Any]], roles: Mapping[str, str]) -> None:
    """Raise if a covariate of text has a single level or too many, or takes another's name."""
    for role, found in levels.items():
        column = roles[role]
        if taken := {f"{column}[{level}]" for level in found}.intersection(roles.values()):
            raise ColumnTypeError(
                f"column {min(taken)!r} has the name that a category of column {column!r} "
                "(covariate) would get; rename one of the two columns"
            )
        if len(found) > MAX_LEVELS:
            raise ColumnTypeError(
                f"column {column!r} (covariate) has more than {MAX_LEVELS} categories, such as "
                f"{_some(found)}; merge rare ones, or convert the column to numbers"
            )
        if len(found) < 2:
            raise IdentificationError(
                f"column {column!r} (covariate) has one value in all rows that have one: there is "
                "nothing to estimate; leave it out of the specification"
            )


def checks(t: ibis.Table, spec: ModelSpec) -> dict[str, Any]:
    """Return the aggregates that `check_groups` reads."""
    present = [name for name in ("spillover", "saturation") if name in t.columns]
    constant = [name for name in ("treatment", "saturation", "size") if name in t.columns]
    covariates = [name for name in t.columns if name.startswith("covariate_")]
    numbers = [*covariates, *dict.fromkeys([*present, *constant[1:]]), "outcome"]
    counts = {f"null_{name}": t[name].isnull() for name in (*numbers, "treatment")}
    counts |= {f"inf_{name}": t[name].isinf() for name in numbers}
    counts["not_binary"] = ~t.treatment.isin([0.0, 1.0])
    for name in present:
        counts[f"range_{name}"] = (t[name] < 0) | (t[name] > 1)
    if "spillover" in present and not spec.design.interaction:
        counts["treated_exposed"] = (t.treatment == 1) & (t.spillover != 0)
    if "saturation" in present:
        counts["treated_unsaturated"] = (t.treatment == 1) & (t.saturation == 0)
    if "unsupported" in t.columns:
        counts["unsupported"] = t.unsupported
        counts["null_outcome"] = t.outcome.isnull() & ~t.unsupported.fill_null(False)
    # A comparison with null is null: it counts as false here, and as null_... above.
    results = {name: bad.fill_null(False).ifelse(1, 0).sum() for name, bad in counts.items()}
    for name in constant:
        results |= {f"min_{name}": t[name].min(), f"max_{name}": t[name].max()}
    return results


def check_groups(groups: pd.DataFrame, spec: ModelSpec, roles: Mapping[str, str]) -> None:
    """Raise the error of the first check that the aggregated clusters fail."""
    rows = int(groups["n_rows"].sum()) if len(groups) else 0
    if not rows:
        raise DataError("the data have no rows")
    _check_labels(groups, roles, rows)
    _check_strata(groups, roles)
    _check_treatment(groups, spec, rows)
    _check_missing(groups, spec, roles, rows)
    _check_support(groups, spec, rows)
    for role in ("spillover", "saturation"):
        if role in roles:
            _check_exposure(groups, role, roles[role], rows)
    if spec.design.saturation:
        _check_saturation(groups, spec.design.saturation, rows)
    if spec.design.size:
        _check_sizes(groups, spec.design.size)


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


def _check_treatment(groups: pd.DataFrame, spec: ModelSpec, rows: int) -> None:
    column = spec.design.treatment
    if null := int(groups["null_treatment"].sum()):
        raise MissingValueError(
            f"column {column!r} (treatment) is null in {null:,} of {rows:,} rows"
        )
    if bad := int(groups["not_binary"].sum()):
        raise TreatmentError(
            f"column {column!r} (treatment) is neither 0 nor 1 in {bad:,} of {rows:,} rows; "
            "code treated clusters as 1 and control clusters as 0"
        )
    if spec.design.level == "unit":
        if (groups["min_treatment"] == groups["max_treatment"]).all():
            raise DesignError(
                f"column {column!r} (treatment) is constant within each of {len(groups):,} "
                "clusters: nothing was rolled out in part; leave out level = 'unit'"
            )
        return
    _check_constant(
        groups,
        "treatment",
        column,
        TreatmentError,
        "the treatment is assigned to whole clusters: name the cluster column that was randomised, "
        "or say level = 'unit' where single units of a cluster were treated (a partial rollout)",
    )


def _check_constant(
    groups: pd.DataFrame, role: str, column: str, error: type[DataError], remedy: str
) -> None:
    """Raise if a column that belongs to whole clusters varies within some of them."""
    varies = groups[groups[f"min_{role}"] != groups[f"max_{role}"]]
    if len(varies):
        raise error(
            f"column {column!r} ({role}) varies within {len(varies):,} of {len(groups):,} "
            f"clusters, such as {_some(varies['cluster'])}; {remedy}"
        )


def _check_missing(
    groups: pd.DataFrame, spec: ModelSpec, roles: Mapping[str, str], rows: int
) -> None:
    for role, column in roles.items():
        kind = role.split("_")[0]
        if f"null_{role}_0" in groups:  # of text: the indicator of a category stands for it
            role = f"{role}_0"
        if f"inf_{role}" not in groups:
            continue
        if infinite := int(groups[f"inf_{role}"].sum()):
            raise MissingValueError(
                f"column {column!r} ({kind}) is infinite in {infinite:,} of {rows:,} rows; "
                "remove or correct them"
            )
        droppable = role not in REMEDIES
        null = int(groups[f"null_{role}"].sum())
        if null and not (droppable and spec.outcome.missing == "drop"):
            remedy = REMEDIES.get(
                role,
                "correct them, or ask to leave these rows out with missing = 'drop' under "
                "[outcome]",
            )
            raise MissingValueError(
                f"column {column!r} ({kind}) is null or NaN in {null:,} of {rows:,} rows; {remedy}"
            )
    if not groups["n"].sum():
        raise DataError(f"no row is left of {rows:,} after dropping missing values")


def _check_support(groups: pd.DataFrame, spec: ModelSpec, rows: int) -> None:
    support = spec.family.support
    if support and (bad := int(groups["unsupported"].sum())):
        clusters = groups.loc[groups["unsupported"] > 0, "cluster"]
        raise OutcomeError(
            f"column {spec.outcome.column!r} (outcome, {spec.family.name}) is {support.fault} in "
            f"{bad:,} of {rows:,} rows of {len(clusters):,} clusters, such as {_some(clusters)}; "
            f"{support.remedy}"
        )


def _check_exposure(groups: pd.DataFrame, role: str, column: str, rows: int) -> None:
    if bad := int(groups[f"range_{role}"].sum()):
        raise SpilloverError(
            f"column {column!r} ({role}) lies outside [0, 1] in {bad:,} of {rows:,} rows; give "
            "it as 0 or 1, or as a share"
        )
    if role == "spillover" and "treated_exposed" in groups:
        bad = int(groups["treated_exposed"].sum())
        clusters = groups.loc[groups["treated_exposed"] > 0, "cluster"]
        if bad:
            raise SpilloverError(
                f"column {column!r} (spillover) is not 0 in {bad:,} treated rows of "
                f"{len(clusters):,} clusters, such as {_some(clusters)}; spillover is the exposure "
                "of control units: set it to 0 for treated ones, or say interaction = true to "
                "model what exposure adds for them"
            )


def _check_saturation(groups: pd.DataFrame, column: str, rows: int) -> None:
    meaning = "it is the share of the cluster that was assigned to treatment"
    _check_constant(groups, "saturation", column, SpilloverError, meaning)
    if bad := int(groups["treated_unsaturated"].sum()):
        clusters = groups.loc[groups["treated_unsaturated"] > 0, "cluster"]
        raise SpilloverError(
            f"column {column!r} (saturation) is 0 in {bad:,} treated rows of {len(clusters):,} "
            f"clusters, such as {_some(clusters)}; give the share assigned to treatment there"
        )
    if groups["max_saturation"].nunique() < 2:
        raise IdentificationError(
            f"column {column!r} (saturation) is {groups['max_saturation'].iloc[0]:g} in every "
            "cluster: all untreated teammates then have the same exposure, and within_spillover "
            "cannot be separated from the intercept; leave saturation out, or add clusters with "
            "other shares"
        )


def _check_sizes(groups: pd.DataFrame, column: str) -> None:
    meaning = "it is the cluster's number of units before treatment"
    remedy = f"{meaning}: give it once per cluster, repeated in each row"
    _check_constant(groups, "size", column, DesignError, remedy)
    bad = groups[groups["min_size"] <= 0]
    if len(bad):
        raise DesignError(
            f"column {column!r} (size) is not positive in {len(bad):,} of {len(groups):,} "
            f"clusters, such as {_some(bad['cluster'])}; {meaning}"
        )


def check_units(counts: pd.Series, column: str) -> None:
    """Raise if a unit is null or occurs in more than one row."""
    rows, null = int(counts["n_rows"]), int(counts["n_null"])
    if null:
        raise MissingValueError(f"column {column!r} (unit) is null in {null:,} of {rows:,} rows")
    if repeated := rows - int(counts["n_distinct"]):
        raise DuplicateUnitError(
            f"column {column!r} (unit) repeats a unit in {repeated:,} of {rows:,} rows; "
            "aggregate to one row per unit"
        )


def check_moments(moments: ClusterMoments, spec: ModelSpec) -> None:
    """Raise if moments are not those of the specification's experiment."""
    effects = spec.design.effects
    columns = [spec.column_of(name) for name in moments.names]
    expected = [*effects, *spec.outcome.adjusted_for]
    if list(dict.fromkeys(columns)) != expected:
        raise DataError(f"the moments' regressors are {list(moments.names)}, not {expected}")
    if moments.outcome != spec.outcome.column:
        raise DataError(
            f"the moments' outcome is {moments.outcome!r}, the specification's "
            f"{spec.outcome.column!r}"
        )
    if (moments.strata is None) != (spec.design.strata is None):
        raise StrataError("moments and specification disagree on whether there are strata")
    if (moments.size is None) != (spec.design.size is None):
        raise DesignError(
            "moments and specification disagree on whether sizes before treatment are given"
        )
    at = moments.column("direct")
    treatment = moments.means[:, at]
    whole = spec.design.level == "cluster"
    # In [0, 1] with mean m a variance is at most m (1 - m); for a binary variable exactly that.
    bad = (treatment < -1e-9) | (treatment > 1 + 1e-9)
    bad |= np.abs(moments.cross[:, at, at] / moments.n - treatment * (1 - treatment)) > 1e-9
    if whole:
        bad |= np.abs(treatment - (treatment > 0.5)) > 1e-9
    if bad.any():
        raise TreatmentError(
            f"'direct' is not 0 or 1 throughout in {int(bad.sum()):,} of {len(bad):,} clusters, "
            f"such as {_some(moments.clusters[bad])}"
        )
    for name in effects[1:]:
        s = moments.column(name)
        dose = moments.means[:, s]
        most = np.clip(dose * (1 - dose), 0, None) * (1 + 1e-9) + 1e-12
        wrong = (dose < -1e-9) | (dose > 1 + 1e-9) | (moments.cross[:, s, s] / moments.n > most)
        if whole and name == "spillover" and not spec.design.interaction:
            wrong |= (treatment > 0.5) & (np.abs(dose) > 1e-9)
        if wrong.any():
            raise SpilloverError(
                f"{name!r} lies outside [0, 1] or is not 0 for treated units in "
                f"{int(wrong.sum()):,} clusters, such as {_some(moments.clusters[wrong])}"
            )


def check_values(cells: CellCounts, spec: ModelSpec) -> None:
    """Raise if counts hold outcomes that the family does not have."""
    family = spec.family
    if family.cells is None:
        raise DataError(
            f"family {family.name!r} is fitted to moments, not to counts; build the experiment "
            "from units, or by Experiment.from_moments(cells.to_moments(), spec)"
        )
    if family.cells.by_value and not cells.by_value:
        bad, fault = np.ones(len(cells.value), dtype=bool), "not kept apart: count by_value"
    elif family.support is not None:
        bad, fault = family.support.outside(cells.value), family.support.fault
    else:
        return
    if bad.any():
        raise OutcomeError(
            f"outcome {cells.outcome!r} ({family.name}) is {fault} in "
            f"{int(cells.value_count[bad].sum()):,} of {cells.n_units:,} units"
        )


def check_design(moments: ClusterMoments, spec: ModelSpec) -> None:
    """Raise if the design cannot answer the question for any outcome."""
    if spec.design.strata and len(moments.stratum_levels) < 2:
        raise StrataError(
            f"column {spec.design.strata!r} (strata) has a single value; leave it out of the "
            "specification"
        )
    if moments.n_clusters < 2:
        raise DesignError(
            f"{moments.n_clusters} cluster by column {spec.design.cluster!r}: variation between "
            "clusters needs at least two clusters, and a useful report about ten"
        )
    if spec.design.level == "cluster":
        _check_arms(moments, spec)
    for name, sd in zip(moments.variables, moments.sd, strict=True):
        if not np.isfinite(sd):
            raise DataError(
                f"column {name!r} holds values too large to square (beyond some 1e150): correct "
                "them, or give the column in another unit"
            )
        if not sd > 0:
            _raise_constant(name, moments, spec)
    for name in spec.heterogeneity.slopes:
        at = moments.column(name)
        varying = int((moments.cross[:, at, at] > 1e-9 * moments.n).sum())
        if varying < 2:
            raise IdentificationError(
                f"the effect {name!r} cannot vary between clusters: it varies within {varying} of "
                f"{moments.n_clusters:,} clusters; leave it out of heterogeneity.slopes"
            )
    OrthonormalBasis.of(moments)  # raises where coefficients are not identified


def _check_arms(moments: ClusterMoments, spec: ModelSpec) -> None:
    at = moments.column("direct")
    treated = int((moments.means[:, at] > 0.5).sum())
    control = moments.n_clusters - treated
    for arm, count in (("treated", treated), ("control", control)):
        if count < 2:
            raise DesignError(
                f"{count} {arm} cluster{'s' * (count != 1)} by column {spec.design.treatment!r} "
                f"({treated:,} treated, {control:,} control): an effect and its uncertainty "
                "need at least two clusters in each arm"
            )


def _raise_constant(name: str, moments: ClusterMoments, spec: ModelSpec) -> None:
    if (of := spec.column_of(name)) != name:
        raise IdentificationError(
            f"category {name!r} of column {of!r} (covariate) is that of none or of all of the "
            f"{moments.n_units:,} rows without missing values: there is nothing to estimate; merge "
            "it with another category"
        )
    if name == "interaction":
        raise IdentificationError(
            f"no treated unit is exposed by column {spec.design.spillover!r}: the interaction of "
            "treatment and spillover is not identified; leave out interaction = true"
        )
    column = spec.design.spillover if name == "spillover" else name
    role = "outcome" if name == moments.outcome else "regressor"
    raise IdentificationError(
        f"column {column!r} ({role}) has one value in all {moments.n_units:,} rows: there is "
        "nothing to estimate" + ("; leave it out of the specification" * (role == "regressor"))
    )


def _some(labels: Iterable[Any], count: int = 3) -> str:
    shown = sorted(pd.Series(list(labels)).tolist(), key=lambda label: (str(type(label)), label))
    return ", ".join(repr(label) for label in shown[:count]) + ", ..." * (len(shown) > count)
