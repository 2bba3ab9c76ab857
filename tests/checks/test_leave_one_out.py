"""Leave-one-cluster-out: ArviZ's own, and families told apart."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

import bayescluster as bc
from bayescluster.checks.leave_one_out import _on_the_outcome

DESIGN = {"cluster": "team", "treatment": "treated", "spillover": "exposed"}


def spec_of(family, **outcome):
    return bc.ModelSpec(design=DESIGN, outcome={"column": "y", "family": family, **outcome})


def positive(family, seed=1, clusters=30, size=40):
    """Positive outcomes: lognormal, or gaussian far from zero."""
    known = {"intercept_mean": 1.0, "within_sd": 0.8}
    if family == "gaussian":  # no outcome of these seeds is below 0
        known = {"intercept_mean": 5.0, "within_sd": 1.2}
    made = bc.simulate.SyntheticExperiment(
        spec_of(family), n_clusters=clusters, cluster_size=size, parameters=known
    )
    return made.simulate(seed)


@pytest.fixture(scope="module")
def gaussian():
    exp = bc.Experiment(positive("gaussian"), spec_of("gaussian"))
    return exp, bc.fit_exact(exp, seed=1)


def test_loo_is_arvizs(gaussian):
    _, tree = gaussian
    ours, theirs = bc.checks.loo(tree), az.loo(tree, var_name="outcome", pointwise=True)
    assert (ours.elpd, ours.se, ours.p) == (theirs.elpd, theirs.se, theirs.p)
    table = ours.to_dataframe().sort_values("cluster")
    assert np.array_equal(table["elpd"], theirs.elpd_i)
    assert np.array_equal(table["pareto_k"], theirs.pareto_k)
    assert ours.verdict == "ok"
    assert ours.advice == ""
    assert ours.table["n_units"].tolist() == [40] * 30
    assert ours.plot().axes[0].get_ylabel() == "Pareto k"
    plt.close("all")


def test_loo_names_the_clusters_that_it_does_not_know():
    data = positive("gaussian", clusters=8, size=10)
    data.loc[data["team"] == 3, "y"] += 40
    tree = bc.fit_exact(bc.Experiment(data, spec_of("gaussian")), seed=1)
    found = bc.checks.loo(tree)
    assert found.table["cluster"].iloc[0] == 3
    assert found.table["pareto_k"].iloc[0] > found.good_k
    assert found.verdict in ("caution", "problem")
    assert "(3" in found.advice
    assert bc.checks.loo(tree).plot() is not None
    plt.close("all")


def test_overdispersed_counts_are_told_from_poisson_ones(count_comparisons):
    table = count_comparisons["negative_binomial"].table.set_index("model")
    assert count_comparisons["negative_binomial"].preferred == "negative_binomial"
    worse = table.loc["poisson"]
    assert worse["elpd_diff"] < -4
    assert worse["elpd_diff"] < -4 * worse["dse"]
    assert worse["verdict"] == "problem"
    assert "clearly worse than negative_binomial" in worse["conclusion"]


def test_poisson_counts_are_not_called_overdispersed(count_comparisons):
    comparison = count_comparisons["poisson"]
    table = comparison.table.set_index("model")
    assert abs(table.loc["poisson", "elpd_diff"] - table.loc["negative_binomial", "elpd_diff"]) < 4
    assert comparison.preferred == "poisson"
    assert (table["verdict"] != "problem").all()
    assert table.loc["poisson", "parameters"] == table.loc["negative_binomial", "parameters"] - 1
    assert any("preferred" in text for text in comparison.conclusions)


@pytest.mark.parametrize("family", ["lognormal", "gaussian"])
def test_lognormal_and_gaussian_outcomes_are_told_apart(family):
    other = {"lognormal": "gaussian", "gaussian": "lognormal"}[family]
    specs = {name: spec_of(name) for name in (other, family)}
    comparison = bc.checks.compare_models(positive(family), specs)
    table = comparison.table.set_index("model")
    assert comparison.preferred == family
    assert table.loc[other, "verdict"] == "problem"
    assert table.loc[other, "elpd_diff"] < -2 * table.loc[other, "dse"]


def test_the_lognormal_density_is_of_the_outcome():
    """Against the multivariate normal density of the logarithms less the sum of logarithms."""
    data = positive("lognormal", clusters=6, size=5)
    exp = bc.Experiment(data, spec_of("lognormal"))
    tree = bc.fit_exact(exp, draws=10, seed=1)
    values = _on_the_outcome(exp, tree)["log_likelihood"]["outcome"].to_numpy()[0, 0]
    draw = tree["posterior"].to_dataset().isel(chain=0, draw=0)
    for j, (_, rows) in enumerate(data.groupby("team")):
        effects = np.array([float(draw["direct"]), float(draw["spillover"])])
        mean = float(draw["intercept_mean"]) + rows[["treated", "exposed"]].to_numpy() @ effects
        covariance = float(draw["within_sd"]) ** 2 * np.eye(5) + float(draw["between_sd"]) ** 2
        dense = stats.multivariate_normal(mean, covariance).logpdf(np.log(rows["y"]))
        assert values[j] == pytest.approx(dense - np.log(rows["y"]).sum(), abs=1e-8)


def test_the_table_is_arvizs(gaussian):
    exp, tree = gaussian
    small = bc.ModelSpec(design=DESIGN | {"spillover": None}, outcome={"column": "y"})
    other = bc.Experiment(positive("gaussian"), small)
    comparison = bc.checks.compare_fits({"with": (exp, tree), "without": other})
    theirs = az.compare(
        {
            name: az.loo(posterior, var_name="outcome", pointwise=True)
            for name, (_, posterior) in comparison.fits.items()
        },
        round_to="none",
    )
    table = comparison.to_dataframe().set_index("model")
    assert table.index.tolist() == theirs.index.tolist()
    for ours, name in (("elpd", "elpd"), ("se", "se"), ("elpd_diff", "elpd_diff"), ("dse", "dse")):
        assert np.allclose(table[ours], theirs[name].astype(float), rtol=1e-9), name
    assert table.loc["with", "parameters"] == 5
    assert table.loc["without", "parameters"] == 4
    assert len(comparison.plot().axes) == 1
    plt.close("all")


def test_the_same_model_twice_is_as_good(gaussian):
    comparison = bc.checks.compare_fits({"a": gaussian, "b": gaussian})
    assert comparison.preferred == "a"
    assert comparison.table["elpd_diff"].tolist() == [0, 0]
    assert "predicts as well as a" in comparison.conclusions[1]


def test_what_cannot_be_compared_is_refused(gaussian):
    data = positive("gaussian")
    counts = data.assign(y=data["y"].round().astype(int))
    with pytest.raises(
        bc.errors.SpecError, match="not comparable: bernoulli, negative_binomial, poisson"
    ):
        bc.checks.compare_models(counts, {"a": spec_of("gaussian"), "b": spec_of("poisson")})
    with pytest.raises(bc.errors.SpecError, match="needs two models"):
        bc.checks.compare_models(data, {"a": spec_of("gaussian")})
    elsewhere = bc.ModelSpec(design=DESIGN, outcome={"column": "z"})
    with pytest.raises(bc.errors.SpecError, match="different outcomes"):
        bc.checks.compare_models(data.assign(z=1.0), {"a": spec_of("gaussian"), "b": elsewhere})
    fewer = bc.Experiment(data[data["team"] > 0], spec_of("gaussian"))
    with pytest.raises(bc.errors.DataError, match=r"different clusters \(30 and 29\)"):
        bc.checks.compare_fits({"a": gaussian, "b": fewer})
    age = pd.Series(np.random.default_rng(0).normal(size=len(data)))
    aged = data.assign(age=age.where(age.index > 4))
    adjusted = spec_of("gaussian", covariates=["age"], missing="drop")
    with pytest.raises(bc.errors.DataError, match=r"different users \(1,200 and 1,195\)"):
        bc.checks.compare_models(aged, {"a": spec_of("gaussian"), "b": adjusted})
    moved = bc.Experiment(data.assign(y=data["y"] + 1), spec_of("gaussian"))
    with pytest.raises(bc.errors.DataError, match="have different outcomes"):
        bc.checks.compare_fits({"a": gaussian, "b": moved})
