"""What the kernels without contention take and give: a round's transfers, and where a job stands."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim.compiled import inlined
from sim.schedule import FloatArray, IntArray

__all__ = [
    "CAPPED", "CONFLICT", "CONTENTION", "DONE", "HORIZON", "LATENCY", "OVERHEAD", "TIERS", "Ahead", "Array",
    "Moves", "claim_links", "settle_links",
]  # fmt: skip

Array = npt.NDArray[Any]

#: How a round ends: all repetitions are done; two transfers would share a link, and
#: nothing of the round is done; it stopped before the repetition that would pass the horizon.
DONE, CONFLICT, HORIZON = 0, 1, 2

#: First columns of a rank's account of its critical path, in picoseconds; the
#: tiers follow, in the order of `Fabric.tiers`, serialisation each.
OVERHEAD, LATENCY, CONTENTION, CAPPED, TIERS = 0, 1, 2, 3, 4


class Moves(NamedTuple):
    """The m transfers of a round and their paths, as in `sim.transfers.Loaded`."""

    src: IntArray
    dst: IntArray
    overhead: IntArray
    latency: IntArray
    ideal: IntArray
    reduce: IntArray
    tier: IntArray
    wire: FloatArray
    start: IntArray
    link: npt.NDArray[np.int32]
    weight: FloatArray


class Ahead(NamedTuple):
    """Where a job of p ranks stands; kernels read and write it.

    Attributes
    ----------
    reach : int64 array, shape (p,)
        When each rank reaches the round, then the next.
    account : int64 array, shape (p, columns)
        Each rank's critical path by cause.
    busy, used_by : int64 arrays, shape (links,)
        When each link was last released, and by which round.
    carried : float64 array, shape (links,)
        Bytes each link has carried.
    counts : int64 array, shape (2,)
        Repetitions done of the last round, and how many of them were jumped.
    """

    reach: IntArray
    account: IntArray
    busy: IntArray
    used_by: IntArray
    carried: FloatArray
    counts: IntArray


@inlined
def claim_links(t: Moves, i: Any, hold: Any, round_number: Any, x: Ahead) -> bool:
    """Note that transfer i holds its links from ``hold`` on; False if another one does."""
    if t.ideal[i] > 0:
        for e in range(t.start[i], t.start[i + 1]):
            l = t.link[e]
            if x.used_by[l] == round_number or hold < x.busy[l]:
                return False
            x.used_by[l] = round_number
    return True


@inlined
def settle_links(t: Moves, i: Any, ended: Any, done: Any, x: Ahead) -> None:
    """Account for the links of transfer i, done so often and for the last time at ``ended``."""
    for e in range(t.start[i], t.start[i + 1]):
        l = t.link[e]
        x.carried[l] += done * t.weight[e] * t.wire[i]
        if done > 0 and ended > x.busy[l]:
            x.busy[l] = ended
