"""Trees of switches: who sums, closed forms, and what cannot be reduced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import networkx as nx
import numpy as np
import pytest

import sim
import topologies
from sim.collectives import build
from sim.collectives.payload import everything
from sim.fabric import compile_fabric
from sim.routing import Router
from sim.schedule import Round, Schedule, Trees
from topologies.errors import RouteError, ScheduleError

ALPHA, BANDWIDTH = 1e-6, 50e9
LINK = {"bandwidth": BANDWIDTH, "latency": ALPHA}
WAYS = ("fluid", "reference", "analytic")


def exactly(seconds: float, expected: float, steps: int = 1) -> bool:
    return abs(seconds - expected) <= steps * 1e-12 + 1e-9 * expected


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("p", [2, 3, 8, 17])
@pytest.mark.parametrize("size", [1.0, 1e6, 2.0**26 + 1])
def test_one_tree_on_a_star(p: int, size: float, way: str) -> None:
    """Up one link and down one, n bytes at link rate: 2 alpha + n beta, whatever p."""
    star = topologies.switch(p, **LINK)
    for kind in ("all_reduce", "broadcast", "reduce"):
        run = sim.collective(kind, star, size, algorithm="in_network", library="ideal", network=way)
        assert exactly(run.time, 2 * ALPHA + size / BANDWIDTH), kind


@pytest.mark.parametrize("way", ["fluid", "reference"])
def test_a_tree_for_each_part(way: str) -> None:
    """All p trees share each rank's link: p parts up in a reduce-scatter, p - 1 down in an all-gather."""
    p, size = 5, 1e6
    star = topologies.switch(p, **LINK)
    run = sim.reduce_scatter(star, size, algorithm="in_network", library="ideal", network=way)
    assert exactly(run.time, 2 * ALPHA + size / BANDWIDTH)
    run = sim.all_gather(star, size, algorithm="in_network", library="ideal", network=way)
    assert exactly(run.time, 2 * ALPHA + size * (p - 1) / p / BANDWIDTH)


def test_it_passes_the_bound_of_the_ring() -> None:
    """Bus bandwidth 2 (p - 1) / p times the link's in the limit: nearly twice what any other can have."""
    run = sim.all_reduce(topologies.switch(64, **LINK), "1 GiB", algorithm="in_network", library="ideal")
    assert 1.95 * BANDWIDTH < run.busbw < 2 * 63 / 64 * BANDWIDTH
    ring = sim.all_reduce(topologies.switch(64, **LINK), "1 GiB", algorithm="ring", library="ideal")
    assert ring.busbw < BANDWIDTH < run.busbw


@pytest.mark.parametrize("tiers", [2, 3])
def test_every_link_of_the_tree_is_used_once(tiers: int) -> None:
    """Each chip's link both ways, each switch's link to the next below the root both ways, n bytes each."""
    graph = topologies.fat_tree(16, tiers=tiers, radix=8 if tiers == 2 else 4, **LINK)
    run = sim.all_reduce(graph, 1e6, algorithm="in_network", library="ideal")
    links = run.links
    used = links[links["bytes"] > 0]
    assert (abs(used["bytes"] - 1e6) < 1e-3).all()
    tree = nx.Graph(zip(used["tail"], used["head"], strict=True))
    assert nx.is_tree(tree)
    assert set(topologies.chips(graph)) <= set(tree)
    assert len(used) == 2 * tree.number_of_edges()
    assert exactly(run.time, 2 * tiers * ALPHA + 1e6 / BANDWIDTH)


def test_the_root_is_no_higher_than_needed() -> None:
    """Chips under one leaf: two links, whatever is above."""
    graph = topologies.leaf_spine(16, per_leaf=4, **LINK)
    run = sim.all_reduce(graph, 1e6, ranks=4, algorithm="in_network", library="ideal")
    assert exactly(run.time, 2 * ALPHA + 1e6 / BANDWIDTH)


def test_planes_share_the_data() -> None:
    """Three planes, each with a third of a chip's bandwidth, a tree, and a third of the data."""
    graph = topologies.multi_plane(8, planes=3, per_leaf=4, **LINK)
    run = sim.all_reduce(graph, 3e6, algorithm="in_network", library="ideal")
    assert exactly(run.time, 4 * ALPHA + 3e6 / BANDWIDTH)
    used = run.links[run.links["bytes"] > 0]
    assert (abs(used["bytes"] - 1e6) < 1e-3).all()
    assert {str(head)[:2] for head in used["head"] if str(head).startswith("p")} == {"p0", "p1", "p2"}


def test_a_host_bridge_does_not_sum() -> None:
    """Two chips behind one bridge: two streams on its way up and down, at half the rate each."""
    graph = nx.Graph()
    for chip in range(4):
        graph.add_node(chip, kind="chip")
        graph.add_node(f"bridge{chip // 2}", kind="host", level=1)
        graph.add_edge(chip, f"bridge{chip // 2}", **LINK)
    graph.add_node("switch", kind="switch", level=2)
    for bridge in ("bridge0", "bridge1"):
        graph.add_edge(bridge, "switch", **LINK)
    run = sim.all_reduce(graph, 1e6, algorithm="in_network", library="ideal")
    assert exactly(run.time, 4 * ALPHA + 2e6 / BANDWIDTH)


