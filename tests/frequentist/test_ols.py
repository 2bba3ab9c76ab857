"""Least squares from moments, against identities, statsmodels and a dense implementation."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

import bayescluster as bc

NAMES = ["direct", "x", "z"]


def rows(seed, n=200, clusters=12):
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, clusters, n)
    X = np.column_stack([cluster % 2, rng.normal(100, 3, n), rng.uniform(0, 1e-3, n)])
    baseline = rng.normal(0, 1, clusters)
    y = 50 + baseline[cluster] + X @ [1, 0.2, 300] + rng.normal(0, 1, n)
    return y, X, cluster


def compress(y, X, cluster):
    return bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)


@pytest.mark.parametrize("seed", range(5))
def test_equals_statsmodels(seed):
    y, X, cluster = rows(seed)
    model = sm.OLS(y, sm.add_constant(X))
    groups = {"groups": cluster}
    references = {
        "iid": model.fit(),
        "CR0": model.fit(cov_type="cluster", cov_kwds=groups | {"use_correction": False}),
        "CR1": model.fit(cov_type="cluster", cov_kwds=groups, use_t=True),
    }
    for vcov, reference in references.items():
        ours = bc.ols(compress(y, X, cluster), vcov)
        assert ours.estimate == pytest.approx(reference.params, rel=1e-9)
        assert ours.cov == pytest.approx(reference.cov_params(), rel=1e-8)
    t, ours = references["CR1"], bc.ols(compress(y, X, cluster), "CR1")
    assert ours.ci == pytest.approx(t.conf_int(), rel=1e-9)
    assert ours.p_value == pytest.approx(t.pvalues, rel=1e-7)
    normal = model.fit(cov_type="cluster", cov_kwds=groups)
    ours = bc.ols(compress(y, X, cluster), "CR1", distribution="normal", ci_prob=0.9)
    assert ours.ci == pytest.approx(normal.conf_int(0.1), rel=1e-9)
    assert ours.p_value == pytest.approx(normal.pvalues, rel=1e-7)


def test_clusters_of_one_give_hc0_and_hc1():
    y, X, _ = rows(1)
    model = sm.OLS(y, sm.add_constant(X))
    m = compress(y, X, np.arange(len(y)))
    n, p = len(y), 4
    assert bc.ols(m, "CR0").cov == pytest.approx(model.fit(cov_type="HC0").cov_params(), rel=1e-8)
    factor = n / (n - 1) * (n - 1) / (n - p)
    hc1 = model.fit(cov_type="HC0").cov_params() * factor
    assert bc.ols(m, "CR1").cov == pytest.approx(hc1, rel=1e-8)
    assert bc.ols(m, "CR1").cov == pytest.approx(model.fit(cov_type="HC1").cov_params(), rel=1e-8)


def test_published_cr1():
    """mtcars: mpg on hp by cyl, three clusters; variances as printed by Stata."""
    hp = [110, 110, 93, 110, 175, 105, 245, 62, 95, 123, 123, 180, 180, 180, 205, 215]
    hp += [230, 66, 52, 65, 97, 150, 150, 245, 175, 66, 91, 113, 264, 175, 335, 109]
    mpg = [21, 21, 22.8, 21.4, 18.7, 18.1, 14.3, 24.4, 22.8, 19.2, 17.8, 16.4, 17.3, 15.2, 10.4]
    mpg += [10.4, 14.7, 32.4, 30.4, 33.9, 21.5, 15.5, 15.2, 13.3, 19.2, 27.3, 26, 30.4, 15.8]
    mpg += [19.7, 15, 21.4]
    cyl = [6, 6, 4, 6, 8, 6, 8, 4, 4, 6, 6, 8, 8, 8, 8, 8]
    cyl += [8, 4, 4, 4, 4, 8, 8, 8, 8, 4, 4, 4, 8, 6, 8, 4]
    m = bc.ClusterMoments.from_arrays(mpg, np.array(hp)[:, None], cyl, ["hp"])
    variance = np.diag(bc.ols(m, "CR1").cov)
    assert variance == pytest.approx([14.922475, 0.00034882], rel=2e-5)


def test_published_data_free_example():
    """Imbens & Kolesar's data-free example, from the tests of the R package dfadjust."""
    y = np.r_[np.cos(np.arange(10)), np.tan(np.arange(1, 11))]
    x = np.r_[np.sin(np.arange(1, 11)), np.sin(np.arange(2, 12))]
    cluster = [2, 1, 3, 2, 2, 3, 3, 1, 1, 2] * 2
    fit = bc.ols(bc.ClusterMoments.from_arrays(y, x[:, None], cluster, ["x"]), "CR1")
    assert fit.estimate == pytest.approx([-0.4456202905, 0.324118311], rel=1e-8)
    assert fit.std_error == pytest.approx([0.4827602183, 0.1814501834], rel=1e-8)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    a=st.floats(-1e6, 1e6),
    b=st.sampled_from([1e-6, 0.3, -2.0, 1e7]),
)
def test_units_of_the_outcome_carry_over(seed, a, b):
    y, X, cluster = rows(seed)
    plain, scaled = bc.ols(compress(y, X, cluster)), bc.ols(compress(b * (a + y), X, cluster))
    assert scaled.estimate[1:] == pytest.approx(b * plain.estimate[1:], rel=1e-6)
    assert scaled.std_error == pytest.approx(abs(b) * plain.std_error, rel=1e-6)


