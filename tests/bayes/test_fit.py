"""The posterior: what it holds, that it is reproducible, and that rows give the same."""

import datetime
import decimal
import json

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest

import bayescluster as bc
from bayescluster.spec.model_spec import RESERVED_NAMES


def test_the_tree_holds_what_fit_promises(tutorial_analysis):
    tree = tutorial_analysis.posterior
    posterior = tree["posterior"]
    names = {"intercept_mean", "direct", "spillover", "between_sd", "within_sd", "intercept"}
    assert set(posterior.data_vars) == names
    assert posterior["intercept"].dims == ("chain", "draw", "cluster")
    assert posterior["intercept"].shape == (4, 1000, 50)
    assert tree["log_likelihood"]["outcome"].shape == (4, 1000, 50)
    assert tree["posterior_predictive"]["cluster_mean"].shape == (4, 1000, 50)
    assert set(tree["prior"].data_vars) == names - {"intercept"}
    assert tree["prior_predictive"]["cluster_mean"].dims == ("chain", "draw", "cluster")
    assert set(tree["observed_data"].data_vars) == {"cluster_mean"}
    assert int(tree["constant_data"]["treated"].sum()) == 25
    assert "diverging" in tree["sample_stats"]
    exp = tutorial_analysis.experiment
    assert tree.attrs["spec_hash"] == exp.spec.hash
    assert tree.attrs["data_fingerprint"] == exp.fingerprint
    assert tree.attrs["seed"] == 1
    assert json.loads(tree.attrs["versions"])["pymc"] == pm.__version__


def test_arviz_reads_the_tree(tutorial_analysis, tmp_path):
    loo = az.loo(tutorial_analysis.posterior, var_name="outcome")
    assert np.isfinite(loo.elpd)
    assert loo.n_data_points == 50
    by_rows = az.summary(tutorial_analysis.posterior, var_names=["intercept"], kind="diagnostics")
    assert len(by_rows) == 50


def test_predictive_draws_cover_the_observed_means(tutorial_analysis):
    tree = tutorial_analysis.posterior
    drawn = tree["posterior_predictive"]["cluster_mean"].to_numpy().reshape(-1, 50).T
    observed = tree["observed_data"]["cluster_mean"].to_numpy()
    share = (drawn < observed[:, None]).mean(axis=1)
    inside = ((share > 0.025) & (share < 0.975)).mean()
    # 50 workspaces at 95%: a binomial SD of 3 points.
    assert inside > 0.95 - 4 * 0.031
    wide = (
        tree["prior_predictive"]["cluster_mean"].std()
        / tree["posterior_predictive"]["cluster_mean"].std()
    )
    assert wide > 2


def test_same_seed_same_posterior(units, spec):
    exp = bc.Experiment(units, spec)
    run = {"draws": 50, "tune": 100, "chains": 2, "progressbar": False}
    with pytest.warns(UserWarning, match="effective sample size|R-hat|divergent"):
        a, b, c = (bc.fit(exp, seed=seed, **run)["posterior"] for seed in (3, 3, 4))
    for name in ("direct", "intercept"):
        assert np.array_equal(a[name], b[name])
        assert not np.array_equal(a[name], c[name])


def test_bad_arguments_are_refused(units, spec):
    exp = bc.Experiment(units, spec)
    for bad in ({"draws": 3}, {"tune": 0}, {"chains": 0}):
        with pytest.raises(ValueError, match="must be at least"):
            bc.fit(exp, **bad)


