"""Counts of cells: a monoid, whatever the rows' order and source, that hold the moments."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayescluster as bc

FAMILIES = ("bernoulli", "poisson", "negative_binomial", "student_t")


def make_rows(seed, rows=60):
    """Few patterns, so that cells hold several units, and outcomes that do not divide evenly."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, 5, rows)
    X = np.column_stack([cluster % 2, rng.integers(0, 3, rows) / 7])
    y = rng.integers(-2, 4, rows) / 49
    return y, X, cluster


def count(y, X, cluster, by_value=False):
    return bc.CellCounts.from_arrays(y, X, cluster, ["direct", "dose"], by_value=by_value)


def assert_same(a, b):
    """All counts exactly, sums to rounding."""
    for name in ("clusters", "cluster", "x", "n", "value_cluster", "value", "value_count"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.total == pytest.approx(b.total, abs=1e-12)
    assert (a.names, a.by_value) == (b.names, b.by_value)


splits = st.lists(st.integers(0, 3), min_size=60, max_size=60)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), parts=splits, by_value=st.booleans())
def test_any_split_merges_to_the_whole(seed, parts, by_value):
    y, X, cluster = make_rows(seed)
    parts = np.array(parts)
    pieces = [
        count(y[parts == i], X[parts == i], cluster[parts == i], by_value) for i in set(parts)
    ]
    merged = pieces[0]
    for piece in pieces[1:]:
        merged = merged + piece
    assert_same(merged, count(y, X, cluster, by_value))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), by_value=st.booleans())
def test_addition_is_associative_and_commutative(seed, by_value):
    y, X, cluster = make_rows(seed)
    a, b, c = (count(y[i::3], X[i::3], cluster[i::3], by_value) for i in range(3))
    assert_same((a + b) + c, a + (b + c))
    assert_same(a + b, b + a)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(60)), by_value=st.booleans())
def test_row_order_does_not_matter(seed, order, by_value):
    y, X, cluster = make_rows(seed)
    order = np.array(order)
    assert_same(count(y, X, cluster, by_value), count(y[order], X[order], cluster[order], by_value))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), by_value=st.booleans(), offset=st.sampled_from([0.0, 1e4, -1e6]))
def test_counts_hold_the_moments(seed, by_value, offset):
    y, X, cluster = make_rows(seed)
    y = np.round(y * 49) + offset
    ours = count(y, X, cluster, by_value).to_moments()
    theirs = bc.ClusterMoments.from_arrays(y, X, cluster, ["direct", "dose"])
    assert np.array_equal(ours.clusters, theirs.clusters)
    assert np.array_equal(ours.n, theirs.n)
    assert ours.mean + ours.origin == pytest.approx(theirs.mean + theirs.origin, rel=1e-12)
    assert ours.cross == pytest.approx(theirs.cross, rel=1e-12, abs=1e-12 * max(1, abs(offset)))


@pytest.mark.parametrize("by_value", [False, True])
def test_units_and_values_are_counted_by_hand(by_value):
    y = [2.0, 2.0, 5.0, 1.0]
    cells = count(y, [[0, 0.5], [0, 0.5], [0, 0.5], [1, -0.0]], ["a", "a", "a", "b"], by_value)
    assert cells.n.tolist() == ([2, 1, 1] if by_value else [3, 1])
    assert cells.total.tolist() == ([4, 5, 1] if by_value else [9, 1])
    assert (cells.value_cluster.tolist(), cells.value.tolist()) == ([0, 0, 1], [2, 5, 1])
    assert cells.value_count.tolist() == [2, 1, 1]
    assert (cells.n_units, cells.n_clusters, cells.n_cells) == (4, 2, 3 if by_value else 2)
    assert cells.to_dataframe()["cluster"].tolist() == ["a"] * (2 if by_value else 1) + ["b"]
    assert "4 units" in repr(cells)


def test_negative_zero_is_zero():
    y, X, cluster = make_rows(1)
    signed = np.where(X == 0, -0.0, X)
    assert_same(count(y, X, cluster), count(y, signed, cluster))


SPECS = {
    family: bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated", "spillover": "dose", "strata": "pair"},
        outcome={"column": "y", "family": family, "covariates": ["age", "plan"]},
    )
    for family in FAMILIES
}


def make_table(family, seed=2):
    synthetic = bc.simulate.SyntheticExperiment(
        SPECS[family],
        n_clusters=8,
        cluster_size=30,
        dose=True,
        categories={"plan": ("free", "pro", "team")},
    )
    return synthetic.simulate(seed).round({"age": 0, "y": 1})


def expected_cells(frame, family, plans=None):
    """Count by pandas alone; the most frequent plan is the reference."""
    plans = (frame["plan"] if plans is None else plans).value_counts().index[1:]
    columns = {"direct": frame["treated"], "spillover": frame["dose"], "age": frame["age"]}
    columns |= {f"plan[{level}]": frame["plan"] == level for level in plans}
    return bc.CellCounts.from_arrays(
        frame["y"],
        pd.DataFrame(columns).astype(float),
        frame["team"],
        list(columns),
        outcome="y",
        strata=frame["pair"],
        by_value=family == "student_t",
    )


