"""Whether a posterior can be believed: convergence as data, verdicts in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import xarray as xr

#: Limits of Vehtari, Gelman, Simpson, Carpenter & Burkner (2021), Bayesian Analysis 16: 667-718.
MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100


def convergence(tree: xr.DataTree) -> pd.DataFrame:
    """Summarise the convergence of every parameter but the recovered cluster intercepts.

    Returns
    -------
    DataFrame
        Columns parameter, mean, sd, mcse_mean, ess_bulk, ess_tail, r_hat (rank-normalised, split).
        ``attrs`` holds n_chains, n_draws and n_divergences.
    """
    import arviz as az

    names = [name for name in tree["posterior"].data_vars if name != "intercept"]
    summary = az.summary(tree, var_names=names, kind="all", round_to="none")
    columns = ["mean", "sd", "mcse_mean", "ess_bulk", "ess_tail", "r_hat"]
    frame = summary[columns].astype(float).rename_axis("parameter").reset_index()
    frame.attrs = {
        "n_chains": tree["posterior"].sizes["chain"],
        "n_draws": tree["posterior"].sizes["draw"],
        "n_divergences": int(tree["sample_stats"]["diverging"].sum()),
    }
    return frame


def convergence_problems(table: pd.DataFrame) -> list[str]:
    """Say in words what `convergence` found wrong, with advice; an empty list where all is well."""
    problems = []
    if count := table.attrs["n_divergences"]:
        problems.append(
            f"{count:,} divergent transitions: the posterior's geometry defeats the sampler; use "
            "tighter priors on the standard deviations or more clusters"
        )
    if (stuck := table[~(table["r_hat"] <= MAX_R_HAT)]).size:
        worst = stuck.sort_values("r_hat").iloc[-1]
        problems.append(
            f"R-hat above {MAX_R_HAT} for {_count(len(stuck))} (worst {worst['parameter']}: "
            f"{worst['r_hat']:.3f}): the chains disagree; run them longer"
        )
    least = MIN_ESS_PER_CHAIN * table.attrs["n_chains"]
    ess = table[["ess_bulk", "ess_tail"]].min(axis=1)
    if (few := table[~(ess >= least)]).size:
        worst_name = few.loc[ess[few.index].idxmin(), "parameter"]
        problems.append(
            f"effective sample size below {least} for {_count(len(few))} (worst {worst_name}: "
            f"{ess.min():.0f}): take more draws"
        )
    return problems


def _count(parameters: int) -> str:
    return f"{parameters} parameter{'s' * (parameters != 1)}"
