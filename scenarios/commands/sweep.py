"""``chipweave sweep``: many points, on many processors, into a store that nothing shakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.commands.options import Quiet, whole

if TYPE_CHECKING:
    from scenarios.sweep.campaign import Tally

__all__ = ["sweep"]

#: Seconds between two lines of progress where nobody looks at a terminal.
PAUSE = 30.0


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="What to run; see docs/sweeps.md.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="STORE", help="The store.  [default: FILE.sqlite, here]"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="N", help="Processes.  [default: one a processor]"),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler whose workers do the work.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run again what was refused or has failed.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep file into a store; what is in the store already is not run again."""
    if workers is not None and scheduler is not None:
        raise typer.BadParameter("--workers is for this machine, --scheduler for a cluster; give one of them")
    from scenarios.progress import progress
    from scenarios.sweep.specification import read
    from scenarios.sweep.sweep import sweep as run_sweep

    asked = read(file)
    store = Path(f"{file.stem}.sqlite") if output is None else output
    last: list[Tally] = []
    with progress(f"sweep {file.name}", quiet=quiet) as bar:
        lines = _lines(file.name, quiet)

        def report(tally: Tally) -> None:
            last[:] = [tally]
            bar(tally.settled, tally.total, _besides(tally))
            lines(tally)

        try:
            done = run_sweep(
                asked,
                store,
                workers=workers,
                scheduler=scheduler,
                retry_failed=retry_failed,
                report=report,
            )
        except KeyboardInterrupt:
            for tally in last:
                _say(f"{tally.settled:,} of {tally.total:,} points stand in {store}; {_again(file, store)}")
            raise
    _finish(done.tally, store)


def _finish(tally: Tally, store: Path) -> None:
    """Say what there is; an error, if there is nothing at all."""
    typer.echo(f"{store}: {tally.total:,} points: {tally} ({tally.before:,} of them before)")
    if tally.states.get("done"):
        return
    from scenarios.store import Store
    from topologies.errors import SimulationError

    with Store(store) as opened:
        error = opened.first_error()
    raise SimulationError(f"no point of the sweep could be run; the first: {error}")


def _besides(tally: Tally) -> str:
    """What the bar does not show by itself."""
    parts = [f"{tally.states[s]:,} {s}" for s in ("refused", "failed") if tally.states.get(s)]
    return ", ".join([*parts, *([f"{tally.lost} workers lost"] if tally.lost else [])])


def _lines(name: str, quiet: bool) -> Callable[[Tally], None]:
    """Progress for logs: a line now and then, with the time left."""
    import sys
    import time

    started = said = time.monotonic()

    def report(tally: Tally) -> None:
        nonlocal said
        now = time.monotonic()
        if quiet or sys.stderr.isatty() or now - said < PAUSE:
            return
        said = now
        done = tally.settled - tally.before
        rest = (now - started) / done * (tally.total - tally.settled) if done else float("nan")
        left = f"{rest:,.0f} s left" if done else "time left unknown"
        where = f"{name}: {tally.settled:,} of {tally.total:,}"
        _say(", ".join(filter(None, [where, _besides(tally), left])))

    return report


def _again(file: Path, store: Path) -> str:
    return f"to go on: chipweave sweep {file} -o {store}"


def _say(text: str) -> None:
    typer.echo(text, err=True)
