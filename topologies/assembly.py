"""From a machine description and a number of chips to the graph.

Chips are ``0 .. n - 1``, host by host and domain by domain. Only the last host
and the last domain may be partly filled; they have the first chips. Of a host
that is begun, the NICs that its chips need are there, of a domain and a fabric
that are begun, all switches.

The scale-out part (NICs, leaves and above) is built where a transfer could use
it: when the chips fill more than one domain and more than one host.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import networkx as nx

from topologies.laying import lay, place
from topologies.scale_out import attach_fabric
from topologies.scale_up import attributes_of, join_domains, slice_shape, wrapped
from topologies.shapes import torus
from topologies.traits import traits

if TYPE_CHECKING:
    from topologies.description import MachineDescription, Nic, TorusDomain

__all__ = ["assemble"]

#: Levels of hosts' buses and of NICs (docs/design.md).
BUS, NIC = 1, 2


def assemble(machine: MachineDescription, chips: int, estimate: str, scale_out: bool | None) -> nx.Graph[Any]:
    """Build the graph of a machine.

    Parameters
    ----------
    machine : MachineDescription
    chips : int
        Already known to be within the machine's limits.
    estimate : str
        ``"low"``, ``"nominal"`` or ``"high"``.
    scale_out : bool, optional
        Build the scale-out part, or leave it out; if not given, as needed.

    Returns
    -------
    networkx.Graph

    Raises
    ------
    MachineError
        If there is no torus slice of so many chips, or the scale-out fabric has
        too few ports.
    """
    domain = machine.scale_up
    if domain.shape == "torus":
        graph = _torus_slice(machine, domain, chips, estimate)
    else:
        graph = nx.Graph()
        _add_chips(graph, machine, chips)
        inside = join_domains(graph, machine, chips, estimate)
        graph.graph.update(routing="up_down", domain_routing=inside)
        alone = chips <= max(domain.chips.value, machine.host.chips.value)
        with_nics = machine.nic is not None and (not alone if scale_out is None else scale_out)
        _add_buses(graph, machine, chips, estimate, with_nics)
        if with_nics and machine.nic is not None:
            nics = _add_nics(graph, machine, machine.nic, chips, estimate)
            graph.graph["routing"] = attach_fabric(graph, machine, nics, estimate)
    graph.graph.update(
        name=f"{machine.name}-{chips}", machine=machine.name, library=machine.library, estimate=estimate,
        chip=machine.chip.name, **traits(machine),
    )  # fmt: skip
    if machine.chip.flops is not None:
        graph.graph["peak_flops"] = machine.chip.flops.at(estimate)
    return graph


def _torus_slice(
    machine: MachineDescription, domain: TorusDomain, chips: int, estimate: str
) -> nx.Graph[Any]:
    shape = slice_shape(machine, domain, chips)
    link = attributes_of(domain.link, estimate)
    graph = torus(
        shape,
        bandwidth=link["bandwidth"],
        latency=link["latency"],
        tier=link["tier"],
        wrap=wrapped(domain, shape),
    )
    for _, attributes in graph.nodes(data=True):
        attributes.update(domain=0, level=0)
    if "efficiency" in link:
        for _, _, attributes in graph.edges(data=True):
            attributes["efficiency"] = link["efficiency"]
    graph.graph["domain_routing"] = "dimension_order"
    return graph


def _add_chips(graph: nx.Graph[Any], machine: MachineDescription, chips: int) -> None:
    per_host, per_domain = machine.host.chips.value, machine.scale_up.chips.value
    place(
        graph,
        (
            (c, {"kind": "chip", "level": 0, "host": c // per_host, "domain": c // per_domain})
            for c in range(chips)
        ),
    )


def _add_buses(
    graph: nx.Graph[Any], machine: MachineDescription, chips: int, estimate: str, with_nics: bool
) -> None:
    """A node for each host whose bus joins its domains, or its chips with the NICs."""
    bus, per_host = machine.host.bus, machine.host.chips.value
    between_domains = machine.scale_up.chips.value < per_host
    to_nics = with_nics and machine.nic is not None and machine.nic.at == "host"
    if bus is None or not (between_domains or to_nics):
        return
    place(
        graph, ((f"host{h}", {"kind": "host", "level": BUS, "host": h}) for h in range(-(-chips // per_host)))
    )
    lay(graph, ((c, f"host{c // per_host}") for c in range(chips)), attributes_of(bus, estimate))


def _add_nics(
    graph: nx.Graph[Any], machine: MachineDescription, nic: Nic, chips: int, estimate: str
) -> list[list[str]]:
    """The NICs of every host, in order, joined to the chips that use them."""
    per_host, cards = machine.host.chips.value, nic.per_host.at(estimate)
    served = per_host // cards  # chips of each NIC
    hosts = -(-chips // per_host)
    names: list[list[str]] = []
    for h in range(hosts):
        there = min(per_host, chips - h * per_host)
        present = cards if nic.at == "host" else -(-there // served)
        names.append([f"nic{h}.{i}" for i in range(present)])
    rails = machine.scale_out is not None and machine.scale_out.shape == "clos" and machine.scale_out.rails
    card: dict[str, Any] = {"kind": "nic", "level": NIC}
    place(
        graph,
        (
            (name, {**card, "host": h, "rail": i} if rails else {**card, "host": h})
            for h, row in enumerate(names)
            for i, name in enumerate(row)
        ),
    )
    bus = attributes_of(nic.bus, estimate)
    if nic.at == "host":
        lay(graph, ((f"host{h}", name) for h, row in enumerate(names) for name in row), bus)
    else:
        lay(graph, ((c, names[c // per_host][c % per_host // served]) for c in range(chips)), bus)
        if rails:
            for c, attributes in islice(graph.nodes(data=True), chips):
                attributes["rail"] = c % per_host // served
    return names
