"""Progress in the terminal: a line a step, with the time that it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """Announce the steps of a long computation on standard error.

    Parameters
    ----------
    total : int
        Number of steps.
    enabled : bool
        Whether to print anything.
    """

    def __init__(self, total: int, enabled: bool = True) -> None:
        self._total, self._done, self._enabled = total, 0, enabled

    @contextmanager
    def step(self, words: str) -> Iterator[None]:
        """Print `words` before the step and its time after it."""
        if not self._enabled:
            yield
            return
        from rich.console import Console

        console = Console(stderr=True, highlight=False)
        self._done += 1
        head = f"[dim]{self._done}/{self._total}[/dim] {words}"
        console.print(f"{head} ...")
        start = time.perf_counter()
        yield
        console.print(f"    [green]done[/green] [dim]in {time.perf_counter() - start:.1f} s[/dim]")
