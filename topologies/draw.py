"""Pictures of graphs: tiers, grids and circles, with links coloured by tier or by value."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import networkx as nx

from topologies import units
from topologies.errors import TopologyError
from topologies.graph import KINDS, link_bandwidth, link_latency
from topologies.layout import Layout, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

#: Okabe and Ito's palette ("Color universal design", 2008) without black, which nodes have.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_GREY = "#B8B8B8"
_INK = "#222222"

#: Marker and face of each kind of node, and its name.
_MARKERS = {
    "chip": ("s", _INK, "chip"),
    "switch": ("o", "#FFFFFF", "switch"),
    "nic": ("D", "#9A9A9A", "NIC"),
    "host": ("h", "#DDDDDD", "host"),
}
_FONT = 9

Point = tuple[float, float]
Link = tuple[Hashable, Hashable]


def draw(graph: nx.Graph[Any], ax: Axes | None = None, values: Mapping[Link, float] | None = None) -> Axes:
    """Draw a graph.

    Graphs with levels are drawn in rows, meshes and tori on their grid, others on a
    circle. Of a graph of more than 200 nodes a part is drawn, and how many nodes are
    left out is written beside it.

    Parameters
    ----------
    graph : networkx graph
    ax : matplotlib Axes, optional
        A new figure of 7 x 4.3 inches if not given.
    values : mapping of (tail, head) to number, optional
        Colours the links by numbers from 0 to 1, such as their utilisation; of both
        directions of an edge the greater counts. Links without a value are grey. If
        not given, links are coloured by tier.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TopologyError
        If the graph is none, or empty, or a node's kind is unknown; if a value is out
        of range or its link does not exist.
    """
    _check(graph, values)
    import matplotlib.pyplot as plt

    layout = place(graph)
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 4.3), layout="constrained")
    ax.set_axis_off()
    _frame(ax, layout)
    if layout.style == "rows":
        _draw_hosts(ax, graph, layout)
    if values is None:
        _draw_tiers(ax, graph, layout)
    else:
        _draw_values(ax, graph, layout, values)
    _draw_nodes(ax, graph, layout)
    _draw_words(ax, graph, layout)
    return ax


def _check(graph: object, values: Mapping[Link, float] | None) -> None:
    if not isinstance(graph, nx.Graph):
        raise TopologyError(f"draw: a topology must be a networkx graph, not {type(graph).__name__}")
    if not len(graph):
        raise TopologyError("draw: the graph is empty; give it nodes and links")
    for node, attributes in graph.nodes(data=True):
        if attributes.get("kind") not in KINDS:
            kind = attributes.get("kind")
            raise TopologyError(f"draw: node {node!r}: kind {kind!r} must be one of {', '.join(KINDS)}")
    for link, value in (values or {}).items():
        if not isinstance(link, tuple) or len(link) != 2 or not graph.has_edge(*link):
            raise TopologyError(f"draw: values: no link {link!r} in the graph; keys are (tail, head)")
        # Sums of shares may end a rounding above one.
        if not 0 <= value <= 1 + 1e-6:
            raise TopologyError(f"draw: values: {value!r} of link {link!r} must be from 0 to 1")


def _frame(ax: Axes, layout: Layout) -> None:
    """Set the limits first: sizes in points follow from them."""
    xs, ys = zip(*layout.at.values(), strict=True)
    width, height = max(xs) - min(xs), max(ys) - min(ys)
    if layout.style == "rows":
        side = 0.03 * max(width, 10.0)
        # Room for the row names on the left and for what is left out on the right.
        left = min(xs) - side - 0.13 * max(width, 8.0)
        right = max(xs) + side + (0.2 * max(width, 8.0) if layout.left_out else 0.0)
        ax.set_xlim(left, right)
        ax.set_ylim(min(ys) - 0.55, max(ys) + 0.5)
    else:
        margin = 0.09 * max(width, height, 4.0)
        ax.set_xlim(min(xs) - margin, max(xs) + margin)
        ax.set_ylim(min(ys) - margin, max(ys) + margin)
        ax.set_aspect("equal")


def _points_per_unit(ax: Axes, layout: Layout) -> float:
    """Typographic points that one unit of the layout has along x."""
    box = ax.get_window_extent()
    per_inch = ax.figure.dpi
    x0, x1 = ax.get_xlim()
    y0, y1 = ax.get_ylim()
    along_x = box.width / per_inch * 72 / (x1 - x0)
    along_y = box.height / per_inch * 72 / (y1 - y0)
    return float(along_x if layout.style == "rows" else min(along_x, along_y))


def _draw_hosts(ax: Axes, graph: nx.Graph[Any], layout: Layout) -> None:
    """A box around all that stands in the same host."""
    from matplotlib.patches import FancyBboxPatch

    members: dict[int, list[Point]] = {}
    for node, point in layout.at.items():
        host = graph.nodes[node].get("host")
        if host is not None:
            members.setdefault(host, []).append(point)
    for points in members.values():
        x0, x1 = min(p[0] for p in points), max(p[0] for p in points)
        y0, y1 = min(p[1] for p in points), max(p[1] for p in points)
        box = FancyBboxPatch(
            (x0 - 0.35, y0 - 0.3), x1 - x0 + 0.7, y1 - y0 + 0.55, boxstyle="round,pad=0,rounding_size=0.2",
            facecolor="#F4F4F4", edgecolor="#CFCFCF", linewidth=0.8, zorder=0, mutation_aspect=0.4,
        )  # fmt: skip
        ax.add_patch(box)


def _links(graph: nx.Graph[Any], layout: Layout) -> Iterator[tuple[Link, dict[str, Any]]]:
    """Links between nodes that are drawn; of parallel ones, and of both directions, each once."""
    seen: set[frozenset[Hashable]] = set()
    for tail, head, attributes in graph.edges(data=True):
        if tail in layout.at and head in layout.at and frozenset((tail, head)) not in seen:
            seen.add(frozenset((tail, head)))
            yield (tail, head), attributes


def _line(layout: Layout, link: Link) -> list[Point]:
    """Points of the line that shows a link: bent where a straight one would run through nodes."""
    a, b = layout.at[link[0]], layout.at[link[1]]
    length = math.dist(a, b)
    if layout.style == "rows":
        bend = 0.0 if a[1] != b[1] else -min(0.42, 0.09 * length)
        control = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2 + 2 * bend)
    elif layout.style == "grid" and length > 1.5 * _step(layout):
        # A link round the ends: it leaves to the side, past the nodes between.
        bend = 0.12
        control = ((a[0] + b[0]) / 2 - bend * (b[1] - a[1]), (a[1] + b[1]) / 2 + bend * (b[0] - a[0]))
    else:
        return [a, b]
    steps = [i / 16 for i in range(17)]
    return [
        (
            (1 - t) ** 2 * a[0] + 2 * t * (1 - t) * control[0] + t * t * b[0],
            (1 - t) ** 2 * a[1] + 2 * t * (1 - t) * control[1] + t * t * b[1],
        )
        for t in steps
    ]


def _step(layout: Layout) -> float:
    """Length of the longest link between neighbours on the grid."""
    points = list(layout.at.values())
    xs = sorted({round(p[0], 6) for p in points if abs(p[1] - points[0][1]) < 1e-9})
    return max((xs[1] - xs[0]) if len(xs) > 1 else 1.0, 1.0)


def _draw_tiers(ax: Axes, graph: nx.Graph[Any], layout: Layout) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    lines: dict[str, list[list[Point]]] = {}
    facts: dict[str, set[tuple[float, float]]] = {}
    for link, attributes in _links(graph, layout):
        tier, where = str(attributes.get("tier", "link")), f"draw: link {link[0]!r} - {link[1]!r}"
        lines.setdefault(tier, []).append(_line(layout, link))
        facts.setdefault(tier, set()).add(
            (link_bandwidth(attributes, where), link_latency(attributes, where))
        )
    handles: list[Any] = []
    for i, (tier, segments) in enumerate(lines.items()):
        colour = _COLOURS[i] if i < len(_COLOURS) else _GREY
        width = 1.4 if len(segments) <= 64 else 0.9 if len(segments) <= 400 else 0.5
        ax.add_collection(LineCollection(segments, colors=colour, linewidths=width, zorder=1))
        handles.append(Line2D([], [], color=colour, linewidth=2, label=_tier_words(tier, facts[tier])))
    _legend(ax, graph, layout, handles)


def _tier_words(tier: str, facts: set[tuple[float, float]]) -> str:
    rates, times = zip(*facts, strict=True)
    spans = (
        show(min(xs)) if min(xs) == max(xs) else f"{show(min(xs))} to {show(max(xs))}"
        for show, xs in ((units.format_bandwidth, rates), (units.format_time, times))
    )
    return f"{tier}: {', '.join(spans)}"


def _legend(ax: Axes, graph: nx.Graph[Any], layout: Layout, handles: list[Any]) -> None:
    from matplotlib.lines import Line2D

    if layout.style != "rows":
        drawn = {graph.nodes[n]["kind"] for n in layout.at}
        for kind in KINDS if len(drawn) > 1 else ():
            if kind in drawn:
                marker, face, name = _MARKERS[kind]
                handles.append(
                    Line2D([], [], linestyle="", marker=marker, markerfacecolor=face,
                           markeredgecolor=_INK, markersize=6, label=name)
                )  # fmt: skip
    if handles:
        ax.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), frameon=False,
            ncols=min(2, len(handles)), fontsize=_FONT, borderaxespad=0.3,
        )  # fmt: skip


def _draw_values(ax: Axes, graph: nx.Graph[Any], layout: Layout, values: Mapping[Link, float]) -> None:
    import matplotlib as mpl
    from matplotlib.collections import LineCollection

    grey, coloured, numbers = [], [], []
    for link, _ in _links(graph, layout):
        both = [values[way] for way in (link, link[::-1]) if way in values]
        if both:
            coloured.append(_line(layout, link))
            numbers.append(float(max(both)))
        else:
            grey.append(_line(layout, link))
    ax.add_collection(LineCollection(grey, colors=_GREY, linewidths=0.8, zorder=1))
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    lines = LineCollection(
        [coloured[i] for i in order], cmap=mpl.colormaps["viridis_r"], linewidths=1.8, zorder=1.5
    )
    lines.set_array([numbers[i] for i in order])
    lines.set_clim(0, 1)
    ax.add_collection(lines)
    bar = ax.figure.colorbar(lines, ax=ax, shrink=0.8, pad=0.02)
    bar.ax.tick_params(labelsize=_FONT)
    _legend(ax, graph, layout, [])


def _draw_nodes(ax: Axes, graph: nx.Graph[Any], layout: Layout) -> None:
    scale = _points_per_unit(ax, layout)
    groups: dict[tuple[str, float], list[Point]] = {}
    for node, room in layout.pitch().items():
        diameter = min(14.0, max(2.0, 0.62 * room * scale))
        groups.setdefault((graph.nodes[node]["kind"], diameter), []).append(layout.at[node])
    for (kind, diameter), points in groups.items():
        marker, face, _ = _MARKERS[kind]
        xs, ys = zip(*points, strict=True)
        ax.scatter(
            xs, ys, s=diameter**2, marker=marker, facecolors=face, edgecolors=_INK,
            linewidths=0.8 if diameter > 4 else 0.4, zorder=2,
        )  # fmt: skip


def _draw_words(ax: Axes, graph: nx.Graph[Any], layout: Layout) -> None:
    """Numbers of the chips where there is room, names of the rows, and what is left out."""
    scale = _points_per_unit(ax, layout)
    for node, room in layout.pitch().items():
        if room * scale >= 21 and graph.nodes[node]["kind"] == "chip" and len(str(node)) <= 2:
            ax.annotate(
                str(node), layout.at[node], ha="center", va="center", color="white", fontsize=_FONT, zorder=3
            )
    x0, x1 = ax.get_xlim()
    for y, name in layout.rows.items():
        ax.text(x0, y, name, ha="left", va="center", fontsize=_FONT, color=_INK)
    if layout.style == "rows":
        for y, number in layout.left_out.items():
            ax.text(x1, y, f"… {number:,} more", ha="right", va="center", fontsize=_FONT, color=_INK)
    elif layout.left_out:
        ax.text(
            0.99, 0.01, f"… {layout.left_out[0.0]:,} more nodes", transform=ax.transAxes, ha="right",
            va="bottom", fontsize=_FONT, color=_INK,
        )  # fmt: skip
