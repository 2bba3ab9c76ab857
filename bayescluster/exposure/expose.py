"""Exposure of the users of one experiment, with its probabilities under the design."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .._support.arrays import Booleans
from ..assignment.mechanism_from_spec import check_given, mechanism_of
from ..assignment.mechanisms import Mechanism
from ..data.conditions import GRAPH_CONDITIONS
from ..data.experiment import Experiment
from ..data.exposed_users import ExposedUsers
from ..data.table_readers import open_any, read_once
from ..errors import DataError, DesignError
from ..spec.model_spec import ModelSpec
from .collaboration_graph import CollaborationGraph
from .collaborators import Collaborators
from .mapped_exposure import MappedExposure
from .mappings import ExposureMapping, mapping_of
from .positivity import Positivity
from .probability_of_exposure import Method, check_size, exposure_probabilities
from .users_table import MADE, check_known, checked_roles, positions, read_assignment


@dataclass(frozen=True, eq=False, repr=False)
class Exposure(MappedExposure, ExposedUsers):
    """Every user's exposure under the assignment that was made, and under those that were not.

    Users are in the order of their ids.

    Parameters
    ----------
    collaborators, mapping, assignment, value, probabilities, interaction, graph
        See :class:`bayescluster.exposure.mapped_exposure.MappedExposure`.
    mechanism, source, spec
        See :class:`bayescluster.data.exposed_users.ExposedUsers`.
    """

    @classmethod
    def of(
        cls,
        collaborators: Collaborators,
        treated: ArrayLike,
        mapping: ExposureMapping,
        mechanism: Mechanism,
        *,
        interaction: bool = False,
        method: Method = "auto",
        draws: int = 10_000,
        seed: int = 0,
    ) -> Exposure:
        """Map an assignment to exposures.

        Parameters
        ----------
        collaborators : Collaborators
            The graph: ``CollaborationGraph(...).collaborators``.
        treated : array-like of bool, shape (U,)
            Which units (clusters, in the order of their labels) are treated.
        mapping, mechanism, interaction
            See :class:`Exposure`.
        method, draws, seed
            See :func:`exposure_probabilities`.

        Raises
        ------
        DesignError
            If the mechanism cannot have made the assignment.
        """
        check_size(collaborators, mechanism)
        mechanism.check(treated)
        assignment = np.asarray(treated).astype(bool)
        found = exposure_probabilities(
            collaborators, mapping, mechanism, method=method, draws=draws, seed=seed
        )
        value = mapping.values(collaborators, assignment[None, :])[:, 0]
        return cls(
            collaborators, mapping, assignment, value, found, interaction, mechanism=mechanism
        )

    def for_users(self, users: Any, spec: ModelSpec) -> Exposure:
        """Return the exposure as that of a table of users, such as simulated ones on one graph."""
        unit, _ = checked_roles(spec)
        source = _kept_as(users)
        if not isinstance(source, pd.DataFrame):
            check_known(source, self.collaborators.users, unit)
        return replace(self, source=source, spec=spec)

    @property
    def users(self) -> NDArray[Any]:
        """User ids, sorted; shape (n,)."""
        return self.collaborators.users

    @property
    def can_be_exposed(self) -> Booleans:
        """Whether each untreated user would be exposed in some assignments only; shape (n,)."""
        p = self.probabilities
        return (p.of("spillover") > 0) & (p.of("pure_control") > 0)

    @cached_property
    def positivity(self) -> Positivity:
        """Who could have been in which condition; see :class:`Positivity`."""
        return Positivity.of(self)

    def columns(self) -> pd.DataFrame:
        """Return what the users' table gets: the user, and the new columns by their names there.

        The spillover regressor and the expected exposure, as the specification names them,
        ``exposure_condition`` and ``exposure_probability`` (of the condition that the user is in).
        """
        spec = self._named_spec()
        unit, options = checked_roles(spec)
        return pd.DataFrame(
            {
                unit: self.collaborators.users,
                str(spec.design.spillover): self.spillover,
                options.expected: self.expected,
                MADE[0]: np.array(GRAPH_CONDITIONS)[self.condition],
                MADE[1]: self.probability,
            }
        )

    def _named_spec(self) -> ModelSpec:
        if self.spec is None or self.source is None:
            raise DesignError("this exposure was made without a table of users; use expose()")
        return self.spec

    @cached_property
    def data(self) -> Any:
        """The users' table with the new columns; a new pandas frame, or an Ibis table.

        Columns of these names that the table has are replaced. Rows of a pandas frame keep their
        order.

        Raises
        ------
        DataError
            If the table has users that the graph does not have.
        """
        import ibis

        unit, _ = checked_roles(self._named_spec())
        old, new = self.source, self.columns()
        if isinstance(old, pd.DataFrame):
            kept_columns = old.drop(columns=[c for c in new.columns[1:] if c in old.columns])
            at = positions(old[unit], new[unit])
            made = new.drop(columns=unit).iloc[at].set_axis(old.index)
            return pd.concat([kept_columns, made], axis=1)
        table, made = (
            old.drop(*[c for c in new.columns[1:] if c in old.columns]),
            ibis.memtable(new),
        )
        if self.graph is None:
            check_known(table, made, unit)
        return table.inner_join(made, unit)

    def experiment(self, spec: ModelSpec | None = None) -> Experiment:
        """Return the validated experiment, which knows this exposure.

        Parameters
        ----------
        spec : ModelSpec, optional
            Another specification of the same design, such as one for another outcome; its section
            on exposure may be left out.
        """
        if spec is not None and spec.exposure is None:
            spec = spec.model_copy(update={"exposure": self._named_spec().exposure})
        return Experiment(self, spec or self._named_spec())


def expose(
    edges: Any,
    users: Any,
    spec: ModelSpec,
    *,
    mapping: ExposureMapping | None = None,
    mechanism: Mechanism | None = None,
    method: Method = "auto",
    draws: int = 10_000,
    seed: int = 0,
) -> Exposure:
    """Go from a table of edges and an assignment of clusters to every user's exposure.

    Parameters
    ----------
    edges : DataFrame, Table, path or ibis.Table
        One row per edge, with the columns that ``spec.exposure`` names.
    users : DataFrame, Table, path or ibis.Table
        One row per user: ``spec.design`` names the columns of unit, cluster, treatment and strata.
        Its spillover column need not be there; it is what is made here.
    spec : ModelSpec
        The specification, with a section ``[exposure]``.
    mapping : ExposureMapping, optional
        When a user is exposed, instead of what the specification says.
    mechanism : Mechanism, optional
        How clusters were assigned, where the specification does not name it, in the order of
        their labels.
    method, draws, seed
        See :func:`exposure_probabilities`.

    Returns
    -------
    Exposure
        Exposures and their probabilities; ``.data`` is the users' table with the new columns and
        ``.experiment()`` what :func:`fit` and :func:`compare` take.

    Raises
    ------
    SpecError
        If the specification has no section on exposure, no unit or no spillover column.
    DataError
        If edges or users cannot be used; see :class:`CollaborationGraph`.
    DesignError
        If the mechanism cannot have made the assignment, or two of them are named.

    Examples
    --------
    >>> from bayescluster.simulate import GraphScenario
    >>> scenario = GraphScenario(n_clusters=10, cluster_size=20)
    >>> exposure = expose(*scenario.simulate(seed=1), scenario.spec)
    >>> exposure.summary()["condition"].tolist()
    ['direct', 'direct_with_exposure', 'spillover', 'pure_control']
    >>> exposure.experiment()
    Experiment(200 units, 5 treated and 5 control clusters, outcome 'outcome')
    """
    unit, options = checked_roles(spec)
    design = spec.design
    if (
        mechanism is not None
    ):  # rerandomisation needs covariates, so its mechanism must be given in code
        check_given(mechanism, None if design.mechanism == "rerandomised" else design.mechanism)
    users = read_once(users)
    graph = CollaborationGraph(
        edges,
        users,
        user=unit,
        cluster=design.cluster,
        options=options,
        by_user=design.level == "unit",
    )
    treated, strata = read_assignment(users, spec, graph)
    exposure = Exposure.of(
        graph.collaborators,
        treated,
        mapping or mapping_of(options),
        mechanism or mechanism_of(design, treated, strata=strata),
        interaction=design.interaction,
        method=method,
        draws=draws,
        seed=seed,
    )
    return replace(exposure, source=_kept_as(users), graph=graph, spec=spec)


def _kept_as(users: Any) -> Any:
    """Return a table of users as pandas frame or Ibis table."""
    import ibis

    return users if isinstance(users, pd.DataFrame | ibis.Table) else open_any(users)


def exposure_of(exp: Experiment) -> Exposure:
    """Return the exposure that an experiment was built from.

    Raises
    ------
    DataError
        If it was not built from one.
    """
    if not isinstance(exp.exposure, Exposure):
        raise DataError(
            "this experiment has no collaboration graph: build it by "
            "expose(edges, users, spec).experiment()"
        )
    return exp.exposure
