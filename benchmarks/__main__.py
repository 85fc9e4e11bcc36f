"""``python -m benchmarks``: measure the rows, print the table, write it to the docs.

::

    python -m benchmarks                     # every row; docs/performance.md and its figure
    python -m benchmarks NAME... [--runs N]  # these rows only, printed; growth is its figure's points
    python -m benchmarks NAME... --write     # these rows anew, the others as they were, to the docs
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
from benchmarks.rows import COLD, GROWN, GROWTH, ROWS, Row, row
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
    parser.add_argument("--write", action="store_true", help="write these rows to the docs, too")
    arguments = parser.parse_args(argv)
    if arguments.runs < 1:
        parser.error(f"--runs (={arguments.runs}) is no whole number of at least 1")
    if arguments.list:
        print("\n".join([*(one.name for one in ROWS), GROWN, COLD]))
        return 0
    try:
        names = arguments.names or [*(one.name for one in ROWS), GROWN, COLD]
        measured = _measure([row(name) for name in names if name not in (GROWN, COLD)], arguments.runs)
        points = [apart("growth", ranks, runs=arguments.runs) for ranks in GROWTH] if GROWN in names else []
        table = [cells(one, m) for one, m in measured]
        print(text([*table, _growth(points)] if points else table))
        starts = cold_start() if COLD in names else None
        if starts is not None:
            print(
                "\n".join(
                    f"{step}: {a:.2f} s, then {b:.2f} s" for step, a, b in zip(STEPS, *starts, strict=True)
                )
            )
        if arguments.write or not arguments.names:
            _write(measured, points, starts)
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


def _growth(points: Sequence[Measured]) -> tuple[str, ...]:
    """The line of the table that says how time and memory grow."""
    more, time, memory = ratios(points)
    return (
        f"growth of ring 64 MiB, {GROWTH[0]:,} to {GROWTH[-1]:,} ranks",
        f"{more:.0f} x", f"{time:.0f} x", "", f"{memory:.1f} x", "", "",
        "met" if max(time, memory) <= more else "worse than linear",
    )  # fmt: skip


def _write(
    measured: Sequence[tuple[Row, Measured]],
    points: Sequence[Measured],
    cold: tuple[Sequence[float], Sequence[float]] | None,
) -> None:
    """Put what was measured beside what was known, and all of it on the page."""
    record: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    known = [Measured.from_json(r) for r in record.get("rows", [])]
    rows = {f"{m.family}-{m.ranks}": m for m in [*known, *(m for _, m in measured)]}
    points = points or [Measured.from_json(r) for r in record.get("growth", [])]
    starts = record.get("cold_start") if cold is None else {"steps": STEPS, "cold": cold[0], "again": cold[1]}
    record = {
        "machine": machine(),
        "rows": [rows[one.name].to_json() for one in ROWS if one.name in rows],
        "growth": [m.to_json() for m in points],
        "cold_start": starts,
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    table = [cells(one, rows.get(one.name, Measured.failed(one.family, one.ranks))) for one in ROWS]
    if points:
        table.append(_growth(points))
        draw(points, PICTURE)
    replace_block(PAGE, "results", markdown(table, HEADINGS))
    replace_block(PAGE, "machine", "; ".join(f"{k} {v}" for k, v in record["machine"].items()))
    if starts:
        lines = [
            (step, seconds(a), seconds(b))
            for step, a, b in zip(starts["steps"], starts["cold"], starts["again"], strict=True)
        ]
        replace_block(PAGE, "cold start", markdown(lines, ("step", "nothing compiled", "compiled before")))


if __name__ == "__main__":
    sys.exit(main())
