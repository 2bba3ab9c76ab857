"""The report in a browser: headless Chromium, no error, no sideways scroll, axe-core clean.

Where no Chromium is installed the tests are skipped; BAYESCLUSTER_NEED_BROWSER=1 makes that an
error.
"""

import os
import re
import shutil

import numpy as np
import pytest

import bayescluster as bc
from bayescluster.report import html_page as html

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NEEDED = os.environ.get("BAYESCLUSTER_NEED_BROWSER") == "1"
pytestmark = [
    pytest.mark.skipif(BROWSER is None and not NEEDED, reason="no Chromium is installed"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.filterwarnings("ignore:.*bootstrap replicates lose an arm"),
]
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


@pytest.fixture(scope="module")
def broken():
    """An experiment with few, unequal and unlike workspaces, of which one decides."""
    made = bc.simulate.Scenario(n_clusters=8, cluster_size=12, size_cv=0.8).simulate(1)
    data = made.rename(columns={"cluster": "workspace", "outcome": "minutes"})
    data.loc[data["workspace"] == 0, "minutes"] += 60
    spec = bc.ModelSpec(
        title="A broken experiment <b>with</b> markup & a very-long-unbreakable-name_" + "x" * 80,
        question="What does the page say first?",
        design={"cluster": "workspace", "treatment": "treated", "spillover": "exposed"},
        outcome={"column": "minutes", "label": "minutes <img src=x onerror=alert(1)>"},
    )
    return bc.analyze(data, spec, bootstrap_draws=300, seed=2, progressbar=False)


@pytest.fixture(scope="module")
def pages(tutorial_analysis, broken, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, analysis in (("good", tutorial_analysis), ("broken", broken)):
        found[name] = analysis.report(folder / f"{name}.html")
    return found


@pytest.fixture(scope="module")
def browser():
    assert BROWSER, "BAYESCLUSTER_NEED_BROWSER is set, and there is no Chromium"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser, pages):
    """Open a page, and collect what goes wrong on it."""
    opened = []

    def at(name, size="desktop", scheme="light"):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        troubles = []
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: troubles.append(str(e)))
        page.on("requestfailed", lambda r: troubles.append(r.url[:80]))
        page.on("dialog", lambda d: troubles.append(f"dialog: {d.message}"))
        page.goto(pages[name].as_uri())
        page.wait_for_load_state("load")
        opened.append(context)
        return page, troubles

    yield at
    for context in opened:
        context.close()


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")


@pytest.mark.parametrize("name", ["good", "broken"])
@pytest.mark.parametrize("size", list(SIZES))
def test_nothing_goes_wrong_and_nothing_scrolls_sideways(visit, name, size):
    page, troubles = visit(name, size)
    images = page.evaluate(
        "[...document.images].map(image => [image.complete, image.naturalWidth])"
    )
    assert len(images) >= 12
    assert all(complete and width > 0 for complete, width in images)
    assert page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    requested = page.evaluate("performance.getEntriesByType('resource').map(r => r.name)")
    assert all(name.startswith("data:") for name in requested)
    assert troubles == []


@pytest.mark.parametrize("name", ["good", "broken"])
@pytest.mark.parametrize(
    ("size", "scheme"), [("desktop", "light"), ("desktop", "dark"), ("phone", "light")]
)
def test_axe_finds_nothing(visit, name, size, scheme):
    from axe_core_python.sync_playwright import Axe

    page, _ = visit(name, size, scheme=scheme)
    unfold(page)
    found = Axe().run(page)["violations"]
    told = [(v["id"], v["impact"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found]
    assert told == []


def test_headings_are_in_order(visit):
    page, _ = visit("good")
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1


def test_what_failed_is_above_the_answer(visit):
    page, _ = visit("broken")
    trouble = page.locator("section.trouble").bounding_box()
    answer = page.locator("section.answer").bounding_box()
    assert trouble["y"] < answer["y"]
    assert "Number of clusters" in page.locator("section.trouble").inner_text()
    assert page.locator("img[src='x']").count() == 0  # markup in names stays text


def test_tables_sort_by_the_numbers_behind_them(visit, tutorial_analysis):
    page, _ = visit("good")
    unfold(page)
    table = page.locator("table[data-key=estimates]")
    head = table.locator("th[data-column=estimate] button")
    head.click()
    values = table.locator("tbody tr td:nth-child(4)").evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.value))"
    )
    assert values == sorted(tutorial_analysis.estimates["estimate"])
    head.click()
    again = table.locator("tbody tr td:nth-child(4)").evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.value))"
    )
    assert again == values[::-1]
    assert table.locator("th[aria-sort=descending]").count() == 1


