"""GraphML: graphs as XML that yEd, Gephi and networkx read as well.

GraphML ids are text. Ids that look like integers are integers when read; a text
id that looks like one is marked by the node attribute ``id_is_text``. The number
of an edge among parallel ones is its ``id``. Source: the GraphML primer,
http://graphml.graphdrawing.org/primer/graphml-primer.html.
"""

from __future__ import annotations

import io
import re
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, SupportsIndex
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape, quoteattr

import networkx as nx

from topologies.errors import FormatError
from topologies.formats import pieces

__all__ = ["parse", "text"]

_INTEGER = re.compile(r"(0|-?[1-9][0-9]*)$")
#: Control characters that XML 1.0 cannot hold, and the carriage return it does not keep.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT_ID = "id_is_text"
_MULTIGRAPH = "is_multigraph"
_TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns'
    ' http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">\n'
)


def text(graph: nx.Graph[Any]) -> str:
    """Write a graph as GraphML text.

    Parameters
    ----------
    graph : networkx graph
        Nodes are integers or text, attributes scalars.

    Raises
    ------
    FormatError
        If a node or an attribute is something else.
    """
    keys: dict[tuple[str, str, str], str] = {}
    body: list[str] = []
    top = dict(graph.graph)
    if graph.is_multigraph():
        top[_MULTIGRAPH] = True
    body.append(f'<graph edgedefault="{"directed" if graph.is_directed() else "undirected"}">\n')
    body.extend(_fields("graph", top, keys, "graph"))
    ids: dict[Hashable, str] = {}
    taken: set[str] = set()
    for node, attributes in graph.nodes(data=True):
        name = _id(node)
        if name in taken:
            raise FormatError(f"two nodes have the id {name!r}, one as a number, one as text; rename one")
        taken.add(name)
        ids[node] = quoteattr(name, {"\n": "&#10;", "\t": "&#9;"})
        mark = {_TEXT_ID: True} if isinstance(node, str) and _INTEGER.match(node) else {}
        body.append(f"<node id={ids[node]}>")
        body.extend(_fields("node", {**attributes, **mark}, keys, f"node {node!r}"))
        body.append("</node>\n")
    for tail, head, key, attributes in pieces.edges(graph):
        number = "" if key is None else f" id={quoteattr(_id(key))}"
        body.append(f"<edge{number} source={ids[tail]} target={ids[head]}>")
        body.extend(_fields("edge", attributes, keys, f"link {tail!r} - {head!r}"))
        body.append("</edge>\n")
    declared = (
        f'<key id="{key}" for="{scope}" attr.name={quoteattr(name)} attr.type="{kind}"/>\n'
        for (scope, name, kind), key in keys.items()
    )
    return "".join([_HEAD, *declared, *body, "</graph>\n</graphml>\n"])


def parse(text: str) -> nx.Graph[Any]:
    """Read a graph from GraphML text.

    Parameters
    ----------
    text : str

    Returns
    -------
    networkx graph

    Raises
    ------
    FormatError
        If the text is no whole GraphML.
    """
    reader = nx.readwrite.graphml.GraphMLReader(node_type=_given_id, force_multigraph=True)
    try:
        raw = next(reader(path=io.BytesIO(text.encode("utf-8"))))
    except FormatError:
        raise
    except StopIteration:
        raise FormatError("no <graph> of GraphML in it; is it another kind of XML?") from None
    except ParseError as error:
        raise FormatError(f"not whole XML ({error}); is it cut short, or another kind of file?") from error
    except (nx.NetworkXError, KeyError, ValueError, TypeError, AttributeError) as error:
        # networkx lets ids, types and numbers that it does not expect fail as they fall.
        raise FormatError(f"not valid GraphML ({type(error).__name__}: {error})") from error
    return _restored(raw)


def _restored(raw: nx.Graph[Any]) -> nx.Graph[Any]:
    """The graph that was written, from what networkx makes of the file."""
    top = dict(raw.graph)
    of_node, of_edge = top.pop("node_default", {}), top.pop("edge_default", {})
    ends = [(u, v) for u, v in raw.edges()]
    different = set(ends) if raw.is_directed() else {frozenset(e) for e in ends}
    multi = bool(top.pop(_MULTIGRAPH, False)) or len(different) < len(ends)
    graph = pieces.of_class(directed=raw.is_directed(), multigraph=multi)
    graph.graph.update(top)
    ids: dict[Hashable, Hashable] = {}
    for node, attributes in raw.nodes(data=True):
        own = {**of_node, **attributes}
        is_text = own.pop(_TEXT_ID, False)
        ids[node] = int(node) if _INTEGER.match(node) and not is_text else node
        graph.add_node(ids[node])
        graph.nodes[ids[node]].update(own)
    edges: Any = ((ids[u], ids[v], key, {**of_edge, **own}) for u, v, key, own in pieces.edges(raw))
    graph.add_edges_from(edges if multi else ((u, v, own) for u, v, _, own in edges))
    return graph


def _given_id(text: str | None) -> str:
    if text is None:
        raise FormatError("a node or an end of an edge has no id")
    return text


def _id(node: object) -> str:
    if isinstance(node, bool) or not isinstance(node, (str, SupportsIndex)):
        raise FormatError(f"id {node!r} is of type {type(node).__name__}; GraphML ids are integers or text")
    if isinstance(node, str) and _FORBIDDEN.search(node):
        raise FormatError(f"id {node!r} has a control character, which XML cannot hold; rename it")
    return node if isinstance(node, str) else str(node.__index__())


def _fields(
    scope: str, attributes: Mapping[str, Any], keys: dict[tuple[str, str, str], str], where: str
) -> Iterator[str]:
    for name, value in pieces.plain(attributes).items():
        kind = _TYPES.get(type(value))
        if kind is None or not isinstance(name, str):
            raise FormatError(
                f"{where}: attribute {name!r} (={value!r}) is of type {type(value).__name__}; "
                "GraphML holds text, numbers and truth values"
            )
        if kind == "string" and _FORBIDDEN.search(value):
            raise FormatError(f"{where}: attribute {name!r} (={value!r}) has a control character")
        key = keys.setdefault((scope, name, kind), f"d{len(keys)}")
        shown = str(value).lower() if kind == "boolean" else str(value)
        yield f'<data key="{key}">{escape(shown)}</data>'
