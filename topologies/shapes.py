"""Regular shapes: rings, meshes, tori, hypercubes, full meshes, HyperX, one switch.

Chips are the nodes 0 to p - 1 in rank order; switches are named ``switch0``,
``switch1``, ... Bandwidth is that of one direction of a link; numbers count
bytes/s and seconds, text carries its unit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import networkx as nx

from topologies import units
from topologies.errors import TopologyError
from topologies.graph import count, empty, fits, per_tier

__all__ = ["full_mesh", "hypercube", "hyperx", "mesh", "ring", "switch", "torus"]

Value = float | str
Values = Value | Sequence[Value]
Dims = int | str | Sequence[int]
Pairs = Iterable[tuple[Any, Any]]


def ring(chips: int, *, bandwidth: Value, latency: Value, tier: str = "link") -> nx.Graph[Any]:
    """Join each chip with the next, and the last with the first.

    Parameters
    ----------
    chips : int
        Two chips share one edge; one chip has none.
    bandwidth : number or str
        Bytes/s of each link.
    latency : number or str
        Seconds of each link.
    tier : str
        Name of the links' kind.

    Returns
    -------
    networkx.Graph

    Raises
    ------
    TopologyError
        If `chips` is no integer >= 1.
    UnitError
        If `bandwidth` or `latency` cannot be read.

    Examples
    --------
    >>> ring(4, bandwidth="50 GB/s", latency="1 us").number_of_edges()
    4
    """
    p = count(chips, "ring: chips")
    graph = empty(f"ring-{p}", p)
    pairs = [(i, (i + 1) % p) for i in range(p if p > 2 else p - 1)]
    return _join(graph, "ring", pairs, bandwidth, latency, tier)


def full_mesh(chips: int, *, bandwidth: Value, latency: Value, tier: str = "link") -> nx.Graph[Any]:
    """Join every chip with every other by a link of its own.

    Takes, gives and raises what `ring` does; `bandwidth` is that of one link, so a
    chip has ``chips - 1`` times as much.
    """
    p = count(chips, "full_mesh: chips")
    fits(f"full-mesh-{p}", p, p * (p - 1) // 2)
    graph = empty(f"full-mesh-{p}", p)
    return _join(graph, "full_mesh", itertools.combinations(range(p), 2), bandwidth, latency, tier)


def switch(chips: int, *, bandwidth: Value, latency: Value, tier: str = "link") -> nx.Graph[Any]:
    """Join all chips by one switch that never blocks.

    Takes, gives and raises what `ring` does; a path between two chips has two
    links, so twice the latency.
    """
    p = count(chips, "switch: chips")
    graph = empty(f"switch-{p}", p, level=0, routing="up_down")
    graph.add_node("switch0", kind="switch", level=1)
    return _join(graph, "switch", ((i, "switch0") for i in range(p)), bandwidth, latency, tier)


def mesh(dims: Dims, *, bandwidth: Values, latency: Values, tier: str = "link") -> nx.Graph[Any]:
    """Join the neighbours of a grid, without links round the ends.

    Takes, gives and raises what `torus` does.

    Examples
    --------
    >>> mesh((2, 3), bandwidth="50 GB/s", latency="1 us").number_of_edges()
    7
    """
    shape = _shape(dims, "mesh")
    return _grid(shape, [False] * len(shape), "mesh", bandwidth, latency, tier)


def torus(
    dims: Dims,
    *,
    bandwidth: Values,
    latency: Values,
    tier: str = "link",
    wrap: Sequence[bool] | None = None,
) -> nx.Graph[Any]:
    """Join the neighbours of a grid, and its ends with each other.

    Ranks run through the places with the last dimension fastest. Along a
    dimension of two chips there is one edge, not two.

    Parameters
    ----------
    dims : sequence of int, or str
        Chips along each dimension, such as ``(4, 4, 4)`` or ``"4x4x4"``.
    bandwidth, latency : number or str, or one for each dimension
        Bytes/s and seconds of each link.
    tier : str
        Name of the links' kind.
    wrap : sequence of bool, optional
        Which dimensions close to rings; all if not given.

    Returns
    -------
    networkx.Graph
        With ``coord`` on the chips, ``dims`` and ``wrap`` on the graph, routed by
        ``dimension_order``.

    Raises
    ------
    TopologyError
        If `dims` are no integers >= 1, or `wrap` has another length.
    UnitError
        If `bandwidth` or `latency` cannot be read.

    Examples
    --------
    >>> g = torus((4, 4, 2), bandwidth="50 GB/s", latency="1 us")
    >>> g.number_of_edges(), g.graph["dims"], g.graph["wrap"], g.nodes[31]["coord"]
    (80, '4x4x2', '1x1x0', '3,3,1')
    """
    shape = _shape(dims, "torus")
    closed = [True] * len(shape) if wrap is None else [bool(w) for w in wrap]
    if len(closed) != len(shape):
        raise TopologyError(f"torus: wrap (={wrap!r}) must have a value for each of dims {dims!r}")
    return _grid(shape, closed, "torus", bandwidth, latency, tier)


def hypercube(chips: int, *, bandwidth: Values, latency: Values, tier: str = "link") -> nx.Graph[Any]:
    """Join the chips whose numbers differ in one bit.

    Routed dimension by dimension (e-cube routing: Dally and Seitz, IEEE Trans.
    Computers C-36, 1987).

    Parameters
    ----------
    chips : int
        A power of two.
    bandwidth, latency : number or str, or one for each dimension
        The first dimension is the highest bit.
    tier : str
        Name of the links' kind.

    Returns
    -------
    networkx.Graph

    Raises
    ------
    TopologyError
        If `chips` is no power of two.
    UnitError
        If `bandwidth` or `latency` cannot be read.
    """
    p = count(chips, "hypercube: chips")
    if p & (p - 1):
        lower = 1 << (p.bit_length() - 1)
        raise TopologyError(f"hypercube: chips (={p}) must be a power of two; take {lower} or {2 * lower}")
    shape = (2,) * (p.bit_length() - 1) or (1,)
    graph = _grid(shape, [False] * len(shape), "hypercube", bandwidth, latency, tier)
    graph.graph["name"] = f"hypercube-{p}"
    return graph


def hyperx(
    dims: Dims,
    *,
    bandwidth: Values,
    latency: Values,
    chips_per_switch: int | None = 1,
    tier: str = "link",
) -> nx.Graph[Any]:
    """Put switches on a grid and join each with all others of its rows.

    Source: Ahn et al., "HyperX: topology, routing, and packaging of efficient
    large-scale networks", SC 2009.

    Parameters
    ----------
    dims : sequence of int, or str
        Switches along each dimension.
    bandwidth, latency : number or str, or two of them
        One for all links, or one for chip to switch and one for switch to switch.
    chips_per_switch : int or None
        Chips on each switch. None puts the chips themselves on the grid (a full
        mesh in every dimension).
    tier : str
        Name of the switches' links; those to the chips have tier ``access``.

    Returns
    -------
    networkx.Graph

    Raises
    ------
    TopologyError
        If `dims` or `chips_per_switch` are no integers >= 1.
    UnitError
        If `bandwidth` or `latency` cannot be read.

    Examples
    --------
    >>> g = hyperx((3, 3), chips_per_switch=2, bandwidth="50 GB/s", latency="1 us")
    >>> g.number_of_nodes(), g.number_of_edges()
    (27, 36)
    """
    shape = _shape(dims, "hyperx")
    each = 0 if chips_per_switch is None else count(chips_per_switch, "hyperx: chips_per_switch")
    grid = math.prod(shape)
    fits("hyperx-" + "x".join(map(str, shape)), grid * max(1, each), grid * sum(d - 1 for d in shape) // 2)
    places = list(itertools.product(*(range(d) for d in shape)))
    rates = per_tier(bandwidth, 2, units.bandwidth, "hyperx: bandwidth")
    times = per_tier(latency, 2, units.duration, "hyperx: latency")
    name = "hyperx-" + "x".join(map(str, shape)) + (f"-{each}" if each else "")
    graph = empty(name, each * len(places) or len(places))
    # Coordinates go to what stands on the grid; dims would promise dimension order.
    on_grid = [f"switch{i}" if each else i for i in range(len(places))]
    graph.add_nodes_from(
        (node, {"kind": "switch" if each else "chip", "coord": ",".join(map(str, place))})
        for node, place in zip(on_grid, places, strict=True)
    )
    access = ((s * each + c, node) for s, node in enumerate(on_grid) for c in range(each))
    graph.add_edges_from(access, bandwidth=rates[0], latency=times[0], tier="access")
    rows = (
        (on_grid[i], on_grid[i + (other - place[axis]) * stride])
        for axis, stride in enumerate(_strides(shape))
        for i, place in enumerate(places)
        for other in range(place[axis] + 1, shape[axis])
    )
    graph.add_edges_from(rows, bandwidth=rates[1], latency=times[1], tier=tier)
    return graph


def _join(
    graph: nx.Graph[Any], what: str, pairs: Pairs, bandwidth: Value, latency: Value, tier: str
) -> nx.Graph[Any]:
    rate = units.bandwidth(bandwidth, name=f"{what}: bandwidth")
    time = units.duration(latency, name=f"{what}: latency")
    graph.add_edges_from(pairs, bandwidth=rate, latency=time, tier=tier)
    return graph


def _shape(dims: Dims, what: str) -> tuple[int, ...]:
    parts: Sequence[object]
    if isinstance(dims, str):
        parts = [int(d) if d.strip().isdecimal() else d for d in dims.split("x")]
    elif isinstance(dims, Iterable):
        parts = list(dims)
    else:
        parts = [dims]
    if not parts:
        raise TopologyError(f"{what}: dims (={dims!r}) is empty; give a length for each dimension")
    return tuple(count(d, f"{what}: dims[{i}]") for i, d in enumerate(parts))


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Difference of the numbers of neighbours along each dimension."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _grid(
    shape: tuple[int, ...], wrap: list[bool], what: str, bandwidth: Values, latency: Values, tier: str
) -> nx.Graph[Any]:
    closed = [w and d > 2 for w, d in zip(wrap, shape, strict=True)]
    text = "x".join(map(str, shape))
    wraps = "x".join("1" if c else "0" for c in closed)
    fits(f"{what}-{text}", math.prod(shape))
    graph = empty(f"{what}-{text}", 0, dims=text, wrap=wraps, routing="dimension_order")
    places = itertools.product(*(range(d) for d in shape))
    graph.add_nodes_from((i, {"kind": "chip", "coord": ",".join(map(str, p))}) for i, p in enumerate(places))
    rates = per_tier(bandwidth, len(shape), units.bandwidth, f"{what}: bandwidth")
    times = per_tier(latency, len(shape), units.duration, f"{what}: latency")
    for axis, stride in enumerate(_strides(shape)):
        d = shape[axis]
        last = (d - 1) * stride
        pairs = [(i, i + stride) for i in range(math.prod(shape)) if i // stride % d < d - 1]
        if closed[axis]:
            pairs += [(i + last, i) for i in range(math.prod(shape)) if i // stride % d == 0]
        graph.add_edges_from(pairs, bandwidth=rates[axis], latency=times[axis], tier=tier)
    return graph
