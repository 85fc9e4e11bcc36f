"""Dragonflies: ports, even spread of global links, diameter."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import topologies
from topologies.errors import TopologyError

LINK = {"bandwidth": "25 GB/s", "latency": "500 ns"}


def _globals(graph: nx.Graph) -> list[tuple[str, str]]:
    return [(a, b) for a, b, tier in graph.edges(data="tier") if tier == "global"]


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.integers(1, 8))
def test_global_links_are_spread_evenly(groups: int, a: int, p: int, h: int) -> None:
    assume(groups == 1 or groups - 1 <= a * h <= a * a * (groups - 1))
    graph = topologies.dragonfly(groups, a, p, global_links=h, **LINK)
    topologies.check(graph)
    assert len(topologies.chips(graph)) == groups * a * p
    pod = dict(graph.nodes(data="pod"))
    each = a * h // (groups - 1) if groups > 1 else 0
    links = _globals(graph)
    # No two links fell on the same pair of switches: their number is exact.
    pairs = Counter(frozenset((pod[s], pod[t])) for s, t in links)
    assert all(n == each for n in pairs.values()) and len(pairs) == groups * (groups - 1) // 2
    load = Counter({f"switch{i}": 0 for i in range(groups * a)})
    load.update(s for link in links for s in link)
    assert max(load.values()) <= h
    for group in range(groups):
        ports = [load[f"switch{i}"] for i in range(group * a, (group + 1) * a)]
        assert max(ports) - min(ports) <= 1


@pytest.mark.parametrize("h", [1, 2, 3])
def test_the_balanced_dragonfly_of_the_paper(h: int) -> None:
    # Kim et al. 2008: a = 2p = 2h and a * h + 1 groups; every switch has p + a - 1 + h ports in use.
    a, p = 2 * h, h
    graph = topologies.dragonfly(a * h + 1, a, p, global_links=h, **LINK)
    switches = [n for n, kind in graph.nodes(data="kind") if kind == "switch"]
    assert {graph.degree(s) for s in switches} == {p + a - 1 + h}
    assert nx.diameter(graph.subgraph(switches)) == 3


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_dragonfly_plus(groups: int, leaves: int, spines: int, p: int) -> None:
    graph = topologies.dragonfly_plus(groups, leaves, spines, p, **LINK)
    topologies.check(graph)
    assert len(topologies.chips(graph)) == groups * leaves * p
    assert all(s.startswith("spine") and t.startswith("spine") for s, t in _globals(graph))
    assert sum(t == "local" for *_, t in graph.edges(data="tier")) == groups * leaves * spines
    assert len(_globals(graph)) >= groups * (groups - 1) // 2


def test_tiers_have_their_own_links() -> None:
    rates, times = ["10 GB/s", "20 GB/s", "5 GB/s"], [1e-7, 2e-7, 1e-6]
    graph = topologies.dragonfly(3, 2, 1, bandwidth=rates, latency=times)
    found = {(d["tier"], d["bandwidth"], d["latency"]) for *_, d in graph.edges(data=True)}
    assert found == {("access", 10e9, 1e-7), ("local", 20e9, 2e-7), ("global", 5e9, 1e-6)}


@pytest.mark.parametrize(
    ("arguments", "links", "message"),
    [
        ((0, 4, 2), None, "groups"),
        ((4, 0, 2), None, "switches_per_group"),
        ((4, 4, 0), None, "chips_per_switch"),
        ((9, 2, 2), 3, "take at least 4"),
        ((2, 2, 1), 3, "take at most 2"),
        ((4, 4, 2), 0, "global_links"),
    ],
)
def test_wrong_sizes(arguments: tuple[int, int, int], links: int | None, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        topologies.dragonfly(*arguments, global_links=links, **LINK)
