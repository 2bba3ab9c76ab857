"""What the site takes from elsewhere in the repository, and how docstrings become links.

The repository's own pages (models, benchmarks, changelog, contributing) are shown as they are: none
is copied into docs/. Links work in the repository, and are rewritten for the site. Nothing on the
site needs a network: formulas become MathML, which browsers draw, and graphs become lists.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
#: Pages of the site that are made from the repository's own pages.
PAGES = {
    "models/index.md": ("models/README.md",),
    "benchmarks.md": ("benchmarks/README.md", "benchmarks/results.md"),
    "changelog.md": ("CHANGELOG.md",),
    "contributing.md": ("CONTRIBUTING.md",),
}
#: Where links between the repository's pages lead on the site.
LINKS = {
    "models/README.md": "models/index.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/results.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
}
#: Files that pages link to or show.
ASSETS = (
    "models/*.toml",
    "models/images/*.png",
    "notebooks/images/tutorial-forest.png",
    "notebooks/*.ipynb",
)
LISTED = "Each graph is a list here: a node, and the parameters that it depends on."
#: Where each public name is, below the package.
PUBLIC = {
    path.rpartition(".")[2]: path
    for page in (ROOT / "docs/reference").glob("*.md")
    for path in re.findall(r"^::: bayescluster\.(\S+)$", page.read_text("utf-8"), re.MULTILINE)
}
#: A link or an image: its words, its target, its anchor.
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(#[^)]*)?\)")
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):<code>([^<]+)</code>")


def on_files(files: Files, config: Any) -> Files:
    """Add the repository's own pages, and what they show."""
    for target, sources in PAGES.items():
        text = "\n\n".join(_page(ROOT / source, target) for source in sources)
        files.append(File.generated(config, target, content=text))
    for pattern in ASSETS:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Link notebooks named in tables; turn links that work in the repository into the site's."""
    source = ROOT / "docs" / page.file.src_uri
    if source.exists():  # pages made of the repository's own are rewritten already
        markdown = LINK.sub(_rewritten(source, page.file.src_uri), markdown)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        name = f"`{path.name}`"
        markdown = markdown.replace(f"| {name} |", f"| [{name}](notebooks/{path.name}) |")
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Turn the roles of docstrings into links to the reference, where the name is public."""
    return ROLE.sub(_link, html)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse pages that load anything from elsewhere."""
    if found := re.search(r'<(?:script|link|img|iframe)\b[^>]*"(https?://[^"]+)"', output):
        raise PluginError(f"{page.file.src_uri} loads {found[1]}")
    return output


def _link(match: re.Match[str]) -> str:
    name = match[1].lstrip("~")
    shown = name.removeprefix("bayescluster.")
    if path := PUBLIC.get(shown.rpartition(".")[2]):
        return f'<autoref identifier="bayescluster.{path}"><code>{path}</code></autoref>'
    return f"<code>{shown}</code>"


def _page(source: Path, target: str) -> str:
    """Return a page of the repository as one of the site."""
    text = source.read_text("utf-8")
    text = re.sub(r"^```math\n(.*?)^```$", _formula, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```mermaid\n(.*?)^```$", _graph, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"In each graph\s+an ellipse .*?units\.", LISTED, text, flags=re.DOTALL)
    return LINK.sub(_rewritten(source, target), text)


def _rewritten(source: Path, target: str) -> Any:
    """Return what rewrites a link: to a page or a file of the site, or to plain text."""

    def rewrite(match: re.Match[str]) -> str:
        words, link = match[1], match[2]
        if "://" in link:
            return match[0]
        path = (source.parent / link).resolve()
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
        up = "../" * target.count("/")
        if name in LINKS:
            return f"[{words}]({up}{LINKS[name]}{match[3] or ''})"
        if any(path.match(str(ROOT / pattern)) for pattern in ASSETS):
            return f"[{words}]({up}{name})"
        if name.startswith("docs/"):
            return f"[{words}]({up}{name.removeprefix('docs/')}{match[3] or ''})"
        return words if words.startswith("`") else f"{words} (`{name}`)"

    return rewrite


def _formula(match: re.Match[str]) -> str:
    """Return a formula as MathML."""
    text = match[1].strip().replace("{aligned}", "{align*}")
    return f'<div class="formula">{convert(text, display="block")}</div>'


def _graph(match: re.Match[str]) -> str:
    """Return a Mermaid graph as a list: each node, and what it depends on."""
    nodes = dict(re.findall(r"^\s*(\w+)[(\[{<]+(.+?)[)\]}>]+$", match[1], re.MULTILINE))
    arrows = re.findall(r"^\s*(\w+) -+> (\w+)$", match[1], re.MULTILINE)
    lines = []
    observed = re.findall(r"^style (\w+) fill", match[1], re.MULTILINE)
    for name, words in nodes.items():
        parents = [f"`{parent}`" for parent, child in arrows if child == name]
        given = f", given {', '.join(parents)}" if parents else ""
        lines.append(f"- `{words.strip()}`{' (observed)' * (name in observed)}{given}")
    return "\n".join(lines)
