"""Where a schedule meets a fabric: paths, costs, undisturbed durations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim import collectives
from sim.libraries import library
from sim.routing import Paths, Router
from sim.schedule import Round
from sim.transfers import TICK, Free, Loaded, duration_ps, load
from tests.sim.strategies import graphs, jobs
from topologies.errors import CapacityError

LINK = {"bandwidth": 50e9, "latency": 1e-6}


def loaded(graph: Any, rounds: list[Round], capacity: Any = None, costs: Any = None) -> list[Loaded]:
    fabric = sim.compile_fabric(graph)
    room = fabric.bandwidth if capacity is None else capacity
    return list(load(iter(rounds), Router(fabric), fabric.rank_nodes, room, costs or Free()))


def one(src: list[int], dst: list[int], size: float = 50e3, repeat: int = 1) -> Round:
    return Round(np.array(src, np.int64), np.array(dst, np.int64), np.full(len(src), size), repeat=repeat)


def assert_same_paths(a: Paths, b: Paths) -> None:
    """The same links for every transfer, in whatever order: a message beside trees is a tree of one way."""
    for field in ("start", "latency_ps", "outside"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    owner = np.repeat(np.arange(len(a)), np.diff(a.start))
    here, there = np.lexsort((a.link, owner)), np.lexsort((b.link, owner))
    np.testing.assert_array_equal(a.link[here], b.link[there])
    np.testing.assert_array_equal(a.weight[here], b.weight[there])


# ---------------------------------------------------------------- durations


@given(st.integers(1, 2**40), st.integers(1, 2**40))
@settings(max_examples=300)
def test_durations_are_rounded_up(size: int, rate: int) -> None:
    """ceil(x / r - TICK), but for what three roundings of a float are worth.

    Product, quotient and difference round by 2**-53 of the value each: less than a
    tick up to two seconds (2**41 ps), where the duration is ceil(x / r) unless that
    is within two ticks above a whole picosecond; and never more than the contract
    allows, 1 ps and 1e-9.
    """
    exact = Fraction(size) * 10**12 / rate
    if exact > 2**62:
        return
    got = int(duration_ps(np.array([float(size)]), np.array([float(rate)]))[0])
    rounded = exact * Fraction(4, 2**53)
    assert -rounded <= got - (exact - Fraction(TICK)) < 1 + rounded
    above = exact - int(exact)
    if exact < 2**41 and (above > 2 * Fraction(TICK) or above == 0):
        assert got == -(-exact.numerator // exact.denominator)
    assert abs(got - exact) <= 1 + exact / 10**9


def test_the_last_bit_of_a_float_costs_no_picosecond() -> None:
    """0.1 + 0.2 bytes at 0.3 B/s is a second, not a second and a picosecond."""
    assert duration_ps(np.array([0.1 + 0.2, 0.0]), np.array([0.3, 1.0])).tolist() == [10**12, 0]


# ---------------------------------------------------------------- what a network is told


def test_a_transfer_alone() -> None:
    """Two links of 1 us, the second of 25 GB/s: 2 us, then 50 kB in 2 us, limited by its tier."""
    graph = topologies.switch(3, **LINK)
    graph.edges[1, "switch0"].update(bandwidth=25e9, tier="slow")
    (got,) = loaded(graph, [one([0, 2], [1, 0])])
    tiers = sim.compile_fabric(graph).tiers
    assert got.delay_ps.tolist() == [2_000_000, 2_000_000]
    assert got.ideal_ps.tolist() == [2_000_000, 1_000_000]
    assert [tiers[t] for t in got.tier] == ["slow", "link"]
    assert got.entries() == 4


def test_a_sprayed_transfer_alone() -> None:
    """Two planes of 30 and 10 GB/s share by bandwidth: 40 GB/s together."""
    graph = topologies.multi_plane(2, planes=2, per_leaf=2, **LINK)
    for u, v, attributes in graph.edges(data=True):
        slow = any(str(n).startswith("p1") for n in (u, v))
        attributes["bandwidth"] = 10e9 if slow else 30e9
    (got,) = loaded(graph, [one([0], [1], 40e3)])
    assert got.ideal_ps.tolist() == [1_000_000]
    assert sorted(got.paths.weight.tolist()) == [0.25, 0.25, 0.75, 0.75]


def test_costs_of_a_library() -> None:
    """NCCL's LL: a step before the links that holds some of their latency, twice the bytes on the wire."""
    costs = library("nccl").costs("ll")
    (got,) = loaded(topologies.switch(2, **LINK), [one([0], [1])], costs=costs)
    value = library("nccl").parameters.value
    step = value("protocol.ll.scale_up.step") - value("hop.scale_up.wire")
    assert got.delay_ps.tolist() == [2_000_000 + round(step * 1e12)]
    assert got.costs.wire_bytes.tolist() == [value("protocol.ll.wire") * 50e3]
    assert got.ideal_ps.tolist() == [2_000_000]


def test_a_cap_limits_a_transfer_alone() -> None:
    class Capped(Free):
        def of(self, fabric: Any, paths: Any, payload: Any, reduce: bool) -> Any:
            free = super().of(fabric, paths, payload, reduce)
            return type(free)(free.overhead_ps, np.full(payload.size, 10e9), free.wire_bytes, free.reduce_ps)

    (got,) = loaded(topologies.switch(2, **LINK), [one([0], [1])], costs=Capped())
    assert got.ideal_ps.tolist() == [5_000_000]
    assert got.tier.tolist() == [-1]


