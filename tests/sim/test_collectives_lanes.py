"""Side by side: channels, orders of the ranks, tori, Swing and Bine trees.

Every schedule is proved by the checker; what is special about each (which chip a
channel leaves a host by, that a torus only talks to neighbours, how far Swing's
partners are) is derived here by hand.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.collectives import algorithms, build, kinds, serves
from sim.collectives.beside import beside, merged
from sim.collectives.bine import negabinary
from sim.collectives.butterfly import reached
from sim.collectives.channels import channel_orders
from sim.collectives.swing import partners
from sim.libraries.orders import full_mesh
from sim.schedule import Round, Schedule
from topologies.errors import ScheduleError, UnknownNameError

ALPHA, BETA = 1.0, 2.0**-20
ROOTED = ("broadcast", "reduce", "gather", "scatter")
ORDERED = [
    (kind, name)
    for kind in kinds()
    for name in algorithms(kind)
    if kind not in ("send", "barrier") and serves(kind, name, 4) is None
]
IN_CHANNELS = [(kind, name) for kind, name in ORDERED if kind != "all_to_all"]
THREE = ("all_reduce", "reduce_scatter", "all_gather")


def steps(schedule: Schedule) -> int:
    return sum(round_.repeat for round_ in schedule.rounds())


def seconds(schedule: Schedule, *, links: bool = False) -> float:
    """Each repetition: alpha + beta * the most bytes through a port, or through a pair's link."""
    p, total = schedule.ranks, 0.0
    for round_ in schedule.rounds():
        keys = [round_.src * p + round_.dst] if links else [round_.src, round_.dst]
        most = max(np.bincount(key, weights=round_.bytes).max() for key in keys)
        total += round_.repeat * (ALPHA + BETA * float(most))
    return total


# ---------------------------------------------------------------- channels and orders


@given(st.sampled_from(IN_CHANNELS), st.integers(2, 24), st.integers(1, 4), st.integers(0, 2**31), st.data())
@settings(max_examples=150)
def test_any_algorithm_runs_in_any_order_and_in_channels(
    pair: tuple[str, str], p: int, channels: int, seed: int, data: st.DataObject
) -> None:
    """Right, and as many bytes and steps as in one channel in rank order."""
    kind, name = pair
    groups = np.arange(p) % 3
    if serves(kind, name, p) is not None or serves(kind, name, p, groups) is not None:
        return
    options: dict[str, Any] = {"root": data.draw(st.integers(0, p - 1))} if kind in ROOTED else {}
    if "pipeline" in build(kind, p, 8.0, name).options:
        options["pipeline"] = 3
    order = np.random.default_rng(seed).permutation(p)
    options["groups"] = groups
    plain = build(kind, p, 1000.0, name, **options)
    schedule = build(kind, p, 1000.0, name, order=order, channels=channels, **options)
    schedule.check()
    assert steps(schedule) == steps(plain)
    assert schedule.totals()[0] == channels * plain.totals()[0]
    assert schedule.totals()[1] == pytest.approx(plain.totals()[1], rel=1e-9)


