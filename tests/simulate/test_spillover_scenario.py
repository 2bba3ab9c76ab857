"""The general generator: rows and moments have the stated truth and agree with each other."""

import numpy as np
import pytest

import bayescluster as bc
from bayescluster.simulate.spillover_scenario import Scenario


def test_moments_have_the_distribution_of_compressed_rows():
    """Means over 300 and 60 experiments agree to within 4 Monte Carlo errors."""
    scenario = Scenario(
        n_clusters=8, cluster_size=30, size_cv=0.5, direct=0.4, spillover=0.3, icc=0.2
    )

    def figures(m):
        fit = bc.ols(m, "CR1")
        within = m.within_cross
        spread = m.mean[:, -1].std()
        return [*fit.estimate, within[-1, -1] / m.n_units, within[1, 2], spread, m.n_units]

    compress = lambda d: bc.Experiment(d, scenario.spec).moments()  # noqa: E731
    a = np.array([figures(scenario.simulate_moments(seed)) for seed in range(300)])
    b = np.array([figures(compress(scenario.simulate(seed))) for seed in range(60)])
    error = np.sqrt(a.var(axis=0) / 300 + b.var(axis=0) / 60)
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4 * error).all()
    truth = [0.0, 0.4, 0.3]
    assert (np.abs(a[:, :3].mean(axis=0) - truth) < 4 * a[:, :3].std(axis=0) / np.sqrt(300)).all()


@pytest.mark.parametrize("family", ["gaussian", "lognormal", "bernoulli", "poisson"])
def test_families_and_their_truth(family):
    """Cluster log-means (logits) of pure controls spread by between_sd; 300 clusters, big ones."""
    scenario = Scenario(
        n_clusters=300,
        cluster_size=2_000,
        direct=0.5,
        spillover=0,
        icc=0.1,
        intercept=0.3,
        family=family,
    )
    rows = scenario.simulate(seed=2)
    pure = rows[(rows["treated"] == 0) & (rows["exposed"] == 0)]
    value = np.log(pure["outcome"]) if family == "lognormal" else pure["outcome"]
    means = value.groupby(pure["cluster"]).mean().to_numpy()
    link = {
        "bernoulli": lambda: np.log(means / (1 - means)),
        "poisson": lambda: np.log(means),
    }.get(family, lambda: means)()
    # The SD of 150 clusters has a Monte Carlo error of 5.8%; sampling noise adds under 2%.
    assert link.std() == pytest.approx(scenario.between_sd, rel=4 * 0.06)
    assert link.mean() == pytest.approx(0.3, abs=4 * scenario.between_sd / np.sqrt(150))
    m = scenario.simulate_moments(seed=2)
    assert (m.n_clusters, m.n_units) == (300, 600_000)
    assert m.sd[-1] == pytest.approx(rows["outcome"].std(), rel=1e-10) or family == "gaussian"


def test_scenario_shapes():
    rows = Scenario(n_clusters=7, cluster_size=40, size_cv=1.0, treated_share=0.3).simulate(seed=1)
    assert rows.groupby("cluster")["treated"].first().sum() == 2
    assert (rows.loc[rows["treated"] == 1, "exposed"] == 0).all()
    assert rows.groupby("cluster").size().std() > 10
    assert not rows["unit"].duplicated().any()
    no_spillover = Scenario(exposed_share=0)
    assert no_spillover.spec.design.spillover is None
    assert no_spillover.simulate_moments().names == ("direct",)
    same = Scenario().simulate_moments(5), Scenario().simulate_moments(5)
    assert np.array_equal(same[0].mean, same[1].mean)


@pytest.mark.parametrize(
    "bad",
    [{"n_clusters": 1}, {"icc": 1.0}, {"family": "gamma"}, {"outcome_sd": 0}, {"treated_share": 1}],
)
def test_impossible_scenarios_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Scenario(**bad)