def test_a_link_that_is_down_has_its_own_bandwidth() -> None:
    """How long a transfer lasts is known before it can move; the network makes it wait."""
    graph = topologies.switch(2, **LINK)
    fabric = sim.compile_fabric(graph)
    capacity = fabric.bandwidth.copy()
    capacity[fabric.link_between(0, "switch0")] = 0.0
    (got,) = loaded(graph, [one([0], [1])], capacity)
    assert got.ideal_ps.tolist() == [1_000_000]


@given(st.data())
@settings(max_examples=60)
def test_rounds_together_are_as_rounds_alone(data: st.DataObject) -> None:
    """Routed in one go or one by one, in order, each with the same paths."""
    graph = data.draw(graphs())
    job = data.draw(jobs(graph))
    schedule = collectives.build(job.kind, len(job.chips), job.size, job.algorithm)
    rounds = list(schedule.rounds())
    together = loaded(graph, rounds)
    assert [id(got.round) for got in together] == [id(r) for r in rounds]
    for got in together:
        (alone,) = loaded(graph, [got.round])
        np.testing.assert_array_equal(got.paths.start, alone.paths.start)
        np.testing.assert_array_equal(got.paths.link, alone.paths.link)
        np.testing.assert_array_equal(got.ideal_ps, alone.ideal_ps)
        np.testing.assert_array_equal(got.delay_ps, alone.delay_ps)


@pytest.mark.parametrize("name", ["free", "nccl", "hccl"])
@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("tree", {"channels": "auto", "pipeline": 5}),
        ("double_binary_tree", {"channels": 2, "pipeline": 3}),
        ("nvls_tree", {}),
        ("hierarchical", {"inner": "ring", "outer": "double_binary_tree", "pipeline": 3}),
        ("hierarchical", {"inner": "in_network", "outer": "double_binary_tree", "pipeline": 2}),
    ],
)
def test_rounds_from_their_parts_are_as_rounds_alone(
    name: str, algorithm: str, options: dict[str, Any]
) -> None:
    """Paths, costs, what arrives at a receiver in the round, whom transfers wait for."""
    graph = topologies.machine("hgx-h100", chips=32)
    options = {**options, "groups": np.arange(32) // 8}
    schedule = collectives.build("all_reduce", 32, 2.0**24, algorithm, **options)
    # A rate at which the sum of what arrives shows; a protocol whose costs grow with the bytes.
    costs = (
        Free()
        if name == "free"
        else library(name).with_parameters({"protocol.simple.reduce_rate": 1e12}).costs("simple")
    )
    rounds = list(schedule.rounds())
    known = {id(part) for r in rounds for part in r.parts or ()}
    assert 0 < len(known) < sum(len(r.parts or ()) for r in rounds)
    for got in loaded(graph, rounds, costs=costs):
        (alone,) = loaded(graph, [replace(got.round, parts=None)], costs=costs)
        assert_same_paths(got.paths, alone.paths)
        assert_same_paths(got.route, alone.route)
        for field in ("overhead_ps", "cap", "wire_bytes", "reduce_ps"):
            np.testing.assert_array_equal(getattr(got.costs, field), getattr(alone.costs, field))
        np.testing.assert_array_equal(got.ideal_ps, alone.ideal_ps)
        np.testing.assert_array_equal(got.tier, alone.tier)
        assert (got.waits is None) == (alone.waits is None)
        if got.waits is not None and alone.waits is not None:
            np.testing.assert_array_equal(got.waits.ends[0], alone.waits.ends[0])
            np.testing.assert_array_equal(got.waits.ends[1], alone.waits.ends[1])


def test_parts_that_outlast_time_together() -> None:
    graph = topologies.switch(2, bandwidth="1 B/s", latency="0 s")
    part = one([0], [1], 1e6)
    with pytest.raises(CapacityError, match="53 days"):
        loaded(graph, [replace(part, parts=(part,), repeat=10)])


def test_rounds_are_asked_for_as_late_as_possible() -> None:
    """A schedule of a billion rounds of this size costs what is looked at."""
    asked = 0

    def endless() -> Iterator[Round]:
        nonlocal asked
        ends = np.arange(1000)
        while True:
            asked += 1
            yield Round(ends, (ends + 1) % 1000, np.ones(1000), repeat=2 + asked)

    fabric = sim.compile_fabric(topologies.ring(1000, **LINK))
    lazily = load(endless(), Router(fabric), fabric.rank_nodes, fabric.bandwidth, Free())
    for _ in range(3):
        next(lazily)
    assert asked <= 4


def test_rounds_between_the_same_ranks_share_paths() -> None:
    first = one([0, 1], [1, 2], repeat=5)
    again = Round(first.src, first.dst, first.bytes * 2, repeat=5)
    a, b = loaded(topologies.switch(3, **LINK), [first, again])
    assert a.paths is b.paths
    assert (b.ideal_ps == 2 * a.ideal_ps).all()


def test_empty_rounds_pass() -> None:
    a, b, c = loaded(topologies.switch(2, **LINK), [one([], []), one([0], [1]), one([], [], repeat=9)])
    assert (a.ideal_ps.size, b.ideal_ps.size, c.ideal_ps.size) == (0, 1, 0)


def test_what_would_last_beyond_time_is_refused_up_front() -> None:
    """53 days: one transfer, or all repetitions of a round together."""
    with pytest.raises(CapacityError, match=r"'' would last .* beyond the 53 days"):
        loaded(topologies.switch(2, **LINK), [one([0], [1], 50e9 * 86400 * 54)])
    with pytest.raises(CapacityError, match="53 days"):
        loaded(topologies.switch(2, **LINK), [one([0], [1], 50e9 * 86400, repeat=54)])
    assert loaded(topologies.switch(2, **LINK), [one([0], [1], 50e9 * 86400, repeat=52)])
