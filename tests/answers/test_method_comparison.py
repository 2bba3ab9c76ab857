"""Comparison, estimands, bias accounting and checks: each number against its definition."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster.answers.bias_accounting import BiasAccounting
from bayescluster.answers.disagreement import Disagreement, without_priors
from bayescluster.answers.interval_agreement import _agree
from bayescluster.answers.recommended_interval import (
    CR2,
    OVER_USERS_CR2,
    TWO_EXPOSURE_CR2,
    cross_check,
    recommend,
)
from bayescluster.frequentist.estimator_registry import run_all
from bayescluster.frequentist.method_labels import RANDOMIZATION, WILD


def test_every_method_is_there(tutorial_analysis):
    table = tutorial_analysis.estimates
    found = table.groupby("term")["method"].apply(list).to_dict()
    expected = {
        "direct": [
            "naive OLS",
            "two-exposure OLS, CR2",
            "cluster WLS",
            "randomisation test (arms)",
            "wild cluster bootstrap (WCR, rademacher)",
            "cluster bootstrap, two-exposure OLS",
            "cluster bootstrap, naive OLS",
            "cluster bootstrap, cluster WLS",
            "cluster bootstrap (percentile-t), two-exposure OLS",
            "posterior by integration",
            "posterior",
        ],
        "spillover": [
            "two-exposure OLS, CR2",
            "wild cluster bootstrap (WCR, rademacher)",
            "cluster bootstrap, two-exposure OLS",
            "cluster bootstrap (percentile-t), two-exposure OLS",
            "posterior by integration",
            "posterior",
        ],
    }
    assert set(found) == set(expected)
    for term, methods in expected.items():  # in this order; a new estimator may stand between
        assert [method for method in found[term] if method in methods] == methods
    assert (table["ci_lower"] < table["estimate"]).all()
    assert (table["estimate"] < table["ci_upper"]).all()
    assert (table["ci_prob"] == 0.95).all()


def test_estimands_follow_from_the_draws(tutorial_analysis):
    draws = tutorial_analysis.posterior["posterior"]
    direct, spillover = (draws[name].to_numpy().ravel() for name in ("direct", "spillover"))
    tau2, sigma2 = draws["between_sd"].to_numpy() ** 2, draws["within_sd"].to_numpy() ** 2
    expected = {
        "direct": direct,
        "spillover": spillover,
        "direct - spillover": direct - spillover,
        "full rollout": direct,
        "ICC": (tau2 / (tau2 + sigma2)).ravel(),
    }
    table = tutorial_analysis.comparison.named_estimands.set_index("estimand")
    assert table.index.tolist() == list(expected)
    for name, values in expected.items():
        assert table.loc[name, "mean"] == pytest.approx(values.mean(), rel=1e-12)
        ends = table.loc[name, ["ci_lower", "ci_upper"]].to_numpy(float)
        assert ends == pytest.approx(np.quantile(values, [0.025, 0.975]), rel=1e-12)
        if name != "ICC":
            assert table.loc[name, "prob_above_threshold"] == (values > 0.1).mean()
            assert table.loc[name, "prob_in_rope"] == (np.abs(values) < 0.1).mean()
            assert table.loc[name, "prob_positive"] == (values > 0).mean()
    assert table.loc["ICC"].isna().sum() == 3


def rows(low, high, center=None, se=1.0):
    middle = (low + high) / 2 if center is None else center
    return pd.Series(
        {
            "average": "user",
            "ci_lower": low,
            "ci_upper": high,
            "mean": middle,
            "estimate": middle,
            "std_error": se,
        }
    )


@pytest.fixture(scope="module")
def small():
    scenario = bc.simulate.Scenario(n_clusters=40, cluster_size=30)
    exp = bc.Experiment(scenario.simulate(seed=1), scenario.spec)
    return exp, bc.fit_exact(exp, draws=1_000, seed=1)


@pytest.mark.parametrize(
    ("posterior", "bootstrap", "ratio", "overlap", "agree", "words"),
    [
        ((1, 3), (1, 3), 1.0, 1.0, True, "as wide as .* share 100%.*; both exclude zero"),
        ((-1.1, 1), (-1, 1), 1.05, 2 / 2.1, True, "5% wider than .*; neither excludes zero"),
        ((0.05, 2), (-0.05, 2), 1.95 / 2.05, 1.95 / 2.05, True, "; only one of them excludes zero"),
        ((0, 4), (1, 3), 2.0, 0.5, False, "disagree: .*100% wider than"),
        (
            (5, 7),
            (1, 3),
            1.0,
            0.0,
            False,
            "disagree: .*share 0%",
        ),
        ((1.5, 2.5), (1, 3), 0.5, 0.5, False, "50% narrower than"),
    ],
)
def test_agreement_of_two_intervals(posterior, bootstrap, ratio, overlap, agree, words, small):
    exp, tree = small
    draws = tree["posterior"].to_dataset()
    values = draws["direct"].to_numpy().ravel()
    case = Disagreement(exp, draws, "direct", values, posterior, bootstrap)
    result = _agree(case, rows(*posterior), rows(*bootstrap))
    assert result["width_ratio"] == pytest.approx(ratio)
    assert result["overlap"] == pytest.approx(overlap)
    assert result["agree"] is agree
    assert pytest.importorskip("re").search(words, result["conclusion"])


def test_bias_without_a_known_truth_claims_none():
    bias = BiasAccounting(naive=0.6, direct=0.7, std_error=0.05)
    table = bias.to_dataframe().set_index("component")["value"]
    assert np.isnan(table["truth"])
    assert np.isnan(table["chance imbalance"])
    assert table["contamination"] == pytest.approx(-0.1)
    assert "cannot be seen; its standard error is 0.05" in str(bias)


def test_a_design_without_spillover(units, spec):
    design = spec.design.model_copy(update={"spillover": None})
    exp = bc.Experiment(units, spec.model_copy(update={"design": design}))
    with pytest.warns(UserWarning, match="lose an arm"):
        comparison = bc.compare(
            exp, draws=1_000, tune=1_000, bootstrap_draws=500, progressbar=False
        )
    assert comparison.estimates["term"].unique().tolist() == ["direct"]
    both = ["direct", "full rollout", "ICC", "direct", "full rollout"]
    assert comparison.estimands["estimand"].tolist() == both
    averages = ["user", "user", "", "cluster", "cluster"]
    assert comparison.estimands["average"].tolist() == averages
    assert comparison.bias.contamination == pytest.approx(0, abs=1e-12)
    checks = bc.diagnose(comparison).set_index("check")
    assert checks.loc["number of clusters", "verdict"] == "problem"
    assert checks.index[0] == "number of clusters"
    assert "8 (4 treated, 4 control)" in checks.loc["number of clusters", "value"]
    assert checks.loc["undefined bootstrap replicates", "verdict"] == "caution"


def test_arguments_are_checked(units, spec, tutorial_analysis):
    exp = tutorial_analysis.experiment
    with pytest.raises(
        ValueError, match=r"truth names \['total'\]; valid names: direct, spillover"
    ):
        bc.compare(exp, tutorial_analysis.posterior, truth={"total": 1})
    with pytest.raises(TypeError, match="either posterior or settings of the sampler"):
        bc.compare(exp, tutorial_analysis.posterior, draws=10)


def tutorial_analysis_rows():
    return bc.load_tutorial(2_000)


def test_levels_come_from_the_spec(tutorial_analysis):
    exp = tutorial_analysis.experiment
    report = exp.spec.report.model_copy(update={"ci_prob": 0.5})
    shifted = bc.Experiment(tutorial_analysis_rows(), exp.spec)
    with pytest.raises(ValueError, match="not of this experiment: its data_fingerprint"):
        bc.compare(shifted, tutorial_analysis.posterior)
    half = bc.Experiment.from_moments(exp.moments(), exp.spec.model_copy(update={"report": report}))
    table = bc.compare(half, tutorial_analysis.posterior, bootstrap_draws=2_000).estimates
    full = tutorial_analysis.estimates
    assert (table["ci_prob"] == 0.5).all()
    ratio = (table["ci_upper"] - table["ci_lower"]) / (full["ci_upper"] - full["ci_lower"])
    # Normal quantiles: 0.674 / 1.960 = 0.344.
    assert ratio.to_numpy() == pytest.approx(0.344, abs=0.02)


def test_the_forest_plot_shows_every_row(tutorial_analysis):
    figure = tutorial_analysis.comparison.plot()
    assert len(figure.axes) == 2
    labels = [text.get_text() for ax in figure.axes for text in ax.get_yticklabels()]
    assert len(labels) == len(tutorial_analysis.estimates)
    assert labels.count("posterior") == 2


def test_results_show_themselves(tutorial_analysis):
    assert "posterior" in str(tutorial_analysis)
    assert "<table" in tutorial_analysis._repr_html_()
    assert tutorial_analysis.conclusions[0].startswith("Ship: ")


def test_covariates_that_leave_cluster_means_unidentified_do_not_stop_the_answer(units, spec):
    """A covariate balanced in every cluster, and more covariates than cluster means can bear."""
    rng = np.random.default_rng(0)
    names = [f"z{i}" for i in range(7)]
    units[names] = rng.normal(size=(40, 7))
    outcome = spec.outcome.model_copy(update={"covariates": tuple(names)})
    exp = bc.Experiment(units, spec.model_copy(update={"outcome": outcome}))
    with pytest.raises(bc.errors.DesignError):
        bc.cluster_wls(exp)
    assert "cluster_wls" not in bc.cluster_bootstrap(exp, 200).estimators
    within = units["age"] - units.groupby("workspace")["age"].transform("mean")
    outcome = spec.outcome.model_copy(update={"covariates": ("age",)})
    exp = bc.Experiment(units.assign(age=within), spec.model_copy(update={"outcome": outcome}))
    plain = bc.Experiment(units, spec)
    assert bc.cluster_wls(exp).terms == ("intercept", "direct")
    assert bc.cluster_wls(exp).cov == pytest.approx(bc.cluster_wls(plain).cov, rel=1e-9)


def test_the_recommendation_follows_the_effective_number_of_clusters(tutorial_analysis):
    found = tutorial_analysis.comparison.recommended
    assert found["direct"].method.label == "two-exposure OLS, CR2"
    assert found["spillover"].method is WILD
    assert bc.frequentist.effective_clusters(tutorial_analysis.experiment, "spillover") < 30
    assert recommend(40, TWO_EXPOSURE_CR2).method is TWO_EXPOSURE_CR2
    assert recommend(15).method is WILD
    assert recommend(6, OVER_USERS_CR2, randomized=False).method is OVER_USERS_CR2
    assert recommend(6).method is RANDOMIZATION
    passed = recommend(6, unusable={RANDOMIZATION: "no p-value is below 0.1"})
    assert passed.method is CR2
    assert passed.reason.endswith("cannot be used here: no p-value is below 0.1")
    assert "the randomisation test" in passed.reason
    assert recommend(15, unusable={WILD: "r"}).method is CR2
    checks = tutorial_analysis.checks.set_index("check")
    assert checks.loc["effective number of clusters: direct", "verdict"] == "ok"
    assert checks.loc["most influential cluster: direct", "verdict"] == "ok"


@pytest.mark.parametrize("strata", [False, True])
def test_a_test_that_cannot_reject_is_not_recommended(tutorial_analysis, strata):
    """Three clusters an arm: 20 assignments in mirrored pairs, so no p-value below 0.1."""
    rng = np.random.default_rng(0)
    c = np.repeat(np.arange(6), 20)
    frame = pd.DataFrame({"c": c, "t": c % 2, "b": (c > 3).astype(int)})
    if strata:  # the second stratum is all treated: the randomisation test is skipped
        frame["t"] = np.where(c > 3, 1, c % 2)
    frame["y"] = frame["t"] + rng.normal(size=6)[c] + rng.normal(size=120)
    design = {"cluster": "c", "treatment": "t"} | ({"strata": "b"} if strata else {})
    exp = bc.Experiment(frame, bc.ModelSpec(design=design, outcome={"column": "y"}))
    estimated = run_all(exp, 0)
    known = tutorial_analysis.comparison
    comparison = replace(
        known,
        experiment=exp,
        posterior=bc.fit_exact(exp, draws=400),
        exact=bc.bayes.exact_posterior(exp),
        agreement=known.agreement[:1],
        skipped=estimated.skipped,
        powerless=estimated.powerless,
    )
    first = comparison.recommended["direct"]
    assert first.method is (OVER_USERS_CR2 if strata else CR2)
    checks = bc.diagnose(comparison).set_index("check")
    if strata:
        left_out = comparison.unusable("direct")[RANDOMIZATION]
        assert "column 'b' (strata): stratum 1 has 2 treated of 2 clusters" in left_out
        value = checks.loc["strata with both arms", "value"]
        assert value == "1 of 2; one arm in 1, with 2 of 6 clusters"
    else:
        assert (
            "20 possible assignments no p-value is below 0.1, so it cannot reject" in first.reason
        )
        assert checks.loc["randomisation test cannot reject", "verdict"] == "caution"
        assert "strata with both arms" not in checks.index


def test_the_cross_check_is_the_row_of_the_recommended_method(tutorial_analysis):
    """At the specification's level it is a row of the estimates."""
    comparison = tutorial_analysis.comparison
    table = comparison.estimates
    for effect, row in comparison.cross_checks.items():
        of_method = table["method"].str.startswith(row["method"])
        known = table[of_method & (table["term"] == effect)].iloc[0]
        for name in ("estimate", "ci_lower", "ci_upper"):
            assert row[name] == known[name]
    exp = tutorial_analysis.experiment
    wide, narrow = (cross_check(exp, "direct", TWO_EXPOSURE_CR2, p) for p in (0.95, 0.8))
    assert narrow["ci_prob"] == 0.8
    assert narrow["ci_lower"] > wide["ci_lower"]


