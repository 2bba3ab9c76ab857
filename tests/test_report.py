"""The report: whole, self-contained, safe, and true to the tables."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster._display import number, percent
from bayescluster.report import html, words

NASTY = "<script>alert('x')</script> $a_b$ & \"c\""


class Page(HTMLParser):
    """Collects headings, sources, tables and ids of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.sources, self.alts = [], [], [], []
        self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self._cell = ""
        for name in ("src", "href"):
            if name in given:
                self.sources.append(given[name])
        if tag == "img":
            self.alts.append(given["alt"])

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self._cell)
            self._cell = None


@pytest.fixture(scope="module")
def text(tutorial_analysis):
    return html.render(tutorial_analysis)


def test_the_page_needs_no_network(text):
    page = Page(text)
    assert page.sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert "url(" not in text
    assert "@import" not in text
    assert "script" not in page.tags
    assert len(text) < 5_000_000


def test_the_page_is_well_formed(text):
    page = Page(text)
    assert page.tags.count("h1") == 1
    assert page.tags.count("main") == 1
    assert page.tags.count("img") == 3
    assert all(len(alt) > 30 for alt in page.alts)
    assert '<html lang="en">' in text
    assert 'name="viewport"' in text


def test_every_number_of_the_estimates_is_on_the_page(text, tutorial_analysis):
    first, estimands = Page(text).tables[:2]
    table = tutorial_analysis.estimates
    assert len(first) == len(table) + 1
    for shown, (_, row) in zip(first[1:], table.iterrows(), strict=True):
        assert shown[0] == row["method"]
        for cell, name in ((2, "estimate"), (3, "std_error"), (5, "ci_lower"), (6, "ci_upper")):
            assert float(shown[cell]) == pytest.approx(row[name], rel=5e-4)
    summary = tutorial_analysis.comparison.estimands
    for shown, (_, row) in zip(estimands[1:], summary.iterrows(), strict=True):
        assert float(shown[1]) == pytest.approx(row["mean"], rel=5e-4)
    for sentence in tutorial_analysis.verdict:
        assert sentence.replace("'", "&#39;").replace(">", "&gt;").replace("<", "&lt;") in text


def test_spec_and_provenance_are_on_the_page(text, tutorial_analysis):
    assert tutorial_analysis.spec.hash in text
    assert tutorial_analysis.experiment.fingerprint in text
    assert "session_minutes_obs" in text


def test_nasty_names_stay_text(units, tmp_path):
    data = units.rename(columns={"minutes": NASTY, "workspace": "<b>w</b>"})
    spec = bc.ModelSpec(
        title=NASTY,
        question=NASTY,
        design={"cluster": "<b>w</b>", "treatment": "treated", "spillover": "exposed"},
        outcome={"column": NASTY},
    )
    with pytest.warns(UserWarning, match="lose an arm"):
        analysis = bc.analyze(data, spec, bootstrap_draws=500, seed=2, progressbar=False)
    path = analysis.report(tmp_path / "page.html")
    page = Page(path.read_text("utf-8"))
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "Take care: number of clusters is 8" in path.read_text("utf-8")


def test_a_report_appears_whole_or_not_at_all(tutorial_analysis, tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    target.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match=r"page.html cannot be written: disk full"):
            tutorial_analysis.report(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    assert tutorial_analysis.report(target) == target
    assert target.read_text("utf-8").endswith("</html>")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("value", "scale", "shown"),
    [
        (0.67233592, None, "0.6723"),
        (0.0034151, None, "0.003415"),
        (-0.0561, None, "-0.05610"),
        (482.99537, None, "483.0"),
        (49998.0, None, "49,998"),
        (0.0, None, "0.0000"),
        (1e-7, None, "1.000e-07"),
        (123456789.0, None, "1.235e+08"),
        (1e9 + 0.25, 0.5, "1,000,000,000.2500"),
        (5.79, 0.4, "5.7900"),
        (np.nan, None, "–"),
        (np.inf, None, "∞"),
    ],
)
def test_numbers_for_display(value, scale, shown):
    assert number(value, scale) == shown


@pytest.mark.parametrize(("level", "shown"), [(0.95, "95%"), (0.975, "97.5%"), (0.999, "99.9%")])
def test_levels_are_not_rounded(level, shown):
    assert percent(level) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.0, "> 99.9%"), (0.0, "< 0.1%"), (0.9534, "95.3%"), (np.nan, "–"), (0.9995, "> 99.9%")],
)
def test_probabilities_never_show_certainty(value, shown):
    assert words.probability(value) == shown


@pytest.mark.parametrize(
    ("report", "above", "rope", "start"),
    [
        ({}, 0.99, 0.0, "A clear case: .* direct effect is above 0.1 is 99.0% .asked for: 95%"),
        ({}, 0.02, 0.0, "A clear case against"),
        ({}, 0.70, 0.0, "No clear case: .* 70.0%, less than the 95% asked for"),
        ({}, 0.02, 0.97, "Practically no effect: .* within -0.1 to 0.1 with probability 97.0%"),
        ({"rope": None, "threshold": 0.0}, 0.97, np.nan, "A clear case: .* above zero is 97.0%"),
        ({"decision_prob": 0.975}, 0.97, 0.0, "No clear case: .* less than the 97.5% asked for"),
        (
            {"direction": "decrease", "threshold": -2.0},
            0.004,
            0.0,
            "A clear case: .* direct effect is below -2 is 99.6%",
        ),
        ({"direction": "decrease", "threshold": -2.0}, 0.999, 0.0, "A clear case against"),
    ],
)
def test_the_decision_follows_the_rule(tutorial_analysis, report, above, rope, start):
    table = tutorial_analysis.comparison.estimands.copy()
    table.loc[0, ["prob_above_threshold", "prob_in_rope"]] = [above, rope]
    spec = tutorial_analysis.spec
    spec = spec.model_copy(update={"report": spec.report.model_copy(update=report)})
    exp = bc.Experiment.from_moments(tutorial_analysis.experiment.moments(), spec)
    comparison = replace(tutorial_analysis.comparison, estimands=table)
    changed = replace(tutorial_analysis, experiment=exp, comparison=comparison)
    assert re.match(start, words.decision(changed))


def test_failed_checks_are_shown_first_and_said(tutorial_analysis):
    checks = pd.DataFrame(
        [("number of clusters", "6", "problem", "ask for more"), ("R-hat", "1.0", "ok", "")],
        columns=["check", "figure", "verdict", "advice"],
    )
    changed = replace(tutorial_analysis, checks=checks)
    assert changed.verdict[-1] == "Take care: number of clusters is 6; ask for more."
    assert "✗ problem" in html.render(changed)
