"""A hundred outcomes through one compiled model, beside a bambi fit for each."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

import bayescluster as bc
from bayescluster.bayes.model_inputs import resolved_priors

from .bootstrap import OUTCOME, TREATED, WORKSPACE
from .processes import progress
from .samplers import SEED, bambi_model
from .tables import Section, figure, times

OUTCOMES = 100
PEER_FITS = 3
#: Largest believable difference of two posterior means, in Monte Carlo standard errors.
MAX_DIFFERENCE = 4.0


def run(quick: bool = False) -> Section:
    """Fit all outcomes by ours, some by bambi (if `quick`, 10 outcomes and no peer)."""
    warnings.simplefilter("ignore", UserWarning)
    count = 10 if quick else OUTCOMES
    data, specs = _outcomes(count)
    progress(f"scorecard of {count} outcomes")
    start = time.perf_counter()
    card = bc.scorecard(data, specs, engine="nuts", seed=SEED, progressbar=False)
    ours = time.perf_counter() - start
    rows = [[f"bc.scorecard, NUTS, {count} outcomes", figure(ours), figure(ours / count), "1 x"]]
    start = time.perf_counter()
    bc.scorecard(data, specs, engine="exact", seed=SEED, progressbar=False)
    exact = time.perf_counter() - start
    rows.append(
        [
            f"bc.scorecard, integrated, {count} outcomes",
            figure(exact),
            figure(exact / count),
            times(exact / ours),
        ]
    )
    failed: list[str] = []
    if not quick:
        taken = []
        for name in list(specs)[:PEER_FITS]:
            progress(f"bambi, {name}")
            seconds, apart = _peer(data, specs[name], card.posteriors[name])
            taken.append(seconds)
            failed += [f"{name}: direct differs by {apart:.1f} errors"] * (apart > MAX_DIFFERENCE)
        each = float(np.mean(taken))
        scaled = [figure(each * count), figure(each), times(each * count / ours)]
        rows.append([f"bambi with nutpie, {count} fits", *scaled])
    return Section(
        "Refits",
        f"{count} outcomes of one experiment (the tutorial's {len(data):,} users), 4 chains of "
        "1,000 draws each, compilation counted.",
        ("what", "seconds", "seconds an outcome", "against ours"),
        rows,
        [
            f"bambi: the mean of {PEER_FITS} fits, scaled to {count}. Ours also reads the data, "
            "recovers intercepts and predictions and fits CR2 for every outcome."
        ],
        failed,
    )


def _outcomes(count: int) -> tuple[pd.DataFrame, dict[str, bc.ModelSpec]]:
    """Return the tutorial's users with further outcomes of other baselines and noise."""
    data = bc.load_tutorial()
    spec = bc.tutorial_spec()
    rng = np.random.default_rng(SEED)
    workspace = data[WORKSPACE].to_numpy()
    made = {}
    for i in range(count):
        baseline = rng.normal(0, 0.3, workspace.max() + 1)[workspace]
        noise = rng.normal(0, 0.3, len(data))
        made[f"metric_{i}"] = data[OUTCOME] + baseline + noise + 0.1 * i * data[TREATED]
    data = pd.concat([data, pd.DataFrame(made)], axis=1)
    return data, {
        name: spec.model_copy(update={"outcome": bc.spec.OutcomeSpec(column=name)}) for name in made
    }


def _peer(data: pd.DataFrame, spec: bc.ModelSpec, ours: Any) -> tuple[float, float]:
    """Fit one outcome by bambi; return seconds, and how far `direct` is from ours."""
    import arviz as az

    rows = data.assign(**{OUTCOME: data[spec.outcome.column]})
    priors = resolved_priors(bc.Experiment(data, spec))
    start = time.perf_counter()
    model = bambi_model(rows, priors)
    tree = model.fit(inference_method="nutpie", random_seed=SEED, progressbar=False)
    seconds = time.perf_counter() - start
    theirs = tree["posterior"][TREATED].to_numpy()
    mine = ours["posterior"]["direct"].to_numpy()
    error = np.hypot(az.mcse(theirs, method="mean"), az.mcse(mine, method="mean"))
    return seconds, float(abs(theirs.mean() - mine.mean()) / error)
