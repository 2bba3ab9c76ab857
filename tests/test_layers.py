"""Imports between modules: no circle, those under TYPE_CHECKING and within functions included."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import bayescluster

ROOT = Path(bayescluster.__file__).parent
MODULES = {
    ".".join(("bayescluster", *path.relative_to(ROOT).with_suffix("").parts)): path
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
}


def imported(name, path):
    """Return the package's modules that one module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        above = name.split(".")[: -node.level] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: MODULES.keys() & set(imported(name, path)) for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > 400
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules
