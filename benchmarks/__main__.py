"""Command line of the benchmarks; see README.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from . import (
    averages,
    bootstrap,
    cold_start,
    decisions,
    exact,
    focal,
    graphs,
    interference,
    mixing,
    posterior,
    refits,
    rejection,
    report,
    small_sample,
)
from .tables import Section, document, updated

RESULTS = Path(__file__).with_name("results.md")
BENCHMARKS: dict[str, Callable[[bool], Section | list[Section]]] = {
    "bootstrap": bootstrap.run,
    "posterior": posterior.run,
    "cold": cold_start.run,
    "small_sample": small_sample.run,
    "rejection": rejection.run,
    "report": report.run,
    "refits": refits.run,
    "families": cold_start.run_families,
    "exact": exact.run,
    "mixing": mixing.run,
    "interference": interference.run,
    "focal": focal.run,
    "graphs": graphs.run,
    "averages": averages.run,
    "decisions": decisions.run,
}


def main() -> int:
    """Run what the command line asks for; the exit code is 1 if a check failed."""
    arguments = _parser().parse_args()
    names = list(BENCHMARKS) if arguments.which == "all" else [arguments.which]
    sections: list[Section] = []
    for name in names:
        print(f"{name}:", file=sys.stderr, flush=True)
        found = BENCHMARKS[name](arguments.quick)
        sections += found if isinstance(found, list) else [found]
    page = document(sections)
    print(page)
    if arguments.output:
        arguments.output.write_text(page, encoding="utf-8")
    elif not arguments.quick:
        old = RESULTS.read_text("utf-8") if RESULTS.exists() and arguments.which != "all" else page
        RESULTS.write_text(updated(old, sections), encoding="utf-8")
    return int(any(section.failed for section in sections))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run bayescluster beside its peers and print ratios.",
        epilog="example: python -m benchmarks bootstrap --quick",
    )
    parser.add_argument("which", nargs="?", default="all", choices=[*BENCHMARKS, "all"])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="under a minute: no bambi, 50,000 users only, the caches as they are",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the page there; by default benchmarks/results.md gets the sections that ran",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
