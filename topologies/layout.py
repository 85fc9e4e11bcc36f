"""Where the nodes of a graph stand in a picture, and which of them when they are many.

- Nodes that all have a ``level`` stand in rows: chips in the middle with their
  host together, the scale-out fabric above, the scale-up fabric (nodes with a
  ``domain``) below.
- Chips of a mesh or torus stand on their grid, further dimensions oblique.
- Everything else stands on a circle, chips outside of the switches they hang on.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

__all__ = ["LIMIT", "Layout", "place"]

#: Nodes that are drawn all; of larger graphs a part is.
LIMIT = 200

#: Of a larger graph: groups (hosts, leaves), chips of each, nodes of each row above and below.
_GROUPS, _CHIPS, _ROW = 4, 8, 12

Point = tuple[float, float]


@dataclass(slots=True)
class Layout:
    """Places of the nodes that are drawn.

    Attributes
    ----------
    at : dict of node to (x, y)
    style : str
        ``rows``, ``grid`` or ``circle``.
    rows : dict of y to text
        Names of the rows.
    left_out : dict of y to int
        Nodes of each row that are not drawn (of all, at y = 0, without rows).
    """

    at: dict[Hashable, Point]
    style: str
    rows: dict[float, str] = field(default_factory=dict)
    left_out: dict[float, int] = field(default_factory=dict)

    def pitch(self) -> dict[Hashable, float]:
        """Room of each node: the least distance between two nodes of its row, or of all."""
        groups: dict[float, list[Hashable]] = defaultdict(list)
        for node, (_, y) in self.at.items():
            groups[y if self.style == "rows" else 0.0].append(node)
        room: dict[Hashable, float] = {}
        for nodes in groups.values():
            pairs = itertools.combinations([self.at[n] for n in nodes], 2)
            least = min((math.dist(a, b) for a, b in pairs), default=math.inf)
            room.update(dict.fromkeys(nodes, least))
        return room


def place(graph: nx.Graph[Any]) -> Layout:
    """Choose the nodes to draw and their places.

    Parameters
    ----------
    graph : networkx graph
        With a ``kind`` on each node.

    Returns
    -------
    Layout
    """
    nodes = graph.nodes
    if all(nodes[n].get("level") is not None for n in graph):
        return _rows(graph)
    if graph.graph.get("dims") and all("coord" in nodes[n] for n in graph if nodes[n]["kind"] == "chip"):
        dims = [int(d) for d in str(graph.graph["dims"]).split("x")]
        only_chips = all(nodes[n]["kind"] == "chip" for n in graph)
        if only_chips and sum(d > 1 for d in dims) > 1:
            return _grid(graph, dims)
    return _circle(graph)


def _rows(graph: nx.Graph[Any]) -> Layout:
    row = {n: _row(a) for n, a in graph.nodes(data=True)}
    drawn = list(graph) if len(graph) <= LIMIT else _part(graph, row)
    at: dict[Hashable, Point] = {}
    x, before = 0.0, None
    groups = {n: _group(graph, n, row) for n in drawn if row[n] == 0}
    for chip, group in groups.items():
        # A gap between groups, so that they are seen as such.
        x += 0.0 if before is None else 1.0 if group == before else 1.8
        at[chip] = (x, 0.0)
        before = group
    width = x
    for y in sorted({row[n] for n in drawn if row[n]}, key=abs):
        here = [n for n in drawn if row[n] == y]
        for node, where in zip(here, _spread(graph, here, at, width), strict=True):
            at[node] = (where, float(y))
    every, shown = Counter(row.values()), Counter(row[n] for n in drawn)
    ys = {y: float(i) for side in (1, -1) for i, y in _numbered(shown, side)}
    return Layout(
        at={n: (px, ys[int(py)]) for n, (px, py) in at.items()},
        style="rows",
        rows={ys[y]: _row_name(graph, [n for n in drawn if row[n] == y]) for y in shown},
        left_out={ys[y]: every[y] - shown[y] for y in shown if every[y] > shown[y]},
    )


def _numbered(shown: Counter[int], side: int) -> list[tuple[int, int]]:
    """Rows of one side of the chips, numbered from the chips without gaps."""
    ys = sorted((y for y in shown if y == 0 or (y > 0) == (side > 0)), key=abs)
    return [(side * i, y) for i, y in enumerate(ys)]


def _row(attributes: dict[str, Any]) -> int:
    level = int(attributes["level"])
    below = attributes.get("domain") is not None and attributes["kind"] != "chip"
    return -level if below else level


def _group(graph: nx.Graph[Any], chip: Hashable, row: dict[Hashable, int]) -> Hashable:
    """What a chip is drawn together with: its host, else its domain, else its first switch."""
    attributes = graph.nodes[chip]
    for key in ("host", "domain"):
        if attributes.get(key) is not None:
            return (key, attributes[key])
    return next((n for n in graph[chip] if row[n] > 0), None)


def _part(graph: nx.Graph[Any], row: dict[Hashable, int]) -> list[Hashable]:
    """The first chips of the first groups, and the first nodes of each row that they lead to."""
    taken: dict[Hashable, int] = {}
    kept: set[Hashable] = set()
    for node in graph:
        if row[node] == 0:
            group = _group(graph, node, row)
            if group not in taken and len(taken) == _GROUPS:
                continue
            taken[group] = taken.get(group, 0) + 1
            if taken[group] <= _CHIPS:
                kept.add(node)
    for side in (1, -1):
        frontier = set(kept)
        for y in sorted({r for r in row.values() if r * side > 0}, key=abs):
            found = _reached(graph, [n for n in graph if n in frontier], row, y)
            frontier.update(found)
            kept.update(found)
    return [n for n in graph if n in kept]


def _reached(
    graph: nx.Graph[Any], frontier: list[Hashable], row: dict[Hashable, int], y: int
) -> list[Hashable]:
    """Some nodes of a row that the drawn ones lead to, of each of them in turn."""
    above = [[n for n in graph[f] if row[n] == y] for f in frontier]
    in_turn = (n for step in itertools.zip_longest(*above) for n in step if n is not None)
    found = list(dict.fromkeys(in_turn))
    # NICs are as many as chips; of switches a dozen tells the story.
    nics = bool(found) and graph.nodes[found[0]]["kind"] == "nic"
    return found[: _GROUPS * _CHIPS if nics else _ROW]


def _spread(
    graph: nx.Graph[Any], here: list[Hashable], at: dict[Hashable, Point], width: float
) -> list[float]:
    """Each node above the middle of its neighbours, if that keeps them apart; else evenly."""
    middles = []
    for node in here:
        below = [at[n][0] for n in graph[node] if n in at]
        middles.append(sum(below) / len(below) if below else math.nan)
    apart = all(b - a >= 0.9 for a, b in itertools.pairwise(middles)) and not any(map(math.isnan, middles))
    if apart and (len(here) == 1 or middles[-1] - middles[0] > 0.5 * width):
        return middles
    step = max(width + 1, 1.0) / len(here)
    return [(i + 0.5) * step - 0.5 for i in range(len(here))]


def _row_name(graph: nx.Graph[Any], here: list[Hashable]) -> str:
    kind = str(graph.nodes[here[0]]["kind"])
    if kind == "chip":
        return "chips"
    if kind == "nic":
        return "NICs"
    stems = {str(n).rstrip("0123456789.").split("-")[-1] for n in here}
    if len(stems) == 1 and (stem := stems.pop()) in ("leaf", "spine", "core"):
        return stem
    domain = any(graph.nodes[n].get("domain") is not None for n in here)
    return "scale-up" if domain else f"{kind}es" if kind == "switch" else f"{kind}s"


def _grid(graph: nx.Graph[Any], dims: list[int]) -> Layout:
    long = [i for i, d in enumerate(dims) if d > 1]
    if len(graph) > LIMIT:
        each = max(2, int(LIMIT ** (1 / len(long))))
        dims = [min(d, each) for d in dims]
    inner = long[-3:]
    depth = dims[inner[0]] if len(inner) == 3 else 1
    # Far enough apart for the planes behind to show between the nodes in front.
    pitch = max(1.0, 0.32 * depth)
    vectors: dict[int, Point] = {inner[-1]: (pitch, 0.0), inner[-2]: (0.0, -pitch)}
    if len(inner) == 3:
        vectors[inner[0]] = (0.3, 0.22)
    block = [pitch * (dims[inner[-1]] + 0.4), -pitch * (dims[inner[-2]] + 0.4)]
    for number, axis in enumerate(reversed(long[:-3])):
        side = number % 2
        vectors[axis] = (0.0, block[1]) if side else (block[0], 0.0)
        block[side] *= dims[axis]
    at: dict[Hashable, Point] = {}
    for node, coord in graph.nodes(data="coord"):
        place_ = [int(c) for c in str(coord).split(",")]
        if any(c >= d for c, d in zip(place_, dims, strict=True)):
            continue
        at[node] = (
            sum(place_[a] * v[0] for a, v in vectors.items()),
            sum(place_[a] * v[1] for a, v in vectors.items()),
        )
    left_out = {0.0: len(graph) - len(at)} if len(at) < len(graph) else {}
    return Layout(at=at, style="grid", left_out=left_out)


def _circle(graph: nx.Graph[Any]) -> Layout:
    switches = [n for n in graph if graph.nodes[n]["kind"] != "chip"]
    chips = [n for n in graph if graph.nodes[n]["kind"] == "chip"]
    if len(graph) > LIMIT and switches:
        # The first switches, each with its first chips.
        each = {s: [n for n in graph[s] if graph.nodes[n]["kind"] == "chip"][:_CHIPS] for s in switches}
        sums = itertools.accumulate(1 + len(found) for found in each.values())
        switches = switches[: max(1, sum(total <= LIMIT for total in sums))]
        chips = list(dict.fromkeys(c for s in switches for c in each[s]))
    elif len(graph) > LIMIT:
        chips = chips[:LIMIT]
    at: dict[Hashable, Point] = {}
    slots: list[tuple[Hashable, list[Hashable]]] = [(s, []) for s in switches]
    hung = dict(slots)
    for chip in chips:
        home = next((n for n in graph[chip] if n in hung), None)
        if home is None:
            slots.append((chip, []))
        else:
            hung[home].append(chip)
    total = sum(max(1, len(members)) for _, members in slots)
    turn = 0
    for node, members in slots:
        share = max(1, len(members))
        at[node] = _on_circle((turn + (share - 1) / 2) / total, 0.72 if hung else 1.0)
        for i, chip in enumerate(members):
            at[chip] = _on_circle((turn + i) / total, 1.0)
        turn += share
    left_out = {0.0: len(graph) - len(at)} if len(at) < len(graph) else {}
    return Layout(at=at, style="circle", left_out=left_out)


def _on_circle(turn: float, radius: float) -> Point:
    """A point of a circle, from the top and clockwise, in units that suit other layouts' distances."""
    angle = math.pi / 2 - 2 * math.pi * turn
    return (10 * radius * math.cos(angle), 10 * radius * math.sin(angle))
