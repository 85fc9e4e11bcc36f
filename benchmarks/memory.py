"""How long this machine waits for its memory, on which the event loop's figures hang most."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sim.compiled import compiled

__all__ = ["SIZES", "latency"]

#: Megabytes through which reads are scattered: about a second-level cache, a third-level one, memory.
SIZES = (0.25, 4, 64)

READS = 1_000_000


@compiled
def follow(following: Any, steps: int) -> int:
    """Read ``steps`` times, each place named by the one before, so that no read begins early."""
    at = 0
    for _ in range(steps):
        at = following[at]
    return at


def latency(megabytes: float) -> float:
    """Seconds of a read at a random place of an array of so many megabytes; the fastest of three tries."""
    places = int(megabytes * 2**20) // 8
    order = np.random.default_rng(0).permutation(places)
    following = np.empty(places, dtype=np.int64)
    following[order] = np.roll(order, -1)
    follow(following, places)
    tries = []
    for _ in range(3):
        begun = time.perf_counter()
        follow(following, READS)
        tries.append((time.perf_counter() - begun) / READS)
    return min(tries)
