"""Both averages against a doubly robust estimator written by hand, over simulated experiments.

The estimator is that of R's MRStdCRT (Li, Tong, Kahan et al.): with a working model of cluster
means m_a(size) in each arm and the known probability of treatment, average over clusters, with
weight one or the cluster's size,
m_1 - m_0 + T (Y - m_1) / p - (1 - T) (Y - m_0) / (1 - p).
"""

import numpy as np
import pytest

import bayescluster as bc
from bayescluster.answers.estimands import coefficient_weights
from bayescluster.frequentist import average_effects

EXPERIMENTS, CLUSTERS = 200, 60
#: Priors of the size terms that say nothing: the default ones shrink a change of -0.3 per unit.
WIDE = {"distribution": "normal", "mu": 0, "sigma": 10}
SPEC = bc.ModelSpec(
    design={"cluster": "team", "treatment": "treated"},
    outcome={"column": "y"},
    priors={"log_size": WIDE, "direct_by_log_size": WIDE},
)


def simulate(seed):
    """Effects linear in log size; returns sizes, arms and cluster means, and the experiment."""
    rng = np.random.default_rng(seed)
    n = np.maximum(5, np.round(40 * np.exp(rng.normal(-0.3, 0.8, CLUSTERS))))
    treated = rng.permutation(np.arange(CLUSTERS) % 2).astype(float)
    g = np.log(n) - np.log(40)
    effect = 0.5 - 0.3 * g
    mean = 0.2 * g + treated * effect + rng.normal(0, np.sqrt(0.3**2 + 1 / n))
    cross = np.zeros((CLUSTERS, 2, 2))
    cross[:, 1, 1] = rng.chisquare(n - 1)
    moments = bc.ClusterMoments(
        clusters=np.arange(CLUSTERS),
        n=n,
        mean=np.column_stack([treated, mean]),
        cross=cross,
        origin=np.zeros(2),
        names=("direct",),
        outcome="y",
    )
    truth = {"user": np.average(effect, weights=n), "cluster": effect.mean()}
    return n, treated, mean, truth, bc.Experiment.from_moments(moments, SPEC)


def doubly_robust(n, treated, mean, weights):
    x = np.column_stack([np.ones(len(n)), np.log(n)])
    fitted = []
    for arm in (1, 0):
        rows = treated == arm
        root = np.sqrt(weights[rows])[:, None]
        slope = np.linalg.lstsq(x[rows] * root, mean[rows] * root[:, 0])[0]
        fitted.append(x @ slope)
    m1, m0 = fitted
    parts = m1 - m0 + treated * (mean - m1) / 0.5 - (1 - treated) * (mean - m0) / 0.5
    return np.average(parts, weights=weights)


@pytest.fixture(scope="module")
def estimates():
    rows = {(which, average): [] for which in ("ours", "ols", "robust", "truth")
            for average in ("user", "cluster")}  # fmt: skip
    for seed in range(EXPERIMENTS):
        n, treated, mean, truth, exp = simulate(seed)
        exact = bc.bayes.exact_posterior(exp)
        for average in ("user", "cluster"):
            weights = n if average == "user" else np.ones(CLUSTERS)
            combined = exact.combination(coefficient_weights(exp, "direct", average))
            found = average_effects(exp, average).to_dataframe().set_index("term")
            rows["ours", average].append(combined.mean)
            rows["ols", average].append(found.loc["direct", "estimate"])
            rows["robust", average].append(doubly_robust(n, treated, mean, weights))
            rows["truth", average].append(truth[average])
    return {key: np.array(values) for key, values in rows.items()}


@pytest.mark.parametrize("average", ["user", "cluster"])
@pytest.mark.parametrize("which", ["ours", "ols"])
def test_it_agrees_within_monte_carlo_error(estimates, which, average):
    """Mean difference within 3 Monte Carlo errors, and 15% of an SD for biases of order 1 / J."""
    gap = estimates[which, average] - estimates["robust", average]
    error = gap.std(ddof=1) / np.sqrt(EXPERIMENTS)
    spread = estimates["robust", average].std(ddof=1)
    assert abs(gap.mean()) < 3 * error + 0.15 * spread
    assert np.corrcoef(estimates[which, average], estimates["robust", average])[0, 1] > 0.7


@pytest.mark.parametrize("average", ["user", "cluster"])
def test_all_of_them_find_the_truth(estimates, average):
    for which in ("ours", "ols", "robust"):
        error = estimates[which, average] - estimates["truth", average]
        bound = 3 * error.std(ddof=1) / np.sqrt(EXPERIMENTS)
        assert abs(error.mean()) < bound + 0.02
