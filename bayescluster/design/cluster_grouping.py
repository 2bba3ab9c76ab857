"""Groupings of clusters into units of randomisation that cut ties between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._support.arrays import Booleans, Floats, Integers
from .._support.calls_to_figures_and_report import draw
from .._support.tidy import Tidy
from ..assignment.mechanisms import Complete
from ..errors import DesignError
from ..exposure.collaboration_graph import CollaborationGraph
from ..exposure.collaborators import Collaborators
from ..exposure.mappings import AtLeast, ExposureMapping
from ..exposure.probability_of_exposure import exposure_probabilities
from .exposure_plan import condition_probabilities, cross_arms, cross_clusters
from .graph_partitions import LEAST_UNITS, Partitions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Objective = Literal["leiden", "leiden_modularity"]

#: Column of the units in the table that `Groupings.assign` returns.
UNIT_COLUMN = "randomisation_unit"


@dataclass(frozen=True, eq=False)
class Groupings(Tidy):
    """Groupings of clusters into units of randomisation: fewer units against less spillover.

    Parameters
    ----------
    table : DataFrame
        One row per grouping, most units (no grouping) first: units; cross_units, share of ties that
        cross units; cross_arms, the share expected to cross arms where half of the units are
        treated; spillover and pure_control, the users expected in these conditions; smallest,
        largest (users of a unit) and size_cv (their coefficient of variation); design_effect;
        std_error of the difference between arms, in SDs of the outcome; half_width of its 95%
        interval (t with units - 2 degrees of freedom); pareto, whether no other grouping has both
        fewer ties across units and a narrower interval.
    labels : dict of int to ndarray, shape (J,)
        Unit of each cluster, from 0, by number of units.
    clusters : ndarray, shape (J,)
        Cluster labels, sorted.
    cluster : str
        Column of the clusters in the users' table.
    icc, unit_icc : float
        Correlation of users of one cluster, and of users of two clusters of one unit.
    collaborators : Collaborators
        The graph that the groupings are of.
    """

    table: pd.DataFrame
    labels: dict[int, Integers]
    clusters: NDArray[Any]
    cluster: str
    icc: float
    unit_icc: float
    collaborators: Collaborators = field(repr=False)

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def assign(self, units: int) -> pd.DataFrame:
        """Return the unit of randomisation of each cluster in one of the groupings.

        Join it to the users' table and name its column the cluster of the design, when the
        assignment is drawn and when the experiment is analysed: the cluster is what was randomised.

        Parameters
        ----------
        units : int
            Number of units: one of those in the table.

        Returns
        -------
        DataFrame
            The column of the clusters, and ``randomisation_unit``, from 0 to units - 1.

        Raises
        ------
        ValueError
            If there is no such grouping.

        Examples
        --------
        >>> from bayescluster import ModelSpec
        >>> from bayescluster.simulate import GraphScenario
        >>> scenario = GraphScenario(n_clusters=12, reach=1)
        >>> edges, users = scenario.simulate()
        >>> found = group_clusters(scenario.graph, [6])
        >>> users = users.merge(found.assign(6), on="workspace")
        >>> spec = ModelSpec(
        ...     design={
        ...         "cluster": "randomisation_unit",
        ...         "treatment": "treated",
        ...         "spillover": "spillover",
        ...         "unit": "user",
        ...     },
        ...     outcome={"column": "outcome", "covariates": ["expected_exposure"]},
        ...     exposure={},
        ... )
        >>> int(users["randomisation_unit"].nunique())
        6
        """
        return pd.DataFrame({self.cluster: self.clusters, UNIT_COLUMN: self._labels(units)})

    def grouped(self, units: int) -> Collaborators:
        """Return the graph with one of the groupings' units for clusters, for `plan_exposure`."""
        return grouped(self.collaborators, self._labels(units))

    def _labels(self, units: int) -> Integers:
        if units not in self.labels:
            known = ", ".join(map(str, self.labels))
            raise ValueError(f"there is no grouping into {units} units; there are {known}")
        return self.labels[units]

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw ties across units and arms by number of units, and the trade-off with precision."""
        return draw("exposure.groupings", self, figure)


def group_clusters(
    graph: CollaborationGraph,
    n_units: int | Iterable[int] | None = None,
    *,
    method: Objective = "leiden",
    mapping: ExposureMapping | None = None,
    icc: float = 0.05,
    unit_icc: float | None = None,
    seed: int = 0,
) -> Groupings:
    """Group clusters into units of randomisation, so that fewer ties cross units.

    Parameters
    ----------
    graph : CollaborationGraph
        The graph.
    n_units : int or iterable of int, optional
        Numbers of units, from 4 (two an arm) to the number of clusters. By default those that the
        graph suggests (as the resolution varies) and halvings of the number of clusters. No
        grouping is always among them.
    method : {"leiden", "leiden_modularity"}
        What is optimised by the Leiden algorithm: ties within units less `resolution` times pairs
        of users (the constant Potts model with clusters weighted by their users, which keeps units
        comparable), or pairs of ends of ties (modularity).
    mapping : ExposureMapping, optional
        When a user is exposed; by default with any treated collaborator outside the own unit.
    icc : float
        Assumed correlation of the outcomes of two users of one cluster.
    unit_icc : float, optional
        That of two users of different clusters of one unit; by default `icc`, the worst case. With
        0 grouping costs degrees of freedom only.
    seed : int
        Of the algorithm, which moves clusters in random order.

    Returns
    -------
    Groupings
        One row per grouping. Expected users and ties across arms are those under complete
        randomisation of half of the units, by closed form if the mapping has one.

    Raises
    ------
    DesignError
        If a number of units is not possible, or single users are assigned.

    Notes
    -----
    Standard errors are a guide: ``2 sqrt(design_effect / users)`` SDs of the outcome, with
    ``design_effect = 1 + icc (C - 1) + unit_icc (U - C)``, where C and U are the mean number of
    users of one's own cluster and unit, that is sums of squared sizes over users. With one cluster
    a unit this is ``1 + ((1 + cv^2) m - 1) icc`` (Kish 1965, Survey Sampling, section 5.4; Eldridge
    et al. 2006, International Journal of Epidemiology 35: 1292-1300). A number of units that no
    resolution yields is reached by merging, two by two, those units of the next finer grouping
    with most ties for their sizes. Traag, Waltman & van Eck (2019), Scientific Reports 9: 5233;
    Traag, Van Dooren & Nesterov (2011), Physical Review E 84: 016114.

    igraph's source of random numbers is set for the call, and then back to Python's.

    Examples
    --------
    >>> from bayescluster.simulate import GraphScenario
    >>> found = group_clusters(GraphScenario(n_clusters=20, reach=1).graph, [10, 5])
    >>> found.table["units"].tolist()
    [20, 10, 5]
    >>> bool(found.table["cross_units"].is_monotonic_decreasing)
    True
    """
    unit_icc = icc if unit_icc is None else unit_icc
    _check(graph, method, icc, unit_icc)
    sizes = np.bincount(graph.one_hop.unit, minlength=len(graph.clusters))
    search = Partitions.of(graph.one_hop, sizes, by_ties=method == "leiden_modularity", seed=seed)
    wanted = None if n_units is None else _numbers(n_units, len(graph.clusters))
    labels = search.suggested() if wanted is None else {k: search.into(k) for k in wanted}
    labels = {len(sizes): np.arange(len(sizes)), **labels}
    labels = dict(sorted(labels.items(), reverse=True))
    mapping = mapping or AtLeast(1)
    table = pd.DataFrame(
        [_row(graph, label, mapping, sizes, icc, unit_icc) for label in labels.values()]
    )
    table["pareto"] = _undominated(table[["cross_units", "half_width"]].to_numpy())
    return Groupings(
        table, labels, graph.clusters, graph.names["cluster"], icc, unit_icc, graph.collaborators
    )


def grouped(collaborators: Collaborators, unit: Integers) -> Collaborators:
    """Return a graph whose clusters, and units of assignment, are groups of clusters.

    Parameters
    ----------
    collaborators : Collaborators
        The graph, whole clusters being assigned.
    unit : ndarray, shape (J,)
        Group of each cluster, 0 to k - 1.
    """
    k = int(unit.max()) + 1
    key = collaborators.user * k + unit[collaborators.other]
    distinct, at = np.unique(key, return_inverse=True)
    own = unit[collaborators.unit]
    return replace(
        collaborators,
        clusters=np.arange(k),
        cluster=own,
        unit=own,
        n_units=k,
        start=np.searchsorted(distinct, k * np.arange(collaborators.n_users + 1)),
        other=(distinct % k).astype(np.int32),
        count=np.bincount(at, collaborators.count, minlength=len(distinct)).astype(np.int32),
        weight=np.bincount(at, collaborators.weight, minlength=len(distinct)),
    )


def _check(graph: CollaborationGraph, method: str, icc: float, unit_icc: float) -> None:
    if not isinstance(graph, CollaborationGraph):
        raise TypeError(f"graph must be a CollaborationGraph, not {type(graph).__name__}")
    if method not in ("leiden", "leiden_modularity"):
        raise ValueError(f"method must be leiden or leiden_modularity; given {method!r}")
    for name, value in (("icc", icc), ("unit_icc", unit_icc)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1]; given {value}")
    if graph.one_hop.by_user:
        raise DesignError(
            "single users are assigned in this graph (by_user): there are no clusters to group"
        )
    if (j := len(graph.clusters)) < LEAST_UNITS:
        raise DesignError(
            f"{j} clusters cannot be grouped: {LEAST_UNITS} units, two an arm, are the least"
        )


def _numbers(n_units: int | Iterable[int], clusters: int) -> list[int]:
    """Return the numbers of units asked for."""
    given = [n_units] if isinstance(n_units, int | np.integer) else list(n_units)
    wrong = [k for k in given if k != int(k) or not LEAST_UNITS <= k <= clusters]
    if wrong or not given:
        raise DesignError(
            f"n_units must be whole numbers from {LEAST_UNITS} (two units an arm) to the "
            f"{clusters:,} clusters; given {', '.join(map(str, wrong)) or 'none'}"
        )
    return [int(k) for k in given]


def _row(
    graph: CollaborationGraph,
    unit: Integers,
    mapping: ExposureMapping,
    sizes: Integers,
    icc: float,
    unit_icc: float,
) -> dict[str, Any]:
    """Describe one grouping."""
    k = int(unit.max()) + 1
    mechanism = Complete(k, k // 2)
    ties = grouped(graph.one_hop, unit)
    collaborators = (
        ties if graph.collaborators is graph.one_hop else grouped(graph.collaborators, unit)
    )
    expected = condition_probabilities(
        exposure_probabilities(collaborators, mapping, mechanism), False
    )
    users = np.bincount(unit, sizes, minlength=k)
    return {
        "units": k,
        "cross_units": cross_clusters(ties),
        "cross_arms": cross_arms(ties, mechanism.blocks()),
        "spillover": float(expected["spillover"].sum()),
        "pure_control": float(expected["pure_control"].sum()),
        "smallest": int(users.min()),
        "largest": int(users.max()),
        "size_cv": float(users.std() / users.mean()),
        **_precision(sizes.astype(float), users, icc, unit_icc),
    }


def _precision(sizes: Floats, users: Floats, icc: float, unit_icc: float) -> dict[str, float]:
    """Return design effect, standard error and half-width of the interval, in outcome SDs."""
    from scipy import special

    n = float(sizes.sum())
    own, unit = float(sizes @ sizes) / n, float(users @ users) / n
    effect = 1 + icc * (own - 1) + unit_icc * (unit - own)
    error = 2 * float(np.sqrt(effect / n))
    half = float(special.stdtrit(len(users) - 2, 0.975)) * error
    return {"design_effect": effect, "std_error": error, "half_width": half}


def _undominated(costs: Floats) -> Booleans:
    """Say which rows (r, c) are not beaten: no other is as good throughout and better in one."""
    no_worse = (costs[:, None, :] <= costs[None, :, :]).all(axis=2)
    better = (costs[:, None, :] < costs[None, :, :]).any(axis=2)
    return np.asarray(~(no_worse & better).any(axis=0))
