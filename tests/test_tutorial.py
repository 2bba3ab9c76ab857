"""The tutorial's scenario, number by number.

The numbers were computed independently from the same definition of the data, by statsmodels (OLS,
WLS, CR1) and by refitting the rows of every bootstrap replicate; see the tutorial's five steps.
"""

import numpy as np
import pytest

import bayescluster as bc

COLUMN_SUMS = {
    "user_id": 1249975000,
    "workspace_id": 1229499,
    "signup_week": 1276290,
    "wave": 75063,
    "treatment_week": 1250630,
    "treated_post": 25899,
    "prompt_variant": 25000,
    "opt_in_agent_mode": 13451,
    "query_confidence": 35762.8055,
    "routed_to_premium": 38874,
    "task_completed": 29797,
    "thumbs_up": 27892,
    "session_minutes": 298689.4,
    "cost_usd": 1110.1379,
    "retained_7d": 31954,
    "session_minutes_obs": 272661.0432701644,
}
NAIVE = (0.6723359228837206, 0.0034150942658588085, 0.6656422990778931, 0.6790295466895481)
WLS = (0.6723359228837227, 0.065235114081458, 0.5411719350939612, 0.8034999106734841)
DIRECT = (0.7283884859627515, 0.06468447004766742, 0.6016092543102635, 0.8551677176152396)
SPILLOVER = (0.20831040753996594, 0.0038326936232291817, 0.20079846607466043, 0.21582234900527145)
BOOTSTRAP_500_SEED_7 = {
    ("naive_ols", "direct"): (0.5386408145070922, 0.7965704871438831),
    ("cluster_wls", "direct"): (0.5386408145070958, 0.796570487143887),
    ("two_exposure", "direct"): (0.5931074579656398, 0.8519217137894909),
    ("two_exposure", "spillover"): (0.20078858334883687, 0.2163563515719115),
}


@pytest.mark.parametrize("column", COLUMN_SUMS)
def test_columns_are_the_tutorials(tutorial, column):
    assert float(tutorial[column].sum()) == pytest.approx(COLUMN_SUMS[column], rel=1e-12)


def test_categories_and_first_rows_are_the_tutorials(tutorial):
    tiers = tutorial["engagement_tier"].value_counts().to_dict()
    assert tiers == {"light": 27390, "medium": 15181, "heavy": 7429}
    conditions = tutorial["exposure"].value_counts().to_dict()
    assert conditions == {"direct": 24937, "spillover": 6744, "pure_control": 18319}
    first = [5.052551582310533, 5.2243922104937806, 4.886673037522097]
    assert tutorial["session_minutes_obs"][:3].tolist() == pytest.approx(first, rel=1e-14)
    sizes = tutorial.groupby("workspace_id").size()
    assert (sizes.min(), sizes.median(), sizes.max()) == (923, 1002, 1052)
    assert tutorial.shape == (50_000, 20)


def row(result, term):
    table = result.to_dataframe().set_index("term")
    return table.loc[term, ["estimate", "std_error", "ci_lower", "ci_upper"]].to_numpy(float)


def test_regressions_are_the_tutorials(tutorial_experiment):
    exp = tutorial_experiment
    assert row(bc.naive_ols(exp), "direct") == pytest.approx(NAIVE, rel=1e-9)
    assert row(bc.cluster_wls(exp), "direct") == pytest.approx(WLS, rel=1e-9)
    two = bc.two_exposure(exp, vcov="CR1", distribution="normal")
    assert row(two, "direct") == pytest.approx(DIRECT, rel=1e-9)
    assert row(two, "spillover") == pytest.approx(SPILLOVER, rel=1e-9)
    assert bc.cluster_wls(exp).df[0] == 48
    assert bc.naive_ols(exp).df[0] == 49_998


def test_bootstrap_is_the_tutorials(tutorial_experiment):
    boot = bc.cluster_bootstrap(tutorial_experiment, draws=500, seed=7)
    for key, interval in zip(zip(boot.estimators, boot.terms, strict=True), boot.ci, strict=True):
        assert interval == pytest.approx(BOOTSTRAP_500_SEED_7[key], rel=1e-9), key


def test_the_tutorials_intervals_miss_the_spillover_that_it_says_they_cover(tutorial_experiment):
    two = bc.two_exposure(tutorial_experiment, vcov="CR1", distribution="normal")
    assert row(two, "spillover")[2] > 0.20


def test_projection_and_bias_accounting(tutorial_analysis):
    comparison = tutorial_analysis.comparison
    two = bc.two_exposure(tutorial_analysis.experiment)
    share = tutorial_analysis.experiment.exposed_share
    assert two.estimate[1] + share * two.estimate[2] == pytest.approx(0.7565, abs=5e-5)
    bias = comparison.bias
    assert bias.contamination == pytest.approx(-0.056, abs=5e-4)
    assert bias.chance_imbalance == pytest.approx(-0.072, abs=5e-4)
    assert bias.contamination + bias.chance_imbalance == pytest.approx(bias.naive - 0.8, abs=1e-12)
    # Without covariates contamination is -(exposed share of controls) x spillover: an identity.
    exposed_controls = 6744 / (6744 + 18319)
    assert bias.contamination == pytest.approx(-exposed_controls * two.estimate[2], rel=1e-10)


def test_posterior_agrees_with_reml(tutorial_analysis):
    """REML by statsmodels MixedLM: direct 0.7274 (SE 0.0650), spillover 0.2084 (SE 0.0043)."""
    table = bc.bayes.convergence(tutorial_analysis.posterior).set_index("parameter")
    assert table.loc["direct", "mean"] == pytest.approx(0.7274, abs=0.01)
    assert table.loc["direct", "sd"] == pytest.approx(0.0650, rel=0.10)
    assert table.loc["spillover", "mean"] == pytest.approx(0.2084, abs=0.001)
    assert table.loc["spillover", "sd"] == pytest.approx(0.0043, rel=0.10)
    assert table["r_hat"].max() < 1.01
    assert table["ess_bulk"].min() > 1_000
    sampled = {"n_chains": 4, "n_draws": 1_000, "n_divergences": 0}
    assert sampled.items() <= table.attrs.items()


def test_every_seed_is_its_own_data():
    other = bc.load_tutorial(1_000, seed=1)
    assert len(other) == 1_000
    assert not np.array_equal(other["workspace_id"], bc.load_tutorial(1_000)["workspace_id"])
    with pytest.raises(ValueError, match="n_users"):
        bc.load_tutorial(0)