def test_the_keyboard_reaches_the_answer(visit):
    page, _ = visit("good")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"


@pytest.mark.parametrize("name", ["good", "broken"])
def test_it_prints_on_few_pages(visit, name):
    """Details stay folded in print; what was unfolded is printed."""
    page, _ = visit(name)
    page.emulate_media(media="print")
    assert page.locator("nav.contents").is_hidden()
    pages = len(re.findall(rb"/Type\s*/Page[^s]", page.pdf(format="A4")))
    assert 2 <= pages <= 8
    unfold(page)
    whole = len(re.findall(rb"/Type\s*/Page[^s]", page.pdf(format="A4")))
    assert whole > pages


@pytest.mark.parametrize("name", ["good", "broken"])
def test_the_first_screen_fits(visit, name):
    """Decision, effects, cross-check, what stands against it and lights, without scrolling."""
    for size, (_, height) in SIZES.items():
        page, _ = visit(name, size)
        answer = page.locator("section.answer").bounding_box()
        if (name, size) != ("broken", "phone"):  # its title has a name of 100 letters
            assert answer["y"] + answer["height"] <= height
        assert page.locator("section.answer .cross").is_visible()
        assert page.locator("section.answer .lights").is_visible()


def test_links_unfold_what_they_point_to(visit):
    page, _ = visit("good")
    assert page.locator("details#sensitivity").get_attribute("open") is None
    page.locator("nav.contents a[href='#sensitivity']").click()
    page.wait_for_timeout(100)
    assert page.locator("details#sensitivity").get_attribute("open") is not None
    assert page.locator("details#estimates").get_attribute("open") is not None


def test_a_phone_shows_the_forest_without_scrolling(visit):
    page, _ = visit("good", "phone")
    figure = page.locator("#figure-forest")
    assert figure.evaluate("figure => figure.scrollWidth <= figure.clientWidth")
    assert page.locator("#figure-positivity").count() == 0


def test_missing_numbers_sort_last_and_infinities_by_size(visit):
    page, _ = visit("good")
    unfold(page)
    head = page.locator("table[data-key=estimates] th[data-column=p_value] button")
    cell = "table[data-key=estimates] tbody tr td:last-child"
    page.locator(cell).first.evaluate("cell => { cell.dataset.value = '-inf'; }")
    for _ in range(2):
        head.click()
        values = page.locator(cell).evaluate_all("cells => cells.map(cell => cell.dataset.value)")
        missing = [value in (None, "nan") for value in values]
        assert any(missing)
        assert missing == sorted(missing)
        known = [float(value) for value in values if value not in (None, "nan")]
        assert known in (sorted(known), sorted(known)[::-1])


def test_dark_pages_are_dark(visit):
    page, _ = visit("good", scheme="dark")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, colour[4:-1].split(","))) < 150


def test_one_page_of_every_metric_in_the_browser(browser, tmp_path):
    from axe_core_python.sync_playwright import Axe

    data = bc.simulate.Scenario(n_clusters=12, cluster_size=30).simulate(1)
    design = {"cluster": "cluster", "treatment": "treated", "spillover": "exposed"}
    specs = {
        name: bc.ModelSpec(title=name, design=design, outcome={"column": "outcome"})
        for name in ("minutes", "calls")
    }
    card = bc.scorecard(data, specs, engine="exact", progressbar=False)
    path = card.report(tmp_path / "card.html", bootstrap_draws=300)
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(path.as_uri())
    assert page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    shown = page.evaluate("document.documentElement.scrollHeight")
    assert shown < 3_000  # one table and folded sections
    unfold(page)
    assert html.MARKS["ok"][0] in page.locator("ul.lights").first.inner_text()
    assert [found["id"] for found in Axe().run(page)["violations"]] == []
    page.close()
