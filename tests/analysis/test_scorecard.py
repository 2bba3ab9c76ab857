"""Many metrics of one experiment: each row equals that metric's own analysis."""

import json

import numpy as np
import pytest

import bayescluster as bc

DESIGN = {"cluster": "cluster", "treatment": "treated", "spillover": "exposed"}


@pytest.fixture(scope="module")
def data():
    frame = bc.simulate.Scenario(n_clusters=12, cluster_size=40).simulate(3)
    rng = np.random.default_rng(0)
    for i in range(3):
        frame[f"metric_{i}"] = (
            frame["outcome"] + rng.normal(0, 1, len(frame)) + i * frame["treated"]
        )
    return frame


@pytest.fixture(scope="module")
def specs():
    return [
        bc.ModelSpec(design=DESIGN, outcome={"column": f"metric_{i}"}, report={"rope": [-0.1, 0.1]})
        for i in range(3)
    ]


@pytest.fixture(scope="module")
def card(data, specs):
    return bc.scorecard(data, specs, engine="exact", progressbar=False)


def test_rows_equal_the_metrics_own_analysis(data, specs, card):
    """No shrinkage: posterior by integration and CR2 are those of each metric alone."""
    table = card.to_dataframe().set_index(["metric", "effect"])
    for spec in specs:
        exp = bc.Experiment(data, spec)
        alone = bc.bayes.exact_posterior(exp)
        ols = bc.two_exposure(exp).to_dataframe().set_index("term")
        for effect in ("direct", "spillover"):
            row = table.loc[spec.outcome.column, effect]
            # 4,000 independent draws: 5 Monte Carlo standard errors of their mean
            assert abs(row["mean"] - alone.mean[effect]) < 5 * alone.sd[effect] / np.sqrt(4_000)
            assert row["p_value"] == ols.loc[effect, "p_value"]