def users(seed, effect, clusters=40, size=None, noise=None, level=0.3):
    """Users of clusters with a given effect per cluster, treated at random."""
    rng = np.random.default_rng(seed)
    size = np.full(clusters, 40) if size is None else size
    of = np.repeat(np.arange(clusters), size)
    treated = rng.permutation(np.arange(clusters) % 2)
    noise = rng.normal(0, 1, len(of)) if noise is None else noise(rng, len(of))
    y = (rng.normal(0, level, clusters) + treated * effect)[of] + noise
    return pd.DataFrame({"team": of, "treated": treated[of], "y": y})


def causes(data, outcome=None, sampled=False, **sections):
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"},
        outcome={"column": "y"} | (outcome or {}),
        **sections,
    )
    exp = bc.Experiment(data, spec)
    run = {"draws": 500, "tune": 500, "seed": 1, "progressbar": False}
    tree = bc.fit(exp, **run) if sampled else bc.fit_exact(exp, seed=1)
    found = bc.compare(exp, tree, bootstrap_draws=2_000).agreement.iloc[0]
    return found["causes"], found["conclusion"]


def test_agreeing_methods_have_no_cause():
    why, words = causes(users(1, np.full(40, 0.5)))
    assert why == ""
    assert words.startswith("Posterior and bootstrap agree")


