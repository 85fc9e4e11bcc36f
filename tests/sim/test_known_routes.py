"""Routes kept with their fabric: the same as found anew, and never more than there is room for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.routing import Paths, Router, known
from sim.routing.known import KnownRoutes


def arrays(paths: Paths) -> list[list[float]]:
    return [getattr(paths, name).tolist() for name in ("start", "link", "weight", "latency_ps", "outside")]


@given(
    st.sampled_from([("hgx-h100", 32), ("cloudmatrix384", 32), ("mi250x", 32)]),
    st.integers(0, 400),
    st.lists(st.integers(0, 5), max_size=20),
)
@settings(max_examples=20)
def test_known_routes_are_those_found_anew(machine: tuple[str, int], room: int, turns: list[int]) -> None:
    """Six sets of pairs asked for in any order, with room for all of them, some, or none."""
    graph = topologies.machine(*machine)
    fabric, chance = sim.compile_fabric(graph), np.random.default_rng(0)
    ends = [chance.integers(0, 32, (2, 1 + 3 * i)) for i in range(3)]
    # Each two of them from the same senders, or to the same receivers.
    pairs = [fabric.rank_nodes[each] for s, d in ends for each in (np.stack([s, d]), np.stack([s, d[::-1]]))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "KEPT", room)
        patch.setattr(known, "A_SET", 1)
        for turn in turns:
            router, fresh = Router(fabric), Router(sim.compile_fabric(graph))
            route, alone = router.route(*pairs[turn]), fresh.route(*pairs[turn])
            assert arrays(route) == arrays(alone)
            assert arrays(router.held(route)) == arrays(fresh.bundles.held(alone))
            kept = KnownRoutes.of(fabric)
            assert kept._size == sum(one.size for one in kept._by_ends.values())
            assert len(kept._by_ends) == len(kept._by_number)
            # What is held is noted after a set is kept, and counts when the next one comes.
            assert kept._size <= 2 * room


def test_routings_do_not_share_routes() -> None:
    """On a graph of switches with levels and a short cut, two routings go different ways."""
    graph = topologies.leaf_spine(4, per_leaf=2, spines=2, bandwidth="50 GB/s", latency="1 us")
    graph.add_edge("leaf0", "leaf1", bandwidth=50e9, latency=1e-6)
    fabric = sim.compile_fabric(graph)
    src, dst = fabric.rank_nodes[[0]], fabric.rank_nodes[[3]]
    lengths = [Router(fabric, name).route(src, dst).link.size for name in ("up_down", "shortest", "up_down")]
    assert lengths == [4, 3, 4]


def test_planes_that_share_links_hold_them_once() -> None:
    """Two NICs of a chip on one leaf: up to the spine and down they are one, with all of the bytes."""
    graph = topologies.leaf_spine(4, per_leaf=2, spines=1, bandwidth="50 GB/s", latency="1 us")
    for chip in range(4):
        leaf = f"leaf{chip // 2}"
        graph.remove_edge(chip, leaf)
        for i in range(2):
            graph.add_node(f"nic{chip}.{i}", kind="nic", level=1)
            graph.add_edge(chip, f"nic{chip}.{i}", bandwidth=25e9 * (1 + 2 * i), latency=1e-6)
            graph.add_edge(f"nic{chip}.{i}", leaf, bandwidth=25e9 * (1 + 2 * i), latency=1e-6)
    for node, attributes in graph.nodes(data=True):
        if attributes["kind"] == "switch":
            attributes["level"] = 2 if str(node).startswith("leaf") else 3
    fabric = sim.compile_fabric(graph)
    paths = Router(fabric, "up_down").route(fabric.rank_nodes[[0]], fabric.rank_nodes[[3]])
    found = {
        (fabric.nodes[fabric.tail[l]], fabric.nodes[fabric.head[l]]): w
        for l, w in zip(paths.link.tolist(), paths.weight.tolist(), strict=True)
    }
    assert len(found) == paths.link.size
    assert found == {
        (0, "nic0.0"): 0.25, ("nic0.0", "leaf0"): 0.25, (0, "nic0.1"): 0.75, ("nic0.1", "leaf0"): 0.75,
        ("leaf0", "spine0"): 1.0, ("spine0", "leaf1"): 1.0,
        ("leaf1", "nic3.0"): 0.25, ("nic3.0", 3): 0.25, ("leaf1", "nic3.1"): 0.75, ("nic3.1", 3): 0.75,
    }  # fmt: skip
