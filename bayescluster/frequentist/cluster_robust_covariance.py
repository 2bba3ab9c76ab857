"""Cluster-robust covariance matrices and their degrees of freedom, by q x q algebra per cluster.

Let P_j be a cluster's block of the hat matrix in orthonormal coordinates (`Regression.leverage`)
and v_j its score. CR0 sums v_j v_j'. CR2 sums w_j w_j' with w_j = (I - P_j)^-1/2 v_j. CR3 uses
w_j = (I - P_j)^-1 v_j, which is the leave-one-cluster-out jackknife.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from .._support.arrays import Booleans, Floats, Integers
from ..errors import DesignError
from .normal_equations import Regression

Vcov = Literal["iid", "CR0", "CR1", "CR2", "CR3"]

#: If a hat-matrix eigenvalue is this close to one, the cluster has no residual in its direction.
SINGULAR = 1e-10
#: A smaller standard error, relative to the largest that the outcome allows, is rounding error.
VANISHING = 1e-10


def covariance(fit: Regression, vcov: Vcov, rows: Floats | None = None) -> Floats:
    """Return the covariance matrix of linear combinations in the user's units; shape (h, h).

    Parameters
    ----------
    fit : Regression
        The fit; G clusters, N units, p coefficients (absorbed stratum intercepts included).
    vcov : {"iid", "CR0", "CR1", "CR2", "CR3"}
        See :func:`bayescluster.ols` for each and its factor.
    rows : ndarray, shape (h, m), optional
        Linear combinations of the terms; the terms themselves by default.

    Warns
    -----
    UserWarning
        For a cluster-robust matrix, if a regressor varies in one cluster only.
    """
    n, groups, p = fit.moments.n_units, fit.moments.n_clusters, fit.n_coefficients
    directions = (fit.to_user if rows is None else rows @ fit.to_user).T  # (q, h)
    if vcov == "iid":
        return fit.residual_sum_of_squares / (n - p) * directions.T @ directions
    scores = adjusted_scores(fit, vcov) @ directions
    factor = {
        "CR1": groups / (groups - 1) * (n - 1) / (n - p),
        "CR3": (groups - 1) / groups,
    }.get(vcov, 1.0)
    return factor * scores.T @ scores


def vanishing(fit: Regression, rows: Floats) -> Booleans:
    """Return which linear combinations have no standard error, as all cluster scores vanish; (h,).

    The residuals of each cluster then sum to zero along the combination for any outcome: one
    cluster per arm, or as many coefficients as clusters. (Or the fit is perfect.)
    """
    directions = (rows @ fit.to_user).T
    found = ((fit.score @ directions) ** 2).sum(axis=0)
    regressor = np.einsum("qh,jqr,rh->jh", directions, fit.leverage, directions)
    possible = fit.gram[:, -1, -1] @ regressor  # by Cauchy-Schwarz
    return np.asarray(found <= VANISHING**2 * possible)


def check_scores(fit: Regression, rows: Floats, what: str) -> None:
    """Raise DesignError if a linear combination has no cluster-robust standard error."""
    if vanishing(fit, rows).any():
        raise DesignError(
            f"the cluster-robust standard error of {what} vanishes: in each of "
            f"{fit.moments.n_clusters:,} clusters the residuals sum to zero along it, as with one "
            "cluster per arm or as many coefficients as clusters; add clusters, or adjust for "
            "fewer covariates"
        )


def adjusted_scores(fit: Regression, vcov: Vcov) -> Floats:
    """Return the scores whose outer products the covariance matrix sums; shape (J, q).

    If a regressor varies in one cluster only, CR2 and CR3 use a generalised inverse.

    Warns
    -----
    UserWarning
        If a regressor varies in one cluster only; the message names clusters and terms.
    """
    value, vector = hat_eigen(fit)
    warn_of_singular(fit, value, vector)
    if vcov in ("CR0", "CR1"):
        return fit.score
    power = inverse_power(value, 0.5 if vcov == "CR2" else 1.0)
    rotated = np.einsum("jab,ja->jb", vector, fit.score)
    return np.einsum("jab,jb->ja", vector, power * rotated)


def hat_eigen(fit: Regression) -> tuple[Floats, Floats]:
    """Return eigenvalues (J, q) and eigenvectors (J, q, q) of each cluster's hat-matrix block."""
    value, vector = np.linalg.eigh(fit.leverage)
    return np.clip(value, 0.0, 1.0), vector


def inverse_power(value: Floats, power: float) -> Floats:
    """Return (1 - value)^-power, or 0 if 1 - value vanishes (the Moore-Penrose inverse)."""
    rest = np.where(value > 1 - SINGULAR, 1.0, 1 - value)
    return np.where(value > 1 - SINGULAR, 0.0, rest**-power)


