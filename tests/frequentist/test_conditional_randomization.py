"""The test of spillover with focal users: its level, its interval, and enumeration by hand."""

import itertools
from functools import cache

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster.frequentist.conditional_randomization import focal_test

K = 24
SCENARIO = bc.simulate.GraphScenario(
    n_clusters=K,
    cluster_size=20,
    direct=1.0,
    spillover=0.0,
    degree_effect=1.0,
    local_ties=0.8,
    bridge_share=0.2,
    bridge_ties=3.0,
)
DESIGNS = {
    "complete": bc.assignment.Complete(K, 12),
    "pairs": bc.assignment.Stratified(np.arange(K) // 2, dict.fromkeys(range(K // 2), 1)),
    "stratified": bc.assignment.Stratified(np.arange(K) % 2, {0: 4, 1: 7}),
    "Bernoulli": bc.assignment.Bernoulli(K),
    "rerandomised": bc.assignment.Rerandomised(
        bc.assignment.Complete(K, 12), np.arange(K) ** 2.0, 1.0
    ),
}


@cache
def probabilities(design):
    return bc.exposure.exposure_probabilities(
        SCENARIO.graph.collaborators, bc.exposure.AtLeast(), DESIGNS[design], draws=100
    )


def p_value(design, seed, draws=99, spillover=0.0, **settings):
    """p-value of one experiment; 1 where the focal clusters leave nothing to learn from."""
    try:
        found = focal_test(*simulated(design, seed, spillover), draws=draws, seed=seed, **settings)
    except bc.errors.DesignError:
        return 1.0
    return found.p_value


def simulated(design, seed, spillover=0.0):
    """One experiment: exposure, and outcomes that rise with degree and with treatment."""
    rng = np.random.default_rng([seed, list(DESIGNS).index(design)])
    mechanism, collaborators = DESIGNS[design], SCENARIO.graph.collaborators
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
    return exposure, SCENARIO.outcomes(assignment, rng) + spillover * exposure.spillover


@pytest.mark.parametrize("design", DESIGNS)
def test_level_without_spillover(design):
    """At most 5%, within 3.3 Monte Carlo errors of 300 experiments: 1.26 points each.

    With 99 draws a p-value of at most 0.05 has probability 5 / 100 but for ties.
    """
    p = np.array([p_value(design, seed) for seed in range(300)])
    error = np.sqrt(0.05 * 0.95 / 300)
    assert (p <= 0.05).mean() <= 0.05 + 3.3 * error
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=3.3 * np.sqrt(0.25 / 300))  # not idle


def test_users_of_many_ties_would_mislead_a_regression():
    """The baselines that the level stands against: two-exposure OLS rejects nearly always."""
    rejected = 0
    for seed in range(20):
        exposure, y = simulated("complete", seed)
        moments = bc.ClusterMoments.from_arrays(
            y,
            np.column_stack([exposure.treated, exposure.spillover]).astype(float),
            exposure.collaborators.cluster,
            ["direct", "spillover"],
        )
        rejected += bc.ols(moments, "CR2").p_value[2] <= 0.05
    assert rejected >= 18


def test_power_is_above_the_level():
    """100 experiments, a spillover effect of 1 (1.25 standard deviations): error 5 points."""
    p = [p_value("complete", seed, spillover=1.0) for seed in range(100)]
    assert (np.array(p) <= 0.05).mean() > 0.05 + 0.25


def test_a_true_effect_as_the_null_is_not_rejected_more_often():
    p = [p_value("complete", seed, spillover=1.0, null=1.0) for seed in range(300)]
    assert (np.array(p) <= 0.05).mean() <= 0.05 + 3.3 * np.sqrt(0.05 * 0.95 / 300)


# --- by hand -----------------------------------------------------------------------------------


@cache
def tiny():
    """Eight clusters of four users, four treated; weighted shares make ties of statistics rare."""
    rng = np.random.default_rng(3)
    users = pd.DataFrame({"user": np.arange(32), "cluster": np.arange(32) % 8})
    edges = pd.DataFrame(rng.integers(0, 32, (80, 2)), columns=["from", "to"])
    edges["w"] = rng.uniform(0.1, 2, 80)
    graph = bc.exposure.CollaborationGraph(edges, users, options=bc.spec.ExposureSpec(weight="w"))
    return graph.collaborators


