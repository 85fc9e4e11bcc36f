"""The fabric: a graph compiled to arrays of directed links.

Everything below works on numbers: node i is the i-th node of the graph, link l
goes from ``tail[l]`` to ``head[l]``, rank r sits on node ``rank_nodes[r]``. An
undirected edge becomes two links, one each way, next to each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from sim import graph_arrays as arrays
from sim.clock import LATEST, PS_PER_SECOND
from sim.graph_arrays import KINDS
from sim.schedule import FloatArray, IntArray
from topologies import graph as contract
from topologies.collector import no_collection
from topologies.errors import CapacityError, TopologyError

__all__ = ["KINDS", "Fabric", "compile_fabric"]

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Fabric:
    """A graph as arrays. N nodes, L directed links, p chips.

    Attributes
    ----------
    nodes : list of N node names
    kind, level, host, domain, rail, pod : int32 arrays, shape (N,)
        ``kind`` indexes `KINDS`; the others are -1 where the graph says nothing.
    rank_nodes : int64 array, shape (p,)
        Node of each chip, in the graph's order.
    tail, head, tier : int32 arrays, shape (L,)
        Ends of each link and index into `tiers`.
    bandwidth : float64 array, shape (L,)
        Bytes/s.
    efficiency : float64 array, shape (L,)
        Measured share of `bandwidth` that payload gets; 1 where the graph says nothing.
    latency_ps : int64 array, shape (L,)
    out_start, out_link : int64 (N + 1,) and int32 (L,) arrays
        Links leaving node i are ``out_link[out_start[i]:out_start[i + 1]]``, in the
        order of their heads.
    reverse : int32 array, shape (L,)
        The link the other way of the same edge, or -1.
    coordinates : int32 array, shape (N, d)
        Place in a mesh or torus of shape `dims`, -1 where a node has none.
    notes : dict
        What is worth keeping as long as the fabric lives (estimates of algorithms).
    """

    name: str
    library: str | None
    routing: str
    domain_routing: str
    nodes: list[Hashable]
    index: dict[Hashable, int]
    kind: Ints
    level: Ints
    host: Ints
    domain: Ints
    rail: Ints
    pod: Ints
    rank_nodes: IntArray
    tail: Ints
    head: Ints
    tier: Ints
    tiers: tuple[str, ...]
    bandwidth: FloatArray
    efficiency: FloatArray
    latency_ps: IntArray
    out_start: IntArray
    out_link: Ints
    reverse: Ints
    dims: tuple[int, ...]
    wrap: tuple[bool, ...]
    coordinates: Ints
    attributes: dict[str, Any]
    notes: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def ranks(self) -> int:
        """Number of chips."""
        return int(self.rank_nodes.size)

    @property
    def links(self) -> int:
        """Number of directed links."""
        return int(self.tail.size)

    def injection(self) -> FloatArray:
        """Bytes/s that each chip can send in all, shape (p,)."""
        out = np.bincount(self.tail, weights=self.bandwidth, minlength=len(self.nodes))
        return np.asarray(out[self.rank_nodes], dtype=np.float64)

    def link_between(self, tail: Hashable, head: Hashable) -> list[int]:
        """Links from one node to another (several in a multigraph).

        Raises
        ------
        TopologyError
            If a node or the link does not exist.
        """
        for node in (tail, head):
            if not isinstance(node, Hashable) or node not in self.index:
                raise TopologyError(f"no node {node!r} in {self.name}; see graph.nodes")
        t, h = self.index[tail], self.index[head]
        found = [
            int(l) for l in self.out_link[self.out_start[t] : self.out_start[t + 1]] if self.head[l] == h
        ]
        if not found:
            raise TopologyError(f"no link {tail!r} -> {head!r} in {self.name}; see graph.edges")
        return found

    def groups(self, nodes: IntArray) -> IntArray | None:
        """Group of each rank for two-level algorithms, numbered from 0.

        By scale-up domain, else host, else first switch: the first of these that
        makes several groups of equal size; if none does, the first that makes
        several groups at all, or None.

        Parameters
        ----------
        nodes : int64 array, shape (p,)
            The chips that take part, in rank order.
        """
        key = ("groups", nodes.tobytes())
        if key not in self.notes:
            self.notes[key] = self._groups(nodes)
        return self.notes[key]  # type: ignore[no-any-return]

    def _groups(self, nodes: IntArray) -> IntArray | None:
        uneven = None
        for place in self._places():
            of_rank = place[nodes]
            if (of_rank < 0).any():
                continue
            found = _numbered(of_rank)
            sizes = np.bincount(found)
            if 1 < sizes.size < nodes.size:
                if (sizes == sizes[0]).all():
                    return found
                uneven = found if uneven is None else uneven
        return uneven

    def _places(self) -> Iterable[Ints]:
        """What groups nodes, widest first: domain, host, the only neighbour of a chip."""
        yield self.domain
        yield self.host
        only = np.full(len(self.nodes), -1, dtype=np.int32)
        single = self.rank_nodes[np.diff(self.out_start)[self.rank_nodes] == 1]
        only[single] = self.head[self.out_link[self.out_start[single]]]
        only[single[self.kind[only[single]] == 0]] = -1
        yield only

    def address(self) -> IntArray:
        """Number whose digits choose among equal paths to each chip, shape (N,).

        A chip's index; on rail-optimised fabrics its index in the order (rail,
        index), so that the chips under one leaf have consecutive addresses.
        """
        address = np.zeros(len(self.nodes), dtype=np.int64)
        order = np.arange(self.ranks)
        rail = self.rail[self.rank_nodes]
        if (rail >= 0).any():
            order = np.lexsort((order, rail))
        address[self.rank_nodes[order]] = np.arange(self.ranks)
        return address

    def __repr__(self) -> str:
        return f"<Fabric {self.name}: {self.ranks} chips, {len(self.nodes)} nodes, {self.links} links>"


def compile_fabric(graph: nx.Graph[Any] | Fabric) -> Fabric:
    """Compile a graph to arrays.

    Parameters
    ----------
    graph : networkx graph, or a Fabric (returned as it is)

    Returns
    -------
    Fabric

    Raises
    ------
    TopologyError
        If the graph breaks the graph contract; the fault, the node or the link
        is named.

    Examples
    --------
    >>> import topologies
    >>> compile_fabric(topologies.ring(4, bandwidth="50 GB/s", latency="1 us"))
    <Fabric ring-4: 4 chips, 4 nodes, 8 links>
    """
    if isinstance(graph, Fabric):
        return graph
    given: object = graph
    if not isinstance(given, nx.Graph):
        contract.check(graph, among=())
    with no_collection():
        return _compiled(graph)


def _compiled(graph: nx.Graph[Any]) -> Fabric:
    nodes = list(graph.nodes)
    index: dict[Hashable, int] = {node: i for i, node in enumerate(nodes)}
    attributes = [a for _, a in graph.nodes(data=True)]
    said = arrays.columns(attributes, arrays.NODE_DEFAULTS)
    arrays.check_top(graph, said["level"])
    kind = arrays.kinds(graph, said["kind"])
    tail, head, edges = arrays.ends(graph, index)
    values = arrays.columns(edges, arrays.EDGE_DEFAULTS)
    bandwidth = arrays.numbers(graph, edges, "bandwidth", values["bandwidth"])
    latency = arrays.numbers(graph, edges, "latency", values["latency"])
    if (tail == head).any() or not (bandwidth > 0).all() or not (latency >= 0).all():
        arrays.refuse(graph)
    if not (np.isfinite(bandwidth).all() and np.isfinite(latency).all()):
        arrays.refuse(graph)
    if latency.size and float(latency.max()) * PS_PER_SECOND * len(nodes) > LATEST:
        i = int(np.argmax(latency))
        raise CapacityError(
            f"link {nodes[int(tail[i])]!r} - {nodes[int(head[i])]!r}: a path over latencies of "
            f"{latency[i]:g} s would outlast the 53 days a simulation may last; latencies are in seconds, "
            f"or text with a unit, as in '1.5 us'"
        )
    tiers, tier = arrays.tiers(graph, values["tier"])
    efficiency = arrays.efficiencies(graph, values["efficiency"])
    latency_ps = np.rint(latency * PS_PER_SECOND).astype(np.int64)
    directed = graph.is_directed()
    if not directed:
        # Interleaved, so that the two links of an edge are neighbours.
        tail, head = np.stack([tail, head], 1).reshape(-1), np.stack([head, tail], 1).reshape(-1)
        bandwidth, efficiency = np.repeat(bandwidth, 2), np.repeat(efficiency, 2)
        latency_ps, tier = np.repeat(latency_ps, 2), np.repeat(tier, 2)
    links = tail.size
    order = np.lexsort((np.arange(links), head, tail))
    out_start = np.zeros(len(nodes) + 1, dtype=np.int64)
    np.cumsum(np.bincount(tail, minlength=len(nodes)), out=out_start[1:])
    dims, wrap, coordinates = arrays.coordinates(graph, attributes)
    whole = {key: arrays.integers(graph, said[key]) for key in arrays.INTEGERS}
    top = graph.graph
    return Fabric(
        name=str(top.get("name") or "graph"),
        library=top.get("library"),
        routing=str(top.get("routing", "shortest")),
        domain_routing=str(top.get("domain_routing", "shortest")),
        nodes=nodes,
        index=index,
        kind=kind,
        level=whole["level"],
        host=whole["host"],
        domain=whole["domain"],
        rail=whole["rail"],
        pod=whole["pod"],
        rank_nodes=np.flatnonzero(kind == 0).astype(np.int64),
        tail=tail.astype(np.int32),
        head=head.astype(np.int32),
        tier=tier,
        tiers=tiers,
        bandwidth=bandwidth,
        efficiency=efficiency,
        latency_ps=latency_ps,
        out_start=out_start,
        out_link=order.astype(np.int32),
        reverse=arrays.reverse(tail, head) if directed else (np.arange(links, dtype=np.int32) ^ 1),
        dims=dims,
        wrap=wrap,
        coordinates=coordinates,
        attributes=dict(top),
    )


def _numbered(values: Ints) -> IntArray:
    """Values renumbered from 0 in the order of first appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    place = np.empty(first.size, dtype=np.int64)
    place[np.argsort(first)] = np.arange(first.size)
    return place[inverse]
