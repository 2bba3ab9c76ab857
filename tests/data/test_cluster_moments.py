"""Moments: exact against rational arithmetic, a commutative monoid, blind to order and labels."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayescluster as bc

NAMES = ["direct", "x"]


def make_rows(seed, n=60, clusters=6, offset=0.0):
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, clusters, n)
    X = np.column_stack([cluster % 2, rng.normal(3, 2, n)])
    return offset + rng.normal(0, 1, n) + X @ [1, 0.5], X, cluster


def assert_same(a, b, rtol=1e-12):
    assert a.clusters.tolist() == b.clusters.tolist()
    assert np.array_equal(a.n, b.n)
    scale = np.where(a.sd > 0, a.sd, 1.0)
    assert np.abs(((a.mean - b.mean) + (a.origin - b.origin)) / scale).max() < rtol
    cross = np.abs(a.cross - b.cross) / np.multiply.outer(scale, scale) / a.n[:, None, None]
    assert cross.max() < rtol


def exact_moments(rows):
    """Mean and cross-products of one cluster in rational arithmetic."""
    rows = [[Fraction(float(v)) for v in row] for row in rows]
    n, k = len(rows), len(rows[0])
    mean = [sum(row[i] for row in rows) / n for i in range(k)]
    cross = [
        [sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in rows) for j in range(k)]
        for i in range(k)
    ]
    return mean, np.array(cross, dtype=float)


@pytest.mark.parametrize("offset", [0.0, 1e12])
def test_moments_equal_rational_arithmetic(offset):
    y, X, cluster = make_rows(0, offset=offset)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    values = np.column_stack([X, y])
    for j, label in enumerate(m.clusters):
        mean, cross = exact_moments(values[cluster == label])
        origin = [Fraction(float(v)) for v in m.origin]
        deviation = [float(a - b) for a, b in zip(mean, origin, strict=True)]
        assert m.mean[j] == pytest.approx(deviation, rel=1e-12, abs=1e-13)
        assert m.cross[j] == pytest.approx(cross, rel=1e-12, abs=1e-12)


def test_a_large_offset_costs_no_digit_that_float64_holds():
    """Estimates from y + 1e12 equal those from the same rounded numbers with 1e12 taken off."""
    y, X, cluster = make_rows(1)
    shifted = y + 1e12
    held = shifted - 1e12  # exact: what float64 still holds of y
    a = bc.ols(bc.ClusterMoments.from_arrays(shifted, X, cluster, NAMES))
    b = bc.ols(bc.ClusterMoments.from_arrays(held, X, cluster, NAMES))
    assert a.estimate[1:] == pytest.approx(b.estimate[1:], rel=1e-11)
    assert a.std_error[1:] == pytest.approx(b.std_error[1:], rel=1e-11)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    parts=st.lists(st.integers(0, 3), min_size=40, max_size=40),
    offset=st.sampled_from([0.0, 1e6]),
)
def test_any_split_merges_to_the_whole(seed, parts, offset):
    y, X, cluster = make_rows(seed, n=40, offset=offset)
    whole = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    total = bc.ClusterMoments.empty(NAMES)
    for part in np.unique(parts):
        at = np.array(parts) == part
        total += bc.ClusterMoments.from_arrays(y[at], X[at], cluster[at], NAMES)
    assert_same(whole, total)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.tuples(st.integers(1, 19), st.integers(20, 39)))
def test_addition_is_associative_and_commutative(seed, cuts):
    y, X, cluster = make_rows(seed, n=40)
    parts = [slice(0, cuts[0]), slice(cuts[0], cuts[1]), slice(cuts[1], 40)]
    a, b, c = (bc.ClusterMoments.from_arrays(y[p], X[p], cluster[p], NAMES) for p in parts)
    assert_same((a + b) + c, a + (b + c))
    assert_same(a + b, b + a)
    assert_same(a + bc.ClusterMoments.empty(NAMES), a)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(40)))
def test_row_order_and_labels_do_not_matter(seed, order):
    y, X, cluster = make_rows(seed, n=40)
    order = list(order)
    a = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    b = bc.ClusterMoments.from_arrays(y[order], X[order], cluster[order], NAMES)
    assert_same(a, b)
    relabelled = np.array([f"w{9 - c}" for c in cluster])
    c = bc.ClusterMoments.from_arrays(y, X, relabelled, NAMES)
    for vcov in ("iid", "CR0", "CR1"):
        x, z = bc.ols(a, vcov), bc.ols(c, vcov)
        assert x.estimate == pytest.approx(z.estimate, rel=1e-10)
        assert x.std_error == pytest.approx(z.std_error, rel=1e-9)


def test_strata_survive_merging_and_indicators_are_columns():
    y, X, cluster = make_rows(3)
    strata = np.array(["a", "b", "c"])[cluster % 3]
    whole = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES, strata=strata)
    halves = [
        bc.ClusterMoments.from_arrays(y[p], X[p], cluster[p], NAMES, strata=strata[p])
        for p in (slice(0, 30), slice(30, 60))
    ]
    assert (halves[0] + halves[1]).strata.tolist() == whole.strata.tolist()
    assert whole.stratum_levels.tolist() == ["a", "b", "c"]
    assert whole.stratum_code.tolist() == [0, 1, 2, 0, 1, 2]


def test_weights_are_repetitions():
    y, X, cluster = make_rows(5)
    times = np.random.default_rng(0).integers(1, 4, len(y))
    weighted = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES, weights=times)
    at = np.repeat(np.arange(len(y)), times)
    repeated = bc.ClusterMoments.from_arrays(y[at], X[at], cluster[at], NAMES)
    assert weighted.n_units == 60
    assert np.array_equal(weighted.n, repeated.n)
    assert bc.ols(weighted, "CR0").cov == pytest.approx(bc.ols(repeated, "CR0").cov, rel=1e-9)
    halves = [
        bc.ClusterMoments.from_arrays(y[p], X[p], cluster[p], NAMES, weights=times[p])
        for p in (slice(0, 30), slice(30, 60))
    ]
    assert sum(halves).n_units == 60
    assert_same(weighted, sum(halves))
    with pytest.raises(bc.errors.DataError, match="not positive and finite in 1 of 60 rows"):
        bc.ClusterMoments.from_arrays(y, X, cluster, NAMES, weights=np.r_[0, times[1:]])


def test_large_integer_labels_of_different_types_stay_apart():
    base = 2**53
    y, X = np.arange(8.0), np.arange(8.0)[:, None] % 3
    signed = base + np.arange(4, dtype=np.int64).repeat(2)
    parts = [
        bc.ClusterMoments.from_arrays(y[p], X[p], labels, ["x"])
        for p, labels in ((slice(0, 4), signed[:4]), (slice(4, 8), signed[4:].astype(np.uint64)))
    ]
    total = parts[0] + parts[1]
    assert total.clusters.tolist() == [base, base + 1, base + 2, base + 3]
    assert total.n.tolist() == [2, 2, 2, 2]
    as_bool = bc.ClusterMoments.from_arrays(y, X, np.arange(8) % 2 == 0, ["x"])
    with pytest.raises(bc.errors.DataError, match="cannot be matched"):
        total + as_bool


def test_the_fingerprint_tells_data_apart():
    y, X, cluster = make_rows(7)
    make = bc.ClusterMoments.from_arrays
    prints = {
        make(y, X, cluster, NAMES).fingerprint,
        make(y, X * [1, -1], cluster, NAMES).fingerprint,
        make(-y, X, cluster, NAMES).fingerprint,
        make(y, X, cluster, NAMES, strata=cluster % 2).fingerprint,
        make(y, X, cluster, NAMES, strata=cluster % 3).fingerprint,
        make(y, X, cluster + 1, NAMES).fingerprint,
    }
    assert len(prints) == 6
    order = np.random.default_rng(0).permutation(60)
    again = make(y[order], X[order], cluster[order], NAMES)
    assert again.fingerprint in prints


def test_bad_rows_are_refused_with_counts():
    y, X, cluster = make_rows(4)
    make = bc.ClusterMoments.from_arrays
    with pytest.raises(
        bc.errors.MissingValueError, match=r"'outcome' is NaN or infinite in 2 of 60 rows"
    ):
        make(np.r_[np.nan, np.inf, y[2:]], X, cluster, NAMES)
    with pytest.raises(bc.errors.MissingValueError, match="cluster label is null in 1 of 60"):
        make(y, X, np.r_[np.nan, cluster[1:]], NAMES)
    with pytest.raises(bc.errors.DataError, match="no rows"):
        make([], np.empty((0, 2)), [], NAMES)
    with pytest.raises(bc.errors.DataError, match="shapes disagree"):
        make(y[1:], X, cluster, NAMES)
    with pytest.raises(bc.errors.DataError, match="names repeat"):
        make(y, X, cluster, ["x", "x"])
    with pytest.raises(bc.errors.DataError, match="mix the types int, str"):
        make(y[:2], X[:2], np.array([1, "a"], dtype=object), NAMES)
    one = make(y, X, cluster, NAMES)
    with pytest.raises(bc.errors.DataError, match="variables differ"):
        one + make(y, X, cluster, ["direct", "z"])
    with pytest.raises(bc.errors.DataError, match="cannot be matched"):
        one + make(y, X, cluster.astype(str), NAMES)
    with pytest.raises(bc.errors.DataError, match="with strata cannot be added"):
        one + make(y, X, cluster, NAMES, strata=np.zeros(60))
    with pytest.raises(bc.errors.DataError, match="lie in more than one stratum"):
        make(y, X, cluster, NAMES, strata=np.arange(60))
    with pytest.raises(bc.errors.DataError, match="lies in strata 0 and 1"):
        make(y, X, cluster, NAMES, strata=np.zeros(60, int)) + make(
            y, X, cluster, NAMES, strata=np.ones(60, int)
        )
    with pytest.raises(bc.errors.DataError, match="no regressor 'z'"):
        one.column("z")


def test_table_and_text_show_clusters():
    y, X, cluster = make_rows(6)
    m = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    table = m.to_dataframe()
    assert table["n"].sum() == m.n_units == 60
    assert table.loc[0, "outcome"] == pytest.approx(y[cluster == 0].mean())
    assert "6 clusters, 60 units" in repr(m)
    assert "<table" in m._repr_html_()
