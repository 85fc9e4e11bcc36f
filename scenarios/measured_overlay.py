"""Simulated curves over measured nccl-tests points: the calibrated libraries on four machines.

Four real sweeps (scenarios/measured/README.md): HGX H100 and HGX A100 at 8
chips, MareNostrum 5 at 16, Polaris at 32. Every measured size is simulated with
the figures of sim/libraries/calibrated, which these sweeps among others were
fitted to; docs/validation.md says how far off the simulator is where they were not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenarios.explanations import explanations
from scenarios.outputs import OutputFolder
from scenarios.progress import progress
from scenarios.report import Report
from scenarios.survey import new_table, show, survey_parser
from topologies.errors import nearest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["CASES", "Case", "errors", "figure", "main", "measured", "simulated"]

NAME = "measured_overlay"
FOLDER = Path(__file__).parent / "measured"


@dataclass(frozen=True, slots=True)
class Case:
    """A measured sweep and the machine of the catalogue that it was measured on."""

    title: str
    machine: str
    chips: int
    file: str

    @property
    def path(self) -> Path:
        """The rows, with their sources."""
        return FOLDER / self.file


CASES = (
    Case("HGX H100 × 8", "hgx-h100", 8, "hgx-h100-8.csv"),
    Case("HGX A100 × 8", "hgx-a100", 8, "hgx-a100-8.csv"),
    Case("MareNostrum 5 × 16", "marenostrum5", 16, "marenostrum5-16.csv"),
    Case("Polaris × 32", "polaris", 32, "polaris-32.csv"),
)


def main(argv: list[str] | None = None) -> int:
    """Run the scenario; see ``--help`` for its options.

    Returns
    -------
    int
        Exit code: 0.

    Raises
    ------
    ChipweaveError
        For a machine that was not measured or a folder that cannot be used.
    """
    parser = survey_parser(NAME, __doc__.partition("\n")[0], chips=None, sizes=None)
    arguments = parser.parse_args(argv)
    cases = _chosen(arguments.machines)
    folder = OutputFolder(arguments.output)
    points = measured(cases)
    with progress("measured sweeps", quiet=arguments.quiet) as report:
        curves = simulated(cases, points, seed=arguments.seed, report=report)
    from sim.plots.overlay import join

    compared = join(curves, points)
    table = errors(compared)
    folder.write_table(f"{NAME}-points.csv", compared)
    folder.write_table(f"{NAME}.csv", table)
    folder.write_figure(NAME, figure(curves, points))
    said = explanations(
        [(c.machine, c.chips, float(points[points["case"] == c.title]["size"].max())) for c in cases]
    )
    folder.manifest(
        NAME,
        inputs={"cases": [case.title for case in cases]},
        input_files=[case.path for case in cases],
        seed=arguments.seed,
        report=Report(
            title=__doc__.partition("\n")[0],
            question=__doc__.partition("\n")[2],
            machines=[case.machine for case in cases],
            figures={
                f"{NAME}.svg": "Bus bandwidth, simulated as lines and measured as markers; below, their ratio"
            },
            tables={
                f"{NAME}.csv": ("How far off, nothing fitted", table),
                f"{NAME}-points.csv": ("Every point", compared),
            },
            explanations=said,
        ),
    )
    _show(table)
    if not arguments.quiet:
        for _, text in said:
            print("\n".join(text.splitlines()[:2]))
        print(f"written: {folder.path}/{NAME}.csv, the points and the figure")
    return 0


def measured(cases: tuple[Case, ...] = CASES) -> pd.DataFrame:
    """Read the measured points.

    Returns
    -------
    DataFrame
        Columns ``case``, ``size`` (bytes), ``time`` (s), ``busbw`` (bytes/s),
        ``sweep_id``, ``source``; bandwidths are recomputed from time, since
        the sources print two digits.
    """
    import pandas as pd

    from sim.bounds import bus_factor

    parts = []
    for case in cases:
        rows = pd.read_csv(case.path)
        size, time = rows["message_bytes"].astype(float), rows["time_us"] * 1e-6
        parts.append(
            pd.DataFrame(
                {
                    "case": case.title,
                    "size": size,
                    "time": time,
                    "busbw": size / time * bus_factor("all_reduce", case.chips),
                    "sweep_id": rows["sweep_id"],
                    "source": rows["source"],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def simulated(
    cases: tuple[Case, ...],
    points: pd.DataFrame,
    *,
    seed: int = 0,
    report: Callable[[int, int, str], None] | None = None,
) -> pd.DataFrame:
    """Simulate every measured size.

    Returns
    -------
    DataFrame
        Columns ``case``, ``size``, ``time``, ``busbw``, ``algorithm``, ``protocol``.
    """
    import pandas as pd

    import sim
    import topologies

    rows = []
    for case in cases:
        fabric = sim.compile_fabric(topologies.machine(case.machine, chips=case.chips))
        for size in points.loc[points["case"] == case.title, "size"]:
            run = sim.all_reduce(fabric, float(size), seed=seed)
            rows.append((case.title, float(size), run.time, run.busbw, run.algorithm, run.protocol))
            if report is not None:
                report(len(rows), len(points), case.title)
    return pd.DataFrame(rows, columns=["case", "size", "time", "busbw", "algorithm", "protocol"])


def errors(compared: pd.DataFrame) -> pd.DataFrame:
    """Summarise how far simulated times are from measured ones.

    Parameters
    ----------
    compared : DataFrame
        What :func:`sim.plots.overlay.join` returns.

    Returns
    -------
    DataFrame
        One row a case and one for all points: ``case``, ``points``,
        ``median_error`` and ``p90_error`` (of \\|simulated / measured - 1\\|, linear
        interpolation between points), ``bias`` (median of simulated / measured - 1:
        negative is too fast), ``worst_error`` and the ``worst_size`` it stands at.

    Examples
    --------
    >>> import pandas as pd
    >>> points = pd.DataFrame({"case": "ring", "size": [8.0, 16.0, 32.0], "ratio": [0.5, 1.0, 1.25]})
    >>> errors(points)[["case", "points", "median_error", "bias", "worst_size"]].to_dict("records")[0]
    {'case': 'ring', 'points': 3, 'median_error': 0.25, 'bias': 0.0, 'worst_size': 8.0}
    """
    import pandas as pd

    groups = [(str(case), part) for case, part in compared.groupby("case", sort=False)]
    rows = []
    for case, part in [*groups, ("all", compared)]:
        signed = part["ratio"].to_numpy(dtype=np.float64) - 1.0
        off = np.abs(signed)
        worst = int(off.argmax())
        sizes = part["size"].to_numpy(dtype=np.float64)
        rows.append(
            (case, off.size, float(np.median(off)), float(np.quantile(off, 0.9)), float(np.median(signed)),
             float(off[worst]), float(sizes[worst]))
        )  # fmt: skip
    columns = ["case", "points", "median_error", "p90_error", "bias", "worst_error", "worst_size"]
    return pd.DataFrame(rows, columns=columns)


def figure(curves: pd.DataFrame, points: pd.DataFrame) -> Figure:
    """Draw simulated lines over measured markers, and their ratio below."""
    from sim.plots import panels, plot_overlay
    from sim.plots.style import colours

    titles = [case.title for case in CASES]
    drawn, (above, below) = panels(2, 1, height_ratios=(3, 2))
    plot_overlay(
        curves, points, axes=(above, below), palette=colours(titles, dict.fromkeys(titles, "global"))
    )
    return drawn


def _chosen(machines: list[str] | None) -> tuple[Case, ...]:
    known = [case.machine for case in CASES]
    for name in machines or ():
        if name not in known:
            raise nearest("measured machine", name, known)
    return tuple(case for case in CASES if not machines or case.machine in machines)


def _show(table: pd.DataFrame) -> None:
    from topologies.units import format_size

    printed = new_table("simulated against measured time, libraries as calibrated")
    for heading in ("case", "points", "median |error|", "p90 |error|", "bias", "worst", "at"):
        printed.add_column(heading, justify="left" if heading == "case" else "right", no_wrap=True)
    rows = table.to_dict("records")
    for i, row in enumerate(rows):
        printed.add_row(
            str(row["case"]), str(row["points"]), f"{row['median_error']:.0%}", f"{row['p90_error']:.0%}",
            f"{row['bias']:+.0%}", f"{row['worst_error']:.0%}", format_size(row["worst_size"]),
            end_section=i == len(rows) - 2,
        )  # fmt: skip
    show(printed)
