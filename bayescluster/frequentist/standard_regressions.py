"""The three standard regressions: naive, cluster means, and two exposures."""

from __future__ import annotations

from collections.abc import Mapping

from ..data.experiment import Experiment
from ..errors import DesignError
from .cluster_robust_covariance import Vcov
from .estimates_record import Estimates
from .ols import Distribution, ols


def naive_ols(
    exp: Experiment, vcov: Vcov = "iid", *, distribution: Distribution = "t"
) -> Estimates:
    """Regress the outcome on the treatment as if units were independent and without spillover.

    This is the user-level A/B test that the package replaces. It shows the bias from contaminated
    controls, and the overconfidence from assuming independent errors.

    Parameters
    ----------
    exp : Experiment
        The experiment; its covariates and strata are adjusted for.
    vcov : {"iid", "CR0", "CR1", "CR2", "CR3"}
        Covariance matrix, see :func:`ols`; a cluster-robust one corrects the overconfidence, but
        not the bias.
    distribution : {"t", "normal"}
        Reference distribution of intervals and p-values.

    Returns
    -------
    Estimates
        Terms ``intercept`` (without strata), ``direct`` (here the contrast between arms),
        covariates.
    """
    return ols(
        exp.naive_moments(),
        vcov,
        distribution=distribution,
        ci_prob=exp.spec.report.ci_prob,
        method="naive OLS" if vcov == "iid" else f"naive OLS, {vcov}",
    )


def cluster_wls(
    exp: Experiment, vcov: Vcov = "iid", *, distribution: Distribution = "t"
) -> Estimates:
    """Regress cluster means on the treatment, weighted by cluster size.

    There is one observation per cluster, so only independence between clusters is assumed;
    spillover still contaminates the contrast.

    Parameters
    ----------
    exp : Experiment
        The experiment; covariates enter as cluster means (covariates with constant means are left
        out), strata are absorbed.
    vcov : {"iid", "CR0", "CR1", "CR2", "CR3"}
        ``iid`` is the classical covariance matrix of weighted least squares,
        s^2 (Xbar' diag(n) Xbar)^-1 with s^2 the weighted residual sum of squares over J - p. The
        others are heteroskedasticity-robust (HC0 to HC3, one mean per cluster), see :func:`ols`.
    distribution : {"t", "normal"}
        Reference distribution of intervals and p-values, t with J - p degrees of freedom for iid.

    Returns
    -------
    Estimates
        Terms ``intercept`` (without strata), ``direct`` (here the contrast between arms),
        covariates.

    Raises
    ------
    DesignError
        If there are no more clusters than coefficients, or clusters are partly treated.
    """
    check_whole_clusters(exp)
    return ols(
        exp.naive_moments().between(),
        vcov,
        distribution=distribution,
        ci_prob=exp.spec.report.ci_prob,
        method="cluster WLS" if vcov == "iid" else f"cluster WLS, {vcov}",
    )


def two_exposure(
    exp: Experiment,
    vcov: Vcov = "CR2",
    *,
    contrasts: Mapping[str, Mapping[str, float]] | None = None,
    distribution: Distribution = "t",
) -> Estimates:
    """Regress the outcome on direct treatment and spillover exposure, cluster-robust.

    Parameters
    ----------
    exp : Experiment
        The experiment; its covariates and strata are adjusted for. Without a spillover column, this
        is the cluster-robust regression on the treatment alone.
    vcov : {"CR2", "CR0", "CR1", "CR3", "iid"}
        Covariance matrix, see :func:`ols`.
    contrasts : mapping of str to mapping, optional
        Linear combinations to report after the terms, see :func:`ols`.
    distribution : {"t", "normal"}
        Reference distribution of intervals and p-values.

    Returns
    -------
    Estimates
        Terms ``intercept`` (without strata), ``direct``, ``spillover`` (if the design has it),
        covariates, contrasts.

    Examples
    --------
    >>> from bayescluster import Experiment
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> found = two_exposure(exp)
    >>> found.terms
    ('intercept', 'direct', 'spillover')
    >>> low, high = found.ci[1]
    >>> bool(low < found.estimate[1] < high)
    True
    """
    kind = "two-exposure OLS" if exp.has_spillover else "OLS"
    return ols(
        exp.moments(),
        vcov,
        contrasts=contrasts,
        distribution=distribution,
        ci_prob=exp.spec.report.ci_prob,
        method=f"{kind}, {vcov}",
    )


def check_whole_clusters(exp: Experiment) -> None:
    """Raise DesignError if clusters are partly treated, because then their means define no arms."""
    if exp.spec.design.level == "unit":
        raise DesignError(
            "single units of a cluster were treated (level = 'unit'): methods that compare or "
            "reassign whole clusters do not apply"
        )
