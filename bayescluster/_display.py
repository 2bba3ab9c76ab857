"""How results show themselves: from one tidy table, as text and as HTML."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pandas as pd


class Tidy(ABC):
    """A result that gives one tidy table, from which its text and HTML derive."""

    @abstractmethod
    def to_dataframe(self) -> pd.DataFrame:
        """Return the result as a tidy table, unrounded."""

    def __str__(self) -> str:
        return self.to_dataframe().to_string(index=False, float_format=lambda x: f"{x:.4g}")

    def _repr_html_(self) -> str:
        return self.to_dataframe().to_html(index=False, float_format=lambda x: f"{x:.4g}")
