"""Partial rollouts: contrasts at the shares treated are identified, others are marked."""

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster.data.partial_rollouts import Saturations, not_identified


def users(shares, seed=1, n=40, noise=1.0):
    """Any teammate who is treated lifts everybody by 2; own treatment adds 1."""
    rng = np.random.default_rng(seed)
    team = np.repeat(np.arange(len(shares)), n)
    treated = np.concatenate([rng.permutation(n) < round(s * n) for s in shares]).astype(int)
    share = np.array(shares)[team]
    y = 5 + rng.normal(0, 0.3, len(shares))[team] + 2 * (share > 0) + treated
    y = y + rng.normal(0, noise, len(team))
    return pd.DataFrame({"team": team, "treated": treated, "share": share, "y": y})


def experiment(data, saturation=True, **outcome):
    design = {"cluster": "team", "treatment": "treated", "level": "unit"}
    spec = bc.ModelSpec(
        design=design | ({"saturation": "share"} if saturation else {}),
        outcome={"column": "y"} | outcome,
    )
    return bc.Experiment(data, spec)


def test_shares_are_read_from_the_data():
    found = Saturations.of(experiment(users([0.0, 0.4, 0.8] * 5)))
    assert (found.lowest, found.lowest_treated, found.highest) == pytest.approx((0, 0.4, 0.8))
    assert found.mean == pytest.approx(0.6)
    assert found.words == "0% to 80%"
    assert Saturations.of(experiment(users([0.5] * 8), saturation=False)).words == "50%"


@pytest.mark.parametrize(
    ("shares", "saturation", "expected"),
    [
        ([0.4, 0.8], True, {"direct", "within_spillover", "full rollout"}),
        ([0.4, 0.8], False, {"full rollout"}),
        ([0.5], False, {"full rollout"}),
        ([0.0, 0.5], True, {"full rollout"}),
        ([0.0, 0.5, 1.0], True, set()),
    ],
)
def test_extrapolations_are_named(shares, saturation, expected):
    exp = experiment(users(shares * 10), saturation=saturation)
    assert set(not_identified(exp)) == expected


def test_whole_clusters_extrapolate_nothing():
    scenario = bc.simulate.Scenario(n_clusters=8, cluster_size=10)
    assert not_identified(bc.Experiment(scenario.simulate(1), scenario.spec)) == {}


def test_without_untreated_clusters_the_truth_is_not_reported_as_something_else():
    """The truth against nobody treated is 3; what is identified is 1, and 0 between the shares."""
    exp = experiment(users([0.4, 0.8] * 30))
    tree = bc.fit_exact(exp, seed=1)
    comparison = bc.compare(exp, tree, bootstrap_draws=100)
    table = comparison.named_estimands.set_index("estimand")
    for name, truth in (("own treatment", 1.0), ("more teammates treated", 0.0)):
        assert table.loc[name, "ci_lower"] < truth < table.loc[name, "ci_upper"]
        assert "NOT IDENTIFIED" not in table.loc[name, "definition"]
    assert (
        "80% treated against those of clusters with 40%"
        in (table.loc["more teammates treated", "definition"])
    )
    for name in ("direct", "within_spillover", "full rollout"):
        assert table.loc[name, "definition"].startswith("NOT IDENTIFIED: ")
    decision = bc.decide(exp, tree, comparison=comparison).table.set_index("effect")
    assert set(decision.loc[["direct", "full rollout"], "state"]) == {"not usable"}
    assert "no cluster has 0% treated" in decision.loc["direct", "conclusion"]
    checks = bc.diagnose(comparison)
    assert not checks["check"].str.contains("left out").any()
    assert not checks["value"].str.contains("nan").any()


@pytest.mark.filterwarnings("ignore:R-hat|effective|divergent")
@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_own_treatment_is_measured_at_the_mean_share(family):
    data = users([0.0, 0.4, 0.8] * 10)
    if family == "bernoulli":
        data["y"] = (data["y"] > 7).astype(int)
    exp = experiment(data, family=family)
    if family == "gaussian":
        tree = bc.fit_exact(exp, draws=500, seed=1)
    else:
        tree = bc.fit(exp, draws=200, tune=300, chains=2, seed=1, progressbar=False)
    draws = tree["posterior"].to_dataset()
    direct, within = (draws[x].to_numpy().ravel() for x in ("direct", "within_spillover"))
    if family == "gaussian":
        expected = direct - 0.6 * within
    else:
        level = draws["intercept"].to_numpy().reshape(len(direct), -1)
        inverse = lambda eta: 1 / (1 + np.exp(-eta))  # noqa: E731
        difference = inverse(level + direct[:, None]) - inverse(level + 0.6 * within[:, None])
        expected = difference.mean(axis=1)
    comparison = bc.compare(exp, tree, bootstrap_draws=50)
    table = comparison.named_estimands.set_index("estimand")
    assert table.loc["own treatment", "mean"] == pytest.approx(expected.mean())
