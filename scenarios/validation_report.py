"""docs/validation.md: how far off the simulator is, on every measured row, and where it is wrong.

Made by this scenario and by nothing else; a test regenerates the figures of a
part of the rows and fails if the median has worsened by more than one point.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.arguments import ScenarioParser
from scenarios.outputs import OutputFolder, save_figure
from scenarios.progress import progress
from scenarios.report import Report
from scenarios.validation import MEASURED, Summary, counted, errors_by, predict, summary

if TYPE_CHECKING:
    import pandas as pd

    from scenarios.validation_targets import Target

__all__ = ["NOTES", "SUBSET", "main", "page", "subset", "write_page"]

NAME = "validation_report"

#: Every so manyeth row is predicted again by the tests.
SUBSET = 12

#: Where the simulator is wrong, and why, as far as it was found out.
NOTES = """
- **Polaris over 8 hosts, environments 3 and 4 (the hold-out that is missed).** Steps of LL over Slingshot
  have two states there: the same all-gather takes 65 µs in one run and 250 to 400 µs in the next, at
  sizes that differ from sweep to sweep, and from 256 KiB to 4 MiB it is always slow. Two hosts never show
  it. The slow state is as slow as environment 5, whose matching is done by software, always: the
  adapter's lists seem to overflow. And NCCL 2.21 takes a ring for all-reduces of 256 KiB to 4 MiB, 2.18 a
  tree, five times faster: the model knows one NCCL. About 50 of 204 rows are of these two kinds and 55 to
  90 % too fast, which no row of two hosts foretells.
- **Polaris, 512 ranks.** From 64 MiB on predicted up to 40 % too slow: a step of Simple takes 200 µs
  among 32 ranks and 100 to 180 µs among 512.
- **Polaris, all-to-all.** Far below the wire rate for every environment: a software effect of the plugin,
  fitted as the efficiency of grouped sends (0.43) and their window (4.6 messages on their way), not
  explained.
- **TCPX (GCP a3-high).** 1 ms whatever the size: software hands over receive buffers. It is a stack of
  its own and says nothing of RDMA.
- **AWS p4de, two hosts, from 128 MiB on.** 41 GB/s measured, more than four NICs of 100 Gbit/s let a ring
  have (27): AWS's tuner takes a tree between two hosts, NCCL's own model as it is known here a ring.
- **OCI H100, p5, two hosts of 1 GiB and more.** As fast as NVLS inside the hosts and trees between, which
  hand on while they reduce; the schedule here does one after the other, and the model takes a ring.
- **RTX PRO 6000.** All-reduces of two chips and all-to-alls of eight 30 to 50 % off: which pairs share a
  PCIe switch is not known.
- **AAC10, two MI300X servers.** A floor of 219 µs, which no step of RCCL accounts for; latency is not
  fitted to it, so that small messages there are predicted five times too fast.
- **Vidur's profiles, small messages.** Kernel times of PyTorch with 1 µs resolution and its own launch;
  below some hundred KiB they disagree with nccl-tests on the same servers by factors.
- **SuperBench's A100 server.** One process launches eight GPUs by an NCCL of 2021: 35 µs for the smallest
  message, where eight processes take 22. It has figures of its own (`where.machine.azure-nda100-v4`), and
  plans LL with a quarter of the bus as NCCL then did.
- **Where NCCL changes protocol** (LL to LL128 to Simple) measured times jump by up to 60 %. The library
  model changes at the same sizes at most places; one size off is an error of tens of per cent at that
  size.
- **H800, MoE kernels of DeepEP.** No collective of a library: simulated as an all-to-all with NCCL's
  steps, which its low-latency kernels do not take.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the scenario; see ``--help`` for its options.

    Returns
    -------
    int
        Exit code: 0.
    """
    from scenarios.validation_figures import by_size, measured_against_simulated
    from scenarios.validation_targets import targets
    from sim.measurements import read
    from sim.predict import Predictor
    from topologies.systems import Systems

    parser = ScenarioParser(NAME, (__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR",
        help="Where the files go, with a page index.html; by default docs/, without it.",
    )  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="No progress bar, no messages.")
    parser.add_argument(
        "--targets",
        type=Path,
        metavar="DIR",
        help="What `chipweave run validation_targets` wrote, not run again.",
    )
    arguments = parser.parse_args(argv)
    folder = OutputFolder(arguments.output or Path("docs"))
    with progress("measured rows", quiet=arguments.quiet) as report:
        table = predict(read(MEASURED).rows, Systems(), Predictor(), report=report)
    if arguments.targets is not None:
        found, left = _written(arguments.targets)
    else:
        with progress("targets", quiet=arguments.quiet) as report:
            found, left = targets(report=report)
    good = counted(table)
    figures = (("validation", measured_against_simulated(good)), ("validation-by-size", by_size(good)))
    for name, figure in figures:
        folder.write(f"img/{name}.png", partial(save_figure, figure=figure))
    folder.write_text("validation.md", page(table, found, left))
    if arguments.output is not None:
        write_page(folder, good, found, left)
    print(summary(good["error"]).line())
    return 0


def write_page(folder: OutputFolder, good: pd.DataFrame, found: list[Target], left: pd.DataFrame) -> None:
    """The report as HTML, for a folder that holds its figures already; parameters as for `page`."""
    import pandas as pd

    met = pd.DataFrame([asdict(target) for target in found])
    folder.write_table("errors-by-system.csv", errors_by(good, "system"))
    folder.write_table("targets.csv", met)
    folder.write_table("left-out-systems.csv", left)
    folder.manifest(
        NAME,
        inputs={},
        input_files=[MEASURED],
        report=Report(
            title=(__doc__ or "").partition("\n")[0],
            question=summary(good["error"]).line() + "\n\nErrors are those of the time, out of place.",
            figures={
                "img/validation.png": "Simulated over measured time of every row",
                "img/validation-by-size.png": "The same by message size",
            },
            tables={
                "errors-by-system.csv": ("By system", errors_by(good, "system")),
                "targets.csv": ("Targets, and whether they are met", met),
                "left-out-systems.csv": ("Every system predicted without its own rows", left),
            },
        ),
    )


def _written(folder: Path) -> tuple[list[Target], pd.DataFrame]:
    """Targets and left-out systems as `scenarios.validation_targets` wrote them."""
    import pandas as pd

    from scenarios.validation_targets import Target
    from topologies.errors import FormatError

    try:
        table = pd.read_csv(folder / "validation_targets.csv")
        left = pd.read_csv(folder / "validation_targets-systems.csv")
        found = [Target(*row) for row in table.itertuples(index=False)]
    except (OSError, ValueError, TypeError) as error:
        raise FormatError(
            f"{folder}: no targets: {error}; run chipweave run validation_targets -o {folder}"
        ) from error
    return found, left


def subset(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that the tests predict again."""
    return table.iloc[::SUBSET]


