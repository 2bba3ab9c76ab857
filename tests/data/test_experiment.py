"""Reading and validating: every source gives the same moments, every fault its own clear error."""

import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import bayescluster as bc


def assert_same(a, b):
    assert a.clusters.tolist() == b.clusters.tolist()
    assert np.array_equal(a.n, b.n)
    scale = np.where(a.sd > 0, a.sd, 1.0)
    assert np.abs(((a.mean - b.mean) + (a.origin - b.origin)) / scale).max() < 1e-12
    cross = np.abs(a.cross - b.cross) / np.multiply.outer(scale, scale) / a.n[:, None, None]
    assert cross.max() < 1e-12


def with_covariate(spec):
    outcome = spec.outcome.model_copy(update={"covariates": ("age",)})
    return spec.model_copy(update={"outcome": outcome})


SOURCES = {
    "polars": lambda d, path: pl.from_pandas(d),
    "polars lazy": lambda d, path: pl.from_pandas(d).lazy(),
    "pyarrow": lambda d, path: pa.Table.from_pandas(d),
    "csv": lambda d, path: d.to_csv(path / "u.csv", index=False) or path / "u.csv",
    "csv gz": lambda d, path: d.to_csv(path / "u.csv.gz", index=False) or str(path / "u.csv.gz"),
    "tsv": lambda d, path: d.to_csv(path / "u.tsv", index=False, sep="\t") or path / "u.tsv",
    "parquet": lambda d, path: d.to_parquet(path / "u.parquet") or path / "u.parquet",
    "glob": lambda d, path: (
        d[:17].to_parquet(path / "a.parquet"),
        d[17:].to_parquet(path / "b.parquet"),
        str(path / "*.parquet"),
    )[-1],
    "ibis": lambda d, path: ibis.memtable(d),
    "ibis expression": lambda d, path: ibis.memtable(d.assign(flag=0)).filter(
        lambda t: t.flag == 0
    ),
    "shuffled": lambda d, path: d.sample(frac=1, random_state=0),
    "booleans": lambda d, path: d.assign(treated=d["treated"] == 1, exposed=d["exposed"] == 1),
    "narrow types": lambda d, path: d.astype({"treated": "int8", "exposed": "float32"}),
    "categories": lambda d, path: d.astype({"workspace": "category"}),
    "odd index": lambda d, path: d.set_index(pd.Index(np.full(len(d), 7))),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_every_source_gives_the_same_moments(units, spec, source, offset, tmp_path):
    units["minutes"] += offset
    reference = bc.ClusterMoments.from_arrays(
        units["minutes"],
        units[["treated", "exposed", "age"]],
        units["workspace"],
        ["direct", "spillover", "age"],
        outcome="minutes",
    )
    exp = bc.Experiment(SOURCES[source](units, tmp_path), with_covariate(spec))
    assert_same(reference, exp.moments())
    assert exp.fingerprint == bc.Experiment(units, with_covariate(spec)).fingerprint


def test_twelve_orders_of_offset_cost_no_digit(units, spec):
    """Against the same float64 values with 1e12 taken off, which is exact."""
    shifted = units.assign(minutes=units["minutes"] + 1e12)
    held = shifted.assign(minutes=shifted["minutes"] - 1e12)
    a, b = (bc.two_exposure(bc.Experiment(frame, spec)) for frame in (shifted, held))
    assert a.estimate[1:] == pytest.approx(b.estimate[1:], rel=1e-11)
    assert a.std_error[1:] == pytest.approx(b.std_error[1:], rel=1e-11)


def test_the_callers_frame_is_not_changed(units, spec):
    before = units.copy(deep=True)
    bc.Experiment(units, spec).histogram()
    pd.testing.assert_frame_equal(units, before)


def put(column, values, rows=slice(0, 2)):
    def change(frame):
        frame = frame.copy()
        frame[column] = frame[column].astype(object if isinstance(values, str | None) else float)
        frame.loc[frame.index[rows], column] = values
        return frame

    return change


BAD = {
    "missing column": (
        lambda d: d.drop(columns="minutes"),
        bc.errors.MissingColumnError,
        r"column 'minutes' is not in the data; its columns: 'user', 'workspace'",
    ),
    "outcome is text": (
        lambda d: d.assign(minutes="long"),
        bc.errors.ColumnTypeError,
        r"column 'minutes' \(outcome\) holds string, not numbers",
    ),
    "outcome mixes types": (
        lambda d: d.assign(minutes=pd.Series([1.0, "x"] * 20, dtype=object)),
        bc.errors.ColumnTypeError,
        r"column 'minutes' \(object, holding float, str\) cannot be read as one type",
    ),
    "treatment is text": (
        lambda d: d.assign(treated=np.where(d["treated"] == 1, "yes", "no")),
        bc.errors.ColumnTypeError,
        r"column 'treated' \(treatment\) holds string, not numbers; code it as 0 and 1",
    ),
    "cluster is a list": (
        lambda d: pa.Table.from_pandas(d.assign(workspace=[["a"]] * 40)),
        bc.errors.ColumnTypeError,
        r"column 'workspace' \(cluster\) holds array<string>",
    ),
    "null outcome": (
        put("minutes", np.nan),
        bc.errors.MissingValueError,
        r"column 'minutes' \(outcome\) is null or NaN in 2 of 40 rows; .*missing = 'drop'",
    ),
    "NaN outcome in polars": (
        lambda d: pl.from_pandas(d).with_columns(
            minutes=pl.when(pl.col("user") < 3).then(float("nan")).otherwise(pl.col("minutes"))
        ),
        bc.errors.MissingValueError,
        r"column 'minutes' \(outcome\) is null or NaN in 3 of 40 rows",
    ),
    "infinite outcome": (
        put("minutes", np.inf),
        bc.errors.MissingValueError,
        r"column 'minutes' \(outcome\) is infinite in 2 of 40 rows",
    ),
    "null cluster": (
        put("workspace", None),
        bc.errors.MissingValueError,
        r"column 'workspace' \(cluster\) is null in 2 of 40 rows",
    ),
    "null treatment": (
        put("treated", np.nan),
        bc.errors.MissingValueError,
        r"column 'treated' \(treatment\) is null in 2 of 40 rows",
    ),
    "null spillover": (
        put("exposed", np.nan),
        bc.errors.MissingValueError,
        r"column 'exposed' \(spillover\) is null or NaN in 2 of 40 rows; an unexposed unit has 0",
    ),
    "treatment of 2": (
        lambda d: d.assign(treated=d["treated"] * 2),
        bc.errors.TreatmentError,
        r"column 'treated' \(treatment\) is neither 0 nor 1 in 20 of 40 rows",
    ),
    "treatment varies within a cluster": (
        put("treated", 0.0),
        bc.errors.TreatmentError,
        r"varies within 1 of 8 clusters, such as 'w0'",
    ),
    "spillover above one": (
        put("exposed", 1.5, slice(30, 33)),
        bc.errors.SpilloverError,
        r"column 'exposed' \(spillover\) lies outside \[0, 1\] in 3 of 40 rows",
    ),
    "spillover below zero": (
        put("exposed", -0.1, slice(30, 31)),
        bc.errors.SpilloverError,
        r"outside \[0, 1\] in 1 of 40 rows",
    ),
    "treated units exposed": (
        put("exposed", 1.0),
        bc.errors.SpilloverError,
        r"is not 0 in 2 treated rows of 1 clusters, such as 'w0'",
    ),
    "nobody exposed": (
        lambda d: d.assign(exposed=0),
        bc.errors.IdentificationError,
        r"column 'exposed' \(regressor\) has one value in all 40 rows",
    ),
    "constant outcome": (
        lambda d: d.assign(minutes=3.0),
        bc.errors.IdentificationError,
        r"column 'minutes' \(outcome\) has one value in all 40 rows",
    ),
    "control arm empty": (
        lambda d: d[d["treated"] == 1],
        bc.errors.DesignError,
        r"0 control clusters by column 'treated' \(4 treated, 0 control\)",
    ),
    "one treated cluster": (
        lambda d: d[(d["treated"] == 0) | (d["workspace"] == "w1")],
        bc.errors.DesignError,
        r"1 treated cluster by column 'treated' \(1 treated, 4 control\)",
    ),
    "duplicate units": (
        lambda d: pd.concat([d, d[:3]]),
        bc.errors.DuplicateUnitError,
        r"column 'user' \(unit\) repeats a unit in 3 of 43 rows",
    ),
    "null units": (
        put("user", np.nan),
        bc.errors.MissingValueError,
        r"column 'user' \(unit\) is null in 2 of 40 rows",
    ),
    "no rows": (lambda d: d[:0], bc.errors.DataError, r"the data have no rows"),
    "not data": (lambda d: 42, bc.errors.DataError, r"cannot read data of type int"),
    "no file": (lambda d: "nowhere.csv", bc.errors.DataError, r"no file 'nowhere.csv'"),
    "repeated column": (
        lambda d: pd.concat([d, d[["minutes"]]], axis=1),
        bc.errors.DataError,
        r"column 'minutes' occurs more than once",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_data_are_refused(units, spec, fault):
    change, error, message = BAD[fault]
    with pytest.raises(error, match=message) as caught:
        bc.Experiment(change(units), spec)
    assert type(caught.value) is error
    assert isinstance(caught.value, bc.BayesClusterError)


@pytest.mark.parametrize(
    ("strata", "error", "message"),
    [
        (
            [*"ab"] * 20,
            bc.errors.StrataError,
            r"8 clusters lie in more than one stratum of column 'block'",
        ),
        (
            [None] * 5 + ["a"] * 35,
            bc.errors.MissingValueError,
            r"column 'block' \(strata\) is null in 5 of 40",
        ),
    ],
)
def test_bad_strata_are_refused(units, spec, strata, error, message):
    design = spec.design.model_copy(update={"strata": "block"})
    with pytest.raises(error, match=message):
        bc.Experiment(units.assign(block=strata), spec.model_copy(update={"design": design}))


def test_unreadable_files_are_refused(tmp_path, spec):
    (tmp_path / "bad.parquet").write_text("not parquet")
    (tmp_path / "data.xlsx").write_text("")
    with pytest.raises(bc.errors.DataError, match=r"bad.parquet' cannot be read"):
        bc.Experiment(tmp_path / "bad.parquet", spec)
    with pytest.raises(bc.errors.DataError, match="cannot tell the format"):
        bc.Experiment(tmp_path / "data.xlsx", spec)


def test_missing_outcomes_are_dropped_only_when_asked_and_counted(units, spec):
    units.loc[[0, 7], "minutes"] = np.nan
    units.loc[units["workspace"] == "w7", "minutes"] = np.nan
    outcome = spec.outcome.model_copy(update={"missing": "drop"})
    exp = bc.Experiment(units, spec.model_copy(update={"outcome": outcome}))
    assert (exp.n_units, exp.n_dropped, exp.n_clusters_dropped) == (33, 7, 1)
    complete = bc.Experiment(units.dropna(), spec)
    assert_same(exp.moments(), complete.moments())
    assert exp.conditions["n_units"].sum() == 33
    assert exp.cluster_order.tolist() == list(range(7))
    with pytest.raises(bc.errors.DataError, match="no row is left of 40"):
        bc.Experiment(units.assign(minutes=np.nan), exp.spec)


def test_conditions_and_histogram_count_every_unit(tutorial, tutorial_experiment):
    conditions = tutorial_experiment.conditions.set_index("condition")
    assert conditions["n_units"].to_dict() == tutorial["exposure"].value_counts().to_dict()
    by_hand = tutorial.groupby("exposure")["session_minutes_obs"].agg(["mean", "std"])
    assert conditions["mean"].to_dict() == pytest.approx(by_hand["mean"].to_dict(), rel=1e-12)
    assert conditions["std"].to_dict() == pytest.approx(by_hand["std"].to_dict(), rel=1e-10)
    counts = tutorial_experiment.histogram(bins=40)
    assert counts.groupby("condition")["count"].sum().to_dict() == conditions["n_units"].to_dict()
    direct = counts[counts["condition"] == "direct"].iloc[4]
    y = tutorial.loc[tutorial["exposure"] == "direct", "session_minutes_obs"]
    assert direct["count"] == ((y >= direct["left"]) & (y < direct["right"])).sum()


def test_order_of_first_appearance(units, spec):
    shuffled = units.sample(frac=1, random_state=3)
    exp = bc.Experiment(shuffled, spec)
    labels = exp.moments().clusters[exp.cluster_order]
    assert labels.tolist() == shuffled["workspace"].unique().tolist()


def test_from_moments(units, spec):
    exp = bc.Experiment(units, spec)
    again = bc.Experiment.from_moments(exp.moments(), spec)
    assert again.fingerprint == exp.fingerprint
    assert bc.two_exposure(again).estimate.tolist() == bc.two_exposure(exp).estimate.tolist()
    assert not again.has_units
    with pytest.raises(bc.errors.DataError, match="built from moments"):
        again.histogram()
    with pytest.raises(bc.errors.DataError, match=r"regressors are \['direct'\], not"):
        bc.Experiment.from_moments(exp.moments().select(["direct"]), spec)
    assert "4 treated and 4 control clusters" in repr(exp)


def test_files_of_a_glob_are_matched_by_name(units, spec, tmp_path):
    """Permuted columns, and labels too large for float64."""
    base = 2**60
    units["workspace"] = base + units["workspace"].str[1:].astype(int)
    units[:17].to_csv(tmp_path / "a.csv", index=False)
    units[17:][units.columns[::-1]].to_csv(tmp_path / "b.csv", index=False)
    exp = bc.Experiment(str(tmp_path / "*.csv"), spec)
    assert exp.moments().clusters.tolist() == [base + i for i in range(8)]
    assert_same(exp.moments(), bc.Experiment(units, spec).moments())


def test_names_that_differ_in_capitals_only(units, spec, tmp_path):
    data = units.assign(MINUTES=0.0)[["MINUTES", *units.columns]]
    assert_same(bc.Experiment(data, spec).moments(), bc.Experiment(units, spec).moments())
    data.to_csv(tmp_path / "u.csv", index=False)
    with pytest.raises(
        bc.errors.DataError, match=r"column 'MINUTES', 'minutes' occurs more than once"
    ):
        bc.Experiment(tmp_path / "u.csv", spec)


def test_another_ibis_backend(units, spec):
    """The polars backend lacks covariances: a clear error, not a traceback; the way out works."""
    table = ibis.polars.connect().create_table("users", pl.from_pandas(units))
    try:
        exp = bc.Experiment(table, spec)
    except bc.errors.DataError as error:
        assert "convert the table with .to_pyarrow()" in str(error)  # noqa: PT017
        exp = bc.Experiment(table.to_pyarrow(), spec)
    assert_same(exp.moments(), bc.Experiment(units, spec).moments())


def test_a_stream_is_read_once(units, spec):
    reader = pa.Table.from_pandas(units).to_reader()
    assert_same(bc.Experiment(reader, spec).moments(), bc.Experiment(units, spec).moments())


def test_designs_that_do_not_identify_the_effects_are_refused(units, spec):
    exposed = units.assign(exposed=1 - units["treated"])
    with pytest.raises(bc.errors.IdentificationError, match="'direct', 'spillover' are collinear"):
        bc.Experiment(exposed, spec)
    design = spec.design.model_copy(update={"strata": "block"})
    stratified = spec.model_copy(update={"design": design})
    with pytest.raises(
        bc.errors.IdentificationError, match="'direct' is constant within every stratum"
    ):
        bc.Experiment(units.assign(block=units["treated"]), stratified)
    with pytest.raises(bc.errors.StrataError, match="has a single value"):
        bc.Experiment(units.assign(block=1), stratified)
    with pytest.raises(TypeError, match="spec must be a ModelSpec, not str"):
        bc.Experiment(units, "spec.toml")


def test_moments_must_be_those_of_the_design(units, spec):
    m = bc.ClusterMoments.from_arrays(
        units["minutes"],
        units[["treated", "exposed"]] * [1, 3],
        units["workspace"],
        ["direct", "spillover"],
        outcome="minutes",
    )
    with pytest.raises(bc.errors.SpilloverError, match="outside"):
        bc.Experiment.from_moments(m, spec)
    other = bc.ClusterMoments.from_arrays(
        units["minutes"],
        np.column_stack([np.arange(40) % 2, units["exposed"]]),
        units["workspace"],
        ["direct", "spillover"],
        outcome="minutes",
    )
    with pytest.raises(bc.errors.TreatmentError, match="8 of 8 clusters"):
        bc.Experiment.from_moments(other, spec)
