"""The graph contract: every fault is found, named, and told on one line."""

from __future__ import annotations

import math
from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import topologies
from topologies.errors import TopologyError, UnitError
from topologies.graph import check, chips, count, faults, link_bandwidth, link_latency, per_tier


def _sound(cls: type[nx.Graph] = nx.Graph) -> nx.Graph:
    """Chips 0, 1, 2 on switch ``s``; a directed graph has links both ways."""
    graph = cls()
    graph.add_nodes_from([0, 1, 2], kind="chip")
    graph.add_node("s", kind="switch")
    for chip in (0, 1, 2):
        graph.add_edge(chip, "s", bandwidth=50e9, latency=1e-6)
        if graph.is_directed():
            graph.add_edge("s", chip, bandwidth=50e9, latency=1e-6)
    return graph


ALL_CLASSES = [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_sound_graphs_have_no_fault(cls: type[nx.Graph]) -> None:
    check(_sound(cls))
    assert faults(_sound(cls)) == []


def _set_edge(key: str, value: object) -> Callable[[nx.Graph], None]:
    return lambda g: g.edges[1, "s"].__setitem__(key, value)


def _set_node(key: str, value: object) -> Callable[[nx.Graph], None]:
    return lambda g: g.nodes[1].__setitem__(key, value)


def _set_graph(**attributes: object) -> Callable[[nx.Graph], None]:
    return lambda g: g.graph.update(attributes)


FAULTS: list[tuple[str, Callable[[nx.Graph], object], str]] = [
    ("no kind", lambda g: g.nodes[1].clear(), "node 1: no kind"),
    ("unknown kind", _set_node("kind", "swich"), "node 1: unknown kind 'swich'; did you mean 'switch'"),
    ("kind of no text", _set_node("kind", 7), "node 1: unknown kind 7"),
    ("level of text", _set_node("level", "one"), "node 1: level"),
    ("level true", _set_node("level", True), "node 1: level"),
    ("host of float", _set_node("host", 1.5), "node 1: host"),
    (
        "self-loop",
        lambda g: g.add_edge(1, 1, bandwidth=1.0, latency=0.0),
        "link 1 - 1: joins a node with itself",
    ),
    ("no bandwidth", lambda g: g.edges[1, "s"].pop("bandwidth"), "link 1 - 's': no bandwidth"),
    ("no latency", lambda g: g.edges[1, "s"].pop("latency"), "link 1 - 's': no latency"),
    *[
        (f"bandwidth {x!r}", _set_edge("bandwidth", x), "link 1 - 's': bandwidth")
        for x in (0, 0.0, -1.0, math.nan, math.inf, "50", "400 G", True, [1])
    ],
    *[
        (f"latency {x!r}", _set_edge("latency", x), "link 1 - 's': latency")
        for x in (-1e-9, math.nan, math.inf, "50", "1 GB/s", False)
    ],
    *[
        (f"efficiency {x!r}", _set_edge("efficiency", x), "link 1 - 's': efficiency")
        for x in (0, -0.5, 1.01, math.nan, "0.8", True)
    ],
    ("cut off", lambda g: g.remove_edge(1, "s"), "chip 0 cannot reach chip 1"),
    ("first cut off", lambda g: g.remove_edge(0, "s"), "chip 0 cannot reach chip 1"),
    ("routing", _set_graph(routing="xy"), "unknown routing 'xy'"),
    ("domain_routing", _set_graph(domain_routing="xy"), "unknown domain_routing 'xy'"),
    ("no level", _set_graph(routing="up_down"), "node 0: no level"),
    ("no dims", _set_graph(routing="dimension_order"), "dims '' is no shape"),
    ("no coord", _set_graph(routing="dimension_order", dims="3"), "node 0: coord '' is no place"),
    ("short wrap", _set_graph(routing="dimension_order", dims="3x1", wrap="1"), "wrap '1' does not fit"),
    ("no chips", lambda g: g.remove_nodes_from([0, 1, 2]), "no chips"),
    ("empty", lambda g: g.clear(), "no chips"),
]


@pytest.mark.parametrize(("spoil", "message"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_every_fault_is_named(spoil: Callable[[nx.Graph], object], message: str) -> None:
    graph = _sound()
    spoil(graph)
    with pytest.raises(TopologyError) as caught:
        check(graph)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value) == faults(graph)[0]


@pytest.mark.parametrize("thing", [None, 7, "ring", [(0, 1)], {0: {1: {}}}])
def test_only_networkx_graphs_are_topologies(thing: object) -> None:
    with pytest.raises(TopologyError, match="networkx graph"):
        check(thing)  # type: ignore[arg-type]


def test_direction_matters() -> None:
    graph = _sound(nx.DiGraph)
    graph.remove_edge("s", 2)
    assert faults(graph) == ["chip 0 cannot reach chip 2; join them by links"]
    graph = _sound(nx.DiGraph)
    graph.remove_edge(2, "s")
    assert faults(graph) == ["chip 2 cannot reach chip 0; join them by links"]


def test_all_faults_are_listed() -> None:
    graph = _sound()
    graph.nodes[0]["kind"] = "chop"
    graph.edges[1, "s"]["bandwidth"] = 0
    graph.add_node(9, kind="chip")
    found = faults(graph)
    assert len(found) == 3
    starts = ["node 0", "link 1 - 's'", "chip 1 cannot reach chip 9"]
    assert all(fault.startswith(start) for fault, start in zip(found, starts, strict=True))


def test_places_are_unique_and_inside() -> None:
    graph = topologies.torus((2, 3), bandwidth=1.0, latency=0.0)
    graph.nodes[4]["coord"] = "0,3"
    assert faults(graph) == ["node 4: coord '0,3' is no place in dims '2x3'"]
    graph.nodes[4]["coord"] = "0,1"
    assert faults(graph) == ["node 4: coord '0,1' is taken by node 1"]


@given(st.integers(2, 12), st.data())
def test_reach_agrees_with_networkx(n: int, data: st.DataObject) -> None:
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda e: e[0] != e[1])
    for cls, strong in ((nx.Graph, nx.is_connected), (nx.DiGraph, nx.is_strongly_connected)):
        graph = cls()
        graph.add_nodes_from(range(n), kind="chip")
        graph.add_edges_from(data.draw(st.lists(pair, max_size=3 * n)), bandwidth=1.0, latency=0.0)
        assert (faults(graph) == []) == strong(graph)


def test_numbers_may_be_text_with_units_or_of_numpy() -> None:
    graph = _sound()
    graph.edges[1, "s"].update(bandwidth="400 Gbit/s", latency="1.5 us", efficiency=np.float64(0.8))
    graph.edges[0, "s"].update(bandwidth=np.float32(1e9), latency=0)
    graph.nodes[1]["level"] = np.int64(0)
    check(graph)
    assert link_bandwidth(graph.edges[1, "s"], "here") == 50e9
    assert link_latency(graph.edges[1, "s"], "here") == 1.5e-6


def test_chips_are_in_the_order_of_the_graph() -> None:
    graph = nx.Graph()
    graph.add_nodes_from([(5, {"kind": "chip"}), ("s", {"kind": "switch"}), ("a", {"kind": "chip"})])
    assert chips(graph) == [5, "a"]


@pytest.mark.parametrize("x", [0, -1, 1.0, True, None, "4", math.nan])
def test_counts_are_integers(x: object) -> None:
    with pytest.raises(TopologyError, match=r"ring: chips \(="):
        count(x, "ring: chips")
    assert count(np.int32(3), "n") == 3


def test_one_value_for_each_tier() -> None:
    read = topologies.units.bandwidth
    assert per_tier(2.0, 3, read, "bandwidth") == [2.0] * 3
    assert per_tier(("1 B/s", 2), 2, read, "bandwidth") == [1.0, 2.0]
    with pytest.raises(TopologyError, match="3 values"):
        per_tier([1, 2, 3], 2, read, "bandwidth")
    with pytest.raises(UnitError, match=r"bandwidth\[1\]"):
        per_tier([1, "2"], 2, read, "bandwidth")


def test_the_front_door_leads_to_functions() -> None:
    # Modules of the same names must not take the functions' place, whatever is imported when.
    import importlib

    for name in ("dragonfly", "draw", "machines"):
        importlib.import_module(f"topologies.{name}")
    for name in topologies.__all__:
        assert callable(getattr(topologies, name)), name