def test_a_row_level_fit_gives_the_same_posterior():
    """Plain PyMC on 600 rows of 12 clusters, intercepts sampled, against the compressed model.

    Level and effects depend on log size in both.
    """
    scenario = bc.simulate.Scenario(
        n_clusters=12, cluster_size=50, size_cv=0.4, direct=0.5, spillover=0.3, icc=0.3
    )
    rows = scenario.simulate(seed=8)
    exp = bc.Experiment(rows, scenario.spec)
    run = {"draws": 2_000, "tune": 1_000, "chains": 4}
    ours = bc.fit(exp, seed=1, progressbar=False, **run)
    from bayescluster.bayes.model_inputs import resolved_priors

    priors = resolved_priors(exp)
    cluster = rows["cluster"].to_numpy()
    treated = rows.groupby("cluster")["treated"].first().to_numpy()
    log_size = np.log(rows.groupby("cluster")["treated"].size().to_numpy())
    g = log_size - log_size[cluster].mean()
    assert exp.size_terms
    with pm.Model(coords={"cluster": np.arange(12)}):
        mean = priors["intercept_mean"].to_pymc("intercept_mean")
        direct, spillover = (priors[x].to_pymc(x) for x in ("direct", "spillover"))
        between, within = (priors[x].to_pymc(x) for x in ("between_sd", "within_sd"))
        by_size, direct_g, spillover_g = (priors[x].to_pymc(x) for x in exp.size_terms)
        own = by_size * g + (direct + direct_g * g) * treated
        level = pm.Normal("level", mean + own, between, dims="cluster")
        pm.Deterministic("intercept", level - own, dims="cluster")
        exposure = rows["exposed"].to_numpy()
        linear = level[cluster] + (spillover + spillover_g * g[cluster]) * exposure
        pm.Normal("outcome", linear, within, observed=rows["outcome"].to_numpy())
        theirs = pm.sample(
            random_seed=2, nuts_sampler="nutpie", progressbar=False, quiet=True, **run
        )
    names = ["intercept_mean", "direct", "spillover", "between_sd", "within_sd", "intercept"]
    names += exp.size_terms
    a, b = (
        az.summary(x, var_names=names, kind="all", round_to="none").astype(float)
        for x in (ours, theirs)
    )
    assert a.index.tolist() == b.index.tolist()
    error = np.hypot(a["mcse_mean"], b["mcse_mean"])
    assert (np.abs(a["mean"] - b["mean"]) < 4 * error).all()
    sd_error = np.hypot(a["mcse_sd"], b["mcse_sd"])
    assert (np.abs(a["sd"] - b["sd"]) < 4 * sd_error).all()


def test_covariates_and_strata_are_sampled(units, spec):
    design = spec.design.model_copy(update={"strata": "block"})
    outcome = spec.outcome.model_copy(update={"covariates": ("age",)})
    full = spec.model_copy(update={"design": design, "outcome": outcome})
    units["block"] = units["workspace"].map(lambda w: "ab"[int(w[1:]) % 2])
    tree = bc.fit(bc.Experiment(units, full), draws=500, tune=500, seed=2, progressbar=False)
    assert tree["posterior"]["stratum_effect"].dims == ("chain", "draw", "stratum")
    assert tree["posterior"]["stratum"].to_numpy().tolist() == ["a", "b"]
    assert np.abs(tree["posterior"]["stratum_effect"].sum("stratum")).max() < 1e-9
    assert np.abs(tree["prior"]["stratum_effect"].sum("stratum")).max() < 1e-9
    table = bc.bayes.convergence(tree).set_index("parameter")
    reference = bc.two_exposure(bc.Experiment(units, full), "iid").to_dataframe().set_index("term")
    # Within clusters the covariate's slope is identified as by least squares, priors being wide.
    gap = abs(table.loc["age", "mean"] - reference.loc["age", "estimate"])
    assert gap < 1.0 * reference.loc["age", "std_error"]
    assert np.isfinite(tree["log_likelihood"]["outcome"]).all()


LABELS = {
    "date": [datetime.date(2026, 1, 1 + i) for i in range(8)],
    "decimal": [decimal.Decimal(i) / 4 for i in range(8)],
    "uint8": np.arange(8, dtype=np.uint8),
    "category": pd.Categorical([f"w{i}" for i in range(8)]),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.filterwarnings("ignore:R-hat|effective|divergent|divergent transitions")
def test_clusters_may_have_labels_of_any_type(units, spec, kind):
    code = units["workspace"].str[1:].astype(int).to_numpy()
    labels = pd.Series(LABELS[kind], dtype=object if kind in ("date", "decimal") else None)
    exp = bc.Experiment(units.assign(workspace=labels[code].to_numpy()), spec)
    assert exp.moments().n.tolist() == [5] * 8
    if kind == "date":  # the others need no second compilation
        tree = bc.fit(exp, draws=50, tune=100, chains=1, progressbar=False)
        assert tree["posterior"]["cluster"].to_numpy()[0] in (
            "2026-01-01",
            np.datetime64("2026-01-01"),
        )
        tree.to_dict()


def test_names_of_the_model_are_reserved(units, spec):
    design = spec.design.model_copy(update={"strata": "block"})
    units["block"] = units["workspace"].map(lambda w: "ab"[int(w[1:]) % 2])
    model = bc.build_model(bc.Experiment(units, spec.model_copy(update={"design": design})))
    assert {*model.named_vars, *model.coords} - RESERVED_NAMES <= {
        value.name for value in model.value_vars
    }
