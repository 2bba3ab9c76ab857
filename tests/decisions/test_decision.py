"""Decisions: expected losses and projections against their closed forms."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy import stats

import bayescluster as bc
from bayescluster.answers.estimands import estimand_draws
from bayescluster.answers.rollout import CONSTANT, NONE, PROPORTIONAL, WITHIN, MeanExposure
from bayescluster.decisions.decision_rule import State


def by_label(exp, tree):
    return {one.label: values for one, values in estimand_draws(exp, tree).items()}


DESIGN = {"cluster": "team", "treatment": "treated"}
#: A normal distribution's quantiles at even probabilities: expectations good to five digits.
STANDARD = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)


def make(report=None, **design):
    spec = bc.ModelSpec(
        design=DESIGN | design, outcome={"column": "y", "label": "minutes"}, report=report or {}
    )
    made = bc.simulate.SyntheticExperiment(spec, n_clusters=20, cluster_size=30)
    return bc.Experiment(made.simulate(seed=3), spec)


@pytest.mark.parametrize("direction", ["increase", "decrease"])
@pytest.mark.parametrize(("mean", "threshold"), [(0.3, 0.1), (-0.2, 0.1), (0.1, 0.1)])
def test_losses_of_a_normal_posterior_have_their_closed_form(mean, threshold, direction):
    report = {"threshold": threshold, "rope": (-0.1, 0.2), "direction": direction}
    exp = make(report)
    draws = {"direct": mean + 0.2 * STANDARD}
    row = bc.decide(exp, None, estimands=draws).to_dataframe().iloc[0]
    z = (mean - threshold) / 0.2
    up = 0.2 * stats.norm.pdf(z) + (mean - threshold) * stats.norm.cdf(z)  # E max(x - t, 0)
    down = up - (mean - threshold)
    ship, hold = (down, up) if direction == "increase" else (up, down)
    assert row["loss_ship"] == pytest.approx(ship, abs=2e-5)
    assert row["loss_hold"] == pytest.approx(hold, abs=2e-5)
    assert row["value_of_information"] == min(row["loss_ship"], row["loss_hold"])
    assert row["margin"] == pytest.approx(abs(mean - threshold), abs=1e-6)
    beyond = stats.norm.cdf(z if direction == "increase" else -z)
    assert row["prob_beyond_threshold"] == pytest.approx(beyond, abs=1e-5)
    inside = stats.norm(mean, 0.2).cdf([-0.1, 0.2])
    assert row["prob_below_rope"] == pytest.approx(inside[0], abs=1e-5)
    assert row["prob_in_rope"] == pytest.approx(inside[1] - inside[0], abs=1e-5)
    assert row[["prob_below_rope", "prob_in_rope", "prob_above_rope"]].sum() == pytest.approx(1)
    if mean != threshold:
        better = "ship" if (mean > threshold) == (direction == "increase") else "hold"
        assert row["smaller_loss"] == better
        assert "shipping has an expected loss of" in row["conclusion"]
    assert row["state"] == ""  # draws given by hand have no cross-check


def test_perfect_information_is_worth_what_the_best_choice_lacks():
    """Against the definition: the mean of the better of two actions less the better mean."""
    exp = make({"threshold": 0.1})
    gain = 0.05 + 0.3 * STANDARD
    row = bc.decide(exp, None, estimands={"direct": gain + 0.1}).table.iloc[0]
    assert row["value_of_information"] == pytest.approx(
        np.maximum(gain, 0).mean() - max(gain.mean(), 0), abs=1e-12
    )
    assert "above 0.1" in row["conclusion"]
    assert "below" not in row["conclusion"]


def test_effects_on_the_scale_of_the_threshold_are_decided():
    exp = make({"rope": None}, spillover="exposed")
    tree = bc.fit_exact(exp, seed=1)
    decision = bc.decide(exp, tree)
    draws = by_label(exp, tree)
    table = decision.table.set_index("effect")
    assert set(table.index) == {"direct", "spillover", "direct - spillover", "full rollout"}
    assert table.loc["direct", "mean"] == draws["direct"].mean()
    assert np.isnan(table.loc["direct", "prob_in_rope"])
    assert len(decision.conclusions) == 4


def curve(result, assumption):
    rows = result.table[result.table["assumption"] == assumption]
    return dict(zip(rows["share"], rows["mean"], strict=True))


def test_a_rollout_follows_its_assumptions():
    exp = make(spillover="exposed")
    m = exp.moments()
    control = ~exp.treated
    e0 = (m.n * (m.mean + m.origin)[:, 1])[control].sum() / m.n[control].sum()
    draws = {"direct": 1.0 + STANDARD, "spillover": 0.4 + 0 * STANDARD}
    result = bc.rollout(exp, None, [0, 0.25, 0.5, 1], estimands=draws)
    expected = {
        PROPORTIONAL: {0.25: 0.25 + 0.75 * 0.4 * e0 / 2, 0.5: 0.5 + 0.5 * 0.4 * e0},
        CONSTANT: {0.25: 0.25 + 0.75 * 0.4 * e0, 0.5: 0.5 + 0.5 * 0.4 * e0},
        NONE: {0.25: 0.25, 0.5: 0.5},
    }
    for assumption, values in expected.items():
        assert curve(result, assumption) == pytest.approx({0: 0, 1: 1, **values}, abs=1e-9)
    table = result.to_dataframe()
    row = table[(table["share"] == 0.5) & (table["assumption"] == NONE)].iloc[0]
    # 0.5 x Normal(1, 1): half a standard deviation each side times 1.96.
    assert row["ci_upper"] == pytest.approx(0.5 + 0.5 * stats.norm.ppf(0.975), abs=1e-3)
    assert "at 50% treated" in table.loc[0, "words"]
    ax = result.plot().axes[0]
    assert ax.get_ylabel() == "change per user in minutes"
    plt.close("all")


def test_exposure_is_capped_and_treated_users_are_exposed_only_where_modelled():
    exp = make(spillover="exposed", interaction=True)
    exposure = MeanExposure.of(exp)
    m = exp.moments()
    mean = dict(zip(m.names, m.grand_mean + m.origin, strict=False))
    assert exposure.treated == pytest.approx(mean["interaction"] / mean["direct"])
    assert MeanExposure(0.2, 0.5, 0.1).at(0.9, PROPORTIONAL) == pytest.approx((1.0, 0.45))
    assert MeanExposure(0.2, 0.5, 0.1).at(0.9, CONSTANT) == (0.5, 0.1)
    tree = bc.fit_exact(exp, seed=1)
    draws = by_label(exp, tree)
    full = curve(bc.rollout(exp, tree, [1.0]), PROPORTIONAL)[1.0]
    eT = min(1.0, exposure.treated / exposure.share)
    both = draws["spillover"] + draws["interaction"]
    assert full == pytest.approx((draws["direct"] + eT * both).mean())


def test_a_partial_rollout_counts_teammates():
    exp = make(level="unit", saturation="share")
    draws = {"direct": np.full(10, 1.0), "within_spillover": np.full(10, 0.4)}
    result = bc.rollout(exp, None, [0, 0.3, 1], estimands=draws)
    assert set(result.table["assumption"]) == {WITHIN}
    assert "only from treated users of their own cluster" in result.table["words"].iloc[0]
    assert curve(result, WITHIN) == pytest.approx({0: 0, 0.3: 0.3 + 0.7 * 0.3 * 0.4, 1: 1})
    assert result.unit == "users of every cluster"
    with pytest.raises(ValueError, match=r"shares must lie in \[0, 1\]"):
        bc.rollout(exp, None, [1.2], estimands=draws)


def test_families_with_a_link_are_projected_on_the_outcomes_scale(count_comparisons):
    exp, tree = count_comparisons["poisson"].fits["poisson"]
    draws = by_label(exp, tree)
    result = bc.rollout(exp, tree, [1.0])
    assert curve(result, NONE)[1.0] == pytest.approx(draws["direct"].mean())
    assert bc.decide(exp, tree).table.set_index("effect").loc["direct", "mean"] == pytest.approx(
        draws["direct"].mean()
    )


def test_lognormal_effects_are_decided_in_logs_and_projected_on_the_outcomes_scale():
    spec = bc.ModelSpec(
        design=DESIGN, outcome={"column": "y", "family": "lognormal", "label": "log dollars"}
    )
    made = bc.simulate.SyntheticExperiment(spec, n_clusters=20, cluster_size=30)
    exp = bc.Experiment(made.simulate(seed=3), spec)
    tree = bc.fit_exact(exp, seed=1)
    draws = by_label(exp, tree)
    result = bc.rollout(exp, tree, [0.5, 1.0])
    assert result.outcome == "y"
    money = draws["direct, difference of means"].mean()
    assert curve(result, NONE) == pytest.approx({0.5: money / 2, 1.0: money})
    decision = bc.decide(exp, tree)
    assert decision.table.loc[0, "mean"] == draws["direct"].mean()
    assert decision.state in list(State)
    in_money = bc.decide(exp, tree, estimands={"direct": draws["direct, difference of means"]})
    assert "log scale" not in in_money.conclusions[0]
    in_logs = bc.decide(exp, tree, estimands={"direct": draws["direct"]})
    assert in_logs.state == ""


def test_draws_never_show_certainty():
    sure = bc.decide(make(), None, estimands={"direct": 5 + 0.1 * STANDARD}).conclusions[0]
    assert "the probability of an effect above 0 is > 99.9%" in sure


def test_the_posterior_of_another_experiment_is_refused():
    exp, other = make(), make(spillover="exposed")
    for act in (
        bc.decide,
        bc.rollout,
        bc.checks.posterior_predictive_check,
        bc.checks.power_scaling,
    ):
        with pytest.raises(ValueError, match="the posterior is not of this experiment"):
            act(exp, bc.fit_exact(other, draws=100))
