"""One call for a whole sweep: read the file, open the store, put workers to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.processes import processors
from scenarios.store.store import Store
from scenarios.store.table import Table, table
from scenarios.sweep.campaign import Campaign, Tally
from scenarios.sweep.model import model_version
from scenarios.sweep.point import Point
from scenarios.sweep.specification import Specification, parse, read
from scenarios.sweep.workers import Cluster, Here, Processes, Workers
from topologies.errors import ChipweaveError

__all__ = ["SERIAL_POINTS", "Sweep", "sweep"]

#: So few points are run in this process, unless workers are asked for: at some
#: milliseconds each, starting others would take longer. Large clusters count more.
SERIAL_POINTS, SERIAL_CHIPS = 256, 256

#: Rows of the store that a sweep shows of itself in a notebook.
SHOWN = 10


@dataclass(frozen=True)
class Sweep:
    """What a sweep left.

    Attributes
    ----------
    path : Path
        The store.
    tally : Tally
        Its points, and how many of them are done, refused and failed.
    """

    path: Path
    tally: Tally

    def __repr__(self) -> str:
        return f"<Sweep of {self.tally.total:,} points in {self.path}: {self.tally}>"

    def _repr_html_(self) -> str:
        import html

        head = f"<b>Sweep</b> of {self.tally.total:,} points in {html.escape(str(self.path))}: {self.tally}"
        try:
            with Store(self.path) as opened:
                return head + _first_rows(table(opened))
        except ChipweaveError:
            # The store has been moved since.
            return head


def _first_rows(runs: Table) -> str:
    from topologies.html_table import html_table
    from topologies.units import format_bandwidth, format_size, format_time

    def text(value: Any, write: Callable[[Any], str] = str) -> str:
        return "" if value is None else write(value)

    names = (
        "machine",
        "collective",
        "ran_algorithm",
        "state",
        "bounded_by",
        "chips",
        "size",
        "time",
        "busbw",
    )
    columns = [runs.columns[name][:SHOWN] for name in names]
    rows = [
        (
            *map(text, words), text(size, format_size), text(time, format_time),
            text(busbw, format_bandwidth),
        )
        for *words, size, time, busbw in zip(*columns, strict=True)
    ]  # fmt: skip
    heading = ("machine", "collective", "algorithm", "state", "bounded by", "chips", "size", "time", "busbw")
    left = len(runs) - SHOWN
    return html_table(heading, rows, words=5) + (f"and {left:,} more rows" if left > 0 else "")


def sweep(
    specification: Specification | Path | str,
    store: Path | str,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    report: Callable[[Tally], None] = lambda tally: None,
) -> Sweep:
    """Run the points of a sweep that are not in a store yet.

    Parameters
    ----------
    specification : Specification, Path or str
        A sweep file, its path (``Path``, or text that ends in ``.toml``), or its text.
    store : path
        The store; made if there is none.
    workers : int, optional
        Processes; by default one a processor, or this one alone for little work.
    scheduler : str, optional
        Address of a Dask scheduler whose workers do the work instead.
    retry_failed : bool
        Whether to run points again that were refused or failed.
    report : callable
        Called with the tally whenever it changes.

    Returns
    -------
    Sweep

    Raises
    ------
    FormatError
        If the file or the store cannot be used; nothing has been run then.
    OutputError
        If the store cannot be written; what is in it stands.
    SimulationError
        If the cluster cannot be reached, or has another version.

    Examples
    --------
    >>> import tempfile
    >>> text = '[sweep]\\nmachine = "hgx-h100"\\nsize = ["1 MiB", "64 MiB"]\\nalgorithm = "ring"'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sweep(text, folder + "/study.sqlite").tally.states
    {'done': 2}
    """
    asked = _specification(specification)
    model = model_version()
    points = {point.key(model): point for point in asked.points}
    named = {p.cluster.digest: p.cluster.machine for p in asked.points}
    with Store(store, sweeping=True) as opened:
        machines = [(digest, name, asked.descriptions[digest]) for digest, name in named.items()]
        opened.begin(asked.name, asked.text, model, machines)
        campaign = Campaign(opened, points, asked.descriptions, model, retry=retry_failed, report=report)
        queued = campaign.pending()
        with closing(_workers(queued, points, workers, scheduler)) as crew:
            return Sweep(opened.path, campaign.run(crew))


def _specification(given: Specification | Path | str) -> Specification:
    if isinstance(given, Specification):
        return given
    if isinstance(given, str) and not given.endswith(".toml"):
        return parse(given)
    return read(Path(given))


def _workers(queued: int, points: dict[str, Point], workers: int | None, scheduler: str | None) -> Workers:
    if not queued:
        return Here()
    if scheduler is not None:
        return Cluster(scheduler)
    if workers is None:
        little = queued <= SERIAL_POINTS and all(
            point.cluster.chips <= SERIAL_CHIPS for point in points.values()
        )
        workers = 1 if little else processors()
    return Here() if workers == 1 else Processes(workers)
