"""Clos fabrics: switch counts, ports, full bandwidth, and shifts without contention."""

from __future__ import annotations

import math
from collections import Counter

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from topologies.errors import TopologyError, UnitError
from topologies.tiers import uplinks

LINK = {"bandwidth": 1e9, "latency": 1e-6}


def _at(graph: nx.Graph, level: int) -> list:
    return [n for n, attributes in graph.nodes(data=True) if attributes["level"] == level]


def _up(graph: nx.Graph, node) -> list:
    level = graph.nodes[node]["level"]
    return [n for n in graph[node] if graph.nodes[n]["level"] > level and "domain" not in graph.nodes[n]]


def _down(graph: nx.Graph, node) -> list:
    level = graph.nodes[node]["level"]
    return [n for n in graph[node] if graph.nodes[n]["level"] < level]


def _climb(graph: nx.Graph, order: dict, src, dst, address: int) -> list[tuple]:
    """The path of D-mod-k, climbed from both ends, written from its definition."""
    ups, downs = [], []
    a, b, stride = src, dst, 1
    while a != b:
        choices = [sorted(_up(graph, node), key=order.__getitem__) for node in (a, b)]
        width = len(choices[0])
        a2, b2 = (c[address // stride % len(c)] for c in choices)
        ups.append((a, a2))
        downs.append((b2, b))
        a, b, stride = a2, b2, stride * width
    return ups + downs[::-1]


@pytest.mark.parametrize("k", [2, 4, 6, 8])
def test_full_fat_trees_have_the_counts_of_the_paper(k: int) -> None:
    # Al-Fares et al. 2008: k pods, k/2 leaves and k/2 spines in each, (k/2)**2 cores, k**3/4 hosts.
    p = k**3 // 4
    graph = topologies.fat_tree(p, radix=k, **LINK)
    topologies.check(graph)
    assert [len(_at(graph, level)) for level in range(4)] == [p, k * k // 2, k * k // 2, (k // 2) ** 2]
    assert all(graph.degree(s) == k for level in (1, 2, 3) for s in _at(graph, level))
    assert nx.utils.graphs_equal(graph, topologies.fat_tree(p, **LINK))  # the smallest radix that fits
    with pytest.raises(TopologyError, match=r"radix \(=.*too small"):
        topologies.fat_tree(p + 1, radix=k, **LINK)
    wider = topologies.fat_tree(p + 1, **LINK)
    assert max(d for _, d in wider.degree()) <= k + 2


@pytest.mark.parametrize("k", [4, 6])
def test_core_groups_are_the_same_for_every_pod(k: int) -> None:
    graph = topologies.fat_tree(k**3 // 4, radix=k, **LINK)
    half = k // 2
    for i, spine in enumerate(_at(graph, 2)):
        first = i % half * half
        assert _up(graph, spine) == [f"core{first + j}" for j in range(half)]


@pytest.mark.parametrize(
    ("p", "build"),
    [
        (16, {"tiers": 3, "radix": 4}),
        (54, {"tiers": 3, "radix": 6}),
        (32, {"tiers": 2, "radix": 8}),
        (18, {"tiers": 2}),
    ],
)
def test_shifts_load_no_link_twice(p: int, build: dict) -> None:
    """Zahavi 2010: on a full-bandwidth tree D-mod-k sends every shift without contention."""
    graph = topologies.fat_tree(p, **build, **LINK)
    order = {n: i for i, n in enumerate(graph)}
    for shift in range(1, p):
        load = Counter(
            link for s in range(p) for link in _climb(graph, order, s, (s + shift) % p, (s + shift) % p)
        )
        assert max(load.values()) == 1, f"shift {shift}"


def _capacity(graph: nx.Graph, left: list, right: list) -> float:
    flow = nx.DiGraph()
    for a, b, bandwidth in graph.edges(data="bandwidth"):
        flow.add_edge(a, b, capacity=bandwidth)
        flow.add_edge(b, a, capacity=bandwidth)
    # The ends themselves are no bottleneck: edges without capacity are infinite to networkx.
    flow.add_edges_from([("source", c) for c in left] + [(c, "sink") for c in right])
    return nx.maximum_flow_value(flow, "source", "sink")


@pytest.mark.parametrize("ratio", [1, 2, 4])
def test_oversubscription_divides_the_bisection(ratio: int) -> None:
    """p chips of rate b: between halves made of whole leaves p / 2 * b / ratio can pass."""
    two = topologies.leaf_spine(32, per_leaf=8, oversubscription=ratio, **LINK)
    assert _capacity(two, list(range(16)), list(range(16, 32))) == pytest.approx(16e9 / ratio)
    three = topologies.fat_tree(128, radix=8, oversubscription=[1, ratio], **LINK)
    assert _capacity(three, list(range(64)), list(range(64, 128))) == pytest.approx(64e9 / ratio)


@given(st.integers(1, 150), st.sampled_from([2, 3]), st.sampled_from([None, 12, 16]), st.integers(1, 4))
def test_every_fat_tree_keeps_ports_and_ratio(p: int, tiers: int, radix: int | None, ratio: int) -> None:
    if tiers == 2 and radix == 12:
        p = min(p, 72)  # k * k / 2
    if tiers == 2 and radix == 16:
        p = min(p, 128)
    graph = topologies.fat_tree(p, tiers=tiers, radix=radix, oversubscription=ratio, **LINK)
    topologies.check(graph)
    assert topologies.chips(graph) == list(range(p))
    leaves, spines, cores = (_at(graph, level) for level in (1, 2, 3))
    assert all(abs(graph.nodes[a]["level"] - graph.nodes[b]["level"]) == 1 for a, b in graph.edges)
    switches = leaves + spines + cores
    if radix is not None:
        assert all(graph.degree(s) <= radix for s in switches)
    down = max(len(_down(graph, leaf)) for leaf in leaves)
    assert len(leaves) == math.ceil(p / down)
    assert bool(spines) == (len(leaves) > 1)
    assert bool(cores) == (len({graph.nodes[leaf].get("pod") for leaf in leaves}) > 1)
    if spines:
        assert {len(_up(graph, leaf)) for leaf in leaves} == {uplinks(down, ratio)}
    if cores:
        pod = Counter(graph.nodes[leaf]["pod"] for leaf in leaves)
        assert {len(_up(graph, spine)) for spine in spines} == {uplinks(max(pod.values()), ratio)}
        assert all(len({graph.nodes[s]["pod"] for s in graph[c]}) == len(pod) for c in cores)


@given(st.integers(1, 100), st.integers(1, 20), st.integers(1, 12))
def test_leaf_spine(p: int, per_leaf: int, spines: int) -> None:
    graph = topologies.leaf_spine(p, per_leaf=per_leaf, spines=spines, **LINK)
    topologies.check(graph)
    leaves = _at(graph, 1)
    assert [len(_down(graph, leaf)) for leaf in leaves[:-1]] == [per_leaf] * (len(leaves) - 1)
    assert len(leaves) == math.ceil(p / per_leaf)
    assert len(_at(graph, 2)) == (spines if len(leaves) > 1 else 0)
    assert all(graph.has_edge(leaf, s) for leaf in leaves for s in _at(graph, 2))


def test_each_tier_may_have_its_own_links() -> None:
    graph = topologies.fat_tree(
        16, radix=4, bandwidth=["50 GB/s", "100 GB/s", "200 GB/s"], latency=["1 us", "2 us", 3e-6]
    )
    assert graph.edges[0, "leaf0"] == {"bandwidth": 50e9, "latency": 1e-6, "tier": "access"}
    assert graph.edges["leaf0", "spine1"] == {"bandwidth": 100e9, "latency": 2e-6, "tier": "spine"}
    assert graph.edges["spine1", "core3"] == {"bandwidth": 200e9, "latency": 3e-6, "tier": "core"}


@settings(max_examples=40)
@given(
    st.integers(1, 12),
    st.integers(1, 8),
    st.integers(1, 6),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 2]),
)
def test_rail_optimized(hosts: int, each: int, per_leaf: int, tiers: int, ratio: int) -> None:
    if tiers == 1:
        per_leaf = hosts
    graph = topologies.rail_optimized(
        hosts,
        each,
        tiers=tiers,
        per_leaf=per_leaf,
        oversubscription=ratio,
        scale_up_bandwidth="450 GB/s",
        scale_up_latency="500 ns",
        **LINK,
    )
    topologies.check(graph)
    for leaf in _at(graph, 3):
        nics = _down(graph, leaf)
        assert len({graph.nodes[n]["rail"] for n in nics}) == 1 and len(nics) <= per_leaf
    for rank, chip in enumerate(topologies.chips(graph)):
        host, rail = divmod(rank, each)
        assert set(graph[chip]) == {f"up{host}", f"nic{host}.{rail}"}
        assert graph.nodes[chip] == {"kind": "chip", "level": 0, "host": host, "domain": host, "rail": rail}
        assert graph.nodes[f"nic{host}.{rail}"] == {"kind": "nic", "level": 2, "host": host, "rail": rail}
    # What the contract asks of routing: domain on the whole scale-up fabric and on nothing else.
    assert {n for n, d in graph.nodes(data="domain") if d is not None} == {
        *range(hosts * each),
        *(f"up{h}" for h in range(hosts)),
    }
    assert len(_at(graph, 3)) == each * math.ceil(hosts / per_leaf)
    if tiers > 1 and each > 1:
        # With one leaf a rail, spines serve what a leaf really has, not what it could have.
        assert {len(_up(graph, leaf)) for leaf in _at(graph, 3)} == {uplinks(min(per_leaf, hosts), ratio)}


def test_rails_need_no_more_than_bandwidth_and_latency() -> None:
    graph = topologies.rail_optimized(2, 2, **LINK)
    topologies.check(graph)
    assert {b for *_, b in graph.edges(data="bandwidth")} == {1e9}


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 10))
def test_multi_plane(p: int, planes: int, per_leaf: int) -> None:
    graph = topologies.multi_plane(p, planes=planes, per_leaf=per_leaf, bandwidth="100 GB/s", latency=0)
    topologies.check(graph)
    for chip in topologies.chips(graph):
        assert [leaf.split("-")[0] for leaf in graph[chip]] == [f"p{i}" for i in range(planes)]
        assert sum(a["bandwidth"] for a in graph[chip].values()) == pytest.approx(100e9)
    fabric = graph.subgraph(n for n in graph if not isinstance(n, int))
    for part in nx.connected_components(fabric):
        assert len({name.split("-")[0] for name in part}) == 1, "planes share no switch and no link"


