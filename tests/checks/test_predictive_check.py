"""Predictive checks: closed forms, replicates against rows, and misfits that are flagged."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import bayescluster as bc
from bayescluster.bayes.convergence_checks import sampler_checks
from bayescluster.bayes.parameter_draws import ParameterDraws
from bayescluster.checks.predictive_check import _misfit_advice
from bayescluster.checks.predictive_replicates import (
    Groups,
    _draw_frequencies,
    _draw_units,
    replicate,
)
from bayescluster.checks.predictive_statistics import DISPERSION, ZEROS, draw_within_sd
from bayescluster.spec.families import FAMILIES

DESIGN = {"cluster": "team", "treatment": "treated", "spillover": "exposed"}


def make(family="gaussian", priors=None, outcome=None, heterogeneity=None, seed=1, **kwargs):
    design = DESIGN | kwargs.pop("design", {})
    spec = bc.ModelSpec(
        design=design,
        outcome={"column": "y", "family": family, **(outcome or {})},
        priors=priors or {},
        heterogeneity=heterogeneity or {},
    )
    sizes = {"n_clusters": 20, "cluster_size": 30} | kwargs
    return bc.simulate.SyntheticExperiment(spec, **sizes).simulate(seed), spec


def experiment(*args, **kwargs):
    return bc.Experiment(*make(*args, **kwargs))


def rows_of(check):
    return check.to_dataframe().set_index("statistic")


@pytest.fixture(scope="module")
def fitted():
    exp = experiment()
    return exp, bc.fit_exact(exp, seed=1)


def test_the_prior_of_gaussian_means_has_its_closed_form():
    """Variances of independent normal priors add; that of a half-normal's square is its scale's."""
    exp = experiment()
    check = bc.checks.prior_predictive_check(exp, seed=3)
    m, sd = exp.moments(), float(exp.moments().sd[-1])
    x = (m.mean + m.origin)[:, :-1]
    level = 2.5**2 * (1 + (x**2).sum(axis=1)) + 1 + 2.5**2 / m.n
    expected = sd * np.sqrt(level.mean())
    drawn = check.draws["all cluster means"]
    # 1,000 draws, nearly one number each: a relative error of 1 / sqrt(2 x 1,000) = 2.2%.
    assert drawn.std() == pytest.approx(expected, rel=4 * 0.0224)
    difference = np.average(x[exp.treated], axis=0) - np.average(x[~exp.treated], axis=0)
    rest = (1 + 2.5**2 / 30) * (1 / 10 + 1 / 10)
    gap = sd * np.sqrt(2.5**2 * (difference**2).sum() + rest)
    assert check.draws["treated minus control clusters"].std() == pytest.approx(gap, rel=0.09)
    assert check.verdict == "ok"


def test_a_fit_gives_its_own_prior_draws(fitted):
    exp, tree = fitted
    check = bc.checks.prior_predictive_check(exp, tree)
    drawn = tree["prior_predictive"]["cluster_mean"].to_numpy()
    assert np.array_equal(check.draws["all cluster means"], drawn.ravel())


@pytest.mark.parametrize("family", ["lognormal", "bernoulli", "poisson", "negative_binomial"])
def test_default_priors_pass(family):
    check = bc.checks.prior_predictive_check(experiment(family))
    assert check.verdict == "ok", check
    assert (check.table["advice"] == "").all()
    assert len(check.plot().axes) == 6
    plt.close("all")


def test_priors_that_expect_the_absurd_are_flagged():
    wide = {"intercept_mean": {"distribution": "normal", "mu": 0, "sigma": 20}}
    for family, words in (("bernoulli", "rates below 1%"), ("poisson", "means 100 times")):
        first = bc.checks.prior_predictive_check(experiment(family, wide)).table.iloc[0]
        assert first["statistic"] == "all cluster means"
        assert first["verdict"] == "problem", family
        assert words in first["advice"]
        bc.checks.prior_predictive_check(experiment(family, wide)).plot()
    wide["intercept_mean"]["sigma"] = 50
    assert bc.checks.prior_predictive_check(experiment("gaussian", wide)).verdict == "problem"
    plt.close("all")


@pytest.mark.parametrize(
    ("family", "size", "level"),
    [("bernoulli", 1, -0.4), ("bernoulli", 300, -5.5), ("poisson", 1, -1.2), ("poisson", 2, -1.2)],
)
def test_few_users_and_rare_events_are_not_absurd(family, size, level):
    """Single users convert or do not; the default priors are about the rates behind that."""
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"},
        outcome={"column": "y", "family": family},
    )
    made = bc.simulate.SyntheticExperiment(spec, 60, size, parameters={"intercept_mean": level})
    exp = bc.Experiment(made.simulate(seed=1), spec)
    table = rows_of(bc.checks.prior_predictive_check(exp))
    assert table.loc["all cluster means", "verdict"] == "ok"
    assert table.loc["smallest cluster mean", "observed"] == 0
    assert table.loc["smallest cluster mean", "verdict"] == "ok"


def test_priors_that_conflict_with_the_data_are_flagged():
    far = {"intercept_mean": {"distribution": "normal", "mu": 5, "sigma": 0.3}}
    table = rows_of(bc.checks.prior_predictive_check(experiment(priors=far)))
    assert table.loc["mean over clusters", "verdict"] == "problem"
    assert "above the observed one" in table.loc["mean over clusters", "advice"]
    tight = {"between_sd": {"distribution": "half_normal", "sigma": 0.001}}
    tight["within_sd"] = {"distribution": "half_normal", "sigma": 0.001}
    tight |= {
        name: {"distribution": "normal", "mu": 0, "sigma": 0.001}
        for name in ("direct", "spillover")
    }
    spread = rows_of(bc.checks.prior_predictive_check(experiment(priors=tight))).loc[
        "SD between clusters"
    ]
    assert spread["verdict"] == "problem"
    assert "between_sd conflicts" in spread["advice"]


def test_lognormal_means_are_geometric_ones():
    exp = experiment("lognormal")
    table = rows_of(bc.checks.prior_predictive_check(exp))
    logs = exp.moments().mean[:, -1] + exp.moments().origin[-1]
    assert table.loc["mean over clusters", "observed"] == pytest.approx(np.exp(logs.mean()))
    ratio = np.exp(logs[exp.treated].mean() - logs[~exp.treated].mean())
    assert table.loc["treated over control clusters (ratio)", "observed"] == pytest.approx(ratio)
    assert table.loc["SD between clusters (log scale)", "observed"] == pytest.approx(
        logs.std(ddof=1)
    )


GROUPINGS = {
    "indicator": {},
    "interaction": {"design": {"interaction": True}},
    "partial rollout": {"design": {"level": "unit", "saturation": "share", "interaction": True}},
    "covariate": {"outcome": {"covariates": ["age"]}},
}


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("kind", GROUPINGS)
def test_groups_are_those_of_the_rows(family, kind):
    data, spec = make(family, **GROUPINGS[kind])
    exp = bc.Experiment(data, spec)
    groups = Groups.of(exp)
    found = pd.DataFrame({"condition": groups.condition, "n": groups.n, "total": groups.total})
    found = found.groupby("condition")[["n", "total"]].sum()
    expected = exp.conditions.set_index("condition")
    assert set(found.index) == set(expected.index)
    assert found["n"].to_dict() == expected["n_units"].to_dict()
    means = (found["total"] / found["n"]).loc[expected.index]
    assert np.allclose(means, expected["mean"], rtol=0, atol=1e-9)
    m = exp.moments()
    assert np.allclose(groups.cluster_means(groups.total), m.mean[:, -1] + m.origin[-1])
    if kind == "covariate":
        age = data["age"] - data["age"].mean()
        key = [data["team"], data["treated"], data["exposed"]]
        by_cell = np.sort(age.groupby(key).mean().to_numpy())
        if family == "gaussian":
            assert np.allclose(np.sort(groups.x[:, -1]), by_cell, atol=1e-9)


def test_users_with_heavy_tails_are_drawn_one_by_one():
    data, spec = make("student_t", n_clusters=6, cluster_size=8)
    exp = bc.Experiment(data.assign(y=data["y"].round()), spec)
    groups = Groups.of(exp)
    assert (groups.n == 1).all()
    assert len(groups.n) == 48 > exp.cells().n_cells
    assert groups.total.sum() == pytest.approx(data["y"].round().sum())
    size, known = 20_000, {"level": [0.0], "effects": [0.0, 0.0], "between_sd": 0.5}
    draws = repeated(size, **known, within_sd=0.8, shape=6.0)
    totals = replicate(np.random.default_rng(0), exp, groups, draws).totals
    # Variance of a t with 6 degrees of freedom: 6 / 4; of these sums, 4% is four standard errors.
    assert np.allclose(totals.var(axis=0).mean(), 0.5**2 + 0.8**2 * 6 / 4, rtol=0.04)


def test_a_dose_is_checked_by_arm():
    exp = experiment(dose=True)
    assert Groups.of(exp).conditions == ["treated", "control"]
    cells = Groups.of(experiment("poisson", dose=True))
    assert set(cells.conditions) == {"direct", "spillover", "pure_control"}
    check = bc.checks.posterior_predictive_check(exp, bc.fit_exact(exp))
    assert {"mean, treated", "mean, control"} < set(check.table["statistic"])


def repeated(size, **values):
    """The same parameters, `size` times."""
    filled = {k: np.broadcast_to(v, (size, *np.shape(v))).astype(float) for k, v in values.items()}
    return ParameterDraws(**filled)


def test_gaussian_replicates_have_their_closed_form():
    """At fixed parameters, with an effect that varies: mean and covariance of the groups."""
    exp = experiment(heterogeneity={"slopes": ["spillover"]}, n_clusters=6, cluster_size=6)
    groups = Groups.of(exp)
    size = 40_000
    known = {"level": [1.0], "effects": [0.5, 0.3], "between_sd": 0.4, "within_sd": 0.8}
    draws = repeated(size, **known, slope_sd=[0.6])
    drawn = replicate(np.random.default_rng(0), exp, groups, draws).totals / groups.n
    mean = 1 + groups.x @ [0.5, 0.3]
    same = groups.cluster[:, None] == groups.cluster
    s = groups.x[:, 1]
    covariance = same * (0.4**2 + 0.6**2 * np.outer(s, s)) + np.diag(0.8**2 / groups.n)
    sd = np.sqrt(np.diag(covariance))
    # Monte Carlo errors: sd / 200 of means, at most sqrt(2) x sd x sd' / 200 of covariances.
    assert (np.abs(drawn.mean(axis=0) - mean) < 4.5 * sd / 200).all()
    error = np.sqrt(2) * np.outer(sd, sd) / 200
    assert (np.abs(np.cov(drawn.T) - covariance) < 4.5 * error).all()


def test_the_sd_within_clusters_is_that_of_replicated_rows():
    data, spec = make(outcome={"covariates": ["age"]}, n_clusters=6, cluster_size=8)
    exp = bc.Experiment(data, spec)
    size, rng = 20_000, np.random.default_rng(1)
    effects = np.array([0.5, 0.7, 1.1])
    drawn = draw_within_sd(
        rng, exp, repeated(size, level=[0.0], effects=effects, between_sd=0.4, within_sd=0.8)
    )
    drawn = {statistic.name: values for statistic, values in drawn.items()}
    eta = data[["treated", "exposed", "age"]].to_numpy() @ effects
    for arm, there in (("control", data["treated"] == 0), ("treated", data["treated"] == 1)):
        y = eta[there] + rng.normal(0, 0.8, (size, there.sum()))
        y = y.reshape(size, 3, 8)
        brute = np.sqrt(((y - y.mean(axis=-1, keepdims=True)) ** 2).sum(axis=(1, 2)) / 21)
        ours = drawn[f"SD within clusters, {arm}"]
        error = np.hypot(ours.std(), brute.std()) / np.sqrt(size)
        assert abs(ours.mean() - brute.mean()) < 4 * error
        assert abs(ours.std() / brute.std() - 1) < 4 * np.sqrt(1 / size)


@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
def test_counts_are_drawn_the_same_by_units_and_by_frequencies(family):
    n, mean, size = np.array([5.0, 40.0, 1.0]), np.array([0.4, 2.0, 6.0]), 20_000
    eta, shape = np.tile(np.log(mean), (size, 1)), np.full((size, 1), 0.5)
    args = (FAMILIES[family], eta, n, shape)
    by_units = _draw_units(np.random.default_rng(1), *args)
    counted = _draw_frequencies(
        np.random.default_rng(2), FAMILIES[family], eta[:5_000], n, shape[:5_000], 120
    )
    over = 0.5 if family == "negative_binomial" else 0.0
    variance = mean + over * mean**2
    zero = np.exp(-mean) if not over else (1 + over * mean) ** -2.0
    for totals, zeros, squares in (by_units, counted):
        root = np.sqrt(len(totals))
        assert (np.abs(totals.mean(axis=0) - n * mean) < 4 * np.sqrt(n * variance) / root).all()
        assert np.allclose(totals.var(axis=0), n * variance, rtol=0.15)
        assert abs(zeros.mean() - n @ zero) < 4 * zeros.std() / root
        assert abs(squares.mean() - n @ (variance + mean**2)) < 4 * squares.std() / root


def test_a_model_that_made_the_data_passes(fitted):
    exp, tree = fitted
    check = bc.checks.posterior_predictive_check(exp, tree, seed=2)
    table = rows_of(check)
    assert check.verdict == "ok"
    conditions = exp.conditions.set_index("condition")["mean"]
    for name, label in (("direct", "direct"), ("pure_control", "pure control")):
        assert table.loc[f"mean, {label}", "observed"] == pytest.approx(conditions[name])
    means = exp.moments().mean[:, -1] + exp.moments().origin[-1]
    assert table.loc["largest cluster mean", "observed"] == pytest.approx(means.max())
    sd = means[exp.treated].std(ddof=1)
    assert table.loc["SD between clusters, treated", "observed"] == pytest.approx(sd)
    again = bc.checks.posterior_predictive_check(exp, tree, seed=2)
    assert again.table.equals(check.table)
    assert len(check.plot().axes) == len(table)
    plt.close("all")


def test_arms_that_vary_differently_are_flagged():
    data, spec = make(n_clusters=60)
    rng = np.random.default_rng(0)
    extra = rng.normal(0, 2, 60)[data["team"]]
    exp = bc.Experiment(data.assign(y=data["y"] + data["treated"] * extra), spec)
    table = rows_of(bc.checks.posterior_predictive_check(exp, bc.fit_exact(exp, seed=1)))
    assert table.loc["SD between clusters, control", "verdict"] == "problem"
    assert "between_sd_by_arm" in table.loc["SD between clusters, control", "advice"]
    noisy = np.where(data["treated"] == 1, rng.normal(0, 3, len(data)), 0)
    exp = bc.Experiment(data.assign(y=data["y"] + noisy), spec)
    table = rows_of(bc.checks.posterior_predictive_check(exp, bc.fit_exact(exp, seed=1)))
    assert table.loc["SD within clusters, treated", "verdict"] == "problem"
    assert "cluster-robust" in table.loc["SD within clusters, treated", "advice"]


def test_overdispersed_counts_are_flagged(count_comparisons):
    fits = count_comparisons["negative_binomial"].fits
    poisson = rows_of(bc.checks.posterior_predictive_check(*fits["poisson"], draws=300))
    for name in ("share of zeros", "variance / mean of users"):
        assert poisson.loc[name, "verdict"] == "problem"
        assert "negative_binomial" in poisson.loc[name, "advice"]
    right = rows_of(bc.checks.posterior_predictive_check(*fits["negative_binomial"], draws=300))
    for name in ("share of zeros", "variance / mean of users"):
        assert right.loc[name, "verdict"] == "ok"
    exp = fits["poisson"][0]
    y = np.repeat(exp.cells().value, exp.cells().value_count.astype(int))
    assert right.loc["share of zeros", "observed"] == pytest.approx((y == 0).mean())
    dispersion = y.var(ddof=1) / y.mean()
    assert right.loc["variance / mean of users", "observed"] == pytest.approx(dispersion)
    table = count_comparisons["poisson"].fits["poisson"]
    assert bc.checks.posterior_predictive_check(*table, draws=300).verdict == "ok"


def test_even_counts_are_no_reason_for_more_overdispersion(count_comparisons):
    exp, _ = count_comparisons["poisson"].fits["poisson"]
    for name in (ZEROS, DISPERSION):
        assert "negative_binomial" in _misfit_advice(exp, name, "larger")
        too_even = _misfit_advice(exp, name, "smaller")
        assert "negative_binomial" not in too_even
        assert "vary less than the family allows" in too_even


def test_the_sampler_is_judged_by_energy_and_depth(count_comparisons):
    _, tree = count_comparisons["poisson"].fits["poisson"]
    table = bc.bayes.convergence(tree)
    assert table.attrs["bfmi"] > 0.3
    assert table.attrs["saturated"] == 0
    checks = {check.name: check.verdict for check in sampler_checks(table)}
    assert set(checks.values()) == {"ok"}
    assert len(checks) == 5
    worse = table.copy()
    worse.attrs = table.attrs | {"bfmi": 0.1, "saturated": 0.5, "n_divergences": 1}
    worse["r_hat"] = np.where(worse["parameter"] == "between_sd", 1.2, worse["r_hat"])
    worse["ess_bulk"] = np.where(worse["parameter"] == "direct", 20.0, worse["ess_bulk"])
    judged = {check.name: (check.verdict, check.advice) for check in sampler_checks(worse)}
    assert judged["energy (smallest E-BFMI)"][0] == "caution"
    assert judged["iterations at the largest tree depth"][0] == "caution"
    assert judged["divergent transitions"][0] == "caution"  # so few may be false alarms
    worse.attrs |= {"n_divergences": 100}
    assert {c.name: c.verdict for c in sampler_checks(worse)}["divergent transitions"] == "problem"
    assert judged["effective sample size (smallest)"][0] == "problem"
    assert "half_normal" in judged["R-hat (largest)"][1]
    assert "20 times the draws" in judged["effective sample size (smallest)"][1]
    exact = bc.bayes.convergence(bc.fit_exact(experiment(), draws=400))
    assert "bfmi" not in exact.attrs
    assert len(sampler_checks(exact)) == 3
