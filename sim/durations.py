"""How long transfers last when nobody disturbs them, compiled: a loop over the links of each path."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from sim.clock import LATEST, PS_PER_SECOND
from sim.compiled import compiled

__all__ = ["alone"]

Array = npt.NDArray[Any]


@compiled
def alone(
    start: Array,
    link: Array,
    weight: Array,
    capacity: Array,
    tier: Array,
    cap: Array,
    wire: Array,
    tick: Any,
    ideal: Array,
    limited: Array,
) -> float:
    """Picoseconds that each transfer holds its links, and the tier of the link that limits it.

    The rate is the least of ``capacity / weight`` over the path, or the cap; the link is the
    first as narrow as that, and its tier -1 where the cap is below. Durations are
    rounded as `sim.transfers.duration_ps` says. Local work, with no links, takes no time.

    Returns the longest duration in seconds; beyond `LATEST` nothing is written.
    """
    longest = 0.0
    for i in range(wire.size):
        ideal[i], limited[i] = 0, -1
        if start[i + 1] == start[i]:
            continue
        rate, narrowest = math.inf, -1
        for e in range(start[i], start[i + 1]):
            room = capacity[link[e]] / weight[e]
            if room < rate:
                rate, narrowest = room, link[e]
        if cap[i] < rate:
            rate = cap[i]
        else:
            limited[i] = tier[narrowest]
        longest = max(longest, wire[i] / rate)
        if longest * PS_PER_SECOND <= LATEST:
            ideal[i] = int(max(0.0, math.ceil(wire[i] * PS_PER_SECOND / rate - tick)))
    return longest
