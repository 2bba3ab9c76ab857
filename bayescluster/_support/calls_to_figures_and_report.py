"""Calls from a result up to its plot in figures/ and its text in report/.

A result in a lower room cannot import those rooms, so their functions are looked up by name when
they are called. No other module of a lower room may import a higher one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(name: str, result: Any, *figure: Figure | None) -> Figure:
    """Return the plot of a result.

    Parameters
    ----------
    name : str
        Module and function in figures/, such as ``"forest_plot.forest"``.
    result : object
        Object to draw.
    *figure : Figure, optional
        Figure to draw into, if the function takes one.

    Raises
    ------
    LookupError
        If figures/ has no such function.
    """
    return _named("figures", name)(result, *figure)


def write(name: str, *arguments: Any) -> Any:
    """Return the value of a function in report/, such as ``"first_screen.conclusions"``.

    Raises
    ------
    LookupError
        If report/ has no such function.
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
