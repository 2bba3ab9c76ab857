"""Posterior of an experiment: parameters sampled by NUTS, then all exact follow-up quantities."""

from __future__ import annotations

import json
import warnings
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from .._support.check_record import Verdict
from ..data.experiment import Experiment
from ..data.table_readers import first_lines
from ..errors import FitError
from .compiled_models import compiled_model
from .convergence_checks import convergence, sampler_checks
from .recovered_intercepts import complete

if TYPE_CHECKING:
    import xarray as xr


#: Packages whose versions are recorded with a posterior.
RECORDED_PACKAGES = ("bayescluster", "pymc", "nutpie", "arviz", "numpy", "ibis-framework", "duckdb")
#: Above the sampler's default of 0.8, because few clusters give between_sd a long left tail.
TARGET_ACCEPT = 0.95


def fit(
    exp: Experiment,
    draws: int = 1_000,
    tune: int = 1_000,
    chains: int = 4,
    seed: int = 0,
    progressbar: bool = True,
) -> xr.DataTree:
    """Sample the posterior of an experiment's PyMC model by NUTS (nutpie).

    The model's code is compiled once per process for experiments of the same structure, so later
    fits, of other outcomes or simulated data, start at once.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    draws, tune : int
        Kept and warm-up iterations per chain.
    chains : int
        Number of chains.
    seed : int
        Seed of the sampler and of all later draws.
    progressbar : bool
        Whether to show the sampler's progress.

    Returns
    -------
    DataTree
        ``posterior`` (the model's parameters; intercept[cluster] and, for varying effects,
        direct_of_cluster[cluster] and spillover_of_cluster[cluster], sampled with the parameters or
        drawn from their exact distribution given these), ``sample_stats``,
        ``log_likelihood`` (outcome[cluster]: all units of a cluster, its intercept integrated out),
        ``posterior_predictive`` and ``prior_predictive`` (cluster_mean[cluster] of a replicated
        experiment), ``prior``, ``observed_data`` and ``constant_data``. Effects and intercepts are
        in the outcome's unit or, for families with a link, on the link scale. Attributes record
        the specification's hash, the data's fingerprint, the seed and the versions.

    Raises
    ------
    FitError
        If the model cannot be built or sampled.

    Warns
    -----
    UserWarning
        If the chains have not converged; the message says which diagnostics failed.

    Examples
    --------
    >>> from bayescluster import Experiment
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> posterior = fit(exp, seed=1)  # doctest: +SKIP
    >>> float(posterior["posterior"]["direct"].mean())  # doctest: +SKIP
    """
    import nutpie

    for name, value, minimum in (("draws", draws, 4), ("tune", tune, 1), ("chains", chains, 1)):
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}; given {value}")
    try:
        tree = nutpie.sample(
            compiled_model(exp),
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            target_accept=TARGET_ACCEPT,
            save_warmup=False,
            progress_bar=progressbar,
        )
    except RuntimeError as error:
        raise FitError(f"the sampler failed: {first_lines(error, 1)}") from error
    complete(tree, exp, np.random.default_rng(seed))
    tree.attrs.update(provenance(exp, seed), tune=tune)
    for check in sampler_checks(convergence(tree)):
        if check.verdict is not Verdict.OK:
            message = f"{check.name}: {check.value}; {check.advice}"
            warnings.warn(message, UserWarning, stacklevel=2)
    return tree


def provenance(exp: Experiment, seed: int | None) -> dict[str, Any]:
    """Return what identifies a result: specification, data, seed and versions."""
    return {
        "spec_hash": exp.spec.hash,
        "model_hash": exp.spec.model_hash,
        "data_fingerprint": exp.fingerprint,
        "seed": -1 if seed is None else seed,
        "versions": json.dumps(versions()),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that affect a result."""
    return {name: metadata.version(name) for name in RECORDED_PACKAGES}
