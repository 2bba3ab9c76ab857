"""Influence of single clusters: leverage, leave-one-out estimates, effective number of clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from ..data.cluster_moments import ClusterMoments
from ..data.experiment import Experiment
from .cluster_robust_covariance import hat_eigen, inverse_power
from .normal_equations import Regression


def leave_one_out(fit: Regression) -> Floats:
    """Return the coefficients without each cluster, in the user's units; shape (J, m).

    The deviation is -(I - P_j)^-1 s_j in orthonormal coordinates, exact without refitting.
    """
    value, vector = hat_eigen(fit)
    rotated = inverse_power(value, 1.0) * np.einsum("jab,ja->jb", vector, fit.score)
    moved = np.einsum("jab,jb->ja", vector, rotated)
    return fit.estimate - moved @ fit.to_user.T


def influence(
    exp: Experiment, term: str = "direct", *, moments: ClusterMoments | None = None
) -> pd.DataFrame:
    """Return the influence of each cluster on one coefficient of the two-exposure regression.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    term : str
        The coefficient.
    moments : ClusterMoments, optional
        The moments of the regression, such as those of :func:`average_moments`; by default the
        experiment's own.

    Returns
    -------
    DataFrame
        One row per cluster: cluster, n_units, treated, share (of all units), leverage (trace of its
        block of the hat matrix), partial_leverage (its share of the variation that identifies the
        term), estimate_without (the coefficient without the cluster); sorted by the change when the
        cluster is left out.

    References
    ----------
    MacKinnon, Nielsen & Webb (2023), Stata Journal 23: 942-982.
    """
    fit = Regression.of(exp.moments() if moments is None else moments)
    row = fit.contrast({term: 1.0})
    t = fit.to_user.T @ row
    without = leave_one_out(fit) @ row
    frame = pd.DataFrame(
        {
            "cluster": fit.moments.clusters,
            "n_units": fit.moments.n.astype(np.int64),
            "treated": exp.treated,
            "share": fit.moments.n / fit.moments.n.sum(),
            "leverage": np.einsum("jaa->j", fit.leverage),
            "partial_leverage": np.einsum("a,jab,b->j", t, fit.leverage, t) / (t @ t),
            "estimate_without": without,
        }
    )
    change = np.abs(without - row @ fit.estimate)
    return frame.iloc[np.argsort(-change, kind="stable")].reset_index(drop=True)


def effective_clusters(
    exp: Experiment,
    term: str = "direct",
    rho: float | None = None,
    *,
    moments: ClusterMoments | None = None,
) -> float:
    """Return the effective number of clusters G* for one coefficient.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    term : str
        The coefficient of the two-exposure regression.
    rho : float, optional
        Assumed intracluster correlation of the errors, in [0, 1]; estimated by default
        (:func:`residual_icc`).
    moments : ClusterMoments, optional
        The moments of the regression, such as those of :func:`average_moments`; by default the
        experiment's own.

    Returns
    -------
    float
        G / (1 + Gamma), with Gamma the squared coefficient of variation of the clusters'
        contributions gamma_g = (1 - rho) t'P_g t + rho (t'c_g)^2 to the coefficient's variance,
        where c_g sums the orthonormal coordinates of the cluster's units. At most G; much smaller
        if clusters have unequal sizes or few of them identify the term.

    References
    ----------
    Carter, Schnepel & Steigerwald (2017), Review of Economics and Statistics 99: 698-709.
    """
    fit = Regression.of(exp.moments() if moments is None else moments)
    rho = residual_icc(fit) if rho is None else rho
    if not 0 <= rho <= 1:
        raise ValueError(f"rho must lie in [0, 1]; given {rho}")
    t = fit.to_user.T @ fit.contrast({term: 1.0})
    own = np.einsum("a,jab,b->j", t, fit.leverage, t)
    together = (coordinate_sums(fit) @ t) ** 2
    gamma = (1 - rho) * own + rho * together
    return float(len(gamma) / (1 + gamma.var() / gamma.mean() ** 2))


def residual_icc(fit: Regression) -> float:
    """Return the intracluster correlation of the residuals, by one-way analysis of variance.

    Donner & Koval (1980), Biometrics 36: 19-25; negative estimates are returned as zero.
    """
    n = fit.moments.n
    contrast = np.r_[0.0, -fit.coefficients, 1.0]
    total = np.einsum("a,jab,b->j", contrast, fit.gram, contrast)
    mean = fit.score[:, 0] * fit.stratum_root / n  # mean residual of each cluster
    between = float(n @ mean**2) / (len(n) - 1)
    within = float((total - n * mean**2).sum()) / max(n.sum() - len(n), 1)
    size = (n.sum() - (n**2).sum() / n.sum()) / (len(n) - 1)
    if between + (size - 1) * within <= 0:
        return 0.0
    return float(np.clip((between - within) / (between + (size - 1) * within), 0, 1))


def coordinate_sums(fit: Regression) -> Floats:
    """Return the sums of the orthonormal coordinates over each cluster's units; shape (J, q)."""
    return fit.gram[:, 0, :-1] * fit.stratum_root[:, None]