def test_cluster_wls_is_least_squares_on_means(units, spec):
    exp = bc.Experiment(units, spec)
    means = units.groupby("workspace").agg(
        y=("minutes", "mean"), t=("treated", "mean"), n=("user", "size")
    )
    reference = sm.WLS(means["y"], sm.add_constant(means["t"]), weights=means["n"]).fit()
    ours = bc.cluster_wls(exp)
    assert ours.estimate == pytest.approx(reference.params.to_numpy(), rel=1e-10)
    assert ours.cov == pytest.approx(reference.cov_params().to_numpy(), rel=1e-9)
    assert ours.ci == pytest.approx(reference.conf_int().to_numpy(), rel=1e-9)


def test_covariates_and_strata_are_adjusted_for(units, spec):
    units["block"] = units["workspace"].map(lambda w: "ab"[int(w[1:]) % 2])
    design = spec.design.model_copy(update={"strata": "block"})
    full = bc.ModelSpec(design=design, outcome={"column": "minutes", "covariates": ["age"]})
    exp = bc.Experiment(units, full)
    X = units[["treated", "exposed", "age"]].assign(b=units["block"] == "b").astype(float)
    model = sm.OLS(units["minutes"], sm.add_constant(X))
    codes = pd.factorize(units["workspace"])[0]
    reference = model.fit(cov_type="cluster", cov_kwds={"groups": codes})
    two = bc.two_exposure(exp, "CR1")
    assert two.terms == ("direct", "spillover", "age")
    assert two.estimate == pytest.approx(reference.params.to_numpy()[1:4], rel=1e-9)
    assert two.std_error == pytest.approx(reference.bse.to_numpy()[1:4], rel=1e-8)
    naive = sm.OLS(units["minutes"], sm.add_constant(X.drop(columns="exposed"))).fit()
    expected = naive.cov_params().to_numpy()[1:3, 1:3]
    assert bc.naive_ols(exp).cov == pytest.approx(expected, rel=1e-8)


def test_unidentified_regressions_are_refused():
    y, X, cluster = rows(2)
    twice = np.column_stack([X[:, 0], X[:, 1], 2 * X[:, 1] + 1])
    with pytest.raises(bc.errors.IdentificationError, match="'x', 'z' are collinear"):
        bc.ols(compress(y, twice, cluster))
    constant = np.column_stack([X[:, :2], np.ones(len(y))])
    with pytest.raises(bc.errors.IdentificationError, match="'z' is constant in all 200 rows"):
        bc.ols(compress(y, constant, cluster))
    with pytest.raises(bc.errors.DesignError, match="200 units in 1 clusters are too few"):
        bc.ols(compress(y, X, np.zeros(len(y))))
    with pytest.raises(bc.errors.DesignError, match="4 units"):
        bc.ols(compress(y[:4], np.eye(4, 3), np.arange(4)), "iid")
    with pytest.raises(ValueError, match="vcov must be one of iid, CR0, CR1, CR2, CR3"):
        bc.ols(compress(y, X, cluster), "HC3")
    with pytest.raises(ValueError, match="distribution must be one of t, normal"):
        bc.ols(compress(y, X, cluster), distribution="z")
    with pytest.raises(ValueError, match="ci_prob"):
        bc.ols(compress(y, X, cluster), ci_prob=95)


def test_the_table_has_the_promised_columns(units, spec):
    columns = ["method", "term", "estimate", "std_error", "df"]
    columns += ["ci_lower", "ci_upper", "ci_prob", "p_value"]
    exp = bc.Experiment(units, spec)
    for result in (
        bc.naive_ols(exp),
        bc.cluster_wls(exp),
        bc.two_exposure(exp),
        bc.cluster_bootstrap(exp, 50),
    ):
        assert result.to_dataframe().columns.tolist() == columns
