"""The report: whole, self-contained, safe, and true to the tables."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster._support.display import number, percent, probability, rounded
from bayescluster.checks.five_assumptions import ASSUMPTIONS
from bayescluster.report import html_page, markdown_page
from bayescluster.report.appendix import reproduce
from bayescluster.report.document import document
from bayescluster.report.document_parts import Grid
from bayescluster.report.first_screen import headline

MODELS = Path(__file__).parents[2] / "models"
NASTY = "<script>alert('x')</script> $a_b$ & \"c\""


class Page(HTMLParser):
    """Collects headings, sources, tables (text and the numbers behind it) and ids of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.sources, self.alts, self.headings = [], {}, [], [], []
        self._key = self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        if tag == "table":
            self._key = given["data-key"]
            self.tables.setdefault(self._key, ([], []))
        if tag == "th":
            self.tables[self._key][0].append(given["data-column"])
        if tag == "tr" and self._key:
            self.tables[self._key][1].append([])
        if tag == "td":
            self._cell = [given.get("data-value"), ""]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        for name in ("src", "href"):
            if name in given:
                self.sources.append(given[name])
        if tag == "img":
            self.alts.append(given["alt"])

    def handle_data(self, data):
        if self._cell is not None:
            self._cell[1] += data

    def handle_endtag(self, tag):
        if tag == "td":
            self.tables[self._key][1][-1].append(self._cell)
            self._cell = None

    def frame(self, key):
        """Return a table as a frame of the numbers behind its cells, or the text without such."""
        columns, rows = self.tables[key]
        values = [[text if raw is None else float(raw) for raw, text in row] for row in rows if row]
        return pd.DataFrame(values, columns=columns)


@pytest.fixture(scope="module")
def text(tutorial_analysis):
    return html_page.render(tutorial_analysis)


def test_the_page_needs_no_network(text):
    page = Page(text)
    images = [source for source in page.sources if not source.startswith("#")]
    assert len(images) >= 15
    assert all(source.startswith("data:image/svg+xml;base64,") for source in images)
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags.count("script") == 1
    assert len(text) < 5_000_000


def test_the_page_is_well_formed(text):
    page = Page(text)
    assert page.tags.count("h1") == 1
    assert page.tags.count("main") == 1
    assert all(len(alt) > 30 for alt in page.alts)
    assert '<html lang="en">' in text
    assert 'name="viewport"' in text
    assert page.headings[0] == 1
    assert max(np.diff(page.headings)) <= 1  # no level is skipped
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    assert {source[1:] for source in page.sources if source.startswith("#")} <= set(ids)


def test_every_number_on_the_page_equals_the_number_in_its_table(text, tutorial_analysis):
    """All tables are read back from the page; numbers are exact, their text is rounded."""
    page = Page(text)
    grids = [
        part
        for section in document(tutorial_analysis).sections
        for part in section.parts
        if isinstance(part, Grid)
    ]
    assert {grid.key for grid in grids} == set(page.tables)
    compared = 0
    for grid in grids:
        found = page.frame(grid.key)
        assert list(found) == list(grid.shown)
        assert len(found) == len(grid.shown)
        for name in found:
            for ours, theirs in zip(found[name], grid.shown[name], strict=True):
                if isinstance(theirs, bool | np.bool_ | str):
                    assert str(ours) in (
                        str(theirs),
                        str(theirs).replace("pure_control", "pure control"),
                    )
                else:
                    assert ours == float(theirs) or (np.isnan(ours) and np.isnan(theirs))
                    compared += 1
    assert compared > 250
    for name, table in {
        "estimates": tutorial_analysis.estimates,
        "agreement": tutorial_analysis.comparison.agreement,
        "convergence": bc.bayes.convergence(tutorial_analysis.posterior),
        "predictive": tutorial_analysis.predictive.to_dataframe(),
        "decision": tutorial_analysis.decision.to_dataframe(),
    }.items():
        numbers = page.frame(name).select_dtypes("number")
        np.testing.assert_array_equal(numbers, table[list(numbers)])
    for raw, shown in (cell for _, rows in page.tables.values() for row in rows for cell in row):
        if raw is not None and re.fullmatch(r"-?[\d,]+\.?\d*(e[-+]\d+)?", shown):
            read, places = float(shown.replace(",", "")), len(shown.partition(".")[2])
            assert read == pytest.approx(float(raw), rel=5e-4, abs=0.50001 * 10.0**-places)
    for sentence in tutorial_analysis.conclusions:
        assert sentence.replace("'", "&#39;").replace(">", "&gt;").replace("<", "&lt;") in text


def test_the_first_screen_has_the_answer_and_every_light(text, tutorial_analysis):
    first = text[: text.index('<nav class="contents"')]
    for row in tutorial_analysis.lights.itertuples():
        assert f"{row.about}<span" in first
        assert f'dot {row.verdict}"' in first
    effects = tutorial_analysis.comparison.named_estimands.set_index("estimand")
    for name in ("direct", "spillover", "full rollout"):
        for column in ("mean", "ci_lower", "ci_upper"):
            assert rounded(effects.loc[name, column], effects.loc[name, "sd"]) in first
    cross = tutorial_analysis.comparison.cross_checks["direct"]
    assert rounded(cross["ci_lower"], cross["std_error"]) in first


