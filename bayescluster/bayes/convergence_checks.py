"""Convergence of a posterior: diagnostics as data, with verdicts and advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._support.check_record import Check, Subject, judged

if TYPE_CHECKING:
    import xarray as xr

#: Limits of Vehtari, Gelman, Simpson, Carpenter & Burkner (2021), Bayesian Analysis 16: 667-718.
MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100
#: Fewer divergent transitions than this share of the draws may be false alarms.
RARE_DIVERGENCES = 0.001
#: Below this estimated fraction of missing information the sampler explores the energy too slowly
#: (Betancourt 2016, arXiv:1604.00695; the limit is Stan's and ArviZ's).
MIN_BFMI = 0.3
#: Share of iterations that may reach the largest tree depth before sampling becomes inefficient.
MAX_SATURATED = 0.01


def convergence(tree: xr.DataTree) -> pd.DataFrame:
    """Return the convergence diagnostics of each parameter except those of single clusters.

    Parameters
    ----------
    tree : DataTree
        The result of :func:`fit` or :func:`fit_exact`.

    Returns
    -------
    DataFrame
        Columns parameter, mean, sd, mcse_mean, ess_bulk, ess_tail, r_hat (rank-normalised, split).
        ``attrs`` holds n_chains, n_draws, n_divergences and, if the sampler recorded them, bfmi
        (the smallest E-BFMI of the chains) and saturated (share of iterations that reached the
        largest tree depth).
    """
    import arviz as az

    posterior = tree["posterior"].to_dataset()
    names = [name for name in posterior if "cluster" not in posterior[name].dims]
    summary = az.summary(tree, var_names=names, kind="all", round_to="none")
    columns = ["mean", "sd", "mcse_mean", "ess_bulk", "ess_tail", "r_hat"]
    frame = summary[columns].astype(float).rename_axis("parameter").reset_index()
    sampler = tree["sample_stats"].to_dataset()
    frame.attrs = {
        "n_chains": tree["posterior"].sizes["chain"],
        "n_draws": tree["posterior"].sizes["draw"],
        "n_divergences": int(sampler["diverging"].sum()),
    }
    if "energy" in sampler:
        frame.attrs["bfmi"] = float(az.bfmi(tree)["energy"].min())
    if "maxdepth_reached" in sampler:
        frame.attrs["saturated"] = float(sampler["maxdepth_reached"].mean())
    return frame


def sampler_checks(table: pd.DataFrame) -> list[Check]:
    """Judge what `convergence` found."""
    divergences = table.attrs["n_divergences"]
    r_hat = table.loc[table["r_hat"].fillna(np.inf).idxmax()]
    ess = table[["ess_bulk", "ess_tail"]].fillna(0).min(axis=1)
    minimum = MIN_ESS_PER_CHAIN * table.attrs["n_chains"]
    fewest = str(table.loc[ess.idxmin(), "parameter"])
    iterations = max(table.attrs["n_draws"] * table.attrs["n_chains"], 1)
    return [
        Check(
            Subject.SAMPLER,
            "R-hat (largest)",
            f"{r_hat['r_hat']:.4f} ({r_hat['parameter']})",
            judged(r_hat["r_hat"] <= MAX_R_HAT, False),
            f"above {MAX_R_HAT} the chains disagree: run them longer (both tune and draws); "
            f"{_remedy(str(r_hat['parameter']))}",
        ),
        Check(
            Subject.SAMPLER,
            "effective sample size (smallest)",
            f"{ess.min():,.0f} ({fewest})",
            judged(ess.min() >= minimum, ess.min() >= minimum / 4),
            f"below {minimum}: take {_times_more(minimum, ess.min())} the draws before using the "
            f"tails; {_remedy(fewest)}",
        ),
        Check(
            Subject.SAMPLER,
            "divergent transitions",
            f"{divergences:,}" + f" ({divergences / iterations:.1%} of draws)" * bool(divergences),
            judged(not divergences, divergences / iterations < RARE_DIVERGENCES),
            "the sampler cannot follow the posterior, usually where a standard deviation is near "
            "0: use tighter priors on the standard deviations, or more clusters"
            + "; so few may be false alarms: check whether more tuning removes them"
            * (divergences / iterations < RARE_DIVERGENCES),
        ),
        *_energy_checks(table),
    ]


def _energy_checks(table: pd.DataFrame) -> list[Check]:
    """Judge the diagnostics that only a Hamiltonian sampler records."""
    checks: list[Check] = []
    if "bfmi" in table.attrs:
        bfmi = table.attrs["bfmi"]
        checks.append(
            Check(
                Subject.SAMPLER,
                "energy (smallest E-BFMI)",
                f"{bfmi:.2f}",
                judged(bfmi >= MIN_BFMI),
                f"below {MIN_BFMI} the sampler moves too slowly between the tails and the centre "
                "of the posterior: the usual cause is a prior with a heavy tail (half_cauchy, "
                "student_t with few degrees of freedom); use half_normal or normal",
            )
        )
    if "saturated" in table.attrs:
        share = table.attrs["saturated"]
        checks.append(
            Check(
                Subject.SAMPLER,
                "iterations at the largest tree depth",
                f"{share:.1%}",
                judged(share <= MAX_SATURATED),
                "trajectories are cut short, which makes sampling slower but not wrong: two "
                "parameters are nearly exchangeable; look for collinear covariates, or centre them",
            )
        )
    return checks


def _remedy(parameter: str) -> str:
    """Return advice about a parameter that mixes badly."""
    name = parameter.split("[")[0]
    if name == "between_sd":
        return (
            "between_sd has a long tail towards 0 if there are few clusters: a tighter prior on it "
            "(half_normal) helps more than longer chains"
        )
    if name in ("direct_sd", "spillover_sd"):
        return (
            f"few clusters inform how {name.removesuffix('_sd')} varies: give {name} a tighter "
            "prior, or remove the effect from heterogeneity.slopes"
        )
    if name == "stratum_effect":
        return "a stratum with few clusters hardly informs its effect: merge small strata"
    if name == "degrees_of_freedom":
        return "the tails are too light to estimate degrees_of_freedom: the gaussian family may do"
    if name == "overdispersion":
        return "there may be no notable overdispersion: compare with the poisson family"
    if name in ("intercept_mean", "direct"):
        return (
            "only differences between clusters inform the level and the direct effect: with few "
            "clusters they mix as slowly as between_sd"
        )
    if name in ("spillover", "interaction", "within_spillover"):
        return f"few units inform {name}: check the number of units in each condition"
    return f"check {name}'s prior, and whether other parameters could explain the same data"


def _times_more(wanted: float, found: float) -> str:
    times = int(np.ceil(wanted / max(found, 1.0)))
    return f"{max(times, 2)} times"
