"""Results with one tidy table, and how tables are shown."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pandas as pd

from .display import number
from .text_tables import text_table


class Tidy(ABC):
    """A result with one tidy table, from which its text and HTML are made."""

    @abstractmethod
    def to_dataframe(self) -> pd.DataFrame:
        """Return the result as a tidy table, unrounded."""

    def __str__(self) -> str:
        return text_table(self.to_dataframe())

    def _repr_html_(self) -> str:
        return self.to_dataframe().to_html(index=False, float_format=number)