def test_every_assumption_has_a_verdict_a_figure_and_its_own_heading(text):
    for name in ASSUMPTIONS:
        title = name[:1].upper() + name[1:]
        part = text[text.index(f"<h3>{title}") :]
        part = part[: part.index("<h2")]
        assert 'class="mark' in part
    for key in ("balance", "spread", "normality", "influence", "schematic", "sizes", "caterpillar"):
        assert f'id="figure-{key}"' in text
    for key in ("densities", "quantiles", "ranks", "evolution", "energy", "predictive", "rollout"):
        assert f'id="figure-{key}"' in text


def test_markdown_has_the_same_tables_and_no_markup_from_the_data(tutorial_analysis, tmp_path):
    path = tutorial_analysis.report(tmp_path / "report.md")
    lines = path.read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| two-exposure OLS, CR2 ")]
    row = tutorial_analysis.estimates.set_index(["method", "term"]).loc[
        ("two-exposure OLS, CR2", "direct")
    ]
    assert rounded(row["estimate"], row["std_error"], two=True) in rows[0]
    assert not any("<" in line.replace("\\<", "") for line in lines)
    assert "## The five assumptions" in lines


def test_json_gives_every_number_back(tutorial_analysis, tmp_path):
    path = tutorial_analysis.report(tmp_path / "report.json")
    found = json.loads(path.read_text("utf-8"))
    assert found == tutorial_analysis.to_dict()
    estimates = pd.DataFrame(found["estimates"])
    np.testing.assert_array_equal(estimates["estimate"], tutorial_analysis.estimates["estimate"])
    assert found["provenance"]["spec_hash"] == tutorial_analysis.spec.hash
    assert bc.ModelSpec(**found["specification"]).hash == tutorial_analysis.spec.hash