def test_attach_joins_what_stands_there() -> None:
    graph = nx.Graph()
    graph.add_nodes_from(["a", "b", "c", "d"], kind="chip", level=0)
    topologies.attach_clos(
        graph,
        ["c", "a", "d", "b"],
        tiers=2,
        per_leaf=1,
        bandwidth=1.0,
        latency=0.0,
        prefix="x-",
        first_level=1,
        tier_names=("roce", "roce-up"),
        groups=[["d", "a"], ["b", "c"]],
    )
    topologies.check(graph)
    assert [n for n in graph if n.startswith("x-")] == [
        "x-leaf0",
        "x-leaf1",
        "x-leaf2",
        "x-leaf3",
        "x-spine0",
    ]
    assert [next(iter(_down(graph, f"x-leaf{i}"))) for i in range(4)] == ["d", "a", "b", "c"]
    assert {t for *_, t in graph.edges(data="tier")} == {"roce", "roce-up"}


def _attach(**options) -> None:
    graph = nx.Graph()
    graph.add_nodes_from(range(8), kind="chip")
    graph.add_node("old-leaf0", kind="switch")
    topologies.attach_clos(graph, **{"endpoints": range(8), "tiers": 2, **LINK, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiers": 4}, "1, 2 or 3"),
        ({"tiers": 0}, "tiers"),
        ({"radix": 5}, "even"),
        ({"radix": 0}, "radix"),
        ({"radix": 2}, "too small"),
        ({"tiers": 1, "radix": 6}, "take two tiers"),
        ({"tiers": 1, "per_leaf": 4}, "take two tiers"),
        ({"per_leaf": 0}, "per_leaf"),
        ({"radix": 4, "per_leaf": 3}, "3 links down and 3 up"),
        ({"oversubscription": 0}, "oversubscription"),
        ({"oversubscription": "2"}, "oversubscription"),
        ({"oversubscription": [2, 2]}, "must be 1"),
        ({"oversubscription": 0.5}, "radix and per_leaf"),
        ({"bandwidth": [1.0]}, "1 values"),
        ({"tier_names": ("a",)}, "tier_names"),
        ({"endpoints": [0, 0]}, "once"),
        ({"endpoints": [0, 99]}, "99"),
        ({"groups": [[0, 1], [2]]}, "every endpoint"),
        ({"prefix": "old-"}, "another prefix"),
    ],
)
def test_wrong_arguments_are_named(options: dict, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        _attach(**options)


def test_other_wrong_arguments() -> None:
    with pytest.raises(TopologyError, match="contradicts"):
        topologies.leaf_spine(32, per_leaf=8, spines=3, oversubscription=2, **LINK)
    with pytest.raises(UnitError, match="latency"):
        topologies.fat_tree(4, bandwidth=1.0, latency="1")
    for build in (
        lambda: topologies.fat_tree(0, **LINK),
        lambda: topologies.leaf_spine(8, per_leaf=0, **LINK),
        lambda: topologies.rail_optimized(0, 8, **LINK),
        lambda: topologies.multi_plane(8, planes=0, per_leaf=4, **LINK),
    ):
        with pytest.raises(TopologyError, match=r"\(=0\) must be an integer"):
            build()


@pytest.mark.slow
def test_a_fabric_of_65536_chips_keeps_the_contract() -> None:
    graph = topologies.fat_tree(65536, **LINK)
    topologies.check(graph)
    assert max(d for _, d in graph.degree()) == 64  # the smallest k with k**3 / 4 >= 65,536