def test_a_prior_against_the_data_is_the_cause():
    prior = {"distribution": "normal", "mu": -0.5, "sigma": 0.1, "unit": "outcome"}
    why, words = causes(users(1, np.full(40, 0.5)), priors={"direct": prior})
    assert why.startswith("the prior: without it")
    assert "the likely cause is the prior" in words


@pytest.mark.filterwarnings("ignore:.*bootstrap replicates lose an arm")
def test_few_clusters_are_the_cause():
    why, _ = causes(users(1, np.full(8, 0.5), clusters=8))
    assert why.startswith("few clusters: the bootstrap is unreliable with 8.0 effective clusters")


def test_size_is_the_cause_where_it_is_not_modelled():
    size = np.where(np.arange(200) % 10 == 0, 500, 20)
    data = users(3, np.where(size == 500, 0.0, 1.0), clusters=200, size=size)
    why, _ = causes(data, heterogeneity={"size_effects": False})
    assert "cluster size: with clusters weighted by precision" in why
    assert "the same in clusters of every size" in why


def test_outliers_are_the_cause_where_the_model_gives_them_less_weight():
    def noise(rng, n):
        return rng.normal(0, 1, n) + (rng.random(n) < 0.02) * rng.exponential(30, n)

    data = users(2, np.full(40, 0.5), noise=noise, size=np.full(40, 25))
    data["y"] = data["y"].round(1)
    why, _ = causes(data, {"family": "student_t"}, sampled=True)
    assert "outliers: the model gives them less weight" in why