@given(
    st.sampled_from([n for k, n in ORDERED if k == "all_to_all"]), st.integers(2, 16), st.integers(0, 2**31)
)
@settings(max_examples=40)
def test_all_to_all_in_any_order(name: str, p: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(p)
    build("all_to_all", p, 1000.0, name, order=order).check()


def test_positions_of_a_ring_are_the_order() -> None:
    order = [3, 1, 4, 0, 2]
    for round_ in build("all_reduce", 5, 100.0, "ring", order=order).rounds():
        assert round_.src.tolist() == order
        assert round_.dst.tolist() == [1, 4, 0, 2, 3]


@pytest.mark.parametrize("groups", [np.arange(24) // 8, np.arange(24) % 3, (np.arange(24) * 5 % 24) // 8])
def test_every_channel_leaves_every_host_by_another_chip(groups: np.ndarray) -> None:
    """8 channels over 3 hosts of 8: each chip sends out 1/8 and takes in 1/8 of what crosses."""
    p, n = 24, 2400.0
    schedule = build("all_reduce", p, n, "ring", channels="auto", groups=groups)
    schedule.check()
    out, into = np.zeros(p), np.zeros(p)
    for round_ in schedule.rounds():
        crosses = groups[round_.src] != groups[round_.dst]
        np.add.at(out, round_.src[crosses], round_.repeat * round_.bytes[crosses])
        np.add.at(into, round_.dst[crosses], round_.repeat * round_.bytes[crosses])
    # A ring's link carries 2 (p - 1) / p n; a host has one way out for each of 8 channels.
    assert out == pytest.approx(np.full(p, 2 * (p - 1) / p * n / 8), rel=1e-12)
    assert into == pytest.approx(out, rel=1e-12)
    hosts = [tuple(groups[row]) for row in channel_orders("", p, channels="auto", groups=groups)]
    assert len(set(hosts)) == 1, "hosts in the same order in every channel"


@pytest.mark.parametrize("g", [2, 4, 6, 8, 16])
def test_zigzag_channels_use_every_link_of_a_meshed_host_once(g: int) -> None:
    """g channels over 3 hosts of g: each directed pair of a host once, each chip one way out and one in."""
    groups = np.arange(3 * g) // g
    orders = channel_orders("", 3 * g, channels="auto", groups=groups, channel_map="zigzag")
    assert orders is not None
    tail, head = orders.ravel(), np.roll(orders, -1, axis=1).ravel()
    inside = groups[tail] == groups[head]
    pairs, times = np.unique(tail[inside] * 3 * g + head[inside], return_counts=True)
    assert pairs.size == 3 * g * (g - 1)
    assert (times == 1).all()
    assert np.unique(tail[~inside]).size == np.unique(head[~inside]).size == 3 * g


def test_a_host_whose_chips_are_all_joined_is_known() -> None:
    """Atlas 800T A2 is a mesh inside, HGX H100 a switch; so are channels of a ring worth more there."""
    link = {"bandwidth": "50 GB/s", "latency": "1 us"}
    for graph, want in (
        (topologies.machine("atlas-800t-a2", chips=16), True),
        (topologies.machine("hgx-h100", chips=16), False),
        (topologies.full_mesh(5, **link), True),
        (topologies.ring(5, **link), False),
    ):
        fabric = sim.compile_fabric(graph)
        assert full_mesh(fabric, fabric.rank_nodes, fabric.groups(fabric.rank_nodes)) == want
    atlas = topologies.machine("atlas-800t-a2", chips=16)
    turn, zigzag = (
        sim.all_reduce(atlas, "256 MiB", algorithm="ring", channels=8, library="ideal", **more).busbw
        for more in ({"channel_map": "turn"}, {})
    )
    assert zigzag > 4 * turn


def test_auto_is_the_smallest_group_and_one_without_groups() -> None:
    assert channel_orders("", 5, channels="auto") is None
    assert len(channel_orders("", 5, channels="auto", groups=np.array([0, 0, 1, 1, 1]))) == 2
    assert channel_orders("", 5, channels=1, groups=np.array([0, 1, 0, 1, 0])) is None
    rows = [[0, 1, 2], [2, 1, 0]]
    assert channel_orders("", 3, order=rows).tolist() == rows


def test_channels_share_their_ends_and_stay_lazy() -> None:
    """8 rings over 65,536 ranks: two rounds over the same arrays."""
    p = 1 << 16
    schedule = build("all_reduce", p, 2.0**30, "ring", channels="auto", groups=np.arange(p) // 8)
    scatter, gather = schedule.rounds()
    assert scatter.src is gather.src and scatter.dst is gather.dst
    assert scatter.src.size == 8 * p
    assert (scatter.repeat, gather.repeat) == (p - 1, p - 1)


@pytest.mark.parametrize(
    ("kind", "name", "options", "says"),
    [
        ("all_reduce", "ring", {"channels": 0}, r"channels \(=0\)"),
        ("all_reduce", "ring", {"channels": 1.5}, r"channels \(=1.5\)"),
        ("all_reduce", "ring", {"channels": "many"}, "'many'"),
        ("all_reduce", "ring", {"order": [0, 1, 2]}, "each of the ranks 0 to 3 once"),
        ("all_reduce", "ring", {"order": [0, 1, 2, 2]}, "each of the ranks 0 to 3 once"),
        ("all_reduce", "ring", {"order": [[0, 1, 2, 3]] * 2, "channels": 3}, "2 rows"),
        ("all_to_all", "pairwise", {"channels": 2.0}, r"channels \(=2.0\)"),
        ("all_to_all", "pairwise", {"pipeline": 0}, r"pipeline \(=0\)"),
        ("all_reduce", "ring", {"pipeline": "many"}, "'many'"),
        ("all_reduce", "ring", {"pipeline": 65_537}, "at most 65536"),
        ("all_reduce", "torus", {}, "needs dims="),
        ("all_reduce", "torus", {"dims": (3, 2)}, "hold 6"),
        ("all_reduce", "torus", {"dims": "2xtwo"}, "whole numbers"),
        ("all_reduce", "torus", {"dims": (4, 0)}, ">= 1"),
        ("all_reduce", "swing", {"dims": (8,)}, "hold 8"),
    ],
)
def test_what_cannot_be_built_is_refused(kind: str, name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        build(kind, 4, 8.0, name, **options)


def test_a_barrier_and_a_send_have_no_channels() -> None:
    for kind, name in (("barrier", "ring"), ("send", "direct")):
        with pytest.raises(UnknownNameError, match="channels"):
            build(kind, 4, 8.0, name, channels=2)


def test_lanes_must_fit() -> None:
    ring = build("all_gather", 4, 8.0, "ring")
    here = np.arange(4)
    for lanes, says in (
        ([build("all_reduce", 4, 8.0, "ring")], "not one of"),
        ([build("all_gather", 3, 8.0, "ring")], "not one of"),
        ([ring, ring], "not one of 2 equal lanes"),
    ):
        with pytest.raises(ScheduleError, match=says):
            beside("all_gather", "by hand", 4, 8.0, lanes, [here] * len(lanes))
    one = Round(np.array([0]), np.array([1]), np.ones(1), reduce=True, label="sum")
    other = Round(np.array([2]), np.array([3]), np.ones(1), label="copy")
    with pytest.raises(ScheduleError, match="adds while another copies"):
        list(merged([[one], [other]]))


# ---------------------------------------------------------------- torus

SHAPES = [(5,), (2, 2), (3, 4), (4, 3), (1, 4, 1, 3), (2, 3, 4), (4, 4, 4), (2, 2, 2, 2, 2), (3, 3, 3)]


@pytest.mark.parametrize("dims", SHAPES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_torus_is_right_and_only_talks_to_neighbours(dims: tuple[int, ...], bidirectional: bool) -> None:
    p, n = math.prod(dims), 1000.0
    coords = np.array(np.unravel_index(np.arange(p), dims))
    for kind in THREE:
        schedule = build(kind, p, n, "torus", dims=dims, bidirectional=bidirectional)
        schedule.check()
        assert schedule.totals()[1] == pytest.approx((2 if kind == "all_reduce" else 1) * (p - 1) * n)
        for round_ in schedule.rounds():
            way = (coords[:, round_.dst] - coords[:, round_.src]) % np.array(dims)[:, None]
            assert (np.minimum(way, np.array(dims)[:, None] - way).sum(axis=0) == 1).all()


@pytest.mark.parametrize(("d", "dimensions"), [(3, 1), (4, 2), (3, 3), (4, 3)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_torus_takes_its_closed_form(d: int, dimensions: int, bidirectional: bool) -> None:
    """D (d-1) alpha + (p-1)/p n beta / D each way; half the bytes where both directions are used."""
    p, n = d**dimensions, 3.0e6
    lanes = dimensions * (2 if bidirectional else 1)
    half = dimensions * (d - 1) * ALPHA + (p - 1) / p * n / lanes * BETA
    for kind in THREE:
        schedule = build(kind, p, n, "torus", dims=(d,) * dimensions, bidirectional=bidirectional)
        assert steps(schedule) == (2 if kind == "all_reduce" else 1) * dimensions * (d - 1)
        want = 2 * half if kind == "all_reduce" else half
        assert seconds(schedule, links=True) == pytest.approx(want, rel=1e-12)


def test_a_torus_keeps_all_directions_busy() -> None:
    """On 4x4x4 both ways every rank sends over all six links in every step."""
    schedule = build("all_reduce", 64, 6400.0, "torus", dims="4x4x4", bidirectional=True)
    for round_ in schedule.rounds():
        assert (np.bincount(round_.src) == 6).all()
        assert np.unique(round_.src * 64 + round_.dst).size == 6 * 64
        assert np.ptp(round_.bytes) == 0


def test_dims_say_whether_a_torus_serves() -> None:
    assert serves("all_reduce", "torus", 12, dims=(3, 4)) is None
    assert "hold 9" in str(serves("all_reduce", "torus", 12, dims=(3, 3)))
    assert serves("all_reduce", "torus", 1) is None


# ---------------------------------------------------------------- Swing and Bine


@pytest.mark.parametrize("p", [2, 4, 8, 16, 32, 64, 256])
def test_butterflies_take_their_closed_forms(p: int) -> None:
    n, logs = 3.0e6, p.bit_length() - 1
    half = logs * ALPHA + (p - 1) / p * n * BETA
    for name in ("swing", "bine"):
        assert seconds(build("all_reduce", p, n, name)) == pytest.approx(2 * half, rel=1e-12)
        for kind in ("reduce_scatter", "all_gather"):
            assert seconds(build(kind, p, n, name)) == pytest.approx(half, rel=1e-12)
    for kind in ("broadcast", "reduce"):
        got = seconds(build(kind, p, n, "bine", root=p // 3))
        assert got == pytest.approx(logs * (ALPHA + n * BETA), rel=1e-12)
    whole = build("all_reduce", p, n, "swing", whole=True)
    whole.check()
    assert seconds(whole) == pytest.approx(logs * (ALPHA + n * BETA), rel=1e-12)


@pytest.mark.parametrize("dims", [(4,), (2, 2), (4, 4), (8, 2), (2, 4, 8), (4, 4, 4)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_swing_on_a_torus(dims: tuple[int, ...], bidirectional: bool) -> None:
    """Right, and as long as on one ring: every lane moves its share at the same pace."""
    p, n = math.prod(dims), 3.0e6
    for kind in THREE:
        schedule = build(kind, p, n, "swing", dims=dims, bidirectional=bidirectional)
        schedule.check()
        assert steps(schedule) == steps(build(kind, p, n, "swing"))
        assert seconds(schedule) == pytest.approx(seconds(build(kind, p, n, "swing")), rel=1e-12)
    build("all_reduce", p, n, "swing", dims=dims, bidirectional=bidirectional, whole=True).check()


def test_lanes_of_swing_begin_in_all_directions() -> None:
    """4x4, first step: 1 to the east, west, south or north by lane and parity: four links a rank."""
    first = next(build("all_reduce", 16, 1600.0, "swing", dims=(4, 4), bidirectional=True).rounds())
    assert np.unique(first.src * 16 + first.dst).size == first.src.size == 4 * 16
    coords = np.array(np.unravel_index(np.arange(16), (4, 4)))
    way = (coords[:, first.dst] - coords[:, first.src]) % 4
    assert set(map(tuple, way.T.tolist())) == {(0, 1), (0, 3), (1, 0), (3, 0)}


@pytest.mark.parametrize("p", [4, 8, 64, 1024])
def test_partners_of_swing_are_a_third_nearer(p: int) -> None:
    """Distances round the ring 1, 1, 3, 5, 11, ... = (2^(s+1) - (-1)^(s+1)) / 3, at most p / 2."""
    here = np.arange(p)
    for s, partner in enumerate(partners((p,))):
        assert (partner[partner] == here).all()
        away = (partner - here) % p
        want = (2 ** (s + 1) - (-1) ** (s + 1)) // 3
        assert (np.minimum(away, p - away) == min(want % p, -want % p)).all()
    everyone = reached(partners((p,)), p)
    assert (np.sort(everyone, axis=1) == here).all()


@pytest.mark.parametrize("p", [2, 4, 8, 16, 64, 512])
def test_a_bine_tree_is_nearer_than_a_binomial_one(p: int) -> None:
    """Step j from the root down goes (2^(j+1) - (-1)^(j+1)) / 3 far, j = log2 p - 1 to 0."""
    reversed_steps = list(build("broadcast", p, 8.0, "bine").rounds())[::-1]
    for j, round_ in enumerate(reversed_steps):
        away = (round_.dst - round_.src) % p
        want = (2 ** (j + 1) - (-1) ** (j + 1)) // 3
        assert (np.minimum(away, p - away) == min(want % p, -want % p)).all()
    assert [r.src.size for r in reversed_steps[::-1]] == [2**k for k in range(p.bit_length() - 1)]


@given(st.integers(1, 16), st.data())
def test_negabinary_digits_are_a_number_to_the_base_of_minus_two(digits: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(-(2**20), 2**20))
    bits = int(negabinary(np.array([number]), digits)[0])
    value = sum((bits >> i & 1) * (-2) ** i for i in range(digits))
    assert (value - number) % 2**digits == 0
    assert 0 <= bits < 2**digits


@pytest.mark.parametrize("name", ["swing", "bine"])
def test_the_way_back_shares_the_ends_of_the_way_there(name: str) -> None:
    rounds = list(build("all_reduce", 1 << 16, 2.0**30, name).rounds())
    assert len(rounds) == 32
    for there, back in zip(rounds, reversed(rounds), strict=True):
        assert there.dst is back.dst


def test_swing_refuses_other_numbers() -> None:
    assert "power of two" in str(serves("all_reduce", "swing", 12))
    with pytest.raises(ScheduleError, match="powers of two"):
        partners((6, 2))
