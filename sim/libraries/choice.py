"""Which algorithm and protocol: the fastest by an estimate for this fabric.

The estimate is the library's own kind of arithmetic, a latency and a bandwidth
term, with contention counted: a repetition of a round takes its longest delay
plus the time its busiest link needs,

    launch + sum over rounds of repeat * (max delay + max over links of bytes / capacity).

It ignores that ranks run ahead of each other; the simulation that follows does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from sim import collectives
from sim.clock import PS_PER_SECOND
from sim.libraries.library import Library
from sim.routing import Router
from sim.schedule import FloatArray, IntArray, Schedule
from sim.transfers import load
from topologies.errors import ScheduleError

__all__ = ["Choice", "choose"]

#: Algorithms whose rounds hold p * p transfers are candidates up to this p.
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
) -> Choice:
    """Choose among the library's candidates that can serve.

    Parameters
    ----------
    build : callable
        Gives the schedule of an algorithm.
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

    Raises
    ------
    UnknownNameError
        If there is no such algorithm or protocol.
    ScheduleError
        If no candidate can serve so many ranks.
    """
    algorithms = [algorithm] if algorithm != "auto" else _candidates(kind, library, nodes.size, groups)
    protocols = [library.protocol(protocol).name] if protocol != "auto" else list(library.protocols)
    schedules = {name: build(name) for name in algorithms}
    if len(algorithms) * len(protocols) == 1 or nodes.size == 1:
        return Choice(schedules[algorithms[0]], protocols[0], {})
    found = dict(_estimates(schedules, protocols, library, router, nodes))
    order = sorted(found, key=lambda pair: (found[pair], pair))
    best, best_protocol = order[0]
    return Choice(schedules[best], best_protocol, {pair: found[pair] for pair in order})


def _candidates(kind: str, library: Library, ranks: int, groups: IntArray | None) -> list[str]:
    known = collectives.algorithms(kind)
    names = [n for n in library.candidates.get(kind, known) if n in known]
    able = [n for n in names if collectives.serves(kind, n, ranks, groups) is None]
    if ranks > DENSE_RANKS:
        able = [n for n in able if n not in ("mesh", "direct")] or able
    if not able:
        able = [n for n in known if collectives.serves(kind, n, ranks, groups) is None]
    if not able:
        raise ScheduleError(f"{kind}: none of {', '.join(names)} can serve {ranks} ranks")
    return able


def _estimates(
    schedules: dict[str, Schedule], protocols: list[str], library: Library, router: Router, nodes: IntArray
) -> Iterable[tuple[tuple[str, str], float]]:
    for name, schedule in schedules.items():
        costs = [library.costs(p) for p in protocols]
        totals = [library.launch] * len(costs)
        capacity = costs[0].capacity(router.fabric)
        for one in load(schedule.rounds(), router, nodes, capacity, costs[0]):
            r = one.round
            if not r.src.size:
                continue
            busiest = _busiest(one.paths.link, one.paths.start, one.paths.weight, r.bytes, capacity)
            for i, cost in enumerate(costs):
                extra = cost.of(router.fabric, one.paths, r.bytes, r.reduce)
                delay = (
                    float((extra.overhead_ps + one.paths.latency_ps + extra.reduce_ps).max()) / PS_PER_SECOND
                )
                totals[i] += r.repeat * (delay + busiest * cost.protocol.wire)
        for protocol, total in zip(protocols, totals, strict=True):
            yield (name, protocol), total


def _busiest(
    link: object, start: IntArray, weight: FloatArray, moved: FloatArray, capacity: FloatArray
) -> float:
    each = np.repeat(moved, np.diff(start)) * weight
    return float((np.bincount(link, weights=each, minlength=capacity.size) / capacity).max())  # type: ignore[arg-type]
