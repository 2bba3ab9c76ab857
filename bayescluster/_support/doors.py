"""The two ways from a result to the rooms above it: to its plot in figures/, its text in report/.

A result in a lower room cannot import those rooms. Their functions are looked up by name when they
are called. No other module of a lower room may import a higher one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(name: str, result: Any, *figure: Figure | None) -> Figure:
    """Draw a result.

    Parameters
    ----------
    name : str
        Module and function in figures/, such as ``"effects.forest"``.
    result : object
        What is drawn.
    *figure : Figure, optional
        What to draw into, where the function takes one.

    Raises
    ------
    LookupError
        Where there is no such function.
    """
    return _named("figures", name)(result, *figure)


def write(name: str, *arguments: Any) -> Any:
    """Return what a function in report/, such as ``"sentences.verdict"``, makes of a result.

    Raises
    ------
    LookupError
        Where there is no such function.
    """
    return _named("report", name)(*arguments)


def _named(room: str, name: str) -> Any:
    module, _, function = name.rpartition(".")
    path = f"bayescluster.{room}.{module}"
    try:
        return getattr(import_module(path), function)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
    except AttributeError:
        pass
    raise LookupError(f"{room}/ has no function {name!r}")
