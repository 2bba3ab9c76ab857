"""The documentation: every example runs and prints what it says, every public name is there."""

import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from public_names import public_names
from typer.testing import CliRunner

import bayescluster as bc
from bayescluster._support.check_record import Subject
from bayescluster.cli import app
from bayescluster.report.document import SECTIONS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "bayescluster"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "-- end of a block --"
#: Runs the blocks of a page in order, in one namespace.
RUNNER = f"""
import sys
page, *blocks = sys.stdin.read().split({END!r})
namespace = {{"__name__": "__main__"}}
for i, block in enumerate(blocks, 1):
    exec(compile(block, f"{{page}}, block {{i}}", "exec"), namespace)
    print({END!r})
"""


def name_of(path):
    return path.relative_to(DOCS).as_posix()


def blocks_of(path):
    return BLOCK.findall(path.read_text("utf-8"))


def python_of(path):
    """Python blocks, each with the text block that follows it: what it prints, or None."""
    blocks = blocks_of(path)
    return [
        (code, following[1] if following[0] == "text" else None)
        for (language, code), following in zip(blocks, [*blocks[1:], ("", "")], strict=False)
        if language == "python"
    ]


def execute(path, folder):
    """Run a page's Python in a process of its own; return what each block prints."""
    code = END.join([name_of(path), *(code for code, _ in python_of(path))])
    result = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=code,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr, result.stderr
    return [text.removeprefix("\n") for text in result.stdout.split(END)[:-1]]


def lines(text):
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("path", [path for path in PAGES if python_of(path)], ids=name_of)
def test_examples_run_and_print_what_the_page_says(path, tmp_path):
    printed = execute(path, tmp_path)
    for found, (code, said) in zip(printed, python_of(path), strict=True):
        if said is not None:
            assert lines(found) == lines(said), code


def test_the_commands_of_the_guide_run(tmp_path, monkeypatch):
    """Posteriors are integrated here, not sampled: tests/test_cli.py samples them."""

    def integrated(exp, draws=1_000, tune=1_000, chains=4, seed=0, progressbar=True):
        return bc.fit_exact(exp, draws * chains, seed)

    monkeypatch.setattr("bayescluster.bayes.fit.fit", integrated)
    monkeypatch.chdir(tmp_path)
    page = DOCS / "guides/command-line.md"
    made = {language for language, _ in blocks_of(page)}
    assert {"console", "toml"} <= made
    specs = [code for language, code in blocks_of(page) if language == "toml"]
    for name, code in zip(("spec.toml", "graph.toml"), specs, strict=True):
        (tmp_path / name).write_text(code)
    edges, users = bc.simulate.GraphScenario(n_clusters=20, cluster_size=20).simulate(seed=1)
    edges.to_csv("edges.csv", index=False)
    users.to_csv("people.csv", index=False)
    ran = []
    for language, block in blocks_of(page):
        for line in block.splitlines() if language == "console" else ():
            command, *arguments = shlex.split(line.removeprefix("$ "), comments=True)
            assert (line.startswith("$ "), command) == (True, "bayescluster"), line
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{line}\n{result.output}"
            ran.append(arguments[0])
    assert {"demo", "report", "exposure", "simulate"} <= set(ran)


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("page_tables", DOCS / "page_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_a_page_for_every_room(tables):
    pages = tables.pages()
    written = {path: path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md")}
    for path, text in written.items():
        assert pages.get(path) == text, f"{name_of(path)} is out of date: run `make pages`"
    assert set(pages) == {*written, DOCS / "modules.md"}


def test_the_reference_has_every_public_name_once():
    text = "".join(path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md"))
    known = public_names()
    assert sorted(re.findall(r"^::: bayescluster\.(\S+)$", text, re.MULTILINE)) == sorted(known)
    index = (DOCS / "reference/index.md").read_text("utf-8")
    assert set(re.findall(r"\[bayescluster\.([\w.]+)\]", index)) == set(known)


def test_names_and_links_of_the_pages_exist():
    made = {"models/index.md", "benchmarks.md", "changelog.md", "contributing.md"}  # by the hook
    known = public_names()
    for path in PAGES:
        text = path.read_text("utf-8")
        for name in re.findall(r"\bbc\.(\w+(?:\.\w+)?)", text):
            at_root = name.partition(".")[0] in (*bc.__all__, "__version__")
            assert at_root or name in known, f"{name_of(path)}: bc.{name}"
        for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
            target = (path.parent / link).resolve()
            inside = target.is_relative_to(DOCS) and name_of(target) in made
            repository = ROOT / target.relative_to(DOCS) if target.is_relative_to(DOCS) else target
            assert inside or target.exists() or repository.exists(), f"{name_of(path)}: {link}"


def test_the_navigation_has_every_page():
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    listed = set(re.findall(r"([\w./-]+\.md)$", text, re.MULTILINE))
    assert {name_of(path) for path in PAGES} <= listed


def test_the_module_page_has_every_folder(tables):
    page = DOCS / "modules.md"
    text = page.read_text("utf-8")
    assert tables.pages()[page] == text, "docs/modules.md is out of date: run `make pages`"
    folders = [path.parent for path in PACKAGE.rglob("__init__.py")]
    listed = re.findall(r"^## (\S+)/$", text, re.MULTILINE)
    assert sorted(listed) == sorted(path.relative_to(ROOT).as_posix() for path in folders)
    for path in PACKAGE.rglob("*.py"):
        assert tables.purpose(path), path
    for folder in re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_the_guide_to_checks_has_every_assumption():
    text = (DOCS / "guides/checks.md").read_text("utf-8")
    for about in Subject:
        assert re.search(rf"^## {about}$", text, re.MULTILINE | re.IGNORECASE), about


def test_the_guide_to_the_report_has_every_section():
    text = (DOCS / "guides/report.md").read_text("utf-8")
    source = "".join(inspect.getsource(section) for section in SECTIONS)
    titles = re.findall(r'Section\(\s*"\w+",\s*"([^"]+)"', source)
    assert len(titles) >= 10
    for title in titles:
        assert f"**{title}**" in text, title


def test_main_names_have_examples():
    main = (
        "analyze Experiment fit fit_exact compare two_exposure cluster_bootstrap wild_bootstrap "
        "randomization_test expose scorecard decide rollout diagnose"
    )
    for name in main.split():
        assert ">>> " in inspect.getdoc(getattr(bc, name)), name


def test_public_functions_say_what_they_take_and_return():
    for name, value in public_names().items():
        documentation = inspect.getdoc(value)
        if not inspect.isfunction(value):
            continue
        if inspect.signature(value).parameters:
            assert "\nParameters\n----------" in documentation, name
        assert "\nReturns\n-------" in documentation, name
