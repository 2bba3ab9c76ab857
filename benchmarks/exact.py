"""The posterior by integration beside NUTS: the same numbers, and the time they take."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import arviz as az
import numpy as np

import bayescluster as bc

from .tables import Section, figure, times

CLUSTERS = (6, 50, 2_000)
PRIORS = {
    "default": {},
    "flat-ish": {
        **{
            name: {"distribution": "normal", "mu": 0, "sigma": 100}
            for name in ("intercept_mean", "direct", "spillover")
        },
        "between_sd": {"distribution": "half_cauchy", "sigma": 5},
        "within_sd": {"distribution": "half_cauchy", "sigma": 5},
    },
    "tight": {
        "direct": {"distribution": "normal", "mu": 0, "sigma": 0.05},
        "spillover": {"distribution": "normal", "mu": 0.1, "sigma": 0.02},
        "between_sd": {"distribution": "half_normal", "sigma": 0.1},
    },
}
PROBS = (0.025, 0.975)
MAX_ERRORS = 4.0
NEW_PROCESS = """
import bayescluster as bc, sys
exp = bc.Experiment(sys.argv[1], bc.tutorial_spec())
bc.fit_exact(exp)
assert not {"pymc", "arviz", "nutpie"} & set(sys.modules)
"""


def run(quick: bool) -> list[Section]:
    """Compare figures on a grid (one cell if `quick`), then times."""
    warnings.simplefilter("ignore", UserWarning)
    return [_accuracy(quick), _times(quick)]


def _experiment(clusters: int, icc: float, prior: str) -> bc.Experiment:
    scenario = bc.simulate.Scenario(n_clusters=clusters, cluster_size=40, size_cv=0.5, icc=icc)
    spec = scenario.spec
    spec = bc.ModelSpec(design=spec.design, outcome=spec.outcome, priors=PRIORS[prior])
    return bc.Experiment.from_moments(scenario.simulate_moments(seed=clusters), spec)


def _accuracy(quick: bool) -> Section:
    rows, failed, count = [], [], 0
    for clusters in CLUSTERS[:1] if quick else CLUSTERS:
        for icc in (0.0, 0.1):
            for prior in PRIORS:
                exp = _experiment(clusters, icc, prior)
                tree = bc.fit(exp, draws=1_000 if quick else 5_000, progressbar=False, seed=1)
                errors = _errors(exp, tree)
                count += len(errors)
                worst = max(errors, key=lambda name: errors[name])
                cells = [f"{clusters:,}", f"{icc:g}", prior, figure(errors[worst]), worst]
                rows.append(cells)
                if errors[worst] > MAX_ERRORS:
                    failed.append(f"{clusters} clusters, ICC {icc}, {prior}: {errors[worst]:.1f}")
    return Section(
        title="Integration against NUTS",
        lead=(
            "Largest difference, in Monte Carlo standard errors of NUTS, of mean, SD, 2.5% and "
            "97.5% quantile of every parameter; 4 chains of 5,000 draws. ICC 0: between_sd near 0."
        ),
        columns=["clusters", "ICC", "priors", "largest difference", "of"],
        rows=rows,
        notes=[
            f"{count} differences in all; the largest of so many standard normal ones is expected "
            f"near {np.sqrt(2 * np.log(max(count, 2))):.1f}."
        ],
        failed=failed,
    )


def _errors(exp: bc.Experiment, tree) -> dict[str, float]:
    exact = bc.bayes.exact_posterior(exp)
    found = {}
    for name in exact.parameters:
        draws = tree["posterior"][name].to_numpy()
        limits = exact.quantile(PROBS)[name]
        pairs = {
            "mean": (draws.mean(), exact.mean[name], az.mcse(draws, method="mean")),
            "SD": (draws.std(), exact.sd[name], az.mcse(draws, method="sd")),
        }
        for prob, limit in zip(PROBS, limits, strict=True):
            error = az.mcse(draws, method="quantile", prob=prob)
            pairs[f"{prob:.1%}"] = np.quantile(draws, prob), limit, error
        found |= {
            f"{name}, {what}": abs(float(ours - theirs)) / float(error)
            for what, (theirs, ours, error) in pairs.items()
        }
    return found


def _times(quick: bool) -> Section:
    tutorial = bc.Experiment(bc.load_tutorial(), bc.tutorial_spec())
    bc.fit(tutorial, progressbar=False)  # compiles
    nuts = _seconds(lambda: bc.fit(tutorial, progressbar=False), 3)
    many = bc.simulate.Scenario(n_clusters=20_000, cluster_size=200, size_cv=0.7)
    large = bc.Experiment.from_moments(many.simulate_moments(seed=1), many.spec)
    small = bc.simulate.Scenario(n_clusters=50, cluster_size=100)
    batch = [small.simulate_moments(seed) for seed in range(100 if quick else 400)]
    rows = [
        ("fit (NUTS, compiled before), tutorial", nuts),
        ("fit_exact with 4,000 draws, tutorial", _seconds(lambda: bc.fit_exact(tutorial), 5)),
        ("exact_posterior table, tutorial", _seconds(lambda: _table(tutorial), 5)),
        ("exact_posterior table, 20,000 clusters of all sizes", _seconds(lambda: _table(large), 3)),
        (
            "exact_posteriors, each of a batch (50 clusters)",
            _seconds(lambda: bc.bayes.exact_posteriors(batch, small.spec), 1) / len(batch),
        ),
        ("new process, CSV of 50,000 users to fit_exact", _new_process()),
    ]
    each = dict(rows)["exact_posteriors, each of a batch (50 clusters)"]
    return Section(
        title="Integration: time",
        lead="Seconds; the ratio is to one compiled NUTS fit with everything after it.",
        columns=["what", "seconds", "against NUTS"],
        rows=[[what, figure(took), times(took / nuts)] for what, took in rows],
        notes=[
            f"{1 / each:,.0f} posteriors a second in a batch, on one core.",
            "The new process imports neither pymc nor arviz nor nutpie (checked).",
        ],
    )


def _table(exp: bc.Experiment) -> None:
    bc.bayes.exact_posterior(exp).to_dataframe()


def _seconds(function: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def _new_process() -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "users.csv"
        bc.load_tutorial().to_csv(path, index=False)
        command = [sys.executable, "-c", NEW_PROCESS, str(path)]
        return _seconds(lambda: subprocess.run(command, check=True), 3)
