"""Integration: against brute force, closed forms, identities, its own draws and NUTS."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayescluster as bc
from bayescluster.bayes.exact import exact_posterior
from bayescluster.bayes.model import gaussian_statistics, resolved_priors

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


def make_experiment(rows, priors=None, strata=False, covariates=("age",)):
    design = {"cluster": "cluster", "treatment": "treated", "spillover": "dose"}
    spec = bc.ModelSpec(
        design=design | ({"strata": "block"} if strata else {}),
        outcome={"column": "y", "covariates": covariates},
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
        priors, names = resolved_priors(exp), ("intercept_mean", *exp.moments().names)
        X = [np.ones(len(rows)), rows["treated"], rows["dose"]]
        X = np.column_stack([*X, *(rows[n] - rows[n].mean() for n in names[3:])]).astype(float)
        given = [priors[n].parameters for n in names]
        self.student = [i for i, n in enumerate(names) if priors[n].distribution == "student_t"]
        variance = np.array([0 if "nu" in p else p["sigma"] ** 2 for p in given])
        center = np.array([0 if "nu" in p else p["mu"] for p in given])
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
        V = (X * variance) @ X.T
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
        self.conditional = center, (X * variance).T @ inverse[held], y, X, B, variance

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
            spread = variance[i] - np.einsum("kj,j->k", gain[:, i], X[:, i]) * variance[i]
            mean = (self.weight * local).sum()
            second = (self.weight * (local - mean) ** 2).sum() + by_point @ spread
            found[name] = mean, np.sqrt(second)
        for name, value in (("between_sd", self.tau), ("within_sd", self.sigma)):
            mean = by_point @ value
            found[name] = mean, np.sqrt(by_point @ (value - mean) ** 2)
        return found


@pytest.mark.parametrize("between", [0.0, 1.0])
@pytest.mark.parametrize("kind", PRIORS)
def test_brute_force_gives_the_same(kind, between):
    rows = make_rows(between)
    exp = make_experiment(rows, PRIORS[kind])
    exact = exact_posterior(exp)
    brute = Brute(exp, rows)
    assert exact.log_evidence == pytest.approx(brute.log_evidence, rel=1e-8)
    for name, (mean, sd) in brute.moments().items():
        assert abs(exact.mean[name] - mean) < 1e-6 * sd, name
        assert exact.sd[name] == pytest.approx(sd, rel=1e-6), name
