"""What the first run costs: imports, and compilation, which is kept on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from topologies.errors import SimulationError

__all__ = ["STEPS", "cold_start"]

#: What is timed, in this order, in a fresh process.
STEPS = (
    "import sim, topologies",
    "first all-reduce",
    "first all-to-all with collisions",
    "second all-reduce",
)

_PROGRAM = """
import json, time
marks = [time.perf_counter()]
import sim, topologies
marks.append(time.perf_counter())
tree = topologies.leaf_spine(16, per_leaf=4, spines=2, bandwidth=50e9, latency=1e-6)
sim.all_reduce(tree, 2**20, algorithm="ring", library="ideal")
marks.append(time.perf_counter())
sim.all_to_all(tree, 2**20, algorithm="pairwise", library="ideal")
marks.append(time.perf_counter())
sim.all_reduce(tree, 2**20, algorithm="ring", library="ideal")
marks.append(time.perf_counter())
print(json.dumps([b - a for a, b in zip(marks, marks[1:])]))
"""


def cold_start() -> tuple[list[float], list[float]]:
    """Seconds of `STEPS` with nothing compiled, and again with what that left on disk.

    Raises
    ------
    SimulationError
        If the process fails; with the last line that it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="chipweave-cold-") as cache:
        first, again = _process(cache), _process(cache)
    return first, again


def _process(cache: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        capture_output=True,
        check=False,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise SimulationError(f"cold start: its process failed: {last}")
    times: list[float] = json.loads(done.stdout)
    return times