def test_one_cluster_is_the_cause_where_leaving_it_out_mends_it():
    data = users(4, np.full(40, 0.5), size=np.where(np.arange(40) == 0, 1_000, 40))
    data.loc[data["team"] == 0, "y"] += 0.7
    why, _ = causes(data, heterogeneity={"size_effects": False})
    assert "one cluster, 0: without it" in why


def test_taking_the_prior_out_gives_the_posterior_of_a_flat_one():
    """Against a refit with priors ten thousand times as wide; both are normal but for the SDs."""
    data = users(5, np.full(40, 0.5))
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"},
        outcome={"column": "y"},
        priors={"direct": {"distribution": "normal", "mu": 0.5, "sigma": 0.2, "unit": "outcome"}},
    )
    exp = bc.Experiment(data, spec)
    draws = bc.fit_exact(exp, draws=20_000, seed=1)["posterior"].to_dataset()
    found = without_priors(exp, draws, draws["direct"].to_numpy().ravel())
    wide = {"direct": {"distribution": "normal", "mu": 0.0, "sigma": 1e4, "unit": "outcome"}}
    flat = bc.bayes.exact_posterior(
        bc.Experiment(data, spec.model_copy(update={"priors": bc.spec.PriorsSpec(**wide)}))
    )
    assert found[0] == pytest.approx(flat.mean["direct"], abs=0.1 * flat.sd["direct"])
    assert found[1] == pytest.approx(flat.sd["direct"], rel=0.1)
