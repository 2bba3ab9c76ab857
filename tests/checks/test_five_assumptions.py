"""Balance of the arms and levels of the clusters: against enumeration, closed forms, and faults."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayescluster as bc
from bayescluster.checks.arm_balance import balance
from bayescluster.checks.check_registry import lights
from bayescluster.checks.five_assumptions import ASSUMPTIONS, cluster_levels

DESIGN = {"cluster": "cluster", "treatment": "treated"}


def experiment(n_clusters=8, treated=None, shift=0.0, seed=0, **design):
    """Return clusters of unequal sizes with one covariate, `shift` higher in treated ones."""
    rng = np.random.default_rng(seed)
    treated = np.arange(n_clusters) % 2 if treated is None else np.asarray(treated)
    size = rng.integers(5, 15, n_clusters)
    cluster = np.repeat(np.arange(n_clusters), size)
    level = rng.normal(size=n_clusters)
    frame = pd.DataFrame(
        {
            "cluster": cluster,
            "treated": treated[cluster],
            "x": (rng.normal(size=n_clusters) + shift * treated)[cluster]
            + rng.normal(size=len(cluster)),
            "y": level[cluster] + rng.normal(size=len(cluster)),
        }
    )
    spec = bc.ModelSpec(design=DESIGN | design, outcome={"column": "y", "covariates": ["x"]})
    return bc.Experiment(frame, spec), frame


def test_balance_against_all_assignments():
    exp, frame = experiment()
    found = balance(exp, draws=4_999, seed=1)
    means = frame.groupby("cluster").agg(n=("y", "size"), x=("x", "mean"), t=("treated", "first"))
    values = means[["n", "x"]].to_numpy(float)
    standard = (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)
    inverse = np.linalg.inv(np.cov(standard.T))

    def differences(t):
        return standard[t].mean(axis=0) - standard[~t].mean(axis=0)

    observed = differences(means["t"].to_numpy() == 1)
    np.testing.assert_allclose(found.table["difference"], observed, rtol=1e-9)
    distance = observed @ inverse @ observed
    assert found.distance == pytest.approx(distance, rel=1e-9)
    others = []
    for chosen in itertools.combinations(range(8), 4):
        t = np.zeros(8, dtype=bool)
        t[list(chosen)] = True
        others.append([*np.abs(differences(t)), differences(t) @ inverse @ differences(t)])
    exact = (np.array(others) >= np.r_[np.abs(observed), distance] * (1 - 1e-9)).mean(axis=0)
    # 4,999 draws: a Monte Carlo error of at most 0.0071; five of them
    np.testing.assert_allclose([*found.table["p_value"], found.p_value], exact, atol=0.036)


def test_balance_holds_its_level_and_finds_what_no_coin_made():
    """100 experiments: p below 0.1 in 10 of them, give or take 3 standard errors (9)."""
    p = [balance(experiment(seed=seed)[0], draws=199).p_value for seed in range(100)]
    assert 1 <= np.sum(np.array(p) <= 0.1) <= 19
    found = balance(experiment(n_clusters=20, shift=4.0)[0])
    assert found.verdict == "problem"
    assert found.plot().axes


def test_constant_and_collinear_covariates_count_once():
    exp, frame = experiment()
    outcome = {"column": "y", "covariates": ["x", "twice"]}
    spec = bc.ModelSpec(design=DESIGN, outcome=outcome)
    frame["twice"] = 2 * frame["x"] + np.random.default_rng(3).normal(0, 1e-3, len(frame))
    frame["twice"] -= (frame["twice"] - 2 * frame["x"]).groupby(frame["cluster"]).transform("mean")
    both = balance(bc.Experiment(frame, spec))
    assert both.distance == pytest.approx(balance(exp).distance, rel=1e-6)


def test_single_units_treated_have_no_balance_of_clusters():
    _, frame = experiment()
    frame["treated"] = np.arange(len(frame)) % 2
    spec = bc.ModelSpec(design=DESIGN | {"level": "unit"}, outcome={"column": "y"})
    with pytest.raises(bc.errors.DesignError, match="single units were treated"):
        balance(bc.Experiment(frame, spec))


@pytest.fixture(scope="module")
def fitted():
    exp, _ = experiment(n_clusters=16, seed=5)
    return exp, bc.fit_exact(exp, draws=2_000)


def test_cluster_levels_are_the_posteriors(fitted):
    exp, tree = fitted
    found = cluster_levels(exp, tree)
    draws = tree["posterior"]["intercept"].to_numpy().reshape(-1, 16)
    np.testing.assert_allclose(found.table["intercept"], draws.mean(axis=0))
    np.testing.assert_allclose(found.table["ci_upper"], np.quantile(draws, 0.975, axis=0))
    mean = draws.mean(axis=0)
    arm = exp.treated
    deviation = mean - np.where(arm, mean[arm].mean(), mean[~arm].mean())
    assert found.sd_treated == pytest.approx(deviation[arm].std(ddof=1))
    assert found.sd_control == pytest.approx(deviation[~arm].std(ddof=1))
    rank = stats.spearmanr(deviation, exp.moments().n)
    assert found.size_correlation == pytest.approx(rank.statistic)
    largest = np.abs(deviation / deviation.std(ddof=1)).max()
    assert found.largest_p_value == pytest.approx(1 - (1 - 2 * stats.norm.sf(largest)) ** 16)


def test_spread_p_value_against_all_assignments(fitted):
    exp, tree = fitted
    found = cluster_levels(exp, tree, draws=4_999)
    deviation = found.table["deviation"].to_numpy()

    def ratio(t):
        return abs(np.log(deviation[t].var(ddof=1) / deviation[~t].var(ddof=1)))

    others = []
    for chosen in itertools.combinations(range(16), 8):
        t = np.zeros(16, dtype=bool)
        t[list(chosen)] = True
        others.append(ratio(t))
    exact = np.mean(np.array(others) >= ratio(exp.treated) * (1 - 1e-9))
    assert found.spread_p_value == pytest.approx(exact, abs=0.036)  # five Monte Carlo errors


def test_faults_are_seen_in_the_assumption_they_belong_to(tutorial_analysis):
    seen = lights(tutorial_analysis.checks).set_index("about")["verdict"]
    assert list(seen.index[:5]) == list(ASSUMPTIONS)
    assert seen["cluster random assignment"] == "ok"
    assert seen["partial interference"] == "caution"  # exposure that users chose
    rng = np.random.default_rng(0)
    wide = 30
    treated = np.arange(wide) % 2
    level = rng.normal(size=wide) * np.where(treated, 3.0, 0.3)
    level[0] = 40.0
    cluster = np.repeat(np.arange(wide), 20)
    frame = pd.DataFrame({"cluster": cluster, "treated": treated[cluster]})
    frame["y"] = level[cluster] + rng.normal(size=len(cluster))
    exp = bc.Experiment(frame, bc.ModelSpec(design=DESIGN, outcome={"column": "y"}))
    comparison = bc.compare(exp, bc.fit_exact(exp, draws=1_000), bootstrap_draws=300)
    checks = bc.diagnose(comparison).set_index("check")
    assert checks.loc["most distant cluster", "verdict"] == "problem"
    assert checks.loc["most distant cluster", "value"].startswith("0, ")
    assert checks.loc["spillover between clusters", "verdict"] == "caution"
    frame.loc[frame["cluster"] == 0, "y"] -= 40
    exp = bc.Experiment(frame, bc.ModelSpec(design=DESIGN, outcome={"column": "y"}))
    found = cluster_levels(exp, bc.fit_exact(exp, draws=1_000))
    assert found.spread_p_value < 0.01
