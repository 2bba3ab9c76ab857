"""The notebooks as they are kept, and the study that one of them reads."""

import ast
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

import bayescluster

FOLDER = Path(__file__).parents[1] / "notebooks"
STUDY = FOLDER / "studies" / "coverage.py"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
#: Longest that a notebook should be.
MOST_CELLS = 30


def cells(name):
    return json.loads((FOLDER / name).read_text("utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def shows_something(cell):
    """Whether a cell ends in an expression, whose value or figure is then to be seen."""
    lines = [line for line in source(cell).splitlines() if not line.startswith("%")]
    last = ast.parse("\n".join(lines)).body[-1]
    return isinstance(last, ast.Expr) and "set_option" not in ast.unparse(last)


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("coverage_study", STUDY)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_kept_as_they_ran(name):
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        kinds = [output["output_type"] for output in cell["outputs"]]
        assert "error" not in kinds, source(cell)
        streams = [o for o in cell["outputs"] if o["output_type"] == "stream"]
        assert not [o for o in streams if o["name"] == "stderr"], source(cell)
        assert cell["outputs"] or not shows_something(cell), source(cell)
    assert len(cells(name)) <= MOST_CELLS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_begin_with_title_and_question_and_end_with_what_to_take_away(name):
    first, *rest = cells(name)
    assert first["cell_type"] == "markdown"
    assert source(first).startswith("# ")
    assert "Question" in source(first)
    assert any(source(c).startswith("## What to take away") for c in rest)


def test_the_map_links_every_notebook_and_nothing_else():
    text = (FOLDER / "README.md").read_text("utf-8")
    assert set(re.findall(r"\((\w+\.ipynb)\)", text)) == set(NOTEBOOKS)


def test_the_kept_study_is_whole(study):
    kept = pd.read_csv(study.KEPT)
    assert list(kept.columns) == list(study.COLUMNS)
    cells = set(kept[["clusters", "icc", "size_cv"]].itertuples(index=False, name=None))
    assert cells == set(product(study.CLUSTERS, study.ICCS, study.SIZE_CVS))
    assert (kept["experiments"] >= 1_000).all()
    assert (kept["seed"] == study.SEED).all()
    methods = kept.groupby(["clusters", "icc", "size_cv", "effect"])["method"].nunique()
    assert set(methods.xs("direct", level="effect")) == {9}
    assert set(methods.xs("spillover", level="effect")) == {8}
    assert kept["coverage"].between(0, 1).all()
    assert not kept.drop(columns="width").isna().any().any()


def run(*arguments):
    return subprocess.run(
        [sys.executable, STUDY, *arguments], capture_output=True, text=True, check=False
    )


def test_a_reduced_study_agrees_with_the_kept_one():
    done = run("--reduced")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the kept file agrees" in done.stdout


def test_a_reduced_study_tells_where_the_kept_one_is_wrong(study, tmp_path, monkeypatch):
    wrong = pd.read_csv(study.KEPT)
    wrong.loc[wrong["method"] == "naive OLS", "coverage"] = 0.5
    wrong.to_csv(tmp_path / "coverage.csv", index=False)
    monkeypatch.setattr(study, "KEPT", tmp_path / "coverage.csv")
    monkeypatch.setattr(study, "REDUCED", ((6, 0.05, 1.0), (50, 0.0, 1.0)))
    told = study.reduced(processes=1)
    assert told
    assert all(line.startswith("naive OLS, direct") for line in told)


def test_a_study_goes_on_where_it_stopped(study, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "KEPT", tmp_path / "coverage.csv")
    monkeypatch.setattr(study, "CLUSTERS", (6, 10))
    monkeypatch.setattr(study, "ICCS", (0.05,))
    monkeypatch.setattr(study, "SIZE_CVS", (0.0,))
    study.full(experiments=4, processes=1)
    kept = pd.read_csv(study.KEPT)
    kept[kept["clusters"] == 6].to_csv(study.KEPT, index=False)
    ran = []
    summary = study.summary
    monkeypatch.setattr(
        study, "summary", lambda cell, *rest: ran.append(cell) or summary(cell, *rest)
    )
    study.full(experiments=4, processes=1)
    assert [cell.clusters for cell in ran] == [10]
    pd.testing.assert_frame_equal(pd.read_csv(study.KEPT), kept)


def test_the_study_documents_its_options_and_columns(study):
    text = run("--help").stdout
    for word in ("--reduced", "--experiments", "--processes", *study.COLUMNS):
        assert word in text


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_import_what_the_package_has(name):
    code = [source(cell) for cell in cells(name) if cell["cell_type"] == "code"]
    lines = [line for text in code for line in text.splitlines() if not line.startswith("%")]
    tree = ast.parse("\n".join(lines))
    names = {"bc": bayescluster}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("bayescluster"):
            bound: dict = {}
            exec(ast.unparse(node), bound)
            names |= bound
    missing = []
    for node in ast.walk(tree):
        dotted = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        first, _, rest = dotted.partition(".")
        if first in names and isinstance(names[first], ModuleType):
            found = names[first]
            for part in re.match(r"[\w.]*", rest).group().rstrip(".").split("."):
                if not hasattr(found, part):
                    missing.append(dotted)
                    break
                found = getattr(found, part)
    assert not missing
