"""Models in which level and effects depend on cluster size, against explicit covariates."""

import numpy as np
import pandas as pd
import pytest
from rows import unconstrained

import bayescluster as bc
from bayescluster.data.cluster_sizes import centred_log_sizes

OWN = {"distribution": "normal", "mu": 0.0, "sigma": 0.7, "unit": "outcome"}
WIDE = {"distribution": "normal", "mu": 0.0, "sigma": 1e4, "unit": "outcome"}


def table(family, seed=4):
    """Users of clusters whose size, level and effects go together."""
    rng = np.random.default_rng(seed)
    size = np.maximum(4, np.round(15 * rng.lognormal(0, 0.8, 16))).astype(int)
    team = np.repeat(np.arange(16), size)
    g = np.log(size)[team] - np.log(size)[team].mean()
    treated = team % 2
    exposed = ((rng.random(len(team)) < 0.5) & (treated == 0)).astype(int)
    eta = rng.normal(0, 0.4, 16)[team] + 0.2 * g + (0.5 - 0.3 * g) * treated + 0.3 * exposed
    y = {
        "gaussian": lambda: eta + rng.normal(0, 1, len(team)),
        "student_t": lambda: eta + rng.standard_t(4, len(team)),
        "bernoulli": lambda: (rng.random(len(team)) < 1 / (1 + np.exp(-eta))).astype(float),
    }[family]()
    return pd.DataFrame(
        {
            "team": team,
            "treated": treated,
            "exposed": exposed,
            "y": y,
            "g": g,
            "treated_g": treated * g,
            "exposed_g": exposed * g,
        }
    )


def pair(family, slopes=()):
    """The model with effects of size, and the same with explicit columns as covariates."""
    design = {"cluster": "team", "treatment": "treated", "spillover": "exposed"}
    common = {"intercept_mean": WIDE}
    terms = dict.fromkeys(("log_size", "direct_by_log_size", "spillover_by_log_size"), OWN)
    by_size = bc.ModelSpec(
        design=design,
        outcome={"column": "y", "family": family},
        heterogeneity={"size_effects": True, "slopes": slopes},
        priors=common | terms,
    )
    columns = ["g", "treated_g", "exposed_g"]
    explicit = bc.ModelSpec(
        design=design,
        outcome={"column": "y", "family": family, "covariates": columns},
        heterogeneity={"size_effects": False, "slopes": slopes},
        priors=common | {"covariates": dict.fromkeys(columns, OWN)},
    )
    frame = table(family)
    return bc.Experiment(frame, by_size), bc.Experiment(frame, explicit)


RENAMED = {
    "log_size": "g",
    "direct_by_log_size": "treated_g",
    "spillover_by_log_size": "exposed_g",
}


@pytest.mark.parametrize(
    ("family", "slopes"),
    [("gaussian", ()), ("gaussian", ("spillover",)), ("bernoulli", ()), ("student_t", ())],
)
def test_the_likelihood_is_that_of_explicit_columns(family, slopes):
    by_size, explicit = pair(family, slopes)
    means = dict(zip(explicit.moments().names, explicit.moments().grand_means, strict=False))
    models = bc.build_model(by_size), bc.build_model(explicit)
    functions = []
    for model in models:
        sampled = [v for v in model.free_RVs if v.name.startswith("cluster_level")]
        data = [*model.observed_RVs, *model.potentials, *sampled]
        log_density = model.logp(vars=data, sum=True)
        functions.append(
            model.compile_fn(log_density, inputs=model.value_vars, mode="FAST_COMPILE")
        )
    rng = np.random.default_rng(1)
    for _ in range(4):
        point = {
            variable.name: np.exp(rng.normal(0, 0.3, variable.shape.eval()))
            for variable in models[0].free_RVs
        }
        other = {RENAMED.get(name, name): value for name, value in point.items()}
        # Covariates are centred at their means over users: that of g is zero.
        shift = sum(point[k] * means[v] for k, v in RENAMED.items())
        other["intercept_mean"] = point["intercept_mean"] + shift
        if "cluster_level" in other:  # it includes what is constant within clusters
            within = point["spillover_by_log_size"] * means["exposed_g"]
            other["cluster_level"] = point["cluster_level"] + within
        found, expected = (
            float(function(unconstrained(model, values)))
            for function, model, values in zip(functions, models, (point, other), strict=True)
        )
        assert found == pytest.approx(expected, rel=1e-9)


