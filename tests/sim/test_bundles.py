"""Chains of links: found by hand and at random, and nothing changes but the work."""

from __future__ import annotations

import random
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.fabric import compile_fabric
from sim.routing import Router
from sim.routing.bundles import Bundles


def chained(nodes: list[str], kinds: list[str], bandwidth: list[float]) -> nx.Graph[Any]:
    graph = nx.Graph()
    for node, kind in zip(nodes, kinds, strict=True):
        graph.add_node(node, kind=kind)
    for tail, head, width in zip(nodes, nodes[1:], bandwidth, strict=False):
        graph.add_edge(tail, head, bandwidth=width, latency=1e-6, tier=f"t{width:g}")
    return graph


def links(fabric: Any) -> list[tuple[Any, Any]]:
    return [(fabric.nodes[t], fabric.nodes[h]) for t, h in zip(fabric.tail, fabric.head, strict=True)]


def test_a_chain_by_hand() -> None:
    """a - host - nic - switch - b: three links each way up to the switch speak with one voice."""
    graph = chained(["a", "h", "n", "s", "b"], ["chip", "host", "nic", "switch", "chip"], [40, 10, 20, 30])
    fabric = compile_fabric(graph)
    found = Bundles(fabric)
    name = links(fabric)
    speaks_for = {name[l]: name[int(found.speaker[l])] for l in range(fabric.links)}
    up, down = ("a", "h"), ("s", "n")
    assert [speaks_for[l] for l in [("a", "h"), ("h", "n"), ("n", "s")]] == [up] * 3
    assert [speaks_for[l] for l in [("s", "n"), ("n", "h"), ("h", "a")]] == [down] * 3
    assert speaks_for["s", "b"] == ("s", "b")
    capacity, tier = found.narrowest(fabric.bandwidth)
    for speaker in (up, down):
        assert capacity[name.index(speaker)] == 10 and fabric.tiers[tier[name.index(speaker)]] == "t10"
    assert {name[l] for l in found.chain(name.index(("n", "s")))} == {("a", "h"), ("h", "n"), ("n", "s")}


def test_the_first_of_equals_along_the_way_sets_the_tier() -> None:
    """Edges entered backwards: the tier is still that of the first narrow link on the way."""
    graph = nx.Graph()
    for node, kind in [("s", "switch"), ("b", "chip"), ("n", "nic"), ("a", "chip")]:
        graph.add_node(node, kind=kind)
    graph.add_edge("s", "n", bandwidth=10, latency=0, tier="port")
    graph.add_edge("n", "a", bandwidth=10, latency=0, tier="bus")
    graph.add_edge("s", "b", bandwidth=99, latency=0, tier="wide")
    fabric = compile_fabric(graph)
    found, name = Bundles(fabric), links(fabric)
    _, tier = found.narrowest(fabric.bandwidth)
    assert fabric.tiers[tier[name.index(("a", "n"))]] == "bus"
    assert fabric.tiers[tier[name.index(("s", "n"))]] == "port"


@pytest.mark.parametrize(
    ("kinds", "why"),
    [
        (["chip", "switch", "chip"], "a switch may sum"),
        (["chip", "chip", "chip"], "a chip may begin or end a transfer"),
    ],
)
def test_what_is_left_alone(kinds: list[str], why: str) -> None:
    fabric = compile_fabric(chained(["a", "m", "b"], kinds, [1, 1]))
    assert Bundles(fabric).speaks.all(), why


def test_a_bridge_of_several_is_left_alone() -> None:
    graph = chained(["a", "h", "s"], ["chip", "host", "switch"], [1, 1])
    graph.add_node("b", kind="chip")
    graph.add_edge("b", "h", bandwidth=1, latency=0)
    assert Bundles(compile_fabric(graph)).speaks.all()


