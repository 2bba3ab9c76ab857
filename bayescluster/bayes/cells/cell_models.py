"""The PyMC likelihoods of outcomes that are counted in cells.

User i of cluster j has linear predictor a_j + x_ij'b, with a_j ~ Normal(level_j, between_sd).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._support.arrays import Booleans, Floats
from ...data.experiment import Experiment
from ..model_inputs import cell_likelihood
from ..pymc_model_parts import Holder, Parameters, linear
from .cell_likelihood import CellLikelihood
from .intercept_quadrature import Layout

#: Intercepts are centred if a cluster's information on its intercept, times the variance of the
#: intercepts, is at least this. Centred chains diverge at 1.3, and mix better from 3 on.
INFORMATIVE = 3.0


def add_integrated_likelihood(exp: Experiment, parameters: Parameters, hold: Holder) -> None:
    """Add the log-density of all units, with cluster intercepts integrated out by quadrature.

    The model has one potential, ``units``, summed over distinct clusters. The number of sampled
    parameters does not depend on the number of clusters.
    """
    import pymc as pm

    from .quadrature_kernel import IntegratedLikelihood

    data = cell_likelihood(exp)
    profiles, layout = data.profiles, Layout.of(data.profiles, data.family)
    start = hold("mode_start", layout.start)
    level, between_sd = parameters.level, parameters.between_sd
    if level.ndim or between_sd.ndim:
        cluster = hold("cluster_of_profile", data.first)
        level = level[cluster] if level.ndim else level
        between_sd = between_sd[cluster] if between_sd.ndim else between_sd
    log_likelihood, *_ = IntegratedLikelihood(data.family.name, data.nodes)(
        level + 0 * start,  # a scalar gets the axis of the profiles
        linear(hold("x", profiles.x), parameters.effects),
        between_sd + 0 * start,
        np.float64(1) if parameters.shape is None else parameters.shape,
        hold("n", layout.n),
        hold("total", layout.total),
        start,
        hold("clusters_of_profile", profiles.count),
    )
    pm.Potential("units", log_likelihood + _outcome_term(data, parameters, hold))


def add_sampled_likelihood(exp: Experiment, parameters: Parameters, hold: Holder) -> None:
    """Add the log-density of all units given sampled cluster intercepts (and varying effects).

    If clusters hold enough information, regressors that are constant within every cluster enter the
    mean of the intercepts (hierarchical centring: Gelfand, Sahu & Carlin 1995, Biometrika 82:
    479-488). Otherwise each intercept is its mean plus a scaled standard normal.
    """
    import pymc as pm
    import pytensor.tensor as pt

    data = cell_likelihood(exp)
    between, of_cluster = constant_within(data)
    mean = parameters.level + _linear_part("x_between", of_cluster, parameters, between, hold)
    informed = is_informative(data)
    intercept = _declare_varying("cluster_level", mean, parameters.between_sd, centred=informed)
    code = hold("cluster_code", data.cells.cluster)
    eta = intercept[code] + _linear_part("x_within", data.x, parameters, ~between, hold)
    for name, sd in parameters.slope_sd.items():
        # Not centred: clusters in which the regressor is constant hold no information on it.
        at = data.names.index(name)
        effect = _declare_varying(f"{name}_of_cluster", parameters.effects[at], sd, centred=False)
        eta = eta + hold(f"x_{name}", data.x[:, at]) * (effect - parameters.effects[at])[code]
    values = data.density.log_density(
        pt,
        eta,
        hold("n", data.cells.n),
        hold("total", data.cells.total),
        parameters.shape,
        parameters.within_sd,
    )
    pm.Potential("units", values.sum() + _outcome_term(data, parameters, hold))


def _linear_part(
    name: str, x: Floats, parameters: Parameters, chosen: Booleans, hold: Holder
) -> Any:
    """Return the chosen regressors' part of the linear predictor."""
    if not chosen.any():
        return 0.0
    effects = [effect for effect, yes in zip(parameters.effects, chosen, strict=True) if yes]
    return linear(hold(name, x[:, chosen]), effects)


def _declare_varying(name: str, mean: Any, sd: Any, *, centred: bool) -> Any:
    """Declare a variable that varies between clusters around its mean."""
    import pymc as pm

    if centred:
        return pm.Normal(name, mean, sd, dims="cluster")
    standard = pm.Normal(f"{name}_standard", dims="cluster")
    return pm.Deterministic(name, mean + sd * standard, dims="cluster")


def is_informative(data: CellLikelihood) -> bool:
    """Whether the data of most clusters determine the intercept much better than its prior.

    Compares the information of each cluster's cells with the variance between the clusters'
    smoothed means, on the link scale. In doubt the answer is no: intercepts that are not centred
    then only mix more slowly, whereas centred ones cannot follow a `between_sd` near zero.
    """
    start = Layout.of(data.profiles, data.family, each_cluster=True).start
    family, cells = data.family, data.cells
    shape = family.extra.typical_value if family.extra else 1.0
    scale = data.profiles.spread if family.has_within_sd else 1.0
    _, cell_information = data.density.score_and_information(
        start[cells.cluster], cells.n, cells.total, shape, scale
    )
    information = np.bincount(data.cells.cluster, cell_information)
    variance = max(float(np.var(start) - np.mean(1 / information)), float(np.var(start)) / 10)
    return bool(np.median(information) * variance > INFORMATIVE)


def constant_within(data: CellLikelihood) -> tuple[Booleans, Floats]:
    """Return which regressors are constant within every cluster (p,), and their values (J, p)."""
    cluster, x = data.cells.cluster, data.x
    first = np.unique(cluster, return_index=True)[1]
    constant = (x == x[first][cluster]).all(axis=0)
    return constant, np.where(constant, x[first], 0.0)


def _outcome_term(data: CellLikelihood, parameters: Parameters, hold: Holder) -> Any:
    """Return the part of the log-density that depends only on the outcomes: a sum over values."""
    import pytensor.tensor as pt

    density = data.density
    if density.outcome_term is None:
        return 0.0
    value, at = np.unique(data.cells.value, return_inverse=True)
    count = np.bincount(at, data.cells.value_count)
    if not density.outcome_term_varies:  # nutpie cannot replace data that the model does not use
        value, count = np.zeros(1), count.sum(keepdims=True)
    held = hold("value", value) if density.outcome_term_varies else value
    own = density.outcome_term(pt, held, parameters.shape, parameters.within_sd, pt.gammaln)
    return (hold("value_count", count) * own).sum()
