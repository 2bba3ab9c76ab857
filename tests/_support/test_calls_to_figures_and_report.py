import re
from importlib import import_module
from pathlib import Path

import pytest

import bayescluster
from bayescluster._support.calls_to_figures_and_report import draw, write

ROOT = Path(bayescluster.__file__).parent
CALLS = [
    (path.relative_to(ROOT).as_posix(), door, name)
    for path in sorted(ROOT.rglob("*.py"))
    for door, name in re.findall(r'\b(draw|write)\("([a-z_.]+)"', path.read_text())
]


@pytest.mark.parametrize(("path", "door", "name"), CALLS)
def test_every_name_at_a_door_exists(path, door, name):
    room = {"draw": "figures", "write": "report"}[door]
    module, function = name.rsplit(".", 1)
    assert callable(getattr(import_module(f"bayescluster.{room}.{module}"), function)), path


def test_every_result_that_plots_uses_the_door():
    plots = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if "    def plot(" in path.read_text()
    }
    assert plots == {path for path, door, _ in CALLS if door == "draw"}


@pytest.mark.parametrize("name", ["effects.nothing", "nothing.forest", "nothing", ""])
def test_unknown_names_are_refused(name):
    with pytest.raises(LookupError, match="figures/ has no function"):
        draw(name, None)
    with pytest.raises(LookupError, match="report/ has no function"):
        write(name)


def test_one_module_calls_figures_and_report_by_name():
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if "import_module" in path.read_text()
    }
    registry = "spec/families/__init__.py"
    assert found == {"_support/calls_to_figures_and_report.py", registry}
