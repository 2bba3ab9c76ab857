"""Leverage, leave-one-out and the effective number of clusters, against refits and definitions."""

import numpy as np
import pytest

import bayescluster as bc
from bayescluster.frequentist.cluster_influence import residual_icc
from bayescluster.frequentist.normal_equations import Regression


def with_age(units, spec):
    outcome = spec.outcome.model_copy(update={"covariates": ("age",)})
    return bc.Experiment(units, spec.model_copy(update={"outcome": outcome}))


def test_leave_one_out_equals_refitting(units, spec):
    exp = with_age(units, spec)
    table = bc.frequentist.influence(exp, "spillover").set_index("cluster")
    for label in table.index:
        rest = with_age(units[units["workspace"] != label], spec)
        expected = bc.two_exposure(rest).to_dataframe().set_index("term")
        found = table.loc[label, "estimate_without"]
        assert found == pytest.approx(expected.loc["spillover", "estimate"], rel=1e-9)
    change = np.abs(table["estimate_without"] - bc.two_exposure(exp).estimate[2])
    assert (np.diff(change) <= 0).all()


def test_leverage_by_dense_matrices(units, spec):
    exp = with_age(units, spec)
    table = bc.frequentist.influence(exp).set_index("cluster")
    D = np.column_stack([np.ones(40), units[["treated", "exposed", "age"]]])
    H = D @ np.linalg.inv(D.T @ D) @ D.T
    rest = D[:, [0, 2, 3]]
    residual = D[:, 1] - rest @ np.linalg.lstsq(rest, D[:, 1], rcond=None)[0]
    for label in table.index:
        at = (units["workspace"] == label).to_numpy()
        assert table.loc[label, "leverage"] == pytest.approx(np.trace(H[np.ix_(at, at)]), rel=1e-9)
        partial = (residual[at] ** 2).sum() / (residual**2).sum()
        assert table.loc[label, "partial_leverage"] == pytest.approx(partial, rel=1e-9)
    assert table["leverage"].sum() == pytest.approx(4)
    assert table["partial_leverage"].sum() == pytest.approx(1)
    assert table["share"].sum() == pytest.approx(1)


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_effective_clusters_by_dense_matrices(units, spec, rho):
    exp = with_age(units, spec)
    D = np.column_stack([np.ones(40), units[["treated", "exposed", "age"]]])
    M = np.linalg.inv(D.T @ D)
    gamma = []
    for label in units["workspace"].unique():
        X = D[units["workspace"] == label]
        omega = (1 - rho) * np.eye(len(X)) + rho
        gamma.append((M @ X.T @ omega @ X @ M)[1, 1])
    gamma = np.array(gamma)
    expected = len(gamma) / (1 + ((gamma / gamma.mean() - 1) ** 2).mean())
    assert bc.frequentist.effective_clusters(exp, "direct", rho) == pytest.approx(
        expected, rel=1e-9
    )


def test_equal_clusters_count_in_full_and_one_giant_does_not():
    equal = bc.simulate.Scenario(n_clusters=20, cluster_size=50, exposed_share=0)
    exp = bc.Experiment.from_moments(equal.simulate_moments(), equal.spec)
    assert bc.frequentist.effective_clusters(exp, rho=1.0) == pytest.approx(20, rel=1e-6)
    m = exp.moments()
    size = np.where(np.arange(20) == 0, 20.0, 1.0)
    y = np.random.default_rng(0).normal(size=1_950)
    cluster = np.repeat(np.arange(20), (50 * size).astype(int))
    giant = bc.ClusterMoments.from_arrays(
        y, exp.treated[cluster][:, None], cluster, ["direct"], outcome="outcome"
    )
    assert (
        bc.frequentist.effective_clusters(bc.Experiment.from_moments(giant, equal.spec), rho=1.0)
        < 4
    )
    assert m.n_clusters == 20
    with pytest.raises(ValueError, match="rho must lie in"):
        bc.frequentist.effective_clusters(exp, rho=2)


def test_residual_icc_finds_the_truth():
    """100 experiments with ICC 0.3; the mean's Monte Carlo error is the SD over 10."""
    scenario = bc.simulate.Scenario(n_clusters=40, cluster_size=30, size_cv=0.5, icc=0.3)
    found = [residual_icc(Regression.of(scenario.simulate_moments(s))) for s in range(100)]
    # Residuals of two arms: the between variance loses 2 of 40 degrees of freedom, 1.5 points.
    assert np.mean(found) == pytest.approx(0.3, abs=4 * np.std(found) / 10 + 0.02)
