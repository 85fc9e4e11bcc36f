"""Shapes: node and edge counts, degrees and diameters of the textbook, for all sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import topologies
from topologies.errors import CapacityError, TopologyError, UnitError

LINK = {"bandwidth": "50 GB/s", "latency": "1 us"}
DIMS = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


def _degrees(graph: nx.Graph) -> set[int]:
    return {d for _, d in graph.degree()}


@given(st.integers(1, 64))
def test_rings(p: int) -> None:
    graph = topologies.ring(p, **LINK)
    topologies.check(graph)
    assert topologies.chips(graph) == list(range(p))
    assert graph.number_of_edges() == {1: 0, 2: 1}.get(p, p)
    assert _degrees(graph) == {{1: 0, 2: 1}.get(p, 2)}
    assert nx.diameter(graph) == p // 2


@given(st.integers(1, 24))
def test_full_meshes_and_switches(p: int) -> None:
    full, star = topologies.full_mesh(p, **LINK), topologies.switch(p, **LINK)
    topologies.check(full)
    topologies.check(star)
    assert full.number_of_edges() == p * (p - 1) // 2 and _degrees(full) == {p - 1}
    assert star.degree("switch0") == star.number_of_edges() == p


@given(DIMS)
def test_meshes_and_tori_join_neighbours_and_nothing_else(dims: tuple[int, ...]) -> None:
    for build, wraps in ((topologies.mesh, False), (topologies.torus, True)):
        graph = build(dims, **LINK)
        topologies.check(graph)
        expected = set()
        for a, b in itertools.combinations(np.ndindex(dims), 2):
            apart = [(abs(x - y), d) for x, y, d in zip(a, b, dims, strict=True) if x != y]
            if len(apart) == 1 and (apart[0][0] == 1 or (wraps and apart[0][0] == apart[0][1] - 1)):
                expected.add((np.ravel_multi_index(a, dims), np.ravel_multi_index(b, dims)))
        assert {tuple(sorted(e)) for e in graph.edges} == expected
        for node, place in enumerate(np.ndindex(dims)):
            assert graph.nodes[node]["coord"] == ",".join(map(str, place))


@given(DIMS)
def test_wrap_says_which_dimensions_close(dims: tuple[int, ...]) -> None:
    graph = topologies.torus(dims, **LINK)
    assert graph.graph["dims"] == "x".join(map(str, dims))
    assert graph.graph["wrap"] == "x".join("1" if d > 2 else "0" for d in dims)
    assert graph.graph["routing"] == "dimension_order"
    half = topologies.torus(dims, wrap=[i == 0 for i in range(len(dims))], **LINK)
    closing = math.prod(dims[1:]) if dims[0] > 2 else 0
    assert half.number_of_edges() == topologies.mesh(dims, **LINK).number_of_edges() + closing


@pytest.mark.parametrize("power", range(8))
def test_hypercubes(power: int) -> None:
    graph = topologies.hypercube(2**power, **LINK)
    topologies.check(graph)
    assert all((a ^ b).bit_count() == 1 for a, b in graph.edges)
    assert _degrees(graph) == {power}


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), st.sampled_from([None, 1, 3]))
def test_hyperx_joins_every_row_fully(dims: tuple[int, ...], each: int | None) -> None:
    graph = topologies.hyperx(dims, chips_per_switch=each, **LINK)
    topologies.check(graph)
    switches = math.prod(dims)
    assert len(topologies.chips(graph)) == switches * (each or 1)
    places = {n: a["coord"].split(",") for n, a in graph.nodes(data=True) if "coord" in a}
    assert len(places) == switches
    for a, b in itertools.combinations(places, 2):
        differ = sum(x != y for x, y in zip(places[a], places[b], strict=True))
        assert graph.has_edge(a, b) == (differ == 1)


def test_text_and_list_give_the_same_dims() -> None:
    for dims in ("4x2", [4, 2], np.array([4, 2])):
        assert nx.utils.graphs_equal(topologies.torus(dims, **LINK), topologies.torus((4, 2), **LINK))
    assert topologies.mesh(5, **LINK).number_of_edges() == 4


def test_each_dimension_may_have_its_own_links() -> None:
    graph = topologies.torus((3, 4), bandwidth=["10 GB/s", "20 GB/s"], latency=[1e-6, 2e-6], tier="ici")
    assert graph.edges[0, 4] == {"bandwidth": 10e9, "latency": 1e-6, "tier": "ici"}
    assert graph.edges[0, 1] == {"bandwidth": 20e9, "latency": 2e-6, "tier": "ici"}
    two = topologies.hyperx((2, 2), bandwidth=["1 GB/s", "2 GB/s"], latency=0)
    assert two.edges[0, "switch0"]["bandwidth"] == 1e9 and two.edges["switch0", "switch1"]["bandwidth"] == 2e9


@pytest.mark.parametrize(
    ("build", "argument", "message"),
    [
        (topologies.ring, 0, "ring: chips"),
        (topologies.ring, 2.5, "ring: chips"),
        (topologies.ring, True, "ring"),
        (topologies.full_mesh, -1, "full_mesh: chips"),
        (topologies.switch, None, "switch: chips"),
        (topologies.hypercube, 12, "take 8 or 16"),
        (topologies.torus, (), "empty"),
        (topologies.torus, (4, 0), r"dims\[1\]"),
        (topologies.mesh, "4xx2", r"dims\[1\]"),
        (topologies.mesh, "four", r"dims\[0\]"),
        (topologies.hyperx, (2, -1), r"dims\[1\]"),
    ],
)
def test_wrong_sizes(build, argument, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        build(argument, **LINK)


def test_wrong_links() -> None:
    with pytest.raises(UnitError, match=r"ring: bandwidth .*no unit"):
        topologies.ring(4, bandwidth="50", latency="1 us")
    with pytest.raises(UnitError, match="torus: latency"):
        topologies.torus((2, 2), bandwidth=1e9, latency=-1)
    with pytest.raises(TopologyError, match="3 values"):
        topologies.torus((2, 2), bandwidth=[1e9] * 3, latency=0)
    with pytest.raises(TopologyError, match="wrap"):
        topologies.torus((4, 4), wrap=[True], **LINK)
    with pytest.raises(TopologyError, match="chips_per_switch"):
        topologies.hyperx((2, 2), chips_per_switch=0, **LINK)


@pytest.mark.parametrize(
    "build",
    [
        lambda: topologies.ring(10**12, **LINK),
        lambda: topologies.full_mesh(10**7, **LINK),
        lambda: topologies.torus((10**6, 10**6), **LINK),
        lambda: topologies.hypercube(2**40, **LINK),
        lambda: topologies.hyperx((10**5, 10**5), **LINK),
        lambda: topologies.dragonfly(10**6, 10**6, 10, **LINK),
        lambda: topologies.rail_optimized(10**9, 8, **LINK),
    ],
)
def test_what_would_not_fit_into_memory_is_refused_at_once(build: Callable[[], Any]) -> None:
    with pytest.raises(CapacityError, match="GB would be needed"):
        build()
