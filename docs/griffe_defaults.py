"""Parameters that a docstring names in one line: each has its own default, and its own type."""

from __future__ import annotations

from typing import Any

from griffe import DocstringSectionKind, Extension, Function


class EachItsOwn(Extension):
    """Correct Griffe, which gives all parameters of one line the default of the first."""

    def on_function(self, *, func: Function, **_: Any) -> None:
        """Correct the parsed docstring."""
        for section in func.docstring.parsed if func.docstring else ():
            if section.kind is not DocstringSectionKind.parameters:
                continue
            known = [item for item in section.value if item.name in func.parameters]
            first = {item.description: item.name for item in reversed(known)}
            for item in known:
                own, leader = func.parameters[item.name], func.parameters[first[item.description]]
                item.value = own.default
                if str(item.annotation) == str(leader.annotation):  # the line gives no other type
                    item.annotation = own.annotation
