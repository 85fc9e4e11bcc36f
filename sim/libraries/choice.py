"""Which algorithm and protocol: the fastest by an estimate for this fabric.

The estimate is the library's own kind of arithmetic, a latency and a bandwidth
term, with contention counted: a repetition of a round takes its longest delay
plus the time its busiest link needs,

    launch + sum over rounds of repeat * (max delay + max over links of bytes / capacity).

It ignores that ranks run ahead of each other; the simulation that follows does not.

A candidate is an algorithm's name, or ``hierarchical:INNER/OUTER`` for two levels
with these algorithms inside and between the groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim import collectives
from sim.clock import PS_PER_SECOND
from sim.libraries.library import Library
from sim.routing import Router
from sim.routing.paths import Ints
from sim.schedule import FloatArray, IntArray, Schedule
from sim.transfers import load, round_costs
from topologies.errors import ScheduleError, nearest

__all__ = ["Choice", "choose", "levels"]

#: Algorithms whose rounds hold p * p transfers are candidates up to this p.
DENSE = ("mesh", "direct", "one_shot", "two_shot")
DENSE_RANKS = 128


@dataclass(frozen=True, slots=True)
class Choice:
    """An algorithm and a protocol, with the estimates that led there.

    ``estimates`` maps (algorithm, protocol) to seconds, fastest first; empty where
    there was nothing to choose.
    """

    schedule: Schedule
    protocol: str
    estimates: dict[tuple[str, str], float]


def levels(kind: str, label: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a candidate.

    Raises
    ------
    UnknownNameError
        If the algorithm, or one of its levels, does not exist.
    ScheduleError
        If the algorithm has no levels, or they are not two.

    Examples
    --------
    >>> levels("all_reduce", "hierarchical:mesh/ring")
    ('hierarchical', {'inner': 'mesh', 'outer': 'ring'})
    >>> levels("all_reduce", "ring")
    ('ring', {})
    """
    name, colon, rest = label.partition(":")
    known = collectives.algorithms(kind)
    if name not in known:
        raise nearest(f"algorithm of {kind}", name, known)
    if not colon:
        return name, {}
    inner, slash, outer = rest.partition("/")
    if not (slash and inner and outer) or "inner" not in collectives.options(kind, name):
        raise ScheduleError(f"{kind}: algorithm {label!r} must be a name, or hierarchical:INNER/OUTER")
    return name, {"inner": inner, "outer": outer}


def choose(
    build: Callable[[str], Schedule],
    kind: str,
    library: Library,
    router: Router,
    nodes: IntArray,
    *,
    algorithm: str,
    protocol: str,
    groups: IntArray | None,
    dims: tuple[int, ...] | None = None,
) -> Choice:
    """Choose among the library's candidates that can serve.

    Parameters
    ----------
    build : callable
        Gives the schedule of a candidate, or raises `ScheduleError`.
    kind : str
        The collective.
    library : Library
    router : Router
    nodes : int64 array, shape (p,)
        Node of each rank.
    algorithm, protocol : str
        A name, or ``"auto"``.
    groups : int64 array, shape (p,), optional
        Group of each rank for two-level algorithms.
    dims : tuple of int, optional
        Shape of the torus that all ranks together are.

    Raises
    ------
    UnknownNameError
        If there is no such algorithm or protocol.
    ScheduleError
        If no candidate can serve so many ranks.
    """
    protocols = [library.protocol(protocol).name] if protocol != "auto" else list(library.protocols)
    if algorithm != "auto":
        schedules = {algorithm: build(algorithm)}
    else:
        in_network = bool(router.fabric.attributes.get("in_network"))
        schedules = _able(build, kind, library, nodes.size, groups, dims, in_network)
    if len(schedules) * len(protocols) == 1 or nodes.size == 1:
        return Choice(next(iter(schedules.values())), protocols[0], {})
    found: dict[tuple[str, str], float] = {}
    for label, schedule in schedules.items():
        for name, seconds in zip(
            protocols, _estimate(schedule, protocols, library, router, nodes), strict=True
        ):
            found[label, name] = seconds
    order = sorted(found, key=lambda pair: (found[pair], pair))
    best, best_protocol = order[0]
    return Choice(schedules[best], best_protocol, {pair: found[pair] for pair in order})


