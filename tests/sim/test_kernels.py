"""Each compiled kernel against a slow twin: the textbook's loop in plain Python.

The max-min solver stands in ``test_max_min``, the recurrence in ``test_equality``.
"""

from __future__ import annotations

import heapq
import random
from typing import Any

import networkx as nx
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.clock import FOREVER
from sim.network.kernels import ahead, calendar, events, maxplus, moves, state
from sim.routing import Router
from sim.routing.kernels import copy_pieces
from tests.sim.strategies import graphs

# ---------------------------------------------------------------- the state, inside and outside


def test_a_kernel_sees_the_arrays_of_its_state() -> None:
    """All of them, by their names, with their rows and columns; also after they have grown."""
    lines = []
    for i, (name, (_, columns)) in enumerate(state.ARRAYS.items()):
        first, last = ("0", "-1") if columns == state.LINEAR else ("0, 0", "-1, -1")
        lines += [f"    seen[{i}, 0], seen[{i}, 1] = s.{name}[{first}], s.{name}[{last}]"]
        lines += [f"    seen[{i}, 2] = s.{name}.size"]
    scope: dict[str, Any] = {}
    exec("\n".join(["def look(s, seen):", *lines]), scope)
    look = numba.njit(cache=False, _nrt=False)(scope["look"])
    s = state.new_state(np.ones(3), 7)
    for rows in (300, 500):
        s = state.with_rows(s, **{name: rows for name in state.ARRAYS if name not in state.VIEWS})
        for i, name in enumerate(state.ARRAYS):
            if name not in state.VIEWS:
                array = getattr(s, name)
                array[:] = np.arange(i, i + array.size).reshape(array.shape)
        seen = np.zeros((len(state.ARRAYS), 3))
        look(s, seen)
        arrays = [getattr(s, name) for name in state.ARRAYS]
        assert seen.tolist() == [[float(a.flat[0]), float(a.flat[-1]), a.size] for a in arrays]
    assert [*state.ARRAYS, "table"] == list(s._fields)


# ---------------------------------------------------------------- calendar and heapq


def empty_calendar(room: int) -> Any:
    s = state.new_state(np.ones(1), 5)
    s = state.with_rows(s, calendar=calendar.numbers(room), heap_when=room, heap_batch=room, due=room)
    calendar.clear(s)
    return s


def take_instant(s: Any) -> tuple[int, list[tuple[int, int]]]:
    """The earliest instant, with all batches that stand for it, as (what, kind)."""
    when = int(calendar.earliest(s))
    found = []
    while calendar.earliest(s) == when:
        found += [(int(what), int(kind)) for what, kind in s.due[: calendar.take(s)]]
    return when, found


@given(st.integers(0, 2**32), st.sampled_from([1, 5, 300, 10**6, 2**50]))
@settings(max_examples=80)
def test_the_calendar_is_a_heap(seed: int, span: int) -> None:
    """Pushes and takes in any order: the same instants with the same records, and no slot is lost."""
    rng = random.Random(seed)
    room, now = 200, 0
    s, twin = empty_calendar(room), []
    for step in range(600):
        if len(twin) < room and (not twin or rng.random() < 0.55):
            # Some at instants that are already there: lockstep.
            when = rng.choice(twin)[0] if twin and rng.random() < 0.5 else now + rng.randrange(span)
            calendar.push(s, when, step, step % 4)
            heapq.heappush(twin, (when, step, step % 4))
        elif twin:
            now, found = take_instant(s)
            s.counters[state.NOW] = now
            expected = [heapq.heappop(twin)]
            while twin and twin[0][0] == expected[0][0]:
                expected.append(heapq.heappop(twin))
            assert now == expected[0][0]
            assert sorted(found) == sorted(record[1:] for record in expected)
        assert s.counters[state.RECORDS_LEFT] == room - len(twin)


def test_a_calendar_can_be_filled_and_emptied_again_and_again() -> None:
    s = empty_calendar(32)
    s.counters[state.NOW] = -1
    for turn in range(50):
        for i in range(32):
            calendar.push(s, turn * 100 + i * 7 % 32, i, 0)
        assert s.counters[state.RECORDS_LEFT] == 0
        assert [take_instant(s) for _ in range(32)] == [
            (turn * 100 + k, [(next(i for i in range(32) if i * 7 % 32 == k), 0)]) for k in range(32)
        ]
        assert calendar.earliest(s) == FOREVER


