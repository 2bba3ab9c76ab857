"""The base class of every table of a specification: frozen, with helpful error messages."""

from __future__ import annotations

import difflib
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import SpecError


class Table(BaseModel):
    """A frozen table whose errors are :class:`SpecError`; unknown keys name the valid ones."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = [_explain(dict(problem), type(self)) for problem in error.errors()]
            raise SpecError("; ".join(problems)) from None


def _explain(problem: dict[str, Any], table: type[BaseModel]) -> str:
    """Describe one problem; for a nested table, pydantic wraps the message it has raised."""
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        valid = list(table.model_fields)
        near = difflib.get_close_matches(where, valid, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"unknown key {where!r}{hint}; valid keys here: {', '.join(valid)}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
