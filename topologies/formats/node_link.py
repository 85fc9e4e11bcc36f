"""Node-link JSON: the graph as lists of nodes and of edges, as networkx and D3 have it.

Source: ``networkx.readwrite.json_graph``. Edges stand under ``edges``; files of
older networkx, which have them under ``links``, are read as well.
"""

from __future__ import annotations

import json
from typing import Any, SupportsIndex

import networkx as nx

from topologies.errors import FormatError
from topologies.formats import pieces

__all__ = ["parse", "text"]

_SCALARS = (str, int, float, bool, type(None))


def text(graph: nx.Graph[Any]) -> str:
    """Write a graph as JSON text.

    Parameters
    ----------
    graph : networkx graph
        Nodes are integers or text, attributes scalars.

    Raises
    ------
    FormatError
        If a node or an attribute is something else.
    """
    nodes = [
        _entry({"id": _id(node)}, attributes, f"node {node!r}") for node, attributes in graph.nodes(data=True)
    ]
    links = []
    for tail, head, key, attributes in pieces.edges(graph):
        ends: dict[str, Any] = {"source": _id(tail), "target": _id(head)}
        if key is not None:
            ends["key"] = _id(key)
        links.append(_entry(ends, attributes, f"link {tail!r} - {head!r}"))
    top = {
        "directed": graph.is_directed(),
        "multigraph": graph.is_multigraph(),
        "graph": _entry({}, graph.graph, "graph"),
    }
    # One node or edge a line: such a file can be compared and searched.
    lists = (
        f'"{name}": [\n' + ",\n".join(map(_dump, rows)) + "\n]"
        for name, rows in (("nodes", nodes), ("edges", links))
    )
    return _dump(top)[:-1] + ",\n" + ",\n".join(lists) + "}\n"


def parse(text: str) -> nx.Graph[Any]:
    """Read a graph from JSON text.

    Parameters
    ----------
    text : str

    Returns
    -------
    networkx graph

    Raises
    ------
    FormatError
        If the text is no whole JSON, or is no graph.
    """
    try:
        raw = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FormatError(f"not whole JSON ({error}); is it cut short, or another kind of file?") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("nodes"), list):
        raise FormatError("no list 'nodes' in it; a graph has 'nodes' and 'edges'")
    edges = raw.get("edges", raw.get("links"))
    if not isinstance(edges, list) or not isinstance(raw.get("graph", {}), dict):
        raise FormatError("no list 'edges' in it, or 'graph' holds no attributes by name")
    multi = bool(raw.get("multigraph"))
    graph = pieces.of_class(directed=bool(raw.get("directed")), multigraph=multi)
    graph.graph.update(raw.get("graph", {}))
    for i, entry in enumerate(raw["nodes"]):
        (node,), attributes = _split(entry, ("id",), f"nodes[{i}]")
        if node in graph:
            raise FormatError(f"nodes[{i}]: id {node!r} stands there twice")
        graph.add_node(node)
        graph.nodes[node].update(attributes)
    for i, entry in enumerate(edges):
        (tail, head), attributes = _split(entry, ("source", "target"), f"edges[{i}]")
        for end in (tail, head):
            if end not in graph:
                raise FormatError(f"edges[{i}]: no node {end!r} in 'nodes'")
        if multi:
            joined: Any = [(tail, head, attributes.pop("key", None), attributes)]
            graph.add_edges_from(joined)
        elif graph.has_edge(tail, head):
            raise FormatError(f"edges[{i}]: {tail!r} - {head!r} stands there twice; set 'multigraph' to true")
        else:
            graph.add_edges_from([(tail, head, attributes)])
    return graph


def _split(entry: object, ends: tuple[str, ...], where: str) -> tuple[list[Any], dict[str, Any]]:
    """Take the ids out of an entry of the file; the rest are attributes."""
    if not isinstance(entry, dict) or any(end not in entry for end in ends):
        raise FormatError(f"{where}: must be an object with {' and '.join(map(repr, ends))}")
    found = [entry[end] for end in ends]
    for end, value in zip(ends, found, strict=True):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise FormatError(f"{where}: {end} (={value!r}) must be an integer or text")
    return found, {k: v for k, v in entry.items() if k not in ends}


def _entry(ends: dict[str, Any], attributes: dict[str, Any], where: str) -> dict[str, Any]:
    entry = dict(ends)
    for name, value in pieces.plain(attributes).items():
        if name in ends or not isinstance(name, str):
            raise FormatError(f"{where}: attribute {name!r} has a name that the format needs; rename it")
        if not isinstance(value, _SCALARS):
            raise FormatError(
                f"{where}: attribute {name!r} (={value!r}) is of type {type(value).__name__}; "
                "attributes are text, numbers and truth values"
            )
        entry[name] = value
    return entry


def _id(node: object) -> int | str:
    if isinstance(node, str):
        return node
    if isinstance(node, bool) or not isinstance(node, SupportsIndex):
        raise FormatError(f"id {node!r} is of type {type(node).__name__}; ids are integers or text")
    return node.__index__()


def _dump(entry: dict[str, Any]) -> str:
    try:
        return json.dumps(entry, allow_nan=False)
    except ValueError as error:
        raise FormatError(f"{entry}: JSON has no infinity and no nan") from error
