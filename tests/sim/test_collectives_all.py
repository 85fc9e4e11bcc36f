"""One test over every algorithm and every case: the right result, or a refusal that says why.

Whatever is entered in the registry is tested here without anybody having to list
it: all numbers of ranks from 1 to 64 (primes among them), sizes that p does not
divide and sizes below one byte a rank, ranks and groups in random order, several
channels, pieces that follow each other.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any

import networkx as nx
import numpy as np
import pytest

import sim
from sim.collectives import algorithms, build, kinds, options, serves, uses_network
from sim.collectives.shares import cells
from topologies.errors import ChipweaveError, ScheduleError

EVERY = [(kind, name) for kind in kinds() for name in algorithms(kind)]
SIZES = (1000.0, 0.5, 2.0**20 + 3)


def factors(p: int) -> list[tuple[int, ...]]:
    """A torus of one, two and three dimensions of p ranks, where there are such."""
    found: list[tuple[int, ...]] = [(p,)]
    for a in range(2, math.isqrt(p) + 1):
        if p % a == 0:
            found.append((a, p // a))
            found += [(a, b, p // a // b) for b in range(a, p // a) if (p // a) % b == 0 and b * b * a <= p]
    return found


def layouts(kind: str, name: str, p: int, draw: np.random.Generator) -> Iterator[dict[str, Any]]:
    """What an algorithm may be told of so many ranks: nothing, groups of every size, dimensions."""
    reason = serves(kind, name, p)
    if reason is None or not ("needs groups=" in reason or "needs dims=" in reason):
        yield {}
    if p > 1 and reason is not None and "needs groups=" in reason:
        for g in (d for d in range(1, p + 1) if p % d == 0):
            yield {"groups": draw.permutation(np.arange(p) // g) * 2 - 7}
        uneven = draw.integers(0, max(1, p // 3), p)
        yield {"groups": uneven}
    if p > 1 and "dims" in options(kind, name):
        for dims in factors(p):
            yield {"dims": dims}
            yield {"dims": dims[::-1], "bidirectional": True}


def drawn(kind: str, name: str, p: int, draw: np.random.Generator) -> dict[str, Any]:
    """Options of every algorithm: an order, a root, channels, pieces."""
    takes, chosen = options(kind, name), {}
    if "root" in takes:
        chosen["root"] = int(draw.integers(p))
    if "order" in takes:
        chosen["order"] = draw.permutation(p)
    # As many chunks as a quick check can bear.
    few = 1 if p > 24 or cells(kind, p) > 256 else 3
    if "channels" in takes:
        chosen["channels"] = int(draw.integers(1, few + 1))
    if "channel_map" in takes:
        chosen["channel_map"] = ("turn", "zigzag")[int(draw.integers(2))]
    if "first" in takes:
        chosen["first"] = ("inside", "between")[int(draw.integers(2))]
    if "pipeline" in takes:
        chosen["pipeline"] = int(draw.integers(1, few + 2))
    return chosen


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_right_or_refused(kind: str, name: str) -> None:
    draw = np.random.default_rng(zlib.crc32(f"{kind} {name}".encode()))
    served = 0
    for p in range(1, 65):
        # Of the many layouts of a large number two are enough: another number draws others.
        there = list(layouts(kind, name, p, draw))
        for place in draw.permutation(len(there))[: 8 if p <= 12 else 2]:
            layout = there[place]
            size = SIZES[int(draw.integers(len(SIZES)))]
            chosen = {**drawn(kind, name, p, draw), **layout}
            given = {key: layout[key] for key in ("groups", "dims") if key in layout}
            reason = serves(kind, name, p, **given)
            if reason is not None:
                assert "\n" not in reason
                with pytest.raises(ScheduleError, match=r"^\w+ by \w+: "):
                    build(kind, p, size, name, **chosen)
                continue
            schedule = build(kind, p, size, name, **chosen)
            assert schedule.size == pytest.approx(size)
            schedule.check()
            served += p > 1
    assert served >= 6  # the powers of two at least


@pytest.mark.parametrize("name", algorithms("all_to_all"))
def test_uneven_matrices(name: str) -> None:
    """Zero rows and columns, nothing but the diagonal, one pair alone, in any order, cut in any way."""
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    for p in (2, 3, 5, 8, 12):
        dense = draw.uniform(0.5, 2e6, (p, p))
        sparse = dense * (draw.random((p, p)) < 0.3)
        rows, columns = dense.copy(), dense.copy()
        rows[0], columns[:, p - 1] = 0.0, 0.0
        lonely = np.zeros((p, p))
        lonely[p - 1, 0] = 1e6
        for matrix in (dense, sparse, rows, columns, lonely, np.diag(dense.diagonal())):
            for cut in ({}, {"channels": 2}, {"pipeline": 3}, {"channels": 2, "pipeline": 2}):
                chosen = {"order": draw.permutation(p), **cut}
                if serves("all_to_all", name, p) is not None:
                    chosen["groups"] = np.arange(p) % (2 if p % 2 == 0 else 1)
                schedule = build("all_to_all", p, matrix, name, **chosen)
                schedule.check()
                assert all((round_.bytes > 0).all() for round_ in schedule.rounds())
                off = matrix[~np.eye(p, dtype=bool)].sum()
                assert schedule.totals()[1] >= off * (1 - 1e-9)


@pytest.mark.parametrize(("kind", "name"), [pair for pair in EVERY if "pipeline" in options(*pair)])
def test_pieces_move_as_much_in_more_steps(kind: str, name: str) -> None:
    """C pieces move the bytes of one, and take the steps of one more stage each."""
    p = 8
    given: dict[str, Any] = {}
    reason = serves(kind, name, p) or ""
    if "groups" in reason:
        given["groups"] = np.arange(p) // 4
    if "dims" in reason:
        given["dims"] = (2, 4)
    one, four = (build(kind, p, 8e6, name, pipeline=c, **given) for c in (1, 4))
    assert four.totals()[1] == pytest.approx(one.totals()[1], rel=1e-9)
    assert four.totals()[0] == 4 * one.totals()[0]
    auto = build(kind, p, 8e6, name, pipeline="auto", **given)
    auto.check()


@pytest.fixture(scope="module")
def random_fabric() -> sim.Fabric:
    """Twenty chips joined at random by links of their own speed and latency."""
    draw = np.random.default_rng(7)
    graph: nx.Graph[Any] = nx.Graph(name="random")
    graph.add_nodes_from(range(20), kind="chip")
    for chip in range(1, 20):
        graph.add_edge(chip, int(draw.integers(chip)))
    while graph.number_of_edges() < 36:
        graph.add_edge(*(int(c) for c in draw.choice(20, 2, replace=False)))
    for edge in graph.edges.values():
        edge |= {"bandwidth": float(draw.uniform(10e9, 90e9)), "latency": float(draw.uniform(0, 3e-6))}
    return sim.compile_fabric(graph)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_on_any_graph_for_some_ranks_in_any_order(kind: str, name: str, random_fabric: sim.Fabric) -> None:
    """Eight of twenty chips in random order: all bytes are carried, none sooner than the bounds allow."""
    draw = np.random.default_rng(zlib.crc32(f"{kind} {name}".encode()))
    ranks = [int(c) for c in draw.permutation(20)[:8]]
    given: dict[str, Any] = {}
    reason = serves(kind, name, 8) or ""
    if "groups" in reason:
        given["groups"] = np.array([0, 1, 1, 0, 1, 0, 0, 1])
    if "dims" in reason:
        given["dims"] = (2, 4)

    def run(**more: Any) -> sim.Run:
        return sim.collective(
            kind, random_fabric, 1e6, ranks=ranks, algorithm=name, library="ideal", **given, **more
        )

    if uses_network(kind, name):
        with pytest.raises(ChipweaveError, match="no switch"):
            run()
        return
    plain = run()
    assert plain.time >= plain.lower_bound > 0
    assert plain.time == run(fast_forward=False).time
    moved = build(kind, 8, 1e6, name, **given).totals()[1]
    assert plain.links["bytes"].sum() >= moved * (1 - 1e-9)
    assert run(network="analytic").time <= plain.time * (1 + 1e-9)
