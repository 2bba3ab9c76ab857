"""Data plus design: a validated experiment, compressed to moments in one scan."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import validation
from .design.assignment import Assignment
from .design.mechanism import mechanism_of
from .errors import DataError, DesignError
from .moments import ClusterMoments
from .sources import first_lines, open_source
from .spec import ModelSpec

if TYPE_CHECKING:
    import ibis

#: Exposure conditions, in the order in which tables and plots show them.
CONDITIONS = ("direct", "spillover", "pure_control")


class Experiment:
    """A cluster-randomised experiment: data in the roles that a specification gives its columns.

    Building one validates the data and compresses them by one aggregated query (and one more for
    duplicates, where the specification names a unit column); the data are never changed.

    Parameters
    ----------
    data : DataFrame, Table, path or ibis.Table
        pandas, polars, pyarrow or any Arrow stream; the path of a CSV or Parquet file (globs too);
        or an Ibis table, which is aggregated where it lives.
    spec : ModelSpec
        Roles of the columns.
    mechanism : Assignment, optional
        How clusters were assigned, where the specification does not name it: a user's own, such as
        :class:`Custom`. Its clusters are in the order of ``exp.moments().clusters``, that is sorted
        by label.

    Raises
    ------
    DataError
        Where the data cannot be analysed; the subclass and the message say which column is wrong,
        in how many rows, and what to do.

    Examples
    --------
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=6, cluster_size=50)
    >>> Experiment(scenario.simulate(), scenario.spec)
    Experiment(300 units, 3 treated and 3 control clusters, outcome 'outcome')
    """

    def __init__(self, data: Any, spec: ModelSpec, *, mechanism: Assignment | None = None) -> None:
        if not isinstance(spec, ModelSpec):
            raise TypeError(
                f"spec must be a ModelSpec, not {type(spec).__name__}; read a file by load_spec"
            )
        roles = _roles(spec)
        source = open_source(data, roles)
        validation.check_types(source.table, roles)
        units = _prepare(source.table)
        covariates = [role for role in roles if role.startswith("covariate_")]
        groups = _run(_aggregate(units, covariates))
        validation.check_groups(groups, spec, roles)
        if spec.design.unit:
            validation.check_units(_run(_count_units(units)).iloc[0], spec.design.unit)
        used = groups[groups["n"] > 0].sort_values("cluster", ignore_index=True)
        self._spec = spec
        self._units: ibis.Table | None = units
        self._moments = _to_moments(used, covariates, spec)
        self._n_rows = int(groups["n_rows"].sum())
        self._clusters_dropped = int((groups["n"] == 0).sum())
        self._order = _positions(source.clusters, self._moments)
        validation.check_design(self._moments, spec)
        self._mechanism = _checked_mechanism(mechanism, self)

    @classmethod
    def from_moments(
        cls, moments: ClusterMoments, spec: ModelSpec, *, mechanism: Assignment | None = None
    ) -> Experiment:
        """Build an experiment from moments alone, without units.

        Parameters
        ----------
        moments : ClusterMoments
            Regressors ``direct``, then ``spillover`` where the specification has one, then the
            covariates in its order.
        spec : ModelSpec
            The specification.
        mechanism : Assignment, optional
            See :class:`Experiment`.

        Raises
        ------
        DataError
            Where the regressors are not those of the specification, or the design is unusable.
        """
        validation.check_moments(moments, spec, _regressors(spec))
        exp = cls.__new__(cls)
        exp._spec, exp._units, exp._moments = spec, None, moments
        exp._n_rows, exp._clusters_dropped = moments.n_units, 0
        exp._order = np.arange(moments.n_clusters)
        validation.check_design(moments, spec)
        exp._mechanism = _checked_mechanism(mechanism, exp)
        return exp

    @property
    def spec(self) -> ModelSpec:
        """The specification."""
        return self._spec

    def moments(self) -> ClusterMoments:
        """Return the compressed data: regressors ``direct``, ``spillover``, then covariates."""
        return self._moments

    @property
    def has_units(self) -> bool:
        """Whether the units can still be looked at; not so for an experiment from moments."""
        return self._units is not None

    @property
    def has_spillover(self) -> bool:
        """Whether the specification names a spillover column."""
        return self._spec.design.spillover is not None

    @property
    def n_units(self) -> int:
        """Number of units analysed."""
        return self._moments.n_units

    @property
    def n_dropped(self) -> int:
        """Number of rows left out for missing values, where the specification asks for that."""
        return self._n_rows - self._moments.n_units

    @property
    def n_clusters_dropped(self) -> int:
        """Number of clusters that lost all their rows that way."""
        return self._clusters_dropped

    @property
    def cluster_order(self) -> NDArray[np.int64]:
        """Positions of the clusters in the moments, by first appearance in a frame; shape (J,).

        A source without row order (a file, a warehouse) gives the order of the labels.
        """
        return self._order

    @property
    def treated(self) -> NDArray[np.bool_]:
        """Whether each cluster is treated; shape (J,)."""
        direct = self._moments.column("direct")
        return self._moments.mean[:, direct] + self._moments.origin[direct] > 0.5

    @cached_property
    def assignment(self) -> Assignment:
        """How clusters were assigned: as the experiment was told, or as the specification says.

        The latter has this experiment's numbers of clusters. Clusters are in the order of
        ``moments().clusters``.

        Raises
        ------
        DesignError
            Where the mechanism cannot have made the assignment in the data.
        """
        return self._mechanism or mechanism_of(self._moments, self.treated, self._spec)

    @property
    def exposed_share(self) -> float:
        """Mean spillover exposure of all units; 0 without a spillover column."""
        if not self.has_spillover:
            return 0.0
        at = self._moments.column("spillover")
        return float(self._moments.grand_mean[at] + self._moments.origin[at])

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that identify the data analysed."""
        return self._moments.fingerprint

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """Units, mean and SD of the outcome by exposure condition.

        Columns condition, n_units, mean, std; conditions without units are absent.

        Raises
        ------
        DataError
            Where the experiment was built from moments.
        """
        used = self._used_units()
        grouped = used.group_by("condition").aggregate(
            n_units=used.count(), mean=used.outcome.mean(), std=used.outcome.std(how="sample")
        )
        return _in_condition_order(_run(grouped))

    def histogram(self, bins: int = 60) -> pd.DataFrame:
        """Count outcomes in bins by exposure condition, in the engine that holds the data.

        Parameters
        ----------
        bins : int
            Number of equal bins over the grand mean +- 4 standard deviations; outcomes further out
            are counted in the outermost bins.

        Returns
        -------
        DataFrame
            Columns condition, left, right, count; empty bins are absent.

        Raises
        ------
        DataError
            Where the experiment was built from moments.
        """
        used, m = self._used_units(), self._moments
        center, half = m.grand_mean[-1] + m.origin[-1], 4 * m.sd[-1]
        low, width = float(center - half), float(2 * half / bins)
        bin_ = ((used.outcome - low) / width).floor().clip(0, bins - 1).cast("int64")
        counted = used.mutate(bin=bin_).group_by(["condition", "bin"])
        frame = _in_condition_order(_run(counted.aggregate(count=lambda t: t.count())), "bin")
        frame.insert(1, "left", low + frame["bin"] * width)
        frame.insert(2, "right", frame["left"] + width)
        return frame.drop(columns="bin")

    def _used_units(self) -> ibis.Table:
        import ibis

        if self._units is None:
            raise DataError("this experiment was built from moments: it has no units to look at")
        t = self._units.filter(self._units.used)
        spillover = t.spillover if self.has_spillover else ibis.literal(0.0)
        condition = ibis.cases(
            (t.treatment == 1, CONDITIONS[0]), (spillover > 0, CONDITIONS[1]), else_=CONDITIONS[2]
        )
        return t.select("outcome", condition=condition)

    def __repr__(self) -> str:
        treated = int(self.treated.sum())
        return (
            f"Experiment({self.n_units:,} units, {treated:,} treated and "
            f"{len(self.treated) - treated:,} control clusters, "
            f"outcome {self._spec.outcome.column!r})"
        )


