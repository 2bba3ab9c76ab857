"""Numbers, units and tables as people read them."""

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster._support.display import OutcomeUnit, rounded
from bayescluster._support.text_tables import text_table
from bayescluster.report.show import show


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (4.6123, 0.64, "4.6"),
        (4.6123, 0.12, "4.61"),
        (0.72842, 0.0651, "0.73"),
        (0.2083, 0.0039, "0.208"),
        (1234.56, 96.0, "1,230"),
        (1234.56, 12.0, "1,235"),
        (1234.56, 1200.0, "1,200"),
        (-0.001, 0.2, "0.00"),
        (-0.02, 0.2, "-0.02"),
        (100_000.123, 0.01, "100,000.123"),
        (np.nan, 0.1, "–"),
        (np.inf, 0.1, "∞"),
        (-np.inf, np.nan, "-∞"),
        (0.5, 0.0, "0.5000"),
    ],
)
def test_estimates_have_the_digits_that_their_error_supports(value, error, shown):
    assert rounded(value, error) == shown


def test_rounding_moves_a_number_by_less_than_a_tenth_of_its_error():
    rng = np.random.default_rng(1)
    for size in 10.0 ** np.arange(-6, 7):
        for value, error in rng.normal(0, [5 * size, size], (200, 2)):
            error = abs(error)
            moved = abs(float(rounded(value, error).replace(",", "")) - value)
            assert moved <= 0.15 * error
            moved = abs(float(rounded(value, error, two=True).replace(",", "")) - value)
            assert moved <= 0.06 * error


def test_units_are_written_where_readers_expect_them():
    minutes, money, share = OutcomeUnit("min"), OutcomeUnit("$"), OutcomeUnit("", percent=True)
    assert minutes.difference(4.61, 0.64) == "4.6 min"
    assert minutes.interval(3.41, 5.86, 0.64) == "3.4 to 5.9 min"
    assert money.difference(-4.61, 0.64) == "-$4.6"
    assert money.interval(-1.2, 3.2, 0.64) == "-$1.2 to $3.2"
    assert share.difference(0.0213, 0.004) == "2.1 pp"
    assert share.level(0.1243, 0.004) == "12.4%"
    assert share.value(0.01) == "1 pp"
    assert OutcomeUnit().value(0.1) == "0.1"


@pytest.fixture(scope="module")
def tables():
    scenario = bc.simulate.Scenario(n_clusters=20, cluster_size=30, size_cv=0.5)
    spec = scenario.spec.model_copy(update={"report": bc.spec.ReportSpec(rope=(-0.1, 0.1))})
    exp = bc.Experiment(scenario.simulate(seed=1), spec)
    comparison = bc.compare(exp, bc.fit_exact(exp, seed=1), bootstrap_draws=200)
    analysis = bc.Analysis(exp, comparison, bc.diagnose(comparison))
    card = bc.scorecard(scenario.simulate(seed=1), [spec], progressbar=False)
    return {
        "estimates": comparison.estimates,
        "agreement": comparison.agreement,
        "estimands": comparison.estimands,
        "lift": comparison.lift.table,
        "bias": comparison.bias.to_dataframe(),
        "checks": analysis.checks,
        "lights": analysis.lights,
        "decision": analysis.decision.table,
        "rollout": analysis.rollout.table,
        "predictive": analysis.predictive.to_dataframe(),
        "sensitivity": analysis.prior_sensitivity.to_dataframe(),
        "scorecard": card.table,
        "convergence": bc.bayes.convergence(analysis.posterior),
    }


#: Longer words may be broken over two lines.
LONGEST = 12
NAMES = ["estimates", "agreement", "estimands", "lift", "bias", "checks", "lights", "decision"]
NAMES += ["rollout", "predictive", "sensitivity", "scorecard", "convergence"]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", NAMES)
def test_tables_print_whole(tables, name, width):
    frame = tables[name]
    text = text_table(frame, width)
    assert max(map(len, text.split("\n"))) <= width
    assert "..." not in text.replace(", ...", "")
    whole = "".join(text.split())
    for column in frame:
        values = frame[column]
        if (values.isna() | (values == "")).all():
            continue
        assert whole.count("".join(str(column).split())[:LONGEST]) >= 1
        for value in values:
            if isinstance(value, str):
                for word in value.split():
                    assert word[:LONGEST] in text or word in whole


def test_a_table_without_rows_and_one_of_a_result_are_shown(capsys):
    show(pd.DataFrame({"a": []}))
    assert capsys.readouterr().out == "(no rows)\n"
    table = pd.DataFrame({"method": ["OLS"], "estimate": [0.72842], "std_error": [0.0651]})
    show(table, width=80)
    assert capsys.readouterr().out == "method  estimate  std_error\nOLS        0.728      0.065\n"


def test_results_print_at_the_width_of_the_terminal(tables, monkeypatch):
    scenario = bc.simulate.Scenario(n_clusters=20, cluster_size=30)
    found = bc.two_exposure(bc.Experiment(scenario.simulate(seed=1), scenario.spec))
    for width in (80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        assert max(map(len, str(found).split("\n"))) <= width
        assert "two-exposure OLS, CR2" in str(found)
