"""Baseline and lift: Fieller's interval by inversion, the posterior's ratio draw by draw."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import bayescluster as bc
from bayescluster.answers.lift import NO_BASELINE, fieller

DESIGN = {"cluster": "team", "treatment": "treated", "spillover": "exposed"}


def users(seed=1, baseline=10.0, clusters=30, link=None):
    rng = np.random.default_rng(seed)
    size = rng.integers(10, 60, clusters)
    of = np.repeat(np.arange(clusters), size)
    treated = (rng.permutation(clusters) % 2)[of]
    exposed = ((rng.random(len(of)) < 0.3) & (treated == 0)).astype(float)
    age = rng.normal(40, 10, len(of))
    eta = baseline + rng.normal(0, 0.5, clusters)[of] + treated + 0.4 * exposed
    y = eta + 0.02 * (age - 40) + rng.normal(0, 1, len(of)) if link is None else link(rng, eta)
    return pd.DataFrame(
        {"team": of, "treated": treated, "exposed": exposed, "age": age, "block": of % 3, "y": y}
    )


def experiment(data, outcome=None, design=None, **sections):
    spec = bc.ModelSpec(
        design=DESIGN | (design or {}), outcome={"column": "y"} | (outcome or {}), **sections
    )
    return bc.Experiment(data, spec)


def lift_of(exp, **settings):
    tree = bc.fit_exact(exp, draws=2_000, seed=1)
    return bc.compare(exp, tree, bootstrap_draws=50).lift, tree


def test_fieller_holds_the_ratios_that_the_test_accepts():
    """Against inversion: the roots of |a - r b| = t sd(a - r b), by a solver."""
    rng = np.random.default_rng(1)
    bounded = 0
    for _ in range(200):
        root = rng.normal(0, 0.5, (2, 2))
        estimate, cov = rng.normal(0, 2, 2), root @ root.T
        t = stats.t(rng.integers(3, 40)).ppf(0.975)

        def excess(r, a=estimate, v=cov, t=t):
            weights = np.array([1.0, -r])
            return (a @ weights) ** 2 - t**2 * (weights @ v @ weights)

        found = fieller(estimate, cov, t)
        if abs(estimate[1]) < t * cov[1, 1] ** 0.5:
            assert found is None
            continue
        bounded += 1
        middle = estimate[0] / estimate[1]
        assert found[0] <= middle <= found[1]
        for end, outside in zip(found, (-1e6, 1e6), strict=True):
            assert optimize.brentq(excess, middle, outside, xtol=1e-10) == pytest.approx(
                end, abs=1e-7
            )
    assert bounded > 50


def test_fieller_gives_known_textbook_limits():
    """Independent numerator and denominator: the closed form with g = t^2 v22 / b^2."""
    a, b, v11, v22, t = 2.0, 5.0, 0.09, 0.25, 2.0
    g = t**2 * v22 / b**2
    ratio = a / b
    half = t / b * np.sqrt(v11 * (1 - g) + ratio**2 * v22)
    expected = ((ratio - half) / (1 - g), (ratio + half) / (1 - g))
    assert fieller(np.array([a, b]), np.diag([v11, v22]), t) == pytest.approx(expected)


@pytest.mark.parametrize("estimand", ["user", "cluster"])
def test_the_posterior_lift_is_the_ratio_of_its_draws(estimand):
    exp = experiment(users(), {"covariates": ["age"]}, report={"estimand": estimand})
    lift, tree = lift_of(exp)
    draws = tree["posterior"].to_dataset()
    size = exp.moments().n
    weight = size / size.sum() if estimand == "user" else np.full(len(size), 1 / len(size))
    log_size = np.log(size) - np.average(np.log(size), weights=size)
    age = exp.moments().means[:, exp.moments().column("age")]
    center = np.average(age, weights=size)
    by_cluster = (
        draws["intercept"].to_numpy().reshape(-1, len(size)).T
        + np.outer(log_size, draws["log_size"])
        + np.outer(age - center, draws["age"])
    )
    baseline = weight @ by_cluster
    by_size = draws["direct_by_log_size"].to_numpy().ravel()
    effect = draws["direct"].to_numpy().ravel() + weight @ log_size * by_size
    row = lift.of("direct")
    assert row["baseline"] == pytest.approx(baseline.mean())
    ends = np.quantile(effect / baseline, [0.025, 0.975])
    assert [row["ci_lower"], row["ci_upper"]] == pytest.approx(ends, rel=1e-9)
    assert row["average"] == estimand


@pytest.mark.parametrize("design", [{}, {"strata": "block"}])
def test_both_ways_find_the_lift_that_was_simulated(design):
    exp = experiment(users(clusters=60), {"covariates": ["age"]}, design)
    lift, _ = lift_of(exp)
    for method in ("posterior", "OLS, CR2, Fieller"):
        row = lift.of("direct", method)
        assert row["ci_lower"] < 0.1 < row["ci_upper"]
        assert row["baseline"] == pytest.approx(10, abs=0.3)
        assert row["note"] == ""
    assert lift.of("full rollout")["lift"] == lift.of("direct")["lift"]


def test_no_percentage_where_the_baseline_may_be_zero():
    lift, _ = lift_of(experiment(users(baseline=0.0)))
    assert lift.table["lift"].isna().all()
    assert (lift.table["note"] == NO_BASELINE).all()
    negative, _ = lift_of(experiment(users(baseline=-10.0)))
    assert negative.table["lift"].isna().all()


def test_counts_and_conversions_have_a_lift_of_their_means():
    data = users(
        baseline=-1.0,
        link=lambda rng, eta: (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(int),
    )
    exp = experiment(data, {"family": "bernoulli"}, heterogeneity={"size_effects": False})
    tree = bc.fit(exp, draws=300, tune=300, chains=2, seed=1, progressbar=False)
    lift = bc.compare(exp, tree, bootstrap_draws=50).lift
    draws = tree["posterior"].to_dataset()
    eta = draws["intercept"].to_numpy().reshape(-1, len(exp.treated))
    size = exp.moments().n
    direct = draws["direct"].to_numpy().ravel()[:, None]
    before = (1 / (1 + np.exp(-eta))) @ size / size.sum()
    after = (1 / (1 + np.exp(-eta - direct))) @ size / size.sum()
    row = lift.of("direct")
    assert row["baseline"] == pytest.approx(before.mean())
    assert row["lift"] == pytest.approx(np.median(after / before - 1))


def test_lognormal_lift_is_of_means_not_of_logarithms():
    data = users(baseline=2.0)
    data["y"] = np.exp(data["y"] / 3)
    exp = experiment(data, {"family": "lognormal"}, heterogeneity={"size_effects": False})
    lift, tree = lift_of(exp)
    effect = np.exp(tree["posterior"]["direct"].to_numpy()) - 1  # the same ratio in every cluster
    assert lift.of("direct")["lift"] == pytest.approx(np.median(effect))
    assert set(lift.table["method"]) == {"posterior"}
