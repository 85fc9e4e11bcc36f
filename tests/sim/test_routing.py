"""Paths: valid on every shape, and those that the rules of each routing name."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.fabric import Fabric
from sim.routing import ROUTINGS, Paths, Router
from tests.sim.strategies import graphs
from topologies.errors import RouteError, TopologyError, UnknownNameError

LINK = {"bandwidth": 50e9, "latency": 1e-6}


def route(graph: Any, routing: str | None = None) -> tuple[Fabric, Paths, list[tuple[int, int]]]:
    """Paths between all pairs of chips."""
    fabric = sim.compile_fabric(graph)
    pairs = [(int(s), int(d)) for s in fabric.rank_nodes for d in fabric.rank_nodes if s != d]
    src, dst = (np.array(ends, dtype=np.int64) for ends in zip(*pairs, strict=True))
    return fabric, Router(fabric, routing).route(src, dst), pairs


def links_of(paths: Paths, i: int) -> tuple[list[int], list[float]]:
    held = slice(int(paths.start[i]), int(paths.start[i + 1]))
    return paths.link[held].tolist(), paths.weight[held].tolist()


def nodes_of(fabric: Fabric, paths: Paths, i: int) -> list[Any]:
    """Names of the nodes of a plain path, which must be connected."""
    links, weights = links_of(paths, i)
    assert set(weights) == {1.0}
    assert all(fabric.head[a] == fabric.tail[b] for a, b in pairwise(links))
    return [fabric.nodes[fabric.tail[links[0]]], *(fabric.nodes[fabric.head[l]] for l in links)]


def assert_valid(fabric: Fabric, paths: Paths, pairs: list[tuple[int, int]]) -> None:
    """All of a transfer leaves its source and arrives at its destination; no link twice, no chip within."""
    assert len(paths) == len(pairs)
    for i, (s, d) in enumerate(pairs):
        links, weights = links_of(paths, i)
        assert len(set(links)) == len(links) > 0
        balance = dict.fromkeys((s, d), 0.0)
        for link, weight in zip(links, weights, strict=True):
            assert 0 < weight <= 1 + 1e-12
            tail, head = int(fabric.tail[link]), int(fabric.head[link])
            balance[tail] = balance.get(tail, 0) + weight
            balance[head] = balance.get(head, 0) - weight
        assert balance.pop(s) == pytest.approx(1)
        assert balance.pop(d) == pytest.approx(-1)
        assert all(abs(left) < 1e-12 for left in balance.values())
        if set(weights) == {1.0}:
            nodes = nodes_of(fabric, paths, i)
            assert len(set(nodes)) == len(nodes)
            assert paths.latency_ps[i] == fabric.latency_ps[links].sum()
        else:
            assert fabric.latency_ps[links].max() <= paths.latency_ps[i] <= fabric.latency_ps[links].sum()


# ---------------------------------------------------------------- every shape


@given(graphs(), st.sampled_from([None, "shortest"]))
@settings(max_examples=150)
def test_paths_are_valid_on_every_shape(graph: Any, routing: str | None) -> None:
    assert_valid(*route(graph, routing))


@given(graphs())
@settings(max_examples=60)
def test_shortest_paths_are_shortest(graph: Any) -> None:
    """As many links as networkx counts, where no scope forbids a way."""
    fabric, paths, pairs = route(graph, "shortest")
    if (fabric.domain >= 0).any():
        return
    lengths = dict(nx.all_pairs_shortest_path_length(graph))
    for i, (s, d) in enumerate(pairs):
        assert np.diff(paths.start)[i] == lengths[fabric.nodes[s]][fabric.nodes[d]]


@given(graphs(), st.data())
@settings(max_examples=40)
def test_a_path_does_not_depend_on_what_else_is_asked(graph: Any, data: st.DataObject) -> None:
    fabric, paths, pairs = route(graph)
    router = Router(fabric)
    for i in data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=5)):
        alone = router.route(np.array(pairs[i][:1]), np.array(pairs[i][1:]))
        assert links_of(alone, 0) == links_of(paths, i)
        assert alone.latency_ps[0] == paths.latency_ps[i]


def test_nothing_to_route() -> None:
    fabric = sim.compile_fabric(topologies.switch(3, **LINK))
    none = np.zeros(0, dtype=np.int64)
    paths = Router(fabric).route(none, none)
    assert len(paths) == 0 == paths.link.size
    assert paths.start.tolist() == [0]


# ---------------------------------------------------------------- Clos


CLOS = {
    "leaf-spine": lambda: topologies.leaf_spine(16, per_leaf=4, **LINK),
    "leaf-spine 3:1": lambda: topologies.leaf_spine(18, per_leaf=6, oversubscription=3, **LINK),
    "two tiers": lambda: topologies.fat_tree(32, tiers=2, radix=8, **LINK),
    "three tiers": lambda: topologies.fat_tree(16, radix=4, **LINK),
    "three tiers of 6": lambda: topologies.fat_tree(54, radix=6, **LINK),
    "partly filled": lambda: topologies.fat_tree(41, radix=6, **LINK),
}


@pytest.mark.parametrize("name", CLOS)
def test_up_down_is_shortest_on_a_clos(name: str) -> None:
    graph = CLOS[name]()
    fabric, up_down, pairs = route(graph, "up_down")
    _, shortest, _ = route(graph, "shortest")
    assert_valid(fabric, up_down, pairs)
    np.testing.assert_array_equal(up_down.start, shortest.start)
    np.testing.assert_array_equal(up_down.link, shortest.link)


def test_the_spine_is_the_destination_modulo_spines() -> None:
    """Four leaves of four, four spines: d mod 4; under one leaf no spine at all."""
    fabric, paths, pairs = route(CLOS["leaf-spine"]())
    for i, (s, d) in enumerate(pairs):
        here, there = f"leaf{s // 4}", f"leaf{d // 4}"
        want = [s, here, d] if here == there else [s, here, f"spine{d % 4}", there, d]
        assert nodes_of(fabric, paths, i) == want


def test_digits_choose_the_spine_and_then_the_core() -> None:
    """k = 4: of a pod's two spines number d mod 2, of that spine's two cores number (d // 2) mod 2.

    Core c hangs on the first spine of every pod for c < 2, on the second for the others.
    """
    fabric, paths, pairs = route(CLOS["three tiers"]())
    for i, (s, d) in enumerate(pairs):
        pods, leaves = (s // 4, d // 4), (s // 2, d // 2)
        want = [s, f"leaf{leaves[0]}"]
        if leaves[0] != leaves[1]:
            want.append(f"spine{2 * pods[0] + d % 2}")
            if pods[0] != pods[1]:
                want += [f"core{2 * (d % 2) + d // 2 % 2}", f"spine{2 * pods[1] + d % 2}"]
            want.append(f"leaf{leaves[1]}")
        assert nodes_of(fabric, paths, i) == [*want, d]


@pytest.mark.parametrize("name", [n for n in CLOS if "3:1" not in n and n != "partly filled"])
def test_shifts_do_not_collide_where_the_bisection_is_full(name: str) -> None:
    """D-mod-k: in r -> r + k no directed link is used twice, for any k (Zahavi 2010)."""
    fabric, paths, pairs = route(CLOS[name]())
    number = {pair: i for i, pair in enumerate(pairs)}
    p = fabric.ranks
    for k in range(1, p):
        used = np.concatenate([links_of(paths, number[r, (r + k) % p])[0] for r in range(p)])
        assert np.bincount(used).max() == 1


def test_addresses_on_rails_run_along_the_rail() -> None:
    """So that the hosts under one leaf spread over its spines: 8 hosts of 4, 4 hosts a leaf."""
    graph = topologies.rail_optimized(8, 4, per_leaf=4, **LINK)
    fabric = sim.compile_fabric(graph)
    assert fabric.address()[fabric.rank_nodes].tolist() == [8 * (chip % 4) + chip // 4 for chip in range(32)]
    router = Router(fabric)
    for rail in range(4):
        src = np.array([4 * host + rail for host in range(4)])
        paths = router.route(src, src + 16)
        assert np.bincount(paths.link).max() == 1


# ---------------------------------------------------------------- planes


@given(st.integers(2, 4), st.integers(2, 9), st.integers(0, 99))
@settings(max_examples=30)
def test_planes_share_a_transfer_by_bandwidth(planes: int, chips: int, seed: int) -> None:
    graph = topologies.multi_plane(chips, planes=planes, per_leaf=3, **LINK)
    rng = np.random.default_rng(seed)
    speed = rng.uniform(0.5, 2, planes)
    for u, v, attributes in graph.edges(data=True):
        plane = next(int(str(n)[1]) for n in (u, v) if isinstance(n, str))
        attributes["bandwidth"] *= speed[plane]
    fabric, paths, pairs = route(graph)
    assert_valid(fabric, paths, pairs)
    for i, (s, _) in enumerate(pairs):
        links, weights = links_of(paths, i)
        first = [(l, w) for l, w in zip(links, weights, strict=True) if fabric.tail[l] == s]
        assert len(first) == planes
        for link, weight in first:
            assert weight == pytest.approx(fabric.bandwidth[link] / fabric.injection()[0], rel=1e-12)


def test_a_sprayed_transfer_waits_for_its_slowest_plane() -> None:
    graph = topologies.multi_plane(4, planes=2, per_leaf=4, **LINK)
    for u, v, attributes in graph.edges(data=True):
        attributes["latency"] = 3e-6 if any(str(n).startswith("p1") for n in (u, v)) else 1e-6
    _, paths, _ = route(graph)
    assert set(paths.latency_ps.tolist()) == {6_000_000}


# ---------------------------------------------------------------- meshes, tori, dragonflies


@pytest.mark.parametrize("dims", [(5,), (4, 5), (3, 4, 5), (2, 2, 3)])
@pytest.mark.parametrize("wrap", [True, False])
def test_dimension_order(dims: tuple[int, ...], wrap: bool) -> None:
    """The shorter way round in each dimension; the first dimension is done before the second."""
    graph = (topologies.torus if wrap else topologies.mesh)(dims, **LINK)
    fabric, paths, pairs = route(graph)
    assert_valid(fabric, paths, pairs)
    for i, (s, d) in enumerate(pairs):
        apart = np.abs(fabric.coordinates[s] - fabric.coordinates[d])
        if wrap:
            apart = np.minimum(apart, np.array(dims) - apart)
        places = [fabric.coordinates[fabric.index[node]] for node in nodes_of(fabric, paths, i)]
        moved = [int(np.flatnonzero(a != b)[0]) for a, b in pairwise(places)]
        assert moved == sorted(moved)
        assert np.bincount(moved, minlength=len(dims)).tolist() == apart.tolist()


def test_half_way_round_goes_upwards() -> None:
    fabric, paths, pairs = route(topologies.torus((6,), **LINK))
    assert nodes_of(fabric, paths, pairs.index((1, 4))) == [1, 2, 3, 4]
    assert nodes_of(fabric, paths, pairs.index((4, 1))) == [4, 5, 0, 1]


@pytest.mark.parametrize(("g", "a", "p"), [(3, 2, 2), (5, 4, 1), (9, 4, 2), (2, 6, 1)])
def test_dragonflies_have_three_links_between_switches_at_most(g: int, a: int, p: int) -> None:
    """Local, global, local."""
    fabric, paths, pairs = route(topologies.dragonfly(g, a, p, **LINK))
    longest = max(len(nodes_of(fabric, paths, i)) - 3 for i in range(len(pairs)))
    assert 1 <= longest <= 3


@pytest.mark.parametrize(("g", "a", "p"), [(3, 2, 2), (5, 4, 1), (9, 4, 2)])
def test_dragonflies_pass_one_global_link_at_most(g: int, a: int, p: int) -> None:
    """Minimal routing stays in the groups of source and destination (Kim et al. 2008)."""
    graph = topologies.dragonfly(g, a, p, **LINK)
    fabric, paths, pairs = route(graph)
    assert fabric.routing == "minimal"
    assert_valid(fabric, paths, pairs)
    for i in range(len(pairs)):
        pods = [graph.nodes[n]["pod"] for n in nodes_of(fabric, paths, i)[1:-1]]
        assert sum(x != y for x, y in pairwise(pods)) == (pods[0] != pods[-1])


def between_pods_first(graph: Any) -> Callable[[Any, Any, Any], int]:
    """What a link costs Dijkstra: one between pods as much as a thousand others."""

    def cost(a: Any, b: Any, _: Any) -> int:
        between = {graph.nodes[n].get("pod") for n in (a, b)} - {None}
        return 1000 if len(between) == 2 else 1

    return cost


@given(st.integers(2, 5), st.integers(1, 4), st.data())
def test_minimal_counts_links_between_pods_first(pods: int, size: int, data: st.DataObject) -> None:
    """As Dijkstra finds it, a link between pods being worth a thousand others, on any switches in pods."""
    switches = [(pod, s) for pod in range(pods) for s in range(size)]
    every = [
        *pairwise(switches),
        *data.draw(st.lists(st.tuples(*[st.sampled_from(switches)] * 2), max_size=12)),
    ]
    graph = nx.Graph(routing="minimal")
    graph.add_nodes_from((str(s), {"kind": "switch", "pod": s[0]}) for s in switches)
    graph.add_nodes_from(range(len(switches)), kind="chip")
    graph.add_edges_from(((c, str(s)) for c, s in enumerate(switches)), **LINK)
    graph.add_edges_from(((str(a), str(b)) for a, b in every if a != b), **LINK)
    fabric, paths, pairs = route(graph)
    assert_valid(fabric, paths, pairs)

    cost = between_pods_first(graph)
    for i, (s, d) in enumerate(pairs):
        passed = nodes_of(fabric, paths, i)
        least = nx.dijkstra_path_length(graph, fabric.nodes[s], fabric.nodes[d], weight=cost)
        assert sum(cost(a, b, {}) for a, b in pairwise(passed)) == least


@given(st.integers(1, 4), st.integers(1, 3), st.data())
@settings(max_examples=150)
def test_dead_ends_at_either_end(pods: int, size: int, data: st.DataObject) -> None:
    """Several NICs a chip, several chips a NIC: as Dijkstra finds it, and again from what was kept."""
    switches = [(pod, s) for pod in range(pods) for s in range(size)]
    graph = nx.Graph(routing="minimal")
    graph.add_nodes_from((str(s), {"kind": "switch", "pod": s[0]}) for s in switches)
    more = data.draw(st.lists(st.tuples(*[st.sampled_from(switches)] * 2), max_size=8))
    graph.add_edges_from(((str(a), str(b)) for a, b in [*pairwise(switches), *more] if a != b), **LINK)
    nics = [f"nic{i}" for i in range(data.draw(st.integers(1, 5)))]
    graph.add_nodes_from(nics, kind="nic")
    graph.add_edges_from(((nic, str(data.draw(st.sampled_from(switches)))) for nic in nics), **LINK)
    apart = data.draw(st.booleans())
    for chip in range(data.draw(st.integers(2, 5))):
        # Chips of a scale-up domain do not pass on what is not theirs.
        graph.add_node(chip, kind="chip", **({"domain": chip} if apart else {}))
        ways = data.draw(st.lists(st.sampled_from([*nics, *map(str, switches)]), min_size=1, max_size=3))
        graph.add_edges_from(((chip, way) for way in ways), **LINK)
    fabric, paths, pairs = route(graph)
    assert_valid(fabric, paths, pairs)

    cost = between_pods_first(graph)
    for i, (s, d) in enumerate(pairs):
        ends = {fabric.nodes[s], fabric.nodes[d]}
        others = [n for n, domain in graph.nodes(data="domain") if domain is not None and n not in ends]
        within = nx.restricted_view(graph, others, [])
        least = nx.dijkstra_path_length(within, fabric.nodes[s], fabric.nodes[d], weight=cost)
        assert sum(cost(a, b, {}) for a, b in pairwise(nodes_of(fabric, paths, i))) == least
        again = Router(fabric).route(np.array([s]), np.array([d]))
        assert links_of(again, 0) == links_of(paths, i)


# ---------------------------------------------------------------- scopes: domain, host, scale-out


MACHINES = topologies.machines().set_index("name")


@pytest.mark.parametrize("name", MACHINES.index)
def test_machines_keep_to_their_scopes(name: str) -> None:
    """Inside a domain nothing leaves it; what leaves it passes the NIC of either end, if there are any.

    Chips are drawn from the first, a middle and the last host of two domains.
    """
    row = MACHINES.loc[name]
    want = min(int(row["max_chips"]), 2 * int(row["domain"]))
    graph = topologies.machine(name, chips=want)
    fabric = sim.compile_fabric(graph)
    host = int(row["chips_per_host"])
    some = sorted({*range(min(host, 4)), want // 2 - 1, want // 2, want - host, want - 1})
    src, dst = (np.array(ends) for ends in zip(*[(s, d) for s in some for d in some if s != d], strict=True))
    nodes = fabric.rank_nodes
    pairs = list(zip(nodes[src].tolist(), nodes[dst].tolist(), strict=True))
    paths = Router(fabric).route(nodes[src], nodes[dst])
    assert_valid(fabric, paths, pairs)
    nic = sim.fabric.KINDS.index("nic")
    for i, (s, d) in enumerate(pairs):
        links = links_of(paths, i)[0]
        through = {int(n) for l in links for n in (fabric.tail[l], fabric.head[l])} - {s, d}
        assert not any(fabric.kind[n] == 0 for n in through) or paths.outside[i] == 0
        if fabric.domain[s] >= 0 and fabric.domain[s] == fabric.domain[d]:
            assert {int(fabric.domain[n]) for n in through} <= {int(fabric.domain[s])}
            assert not paths.outside[i]
        elif (fabric.kind == nic).any() and fabric.host[s] != fabric.host[d]:
            hosts = {int(fabric.host[n]) for n in through if fabric.kind[n] == nic}
            assert {int(fabric.host[s]), int(fabric.host[d])} <= hosts
            assert paths.outside[i]


# ---------------------------------------------------------------- refusals


def islands(levels: bool) -> Any:
    graph = nx.Graph(name="islands", routing="up_down" if levels else "shortest")
    for chip in range(4):
        graph.add_node(chip, kind="chip", **({"level": 0} if levels else {}))
        graph.add_node(f"s{chip // 2}", kind="switch", **({"level": 1} if levels else {}))
        graph.add_edge(chip, f"s{chip // 2}", **LINK)
    return graph


@pytest.mark.parametrize("levels", [True, False])
def test_a_pair_without_a_path_is_named(levels: bool) -> None:
    fabric = sim.compile_fabric(islands(levels))
    with pytest.raises(RouteError, match="islands: no path from chip 1 to chip 2"):
        Router(fabric).route(fabric.rank_nodes[[0, 1]], fabric.rank_nodes[[1, 2]])
    with pytest.raises(RouteError, match="no path from chip"):
        sim.all_reduce(islands(levels), 8)


def test_a_one_way_street_is_no_way_back() -> None:
    graph = nx.DiGraph([(0, 1, LINK), (1, 2, LINK)])
    nx.set_node_attributes(graph, "chip", "kind")
    fabric = sim.compile_fabric(graph)
    assert Router(fabric).route(np.array([0]), np.array([2])).link.size == 2
    with pytest.raises(RouteError, match="from chip 2 to chip 0"):
        Router(fabric).route(np.array([2]), np.array([0]))


def test_a_routing_that_the_graph_cannot_serve_is_refused() -> None:
    ring = topologies.ring(4, **LINK)
    with pytest.raises(RouteError, match="'up_down' needs a level"):
        sim.all_reduce(ring, 8, routing="up_down")
    with pytest.raises(RouteError, match="'dimension_order' needs dims"):
        sim.all_reduce(topologies.full_mesh(4, **LINK), 8, routing="dimension_order")
    with pytest.raises(UnknownNameError, match="unknown routing 'shortes'; did you mean 'shortest'"):
        sim.all_reduce(ring, 8, routing="shortes")
    for name in ROUTINGS:
        if name not in ("up_down", "dimension_order"):
            assert sim.all_reduce(ring, 8, routing=name).time > 0
    ring.graph["routing"] = "scenic"
    with pytest.raises((UnknownNameError, TopologyError), match="scenic"):
        sim.all_reduce(ring, 8)
