"""The integrated posterior as a DataTree like that of NUTS, and many posteriors as one table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..._support.arrays import Floats
from ...data.cluster_moments import ClusterMoments
from ...data.experiment import Experiment
from ...spec.model_spec import ModelSpec
from ..fit import provenance
from ..recovered_intercepts import complete
from .exact_posterior import ExactPosterior, exact_posterior

if TYPE_CHECKING:
    import xarray as xr


#: Number of chains of the independent draws: this, or its largest factor that divides the draws.
MAX_CHAINS = 4


def fit_exact(exp: Experiment, draws: int = 4_000, seed: int = 0) -> xr.DataTree:
    """Integrate the posterior of an experiment without a sampler, and draw from it.

    The draws are independent, so the effective sample size is their number. If that number is
    divisible, they are arranged as four chains, for ArviZ functions that compare chains.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    draws : int
        Number of independent draws, over all chains.
    seed : int
        Random seed.

    Returns
    -------
    DataTree
        The groups of `fit`: ``posterior``, ``sample_stats`` (no divergences),
        ``log_likelihood``, ``posterior_predictive``, ``prior_predictive``, ``prior``,
        ``observed_data``, ``constant_data``. Attributes in addition to those of `fit`: log_evidence
        (the log marginal likelihood of all units) and exact_moments (JSON: exact mean and sd of
        each parameter, not estimated from the draws).

    Raises
    ------
    FitError
        If the model cannot be built, or the integral does not converge.

    See Also
    --------
    exact_posterior : Means, SDs and quantiles without draws.

    Examples
    --------
    >>> from bayescluster import Experiment
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> posterior = fit_exact(exp, draws=400, seed=1)
    >>> dict(posterior["posterior"]["direct"].sizes)
    {'chain': 4, 'draw': 100}
    """
    import xarray as xr

    if draws < 4:
        raise ValueError(f"draws must be at least 4; given {draws}")
    rng = np.random.default_rng(seed)
    exact = exact_posterior(exp)
    tree = xr.DataTree.from_dict(_groups(exact.draw(draws, rng)))
    complete(tree, exp, rng)
    moments = {name: {"mean": exact.mean[name], "sd": exact.sd[name]} for name in exact.parameters}
    tree.attrs.update(provenance(exp, seed))
    tree.attrs.update(
        log_evidence=exact.log_evidence,
        exact_moments=json.dumps(moments),
        inference_library="bayescluster",
        sampling="independent draws from the posterior by integration",
    )
    return tree


def _groups(drawn: Mapping[str, Floats]) -> dict[str, xr.Dataset]:
    """Return the groups that the sampler would give, with positions instead of labels."""
    import xarray as xr

    draws = len(drawn["between_sd"])
    chains = gcd(draws, MAX_CHAINS)
    steps = {"chain": np.arange(chains), "draw": np.arange(draws // chains)}
    dims = ("chain", "draw", "stratum")
    variables = {
        name: (dims[: v.ndim + 1], v.reshape(chains, -1, *v.shape[1:])) for name, v in drawn.items()
    }
    diverging = np.zeros((chains, draws // chains), dtype=bool)
    return {
        "posterior": xr.Dataset(variables, coords=steps),
        "sample_stats": xr.Dataset({"diverging": (dims[:2], diverging)}, coords=steps),
    }


def exact_posteriors(
    experiments: Iterable[Experiment | ClusterMoments],
    spec: ModelSpec | None = None,
    *,
    truth: Mapping[str, ArrayLike] | None = None,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Integrate the posteriors of many experiments, for example in a simulation study.

    Parameters
    ----------
    experiments : iterable of Experiment or ClusterMoments
        The data; moments as for `Experiment.from_moments`.
    spec : ModelSpec, optional
        Specification of experiments given as moments.
    truth : mapping of str to float or array-like, optional
        True values of parameters, one for all experiments or one per experiment.
    n_jobs : int
        Number of processes (joblib); each takes two seconds to start.

    Returns
    -------
    DataFrame
        One row per experiment and parameter: experiment (its position), parameter, mean, sd,
        ci_lower, ci_upper, ci_prob, log_evidence; with `truth` also truth and cdf, the posterior
        probability of a value below the truth. It is uniform over experiments drawn from the prior
        (Cook, Gelman & Rubin 2006, Journal of Computational and Graphical Statistics 15: 675-692).
        Both are NaN for parameters that are not in `truth`.

    Raises
    ------
    FitError
        If an integral does not converge.
    ValueError
        If moments come without a specification, or the length of a truth differs.
    """
    known = list(experiments)
    cases = [_case(data, spec) for data in known]
    values = {
        name: np.broadcast_to(np.asarray(value, dtype=float), len(cases))
        for name, value in (truth or {}).items()
    }
    truths = [{name: float(v[i]) for name, v in values.items()} for i in range(len(cases))]
    if n_jobs == 1:
        frames = [_summary(*case, true) for case, true in zip(cases, truths, strict=True)]
    else:
        from joblib import Parallel, delayed

        work = (delayed(_summary)(*case, true) for case, true in zip(cases, truths, strict=True))
        frames = Parallel(n_jobs=n_jobs, batch_size=16)(work)
    columns = {name: np.concatenate([f[name] for f in frames]) for name in frames[0]}
    rows = [np.size(f["mean"]) for f in frames]
    position = np.repeat(np.arange(len(frames)), rows)
    table = pd.DataFrame({"experiment": position, **columns})
    return table if truth else table.drop(columns=["truth", "cdf"])


def _case(
    data: Experiment | ClusterMoments, spec: ModelSpec | None
) -> tuple[ClusterMoments, ModelSpec]:
    """Return the inputs of a worker process; an experiment's database connection cannot be sent."""
    if isinstance(data, Experiment):
        return data.moments(), data.spec
    if spec is None:
        raise ValueError("moments need a specification: give `spec`, or Experiment objects")
    return data, spec


def _summary(
    moments: ClusterMoments, spec: ModelSpec, truth: Mapping[str, float]
) -> dict[str, ArrayLike]:
    """Return the columns of one experiment's rows."""
    exact: ExactPosterior = exact_posterior(Experiment.from_moments(moments, spec))
    names = exact.parameters
    marginals = [exact.marginal(name) for name in names]
    tail = (1 - exact.ci_prob) / 2
    limits = np.array([marginal.quantile([tail, 1 - tail]) for marginal in marginals])
    true = [truth.get(name, np.nan) for name in names]
    below = [
        float(marginal.cdf(value)) if np.isfinite(value) else np.nan
        for marginal, value in zip(marginals, true, strict=True)
    ]
    return {
        "parameter": names,
        "mean": [marginal.mean for marginal in marginals],
        "sd": [marginal.sd for marginal in marginals],
        "ci_lower": limits[:, 0],
        "ci_upper": limits[:, 1],
        "ci_prob": [exact.ci_prob] * len(names),
        "log_evidence": [exact.log_evidence] * len(names),
        "truth": true,
        "cdf": below,
    }
