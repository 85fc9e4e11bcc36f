"""Many machines at many numbers of chips: the table behind the comparisons, made on all processors.

Each point is independent of the others, so they are shared out among
processes, first the smaller ones, then the larger ones in the order of the
time they will take, so that all processes end together; the table comes back
in the order of the question, the same bytes on any number of processes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from scenarios.arguments import ScenarioParser
from scenarios.processes import processors, spread
from topologies.errors import MachineError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["SERIAL_CHIPS", "Survey", "file_size", "new_table", "question", "show", "survey", "survey_parser"]

#: Up to here a point takes milliseconds, and starting processes would take longer than the work.
SERIAL_CHIPS = 256

#: Up to here a point takes a second, and tells how long those with more chips will take.
TELLING_CHIPS = 1024

ESTIMATES = ("nominal", "low", "high")

#: Columns of a terminal that the printed tables need.
WIDTH = 172

#: More chips than any machine has.
MOST_CHIPS = 2**31

#: Machine, number of chips, estimate.
Point = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Survey:
    """A question: which machines, numbers of chips and message sizes (bytes).

    Estimates other than the first are run up to ``band_chips`` chips.
    """

    machines: tuple[str, ...]
    chips: tuple[int, ...]
    sizes: tuple[float, ...]
    estimates: tuple[str, ...] = ESTIMATES
    band_chips: int = MOST_CHIPS
    collective: str = "all_reduce"
    seed: int = 0

    def estimates_at(self, chips: int) -> tuple[str, ...]:
        """Which estimates are run at a number of chips."""
        return self.estimates if chips <= self.band_chips else self.estimates[:1]


def survey_parser(
    name: str, description: str | None, *, chips: str | None, sizes: str | None
) -> ScenarioParser:
    """Make a parser with the options that scenarios share.

    Parameters
    ----------
    name, description : str
        Of the scenario.
    chips : str or None
        Default of ``--chips``; None: the scenario has no such option.
    sizes : str or None
        Default of ``--size``, separated by commas; None: no such option.

    Returns
    -------
    ScenarioParser
        With ``-o``, ``--machines``, ``--quiet``, ``--seed`` and the above.
    """
    parser = ScenarioParser(name, description)
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default=f"out/{name}",
        help="where the files go (default: %(default)s)",
    )
    parser.add_argument(
        "--machines", metavar="NAME", nargs="+", help="names of the catalogue or .toml descriptions"
    )
    if chips is not None:
        parser.add_argument(
            "--chips",
            metavar="N",
            default=chips,
            help="8:16384 doubles, 8,24,96 lists (default: %(default)s)",
        )
    if sizes is not None:
        parser.add_argument(
            "--size", metavar="SIZE", action="append", help=f"message size, repeatable (default: {sizes})"
        )
        parser.set_defaults(default_sizes=sizes.split(","))
    parser.add_argument(
        "--seed", type=int, default=0, help="seed, for the record: nothing is drawn by chance"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no messages")
    return parser


def question(arguments: argparse.Namespace, default: Sequence[str], **fixed: Any) -> Survey:
    """Read a survey from parsed arguments.

    Parameters
    ----------
    arguments : Namespace
        Of a parser made by :func:`survey_parser`.
    default : sequence of str
        Machines where none are given.
    **fixed
        Fields of :class:`Survey` that the scenario sets itself.

    Raises
    ------
    ChipweaveError
        If a machine, a number of chips or a size cannot be read.
    """
    from scenarios.commands.options import chip_counts
    from topologies.machines import describe
    from topologies.units import size

    names = tuple(dict.fromkeys(arguments.machines or default))
    for name in names:
        describe(name)
    sizes = sorted({size(text, name="--size") for text in arguments.size or arguments.default_sizes})
    return Survey(names, tuple(chip_counts(arguments.chips)), tuple(sizes), seed=arguments.seed, **fixed)


def survey(
    asked: Survey, *, report: Callable[[int, int, str], None] | None = None, workers: int | None = None
) -> pd.DataFrame:
    """Simulate every point of a survey.

    Parameters
    ----------
    asked : Survey
        The question.
    report : callable, optional
        Called with (done, total, what) after each machine and number of chips.
    workers : int, optional
        Processes. By default one for each processor, and none besides this one
        where the work is small.

    Returns
    -------
    DataFrame
        The columns of :func:`sim.scaling` and ``origin`` (domestic or global), in
        the order machine, chips, size, estimate. Numbers of chips that a
        machine does not allow are left out.

    Raises
    ------
    MachineError
        If a machine allows none of the numbers of chips.
    """
    import pandas as pd

    from topologies.machines import describe

    points = [
        (machine, count, estimate)
        for count in sorted(asked.chips, reverse=True)
        for machine in asked.machines
        for estimate in asked.estimates_at(count)
    ]
    if workers is None:
        workers = 1 if max(asked.chips) <= SERIAL_CHIPS else processors()
    results: dict[Point, pd.DataFrame | MachineError] = {}
    pace: dict[str, float] = {}

    def run(some: list[Point]) -> None:
        for point, (result, seconds) in spread(partial(_simulate, asked), some, workers):
            results[point] = result
            pace[point[0]] = max(pace.get(point[0], 0.0), seconds / point[1])
            if report is not None:
                report(len(results), len(points), f"{point[0]}, {point[1]:,} chips")

    run([point for point in points if point[1] <= TELLING_CHIPS])
    large = [point for point in points if point[1] > TELLING_CHIPS]
    run(sorted(large, key=lambda point: -point[1] * pace.get(point[0], math.inf)))
    parts = []
    for machine in asked.machines:
        ours = [
            results[machine, count, e] for count in sorted(asked.chips) for e in asked.estimates_at(count)
        ]
        tables = [result for result in ours if not isinstance(result, MachineError)]
        if not tables:
            raise next(result for result in ours if isinstance(result, MachineError))
        origin = describe(machine).origin
        parts.append(pd.concat(tables, ignore_index=True).assign(origin=origin))
    table = pd.concat(parts, ignore_index=True)
    rank = {estimate: i for i, estimate in enumerate(asked.estimates)}
    order = table.assign(
        _machine=pd.Categorical(table["machine"], table["machine"].unique()).codes,
        _estimate=table["estimate"].map(rank),
    ).sort_values(["_machine", "chips", "size", "_estimate"], kind="stable")
    return table.loc[order.index].reset_index(drop=True)


def file_size(size: float) -> str:
    """Write a message size as a part of a file's name.

    Examples
    --------
    >>> file_size(64 * 2**20)
    '64MiB'
    """
    from topologies.units import format_size

    return format_size(size).replace(" ", "")


def new_table(title: str) -> Table:
    """Begin a printed table in the style that scenarios share."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)


def show(table: Table) -> None:
    """Print a table whole: a narrow terminal may break its lines, but no cell is cut."""
    from rich.console import Console

    console = Console()
    Console(width=max(console.width, WIDTH)).print(table)


def _simulate(asked: Survey, point: Point) -> tuple[pd.DataFrame | MachineError, float]:
    """A point's rows, or why the machine has none, and how many seconds they took."""
    import sim

    machine, count, estimate = point
    started = time.process_time()
    found: pd.DataFrame | MachineError
    try:
        found = sim.scaling(
            [machine], [count], list(asked.sizes), asked.collective, estimates=(estimate,), seed=asked.seed
        )
    except MachineError as refusal:
        found = refusal
    return found, time.process_time() - started
