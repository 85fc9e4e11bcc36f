"""Rounds with an order of their own: three networks, by hand and at random; circles refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.libraries import library
from sim.network.job import Finished, Job
from sim.schedule import Payload, Round, Schedule
from sim.waits import waits_of
from tests.sim.strategies import graphs
from topologies.errors import ScheduleError

ALPHA, BANDWIDTH = 1e-6, 50e9
WAYS = ("fluid", "reference", "analytic")


def lists(after: list[list[int]]) -> Payload:
    """Predecessors of each transfer as (offsets, transfers)."""
    offsets = np.cumsum([0, *(len(a) for a in after)])
    return offsets.astype(np.int64), np.array([f for a in after for f in a], dtype=np.int64)


def one_round(
    ends: list[tuple[int, int]], size: list[float], after: list[list[int]], seconds: list[float] | None = None
) -> Round:
    src, dst = np.array(ends, dtype=np.int64).T
    work = None if seconds is None else np.array(seconds)
    return Round(src.copy(), dst.copy(), np.array(size, float), after=lists(after), seconds=work)


def run(
    graph: Any, rounds: list[Round], way: str, *, fast_forward: bool = True, name: str = "ideal"
) -> tuple[Finished, Any]:
    """The end of one job of these rounds on the first chips, and the bytes of each link."""
    world = sim.World(graph, library=name, network=way, fast_forward=fast_forward)

    def fresh() -> Iterator[Round]:
        return iter(rounds)

    nodes = world.fabric.rank_nodes
    lib = library(name)
    costs = lib.costs(next(iter(lib.protocols)))
    job = Job("test", fresh, nodes, np.zeros(nodes.size, dtype=np.int64), world.router, costs)
    done = world.network.launch(job)
    finished = world.run(until=done)
    return finished, world.network.carried()


@pytest.mark.parametrize("way", WAYS)
def test_a_chain_within_one_round(way: str) -> None:
    """0 -> 1, then 1 -> 2, then 2 -> 3, 1 MB each: three times 2 alpha + 20 us."""
    star = topologies.switch(4, bandwidth=BANDWIDTH, latency=ALPHA)
    chain = one_round([(0, 1), (1, 2), (2, 3)], [1e6] * 3, [[], [0], [1]])
    assert run(star, [chain], way)[0].at_ps == 3 * 22_000_000


@pytest.mark.parametrize("way", WAYS)
def test_local_work(way: str) -> None:
    """Rank 1 works 5 us before it passes on; rank 2 works 50 us beside it, on which 0 -> 2 waits.

    22 + 5 + 22 = 49 us on the one way, 50 + 2 + 20 = 72 us on the other.
    """
    star = topologies.switch(4, bandwidth=BANDWIDTH, latency=ALPHA)
    graph = one_round(
        [(0, 1), (1, 1), (1, 3), (2, 2), (0, 2)],
        [1e6, 0, 1e6, 0, 1e6],
        [[], [0], [1], [], [3]],
        [0, 5e-6, 0, 50e-6, 0],
    )
    finished, carried = run(star, [graph], way)
    assert finished.at_ps == 72_000_000
    assert carried.sum() == pytest.approx(3 * 2 * 1e6)
    # 50 us of work, 2 us of links, 20 us of bytes.
    assert finished.account[[0, 1]].tolist() == [50_000_000, 2_000_000]


@pytest.mark.parametrize("way", WAYS)
def test_work_before_a_message(way: str) -> None:
    """A transfer with work of its own holds its links after it."""
    star = topologies.switch(2, bandwidth=BANDWIDTH, latency=ALPHA)
    one = one_round([(0, 1)], [1e6], [[]], [3e-6])
    assert run(star, [one], way)[0].at_ps == 25_000_000


@pytest.mark.parametrize("way", ["fluid", "reference"])
def test_messages_of_one_round_share_a_link(way: str) -> None:
    """Incast without order: two messages of 1 MB at half the rate each: 2 alpha + 40 us; in order the same,
    and a latency more: 2 (2 alpha + 20 us)."""
    star = topologies.switch(3, bandwidth=BANDWIDTH, latency=ALPHA)
    free = one_round([(0, 2), (1, 2)], [1e6, 1e6], [[], []])
    held = one_round([(0, 2), (1, 2)], [1e6, 1e6], [[], [0]])
    assert run(star, [free], way)[0].at_ps == 42_000_000
    assert run(star, [held], way)[0].at_ps == 44_000_000


@pytest.mark.parametrize("way", WAYS)
def test_rounds_before_and_behind(way: str) -> None:
    """A plain round, one with an order, a repeated one: ranks pass from one to the next."""
    star = topologies.switch(4, bandwidth=BANDWIDTH, latency=ALPHA)
    plain = Round(np.array([0, 1, 2, 3]), np.array([1, 2, 3, 0]), np.full(4, 1e6), repeat=3)
    chain = one_round([(0, 1), (1, 2)], [1e6] * 2, [[], [0]])
    finished, _ = run(star, [plain, chain, plain], way)
    # Three steps, the chain's two, and three more for those that waited for it.
    assert finished.at_ps == 8 * 22_000_000


def test_a_circle_is_refused_and_named() -> None:
    circle = one_round([(0, 1), (1, 2), (2, 0), (0, 2)], [1.0] * 4, [[2], [0], [1], []])
    with pytest.raises(
        ScheduleError, match=r"3 transfers wait for each other.*rank 0 to rank 1.*rank 2 to rank 0"
    ):
        waits_of(circle)
    star = topologies.switch(3, bandwidth=BANDWIDTH, latency=ALPHA)
    for way in WAYS:
        with pytest.raises(ScheduleError, match="deadlock"):
            run(star, [circle], way)


def test_stray_predecessors_and_repeats_are_refused() -> None:
    with pytest.raises(ScheduleError, match="waits for 7"):
        waits_of(one_round([(0, 1)], [1.0], [[7]]))
    with pytest.raises(ScheduleError, match="repeat"):
        Round(np.array([0]), np.array([1]), np.array([1.0]), repeat=2, after=lists([[]]))


def test_bytes_to_oneself_and_bad_work_are_refused() -> None:
    star = topologies.switch(2, bandwidth=BANDWIDTH, latency=ALPHA)
    with pytest.raises(ScheduleError, match="to itself"):
        run(star, [one_round([(0, 0)], [5.0], [[]])], "fluid")
    for work in (-1.0, float("nan"), 1e30):
        with pytest.raises(ScheduleError, match="seconds"):
            run(star, [one_round([(0, 1)], [5.0], [[]], [work])], "fluid")


def test_the_checker_follows_the_order() -> None:
    """Rank 0's data over rank 1 to rank 2: right in order; out of order rank 1 has nothing to send."""

    def schedule(after: list[list[int]]) -> Schedule:
        def rounds() -> Iterator[Round]:
            carried = np.array([0, 1, 2]), np.array([0, 0])
            src, dst = np.array([0, 1]), np.array([1, 2])
            yield Round(src, dst, np.full(2, 8.0), payload=lambda _: carried, after=lists(after))

        return Schedule("broadcast", "by hand", 3, 8.0, rounds, chunks=1)

    schedule([[], [0]]).check()
    with pytest.raises(ScheduleError, match="rank 1 sends chunk 0, which it does not have"):
        schedule([[], []]).check()


