"""The tiers of a Clos: one, two or three tiers of switches above given nodes.

- A leaf takes ``per_leaf`` endpoints, consecutive and of one group (rail).
- With two tiers every leaf has one link to each spine.
- With three, ``radix / 2`` consecutive leaves make a pod; a leaf has one link to
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
from typing import Any

import networkx as nx

from topologies import units
from topologies.collector import no_collection
from topologies.errors import TopologyError
from topologies.graph import count, per_tier
from topologies.laying import lay

__all__ = ["TIERS", "attach_clos", "ratios", "uplinks"]

Value = float | str
Values = Value | Sequence[Value]

#: Names of the links of each tier, from the endpoints up.
TIERS = ("access", "spine", "core")

_SWITCHES = ("leaf", "spine", "core")

#: Ports of a switch whose number of ports is not stated.
_UNLIMITED = 1 << 40


def attach_clos(
    graph: nx.Graph[Any],
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
    stages = count(tiers, "clos: tiers")
    if stages > len(_SWITCHES):
        raise TopologyError(f"clos: tiers (={tiers!r}) must be 1, 2 or 3")
    rates = per_tier(bandwidth, stages, units.bandwidth, "clos: bandwidth")
    times = per_tier(latency, stages, units.duration, "clos: latency")
    if len(tier_names) < stages:
        raise TopologyError(f"clos: tier_names (={tier_names!r}) must have a name for each of {stages} tiers")
    parts = [endpoints] if groups is None else [g for g in groups if len(g)]
    _check_endpoints(graph, endpoints, parts)
    given = None if per_leaf is None else count(per_leaf, "clos: per_leaf")
    plan = _plan([len(g) for g in parts], stages, radix, given, ratios(oversubscription, stages))
    links = [
        {"bandwidth": r, "latency": t, "tier": n}
        for r, t, n in zip(rates, times, tier_names[:stages], strict=True)
    ]
    if f"{prefix}leaf0" in graph:
        raise TopologyError(f"clos: the graph has a node {prefix + 'leaf0'!r} already; give another prefix")
    with no_collection():
        _lay(graph, parts, plan, links, prefix, first_level)


def uplinks(down: int, ratio: float) -> int:
    """Links up of a switch with `down` links down: ``ceil(down / ratio)``, at least one.

    Examples
    --------
    >>> uplinks(8, 1), uplinks(8, 3), uplinks(8, 8 / 3)
    (8, 3, 3)
    """
    # A hair less, because in floating point 8 / (8 / 3) may be more than 3.
    return max(1, math.ceil(down / ratio - 1e-9))


def ratios(oversubscription: Values, tiers: int) -> list[float]:
    """Read the oversubscription of the leaves and of the spines.

    Parameters
    ----------
    oversubscription : number, or a sequence of one for each tier
        With or without the chips' own tier, whose value can only be 1.
    tiers : int

    Raises
    ------
    TopologyError
        If a value is no number > 0.

    Examples
    --------
    >>> ratios(2, 3), ratios([1, 4, 2], 3), ratios([4, 2], 3)
    ([2.0, 2.0], [4.0, 2.0], [4.0, 2.0])
    """
    where = "clos: oversubscription"
    switches = max(1, tiers - 1)
    values = oversubscription
    if isinstance(values, Sequence) and not isinstance(values, str) and len(values) == switches + 1:
        if _ratio(values[0], name=f"{where}[0]") != 1:
            raise TopologyError(f"{where}[0] (={values[0]!r}) must be 1: nothing shares a chip's own link")
        values = values[1:]
    found = per_tier(values, switches, _ratio, where)
    return found + [1.0] * (2 - len(found))


def _ratio(x: object, *, name: str) -> float:
    if isinstance(x, bool) or not isinstance(x, (int, float)) or not 0 < x < math.inf:
        raise TopologyError(f"{name} (={x!r}) must be a number > 0; 1 is full bandwidth, 2 half of it")
    return float(x)


def _check_endpoints(
    graph: nx.Graph[Any], endpoints: Sequence[Hashable], parts: Sequence[Sequence[Hashable]]
) -> None:
    known = set(endpoints)
    grouped = [e for part in parts for e in part]
    if len(known) != len(endpoints) or len(grouped) != len(endpoints) or known != set(grouped):
        raise TopologyError(
            f"clos: {len(grouped)} nodes in groups, {len(endpoints)} endpoints, {len(known)} of them "
            "different; every endpoint must stand in one group, once"
        )
    for endpoint in endpoints:
        if endpoint not in graph:
            raise TopologyError(f"clos: endpoint {endpoint!r} is no node of the graph; add it first")


@dataclass(frozen=True, slots=True)
class _Plan:
    """Pods of `pod_leaves` leaves and `up` spines; `core_up` cores above each spine."""

    per_leaf: int
    leaves: int
    pod_leaves: int
    up: int
    core_up: int

    @property
    def pods(self) -> int:
        return -(-self.leaves // self.pod_leaves)

    @property
    def spines(self) -> int:
        return self.up * self.pods if self.leaves > 1 else 0

    @property
    def cores(self) -> int:
        return self.up * self.core_up if self.pods > 1 else 0


def _plan(sizes: list[int], tiers: int, radix: int | None, per_leaf: int | None, ratio: list[float]) -> _Plan:
    """Decide the numbers of switches, and refuse what the ports cannot serve."""
    if radix is not None:
        ports = count(radix, "clos: radix", least=2)
        if ports % 2:
            raise TopologyError(f"clos: radix (={ports}) must be even; half of the ports go up")
        plan = _fit(sizes, tiers, ports, per_leaf, ratio)
        if isinstance(plan, str):
            raise TopologyError(f"clos: radix (={ports}) is too small: {plan}")
        return plan
    if tiers == 1 or (tiers == 2 and per_leaf is not None):
        plan = _fit(sizes, tiers, _UNLIMITED, per_leaf or max(sizes, default=1), ratio)
        if isinstance(plan, str):
            raise TopologyError(f"clos: per_leaf (={per_leaf}) is too small: {plan}")
        return plan
    if min(ratio) < 1:
        raise TopologyError(f"clos: oversubscription (={min(ratio):g}) < 1 needs a radix and per_leaf")
    ports = 2
    while isinstance(plan := _fit(sizes, tiers, ports, per_leaf, ratio), str):
        ports += 2
    return plan


def _fit(sizes: list[int], tiers: int, ports: int, per_leaf: int | None, ratio: list[float]) -> _Plan | str:
    """The plan for switches of so many ports, or what does not fit."""
    down = per_leaf or (ports if tiers == 1 else ports // 2)
    leaves = sum(-(-n // down) for n in sizes)
    fullest = min(down, max(sizes, default=1))
    if tiers == 1:
        if max(sizes, default=0) > min(down, ports):
            return f"one tier has one leaf for {max(sizes)} endpoints; take two tiers"
        return _Plan(down, leaves, max(leaves, 1), 0, 0)
    up = uplinks(fullest, ratio[0])
    if (down if leaves <= 1 else fullest + up) > ports:
        return f"a leaf has {fullest} links down and {up} up"
    if tiers == 2:
        return _Plan(down, leaves, ports, up, 0) if leaves <= ports else f"a spine has {leaves} leaves"
    plan = _Plan(down, leaves, ports // 2, up, uplinks(ports // 2, ratio[1]))
    if plan.pods > ports:
        return f"a core has {plan.pods} pods"
    if plan.pods > 1 and plan.pod_leaves + plan.core_up > ports:
        return f"a spine has {plan.pod_leaves} links down and {plan.core_up} up"
    return plan


def _lay(
    graph: nx.Graph[Any],
    parts: Sequence[Sequence[Hashable]],
    plan: _Plan,
    links: list[dict[str, Any]],
    prefix: str,
    first_level: int,
) -> None:
    """Add the switches and links of a plan."""
    numbers = (plan.leaves, plan.spines, plan.cores)
    leaf, spine, core = (
        [f"{prefix}{kind}{i}" for i in range(n)] for kind, n in zip(_SWITCHES, numbers, strict=True)
    )
    graph.add_nodes_from(leaf, kind="switch", level=first_level)
    graph.add_nodes_from(spine, kind="switch", level=first_level + 1)
    graph.add_nodes_from(core, kind="switch", level=first_level + 2)
    if len(links) == 3:
        for names, of_pod in ((leaf, plan.pod_leaves), (spine, plan.up)):
            for i, name in enumerate(names):
                graph.nodes[name]["pod"] = i // of_pod
    first = 0
    for part in parts:
        down = plan.per_leaf
        lay(graph, ((e, leaf[first + i // down]) for i, e in enumerate(part)), links[0])
        first += -(-len(part) // down)
    if spine:
        rows = (
            (name, spine[i // plan.pod_leaves * plan.up + j])
            for i, name in enumerate(leaf)
            for j in range(plan.up)
        )
        lay(graph, rows, links[1])
    if core:
        rows = (
            (name, core[i % plan.up * plan.core_up + j])
            for i, name in enumerate(spine)
            for j in range(plan.core_up)
        )
        lay(graph, rows, links[2])
