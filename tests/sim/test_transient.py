"""Fronts: a few transfers simulated beside many that follow a script.

The twin is the event loop itself, in which every transfer is an event. Fronts are
allowed in far smaller rounds here than elsewhere, and among far more who differ, so
that certificates break, windows begin anew and fronts are given up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.clock import FOREVER
from sim.network import job as jobs
from sim.network import transient
from sim.network.event_loop import EventLoop
from sim.network.kernels.moves import TIERS
from sim.network.stretches import together
from sim.routing import Router
from sim.schedule import Assembled, Round
from sim.transfers import Free, load
from tests.sim.strategies import Fault, Job, Situation
from tests.sim.test_equality import simulate

SHAPES = {
    "leaf_spine": lambda x: topologies.leaf_spine(24, per_leaf=4, oversubscription=2, **x),
    "fat_tree": lambda x: topologies.fat_tree(54, tiers=3, radix=8, **x),
    "dragonfly": lambda x: topologies.dragonfly(4, 2, 4, **x),
    "torus": lambda x: topologies.torus((2, 4, 4), **x),
    "switch": lambda x: topologies.switch(17, **x),
    "rail_optimized": lambda x: topologies.rail_optimized(4, 4, **x),
}


@pytest.fixture(autouse=True)
def fronts_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transient, "ENOUGH", 4)
    monkeypatch.setattr(transient, "SHARE", 2)
    monkeypatch.setattr(transient, "MOST", 1)


@st.composite
def fabrics(draw: st.DrawFn) -> nx.Graph[Any]:
    """Fabrics of a few dozen chips, some links of which are slower or nearer than others."""
    values = {"bandwidth": 50e9, "latency": draw(st.sampled_from([0.0, 3.3e-7, 1e-6]))}
    graph = SHAPES[draw(st.sampled_from(sorted(SHAPES)))](values)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    share = draw(st.sampled_from([0.0, 0.03, 1.0]))
    for _, _, link in graph.edges(data=True):
        if rng.random() < share:
            link["bandwidth"] *= rng.choice([0.5, 0.75, rng.uniform(0.9, 1.0)])
            link["latency"] *= rng.uniform(0.5, 1.5)
    return graph


WORKS = st.sampled_from(
    [("ring", "ideal"), ("ring", "nccl"), ("double_binary_tree", "ideal"), ("tree", "nccl"), ("tree", "rccl")]
)
SIZES = st.sampled_from([1e6, 1e7, 2.0**26])


def order(graph: nx.Graph[Any], seed: int) -> list[Any]:
    """The chips of a graph, in their order or at random; sometimes not all of them."""
    chips = list(topologies.chips(graph))
    rng = np.random.default_rng(seed)
    if seed % 2:
        chips = [chips[i] for i in rng.permutation(len(chips))]
    return chips[: int(rng.integers(len(chips) // 2, len(chips) + 1))] if seed % 3 == 0 else chips


@given(fabrics(), WORKS, SIZES, st.integers(0, 2**10))
@settings(max_examples=150)
def test_every_transfer_an_event_says_the_same(
    graph: nx.Graph[Any], work: tuple[str, str], size: float, seed: int
) -> None:
    algorithm, library = work
    options: Any = {"algorithm": algorithm, "library": library, "ranks": order(graph, seed)}
    may, whole = (sim.all_reduce(graph, size, fast_forward=on, **options) for on in (True, False))
    assert may.finished.at_ps == whole.finished.at_ps
    assert sum(may.finished.account) == sum(whole.finished.account)
    assert may.cost.transfers == whole.cost.transfers
    np.testing.assert_allclose(may.carried, whole.carried, rtol=1e-9, atol=1e-3)


@given(fabrics(), WORKS, SIZES, st.integers(0, 2**10), st.floats(0.1, 0.9), st.sampled_from([0.0, 0.25]))
@settings(max_examples=60)
def test_somebody_interferes(
    graph: nx.Graph[Any], work: tuple[str, str], size: float, seed: int, at: float, factor: float
) -> None:
    """A link slows down, or a second job comes, in the middle of a script or of a window."""
    algorithm, library = work
    ranks = order(graph, seed)
    alone = sim.all_reduce(graph, size, algorithm=algorithm, library=library, ranks=ranks).time
    jobs = [Job(0.0, "all_reduce", algorithm, tuple(ranks), size)]
    if seed % 5 < 3:
        jobs.append(Job(alone * at, "all_reduce", "ring", tuple(reversed(ranks[: len(ranks) // 2])), 1e6))
    tail, head = list(graph.edges())[seed % graph.number_of_edges()][:2]
    faults = [Fault(alone * at, tail, head, factor, alone / 20)] if seed % 5 > 1 else []
    case = Situation(graph, library, tuple(jobs), tuple(faults))
    (ends, carried), (expected, moved) = (simulate(case, "fluid", on) for on in (True, False))
    assert [(n, end, sum(account)) for n, end, account in ends] == [
        (n, end, sum(account)) for n, end, account in expected
    ]
    np.testing.assert_allclose(carried, moved, rtol=1e-9, atol=1e-3)


#: Rings and trees in which somebody loses a certificate on a link where nobody live is left: one random job
#: in a thousand does. Bytes/s and seconds of the links, what runs, bytes, and the chips in their order.
LOST_CERTIFICATES: tuple[tuple[float, float, str, str, float, list[int]], ...] = (
    (25e9, 1e-6, "ring", "ideal", 1e6, [29, 20, 21, 18, 23, 3, 14, 10, 16, 2, 8, 15]),
    (
        50e9, 3.3e-7, "tree", "rccl", 2.0**30,
        [
            24, 0, 15, 21, 17, 10, 9, 5, 8, 11, 1, 28, 18, 19, 22, 16,
            4, 12, 13, 31, 6, 25, 20, 3, 26, 30, 29, 27, 14, 2, 7, 23,
        ],
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", LOST_CERTIFICATES, ids=["ring", "tree"])
def test_a_stranger_that_loses_its_certificate_is_noticed(
    case: tuple[float, float, str, str, float, list[int]],
) -> None:
    bandwidth, latency, algorithm, library, size, chips = case
    graph = topologies.dragonfly(4, 2, 4, bandwidth=bandwidth, latency=latency)
    ranks = [list(topologies.chips(graph))[i] for i in chips]
    options: Any = {"algorithm": algorithm, "library": library, "ranks": ranks}
    may, whole = (sim.all_reduce(graph, size, fast_forward=on, **options) for on in (True, False))
    assert may.finished.at_ps == whole.finished.at_ps
    assert sum(may.finished.account) == sum(whole.finished.account)


@pytest.mark.parametrize("without", ["rounds that are large enough", "memory for a script"])
def test_a_few_are_followed_instead_of_many(monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    """A double binary tree whose differences take tens of repetitions to die out."""
    monkeypatch.undo()
    graph = topologies.fat_tree(1024, tiers=3, radix=32, bandwidth=50e9, latency=5e-7)
    options: Any = {"algorithm": "double_binary_tree", "library": "ideal"}
    followed = sim.all_reduce(graph, 2.0**30, **options)
    if without == "memory for a script":
        monkeypatch.setattr("topologies.memory.available", lambda: 10_000)
    else:
        monkeypatch.setattr(transient, "ENOUGH", 2**40)
    whole = sim.all_reduce(graph, 2.0**30, **options)
    assert followed.finished.at_ps == whole.finished.at_ps
    assert followed.cost.transfers == whole.cost.transfers
    assert followed.cost.events < 0.8 * whole.cost.events


def test_a_limit_of_the_script_is_one_that_still_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of links that limit a transfer alike one is noted; whoever filled it may have left since.

    Chips 1 and 2 make ten repetitions while the others make one, on the link between the switches, and
    leave. A transfer of the script that went back to that link as its limit would keep its rate for ever.
    """
    monkeypatch.setattr(transient, "ENOUGH", 1)
    monkeypatch.setattr(transient, "SHARE", 2)
    graph = nx.Graph()
    graph.add_nodes_from(["left", "right"], kind="switch")
    graph.add_edge("left", "right", bandwidth=50e9, latency=0.0)
    for chip in range(6):
        graph.add_node(chip, kind="chip")
        graph.add_edge(chip, "right" if chip % 2 else "left", bandwidth=50e9, latency=0.0)
    steps = [
        ("5>4 2>1 0>3", "", 1),
        ("5>4 2>1 0>3", "3>4 1>5 2>0", 1),
        ("", "4>5 3>0", 1),
        ("0>4 3>5 2>1", "4>5 3>0", 1),
        ("0>4 3>5 2>1", "4>5 3>0 0>5", 38),
    ]
    rounds = []
    for small, large, repeat in steps:
        ends = np.array([pair.split(">") for pair in f"{large} {small}".split()], dtype=np.int64)
        size = np.where(np.arange(len(ends)) < len(large.split()), 1e6, 1e5)
        rounds.append(Round(ends[:, 0].copy(), ends[:, 1].copy(), size, repeat=repeat))
    found = []
    for forward in (True, False):
        fabric = sim.compile_fabric(graph)
        nodes = np.array([fabric.nodes.index(chip) for chip in range(6)], dtype=np.int64)
        loop = EventLoop(fabric, fabric.bandwidth, forward)
        job = jobs.Job("job", lambda: iter(rounds), nodes, 0 * nodes, Router(fabric), Free())
        later = load(job.rounds(), job.router, nodes, fabric.bandwidth, job.costs)
        loop.inject(job, 0 * nodes, np.zeros((6, TIERS + len(fabric.tiers)), dtype=np.int64), later)
        found += [one.at_ps for one in loop.advance(FOREVER)]
    assert found == [1_734_000_000, 1_734_000_000]


