"""The [exposure] section of a specification: how to read the graph and define exposure."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from .spec_table import Table

Name = Annotated[str, StringConstraints(min_length=1)]
Direction = Literal["both", "in", "out"]
MappingName = Literal["any", "at_least", "share", "share_above", "within_share"]


class ExposureSpec(Table):
    """How to compute exposure from a table of edges.

    Parameters
    ----------
    source, target : str
        Columns of an edge's two users, such as the writer and the reader of a message.
    weight : str, optional
        Column of the edge's weight, not negative (messages, minutes); without it each row counts 1.
    kind : str, optional
        Column of the edge's kind (message, document, review) ...
    kinds : tuple of str
        ... and the kinds to keep; empty for all.
    time : str, optional
        Column of the edge's time ...
    window : pair, optional
        ... and the window to keep, [from, to): numbers, dates, or times (with a time zone if the
        column has one). Use edges from before the experiment: the treatment may cause later ones.
    direction : {"both", "in", "out"}
        Whose treatment reaches a user: the users at the other end of any edge, of incoming edges
        (the user is the target), or of outgoing edges.
    self_loops : {"drop", "error"}
        Edges from a user to the same user: drop and count them, or refuse the data.
    duplicates : {"merge", "error"}
        Several rows of one pair (in one direction): add up their weights, or refuse the data.
    unknown_users : {"error", "drop"}
        Edges of users who are not in the users' table: refuse the data, or drop and count them.
    hops : {1, 2}
        1: exposure comes from collaborators. 2: from their collaborators too.
    mapping : {"any", "at_least", "share", "share_above", "within_share"}
        What exposes a user: any treated collaborator in another cluster; at least `k` of them; the
        weighted share of collaborators in other clusters who are treated (a dose); a share above
        `threshold`; or, in a partial rollout, the share within the user's own cluster.
    k : int
        For at_least: the smallest number ...
    of : {"collaborators", "clusters"}
        ... of treated collaborators, or of the clusters that they belong to.
    threshold : float
        For share_above: the share that must be exceeded, in [0, 1).
    expected : str
        Name of the column that receives the expected exposure; list it among the outcome's
        covariates to adjust for it.
    """

    source: Name = "from"
    target: Name = "to"
    weight: Name | None = None
    kind: Name | None = None
    kinds: tuple[str, ...] = ()
    time: Name | None = None
    window: tuple[int | float | datetime | date, int | float | datetime | date] | None = None
    direction: Direction = "both"
    self_loops: Literal["drop", "error"] = "drop"
    duplicates: Literal["merge", "error"] = "merge"
    unknown_users: Literal["error", "drop"] = "error"
    hops: Literal[1, 2] = 1
    mapping: MappingName = "any"
    k: int = Field(default=1, ge=1)
    of: Literal["collaborators", "clusters"] = "collaborators"
    threshold: float = Field(default=0.0, ge=0, lt=1)
    expected: Name = "expected_exposure"

    @model_validator(mode="after")
    def _keys_fit_together(self) -> Self:
        if self.kinds and self.kind is None:
            raise ValueError("kinds needs a kind column")
        if (self.window is None) != (self.time is None):
            raise ValueError("time and window go together: the column, and [from, to)")
        if self.window is not None:
            low, high = self.window
            try:
                rising = low < high  # type: ignore[operator]
            except TypeError:
                raise ValueError(
                    f"window must be two numbers, two dates or two times; given {low!r}, {high!r}"
                ) from None
            if not rising:
                raise ValueError(f"window must be [from, to) with from < to; given {self.window}")
        if self.k != 1 and self.mapping != "at_least":
            raise ValueError("k belongs to mapping 'at_least'")
        if self.threshold and self.mapping != "share_above":
            raise ValueError("threshold belongs to mapping 'share_above'")
        if len({self.source, self.target}) < 2:
            raise ValueError("source and target must be two different columns")
        return self

    @property
    def columns(self) -> dict[str, str]:
        """Column of each role in the edge table; roles without a column are left out."""
        roles = ("source", "target", "weight", "kind", "time")
        return {role: column for role in roles if (column := getattr(self, role)) is not None}
