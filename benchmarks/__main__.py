"""``python -m benchmarks``: measure the rows, print the table, write it to the docs.

::

    python -m benchmarks                     # every row; docs/performance.md and its figure
    python -m benchmarks NAME... [--runs N]  # these rows only, printed
    python -m benchmarks --list
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cold import STEPS, cold_start
from benchmarks.growth import draw, ratios
from benchmarks.measure import RUNS, Measured, apart
from benchmarks.report import HEADINGS, cells, machine, markdown, replace_block, seconds, text
from benchmarks.rows import GROWTH, ROWS, Row, row
from scenarios.progress import progress
from topologies.errors import ChipweaveError, SimulationError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "img" / "growth.png"
RESULTS = Path(__file__).parent / "results.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write.

    Returns
    -------
    int
        0, whatever the figures: a busy machine is no error. 2 for a wrong name.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows to measure; all if none is given")
    parser.add_argument(
        "--runs", type=int, default=RUNS, help="runs of each row at most (default: %(default)s)"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    arguments = parser.parse_args(argv)
    if arguments.list:
        print("\n".join(one.name for one in ROWS))
        return 0
    try:
        rows = [row(name) for name in arguments.names]
        if rows:
            print(text([cells(one, m) for one, m in _measure(rows, arguments.runs)]))
        else:
            _everything(arguments.runs)
    except ChipweaveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(rows: Sequence[Row], runs: int) -> list[tuple[Row, Measured]]:
    done = []
    with progress("benchmarks") as report:
        for place, one in enumerate(rows):
            report(place, len(rows), one.name)
            try:
                done.append((one, apart(one.family, one.ranks, runs=runs)))
            except SimulationError as error:
                # The others are worth having; the table says what this one lacks.
                print(f"error: {error}", file=sys.stderr)
                done.append((one, Measured.failed(one.family, one.ranks)))
        report(len(rows), len(rows), "")
    return done


def _everything(runs: int) -> None:
    measured = _measure(ROWS, runs)
    points = [apart("growth", ranks, runs=runs) for ranks in GROWTH]
    cold = cold_start()
    table = [cells(one, m) for one, m in measured]
    more, time, memory = ratios(points)
    growth = (
        f"growth of ring 64 MiB, {GROWTH[0]:,} to {GROWTH[-1]:,} ranks",
        f"{more:.0f} x", f"{time:.0f} x", "", f"{memory:.1f} x", "", "",
        "met" if max(time, memory) <= more else "worse than linear",
    )  # fmt: skip
    table.append(growth)
    starts = [(step, seconds(a), seconds(b)) for step, a, b in zip(STEPS, *cold, strict=True)]
    print(text(table))
    print("\ncold start: " + "; ".join(f"{step} {a}, again {b}" for step, a, b in starts))
    record: dict[str, Any] = {
        "machine": machine(),
        "rows": [m.to_json() for _, m in measured],
        "growth": [m.to_json() for m in points],
        "cold_start": {"steps": STEPS, "cold": cold[0], "again": cold[1]},
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    draw(points, PICTURE)
    replace_block(PAGE, "results", markdown(table, HEADINGS))
    replace_block(PAGE, "cold start", markdown(starts, ("step", "nothing compiled", "compiled before")))
    replace_block(PAGE, "machine", "; ".join(f"{k} {v}" for k, v in record["machine"].items()))


if __name__ == "__main__":
    sys.exit(main())
