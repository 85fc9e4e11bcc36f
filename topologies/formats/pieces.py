"""What both formats take a graph apart into, and put it together from."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, cast

import networkx as nx
import numpy as np

__all__ = ["edges", "of_class", "plain"]

Edge = tuple[Hashable, Hashable, Hashable, dict[str, Any]]


def of_class(*, directed: bool, multigraph: bool) -> nx.Graph[Any]:
    """An empty graph, directed or not, with or without parallel edges."""
    if multigraph:
        return nx.MultiDiGraph() if directed else nx.MultiGraph()
    return nx.DiGraph() if directed else nx.Graph()


def edges(graph: nx.Graph[Any]) -> Iterator[Edge]:
    """Tail, head, key and attributes of each edge in order; the key is None without parallel edges."""
    if graph.is_multigraph():
        yield from cast("nx.MultiGraph[Any]", graph).edges(keys=True, data=True)
    else:
        for tail, head, attributes in graph.edges(data=True):
            yield tail, head, None, attributes


def plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The same attributes with numpy's scalars as Python's."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in attributes.items()}
