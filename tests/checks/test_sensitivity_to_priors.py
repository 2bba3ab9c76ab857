"""Priors: power-scaled as ArviZ does, refitted exactly, and flagged where they fight the data."""

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from pymc.stats import compute_log_prior

import bayescluster as bc
from bayescluster.checks.sensitivity_to_priors import (
    _power_verdict,
    standard_alternatives,
    with_log_prior,
)

DESIGN = {"cluster": "team", "treatment": "treated", "spillover": "exposed"}
FIGHTING = bc.Prior(distribution="normal", mu=5, sigma=0.1)


def make(priors=None, alternatives=None, family="gaussian", clusters=40, **design):
    spec = bc.ModelSpec(
        design=DESIGN | design,
        outcome={"column": "y", "family": family},
        priors=priors or {},
        alternatives=alternatives or {},
        report={"threshold": 0.1},
    )
    data = bc.simulate.SyntheticExperiment(spec, n_clusters=clusters, cluster_size=40).simulate(
        seed=2
    )
    return bc.Experiment(data, spec)


@pytest.fixture(scope="module")
def default():
    exp = make()
    return exp, bc.fit_exact(exp, seed=1)


def test_default_priors_are_no_conflict(default):
    found = bc.checks.power_scaling(*default)
    assert found.verdict == "ok"
    assert set(found.table["parameter"]) == {
        "intercept_mean",
        "direct",
        "spillover",
        "between_sd",
        "within_sd",
    }
    assert (found.table["likelihood"] > 0.05).all()
    assert (found.table["advice"] == "").all()


@pytest.mark.parametrize("effect", ["direct", "spillover"])
def test_a_prior_that_fights_the_data_is_flagged(effect):
    exp = make({effect: FIGHTING})
    found = bc.checks.power_scaling(exp, bc.fit_exact(exp, seed=1)).table.set_index("parameter")
    assert found.loc[effect, "verdict"] == "problem"
    assert found.loc[effect, "diagnosis"] == "prior-data conflict"
    assert "priors and data disagree" in found.loc[effect, "advice"]


def test_a_slight_conflict_is_a_reason_for_caution():
    assert _power_verdict("between_sd", 0.06, 0.2)[:2] == ("prior-data conflict", "caution")
    assert _power_verdict("between_sd", 0.1, 0.2)[:2] == ("prior-data conflict", "problem")
    assert _power_verdict("between_sd", 0.04, 0.01) == ("none", "ok", "")


def test_a_strong_prior_is_told_from_a_conflict():
    """Six clusters know little of a direct effect whose prior is tight around the truth."""
    tight = bc.Prior(distribution="normal", mu=0.0, sigma=0.02)
    exp = make({"direct": tight}, clusters=6)
    found = bc.checks.power_scaling(exp, bc.fit_exact(exp, seed=1)).table.set_index("parameter")
    assert found.loc["direct", "verdict"] == "caution"
    assert found.loc["direct", "diagnosis"] == "strong prior or weak data"
    assert "the prior decides much of direct" in found.loc["direct", "advice"]


def test_the_figures_are_arvizs(default):
    exp, tree = default
    found = bc.checks.power_scaling(exp, tree)
    theirs = az.psense_summary(found.tree, var_names=["direct", "between_sd"], round_to=12)
    table = found.to_dataframe().set_index("parameter")
    for name in ("direct", "between_sd"):
        for part in ("prior", "likelihood"):
            assert table.loc[name, part] == pytest.approx(theirs.loc[name, part], abs=1e-12)
    assert len(found.plot().axes) > 0
    plt.close("all")


def test_log_priors_are_pymcs():
    """Against PyMC's log-density of the model's own priors, at every draw."""
    exp = make({"between_sd": {"distribution": "half_cauchy", "sigma": 1}}, clusters=6)
    tree = bc.fit_exact(exp, draws=20, seed=1)
    ours = with_log_prior(exp, tree)["log_prior"].to_dataset()
    only = xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset()[list(ours)]})
    theirs = compute_log_prior(
        only, model=bc.build_model(exp), progressbar=False, extend_inferencedata=False
    )
    for name in ours:
        assert np.allclose(ours[name], theirs[name], rtol=1e-10), name


