"""Dragonflies: groups of switches, each group joined with each other.

Dragonfly: Kim, Dally, Scott, Abts, "Technology-driven, highly-scalable dragonfly
topology", ISCA 2008. Dragonfly+: Shpiner et al., "Dragonfly+: low cost topology
for scaling datacenters", HiPINEB 2017.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import networkx as nx

from topologies import units
from topologies.errors import TopologyError
from topologies.graph import count, empty, fits, per_tier

__all__ = ["dragonfly", "dragonfly_plus"]

Value = float | str
Values = Value | Sequence[Value]

#: Names of the links of each tier, from the chips up.
TIERS = ("access", "local", "global")


def dragonfly(
    groups: int,
    switches_per_group: int,
    chips_per_switch: int,
    *,
    global_links: int | None = None,
    bandwidth: Values,
    latency: Values,
) -> nx.Graph[Any]:
    """Groups of fully meshed switches.

    Parameters
    ----------
    groups, switches_per_group, chips_per_switch : int
        g, a and p of Kim et al.
    global_links : int, optional
        Ports h of each switch towards other groups; a group has a * h of them, spread
        evenly over the other groups and over its switches. Each pair of groups gets
        ``a * h // (g - 1)`` links; ports left over stay empty. If not given, the
        least that gives each pair a link.
    bandwidth, latency : number or str, or three of them
        Bytes/s and seconds of the links between chip and switch, inside a group, and
        between groups.

    Returns
    -------
    networkx.Graph
        Routed by ``minimal``; the group of a switch is its ``pod``.

    Raises
    ------
    TopologyError
        If a number is no integer >= 1, or there are too few or too many global links.
    UnitError
        If `bandwidth` or `latency` cannot be read.

    Examples
    --------
    >>> g = dragonfly(9, 4, 2, global_links=2, bandwidth="25 GB/s", latency="500 ns")
    >>> g.number_of_nodes(), sum(t == "global" for *_, t in g.edges(data="tier"))
    (108, 36)
    """
    g = count(groups, "dragonfly: groups")
    a = count(switches_per_group, "dragonfly: switches_per_group")
    p = count(chips_per_switch, "dragonfly: chips_per_switch")
    links = _links("dragonfly", bandwidth, latency)
    fits(f"dragonfly-{g}x{a}x{p}", g * a * p, g * a * a // 2)
    pairs = _global_pairs("dragonfly", g, a, global_links)
    graph = empty(f"dragonfly-{g}x{a}x{p}", g * a * p, routing="minimal")
    name = [f"switch{i}" for i in range(g * a)]
    graph.add_nodes_from((s, {"kind": "switch", "pod": i // a}) for i, s in enumerate(name))
    graph.add_edges_from(((c, name[c // p]) for c in range(g * a * p)), **links[0])
    meshes = (pair for i in range(g) for pair in itertools.combinations(name[i * a : (i + 1) * a], 2))
    graph.add_edges_from(meshes, **links[1])
    graph.add_edges_from(((name[s], name[t]) for s, t in pairs), **links[2])
    return graph


def dragonfly_plus(
    groups: int,
    leaves_per_group: int,
    spines_per_group: int,
    chips_per_leaf: int,
    *,
    global_links: int | None = None,
    bandwidth: Values,
    latency: Values,
) -> nx.Graph[Any]:
    """Groups of leaves and spines, whose spines are joined between groups.

    Parameters
    ----------
    groups, leaves_per_group, spines_per_group, chips_per_leaf : int
    global_links : int, optional
        Ports of each *spine* towards other groups; else as for `dragonfly`.
    bandwidth, latency : number or str, or three of them
        Bytes/s and seconds of the links between chip and leaf, leaf and spine, and
        between groups.

    Returns
    -------
    networkx.Graph
        Routed by ``minimal``; the group of a switch is its ``pod``.

    Raises
    ------
    TopologyError
        If a number is no integer >= 1, or there are too few or too many global links.
    UnitError
        If `bandwidth` or `latency` cannot be read.

    Examples
    --------
    >>> g = dragonfly_plus(3, 2, 2, 4, bandwidth="25 GB/s", latency="500 ns")
    >>> g.number_of_nodes(), g.number_of_edges()
    (36, 39)
    """
    what = "dragonfly_plus"
    g = count(groups, f"{what}: groups")
    below = count(leaves_per_group, f"{what}: leaves_per_group")
    above = count(spines_per_group, f"{what}: spines_per_group")
    p = count(chips_per_leaf, f"{what}: chips_per_leaf")
    links = _links(what, bandwidth, latency)
    fits(f"dragonfly-plus-{g}x{below}x{above}x{p}", g * below * p, g * below * above)
    pairs = _global_pairs(what, g, above, global_links)
    graph = empty(f"dragonfly-plus-{g}x{below}x{above}x{p}", g * below * p, routing="minimal")
    leaf = [f"leaf{i}" for i in range(g * below)]
    spine = [f"spine{i}" for i in range(g * above)]
    graph.add_nodes_from((s, {"kind": "switch", "pod": i // below}) for i, s in enumerate(leaf))
    graph.add_nodes_from((s, {"kind": "switch", "pod": i // above}) for i, s in enumerate(spine))
    graph.add_edges_from(((c, leaf[c // p]) for c in range(g * below * p)), **links[0])
    local = ((s, spine[i // below * above + j]) for i, s in enumerate(leaf) for j in range(above))
    graph.add_edges_from(local, **links[1])
    graph.add_edges_from(((spine[s], spine[t]) for s, t in pairs), **links[2])
    return graph


def _links(what: str, bandwidth: Values, latency: Values) -> list[dict[str, Any]]:
    rates = per_tier(bandwidth, 3, units.bandwidth, f"{what}: bandwidth")
    times = per_tier(latency, 3, units.duration, f"{what}: latency")
    return [
        {"bandwidth": r, "latency": t, "tier": tier} for r, t, tier in zip(rates, times, TIERS, strict=True)
    ]


def _global_pairs(what: str, g: int, a: int, global_links: int | None) -> list[tuple[int, int]]:
    """Switches joined between groups; switch s of group i has number i * a + s."""
    if g == 1:
        return []
    h = -(-(g - 1) // a) if global_links is None else count(global_links, f"{what}: global_links")
    each = a * h // (g - 1)
    if not each:
        raise TopologyError(
            f"{what}: global_links (={h}) of {a} switches cannot reach {g - 1} other groups; "
            f"take at least {-(-(g - 1) // a)}"
        )
    if each > a * a:
        raise TopologyError(
            f"{what}: global_links (={h}) gives {each} links between two groups of {a} switches, more than "
            f"pairs of switches; take at most {a * (g - 1)}"
        )
    return list(_spread(g, a, each))


def _spread(g: int, a: int, each: int) -> Iterator[tuple[int, int]]:
    """`each` links between any two groups, shared evenly by the switches, no two the same."""
    rounds, rest = divmod(each, a)
    for i, j in itertools.combinations(range(g), 2):
        # Full rounds use every switch of both groups once, each with another shift. The
        # rest fills the ports of a group in turn, its peers in the order of distance.
        near, far = j - i, (i - j) % g
        shift = (far - near) * rest
        for k in range(1, rounds + 1):
            for s in range(a):
                yield i * a + s, j * a + (s + shift + k) % a
        for link in range(rest):
            s = ((near - 1) * rest + link) % a
            yield i * a + s, j * a + (s + shift) % a
