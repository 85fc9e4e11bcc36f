"""The works: what is timed, on what, and what the answer must be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import closed_forms, fabrics
from topologies.errors import SimulationError

__all__ = ["FAMILIES", "GIB", "MIB", "SWEPT", "Answer", "Family"]

MIB = 2.0**20
GIB = 2.0**30

#: Seconds between the starts of two jobs.
APART = 1e-3

#: Processes of the sweep, as many as its target allows cores.
CORES = 2

#: Machines of the sweep: half of them domestic; each can be built of 8, 16, ... 16,384 chips.
SWEPT = (
    "atlas-800t-a2", "atlas-950", "atlas-950-8192", "cloudmatrix384", "longcat-pod", "metax-c500",
    "mtt-s5000", "zhenwu-810e", "gaudi3", "gb200-nvl72", "hgx-b200", "hgx-h100", "hgx-h800", "mi250x",
    "mi300x", "mi355x",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What a work gave: seconds of simulated time (points, for a sweep), and what it cost.

    ``cost`` holds the counters of `sim.network.job.Cost`. ``processes`` is how many worked;
    those that the work has started have ended when it is done.
    """

    value: float
    cost: dict[str, int]
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Family:
    """The same work at any number of ranks.

    Attributes
    ----------
    subject : callable
        ``subject(ranks)``: what the work starts from, made before the clock runs: the
        finished graph, or the number of ranks where building it is part of the work.
    work : callable
        ``work(subject)``: what is timed; gives an `Answer`.
    oracle : callable
        ``oracle(subject)``: the answer by other means; not a number where there is none.
    small : int
        Ranks of the warm-up.
    """

    subject: Callable[[int], Any]
    work: Callable[[Any], Answer]
    oracle: Callable[[Any], float]
    small: int = 64


def _simulate(kind: str, graph: Any, size: float, **options: Any) -> Answer:
    import sim

    run = sim.collective(kind, graph, size, library="ideal", **options)
    return Answer(run.time, counters(run.cost))


def counters(cost: Any) -> dict[str, int]:
    """The counters of a `Cost` by name."""
    return {name: int(getattr(cost, name)) for name in cost.__slots__}


def _ranks(graph: Any) -> int:
    return sum(kind == "chip" for _, kind in graph.nodes(data="kind"))


def _ring(graph: Any, *, fast_forward: bool) -> Answer:
    return _simulate("all_reduce", graph, 64 * MIB, algorithm="ring", fast_forward=fast_forward)


def _all_to_all(graph: Any, *, shuffled: bool) -> Answer:
    place = fabrics.shuffled(_ranks(graph)) if shuffled else None
    return _simulate("all_to_all", graph, 64 * MIB, algorithm="pairwise", ranks=place)


def _with_graph(ranks: int, *, algorithm: str) -> Answer:
    return _simulate("all_reduce", fabrics.three_tier(ranks), GIB, algorithm=algorithm)


def _crossing(graph: Any, *, fast_forward: bool = True) -> Answer:
    """Two ring all-reduces of 64 MiB, each on half of the shuffled chips, one 1 ms after the other."""
    import sim

    world = sim.World(graph, library="ideal", fast_forward=fast_forward)
    place = fabrics.shuffled(world.fabric.ranks)
    half = len(place) // 2

    def job(delay: float, group: list[int]) -> Any:
        yield world.env.timeout(delay)
        yield world.all_reduce(64 * MIB, group, algorithm="ring")

    world.process(job(0.0, place[:half]))
    world.process(job(APART, place[half:]))
    world.run()
    return Answer(world.now, counters(world.network.cost))


def _crossing_without_jumps(graph: Any) -> float:
    return _crossing(graph, fast_forward=False).value


def _sweep(largest: int) -> Answer:
    """Points of 16 machines x 8, 16, ... chips x 3 sizes, graphs included, as scenarios make them."""
    from scenarios import processes
    from scenarios.survey import SERIAL_CHIPS, Survey, survey

    chips = tuple(8 << k for k in range((largest // 8).bit_length()))
    asked = Survey(SWEPT, chips, (MIB, 64 * MIB, GIB), ("nominal",))
    workers = CORES if largest > SERIAL_CHIPS else 1
    table = survey(asked, workers=workers)
    # Ended here, so that what they have cost is known.
    processes.end()
    if not (table["time"] >= table["lower_bound"] * (1 - 1e-9)).all():
        first = table[table["time"] < table["lower_bound"] * (1 - 1e-9)].iloc[0]
        raise SimulationError(f"sweep: {first['machine']} at {first['chips']} chips beats its lower bound")
    return Answer(float(len(table)), {}, workers)


def _points(largest: int) -> float:
    return float(len(SWEPT) * (largest // 8).bit_length() * 3)


def _ring_of(links: int) -> Callable[[Any], float]:
    def closed_form(graph: Any) -> float:
        return closed_forms.ring(_ranks(graph), 64 * MIB, links)

    return closed_form


def _rings(subject: Callable[[int], Any], oracle: Callable[[Any], float], name: str) -> dict[str, Family]:
    return {
        f"{name}": Family(subject, partial(_ring, fast_forward=True), oracle),
        f"{name}-exact": Family(subject, partial(_ring, fast_forward=False), oracle),
    }


def _including_graph(algorithm: str, closed_form: Callable[[int, float], float] | None) -> Family:
    def oracle(ranks: int) -> float:
        return closed_form(ranks, GIB) if closed_form else math.nan

    return Family(int, partial(_with_graph, algorithm=algorithm), oracle, small=128)


#: By name; `benchmarks.rows` says at which sizes they are measured.
FAMILIES: dict[str, Family] = {
    **_rings(fabrics.star, _ring_of(2), "ring-star"),
    **_rings(fabrics.two_level, _ring_of(4), "ring-tree"),
    **_rings(
        fabrics.uneven_star, lambda graph: closed_forms.ring_uneven_star(graph, 64 * MIB), "ring-uneven"
    ),
    "all-to-all-in-order": Family(
        fabrics.two_level,
        partial(_all_to_all, shuffled=False),
        lambda graph: closed_forms.SIMGRID_IN_ORDER.get(_ranks(graph), math.nan),
    ),
    "all-to-all-shuffled": Family(
        partial(fabrics.two_level, latency=0.0),
        partial(_all_to_all, shuffled=True),
        lambda graph: closed_forms.SIMGRID_SHUFFLED.get(_ranks(graph), math.nan),
    ),
    "graph-ring": _including_graph("ring", closed_forms.ring_three_tier),
    "graph-hierarchical": _including_graph("hierarchical", closed_forms.hierarchical_three_tier),
    "graph-halving_doubling": _including_graph("halving_doubling", closed_forms.halving_doubling_three_tier),
    "graph-double_binary_tree": _including_graph("double_binary_tree", None),
    "growth": Family(
        fabrics.three_tier,
        partial(_ring, fast_forward=True),
        _ring_of(6),
        small=128,
    ),
    "crossing": Family(fabrics.oversubscribed, _crossing, _crossing_without_jumps),
    "sweep": Family(int, _sweep, _points, small=16),
}
