"""The graph contract, checked: what docs/design.md demands of every graph.

`check` raises the first fault, `faults` lists all of them; both name the node
or the link, the value, and what to do.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import networkx as nx

from topologies import units
from topologies.errors import TopologyError, UnitError
from topologies.memory import require

__all__ = [
    "KINDS",
    "ROUTINGS",
    "check",
    "chips",
    "count",
    "empty",
    "faults",
    "fits",
    "link_bandwidth",
    "link_latency",
    "per_tier",
]

#: What a node can be.
KINDS = ("chip", "switch", "nic", "host")

#: Values of the graph attributes ``routing`` and ``domain_routing``. ``minimal`` is
#: for dragonflies: fewest links between pods, then fewest in all; ``ecmp`` is
#: ``shortest`` by the name that Ethernet uses.
ROUTINGS = ("up_down", "dimension_order", "shortest", "minimal", "ecmp")

#: Memory of a chip with its share of switches and links in networkx: measured at
#: 1.3 kB on three-tier fat trees of 65,536 and 262,144 chips.
CHIP_BYTES = 1300

#: Memory of a link in networkx: measured at 290 bytes on a full mesh of 1,500 chips.
LINK_BYTES = 290

#: Numbers of hosts, levels and so on are kept as 32-bit integers.
LARGEST = 2**31

_INTEGERS = ("level", "host", "domain", "rail", "pod")


def check(graph: nx.Graph[Any], *, among: Sequence[Hashable] | None = None) -> None:
    """Raise the first fault of a graph, if it has one.

    Parameters
    ----------
    graph : networkx graph
        Directed or not, with or without parallel edges.
    among : sequence of nodes, optional
        The chips that take part and must reach each other; all if not given.

    Raises
    ------
    TopologyError
        Naming the node or the link, the value, and what to do.

    Examples
    --------
    >>> g = nx.Graph()
    >>> g.add_nodes_from([0, 1], kind="chip")
    >>> g.add_edge(0, 1, bandwidth="400 Gbit/s", latency=1e-6)
    >>> check(g)
    >>> g.nodes[1]["kind"] = "chips"
    >>> check(g)
    Traceback (most recent call last):
    topologies.errors.TopologyError: node 1: unknown kind 'chips'; did you mean 'chip'?
    """
    for fault in _faults(graph, among):
        raise TopologyError(fault)


def faults(graph: nx.Graph[Any]) -> list[str]:
    """All faults of a graph, one line each; empty if it keeps the contract.

    Parameters
    ----------
    graph : networkx graph

    Returns
    -------
    list of str
    """
    return list(_faults(graph, None))


def chips(graph: nx.Graph[Any]) -> list[Hashable]:
    """The chips of a graph in rank order, which is their order in the graph.

    Parameters
    ----------
    graph : networkx graph

    Returns
    -------
    list of nodes
    """
    return [node for node, attributes in graph.nodes(data=True) if attributes.get("kind") == "chip"]


def link_bandwidth(attributes: Mapping[str, Any], where: str) -> float:
    """Bandwidth of a link in bytes/s, from a number or text with a unit.

    Parameters
    ----------
    attributes : mapping
        The attributes of the edge.
    where : str
        The link, for the message.

    Raises
    ------
    TopologyError
        If the bandwidth is missing or not > 0.
    """
    value = attributes.get("bandwidth")
    if type(value) is float and 0.0 < value < math.inf:
        return value
    if value is None:
        raise TopologyError(f"{where}: no bandwidth; give it in bytes/s or with a unit, as in '400 Gbit/s'")
    try:
        return units.bandwidth(value)
    except UnitError as error:
        raise TopologyError(f"{where}: {error}") from error


def link_latency(attributes: Mapping[str, Any], where: str) -> float:
    """Latency of a link in seconds, from a number or text with a unit.

    Parameters
    ----------
    attributes : mapping
        The attributes of the edge.
    where : str
        The link, for the message.

    Raises
    ------
    TopologyError
        If the latency is missing or not >= 0.
    """
    value = attributes.get("latency")
    if type(value) is float and 0.0 <= value < math.inf:
        return value
    if value is None:
        raise TopologyError(f"{where}: no latency; give it in seconds or with a unit, as in '500 ns'")
    try:
        return units.duration(value, name="latency")
    except UnitError as error:
        raise TopologyError(f"{where}: {error}") from error


def empty(name: str, chips: int, *, level: int | None = None, **attributes: str) -> nx.Graph[Any]:
    """Begin a graph: the chips 0 to ``chips - 1``, not joined yet.

    Parameters
    ----------
    name : str
    chips : int
    level : int, optional
        ``level`` of the chips.
    **attributes : str
        Further attributes of the graph, such as ``routing``.

    Returns
    -------
    networkx.Graph
    """
    fits(name, chips)
    graph: nx.Graph[Any] = nx.Graph()
    graph.graph.update(name=name, **attributes)
    if level is None:
        graph.add_nodes_from(range(chips), kind="chip")
    else:
        graph.add_nodes_from(range(chips), kind="chip", level=level)
    return graph


def fits(name: str, chips: int, links: int = 0) -> None:
    """Refuse a graph that would not fit into memory, before it is built.

    Parameters
    ----------
    name : str
    chips : int
    links : int
        Links beyond the few that a chip has on a fat tree.

    Raises
    ------
    CapacityError
        With the memory it would need.

    Examples
    --------
    >>> fits("ring-8", 8)
    """
    require(chips * CHIP_BYTES + links * LINK_BYTES, f"{name} as a networkx graph; take fewer chips")


def count(value: object, name: str, *, least: int = 1) -> int:
    """Read a whole number of things, such as chips or spines.

    Raises
    ------
    TopologyError
        If `value` is no integer >= `least`.

    Examples
    --------
    >>> count(0, "ring: chips")
    Traceback (most recent call last):
    topologies.errors.TopologyError: ring: chips (=0) must be an integer >= 1
    """
    whole = getattr(value, "__index__", None)
    if isinstance(value, bool) or whole is None or whole() < least:
        raise TopologyError(f"{name} (={value!r}) must be an integer >= {least}")
    return int(whole())


def per_tier(value: object, tiers: int, read: Callable[..., float], name: str) -> list[float]:
    """Read one value for all tiers, or a list of one value for each.

    Parameters
    ----------
    value : number, str, or sequence of them
    tiers : int
        How many values to give back.
    read : callable
        ``read(x, name=...)`` such as `units.bandwidth`.
    name : str
        What the values are, for the message.

    Raises
    ------
    TopologyError
        If there are fewer or more values than tiers.
    UnitError
        If a value cannot be read.

    Examples
    --------
    >>> per_tier("50 GB/s", 2, units.bandwidth, "bandwidth")
    [50000000000.0, 50000000000.0]
    >>> per_tier(["50 GB/s", 1e9], 2, units.bandwidth, "bandwidth")
    [50000000000.0, 1000000000.0]
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != tiers:
            raise TopologyError(
                f"{name} (={value!r}) has {len(value)} values; give one, or one for each of {tiers}"
            )
        return [read(v, name=f"{name}[{i}]") for i, v in enumerate(value)]
    return [read(value, name=name)] * tiers


