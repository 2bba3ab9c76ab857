"""The PyMC models: few observed nodes for any number of units.

:mod:`.gaussian.gaussian_likelihood` derives the three nodes of the gaussian model,
:mod:`.cells.intercept_quadrature` the integrals of the others. Linear predictors are elementwise
products and sums, because a matrix product would bring BLAS into the graph and multiply its
compilation time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.experiment import Experiment
from .cells.cell_models import add_integrated_likelihood, add_sampled_likelihood
from .gaussian.gaussian_slopes import add_slopes_likelihood
from .model_inputs import ModelKind, gaussian_statistics, model_kind
from .pymc_model_parts import Holder, Parameters, linear

if TYPE_CHECKING:
    import pymc as pm


def build_model(exp: Experiment, *, as_data: bool = False) -> pm.Model:
    """Return the hierarchical model of an experiment.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    as_data : bool
        Whether the data and the priors' parameters are ``pm.Data``, so that one compiled model
        serves other data; otherwise they are constants, which gives a simpler graph.

    Returns
    -------
    pymc.Model
        Free variables: intercept_mean; direct; spillover, interaction and within_spillover, if the
        design has them; one per covariate under its own name; stratum_effect[stratum] (with strata;
        it sums to zero); between_sd (by arm, if specified); within_sd (gaussian, lognormal,
        student_t); direct_sd and spillover_sd (of varying effects); overdispersion or
        degrees_of_freedom. They are in the outcome's unit or on the link scale.
        The cluster intercepts are integrated out and :func:`fit` recovers them. They are sampled
        only if integrating them would be slower (see `model_kind`).

    Raises
    ------
    FitError
        If the outcome has no residual variation within clusters.
    """
    import pymc as pm

    with pm.Model(coords=_coords(exp)) as model:
        hold = Holder(as_data)
        LIKELIHOODS[model_kind(exp)](exp, Parameters.declare(exp, hold), hold)
    return model


def add_gaussian_likelihood(exp: Experiment, parameters: Parameters, hold: Holder) -> None:
    """Observe cluster means, the regression within clusters, and the residual sum of squares."""
    import pymc as pm

    data, effects = gaussian_statistics(exp), parameters.effects
    within_sd = parameters.within_sd
    pm.Normal(
        "cluster_mean",
        mu=parameters.level + linear(hold("regressor_mean", data.regressor_mean), effects),
        sigma=pm.math.sqrt(parameters.between_sd**2 + within_sd**2 / hold("n_units", data.n)),
        observed=hold("cluster_mean_observed", data.outcome_mean),
        dims="cluster",
    )
    if len(data.within_score):
        pm.Normal(
            "within_score",
            mu=linear(hold("within_root", data.within_root), effects),
            sigma=within_sd,
            observed=hold("within_score_observed", data.within_score),
        )
    pm.Gamma(
        "within_ss",
        alpha=hold("within_half_df", data.within_df / 2),
        beta=1 / (2 * within_sd**2),
        observed=hold("within_ss_observed", data.within_ss),
    )


#: The likelihood of each kind of model.
LIKELIHOODS: dict[ModelKind, Callable[[Experiment, Parameters, Holder], None]] = {
    ModelKind.GAUSSIAN: add_gaussian_likelihood,
    ModelKind.GAUSSIAN_SLOPES: add_slopes_likelihood,
    ModelKind.CELLS_INTEGRATED: add_integrated_likelihood,
    ModelKind.CELLS_SAMPLED: add_sampled_likelihood,
}


def _coords(exp: Experiment) -> dict[str, Any]:
    """Return coordinates by position; :func:`fit` later replaces them by labels of any type."""
    coords: dict[str, Any] = {"cluster": np.arange(exp.moments().n_clusters)}
    if exp.spec.design.strata:
        coords["stratum"] = np.arange(len(exp.moments().stratum_levels))
    if exp.spec.heterogeneity.between_sd_by_arm:
        coords["arm"] = ["control", "treated"]
    return coords
