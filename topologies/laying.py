"""Nodes and edges of large graphs, laid by the hundred thousand.

networkx checks each node and edge for what may be there already. What is certainly new
takes a third of the time without.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import networkx as nx

__all__ = ["lay", "place"]


def place(graph: nx.Graph[Any], nodes: Iterable[tuple[Hashable, dict[str, Any]]]) -> None:
    """``graph.add_nodes_from(nodes)`` for new nodes, each with a dict of its own.

    Examples
    --------
    >>> graph = nx.Graph()
    >>> place(graph, ((c, {"kind": "chip"}) for c in range(2)))
    >>> graph.nodes(data=True)
    NodeDataView({0: {'kind': 'chip'}, 1: {'kind': 'chip'}})
    """
    if type(graph) is not nx.Graph:
        graph.add_nodes_from(nodes)
        return
    known: dict[Hashable, dict[str, Any]] = graph._node  # type: ignore[attr-defined]
    adjacency: dict[Hashable, dict[Hashable, dict[str, Any]]] = graph._adj  # type: ignore[attr-defined]
    for node, attributes in nodes:
        known[node] = attributes
        adjacency[node] = {}


def lay(graph: nx.Graph[Any], pairs: Iterable[tuple[Hashable, Hashable]], link: dict[str, Any]) -> None:
    """``graph.add_edges_from(pairs, **link)`` for new edges between nodes that are there.

    Examples
    --------
    >>> graph = nx.Graph([(0, 1)])
    >>> lay(graph, [(1, 0)], {"latency": 1e-6})
    >>> graph.edges(data=True)
    EdgeDataView([(0, 1, {'latency': 1e-06})])
    """
    if type(graph) is not nx.Graph:
        graph.add_edges_from(pairs, **link)
        return
    adjacency: dict[Hashable, dict[Hashable, dict[str, Any]]] = graph._adj  # type: ignore[attr-defined]
    for tail, head in pairs:
        adjacency[tail][head] = adjacency[head][tail] = link.copy()