def test_a_report_has_a_known_format(tutorial_analysis, tmp_path):
    with pytest.raises(ValueError, match=r"name the report \.html, \.md or \.json"):
        tutorial_analysis.report(tmp_path / "report.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_shows_the_first_screen(tutorial_analysis):
    shown = tutorial_analysis._repr_html_()
    assert "Ship: the direct effect" in shown
    row = tutorial_analysis.comparison.estimands.iloc[0]
    assert rounded(row["mean"], row["sd"]) in shown
    assert "AI meeting summaries" in str(tutorial_analysis)


@pytest.mark.filterwarnings("ignore:R-hat", "ignore:effective sample size")
def test_code_that_reproduces_the_page_runs(tmp_path, monkeypatch):
    path = tmp_path / "users.parquet"
    bc.load_tutorial(2_000).to_parquet(path)
    settings = {"bootstrap_draws": 300, "draws": 300, "chains": 2, "progressbar": False}
    analysis = bc.analyze(path, bc.tutorial_spec(), **settings)
    (tmp_path / "spec.toml").write_text(analysis.spec.to_toml(), "utf-8")
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(reproduce(analysis), found)
    assert (tmp_path / "report.html").exists()
    np.testing.assert_allclose(
        found["analysis"].comparison.bootstrap.draws, analysis.comparison.bootstrap.draws
    )


def test_a_scorecard_has_a_page_of_all_its_metrics(tmp_path):
    data = bc.simulate.Scenario(n_clusters=12, cluster_size=30).simulate(1)
    data["other"] = data["outcome"] ** 2
    design = {"cluster": "cluster", "treatment": "treated", "spillover": "exposed"}
    specs = [bc.ModelSpec(design=design, outcome={"column": c}) for c in ("outcome", "other")]
    card = bc.scorecard(data, specs, engine="exact", progressbar=False)
    path = card.report(tmp_path / "card.html", bootstrap_draws=300)
    text = path.read_text("utf-8")
    page = Page(text)
    assert len(text) < 5_000_000
    assert page.tags.count("h1") == 1
    assert max(np.diff(page.headings)) <= 1
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    numbers = page.frame("scorecard").select_dtypes("number")
    np.testing.assert_array_equal(numbers, card.table[list(numbers)])
    assert {"m2-estimates", "m3-estimates", "m2-design"} <= set(ids)


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
    assert page.tags.count("script") == 1  # the page's own
    assert "b" not in page.tags
    text = path.read_text("utf-8")
    assert "alert(&#39;x&#39;)" in text
    assert text.index("Number of clusters: 8") < text.index('class="decision"')
    lines = analysis.report(tmp_path / "page.md").read_text("utf-8")
    apart = re.sub(r"^(`{3,})\n.*?^\1$", "", lines, flags=re.DOTALL | re.MULTILINE)
    assert "<script" in lines  # in the specification, fenced
    assert "<script" not in apart.replace("\\<", "")


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
    assert probability(value) == shown


def test_failed_checks_are_shown_first_and_said(tutorial_analysis):
    checks = pd.DataFrame(
        [
            ("cluster count", "number of clusters", "", "6", "problem", "ask for more"),
            ("sampler", "R-hat", "", "1.0", "ok", ""),
        ],
        columns=["about", "check", "effect", "value", "verdict", "advice"],
    )
    changed = replace(tutorial_analysis, checks=checks)
    assert changed.conclusions[-1] == "Problem with number of clusters: 6; ask for more."
    assert "✗ problem" in html_page.render(changed)


def exact(data, spec):
    """An analysis without a sampler."""
    exp = data if isinstance(data, bc.Experiment) else bc.Experiment(data, spec)
    comparison = bc.compare(exp, bc.fit_exact(exp, draws=400), bootstrap_draws=300)
    return bc.Analysis(exp, comparison, bc.diagnose(comparison))


DESIGN = {"cluster": "cluster", "treatment": "treated", "spillover": "exposed"}


@pytest.fixture
def users():
    return bc.simulate.Scenario(n_clusters=20, cluster_size=15).simulate(1)


def test_names_that_are_no_mathematics_and_levels_with_a_slash_are_drawn(users, tmp_path):
    rng = np.random.default_rng(1)
    broken, long = "x $\\frac{$ y", "y" * 300
    users[broken], users[long] = rng.normal(size=(2, len(users)))
    users["plan"] = rng.choice(["free", "N/A", "a/b"], len(users))
    outcome = {"column": "outcome", "covariates": [broken, long, "plan"]}
    analysis = exact(users, bc.ModelSpec(design=DESIGN, outcome=outcome))
    assert analysis.report(tmp_path / "page.html").exists()
    assert "plan[N\N{DIVISION SLASH}A]" in analysis.posterior["posterior"]
    with pytest.raises(bc.errors.SpecError, match="rename"):
        bc.ModelSpec(design=DESIGN, outcome={"column": "outcome", "covariates": ["a/b"]})


def test_a_notebook_shows_the_first_screen_without_refits(users, monkeypatch):
    analysis = exact(users, bc.ModelSpec(design=DESIGN, outcome={"column": "outcome"}))
    refitting = import_module("bayescluster.checks.sensitivity_to_priors")  # a function's name too
    monkeypatch.setattr(refitting, "prior_sensitivity", None)
    monkeypatch.setattr("bayescluster.checks.predictive_check.posterior_predictive_check", None)
    assert "direct effect" in analysis._repr_html_()


@pytest.mark.parametrize("without_units", [False, True])
def test_code_reproduces_a_page_that_was_integrated(users, tmp_path, monkeypatch, without_units):
    spec = bc.ModelSpec(design=DESIGN, outcome={"column": "outcome"})
    users.to_parquet(tmp_path / "users.parquet")
    moments = bc.Experiment(users, spec).moments()
    data = bc.Experiment.from_moments(moments, spec) if without_units else users
    analysis = exact(data, spec)
    code = reproduce(analysis)
    assert ("from_moments" in code) == without_units
    (tmp_path / "spec.toml").write_text(spec.to_toml(), "utf-8")
    monkeypatch.chdir(tmp_path)
    found = {"moments": moments}
    exec(code.replace("data = ...", "data = moments"), found)
    pd.testing.assert_frame_equal(found["analysis"].estimates, analysis.estimates)


def test_effects_are_defined_by_the_design(users):
    alone = {"cluster": "cluster", "treatment": "treated"}
    outcome = {"column": "outcome", "family": "lognormal"}
    users["outcome"] = np.exp(users["outcome"])
    said = " ".join(exact(users, bc.ModelSpec(design=alone, outcome=outcome)).conclusions)
    assert "control users, whatever spillover these receive" in said
    assert "differences of the mean logarithm" in said
    made = bc.simulate.example(MODELS / "partial_rollout.toml")
    analysis = exact(made.simulate(seed=1), made.spec)
    said = " ".join(analysis.conclusions)
    assert "within_spillover effect" not in said.replace("of the within_spillover effect", "")
    assert "users of a cluster with nobody treated" in said
    made = bc.simulate.example(MODELS / "four_conditions.toml")
    analysis = exact(made.simulate(seed=1), made.spec)
    assert "treated users who are not exposed against" in " ".join(analysis.conclusions)
    assert "full rollout with exposure" in set(headline(analysis).frame["estimand"])
    assert "interaction is" in html_page.render(analysis)


def test_markdown_mentions_nobody():
    assert "@<!-- -->all" in markdown_page.escaped("@all")


def test_failed_checks_of_any_metric_are_above_the_scorecard(tmp_path):
    data = bc.simulate.Scenario(n_clusters=8, cluster_size=20).simulate(1)
    data["other"] = data["outcome"] ** 2
    specs = {
        name: bc.ModelSpec(design=DESIGN, outcome={"column": name}) for name in ("outcome", "other")
    }
    card = bc.scorecard(data, specs, engine="exact", progressbar=False)
    with pytest.warns(UserWarning, match="lose an arm"):
        text = card.report(tmp_path / "card.html", bootstrap_draws=300).read_text("utf-8")
    assert text.index("Number of clusters: 8") < text.index("are discoveries at a false")
    labels = re.findall(r'<(?:section|div)[^>]* aria-label="([^"]+)"', text)
    assert len(set(labels)) == len(labels)
