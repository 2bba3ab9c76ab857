"""CR2, CR3 and their degrees of freedom: published numbers, a dense n x n oracle, identities."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import linalg

import bayescluster as bc

#: Computed independently from per-cluster Gram matrices; CR1 and CR3 agree with pyfixest.
TUTORIAL_CR2 = [0.04167917, 0.06535632, 0.00389807]
TUTORIAL_CR3 = [0.04211417, 0.06603649, 0.00396489]
TUTORIAL_DF = [23.9833809, 46.87179538, 23.94826266]
NAMES = ["direct", "x", "z"]


def rows(seed, clusters=7, n=60, strata=False, dose=False):
    """Unequal clusters, one of them a single row; treatment constant within clusters."""
    rng = np.random.default_rng(seed)
    cluster = np.r_[np.arange(clusters), rng.choice(clusters - 1, n - clusters, p=None)]
    z = rng.uniform(0, 1, n) if dose else rng.normal(0, 1, clusters)[cluster]
    X = np.column_stack([cluster % 2, rng.normal(5, 2, n), z])
    y = X @ [1.0, 0.5, -1] + rng.normal(0, 1, clusters)[cluster] + rng.normal(0, 1, n)
    block = (cluster // 4) if strata else np.zeros(n, int)
    return y, X, cluster, block


def dense(y, X, cluster, block, weights=None):
    """CR2, CR3 covariance and df by n x n matrices, straight from their definitions."""
    levels = np.unique(block)
    D = np.column_stack([block == level for level in levels] + [X]).astype(float)
    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    D, y = D * root[:, None], y * root
    M = np.linalg.inv(D.T @ D)
    b, H = M @ D.T @ y, D @ M @ D.T
    e, n = y - D @ b, len(y)
    p, groups = D.shape[1], np.unique(cluster)
    I = np.eye(n)  # noqa: E741
    meat2, meat3, G = np.zeros((p, p)), np.zeros((p, p)), {}
    for g in groups:
        at = cluster == g
        block_matrix = np.eye(at.sum()) - H[np.ix_(at, at)]
        half = np.real(linalg.sqrtm(linalg.pinvh(block_matrix, atol=1e-9)))
        s = D[at].T @ half @ e[at]
        meat2 += np.outer(s, s)
        rest = np.linalg.lstsq(D[~at], y[~at], rcond=None)[0]
        meat3 += np.outer(rest - b, rest - b)
        G[g] = (I - H)[:, at] @ half @ D[at] @ M
    k = X.shape[1]
    df = []
    for i in range(p - k, p):
        columns = np.column_stack([G[g][:, i] for g in groups])
        form = columns.T @ columns
        df.append(np.trace(form) ** 2 / np.trace(form @ form))
    factor = (len(groups) - 1) / len(groups)
    return (M @ meat2 @ M)[-k:, -k:], factor * meat3[-k:, -k:], np.array(df)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strata", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_dense_matrices(seed, strata, weighted):
    y, X, cluster, block = rows(seed, strata=strata, dose=True)
    weights = np.random.default_rng(seed).uniform(0.2, 3, len(y)) if weighted else None
    m = bc.ClusterMoments.from_arrays(
        y, X, cluster, NAMES, strata=block if strata else None, weights=weights
    )
    cr2, cr3, df = dense(y, X, cluster, block, weights)
    ours = bc.ols(m, "CR2")
    assert ours.cov[-3:, -3:] == pytest.approx(cr2, rel=1e-10, abs=1e-12)
    assert ours.df[-3:] == pytest.approx(df, rel=1e-10)
    assert bc.ols(m, "CR3").cov[-3:, -3:] == pytest.approx(cr3, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("strata", [False, True])
def test_htz_equals_dense_simulation_free_moments(strata):
    """Var of the whitened CR2 estimator by n x n matrices (Isserlis), for two contrasts."""
    y, X, cluster, block = rows(3, clusters=10, n=90, strata=strata, dose=True)
    levels = np.unique(block)
    D = np.column_stack([block == level for level in levels] + [X]).astype(float)
    M = np.linalg.inv(D.T @ D)
    H, n, groups = D @ M @ D.T, len(y), np.unique(cluster)
    C = np.zeros((2, D.shape[1]))
    C[0, -3], C[1, -2], C[1, -1] = 1, 1, -2
    A = []  # A_g maps errors to the two contributions of cluster g
    for g in groups:
        at = cluster == g
        half = np.real(linalg.sqrtm(linalg.pinvh(np.eye(at.sum()) - H[np.ix_(at, at)], atol=1e-9)))
        A.append(C @ M @ D[at].T @ half @ (np.eye(n) - H)[at])
    omega = sum(a @ a.T for a in A)
    whiten = np.linalg.inv(np.linalg.cholesky(omega))
    A = [whiten @ a for a in A]
    total = 0.0
    for s in range(2):
        for t in range(2):
            Q = sum(np.outer(a[s], a[t]) for a in A)
            Q = (Q + Q.T) / 2
            total += 2 * np.trace(Q @ Q)
    eta = 2 * 3 / total
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES, strata=block if strata else None)
    test = bc.frequentist.wald_test(m, ["direct", {"x": 1, "z": -2}])
    assert test.df_htz == pytest.approx(eta - 1, rel=1e-9)
    assert test.f_htz == pytest.approx((eta - 1) / (2 * eta) * test.statistic, rel=1e-12)
    assert test.to_dataframe()["test"].tolist() == ["naive F", "HTZ"]


def test_a_wald_test_of_one_term_is_its_t_test():
    y, X, cluster, _ = rows(5)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    fit, test = bc.ols(m), bc.frequentist.wald_test(m, ["x"])
    at = fit.terms.index("x")
    assert test.f_htz == pytest.approx((fit.estimate / fit.std_error)[at] ** 2, rel=1e-10)
    assert test.df_htz == pytest.approx(fit.df[at], rel=1e-10)
    assert test.p_htz == pytest.approx(fit.p_value[at], rel=1e-9)
    with pytest.raises(ValueError, match="linearly dependent"):
        bc.frequentist.wald_test(m, ["x", {"x": 2}])
    with pytest.raises(ValueError, match=r"no term \['w'\]; there are intercept, direct"):
        bc.frequentist.wald_test(m, ["w"])
    assert np.isnan(bc.frequentist.wald_test(m, ["x", "direct"], "CR1").p_htz)


def test_published_data_free_example():
    """From the tests of the R package dfadjust (Imbens & Kolesar 2016)."""
    y = np.r_[np.cos(np.arange(10)), np.tan(np.arange(1, 11))]
    x = np.r_[np.sin(np.arange(1, 11)), np.sin(np.arange(2, 12))]
    cluster = [2, 1, 3, 2, 2, 3, 3, 1, 1, 2] * 2
    m = bc.ClusterMoments.from_arrays(y, x[:, None], cluster, ["x"])
    assert bc.ols(m, "CR2").std_error == pytest.approx([0.48019719, 0.21567478], rel=1e-7)
    assert bc.ols(m, "CR3").std_error == pytest.approx([0.50018931, 0.27597743], rel=1e-7)
    assert bc.ols(m, "CR2").df == pytest.approx([1.99884718, 1.79737033], rel=1e-8)


def test_published_tutorial(tutorial_experiment):
    fit = bc.two_exposure(tutorial_experiment)
    assert fit.vcov == "CR2"
    assert fit.std_error == pytest.approx(TUTORIAL_CR2, rel=1e-6)
    assert fit.df == pytest.approx(TUTORIAL_DF, rel=1e-8)
    cr3 = bc.two_exposure(tutorial_experiment, "CR3").std_error
    assert cr3 == pytest.approx(TUTORIAL_CR3, rel=1e-6)


def test_clusters_of_one_give_hc2_and_hc3():
    y, X, _, _ = rows(7)
    model = sm.OLS(y, sm.add_constant(X))
    m = bc.ClusterMoments.from_arrays(y, X, np.arange(len(y)), NAMES)
    hc2 = model.fit(cov_type="HC2").cov_params()
    assert bc.ols(m, "CR2").cov == pytest.approx(hc2, rel=1e-9, abs=1e-14)
    # HC3 sums e^2 / (1 - h)^2 outer products; the jackknife's (G - 1) / G is on top.
    factor = (len(y) - 1) / len(y)
    hc3 = model.fit(cov_type="HC3").cov_params() * factor
    assert bc.ols(m, "CR3").cov == pytest.approx(hc3, rel=1e-9, abs=1e-14)


def test_balanced_designs_have_known_df():
    """G equal clusters, half treated: df is G - 2, and the CR2 SE the two-sample one."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(10), 8)
    treated = (cluster < 5).astype(float)
    y = rng.normal(0, 1, 10)[cluster] + rng.normal(0, 1, 80)
    fit = bc.ols(bc.ClusterMoments.from_arrays(y, treated[:, None], cluster, ["direct"]))
    means = np.array([y[cluster == j].mean() for j in range(10)])
    se = np.sqrt(means[:5].var(ddof=1) / 5 + means[5:].var(ddof=1) / 5)
    assert fit.df[1] == pytest.approx(8, rel=1e-10)
    assert fit.std_error[1] == pytest.approx(se, rel=1e-10)


