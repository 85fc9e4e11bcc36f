"""What the nodes and edges of a graph say, as arrays.

Each function reads one thing for all nodes or edges at once and refuses what breaks
the graph contract; which fault that is, and where, `topologies.check` finds out.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Mapping, Sequence
from itertools import chain, compress
from operator import itemgetter
from typing import Any, NoReturn

import networkx as nx
import numpy as np
import numpy.typing as npt

from sim.schedule import FloatArray, IntArray
from topologies import graph as contract
from topologies.errors import TopologyError

__all__ = [
    "EDGE_DEFAULTS", "INTEGERS", "KINDS", "NODE_DEFAULTS", "check_top", "columns", "coordinates",
    "efficiencies", "ends", "integers", "kinds", "numbers", "refuse", "reverse", "tiers",
]  # fmt: skip

Ints = npt.NDArray[np.int32]

#: Node kinds in the order of their codes in `Fabric.kind`.
KINDS = ("chip", "switch", "nic", "host")

#: Whole numbers that nodes may carry.
INTEGERS = ("level", "host", "domain", "rail", "pod")

#: What nodes may carry besides; None where one does not.
NODE_DEFAULTS = dict.fromkeys(("kind", *INTEGERS))

#: What edges may carry, and what one that does not carry it means; None: it must.
EDGE_DEFAULTS = {"bandwidth": None, "latency": None, "tier": "link", "efficiency": 1.0}

#: Nodes or edges whose attributes are read in one go: half a megabyte of dicts.
PIECE = 2048


def refuse(graph: nx.Graph[Any]) -> NoReturn:
    """Let the contract name the fault that the array checks have found."""
    contract.check(graph)
    raise TopologyError(f"{graph!r} breaks the graph contract in a way that check() does not name")


def check_top(graph: nx.Graph[Any], levels: Sequence[Any]) -> None:
    """Refuse what the graph as a whole says of itself, with its nodes' levels, if it makes no sense."""
    top = graph.graph
    texts = [top.get(key) for key in ("name", "library", "routing", "domain_routing")]
    unlevelled = top.get("routing") == "up_down" and any(level is None for level in levels)
    placed = "dimension_order" in (top.get("routing"), top.get("domain_routing"))
    unknown = any(name is not None and name not in contract.ROUTINGS for name in texts[2:])
    if unlevelled or placed or unknown or not all(text is None or isinstance(text, str) for text in texts):
        contract.check(graph, among=())


def kinds(graph: nx.Graph[Any], values: list[Any]) -> Ints:
    code = {name: i for i, name in enumerate(KINDS)}
    try:
        kind = np.array([code.get(value, -1) for value in values], dtype=np.int32)
    except TypeError:  # something that cannot be a name at all
        refuse(graph)
    if (kind < 0).any() or not (kind == 0).any():
        refuse(graph)
    return kind


def ends(graph: nx.Graph[Any], index: dict[Hashable, int]) -> tuple[IntArray, IntArray, list[dict[str, Any]]]:
    """Ends and attributes of the edges, in the order of ``graph.edges``."""
    beside = [other for _, other in graph.adjacency()]
    count = np.fromiter(map(len, beside), dtype=np.int64, count=len(beside))
    tail = np.repeat(np.arange(len(beside)), count)
    head = np.fromiter(map(index.__getitem__, chain.from_iterable(beside)), dtype=np.int64, count=tail.size)
    found = list(chain.from_iterable(other.values() for other in beside))
    if graph.is_multigraph():  # a dict of parallel edges each
        parallel = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        tail, head = np.repeat(tail, parallel), np.repeat(head, parallel)
        found = list(chain.from_iterable(one.values() for one in found))
    if not graph.is_directed():  # each stands at both its ends; it counts where it comes first
        once = head >= tail
        tail, head, found = tail[once], head[once], list(compress(found, once.tolist()))
    return tail, head, found


