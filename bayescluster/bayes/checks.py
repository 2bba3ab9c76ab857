"""Whether a posterior can be believed: convergence as data, verdicts in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import xarray as xr

#: Limits of Vehtari, Gelman, Simpson, Carpenter & Burkner (2021), Bayesian Analysis 16: 667-718.
MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100


def convergence(tree: xr.DataTree) -> pd.DataFrame:
    """Summarise the convergence of every parameter but those of single clusters.

    Returns
    -------
    DataFrame
        Columns parameter, mean, sd, mcse_mean, ess_bulk, ess_tail, r_hat (rank-normalised, split).
        ``attrs`` holds n_chains, n_draws and n_divergences.
    """
    import arviz as az

    posterior = tree["posterior"].to_dataset()
    names = [name for name in posterior if "cluster" not in posterior[name].dims]
    summary = az.summary(tree, var_names=names, kind="all", round_to="none")
    columns = ["mean", "sd", "mcse_mean", "ess_bulk", "ess_tail", "r_hat"]
    frame = summary[columns].astype(float).rename_axis("parameter").reset_index()
    frame.attrs = {
        "n_chains": tree["posterior"].sizes["chain"],
        "n_draws": tree["posterior"].sizes["draw"],
        "n_divergences": int(tree["sample_stats"]["diverging"].sum()),
    }
    return frame


def sampler_checks(table: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Judge what `convergence` found: check, figure, verdict (ok, caution, problem), advice."""
    divergences = table.attrs["n_divergences"]
    r_hat = table.loc[table["r_hat"].fillna(np.inf).idxmax()]
    ess = table[["ess_bulk", "ess_tail"]].fillna(0).min(axis=1)
    least = MIN_ESS_PER_CHAIN * table.attrs["n_chains"]
    return [
        (
            "R-hat (largest)",
            f"{r_hat['r_hat']:.4f} ({r_hat['parameter']})",
            "ok" if r_hat["r_hat"] <= MAX_R_HAT else "problem",
            f"above {MAX_R_HAT} the chains disagree: run them longer",
        ),
        (
            "effective sample size (smallest)",
            f"{ess.min():,.0f} ({table.loc[ess.idxmin(), 'parameter']})",
            "ok" if ess.min() >= least else "caution",
            f"below {least}: take more draws before reading the tails",
        ),
        (
            "divergent transitions",
            f"{divergences:,}",
            "ok" if not divergences else "problem",
            "the sampler cannot follow the posterior: use tighter priors on the standard "
            "deviations, or more clusters",
        ),
    ]