def test_q_values_by_hand(card):
    """Benjamini-Hochberg: the smallest m p_(k) / k over the p-values not smaller."""
    p = card.table["p_value"].to_numpy()
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    expected = np.empty_like(p)
    expected[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    np.testing.assert_allclose(card.table["q_value"], expected, rtol=1e-12)
    excludes = card.table["ci_lower"] * card.table["ci_upper"] > 0
    assert (card.table["discovery"] == (expected <= 0.05) & excludes).all()
    assert set(card.table["discovery"]) == {True, False}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_give_the_same_table(kind, tmp_path, data, specs, card):
    path = tmp_path / f"users.{kind}"
    data.to_parquet(path) if kind == "parquet" else data.to_csv(path, index=False)
    found = bc.scorecard(str(path), specs, engine="exact", progressbar=False)
    numbers = ["mean", "sd", "ols_estimate", "p_value"]
    np.testing.assert_allclose(found.table[numbers], card.table[numbers], rtol=1e-8)


def test_comparison_of_one_metric(card):
    with pytest.raises(KeyError, match="unknown metric 'sales'; valid: metric_0"):
        card.compare("sales")


def test_refusals(data, specs):
    other = specs[0].model_copy(
        update={"design": bc.spec.DesignSpec(cluster="cluster", treatment="treated")}
    )
    with pytest.raises(bc.errors.SpecError, match="different designs"):
        bc.scorecard(data, {"a": specs[0], "b": other}, progressbar=False)
    with pytest.raises(bc.errors.SpecError, match="same outcome column"):
        bc.scorecard(data, [specs[0], specs[0]], progressbar=False)
    with pytest.raises(bc.errors.SpecError, match="at least one"):
        bc.scorecard(data, [], progressbar=False)
    with pytest.raises(ValueError, match="false_discovery_rate"):
        bc.scorecard(data, specs, false_discovery_rate=1.5, progressbar=False)
    with pytest.raises(ValueError, match="engine must be one of auto, exact, nuts; given 'fast'"):
        bc.scorecard(data, specs, engine="fast", progressbar=False)
    with pytest.raises(TypeError, match=r"for one, give \[spec\]"):
        bc.scorecard(data, specs[0], progressbar=False)


def test_errors_name_their_metric(data, specs):
    alone = data.drop(columns="metric_1")
    with pytest.raises(
        bc.errors.MissingColumnError, match=r"^metric 'metric_1': column 'metric_1'"
    ):
        bc.scorecard(alone, specs[1:2], engine="exact", progressbar=False)
    binary = data.assign(bought=(data["outcome"] > data["outcome"].mean()).astype(int))
    spec = bc.ModelSpec(design=DESIGN, outcome={"column": "bought", "family": "bernoulli"})
    with pytest.raises(
        bc.errors.FitError, match=r"^metric 'bought': the posterior of this bernoulli"
    ):
        bc.scorecard(binary, [spec], engine="exact", progressbar=False)


def test_one_unusable_metric_leaves_the_others(data, specs, card, tmp_path):
    found = bc.scorecard(data.drop(columns="metric_1"), specs, engine="exact", progressbar=False)
    assert list(found.experiments) == ["metric_0", "metric_2"]
    assert list(found.unusable) == ["metric_1"]
    assert found.unusable["metric_1"].startswith("metric 'metric_1': column 'metric_1'")
    whole = card.table[card.table["metric"] != "metric_1"]
    assert found.table["mean"].tolist() == whole["mean"].tolist()
    page = found.report(tmp_path / "card.html", bootstrap_draws=50).read_text("utf-8")
    assert "Not usable: metric &#39;metric_1&#39;" in page


@pytest.fixture(scope="module")
def roles(data):
    def spec(i, role, label=None, **report):
        outcome = {"column": f"metric_{i}"} | ({"label": label} if label else {})
        report = {"role": role} | report
        return bc.ModelSpec(title=f"Metric {i}", design=DESIGN, outcome=outcome, report=report)

    specs = [
        spec(2, "goal", "minutes saved"),
        spec(1, "guardrail", threshold=-0.5),
        spec(0, "debug"),
    ]
    return bc.scorecard(data, specs, engine="exact", progressbar=False)


def test_roles_are_read_in_their_own_way(roles):
    table = roles.table.set_index(["metric", "effect"]).sort_index()
    assert table.loc[("metric_2", "direct"), "title"] == "minutes saved"
    assert table.loc[("metric_1", "direct"), "title"] == "Metric 1"
    assert table.loc[("metric_2", "direct"), "reading"] == "discovery: increase"
    assert table.loc[("metric_1", "direct"), "reading"] == "guardrail safe"
    assert (table.loc["metric_0", "reading"] == "").all()
    goals = table.loc[["metric_2"]]
    assert goals["q_value"].notna().all()
    assert table.drop("metric_2")["q_value"].isna().all()
    assert not table.drop("metric_2")["discovery"].any()
    few = goals["p_value"].to_numpy()  # two rows: Benjamini-Hochberg by hand
    assert goals["q_value"].min() == pytest.approx(min(2 * few.min(), few.max()))


def test_a_discovery_is_one_in_the_posterior_beside_it(card):
    for row in card.table[card.table["discovery"]].itertuples():
        assert row.ci_lower > 0 or row.ci_upper < 0
        assert np.sign(row.mean) == np.sign(row.ols_estimate)


def test_it_is_written_in_every_format(roles, tmp_path):
    text = roles.report(tmp_path / "card.md").read_text("utf-8")
    assert "minutes saved" in text
    assert "discoveries at a false discovery rate of 5%" in text
    assert "1 of 2 effects on goals" in text or "2 of 2 effects on goals" in text
    found = json.loads(roles.report(tmp_path / "card.json").read_text("utf-8"))
    assert [row["mean"] for row in found["metrics"]] == roles.table["mean"].tolist()
    assert found["unusable"] == {}
    with pytest.raises(ValueError, match=r"name the report \.html, \.md or \.json"):
        roles.report(tmp_path / "card.txt")