def columns(records: Sequence[dict[str, Any]], defaults: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What each record says under each key, or the key's default.

    Piece by piece: each dict lies elsewhere in memory, and is read for all keys while it
    is in the processor's cache.
    """
    columns: dict[str, list[Any]] = {key: [] for key in defaults}
    for first in range(0, len(records), PIECE):
        piece = records[first : first + PIECE]
        for key, default in defaults.items():
            try:
                columns[key] += map(itemgetter(key), piece)
            except KeyError:
                columns[key][first:] = [one.get(key, default) for one in piece]
    return columns


def numbers(graph: nx.Graph[Any], edges: Sequence[dict[str, Any]], key: str, values: list[Any]) -> FloatArray:
    try:
        kinds = set(map(type, values))
        if bool in kinds:
            refuse(graph)
        if str in kinds or type(None) in kinds:  # numpy would take "3" for a number; it has no unit
            raise ValueError("text, or nothing")
        return np.array(values, dtype=np.float64).reshape(len(edges))
    except (TypeError, ValueError):
        # Text with units, or a fault: the contract reads the one and names the other.
        contract.check(graph, among=())
        read = contract.link_bandwidth if key == "bandwidth" else contract.link_latency
        return np.fromiter((read(e, "an edge") for e in edges), dtype=np.float64, count=len(edges))


def tiers(graph: nx.Graph[Any], values: list[Any]) -> tuple[tuple[str, ...], Ints]:
    try:
        code = {name: i for i, name in enumerate(dict.fromkeys(values))}
    except TypeError:
        refuse(graph)
    if not all(isinstance(name, str) for name in code):
        refuse(graph)
    tier = np.fromiter(map(code.__getitem__, values), dtype=np.int32, count=len(values))
    return tuple(code) or ("link",), tier


def efficiencies(graph: nx.Graph[Any], values: list[Any]) -> FloatArray:
    try:
        if {bool, str} & set(map(type, values)):
            refuse(graph)
        found = np.array(values, dtype=np.float64).reshape(len(values))
    except (TypeError, ValueError):
        refuse(graph)
    if not ((found > 0) & (found <= 1)).all():
        refuse(graph)
    return found


def integers(graph: nx.Graph[Any], values: list[Any]) -> Ints:
    """Whole numbers, -1 where an attribute is not there, or there and says nothing (None)."""
    kinds = set(map(type, values))
    try:
        if kinds <= {type(None)}:
            return np.full(len(values), -1, dtype=np.int32)
        if kinds == {int}:
            return np.array(values, dtype=np.int32)
        if kinds == {int, type(None)}:
            return np.array([-1 if v is None else v for v in values], dtype=np.int32)
        return np.fromiter(
            (-1 if v is None else operator.index(v) for v in values), dtype=np.int32, count=len(values)
        )
    except (TypeError, OverflowError):
        refuse(graph)


def coordinates(
    graph: nx.Graph[Any], attributes: Sequence[dict[str, Any]]
) -> tuple[tuple[int, ...], tuple[bool, ...], Ints]:
    text = graph.graph.get("dims")
    if not text:
        return (), (), np.zeros((len(attributes), 0), dtype=np.int32)
    try:
        dims = tuple(int(d) for d in str(text).split("x"))
    except ValueError:
        refuse(graph)
    wrap_text = str(graph.graph.get("wrap", "x".join("0" for _ in dims)))
    wrap = tuple(w == "1" for w in wrap_text.split("x"))
    place = np.full((len(attributes), len(dims)), -1, dtype=np.int32)
    for i, a in enumerate(attributes):
        if "coord" in a:
            where = [int(c) for c in str(a["coord"]).split(",")]
            if len(where) != len(dims) or not all(0 <= c < d for c, d in zip(where, dims, strict=True)):
                raise TopologyError(f"node {i}: coord {a['coord']!r} is not a place in dims {text!r}")
            place[i] = where
    return dims, wrap, place


def reverse(tail: IntArray, head: IntArray) -> Ints:
    first: dict[tuple[int, int], int] = {}
    for l, (t, h) in enumerate(zip(tail.tolist(), head.tolist(), strict=True)):
        first.setdefault((t, h), l)
    return np.array(
        [first.get((h, t), -1) for t, h in zip(tail.tolist(), head.tolist(), strict=True)], dtype=np.int32
    )
