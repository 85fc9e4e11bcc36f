"""Writing a round into the event loop's arrays, and settling what it has moved.

The parts of each rank, the transfers that have it as an end, are put together by a
counting sort: count them rank by rank, add up, and write each behind the others of
its rank. Of a plain transfer the sender's part comes in the order of all senders, the
receiver's behind them.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from sim.compiled import lean
from sim.network.kernels.state import (
    CAP,
    DST,
    ENTRIES,
    ENTRY,
    IDEAL,
    LATENCY,
    LINK,
    OVERHEAD,
    OWNER,
    PAYLOAD,
    REDUCE,
    ROUND_OF,
    SRC,
    TIER,
    WEIGHT,
    Int,
    State,
)

__all__ = ["place_round", "settle_round"]

Array = npt.NDArray[Any]


@lean
def place_transfers(
    s: State,
    first: Int,
    entry: Int,
    base: Int,
    q: Int,
    src: Array,
    dst: Array,
    overhead: Array,
    latency: Array,
    reduce: Array,
    ideal: Array,
    tier: Array,
    wire: Array,
    cap: Array,
    start: Array,
    link: Array,
    weight: Array,
) -> None:
    """Write transfers and entries of round ``q`` from slots ``first`` and ``entry`` on.

    Rank r of the job has slot ``base + r``; the rest is as in `sim.transfers.Loaded`.
    """
    for i in range(src.size):
        f = first + i
        for c in range(s.transfers.shape[1]):
            s.transfers[f, c] = 0
        s.tags[f, SRC], s.tags[f, DST] = base + src[i], base + dst[i]
        s.tags[f, ROUND_OF] = q
        s.transfers[f, OVERHEAD], s.transfers[f, LATENCY] = overhead[i], latency[i]
        s.transfers[f, REDUCE], s.transfers[f, IDEAL], s.tags[f, TIER] = reduce[i], ideal[i], tier[i]
        s.transfers[f, ENTRY], s.transfers[f, ENTRIES] = entry + start[i], start[i + 1] - start[i]
        s.flows[f, PAYLOAD], s.flows[f, CAP] = wire[i], cap[i]
        for e in range(start[i], start[i + 1]):
            s.entries[entry + e, LINK], s.entries[entry + e, OWNER] = link[e], f
            s.weights[entry + e, WEIGHT] = weight[e]


@lean
def place_parts(
    s: State, first: Int, row: Int, part: Int, ranks: Int, src: Array, dst: Array, at: Array, ends: Array
) -> None:
    """Write which transfers each rank has a part in, from ``parts[part]`` and ``starts[row]`` on.

    ``at`` and ``ends`` are the offsets and ranks of transfers with ends of their own
    (`sim.waits.Waits`); without offsets every transfer has its sender and its receiver.
    """
    starts, parts = s.starts, s.parts
    plain = at.size == 0
    for r in range(row, row + ranks + 1):
        starts[r] = 0
    if plain:
        for i in range(src.size):
            starts[row + src[i] + 1] += 1
            starts[row + dst[i] + 1] += 1
    else:
        for e in range(ends.size):
            starts[row + ends[e] + 1] += 1
    starts[row] = part
    for r in range(row, row + ranks):
        starts[r + 1] += starts[r]
    # starts[row + r] moves on to where r + 1 begins.
    if plain:
        for i in range(src.size):
            parts[starts[row + src[i]]] = first + i
            starts[row + src[i]] += 1
        for i in range(src.size):
            parts[starts[row + dst[i]]] = first + i
            starts[row + dst[i]] += 1
    else:
        for i in range(src.size):
            for e in range(at[i], at[i + 1]):
                parts[starts[row + ends[e]]] = first + i
                starts[row + ends[e]] += 1
    for r in range(row + ranks, row, -1):
        starts[r] = starts[r - 1]
    starts[row] = part


@lean
def place_round(
    s: State,
    first: Int,
    entry: Int,
    row: Int,
    part: Int,
    base: Int,
    ranks: Int,
    q: Int,
    src: Array,
    dst: Array,
    overhead: Array,
    latency: Array,
    reduce: Array,
    ideal: Array,
    tier: Array,
    wire: Array,
    cap: Array,
    start: Array,
    link: Array,
    weight: Array,
    at: Array,
    ends: Array,
) -> None:
    """Write a round: `place_transfers` and `place_parts`."""
    place_transfers(
        s, first, entry, base, q, src, dst, overhead, latency, reduce, ideal, tier, wire, cap, start, link,
        weight,
    )  # fmt: skip
    place_parts(s, first, row, part, ranks, src, dst, at, ends)


@lean
def settle_round(done: Array, wire: Array, start: Array, link: Array, weight: Array, carried: Array) -> None:
    """Add to ``carried``, shape (links,), the bytes of all completions of a round's transfers."""
    for i in range(wire.size):
        through = done[i] * wire[i]
        for e in range(start[i], start[i + 1]):
            carried[link[e]] += through * weight[e]
