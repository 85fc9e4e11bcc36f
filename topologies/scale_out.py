"""Scale-out fabrics of a machine: from the NICs up.

`attach_fabric` joins the NICs of all hosts by what the description says: a Clos
of as many tiers as the NICs need, or a dragonfly.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import networkx as nx

from topologies.clos import attach_clos
from topologies.errors import MachineError
from topologies.scale_up import attributes_of

if TYPE_CHECKING:
    from topologies.description import Clos, Dragonfly, MachineDescription

__all__ = ["attach_fabric"]

#: Level of the first switch above the NICs (docs/design.md).
LEAF = 3


def attach_fabric(
    graph: nx.Graph[Any], machine: MachineDescription, nics: list[list[str]], estimate: str
) -> str:
    """Join the NICs, given host by host.

    Returns
    -------
    str
        The routing of the fabric.

    Raises
    ------
    MachineError
        If the switches of the description have too few ports for so many NICs.
    """
    fabric = machine.scale_out
    if fabric is None or machine.nic is None:
        raise MachineError(f"{machine.name}: no scale_out; a machine of one domain has no NICs to join")
    leaf: dict[str, Any] = {
        "bandwidth": machine.nic.bandwidth.at(estimate),
        "latency": fabric.leaf.latency.at(estimate),
        "tier": fabric.leaf.tier,
    }
    if fabric.leaf.efficiency is not None:
        leaf["efficiency"] = fabric.leaf.efficiency.at(estimate)
    if fabric.shape == "dragonfly":
        _attach_dragonfly(graph, machine.name, fabric, nics, leaf, estimate)
        return "shortest"
    _attach_clos(graph, machine.name, fabric, nics, leaf, estimate)
    return "up_down"


def _attach_clos(
    graph: nx.Graph[Any], name: str, clos: Clos, nics: list[list[str]], leaf: dict[str, Any], estimate: str
) -> None:
    links = [leaf, attributes_of(clos.spine, estimate)]
    if clos.core is not None:
        links.append(attributes_of(clos.core, estimate))
    radix = clos.radix.at(estimate)
    # attach_clos counts links; a faster uplink stands for several.
    ratio = clos.oversubscription.at(estimate) * links[1]["bandwidth"] / leaf["bandwidth"]
    down = max(1, int(radix * ratio / (1 + ratio) + 1e-9))
    flat = [nic for host in nics for nic in host]
    rails = len(nics[0])
    groups = [[host[i] for host in nics if i < len(host)] for i in range(rails)] if clos.rails else [flat]
    leaves = sum(-(-len(group) // down) for group in groups)
    tiers = 1 if leaves == 1 else 2 if leaves <= radix else 3
    if tiers > len(links) or leaves > radix * (radix // 2):
        raise MachineError(
            f"{name}: {len(flat)} NICs need {leaves} leaves, more than {len(links)} tiers of scale_out.radix "
            f"(={radix}) ports can join; take fewer chips, or a greater radix"
        )
    ratios = {1: [1.0], 2: [ratio], 3: [ratio, links[-1]["bandwidth"] / links[1]["bandwidth"]]}[tiers]
    known = set(graph)
    attach_clos(
        graph, flat, tiers=tiers, radix=None if tiers == 1 else radix, per_leaf=down,
        oversubscription=ratios if tiers > 2 else ratios[0],
        bandwidth=[link["bandwidth"] for link in links[:tiers]],
        latency=[link["latency"] for link in links[:tiers]],
        tier_names=[link["tier"] for link in links[:tiers]],
        first_level=LEAF, groups=groups if clos.rails else None,
    )  # fmt: skip
    efficiency = {link["tier"]: link["efficiency"] for link in links if "efficiency" in link}
    if efficiency:
        for switch in itertools.filterfalse(known.__contains__, graph):
            for attributes in graph.adj[switch].values():
                if attributes["tier"] in efficiency:
                    attributes["efficiency"] = efficiency[attributes["tier"]]


def _attach_dragonfly(
    graph: nx.Graph[Any],
    name: str,
    fly: Dragonfly,
    nics: list[list[str]],
    leaf: dict[str, Any],
    estimate: str,
) -> None:
    """Groups of switches, all to all; the NICs of a host on different switches.

    NIC i of a host is on the i-th share of its group's switches (LUMI: "a node's 4
    endpoints sit on different switches"); the links of two groups are spread over
    their switches, beginning with another one for each pair.
    """
    size, cards = fly.switches_per_group.value, len(nics[0])
    share, per_switch = size // cards, fly.endpoints_per_switch.value
    per_group = share * per_switch
    groups = -(-len(nics) // per_group)
    if share * cards != size or groups > fly.groups.value:
        raise MachineError(
            f"{name}: {len(nics)} hosts of {cards} NICs do not fit {fly.groups.value} groups of {size} "
            f"switches with {per_switch} endpoints; take fewer chips, or more groups"
        )
    switch = [[f"leaf{g * size + s}" for s in range(size)] for g in range(groups)]
    graph.add_nodes_from(
        (s, {"kind": "switch", "level": LEAF, "pod": g}) for g, group in enumerate(switch) for s in group
    )
    graph.add_edges_from(
        (
            (nic, switch[h // per_group][i * share + h % per_group // per_switch])
            for h, host in enumerate(nics)
            for i, nic in enumerate(host)
        ),
        **leaf,
    )
    graph.add_edges_from(
        (pair for group in switch for pair in itertools.combinations(group, 2)),
        **attributes_of(fly.local, estimate),
    )
    pair_links = fly.links_per_group_pair.at(estimate)
    graph.add_edges_from(
        (
            (switch[a][((a + b) * pair_links + j) % size], switch[b][((a + b) * pair_links + j) % size])
            for a, b in itertools.combinations(range(groups), 2)
            for j in range(pair_links)
        ),
        **attributes_of(fly.global_link, estimate),
    )
