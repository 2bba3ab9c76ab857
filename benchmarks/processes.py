"""Tasks in a process of their own, with the compilation caches that the caller chooses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run_task(task: str, *arguments: str, caches: Path | None = None) -> dict[str, Any]:
    """Run a task of benchmarks.worker in a new process and return its figures.

    To them is added `total`, the seconds from the start of the process to its end. `caches` is the
    folder of the compilation caches, the user's own by default.
    """
    command = [sys.executable, "-m", "benchmarks.worker", task, *arguments]
    start = time.perf_counter()
    done = subprocess.run(
        command, env=_environment(caches), cwd=ROOT, text=True, capture_output=True, check=False
    )
    total = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{task} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "total": total}


def _environment(caches: Path | None) -> dict[str, str]:
    """Return the environment; PyTensor keeps its compiled functions under base_compiledir/numba."""
    environment = dict(os.environ)
    if caches is not None:
        flags = [environment.get("PYTENSOR_FLAGS", ""), f"base_compiledir={caches / 'pytensor'}"]
        environment["PYTENSOR_FLAGS"] = ",".join(filter(None, flags))
        environment["NUMBA_CACHE_DIR"] = str(caches / "numba")
    return environment


def progress(words: str) -> None:
    """Print a line about the step that starts."""
    print(f"  {words} ...", file=sys.stderr, flush=True)
