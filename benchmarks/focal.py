"""How often the test of spillover rejects where there is a direct effect and no spillover."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial

import numpy as np

import bayescluster as bc
from bayescluster.frequentist.conditional_randomization import focal_test

from .tables import Section

LEVEL = 0.05
CLUSTERS = 24
DRAWS = 199
#: Many ties and a steep baseline: users with more ties are exposed more, and differ otherwise.
SCENARIO = bc.simulate.GraphScenario(
    n_clusters=CLUSTERS,
    cluster_size=25,
    direct=1.0,
    spillover=0.0,
    degree_effect=1.0,
    local_ties=0.7,
    bridge_share=0.2,
    bridge_ties=4.0,
)
DESIGNS: dict[str, Callable[[], bc.assignment.Mechanism]] = {
    "complete": lambda: bc.assignment.Complete(CLUSTERS, CLUSTERS // 2),
    "pairs": lambda: bc.assignment.Stratified(
        np.arange(CLUSTERS) // 2, dict.fromkeys(range(CLUSTERS // 2), 1)
    ),
    "stratified": lambda: bc.assignment.Stratified(
        np.arange(CLUSTERS) % 4, {0: 2, 1: 3, 2: 3, 3: 4}
    ),
    "Bernoulli": lambda: bc.assignment.Bernoulli(CLUSTERS),
}


@cache
def probabilities(design: str) -> bc.exposure.ExposureProbabilities:
    """Return the exposure probabilities, the same for all experiments of a design."""
    return bc.exposure.exposure_probabilities(
        SCENARIO.graph.collaborators, bc.exposure.AtLeast(), DESIGNS[design]()
    )


def p_values(design: str, seed: int, spillover: float = 0.0) -> tuple[float, float]:
    """Return the p-values of the test, and of OLS on the exposure indicator, in one experiment."""
    rng = np.random.default_rng([seed, list(DESIGNS).index(design)])
    mechanism, collaborators = DESIGNS[design](), SCENARIO.graph.collaborators
    assignment = mechanism.draw(rng, 1)[0]
    value = bc.exposure.AtLeast().values(collaborators, assignment[None, :])[:, 0]
    exposure = bc.Exposure(
        collaborators,
        bc.exposure.AtLeast(),
        assignment,
        value,
        probabilities(design),
        mechanism=mechanism,
    )
    y = SCENARIO.outcomes(assignment, rng) + spillover * exposure.spillover
    moments = bc.ClusterMoments.from_arrays(
        y,
        np.column_stack([exposure.treated, exposure.spillover]).astype(float),
        collaborators.cluster,
        ["direct", "spillover"],
    )
    ols = bc.ols(moments, "CR2")
    try:
        p_value = focal_test(exposure, y, DRAWS, seed).p_value
    except bc.errors.DesignError:  # all focal clusters are treated: nothing to learn from
        p_value = 1.0
    return p_value, float(ols.p_value[ols.terms.index("spillover")])


def run(quick: bool) -> Section:
    """Simulate 2,000 experiments per design, or 100 if `quick`."""
    experiments = 100 if quick else 2_000
    rows, failed = [], []
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / experiments)
    with ProcessPoolExecutor(2) as pool:
        for design in DESIGNS:
            task = partial(p_values, design)
            found = np.array(list(pool.map(task, range(experiments), chunksize=25)))
            strong = partial(p_values, design, spillover=0.5)
            power = np.array(list(pool.map(strong, range(experiments // 4), chunksize=25)))
            ours, ols = 100 * (found <= LEVEL).mean(axis=0)
            rows.append(
                [design, f"{ours:.1f}", f"{ols:.1f}", f"{100 * (power[:, 0] <= LEVEL).mean():.0f}"]
            )
            if ours > 100 * LEVEL + 3 * error:
                failed.append(f"{design}: rejects {ours:.1f}% of true nulls")
    return Section(
        title="Test of spillover: rejection of a true null at 5%",
        lead=(
            f"Per cent of {experiments:,} simulated experiments on one graph, {CLUSTERS} clusters "
            f"of {SCENARIO.cluster_size} users, direct effect {SCENARIO.direct:g}, no spillover, "
            f"baselines that rise with degree, {DRAWS} draws. Monte Carlo error at 5%: "
            f"{error:.1f} points (one SE). Power: a spillover effect of 0.5, "
            f"{experiments // 4:,} experiments."
        ),
        columns=["design", "focal test", "OLS on the exposure indicator, CR2", "power"],
        rows=rows,
        notes=[
            "The test is exact: focal clusters keep their arms, so neither direct effects nor "
            "degree can make it reject. OLS on the indicator compares users of many ties with "
            "users of few."
        ],
        failed=failed,
    )
