"""Least squares from cluster moments, with cluster-robust inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.tidy import Tidy
from ..data.cluster_moments import ClusterMoments
from ..errors import DesignError
from ..spec.model_spec import DEFAULT_CI_PROB
from .cluster_robust_covariance import (
    Vcov,
    check_scores,
    covariance,
    lacks_standard_error,
    satterthwaite_df,
)
from .estimates_record import Estimates
from .normal_equations import Regression

Distribution = Literal["t", "normal"]


def ols(
    moments: ClusterMoments,
    vcov: Vcov = "CR2",
    *,
    contrasts: Mapping[str, Mapping[str, float]] | None = None,
    distribution: Distribution = "t",
    ci_prob: float = DEFAULT_CI_PROB,
    method: str | None = None,
) -> Estimates:
    """Regress the outcome on an intercept and all regressors, with a robust covariance matrix.

    Parameters
    ----------
    moments : ClusterMoments
        The compressed data. With strata, an intercept per stratum is absorbed exactly, and the
        result has no ``intercept``. The cost depends only on the numbers of clusters and
        regressors.
    vcov : {"CR2", "CR0", "CR1", "CR3", "iid"}
        With G clusters, N units, p coefficients (including stratum intercepts) and scores summed by
        cluster: ``CR0`` is the Liang-Zeger sandwich; ``CR1`` multiplies it by G/(G-1) x (N-1)/(N-p)
        (Stata, statsmodels and pyfixest; clubSandwich calls it CR1S); ``CR2`` is the
        Bell-McCaffrey bias reduction, without a factor; ``CR3`` is the jackknife, (G-1)/G x sum of
        (b(-j) - b)(b(-j) - b)' (clubSandwich's CR3 lacks the factor). ``iid`` is sigma^2 (X'X)^-1
        with divisor N - p.
    contrasts : mapping of str to mapping, optional
        Linear combinations to report after the terms, such as
        ``{"direct - spillover": {"direct": 1, "spillover": -1}}``.
    distribution : {"t", "normal"}
        Reference distribution of intervals and p-values: standard normal, or t with N - p (iid),
        G - 1 (CR0, CR1, CR3) or Satterthwaite (CR2, Bell-McCaffrey) degrees of freedom.
    ci_prob : float
        Probability of the confidence intervals.
    method : str, optional
        Name of the method in the result.

    Returns
    -------
    Estimates
        Terms are ``intercept`` (without strata), the regressors, then the contrasts.

    Raises
    ------
    IdentificationError
        If a regressor is constant or regressors are collinear.
    DesignError
        If there are too few units or clusters for the covariance matrix, or the residuals of each
        cluster sum to zero along every regressor, as with one cluster per arm.

    Warns
    -----
    UserWarning
        For a cluster-robust matrix, if a regressor varies in a single cluster only, such as the
        treatment of one treated cluster. That cluster's residuals sum to zero, so CR0 and CR1 are
        far too small, and CR2 and CR3 use a generalised inverse (MacKinnon & Webb 2018,
        Econometrics Journal 21: 114-135; Pustejovsky & Tipton 2018). A term whose scores all vanish
        has a standard error of NaN.

    References
    ----------
    Liang & Zeger (1986), Biometrika 73: 13-22; Bell & McCaffrey (2002), Survey Methodology 28:
    169-181; Cameron & Miller (2015), Journal of Human Resources 50: 317-372, sections II.C and VI.

    Examples
    --------
    >>> m = ClusterMoments.from_arrays([1.0, 2, 4, 5], [[0], [0], [1], [1]], [1, 2, 3, 4], ["x"])
    >>> ols(m).estimate.round(6)
    array([1.5, 3. ])
    """
    check_choice("vcov", vcov, get_args(Vcov))
    check_choice("distribution", distribution, get_args(Distribution))
    if not 0 < ci_prob < 1:
        raise ValueError(f"ci_prob must lie between 0 and 1; given {ci_prob}")
    fit = Regression.of(moments)
    check_size(fit, vcov)
    rows = np.vstack(
        [np.eye(len(fit.terms)), *(fit.contrast(w) for w in (contrasts or {}).values())]
    )
    undefined = lacks_standard_error(fit, rows) & (vcov != "iid")
    if moments.names and undefined[len(fit.terms) - len(moments.names) : len(fit.terms)].all():
        check_scores(fit, rows, ", ".join(map(repr, moments.names)))
    cov = covariance(fit, vcov, rows)
    cov[undefined] = cov[:, undefined] = np.nan
    return Estimates(
        method=method or f"OLS, {vcov}",
        terms=(*fit.terms, *(contrasts or {})),
        estimate=rows @ fit.estimate,
        cov=cov,
        df=degrees_of_freedom(fit, vcov, rows, distribution),
        ci_prob=ci_prob,
        vcov=vcov,
        n_units=moments.n_units,
        n_clusters=moments.n_clusters,
    )


def degrees_of_freedom(
    fit: Regression, vcov: Vcov, rows: Floats, distribution: Distribution = "t"
) -> Floats:
    """Return the degrees of freedom of each linear combination of terms; shape (len(rows),)."""
    if distribution == "normal":
        return np.full(len(rows), np.inf)
    if vcov == "CR2":
        undefined = lacks_standard_error(fit, rows)
        return np.array(
            [
                np.nan if none else satterthwaite_df(fit, row[None, :])
                for row, none in zip(rows, undefined, strict=True)
            ]
        )
    n, groups = fit.moments.n_units, fit.moments.n_clusters
    return np.full(len(rows), float(n - fit.n_coefficients if vcov == "iid" else groups - 1))


def check_size(fit: Regression, vcov: Vcov) -> None:
    """Raise DesignError if there are too few units or clusters for the covariance matrix."""
    n, groups, p = fit.moments.n_units, fit.moments.n_clusters, fit.n_coefficients
    if n <= p or (vcov != "iid" and groups < 2):
        raise DesignError(
            f"{n:,} units in {groups:,} clusters are too few for {p} coefficients with {vcov} "
            "standard errors"
        )


def check_null(null: float) -> None:
    """Raise ValueError if the null value is not a finite number."""
    if not np.isfinite(null):
        raise ValueError(f"null must be a finite number; given {null}")


def check_choice(name: str, value: str, valid: Sequence[str]) -> None:
    """Raise ValueError if an argument is not one of the valid choices."""
    if value not in valid:
        raise ValueError(f"{name} must be one of {', '.join(valid)}; given {value!r}")


@dataclass(frozen=True)
class WaldTest(Tidy):
    """A joint test that several linear combinations are zero.

    Parameters
    ----------
    hypothesis : tuple of str
        The tested linear combinations.
    statistic : float
        Wald statistic Q.
    f_naive, df_naive, p_naive : float
        Q / h against F(h, G - 1) for h combinations.
    f_htz, df_htz, p_htz : float
        (eta - h + 1) / (eta h) Q against F(h, eta - h + 1), with eta by Satterthwaite matching
        (HTZ); NaN for covariance matrices other than CR2.
    """

    hypothesis: tuple[str, ...]
    statistic: float
    f_naive: float
    df_naive: float
    p_naive: float
    f_htz: float
    df_htz: float
    p_htz: float

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per test: test, f, df_num, df_denom, p_value."""
        h = len(self.hypothesis)
        rows = [
            ("naive F", self.f_naive, h, self.df_naive, self.p_naive),
            ("HTZ", self.f_htz, h, self.df_htz, self.p_htz),
        ]
        return pd.DataFrame(rows, columns=["test", "f", "df_num", "df_denom", "p_value"])


def wald_test(
    moments: ClusterMoments, contrasts: Sequence[Mapping[str, float] | str], vcov: Vcov = "CR2"
) -> WaldTest:
    """Test jointly that linear combinations of coefficients are zero.

    Parameters
    ----------
    moments : ClusterMoments
        The data.
    contrasts : sequence of str or mapping of str to float
        The combinations: a term's name, or weights by term.
    vcov : {"CR2", "CR0", "CR1", "CR3", "iid"}
        Covariance matrix, see :func:`ols`. The small-sample F is available for CR2.

    Returns
    -------
    WaldTest
        Statistic, degrees of freedom and p-value.

    Raises
    ------
    ValueError
        If a term is unknown, there are no combinations or they are linearly dependent.
    DesignError
        As in :func:`ols`.

    References
    ----------
    Pustejovsky & Tipton (2018), Journal of Business & Economic Statistics 36: 672-683 (AHT, called
    HTZ in clubSandwich).
    """
    from scipy import special

    fit = Regression.of(moments)
    check_size(fit, vcov)
    named = [{c: 1.0} if isinstance(c, str) else dict(c) for c in contrasts]
    rows = np.array([fit.contrast(weights) for weights in named])
    h = len(rows)
    if not h:
        raise ValueError("give at least one linear combination to test")
    if np.linalg.matrix_rank(rows) < h:
        raise ValueError(
            f"the {h} combinations are linearly dependent; leave out the redundant ones"
        )
    names = tuple(" + ".join(f"{w:g} {term}" for term, w in weights.items()) for weights in named)
    if vcov != "iid":
        check_scores(fit, rows, " or ".join(names))
    value = rows @ fit.estimate
    q = float(value @ np.linalg.solve(covariance(fit, vcov, rows), value))
    df = float(degrees_of_freedom(fit, "iid" if vcov == "iid" else "CR1", rows[:1])[0])
    f_htz = df_htz = p_htz = np.nan
    if vcov == "CR2":
        eta = satterthwaite_df(fit, rows)
        df_htz = eta - h + 1
        if df_htz > 0:
            f_htz = df_htz / (eta * h) * q
            p_htz = float(special.fdtrc(h, df_htz, f_htz))
    return WaldTest(names, q, q / h, df, float(special.fdtrc(h, df, q / h)), f_htz, df_htz, p_htz)
