"""How long a trace of a million events takes, and what a recorder costs: ``python -m benchmarks.trace``.

An all-to-all whose transfers collide in a leaf and spine; processor time of this
process alone, after everything is compiled.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sim
import topologies

__all__ = ["main"]

#: Chips for a little more than a million events; and few, to compile with.
CHIPS, FEW = 256, 16
SIZE = 64 * 2**20
#: A million events must be written in as many seconds.
SECONDS = 10.0


def main() -> int:
    """Print the figures.

    Returns
    -------
    int
        0, or 1 where a million events took longer than `SECONDS`.
    """
    _simulate(FEW, None)
    _simulate(FEW, sim.Recorder())
    plain = _simulate(CHIPS, None)
    recorder = sim.Recorder()
    recorded = _simulate(CHIPS, recorder)
    with tempfile.TemporaryDirectory(prefix="chipweave-trace-") as folder:
        path = Path(folder) / "trace.json"
        begun = time.process_time()
        sim.write_trace(recorder, path)
        writing = time.process_time() - begun
        events = len(json.loads(path.read_text(encoding="utf-8"))["traceEvents"])
        size = path.stat().st_size
    per_million = writing / events * 1e6
    print(f"simulated                {plain:8.2f} s of processor time, {CHIPS} chips, all-to-all")
    print(f"simulated and recorded   {recorded:8.2f} s")
    print(f"written                  {writing:8.2f} s, {events:,} events, {size / 1e6:.0f} MB")
    print(f"a million events         {per_million:8.2f} s (target: {SECONDS:g} s)")
    return 0 if events >= 1e6 and per_million <= SECONDS else 1


def _simulate(chips: int, recorder: sim.Recorder | None) -> float:
    """Processor seconds of the simulation."""
    graph: Any = topologies.leaf_spine(chips, per_leaf=16, bandwidth="50 GB/s", latency="1 us")
    # Ranks dealt over the leaves: the transfers of a round meet on the way up.
    ranks = sorted(range(chips), key=lambda rank: rank % 16)
    fabric = sim.compile_fabric(graph)
    begun = time.process_time()
    sim.all_to_all(fabric, SIZE, algorithm="pairwise", ranks=ranks, library="ideal", recorder=recorder)
    return time.process_time() - begun


if __name__ == "__main__":
    sys.exit(main())
