"""Data plus design: a validated experiment, compressed in one scan."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._support.arrays import Booleans, Floats, Integers
from ..assignment.mechanism_from_spec import check_given, mechanism_of
from ..assignment.mechanisms import Complete, Mechanism, Stratified
from ..errors import DataError, DesignError, MissingColumnError
from ..spec.model_spec import Average, ModelSpec
from ..spec.size_terms import size_terms
from . import compression as queries
from . import input_validation as validation
from .cell_counts import CellCounts
from .cluster_moments import ClusterMoments
from .cluster_sizes import LEAST_LOG_SD, cells_by_size, log_size_sd, moments_by_size
from .conditions import in_condition_order
from .exposed_users import ExposedUsers, exposure_in
from .table_readers import Source, open_source

if TYPE_CHECKING:
    import ibis


#: Mechanisms that are the same among the clusters left where some have no units.
REPEATABLE = (Complete, Stratified)


class Experiment:
    """A cluster-randomised experiment: data in the roles that a specification gives its columns.

    Building one validates the data and compresses them by one aggregated query (and one more each
    for duplicates, where the specification names a unit column, for the levels of text covariates,
    and for the cells of a family that is not gaussian); the data are never changed.

    Parameters
    ----------
    data : DataFrame, Table, path, ibis.Table or Exposure
        pandas, polars, pyarrow or any Arrow stream; the path of a CSV or Parquet file (globs too);
        an Ibis table, which is aggregated by its own engine; or the exposure of users by a
        collaboration graph (:func:`expose`), which brings their table.
    spec : ModelSpec
        Roles of the columns.
    mechanism : Mechanism, optional
        How clusters were assigned, where the specification does not name it: a user's own, such as
        :class:`Custom`. Its clusters are in the order of ``exp.moments().clusters``, that is sorted
        by label.

    Raises
    ------
    DataError
        If the data cannot be analysed; the subclass and the message say which column is wrong,
        in how many rows, and what to do.

    Examples
    --------
    >>> from bayescluster.simulate.spillover_scenario import Scenario
    >>> scenario = Scenario(n_clusters=6, cluster_size=50)
    >>> Experiment(scenario.simulate(), scenario.spec)
    Experiment(300 units, 3 treated and 3 control clusters, outcome 'outcome')
    """

    def __init__(self, data: Any, spec: ModelSpec, *, mechanism: Mechanism | None = None) -> None:
        if not isinstance(spec, ModelSpec):
            raise TypeError(
                f"spec must be a ModelSpec, not {type(spec).__name__}; read a file by load_spec"
            )
        roles = queries.columns_of_roles(spec)
        self._exposure = exposure_in(data, spec)
        source = _opened(data if self._exposure is None else self._exposure.data, spec, roles)
        validation.check_types(source.table, roles)
        levels = queries.category_levels(source.table, roles)
        validation.check_levels(levels, roles)
        units = queries.prepare(source.table, spec, roles, levels)
        groups = queries.run(units.aggregated(spec))
        validation.check_groups(groups, spec, roles)
        if spec.design.unit:
            validation.check_units(queries.run(units.counted()).iloc[0], spec.design.unit)
        used = groups[groups["n"] > 0].sort_values("cluster", ignore_index=True)
        self._spec = spec
        self._units: queries.Units | None = units
        self._moments = units.to_moments(used, spec)
        self._n_rows = int(groups["n_rows"].sum())
        self._clusters_dropped = int((groups["n"] == 0).sum())
        self._order = _positions(source.clusters, self._moments)
        validation.check_design(self._moments, spec)
        by_cells = spec.family.cells is not None
        self._cells = units.to_cells(self._moments, spec) if by_cells else None
        self._given = self._checked(mechanism)

    @classmethod
    def from_moments(
        cls, moments: ClusterMoments, spec: ModelSpec, *, mechanism: Mechanism | None = None
    ) -> Experiment:
        """Build an experiment from moments alone, without units.

        Parameters
        ----------
        moments : ClusterMoments
            Regressors ``direct``, then ``spillover`` where the specification has one, then the
            covariates in its order.
        spec : ModelSpec
            The specification.
        mechanism : Mechanism, optional
            See :class:`Experiment`.

        Raises
        ------
        DataError
            If the regressors are not those of the specification, or the design is unusable.
        """
        validation.check_moments(moments, spec)
        exp = cls.__new__(cls)
        exp._spec, exp._units, exp._moments, exp._cells = spec, None, moments, None
        exp._exposure = None
        exp._n_rows, exp._clusters_dropped = moments.n_units, 0
        exp._order = np.arange(moments.n_clusters)
        validation.check_design(moments, spec)
        exp._given = exp._checked(mechanism)
        return exp

    @classmethod
    def from_cells(cls, cells: CellCounts, spec: ModelSpec) -> Experiment:
        """Build an experiment from counts alone, without units.

        Parameters
        ----------
        cells : CellCounts
            Regressors as for :meth:`from_moments`.
        spec : ModelSpec
            The specification, of a family with a link or student_t.

        Raises
        ------
        DataError
            As :meth:`from_moments`.
        """
        exp = cls.from_moments(cells.to_moments(), spec)
        validation.check_values(cells, spec)
        exp._cells = cells
        return exp

    @property
    def spec(self) -> ModelSpec:
        """The specification."""
        return self._spec

    def moments(self) -> ClusterMoments:
        """Return the moments: regressors are the design's effects, then the covariates.

        The outcome of the lognormal family is the logarithm of the column.
        """
        return self._moments

    def cells(self) -> CellCounts:
        """Return the counts that a family other than gaussian and lognormal is fitted to.

        Raises
        ------
        DataError
            If the family is fitted to moments, or the experiment was built from moments.
        """
        if self._cells is None:
            raise DataError(
                f"there are no cells: family {self._spec.outcome.family!r} is fitted to moments"
                if self._spec.family.cells is None
                else "this experiment was built from moments; build it from units or from cells"
            )
        return self._cells

    @cached_property
    def size_terms(self) -> tuple[str, ...]:
        """Names of the terms by which level and effects depend on cluster size; may be empty.

        Empty where the specification switches them off, or sizes hardly vary.
        """
        if not self._spec.heterogeneity.size_effects:
            return ()
        varies = log_size_sd(self._moments) >= LEAST_LOG_SD
        return size_terms(self._spec.design.effects) if varies else ()

    @cached_property
    def model_moments(self) -> ClusterMoments:
        """The moments with the regressors of `size_terms` appended."""
        moments, effects = self._moments, self._spec.design.effects
        return moments_by_size(moments, effects) if self.size_terms else moments

    @cached_property
    def model_cells(self) -> CellCounts:
        """The cells with the regressors of `size_terms` appended; see `cells`."""
        cells, effects = self.cells(), self._spec.design.effects
        return cells_by_size(cells, effects) if self.size_terms else cells

    def average_weights(self, average: Average, effect: str = "direct") -> Floats:
        """Return the weight of each cluster in an effect's average; shape (J,), summing to 1.

        Parameters
        ----------
        average : {"user", "cluster"}
            Over users, who count each, or over clusters, which count each.
        effect : str
            The effects of exposure (spillover, interaction) are averaged over those who could be
            exposed: with a collaboration graph, users who were exposed under some assignments and
            not under others; without one, all users.
        """
        people = self._moments.sizes
        if effect in ("spillover", "interaction"):
            people = self._exposable
        if average == "cluster":
            people = (people > 0).astype(float)
        return people / people.sum()

    @cached_property
    def _exposable(self) -> Floats:
        """Number of users analysed who could be exposed, and could be not; shape (J,)."""
        moments, exposure = self._moments, self._exposure
        if exposure is None or self._units is None:
            return moments.sizes
        t = self._units.table
        frame = queries.run(t.filter(t.used).select("unit", "cluster"))
        able = pd.Series(exposure.can_be_exposed, index=exposure.users)
        known = frame["unit"].map(able).fillna(False).astype(float)
        count = known.groupby(frame["cluster"]).sum().reindex(moments.clusters).fillna(0.0)
        return count.to_numpy() if count.any() else moments.sizes

    def naive_moments(self) -> ClusterMoments:
        """Return the moments of treatment and covariates only, as an A/B test would have them."""
        return self._moments.select(["direct", *self.covariates])

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of the covariates among the regressors; a category is named "column[level]"."""
        return self._moments.names[len(self._spec.design.effects) :]

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
    def cluster_order(self) -> Integers:
        """Positions of the clusters in the moments, by first appearance in a frame; shape (J,).

        A source without row order (a file, a warehouse) gives the order of the labels.
        """
        return self._order

    @property
    def treated(self) -> Booleans:
        """Whether each cluster is treated (in a partial rollout: in part); shape (J,)."""
        direct = self._moments.column("direct")
        share = self._moments.means[:, direct]
        return share > (1e-9 if self._spec.design.level == "unit" else 0.5)

    @cached_property
    def mechanism(self) -> Mechanism:
        """How clusters were assigned, as given in code or in the specification.

        The latter has this experiment's numbers of clusters. Clusters are in the order of
        ``moments().clusters``.

        Raises
        ------
        DesignError
            If the mechanism cannot have made the assignment in the data, or if the one given to
            :func:`expose` assigned clusters that have no units left.
        """
        m, design = self._moments, self._spec.design
        if design.level == "unit":
            raise DesignError(
                "single units of a cluster were treated (level = 'unit'): the assignment of whole "
                "clusters is not what was randomised"
            )
        known = self._given
        if known is None and self._exposure is not None:
            known = self._exposure.mechanism
        if known is not None and known.n_clusters == m.n_clusters:
            return known
        if known is not None and design.mechanism is None and type(known) not in REPEATABLE:
            raise DesignError(
                f"the mechanism assigned {known.n_clusters:,} clusters, and {m.n_clusters:,} have "
                "units left: how these were assigned is not known"
            )
        balance = m.mean[:, [m.column(name) for name in design.balance]]
        return mechanism_of(design, self.treated, strata=m.strata, balance=balance)

    @property
    def exposure(self) -> ExposedUsers | None:
        """Exposure by the collaboration graph, where the experiment was built from one."""
        return self._exposure

    def outcomes(self) -> Floats:
        """Return the outcomes in the order of the exposure's users, NaN where unused; shape (n,).

        Raises
        ------
        DataError
            If the experiment was not built from an exposure.
        """
        return self._by_user(["outcome"])[:, 0]

    def regressors(self) -> Floats:
        """Return the regressors of the exposure's users, as `outcomes`; shape (n, p).

        Columns are those of ``moments().names``.
        """
        return self._by_user(list(self._units.regressors.values()) if self._units else [])

    def _by_user(self, columns: list[str]) -> Floats:
        if self._exposure is None or self._units is None:
            raise DataError("this experiment has no collaboration graph: build it by expose()")
        t = self._units.table
        frame = queries.run(t.filter(t.used).select("unit", *columns)).set_index("unit")
        return frame[columns].reindex(self._exposure.users).to_numpy(dtype=float)

    @property
    def exposed_share(self) -> float:
        """Mean spillover exposure of all units; 0 without a spillover column."""
        if not self.has_spillover:
            return 0.0
        at = self._moments.column("spillover")
        return float(self._moments.grand_means[at])

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
            If the experiment was built from moments.
        """
        used = self._used_units()
        grouped = used.group_by("condition").aggregate(
            n_units=used.count(), mean=used.outcome.mean(), std=used.outcome.std(how="sample")
        )
        return in_condition_order(queries.run(grouped))

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
            If the experiment was built from moments.
        """
        used, m = self._used_units(), self._moments
        center, half = m.grand_means[-1], 4 * m.sd[-1]
        low, width = float(center - half), float(2 * half / bins)
        bin_ = ((used.outcome - low) / width).floor().clip(0, bins - 1).cast("int64")
        counted = used.mutate(bin=bin_).group_by(["condition", "bin"])
        frame = in_condition_order(queries.run(counted.aggregate(count=lambda t: t.count())), "bin")
        frame.insert(1, "left", low + frame["bin"] * width)
        frame.insert(2, "right", frame["left"] + width)
        return frame.drop(columns="bin")

    def _checked(self, mechanism: Mechanism | None) -> Mechanism | None:
        """Return a mechanism given in code, or raise if it is not the experiment's."""
        if mechanism is None:
            return None
        if self._exposure is not None:
            raise DesignError(
                "the exposure was made under a mechanism, and another one is given: hand it to "
                "expose()"
            )
        check_given(mechanism, self._spec.design.mechanism)
        if mechanism.n_clusters != self._moments.n_clusters:
            raise DesignError(
                f"the mechanism assigns {mechanism.n_clusters:,} clusters, the data have "
                f"{self._moments.n_clusters:,}"
            )
        mechanism.check(self.treated)
        return mechanism

    def _used_units(self) -> ibis.Table:
        if self._units is None:
            raise DataError("this experiment was built from moments: it has no units to look at")
        return self._units.conditions(self._spec)

    def __repr__(self) -> str:
        treated = int(self.treated.sum())
        return (
            f"Experiment({self.n_units:,} units, {treated:,} treated and "
            f"{len(self.treated) - treated:,} control clusters, "
            f"outcome {self._spec.outcome.column!r})"
        )


def _opened(data: Any, spec: ModelSpec, roles: Mapping[str, str]) -> Source:
    """Open the data; where what a graph makes is not there, say how it is made."""
    try:
        return open_source(data, roles)
    except MissingColumnError as error:
        if spec.exposure is None:
            raise
        raise MissingColumnError(
            f"{error}; the specification has a section [exposure]: pass the edges too, by "
            "expose(edges, users, spec), analyze(users, spec, edges=...) or --edges"
        ) from None


def _positions(labels: NDArray[Any] | None, moments: ClusterMoments) -> Integers:
    if labels is None:
        return np.arange(moments.n_clusters)
    at = pd.Index(moments.clusters).get_indexer(pd.Index(labels))
    return at[at >= 0].astype(np.int64)
