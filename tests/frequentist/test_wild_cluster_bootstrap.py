"""The wild cluster bootstrap: brute force over rows, another program, and the inverted interval."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayescluster as bc

NAMES = ["direct", "x"]


def rows(seed, groups=7, n=70, strata=False):
    rng = np.random.default_rng(seed)
    cluster = np.r_[np.arange(groups), np.arange(groups), rng.integers(0, groups, n - 2 * groups)]
    X = np.column_stack([cluster % 2, rng.normal(0, 1, n) + 0.3 * cluster])
    y = 1 + X @ [0.6, 0.4] + rng.normal(0, 0.5, groups)[cluster] + rng.normal(0, 1, n)
    return y, X, cluster, (cluster // 4 if strata else np.zeros(n, int))


def brute_force(y, X, cluster, block, null, *, impose_null, jackknife, weights=None):
    """Refit all sign patterns on rows; return the observed t of `direct` and the bootstrap's."""
    levels = np.unique(block)
    D = np.column_stack([X, *(block == level for level in levels)]).astype(float)
    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    D, y = D * root[:, None], y * root
    groups, n, p = np.unique(cluster), len(y), D.shape[1]
    M = np.linalg.inv(D.T @ D)

    def cr1(residual):
        scores = np.array([D[cluster == g].T @ residual[cluster == g] for g in groups])
        factor = len(groups) / (len(groups) - 1) * (n - 1) / (n - p)
        return np.sqrt(factor * (M @ scores.T @ scores @ M)[0, 0])

    def fit(at):
        if not impose_null:
            return np.linalg.lstsq(D[at], y[at], rcond=None)[0]
        rest = np.linalg.lstsq(D[at][:, 1:], y[at] - null * D[at][:, 0], rcond=None)[0]
        return np.r_[null, rest]

    b = M @ D.T @ y
    observed = (b[0] - null) / cr1(y - D @ b)
    everything = np.ones(n, bool)
    base = fit(everything)
    residual = np.empty(n)
    for g in groups:
        at = cluster == g
        residual[at] = y[at] - D[at] @ (fit(~at) if jackknife else base)
    center = null if impose_null else b[0]
    statistics = []
    for signs in itertools.product([1, -1], repeat=len(groups)):
        v = np.array(signs)[np.searchsorted(groups, cluster)]
        star = D @ base + v * residual
        bs = M @ D.T @ star
        statistics.append((bs[0] - center) / cr1(star - D @ bs))
    return observed, np.array(statistics)


