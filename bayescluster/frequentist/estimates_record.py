"""The record that every frequentist estimator returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.tidy import Tidy

#: Columns of every frequentist result, in order.
COLUMNS = [
    "method",
    "term",
    "estimate",
    "std_error",
    "df",
    "ci_lower",
    "ci_upper",
    "ci_prob",
    "p_value",
]


@dataclass(frozen=True, eq=False)
class Estimates(Tidy):
    """Coefficients with their covariance matrix and reference distribution.

    Parameters
    ----------
    method : str
        Name of the method, such as ``two-exposure OLS, CR1``.
    terms : tuple of str
        Names of the p coefficients; the first is ``intercept``.
    estimate : ndarray, shape (p,)
        Coefficients, in units of outcome per regressor.
    cov : ndarray, shape (p, p)
        Their estimated covariance matrix.
    df : ndarray, shape (p,)
        Degrees of freedom of the t reference distribution; infinite for the normal one.
    ci_prob : float
        Probability of the confidence intervals.
    vcov : str
        Kind of covariance matrix: iid, CR0, CR1.
    n_units, n_clusters : int
        Size of the data.
    """

    method: str
    terms: tuple[str, ...]
    estimate: Floats
    cov: Floats
    df: Floats
    ci_prob: float
    vcov: str
    n_units: int
    n_clusters: int

    @property
    def std_error(self) -> Floats:
        """Standard errors; shape (p,)."""
        return np.sqrt(np.diag(self.cov))

    @property
    def ci(self) -> Floats:
        """Confidence intervals, lower and upper; shape (p, 2)."""
        half = _t_quantile(0.5 + self.ci_prob / 2, self.df) * self.std_error
        return np.column_stack([self.estimate - half, self.estimate + half])

    @property
    def p_value(self) -> Floats:
        """Two-sided p-values of each coefficient being zero; shape (p,)."""
        from scipy import special

        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.abs(self.estimate / self.std_error)
        finite = np.where(np.isfinite(self.df), self.df, 1.0)
        tail = np.where(
            np.isfinite(self.df), special.stdtr(finite, -statistic), special.ndtr(-statistic)
        )
        return 2 * tail

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per coefficient, with the columns that all frequentist results share."""
        return pd.DataFrame(
            {
                "method": self.method,
                "term": self.terms,
                "estimate": self.estimate,
                "std_error": self.std_error,
                "df": self.df,
                "ci_lower": self.ci[:, 0],
                "ci_upper": self.ci[:, 1],
                "ci_prob": self.ci_prob,
                "p_value": self.p_value,
            }
        )


def _t_quantile(probability: float, df: Floats) -> Floats:
    from scipy import special

    finite = np.where(np.isfinite(df), df, 1.0)
    return np.where(
        np.isfinite(df), special.stdtrit(finite, probability), special.ndtri(probability)
    )