def alone(value: Floats, vector: Floats) -> Booleans:
    """Return which directions occur in a single cluster only; shape (J, q).

    Only slopes count: a stratum's intercept always has a single cluster if the stratum has one.
    """
    slope_share = (vector[:, 1:, :] ** 2).sum(axis=1)
    return np.asarray((value > 1 - SINGULAR) & (slope_share > 1e-6))


def named(fit: Regression, clusters: Booleans) -> str:
    """Return the labels of the first five of the given clusters, as text."""
    labels = fit.moments.clusters[clusters].tolist()
    return ", ".join(repr(label) for label in labels[:5]) + ", ..." * (len(labels) > 5)


def warn_of_singular(fit: Regression, value: Floats, vector: Floats) -> None:
    """Warn if a slope coordinate occurs in a single cluster, which then has no residual along it.

    The warning names the terms for which such coordinates make up more than 1% of the variance.
    """
    found = alone(value, vector)
    if not found.any():
        return
    share = (fit.to_user @ vector) ** 2 / (fit.to_user**2).sum(axis=1)[:, None]  # (J, m, q)
    touched = ((share > 0.01) & found[:, None, :]).any(axis=(0, 2))
    terms = ", ".join(repr(t) for t, yes in zip(fit.terms, touched, strict=True) if yes)
    warnings.warn(
        f"a regressor varies in a single cluster only ({named(fit, found.any(axis=1))}), whose "
        f"residuals hold no information on it: the cluster-robust standard error of {terms} is too "
        "small and not reliable",
        UserWarning,
        stacklevel=5,
    )


def satterthwaite_df(fit: Regression, contrasts: Floats) -> float:
    """Return the degrees of freedom of the CR2 covariance matrix of linear combinations.

    Parameters
    ----------
    fit : Regression
        The fit.
    contrasts : ndarray, shape (h, m)
        Linear combinations of the terms.

    Returns
    -------
    float
        For h = 1 the Bell-McCaffrey df: (sum of eigenvalues)^2 / sum of squared eigenvalues, for
        the quadratic form of the variance estimator under independent, homoskedastic errors. For
        larger h, the df eta of the approximating Wishart distribution (HTZ).

    References
    ----------
    Bell & McCaffrey (2002), Survey Methodology 28: 169-181; Imbens & Kolesar (2016), Review of
    Economics and Statistics 98: 701-712; Pustejovsky & Tipton (2018), Journal of Business &
    Economic Statistics 36: 672-683, section 3.2.
    """
    value, vector = hat_eigen(fit)
    kept = np.where(value > 1 - SINGULAR, 0.0, value)
    directions = fit.to_user.T @ contrasts.T  # (q, h)
    rotated = np.einsum("jab,ah->jbh", vector, directions)
    own = np.einsum("jbs,jb,jbt->jst", rotated, kept, rotated)  # (J, h, h)
    whiten = np.linalg.inv(np.linalg.cholesky(own.sum(axis=0)))
    own = whiten @ own @ whiten.T
    other = np.einsum("jab,jb,jbh->jha", vector, kept * inverse_power(kept, 0.5), rotated)
    other = np.einsum("sh,jha->jsa", whiten, other)  # (J, h, q)
    h = len(contrasts)
    return float(h * (h + 1) / _wishart_variance(own, other, fit.stratum))


def _wishart_variance(own: Floats, other: Floats, stratum: Integers) -> float:
    """Return the sum of the variances of all entries of the whitened covariance estimator.

    Cluster contributions have covariance own_j with themselves and -other_j other_k' with others
    (stratum coordinate 0 only between clusters of one stratum); the rest is Isserlis' theorem.
    """
    flat = other.reshape(len(other), -1)
    alone = (np.einsum("jaa->j", own) ** 2 + np.einsum("jab,jab->j", own, own)).sum()
    itself = np.einsum("jsa,jta->jst", other, other)
    alone -= (np.einsum("jaa->j", itself) ** 2 + np.einsum("jst,jts->j", itself, itself)).sum()
    shape = other.shape[1:] * 2
    sums = np.zeros((int(stratum.max()) + 1, flat.shape[1], flat.shape[1]))
    np.add.at(sums, stratum, flat[:, :, None] * flat[:, None, :])
    slopes = sums.sum(axis=0).reshape(shape)[:, 1:, :, 1:]
    sums = sums.reshape(-1, *shape)
    sums[:, :, 1:, :, 1:] = 0.0  # slopes are global; the remaining terms concern one stratum each
    pairs = (sums**2).sum() + np.einsum("usatb,utasb->", sums, sums)
    pairs += (slopes**2).sum() + np.einsum("satb,tasb->", slopes, slopes)
    return float(alone + pairs)