@pytest.mark.parametrize("impose_null", [True, False])
@pytest.mark.parametrize("scores", ["classic", "jackknife"])
@pytest.mark.parametrize("kind", ["plain", "strata", "weights"])
def test_equals_refitting_every_sign_pattern(impose_null, scores, kind):
    y, X, cluster, block = rows(3, strata=kind == "strata")
    weights = np.random.default_rng(0).uniform(0.3, 2, len(y)) if kind == "weights" else None
    m = bc.ClusterMoments.from_arrays(
        y, X, cluster, NAMES, strata=block if kind == "strata" else None, weights=weights
    )
    for null in (0.0, 0.4, 1.5):
        t, stars = brute_force(
            y,
            X,
            cluster,
            block,
            null,
            impose_null=impose_null,
            jackknife=scores == "jackknife",
            weights=weights,
        )
        run = {"null": null, "draws": 999, "impose_null": impose_null, "scores": scores}
        ours = bc.wild_bootstrap(m, "direct", **run)
        assert ours.enumerated
        assert ours.draws == 2**7
        share = np.mean(np.abs(stars) >= abs(t) * (1 - 1e-9))
        assert ours.p_value == pytest.approx(share, abs=1e-12)
        equal = bc.wild_bootstrap(m, "direct", tail="equal", **run)
        up, down = np.mean(stars >= t - 1e-9), np.mean(stars <= t + 1e-9)
        assert equal.p_value == pytest.approx(min(1, 2 * min(up, down)), abs=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("impose_null", [True, False])
@pytest.mark.parametrize("variant", ["11", "31"])
def test_equals_wildboottest(impose_null, variant):
    """By enumeration; wildboottest counts strictly larger draws, so ours has the ties on top."""
    wildboottest = pytest.importorskip("wildboottest.wildboottest")
    y, X, cluster, _ = rows(5)
    D = np.column_stack([X, np.ones(len(y))])
    boot = wildboottest.WildboottestCL(
        X=D, Y=y, cluster=cluster, bootcluster=cluster, R=np.array([1.0, 0, 0]), B=9_999, seed=1
    )
    boot.get_scores(bootstrap_type=variant, impose_null=impose_null)
    boot.get_weights(weights_type="rademacher")
    for step in ("get_numer", "get_denom", "get_tboot", "get_vcov", "get_tstat"):
        getattr(boot, step)()
    strict = np.abs(boot.t_boot) > abs(boot.t_stat) * (1 + 1e-9)
    ties = np.abs(np.abs(boot.t_boot) / abs(boot.t_stat) - 1) < 1e-9
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    ours = bc.wild_bootstrap(
        m,
        "direct",
        impose_null=impose_null,
        scores="classic" if variant == "11" else "jackknife",
    )
    assert ours.draws == len(boot.t_boot)
    assert ours.p_value == pytest.approx((strict | ties).mean(), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tail=st.sampled_from(["symmetric", "equal"]),
    scores=st.sampled_from(["classic", "jackknife"]),
    weights=st.sampled_from(["rademacher", "webb", "mammen"]),
)
def test_the_interval_inverts_the_test(seed, tail, scores, weights):
    """Just inside an end p exceeds alpha, just outside it does not, to the resolution of draws."""
    y, X, cluster, _ = rows(seed, groups=12, n=120)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    run = {"draws": 999, "seed": seed, "tail": tail, "scores": scores, "weights": weights}
    low, high = bc.wild_bootstrap(m, "direct", **run).ci
    fit = bc.wild_bootstrap(m, "direct", **run)
    for end, outward in ((low, -1), (high, 1)):
        if np.isfinite(end):
            step = 1e-7 * fit.std_error * outward
            inside = bc.wild_bootstrap(m, "direct", null=end - step, **run).p_value
            outside = bc.wild_bootstrap(m, "direct", null=end + step, **run).p_value
            assert outside <= 0.05 < inside
            assert inside - outside < 0.05


def test_unbounded_intervals_are_said_so():
    """With five clusters no null value can have a p-value below 2 / 2^5 = 0.0625."""
    y, X, cluster, _ = rows(1, groups=5, n=40)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    assert bc.wild_bootstrap(m, "direct").ci == (-np.inf, np.inf)
    assert np.isfinite(bc.wild_bootstrap(m, "direct", ci_prob=0.5).ci).all()


def test_blocks_and_seeds(monkeypatch):
    from bayescluster.frequentist import wild_cluster_bootstrap as wild

    y, X, cluster, _ = rows(2, groups=15, n=150)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    one, two = (bc.wild_bootstrap(m, "direct", draws=2_000, seed=s) for s in (1, 2))
    assert one.p_value != two.p_value
    # Two runs of 2,000 draws each: a binomial error.
    error = np.sqrt(2 * one.p_value * (1 - one.p_value) / 2_000)
    assert abs(one.p_value - two.p_value) < 4 * error
    monkeypatch.setattr(wild, "MAX_DENSE_CLUSTERS", 0)
    assert bc.wild_bootstrap(m, "direct", draws=2_000, seed=1).ci == pytest.approx(one.ci)
    monkeypatch.setattr(wild, "BLOCK_ELEMENTS", 4 * 15 * 2_000)
    assert bc.wild_bootstrap(m, "direct", draws=2_000, seed=1).ci == pytest.approx(one.ci)
    assert one.to_dataframe()["method"].iloc[0] == "wild cluster bootstrap (WCR, rademacher)"


def test_the_tutorials_interval(tutorial_experiment):
    result = bc.wild_bootstrap(tutorial_experiment.moments(), "direct", draws=99_999, seed=0)
    assert 0.55 < result.ci[0] < 0.63
    assert 0.83 < result.ci[1] < 0.90
    assert result.p_value < 0.001
    contrast = bc.wild_bootstrap(
        tutorial_experiment.moments(), {"direct": 1, "spillover": -1}, draws=999
    )
    assert contrast.term == "1 direct + -1 spillover"


def test_bad_arguments_are_refused():
    y, X, cluster, _ = rows(2)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    with pytest.raises(ValueError, match="weights must be one of rademacher, webb, mammen"):
        bc.wild_bootstrap(m, "direct", weights="normal")
    with pytest.raises(ValueError, match=r"no term \['z'\]"):
        bc.wild_bootstrap(m, "z")
    with pytest.raises(ValueError, match="draws must be at least 1"):
        bc.wild_bootstrap(m, "direct", draws=0)
    for null in (np.nan, -np.inf):
        with pytest.raises(ValueError, match=f"null must be a finite number; given {null}"):
            bc.wild_bootstrap(m, "direct", null=null)
    for weights in ({}, {"direct": 0.0}, {"direct": np.nan, "x": 1}):
        with pytest.raises(ValueError, match="needs finite weights, at least one of them not zero"):
            bc.wild_bootstrap(m, weights)


def test_it_is_a_table():
    y, X, cluster, _ = rows(2)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    assert isinstance(bc.wild_bootstrap(m, "x").to_dataframe(), pd.DataFrame)


def one_treated(groups=6, treated=(0,)):
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(groups), 10)
    t = np.isin(cluster, treated).astype(float)
    y = rng.normal(size=groups)[cluster] + rng.normal(size=len(cluster))
    return y, np.column_stack([t, rng.normal(size=len(cluster))]), cluster


