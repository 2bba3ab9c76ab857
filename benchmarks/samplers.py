"""One posterior of the tutorial's experiment by each contender, timed in parts.

Every function returns seconds (read, compile, sample) and the posterior's figures. Imports happen
before the clock starts; benchmarks.cold_start counts them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import bayescluster as bc
from bayescluster.bayes.fit import TARGET_ACCEPT
from bayescluster.bayes.model_inputs import resolved_priors

from .bootstrap import EXPOSED, OUTCOME, TREATED, WORKSPACE

if TYPE_CHECKING:
    import bambi
    import pymc as pm
    import xarray as xr

DRAWS = {"draws": 1_000, "tune": 1_000, "chains": 4}
SEED = 1
REPEATS = 5


def ours_in_parts(n_users: int) -> dict[str, Any]:
    """Compile and sample the three-node model apart; `sample` is the median of five runs."""
    import nutpie

    data, clock = bc.load_tutorial(n_users), Clock()
    exp = bc.Experiment(data, bc.tutorial_spec())
    read = clock.lap()
    compiled = nutpie.compile_pymc_model(bc.build_model(exp))
    compile_ = clock.lap()
    settings = {**DRAWS, "target_accept": TARGET_ACCEPT}
    sample = []
    for _ in range(REPEATS):
        tree = nutpie.sample(compiled, seed=SEED, progress_bar=False, **settings)
        sample.append(clock.lap())
    return _figures(tree, read, compile_, float(np.median(sample)))


def ours_whole(n_users: int) -> dict[str, Any]:
    """Call `bayescluster.fit`; all that is not sampling counts as compilation."""
    import arviz  # noqa: F401
    import nutpie  # noqa: F401

    data, clock = bc.load_tutorial(n_users), Clock()
    exp = bc.Experiment(data, bc.tutorial_spec())
    read = clock.lap()
    tree = bc.fit(exp, seed=SEED, progressbar=False, **DRAWS)
    whole = clock.lap()
    sample = float(tree["posterior"].attrs["sampling_time"])
    return _figures(tree, read, whole - sample, sample)


def pymc_on_rows(n_users: int) -> dict[str, Any]:
    """Compile and sample the row-level model with the treatment in the intercepts' mean."""
    import nutpie

    data = bc.load_tutorial(n_users)
    priors = resolved_priors(bc.Experiment(data, bc.tutorial_spec()))
    clock = Clock()
    compiled = nutpie.compile_pymc_model(rows_model(data, priors))
    compile_ = clock.lap()
    tree = nutpie.sample(compiled, seed=SEED, progress_bar=False, **DRAWS)
    return _figures(tree, 0.0, compile_, clock.lap())


def rows_model(data: pd.DataFrame, priors: dict[str, bc.Prior]) -> pm.Model:
    """Return the hierarchically centred model of the rows, with our priors."""
    import pymc as pm

    code, workspaces = pd.factorize(data[WORKSPACE], sort=True)
    treated = data.groupby(WORKSPACE)[TREATED].first().to_numpy(float)
    with pm.Model(coords={"workspace": workspaces}) as model:
        free = {name: prior.to_pymc(name) for name, prior in priors.items()}
        center = free["intercept_mean"] + free["direct"] * treated
        intercept = pm.Normal("intercept", center, free["between_sd"], dims="workspace")
        mean = intercept[code] + free["spillover"] * data[EXPOSED].to_numpy(float)
        pm.Normal("outcome", mean, free["within_sd"], observed=data[OUTCOME].to_numpy())
    return model


def bambi_default(n_users: int) -> dict[str, Any]:
    """Fit the textbook formula by bambi's default sampler."""
    return _bambi(n_users, "pymc")


def bambi_nutpie(n_users: int) -> dict[str, Any]:
    """Fit the textbook formula by bambi with nutpie."""
    return _bambi(n_users, "nutpie")


def _bambi(n_users: int, sampler: str) -> dict[str, Any]:
    data = bc.load_tutorial(n_users)
    model = bambi_model(data, resolved_priors(bc.Experiment(data, bc.tutorial_spec())))
    clock = Clock()
    model.build()
    tree = model.fit(
        inference_method=sampler,
        random_seed=SEED,
        progressbar=False,
        compute_convergence_checks=False,
        **DRAWS,
    )
    whole = clock.lap()
    sample = float(tree["posterior"].attrs["sampling_time"])
    names = {TREATED: "direct", EXPOSED: "spillover"}
    posterior = tree["posterior"].to_dataset()[list(names)].rename(names)
    tree["posterior"] = posterior
    return _figures(tree, 0.0, whole - sample, sample)


def bambi_model(data: pd.DataFrame, priors: dict[str, bc.Prior]) -> bambi.Model:
    """Return bambi's model of the rows, with our priors."""
    import bambi as bmb

    def prior(name: str) -> bmb.Prior:
        kind = {"normal": "Normal", "half_normal": "HalfNormal"}[priors[name].distribution]
        return bmb.Prior(kind, **priors[name].parameters)

    group = bmb.Prior("Normal", mu=0, sigma=prior("between_sd"))
    given = {"Intercept": prior("intercept_mean"), "sigma": prior("within_sd")}
    given |= {TREATED: prior("direct"), EXPOSED: prior("spillover"), f"1|{WORKSPACE}": group}
    formula = f"{OUTCOME} ~ {TREATED} + {EXPOSED} + (1|{WORKSPACE})"
    return bmb.Model(formula, data, priors=given)


class Clock:
    """A stopwatch with laps."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        last, self._last = self._last, time.perf_counter()
        return self._last - last


def _figures(tree: xr.DataTree, read: float, compile_: float, sample: float) -> dict[str, Any]:
    import arviz as az

    summary = az.summary(tree, var_names=["direct", "spillover"], kind="all", round_to="none")
    return {
        "read": read,
        "compile": compile_,
        "sample": sample,
        "ess": float(summary.loc["direct", "ess_bulk"]),
        "mean": summary["mean"].astype(float).to_dict(),
        "mcse": summary["mcse_mean"].astype(float).to_dict(),
    }
