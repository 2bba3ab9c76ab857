"""Progress in the terminal: one line per step, with its duration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(words: str, shown: bool = True) -> Iterator[None]:
    """Print `words` on standard error before a step, and the elapsed time after it."""
    if not shown:
        yield
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.print(f"{words} ...")
    start = time.perf_counter()
    yield
    console.print(f"  [green]done[/green] [dim]in {time.perf_counter() - start:.1f} s[/dim]")
