"""The PyMC models, to be read: few observed nodes, whatever the number of units.

:mod:`.gaussian.gaussian_likelihood` derives the gaussian one's three,
:mod:`.cells.intercept_quadrature` the integrals of the others. Linear predictors are
written as elementwise products and sums: a matrix product would bring BLAS into the graph and make
its compilation several times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.experiment import CELL_FAMILIES, Experiment
from .cells.cell_families import EXTRA_PARAMETER
from .model_inputs import gaussian_statistics, resolved_priors, samples_intercepts

if TYPE_CHECKING:
    import pymc as pm

__all__ = ["Parameters", "build_model", "gaussian_statistics", "resolved_priors"]


def build_model(exp: Experiment, *, as_data: bool = False) -> pm.Model:
    """Return the hierarchical model of an experiment.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    as_data : bool
        Whether the data and the priors' parameters are ``pm.Data``, so that one compiled model
        serves other data; else they are constants, and the model's graph is the plainer.

    Returns
    -------
    pymc.Model
        Free variables intercept_mean, direct, spillover (where there is one), interaction and
        within_spillover (likewise), one per covariate under its own name, stratum_effect[stratum]
        (where there are strata; it sums to zero), between_sd (by arm, where asked for), within_sd
        (gaussian, lognormal, student_t), direct_sd and spillover_sd (of effects that vary between
        clusters), overdispersion or degrees_of_freedom; in the outcome's unit or on the link scale.
        The cluster intercepts are integrated out and :func:`fit` recovers them; only where that
        costs more than it saves are they sampled (see `samples_intercepts`).

    Raises
    ------
    FitError
        Where the outcome has no residual variation within clusters.
    """
    import pymc as pm

    if exp.spec.outcome.family in CELL_FAMILIES:
        from .cells.cell_models import add_integrated_likelihood, add_sampled_likelihood

        add = add_sampled_likelihood if samples_intercepts(exp) else add_integrated_likelihood
    elif exp.spec.heterogeneity.slopes:
        from .gaussian.gaussian_slopes import add_slopes_likelihood as add
    else:
        add = add_gaussian_likelihood
    with pm.Model(coords=_coords(exp)) as model:
        hold = Holder(as_data)
        add(exp, Parameters.declare(exp, hold), hold)
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


@dataclass(frozen=True)
class Holder:
    """Holds an array or number for a model: as a constant in float64, or as ``pm.Data``."""

    as_data: bool

    def __call__(self, name: str, value: Any) -> Any:
        values = np.asarray(value)
        # As float64: PyTensor holds a bare number that float32 can represent as float32.
        values = values if values.dtype.kind == "i" else values.astype(np.float64)
        if not self.as_data:
            return values
        import pymc as pm

        return pm.Data(f"data: {name}", values)  # a covariate may have the same name


@dataclass(frozen=True, eq=False)
class Parameters:
    """The variables that every model has.

    Parameters
    ----------
    level : variable
        Mean of the cluster intercepts; a scalar, or of shape (J,) where there are strata.
    effects : list of variable
        Coefficients, in the order of the regressors.
    between_sd : variable
        A scalar, or of shape (J,) where it differs between arms.
    within_sd, shape : variable or None
        See `build_model`; `shape` is overdispersion or degrees_of_freedom.
    slope_sd : dict of str to variable
        Standard deviations of the effects that vary between clusters.
    """

    level: Any
    effects: list[Any]
    between_sd: Any
    within_sd: Any
    shape: Any
    slope_sd: dict[str, Any]

    @classmethod
    def declare(cls, exp: Experiment, hold: Holder) -> Parameters:
        """Declare priors in the current model."""
        import pymc as pm

        priors, moments, spec = resolved_priors(exp), exp.moments(), exp.spec

        def declare(name: str, **kwargs: Any) -> Any:
            return priors[name].to_pymc(name, hold, **kwargs)

        level = declare("intercept_mean")
        effects = [declare(name) for name in moments.names]
        if "stratum_effect" in priors:
            sigma = hold("stratum_effect_sigma", priors["stratum_effect"].parameters["sigma"])
            stratum_effect = pm.ZeroSumNormal("stratum_effect", sigma, dims="stratum")
            level = level + stratum_effect[hold("stratum_code", moments.stratum_code)]
        if spec.heterogeneity.between_sd_by_arm:
            by_arm = declare("between_sd", dims="arm")
            between_sd = by_arm[hold("arm_code", exp.treated.astype(np.int64))]
        else:
            between_sd = declare("between_sd")
        extra = EXTRA_PARAMETER.get(spec.outcome.family)
        return cls(
            level=level,
            effects=effects,
            between_sd=between_sd,
            within_sd=declare("within_sd") if "within_sd" in priors else None,
            shape=declare(extra) if extra else None,
            slope_sd={name: declare(f"{name}_sd") for name in spec.heterogeneity.slopes},
        )


def linear(x: Any, effects: Sequence[Any]) -> Any:
    """Return x b over the last axis of x, without a matrix product."""
    return sum(x[..., i] * effect for i, effect in enumerate(effects))


def _coords(exp: Experiment) -> dict[str, Any]:
    """Return coordinates by position: labels of any type are put on the posterior afterwards."""
    coords: dict[str, Any] = {"cluster": np.arange(exp.moments().n_clusters)}
    if exp.spec.design.strata:
        coords["stratum"] = np.arange(len(exp.moments().stratum_levels))
    if exp.spec.heterogeneity.between_sd_by_arm:
        coords["arm"] = ["control", "treated"]
    return coords
