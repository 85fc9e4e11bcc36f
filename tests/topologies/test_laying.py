"""Nodes and edges laid by the hundred thousand are those that networkx adds."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest

from topologies.laying import lay, place


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
def test_the_same_graph(kind: type[nx.Graph[Any]]) -> None:
    nodes = [(i, {"kind": "chip", "place": i}) for i in range(5)]
    pairs = [(0, 1), (3, 2), (4, 0)]
    laid, added = kind(), kind()
    place(laid, ((i, dict(attributes)) for i, attributes in nodes))
    lay(laid, iter(pairs), {"latency": 1e-6})
    added.add_nodes_from(nodes)
    added.add_edges_from(pairs, latency=1e-6)
    assert list(laid.nodes(data=True)) == list(added.nodes(data=True))
    assert list(laid.edges(data=True)) == list(added.edges(data=True))
    assert [list(laid.adj[i]) for i in laid] == [list(added.adj[i]) for i in added]


def test_each_has_attributes_of_its_own() -> None:
    graph: nx.Graph[Any] = nx.Graph()
    place(graph, ((i, {"kind": "chip"}) for i in range(3)))
    lay(graph, [(0, 1), (1, 2)], {"latency": 1e-6})
    graph.nodes[0]["rail"], graph.edges[0, 1]["latency"] = 1, 2e-6
    assert "rail" not in graph.nodes[1] and graph.edges[1, 2]["latency"] == 1e-6
    assert graph.edges[1, 0]["latency"] == 2e-6