def _faults(graph: object, among: Sequence[Hashable] | None) -> Iterator[str]:
    if not isinstance(graph, nx.Graph):
        shown = type(graph).__name__
        yield f"a topology must be a networkx graph, not {shown}; topologies.read gives one from a file"
        return
    yield from _node_faults(graph)
    yield from _edge_faults(graph)
    yield from _routing_faults(graph)
    ranks = chips(graph)
    if not ranks:
        yield f"{_name(graph)}: no chips; give the nodes that compute kind='chip'"
        return
    taking_part = ranks if among is None else list(among)
    if taking_part:
        yield from _reach_faults(graph, taking_part)


def _name(graph: nx.Graph[Any]) -> str:
    return f"graph {graph.graph['name']!r}" if graph.graph.get("name") else "graph"


def _node_faults(graph: nx.Graph[Any]) -> Iterator[str]:
    for node, attributes in graph.nodes(data=True):
        kind = attributes.get("kind")
        if kind is None:
            yield f"node {node!r}: no kind; give it one of {', '.join(KINDS)}"
        elif not isinstance(kind, str) or kind not in KINDS:
            close = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.0)
            yield f"node {node!r}: unknown kind {kind!r}; did you mean {close[0]!r}?"
        for key in _INTEGERS:
            value = attributes.get(key)
            if value is not None and type(value) is not int and not _is_index(value):
                yield f"node {node!r}: {key} (={value!r}) must be an integer"
            elif value is not None and not -LARGEST <= value < LARGEST:
                yield f"node {node!r}: {key} (={value!r}) must be below 2**31"


