"""Exposure of the users of one experiment, with its probabilities under the design."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._support.arrays import Booleans, Floats, Integers
from .._support.display import Tidy
from ..assignment.mechanisms import Assignment
from ..data.sources import open_any, read_once
from ..errors import DesignError
from ..spec.model_spec import ModelSpec
from .collaboration_graph import CollaborationGraph
from .collaborators import Touches
from .condition_probabilities import (
    CONDITIONS,
    ExposureProbabilities,
    Method,
    check_size,
    exposure_probabilities,
)
from .mappings import ExposureMapping, mapping_of
from .users_table import (
    MADE,
    assigned,
    check_known,
    checked_roles,
    mechanism_in,
    positions,
)

if TYPE_CHECKING:
    from ..data.experiment import Experiment
    from .positivity import Positivity


@dataclass(frozen=True, eq=False)
class Exposure(Tidy):
    """Every user's exposure under the assignment that was made, and under those that were not.

    Users are in the order of their ids.

    Parameters
    ----------
    touches : Touches
        Collaborators by unit of assignment.
    mapping : ExposureMapping
        When a user is exposed.
    mechanism : Assignment
        How the units were assigned.
    assignment : ndarray of bool, shape (U,)
        Which units are treated.
    value : ndarray, shape (n,)
        Exposure, 0 or 1 or a dose, whatever the user's own treatment.
    probabilities : ExposureProbabilities
        Of every condition, for every user.
    interaction : bool
        Whether exposure of treated users is an exposure of its own; otherwise the spillover
        regressor is that of untreated users only.
    source : object, optional
        The users' table that the exposure belongs to.
    graph : CollaborationGraph, optional
        The graph.
    spec : ModelSpec, optional
        The specification.
    """

    touches: Touches
    mapping: ExposureMapping
    mechanism: Assignment
    assignment: Booleans
    value: Floats
    probabilities: ExposureProbabilities
    interaction: bool = False
    source: Any = field(default=None, repr=False)
    graph: CollaborationGraph | None = field(default=None, repr=False)
    spec: ModelSpec | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        touches: Touches,
        treated: ArrayLike,
        mapping: ExposureMapping,
        mechanism: Assignment,
        *,
        interaction: bool = False,
        method: Method = "auto",
        draws: int = 10_000,
        seed: int = 0,
    ) -> Exposure:
        """Map an assignment to exposures.

        Parameters
        ----------
        touches : Touches
            The graph: ``CollaborationGraph(...).touches``.
        treated : array-like of bool, shape (U,)
            Which units (clusters, in the order of their labels) are treated.
        mapping, mechanism, interaction
            See :class:`Exposure`.
        method, draws, seed
            See :func:`exposure_probabilities`.

        Raises
        ------
        DesignError
            Where the mechanism cannot have made the assignment.
        """
        check_size(touches, mechanism)
        mechanism.check(treated)
        assignment = np.asarray(treated).astype(bool)
        found = exposure_probabilities(
            touches, mapping, mechanism, method=method, draws=draws, seed=seed
        )
        value = mapping.values(touches, assignment[None, :])[:, 0]
        return cls(touches, mapping, mechanism, assignment, value, found, interaction)

    def for_users(self, users: Any, spec: ModelSpec) -> Exposure:
        """Return the exposure as that of a table of users, such as simulated ones on one graph."""
        unit, _ = checked_roles(spec)
        source = _kept_as(users)
        if not isinstance(source, pd.DataFrame):
            check_known(source, self.touches.users, unit)
        return replace(self, source=source, spec=spec)

    @property
    def treated(self) -> Booleans:
        """Each user's own treatment; shape (n,)."""
        return self.assignment[self.touches.unit]

    @property
    def condition(self) -> Integers:
        """Each user's exposure condition, as position in `CONDITIONS`; shape (n,)."""
        return 2 * self.treated.astype(np.int64) + (self.value > 0)

    @property
    def spillover(self) -> Floats:
        """The spillover regressor: exposure, of untreated users only without interaction; (n,)."""
        return self.value if self.interaction else self.value * ~self.treated

    @property
    def expected(self) -> Floats:
        """Expectation of `spillover` over the assignments that the design could have made; (n,).

        What to adjust for (or subtract): Borusyak & Hull (2023), Econometrica 91: 2155-2185.
        """
        arms = self.probabilities.expected
        return arms.sum(axis=1) if self.interaction else arms[:, 0]

    @property
    def arms(self) -> dict[str, tuple[Booleans, Floats]]:
        """The conditions that estimators compare: who is in each (n,), and its probability (n,).

        Without interaction, treated users are one condition, ``direct``, exposed or not.
        """
        found = {
            name: (self.condition == i, self.probabilities.condition[:, i])
            for i, name in enumerate(CONDITIONS)
        }
        if not self.interaction:
            exposed, probability = found.pop("direct_with_exposure")
            found["direct"] = found["direct"][0] | exposed, found["direct"][1] + probability
        return found

    @property
    def probability(self) -> Floats:
        """Probability of the condition (of `arms`) that each user was in; shape (n,)."""
        total = np.zeros(self.touches.n_users)
        for inside, probability in self.arms.values():
            total[inside] = probability[inside]
        return total

    @cached_property
    def positivity(self) -> Positivity:
        """Who could have been in which condition; see :class:`Positivity`."""
        from .positivity import Positivity

        return Positivity.of(self)

    def to_dataframe(self) -> pd.DataFrame:
        """Return a row a user.

        Columns user, cluster, treated, exposure, condition, spillover, expected_exposure and, for
        each condition, probability_<condition>.
        """
        t = self.touches
        table = pd.DataFrame(
            {
                "user": t.users,
                "cluster": t.clusters[t.cluster],
                "treated": self.treated.astype(int),
                "exposure": self.value,
                "condition": pd.Categorical.from_codes(self.condition, list(CONDITIONS)),
                "spillover": self.spillover,
                "expected_exposure": self.expected,
            }
        )
        for i, name in enumerate(CONDITIONS):
            table[f"probability_{name}"] = self.probabilities.condition[:, i]
        return table

    def columns(self) -> pd.DataFrame:
        """Return what the users' table gets: the user, and the new columns by their names there.

        The spillover regressor and the expected exposure, as the specification names them,
        ``exposure_condition`` and ``exposure_probability`` (of the condition that the user is in).
        """
        spec = self._named_spec()
        unit, options = checked_roles(spec)
        return pd.DataFrame(
            {
                unit: self.touches.users,
                str(spec.design.spillover): self.spillover,
                options.expected: self.expected,
                MADE[0]: np.array(CONDITIONS)[self.condition],
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
            Where the table has users that the graph does not have.
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
        from ..data.experiment import Experiment

        if spec is not None and spec.exposure is None:
            spec = spec.model_copy(update={"exposure": self._named_spec().exposure})
        return Experiment(self, spec or self._named_spec())

    def summary(self) -> pd.DataFrame:
        """Return a row a condition: condition, users, mean probability of being in it."""
        rows = [
            (name, int((self.condition == i).sum()), float(p.mean()))
            for i, (name, p) in enumerate(
                zip(CONDITIONS, self.probabilities.condition.T, strict=True)
            )
        ]
        return pd.DataFrame(rows, columns=["condition", "users", "mean_probability"])

    def __str__(self) -> str:
        return f"{self!r}\n{self.summary().to_string(index=False)}"

    def _repr_html_(self) -> str:
        return self.summary().to_html(index=False, float_format=lambda x: f"{x:.4g}")

    def __repr__(self) -> str:
        counts = np.bincount(self.condition, minlength=4)
        told = ", ".join(
            f"{count:,} {name.replace('_', ' ')}"
            for count, name in zip(counts, CONDITIONS, strict=True)
        )
        return f"Exposure({self.touches.n_users:,} users: {told}; {self.mapping})"


def expose(
    edges: Any,
    users: Any,
    spec: ModelSpec,
    *,
    mapping: ExposureMapping | None = None,
    mechanism: Assignment | None = None,
    method: Method = "auto",
    draws: int = 10_000,
    seed: int = 0,
) -> Exposure:
    """Go from a table of edges and an assignment of clusters to every user's exposure.

    Parameters
    ----------
    edges : DataFrame, Table, path or ibis.Table
        One row an edge, with the columns that ``spec.exposure`` names.
    users : DataFrame, Table, path or ibis.Table
        One row a user: ``spec.design`` names the columns of unit, cluster, treatment and strata.
        Its spillover column need not be there; it is what is made here.
    spec : ModelSpec
        The specification, with a section ``[exposure]``.
    mapping : ExposureMapping, optional
        When a user is exposed, instead of what the specification says.
    mechanism : Assignment, optional
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
        Where the specification has no section on exposure, no unit or no spillover column.
    DataError
        Where edges or users cannot be used; see :class:`CollaborationGraph`.
    DesignError
        Where the mechanism cannot have made the assignment, or two of them are named.

    Examples
    --------
    >>> from bayescluster.simulate import GraphScenario
    >>> scenario = GraphScenario(n_clusters=10, cluster_size=20)
    >>> exposure = expose(*scenario.simulate(seed=1), scenario.spec)
    >>> exposure.summary()["condition"].tolist()
    ['pure_control', 'spillover', 'direct', 'direct_with_exposure']
    >>> exposure.experiment()
    Experiment(200 units, 5 treated and 5 control clusters, outcome 'outcome')
    """
    unit, options = checked_roles(spec)
    design = spec.design
    if mechanism is not None and design.mechanism not in (None, "rerandomised"):
        raise DesignError(
            f"the specification names mechanism {design.mechanism!r}, and another one is given: "
            "leave out one of them"
        )
    users = read_once(users)
    graph = CollaborationGraph(
        edges,
        users,
        user=unit,
        cluster=design.cluster,
        options=options,
        by_user=design.level == "unit",
    )
    found = assigned(users, spec, graph)
    exposure = Exposure.of(
        graph.touches,
        found["treated"],
        mapping or mapping_of(options),
        mechanism or mechanism_in(graph.touches, found, spec),
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
