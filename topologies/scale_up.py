"""Scale-up domains of a machine: the links that chips have among themselves.

Chips ``0 .. n - 1`` stand in the graph already, with their domain; the functions
here join those of each domain. The last domain may be partly filled: it has the
first chips and what they are attached to.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import networkx as nx

from topologies.errors import MachineError
from topologies.laying import lay, place

if TYPE_CHECKING:
    from topologies.description import ClosDomain, Link, MachineDescription, TorusDomain

__all__ = ["allowed_slices", "attributes_of", "join_domains", "slice_shape", "wrapped"]


def attributes_of(link: Link, estimate: str) -> dict[str, Any]:
    """Edge attributes of a kind of link at an estimate."""
    found: dict[str, Any] = {
        "bandwidth": link.bandwidth.at(estimate),
        "latency": link.latency.at(estimate),
        "tier": link.tier,
    }
    if link.efficiency is not None:
        found["efficiency"] = link.efficiency.at(estimate)
    return found


def join_domains(graph: nx.Graph[Any], machine: MachineDescription, chips: int, estimate: str) -> str:
    """Join the chips of each domain; tori are built by `slice_shape` instead.

    Returns
    -------
    str
        The routing inside a domain.
    """
    domain = machine.scale_up
    size = domain.chips.value
    link = attributes_of(domain.link, estimate)
    spans = [(d, range(first, min(first + size, chips))) for d, first in enumerate(range(0, chips, size))]
    if domain.shape == "switch":
        hosts = machine.host.chips.value
        for d, span in spans:
            graph.add_node(f"up{d}", kind="switch", level=1, domain=d)
            if size <= hosts:
                graph.nodes[f"up{d}"]["host"] = span[0] // hosts
        lay(graph, ((c, f"up{d}") for d, span in spans for c in span), link)
        return "up_down"
    if domain.shape == "clos":
        for d, span in spans:
            _join_clos(graph, domain, d, span, machine.host.chips.value, estimate)
        return "up_down"
    if domain.shape == "full_mesh":
        lay(graph, (pair for _, span in spans for pair in itertools.combinations(span, 2)), link)
    elif domain.shape == "links":
        graph.add_edges_from(_wires(domain.pairs(), spans, link))
    return "shortest"


def _wires(
    pairs: dict[tuple[int, int], int], spans: list[tuple[int, range]], link: dict[str, Any]
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Edges of a link map; links between the same two chips are one edge of their sum."""
    for _, span in spans:
        for (a, b), times in pairs.items():
            if b < len(span):
                yield span[a], span[b], {**link, "bandwidth": times * link["bandwidth"]}


def _join_clos(
    graph: nx.Graph[Any], domain: ClosDomain, d: int, span: range, per_host: int, estimate: str
) -> None:
    """Two tiers in planes; no spines where one leaf of each plane holds all chips."""
    per_leaf, planes = domain.per_leaf.value, domain.planes.value
    leaves = -(-len(span) // per_leaf)
    name = [[f"up{d}.{leaf}.{plane}" for plane in range(planes)] for leaf in range(leaves)]
    where: dict[str, Any] = {"kind": "switch", "level": 1, "domain": d}
    at_host = per_leaf == per_host
    place(
        graph,
        (
            (n, {**where, "host": (span[0] + i * per_leaf) // per_host} if at_host else where.copy())
            for i, row in enumerate(name)
            for n in row
        ),
    )
    lay(
        graph,
        ((c, leaf) for i, c in enumerate(span) for leaf in name[i // per_leaf]),
        attributes_of(domain.link, estimate),
    )
    if leaves == 1:
        return
    spines = [[f"up{d}.s{plane}.{j}" for j in range(domain.spines.value)] for plane in range(planes)]
    place(graph, ((s, {"kind": "switch", "level": 2, "domain": d}) for row in spines for s in row))
    lay(
        graph,
        ((leaf, s) for row in name for leaf, above in zip(row, spines, strict=True) for s in above),
        attributes_of(domain.uplink, estimate),
    )


def allowed_slices(torus: TorusDomain) -> dict[int, tuple[int, ...]]:
    """Shape of the slice for each number of chips that has one.

    Of several shapes with the same number of chips, the one nearest to a cube.

    Examples
    --------
    >>> from topologies.machines import describe
    >>> shapes = allowed_slices(describe("tpu-v4").scale_up)
    >>> shapes[8], shapes[128], shapes[1024], max(shapes)
    ((2, 2, 2), (4, 4, 8), (8, 8, 16), 4096)
    """
    limits, block = torus.limits(), torus.block.value
    lengths = [[n for n in range(1, axis + 1) if block % n == 0 or n % block == 0] for axis in limits]
    found: dict[int, tuple[int, ...]] = {}
    for shape in itertools.product(*lengths):
        if list(shape) != sorted(shape) or (max(shape) > block and any(n % block for n in shape)):
            continue
        chips = math.prod(shape)
        if chips not in found or sum(shape) < sum(found[chips]):
            found[chips] = shape
    return dict(sorted(found.items()))


def slice_shape(machine: MachineDescription, torus: TorusDomain, chips: int) -> tuple[int, ...]:
    """Shape of the slice for a number of chips.

    Raises
    ------
    MachineError
        If there is none, with the nearest numbers that have one.
    """
    shapes = allowed_slices(torus)
    if chips not in shapes:
        below = max((n for n in shapes if n < chips), default=None)
        above = min((n for n in shapes if n > chips), default=None)
        near = " or ".join(str(n) for n in (below, above) if n is not None)
        raise MachineError(f"{machine.name}: no slice of {chips} chips; the nearest are {near}")
    return shapes[chips]


def wrapped(torus: TorusDomain, shape: tuple[int, ...]) -> list[bool]:
    """Which axes of a slice close to rings."""
    block = torus.block.value
    if torus.wrap == "whole_blocks":
        return [all(n % block == 0 for n in shape)] * len(shape)
    return [n % block == 0 for n in shape]
