"""Sizes of clusters and the regressors made of them, against the same columns row by row."""

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster.data.cell_counts import CellCounts
from bayescluster.data.cluster_sizes import (
    cells_by_size,
    centred_log_sizes,
    log_size_sd,
    moments_by_size,
)

NAMES = ("direct", "spillover", "age")
TERMS = ("log_size", "direct_by_log_size", "spillover_by_log_size")


def rows(seed=1, offset=1e6):
    """Clusters of 2 to 40 users, with an exposure, a covariate and a large common offset."""
    rng = np.random.default_rng(seed)
    size = rng.integers(2, 41, 12)
    cluster = np.repeat(np.arange(12), size)
    direct = (cluster % 2).astype(float)
    spillover = (rng.random(len(cluster)) < 0.4) * (1 - direct)
    age = rng.integers(20, 60, len(cluster)).astype(float)
    y = offset + direct + 0.5 * spillover + 0.1 * age + rng.normal(0, 1, len(cluster))
    return cluster, np.column_stack([direct, spillover, age]), y


def extended(cluster, X):
    """Append log size, less its mean over users, and its products with both effects."""
    log_size = np.log(np.bincount(cluster))[cluster]
    g = log_size - log_size.mean()
    return np.column_stack([X, g, g * X[:, 0], g * X[:, 1]])


def test_moments_by_size_are_those_of_the_rows():
    cluster, X, y = rows()
    found = moments_by_size(bc.ClusterMoments.from_arrays(y, X, cluster, NAMES), NAMES[:2])
    expected = bc.ClusterMoments.from_arrays(y, extended(cluster, X), cluster, (*NAMES, *TERMS))
    assert found.names == expected.names
    np.testing.assert_allclose(found.means, expected.means, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.cross, expected.cross, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.sd, expected.sd, rtol=1e-10)


def test_cells_by_size_are_those_of_the_rows():
    cluster, X, _ = rows()
    y = np.random.default_rng(2).poisson(1.5, len(cluster)).astype(float)
    found = cells_by_size(CellCounts.from_arrays(y, X, cluster, NAMES), NAMES[:2])
    expected = CellCounts.from_arrays(y, extended(cluster, X), cluster, (*NAMES, *TERMS))
    assert found.names == expected.names
    order, other = (np.lexsort([*cells.x[:, :3].T, cells.cluster]) for cells in (found, expected))
    np.testing.assert_allclose(found.x[order], expected.x[other], atol=1e-12)
    np.testing.assert_array_equal(found.n[order], expected.n[other])
    np.testing.assert_array_equal(found.total[order], expected.total[other])


def test_log_sizes_are_centred_over_users():
    cluster, X, y = rows()
    moments = bc.ClusterMoments.from_arrays(y, X, cluster, NAMES)
    g = centred_log_sizes(moments)
    assert g @ moments.n == pytest.approx(0, abs=1e-9)
    assert g[0] - g[1] == pytest.approx(np.log(moments.n[0] / moments.n[1]))
    assert log_size_sd(moments) == pytest.approx(np.log(np.bincount(cluster)).std(ddof=1))


def spec(size=None, size_effects=True, **outcome):
    return bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated", "size": size},
        outcome={"column": "y"} | outcome,
        heterogeneity={"size_effects": size_effects},
    )


def table(seed=3, spread=1.0):
    rng = np.random.default_rng(seed)
    size = np.maximum(3, np.round(20 * rng.lognormal(0, spread, 14))).astype(int)
    team = np.repeat(np.arange(14), size)
    y = rng.normal(0, 1, len(team)) + team % 2
    staff = (3 * size + 1)[team].astype(float)
    return pd.DataFrame({"team": team, "treated": team % 2, "y": y, "staff": staff})


def test_level_and_effects_depend_on_size_only_where_sizes_vary():
    wide, narrow = table(spread=1.0), table(spread=0.01)
    assert bc.Experiment(wide, spec()).size_terms == ("log_size", "direct_by_log_size")
    assert bc.Experiment(wide, spec(size_effects=False)).size_terms == ()
    assert bc.Experiment(narrow, spec()).size_terms == ()
    exp = bc.Experiment(narrow, spec())
    assert exp.model_moments is exp.moments()


def test_a_column_of_sizes_replaces_the_number_of_rows():
    frame = table()
    exp = bc.Experiment(frame, spec("staff"))
    staff = frame.groupby("team")["staff"].first().to_numpy()
    np.testing.assert_array_equal(exp.moments().sizes, staff)
    assert exp.moments().n.sum() == len(frame)
    again = bc.Experiment.from_moments(exp.moments(), exp.spec)
    np.testing.assert_array_equal(again.moments().sizes, staff)
    plain = bc.Experiment(frame, spec())
    np.testing.assert_array_equal(plain.moments().sizes, plain.moments().n)
    assert plain.fingerprint != exp.fingerprint
    with pytest.raises(bc.errors.DesignError, match="disagree on whether sizes"):
        bc.Experiment.from_moments(plain.moments(), exp.spec)


def test_cells_keep_the_sizes():
    frame = table()
    frame["y"] = (frame["y"] > 0).astype(int)
    exp = bc.Experiment(frame, spec("staff", family="bernoulli"))
    again = bc.Experiment.from_cells(exp.cells(), exp.spec)
    np.testing.assert_array_equal(again.moments().sizes, exp.moments().sizes)
    doubled = exp.cells() + exp.cells()
    np.testing.assert_array_equal(doubled.size, exp.moments().sizes)


def first_rows(frame, value):
    return frame.assign(staff=np.where(np.arange(len(frame)) < 2, value, frame["staff"]))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda frame: first_rows(frame, 5.5),
            bc.errors.DesignError,
            r"column 'staff' \(size\) varies within 1 of 14 clusters, such as 0; .* once per",
        ),
        (
            lambda frame: frame.assign(staff=0),
            bc.errors.DesignError,
            r"column 'staff' \(size\) is not positive in 14 of 14 clusters",
        ),
        (
            lambda frame: first_rows(frame, np.nan),
            bc.errors.MissingValueError,
            r"column 'staff' \(size\) is null or NaN in 2 of \d+ rows; give each cluster its",
        ),
        (
            lambda frame: frame.assign(staff="many"),
            bc.errors.ColumnTypeError,
            r"column 'staff' \(size\) holds",
        ),
        (
            lambda frame: frame.drop(columns="staff"),
            bc.errors.MissingColumnError,
            "staff",
        ),
    ],
)
def test_sizes_that_are_none_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        bc.Experiment(change(table()), spec("staff"))


def test_moments_with_two_sizes_of_a_cluster_do_not_add():
    first = bc.Experiment(table(), spec("staff")).moments()
    frame = table()
    frame.loc[frame["team"] == 3, "staff"] += 1
    second = bc.Experiment(frame, spec("staff")).moments()
    np.testing.assert_array_equal((first + first).sizes, first.sizes)
    with pytest.raises(bc.errors.DataError, match="1 clusters have two sizes, such as cluster 3"):
        first + second
    with pytest.raises(bc.errors.DataError, match="moments with sizes cannot be added"):
        first + bc.Experiment(frame, spec()).moments()
