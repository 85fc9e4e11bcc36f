"""Trees of switches for in-network transfers: who sums, who multicasts.

A transfer that the network reduces climbs from its senders to a root and goes
down from there to its receivers, one flow at one rate over all these links. A
switch sums what comes from below into one stream and multicasts one stream to
all below. A NIC or a host bridge cannot: as many streams pass its upward link as
chips stand below it.

Between chips of one scale-up domain the tree stays in the domain; else it takes
the scale-out fabric. The root is where the climb of the transfer's home chip
ends (D-mod-k by its address, as for messages), lowered while all chips stand
below a single child. A chip with several upward links in the domain (planes) has
a tree in each, with a share of the data by bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sim.fabric import KINDS, Fabric
from sim.routing.paths import Ints, Paths
from sim.schedule import FloatArray, IntArray, Payload
from topologies.errors import RouteError

__all__ = ["TreeFinder"]

SWITCH = KINDS.index("switch")

#: From a node of the tree to the link that leads down to it.
Tree = dict[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """Links that one transfer holds, their weights, its latency, whether it leaves a domain."""

    link: Ints
    weight: FloatArray
    latency_ps: int
    outside: bool


class TreeFinder:
    """Finds the trees of one fabric.

    Parameters
    ----------
    fabric : Fabric
    address : int64 array, shape (nodes,)
        Number whose digits choose among equal roots (`Fabric.address`).
    """

    def __init__(self, fabric: Fabric, address: IntArray) -> None:
        self.fabric = fabric
        self.address = address
        self._out = [
            fabric.out_link[fabric.out_start[v] : fabric.out_start[v + 1]].tolist()
            for v in range(len(fabric.nodes))
        ]
        self._head: list[int] = fabric.head.tolist()
        self._level: list[int] = fabric.level.tolist()
        self._whole: dict[tuple[int, int], Tree] = {}
        self._found: dict[tuple[int, bytes, bytes], _Tree] = {}

    def paths(self, up: Payload, down: Payload, home: IntArray) -> Paths:
        """Links of m transfers; see `Router.trees`."""
        found = [
            self._known(int(home[i]), up[1][up[0][i] : up[0][i + 1]], down[1][down[0][i] : down[0][i + 1]])
            for i in range(home.size)
        ]
        nothing = _Tree(np.zeros(0, np.int32), np.zeros(0), 0, False)
        return Paths(
            np.concatenate([[0], np.cumsum([t.link.size for t in found])]).astype(np.int64),
            np.concatenate([t.link for t in [*found, nothing]]),
            np.concatenate([t.weight for t in [*found, nothing]]),
            np.array([t.latency_ps for t in found], dtype=np.int64),
            np.array([t.outside for t in found], dtype=np.bool_),
        )

    def _known(self, home: int, up: IntArray, down: IntArray) -> _Tree:
        """A transfer's tree, found once: the pieces of a pipeline all take the same."""
        key = (home, up.tobytes(), down.tobytes())
        if key not in self._found:
            held, slowest, away = self._one(up.tolist(), down.tolist(), home)
            self._found[key] = _Tree(
                np.fromiter(held, dtype=np.int32, count=len(held)),
                np.fromiter(held.values(), dtype=np.float64, count=len(held)),
                slowest,
                away,
            )
        return self._found[key]

    def _one(self, senders: list[int], receivers: list[int], home: int) -> tuple[dict[int, float], int, bool]:
        """Weight of each link of a transfer, its latency, and whether it leaves a domain."""
        f = self.fabric
        chips = list(dict.fromkeys([*senders, *receivers]))
        domains = set(f.domain[chips].tolist())
        zone = domains.pop() if len(domains) == 1 and min(domains) >= 0 else -1
        planes = [l for l in self._out[home] if self._rises(l, home, zone)]
        total = float(f.bandwidth[planes].sum())
        held: dict[int, float] = {}
        slowest = 0
        for first in planes:
            root = self._climb(self._head[first], zone, int(self.address[home]))
            tree = self._tree(root, zone)
            lost = next((c for c in chips if c not in tree), None)
            lowest = -1 if lost is not None else self._lowest(tree, root, chips)
            if lowest < 0:
                raise RouteError(self._refusal(chips, lost))
            share = float(f.bandwidth[first]) / total
            lag = self._side(held, tree, lowest, senders, share, upward=True)
            lag += self._side(held, tree, lowest, receivers, share, upward=False)
            slowest = max(slowest, lag)
        if not planes:
            raise RouteError(self._refusal(chips, home))
        return held, slowest, zone < 0 and bool((f.domain[chips] >= 0).any())

    def _refusal(self, chips: list[int], lost: int | None) -> str:
        f = self.fabric
        who = "" if lost is None else f", {f.nodes[lost]!r} among them"
        return (
            f"{f.name}: no switch stands above all {len(chips)} chips{who}, so the network cannot reduce "
            f"for them; choose another algorithm"
        )

    def _rises(self, link: int, node: int, zone: int) -> bool:
        """Whether a link leads from a node up to where a climb goes on: no chip, in the zone, no lower."""
        head = self._head[link]
        inside = self.fabric.kind[head] != 0 and int(self.fabric.domain[head]) == zone
        return inside and (self._level[head] > self._level[node] or self._level[head] < 0)

    def _climb(self, node: int, zone: int, digits: int) -> int:
        """The top that a chip's address leads to; without levels, the first switch on the way."""
        passed = {node}
        while True:
            ways = [self._head[l] for l in self._out[node] if self._rises(l, node, zone)]
            if self._level[node] >= 0:
                choices = [v for v in ways if self._level[v] > self._level[node]]
            else:
                bridge = self.fabric.kind[node] != SWITCH
                choices = [v for v in ways if v not in passed] if bridge else []
            if not choices:
                return node
            node = choices[digits % len(choices)]
            digits //= len(choices)
            passed.add(node)

    def _tree(self, root: int, zone: int) -> Tree:
        """Fewest links from a root to every chip of a zone, breadth first; chips pass nothing on."""
        known = self._whole.get((root, zone))
        if known is not None:
            return known
        f = self.fabric
        kind, domain, reverse = f.kind, f.domain, f.reverse
        tree: Tree = {root: -1}
        layer = [root]
        while layer:
            below = []
            for v in layer:
                if kind[v] == 0:
                    continue
                for l in self._out[v]:
                    w = self._head[l]
                    if w in tree or reverse[l] < 0:
                        continue
                    if kind[w] != 0 and domain[w] != zone:
                        continue
                    if kind[w] == 0 and zone >= 0 and domain[w] != zone:
                        continue
                    tree[w] = l
                    below.append(w)
            layer = below
        self._whole[root, zone] = tree
        return tree

    def _lowest(self, tree: Tree, root: int, chips: list[int]) -> int:
        """The lowest switch above all the chips, or -1 if there is none."""
        kind, tail = self.fabric.kind, self.fabric.tail
        below: dict[int, set[int]] = {}
        for chip in chips:
            v = chip
            while v != root:
                parent = int(tail[tree[v]])
                known = below.setdefault(parent, set())
                if v in known:
                    break
                known.add(v)
                v = parent
        lowest = root if kind[root] == SWITCH else -1
        while len(below.get(root, ())) == 1:
            root = next(iter(below[root]))
            if kind[root] == 0:
                break
            if kind[root] == SWITCH:
                lowest = root
        return lowest

    def _side(
        self, held: dict[int, float], tree: Tree, root: int, chips: list[int], share: float, *, upward: bool
    ) -> int:
        """Add the links between a root and its senders, or receivers; give back the slowest way's latency."""
        f = self.fabric
        below: dict[int, list[int]] = {root: []}
        order = [root]
        for chip in chips:
            v, path = chip, []
            while v not in below:
                below[v] = []
                path.append(v)
                parent = int(f.tail[tree[v]])
                if parent in below:
                    below[parent].append(v)
                    break
                v = parent
            for child, parent in pairwise(path):
                below[parent].append(child)
            order += reversed(path)
        streams = dict.fromkeys(chips, 1.0)
        lags = dict.fromkeys(chips, 0)
        for v in reversed(order):  # children stand behind their parents
            for child in below[v]:
                link = int(f.reverse[tree[child]]) if upward else tree[child]
                held[link] = held.get(link, 0.0) + share * streams[child]
                lags[v] = max(lags.get(v, 0), lags[child] + int(f.latency_ps[link]))
                streams[v] = streams.get(v, 0.0) + streams[child]
            if f.kind[v] == SWITCH:
                streams[v] = 1.0
        return lags[root]