def test_log_priors_follow_strata_and_arms():
    exp = make(strata="pair", clusters=8)
    tree = bc.fit_exact(exp, draws=20, seed=1)
    ours = with_log_prior(exp, tree)["log_prior"]["stratum_effect"]
    assert ours.dims == ("chain", "draw", "stratum")
    logp = pm.logp(
        pm.ZeroSumNormal.dist(2.5 * float(exp.moments().sd[-1]), shape=4),
        tree["posterior"]["stratum_effect"].to_numpy()[0],
    ).eval()
    gap = ours.sum("stratum").to_numpy()[0] - logp
    assert np.ptp(gap) < 1e-8
    spec = exp.spec.model_copy(
        update={"heterogeneity": bc.spec.HeterogeneitySpec(between_sd_by_arm=True)}
    )
    by_arm = bc.Experiment.from_moments(exp.moments(), spec)
    posterior = tree["posterior"].to_dataset()
    both = np.stack([posterior["between_sd"], posterior["between_sd"] * 2], axis=-1)
    changed = tree.copy()
    changed["posterior"] = posterior.drop_vars("between_sd").assign(
        between_sd=(("chain", "draw", "arm"), both)
    )
    found = with_log_prior(by_arm, changed)["log_prior"]["between_sd"]
    assert found.dims == ("chain", "draw", "arm")


def test_refits_are_the_fits_under_those_priors(default):
    exp, tree = default
    wide = bc.Prior(distribution="student_t", nu=3, mu=0, sigma=10)
    sets = {"sceptical": {"direct": bc.Prior(distribution="normal", mu=0, sigma=0.05)}}
    sets["wide"] = {"direct": wide, "spillover": wide}
    found = bc.checks.prior_sensitivity(exp, tree, alternatives=sets)
    table = found.to_dataframe().set_index(["priors", "effect"])
    assert list(found.sets) == ["sceptical", "wide"]
    assert table.index.get_level_values(0).unique().tolist() == ["declared", "sceptical", "wide"]
    apart = exp.spec.model_copy(update={"priors": bc.spec.PriorsSpec(**sets["sceptical"])})
    alone = bc.bayes.exact_posterior(bc.Experiment.from_moments(exp.moments(), apart))
    # 4,000 independent draws of the mean: a Monte Carlo error of sd / 63.
    error = alone.sd["direct"] / np.sqrt(4_000)
    assert table.loc[("sceptical", "direct"), "mean"] == pytest.approx(
        alone.mean["direct"], abs=4 * error
    )
    sceptical = table.loc[("sceptical", "direct")]
    known = table.loc[("declared", "direct")]
    assert sceptical["shift"] == pytest.approx((sceptical["mean"] - known["mean"]) / known["sd"])
    assert sceptical["shift"] < -1
    assert sceptical["verdict"] == "problem"
    assert "the prior decides" in sceptical["advice"]
    assert table.loc[("wide", "direct"), "verdict"] == "ok"
    assert found.verdict == "problem"
    assert len(found.plot().axes) == 2
    plt.close("all")


def test_without_alternatives_scales_are_halved_and_doubled(default):
    exp, tree = default
    sets = standard_alternatives(exp)
    assert sets["half"]["direct"].sigma == 1.25
    assert sets["double"]["between_sd"].sigma == 2
    assert set(sets["half"]) == {"direct", "spillover", "between_sd"}
    found = bc.checks.prior_sensitivity(exp, tree)
    assert set(found.table["priors"]) == {"declared", "half", "double"}
    assert found.verdict == "ok"
    assert found.table["shift"].abs().max() < 0.25


def test_alternatives_of_the_specification_are_used_and_checked():
    prior = {"distribution": "normal", "mu": 0, "sigma": 0.05}
    exp = make(alternatives={"sceptical": {"direct": prior}})
    asked = []

    def fitter(given):
        asked.append(given.spec.priors.direct.sigma)
        return bc.fit_exact(given, seed=1)

    found = bc.checks.prior_sensitivity(exp, fitter=fitter)
    assert asked == [2.5, 0.05]
    assert set(found.table["priors"]) == {"declared", "sceptical"}
    with pytest.raises(bc.errors.SpecError, match="unknown key 'treatment'"):
        bc.checks.prior_sensitivity(exp, alternatives={"x": {"treatment": FIGHTING}}, fitter=fitter)
    unused = {"x": {"interaction": bc.Prior(**prior), "covariate": bc.Prior(**prior)}}
    with pytest.raises(bc.errors.SpecError, match="names covariate, interaction, which this model"):
        bc.checks.prior_sensitivity(exp, alternatives=unused, fitter=fitter)


def test_families_keep_their_own_priors(count_comparisons):
    """Other priors of a count model leave those that are not named as the family has them."""
    exp, tree = count_comparisons["poisson"].fits["poisson"]
    asked = []

    def fitter(given):
        asked.append(given.spec.priors)
        return tree

    found = bc.checks.prior_sensitivity(exp, tree, fitter=fitter)
    assert asked[0].intercept_mean.sigma == 1.5
    assert asked[0].direct.sigma == 0.75
    assert found.table["shift"].abs().max() == 0
    assert isinstance(found.to_dataframe(), pd.DataFrame)
    assert bc.checks.power_scaling(exp, tree).verdict == "ok"
