"""The PyMC model, to be read: three observed nodes, whatever the number of units.

:mod:`bayescluster.bayes.likelihood` derives them. The linear predictors are written as elementwise
products and sums: a matrix product would bring BLAS into the graph and make its compilation several
times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..experiment import Experiment
from ..priors import Prior
from .likelihood import GaussianStatistics

if TYPE_CHECKING:
    import pymc as pm
    from pytensor.tensor.variable import TensorVariable


def build_model(exp: Experiment) -> pm.Model:
    """Return the Gaussian hierarchical model of an experiment.

    Parameters
    ----------
    exp : Experiment
        Data and specification.

    Returns
    -------
    pymc.Model
        Free variables intercept_mean, direct, spillover (where there is one), one per covariate
        under its own name, stratum_effect[stratum] (where there are strata; it sums to zero),
        between_sd and within_sd; in the outcome's unit. Observed: cluster_mean, within_score,
        within_ss. The cluster intercepts are integrated out; :func:`fit` recovers them.

    Raises
    ------
    FitError
        Where the outcome has no residual variation within clusters.
    """
    import pymc as pm

    data = gaussian_statistics(exp)
    priors = resolved_priors(exp)
    moments = exp.moments()
    # Coordinates by position: labels of any type are put on the posterior afterwards.
    sizes = {"cluster": moments.n_clusters, "within": len(data.within_score)}
    if "stratum_effect" in priors:
        sizes["stratum"] = len(moments.stratum_levels)

    with pm.Model(coords={dim: np.arange(size) for dim, size in sizes.items()}) as model:
        intercept_mean = priors["intercept_mean"].to_pymc("intercept_mean")
        effects = [priors[name].to_pymc(name) for name in data.names]
        level = intercept_mean
        if "stratum_effect" in priors:
            sigma = np.float64(priors["stratum_effect"].parameters["sigma"])
            stratum_effect = pm.ZeroSumNormal("stratum_effect", sigma, dims="stratum")
            level = intercept_mean + stratum_effect[moments.stratum_code]
        between_sd = priors["between_sd"].to_pymc("between_sd")
        within_sd = priors["within_sd"].to_pymc("within_sd")

        pm.Normal(
            "cluster_mean",
            mu=level + _linear(data.regressor_mean, effects),
            sigma=pm.math.sqrt(between_sd**2 + within_sd**2 / data.n),
            observed=data.outcome_mean,
            dims="cluster",
        )
        if len(data.within_score):
            pm.Normal(
                "within_score",
                mu=_linear(data.within_root, effects),
                sigma=within_sd,
                observed=data.within_score,
                dims="within",
            )
        pm.Gamma(
            "within_ss",
            alpha=np.float64(data.within_df / 2),  # PyTensor holds a bare 16.5 as float32
            beta=1 / (2 * within_sd**2),
            observed=data.within_ss,
        )
    return model


def gaussian_statistics(exp: Experiment) -> GaussianStatistics:
    """Return the statistics that the model is built from, covariates centred at their means."""
    moments = exp.moments()
    grand_mean = dict(zip(moments.names, moments.grand_mean + moments.origin, strict=False))
    center = {name: grand_mean[name] for name in exp.spec.outcome.covariates}
    return GaussianStatistics.of(moments, center)


def resolved_priors(exp: Experiment) -> dict[str, Prior]:
    """Return the prior of every parameter in the outcome's own unit.

    Priors in units of the outcome's SD use the SD of all units; that of ``intercept_mean`` counts
    from the mean of all units, that of a covariate per SD of the covariate.
    """
    moments, spec = exp.moments(), exp.spec
    sd = float(moments.sd[-1])
    center = float(moments.grand_mean[-1] + moments.origin[-1])
    priors = {
        "intercept_mean": spec.priors.intercept_mean.in_outcome_units(sd, center),
        "direct": spec.priors.direct.in_outcome_units(sd),
    }
    if exp.has_spillover:
        priors["spillover"] = spec.priors.spillover.in_outcome_units(sd)
    for name in spec.outcome.covariates:
        scale = sd / float(moments.sd[moments.column(name)])
        priors[name] = spec.prior_of(name).in_outcome_units(scale)
    if spec.design.strata:
        priors["stratum_effect"] = spec.priors.stratum_effect.in_outcome_units(sd)
    for name in ("between_sd", "within_sd"):
        priors[name] = getattr(spec.priors, name).in_outcome_units(sd)
    return priors


def _linear(x: np.ndarray, effects: list[TensorVariable]) -> TensorVariable:
    """Return x b, shape (rows,), without a matrix product."""
    return sum(x[:, i] * effect for i, effect in enumerate(effects))
