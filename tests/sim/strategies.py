"""Hypothesis strategies: graphs, what runs on them, and what goes wrong meanwhile.

For our tests, and for the tests of whoever builds on Chipweave: an algorithm, a
routing or a network model of your own that survives ``@given(situations())``
has seen every shape of fabric, sizes below a byte a rank, groups in any order,
jobs that cross and links that fail.

>>> from hypothesis import given
>>> @given(graphs())
... def contract_holds(graph):
...     topologies.check(graph)
>>> contract_holds()
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
from hypothesis import strategies as st

import topologies
from sim import collectives

__all__ = [
    "Fault",
    "Job",
    "Situation",
    "System",
    "behind_switches",
    "faults",
    "graphs",
    "jobs",
    "random_system",
    "situations",
    "systems",
]

#: Bytes/s and seconds that the links of drawn graphs have before jitter.
BANDWIDTHS = (1e9, 25e9, 50e9)
LATENCIES = (0.0, 3.3e-7, 1e-6)

#: Bytes: less than a byte a rank, a fraction, latency-bound, bandwidth-bound.
SIZES = (1.0, 1e3, 1e6, 12345678.9, 2.0**26)


@dataclass(frozen=True)
class Job:
    """A collective that starts at a time (seconds) on some chips in some order."""

    start: float
    kind: str
    algorithm: str
    chips: tuple[Any, ...]
    size: float


@dataclass(frozen=True)
class Fault:
    """A link that works at a fraction of its bandwidth (0: not at all) for a while (seconds)."""

    start: float
    tail: Any
    head: Any
    factor: float
    lasts: float


@dataclass(frozen=True)
class Situation:
    """A graph, a library's name, jobs, and faults."""

    graph: nx.Graph[Any]
    library: str
    jobs: tuple[Job, ...]
    faults: tuple[Fault, ...]

    def __repr__(self) -> str:
        name = self.graph.graph.get("name", "graph")
        return f"<Situation on {name}: {self.library}, {list(self.jobs)}, {list(self.faults)}>"


@dataclass(frozen=True)
class System:
    """A sharing problem: link capacities, and for each transfer its (link, weight) pairs and its cap."""

    capacity: tuple[float, ...]
    transfers: tuple[tuple[tuple[tuple[int, float], ...], float], ...]


Shape = Callable[[random.Random, int, dict[str, float]], "nx.Graph[Any]"]

