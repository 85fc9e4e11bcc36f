"""Clos fabrics: leaf-spine, fat tree, rail-optimised, multi-plane.

All are laid by `attach_clos`, which joins the nodes it is given (chips or NICs)
by one, two or three tiers of switches:

- a leaf takes ``per_leaf`` endpoints, consecutive and of one group (rail);
- with two tiers every leaf has one link to each spine;
- with three, ``radix / 2`` consecutive leaves make a pod; a leaf has one link to
  each spine of its pod, and spine j of *every* pod one link to each of the same
  cores, j * n to j * n + n - 1 where n is the number of uplinks of a spine.

With oversubscription o, n links down go with ``ceil(n / o)`` links up. Only the
leaves and pods that hold endpoints are built, but each with all its uplinks, and
no tier that nothing needs: one leaf has no spines, one pod no cores.

Nodes come in the order leaves, spines (pod by pod), cores, so that the
neighbours above a node in node order are the digits of D-mod-k routing (Zahavi,
"D-Mod-K routing providing non-blocking traffic for shift permutations on real
life fat trees", CCIT report 776, Technion, 2010): with o = 1 and full leaves,
a shift of the ranks loads no link twice.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import networkx as nx

from topologies import units
from topologies.errors import TopologyError
from topologies.graph import count, per_tier

__all__ = ["attach_clos", "fat_tree", "leaf_spine", "multi_plane", "rail_optimized"]

Value = float | str
Values = Value | Sequence[Value]

#: Names of the links of each tier, from the endpoints up.
TIERS = ("access", "spine", "core")

_SWITCHES = ("leaf", "spine", "core")


def leaf_spine(
    chips: int,
    *,
    per_leaf: int,
    spines: int | None = None,
    oversubscription: Values = 1,
    bandwidth: Values,
    latency: Values,
) -> nx.Graph:
    """Two tiers: every leaf has one link to each spine.

    Parameters
    ----------
    chips : int
    per_leaf : int
        Chips on each leaf; the last may have fewer.
    spines : int, optional
        If not given, ``ceil(per_leaf / oversubscription)``.
    oversubscription : number
        Links down for each link up of a leaf.
    bandwidth, latency : number or str, or two of them
        Bytes/s and seconds of the links between chip and leaf, leaf and spine.

    Returns
    -------
    networkx.Graph
        Without spines if one leaf holds all chips.

    Raises
    ------
    TopologyError
        If a number is no integer >= 1, or `spines` contradicts `oversubscription`.
    UnitError
        If `bandwidth` or `latency` cannot be read.

    Examples
    --------
    >>> g = leaf_spine(32, per_leaf=8, oversubscription=2, bandwidth="50 GB/s", latency="1 us")
    >>> g.number_of_nodes() - 32, g.number_of_edges() - 32  # 4 leaves and 4 spines, 4 x 4 links
    (8, 16)
    """
    p, down = count(chips, "leaf_spine: chips"), count(per_leaf, "leaf_spine: per_leaf")
    ratio: Values = oversubscription
    if spines is not None:
        wanted = count(spines, "leaf_spine: spines")
        stated = _ratios(oversubscription, 2)[0]
        if stated != 1 and _up(down, stated) != wanted:
            raise TopologyError(
                f"leaf_spine: spines (={wanted}) contradicts oversubscription (={oversubscription!r}) with "
                f"per_leaf {down}, which takes {_up(down, stated)} spines; give one of the two"
            )
        ratio = down / wanted
    graph = _chips(p, f"leaf-spine-{p}")
    attach_clos(
        graph, range(p), tiers=2, per_leaf=down, oversubscription=ratio, bandwidth=bandwidth,
        latency=latency, first_level=1,
    )  # fmt: skip
    return graph


def fat_tree(
    chips: int,
    *,
    tiers: int = 3,
    radix: int | None = None,
    oversubscription: Values = 1,
    bandwidth: Values,
    latency: Values,
) -> nx.Graph:
    """The k-ary fat tree of switches with k ports.

    Each leaf has k / 2 chips; with three tiers a pod has k / 2 leaves and k / 2
    spines, and there are (k / 2)**2 cores for up to k pods: k**3 / 4 chips (Al-Fares
    et al., "A scalable, commodity data center network architecture", SIGCOMM
    2008). With two tiers there are up to k leaves and k / 2 spines: k**2 / 2 chips.

    Parameters
    ----------
    chips : int
        May be fewer than the switches could take.
    tiers : int
        1, 2 or 3.
    radix : int, optional
        Ports k of each switch, even. If not given, the smallest that is enough.
    oversubscription : number, or one for each tier
        Links down for each link up, of the leaves and of the spines; a list may
        also have a value for the chips, which must be 1.
    bandwidth, latency : number or str, or one for each tier
        Bytes/s and seconds; the first tier is between chips and leaves.

    Returns
    -------
    networkx.Graph

    Raises
    ------
    TopologyError
        If the chips do not fit, or a number is out of range.
    UnitError
        If `bandwidth` or `latency` cannot be read.

    Examples
    --------
    >>> g = fat_tree(16, radix=4, bandwidth="50 GB/s", latency="1 us")
    >>> [sum(g.nodes[n]["level"] == level for n in g) for level in range(4)]
    [16, 8, 8, 4]
    """
    p = count(chips, "fat_tree: chips")
    graph = _chips(p, f"fat-tree-{p}")
    attach_clos(
        graph, range(p), tiers=tiers, radix=radix, oversubscription=oversubscription, bandwidth=bandwidth,
        latency=latency, first_level=1,
    )  # fmt: skip
    return graph


def rail_optimized(
    hosts: int,
    chips_per_host: int,
    *,
    bandwidth: Values,
    latency: Values,
    scale_up_bandwidth: Value,
    scale_up_latency: Value,
    nic_bandwidth: Value | None = None,
    nic_latency: Value = 0.0,
    tiers: int = 2,
    radix: int | None = None,
    per_leaf: int | None = None,
    oversubscription: Values = 1,
) -> nx.Graph:
    """Hosts with a scale-up switch and a NIC for each chip; NIC i of every host on rail i.

    Parameters
    ----------
    hosts, chips_per_host : int
        Chips are ranked host by host.
    bandwidth, latency : number or str, or one for each tier
        Bytes/s and seconds of the scale-out links, the first between NIC and leaf.
    scale_up_bandwidth, scale_up_latency : number or str
        Of the link between a chip and the scale-up switch of its host.
    nic_bandwidth, nic_latency : number or str, optional
        Of the link between a chip and its NIC; if not given, it is as fast as the
        NIC and adds no latency.
    tiers : int
        Tiers of the scale-out fabric; with 1 the rails are joined by the hosts only.
    radix, per_leaf, oversubscription
        As for `attach_clos`; a leaf takes NICs of one rail only.

    Returns
    -------
    networkx.Graph

    Raises
    ------
    TopologyError
        If the NICs do not fit, or a number is out of range.
    UnitError
        If a bandwidth or latency cannot be read.

    Examples
    --------
    >>> g = rail_optimized(4, 2, per_leaf=2, bandwidth="50 GB/s", latency="1 us",
    ...                    scale_up_bandwidth="450 GB/s", scale_up_latency="500 ns")
    >>> sorted(g["leaf1"])  # two rails of two leaves each
    ['nic2.0', 'nic3.0', 'spine0', 'spine1']
    """
    h = count(hosts, "rail_optimized: hosts")
    c = count(chips_per_host, "rail_optimized: chips_per_host")
    stages = _tiers(tiers)
    rate = per_tier(bandwidth, stages, units.bandwidth, "rail_optimized: bandwidth")
    up_rate = units.bandwidth(scale_up_bandwidth, name="rail_optimized: scale_up_bandwidth")
    up_time = units.duration(scale_up_latency, name="rail_optimized: scale_up_latency")
    to_nic = rate[0] if nic_bandwidth is None else units.bandwidth(nic_bandwidth, name="rail_optimized: nic_bandwidth")
    nic_time = units.duration(nic_latency, name="rail_optimized: nic_latency")
    graph = nx.Graph(name=f"rail-optimized-{h}x{c}", routing="up_down", domain_routing="up_down")
    places = [(host, i) for host in range(h) for i in range(c)]
    graph.add_nodes_from(
        (r, {"kind": "chip", "level": 0, "host": host, "domain": host, "rail": i})
        for r, (host, i) in enumerate(places)
    )
    graph.add_nodes_from(
        (f"up{host}", {"kind": "switch", "level": 1, "host": host, "domain": host}) for host in range(h)
    )
    nics = [f"nic{host}.{i}" for host, i in places]
    graph.add_nodes_from(
        (nic, {"kind": "nic", "level": 2, "host": host, "rail": i}) for nic, (host, i) in zip(nics, places, strict=True)
    )
    graph.add_edges_from(
        ((r, f"up{host}") for r, (host, _) in enumerate(places)), bandwidth=up_rate, latency=up_time, tier="scale-up"
    )
    graph.add_edges_from(enumerate(nics), bandwidth=to_nic, latency=nic_time, tier="nic")
    attach_clos(
        graph, nics, tiers=stages, radix=radix, per_leaf=per_leaf, oversubscription=oversubscription,
        bandwidth=rate, latency=latency, groups=[nics[i::c] for i in range(c)],
    )  # fmt: skip
    return graph


def multi_plane(
    chips: int,
    *,
    planes: int,
    per_leaf: int,
    oversubscription: Values = 1,
    bandwidth: Values,
    latency: Values,
) -> nx.Graph:
    """Every chip has a link to each of several leaf-spine fabrics of its own kind.

    Parameters
    ----------
    chips : int
    planes : int
        Fabrics that share nothing; a transfer is spread over them.
    per_leaf : int
        Chips on each leaf of each plane.
    oversubscription : number
        Links down for each link up of a leaf.
    bandwidth : number or str, or two of them
        Bytes/s of a chip *over all planes*; each link has a `planes`-th of it.
    latency : number or str, or two of them
        Seconds of each link.

    Returns
    -------
    networkx.Graph

    Raises
    ------
    TopologyError
        If a number is no integer >= 1.
    UnitError
        If `bandwidth` or `latency` cannot be read.

    Examples
    --------
    >>> g = multi_plane(8, planes=2, per_leaf=4, bandwidth="100 GB/s", latency="1 us")
    >>> list(g[5]), g.edges[5, "p1-leaf1"]["bandwidth"]
    (['p0-leaf1', 'p1-leaf1'], 50000000000.0)
    """
    p, n = count(chips, "multi_plane: chips"), count(planes, "multi_plane: planes")
    share = [rate / n for rate in per_tier(bandwidth, 2, units.bandwidth, "multi_plane: bandwidth")]
    graph = _chips(p, f"multi-plane-{p}x{n}")
    for plane in range(n):
        attach_clos(
            graph, range(p), tiers=2, per_leaf=per_leaf, oversubscription=oversubscription, bandwidth=share,
            latency=latency, prefix=f"p{plane}-", first_level=1,
        )  # fmt: skip
    return graph


def attach_clos(
    graph: nx.Graph,
    endpoints: Sequence[Hashable],
    *,
    tiers: int,
    radix: int | None = None,
    per_leaf: int | None = None,
    oversubscription: Values = 1,
    bandwidth: Values,
    latency: Values,
    tier_names: Sequence[str] = TIERS,
    prefix: str = "",
    first_level: int = 3,
    groups: Sequence[Sequence[Hashable]] | None = None,
) -> None:
    """Join nodes that stand in a graph by a Clos of switches.

    Parameters
    ----------
    graph : networkx graph
        Gets the switches ``leaf0``, ..., ``spine0``, ..., ``core0``, ... and their links.
    endpoints : sequence of nodes
        NICs or chips, in the order in which they fill the leaves.
    tiers : int
        1 (one leaf, or one for each group), 2 or 3.
    radix : int, optional
        Ports of each switch, an even number. If not given, the smallest that is
        enough, or no limit where `per_leaf` is given with one or two tiers.
    per_leaf : int, optional
        Endpoints on a leaf; ``radix / 2`` if not given (with one tier: all ports).
    oversubscription : number, or one for each tier
        Links down for each link up; see `fat_tree`.
    bandwidth, latency : number or str, or one for each tier
        Bytes/s and seconds, from the endpoints up.
    tier_names : sequence of str
        ``tier`` of the links, from the endpoints up.
    prefix : str
        Put before the switches' names.
    first_level : int
        ``level`` of the leaves; spines and cores have the next.
    groups : sequence of sequences of nodes, optional
        The endpoints by rail: a leaf then takes endpoints of one group only, and the
        leaves are in the order of the groups.

    Raises
    ------
    TopologyError
        If the endpoints do not fit, or a number is out of range.
    UnitError
        If `bandwidth` or `latency` cannot be read.
    """
    stages = _tiers(tiers)
    parts = [list(endpoints)] if groups is None else [list(g) for g in groups]
    if groups is not None and sorted(map(repr, endpoints)) != sorted(repr(e) for g in parts for e in g):
        raise TopologyError(
            f"attach_clos: groups hold {sum(map(len, parts))} nodes, not each of the {len(endpoints)} endpoints once"
        )
    rates = per_tier(bandwidth, stages, units.bandwidth, "attach_clos: bandwidth")
    times = per_tier(latency, stages, units.duration, "attach_clos: latency")
    if len(tier_names) < stages:
        raise TopologyError(f"attach_clos: tier_names (={tier_names!r}) must have a name for each of {stages} tiers")
    plan = _plan([len(g) for g in parts], stages, radix, per_leaf, _ratios(oversubscription, stages))
    _lay(graph, parts, plan, rates, times, tier_names, prefix, first_level)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Numbers of switches: `pods` of `pod_leaves` leaves and `up` spines, `core_up` cores for each spine."""

    per_leaf: int
    leaves: int
    pod_leaves: int
    up: int
    core_up: int

    @property
    def pods(self) -> int:
        return -(-self.leaves // self.pod_leaves)


def _plan(sizes: list[int], tiers: int, radix: int | None, per_leaf: int | None, ratios: list[float]) -> _Plan:
    """Decide the numbers of switches, and refuse what the ports cannot serve."""
    given = None if per_leaf is None else count(per_leaf, "attach_clos: per_leaf")
    if radix is not None:
        ports = count(radix, "attach_clos: radix", least=2)
        if ports % 2:
            raise TopologyError(f"attach_clos: radix (={ports}) must be even; half the ports go up")
        plan = _with_ports(sizes, tiers, ports, given, ratios)
        if isinstance(plan, str):
            raise TopologyError(f"attach_clos: radix (={ports}), {tiers} tiers: {plan}; take a greater radix")
        return plan
    if given is not None and tiers < 3:
        # Leaves of the stated size, and spines with as many ports as there are leaves.
        plan = _with_ports(sizes, tiers, 2 * max(given, *sizes, sum(sizes)), given, ratios)
    else:
        ports = 2
        while isinstance(plan := _with_ports(sizes, tiers, ports, given, ratios), str):
            ports += 2
    if isinstance(plan, str):
        raise TopologyError(f"attach_clos: {plan}; take more tiers or a greater per_leaf")
    return plan


def _with_ports(sizes: list[int], tiers: int, ports: int, per_leaf: int | None, ratios: list[float]) -> _Plan | str:
    """The plan for switches of a number of ports, or what does not fit."""
    down = per_leaf or (ports if tiers == 1 else ports // 2)
    leaves = sum(-(-n // down) for n in sizes)
    if down > ports:
        return f"{down} endpoints a leaf need more ports"
    if tiers == 1:
        if any(n > down for n in sizes):
            return f"{max(sizes)} endpoints do not fit on one leaf of {down}"
        return _Plan(down, leaves, max(leaves, 1), 0, 0)
    up = _up(down, ratios[0])
    if leaves > 1 and down + up > ports:
        return f"{down} links down and {up} up need {down + up} ports a leaf"
    pod_leaves = ports if tiers == 2 else ports // 2
    if tiers == 2 and leaves > pod_leaves:
        return f"{leaves} leaves need as many ports a spine"
    core_up = _up(pod_leaves, ratios[1]) if tiers == 3 else 0
    if leaves > pod_leaves * ports:
        return f"{-(-leaves // pod_leaves)} pods need as many ports a core"
    return _Plan(down, leaves, pod_leaves, up, core_up)


def _lay(
    graph: nx.Graph,
    parts: list[list[Hashable]],
    plan: _Plan,
    rates: list[float],
    times: list[float],
    tier_names: Sequence[str],
    prefix: str,
    first_level: int,
) -> None:
    """Add the switches and links of a plan."""
    leaf, spine, core = (prefix + s for s in _SWITCHES)
    link = [{"bandwidth": r, "latency": t, "tier": n} for r, t, n in zip(rates, times, tier_names, strict=False)]
    spines = plan.up * plan.pods if plan.leaves > 1 else 0
    cores = plan.up * plan.core_up if plan.pods > 1 else 0
    podded = len(rates) == 3
    graph.add_nodes_from(
        (f"{leaf}{i}", {"kind": "switch", "level": first_level, "pod": i // plan.pod_leaves})
        if podded
        else (f"{leaf}{i}", {"kind": "switch", "level": first_level})
        for i in range(plan.leaves)
    )
    graph.add_nodes_from(
        (f"{spine}{i}", {"kind": "switch", "level": first_level + 1, "pod": i // plan.up})
        if podded
        else (f"{spine}{i}", {"kind": "switch", "level": first_level + 1})
        for i in range(spines)
    )
    graph.add_nodes_from((f"{core}{i}" for i in range(cores)), kind="switch", level=first_level + 2)
    at = 0
    for part in parts:
        name = [f"{leaf}{at + i}" for i in range(-(-len(part) // plan.per_leaf))]
        graph.add_edges_from(((e, name[i // plan.per_leaf]) for i, e in enumerate(part)), **link[0])
        at += len(name)
    spine_name = [f"{spine}{i}" for i in range(spines)]
    core_name = [f"{core}{i}" for i in range(cores)]
    if spines:
        for i in range(plan.leaves):
            name_, first = f"{leaf}{i}", i // plan.pod_leaves * plan.up
            graph.add_edges_from(((name_, s) for s in spine_name[first : first + plan.up]), **link[1])
    if cores:
        for i, s in enumerate(spine_name):
            first = i % plan.up * plan.core_up
            graph.add_edges_from(((s, c) for c in core_name[first : first + plan.core_up]), **link[2])


def _chips(p: int, name: str) -> nx.Graph:
    graph = nx.Graph(name=name, routing="up_down")
    graph.add_nodes_from(range(p), kind="chip", level=0)
    return graph


def _up(down: int, ratio: float) -> int:
    """Links up for a number of links down; a hair below, so that 8 / (8 / 3) is 3."""
    return max(1, math.ceil(down / ratio - 1e-9))


def _tiers(tiers: int) -> int:
    n = count(tiers, "attach_clos: tiers")
    if n > len(_SWITCHES):
        raise TopologyError(f"attach_clos: tiers (={tiers!r}) must be 1, 2 or 3")
    return n


def _ratios(oversubscription: Values, tiers: int) -> list[float]:
    """Oversubscription of the leaves and of the spines."""
    where = "attach_clos: oversubscription"

    def read(x: object, name: str) -> float:
        if isinstance(x, bool) or not isinstance(x, (int, float)) or not 0 < x < math.inf:
            raise TopologyError(f"{name} (={x!r}) must be a number > 0; 1 is full bandwidth, 2 half of it")
        return float(x)

    if isinstance(oversubscription, Sequence) and not isinstance(oversubscription, str):
        values = list(oversubscription)
        if len(values) == tiers and tiers > 1:
            if read(values[0], where + "[0]") != 1:
                raise TopologyError(f"{where}[0] (={values[0]!r}) must be 1: a chip's own link is never shared")
            values = values[1:]
        ratios = per_tier(values, max(1, tiers - 1), read, where)
    else:
        ratios = per_tier(oversubscription, max(1, tiers - 1), read, where)
    return ratios + [1.0] * (2 - len(ratios))