def by_hand(collaborators, patterns, observed, fixed, y, null):
    """p-value over all assignments that agree with the observed one on the focal clusters."""
    share = bc.exposure.TreatedShare()
    possible = [p for p in patterns if (p[fixed] == observed[fixed]).all()]
    value = {tuple(p): share.values(collaborators, p[None, :])[:, 0] for p in possible}
    focal = [u for u in range(32) if fixed[u % 8] and not observed[u % 8]]
    mean = {u: np.mean([value[tuple(p)][u] for p in possible]) for u in focal}
    degree = collaborators.degree
    # Regress exposure less its mean on dummies of clusters, degree, its logarithm and that mean.
    dummies = [[float(u % 8 == c) for c in range(8)] for u in focal]
    controls = np.array(
        [
            [*row, degree[u], np.log(1 + degree[u]), mean[u]]
            for row, u in zip(dummies, focal, strict=True)
        ]
    )
    project = np.eye(len(focal)) - controls @ np.linalg.pinv(controls)
    under_null = np.array([y[u] - null * value[tuple(observed)][u] for u in focal])
    statistics = {
        key: abs(under_null @ project @ np.array([v[u] - mean[u] for u in focal]))
        for key, v in value.items()
    }
    extreme = [s >= statistics[tuple(observed)] * (1 - 1e-9) for s in statistics.values()]
    return float(np.mean(extreme)), len(possible)


@pytest.mark.parametrize("null", [0.0, 0.7])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_p_values_equal_enumeration(seed, null):
    """Against all ten assignments given the focal clusters', within five Monte Carlo errors."""
    collaborators, mechanism = tiny(), bc.assignment.Complete(8, 4)
    patterns = np.array([p for p in itertools.product((False, True), repeat=8) if sum(p) == 4])
    rng = np.random.default_rng(seed)
    fixed = np.zeros(8, dtype=bool)
    # The focal clusters come first from the seed, whatever the assignment.
    fixed[np.random.default_rng(seed).permutation(8)[:3]] = True
    informative = patterns[patterns[:, fixed].sum(axis=1) == 1]
    observed = informative[rng.integers(len(informative))]
    exposure = bc.Exposure.of(collaborators, observed, bc.exposure.TreatedShare(), mechanism)
    y = rng.normal(0, 1, 32) + collaborators.degree
    share, draws = 0.375, 20_000
    found = focal_test(exposure, y, draws, seed, null=null, focal_share=share)
    expected, many = by_hand(collaborators, patterns, observed, fixed, y, null)
    assert many == 10
    error = np.sqrt(0.25 / draws)
    assert found.p_value == pytest.approx(expected, abs=5 * error)


def test_over_all_assignments_the_level_is_exact():
    """Of all 70 assignments, in each class that shares the focal arms: P(p <= a) <= a."""
    collaborators = tiny()
    patterns = np.array([p for p in itertools.product((False, True), repeat=8) if sum(p) == 4])
    fixed = np.isin(np.arange(8), [1, 4, 6])
    rng = np.random.default_rng(5)
    base, effect = rng.normal(0, 1, 32) + collaborators.degree, rng.normal(1, 1, 32)
    p, classes = [], []
    for observed in patterns:
        if observed[fixed].all():
            continue  # nobody is focal and untreated
        y = base + effect * observed[np.arange(32) % 8]  # no spillover; direct effects of any size
        p.append(by_hand(collaborators, patterns, observed, fixed, y, 0.0)[0])
        classes.append(tuple(observed[fixed]))
    table = pd.DataFrame({"p": p, "of": classes})
    for _, one in table.groupby("of"):
        for level in (0.05, 0.1, 0.2, 0.5, 0.9):
            assert (one["p"] <= level + 1e-12).mean() <= level + 1e-12
    assert len(table["p"].unique()) == 10


@pytest.mark.parametrize("design", ["complete", "pairs", "Bernoulli"])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_holds_what_is_not_rejected(design, level):
    exposure, y = simulated(design, 1, spillover=0.5)

    def p(null):
        return focal_test(exposure, y, 199, 3, null=null).p_value

    found = focal_test(exposure, y, 199, 3, ci_prob=level)
    low, high = found.ci
    assert np.isfinite([low, high]).all()
    assert low < found.estimate < high
    assert p(found.estimate) == 1
    for null in [*np.linspace(low, found.estimate, 9)[1:].tolist(), high - 1e-6]:
        assert p(null) > 1 - level
    for away in (1e-6, 0.1, 1.0, 10.0):
        assert p(low - away) <= 1 - level
        assert p(high + away) <= 1 - level
    assert (found.p_value > 1 - level) == (low <= 0 <= high)
    assert found.smallest_p_value == 1 / 200