def test_bridges_in_a_circle_end() -> None:
    graph = chained(["a", "b"], ["chip", "chip"], [1])
    for i in range(3):
        graph.add_node(f"n{i}", kind="nic")
    for i in range(3):
        graph.add_edge(f"n{i}", f"n{(i + 1) % 3}", bandwidth=1, latency=0)
    assert Bundles(compile_fabric(graph)).speaks.all()


@pytest.mark.parametrize("name", ["hgx-h100", "atlas-800t-a2", "cloudmatrix384", "polaris", "longcat-pod"])
def test_machines_hold_fewer_links(name: str) -> None:
    """A path crosses a chain whole or not at all, so speakers stand for all of it, whoever goes where."""
    fabric = compile_fabric(topologies.machine(name, chips=32))
    router = Router(fabric)
    src, dst = (a.ravel() for a in np.meshgrid(fabric.rank_nodes, fabric.rank_nodes))
    other = src != dst
    paths = router.route(src[other], dst[other])
    held = router.bundles.held(paths)
    assert held.link.size <= paths.link.size
    size = np.bincount(router.bundles.speaker, minlength=fabric.links)
    for i in range(0, len(paths), 37):
        route = paths.link[paths.start[i] : paths.start[i + 1]]
        mine = held.link[held.start[i] : held.start[i + 1]]
        assert sum(size[mine]) == route.size
        assert set(router.bundles.speaker[route]) == set(mine)


@st.composite
def with_bridges(draw: st.DrawFn) -> Any:
    """Chips behind chains of bridges of random length and width, on a small leaf-spine."""
    rng = random.Random(draw(st.integers(0, 2**16)))
    graph = nx.Graph()
    leaves = [f"leaf{i}" for i in range(draw(st.integers(1, 3)))]
    chips = draw(st.integers(2, 8))
    for chip in range(chips):
        graph.add_node(chip, kind="chip")
    for leaf in [*leaves, "spine"]:
        graph.add_node(leaf, kind="switch")
    for leaf in leaves:
        graph.add_edge(leaf, "spine", bandwidth=rng.choice([20e9, 60e9]), latency=1e-6)
    for chip in range(chips):
        below = chip
        for i in range(rng.randint(0, 3)):
            bridge = f"{rng.choice(['nic', 'host'])}{chip}.{i}"
            graph.add_node(bridge, kind=bridge.split(f"{chip}.")[0])
            graph.add_edge(
                below, bridge, bandwidth=rng.choice([25e9, 50e9, rng.uniform(1e10, 1e11)]), latency=3e-7
            )
            below = bridge
        graph.add_edge(below, rng.choice(leaves), bandwidth=rng.choice([25e9, 50e9]), latency=5e-7)
    return graph


@given(with_bridges(), st.sampled_from(["ring", "mesh", "double_binary_tree", "in_network"]), st.booleans())
@settings(max_examples=80)
def test_the_reference_holds_every_link_and_agrees(graph: Any, name: str, fault: bool) -> None:
    """The same picosecond and the same bytes on every link, also when a link inside a chain fails."""
    results = []
    for network, forward in (("fluid", True), ("fluid", False), ("reference", True)):
        world = sim.World(graph, library="ideal", network=network, fast_forward=forward)
        done = world.all_reduce(3e6, algorithm=name)
        if fault:
            tail = next(n for n in graph if n not in topologies.chips(graph))
            tail, head = max(graph.edges(tail), key=str)

            def fail(world: Any = world, tail: Any = tail, head: Any = head) -> Any:
                yield world.env.timeout(2e-5)
                world.set_link(tail, head, bandwidth=3e9)
                yield world.env.timeout(1e-4)
                world.set_link(tail, head, up=False)
                yield world.env.timeout(1e-4)
                world.set_link(tail, head)

            world.process(fail())
        finished = world.run(until=done)
        results.append((finished.at_ps, world.network.carried()))
    assert results[0][0] == results[1][0] == results[2][0]
    for _, carried in results[1:]:
        np.testing.assert_allclose(carried, results[0][1], rtol=1e-9, atol=1e-3)
