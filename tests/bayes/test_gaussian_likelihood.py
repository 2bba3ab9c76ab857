"""The compressed likelihood, against the multivariate normal density of all rows."""

import numpy as np
import pandas as pd
import pytest
from rows import unconstrained
from scipy import stats

import bayescluster as bc
from bayescluster.bayes.gaussian.gaussian_likelihood import GaussianStatistics
from bayescluster.bayes.model_inputs import gaussian_statistics, resolved_priors

POINTS = 12


def make_rows(seed, strata=False):
    """Unequal clusters, two covariates (one constant within clusters), a dose as spillover."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(9), rng.integers(1, 12, 9))
    treated = (cluster % 2).astype(float)
    frame = pd.DataFrame(
        {
            "cluster": cluster,
            "treated": treated,
            "dose": np.where(treated == 0, rng.uniform(0, 1, len(cluster)).round(2), 0.0),
            "age": rng.normal(40, 10, len(cluster)),
            "size": rng.normal(0, 1, 9)[cluster],
            "block": np.array(["a", "b", "c"])[cluster // 3],
        }
    )
    noise = rng.normal(0, 0.7, len(cluster)) + rng.normal(0, 0.5, 9)[cluster]
    frame["y"] = 100 + treated + 0.4 * frame["dose"] + 0.05 * frame["age"] + noise
    spec = bc.ModelSpec(
        design={
            "cluster": "cluster",
            "treatment": "treated",
            "spillover": "dose",
            **({"strata": "block"} if strata else {}),
        },
        outcome={"column": "y", "covariates": ["age", "size"]},
        heterogeneity={"size_effects": False},  # see test_size_effects
    )
    return frame, bc.Experiment(frame, spec)


def design_matrix(frame, strata):
    """Regressors of every row in the model's order, covariates centred at their mean."""
    columns = [frame["treated"], frame["dose"]]
    columns += [frame[name] - frame[name].mean() for name in ("age", "size")]
    columns += [frame["block"] == level for level in "abc"] if strata else []
    return np.column_stack(columns).astype(float)


def zero_sum(effects):
    """Make the stratum effects, after the first four, sum to zero."""
    return np.r_[effects[:4], effects[4:] - (effects[4:].mean() if len(effects) > 4 else 0)]


def random_points(seed, p):
    rng = np.random.default_rng(seed)
    return [
        {
            "mean": rng.normal(100, 1),
            "effects": zero_sum(rng.normal(0, 1, p)),
            "between_sd": rng.uniform(0.01, 2),
            "within_sd": rng.uniform(0.2, 2),
        }
        for _ in range(POINTS)
    ]


def level(point, exp):
    """Mean of each cluster's intercept: the overall one plus the effect of the stratum."""
    strata = point["effects"][4:]
    return point["mean"] + (strata[exp.moments().stratum_code] if len(strata) else np.zeros(1))


def dense_log_density(frame, X, point):
    """Log-density of all rows: one multivariate normal, cluster intercepts integrated out."""
    same = frame["cluster"].to_numpy()[:, None] == frame["cluster"].to_numpy()
    cov = point["within_sd"] ** 2 * np.eye(len(frame)) + point["between_sd"] ** 2 * same
    mean = point["mean"] + X @ point["effects"]
    return stats.multivariate_normal(mean, cov).logpdf(frame["y"])


@pytest.mark.parametrize("strata", [False, True])
def test_log_likelihood_per_cluster_sums_to_the_rows(strata):
    frame, exp = make_rows(1, strata)
    X, data = design_matrix(frame, strata), gaussian_statistics(exp)
    for point in random_points(2, X.shape[1]):
        ours = data.log_likelihood(
            level(point, exp),
            point["effects"][:4],
            np.array(point["between_sd"]),
            np.array(point["within_sd"]),
        )
        assert ours.shape == (9,)
        assert ours.sum() == pytest.approx(dense_log_density(frame, X, point), abs=1e-8)
        one = frame["cluster"] == 3
        assert ours[3] == pytest.approx(dense_log_density(frame[one], X[one], point), abs=1e-8)


