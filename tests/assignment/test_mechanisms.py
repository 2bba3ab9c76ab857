"""Mechanisms: named by a specification or given in code, and what they refuse."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster.frequentist.estimator_registry import run_all


def frame(seed=0, clusters=8, size=6):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), size)
    x = rng.normal(0, 1, clusters)[cluster] + rng.normal(0, 1, len(cluster))
    data = pd.DataFrame({"c": cluster, "t": cluster % 2, "b": cluster // 2, "x": x})
    return data.assign(y=0.5 * data["t"] + x + rng.normal(0, 1, len(cluster)))


def spec(covariates=(), **design):
    return bc.ModelSpec(
        design={"cluster": "c", "treatment": "t", **design},
        outcome={"column": "y", "covariates": covariates},
    )


RERANDOMISED = {"mechanism": "rerandomised", "balance": ["x"], "max_distance": 2.0}


@pytest.mark.parametrize("strata", [None, "b"])
def test_a_specification_names_rerandomisation(strata):
    data = frame(1)
    named = spec(["x"], strata=strata, **RERANDOMISED)
    assert bc.ModelSpec.from_toml(named.to_toml()) == named
    exp = bc.Experiment(data, named)
    means = data.groupby("c")["x"].mean().to_numpy()
    if strata:
        every = [np.array(a).ravel() for a in itertools.product([(0, 1), (1, 0)], repeat=4)]
    else:
        every = [np.isin(np.arange(8), at) for at in itertools.combinations(range(8), 4)]
    accepted = []
    for arm in np.array(every, dtype=bool):
        difference = means[arm].mean() - means[~arm].mean()
        if 4 * 4 / 8 * difference**2 / means.var(ddof=1) <= 2.0:
            accepted.append(arm)
    assert 0 < len(accepted) < len(every)
    assert {tuple(a) for a in exp.mechanism.enumerate()} == {tuple(a) for a in accepted}
    assert bc.randomization_test(exp).draws == len(accepted)
    unbalanced = {**RERANDOMISED, "max_distance": 1e-9}
    with pytest.raises(bc.errors.DesignError, match="exceeds the accepted 1e-09"):
        _ = bc.Experiment(data, spec(["x"], strata=strata, **unbalanced)).mechanism


def test_a_specification_of_rerandomisation_is_checked():
    with pytest.raises(
        bc.errors.SpecError, match=r"design.balance names \['x'\], which outcome.cov"
    ):
        spec(**RERANDOMISED)
    with pytest.raises(
        bc.errors.SpecError, match="max_distance is needed for mechanism 'rerandomised'"
    ):
        spec(["x"], mechanism="rerandomised", balance=["x"])
    with pytest.raises(bc.errors.SpecError, match="balance belongs to mechanism 'rerandomised'"):
        spec(["x"], balance=["x"])
    with pytest.raises(bc.errors.SpecError, match="greater than 0"):
        spec(["x"], **{**RERANDOMISED, "max_distance": 0})


def test_a_users_mechanism_goes_with_the_experiment():
    data = frame(2)
    swapped = bc.assignment.Custom(8, lambda rng: np.roll(np.arange(8) % 2, rng.integers(0, 2)))
    exp = bc.Experiment(data, spec(), mechanism=swapped)
    assert exp.mechanism is swapped
    assert bc.randomization_test(exp, draws=99).p_value == 1
    again = bc.Experiment.from_moments(
        exp.moments(), spec(), mechanism=bc.assignment.Complete(8, 4)
    )
    assert bc.randomization_test(again).draws == 70
    powerless = {one.label: one.reason for one in run_all(exp, 0).powerless}
    assert (
        "drawn assignments no p-value is below 1, so it cannot reject at 0.05"
        in (powerless["randomisation test"])
    )
    with pytest.raises(bc.errors.DesignError, match="assigns 6 clusters, the data have 8"):
        bc.Experiment(data, spec(), mechanism=bc.assignment.Complete(6, 3))
    with pytest.raises(
        bc.errors.DesignError, match="has 4 treated of 8 clusters, where the mechanism"
    ):
        bc.Experiment(data, spec(), mechanism=bc.assignment.Complete(8, 3))
    with pytest.raises(
        bc.errors.DesignError, match="names mechanism 'complete', and another one is"
    ):
        bc.Experiment(data, spec(mechanism="complete"), mechanism=bc.assignment.Complete(8, 4))
    with pytest.raises(TypeError, match="mechanism must be a Mechanism, not str"):
        bc.Experiment(data, spec(), mechanism="complete")
    with pytest.raises(bc.errors.DesignError, match="assigns 6 clusters, the data have 8"):
        bc.analyze(data, spec(), mechanism=bc.assignment.Complete(6, 3), progressbar=False)


def test_rerandomisation_does_not_depend_on_units_of_the_covariates():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(10, 2))
    arm = rng.permutation(10) < 5
    plain = bc.assignment.Rerandomised(bc.assignment.Complete(10, 5), x, 1.0)
    scaled = bc.assignment.Rerandomised(
        bc.assignment.Complete(10, 5), x * [1e9, 1e-9] + [1e9, 0], 1.0
    )
    d = x[arm].mean(axis=0) - x[~arm].mean(axis=0)
    expected = 2.5 * d @ np.linalg.solve(np.cov(x.T), d)
    assert plain.distance(arm) == pytest.approx(expected, rel=1e-12)
    assert scaled.distance(arm) == pytest.approx(expected, rel=1e-6)  # 1e9 costs nine digits
    twice = bc.assignment.Rerandomised(
        bc.assignment.Complete(10, 5), np.column_stack([x, x[:, 0] - x[:, 1]]), 1.0
    )
    assert twice.distance(arm) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("covariates", "max_distance", "message"),
    [
        (np.zeros((2, 8)), 1, r"shape \(2, 8\), where a row for each of 8 clusters is needed"),
        (np.ones(8), 1, "covariate 0 is constant over all 8 clusters"),
        (pd.DataFrame({"z": [np.nan, np.inf] * 4}), 1, "'z' is NaN or infinite in 8 of 8 clusters"),
        (np.arange(8.0), 0, "max_distance must be positive and finite; given 0"),
        (np.arange(8.0), np.inf, "max_distance must be positive and finite; given inf"),
        (np.eye(8), 1, "7 covariates of 8 clusters put every assignment at the same distance"),
    ],
)
def test_bad_rerandomisation_is_refused(covariates, max_distance, message):
    with pytest.raises(bc.errors.DesignError, match=message):
        bc.assignment.Rerandomised(bc.assignment.Complete(8, 4), covariates, max_distance)


def test_coin_flips_need_not_be_fair():
    flips = bc.assignment.Bernoulli(6, least=1, chance=0.3)
    draws = 40_000
    drawn = flips.draw(np.random.default_rng(0), draws)
    k = np.arange(1, 6)
    weight = np.array([math.comb(6, i) * 0.3**i * 0.7 ** (6 - i) for i in k])
    expected = k @ weight / weight.sum() / 6
    assert flips.probability() == pytest.approx(np.full(6, expected), rel=1e-12)
    error = math.sqrt(0.25 / draws)
    assert drawn.mean(axis=0) == pytest.approx(np.full(6, expected), abs=4 * error)
    shares = np.bincount(drawn.sum(axis=1), minlength=7)[1:6] / draws
    assert shares == pytest.approx(weight / weight.sum(), abs=4 * error)
    assert flips.n_assignments == math.inf
    with pytest.raises(bc.errors.DesignError, match=r"chance 0.3 cannot be enumerated"):
        next(flips.enumerate())
    with pytest.raises(bc.errors.DesignError, match="chance must lie between 0 and 1; given 1"):
        bc.assignment.Bernoulli(6, chance=1)
    exp = bc.Experiment(frame(), spec(), mechanism=bc.assignment.Bernoulli(8, chance=0.4))
    assert not bc.randomization_test(exp, draws=99).enumerated


def test_coin_flips_with_strata_leave_out_what_is_not_identified():
    """By brute force over rows: all patterns with two clusters an arm and a contrast somewhere."""
    data = frame(4)
    exp = bc.Experiment(data, spec(strata="b", mechanism="bernoulli"))
    dummies = np.equal.outer(data["b"].to_numpy(), np.arange(4)).astype(float)

    def t(arm):
        new = arm[data["c"]].astype(float)
        D = np.column_stack([new, dummies])
        M = np.linalg.inv(D.T @ D)
        b = M @ D.T @ data["y"]
        e = data["y"] - D @ b
        u = pd.DataFrame(D * e.to_numpy()[:, None]).groupby(data["c"]).sum().to_numpy()
        variance = (M @ u.T @ u @ M)[0, 0]
        # With a contrast in one stratum only its residuals sum to zero: beyond any number.
        return abs(b[0]) / np.sqrt(variance) if variance > 1e-20 else np.inf

    kept = []
    for pattern in itertools.product([False, True], repeat=8):
        arm = np.array(pattern)
        if 2 <= arm.sum() <= 6 and (arm[::2] != arm[1::2]).any():
            kept.append(t(arm))
    observed = t(np.arange(8) % 2 == 1)
    share = np.mean(np.array(kept) >= observed * (1 - 1e-9))
    ours = bc.randomization_test(exp)
    assert (ours.draws, ours.enumerated) == (len(kept), True)
    assert ours.p_value == pytest.approx(share, abs=1e-12)
    assert ours.smallest_p_value == pytest.approx(np.isinf(kept).mean(), abs=1e-12)


@pytest.mark.parametrize("name", [None, "stratified", "matched_pairs"])
def test_a_stratum_without_contrast_is_named(name):
    data = frame(5)
    data["t"] = data["c"].isin([0, 1, 2, 4, 6]).astype(int)
    exp = bc.Experiment(data, spec(strata="b", mechanism=name))
    message = r"column 'b' \(strata\): stratum 0 has 2 treated of 2 clusters"
    with pytest.raises(bc.errors.DesignError, match=message):
        _ = exp.mechanism
    skipped = {one.label: one.reason for one in run_all(exp, 0).skipped}
    assert "stratum 0 has 2 treated of 2 clusters" in skipped["randomisation test"]
    # CR2 keeps the stratum's units in its count, and the estimate is that of the other strata.
    rest = bc.Experiment(data[data["b"] > 0], spec(strata="b"))
    assert bc.two_exposure(exp).estimate == pytest.approx(bc.two_exposure(rest).estimate, rel=1e-9)
    assert bc.two_exposure(exp).std_error == pytest.approx(
        bc.two_exposure(rest).std_error, rel=1e-9
    )
    assert bc.two_exposure(exp).n_clusters == 8


def test_strata_of_equal_size_are_drawn_together_and_apart_from_others():
    strata = np.array([2, 0, 1, 0, 1, 2, 3, 3, 3, 2])
    mechanism = bc.assignment.Stratified(strata, {0: 1, 1: 1, 2: 1, 3: 2})
    drawn = mechanism.draw(np.random.default_rng(0), 5_000)
    for level, treated in mechanism.n_treated.items():
        assert (drawn[:, strata == level].sum(axis=1) == treated).all()
    error = 0.5 / math.sqrt(5_000)
    assert drawn.mean(axis=0) == pytest.approx(mechanism.probability(), abs=4 * error)
    constant = {0: 2, 1: 0, 2: 1, 3: 2}
    with pytest.raises(
        bc.errors.DesignError, match=r"stratum 0 has 2 treated of 2 .* \(as in 1 more"
    ):
        bc.assignment.Stratified(strata, constant)