def test_matched_pairs_are_strata_of_two():
    """Differences within pairs: the CR2 SE is the one-sample SE of the pair differences."""
    rng = np.random.default_rng(1)
    pairs, size = 12, 5
    cluster = np.repeat(np.arange(2 * pairs), size)
    pair, treated = cluster // 2, cluster % 2
    y = rng.normal(0, 2, pairs)[pair] + 0.5 * treated + rng.normal(0, 1, len(cluster))
    m = bc.ClusterMoments.from_arrays(y, treated[:, None], cluster, ["direct"], strata=pair)
    fit = bc.ols(m)
    means = np.array([y[cluster == j].mean() for j in range(2 * pairs)]).reshape(pairs, 2)
    difference = means[:, 1] - means[:, 0]
    assert fit.terms == ("direct",)
    assert fit.estimate[0] == pytest.approx(difference.mean(), rel=1e-10)
    # A pair's two clusters have hat-matrix blocks that overlap, so CR2 is not exactly s / sqrt(n)
    # but half the squared differences, each inflated by 1 / (1 - h): here h = 1/2 + 1/(2 pairs).
    h = 0.5 + 0.5 / pairs
    residual = difference - difference.mean()
    expected = np.sqrt((residual**2).sum() / 2 / (1 - h)) / pairs
    assert fit.std_error[0] == pytest.approx(expected, rel=1e-9)


