"""Wire or algorithm? An Atlas 800T A2 and an HGX H100 cluster, each with HCCL's and with NCCL's algorithms.

Bus bandwidth of an all-reduce over message size: four curves. What separates two
curves of one machine is the library (which algorithm it takes, and what its
software costs); what separates two curves of one library is the machine.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from scenarios.explanations import explanations
from scenarios.outputs import OutputFolder
from scenarios.progress import Report as Progress
from scenarios.progress import progress
from scenarios.report import Report
from scenarios.survey import new_table, show, survey_parser
from topologies.units import size as size_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["LIBRARIES", "MACHINES", "figure", "main", "table"]

NAME = "wire_or_algorithm"

MACHINES = ("atlas-800t-a2", "hgx-h100")
LIBRARIES = ("hccl", "nccl")

#: Names of the machines, short enough for the end of a curve.
SHORT = {"atlas-800t-a2": "Atlas 800T A2", "hgx-h100": "HGX H100"}

#: Names of libraries as people write them.
TITLES = {
    "hccl": "HCCL",
    "nccl": "NCCL",
    "rccl": "RCCL",
    "oneccl": "oneCCL",
    "tpu": "TPU",
    "ideal": "no software",
}

#: Four hosts.
CHIPS = 32

SIZES = tuple(2.0**power for power in range(16, 33))

#: Columns of the table on the page.
COLUMNS = (
    "curve",
    "size",
    "algorithm",
    "protocol",
    "time",
    "busbw",
    "lower_bound",
    "efficiency",
    "bounded_by",
)

#: Sizes of the printed table.
SHOWN = (2.0**20, 2.0**26, 2.0**30)


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
    parser = survey_parser(NAME, __doc__.partition("\n")[0], chips=None, sizes="64 KiB to 4 GiB")
    parser.add_argument("--chips", type=int, default=CHIPS, metavar="N", help="chips (default: %(default)s)")
    parser.add_argument(
        "--libraries", metavar="NAME", nargs="+", default=list(LIBRARIES), help="(default: hccl nccl)"
    )
    parser.add_argument("-c", "--collective", default="all_reduce", help="(default: %(default)s)")
    arguments = parser.parse_args(argv)
    machines = arguments.machines or list(MACHINES)
    sizes = sorted({size_of(text, name="--size") for text in arguments.size or ()}) or list(SIZES)
    folder = OutputFolder(arguments.output)
    with progress("wire or algorithm", quiet=arguments.quiet) as report:
        found = table(machines, arguments.libraries, arguments.chips, sizes, arguments.collective, report)
    folder.write_table(f"{NAME}.csv", found)
    folder.write_figure(NAME, figure(found))
    asked = {
        "machines": machines, "libraries": arguments.libraries, "chips": arguments.chips, "sizes": sizes,
        "collective": arguments.collective,
    }  # fmt: skip
    said = explanations(
        [(machine, arguments.chips, max(sizes)) for machine in machines], kind=arguments.collective
    )
    folder.manifest(
        NAME,
        inputs=asked,
        seed=arguments.seed,
        report=Report(
            title=__doc__.partition("\n")[0],
            question=__doc__.partition("\n")[2],
            machines=machines,
            figures={
                f"{NAME}.svg": f"Bus bandwidth over size on {arguments.chips} chips, by machine and library"
            },
            tables={f"{NAME}.csv": ("Every point", found[list(COLUMNS)])},
            explanations=said,
        ),
    )
    if not arguments.quiet:
        _show(found)
        for _, text in said:
            print("\n".join(text.splitlines()[:2]))
        print(f"written: {folder.path}/{NAME}.csv its figure and index.html")
    return 0


def table(
    machines: list[str],
    libraries: list[str],
    chips: int,
    sizes: list[float],
    collective: str = "all_reduce",
    report: Progress | None = None,
) -> pd.DataFrame:
    """Simulate every machine with every library.

    Returns
    -------
    DataFrame
        The columns of :func:`sim.scaling`, and ``curve``, the machine with its
        library; one row a curve and size.
    """
    import pandas as pd

    import sim

    parts = []
    pairs = list(itertools.product(machines, libraries))
    for done, (machine, library) in enumerate(pairs):
        if report is not None:
            report(done, len(pairs), f"{machine}, {library}")
        rows = sim.scaling([machine], [chips], sizes, collective, library=library)
        parts.append(rows.assign(curve=f"{SHORT.get(machine, machine)}, {TITLES.get(library, library)}"))
    if report is not None:
        report(len(pairs), len(pairs), "")
    return pd.concat(parts, ignore_index=True)


def figure(found: pd.DataFrame) -> Figure:
    """Draw the curves: a colour family a machine's origin, a shade each library."""
    from sim.plots import panels, plot_busbw
    from sim.plots.style import colours, origins

    origin = origins(found)
    of_curve = dict(zip(map(str, found["curve"]), map(str, found["machine"]), strict=True))
    shades = colours(of_curve, {curve: origin.get(machine, "") for curve, machine in of_curve.items()})
    drawn, axes = panels()
    plot_busbw(found, ax=axes[0], by="curve", palette=shades, bounds=False)
    return drawn


def _show(found: pd.DataFrame) -> None:
    from topologies.units import format_bandwidth, format_size, format_time

    printed = new_table("wire or algorithm")
    for heading in ("", "size", "algorithm", "protocol", "time", "busbw"):
        printed.add_column(heading, justify="left" if heading in ("", "algorithm", "protocol") else "right")
    for row in found[found["size"].isin(SHOWN)].to_dict("records"):
        printed.add_row(
            row["curve"], format_size(row["size"]), row["algorithm"], row["protocol"],
            format_time(row["time"]), format_bandwidth(row["busbw"]),
        )  # fmt: skip
    show(printed)
