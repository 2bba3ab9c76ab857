"""Every user's exposure under one assignment, beside its probabilities under the design."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .._support.arrays import Booleans, Floats, Integers
from .._support.tidy import Tidy
from ..data.conditions import GRAPH_CONDITIONS, graph_condition
from .collaboration_graph import CollaborationGraph
from .collaborators import Collaborators
from .mappings import ExposureMapping
from .probability_of_exposure import ExposureProbabilities


@dataclass(frozen=True, eq=False)
class MappedExposure(Tidy):
    """What a mapping makes of an assignment, and of those that were not made.

    Users are in the order of their ids.

    Parameters
    ----------
    collaborators : Collaborators
        Collaborators by unit of assignment.
    mapping : ExposureMapping
        When a user is exposed.
    assignment : ndarray of bool, shape (U,)
        Which units are treated.
    value : ndarray, shape (n,)
        Exposure, 0 or 1 or a dose, for treated and untreated users alike.
    probabilities : ExposureProbabilities
        Of every condition, for every user.
    interaction : bool
        Whether exposure of treated users is an exposure of its own; otherwise the spillover
        regressor is that of untreated users only.
    graph : CollaborationGraph, optional
        The graph.
    """

    collaborators: Collaborators
    mapping: ExposureMapping
    assignment: Booleans
    value: Floats
    probabilities: ExposureProbabilities
    interaction: bool = False
    graph: CollaborationGraph | None = field(default=None, repr=False)

    @property
    def treated(self) -> Booleans:
        """Each user's own treatment; shape (n,)."""
        return self.assignment[self.collaborators.unit]

    @property
    def condition(self) -> Integers:
        """Each user's exposure condition, as position in `GRAPH_CONDITIONS`; shape (n,)."""
        return graph_condition(self.treated, self.value > 0)

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
            for i, name in enumerate(GRAPH_CONDITIONS)
        }
        if not self.interaction:
            exposed, probability = found.pop("direct_with_exposure")
            found["direct"] = found["direct"][0] | exposed, found["direct"][1] + probability
        return found

    @property
    def probability(self) -> Floats:
        """Probability of the condition (of `arms`) that each user was in; shape (n,)."""
        total = np.zeros(self.collaborators.n_users)
        for inside, probability in self.arms.values():
            total[inside] = probability[inside]
        return total

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per user.

        Columns user, cluster, treated, exposure, condition, spillover, expected_exposure and, for
        each condition, probability_<condition>.
        """
        t = self.collaborators
        table = pd.DataFrame(
            {
                "user": t.users,
                "cluster": t.clusters[t.cluster],
                "treated": self.treated.astype(int),
                "exposure": self.value,
                "condition": pd.Categorical.from_codes(self.condition, list(GRAPH_CONDITIONS)),
                "spillover": self.spillover,
                "expected_exposure": self.expected,
            }
        )
        for i, name in enumerate(GRAPH_CONDITIONS):
            table[f"probability_{name}"] = self.probabilities.condition[:, i]
        return table

    def summary(self) -> pd.DataFrame:
        """Return one row per condition: condition, users, mean probability of being in it."""
        rows = [
            (name, int((self.condition == i).sum()), float(p.mean()))
            for i, (name, p) in enumerate(
                zip(GRAPH_CONDITIONS, self.probabilities.condition.T, strict=True)
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
            for count, name in zip(counts, GRAPH_CONDITIONS, strict=True)
        )
        return (
            f"{type(self).__name__}({self.collaborators.n_users:,} users: {told}; {self.mapping})"
        )