@pytest.mark.parametrize("options", [{}, {"impose_null": False}, {"scores": "jackknife"}])
def test_two_clusters_have_no_standard_error(options):
    y, X, cluster = one_treated(2)
    m = bc.ClusterMoments.from_arrays(y, X[:, :1], cluster, ["direct"])
    with pytest.raises(
        bc.errors.DesignError, match="standard error of 'direct' vanishes: in each of 2"
    ):
        bc.wild_bootstrap(m, "direct", **options)


@pytest.mark.parametrize("scores", ["classic", "jackknife"])
@pytest.mark.parametrize("treated", [(0,), (0, 1, 2, 3, 4)])
def test_one_cluster_in_an_arm_is_warned_of_and_computed_right(scores, treated):
    """The fit under the null needs no cluster in particular, so that jackknifing it is defined."""
    y, X, cluster = one_treated(treated=treated)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    with pytest.warns(UserWarning, match="the cluster-robust standard error of .*'direct' is too"):
        ours = bc.wild_bootstrap(m, "direct", null=0.3, scores=scores)
    t, stars = brute_force(
        y, X, cluster, np.zeros(60), 0.3, impose_null=True, jackknife=scores == "jackknife"
    )
    share = np.mean(np.abs(stars) >= abs(t) * (1 - 1e-9))
    assert ours.p_value == pytest.approx(share, abs=1e-12)


def test_jackknifed_scores_that_are_not_defined_are_refused():
    y, X, cluster = one_treated()
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    with (
        pytest.warns(UserWarning, match="single cluster"),
        pytest.raises(bc.errors.DesignError, match="the fit without cluster 0 does not identify"),
    ):
        bc.wild_bootstrap(m, "direct", scores="jackknife", impose_null=False)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    groups=st.integers(3, 6),
    scores=st.sampled_from(["classic", "jackknife"]),
    impose_null=st.booleans(),
    tail=st.sampled_from(["symmetric", "equal"]),
)
def test_no_enumerated_p_value_is_zero(seed, groups, scores, impose_null, tail):
    """A treatment effect of 1,000 SDs: WCU and jackknifed scores have no draw as extreme."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(2 * groups), 4)
    t = (cluster % 2).astype(float)
    y = 1_000 * t + rng.normal(size=len(cluster))
    m = bc.ClusterMoments.from_arrays(y, t[:, None], cluster, ["direct"])
    options = {"draws": 2**12, "scores": scores, "impose_null": impose_null, "tail": tail}
    result = bc.wild_bootstrap(m, "direct", **options)
    assert result.enumerated
    assert result.p_value >= 0.5 ** (2 * groups)
    assert result.smallest_p_value >= 0.5 ** (2 * groups)


def test_many_strata_by_sparse_sums(monkeypatch):
    from bayescluster.frequentist import wild_cluster_bootstrap as wild

    y, X, cluster, block = rows(2, groups=16, n=150, strata=True)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES, strata=block)
    dense = bc.wild_bootstrap(m, "direct", draws=999)
    monkeypatch.setattr(wild, "MAX_DENSE_CLUSTERS", 0)
    assert bc.wild_bootstrap(m, "direct", draws=999).ci == pytest.approx(dense.ci, rel=1e-12)
