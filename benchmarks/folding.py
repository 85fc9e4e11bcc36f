"""``python -m benchmarks.folding``: what simulating one of all alike saves, and that it changes nothing.

For some machines and numbers of chips: how many chips one stands for, CPU seconds of
the all-reduce that the library chooses, folded and whole, and whether both end at the
same picosecond.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.report import markdown, seconds, text

__all__ = ["CASES", "main"]

#: Machine and chips; 1 GiB, as the machine's own library would.
CASES = (
    ("hgx-h100", 1024),
    ("hgx-h100", 4096),
    ("hgx-h100", 8192),
    ("hgx-b200", 4096),
    ("gb200-nvl72", 4096),
    ("mtt-s5000", 4096),
    ("metax-c500", 4096),
)

SIZE = 2.0**30

HEADINGS = ("machine", "chips", "algorithm", "one stands for", "folded", "whole", "ratio", "same picosecond")


def main() -> int:
    """Measure and print."""
    rows = [_row(machine, chips) for machine, chips in CASES]
    print(text(rows, HEADINGS))
    print()
    print(markdown(rows, HEADINGS))
    return 0


def _row(machine: str, chips: int) -> tuple[str, ...]:
    import sim
    import topologies
    from sim.network import fluid

    fabric = sim.compile_fabric(topologies.machine(machine, chips=chips))
    fold = fluid.fold
    stands: list[int] = []

    def watched(*arguments: Any) -> Any:
        found = fold(*arguments)
        stands.append(1 if found is None else arguments[0].nodes.size // found.job.nodes.size)
        return found

    def timed() -> tuple[sim.Run, float]:
        sim.all_reduce(fabric, SIZE)
        start = time.process_time()
        return sim.all_reduce(fabric, SIZE), time.process_time() - start

    try:
        fluid.fold = watched  # type: ignore[assignment]
        folded, quick = timed()
        fluid.fold = lambda *_: None  # type: ignore[assignment]
        whole, slow = timed()
    finally:
        fluid.fold = fold
    times = str(stands[-1]) if stands else "not needed"
    same = "yes" if folded.finished.at_ps == whole.finished.at_ps else "NO"
    ratio = f"{slow / quick:.1f}"
    return machine, f"{chips:,}", folded.algorithm, times, seconds(quick), seconds(slow), ratio, same


if __name__ == "__main__":
    sys.exit(main())
