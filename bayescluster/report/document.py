"""The report on one analysis, from the answer down to the appendix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from .appendix import appendix_section
from .assumption_sections import assumptions_section
from .decision_section import decision_section
from .document_parts import Document, Section
from .effect_sections import (
    agreement_section,
    bias_section,
    design_section,
    estimates_section,
    intercepts_section,
)
from .first_screen import first_screen
from .model_sections import convergence_section, predictive_section, sensitivity_section

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis

#: The sections, in the order of the report; None if a design has nothing to show.
SECTIONS: tuple[Callable[[Analysis], Section | None], ...] = (
    design_section,
    estimates_section,
    bias_section,
    agreement_section,
    intercepts_section,
    assumptions_section,
    convergence_section,
    predictive_section,
    sensitivity_section,
    decision_section,
    appendix_section,
)


def document(analysis: Analysis) -> Document:
    """Return the report on an analysis."""
    made = (section(analysis) for section in SECTIONS)
    return replace(
        first_screen(analysis),
        sections=tuple(section for section in made if section is not None),
    )
