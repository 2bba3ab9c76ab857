"""The outcome families: one record each, in a file of its own.

A file in this folder that defines ``FAMILY`` is a family; nothing else lists them.
"""

from __future__ import annotations

import difflib
import pkgutil
from importlib import import_module

from .family import CellDensity, ExtraParameter, Family, FamilyWords, Support

__all__ = ["FAMILIES", "CellDensity", "ExtraParameter", "Family", "FamilyWords", "Support", "known"]


def _discover() -> dict[str, Family]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [import_module(f"{__name__}.{name}") for name in names]
    families = [module.FAMILY for module in modules if hasattr(module, "FAMILY")]
    return {family.name: family for family in families}


#: Every family by its name.
FAMILIES = _discover()


def check_family_name(name: str) -> str:
    """Return the name if it is a family's; raise ValueError, listing the families, otherwise."""
    if name in FAMILIES:
        return name
    near = difflib.get_close_matches(name, FAMILIES, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"unknown family {name!r}{hint}; valid families: {', '.join(FAMILIES)}")
