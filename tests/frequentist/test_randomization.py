"""Assignment mechanisms and the randomisation test, against brute-force enumeration over rows."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc


def make(seed, clusters=8, strata=False, covariate=False, effect=0.5):
    rng = np.random.default_rng(seed)
    cluster = np.r_[
        np.arange(clusters), np.arange(clusters), rng.integers(0, clusters, 5 * clusters)
    ]
    block = cluster // 4
    treated = (cluster % 2) if strata else (cluster < clusters // 2).astype(int)
    x = rng.normal(0, 1, len(cluster)) + 0.5 * cluster
    noise = rng.normal(0, 0.4, clusters)[cluster] + rng.normal(0, 1, len(cluster))
    frame = pd.DataFrame({"c": cluster, "t": treated, "b": block, "x": x})
    frame["y"] = effect * treated + 0.3 * x + block + noise
    spec = bc.ModelSpec(
        design={"cluster": "c", "treatment": "t", **({"strata": "b"} if strata else {})},
        outcome={"column": "y", "covariates": ["x"] if covariate else []},
    )
    return frame, bc.Experiment(frame, spec)


def statistic(frame, treated, y, *, strata, covariate, studentise):
    """OLS of y on the treatment, intercepts and covariate; coefficient over its CR0 SE."""
    levels = np.unique(frame["b"]) if strata else [None]
    D = [treated] + [frame["b"] == b if strata else np.ones(len(frame)) for b in levels]
    D = np.column_stack(D + ([frame["x"]] if covariate else [])).astype(float)
    M = np.linalg.inv(D.T @ D)
    b = M @ D.T @ y
    if not studentise:
        return b[0]
    e = y - D @ b
    scores = pd.DataFrame(D * e[:, None]).groupby(frame["c"].to_numpy()).sum().to_numpy()
    return b[0] / np.sqrt((M @ scores.T @ scores @ M)[0, 0])


@pytest.mark.parametrize("strata", [False, True])
@pytest.mark.parametrize("covariate", [False, True])
@pytest.mark.parametrize("studentise", [False, True])
def test_equals_brute_force(strata, covariate, studentise):
    frame, exp = make(1, strata=strata, covariate=covariate)
    options = {"strata": strata, "covariate": covariate, "studentise": studentise}
    arm = frame.groupby("c")["t"].first().to_numpy()
    if strata:
        halves = [list(itertools.combinations(range(4 * s, 4 * s + 4), 2)) for s in (0, 1)]
        chosen = [a + b for a, b in itertools.product(*halves)]
    else:
        chosen = list(itertools.combinations(range(8), 4))
    for null in (0.0, 0.7):
        y = frame["y"].to_numpy() - null * frame["t"].to_numpy()
        observed = statistic(frame, arm[frame["c"]], y, **options)
        draws = []
        for members in chosen:
            new = np.isin(np.arange(8), members).astype(float)
            draws.append(statistic(frame, new[frame["c"]], y, **options))
        share = np.mean(np.abs(draws) >= abs(observed) * (1 - 1e-9))
        ours = bc.randomization_test(exp, null=null, studentise=studentise)
        assert ours.enumerated
        assert ours.draws == len(chosen)
        assert ours.p_value == pytest.approx(share, abs=1e-12)


def test_the_interval_inverts_the_test():
    _, exp = make(3, clusters=16, covariate=True)
    for options in ({}, {"tail": "equal"}, {"studentise": False}):
        result = bc.randomization_test(exp, draws=1_999, seed=4, **options)
        for end, outward in zip(result.ci, (-1, 1), strict=True):
            step = 1e-7 * result.std_error * outward
            inside = bc.randomization_test(exp, draws=1_999, seed=4, null=end - step, **options)
            outside = bc.randomization_test(exp, draws=1_999, seed=4, null=end + step, **options)
            assert outside.p_value <= 0.05 < inside.p_value


def test_three_clusters_an_arm_cannot_reject_at_5_percent():
    """20 assignments, in pairs that mirror each other: the smallest p-value is 2 / 20."""
    _, exp = make(0, clusters=6, effect=50)
    result = bc.randomization_test(exp)
    assert result.draws == 20
    assert result.p_value == pytest.approx(0.1)
    assert result.ci == (-np.inf, np.inf)
    assert result.smallest_p_value == pytest.approx(0.1)
    assert bc.randomization_test(exp, tail="equal").smallest_p_value == pytest.approx(0.1)


def test_the_level_is_held():
    """2,000 experiments without effect, 4 + 4 clusters, exact test at 5%: at most 3/70 = 4.3%."""
    rng = np.random.default_rng(0)
    scenario = bc.simulate.Scenario(
        n_clusters=8, cluster_size=20, size_cv=0.8, direct=0, exposed_share=0, icc=0.3
    )
    rejected = 0
    for _ in range(2_000):
        exp = bc.Experiment.from_moments(
            scenario.simulate_moments(int(rng.integers(2**31))), scenario.spec
        )
        rejected += bc.randomization_test(exp).p_value <= 0.05
    error = math.sqrt(0.05 * 0.95 / 2_000)
    assert rejected / 2_000 < 0.05 + 3 * error


MECHANISMS = {
    "complete": bc.assignment.Complete(6, 2),
    "stratified": bc.assignment.Stratified(
        np.array(["a", "a", "a", "b", "b", "b"]), {"a": 1, "b": 2}
    ),
    "pairs": bc.assignment.Stratified(np.array([0, 0, 1, 1, 2, 2]), {0: 1, 1: 1, 2: 1}),
    "bernoulli": bc.assignment.Bernoulli(6, least=2),
    "rerandomised": bc.assignment.Rerandomised(
        bc.assignment.Complete(6, 3), np.array([1.0, 2, 3, 4, 5, 9]), 1.0
    ),
}


@pytest.mark.parametrize("name", MECHANISMS)
def test_draws_are_uniform_over_the_enumerated_assignments(name):
    mechanism = MECHANISMS[name]
    every = np.array(list(mechanism.enumerate()))
    assert len(np.unique(every, axis=0)) == len(every)
    assert len(every) <= mechanism.n_assignments
    if name != "rerandomised":
        assert len(every) == mechanism.n_assignments
    draws = 20_000
    drawn = mechanism.draw(np.random.default_rng(1), draws)
    code = 2 ** np.arange(6)
    counts = pd.Series(drawn @ code).value_counts().reindex(every @ code, fill_value=0)
    assert counts.sum() == draws
    expected = draws / len(every)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    # A chi-squared with k - 1 degrees of freedom: mean k - 1, SD sqrt(2 (k - 1)).
    assert chi2 < len(every) - 1 + 4 * math.sqrt(2 * (len(every) - 1))
    error = 4 * 0.5 / math.sqrt(10_000)
    assert np.abs(mechanism.probability() - every.mean(axis=0)).max() < error
    for assignment in every:
        mechanism.check(assignment)


def test_a_users_own_mechanism():
    alternating = bc.assignment.Custom(8, lambda rng: np.roll(np.arange(8) % 2, rng.integers(0, 2)))
    frame, _ = make(2)
    frame["t"] = frame["c"] % 2
    spec = bc.ModelSpec(design={"cluster": "c", "treatment": "t"}, outcome={"column": "y"})
    exp = bc.Experiment(frame, spec)
    result = bc.randomization_test(exp, draws=199, mechanism=alternating)
    assert result.p_value == 1.0  # two mirrored assignments: nothing can be learnt
    assert not result.enumerated
    with pytest.raises(bc.errors.DesignError, match="cannot be enumerated"):
        alternating.enumerate()


def with_mechanism(frame, name, strata="b"):
    return bc.Experiment(
        frame,
        bc.ModelSpec(
            design={"cluster": "c", "treatment": "t", "strata": strata, "mechanism": name},
            outcome={"column": "y"},
        ),
    )


def test_the_specification_names_the_mechanism():
    frame, _ = make(4, strata=True)
    frame["pair"] = frame["c"] // 2
    assert with_mechanism(frame, "stratified").mechanism.n_assignments == 36
    assert with_mechanism(frame, "complete").mechanism.n_assignments == 70
    assert with_mechanism(frame, "matched_pairs", "pair").mechanism.n_assignments == 16
    assert with_mechanism(frame, "bernoulli").mechanism.n_assignments == 2**8 - 2 - 16
    with pytest.raises(bc.errors.SpecError, match="'stratified' needs a strata column"):
        with_mechanism(frame, "stratified", None)


def test_impossible_assignments_are_refused():
    frame, exp = make(4, strata=True)
    with pytest.raises(
        bc.errors.StrataError, match=r"2 strata of column 'b', such as 0, 1, do not have two"
    ):
        _ = with_mechanism(frame, "matched_pairs").mechanism
    frame["t"] = (frame["c"].isin([0, 1, 2, 3, 4])).astype(int)
    with pytest.raises(bc.errors.DesignError, match=r"stratum 0 has 4 treated of 4 clusters"):
        _ = with_mechanism(frame, "stratified").mechanism
    frame["pair"] = frame["c"] // 2
    with pytest.raises(
        bc.errors.DesignError, match=r"stratum 0 has 2 treated of 2 clusters, where"
    ):
        _ = with_mechanism(frame, "matched_pairs", "pair").mechanism
    with pytest.raises(
        bc.errors.DesignError, match=r"has 4 treated of 8 clusters, where the mechanism treats 3"
    ):
        bc.randomization_test(exp, mechanism=bc.assignment.Complete(8, 3))
    with pytest.raises(bc.errors.DesignError, match="exceeds the accepted"):
        bc.randomization_test(
            exp,
            mechanism=bc.assignment.Rerandomised(
                bc.assignment.Complete(8, 4), np.arange(8) % 2, 0.1
            ),
        )
    with pytest.raises(bc.errors.DesignError, match="meet the criterion"):
        bc.assignment.Rerandomised(bc.assignment.Complete(8, 4), np.arange(8.0) ** 3, 1e-12).draw(
            np.random.default_rng(0), 10
        )
    with pytest.raises(ValueError, match="term must be one of direct"):
        bc.randomization_test(exp, "spillover")
    for null in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"null must be a finite number; given {null}"):
            bc.randomization_test(exp, null=null)
    with pytest.raises(bc.errors.DesignError, match="0 or 1 for each of 8 clusters"):
        bc.assignment.Complete(8, 4).check(np.arange(8))


def test_strata_may_be_text_and_clusters_may_be_many():
    frame, _ = make(4, strata=True)
    frame["pair"] = "p" + (frame["c"] // 2).astype(str)
    exp = with_mechanism(frame, "matched_pairs", "pair")
    assert bc.randomization_test(exp).draws == 16
    with pytest.raises(bc.errors.DesignError, match="no stratum"):
        bc.assignment.Stratified(np.array([1, 1, np.nan, np.nan]), {1: 1})
    assert bc.assignment.Complete(2_000, 1_000).n_assignments > 10**500
    scenario = bc.simulate.Scenario(n_clusters=1_200, cluster_size=5, exposed_share=0)
    many = bc.Experiment.from_moments(scenario.simulate_moments(), scenario.spec)
    assert not bc.randomization_test(many, draws=19).enumerated


def test_as_many_coefficients_as_clusters_leave_no_standard_error():
    rng = np.random.default_rng(0)
    c = np.repeat(np.arange(4), 5)
    frame = pd.DataFrame({"c": c, "t": c % 2, "y": rng.normal(size=20)})
    frame[["z0", "z1"]] = rng.normal(size=(4, 2))[c]
    spec = bc.ModelSpec(
        design={"cluster": "c", "treatment": "t"},
        outcome={"column": "y", "covariates": ["z0", "z1"]},
    )
    exp = bc.Experiment(frame, spec)
    with pytest.raises(
        bc.errors.DesignError, match="standard error of 'direct' vanishes: in each of 4"
    ):
        bc.randomization_test(exp)
    assert bc.randomization_test(exp, studentise=False).p_value > 0
