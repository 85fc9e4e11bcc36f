"""From a graph to arrays of directed links: nothing lost, nothing reordered, faults named."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

import sim
import topologies
from sim.fabric import KINDS, compile_fabric
from tests.sim.strategies import graphs
from topologies.errors import CapacityError, ChipweaveError, TopologyError, UnitError, UnknownNameError

LINK = {"bandwidth": 50e9, "latency": 1e-6}


def chips(graph: nx.Graph[Any]) -> nx.Graph[Any]:
    """Make every node a chip."""
    nx.set_node_attributes(graph, "chip", "kind")
    return graph


@given(graphs())
@settings(max_examples=80)
def test_every_edge_becomes_its_links(graph: Any) -> None:
    """One link each way with the edge's figures, or one where the graph is directed."""
    fabric = compile_fabric(graph)
    assert fabric.nodes == list(graph.nodes)
    assert [KINDS[k] for k in fabric.kind] == [graph.nodes[n]["kind"] for n in graph]
    assert [fabric.nodes[n] for n in fabric.rank_nodes] == topologies.chips(graph)
    ways = 1 if graph.is_directed() else 2
    assert fabric.links == ways * graph.number_of_edges()
    for number, (u, v, attributes) in enumerate(graph.edges(data=True)):
        for way, (tail, head) in enumerate([(u, v), (v, u)][:ways]):
            link = ways * number + way
            assert fabric.nodes[fabric.tail[link]] == tail
            assert fabric.nodes[fabric.head[link]] == head
            assert fabric.bandwidth[link] == attributes["bandwidth"]
            assert fabric.latency_ps[link] == round(attributes["latency"] * 1e12)
            assert fabric.tiers[fabric.tier[link]] == attributes.get("tier", "link")
            assert link in fabric.link_between(tail, head)


@given(graphs())
@settings(max_examples=60)
def test_links_out_of_a_node_and_back(graph: Any) -> None:
    """Compressed rows hold every link once, in the order of their heads; reverse is its own inverse."""
    fabric = compile_fabric(graph)
    assert sorted(fabric.out_link.tolist()) == list(range(fabric.links))
    for node in range(len(fabric.nodes)):
        out = fabric.out_link[fabric.out_start[node] : fabric.out_start[node + 1]]
        assert (fabric.tail[out] == node).all()
        assert (np.diff(fabric.head[out]) >= 0).all()
    back = fabric.reverse
    there = np.flatnonzero(back >= 0)
    assert there.size == fabric.links, "every drawn graph leads both ways"
    np.testing.assert_array_equal(back[back[there]], there)
    np.testing.assert_array_equal(fabric.tail[back[there]], fabric.head[there])


def test_parallel_links_are_separate() -> None:
    """Three cables between two chips: three links each way, each its own; a chip injects over all."""
    graph = chips(nx.MultiGraph([(0, 1, LINK), (0, 1, {**LINK, "bandwidth": 25e9}), (0, 1, LINK)]))
    fabric = compile_fabric(graph)
    assert len(fabric.link_between(0, 1)) == len(fabric.link_between(1, 0)) == 3
    assert sorted(fabric.bandwidth[fabric.link_between(1, 0)]) == [25e9, 50e9, 50e9]
    assert fabric.injection().tolist() == [125e9, 125e9]


def test_a_directed_link_without_its_opposite() -> None:
    fabric = compile_fabric(chips(nx.DiGraph([(0, 1, LINK), (1, 0, LINK), (1, 2, LINK)])))
    assert fabric.reverse.tolist() == [1, 0, -1]
    assert fabric.injection().tolist() == [50e9, 100e9, 0]


def test_units_on_edges() -> None:
    fabric = compile_fabric(chips(nx.Graph([(0, 1, {"bandwidth": "400 Gbit/s", "latency": "1.5 us"})])))
    assert fabric.bandwidth.tolist() == [50e9, 50e9]
    assert fabric.latency_ps.tolist() == [1_500_000, 1_500_000]


def test_a_fabric_is_as_good_as_its_graph() -> None:
    graph = topologies.switch(4, **LINK)
    fabric = compile_fabric(graph)
    assert compile_fabric(fabric) is fabric
    assert sim.all_reduce(fabric, 1e6).to_dict() == sim.all_reduce(graph, 1e6).to_dict()
    assert repr(fabric) == "<Fabric switch-4: 4 chips, 5 nodes, 8 links>"


def test_groups_are_domains_else_hosts_else_first_switches() -> None:
    """The first of these that makes several groups of equal size; numbered as ranks meet them."""
    rails = compile_fabric(topologies.rail_optimized(3, 2, **LINK))
    assert rails.groups(rails.rank_nodes).tolist() == [0, 0, 1, 1, 2, 2]
    assert rails.groups(rails.rank_nodes[[5, 4, 0, 1]]).tolist() == [0, 0, 1, 1]
    assert rails.groups(rails.rank_nodes[[0, 2, 4]]) is None, "one chip of each"
    assert rails.groups(rails.rank_nodes[[0, 1]]) is None, "one group"
    assert rails.groups(rails.rank_nodes[[0, 1, 2]]).tolist() == [0, 0, 1], "unequal ones, if no others"
    leaves = compile_fabric(topologies.leaf_spine(6, per_leaf=3, **LINK))
    assert leaves.groups(leaves.rank_nodes).tolist() == [0, 0, 0, 1, 1, 1]
    ring = compile_fabric(topologies.ring(6, **LINK))
    assert ring.groups(ring.rank_nodes) is None
    hosts = topologies.ring(4, **LINK)
    for chip in hosts:
        hosts.nodes[chip]["host"] = 7 - chip // 2
    assert compile_fabric(hosts).groups(np.arange(4)).tolist() == [0, 0, 1, 1]