@pytest.mark.parametrize("source", ["pandas", "polars", "arrow", "parquet", "csv"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_source_gives_the_cells_of_its_rows(family, source, tmp_path):
    frame = make_table(family)
    table = pl.from_pandas(frame)
    data = {"pandas": frame, "polars": table, "arrow": table.to_arrow()}.get(source)
    if source in ("parquet", "csv"):
        data = tmp_path / f"units.{source}"
        getattr(table, f"write_{source}")(data)
    exp = bc.Experiment(data, SPECS[family])
    expected = expected_cells(frame, family)
    assert_same(exp.cells(), expected)
    assert exp.cells().names == exp.moments().names
    assert np.array_equal(exp.cells().strata, expected.strata)
    ours, theirs = exp.moments(), exp.cells().to_moments()
    assert ours.mean + ours.origin == pytest.approx(theirs.mean + theirs.origin, abs=1e-12)
    assert ours.cross == pytest.approx(theirs.cross, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("family", FAMILIES)
def test_cells_alone_make_the_same_experiment(family):
    exp = bc.Experiment(make_table(family), SPECS[family])
    again = bc.Experiment.from_cells(exp.cells(), SPECS[family])
    assert again.cells() is exp.cells()
    assert np.array_equal(again.treated, exp.treated)
    assert again.covariates == exp.covariates
    assert (again.n_units, again.has_units) == (exp.n_units, False)
    from bayescluster.bayes.model_inputs import resolved_priors

    ours, theirs = resolved_priors(again), resolved_priors(exp)
    for name, prior in theirs.items():
        for key, value in prior.parameters.items():
            assert ours[name].parameters[key] == pytest.approx(value, rel=1e-10, abs=1e-10)


def test_dropped_rows_are_not_counted():
    frame = make_table("poisson").astype({"y": float})
    frame.loc[:6, "y"] = np.nan
    frame.loc[9, "plan"] = None
    spec = SPECS["poisson"]
    outcome = spec.outcome.model_copy(update={"missing": "drop"})
    exp = bc.Experiment(frame, spec.model_copy(update={"outcome": outcome}))
    assert (exp.cells().n_units, exp.n_dropped) == (232, 8)
    assert_same(exp.cells(), expected_cells(frame.dropna(), "poisson", frame["plan"]))


def test_bad_cells_are_refused():
    y, X, cluster = make_rows(3)
    cells = count(y, X, cluster)
    with pytest.raises(bc.errors.DataError, match="keyed by the outcome cannot be added"):
        cells + count(y, X, cluster, by_value=True)
    with pytest.raises(bc.errors.DataError, match="variables differ"):
        cells + bc.CellCounts.from_arrays(y, X, cluster, ["direct", "other"])
    with pytest.raises(bc.errors.DataError, match="with strata cannot be added"):
        cells + bc.CellCounts.from_arrays(y, X, cluster, ["direct", "dose"], strata=cluster)
    with pytest.raises(bc.errors.DataError, match="cannot be matched"):
        cells + count(y, X, cluster.astype(str))
    with pytest.raises(bc.errors.MissingValueError, match=r"NaN or infinite in 1 of 60 rows"):
        count(np.where(np.arange(60) == 7, np.nan, y), X, cluster)
    with pytest.raises(bc.errors.DataError, match="shapes disagree"):
        count(y[:-1], X, cluster)
    with pytest.raises(bc.errors.DataError, match="no rows"):
        count([], np.empty((0, 2)), [])


BAD = [
    ("bernoulli", 2.0, False, r"'y' \(bernoulli\) is neither 0 nor 1 in 4 of 24 units"),
    (
        "poisson",
        0.5,
        False,
        r"\(poisson\) is not a whole number from 0 to 1e15 in 4 of 24",
    ),
    ("negative_binomial", -1.0, False, r"is not a whole number from 0 to 1e15 in 4 of 24 units"),
    ("student_t", 0.5, False, r"'y' \(student_t\) is not kept apart: count by_value in 24 of 24"),
]


@pytest.mark.parametrize(("family", "value", "by_value", "message"), BAD)
def test_cells_of_another_family_are_refused(family, value, by_value, message):
    cluster = np.repeat(np.arange(6), 4)
    y = np.arange(24) % 2.0
    y[:4] = value
    cells = bc.CellCounts.from_arrays(
        y, cluster[:, None] % 2, cluster, ["direct"], outcome="y", by_value=by_value
    )
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"},
        outcome={"column": "y", "family": family},
    )
    with pytest.raises(bc.errors.OutcomeError, match=message):
        bc.Experiment.from_cells(cells, spec)


def test_there_are_cells_only_where_a_family_is_fitted_to_them():
    cluster = np.repeat(np.arange(6), 4)
    y = np.arange(24) % 2.0
    m = bc.ClusterMoments.from_arrays(y, cluster[:, None] % 2, cluster, ["direct"], outcome="y")

    def spec(family):
        roles = {"cluster": "team", "treatment": "treated"}
        return bc.ModelSpec(design=roles, outcome={"column": "y", "family": family})

    with pytest.raises(bc.errors.DataError, match="family 'gaussian' is fitted to moments"):
        bc.Experiment.from_moments(m, spec("gaussian")).cells()
    with pytest.raises(
        bc.errors.DataError, match="was built from moments; build it from units or from"
    ):
        bc.Experiment.from_moments(m, spec("bernoulli")).cells()
    cells = bc.CellCounts.from_arrays(
        y, cluster[:, None] % 2, cluster, ["direct"], outcome="y", by_value=True
    )
    with pytest.raises(
        bc.errors.DataError, match="family 'gaussian' is fitted to moments, not to counts"
    ):
        bc.Experiment.from_cells(cells, spec("gaussian"))
