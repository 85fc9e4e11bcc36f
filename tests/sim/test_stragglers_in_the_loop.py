"""Ranks that come late, or lag behind, in the compiled event loop."""

from __future__ import annotations

import random
from typing import Any

import networkx as nx
import numpy as np
import pytest

import sim
import topologies
from sim.clock import FOREVER
from sim.network import event_loop
from sim.network.event_loop import EventLoop
from sim.network.job import Job
from sim.network.kernels.moves import TIERS
from sim.routing import Router
from sim.schedule import Round
from sim.transfers import Free, load


@pytest.mark.parametrize(
    ("machine", "chips", "algorithm", "seed"),
    [
        ("atlas-950", 24, "hierarchical:mesh/halving_doubling", 11),
        ("atlas-800t-a2", 24, "hierarchical:ring/halving_doubling", 6),
        ("dgx-v100", 40, "hierarchical:mesh/halving_doubling", 8),
    ],
)
def test_rounds_without_a_part_are_the_way_of_a_rank_that_lags(
    machine: str, chips: int, algorithm: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host is slow while others fold and rest: the fold is through, and still on the way of the slow one.

    Where its place in the arrays was given to a later round, the slow ones went on there and left out
    what lay between. Rounds are loaded as late as can be.
    """
    monkeypatch.setattr(event_loop, "LOOKAHEAD", 0)
    graph, chance = topologies.machine(machine, chips=chips), random.Random(seed)
    for _, _, attributes in graph.edges(data=True):
        attributes["bandwidth"] = float(attributes["bandwidth"]) * chance.choice([0.3] + 10 * [1.0])
    options: dict[str, Any] = {"algorithm": algorithm, "library": "ideal"}
    expected = sim.all_reduce(graph, 2.0**20, network="reference", **options).finished.at_ps
    for on in (True, False):
        assert sim.all_reduce(graph, 2.0**20, fast_forward=on, **options).finished.at_ps == expected


def ends(late_ps: int, repeat: int, forward: bool) -> tuple[int, int]:
    """Two pairs share a link, the second one comes later: when all is through, and repetitions jumped."""
    graph = nx.Graph()
    graph.add_nodes_from(["left", "right"], kind="switch")
    graph.add_edge("left", "right", bandwidth=50e9, latency=1e-6)
    for chip in range(4):
        graph.add_node(chip, kind="chip")
        graph.add_edge(chip, "right" if chip % 2 else "left", bandwidth=50e9, latency=1e-6)
    fabric = sim.compile_fabric(graph)
    nodes = np.array([fabric.nodes.index(chip) for chip in range(4)], dtype=np.int64)
    pairs = Round(np.array([0, 2]), np.array([1, 3]), np.array([1e6, 1e6]), repeat=repeat)
    arrivals = np.array([0, 0, late_ps, late_ps], dtype=np.int64)
    job = Job("job", lambda: iter([pairs]), nodes, arrivals, Router(fabric), Free())
    loop = EventLoop(fabric, fabric.bandwidth, forward)
    rounds = load(job.rounds(), job.router, nodes, fabric.bandwidth, job.costs)
    loop.inject(job, arrivals, np.zeros((4, TIERS + len(fabric.tiers)), dtype=np.int64), rounds)
    (finished,) = loop.advance(FOREVER)
    return finished.at_ps, loop.cost.jumped


@pytest.mark.parametrize("late_us", [0, 30, 500, 1000])
def test_who_has_yet_to_come_is_not_jumped_past(late_us: int) -> None:
    """A pair that repeats itself is jumped over, but not past the instant at which another one joins it."""
    (may, jumped), (whole, none) = (ends(late_us * 10**6, 60, on) for on in (True, False))
    assert may == whole and none == 0
    assert jumped > 0


def test_who_is_faster_leaves_the_round_that_others_repeat() -> None:
    """Of 300 pairs 30 have a tenth to move, and are through when the others are not: then they wait.

    A front of the thirty, who make ten repetitions while the others make one, must end before they leave.
    """
    graph = topologies.switch(600, bandwidth=50e9, latency=0.0)
    fabric = sim.compile_fabric(graph)
    nodes = np.array([fabric.nodes.index(chip) for chip in topologies.chips(graph)], dtype=np.int64)
    src, dst = np.arange(0, 600, 2), np.arange(1, 600, 2)
    size = np.where(np.arange(300) >= 270, 1e5, 1e6)
    rounds = [Round(src, dst, size, repeat=39), Round(src, np.roll(dst, 20), size)]
    ends = []
    for forward in (True, False):
        job = Job("job", lambda: iter(rounds), nodes, 0 * nodes, Router(fabric), Free())
        loop = EventLoop(fabric, fabric.bandwidth, forward)
        later = load(job.rounds(), job.router, nodes, fabric.bandwidth, job.costs)
        loop.inject(job, 0 * nodes, np.zeros((600, TIERS + len(fabric.tiers)), dtype=np.int64), later)
        ends.append([finished.at_ps for finished in loop.advance(FOREVER)])
    # Forty times the 20 us of a megabyte at 50 GB/s.
    assert ends == [[800_000_000], [800_000_000]]
