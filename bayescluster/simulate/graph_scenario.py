"""Workspaces whose users collaborate, with a known interference process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from .._support.arrays import Booleans, Floats
from ..assignment.mechanisms import Complete
from ..exposure.collaboration_graph import CollaborationGraph
from ..spec.model_spec import ModelSpec


@dataclass(frozen=True)
class GraphScenario:
    """A cluster-randomised experiment on a collaboration graph, with a known truth.

    The graph is drawn once, from `graph_seed`: most users (locals) have ties in their own workspace
    and few outside, some (bridges) have many outside. Experiments on it differ in assignment,
    baselines and noise.

    Parameters
    ----------
    n_clusters : int
        Number of workspaces, K; half of them are treated.
    cluster_size : int
        Users of each.
    bridge_share : float
        Share of users who are bridges.
    local_ties, bridge_ties : float
        Mean number of ties outside the own workspace that a local, and a bridge, makes (Poisson).
    within_ties : float
        Mean number of ties inside that each user makes (Poisson).
    reach : int
        Workspaces lie on a ring, and ties outside go to the `reach` nearest ones on either side;
        0 for any.
    intercept, direct, spillover : float
        Mean of pure controls without ties outside, and the two effects: spillover is that of at
        least one treated collaborator outside, on untreated users.
    degree_effect : float
        How much higher the baseline is per unit of log(1 + collaborators outside): what confounds
        exposure with degree.
    between_sd, within_sd : float
        Standard deviations of workspaces' baselines and of users.
    graph_seed : int
        Seed of the graph.

    Examples
    --------
    >>> edges, users = GraphScenario(n_clusters=6, cluster_size=10).simulate(seed=1)
    >>> list(users.columns)
    ['user', 'workspace', 'treated', 'outcome']
    """

    n_clusters: int = 40
    cluster_size: int = 50
    bridge_share: float = 0.1
    local_ties: float = 0.5
    bridge_ties: float = 6.0
    within_ties: float = 4.0
    reach: int = 0
    intercept: float = 5.0
    direct: float = 0.5
    spillover: float = 0.2
    degree_effect: float = 0.4
    between_sd: float = 0.2
    within_sd: float = 0.8
    graph_seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "n_clusters": self.n_clusters >= 4,
            "cluster_size": self.cluster_size >= 2,
            "bridge_share": 0 <= self.bridge_share <= 1,
            "reach": 0 <= 2 * self.reach < self.n_clusters,
            **{
                name: getattr(self, name) >= 0
                for name in ("local_ties", "bridge_ties", "within_ties", "between_sd", "within_sd")
            },
        }
        if wrong := [name for name, holds in limits.items() if not holds]:
            given = {name: getattr(self, name) for name in wrong}
            raise ValueError(
                f"the scenario is impossible: {given}; see the limits in its docstring"
            )

    @property
    def spec(self) -> ModelSpec:
        """The specification that analyses the simulated tables, with the expected exposure."""
        return ModelSpec(
            title="Simulated experiment on a collaboration graph",
            design={
                "cluster": "workspace",
                "treatment": "treated",
                "spillover": "spillover",
                "unit": "user",
            },
            outcome={"column": "outcome", "covariates": ("expected_exposure",)},
            exposure={},
        )

    @cached_property
    def edges(self) -> pd.DataFrame:
        """The ties: columns from and to; a pair may occur more than once."""
        rng = np.random.default_rng(self.graph_seed)
        k, size = self.n_clusters, self.cluster_size
        n = k * size
        bridge = rng.random(n) < self.bridge_share
        outside = rng.poisson(np.where(bridge, self.bridge_ties, self.local_ties))
        inside = rng.poisson(self.within_ties, n)
        source = np.concatenate([np.repeat(np.arange(n), outside), np.repeat(np.arange(n), inside)])
        m = int(outside.sum())
        own = source // size
        if self.reach:
            step = rng.integers(1, self.reach + 1, m) * rng.choice((-1, 1), m)
        else:
            step = rng.integers(1, k, m)
        cluster = own.copy()
        cluster[:m] = (own[:m] + step) % k
        target = cluster * size + rng.integers(0, size, len(source))
        keep = source != target
        return pd.DataFrame({"from": source[keep], "to": target[keep]})

    @cached_property
    def graph(self) -> CollaborationGraph:
        """The graph as the package reads it."""
        return CollaborationGraph(self.edges, self._users, user="user", cluster="workspace")

    @property
    def _users(self) -> pd.DataFrame:
        n = self.n_clusters * self.cluster_size
        return pd.DataFrame({"user": np.arange(n), "workspace": np.arange(n) // self.cluster_size})

    def simulate(self, seed: int | None = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Draw one experiment.

        Returns
        -------
        edges : DataFrame
            Columns from and to.
        users : DataFrame
            Columns user, workspace, treated, outcome.
        """
        rng = np.random.default_rng(seed)
        assignment = Complete(self.n_clusters, self.n_clusters // 2).draw(rng, 1)[0]
        users = self._users
        treated = assignment[users["workspace"].to_numpy()]
        return self.edges, users.assign(
            treated=treated.astype(int), outcome=self.outcomes(assignment, rng)
        )

    def outcomes(self, assignment: Booleans, rng: np.random.Generator) -> Floats:
        """Draw outcomes under an assignment of the workspaces (K,); shape (n,)."""
        collaborators = self.graph.collaborators
        exposed = (collaborators.matrix("collaborators") @ assignment.astype(float)) > 0
        treated = assignment[collaborators.unit]
        mean = self.intercept + self.degree_effect * np.log1p(collaborators.degree)
        mean = mean + self.direct * treated + self.spillover * (exposed & ~treated)
        baseline = rng.normal(0, self.between_sd, self.n_clusters)[collaborators.unit]
        return np.asarray(mean + baseline + rng.normal(0, self.within_sd, collaborators.n_users))
