"""Ibis queries that compress units to sufficient statistics in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import DataError
from ..spec.model_spec import ModelSpec
from . import input_validation as validation
from .cell_counts import CellCounts
from .cluster_moments import ClusterMoments
from .table_readers import first_lines

if TYPE_CHECKING:
    import ibis

#: Replaces a slash in the names of levels.
DIVISION = "\N{DIVISION SLASH}"
#: Column of the prepared units that holds each effect of the design.
EFFECT_COLUMNS = {
    "direct": "treatment",
    "spillover": "spillover",
    "interaction": "interaction",
    "within_spillover": "within_spillover",
}


def columns_of_roles(spec: ModelSpec) -> dict[str, str]:
    """Return the column of each role."""
    adjusted = spec.outcome.adjusted_for
    covariates = {f"covariate_{i}": name for i, name in enumerate(adjusted)}
    return {**spec.design.columns, "outcome": spec.outcome.column, **covariates}


def category_levels(table: ibis.Table, roles: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return the levels of each text covariate, the most frequent (the reference) first.

    The query returns at most one level more than `validation.check_levels` allows.
    """
    levels = {}
    for role in roles:
        if role.startswith("covariate_") and table[role].type().is_string():
            counted = table.group_by(role).aggregate(n=table.count())
            counted = counted.filter(counted[role].notnull())
            ordered = counted.order_by([counted.n.desc(), counted[role]])
            levels[role] = run(ordered.limit(validation.MAX_LEVELS + 1))[role].tolist()
    return levels


@dataclass(frozen=True, eq=False)
class Units:
    """The units as one table expression, with numbers as float64 and NaN as null.

    Parameters
    ----------
    table : ibis.Table
        Columns cluster, strata and unit (if there are any), treatment, the other effects'
        columns, covariates, outcome (its logarithm for the lognormal family), and used.
    regressors : dict of str to str
        Column of each regressor, by its name.
    covariates : tuple of str
        Columns of the covariates.
    """

    table: ibis.Table
    regressors: dict[str, str]
    covariates: tuple[str, ...]

    def varying(self, spec: ModelSpec) -> list[str]:
        """Return the columns that vary within clusters, the outcome last."""
        constant = {"treatment"} if spec.design.level == "cluster" else set()
        return [name for name in self.regressors.values() if name not in constant] + ["outcome"]

    def aggregated(self, spec: ModelSpec) -> ibis.Table:
        """Return the query of the moments and checks of each cluster (and stratum).

        Outcome and covariates are measured from their grand means, so that a large common offset
        loses no digits. Engines compute (co)variances stably, without raw sums of squares.
        """
        units, varying = self.table, self.varying(spec)
        offset = [*self.covariates, "outcome"]
        finite = {name: units.used & ~units[name].isinf() for name in offset}
        grand = {
            f"origin_{name}": units[name].mean(where=finite[name]).fill_null(0.0) for name in offset
        }
        t = units.cross_join(units.aggregate(**grand))
        t = t.mutate(**{f"from_{name}": t[name] - t[f"origin_{name}"] for name in offset})
        values = {name: t[f"from_{name}"] if name in offset else t[name] for name in varying}
        results = {"n_rows": t.count(), "n": t.used.ifelse(1, 0).sum()}
        for i, name in enumerate(varying):
            results[f"mean_{name}"] = values[name].mean(where=t.used)
            results[f"cov_{name}_{name}"] = values[name].var(where=t.used, how="pop")
            for other in varying[i + 1 :]:
                pair = values[name].cov(values[other], where=t.used, how="pop")
                results[f"cov_{name}_{other}"] = pair
        results |= {f"origin_{name}": t[f"origin_{name}"].max() for name in offset}
        results |= validation.checks(t, spec)
        keys = [name for name in ("cluster", "strata") if name in units.columns]
        return t.group_by(keys).aggregate(**results)

    def counted(self) -> ibis.Table:
        """Return the query of the numbers of rows, null units and distinct units."""
        t = self.table
        return t.aggregate(
            n_rows=t.count(), n_null=t.unit.isnull().sum(), n_distinct=t.unit.nunique()
        )

    def conditions(self, spec: ModelSpec) -> ibis.Table:
        """Return the query of the outcome and exposure condition of the used units."""
        import ibis

        t = self.table.filter(self.table.used)
        treated = t.treatment == 1
        spillover = t.spillover if spec.design.spillover else ibis.literal(0.0)
        within = t.within_spillover if spec.design.saturation else ibis.literal(0.0)
        condition = ibis.cases(
            (treated & (spillover > 0), "direct_with_exposure"),
            (treated, "direct"),
            (spillover > 0, "spillover"),
            (within > 0, "within_spillover"),
            else_="pure_control",
        )
        return t.select("outcome", condition=condition)

    def to_moments(self, groups: pd.DataFrame, spec: ModelSpec) -> ClusterMoments:
        """Return the moments of aggregated clusters."""
        varying = self.varying(spec)
        n = groups["n"].to_numpy(dtype=float)
        columns = [*self.regressors.values(), "outcome"]
        k = len(columns)
        cross, mean, origin = np.zeros((len(n), k, k)), np.zeros((len(n), k)), np.zeros(k)
        for i, name in enumerate(columns):
            if name not in varying:
                mean[:, i] = groups["max_treatment"].to_numpy(float)
                continue
            mean[:, i] = groups[f"mean_{name}"].to_numpy(float)
            if f"origin_{name}" in groups:
                origin[i] = groups[f"origin_{name}"].iloc[0]
            for j, other in enumerate(columns[i:], start=i):
                covariance = groups[f"cov_{name}_{other}"].to_numpy(float)
                cross[:, i, j] = cross[:, j, i] = covariance * n
        return ClusterMoments(
            clusters=groups["cluster"].to_numpy(),
            n=n,
            mean=mean,
            cross=cross,
            origin=origin,
            names=tuple(self.regressors),
            outcome=spec.outcome.column,
            strata=groups["strata"].to_numpy() if spec.design.strata else None,
            size=groups["max_size"].to_numpy(float) if spec.design.size else None,
        )

    def to_cells(self, moments: ClusterMoments, spec: ModelSpec) -> CellCounts:
        """Count the used units by cluster, regressors and, if the family needs it, outcome."""
        t = self.table.filter(self.table.used)
        family = spec.family
        by_value = family.cells is not None and family.cells.by_value
        columns = list(self.regressors.values())
        keys = ["cluster", *columns, *(["outcome"] if by_value else [])]
        cells = run(t.group_by(keys).aggregate(n=t.count(), total=t.outcome.sum()))
        if by_value:  # n x value is exactly the outcome for a single unit
            cells["total"] = cells["n"] * cells["outcome"]
        cells = _ordered(cells, moments, [*columns, "outcome" if by_value else "total"])
        if family.is_binary:  # the cells determine the frequencies
            values = _binary_values(cells)
        else:
            grouped = t.group_by(["cluster", "outcome"]).aggregate(n=t.count())
            values = _ordered(run(grouped), moments, ["outcome"])
        return CellCounts.from_frames(cells, columns, values, moments, by_value=by_value)