def test_coordinates_are_read() -> None:
    fabric = compile_fabric(topologies.torus((2, 3), **LINK))
    assert fabric.dims == (2, 3)
    assert fabric.coordinates.tolist() == [[r, c] for r in range(2) for c in range(3)]


def with_edge(**change: Any) -> Any:
    graph = topologies.ring(3, **LINK)
    for key, value in change.items():
        if value is None:
            del graph.edges[0, 1][key]
        else:
            graph.edges[0, 1][key] = value
    return graph


def with_node(**change: Any) -> Any:
    graph = topologies.ring(3, **LINK)
    graph.nodes[1].update(change)
    return graph


def with_self_loop() -> Any:
    graph = topologies.ring(3, **LINK)
    graph.add_edge(2, 2, **LINK)
    return graph


def with_wrong_place() -> Any:
    graph = topologies.torus((2, 3), **LINK)
    graph.nodes[4]["coord"] = "1,3"
    return graph


@pytest.mark.parametrize(
    ("graph", "error", "says"),
    [
        (nx.Graph(), TopologyError, "chip"),
        (nx.path_graph(3), TopologyError, "kind"),
        (with_node(kind="chp"), TopologyError, "chp"),
        (with_edge(bandwidth=None), TopologyError, "bandwidth"),
        (with_edge(latency=None), TopologyError, "latency"),
        (with_edge(bandwidth=0.0), ChipweaveError, "0.*1.*bandwidth|bandwidth"),
        (with_edge(bandwidth=-1.0), ChipweaveError, "-1"),
        (with_edge(bandwidth=float("nan")), ChipweaveError, "nan"),
        (with_edge(bandwidth=float("inf")), ChipweaveError, "inf"),
        (with_edge(latency=float("inf")), ChipweaveError, "inf"),
        (with_edge(latency=-1e-6), ChipweaveError, "-1e-06"),
        (with_edge(bandwidth="400 G"), TopologyError, "400 G"),
        (with_edge(bandwidth="5 us"), TopologyError, "5 us"),
        (with_self_loop(), TopologyError, "2"),
        (with_wrong_place(), TopologyError, "1,3"),
        ([(0, 1)], TopologyError, "networkx graph"),
    ],
)
def test_faults_are_named(graph: Any, error: type[ChipweaveError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        compile_fabric(graph)
    assert "\n" not in str(caught.value)


def test_links_and_nodes_that_are_not_there_are_named() -> None:
    fabric = compile_fabric(topologies.switch(3, **LINK))
    with pytest.raises(TopologyError, match="no link 0 -> 1 in switch-3"):
        fabric.link_between(0, 1)
    with pytest.raises(TopologyError, match="no node 'leaf' in switch-3"):
        fabric.link_between(0, "leaf")


# ---------------------------------------------------------------- what breaks the contract


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        *[("node", {key: value}) for key in ("level", "host", "domain", "rail", "pod")
          for value in ("x", 1.5, float("nan"), 2**40, [1])],
        *[("node", {"kind": value}) for value in ("chp", None, [], 3)],
        *[("edge", {"bandwidth": value}) for value in (None, [1], True, 0, "400 G", "5", float("nan"))],
        *[("edge", {"latency": value}) for value in (None, "3", "5 GB", -1.0, True, float("inf"))],
        *[("edge", {"efficiency": value}) for value in (None, [], 0, 2, "1", True, float("nan"))],
        *[("edge", {"tier": value}) for value in (None, [], 4)],
        *[("graph", {"routing": value}) for value in ("scenic", [], "up_down", "dimension_order")],
        *[("graph", {key: value}) for key in ("library", "name") for value in ([], 5)],
        ("graph", {"routing": "dimension_order", "dims": "99999999x99999999"}),
        ("graph", {"dims": "4 by 4"}),
    ],
)  # fmt: skip
def test_a_fault_is_named_before_anything_is_simulated(where: str, fault: dict[str, Any]) -> None:
    """Nothing that `check` refuses is compiled, and the line says which attribute it is."""
    graph = topologies.ring(4, **LINK)
    attributes = {"node": graph.nodes[0], "edge": graph.edges[0, 1], "graph": graph.graph}[where]
    attributes.update(fault)
    with pytest.raises((TopologyError, UnitError, UnknownNameError)) as caught:
        sim.compile_fabric(graph)
    named = list(fault)[-1]
    assert named in str(caught.value) or "level" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_latencies_beyond_all_time_are_refused() -> None:
    graph = topologies.ring(4, bandwidth=50e9, latency=4e9)
    with pytest.raises(CapacityError, match=r"link 0 - 1: .* 53 days"):
        sim.compile_fabric(graph)