def _is_index(value: object) -> bool:
    """Whether a value is an integer of another type than int, such as numpy's."""
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _edge_faults(graph: nx.Graph[Any]) -> Iterator[str]:
    join = "->" if graph.is_directed() else "-"
    for tail, head, attributes in graph.edges(data=True):
        bandwidth, latency = attributes.get("bandwidth"), attributes.get("latency")
        if (
            type(bandwidth) is float
            and type(latency) is float
            and 0.0 < bandwidth < math.inf
            and 0.0 <= latency < math.inf
            and tail != head
            and "efficiency" not in attributes
            and type(attributes.get("tier", "link")) is str
        ):
            continue
        where = f"link {tail!r} {join} {head!r}"
        if tail == head:
            yield f"{where}: joins a node with itself; remove it"
        for read in (link_bandwidth, link_latency):
            try:
                read(attributes, where)
            except TopologyError as error:
                yield str(error)
        tier = attributes.get("tier", "link")
        if not isinstance(tier, str):
            yield f"{where}: tier (={tier!r}) must be text, the name of the link's kind"
        efficiency = attributes.get("efficiency", 1.0)
        if isinstance(efficiency, bool) or not isinstance(efficiency, Real) or not 0 < float(efficiency) <= 1:
            yield f"{where}: efficiency (={efficiency!r}) must be a number > 0 and <= 1"


def _routing_faults(graph: nx.Graph[Any]) -> Iterator[str]:
    for key in ("name", "library"):
        text = graph.graph.get(key)
        if text is not None and not isinstance(text, str):
            yield f"graph: {key} (={text!r}) must be text"
    for key in ("routing", "domain_routing"):
        name = graph.graph.get(key, "shortest")
        if not isinstance(name, str) or name not in ROUTINGS:
            yield f"{_name(graph)}: unknown {key} {name!r}; take one of {', '.join(ROUTINGS)}"
    if graph.graph.get("routing") == "up_down":
        for node, attributes in graph.nodes(data=True):
            if attributes.get("level") is None:
                yield f"node {node!r}: no level; routing 'up_down' takes 0 on chips, more on each tier above"
    if "dimension_order" in (graph.graph.get("routing"), graph.graph.get("domain_routing")):
        yield from _place_faults(graph)
    elif graph.graph.get("dims"):
        yield from _shape_faults(graph)


def _shape_faults(graph: nx.Graph[Any]) -> Iterator[str]:
    text = str(graph.graph.get("dims", ""))
    parts = text.split("x")
    if not all(p.isdecimal() and int(p) > 0 for p in parts):
        yield f"{_name(graph)}: dims {text!r} is no shape; routing 'dimension_order' needs one, as '4x4x2'"
        return
    if math.prod(map(int, parts)) > LARGEST:
        yield f"{_name(graph)}: dims {text!r} has more than 2**31 places; write the shape the chips fill"
    wrap = str(graph.graph.get("wrap", "x".join("0" * len(parts)))).split("x")
    if len(wrap) != len(parts) or not set(wrap) <= {"0", "1"}:
        shown = graph.graph["wrap"]
        yield f"{_name(graph)}: wrap {shown!r} does not fit dims {text!r}; write a 0 or 1 for each dimension"


def _place_faults(graph: nx.Graph[Any]) -> Iterator[str]:
    faults = list(_shape_faults(graph))
    yield from faults
    text = str(graph.graph.get("dims", ""))
    dims = [int(p) for p in text.split("x")] if not faults else []
    if not dims:
        return
    seen: dict[tuple[int, ...], Hashable] = {}
    for node in chips(graph):
        coord = str(graph.nodes[node].get("coord", ""))
        place = tuple(int(c) for c in coord.split(",")) if coord.replace(",", "").isdecimal() else ()
        if len(place) != len(dims) or any(c >= d for c, d in zip(place, dims, strict=True)):
            yield f"node {node!r}: coord {coord!r} is no place in dims {text!r}"
        elif seen.setdefault(place, node) != node:
            yield f"node {node!r}: coord {coord!r} is taken by node {seen[place]!r}"


def _reach_faults(graph: nx.Graph[Any], ranks: list[Hashable]) -> Iterator[str]:
    # Every chip reaches every other exactly if the first reaches all and all reach the first.
    first = ranks[0]
    reached = _reached(graph.adj, first)
    for chip in ranks:
        if chip not in reached:
            yield f"chip {first!r} cannot reach chip {chip!r}; join them by links"
    if isinstance(graph, nx.DiGraph):
        reached = _reached(graph.pred, first)
        for chip in ranks:
            if chip not in reached:
                yield f"chip {chip!r} cannot reach chip {first!r}; join them by links"


def _reached(neighbours: Mapping[Hashable, Mapping[Hashable, Any]], first: Hashable) -> set[Hashable]:
    # networkx's views cost a function call a look-up; the dicts behind them do not.
    plain = getattr(neighbours, "_atlas", neighbours)
    seen = {first}
    frontier = [first]
    while frontier:
        found: list[Hashable] = []
        for node in frontier:
            fresh = [n for n in plain[node] if n not in seen]
            seen.update(fresh)
            found += fresh
        frontier = found
    return seen
