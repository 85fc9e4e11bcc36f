"""Scale-out fabrics of a machine: from the NICs up.

`attach_fabric` joins the NICs of all hosts by what the description says: a Clos
of as many tiers as the NICs need, or a dragonfly.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import networkx as nx

from topologies.errors import MachineError
from topologies.laying import lay
from topologies.scale_up import attributes_of
from topologies.tiers import attach_clos

if TYPE_CHECKING:
    from topologies.description import Clos, Dragonfly, MachineDescription

__all__ = ["ClosPlan", "attach_fabric", "plan_clos"]

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
        return "minimal"
    _attach_clos(graph, machine, fabric, nics, leaf, estimate)
    return "up_down"


@dataclass(frozen=True, slots=True)
class ClosPlan:
    """How many endpoints a leaf takes, and how many tiers all of them need."""

    radix: int
    per_leaf: int
    tiers: int
    ratio: float


def plan_clos(machine: MachineDescription, rails: Sequence[int], estimate: str) -> ClosPlan:
    """Decide the tiers of a machine's Clos.

    A leaf of r ports splits them so that the bandwidth up is the bandwidth down
    over the oversubscription; ``ratio`` says the same in links, as `attach_clos`
    counts: a faster uplink stands for several.

    Parameters
    ----------
    machine : MachineDescription
        With a scale-out Clos.
    rails : sequence of int
        Number of NICs in each group that has leaves of its own.
    estimate : str

    Raises
    ------
    MachineError
        If the switches have too few ports for so many NICs.

    Examples
    --------
    >>> from topologies.machines import describe
    >>> plan_clos(describe("hgx-h100"), [128] * 8, "nominal")  # 4 scalable units: 32 leaves
    ClosPlan(radix=64, per_leaf=32, tiers=2, ratio=1.0)
    """
    clos, nic = machine.scale_out, machine.nic
    if clos is None or nic is None or clos.shape != "clos":
        raise MachineError(f"{machine.name}: scale_out is no Clos; describe one with shape = 'clos'")
    radix = int(clos.radix.at(estimate))
    ratio = float(
        clos.oversubscription.at(estimate) * clos.spine.bandwidth.at(estimate) / nic.bandwidth.at(estimate)
    )
    down = max(1, int(radix * ratio / (1 + ratio) + 1e-9))
    leaves = sum(-(-nics // down) for nics in rails)
    tiers = 1 if leaves == 1 else 2 if leaves <= radix else 3
    if (tiers == 3 and clos.core is None) or leaves > radix * (radix // 2):
        most = 2 if clos.core is None else 3
        raise MachineError(
            f"{machine.name}: {sum(rails)} NICs need {leaves} leaves, more than {most} tiers of "
            f"scale_out.radix (={radix}) ports can join; take fewer chips, or a greater radix"
        )
    return ClosPlan(radix, down, tiers, ratio)


def _attach_clos(
    graph: nx.Graph[Any],
    machine: MachineDescription,
    clos: Clos,
    nics: list[list[str]],
    leaf: dict[str, Any],
    estimate: str,
) -> None:
    links = [leaf, attributes_of(clos.spine, estimate)]
    if clos.core is not None:
        links.append(attributes_of(clos.core, estimate))
    flat = [nic for host in nics for nic in host]
    groups = [flat]
    if clos.rails:
        groups = [[host[i] for host in nics if i < len(host)] for i in range(len(nics[0]))]
    plan = plan_clos(machine, [len(group) for group in groups], estimate)
    del links[plan.tiers :]
    ratios = [plan.ratio, links[-1]["bandwidth"] / links[1]["bandwidth"]] if plan.tiers == 3 else plan.ratio
    known = len(graph)
    attach_clos(
        graph,
        flat,
        tiers=plan.tiers,
        radix=None if plan.tiers == 1 else plan.radix,
        per_leaf=plan.per_leaf,
        oversubscription=ratios,
        bandwidth=[link["bandwidth"] for link in links],
        latency=[link["latency"] for link in links],
        tier_names=[link["tier"] for link in links],
        first_level=LEAF,
        groups=groups if clos.rails else None,
    )
    efficiency = {link["tier"]: link["efficiency"] for link in links if "efficiency" in link}
    if efficiency:
        adjacency = dict(graph.adjacency())
        for switch in itertools.islice(graph, known, None):
            for attributes in adjacency[switch].values():
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
    lay(
        graph,
        (
            (nic, switch[h // per_group][i * share + h % per_group // per_switch])
            for h, host in enumerate(nics)
            for i, nic in enumerate(host)
        ),
        leaf,
    )
    lay(
        graph,
        (pair for group in switch for pair in itertools.combinations(group, 2)),
        attributes_of(fly.local, estimate),
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
