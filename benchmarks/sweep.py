"""``python -m benchmarks.sweep``: what a sweep costs over its bare runs.

2,000 points, 16 machines x 25 sizes x 5 algorithms, on two processes. Bare is a loop
over the same points in one process that builds each cluster once, calls
`sim.collective` and keeps its results. Warm: everything is compiled before the clock
starts, and lies on disk; that each worker imports the simulator and loads the kernels
from there is its start, and shown apart.

CPU seconds are those of all processes together, so that the comparison holds on a
machine that others use as well; wall time is only worth reading on an idle one.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.works import SWEPT

__all__ = ["ALGORITHMS", "main", "sweep_file"]

ROOT = Path(__file__).parents[1]

ALGORITHMS = ("auto", "ring", "double_binary_tree", "halving_doubling", "recursive_doubling")

#: The target: share of the bare runs that store and scheduling may cost.
OVERHEAD = 0.2

#: The target: wall seconds of 2,000 points on two idle cores.
SECONDS = 60.0

_BARE = """
import sys, time
from pathlib import Path
import sim
from scenarios.store.runs import results
from scenarios.sweep.batch import build
from scenarios.sweep.specification import read
asked = read(Path(sys.argv[1]))
fabrics = {}
for point in asked.points:
    c = point.cluster
    if c not in fabrics:
        graph = build(asked.descriptions[c.digest], c.chips, c.estimate, c.scale_out, c.link)
        fabrics = {c: sim.compile_fabric(graph)}
    try:
        results(sim.collective(point.collective, fabrics[c], point.size, **point.arguments))
    except ValueError as error:
        print(error)
"""

_START = """
import sim, topologies, scenarios.sweep.sweep
graph = topologies.machine("hgx-h100", chips=16)
sim.all_reduce(graph, 2**20).bounded_by
sim.all_reduce(graph, 2**20, algorithm="recursive_doubling").bounded_by
"""

_SWEEP = "import sys; from scenarios.cli import main; sys.exit(main(sys.argv[1:]))"


def sweep_file(chips: int) -> str:
    """The sweep: 16 machines x 25 sizes x 5 algorithms.

    Examples
    --------
    >>> from scenarios.sweep.specification import parse
    >>> len(parse(sweep_file(64)).points)
    2000
    """
    names = ", ".join(f'"{name}"' for name in SWEPT)
    algorithms = ", ".join(f'"{name}"' for name in ALGORITHMS)
    return (
        f'[sweep]\nmachine = [{names}]\nchips = {chips}\nsize = "1 KiB:16 GiB"\nalgorithm = [{algorithms}]\n'
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 whatever the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweep", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--chips", type=int, default=64, help="of each machine (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="chipweave-sweep-") as folder:
        file, store = Path(folder, "study.toml"), Path(folder, "study.sqlite")
        file.write_text(sweep_file(arguments.chips), encoding="utf-8")
        _measured(_BARE, file)  # compiles what is not compiled yet
        start = _measured(_START)
        bare = _measured(_BARE, file)
        one = _measured(_SWEEP, "sweep", file, "-o", Path(folder, "one.sqlite"), "--workers", 1)
        many = _measured(_SWEEP, "sweep", file, "-o", store, "--workers", arguments.workers)
        again = _measured(_SWEEP, "sweep", file, "-o", store, "--workers", arguments.workers)
        with closing(sqlite3.connect(store)) as db:
            points, inside = db.execute("SELECT count(*), sum(seconds) FROM timings").fetchone()
    print(f"{points:,} points of {arguments.chips} chips; seconds of wall, and of CPU of all processes")
    for what, (wall, cpu) in {
        "start of a worker, kernels included": start,
        "bare runs, one process": bare,
        "sweep, this process": one,
        f"sweep, {arguments.workers} processes": many,
        "the same again, nothing to run": again,
    }.items():
        print(f"  {what:<40} {wall:7.2f} {cpu:7.2f}")
    print(f"  {'runs inside the workers, by their clocks':<40} {inside:7.2f}")
    cost = one[1] / bare[1] - 1
    spread = (many[1] - arguments.workers * start[1]) / bare[1] - 1
    verdict = "met" if max(cost, spread) <= OVERHEAD else "missed"
    print(f"store and scheduling over the bare runs: {cost:.1%} in one process, {spread:.1%} in ", end="")
    print(f"{arguments.workers}, their start not counted; target {OVERHEAD:.0%}: {verdict}")
    print(f"wall time, target {SECONDS:.0f} s on two idle cores: {'met' if many[0] <= SECONDS else 'missed'}")
    return 0


def _measured(programme: str, *arguments: object) -> tuple[float, float]:
    """Wall and CPU seconds of a programme and of the processes that it starts."""
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", programme, *map(str, arguments)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