def _checked_mechanism(mechanism: Assignment | None, exp: Experiment) -> Assignment | None:
    """Return a user's mechanism, or raise where it is not that of the experiment."""
    if mechanism is None:
        return None
    if not isinstance(mechanism, Assignment):
        raise TypeError(f"mechanism must be an Assignment, not {type(mechanism).__name__}")
    if named := exp.spec.design.mechanism:
        raise DesignError(
            f"the specification names mechanism {named!r}, and another one is given: leave out one "
            "of them"
        )
    if mechanism.n_clusters != exp.moments().n_clusters:
        raise DesignError(
            f"the mechanism assigns {mechanism.n_clusters:,} clusters, the data have "
            f"{exp.moments().n_clusters:,}"
        )
    mechanism.check(exp.treated)
    return mechanism


def _roles(spec: ModelSpec) -> dict[str, str]:
    """Return the column of each role."""
    covariates = {f"covariate_{i}": name for i, name in enumerate(spec.outcome.covariates)}
    return {**spec.design.columns, "outcome": spec.outcome.column, **covariates}


def _regressors(spec: ModelSpec) -> list[str]:
    spillover = ["spillover"] if spec.design.spillover else []
    return ["direct", *spillover, *spec.outcome.covariates]


def _prepare(table: ibis.Table) -> ibis.Table:
    """Make numbers float64 and NaN null, and mark the rows that can be used."""
    labels = {role: _label(table[role]) for role in table.columns if role in validation.LABEL_ROLES}
    numbers = {role: _number(table[role]) for role in table.columns if role not in labels}
    units = table.select(**labels, **numbers)
    used = units.outcome.notnull()
    for role in numbers:
        if role.startswith("covariate_"):
            used = used & units[role].notnull()
    return units.mutate(used=used)


