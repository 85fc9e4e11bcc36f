"""Clos fabrics: leaf-spine, fat tree, rail-optimised, multi-plane.

All are laid by `attach_clos` (topologies.tiers), which says how leaves, spines
and cores are wired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx as nx

from topologies import units
from topologies.errors import TopologyError
from topologies.graph import count, empty, fits, per_tier
from topologies.tiers import attach_clos, ratios, uplinks

__all__ = ["attach_clos", "fat_tree", "leaf_spine", "multi_plane", "rail_optimized"]

Value = float | str
Values = Value | Sequence[Value]


def leaf_spine(
    chips: int,
    *,
    per_leaf: int,
    spines: int | None = None,
    oversubscription: Values = 1,
    bandwidth: Values,
    latency: Values,
) -> nx.Graph[Any]:
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
        stated = ratios(oversubscription, 2)[0]
        if stated != 1 and uplinks(down, stated) != wanted:
            raise TopologyError(
                f"leaf_spine: spines (={wanted}) contradicts oversubscription (={oversubscription!r}) with "
                f"per_leaf {down}, which takes {uplinks(down, stated)} spines; give one of the two"
            )
        ratio = down / wanted
    graph = empty(f"leaf-spine-{p}", p, level=0, routing="up_down")
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
) -> nx.Graph[Any]:
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
    graph = empty(f"fat-tree-{p}", p, level=0, routing="up_down")
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
    scale_up_bandwidth: Value | None = None,
    scale_up_latency: Value | None = None,
    nic_bandwidth: Value | None = None,
    nic_latency: Value = 0.0,
    tiers: int = 2,
    radix: int | None = None,
    per_leaf: int | None = None,
    oversubscription: Values = 1,
) -> nx.Graph[Any]:
    """Hosts with a scale-up switch and a NIC for each chip; NIC i of every host on rail i.

    Parameters
    ----------
    hosts, chips_per_host : int
        Chips are ranked host by host.
    bandwidth, latency : number or str, or one for each tier
        Bytes/s and seconds of the scale-out links, the first between NIC and leaf.
    scale_up_bandwidth, scale_up_latency : number or str, optional
        Of the link between a chip and the scale-up switch of its host; if not given,
        those of the link between NIC and leaf.
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
    what = "rail_optimized"
    h, c = count(hosts, f"{what}: hosts"), count(chips_per_host, f"{what}: chips_per_host")
    stages = count(tiers, f"{what}: tiers")
    rates = per_tier(bandwidth, stages, units.bandwidth, f"{what}: bandwidth")
    times = per_tier(latency, stages, units.duration, f"{what}: latency")
    up_rate, nic_rate = (
        rates[0] if x is None else units.bandwidth(x, name=f"{what}: {name}")
        for x, name in ((scale_up_bandwidth, "scale_up_bandwidth"), (nic_bandwidth, "nic_bandwidth"))
    )
    up_time = times[0]
    if scale_up_latency is not None:
        up_time = units.duration(scale_up_latency, name=f"{what}: scale_up_latency")
    nic_time = units.duration(nic_latency, name=f"{what}: nic_latency")

    fits(f"rail-optimized-{h}x{c}", h * c)
    graph = empty(f"rail-optimized-{h}x{c}", 0, routing="up_down", domain_routing="up_down")
    places = [(host, i) for host in range(h) for i in range(c)]
    nics = [f"nic{host}.{i}" for host, i in places]
    graph.add_nodes_from(
        (r, {"kind": "chip", "level": 0, "host": host, "domain": host, "rail": i})
        for r, (host, i) in enumerate(places)
    )
    graph.add_nodes_from(
        (f"up{host}", {"kind": "switch", "level": 1, "host": host, "domain": host}) for host in range(h)
    )
    graph.add_nodes_from(
        (nic, {"kind": "nic", "level": 2, "host": host, "rail": i})
        for nic, (host, i) in zip(nics, places, strict=True)
    )
    to_host = ((r, f"up{host}") for r, (host, _) in enumerate(places))
    graph.add_edges_from(to_host, bandwidth=up_rate, latency=up_time, tier="scale-up")
    graph.add_edges_from(enumerate(nics), bandwidth=nic_rate, latency=nic_time, tier="nic")
    attach_clos(
        graph, nics, tiers=stages, radix=radix, per_leaf=per_leaf, oversubscription=oversubscription,
        bandwidth=rates, latency=times, groups=[nics[i::c] for i in range(c)],
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
) -> nx.Graph[Any]:
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
    graph = empty(f"multi-plane-{p}x{n}", p, level=0, routing="up_down")
    for plane in range(n):
        attach_clos(
            graph, range(p), tiers=2, per_leaf=per_leaf, oversubscription=oversubscription, bandwidth=share,
            latency=latency, prefix=f"p{plane}-", first_level=1,
        )  # fmt: skip
    return graph