def test_the_same_from_an_experiment():
    edges, users = SCENARIO.simulate(4)
    exp = bc.expose(edges, users, SCENARIO.spec).experiment()
    found = bc.frequentist.spillover_test(exp, draws=99, seed=2, null=0.1)
    y = users["outcome"].to_numpy()
    same = focal_test(exp.exposure, y, 99, 2, null=0.1)
    assert found == same
    assert bc.frequentist.spillover_test(exp, draws=99, seed=2, null=0.1) == found
    assert bc.frequentist.spillover_test(exp, draws=99, seed=3, null=0.1).estimate != found.estimate
    assert found.to_dataframe()["term"].tolist() == ["spillover"]


def test_treated_and_other_users_play_no_part():
    exposure, y = simulated("complete", 2)
    plain = focal_test(exposure, y, 99, 1)
    moved = focal_test(exposure, y + 100 * exposure.treated, 99, 1)
    assert moved == plain
    level = np.random.default_rng(0).normal(0, 9, K)[exposure.collaborators.cluster]
    shifted = focal_test(exposure, y + level + 3 * exposure.collaborators.degree, 99, 1)
    assert shifted.p_value == plain.p_value
    assert shifted.estimate == pytest.approx(plain.estimate, abs=1e-9)
    missing = np.where(exposure.treated, y, np.nan)
    with pytest.raises(
        bc.errors.DesignError, match="the exposure of the 0 untreated focal users does not"
    ):
        focal_test(exposure, missing, 99, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 0}, "draws must be at least 1; given 0"),
        ({"focal_share": 0}, r"focal_share must lie in \(0, 1\); given 0"),
        ({"focal_share": 1.0}, r"focal_share must lie in \(0, 1\); given 1.0"),
        ({"null": np.nan}, "null"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        focal_test(*simulated("complete", 0), **settings)


def test_what_the_design_cannot_say_is_refused():
    users = pd.DataFrame({"user": np.arange(24), "cluster": np.arange(24) // 3})
    inside = pd.DataFrame({"from": np.arange(0, 24, 3), "to": np.arange(1, 24, 3)})
    graph = bc.exposure.CollaborationGraph(inside, users)
    arm = np.arange(8) % 2 == 0
    alone = bc.Exposure.of(
        graph.collaborators, arm, bc.exposure.AtLeast(), bc.assignment.Complete(8, 4)
    )
    with pytest.raises(
        bc.errors.DesignError, match=r"untreated focal users does not vary .* cross clusters"
    ):
        focal_test(alone, np.arange(24.0), 99)
    # every user has one tie, to the same other cluster as all the teammates have
    across = pd.DataFrame({"from": np.arange(12), "to": np.arange(12, 24)})
    graph = bc.exposure.CollaborationGraph(across, users)
    alike = bc.Exposure.of(
        graph.collaborators, arm, bc.exposure.AtLeast(), bc.assignment.Complete(8, 4)
    )
    with pytest.raises(bc.errors.DesignError, match="or only between clusters"):
        focal_test(alike, np.arange(24.0), 99)
    custom = bc.assignment.Custom(K, lambda rng: rng.permutation(K) < 12)
    own = bc.Exposure.of(
        SCENARIO.graph.collaborators, np.arange(K) < 12, bc.exposure.AtLeast(), custom, draws=10
    )
    with pytest.raises(
        bc.errors.DesignError, match="Custom cannot be drawn from given the assignment"
    ):
        focal_test(own, np.zeros(480), 99)
    data = pd.DataFrame({"c": np.arange(40) // 5, "y": np.random.default_rng(0).normal(size=40)})
    data["t"] = data["c"] % 2
    spec = bc.ModelSpec(design={"cluster": "c", "treatment": "t"}, outcome={"column": "y"})
    with pytest.raises(bc.errors.DataError, match="this experiment has no collaboration graph"):
        bc.frequentist.spillover_test(bc.Experiment(data, spec))