def _label(column: Any) -> Any:
    floating = column.type().is_floating()
    return column.isnan().ifelse(None, column) if floating else column


def _number(column: Any) -> Any:
    if column.type().is_boolean():
        column = column.cast("int8")
    value = column.cast("float64")
    return value.isnan().ifelse(None, value) if column.type().is_floating() else value


def _aggregate(units: ibis.Table, covariates: list[str]) -> ibis.Table:
    """Express moments and checks of every cluster (and stratum) as one aggregated query.

    Outcome and covariates are measured from their grand means, so that a large common offset costs
    no digit; engines compute (co)variances stably, and no raw sum of squares is formed.
    """
    offset = [*covariates, "outcome"]
    varying = (["spillover"] if "spillover" in units.columns else []) + offset
    finite = {name: units.used & ~units[name].isinf() for name in offset}
    grand = units.aggregate(
        **{f"origin_{name}": units[name].mean(where=finite[name]).fill_null(0.0) for name in offset}
    )
    t = units.cross_join(grand)
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
    results |= validation.checks(t, varying)
    keys = [name for name in ("cluster", "strata") if name in units.columns]
    return t.group_by(keys).aggregate(**results)


def _count_units(units: ibis.Table) -> ibis.Table:
    return units.aggregate(
        n_rows=units.count(), n_null=units.unit.isnull().sum(), n_distinct=units.unit.nunique()
    )


def _run(query: ibis.Table) -> pd.DataFrame:
    """Run a query where its data live, its failures told as a DataError."""
    import duckdb
    from ibis.common.exceptions import IbisError, OperationNotDefinedError

    try:
        return query.to_pyarrow().to_pandas()
    except OperationNotDefinedError as error:
        raise DataError(
            f"this Ibis backend lacks an aggregate that is needed ({first_lines(error)}); hand "
            "over the table by .to_pyarrow(), or through DuckDB"
        ) from None
    except (duckdb.Error, IbisError) as error:
        raise DataError(f"the data cannot be read: {first_lines(error)}") from None


def _to_moments(groups: pd.DataFrame, covariates: list[str], spec: ModelSpec) -> ClusterMoments:
    varying = (["spillover"] if spec.design.spillover else []) + [*covariates, "outcome"]
    n = groups["n"].to_numpy(dtype=float)
    k = len(varying) + 1
    cross = np.zeros((len(n), k, k))
    for i, name in enumerate(varying, start=1):
        for j, other in enumerate(varying[i - 1 :], start=i):
            cross[:, i, j] = cross[:, j, i] = groups[f"cov_{name}_{other}"].to_numpy(float) * n
    origin = [groups[f"origin_{name}"].iloc[0] for name in [*covariates, "outcome"]]
    means = groups[["max_treatment", *(f"mean_{name}" for name in varying)]]
    return ClusterMoments(
        clusters=groups["cluster"].to_numpy(),
        n=n,
        mean=means.to_numpy(dtype=float),
        cross=cross,
        origin=np.r_[np.zeros(k - len(origin)), np.array(origin, dtype=float)],
        names=tuple(_regressors(spec)),
        outcome=spec.outcome.column,
        strata=groups["strata"].to_numpy() if spec.design.strata else None,
    )


def _positions(labels: NDArray[Any] | None, moments: ClusterMoments) -> NDArray[np.int64]:
    if labels is None:
        return np.arange(moments.n_clusters)
    at = pd.Index(moments.clusters).get_indexer(pd.Index(labels))
    return at[at >= 0].astype(np.int64)


def _in_condition_order(frame: pd.DataFrame, *then: str) -> pd.DataFrame:
    rank = {name: at for at, name in enumerate(CONDITIONS)}
    keyed = frame.assign(_rank=frame["condition"].map(rank))
    return keyed.sort_values(["_rank", *then], ignore_index=True).drop(columns="_rank")