def test_a_regressor_in_one_cluster_is_warned_of():
    y, X, cluster, _ = rows(9)
    X[:, 2] = (cluster == 2) * np.arange(len(y))
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    for vcov in ("CR0", "CR1", "CR2", "CR3"):
        with pytest.warns(UserWarning, match=r"in a single cluster only \(2\), .* error of 'z' is"):
            fit = bc.ols(m, vcov)
        assert np.isfinite(fit.std_error).all()


def test_one_cluster_in_an_arm():
    """Its residuals sum to zero: what is left is the other arm's part of the standard error."""
    y, _, cluster, _ = rows(9)
    for treated, terms in ((2, "'direct'"), ([0, 1, 3, 4, 5, 6], "'intercept', 'direct'")):
        t = np.isin(cluster, treated).astype(float)
        m = bc.ClusterMoments.from_arrays(y, t[:, None], cluster, ["direct"])
        for vcov in ("CR0", "CR1", "CR2", "CR3"):
            message = rf"single cluster only \(2\), .* standard error of {terms} is too small"
            with pytest.warns(UserWarning, match=message):
                fit = bc.ols(m, vcov)
            assert fit.std_error[1] > 0
            # The mean of one cluster has no standard error at all.
            assert np.isnan(fit.std_error[0]) == (treated != 2)
            assert np.isnan(fit.p_value[0]) == (treated != 2)
        assert np.isfinite(bc.ols(m, "iid").std_error).all()


@pytest.mark.parametrize("vcov", ["CR0", "CR1", "CR2", "CR3"])
def test_standard_errors_that_vanish_are_refused(vcov):
    y, _, cluster, _ = rows(9)
    t = (cluster % 2).astype(float)
    two = bc.ClusterMoments.from_arrays(y, t[:, None], t, ["direct"])
    message = r"standard error of 'direct' vanishes: in each of 2 clusters"
    with pytest.raises(bc.errors.DesignError, match=message):
        bc.ols(two, vcov)
    with pytest.raises(bc.errors.DesignError, match="standard error of 1 direct vanishes"):
        bc.frequentist.wald_test(two, ["direct"], vcov)
    with pytest.raises(ValueError, match="at least one linear combination"):
        bc.frequentist.wald_test(two, [], vcov)
    with pytest.raises(ValueError, match="at least one of them not zero"):
        bc.ols(two, "iid", contrasts={"nothing": {}})


def test_contrasts_are_linear_combinations(tutorial_experiment):
    fit = bc.two_exposure(
        tutorial_experiment, contrasts={"direct - spillover": {"direct": 1, "spillover": -1}}
    )
    assert fit.terms[-1] == "direct - spillover"
    assert fit.estimate[3] == pytest.approx(fit.estimate[1] - fit.estimate[2], rel=1e-12)
    variance = fit.cov[1, 1] + fit.cov[2, 2] - 2 * fit.cov[1, 2]
    assert fit.std_error[3] == pytest.approx(np.sqrt(variance), rel=1e-10)
    assert 23 < fit.df[3] < 48


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strata", [False, True])
def test_equals_pyfixest(strata):
    """CR1 has the same factor; pyfixest's CR3 has CR1's, ours the jackknife's (G - 1) / G."""
    feols = pytest.importorskip("pyfixest").feols
    y, X, cluster, block = rows(11, clusters=9, n=120, strata=strata, dose=True)
    data = pd.DataFrame(X, columns=NAMES).assign(y=y, c=cluster, b=block)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES, strata=block if strata else None)
    formula = "y ~ direct + x + z" + (" + C(b)" if strata else "")
    n, p, groups = len(y), 3 + len(np.unique(block)), len(np.unique(cluster))
    theirs = feols(formula, data, vcov={"CRV1": "c"}).se()[NAMES].to_numpy()
    assert bc.ols(m, "CR1").std_error[-3:] == pytest.approx(theirs, rel=1e-8)
    theirs = feols(formula, data, vcov={"CRV3": "c"}).se()[NAMES].to_numpy()
    ours = bc.ols(m, "CR3").std_error[-3:]
    factor = (n - 1) / (n - p) * groups / (groups - 1)
    jackknife = (groups - 1) / groups
    assert ours == pytest.approx(theirs * np.sqrt(jackknife / factor), rel=1e-7)
