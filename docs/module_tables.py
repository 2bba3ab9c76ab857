"""Write the tables of docs/modules.md, the first line of each docstring: `make modules`."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayescluster"
PAGE = ROOT / "docs/modules.md"
BEGIN, END = "<!-- modules: begin -->\n", "<!-- modules: end -->\n"


def purpose(path: Path) -> str:
    """Return the first line of a module's docstring, as Markdown."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    line = docstring.partition("\n")[0].replace("|", r"\|")
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", line)


def folders() -> list[Path]:
    """Return the package's folders: its root, then each room after the rooms that it may import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = [PACKAGE / room for room in reversed(layers) if (PACKAGE / room).is_dir()]
    return [PACKAGE, *(path.parent for room in rooms for path in sorted(room.rglob("__init__.py")))]


def table(folder: Path) -> str:
    """Return a folder as a section: what is in it, and its modules."""
    parts = [f"## {folder.relative_to(ROOT).as_posix()}/", purpose(folder / "__init__.py")]
    paths = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    rows = [f"| `{path.name}` | {purpose(path)} |" for path in paths]
    if rows:
        parts.append("\n".join(["| module | what is in it |", "| --- | --- |", *rows]))
    return "\n\n".join(parts)


def filled(page: str) -> str:
    """Return the page with its tables as the package has them now."""
    head, rest = page.split(BEGIN)
    tables = "\n\n".join(table(folder) for folder in folders())
    return f"{head}{BEGIN}\n{tables}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
