"""What a graph holds, in a few lines: chips, hosts, scale-up domains, other nodes, and links by kind."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from topologies.graph import link_bandwidth, link_latency
from topologies.html_table import html_table

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["LinkKind", "Summary", "summary"]

#: Kinds of link that a summary shows; a graph of odd ones may have a kind for each link.
SHOWN = 12


@dataclass(frozen=True, slots=True)
class LinkKind:
    """Links that are alike.

    Attributes
    ----------
    tier : str
    number : int
        Edges of the graph.
    bandwidth : float
        Bytes/s, one direction.
    latency : float
        Seconds.
    """

    tier: str
    number: int
    bandwidth: float
    latency: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A graph in a few lines; shows itself as text and, in a notebook, as a table.

    Attributes
    ----------
    name : str
    nodes : dict of int by str
        Number of nodes by their kind, by name.
    hosts, domains : int
        Hosts and scale-up domains that chips stand in; 0 where the graph names none.
    links : tuple of LinkKind
        In the order of the graph.
    attributes : dict
        Plain attributes of the graph itself, by name.
    """

    name: str
    nodes: dict[str, int]
    hosts: int
    domains: int
    links: tuple[LinkKind, ...]
    attributes: dict[str, Any]

    @property
    def chips(self) -> int:
        """Number of chips."""
        return self.nodes.get("chip", 0)

    def _contents(self) -> str:
        places = [(self.hosts, "host"), (self.domains, "scale-up domain")]
        nodes = [(number, kind) for kind, number in self.nodes.items() if kind != "chip"]
        counted = [(self.chips, "chip"), *((n, what) for n, what in places if n), *nodes]
        return ", ".join(f"{n:,} {_counted(what, n)}" for n, what in counted)

    def _rows(self) -> list[tuple[str, str, str, str]]:
        from topologies.units import format_bandwidth, format_time

        return [
            (kind.tier, f"{kind.number:,}", format_bandwidth(kind.bandwidth), format_time(kind.latency))
            for kind in self.links[:SHOWN]
        ]

    def _more(self) -> str:
        left = len(self.links) - SHOWN
        return f"and {left:,} more kinds of link" if left > 0 else ""

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
        return "\n".join(
            [
                f"{self.name}: {self._contents()}",
                *(
                    f"  {tier:<{widths[0]}}  {number:>{widths[1]}} links of {rate:>{widths[2]}} each way, "
                    f"{latency}"
                    for tier, number, rate, latency in rows
                ),
                *([f"  {self._more()}"] if self._more() else []),
            ]
        )

    def _repr_html_(self) -> str:
        heading = ("tier", "links", "bandwidth each way", "latency")
        table = html_table(heading, self._rows())
        return f"<b>{html.escape(self.name)}</b>: {html.escape(self._contents())}{table}{self._more()}"


def _counted(kind: str, number: int) -> str:
    name = "NIC" if kind == "nic" else kind
    return name if number == 1 else name + ("es" if name == "switch" else "s")


def summary(graph: nx.Graph[Any]) -> Summary:
    """Say what a graph holds.

    Parameters
    ----------
    graph : networkx graph

    Returns
    -------
    Summary

    Raises
    ------
    TopologyError
        If a link has no bandwidth or latency; :func:`topologies.check` finds all such faults.

    Examples
    --------
    >>> import topologies
    >>> topologies.summary(topologies.machine("hgx-h100", chips=16))
    hgx-h100-16: 16 chips, 2 hosts, 2 scale-up domains, 16 NICs, 12 switches
      nvlink4       16 links of 450 GB/s each way, 250 ns
      pcie5         16 links of  63 GB/s each way, 600 ns
      ib-ndr        16 links of  50 GB/s each way, 300 ns
      ib-ndr-spine  16 links of  50 GB/s each way, 300 ns
    """
    kinds = Counter(str(kind) for _, kind in graph.nodes(data="kind"))
    stands = [attributes for _, attributes in graph.nodes(data=True) if attributes.get("kind") == "chip"]
    alike = Counter(
        (
            str(attributes.get("tier", "link")),
            link_bandwidth(attributes, f"link {tail!r} to {head!r}"),
            link_latency(attributes, f"link {tail!r} to {head!r}"),
        )
        for tail, head, attributes in graph.edges(data=True)
    )
    return Summary(
        name=str(graph.graph.get("name") or "graph"),
        nodes=dict(sorted(kinds.items())),
        hosts=len({chip["host"] for chip in stands if chip.get("host") is not None}),
        domains=len({chip["domain"] for chip in stands if chip.get("domain") is not None}),
        links=tuple(LinkKind(tier, number, rate, delay) for (tier, rate, delay), number in alike.items()),
        attributes={
            key: value
            for key, value in sorted(graph.graph.items())
            if isinstance(value, (str, int, float, bool))
        },
    )