@pytest.mark.parametrize("records", [1, 2, 3, 8, 9, 50])
def test_a_calendar_has_room_for_its_records_however_they_fall(records: int) -> None:
    """All alone, two, three or fifty at an instant, one filling after the other, and at the present."""
    room = 600
    s = empty_calendar(room)
    for turn, together in enumerate((1, records, 2, records, 1)):
        s.counters[state.NOW] = now = 10**6 * turn
        expected = [(now + i // together, (i, i % 5)) for i in range(room)]
        for when, (what, kind) in expected:
            calendar.push(s, when, what, kind)
        assert s.counters[state.RECORDS_LEFT] == 0
        assert s.counters[state.FRESH_BATCH] <= s.counters[state.FRESH_LINE]
        while calendar.earliest(s) < FOREVER:
            when, found = take_instant(s)
            # The latest comes first.
            assert found == [record for at, record in reversed(expected) if at == when]


def test_records_out_of_date_do_nothing() -> None:
    """A transfer of 10 bytes at 10 B/s whose first end, at 1 s, was moved to 2 s by a slower link."""
    graph = topologies.switch(2, bandwidth=10.0, latency=0.0)
    for network in ("fluid", "reference"):
        world = sim.World(graph, library="ideal", network=network)
        done = world.send(0, 1, 10.0)

        def slower(world: sim.World = world) -> Any:
            yield world.env.timeout(0.5)
            world.set_link(0, "switch0", bandwidth=10 / 3)

        world.process(slower())
        world.run(until=done)
        assert world.env.now_ps == 2 * 10**12
        assert world.network.cost.transfers == 1
    s = empty_calendar(256)
    # A rank, too, with a part in a round: what such a record leads to is fetched, and so must be there.
    s = state.with_rows(s, transfers=1, ranks=1, rounds=1, starts=2, parts=1, account=1)
    s.transfers[0, state.STATUS], s.transfers[0, state.END] = state.ACTIVE, 7
    calendar.push(s, 5, 0, state.ENDS)
    assert events.run(s, 6, 10) in (events.EMPTY, events.HORIZON)
    assert s.transfers[0, state.STATUS] == state.ACTIVE
    assert s.counters[state.THROUGH] == 0


# ---------------------------------------------------------------- fetching ahead


@numba.njit(cache=False)  # code from a cache cannot be looked at
def fetch_everywhere(grid: Any, line: Any) -> None:
    for i in range(-10_000, 10_000):
        ahead.fetch(grid, i, 1)
        ahead.fetch(line, i, 0)


def test_a_fetch_asks_for_memory_and_changes_nothing() -> None:
    """Of rows that are there and of others; the processor is told to."""
    grid, line = np.arange(6).reshape(3, 2), np.arange(4, dtype=np.int32)
    fetch_everywhere(grid, line)
    assert grid.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert line.tolist() == [0, 1, 2, 3]
    (code,) = fetch_everywhere.inspect_llvm().values()
    assert code.count("call void @llvm.prefetch") >= 2


# ---------------------------------------------------------------- maxplus and a recursion


def slow_round(case: dict[str, Any], repeat: int, horizon: int) -> tuple[list[int], int]:
    """Plain recursion: when each rank goes on, and repetitions done by the horizon.

    end_i = max(X_src, X_dst) + overhead_i + latency_i + ideal_i; a rank goes on when
    all its transfers have ended, those it received also been reduced.
    """
    names = ("src", "dst", "overhead", "latency", "ideal", "reduce")
    transfers = list(zip(*(case[name].tolist() for name in names), strict=True))
    members = {rank for s, d, *_ in transfers for rank in (s, d)}
    reach = case["reach"].tolist()
    for done in range(repeat):
        later = dict.fromkeys(members, 0)
        for s, d, overhead, latency, ideal, reduce in transfers:
            end = max(reach[s], reach[d]) + overhead + latency + ideal
            later[s] = max(later[s], end)
            later[d] = max(later[d], end + reduce)
        if max(later.values()) > horizon:
            return reach, done
        reach = [later.get(rank, at) for rank, at in enumerate(reach)]
    return reach, repeat


@st.composite
def rounds(draw: st.DrawFn) -> dict[str, Any]:
    """A round of random transfers, each over a link of its own, and ranks that come at random."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    p, m = draw(st.integers(2, 8)), draw(st.integers(1, 12))
    src = rng.integers(0, p, m)
    jitter = draw(st.sampled_from([1, 2, 1000]))
    whole = {k: rng.integers(0, jitter, m) + 5 for k in ("overhead", "latency", "ideal")}
    return {
        "src": src,
        "dst": (src + rng.integers(1, p, m)) % p,
        **whole,
        "reduce": rng.integers(0, jitter, m) * draw(st.sampled_from([0, 1])),
        "reach": rng.integers(0, draw(st.sampled_from([1, 500])), p),
    }


def fast_round(case: dict[str, Any], repeat: int, horizon: int, jump: bool) -> tuple[Any, ...]:
    m, p = case["src"].size, case["reach"].size
    transfers = moves.Moves(
        case["src"], case["dst"], case["overhead"], case["latency"], case["ideal"], case["reduce"],
        np.zeros(m, np.int64), np.full(m, 3.0), np.arange(m + 1), np.arange(m, dtype=np.int32), np.ones(m),
    )  # fmt: skip
    x = moves.Ahead(
        case["reach"].copy(), np.zeros((p, moves.TIERS + 1), np.int64), np.zeros(m, np.int64),
        np.full(m, -1), np.zeros(m), np.zeros(2, np.int64),
    )  # fmt: skip
    status = maxplus.repeat_round(transfers, repeat, horizon, jump, False, 0, x)
    return status, x.reach, x.account, x.carried, x.counts


@given(rounds(), st.sampled_from([1, 2, 7, 60, 301]), st.sampled_from([200, 3000, FOREVER]), st.booleans())
@settings(max_examples=200)
def test_repeated_rounds_are_the_recursion(
    case: dict[str, Any], repeat: int, horizon: int, jump: bool
) -> None:
    reach, done = slow_round(case, repeat, horizon)
    status, got, account, carried, counts = fast_round(case, repeat, horizon, jump)
    assert got.tolist() == reach
    assert counts[0] == done
    assert status == (moves.DONE if done == repeat else moves.HORIZON)
    assert carried.tolist() == [3.0 * done] * case["src"].size
    assert jump or counts[1] == 0
    # Causes sum up to the time since a rank on the critical path arrived.
    for r in range(len(reach)):
        assert any(reach[r] - account[r].sum() == start for start in case["reach"])


@given(
    st.integers(0, 2**32),
    st.integers(3, 70),
    st.sampled_from([2, 3, 17, 90, 400]),
    st.sampled_from([250, 2500, FOREVER]),
)
@settings(max_examples=200)
def test_following_the_fronts_is_as_good_as_doing_everything(
    seed: int, p: int, repeat: int, horizon: int
) -> None:
    """Rings with plateaus of equal hops, and chords: the same times, accounts and bytes as without jumps."""
    rng = np.random.default_rng(seed)
    src = np.arange(p)
    dst = (src + 1) % p
    if rng.random() < 0.4:
        chords = rng.integers(0, p, p // 3)
        src, dst = np.append(src, chords), np.append(dst, (chords + rng.integers(1, p)) % p)
    m = src.size
    lengths = np.array([2, 4, 6])[: rng.integers(1, 4)]
    case = {
        "src": src, "dst": dst, "overhead": np.zeros(m, np.int64), "latency": rng.choice(lengths, m),
        "ideal": np.full(m, 3), "reduce": np.full(m, rng.integers(0, 2)) * rng.choice([1, 1, 5], m),
        "reach": rng.integers(0, rng.choice([1, 40]), p),
    }  # fmt: skip
    order = rng.permutation(m) if rng.random() < 0.3 else np.arange(m)
    case.update({k: v[order] for k, v in case.items() if v.size == m and k != "reach"})
    everything, fronts = (fast_round(case, repeat, horizon, jump) for jump in (False, True))
    for all_of_it, followed in zip(everything[:4], fronts[:4], strict=True):
        assert np.array_equal(all_of_it, followed)
    assert everything[4][0] == fronts[4][0]


def test_a_long_lockstep_is_jumped() -> None:
    """Ring of 4, all alike: a million repetitions, nearly all of them jumped."""
    ring = np.arange(4)
    one = np.ones(4, np.int64)
    case = {
        "src": ring, "dst": (ring + 1) % 4, "overhead": 0 * one, "latency": 2 * one, "ideal": 5 * one,
        "reduce": one, "reach": 0 * one,
    }  # fmt: skip
    status, reach, account, _, counts = fast_round(case, 10**6, FOREVER, True)
    assert status == moves.DONE
    assert reach.tolist() == [8 * 10**6] * 4
    assert account[0].tolist() == [10**6, 2 * 10**6, 0, 0, 5 * 10**6]
    assert counts[0] == 10**6
    assert counts[1] > 10**6 - 10


@pytest.mark.parametrize("shared", [True, False])
def test_two_transfers_on_one_link_at_one_time_are_a_conflict(shared: bool) -> None:
    """0 -> 1 and 2 -> 3 over links 0 and 0, or 0 and 1; nothing of the round is done."""
    ints = np.zeros(2, np.int64)
    transfers = moves.Moves(
        np.array([0, 2]), np.array([1, 3]), ints, ints, ints + 9, ints, ints, np.ones(2), np.arange(3),
        np.array([0, 0 if shared else 1], dtype=np.int32), np.ones(2),
    )  # fmt: skip
    x = moves.Ahead(
        np.zeros(4, np.int64), np.zeros((4, 5), np.int64), np.zeros(2, np.int64), np.full(2, -1),
        np.zeros(2), np.zeros(2, np.int64),
    )  # fmt: skip
    status = maxplus.repeat_round(transfers, 5, FOREVER, True, True, 0, x)
    if shared:
        assert status == moves.CONFLICT
        assert x.reach.tolist() == [0] * 4
        assert x.carried.tolist() == [0, 0]
    else:
        assert status == moves.DONE
        assert x.reach.tolist() == [45] * 4


# ---------------------------------------------------------------- paths and networkx


@given(graphs(shapes=("leaf_spine", "fat_tree", "switch", "multi_plane")))
@settings(max_examples=40)
def test_climbs_are_as_long_as_the_shortest_path(graph: nx.Graph) -> None:
    """Up and down on a Clos, through each plane: the hops that networkx counts, planes times."""
    fabric = sim.compile_fabric(graph)
    p = fabric.ranks
    pairs = [(s, d) for s in range(p) for d in range(p) if s != d]
    src, dst = (fabric.rank_nodes[list(ends)] for ends in zip(*pairs, strict=True))
    paths = Router(fabric, "up_down").route(src, dst)
    planes = graph.degree[fabric.nodes[fabric.rank_nodes[0]]]
    for i in range(len(pairs)):
        hops = nx.shortest_path_length(graph, fabric.nodes[src[i]], fabric.nodes[dst[i]])
        assert paths.start[i + 1] - paths.start[i] == planes * hops


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=60)
def test_shortest_paths_pass_switches_of_no_domain_only(seed: int, chips_in_between: bool) -> None:
    """Chips in a scale-up domain of their own forward nothing: networkx on the graph without them."""
    rng = random.Random(seed)
    graph = nx.gnm_random_graph(14, 30, seed=seed)
    for n in graph:
        graph.nodes[n]["kind"] = "chip" if n < 7 else "switch"
        if n < 7 and not chips_in_between:
            graph.nodes[n]["domain"] = n
    nx.set_edge_attributes(graph, {e: rng.choice([0.0, 1e-6, 2e-6]) for e in graph.edges}, "latency")
    nx.set_edge_attributes(graph, 1e9, "bandwidth")
    fabric = sim.compile_fabric(graph)
    router = Router(fabric)
    for s in range(7):
        for d in range(7):
            if s == d:
                continue
            allowed = (
                graph if chips_in_between else graph.subgraph([n for n in graph if n >= 7 or n in (s, d)])
            )
            if not nx.has_path(allowed, s, d):
                continue
            paths = router.route(np.array([s]), np.array([d]))
            assert paths.link.size == nx.shortest_path_length(allowed, s, d)
            assert paths.latency_ps[0] == fabric.latency_ps[paths.link].sum()


def test_pieces_are_copied_to_their_places() -> None:
    """Pieces of 2 and 1 entries to transfers 2 and 0 of three; transfer 1 has none of them."""
    link, weight = np.full(5, -1, np.int32), np.zeros(5)
    copy_pieces(
        np.array([2, 0]), np.array([0, 2, 3]), np.array([7, 8, 9], np.int32), np.array([0.5, 0.25, 1.0]),
        np.array([0, 1, 3, 5]), link, weight,
    )  # fmt: skip
    assert link.tolist() == [9, -1, -1, 7, 8]
    assert weight.tolist() == [1.0, 0.0, 0.0, 0.5, 0.25]
