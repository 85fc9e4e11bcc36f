"""Compiled path finding: climbing, dimension order.

All kernels append the links of transfer after transfer to ``link`` and
``weight`` and note where each begins; a transfer for which they find no path
keeps a length of zero, and the caller decides what that means.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.compiled import compiled

__all__ = ["climb", "copy_pieces", "dimension_order"]

Array = npt.NDArray[Any]

#: An odd number without a pattern, so that links far apart find different places.
SPREAD = 0x9E3779B1


@compiled
def climb(
    src: Array,
    dst: Array,
    address: Array,
    level: Array,
    up_start: Array,
    up_link: Array,
    head: Array,
    reverse: Array,
    bandwidth: Array,
    latency: Array,
    planes: Array,
    link: Array,
    weight: Array,
    begin: Array,
    delay: Array,
) -> int:
    """Up/down paths: both ends climb with the destination's digits until they meet.

    At a node with n upward links the climb takes number ``(address // stride) % n``,
    and stride grows by the factor n: D-mod-k. The way down is the climb of the
    destination, backwards. A source with several upward links is sprayed: one
    such path for each, weighted by bandwidth.

    Returns the number of entries written.
    """
    at = 0
    down = planes.copy()  # scratch: links of the way down, deepest last
    # Where a transfer's links stand, by open addressing; what stands before `begin[i]` is of another one.
    places = 4
    while places < 2 * planes.size:
        places *= 2
    seen, last_place = np.full(places, -1, dtype=np.int64), places - 1
    for i in range(src.size):
        begin[i] = at
        s, d = src[i], dst[i]
        first, last = up_start[s], up_start[s + 1]
        if last - first != up_start[d + 1] - up_start[d] or last == first:
            continue
        total = 0.0
        for u in range(first, last):
            total += bandwidth[up_link[u]]
        slowest = 0
        met = True
        for u in range(first, last):
            plane = u - first
            up = up_link[u]
            back = reverse[up_link[up_start[d] + plane]]
            share = 1.0 if last - first == 1 else bandwidth[up] / total
            a = head[up]
            b = head[up_link[up_start[d] + plane]]
            lag = latency[up]
            link[at] = up
            weight[at] = share
            at += 1
            depth = 0
            if back < 0:
                met = False
                break
            down[depth] = back
            depth += 1
            lag += latency[back]
            stride = 1
            while a != b:
                low = min(level[a], level[b])
                rises_a = level[a] == low
                rises_b = level[b] == low
                width = 1
                if rises_a:
                    n = up_start[a + 1] - up_start[a]
                    if n == 0:
                        met = False
                        break
                    up = up_link[up_start[a] + (address[d] // stride) % n]
                    width = n
                    link[at] = up
                    weight[at] = share
                    at += 1
                    lag += latency[up]
                    a = head[up]
                if rises_b:
                    n = up_start[b + 1] - up_start[b]
                    if n == 0:
                        met = False
                        break
                    up = up_link[up_start[b] + (address[d] // stride) % n]
                    width = max(width, n)
                    back = reverse[up]
                    if back < 0:
                        met = False
                        break
                    down[depth] = back
                    depth += 1
                    lag += latency[back]
                    b = head[up]
                stride *= width
            if not met:
                break
            for j in range(depth - 1, -1, -1):
                link[at] = down[j]
                weight[at] = share
                at += 1
            slowest = max(slowest, lag)
        if not met:
            at = begin[i]
            continue
        delay[i] = slowest
        if last - first > 1:
            # Planes that share a link hold it once, with the sum of their shares.
            end = at
            at = begin[i]
            for e in range(begin[i], end):
                place = (link[e] * SPREAD >> 7) & last_place
                while seen[place] >= begin[i] and link[seen[place]] != link[e]:
                    place = (place + 1) & last_place
                if seen[place] >= begin[i]:
                    weight[seen[place]] += weight[e]
                else:
                    seen[place] = at
                    link[at] = link[e]
                    weight[at] = weight[e]
                    at += 1
    begin[src.size] = at
    return at


@compiled
def dimension_order(
    src: Array,
    dst: Array,
    place: Array,
    dims: Array,
    wrap: Array,
    node_at: Array,
    out_start: Array,
    out_link: Array,
    head: Array,
    latency: Array,
    link: Array,
    begin: Array,
    delay: Array,
) -> int:
    """Torus and mesh paths: one dimension after the other, the shorter way round.

    Where both ways are equally long, upwards. ``node_at`` maps the row-major
    number of a place to its node, or -1.

    Returns the number of entries written.
    """
    at = 0
    here = place[0].copy()
    for i in range(src.size):
        begin[i] = at
        lag = 0
        v = src[i]
        here[:] = place[v]
        goal = place[dst[i]]
        found = True
        for k in range(dims.size):
            while found and here[k] != goal[k]:
                step = 1 if goal[k] > here[k] else -1
                if wrap[k]:
                    ahead = (goal[k] - here[k]) % dims[k]
                    step = 1 if 2 * ahead <= dims[k] else -1
                here[k] = (here[k] + step) % dims[k]
                number = 0
                for j in range(dims.size):
                    number = number * dims[j] + here[j]
                w = node_at[number]
                found = False
                for e in range(out_start[v], out_start[v + 1]):
                    if head[out_link[e]] == w:
                        link[at] = out_link[e]
                        at += 1
                        lag += latency[out_link[e]]
                        found = True
                        break
                v = w
        if found:
            delay[i] = lag
        else:
            at = begin[i]
    begin[src.size] = at
    return int(at)


@compiled
def copy_pieces(
    which: Array,
    start: Array,
    link: Array,
    weight: Array,
    out_start: Array,
    out_link: Array,
    out_weight: Array,
) -> None:
    """Copy piece i of the input to the place of transfer ``which[i]``."""
    for i in range(which.size):
        at = out_start[which[i]]
        for e in range(start[i], start[i + 1]):
            out_link[at] = link[e]
            out_weight[at] = weight[e]
            at += 1
