"""Quantities derived from sampled parameters: intercepts, log-likelihoods, predictions, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._support.arrays import Floats
from ..data.experiment import Experiment
from .cells.cell_models import constant_within
from .gaussian.gaussian_likelihood import GaussianStatistics
from .gaussian.gaussian_slopes import SlopesLikelihood
from .model_inputs import (
    ModelKind,
    cell_likelihood,
    gaussian_statistics,
    model_kind,
    resolved_priors,
)
from .parameter_draws import ParameterDraws

if TYPE_CHECKING:
    import xarray as xr


#: Number of prior draws that are added to a posterior.
PRIOR_DRAWS = 1_000
#: Dimensions of a quantity with one value per cluster.
DIMS = ("chain", "draw", "cluster")


class ClusterLikelihood(Protocol):
    """The methods of a likelihood, of any family, that complete a posterior."""

    def log_likelihood(self, draws: ParameterDraws) -> Floats:
        """Return the log-density of each cluster's units; shape (..., J)."""

    def draw_cluster_means(self, rng: np.random.Generator, draws: ParameterDraws) -> Floats:
        """Draw the cluster means of new experiments with the same design; shape (..., J)."""


class GaussianLikelihood:
    """:class:`GaussianStatistics` with the methods of :class:`ClusterLikelihood`."""

    def __init__(self, data: GaussianStatistics) -> None:
        self.data = data

    def log_likelihood(self, draws: ParameterDraws) -> Floats:
        """Return the log-density of each cluster's units; shape (..., J)."""
        return self.data.log_likelihood(*_arrays(draws))

    def draw_cluster_means(self, rng: np.random.Generator, draws: ParameterDraws) -> Floats:
        """Draw the cluster means of new experiments with the same design; shape (..., J)."""
        return self.data.draw_cluster_means(rng, *_arrays(draws))

    def draw_intercepts(self, rng: np.random.Generator, draws: ParameterDraws) -> Floats:
        """Draw the cluster intercepts given the parameters; shape (..., J)."""
        return self.data.draw_intercepts(rng, *_arrays(draws))


def likelihood_of(exp: Experiment) -> ClusterLikelihood:
    """Return the likelihood of an experiment's model."""
    match model_kind(exp):
        case ModelKind.GAUSSIAN:
            return GaussianLikelihood(gaussian_statistics(exp))
        case ModelKind.GAUSSIAN_SLOPES:
            return SlopesLikelihood.of(exp)
        case ModelKind.CELLS_INTEGRATED | ModelKind.CELLS_SAMPLED:
            return cell_likelihood(exp)


def complete(tree: xr.DataTree, exp: Experiment, rng: np.random.Generator) -> None:
    """Label the groups, and add all quantities that follow from the parameters."""
    import xarray as xr

    moments, likelihood = exp.moments(), likelihood_of(exp)
    labels = {
        "cluster": labels_of(moments.clusters),
        "stratum": labels_of(moments.stratum_levels),
    }
    sampled = tree["posterior"].to_dataset()
    known = {dim: values for dim, values in labels.items() if dim in sampled.sizes}
    sampled = sampled.assign_coords(known)
    draws, prior = ParameterDraws.of(sampled, exp), draw_prior(exp, labels, rng)
    varying = _varying(rng, exp, likelihood, sampled, draws)
    coords = {"cluster": labels["cluster"]}
    parameters = sampled.drop_vars([name for name in sampled if "cluster" in sampled[name].dims])
    parameters = parameters.drop_vars("cluster", errors="ignore").assign_coords(coords)
    posterior = parameters.assign({name: (DIMS, values) for name, values in varying.items()})
    tree["posterior"] = xr.DataTree(posterior)
    tree["prior"] = xr.DataTree(prior)
    prior_means = likelihood.draw_cluster_means(rng, ParameterDraws.of(prior, exp))
    per_cluster = {
        "log_likelihood": ("outcome", likelihood.log_likelihood(draws)),
        "posterior_predictive": ("cluster_mean", likelihood.draw_cluster_means(rng, draws)),
        "prior_predictive": ("cluster_mean", prior_means),
    }
    for group_name, (name, values) in per_cluster.items():
        steps = {dim: np.arange(size) for dim, size in zip(DIMS, values.shape[:2], strict=False)}
        tree[group_name] = xr.DataTree(xr.Dataset({name: (DIMS, values)}, coords=steps | coords))
    outcome_mean = moments.means[:, -1]
    observed = {"cluster_mean": ("cluster", outcome_mean)}
    tree["observed_data"] = xr.DataTree(xr.Dataset(observed, coords=coords))
    constant = {"n_units": ("cluster", moments.n), "treated": ("cluster", exp.treated)}
    tree["constant_data"] = xr.DataTree(xr.Dataset(constant, coords=coords))


def _varying(
    rng: np.random.Generator,
    exp: Experiment,
    likelihood: ClusterLikelihood,
    sampled: xr.Dataset,
    draws: ParameterDraws,
) -> dict[str, Floats]:
    """Return each cluster's intercept and varying effects: the sampled ones, or exact draws."""
    slopes = [f"{name}_of_cluster" for name in exp.spec.heterogeneity.slopes]
    if isinstance(likelihood, SlopesLikelihood):
        values = likelihood.draw_varying(rng, draws)
        names = ["intercept", *slopes]
        return {name: values[..., i] for i, name in enumerate(names)}
    if model_kind(exp) is not ModelKind.CELLS_SAMPLED:
        return {"intercept": likelihood.draw_intercepts(rng, draws)}  # type: ignore[attr-defined]
    _, of_cluster = constant_within(cell_likelihood(exp))
    level = sampled["cluster_level"].to_numpy() - draws.effects @ of_cluster.T
    return {"intercept": level} | {name: sampled[name].to_numpy() for name in slopes}


def labels_of(values: NDArray[Any]) -> NDArray[Any]:
    """Return labels that can be stored as coordinates: numbers, text and times; others as text."""
    return values if values.dtype.kind in "iufbM" else np.array([str(label) for label in values])


def draw_prior(
    exp: Experiment, labels: dict[str, NDArray[Any]], rng: np.random.Generator
) -> xr.Dataset:
    """Draw all parameters from their priors, in one chain."""
    import xarray as xr

    drawn: dict[str, Any] = {}
    coords: dict[str, Any] = {"chain": np.arange(1), "draw": np.arange(PRIOR_DRAWS)}
    by_arm = exp.spec.heterogeneity.between_sd_by_arm
    axes = {"stratum_effect": ("stratum", labels["stratum"])}
    axes |= {"between_sd": ("arm", np.array(["control", "treated"]))} if by_arm else {}
    for name, prior in resolved_priors(exp).items():
        shape: tuple[int, ...] = (1, PRIOR_DRAWS)
        dims: tuple[str, ...] = ("chain", "draw")
        if name in axes:
            dim, coords[axes[name][0]] = axes[name]
            shape, dims = (*shape, len(coords[dim])), (*dims, dim)
        values = prior.draw(rng, shape)
        if name == "stratum_effect":  # a zero-sum normal is a normal minus its mean
            values -= values.mean(axis=-1, keepdims=True)
        drawn[name] = (dims, values)
    return xr.Dataset(drawn, coords=coords)


def _arrays(draws: ParameterDraws) -> tuple[Floats, Floats, Floats, Floats]:
    assert draws.within_sd is not None
    return draws.level, draws.effects, draws.between_sd, draws.within_sd