def _able(
    build: Callable[[str], Schedule],
    kind: str,
    library: Library,
    ranks: int,
    groups: IntArray | None,
    dims: tuple[int, ...] | None,
    in_network: bool,
) -> dict[str, Schedule]:
    """Schedules of the candidates that can serve; of any algorithm if none of them can."""
    refusals: list[str] = []
    for labels in (library.candidates.get(kind, ()), collectives.algorithms(kind)):
        able: dict[str, Schedule] = {}
        for label in labels:
            name, _ = levels(kind, label)
            reason = collectives.serves(kind, name, ranks, groups, dims=dims)
            if reason is None and _in_network(kind, label) and not in_network:
                reason = "needs switches that reduce (graph attribute in_network)"
            crowd = _crowd(label, ranks, groups)
            if crowd > DENSE_RANKS:
                reason = f"makes {ranks * (crowd - 1)} transfers a round"
            if reason is None:
                try:
                    able[label] = build(label)
                except ScheduleError as error:  # a level of it cannot serve
                    reason = str(error)
            if reason is not None:
                refusals.append(f"{label} {reason}")
        if able:
            return able
    raise ScheduleError(f"{kind}: no algorithm can serve {ranks} ranks: {'; '.join(refusals)}")


def _in_network(kind: str, label: str) -> bool:
    """Whether a candidate, or a level of it, asks switches to reduce."""
    name, _, rest = label.partition(":")
    known = collectives.algorithms(kind)
    return any(one in known and collectives.uses_network(kind, one) for one in [name, *rest.split("/")])


def _crowd(label: str, ranks: int, groups: IntArray | None) -> int:
    """How many ranks a candidate lets talk to each other all at once; 0 if none."""
    name, _, rest = label.partition(":")
    inner, _, outer = rest.partition("/")
    of_group, many = (ranks, 1) if groups is None else (int(np.bincount(groups).max()), int(groups.max()) + 1)
    return max(
        ranks if name in DENSE else 0, of_group if inner in DENSE else 0, many if outer in DENSE else 0
    )


def _estimate(
    schedule: Schedule, protocols: list[str], library: Library, router: Router, nodes: IntArray
) -> list[float]:
    """Seconds with each protocol.

    Kept with the fabric as (latency term, bytes of the busiest links) for other
    sizes of the same request, unless the algorithm cuts its data by their size.
    """
    pipelined = _cuts(schedule)
    request = (schedule.kind, schedule.algorithm, schedule.root, router.routing, router.domain_routing)
    key = (*request, library.name, tuple(protocols), nodes.tobytes())
    terms = None if pipelined else router.fabric.notes.get(key)
    if terms is None:
        terms = _terms(schedule, protocols, library, router, nodes)
        if not pipelined:
            router.fabric.notes[key] = terms
    latencies, per_byte = terms
    wires = [library.protocol(name).wire for name in protocols]
    return [
        library.launch + latency + per_byte * schedule.size * wire
        for latency, wire in zip(latencies, wires, strict=True)
    ]


def _cuts(schedule: Schedule) -> bool:
    """Whether the algorithm, or a level of it, pipelines pieces whose number depends on the size."""
    names = [schedule.algorithm.partition(":")[0], *schedule.algorithm.partition(":")[2].split("/")]
    known = collectives.algorithms(schedule.kind)
    return schedule.chunk_bytes is not None or any(
        n in known and collectives.cuts_by_size(schedule.kind, n) for n in names
    )


def _terms(
    schedule: Schedule, protocols: list[str], library: Library, router: Router, nodes: IntArray
) -> tuple[list[float], float]:
    """Seconds of delays by protocol, and seconds a byte of the busiest links."""
    costs = [library.costs(name) for name in protocols]
    latencies = [0.0] * len(costs)
    busiest = 0.0
    capacity = costs[0].capacity(router.fabric)
    for one in load(schedule.rounds(), router, nodes, capacity, costs[0], every_link=True):
        r = one.round
        if not r.src.size:
            continue
        busiest += r.repeat * _busiest(one.paths.link, one.paths.start, one.paths.weight, r.bytes, capacity)
        for i, cost in enumerate(costs):
            extra = round_costs(r, one.paths, router.fabric, cost)
            delay = int((extra.overhead_ps + one.paths.latency_ps + extra.reduce_ps).max())
            latencies[i] += r.repeat * delay / PS_PER_SECOND
    return latencies, busiest / schedule.size


def _busiest(
    link: Ints, start: IntArray, weight: FloatArray, moved: FloatArray, capacity: FloatArray
) -> float:
    each = np.repeat(moved, np.diff(start)) * weight
    return float((np.bincount(link, weights=each, minlength=capacity.size) / capacity).max())
