"""Estimators that know how probable each user's exposure was under the design."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..data.cluster_moments import ClusterMoments
from ..data.experiment import Experiment
from ..errors import DesignError
from ..exposure.expose import exposure_of
from .cluster_robust_covariance import Vcov
from .estimates_record import Estimates
from .exposure_contrasts import MIN_PROBABILITY, ExposureContrast, exposure_contrast
from .ols import ols
from .standard_regressions import two_exposure


def hajek(exp: Experiment, **settings: Any) -> ExposureContrast:
    """Estimate effects by Hajek contrasts: weighted means of exposure conditions.

    Consistent rather than unbiased, as :func:`horvitz_thompson` is, with much the smaller variance.

    Parameters
    ----------
    exp : Experiment
        An experiment with a collaboration graph (``expose(...).experiment()``); covariates and
        strata are not adjusted for.
    **settings
        See :func:`exposure_contrast`: kind, min_probability, variance, bound, draws, seed.

    Returns
    -------
    ExposureContrast
        Direct and spillover effect, and what they are averages over.
    """
    settings = {"kind": "hajek", "ci_prob": exp.spec.report.ci_prob, **settings}
    return exposure_contrast(exposure_of(exp), exp.outcomes(), **settings)


def horvitz_thompson(exp: Experiment, **settings: Any) -> ExposureContrast:
    """Estimate effects as :func:`hajek`, dividing by the number of users instead of the weights.

    Unbiased over the assignments that the design could have made, for any outcomes, but with a
    large variance. If exposure is a dose, both contrast any exposure with none.

    Parameters
    ----------
    exp : Experiment
        As for :func:`hajek`.
    **settings
        As for :func:`hajek`.

    Returns
    -------
    ExposureContrast
        Direct and spillover effect, and what they are averages over.
    """
    return hajek(exp, kind="horvitz_thompson", **settings)


def exposure_weighted_ols(
    exp: Experiment, vcov: Vcov = "CR2", *, min_probability: float = MIN_PROBABILITY
) -> Estimates:
    """Regress the outcome on the exposures, weighted by inverse exposure probabilities.

    Without covariates the coefficients are Hajek contrasts, among users who can be in every
    condition. Standard errors treat clusters as independent given the graph: right where a user's
    error has nothing to do with other clusters, while exposure itself is shared between users of
    different clusters who touch the same ones.

    Parameters
    ----------
    exp : Experiment
        An experiment with a collaboration graph; strata are absorbed, covariates not adjusted for.
    vcov : {"CR2", "CR0", "CR1", "CR3", "iid"}
        Covariance matrix, see :func:`ols`.
    min_probability : float
        Users for whom a condition is less probable are left out.

    Returns
    -------
    Estimates
        Terms intercept, direct, spillover (interaction).

    Raises
    ------
    DesignError
        If a condition has no user left, or exposure is a dose: among exposed users the dose
        goes with degree, which these weights do not undo.
    """
    exposure, y = exposure_of(exp), exp.outcomes()
    if exposure.mapping.is_dose:
        raise DesignError(
            f"exposure is a dose ({exposure.mapping}): inverse-probability weights are those of "
            "being exposed at all; take recentred_ols, or a mapping with a threshold"
        )
    arms = exposure.arms
    lowest = np.min([p for _, p in arms.values()], axis=0)
    used = np.isfinite(y) & (lowest > 0) & (lowest >= min_probability)
    for name, (inside, _) in arms.items():
        if not (inside & used).any():
            raise DesignError(
                f"none of the {int(used.sum()):,} users who can be in every condition with "
                f"probability {min_probability:g} or more is in condition {name!r}; lower "
                "min_probability, or ask for another mapping"
            )
    weight = 1 / exposure.probability[used]
    columns = {"direct": exposure.treated, "spillover": exposure.spillover}
    if exposure.interaction:
        columns["interaction"] = exposure.treated * exposure.value
    moments = exp.moments()
    strata = None
    if moments.strata is not None:
        labels = exposure.collaborators.clusters[exposure.collaborators.cluster[used]]
        strata = moments.strata[np.searchsorted(moments.clusters, labels)]
    compressed = ClusterMoments.from_arrays(
        y[used],
        np.column_stack(list(columns.values()))[used].astype(float),
        exposure.collaborators.clusters[exposure.collaborators.cluster[used]],
        list(columns),
        outcome=moments.outcome,
        weights=weight / weight.mean(),
        strata=strata,
    )
    return ols(
        compressed,
        vcov,
        ci_prob=exp.spec.report.ci_prob,
        method=f"exposure-weighted OLS, {vcov}",
    )


def recentred_ols(exp: Experiment, vcov: Vcov = "CR2") -> Estimates:
    """Regress the outcome on the exposures and the expected exposure.

    The expected exposure over the assignments that could have been is all of the graph that
    exposure depends on: given it, who is exposed is random. Adjusting for it gives the
    same estimand as subtracting it from the exposure, with less noise (Borusyak & Hull 2023,
    Econometrica 91: 2155-2185, section 3.3).

    Parameters
    ----------
    exp : Experiment
        An experiment with a collaboration graph; its covariates and strata are adjusted for too.
    vcov : {"CR2", "CR0", "CR1", "CR3", "iid"}
        Covariance matrix, see :func:`ols`.

    Returns
    -------
    Estimates
        Terms ``intercept``, ``direct``, ``spillover``, covariates, the expected exposure.

    Raises
    ------
    IdentificationError
        If all users have the same expected exposure: there is then nothing to adjust for.
    """
    found = two_exposure(with_expected(exp), vcov)
    return replace(found, method=f"recentred OLS, {vcov}")


def with_expected(exp: Experiment) -> Experiment:
    """Return the experiment with the expected exposure among its covariates."""
    exposure, name = exposure_of(exp), expected_column(exp)
    outcome = exp.spec.outcome
    if name in outcome.adjusted_for:
        return exp
    more = outcome.model_copy(update={"covariates": (*outcome.covariates, name)})
    return Experiment(exposure, exp.spec.model_copy(update={"outcome": more}))


def unadjusted_ols(exp: Experiment, vcov: Vcov = "CR2") -> Estimates:
    """Regress the outcome on exposure as it comes, without the expected exposure.

    Biased where users who are exposed more often differ otherwise; kept to show by how much.
    """
    return ols(
        exp.moments().without(expected_column(exp)),
        vcov,
        ci_prob=exp.spec.report.ci_prob,
        method=f"two-exposure OLS without expected exposure, {vcov}",
    )


def expected_column(exp: Experiment) -> str:
    """Return the name of the expected exposure's column."""
    assert exp.spec.exposure is not None
    return exp.spec.exposure.expected
