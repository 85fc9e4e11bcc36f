"""A progress bar for people who wait: on stderr, and only where the wait is long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["PATIENCE", "Report", "progress"]

#: Called with how many steps are done, how many there are, and what is done now.
Report = Callable[[int, int, str], None]

#: Seconds that pass before a bar appears.
PATIENCE = 2.0


@contextmanager
def progress(
    title: str,
    *,
    quiet: bool = False,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Report]:
    """Show how far a piece of work is, once it has taken more than two seconds.

    Parameters
    ----------
    title : str
        What is being done.
    quiet : bool
        Show nothing.
    console : rich.console.Console, optional
        Where to show it; by default stderr. Nothing is shown where it is no terminal.
    clock : callable
        Seconds that pass, for the tests.

    Yields
    ------
    callable
        ``report(done, total, text)``, to be called after each step, such as the
        ``progress`` argument of :func:`sim.scaling`.

    Examples
    --------
    >>> with progress("all-reduce", quiet=True) as report:
    ...     report(1, 2, "8 chips")
    """
    started = clock()
    bar: Progress | None = None

    def report(done: int, total: int, text: str = "") -> None:
        nonlocal bar
        if quiet or (bar is None and clock() - started < PATIENCE):
            return
        if bar is None:
            # rich takes a tenth of a second to import; short runs do without it.
            bar = _bar(title, console)
            bar.start()
        bar.update(bar.task_ids[0], completed=done, total=total, text=text)

    try:
        yield report
    finally:
        if bar is not None:
            bar.stop()


def _bar(title: str, console: Console | None) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    target = console or Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
        console=target,
        transient=True,
        disable=not target.is_terminal,
    )
    bar.add_task(title, total=None, text="")
    return bar