def _ordered(frame: pd.DataFrame, moments: ClusterMoments, then: list[str]) -> pd.DataFrame:
    """Replace clusters by their positions, and sort, so that all engines give the same result."""
    at = pd.Index(moments.clusters).get_indexer(pd.Index(frame["cluster"]))
    return frame.assign(cluster=at).sort_values(["cluster", *then], ignore_index=True)


def _binary_values(cells: pd.DataFrame) -> pd.DataFrame:
    totals = cells.groupby("cluster")[["n", "total"]].sum().reset_index()
    ones = totals.assign(outcome=1.0, n=totals["total"])
    zeros = totals.assign(outcome=0.0, n=totals["n"] - totals["total"])
    values = pd.concat([zeros, ones])
    return values[values["n"] > 0].sort_values(["cluster", "outcome"], ignore_index=True)


def prepare(
    table: ibis.Table, spec: ModelSpec, roles: Mapping[str, str], levels: Mapping[str, list[Any]]
) -> Units:
    """Return units with numbers as float64, NaN as null, regressors, and usable rows marked."""
    labels = {role: _label(table[role]) for role in table.columns if role in validation.LABEL_ROLES}
    columns: dict[str, Any] = {}
    regressors = {name: EFFECT_COLUMNS[name] for name in spec.design.effects}
    covariates: list[str] = []
    for role in table.columns:
        if role in labels:
            continue
        names = [roles[role]]
        if role in levels:
            # The DataTree reads a slash as a path; levels such as "N/A" are common.
            names = [
                f"{roles[role]}[{str(level).replace('/', DIVISION)}]" for level in levels[role][1:]
            ]
            dummies = [(table[role] == level).cast("float64") for level in levels[role][1:]]
            columns |= {f"{role}_{i}": dummy for i, dummy in enumerate(dummies)}
        else:
            columns[role] = _number(table[role])
        if role.startswith("covariate_"):
            named = [f"{role}_{i}" for i in range(len(names))] if role in levels else [role]
            covariates += named
            regressors |= dict(zip(names, named, strict=True))
    units = table.select(**labels, **columns)
    used = units.outcome.notnull()
    for name in covariates:
        used = used & units[name].notnull()
    units = units.mutate(used=used)
    if spec.design.interaction:
        units = units.mutate(interaction=units.treatment * units.spillover)
    if spec.design.saturation:
        units = units.mutate(within_spillover=(1 - units.treatment) * units.saturation)
    if spec.family.support is not None:
        units = units.mutate(unsupported=spec.family.support.outside(units.outcome))
    if spec.family.log_outcome:
        raw, positive = units.outcome, units.outcome > 0
        units = units.mutate(outcome=positive.ifelse(raw, None).log(), used=units.used & positive)
    return Units(units, regressors, tuple(covariates))


def _label(column: Any) -> Any:
    floating = column.type().is_floating()
    return column.isnan().ifelse(None, column) if floating else column


def _number(column: Any) -> Any:
    if column.type().is_boolean():
        column = column.cast("int8")
    value = column.cast("float64")
    return value.isnan().ifelse(None, value) if column.type().is_floating() else value


def run(query: ibis.Table) -> pd.DataFrame:
    """Run a query in its database; failures raise DataError."""
    import duckdb
    from ibis.common.exceptions import IbisError, OperationNotDefinedError

    try:
        return query.to_pyarrow().to_pandas()
    except OperationNotDefinedError as error:
        raise DataError(
            f"this Ibis backend lacks a required aggregate ({first_lines(error)}); convert the "
            "table with .to_pyarrow(), or use DuckDB"
        ) from None
    except (duckdb.Error, IbisError) as error:
        raise DataError(f"the data cannot be read: {first_lines(error)}") from None