@pytest.mark.parametrize(
    "graph", [topologies.ring(6, **LINK), topologies.full_mesh(4, **LINK)], ids=["ring", "full mesh"]
)
@pytest.mark.parametrize("way", WAYS)
def test_chips_that_forward_cannot_reduce(graph: Any, way: str) -> None:
    with pytest.raises(RouteError, match="cannot reduce for them; choose another algorithm"):
        sim.all_reduce(graph, 1e6, algorithm="in_network", network=way)


def test_latency_is_that_of_the_slowest_way() -> None:
    """Up 1 us and 5 us, down the same: 10 us in all."""
    graph = nx.Graph()
    graph.add_node("s", kind="switch")
    for chip, latency in enumerate((1e-6, 5e-6, 2e-6)):
        graph.add_node(chip, kind="chip")
        graph.add_edge(chip, "s", bandwidth=BANDWIDTH, latency=latency)
    run = sim.all_reduce(graph, 1e6, algorithm="in_network", library="ideal")
    assert exactly(run.time, 10e-6 + 1e6 / BANDWIDTH)


def test_domains_have_their_own_trees() -> None:
    """Chips of one NVLink domain reduce in its switch; of two domains in the fabric."""
    fabric = compile_fabric(topologies.machine("hgx-h100", chips=16))
    router = Router(fabric)

    def tiers(ranks: range) -> set[str]:
        nodes = fabric.rank_nodes[list(ranks)]
        everyone = np.array([0, nodes.size]), nodes
        paths = router.trees(everyone, everyone, nodes[:1])
        return {fabric.tiers[t] for t in fabric.tier[paths.link]}

    assert tiers(range(8)) == {"nvlink4"}
    assert "nvlink4" not in tiers(range(16))


@pytest.mark.parametrize("p", [2, 3, 8, 12, 17, 64])
@pytest.mark.parametrize(
    "kind", ["all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce", "barrier"]
)
def test_symbolically(kind: str, p: int) -> None:
    build(kind, p, 1024.0, "in_network").check()


@pytest.mark.parametrize("name", ["nvls", "nvls_tree", "collnet"])
@pytest.mark.parametrize(("hosts", "each"), [(2, 2), (3, 4), (8, 8)])
def test_levels_symbolically(name: str, hosts: int, each: int) -> None:
    schedule = build("all_reduce", hosts * each, 999.0, name, groups=np.repeat(np.arange(hosts), each))
    schedule.check()
    assert schedule.in_network and schedule.algorithm == name


def by_hand(trees: Trees, reduce: bool = True) -> Schedule:
    """One tree on three ranks, one chunk."""
    src, dst = trees.up[1][:1], trees.down[1][-1:]

    def rounds() -> Iterator[Round]:
        yield Round(src, dst, np.array([8.0]), reduce, payload=lambda _: everything(1, 1), trees=trees)

    return Schedule("all_reduce", "by hand", 3, 8.0, rounds, chunks=1, in_network=True)


def side(*ranks: int) -> tuple[Any, Any]:
    return np.array([0, len(ranks)]), np.array(ranks)


def test_the_checker_sees_faulty_trees() -> None:
    by_hand(Trees(side(0, 1, 2), side(0, 1, 2))).check()
    with pytest.raises(ScheduleError, match=r"rank 0 ends with ranks \{0, 1\}"):
        by_hand(Trees(side(0, 1), side(0, 1, 2))).check()
    with pytest.raises(ScheduleError, match="rank 2 ends with"):
        by_hand(Trees(side(0, 1, 2), side(0, 1))).check()
    with pytest.raises(ScheduleError, match=r"the network would add ranks \{1\}"):
        by_hand(Trees(side(0, 1, 1, 2), side(0, 1, 2))).check()


def test_nvls_of_two_levels() -> None:
    """Reduce-scatter inside, all-reduce of a share between, all-gather inside, one after the other."""
    graph = topologies.machine("hgx-h100", chips=32)
    inside = sim.reduce_scatter(graph, 8e6, ranks=8, algorithm="in_network", library="ideal").time
    gathered = sim.all_gather(graph, 8e6, ranks=8, algorithm="in_network", library="ideal").time
    ranks = topologies.chips(graph)
    between = sim.all_reduce(graph, 1e6, ranks=ranks[::8], algorithm="in_network", library="ideal").time
    whole = sim.all_reduce(graph, 8e6, algorithm="nvls", library="ideal").time
    assert exactly(whole, inside + between + gathered, steps=3)


def test_channels_take_other_roots() -> None:
    """Two channels of half the data each, in rotated orders: still right, and no slower than one."""
    schedule = build(
        "all_reduce", 8, 800.0, "in_network", channels=2, order=[list(range(8)), [4, 5, 6, 7, 0, 1, 2, 3]]
    )
    schedule.check()
    graph = topologies.leaf_spine(8, per_leaf=4, **LINK)
    one = sim.all_reduce(graph, 1e6, algorithm="in_network", library="ideal").time
    two = sim.all_reduce(graph, 1e6, algorithm="in_network", library="ideal", channels=2).time
    assert exactly(two, one)
