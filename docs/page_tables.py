"""Write what docs/modules.md and docs/reference/ take from the package: `make pages`.

The page of modules lists the first line of each docstring. A page of the reference lists the public
names of one room: new names are added to it, names that are gone are removed, and the order that
the page has is kept.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayescluster"
MODULES = ROOT / "docs/modules.md"
REFERENCE = ROOT / "docs/reference"
NAME = re.compile(r"^::: bayescluster\.(\S+)(?:\n    .*)*$", re.MULTILINE)


def rooms() -> list[str]:
    """Return the rooms of the package, each after the rooms that it may import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return project["tool"]["importlinter"]["contracts"][0]["layers"][::-1]


def parsed(path: Path) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(path.read_text("utf-8"))


def purpose(path: Path) -> str:
    """Return the first line of a module's docstring, as Markdown."""
    line = (ast.get_docstring(parsed(path)) or "").partition("\n")[0].replace("|", r"\|")
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", line)


def module_table(folder: Path) -> str:
    """Return a folder as a section: what is in it, and its modules."""
    parts = [f"## {folder.relative_to(ROOT).as_posix()}/", purpose(folder / "__init__.py")]
    paths = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    rows = [f"| `{path.name}` | {purpose(path)} |" for path in paths]
    if rows:
        parts.append("\n".join(["| module | what is in it |", "| --- | --- |", *rows]))
    return "\n\n".join(parts)


def module_tables() -> str:
    """Return the section of every folder of the package."""
    inside = [path.parent for room in rooms() for path in sorted((PACKAGE / room).rglob("*.py"))]
    folders = [PACKAGE, *dict.fromkeys(inside)]
    return "\n\n".join(module_table(folder) for folder in folders)


def imported(stub: Path) -> list[tuple[str, str]]:
    """Return the names that a stub exports, each with the module that it comes from."""
    nodes = [node for node in parsed(stub).body if isinstance(node, ast.ImportFrom) and node.module]
    return [(alias.name, str(node.module)) for node in nodes for alias in node.names]


def public_names() -> dict[str, list[str]]:
    """Return the public names of each room, as they are reached from the package."""
    found: dict[str, list[str]] = {room: [] for room in rooms()}
    for name, module in imported(PACKAGE / "__init__.pyi"):
        found[module.partition(".")[0]].append(name)
    for room, names in found.items():
        if (stub := PACKAGE / room / "__init__.pyi").exists():
            names += [f"{room}.{name}" for name, _ in imported(stub)]
    classes = [n.name for n in parsed(PACKAGE / "errors.py").body if isinstance(n, ast.ClassDef)]
    found["errors"] += [f"errors.{name}" for name in classes if name not in found["errors"]]
    return {room: names for room, names in found.items() if names}


def reference(page: str, names: list[str]) -> str:
    """Return a page of the reference with the names that its room has now."""
    intro = page.partition("\n::: ")[0].strip()
    entries = {match[1]: match[0] for match in NAME.finditer(page)}
    kept = [name for name in entries if name in names]
    added = [name for name in names if name not in entries]
    return "\n\n".join([intro, *(entries.get(n, f"::: bayescluster.{n}") for n in kept + added)])


def names_table(pages: dict[str, str]) -> str:
    """Return the table of all names, by room."""
    rows = ["| room | names |", "| --- | --- |"]
    for room, page in pages.items():
        links = [f"[`bc.{name}`][bayescluster.{name}]" for name in NAME.findall(page)]
        rows.append(f"| [{room}]({room}.md) | {', '.join(links)} |")
    return "\n".join(rows)


def filled(path: Path, what: str, text: str) -> str:
    """Return a page with a text between the two markers of its name."""
    begin, end = f"<!-- {what}: begin -->", f"<!-- {what}: end -->"
    head, _, rest = path.read_text("utf-8").partition(begin)
    return f"{head}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"


def pages() -> dict[Path, str]:
    """Return all pages as they should be."""
    made = {}
    for room, names in public_names().items():
        path = REFERENCE / f"{room}.md"
        page = path.read_text("utf-8") if path.exists() else f"# {room.capitalize()}"
        made[room] = reference(page, names) + "\n"
    return {
        MODULES: filled(MODULES, "modules", module_tables()),
        REFERENCE / "index.md": filled(REFERENCE / "index.md", "names", names_table(made)),
        **{REFERENCE / f"{room}.md": page for room, page in made.items()},
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
