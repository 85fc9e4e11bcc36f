"""Domestic machines beside global ones in one figure, and the one link each domestic one should upgrade.

The figure ranks bus bandwidth of all-reduce inside a host, in a pod, and in a
large job. The table comes from running the large job again with the links of
one tier at twice their bandwidth, or half their latency, for every tier.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scenarios.explanations import explanations
from scenarios.outputs import OutputFolder
from scenarios.processes import processors, spread
from scenarios.progress import progress
from scenarios.report import Report
from scenarios.survey import SERIAL_CHIPS, Survey, file_size, new_table, question, show, survey, survey_parser
from scenarios.upgrades import upgrades
from sim.sensitivity import SCALE_OUT, best

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["MACHINES", "figure", "main", "markdown", "summary"]

NAME = "domestic_vs_global"

#: Columns of the page's table; the CSV holds all.
COLUMNS = (
    "machine", "chips", "size", "estimate", "time", "busbw", "efficiency", "bounded_by", "algorithm",
    "protocol",
)  # fmt: skip

MACHINES = (
    "atlas-950", "cloudmatrix384", "atlas-800t-a2", "biren-br100", "mtt-s5000", "zhenwu-810e", "metax-c500",
    "mlu370-x8",
    "gb200-nvl72", "hgx-b200", "hgx-h100", "hgx-h800", "mi300x", "gaudi3", "tpu-v5p",
)  # fmt: skip


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
    from topologies.units import format_size

    parser = survey_parser(NAME, __doc__.partition("\n")[0], chips="8,64,512", sizes="1 MiB,1 GiB")
    arguments = parser.parse_args(argv)
    asked = question(arguments, MACHINES)
    folder = OutputFolder(arguments.output)
    with progress("domestic and global machines", quiet=arguments.quiet) as report:
        table = survey(asked, report=report)
    runs = _upgrades(table, asked, quiet=arguments.quiet)
    rows = summary(runs)
    folder.write_table(f"{NAME}.csv", table)
    folder.write_table(f"{NAME}-upgrades.csv", rows)
    folder.write_table(f"{NAME}-upgrade-runs.csv", runs)
    folder.write_text(f"{NAME}-upgrades.md", markdown(rows))
    for each in asked.sizes:
        folder.write_figure(f"{NAME}-{file_size(each)}", figure(table, each))
    # What would help most is in the table already: nothing is run again for the words.
    largest = [(row["machine"], row["chips"], row["size"]) for row in rows.to_dict("records")]
    said = explanations([job for job in largest if job[2] == rows["size"].max()], rerun=False)
    folder.manifest(
        NAME,
        inputs=dataclasses.asdict(asked),
        seed=arguments.seed,
        report=Report(
            title=__doc__.partition("\n")[0],
            question=__doc__.partition("\n")[2],
            machines=asked.machines,
            figures={
                f"{NAME}-{file_size(each)}.svg": f"Bus bandwidth, all-reduce of {format_size(each)}"
                for each in reversed(asked.sizes)
            },
            tables={
                f"{NAME}-upgrades.csv": ("Which link to upgrade", rows),
                f"{NAME}.csv": ("Every point", table[list(COLUMNS)]),
            },
            explanations=said,
        ),
    )
    _show(rows)
    if not arguments.quiet:
        for _, text in said:
            print("\n".join(text.splitlines()[:2]))
    if not arguments.quiet:
        print(f"written: {folder.path}/{NAME}.csv, the upgrades and the figure")
    return 0


def figure(table: pd.DataFrame, size: float) -> Figure:
    """Draw the machines as ranked bars, one panel a number of chips.

    Parameters
    ----------
    table : DataFrame
        What :func:`scenarios.survey.survey` returns.
    size : float
        Message size in bytes.
    """
    from sim.plots import panels, plot_comparison

    counts = sorted(int(count) for count in table["chips"].unique())
    drawn, axes = panels(1, len(counts), sharey=True)
    plot_comparison(table, chips=counts, size=size, axes=axes)
    return drawn


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Name, for each machine, the tier whose upgrade helps most.

    Parameters
    ----------
    runs : DataFrame
        What :func:`scenarios.upgrades.upgrades` returns, for any number of
        machines, with columns ``machine`` and ``chips``.

    Returns
    -------
    DataFrame
        One row a machine and size: ``machine``, ``chips``, ``size``, ``time``
        (s, with the best algorithm seen), ``algorithm``, ``bounded_by``,
        ``bandwidth_tier`` and ``bandwidth_gain`` (that tier at twice its
        bandwidth), ``latency_tier`` and ``latency_gain`` (at half its latency),
        ``scale_out_gain`` (every link of the scale-out path at twice its
        bandwidth). Gains are speed-ups less one.
    """
    import pandas as pd

    rows = []
    for (machine, _), part in runs.groupby(["machine", "size"], sort=False):
        wide, quick = best(part, "bandwidth x2"), best(part, "latency x0.5")
        path = part[(part["links"] == SCALE_OUT) & (part["change"] == "bandwidth x2")]["gain"]
        rows.append(
            {
                "machine": machine,
                "chips": wide["chips"],
                "size": wide["size"],
                "time": wide["time_before"],
                "algorithm": wide["algorithm"],
                "bounded_by": wide["bounded_by"],
                "bandwidth_tier": wide["links"],
                "bandwidth_gain": wide["gain"],
                "latency_tier": quick["links"],
                "latency_gain": quick["gain"],
                # With a single tier outside the domains, or none, there is no such row.
                "scale_out_gain": float(path.iloc[0]) if len(path) else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def markdown(rows: pd.DataFrame) -> str:
    """Write the summary as a Markdown table."""
    rule = ["---" if i in _WORDS else "---:" for i in range(len(_HEADS))]
    lines = [f"| {' | '.join(_HEADS)} |", f"|{'|'.join(rule)}|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows.to_dict("records")]
    return "\n".join(lines) + "\n"


_HEADS = (
    "machine", "chips", "size", "time", "bounded by", "2 x bandwidth of", "faster by", "half latency of",
    "faster by", "2 x all scale-out",
)  # fmt: skip
#: Columns of words; the others are figures.
_WORDS = (0, 4, 5, 7)


def _cells(row: Mapping[Any, Any]) -> list[str]:
    from topologies.units import format_size, format_time

    whole = row["scale_out_gain"]
    return [
        str(row["machine"]), f"{row['chips']:,}", format_size(row["size"]), format_time(row["time"]),
        str(row["bounded_by"]), str(row["bandwidth_tier"]), f"{row['bandwidth_gain']:+.1%}",
        str(row["latency_tier"]), f"{row['latency_gain']:+.1%}",
        "-" if math.isnan(whole) else f"{whole:+.1%}",
    ]  # fmt: skip


def _upgrades(table: pd.DataFrame, asked: Survey, *, quiet: bool) -> pd.DataFrame:
    """Upgrade the domestic machines (all of them, where there is no domestic one) at their largest job."""
    import pandas as pd

    kept = table[table["origin"] == "domestic"] if (table["origin"] == "domestic").any() else table
    largest = kept.groupby("machine", sort=False)["chips"].max()
    jobs = [(str(machine), int(chips), size) for machine, chips in largest.items() for size in asked.sizes]
    workers = 1 if int(largest.max()) <= SERIAL_CHIPS else processors()
    parts: dict[Job, pd.DataFrame] = {}
    with progress("one tier at a time", quiet=quiet) as report:
        for job, rows in spread(_upgraded, jobs, workers):
            parts[job] = rows
            report(len(parts), len(jobs), job[0])
    return pd.concat([parts[job] for job in jobs], ignore_index=True)


#: Machine, chips, bytes.
Job = tuple[str, int, float]


def _upgraded(job: Job) -> pd.DataFrame:
    import topologies

    machine, chips, size = job
    table = upgrades(topologies.machine(machine, chips=chips), size)
    table.insert(0, "machine", machine)
    table.insert(1, "chips", chips)
    return table


def _show(rows: pd.DataFrame) -> None:
    printed = new_table("which link to upgrade")
    for i, heading in enumerate(_HEADS):
        printed.add_column(heading, justify="left" if i in _WORDS else "right", no_wrap=True)
    for row in rows.to_dict("records"):
        printed.add_row(*_cells(row))
    show(printed)
