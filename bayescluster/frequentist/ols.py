"""Least squares from cluster moments, with cluster-robust covariance matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import DesignError, IdentificationError
from ..moments import ClusterMoments
from ..spec import DEFAULT_CI_PROB
from .estimates import Estimates

Floats = NDArray[np.float64]
Vcov = Literal["iid", "CR0", "CR1"]
Distribution = Literal["t", "normal"]

#: Smallest eigenvalue of the regressors' correlation matrix that still counts as full rank.
RANK_TOLERANCE = 1e-11


@dataclass(frozen=True, eq=False)
class Standardised:
    """Gram matrices of [1, x, y] in units where least squares is well conditioned.

    Parameters
    ----------
    gram : ndarray, shape (J, p + 1, p + 1)
        Per cluster, of the intercept, the p - 1 centred and scaled regressors and the outcome.
    to_user : ndarray, shape (p, p)
        Maps standardised coefficients to the user's units, but for the intercept's `shift`.
    shift : float
        Added to the intercept.
    """

    gram: Floats
    to_user: Floats
    shift: float

    @classmethod
    def of(cls, moments: ClusterMoments) -> Standardised:
        """Centre at the grand mean and scale by the standard deviation.

        Raises
        ------
        IdentificationError
            Where a regressor is constant.
        """
        scale = moments.sd.copy()
        scale[-1] = scale[-1] if scale[-1] > 0 else 1.0
        if constant := [x for x, sd in zip(moments.names, scale, strict=False) if not sd > 0]:
            raise IdentificationError(
                f"regressor {', '.join(map(repr, constant))} is constant in all "
                f"{moments.n_units:,} rows: its coefficient is not identified; leave it out"
            )
        center = moments.grand_mean
        location = center + moments.origin
        to_user = np.diag(np.r_[scale[-1], scale[-1] / scale[:-1]])
        to_user[0, 1:] = -location[:-1] * scale[-1] / scale[:-1]
        return cls(moments.gram(center, scale), to_user, float(location[-1]))

    def solve(self, names: tuple[str, ...]) -> tuple[Floats, Floats]:
        """Return the coefficients, shape (p,), and the inverse Gram matrix, shape (p, p).

        Raises
        ------
        IdentificationError
            Where regressors are collinear; the message names them.
        """
        total = self.gram.sum(axis=0)
        value, vector = np.linalg.eigh(total[1:-1, 1:-1] / total[0, 0])
        if value.size and value[0] < RANK_TOLERANCE:
            involved = [x for x, v in zip(names, vector[:, 0], strict=True) if abs(v) > 1e-3]
            raise IdentificationError(
                f"regressors {', '.join(map(repr, involved))} are collinear: their coefficients "
                "are not identified; leave one of them out"
            )
        inverse = np.linalg.inv(total[:-1, :-1])
        return inverse @ total[:-1, -1], inverse


def ols(
    moments: ClusterMoments,
    vcov: Vcov = "CR1",
    *,
    distribution: Distribution = "t",
    ci_prob: float = DEFAULT_CI_PROB,
    method: str | None = None,
) -> Estimates:
    """Regress the outcome on an intercept and all regressors, with a robust covariance matrix.

    Parameters
    ----------
    moments : ClusterMoments
        The data, compressed. The cost depends on the number of clusters and regressors only.
    vcov : {"CR1", "CR0", "iid"}
        ``iid`` is sigma^2 (X'X)^-1 with divisor N - p. ``CR0`` is the Liang-Zeger sandwich with
        scores summed by cluster; ``CR1`` multiplies it by G/(G-1) x (N-1)/(N-p) for G clusters, N
        units and p coefficients (Stata, statsmodels and pyfixest; clubSandwich calls it CR1S).
    distribution : {"t", "normal"}
        Reference distribution of intervals and p-values: t with N - p (iid) or G - 1 (CR) degrees
        of freedom, or standard normal.
    ci_prob : float
        Probability of the confidence intervals.
    method : str, optional
        Name of the method in the result.

    Returns
    -------
    Estimates
        Terms are ``intercept``, then the regressors.

    Raises
    ------
    IdentificationError
        Where a regressor is constant or regressors are collinear.
    DesignError
        Where there are too few units or clusters for the covariance matrix asked for.

    References
    ----------
    Liang & Zeger (1986), Biometrika 73: 13-22; Cameron & Miller (2015), Journal of Human Resources
    50: 317-372, section II.C.

    Examples
    --------
    >>> m = ClusterMoments.from_arrays([1.0, 2, 4, 5], [[0], [0], [1], [1]], [1, 2, 3, 4], ["x"])
    >>> ols(m).estimate.round(6)
    array([1.5, 3. ])
    """
    _check_choice("vcov", vcov, get_args(Vcov))
    _check_choice("distribution", distribution, get_args(Distribution))
    standardised = Standardised.of(moments)
    coefficients, inverse = standardised.solve(moments.names)
    n, groups, p = moments.n_units, moments.n_clusters, len(coefficients)
    if n <= p or (vcov != "iid" and groups < 2):
        raise DesignError(
            f"{n:,} units in {groups:,} clusters are too few for {p} coefficients with {vcov} "
            "standard errors"
        )
    if vcov == "iid":
        cov = residual_sum_of_squares(standardised.gram, coefficients) / (n - p) * inverse
    else:
        cov = _sandwich(standardised.gram, coefficients, inverse)
        cov *= groups / (groups - 1) * (n - 1) / (n - p) if vcov == "CR1" else 1.0
    return in_user_units(
        standardised,
        coefficients,
        cov,
        moments,
        df=np.inf if distribution == "normal" else n - p if vcov == "iid" else groups - 1,
        ci_prob=ci_prob,
        vcov=vcov,
        method=method or f"OLS, {vcov}",
    )


def residual_sum_of_squares(gram: Floats, coefficients: Floats) -> float:
    """Return the sum of squared residuals from stacked Gram matrices of [1, x, y]."""
    contrast = np.r_[-coefficients, 1.0]
    return float(max(contrast @ gram.sum(axis=0) @ contrast, 0.0))


def _sandwich(gram: Floats, coefficients: Floats, inverse: Floats) -> Floats:
    """Return the CR0 covariance matrix: scores u_j = c_j - A_j b, summed by cluster."""
    scores = gram[:, :-1, -1] - gram[:, :-1, :-1] @ coefficients
    return inverse @ (scores.T @ scores) @ inverse


def in_user_units(
    standardised: Standardised,
    coefficients: Floats,
    cov: Floats,
    moments: ClusterMoments,
    *,
    df: float,
    ci_prob: float,
    vcov: str,
    method: str,
) -> Estimates:
    """Return standardised coefficients and their covariance as estimates in the user's units."""
    if not 0 < ci_prob < 1:
        raise ValueError(f"ci_prob must lie between 0 and 1; given {ci_prob}")
    estimate = standardised.to_user @ coefficients
    estimate[0] += standardised.shift
    return Estimates(
        method=method,
        terms=("intercept", *moments.names),
        estimate=estimate,
        cov=standardised.to_user @ cov @ standardised.to_user.T,
        df=np.full(len(estimate), float(df)),
        ci_prob=ci_prob,
        vcov=vcov,
        n_units=moments.n_units,
        n_clusters=moments.n_clusters,
    )


def _check_choice(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(f"{name} must be one of {', '.join(valid)}; given {value!r}")
