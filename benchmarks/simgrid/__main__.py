"""``python -m benchmarks.simgrid``: both simulators on the same works, in one run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import apart
from benchmarks.report import markdown, replace_block, seconds, text
from benchmarks.simgrid import COMPARISONS, Comparison, build, run
from topologies.errors import ChipweaveError

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"

HEADINGS = (
    "work", "ranks", "SimGrid's answer", "ours", "SimGrid's CPU", "ours", "ratio", "SimGrid's memory", "ours",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, print, and put the table into `docs/performance.md` if asked to.

    Returns
    -------
    int
        0, also where SimGrid is missing; 2 if something fails.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simgrid", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--largest", type=int, default=1024, metavar="RANKS", help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="write the table to docs/performance.md")
    arguments = parser.parse_args(argv)
    try:
        program = build()
        if program is None:
            print("SimGrid is not here: nothing compared (Debian: apt-get install libsimgrid-dev g++)")
            return 0
        rows = [
            _compare(program, one, ranks)
            for one in COMPARISONS
            for ranks in one.ranks
            if ranks <= arguments.largest
        ]
        print(text(rows, HEADINGS))
        if arguments.write:
            replace_block(PAGE, "simgrid", markdown(rows, HEADINGS))
    except ChipweaveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _compare(program: Path, one: Comparison, ranks: int) -> tuple[str, ...]:
    theirs = run(program, one.arguments, ranks)
    ours = apart(one.family, ranks)
    return (
        one.what,
        f"{ranks:,}",
        f"{theirs.answer:.9f} s",
        f"{ours.answer:.9f} s",
        seconds(theirs.cpu),
        seconds(ours.cpu),
        f"{theirs.cpu / ours.cpu:.0f}",
        f"{theirs.megabytes:.0f} MB",
        f"{ours.megabytes:.0f} MB",
    )


if __name__ == "__main__":
    sys.exit(main())