SHAPES: dict[str, Shape] = {
    "switch": lambda r, n, x: topologies.switch(n, **x),
    "ring": lambda r, n, x: topologies.ring(n, **x),
    "full_mesh": lambda r, n, x: topologies.full_mesh(n, **x),
    "hypercube": lambda r, n, x: topologies.hypercube(1 << (n.bit_length() - 1), **x),
    "mesh": lambda r, n, x: topologies.mesh(r.choice([(n,), (2, (n + 1) // 2)]), **x),
    "torus": lambda r, n, x: topologies.torus(r.choice([(2, 3), (3, 3), (4, 2), (2, 2, 2)]), **x),
    "hyperx": lambda r, n, x: topologies.hyperx(r.choice([(2, 3), (3, 3)]), **x),
    "leaf_spine": lambda r, n, x: topologies.leaf_spine(
        n, per_leaf=r.choice([2, 3, 4]), oversubscription=r.choice([1, 2]), **x
    ),
    "fat_tree": lambda r, n, x: topologies.fat_tree(
        min(n, 16), tiers=3, radix=4, oversubscription=r.choice([1, 2]), **x
    ),
    "rail_optimized": lambda r, n, x: topologies.rail_optimized(r.choice([2, 3]), r.choice([2, 4]), **x),
    "multi_plane": lambda r, n, x: topologies.multi_plane(n, planes=r.choice([2, 3]), per_leaf=3, **x),
    "dragonfly": lambda r, n, x: topologies.dragonfly(3, 2, 2, **x),
    "random": lambda r, n, x: _random_graph(r, max(n, 4), x),
    "random_directed": lambda r, n, x: _random_graph(r, max(n, 4), x).to_directed(),
}


def _random_graph(rng: random.Random, n: int, x: dict[str, float]) -> nx.Graph[Any]:
    """A small world of chips, as a user's own graph: kind, bandwidth and latency only."""
    graph = nx.connected_watts_strogatz_graph(n, 2 if n < 5 else 4, 0.4, seed=rng.randrange(1000))
    nx.set_node_attributes(graph, "chip", "kind")
    nx.set_edge_attributes(graph, x["bandwidth"], "bandwidth")
    nx.set_edge_attributes(graph, x["latency"], "latency")
    return graph


@st.composite
def graphs(draw: st.DrawFn, shapes: tuple[str, ...] = tuple(SHAPES), max_chips: int = 12) -> nx.Graph[Any]:
    """Graphs of every shape with up to ``max_chips`` chips (a few shapes have a fixed number).

    Half of them have bandwidths that differ by up to a factor of three from link to
    link, a third latencies of their own.
    """
    shape = draw(st.sampled_from(shapes))
    chips = draw(st.integers(2, max_chips))
    values = {
        "bandwidth": draw(st.sampled_from(BANDWIDTHS)),
        "latency": draw(st.sampled_from(LATENCIES)),
    }
    rng = random.Random(draw(st.integers(0, 2**16)))
    graph = SHAPES[shape](rng, chips, values)
    if draw(st.booleans()):
        for _, _, attributes in graph.edges(data=True):
            attributes["bandwidth"] *= rng.uniform(0.5, 1.5)
    if draw(st.sampled_from([True, False, False])):
        for _, _, attributes in graph.edges(data=True):
            attributes["latency"] = rng.uniform(0, 2e-6)
    return graph


def behind_switches(graph: nx.Graph[Any]) -> bool:
    """Whether no chip is another's neighbour, so that switches can reduce for all."""
    kind = graph.nodes(data="kind")
    return not any(kind[u] == kind[v] == "chip" for u, v, *_ in graph.edges)


def whole_domains(graph: nx.Graph[Any], group: Sequence[Any]) -> bool:
    """Whether a group has as many chips in each scale-up domain it touches; else switches sum for nobody."""
    domain = graph.nodes(data="domain")
    held = Counter(domain[chip] for chip in group)
    return None in held or len(set(held.values())) == 1


@st.composite
def jobs(draw: st.DrawFn, graph: nx.Graph[Any], kinds: tuple[str, ...] = (), start: bool = True) -> Job:
    """One collective on some or all chips of a graph, in any order, by an algorithm that serves them."""
    chips = topologies.chips(graph)
    kind = draw(st.sampled_from(kinds or tuple(k for k in collectives.kinds() if k != "barrier")))
    group = tuple(chips)
    if draw(st.booleans()):
        order = draw(st.permutations(chips))
        group = tuple(order[: draw(st.integers(1, len(chips)))])
    able = [
        name
        for name in collectives.algorithms(kind)
        if name != "hierarchical"
        and collectives.serves(kind, name, len(group)) is None
        and (
            not collectives.uses_network(kind, name)
            or (behind_switches(graph) and whole_domains(graph, group))
        )
    ]
    when = draw(st.sampled_from([0.0, 0.0, 1e-6, 5e-5])) if start else 0.0
    return Job(when, kind, draw(st.sampled_from(able)), group, draw(st.sampled_from(SIZES)))


@st.composite
def faults(draw: st.DrawFn, graph: nx.Graph[Any]) -> Fault:
    """One link of a graph that is slower, or down, and then as before."""
    tail, head = draw(st.sampled_from([(u, v) for u, v, *_ in graph.edges]))
    return Fault(
        draw(st.sampled_from([1e-6, 1e-5, 3e-4])),
        tail,
        head,
        draw(st.sampled_from([0.5, 0.1, 0.0])),
        draw(st.sampled_from([1e-5, 1e-3])),
    )


@st.composite
def situations(draw: st.DrawFn, most_jobs: int = 3, most_faults: int = 2, max_chips: int = 12) -> Situation:
    """A graph with up to ``most_jobs`` jobs and up to ``most_faults`` faults."""
    graph = draw(graphs(max_chips=max_chips))
    return Situation(
        graph,
        draw(st.sampled_from(["ideal", "ideal", "nccl"])),
        tuple(draw(st.lists(jobs(graph), min_size=1, max_size=most_jobs))),
        tuple(draw(st.lists(faults(graph), max_size=most_faults))),
    )


@st.composite
def systems(draw: st.DrawFn, most_links: int = 8, most_transfers: int = 12) -> System:
    """Transfers over arbitrary sets of links (paths, trees, planes), some with caps."""
    links = draw(st.integers(1, most_links))
    rng = random.Random(draw(st.integers(0, 2**32)))
    return random_system(rng, links, draw(st.integers(1, most_transfers)))


def random_system(rng: random.Random, links: int, transfers: int) -> System:
    """One system; capacities and caps repeat now and then, so that levels coincide."""
    capacity = tuple(rng.choice([10.0, 40.0, rng.uniform(1, 100)]) for _ in range(links))
    every = []
    for _ in range(transfers):
        held = rng.sample(range(links), rng.randint(1, links))
        share = rng.choice([1.0, 1.0, 0.5, rng.uniform(0.05, 1)])
        cap = rng.choice([float("inf"), float("inf"), 5.0, rng.uniform(0.5, 50)])
        every.append((tuple((link, share) for link in held), cap))
    return System(capacity, tuple(every))
