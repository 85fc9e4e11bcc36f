"""Lower bounds and bus factors against hand-derived numbers and against schedules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.bounds import bus_factor, lower_bound
from sim.collectives import algorithms, build, kinds, serves
from topologies.errors import ScheduleError, UnknownNameError

REL = 1e-12


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("all_reduce", 2 * 3 / 4 * 100 / 10),
        ("reduce_scatter", 3 / 4 * 100 / 10),
        ("all_gather", 3 / 4 * 100 / 10),
        ("all_to_all", 3 / 4 * 100 / 10),
        ("gather", 3 / 4 * 100 / 10),
        ("scatter", 3 / 4 * 100 / 10),
        ("broadcast", 100 / 10),
        ("reduce", 100 / 10),
        ("send", 100 / 10),
    ],
)
def test_four_equal_ranks(kind: str, expected: float) -> None:
    """p = 4, n = 100 bytes, 10 bytes/s: the textbook terms; one latency on top."""
    assert lower_bound(kind, 4, 100.0, 10.0) == pytest.approx(expected, rel=REL)
    assert lower_bound(kind, 4, 100.0, 10.0, latency=3.0) == pytest.approx(expected + 3.0, rel=REL)
    assert lower_bound(kind, 1, 100.0, 10.0, latency=3.0) == 0.0


def test_every_collective_has_a_bound_and_a_factor() -> None:
    for kind in kinds():
        assert lower_bound(kind, 4, 100.0, 10.0) > 0
        assert bus_factor(kind, 4) > 0 or kind == "barrier"


def test_ranks_of_unequal_bandwidth() -> None:
    """p = 4, n = 100, B = (10, 10, 10, 2).

    All-reduce: the slow rank must send 100 bytes: 50 s; all together 600 bytes over
    32 bytes/s: 18.75 s. With B = (10, 10, 10, 9) the sum decides: 600 / 39.
    Gather to the slow rank: 75 / 2; from it: 75 / 10 at the root, 25 / 2 at the rank.
    """
    slow = [10.0, 10.0, 10.0, 2.0]
    assert lower_bound("all_reduce", 4, 100.0, slow) == pytest.approx(50.0, rel=REL)
    assert lower_bound("all_reduce", 4, 100.0, [10.0, 10.0, 10.0, 9.0]) == pytest.approx(600 / 39, rel=REL)
    assert lower_bound("all_gather", 4, 100.0, slow) == pytest.approx(75 / 2, rel=REL)
    assert lower_bound("gather", 4, 100.0, slow, root=3) == pytest.approx(75 / 2, rel=REL)
    assert lower_bound("gather", 4, 100.0, slow, root=0) == pytest.approx(25 / 2, rel=REL)
    assert lower_bound("send", 4, 100.0, slow, root=0, destination=1) == pytest.approx(10.0, rel=REL)


def test_in_network_reduction_halves_the_bytes() -> None:
    assert lower_bound("all_reduce", 1024, 100.0, 10.0, in_network=True) == pytest.approx(10.0, rel=REL)


def test_one_partner_at_a_time_needs_a_logarithm_of_latencies() -> None:
    """p = 9: ceil(log2 9) = 4 latencies when the bytes take less than three."""
    assert lower_bound("broadcast", 9, 1.0, 1e9, latency=2.0, one_partner=True) == 8.0
    assert lower_bound("broadcast", 9, 100.0, 1.0, latency=2.0, one_partner=True) == 102.0


def test_uneven_all_to_all_counts_rows_and_columns_without_the_diagonal() -> None:
    """Row 0 sends 5, column 2 receives 4 + 7 = 11; what a rank keeps (99) is free."""
    matrix = np.array([[99.0, 1.0, 4.0], [0.0, 0.0, 7.0], [0.0, 0.0, 0.0]])
    assert lower_bound("all_to_all", 3, 0.0, 1.0, matrix=matrix) == pytest.approx(11.0, rel=REL)
    assert lower_bound("all_to_all", 3, 0.0, [0.1, 1.0, 1.0], matrix=matrix) == pytest.approx(50.0, rel=REL)
    assert lower_bound("all_to_all", 3, 0.0, 1.0, latency=1.0, matrix=np.diag([1.0, 2.0, 3.0])) == 0.0
    assert matrix[0, 0] == 99.0


@pytest.mark.parametrize("p", [1, 2, 8, 1000])
def test_bus_factors_of_nccl_tests(p: int) -> None:
    assert bus_factor("all_reduce", p) == pytest.approx(2 * (p - 1) / p, rel=REL)
    for kind in ("all_gather", "reduce_scatter", "all_to_all", "gather", "scatter"):
        assert bus_factor(kind, p) == pytest.approx((p - 1) / p, rel=REL)
    for kind in ("broadcast", "reduce", "send"):
        assert bus_factor(kind, p) == 1.0


@given(
    st.sampled_from([(kind, name) for kind in kinds() for name in algorithms(kind)]),
    st.integers(2, 20),
    st.floats(1.0, 1e9),
)
@settings(max_examples=60, deadline=None)
def test_no_schedule_moves_less_than_the_bound_says(pair: tuple[str, str], p: int, size: float) -> None:
    """At 1 byte/s and no contention a rank needs max(sent, received) seconds."""
    kind, name = pair
    options = {"groups": np.zeros(p, dtype=np.int64)} if name == "hierarchical" else {}
    if serves(kind, name, p, options.get("groups")) is not None:
        return
    sent, received = np.zeros(p), np.zeros(p)
    schedule = build(kind, p, size, name, **options)
    for round_ in schedule.rounds():
        each = round_.repeat * round_.bytes
        if round_.trees is None:
            np.add.at(sent, round_.src, each)
            np.add.at(received, round_.dst, each)
        else:
            for total, (offsets, ranks) in ((sent, round_.trees.up), (received, round_.trees.down)):
                np.add.at(total, ranks, np.repeat(each, np.diff(offsets)))
    busiest = max(sent.max(), received.max())
    assert busiest >= lower_bound(kind, p, size, 1.0, in_network=schedule.in_network) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (("all_reduce", 0, 1.0, 1.0), {}, r"ranks \(=0\)"),
        (("all_reduce", 4, math.nan, 1.0), {}, r"size \(=nan\)"),
        (("all_reduce", 4, 1.0, 0.0), {}, "injection_bandwidth must be > 0"),
        (("all_reduce", 4, 1.0, [1.0, 2.0]), {}, r"shape \(2,\)"),
        (("all_reduce", 4, 1.0, 1.0), {"latency": -1.0}, r"latency \(=-1.0\)"),
        (("gather", 4, 1.0, 1.0), {"root": 4}, r"root \(=4\)"),
        (("all_reduce", 2, 1.0, 1.0), {"matrix": np.ones((2, 2))}, "only all_to_all"),
        (("all_to_all", 2, 1.0, 1.0), {"matrix": np.ones((2, 3))}, "2 by 2"),
    ],
)
def test_what_has_no_meaning_is_refused(arguments: tuple, options: dict, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        lower_bound(*arguments, **options)


def test_unknown_collectives_are_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'all_reduce'"):
        lower_bound("allreduce", 4, 1.0, 1.0)
    with pytest.raises(UnknownNameError, match="did you mean 'all_gather'"):
        bus_factor("all_gathr", 4)
