"""Random jobs given to the event loop itself: late ranks, groups that never meet, pipelines, small fronts.

The twin is the loop in which every transfer is an event and every step a round of its own. Whole runs
hardly come here: their ranks start together, and what has no contention never reaches the loop.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.clock import FOREVER
from sim.fabric import Fabric
from sim.network import event_loop, transient
from sim.network.event_loop import EventLoop
from sim.network.job import Job
from sim.network.kernels.moves import TIERS
from sim.network.stretches import together
from sim.routing import Router
from sim.schedule import Assembled, IntArray, Round
from sim.transfers import Free, Loaded, load


def some_fabric(chance: random.Random) -> Fabric:
    """Up to eight chips on one switch or two, alike or not."""
    chips, switches, latency = chance.choice([4, 6, 8]), chance.choice([1, 2]), chance.choice([0.0, 1e-6])
    alike = chance.random() < 0.6
    graph = nx.Graph()
    for k in range(switches):
        graph.add_node(f"switch{k}", kind="switch")
    if switches == 2:
        bandwidth = chance.choice([25e9, 50e9, 100e9])
        graph.add_edge("switch0", "switch1", bandwidth=bandwidth, latency=latency)
    for chip in range(chips):
        graph.add_node(chip, kind="chip")
        share = 1 if alike else chance.choice([1, 0.5, chance.uniform(0.8, 1.2)])
        graph.add_edge(chip, f"switch{chip % switches}", bandwidth=50e9 * share, latency=latency)
    return sim.compile_fabric(graph)


def some_rounds(chance: random.Random, chips: int) -> list[Round]:
    """Rounds that repeat, and pipelines of a few stages, between pairs that may never meet."""

    def part() -> Round:
        m = chance.randint(1, chips // 2)
        ends = np.array(chance.sample(range(chips), 2 * m), dtype=np.int64)
        return Round(ends[:m].copy(), ends[m:].copy(), np.full(m, chance.choice([1e5, 1e6])))

    rounds = []
    for _ in range(chance.randint(1, 6)):
        if chance.random() < 0.5:
            rounds.append(replace(part(), repeat=chance.choice([1, 1, 3, 10, 60])))
            continue
        stages = tuple(part() for _ in range(chance.randint(2, 4)))
        pieces = chance.choice([2, 5, 12, 40, 80])
        at = 0
        while at < len(stages) + pieces - 1:
            lo, hi = max(0, at - pieces + 1), min(at, len(stages) - 1)
            steady = lo == 0 and hi == len(stages) - 1
            repeat = pieces - at if steady else 1
            rounds.append(Assembled.of(stages[lo : hi + 1], repeat))
            at += repeat
    return rounds


def outcome(fabric: Fabric, rounds: list[Round], arrivals: IntArray, forward: bool, spans: bool) -> Any:
    """When the job ends, its account, and what was done."""
    nodes = np.array([fabric.nodes.index(chip) for chip in range(arrivals.size)], dtype=np.int64)
    job = Job("job", lambda: iter(rounds), nodes, arrivals, Router(fabric), Free())
    steps = list(together(iter(rounds), job.costs)) if spans else [(one, None, None) for one in rounds]

    def loaded() -> Iterator[Loaded]:
        each = load((one for one, *_ in steps), job.router, nodes, fabric.bandwidth, job.costs)
        for one, (_, span, whole) in zip(each, steps, strict=True):
            yield one if span is None else replace(one, span=span, whole=whole)

    loop = EventLoop(fabric, fabric.bandwidth, forward)
    loop.inject(job, arrivals, np.zeros((nodes.size, TIERS + len(fabric.tiers)), dtype=np.int64), loaded())
    (finished,) = loop.advance(FOREVER)
    carried = np.round(loop.carried()).tolist()
    return finished.at_ps, int(finished.account.sum()), loop.cost.transfers, loop.cost.rounds, carried


@given(st.integers(0, 2**32), st.sampled_from([0, 2048]), st.sampled_from([1, 2, 8]), st.sampled_from([1, 3]))
@settings(max_examples=150, deadline=None)
def test_every_way_says_the_same(seed: int, lookahead: int, share: int, most: int) -> None:
    chance = random.Random(seed)
    fabric = some_fabric(chance)
    chips = sum(isinstance(node, int) for node in fabric.nodes)
    rounds = some_rounds(chance, chips)
    late = [0, 0, 0, 0, chance.choice([10, 30, 100, 500, 2000]) * 10**6 + chance.choice([0, 1, 777])]
    arrivals = np.array([chance.choice(late) for _ in range(chips)], dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_loop, "LOOKAHEAD", lookahead)
        patch.setattr(transient, "ENOUGH", 1)
        patch.setattr(transient, "SHARE", share)
        patch.setattr(transient, "MOST", most)
        expected = outcome(fabric, rounds, arrivals, forward=False, spans=False)
        for forward, spans in ((True, False), (False, True), (True, True)):
            assert outcome(fabric, rounds, arrivals, forward, spans) == expected