def page(table: pd.DataFrame, found: list[Target], left: pd.DataFrame) -> str:
    """The page, from the predicted rows and the targets.

    Parameters
    ----------
    table : DataFrame
        As `scenarios.validation.predict` returns it.
    found : list of Target
    left : DataFrame
        Errors of each system when it is left out.
    """
    good = counted(table)
    both = good[good["baseline_error"].notna()]
    ours, theirs, all_rows = summary(both["error"]), summary(both["baseline_error"]), summary(good["error"])
    parts = [
        "# Validation: simulated against measured\n",
        "This page is generated (`chipweave run validation_report`); the same figures for any table of "
        "measurements: `chipweave validate TABLE.csv --machines DIR -o DIR`. Errors are those of the time, "
        "out of place: predicted over measured less one. The rows and their sources stand in "
        "`scenarios/measured/collectives.csv.xz`.\n",
        f"```\n{all_rows.line()}\n```\n",
        "![Simulated over measured time of every row](img/validation.png)\n",
        "NCCL's own published cost model with datasheet links, the baseline, on the rows it has a formula "
        "for (rings and trees), and the simulator on the same rows:\n",
        _table(
            ["", "rows", "median", "p90", "geomean"],
            [_summary("NCCL's published model", theirs), _summary("Chipweave", ours)],
        ),
        "![Error over message size](img/validation-by-size.png)\n",
        "## Targets\n",
        _table(
            ["target", "rows", "wanted", "reached", ""],
            [[t.what, f"{t.rows:,}", t.wanted, t.reached, "met" if t.met else "**missed**"] for t in found],
        ),
        "Calibration rows are fitted; all other lines are predictions: a hold-out is never seen by the fit "
        "that predicts it, and a system left out is predicted with the figures of its generation of chips "
        "and its kind of network as the other systems give them (the vendor's where no other system has "
        "any). The form of the model, however, was chosen with all rows in view; "
        "[Calibration](calibration.md) says how it was tried elsewhere. The bands are no predictions: "
        "MetaX's rows are fitted, and the links' shares of Atlas A2 and A3 are of the source of their "
        "one-sided rows.\n",
        "### A system left out\n",
        _table(
            ["system", "rows", "all sizes", "≥ 1 MiB", "≥ 64 MiB", "p90"],
            [
                [
                    row["system"],
                    str(row["rows"]),
                    *(_share(row[k]) for k in ("all", "from_1MiB", "from_64MiB", "p90")),
                ]
                for row in left.to_dict("records")
            ],
        ),
        "## Errors\n",
    ]
    for column, title in (
        ("system", "system"),
        ("collective", "collective"),
        ("size_band", "message size"),
        ("rank_band", "ranks"),
    ):
        parts.append(f"### By {title}\n")
        errors = errors_by(good, column)
        parts.append(
            _table(
                [title, "rows", "median", "p90", "geomean", "bias", "baseline, median"],
                [
                    [str(row[column]), str(row["rows"])]
                    + [_share(row[k]) for k in ("median", "p90", "geomean", "bias", "baseline_median")]
                    for row in errors.to_dict("records")
                ],
            )
        )
    part = summary(counted(subset(table))["error"])
    parts += [
        "## Where it is wrong\n",
        NOTES.strip() + "\n",
        "## What the tests hold on to\n",
        f"Every {SUBSET}th row is predicted again by the tests, which fail if its median worsens by more "
        f"than a point:\n\n```\n{part.line('subset rows')}\n```\n",
    ]
    return "\n".join(parts)


def _summary(name: str, found: Summary) -> list[str]:
    return [name, f"{found.rows:,}", *(_share(x) for x in (found.median, found.p90, found.geomean))]


def _share(value: float) -> str:
    return "–" if value != value else f"{100 * value:.1f} %"


def _table(heading: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
