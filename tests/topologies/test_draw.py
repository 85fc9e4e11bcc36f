"""Pictures: every node has a place of its own, nothing is left out in silence, wrong input is named."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import matplotlib.pyplot as plt
import networkx as nx
import pytest

import topologies
from topologies.errors import TopologyError
from topologies.layout import LIMIT, place

LINK = {"bandwidth": "50 GB/s", "latency": "1 us"}


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


SMALL = [
    topologies.ring(1, **LINK),
    topologies.ring(2, **LINK),
    topologies.ring(16, **LINK),
    topologies.full_mesh(8, **LINK),
    topologies.switch(8, **LINK),
    topologies.torus((6, 8), **LINK),
    topologies.torus((4, 4, 4), **LINK),
    topologies.hypercube(32, **LINK),
    topologies.mesh((2, 3, 2, 3), **LINK),
    topologies.hyperx((3, 4), chips_per_switch=2, **LINK),
    topologies.hyperx((3, 4), chips_per_switch=None, **LINK),
    topologies.leaf_spine(60, per_leaf=16, **LINK),
    topologies.fat_tree(54, radix=6, **LINK),
    topologies.rail_optimized(4, 8, per_leaf=4, **LINK),
    topologies.multi_plane(16, planes=2, per_leaf=4, **LINK),
    topologies.dragonfly(9, 4, 2, global_links=2, **LINK),
    topologies.dragonfly_plus(4, 3, 2, 4, **LINK),
]
LARGE = [
    topologies.ring(500, **LINK),
    topologies.torus((16, 16, 16), **LINK),
    topologies.torus((64, 64), **LINK),
    topologies.fat_tree(4096, **LINK),
    topologies.rail_optimized(128, 8, per_leaf=32, **LINK),
    topologies.dragonfly(33, 8, 4, **LINK),
    topologies.switch(1000, **LINK),
]
NAME = {"ids": lambda g: g.graph["name"]}


@pytest.mark.parametrize("graph", SMALL, **NAME)
def test_small_graphs_are_drawn_whole(graph: nx.Graph) -> None:
    layout = place(graph)
    assert set(layout.at) == set(graph) and not layout.left_out
    assert all(math.dist(a, b) > 0.15 for a, b in itertools.combinations(layout.at.values(), 2))


@pytest.mark.parametrize("graph", LARGE, **NAME)
def test_of_large_graphs_a_part_is_drawn_and_the_rest_counted(graph: nx.Graph) -> None:
    layout = place(graph)
    assert 8 <= len(layout.at) <= LIMIT
    assert sum(layout.left_out.values()) + len(layout.at) == len(graph)
    assert nx.is_connected(graph.subgraph(layout.at)), "what is drawn hangs together"
    written = " ".join(text.get_text() for text in topologies.draw(graph).texts)
    assert all(f"… {number:,} more" in written for number in layout.left_out.values())


def test_rows_follow_the_levels_with_the_scale_up_fabric_below() -> None:
    layout = place(topologies.rail_optimized(4, 8, per_leaf=4, **LINK))
    y = {name: layout.at[name][1] for name in ("up0", 0, "nic0.0", "leaf0", "spine0")}
    assert list(y.values()) == [-1, 0, 1, 2, 3]
    assert layout.rows == {-1: "scale-up", 0: "chips", 1: "NICs", 2: "leaf", 3: "spine"}


def _segments(ax: plt.Axes) -> int:
    return sum(len(c.get_segments()) for c in ax.collections if hasattr(c, "get_segments"))


@pytest.mark.parametrize("graph", SMALL, **NAME)
def test_every_link_is_drawn_once(graph: nx.Graph) -> None:
    assert _segments(topologies.draw(graph)) == graph.number_of_edges()


@pytest.mark.parametrize("cls", [nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
def test_both_directions_and_parallel_edges_are_one_line(cls: type[nx.Graph]) -> None:
    graph = cls(topologies.ring(4, **LINK))
    if graph.is_multigraph():
        graph.add_edge(0, 1, bandwidth=1e9, latency=0.0)
    assert _segments(topologies.draw(graph)) == 4


def test_tiers_are_named_with_bandwidth_and_latency() -> None:
    graph = topologies.leaf_spine(8, per_leaf=4, bandwidth=["50 GB/s", "100 GB/s"], latency="1 us")
    graph.edges[0, "leaf0"]["bandwidth"] = "200 Gbit/s"
    legend = topologies.draw(graph).get_legend()
    assert [t.get_text() for t in legend.get_texts()] == [
        "access: 25 GB/s to 50 GB/s, 1 us",
        "spine: 100 GB/s, 1 us",
    ]


def test_values_colour_their_links_and_leave_the_others_grey() -> None:
    graph = topologies.ring(6, **LINK)
    ax = topologies.draw(graph, values={(0, 1): 0.25, (1, 0): 0.75, (3, 2): 1.0})
    coloured = [c for c in ax.collections if c.get_array() is not None]
    assert [sorted(c.get_array()) for c in coloured] == [[0.75, 1.0]]
    assert coloured[0].get_clim() == (0, 1)
    assert _segments(ax) == 6
    assert len(ax.figure.axes) == 2, "a colour bar stands beside"


def test_draws_into_the_axes_that_are_given() -> None:
    _, axes = plt.subplots(1, 2)
    assert topologies.draw(topologies.ring(4, **LINK), ax=axes[1]) is axes[1]
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("graph", [SMALL[11], SMALL[13], SMALL[15], LARGE[3], LARGE[4]], **NAME)
def test_no_text_lies_on_another_or_outside(graph: nx.Graph) -> None:
    ax = topologies.draw(graph)
    ax.figure.canvas.draw()
    texts = [t for t in [*ax.texts, *ax.get_legend().get_texts()] if t.get_text()]
    boxes = [t.get_window_extent() for t in texts]
    for a, b in itertools.combinations(range(len(texts)), 2):
        assert not boxes[a].overlaps(boxes[b]), (texts[a].get_text(), texts[b].get_text())
    width, height = ax.figure.canvas.get_width_height()
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for b in boxes)
    assert all(t.get_fontsize() >= 9 for t in texts)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({(0, 2): 0.5}, r"no link \(0, 2\)"),
        ({"01": 0.5}, "no link"),
        ({(0, 1): 1.5}, "from 0 to 1"),
        ({(0, 1): -0.1}, "from 0 to 1"),
        ({(0, 1): math.nan}, "from 0 to 1"),
    ],
)
def test_wrong_values_are_named(values: dict, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        topologies.draw(topologies.ring(4, **LINK), values=values)


def test_wrong_graphs_are_named() -> None:
    nameless = topologies.ring(4, **LINK)
    del nameless.nodes[2]["kind"]
    slow = topologies.ring(4, **LINK)
    slow.edges[0, 1]["bandwidth"] = 0
    for graph, message in (
        ([1, 2], "networkx graph"),
        (nx.Graph(), "empty"),
        (nameless, "node 2"),
        (slow, "link 0 - 1"),
    ):
        with pytest.raises(TopologyError, match=message):
            topologies.draw(graph)
