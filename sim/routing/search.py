"""Compiled search for paths of least cost.

Distances to a goal are found backwards from it, over the *core* alone: nodes that a
path can pass, without its dead ends (a NIC, whose one way on is its switch), which
can only stand next to the source or the goal. There the distance is found when
somebody asks, from the node's own links. The core of a machine is a fraction of it,
512 switches of 25,000 nodes, so that what a search has found can be kept.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from sim.compiled import compiled, inlined

__all__ = ["shortest"]

Array = npt.NDArray[Any]

#: Links that a search is spared at most where there is a single way: bridge, NIC, leaf.
LONGEST = 8


@inlined
def only_way(
    v: Any, came: Any, s: Any, zone: Array, transit: Array, in_start: Array, in_link: Array, tail: Array
) -> Any:
    """The only link by which a path from ``s`` can enter v, other than from ``came``; -1 if not one."""
    found = -1
    for e in range(in_start[v], in_start[v + 1]):
        u = tail[in_link[e]]
        if u != came and zone[u] == zone[v] and (transit[u] or u == s):
            if found >= 0:
                return -1
            found = in_link[e]
    if found >= 0 and not transit[tail[found]]:
        return -1
    return found


@inlined
def reach(
    v: Any,
    goal: Any,
    reached: Any,
    zone: Array,
    transit: Array,
    cost: Array,
    out_start: Array,
    out_link: Array,
    head: Array,
    distance: Array,
    known: Array,
) -> Any:
    """Find the distance of v from its neighbours', if it is not known; returns how many are."""
    if distance[v] >= 0 or zone[v] != zone[goal]:
        return reached
    least = -1
    for e in range(out_start[v], out_start[v + 1]):
        w = head[out_link[e]]
        if distance[w] >= 0 and (w == goal or transit[w]):
            through = distance[w] + cost[out_link[e]]
            if least < 0 or through < least:
                least = through
    if least < 0:
        return reached
    distance[v] = least
    known[reached] = v
    return reached + 1


@inlined
def search(
    goal: Any,
    zone: Array,
    transit: Array,
    core: Array,
    cost: Array,
    in_start: Array,
    in_link: Array,
    tail: Array,
    distance: Array,
    known: Array,
    queue: Array,
    waiting: Array,
) -> Any:
    """Distances to the goal, of the core and of the goal's neighbours; returns how many are known.

    The queue is first in, first out: breadth first where all links cost 1, and
    where a cheaper way to a node turns up later it is queued again (Moore 1959).
    """
    distance[goal] = 0
    known[0] = queue[0] = goal
    reached, first, queued = 1, 0, 1
    while queued > 0:
        v = queue[first]
        first = (first + 1) % queue.size
        queued -= 1
        waiting[v] = False
        for e in range(in_start[v], in_start[v + 1]):
            u = tail[in_link[e]]
            # Dead ends are of use next to the goal only.
            passes = core[u] >= 0 or distance[u] >= 0 or (v == goal and transit[u])
            if zone[u] != zone[goal] or not passes:
                continue
            through = distance[v] + cost[in_link[e]]
            if distance[u] < 0:
                known[reached] = u
                reached += 1
            elif distance[u] <= through:
                continue
            distance[u] = through
            if not waiting[u]:
                waiting[u] = True
                queue[(first + queued) % queue.size] = u
                queued += 1
    return reached


@compiled
def shortest(
    order: Array,
    src: Array,
    dst: Array,
    zone: Array,
    transit: Array,
    core: Array,
    members: Array,
    cost: Array,
    in_start: Array,
    in_link: Array,
    tail: Array,
    out_start: Array,
    out_link: Array,
    head: Array,
    address: Array,
    latency: Array,
    row_of: Array,
    rows: Array,
    kept: Array,
    distance: Array,
    known: Array,
    queue: Array,
    waiting: Array,
    link: Array,
    piece: Array,
    length: Array,
    delay: Array,
) -> int:
    """Paths of least cost; equal choices by the destination's digits.

    A link costs 1, or more than any path of such links, so that those are counted
    first. One search a destination (one that can be entered in a single way is searched
    for from where the ways part, so that all chips under one switch share it), backwards
    over links into nodes of the destination's zone; only ``transit`` nodes are passed.
    ``core`` numbers the core's nodes (-1: not of it), which ``members`` lists; the
    distances to a goal are kept in ``rows[row_of[goal]]`` while there is room, ``kept[0]``
    rows of it used. ``order`` sorts the transfers by destination. ``distance`` must be
    -1 everywhere and is left so, as must ``waiting`` be false.

    Returns the number of entries written, or -1 - needed if ``link`` is too short.
    """
    at = 0
    reached = 0
    target = -1
    for o in range(order.size):
        i = order[o]
        s, d = src[i], dst[i]
        goal, came, single = d, -1, 0
        while goal != s and single < LONGEST:
            l = only_way(goal, came, s, zone, transit, in_start, in_link, tail)
            if l < 0:
                break
            goal, came = tail[l], goal
            single += 1
        if goal != target:
            for q in range(reached):
                distance[known[q]] = -1
            target = goal
            if row_of[goal] >= 0:
                distance[goal] = 0
                known[0] = goal
                reached = 1
                for k in range(members.size):
                    if rows[row_of[goal], k] >= 0 and members[k] != goal:
                        distance[members[k]] = rows[row_of[goal], k]
                        known[reached] = members[k]
                        reached += 1
                for e in range(in_start[goal], in_start[goal + 1]):
                    u = tail[in_link[e]]
                    if transit[u]:
                        reached = reach(
                            u, goal, reached, zone, transit, cost, out_start, out_link, head, distance, known
                        )
            else:
                reached = search(
                    goal, zone, transit, core, cost, in_start, in_link, tail, distance, known, queue, waiting
                )
                if kept[0] < rows.shape[0]:
                    row_of[goal] = kept[0]
                    kept[0] += 1
                    for k in range(members.size):
                        rows[row_of[goal], k] = distance[members[k]]
        if distance[s] < 0:
            for e in range(out_start[s], out_start[s + 1]):
                u = head[out_link[e]]
                if transit[u]:
                    reached = reach(
                        u, goal, reached, zone, transit, cost, out_start, out_link, head, distance, known
                    )
            reached = reach(s, goal, reached, zone, transit, cost, out_start, out_link, head, distance, known)
        piece[i] = at
        length[i] = 0
        if distance[s] < 0:
            continue
        hops = distance[s] % (distance.size + 1) + single
        if at + hops > link.size:
            for q in range(reached):
                distance[known[q]] = -1
            return int(-1 - (at + hops))
        v = s
        stride = 1
        lag = 0
        while v != goal:
            n = 0
            for e in range(out_start[v], out_start[v + 1]):
                w = head[out_link[e]]
                if distance[w] == distance[v] - cost[out_link[e]] and (w == goal or transit[w]):
                    queue[n] = out_link[e]
                    n += 1
            l = queue[(address[d] // stride) % n]
            link[at] = l
            at += 1
            lag += latency[l]
            v = head[l]
            stride *= n
        v, came = d, -1
        for j in range(single):
            l = only_way(v, came, s, zone, transit, in_start, in_link, tail)
            link[at + single - 1 - j] = l
            lag += latency[l]
            v, came = tail[l], v
        at += single
        length[i] = hops
        delay[i] = lag
    for q in range(reached):
        distance[known[q]] = -1
    return at