def test_the_integral_is_that_of_explicit_columns():
    by_size, explicit = (bc.bayes.exact_posterior(exp) for exp in pair("gaussian"))
    for name in ("direct", "spillover", *RENAMED):
        other = RENAMED.get(name, name)
        assert by_size.mean[name] == pytest.approx(explicit.mean[other], abs=1e-6)
        assert by_size.sd[name] == pytest.approx(explicit.sd[other], rel=1e-5)


def test_a_combination_is_the_distribution_of_the_weighted_draws():
    exp, _ = pair("gaussian")
    exact = bc.bayes.exact_posterior(exp)
    weights = {"direct": 1.0, "direct_by_log_size": -0.8}
    drawn = exact.draw(40_000, np.random.default_rng(2))
    values = sum(weight * drawn[name] for name, weight in weights.items())
    found = exact.combination(weights)
    error = values.std() / np.sqrt(len(values))  # Monte Carlo error of the mean: 200 sd
    assert found.mean == pytest.approx(values.mean(), abs=4 * error)
    assert found.sd == pytest.approx(values.std(), rel=0.02)
    assert exact.combination({"direct": 1.0}).mean == pytest.approx(exact.mean["direct"])
    with pytest.raises(ValueError, match="no location between_sd; there are intercept_mean"):
        exact.combination({"between_sd": 1.0})


def workspaces(seed=3):
    """360 small workspaces that gain 1.0 and 40 large ones that gain nothing."""
    rng = np.random.default_rng(seed)
    size = np.where(np.arange(400) % 10 == 0, 500, 20)
    effect = np.where(size == 500, 0.0, 1.0)
    treated = np.zeros(400, dtype=int)
    for group in (20, 500):
        at = np.flatnonzero(size == group)
        treated[rng.permutation(at)[: len(at) // 2]] = 1
    team = np.repeat(np.arange(400), size)
    level = rng.normal(0, 0.5, 400)[team] + effect[team] * treated[team]
    y = level + rng.normal(0, 1, len(team))
    return pd.DataFrame({"team": team, "treated": treated[team], "y": y})


@pytest.mark.parametrize("estimand", ["user", "cluster"])
def test_the_average_over_users_and_over_clusters_are_both_covered(estimand):
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"},
        outcome={"column": "y"},
        heterogeneity={"size_effects": True},
        report={"estimand": estimand},
    )
    exp = bc.Experiment(workspaces(), spec)
    g = centred_log_sizes(exp.moments())
    assert g.mean() < -1  # so the two averages are far apart
    posterior = bc.fit_exact(exp, seed=1)
    comparison = bc.compare(exp, posterior, bootstrap_draws=500)
    table = comparison.estimands
    direct = table[table["estimand"] == "direct"].set_index("average")
    for average, truth in (("user", 0.2647), ("cluster", 0.9)):
        row = direct.loc[average]
        assert row["ci_lower"] < truth < row["ci_upper"]
        assert row["ci_upper"] - row["ci_lower"] < 0.5
    assert next(iter(direct.index)) == estimand
    assert set(comparison.named_estimands["average"]) == {estimand, ""}
    decided = bc.decide(exp, posterior).to_dataframe().set_index("effect")
    assert decided.loc["direct", "mean"] == direct.loc[estimand, "mean"]
    rows = comparison.estimates.set_index("method")
    assert rows.loc["posterior", "estimate"] == direct.loc[estimand, "mean"]
    by_integration = rows.loc["posterior by integration"]
    error = direct.loc[estimand, "sd"] / np.sqrt(4_000)  # of the mean of 4,000 draws
    assert by_integration["estimate"] == pytest.approx(direct.loc[estimand, "mean"], abs=4 * error)
