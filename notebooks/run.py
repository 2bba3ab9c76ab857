"""Run the notebooks from top to bottom and keep their outputs: `make notebooks`.

With `--check` nothing is written: the run fails where a notebook does. Arguments name notebooks;
without any, all of them run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
#: Longest that a cell may take, in seconds.
TIMEOUT = 600


def run(path: Path, check: bool) -> float:
    """Execute one notebook; return the seconds that it took."""
    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": FOLDER}}
    )
    client.execute()
    for cell in notebook.cells:  # what differs from run to run says nothing
        cell.metadata.pop("execution", None)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    if not check:
        nbformat.write(notebook, path)
    return time.perf_counter() - start


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="run, and write nothing")
    arguments = parser.parse_args()
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    total = 0.0
    for path in arguments.notebooks or sorted(FOLDER.glob("*.ipynb")):
        took = run(path, arguments.check)
        total += took
        print(f"{path.name}: {took:.0f} s", flush=True)
    print(f"together: {total:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
