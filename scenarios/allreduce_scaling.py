"""How well do clusters of domestic and global accelerators communicate, from 8 to 16,384 chips?

For each machine, all-reduce of 1 MiB, 64 MiB and 1 GiB at every power of two
that it allows: bus bandwidth, time, efficiency against the lower bound, and
what bounded it. Soft figures of the catalogue are run at both ends up to 1,024
chips and drawn as bands.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from scenarios.explanations import explanations
from scenarios.outputs import OutputFolder
from scenarios.progress import progress
from scenarios.report import Report
from scenarios.survey import Survey, file_size, new_table, question, show, survey, survey_parser

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["MACHINES", "explained", "figure", "main"]

NAME = "allreduce_scaling"

#: Four a family: what a person waits for; ``--machines`` takes any others.
MACHINES = (
    "longcat-pod", "cloudmatrix384", "atlas-950", "atlas-800t-a2",
    "gb200-nvl72", "hgx-h100", "tpu-v5p", "gaudi3",
)  # fmt: skip

#: Time grows with the number of chips, and both ends of the soft figures take as
#: much again each: beyond this they would take most of the time of the scenario.
BAND_CHIPS = 1024

#: Explained are jobs up to this size, each run again a dozen times.
EXPLAINED_CHIPS = 256

#: Columns of the page's table; the CSV holds all.
COLUMNS = (
    "machine", "chips", "size", "estimate", "time", "busbw", "efficiency", "bounded_by", "algorithm",
    "protocol",
)  # fmt: skip

#: Numbers of chips in the printed table, where they were run: a host, a large job, the largest.
SHOWN = (8, 1024, 16384)


def main(argv: list[str] | None = None) -> int:
    """Run the scenario; see ``--help`` for its options.

    Returns
    -------
    int
        Exit code: 0.

    Raises
    ------
    ChipweaveError
        For a machine, size, number of chips or folder that cannot be used.
    """
    parser = survey_parser(NAME, __doc__.partition("\n")[0], chips="8:16384", sizes="1 MiB,64 MiB,1 GiB")
    parser.add_argument(
        "--bands",
        metavar="N",
        type=int,
        default=BAND_CHIPS,
        help="run the low and high ends of soft figures up to N chips (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    asked = question(arguments, MACHINES, band_chips=arguments.bands)
    folder = OutputFolder(arguments.output)
    with progress("all-reduce, 8 to 16,384 chips", quiet=arguments.quiet) as report:
        table = survey(asked, report=report)
    folder.write_table(f"{NAME}.csv", table)
    for size in asked.sizes:
        for quantity in ("busbw", "efficiency"):
            folder.write_figure(f"{NAME}-{quantity}-{file_size(size)}", figure(table, size, quantity))
    said = explanations(explained(table))
    folder.manifest(
        NAME,
        inputs=dataclasses.asdict(asked),
        seed=arguments.seed,
        report=_report(table, asked, said),
    )
    if not arguments.quiet:
        _show(table, asked.sizes[-1])
        for _, text in said:
            print("\n".join(text.splitlines()[:2]))
        print(f"written: {folder.path}/{NAME}.csv and its figures")
    return 0


def figure(table: pd.DataFrame, size: float, quantity: str = "busbw") -> Figure:
    """Draw one message size: domestic machines in one panel, global ones in the other.

    Parameters
    ----------
    table : DataFrame
        What :func:`scenarios.survey.survey` returns.
    size : float
        Message size in bytes.
    quantity : {"busbw", "efficiency"}
        What to draw over the number of chips.

    Returns
    -------
    Figure
    """
    from sim.plots import panels, plot_efficiency, plot_scaling
    from sim.plots.style import FONT_SIZE

    families = [name for name in ("domestic", "global") if (table["origin"] == name).any()]
    # One scale for both panels: they are there to be compared.
    top = float(table.loc[table["size"] == size, "busbw"].max())
    drawn, axes = panels(1, len(families))
    for ax, family in zip(axes, families, strict=True):
        ours = table[table["origin"] == family]
        if quantity == "busbw":
            plot_scaling(ours, size=size, ax=ax, top=top)
        else:
            plot_efficiency(ours, size=size, ax=ax)
        ax.set_title(f"{family} machines", loc="left", fontsize=FONT_SIZE)
    for ax in axes[1:]:
        ax.set_ylabel("")
    return drawn


def explained(table: pd.DataFrame, most: int = EXPLAINED_CHIPS) -> list[tuple[str, int, float]]:
    """The largest message of each machine at its largest number of chips up to ``most``, or its smallest."""
    size = float(table["size"].max())
    jobs = []
    for machine, counts in table.groupby("machine", sort=False)["chips"]:
        few = [int(count) for count in counts.unique() if count <= most]
        jobs.append((str(machine), max(few) if few else int(counts.min()), size))
    return jobs


def _report(table: pd.DataFrame, asked: Survey, said: list[tuple[str, str]]) -> Report:
    from topologies.units import format_size

    quantities = {"busbw": "Bus bandwidth", "efficiency": "Share of what the lower bound allows"}
    return Report(
        title=__doc__.partition("\n")[0],
        question=__doc__.partition("\n")[2],
        machines=asked.machines,
        figures={
            f"{NAME}-{quantity}-{file_size(size)}.svg": f"{words}, all-reduce of {format_size(size)}"
            for size in reversed(asked.sizes)
            for quantity, words in quantities.items()
        },
        tables={f"{NAME}.csv": ("Every point", table[list(COLUMNS)])},
        explanations=said,
    )


def _show(table: pd.DataFrame, size: float) -> None:
    """Print the nominal points of one size that people ask for first."""
    from topologies.units import format_bandwidth, format_size, format_time

    there = sorted(set(table["chips"]))
    shown = [count for count in SHOWN if count in there] or [there[0], there[-1]]
    nominal = table[(table["estimate"] == "nominal") & (table["size"] == size) & table["chips"].isin(shown)]
    printed = new_table(f"all-reduce of {format_size(size)}")
    for heading in ("machine", "chips", "bus bandwidth", "time", "of the bound", "bounded by", "algorithm"):
        words = heading in ("machine", "bounded by", "algorithm")
        printed.add_column(heading, justify="left" if words else "right", no_wrap=True)
    for row in nominal.to_dict("records"):
        printed.add_row(
            str(row["machine"]), f"{row['chips']:,}", format_bandwidth(row["busbw"]),
            format_time(row["time"]), f"{row['efficiency']:.0%}", str(row["bounded_by"]),
            str(row["algorithm"]),
        )  # fmt: skip
    show(printed)
