"""What the few-cluster methods cost: CR2 at scale, wild bootstrap against a peer, randomisation."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import wildboottest.wildboottest as peer

import bayescluster as bc

from .tables import Section, figure

TOLERANCE = 1e-9


def seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Return the median time of a call, the first one not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def peer_bootstrap(
    y: np.ndarray, X: np.ndarray, cluster: np.ndarray, draws: int
) -> peer.WildboottestCL:
    """Run wildboottest's WCR (variant 11) on rows, up to its p-value."""
    boot = peer.WildboottestCL(
        X=X, Y=y, cluster=cluster, bootcluster=cluster, R=np.eye(X.shape[1])[1], B=draws, seed=1
    )
    boot.get_scores(bootstrap_type="11", impose_null=True)
    boot.get_weights(weights_type="rademacher")
    for step in ("get_numer", "get_denom", "get_tboot", "get_vcov", "get_tstat", "get_pvalue"):
        getattr(boot, step)()
    return boot


def run(quick: bool) -> list[Section]:
    """Time everything in one run."""
    return [_wild(quick), _scale()]


def _wild(quick: bool) -> Section:
    data = bc.load_tutorial()
    exp = bc.Experiment(data, bc.tutorial_spec())
    moments = exp.moments()
    y, cluster = data["session_minutes_obs"].to_numpy(), data["workspace_id"].to_numpy()
    X = np.column_stack([np.ones(len(y)), data[["treated_workspace", "spillover_exposed"]]])
    draws, theirs = 99_999, 999 if quick else 9_999
    ours_time = seconds(lambda: bc.wild_bootstrap(moments, "direct", draws=draws))
    peer_time = seconds(lambda: peer_bootstrap(y, X, cluster, theirs), 1 if quick else 3)
    observed = peer_bootstrap(y, X, cluster, 99).t_stat
    t = moments.select(["direct", "spillover"])
    fit = bc.ols(t, "CR1")
    gap = abs(float(observed) / float(fit.estimate[1] / fit.std_error[1]) - 1)
    ratio = (peer_time / theirs) / (ours_time / draws)
    return Section(
        title="Wild cluster bootstrap",
        lead="WCR, Rademacher weights, the tutorial's 50 workspaces and 50,000 users.",
        columns=["method", "draws", "seconds", "microseconds a draw", "time against ours"],
        rows=[
            [
                "wildboottest, p-value only",
                f"{theirs:,}",
                figure(peer_time),
                figure(1e6 * peer_time / theirs),
                f"{figure(ratio)} x",
            ],
            [
                "bayescluster, with the interval",
                f"{draws:,}",
                figure(ours_time),
                figure(1e6 * ours_time / draws),
                "1",
            ],
        ],
        notes=[f"The observed statistics agree to {gap:.0e}. Ours starts from the moments."],
        failed=[] if gap < TOLERANCE else [f"observed statistics differ by {gap:.1e}"],
    )


def _scale() -> Section:
    scenario = bc.simulate.Scenario(n_clusters=10_000, cluster_size=100, size_cv=0.5)
    exp = bc.Experiment.from_moments(scenario.simulate_moments(), scenario.spec)
    tutorial = bc.Experiment(bc.load_tutorial(), bc.tutorial_spec())
    calls: dict[str, Callable[[], object]] = {
        "CR2 with df, 10,000 clusters, a million users": lambda: bc.ols(exp.moments(), "CR2"),
        "CR3, the same": lambda: bc.ols(exp.moments(), "CR3"),
        "leave-one-out and leverage, the same": lambda: bc.frequentist.influence(exp),
        "9,999 randomisations with the interval, 50 clusters": lambda: bc.randomization_test(
            tutorial, draws=9_999
        ),
        "10,000 bootstraps of four estimates, 50 clusters": lambda: bc.cluster_bootstrap(tutorial),
    }
    rows = [[name, figure(seconds(call))] for name, call in calls.items()]
    return Section(
        title="Few-cluster methods from moments",
        lead="Seconds, from the moments; the number of users does not matter.",
        columns=["what", "seconds"],
        rows=rows,
    )
