"""Three ways to the same picosecond: every event, fast-forward, and plain SimPy.

Drawn at random: the graph and its jitter, collectives, algorithms, sizes, ranks
in any order, a second and third job that cross, links that slow down, fail and
come back in the middle.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.schedule import FloatArray
from tests.sim.strategies import Fault, Job, Situation, graphs, situations

WAYS = (("fluid", True), ("fluid", False), ("reference", True))

Outcome = tuple[list[tuple[int, int, tuple[int, ...]]], FloatArray]


def simulate(case: Situation, network: str, fast_forward: bool) -> Outcome:
    """For each job, in order: number, end in picoseconds, account of causes; and bytes on each link."""
    world = sim.World(case.graph, library=case.library, network=network, fast_forward=fast_forward)
    protocol = list(world.library.protocols)[-1]
    ends = []

    def run(number: int, job: Job) -> Generator[simpy.Event, Any, None]:
        if job.start:
            yield world.env.timeout(job.start)
        done = world.collective(
            job.kind, job.size, list(job.chips), algorithm=job.algorithm, protocol=protocol
        )
        finished = yield done
        assert world.env.now_ps == finished.at_ps or len(job.chips) == 1
        ends.append((number, finished.at_ps, tuple(finished.account.tolist())))

    def fail(fault: Fault) -> Generator[simpy.Event, Any, None]:
        yield world.env.timeout(fault.start)
        if fault.factor:
            bandwidth = case.graph.edges[edge(case, fault)]["bandwidth"]
            world.set_link(fault.tail, fault.head, bandwidth=fault.factor * bandwidth)
        else:
            world.set_link(fault.tail, fault.head, up=False)
        yield world.env.timeout(fault.lasts)
        world.set_link(fault.tail, fault.head)

    for number, job in enumerate(case.jobs):
        world.process(run(number, job))
    for fault in case.faults:
        world.process(fail(fault))
    world.run()
    return sorted(ends), world.network.carried()


def edge(case: Situation, fault: Fault) -> tuple[Any, ...]:
    return (fault.tail, fault.head, 0) if case.graph.is_multigraph() else (fault.tail, fault.head)


def assert_same(case: Situation) -> None:
    """The same instants; the total of every account; and bytes to rounding.

    Which of two transfers that end at one instant a rank has waited for is not
    told apart, so causes may differ where their sums do not.
    """
    ends, carried = zip(*(simulate(case, *way) for way in WAYS), strict=True)
    sums = [[(number, at, sum(account)) for number, at, account in one] for one in ends]
    assert sums[0] == sums[1] == sums[2], case
    assert len(sums[0]) == len(case.jobs)
    for other in carried[1:]:
        np.testing.assert_allclose(other, carried[0], rtol=1e-9, atol=1e-3)


@given(situations(most_jobs=1, most_faults=0))
@settings(max_examples=120)
def test_one_job(case: Situation) -> None:
    assert_same(case)


@given(situations(most_jobs=3, most_faults=0))
@settings(max_examples=60)
def test_jobs_that_cross(case: Situation) -> None:
    assert_same(case)


@given(situations(most_jobs=1, most_faults=2))
@settings(max_examples=60)
def test_links_that_change_in_the_middle(case: Situation) -> None:
    assert_same(case)


@given(situations())
@settings(max_examples=60)
def test_everything_at_once(case: Situation) -> None:
    assert_same(case)


@pytest.mark.slow
@given(situations(max_chips=16))
@settings(max_examples=150)
def test_everything_at_once_and_more_of_it(case: Situation) -> None:
    assert_same(case)


@given(graphs(), st.sampled_from([1e3, 1e6, 2.0**26]), st.integers(3, 40))
@settings(max_examples=60)
def test_a_repeated_round_interrupted_at_any_repetition(graph: Any, size: float, at: int) -> None:
    """A ring's repetitions are jumped over; a fault within them finds every rank where it would be.

    The fault comes at the ``at``-th fortieth of the run, lasts a tenth of it, and
    concerns the first link of the first chip.
    """
    chips = tuple(topologies.chips(graph))
    alone = sim.all_reduce(graph, size, algorithm="ring", library="ideal").time
    tail, head = next(iter(graph.edges(chips[0])))[:2]
    job = Job(0.0, "all_reduce", "ring", chips, size)
    fault = Fault(alone * at / 40, tail, head, 0.25, alone / 10)
    assert_same(Situation(graph, "ideal", (job,), (fault,)))


@pytest.mark.parametrize("p", [64, 200])
@pytest.mark.parametrize("slow", [0.5, None])
def test_a_large_ring_out_of_step(p: int, slow: float | None) -> None:
    """Every transfer of a step lasts differently.

    With one link at half its bandwidth the ring settles into that link's pace, and
    the rest is jumped over; with 5 % on all of them it takes its whole length to.
    """
    rng = np.random.default_rng(p)
    graph = topologies.ring(p, bandwidth=50e9, latency=1e-6)
    for _, _, attributes in graph.edges(data=True):
        attributes["bandwidth"] *= rng.uniform(0.95, 1.05) if slow is None else 1.0
    if slow is not None:
        graph.edges[3, 4]["bandwidth"] *= slow
    runs = [sim.all_reduce(graph, 2.0**26, algorithm="ring", fast_forward=on) for on in (True, False)]
    assert runs[0].finished.at_ps == runs[1].finished.at_ps
    assert runs[1].cost.jumped == 0
    assert runs[0].cost.jumped > 0 or slow is None
    assert runs[0].cost.transfers == runs[1].cost.transfers == 2 * (p - 1) * p
    np.testing.assert_allclose(runs[0].carried, runs[1].carried, rtol=1e-9)


def test_two_rings_that_cross() -> None:
    """Two rings through an oversubscribed tier, the second started within the first."""
    graph = topologies.leaf_spine(64, per_leaf=8, oversubscription=4, bandwidth=50e9, latency=1e-6)
    chips = topologies.chips(graph)
    jobs = (
        Job(0.0, "all_reduce", "ring", tuple(chips[0::2]), 2.0**24),
        Job(1e-4, "all_reduce", "ring", tuple(chips[1::2]), 2.0**24),
    )
    assert_same(Situation(graph, "ideal", jobs, ()))


def test_a_pipeline_of_ties_is_jumped_over() -> None:
    """Of ends that come at one instant, and links that limit alike, either is noted: no other state."""
    graph = topologies.fat_tree(256, tiers=3, radix=12, bandwidth=50e9, latency=1e-6)
    fast, whole = (
        sim.all_reduce(
            graph, 2.0**28, algorithm="double_binary_tree", pipeline=80, library="ideal", fast_forward=on
        )
        for on in (True, False)
    )
    assert fast.cost.jumped >= 100 > whole.cost.jumped == 0  # of 174
    assert fast.finished.at_ps == whole.finished.at_ps
    assert sum(fast.finished.account) == sum(whole.finished.account) == fast.finished.at_ps
    np.testing.assert_allclose(fast.carried, whole.carried, rtol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_job_interrupted_long_after_another_one(seed: int) -> None:
    """The first job's transfers share links, so that ends foretold outlast it in the calendar; the second one
    runs ahead, and comes to the event loop in the middle, where none of the first may be taken for its own.
    """
    rng = np.random.default_rng(seed)
    graph = topologies.leaf_spine(8, per_leaf=4, oversubscription=4, bandwidth=50e9, latency=0.0)
    for _, _, attributes in graph.edges(data=True):
        attributes["bandwidth"] *= rng.uniform(0.9, 1.1)
    chips = tuple(topologies.chips(graph))
    jobs = (
        Job(0.0, "all_reduce", "recursive_doubling", chips, 2.0**20),
        Job(0.01, "all_reduce", "ring", (chips[0], chips[4]), 2.0**24),
    )
    tail, head = next(iter(graph.edges(chips[0])))[:2]
    assert_same(Situation(graph, "ideal", jobs, (Fault(0.0101, tail, head, 0.5, 1e-4),)))