def test_who_is_not_in_the_round_stays_where_it_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chip 1 goes on to the last round while a script is written, and stands there at its end.

    Taken back to where it stood when the script was begun, it would have another account, and may
    never come to its last transfer.
    """
    monkeypatch.setattr(transient, "ENOUGH", 1)
    monkeypatch.setattr(transient, "SHARE", 2)
    graph = topologies.switch(8, bandwidth=50e9, latency=0.0)
    for chip, bandwidth in {1: 25e9, 3: 25e9, 4: 25e9, 6: 42e9}.items():
        for link in graph[chip].values():
            link["bandwidth"] = bandwidth
    fabric = sim.compile_fabric(graph)
    first, second, third, last = (
        Round(np.array(src), np.array(dst), np.array(size))
        for src, dst, size in (
            ([5], [7], [1e5]), ([6], [2], [1e5]), ([7], [3], [1e6]), ([6, 4], [1, 3], [1e5, 1e5])
        )
    )  # fmt: skip
    steps = [Assembled.of((first,), 1), Assembled.of((first, second, third), 38), last]
    nodes = np.array([fabric.nodes.index(chip) for chip in range(8)], dtype=np.int64)
    arrivals = np.array([0, 0, 0, 0, 0, 0, 500_000_001, 100_000_001], dtype=np.int64)
    job = jobs.Job("job", lambda: iter(steps), nodes, arrivals, Router(fabric), Free())
    found = []
    for forward in (True, False):
        rounds, spans, whole = zip(*together(job.rounds(), job.costs), strict=True)
        assert spans[0] is not None
        each = load(iter(rounds), job.router, nodes, fabric.bandwidth, job.costs)
        later = (
            one if span is None else replace(one, span=span, whole=full)
            for one, span, full in zip(each, spans, whole, strict=True)
        )
        loop = EventLoop(fabric, fabric.bandwidth, forward)
        loop.inject(job, arrivals, np.zeros((8, TIERS + len(fabric.tiers)), dtype=np.int64), later)
        found += [(one.at_ps, int(one.account.sum())) for one in loop.advance(FOREVER)]
        assert forward == bool(loop.cost.jumped)
    assert len(found) == 2 and found[0] == found[1] and found[0][0] == found[0][1] + 100_000_001
