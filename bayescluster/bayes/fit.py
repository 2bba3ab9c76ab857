"""From an experiment to its posterior: sampling by NUTS, then everything that follows exactly."""

from __future__ import annotations

import json
import warnings
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FitError
from ..experiment import Experiment
from ..sources import first_lines
from .likelihood import GaussianStatistics
from .model import build_model, gaussian_statistics, resolved_priors

if TYPE_CHECKING:
    import xarray as xr

Floats = NDArray[np.float64]

#: Packages whose versions a posterior records.
RECORDED_PACKAGES = ("bayescluster", "pymc", "nutpie", "arviz", "numpy", "ibis-framework", "duckdb")
#: Above the sampler's default of 0.8: a few clusters leave between_sd a long left tail.
TARGET_ACCEPT = 0.95
#: Draws from the prior that a posterior is accompanied by.
PRIOR_DRAWS = 1_000


def fit(
    exp: Experiment,
    draws: int = 1_000,
    tune: int = 1_000,
    chains: int = 4,
    seed: int = 0,
    progressbar: bool = True,
) -> xr.DataTree:
    """Sample the posterior of an experiment by NUTS (nutpie, through PyMC).

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    draws, tune : int
        Kept and warm-up iterations a chain.
    chains : int
        Number of chains.
    seed : int
        Seed of the sampler and of every draw made after it.
    progressbar : bool
        Whether to show the sampler's progress.

    Returns
    -------
    DataTree
        ``posterior`` (the model's parameters and intercept[cluster], recovered from its exact
        conditional), ``sample_stats``, ``log_likelihood`` (outcome[cluster]: all units of a
        cluster, its intercept integrated out), ``posterior_predictive`` and ``prior_predictive``
        (cluster_mean[cluster] of a replicated experiment), ``prior``, ``observed_data`` and
        ``constant_data``. Its attributes record the specification's hash, the data's fingerprint,
        the seed and the versions.

    Raises
    ------
    FitError
        Where the model cannot be built or sampled.

    Warns
    -----
    UserWarning
        Where the chains have not converged; the message says in what.
    """
    import pymc as pm

    from .checks import convergence, sampler_checks

    for name, value, least in (("draws", draws, 4), ("tune", tune, 1), ("chains", chains, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}; given {value}")
    try:
        tree = pm.sample(
            draws=draws,
            tune=tune,
            chains=chains,
            random_seed=seed,
            nuts_sampler="nutpie",
            nuts={"target_accept": TARGET_ACCEPT},
            model=build_model(exp),
            progressbar=progressbar,
            quiet=True,
            compute_convergence_checks=False,
        )
    except RuntimeError as error:
        raise FitError(f"the sampler failed: {first_lines(error, 1)}") from error
    _complete(tree, exp, np.random.default_rng(seed))
    tree.attrs.update(provenance(exp, seed))
    for check, figure, verdict, advice in sampler_checks(convergence(tree)):
        if verdict != "ok":
            warnings.warn(f"{check}: {figure}; {advice}", UserWarning, stacklevel=2)
    return tree


def provenance(exp: Experiment, seed: int | None) -> dict[str, Any]:
    """Return what identifies a result: specification and data, seed, versions."""
    return {
        "spec_hash": exp.spec.hash,
        "model_hash": exp.spec.model_hash,
        "data_fingerprint": exp.fingerprint,
        "seed": -1 if seed is None else seed,
        "versions": json.dumps(versions()),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that determine a result."""
    return {name: metadata.version(name) for name in RECORDED_PACKAGES}


def _complete(tree: xr.DataTree, exp: Experiment, rng: np.random.Generator) -> None:
    """Label the groups, and add all that follows from the parameters without sampling error."""
    import xarray as xr

    data = gaussian_statistics(exp)
    labels = {"cluster": _labels(data.clusters), "stratum": _labels(exp.moments().stratum_levels)}
    for group_name, group in tree.children.items():
        known = {dim: values for dim, values in labels.items() if dim in group.sizes}
        tree[group_name] = xr.DataTree(group.to_dataset().assign_coords(known))
    coords = {"cluster": labels["cluster"]}
    dims = ("chain", "draw", "cluster")
    sampled = _parameters(tree["posterior"].to_dataset(), exp, data)
    prior = _draw_prior(exp, labels, rng)
    drawn = _parameters(prior, exp, data)
    per_cluster = {
        "log_likelihood": ("outcome", data.log_likelihood(*sampled)),
        "posterior_predictive": ("cluster_mean", data.draw_cluster_means(rng, *sampled)),
        "prior_predictive": ("cluster_mean", data.draw_cluster_means(rng, *drawn)),
    }
    intercept = data.draw_intercepts(rng, *sampled)
    posterior = tree["posterior"].to_dataset().assign_coords(coords)
    tree["posterior"] = xr.DataTree(posterior.assign(intercept=(dims, intercept)))
    tree["prior"] = xr.DataTree(prior)
    for group_name, (name, values) in per_cluster.items():
        steps = {dim: np.arange(size) for dim, size in zip(dims, values.shape[:2], strict=False)}
        tree[group_name] = xr.DataTree(xr.Dataset({name: (dims, values)}, coords=steps | coords))
    constant = {"n_units": ("cluster", data.n), "treated": ("cluster", exp.treated)}
    tree["constant_data"] = xr.DataTree(xr.Dataset(constant, coords=coords))


def _labels(values: NDArray[Any]) -> NDArray[Any]:
    """Return labels as coordinates that can be stored: numbers, text and times, else their text."""
    return values if values.dtype.kind in "iufbM" else np.array([str(label) for label in values])


def _parameters(
    draws: xr.Dataset, exp: Experiment, data: GaussianStatistics
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return level, effects, between_sd, within_sd as arrays (chain, draw, ...)."""
    mean, between, within = (
        draws[name].to_numpy() for name in ("intercept_mean", "between_sd", "within_sd")
    )
    level = mean[..., None]
    if "stratum_effect" in draws:
        level = level + draws["stratum_effect"].to_numpy()[..., exp.moments().stratum_code]
    effects = np.stack([draws[name].to_numpy() for name in data.names], axis=-1)
    return level, effects, between, within


def _draw_prior(
    exp: Experiment, labels: dict[str, NDArray[Any]], rng: np.random.Generator
) -> xr.Dataset:
    import xarray as xr

    drawn: dict[str, Any] = {}
    coords = {"chain": np.arange(1), "draw": np.arange(PRIOR_DRAWS)}
    for name, prior in resolved_priors(exp).items():
        shape: tuple[int, ...] = (1, PRIOR_DRAWS)
        dims: tuple[str, ...] = ("chain", "draw")
        if name == "stratum_effect":
            coords["stratum"] = labels["stratum"]
            shape, dims = (*shape, len(coords["stratum"])), (*dims, "stratum")
        values = prior.draw(rng, shape)
        if name == "stratum_effect":  # a zero-sum normal is a normal less its mean
            values -= values.mean(axis=-1, keepdims=True)
        drawn[name] = (dims, values)
    return xr.Dataset(drawn, coords=coords)
