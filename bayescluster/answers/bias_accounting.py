"""Bias accounting: the naive estimate's error, split by cause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._support.display import rounded
from .._support.tidy import Tidy


@dataclass(frozen=True)
class BiasAccounting(Tidy):
    """The naive estimate's error, split into contamination and chance imbalance.

    Parameters
    ----------
    naive : float
        Naive estimate.
    direct : float
        Two-exposure estimate of the direct effect.
    std_error : float
        Its cluster-robust standard error: the typical size of chance imbalance.
    truth : float or None
        True direct effect, if known.

    Notes
    -----
    naive - truth = (naive - direct) + (direct - truth), exactly. The first part is contamination.
    By the omitted-variable identity it equals the spillover estimate times the coefficient of
    exposure regressed on treatment; without covariates, -(exposed share of control units) x
    spillover. The second part is chance imbalance: baselines that differ between the arms.
    """

    naive: float
    direct: float
    std_error: float
    truth: float | None = None

    @property
    def contamination(self) -> float:
        """Bias of the naive estimate from exposed controls."""
        return self.naive - self.direct

    @property
    def chance_imbalance(self) -> float:
        """Error of the two-exposure estimate from baselines and noise; NaN without a truth."""
        return np.nan if self.truth is None else self.direct - self.truth

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per component: component, value, note."""
        error = self._shown(self.std_error)
        unknown = f"not observable; its standard error is {error}"
        known = f"baselines and noise that differ between arms; expected SD {error}"
        truth = np.nan if self.truth is None else self.truth
        rows = [
            ("truth", truth, "unknown outside a simulation" if self.truth is None else ""),
            ("chance imbalance", self.chance_imbalance, unknown if self.truth is None else known),
            ("two-exposure estimate", self.direct, "truth + chance imbalance"),
            ("contamination", self.contamination, "control users are partly treated"),
            ("naive estimate", self.naive, "two-exposure estimate + contamination"),
        ]
        return pd.DataFrame(rows, columns=["component", "value", "note"])

    def __str__(self) -> str:
        words = (
            f"Exposed controls move the naive estimate by {self._signed(self.contamination)} "
            f"(from {self._shown(self.direct)} to {self._shown(self.naive)})."
        )
        if self.truth is None:
            return (
                f"{words} Chance imbalance of the clusters' baselines adds an error that cannot be "
                f"seen; its standard error is {self._shown(self.std_error)}."
            )
        return (
            f"{words} Chance imbalance of the clusters' baselines accounts for "
            f"{self._signed(self.chance_imbalance)} more, against a truth of {self.truth:g}."
        )

    def _shown(self, value: float) -> str:
        return rounded(value, self.std_error)

    def _signed(self, value: float) -> str:
        return ("+" if value > 0 else "") + self._shown(value)
