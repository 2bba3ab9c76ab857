"""Integration: against brute force, closed forms, identities, its own draws and NUTS."""

import json
import subprocess
import sys

import arviz as az
import numpy as np
import pandas as pd
import pytest
from rows import regressors
from scipy import linalg, stats

import bayescluster as bc
from bayescluster.bayes.model_inputs import gaussian_statistics, resolved_priors

T3 = bc.Prior(distribution="student_t", nu=3, mu=0, sigma=1)
#: Priors that depart from the defaults, which are normal and half-normal.
PRIORS = {
    "default": {},
    "half_cauchy": {"between_sd": bc.Prior(distribution="half_cauchy", sigma=0.5)},
    "exponential": {
        "between_sd": bc.Prior(distribution="exponential", mean=0.5),
        "within_sd": bc.Prior(distribution="lognormal", median=1, log_sd=1),
    },
    "lognormal": {
        "between_sd": bc.Prior(distribution="lognormal", median=0.3, log_sd=0.7),
        "within_sd": bc.Prior(distribution="exponential", mean=1),
    },
    "tight": {
        "direct": bc.Prior(distribution="normal", mu=0, sigma=0.05),
        "between_sd": bc.Prior(distribution="half_normal", sigma=0.05),
    },
    "student_t": {"direct": T3},
    "tight student_t": {
        "direct": bc.Prior(distribution="student_t", nu=2, mu=0, sigma=0.05),
        "within_sd": bc.Prior(distribution="half_cauchy", sigma=1),
    },
    "student_t against the data": {
        "spillover": bc.Prior(distribution="student_t", nu=1, mu=4, sigma=0.2)
    },
    "two student_t": {"direct": T3, "intercept_mean": T3},
}