@st.composite
def orders(draw: st.DrawFn, ranks: int) -> Round:
    """Up to 14 transfers and pieces of local work, each behind some of the earlier ones."""
    count = draw(st.integers(1, 14))
    ends = [draw(st.tuples(st.integers(0, ranks - 1), st.integers(0, ranks - 1))) for _ in range(count)]
    size = [0.0 if a == b else draw(st.sampled_from([0.0, 1.0, 1e4, 1e6, 12345.6])) for a, b in ends]
    after = [sorted(draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else [] for i in range(count)]
    seconds = [draw(st.sampled_from([0.0, 0.0, 1e-6, 2.5e-5])) for _ in range(count)]
    return one_round(ends, size, after, seconds)


@given(st.data())
@settings(max_examples=150)
def test_networks_agree(data: st.DataObject) -> None:
    """The same picosecond from events, from plain SimPy, and without fast-forward; bytes to rounding."""
    graph = data.draw(graphs())
    ranks = len(topologies.chips(graph))
    rounds = [data.draw(orders(ranks)) for _ in range(data.draw(st.integers(1, 3)))]
    if data.draw(st.booleans()):
        here = np.arange(ranks)
        rounds.insert(1, Round(here, (here + 1) % ranks, np.full(ranks, 1e5), repeat=4))
    name = data.draw(st.sampled_from(["ideal", "nccl"]))
    ends = [
        run(graph, rounds, way, fast_forward=on, name=name)
        for way, on in (("fluid", True), ("fluid", False), ("reference", True))
    ]
    assert ends[0][0].at_ps == ends[1][0].at_ps == ends[2][0].at_ps
    assert len({int(finished.account.sum()) for finished, _ in ends}) == 1
    for _, carried in ends[1:]:
        np.testing.assert_allclose(carried, ends[0][1], rtol=1e-9, atol=1e-3)