@pytest.mark.parametrize("strata", [False, True])
def test_the_pymc_model_equals_the_rows(strata):
    """Three nodes plus the constant Jacobian equal the density of all rows, priors apart."""
    frame, exp = make_rows(3, strata)
    X, data, model = design_matrix(frame, strata), gaussian_statistics(exp), bc.build_model(exp)
    observed = [model["cluster_mean"], model["within_score"], model["within_ss"]]
    log_density = model.compile_fn(model.logp(vars=observed, sum=True), inputs=model.value_vars)
    for point in random_points(4, X.shape[1]):
        b = point["effects"]
        values = dict(zip(["direct", "spillover", "age", "size"], b[:4], strict=True))
        values |= {name: point[name] for name in ("between_sd", "within_sd")}
        values |= {"intercept_mean": point["mean"]}
        values |= {"stratum_effect": b[4:]} if strata else {}
        ours = float(log_density(unconstrained(model, values))) + data.log_jacobian
        assert ours == pytest.approx(dense_log_density(frame, X, point), abs=1e-8)


def test_priors_of_the_model_are_the_declared_ones():
    _, exp = make_rows(5, strata=True)
    model, priors = bc.build_model(exp), resolved_priors(exp)
    point = {
        "intercept_mean": 101.0,
        "direct": 0.3,
        "spillover": -0.2,
        "age": 0.01,
        "size": 0.5,
        "between_sd": 0.6,
        "within_sd": 0.8,
    }
    strata = np.array([0.4, -0.9, 0.5])
    free = model.compile_fn(
        model.logp(vars=model.free_RVs, jacobian=False, sum=True), inputs=model.value_vars
    )
    expected = sum(priors[name].to_scipy().logpdf(value) for name, value in point.items())
    sigma = priors["stratum_effect"].parameters["sigma"]
    # A zero-sum normal of three is a normal in two dimensions.
    expected += -(strata @ strata) / (2 * sigma**2) - 2 * np.log(sigma * np.sqrt(2 * np.pi))
    ours = free(unconstrained(model, point | {"stratum_effect": strata}))
    assert float(ours) == pytest.approx(expected, abs=1e-8)


def test_intercepts_follow_their_exact_conditional():
    """Against the conditional of a multivariate normal over (intercepts, rows)."""
    frame, exp = make_rows(6)
    X, data = design_matrix(frame, strata=False), gaussian_statistics(exp)
    for point in random_points(7, 4)[:4]:
        ours = data.intercept_conditional(
            np.array([point["mean"]]),
            point["effects"],
            np.array(point["between_sd"]),
            np.array(point["within_sd"]),
        )
        Z = (frame["cluster"].to_numpy()[:, None] == np.arange(9)).astype(float)
        tau2, sigma2 = point["between_sd"] ** 2, point["within_sd"] ** 2
        precision = Z.T @ Z / sigma2 + np.eye(9) / tau2
        residual = frame["y"].to_numpy() - X @ point["effects"]
        cov = np.linalg.inv(precision)
        mean = cov @ (Z.T @ residual / sigma2 + point["mean"] / tau2)
        assert ours[0] == pytest.approx(mean, rel=1e-10)
        assert ours[1] == pytest.approx(np.sqrt(np.diag(cov)), rel=1e-10)


def test_published_maximum_likelihood():
    """Dyestuff (MixedModels.jl's tests): deviance 327.32706 at the maximum; 6 batches of 5."""
    batches = [
        [1545, 1440, 1440, 1520, 1580],
        [1540, 1555, 1490, 1560, 1495],
        [1595, 1550, 1605, 1510, 1560],
        [1445, 1440, 1595, 1465, 1545],
        [1595, 1630, 1515, 1635, 1625],
        [1520, 1455, 1450, 1480, 1445],
    ]
    y, cluster = np.ravel(batches).astype(float), np.repeat(np.arange(6), 5)
    # A regressor whose effect is held at zero leaves the model Yield ~ 1 + (1 | Batch).
    m = bc.ClusterMoments.from_arrays(y, (cluster % 2)[:, None], cluster, ["direct"])
    data = GaussianStatistics.of(m, {})

    def deviance(mean, tau, sigma):
        point = np.array([mean]), np.zeros(1), np.array(tau), np.array(sigma)
        return -2 * data.log_likelihood(*point).sum()

    best = deviance(1527.5, 37.26034, 49.5101)
    assert best == pytest.approx(327.32706, abs=1e-4)
    for step in ((1, 0, 0), (0, 0.5, 0), (0, 0, 0.5)):
        for sign in (-1, 1):
            mean, tau, sigma = np.array([1527.5, 37.26034, 49.5101]) + sign * np.array(step)
            assert deviance(mean, tau, sigma) > best


def test_an_outcome_that_never_varies_within_clusters_is_refused():
    cluster = np.repeat(np.arange(6), 4)
    m = bc.ClusterMoments.from_arrays(cluster * 1.0, (cluster % 2)[:, None], cluster, ["direct"])
    with pytest.raises(bc.errors.FitError, match="no variation left within clusters"):
        GaussianStatistics.of(m, {})