def make_rows(between=0.3, clusters=6, seed=3, scale=1.0):
    """Clusters of 2 to 5 units, a dose as spillover, a covariate."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), rng.integers(2, 6, clusters))
    treated = cluster % 2
    dose = np.where(treated == 0, rng.uniform(0, 1, len(cluster)).round(2), 0.0)
    age = rng.normal(40, 10, len(cluster))
    noise = rng.normal(0, between, clusters)[cluster] + rng.normal(0, 1, len(cluster))
    y = scale * (50 + 0.5 * treated + 0.4 * dose + 0.03 * age + noise)
    block = np.array(["a", "b", "c"])[(cluster // 2) % 3]
    return pd.DataFrame(
        {"cluster": cluster, "treated": treated, "dose": dose, "age": age, "block": block, "y": y}
    )


def make_experiment(rows, priors=None, strata=False, covariates=("age",), **heterogeneity):
    design = {"cluster": "cluster", "treatment": "treated", "spillover": "dose"}
    spec = bc.ModelSpec(
        design=design | ({"strata": "block"} if strata else {}),
        outcome={"column": "y", "covariates": covariates},
        heterogeneity=heterogeneity,
        priors=priors or {},
    )
    return bc.Experiment(rows, spec)


def panels(low, high, count, order=12):
    """Composite Gauss-Legendre rule: nodes and weights."""
    x, w = np.polynomial.legendre.leggauss(order)
    edges = np.linspace(low, high, count + 1)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (x + 1)).ravel(), (half * w).ravel()


class Brute:
    """The posterior from the multivariate normal density of all rows, on a dense fixed rule.

    tau and sigma are integrated on their own scale, and so are the locations with Student's t
    priors, against their own density; the other locations are in the rows' covariance matrix.
    """

    def __init__(self, exp, rows):
        priors, columns = resolved_priors(exp), regressors(rows, exp)
        names = ("intercept_mean", *columns)
        X = np.column_stack([np.ones(len(rows)), *columns.values()])
        given = [priors[n].parameters for n in names]
        self.student = [i for i, n in enumerate(names) if priors[n].distribution == "student_t"]
        variance = np.diag([0.0 if "nu" in p else p["sigma"] ** 2 for p in given])
        center = np.array([0 if "nu" in p else p["mu"] for p in given])
        if "stratum_effect" in priors:  # zero-sum normal: a normal less its mean
            X = np.column_stack([X, *(rows["block"] == level for level in "abc")])
            one = priors["stratum_effect"].parameters["sigma"] ** 2 * (np.eye(3) - 1 / 3)
            variance = linalg.block_diag(variance, one)
            center = np.r_[center, 0, 0, 0]
            names += tuple(f"stratum_effect[{level}]" for level in "abc")
        Z = np.equal.outer(rows["cluster"].to_numpy(), np.arange(rows["cluster"].max() + 1))
        sd = rows["y"].std()
        data = gaussian_statistics(exp)
        within = np.sqrt(data.within_ss / data.within_df)
        order = (12, 10, 7)[len(self.student)]
        # Narrow panels near zero, since a lognormal prior is not smooth there on this scale.
        pieces = ((1e-9, 0.02, 3), (0.02, 0.3, 5), (0.3, 2, 7), (2, 12, 6), (12, 150, 8))
        rules = [panels(low * sd, high * sd, count, order) for low, high, count in pieces]
        tau, tau_weight = (np.concatenate(part) for part in zip(*rules, strict=True))
        rules = [
            panels(low * within, high * within, 6, order)
            for low, high in ((0.2, 2), (2, 9), (9, 40))
        ]
        sigma, sigma_weight = (np.concatenate(part) for part in zip(*rules, strict=True))
        self.tau, self.sigma = (a.ravel() for a in np.meshgrid(tau, sigma, indexing="ij"))
        log_weight = np.log(np.multiply.outer(tau_weight, sigma_weight)).ravel()
        log_weight += priors["between_sd"].to_scipy().logpdf(self.tau)
        log_weight += priors["within_sd"].to_scipy().logpdf(self.sigma)
        y = rows["y"].to_numpy() - X @ center
        V = X @ variance @ X.T
        cov = V + self.tau[:, None, None] ** 2 * (Z @ Z.T)
        cov += self.sigma[:, None, None] ** 2 * np.eye(len(y))
        inverse = np.linalg.inv(cov)
        log_weight -= np.linalg.slogdet(cov)[1] / 2 + len(y) / 2 * np.log(2 * np.pi)
        theta, log_theta = self._student_grid([given[i] for i in self.student])
        B = X[:, self.student]
        square, cross, own = (
            B.T @ inverse @ B,
            np.einsum("i,kij,jq->kq", y, inverse, B, optimize=True),
            log_weight - np.einsum("i,kij,j->k", y, inverse, y, optimize=True) / 2,
        )

        def log_density(k, t):
            pairs = np.einsum("qt,rt->qrt", theta[:, t], theta[:, t])
            quadratic = np.tensordot(square[k], pairs, 2)
            return own[k, None] + log_theta[t] + cross[k] @ theta[:, t] - quadratic / 2

        every = slice(None)
        coarse = log_density(every, slice(None, None, 7)).max(axis=1)
        held = coarse > coarse.max() - 32  # the rest cannot be seen in the results
        weight = log_density(held, every)
        top = weight.max()
        weight = np.exp(weight - top)
        self.log_evidence = top + np.log(weight.sum())
        self.weight = weight / weight.sum()
        self.names, self.theta, self.tau, self.sigma = (
            names,
            theta,
            self.tau[held],
            self.sigma[held],
        )
        self.conditional = center, (X @ variance).T @ inverse[held], y, X, B, variance

    def _student_grid(self, given):
        """Nodes (q, T) and log-weights (T,): theta = mu + s sinh(x), the trapezoid rule in x."""
        if not given:
            return np.zeros((0, 1)), np.zeros(1)
        nodes, logs = [], []
        x = np.linspace(-13, 13, 1041) if len(given) == 1 else np.linspace(-4, 4, 111)
        step = x[1] - x[0]
        for p in given:
            theta = p["mu"] + p["sigma"] * np.sinh(x)
            log_prior = stats.t(p["nu"], p["mu"], p["sigma"]).logpdf(theta)
            nodes.append(theta)
            logs.append(np.log(step * p["sigma"] * np.cosh(x)) + log_prior)
        mesh = np.meshgrid(*nodes, indexing="ij")
        return np.array([m.ravel() for m in mesh]), sum(np.meshgrid(*logs, indexing="ij")).ravel()

    def moments(self):
        """Mean and SD of every parameter."""
        center, gain, y, X, B, variance = self.conditional
        by_point = self.weight.sum(axis=1)
        found = {}
        for i, name in enumerate(self.names):
            if i in self.student:
                value = self.theta[self.student.index(i)]
                share = self.weight.sum(axis=0)
                mean = share @ value
                found[name] = mean, np.sqrt(share @ (value - mean) ** 2)
                continue
            base = center[i] + gain[:, i] @ y
            local = base[:, None] - (gain[:, i] @ B) @ self.theta
            spread = variance[i, i] - gain[:, i] @ X @ variance[i]
            mean = (self.weight * local).sum()
            second = (self.weight * (local - mean) ** 2).sum() + by_point @ spread
            found[name] = mean, np.sqrt(second)
        for name, value in (("between_sd", self.tau), ("within_sd", self.sigma)):
            mean = by_point @ value
            found[name] = mean, np.sqrt(by_point @ (value - mean) ** 2)
        return found


CASES = [
    *((kind, between, False) for kind in PRIORS for between in (0.0, 1.0)),
    *((kind, 0.5, True) for kind in ("default", "student_t")),
]


@pytest.mark.parametrize(("kind", "between", "strata"), CASES)
def test_brute_force_gives_the_same(kind, between, strata):
    rows = make_rows(between)
    exp = make_experiment(rows, PRIORS[kind], strata)
    exact = bc.bayes.exact_posterior(exp)
    brute = Brute(exp, rows)
    assert exact.log_evidence == pytest.approx(brute.log_evidence, rel=1e-8)
    found = brute.moments()
    assert set(found) == set(exact.parameters)
    for name, (mean, sd) in found.items():
        assert abs(exact.mean[name] - mean) < 1e-6 * sd, name
        assert exact.sd[name] == pytest.approx(sd, rel=1e-6), name


def test_known_variances_and_flat_priors_give_generalised_least_squares():
    rows = make_rows(0.5, clusters=12)
    tau, sigma = 0.6, 0.9
    flat = bc.Prior(distribution="normal", mu=0, sigma=1e6, unit="outcome")
    known = {"distribution": "lognormal", "log_sd": 1e-7, "unit": "outcome"}
    names = ("intercept_mean", "direct", "spillover", "covariate")
    priors = dict.fromkeys(names, flat)
    priors |= {"between_sd": bc.Prior(median=tau, **known)}
    priors |= {"within_sd": bc.Prior(median=sigma, **known)}
    exact = bc.bayes.exact_posterior(make_experiment(rows, priors, size_effects=False))
    X = np.column_stack(
        [np.ones(len(rows)), rows["treated"], rows["dose"], rows["age"] - rows["age"].mean()]
    )
    same = np.equal.outer(rows["cluster"].to_numpy(), rows["cluster"].to_numpy())
    inverse = np.linalg.inv(tau**2 * same + sigma**2 * np.eye(len(rows)))
    cov = np.linalg.inv(X.T @ inverse @ X)
    mean = cov @ X.T @ inverse @ rows["y"].to_numpy()
    for i, name in enumerate(("intercept_mean", "direct", "spillover", "age")):
        assert exact.mean[name] == pytest.approx(mean[i], abs=1e-6 * cov[i, i] ** 0.5)
        assert exact.sd[name] == pytest.approx(cov[i, i] ** 0.5, rel=1e-6)
    assert exact.mean["between_sd"] == pytest.approx(tau, rel=1e-6)


def test_many_clusters_give_restricted_maximum_likelihood():
    """500 clusters: means within 2% of a posterior SD of REML and GLS (an error of order 1 / J)."""
    statsmodels = pytest.importorskip("statsmodels.formula.api")
    scenario = bc.simulate.Scenario(n_clusters=500, cluster_size=8, size_cv=0.5, icc=0.3)
    rows = scenario.simulate(seed=1)
    homogeneous = bc.spec.HeterogeneitySpec(size_effects=False)
    spec = scenario.spec.model_copy(update={"heterogeneity": homogeneous})
    exact = bc.bayes.exact_posterior(bc.Experiment(rows, spec))
    peer = statsmodels.mixedlm("outcome ~ treated + exposed", rows, groups=rows["cluster"]).fit()
    for ours, theirs in (("direct", "treated"), ("spillover", "exposed")):
        assert abs(exact.mean[ours] - peer.params[theirs]) < 0.02 * exact.sd[ours]
        assert exact.sd[ours] == pytest.approx(peer.bse[theirs], rel=0.02)
    assert (
        abs(exact.mean["between_sd"] - peer.cov_re.iloc[0, 0] ** 0.5) < 0.1 * exact.sd["between_sd"]
    )
    assert abs(exact.mean["within_sd"] - peer.scale**0.5) < 0.1 * exact.sd["within_sd"]


@pytest.mark.parametrize("kind", ["default", "exponential", "two student_t"])
def test_units_of_the_outcome_order_of_rows_and_labels_do_not_matter(kind):
    rows = make_rows(0.5)
    exact = bc.bayes.exact_posterior(make_experiment(rows, PRIORS[kind]))
    moved = rows.sample(frac=1, random_state=1).assign(
        y=rows["y"] * 1000, cluster=rows["cluster"].map(lambda c: f"w{(5 * c) % 6}")
    )
    other = bc.bayes.exact_posterior(make_experiment(moved, PRIORS[kind]))
    assert other.log_evidence == pytest.approx(
        exact.log_evidence - len(rows) * np.log(1000), abs=1e-8
    )
    for name in exact.parameters:
        assert other.mean[name] == pytest.approx(1000 * exact.mean[name], rel=1e-8), name
        assert other.sd[name] == pytest.approx(1000 * exact.sd[name], rel=1e-8), name
        limits = (posterior.quantile([0.025, 0.975])[name] for posterior in (other, exact))
        assert next(limits) == pytest.approx(1000 * next(limits), rel=1e-7), name


@pytest.mark.parametrize("kind", ["default", "lognormal", "two student_t", "tight student_t"])
@pytest.mark.parametrize("between", [0.0, 1.0])
def test_draws_agree_with_moments_and_quantiles(kind, between):
    """20,000 independent draws, within 4 Monte Carlo errors; those of a SD by the kurtosis."""
    n, probs = 20_000, np.array([0.025, 0.25, 0.5, 0.75, 0.975])
    exact = bc.bayes.exact_posterior(make_experiment(make_rows(between), PRIORS[kind], strata=True))
    drawn = exact.draw(n, np.random.default_rng(7))
    effects = drawn.pop("stratum_effect")
    assert np.abs(effects.sum(axis=1)).max() < 1e-12
    drawn |= {f"stratum_effect[{level}]": effects[:, i] for i, level in enumerate("abc")}
    assert set(drawn) == set(exact.parameters)
    for name, values in drawn.items():
        z = (values - exact.mean[name]) / exact.sd[name]
        assert abs(z.mean()) < 4 / n**0.5, name
        assert abs((z**2).mean() - 1) < 4 * (z**2).std() / n**0.5, name
        below = (values[:, None] < exact.quantile(probs)[name]).mean(axis=0)
        assert (abs(below - probs) < 4 * np.sqrt(probs * (1 - probs) / n)).all(), name
        lagged = (z[1:] * z[:-1]).mean()
        assert abs(lagged) < 4 * (z**2).mean() / n**0.5, name


@pytest.mark.parametrize("kind", ["default", "lognormal", "half_cauchy"])
def test_marginals_are_consistent(kind):
    exact = bc.bayes.exact_posterior(make_experiment(make_rows(0.0), PRIORS[kind]))
    probs = np.array([1e-4, 0.025, 0.5, 0.9, 0.9999])
    for name in exact.parameters:
        marginal = exact.marginal(name)
        at = marginal.quantile(probs)
        assert (np.diff(at) > 0).all()
        assert marginal.cdf(at) == pytest.approx(probs, abs=1e-9)
        grid = at[1] + (at[3] - at[1]) * panels(0, 1, 20)[0]
        mass = marginal.pdf(grid) @ panels(0, 1, 20)[1] * (at[3] - at[1])
        assert mass == pytest.approx(0.875, abs=1e-6), name
    assert exact.marginal("between_sd").cdf(0.0) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="no parameter 'icc'; there are intercept_mean"):
        exact.marginal("icc")


@pytest.mark.parametrize("kind", PRIORS)
def test_bayes_theorem_holds_at_a_point(kind):
    """log p(y | theta) + log p(theta) - log p(theta | y) is the log-evidence, at any theta.

    The posterior density of the standard deviations is that of the grid's nodes, that of the
    locations their Gaussian conditional times, for Student's t, what their marginal leaves.
    """
    exp = make_experiment(make_rows(0.5), PRIORS[kind])
    exact, data, priors = (
        bc.bayes.exact_posterior(exp),
        gaussian_statistics(exp),
        resolved_priors(exp),
    )
    grid, names = exact.grid, exact.conditional.names
    for i, j in zip(*(np.argwhere(grid.weight > 1e-4)[::150].T), strict=True):
        between, within = np.exp(grid.log_tau[i]), np.exp(grid.offset[j] + exact.conditional.log_sd)
        cell = grid.step[0] * grid.step[1]
        u_slope = between * (1 + np.exp(-grid.u[i]))
        log_posterior = np.log(grid.weight[i, j] / (cell * u_slope * within))
        local = exact.nodes.between_sd == between
        local &= exact.nodes.within_offset == grid.offset[j]
        weight = exact.nodes.weight[local] / exact.nodes.weight[local].sum()
        center = exact.conditional.reference[:, None] + exact.nodes.mean[:, local]
        point = center @ weight
        log_posterior += np.log(
            sum(
                w * stats.multivariate_normal(c, v).pdf(point)
                for w, c, v in zip(weight, center.T, exact.nodes.cov[..., local].T, strict=True)
            )
        )
        at = dict(zip(names, point, strict=True)) | {"between_sd": between, "within_sd": within}
        log_prior = sum(priors[name].to_scipy().logpdf(value) for name, value in at.items())
        log_likelihood = data.log_likelihood(
            np.array([at["intercept_mean"]]),
            np.array([at[name] for name in data.names]),
            np.array(between),
            np.array(within),
        ).sum()
        # A finite mixture has Student's t posteriors' moments to 1e-8, their density less so.
        tolerance = 1e-9 if "student" not in kind else 2e-4
        found = log_likelihood + log_prior - log_posterior
        assert found == pytest.approx(exact.log_evidence, abs=tolerance)


def test_nuts_gives_the_same():
    """Mean, SD and both limits of every parameter within 4 Monte Carlo errors of 16,000 draws.

    benchmarks/exact.py runs more cases. Three strata, a covariate, both kinds of location prior.
    """
    priors = {"direct": T3, "between_sd": bc.Prior(distribution="half_cauchy", sigma=0.5)}
    exp = make_experiment(make_rows(0.3, clusters=9), priors, strata=True)
    exact, ours = bc.bayes.exact_posterior(exp), bc.fit_exact(exp, draws=40_000, seed=3)
    theirs = bc.fit(exp, draws=4_000, tune=2_000, chains=4, seed=4, progressbar=False)
    for name, values in theirs["posterior"].data_vars.items():
        values = values.to_numpy().reshape(4, 4_000, -1)
        for i in range(values.shape[-1]):
            one = values[..., i]
            label = f"stratum_effect[{'abc'[i]}]" if name == "stratum_effect" else name
            if name == "intercept":
                drawn = ours["posterior"]["intercept"].to_numpy()[..., i]
                mean, sd = drawn.mean(), drawn.std()
                limits = np.quantile(drawn, [0.025, 0.975])
            else:
                drawn = None
                mean, sd = exact.mean[label], exact.sd[label]
                limits = exact.quantile([0.025, 0.975])[label]
            figures = {"mean": (one.mean(), mean), "sd": (one.std(), sd)}
            for prob, limit in zip((0.025, 0.975), limits, strict=True):
                figures[prob] = (np.quantile(one, prob), limit)
            for what, (nuts, integral) in figures.items():
                error = monte_carlo_error(one, what)
                own = 0 if drawn is None else monte_carlo_error(drawn, what)
                assert abs(nuts - integral) < 4 * np.hypot(error, own), (label, i, what)


def monte_carlo_error(draws, what):
    if isinstance(what, float):
        return float(az.mcse(draws, method="quantile", prob=what))
    return float(az.mcse(draws, method=what))


def test_the_tree_is_that_of_fit(tutorial_experiment, tutorial_analysis):
    exact = bc.fit_exact(tutorial_experiment, draws=500, seed=5)
    sampled = tutorial_analysis.posterior
    assert set(exact.children) == set(sampled.children)
    for group in exact.children:
        ours, theirs = exact[group], sampled[group]
        if group != "sample_stats":
            assert set(ours.data_vars) == set(theirs.data_vars), group
        for name in set(ours.data_vars) & set(theirs.data_vars):
            assert ours[name].dims == theirs[name].dims, (group, name)
        labels = [g["cluster"].to_numpy() for g in (ours, theirs) if "cluster" in g.coords]
        assert len(labels) != 2 or np.array_equal(*labels)
    assert exact["posterior"]["intercept"].shape == (4, 125, 50)
    assert sampled.attrs["data_fingerprint"] == exact.attrs["data_fingerprint"]
    assert exact.attrs["seed"] == 5
    moments = json.loads(exact.attrs["exact_moments"])
    posterior = bc.bayes.exact_posterior(tutorial_experiment)
    assert moments["direct"] == {"mean": posterior.mean["direct"], "sd": posterior.sd["direct"]}
    assert exact.attrs["log_evidence"] == posterior.log_evidence
    again, other = (bc.fit_exact(tutorial_experiment, 500, seed) for seed in (5, 6))
    for group, name in (("posterior", "intercept"), ("posterior_predictive", "cluster_mean")):
        assert np.array_equal(again[group][name], exact[group][name])
        assert not np.array_equal(other[group][name], exact[group][name])


def test_arviz_reads_the_tree(tutorial_experiment):
    tree = bc.fit_exact(tutorial_experiment, draws=1_000)
    table = bc.bayes.convergence(tree).set_index("parameter")
    assert table.attrs["n_divergences"] == 0
    # Independent draws: an effective sample size of about their number, R-hat of about 1.
    assert table["ess_bulk"].between(750, 1_300).all()
    assert table["r_hat"].max() < 1.01
    loo = az.loo(tree, var_name="outcome")
    assert loo.n_data_points == 50


def test_tables():
    exact = bc.bayes.exact_posterior(make_experiment(make_rows(), strata=True))
    table = exact.to_dataframe().set_index("parameter")
    assert tuple(table.index) == exact.parameters
    assert (table["ci_lower"] < table["mean"]).all()
    assert (table["mean"] < table["ci_upper"]).all()
    assert (table["ci_prob"] == 0.95).all()
    assert "stratum_effect[b]" in str(exact)
    scenario = bc.simulate.Scenario(n_clusters=10, cluster_size=50)
    moments = [scenario.simulate_moments(seed) for seed in range(5)]
    direct = np.linspace(0, 0.4, 5)
    study = bc.bayes.exact_posteriors(
        moments, scenario.spec, truth={"direct": direct, "spillover": 0}
    )
    assert len(study) == 25
    assert study["cdf"].notna().sum() == 10
    exp = bc.Experiment.from_moments(moments[3], scenario.spec)
    row = study.query("experiment == 3 and parameter == 'direct'").iloc[0]
    one = bc.bayes.exact_posterior(exp)
    assert row["mean"] == one.mean["direct"]
    assert row["log_evidence"] == one.log_evidence
    assert row["cdf"] == one.marginal("direct").cdf(direct[3])
    plain = bc.bayes.exact_posteriors([exp] * 2)
    assert list(plain.columns) == [
        *("experiment", "parameter", "mean", "sd", "ci_lower", "ci_upper", "ci_prob"),
        "log_evidence",
    ]
    with pytest.raises(ValueError, match="need a specification"):
        bc.bayes.exact_posteriors(moments)


def test_processes_give_the_same_table():
    scenario = bc.simulate.Scenario(n_clusters=10, cluster_size=50)
    moments = [scenario.simulate_moments(seed) for seed in range(20)]
    alone, spread = (bc.bayes.exact_posteriors(moments, scenario.spec, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(alone, spread)


def test_ranks_are_uniform_when_the_truth_is_drawn_from_the_prior():
    """Calibration with 300 experiments of 8 clusters: Kolmogorov-Smirnov, p above 0.001."""
    rng = np.random.default_rng(11)
    unit = {"unit": "outcome"}
    priors = {
        "intercept_mean": bc.Prior(distribution="normal", mu=0, sigma=1, **unit),
        "direct": bc.Prior(distribution="normal", mu=0, sigma=1, **unit),
        "between_sd": bc.Prior(distribution="half_normal", sigma=0.5, **unit),
        "within_sd": bc.Prior(distribution="lognormal", median=1, log_sd=0.3, **unit),
    }
    spec = bc.ModelSpec(
        design={"cluster": "cluster", "treatment": "treated"},
        outcome={"column": "outcome"},
        heterogeneity={"size_effects": False},
        priors=priors,
    )
    truth = {name: prior.draw(rng, (300,)) for name, prior in priors.items()}
    cluster = np.repeat(np.arange(8), np.arange(3, 11))
    treated = (cluster % 2).astype(float)
    experiments = []
    for mean, direct, between, within in zip(*truth.values(), strict=True):
        y = mean + direct * treated + rng.normal(0, between, 8)[cluster]
        y += rng.normal(0, within, len(cluster))
        experiments.append(bc.ClusterMoments.from_arrays(y, treated[:, None], cluster, ["direct"]))
    study = bc.bayes.exact_posteriors(experiments, spec, truth=truth)
    for name, rows in study.groupby("parameter"):
        assert stats.kstest(rows["cdf"], "uniform").pvalue > 0.001, name


def test_priors_density_and_draws_are_those_of_scipy():
    rng, x = np.random.default_rng(1), np.array([1e-3, 0.4, 2.0, 30.0])
    given = {
        "half_normal": {"sigma": 0.7},
        "half_cauchy": {"sigma": 0.7},
        "exponential": {"mean": 0.7},
        "lognormal": {"median": 0.7, "log_sd": 1.2},
        "normal": {"mu": 0.4, "sigma": 0.7},
        "student_t": {"nu": 3, "mu": 0.4, "sigma": 0.7},
    }
    for distribution, parameters in given.items():
        prior = bc.Prior(distribution=distribution, **parameters)
        peer = prior.to_scipy()
        drawn = prior.draw(rng, (4_000,))
        assert stats.kstest(drawn, peer.cdf).pvalue > 0.001, distribution
        if "mu" not in parameters:
            assert prior.log_density(x) == pytest.approx(peer.logpdf(x), rel=1e-12)
        else:
            with pytest.raises(ValueError, match="cannot be the prior of a standard deviation"):
                prior.log_density(x)


def test_a_mode_far_from_the_priors_is_found():
    """Scales that differ by eleven orders of magnitude, and a prior that the data contradict."""
    for median in (1e-6, 1e5):
        prior = bc.Prior(distribution="lognormal", median=median, log_sd=0.5)
        exact = bc.bayes.exact_posterior(make_experiment(make_rows(0.5), {"between_sd": prior}))
        assert 0 < exact.mean["between_sd"] < np.inf
        mass = exact.grid.weight
        assert max(mass[[0, -1]].sum(), mass[:, [0, -1]].sum()) < 1e-9
    small = exact.quantile(0.5)["between_sd"]
    assert small > 1  # pulled up by the prior


def test_too_many_student_priors_are_refused():
    covariates = tuple(f"x{i}" for i in range(9))
    rng = np.random.default_rng(3)
    rows = make_rows(0.5, clusters=20).assign(
        **{name: rng.normal(size=len(make_rows(0.5, clusters=20))) for name in covariates}
    )
    exp = make_experiment(rows, {"covariate": T3}, covariates=covariates)
    with pytest.raises(bc.errors.FitError, match="9 student_t priors together take too many nodes"):
        bc.bayes.exact_posterior(exp)
    with pytest.raises(ValueError, match="draws must be at least 4"):
        bc.fit_exact(exp, draws=3)


def test_a_new_process_imports_no_sampler():
    heavy = ("pymc", "pytensor", "nutpie", "arviz", "arviz_stats", "scipy.stats", "matplotlib")
    code = f"""
import sys, bayescluster as bc
exp = bc.Experiment(bc.load_tutorial(2_000), bc.tutorial_spec())
bc.fit_exact(exp), bc.bayes.exact_posteriors([exp])
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
