"""How long the explorer takes to draw again: every machine and number of chips it offers, seven algorithms.

Warm: kernels are compiled and loaded. What is timed is the change of one widget, from
setting its value to the new picture. *New* is where machine, chips and algorithm
were not seen before, so that the fabric is built and the curve is run; *seen*
where only the size changed or the choice came back. Print-out: median, 95th
percentile, maximum, and where the maximum was; of seconds on the clock, and of seconds
of the processor, which are the same on a machine with other work.

    python -m benchmarks.explorer
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scenarios.explorer import CHIPS, MACHINES, Explorer, explore

#: One of each kind: by the library, many steps, few steps, levels, and one that needs more than ranks.
ALGORITHMS = ("auto", "ring", "tree", "halving_doubling", "hierarchical", "nhr", "torus")

#: What is promised of one change, in seconds.
TARGET = 0.3


def main() -> int:
    """Visit everything once, sizes in between, and print the times."""
    walk(explore())  # compiles and loads whatever will be needed
    new: list[Change] = []
    seen: list[Change] = []
    refused = walk(explore(), new, seen)
    for name, changes in (("new", new), ("seen", seen)):
        for clock in ("clock", "processor"):
            took = sorted((getattr(change, clock), change.shown) for change in changes)
            over = sum(seconds > TARGET for seconds, _ in took)
            print(
                f"{name:<5}{len(took):>4} changes, {clock:<9} median {took[len(took) // 2][0]:.3f} s, "
                f"95 % below {took[int(0.95 * len(took))][0]:.3f} s, at most {took[-1][0]:.3f} s "
                f"({took[-1][1]}); {over} above {TARGET} s"
            )
    print(f"{refused} choices cannot be run, and say so")
    return 0


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a widget: seconds until it was drawn, and what was shown then."""

    clock: float
    processor: float
    shown: str


def walk(panel: Explorer, new: list[Change] | None = None, seen: list[Change] | None = None) -> int:
    """Change one widget after the other; gives how many choices were refused."""
    refused = 0
    for widget, value, first in _path(panel):
        clock, processor = time.perf_counter(), time.process_time()
        widget.value = value
        took = Change(time.perf_counter() - clock, time.process_time() - processor, repr(panel))
        refused += panel.run is None
        times = new if first else seen
        if times is not None:
            times.append(took)
    return refused


def _path(panel: Explorer) -> Iterator[tuple[Any, object, bool]]:
    sizes = [value for _, value in panel.size.options]
    turn = 0
    for machine in MACHINES:
        yield panel.machine, machine, True
        for chips in CHIPS:
            yield panel.chips, chips, True
            for algorithm in ALGORITHMS:
                yield panel.algorithm, algorithm, True
                turn += 1
                yield panel.size, sizes[5 * turn % len(sizes)], False
            yield panel.algorithm, "auto", False


if __name__ == "__main__":
    sys.exit(main())
