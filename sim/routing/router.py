"""The router: the rules of one fabric, compiled once, asked for many pairs.

Between two chips the smallest scope that holds both is used: their scale-up
domain, else their host, else the scale-out fabric (docs/design.md).
"""

from __future__ import annotations

import numpy as np

from sim.fabric import Fabric
from sim.routing.bundles import Bundles
from sim.routing.known import KnownRoutes
from sim.routing.paths import Bools, Paths, merge
from sim.routing.shortest import ShortestPaths
from sim.schedule import IntArray, Payload
from topologies.errors import RouteError, nearest

__all__ = ["ROUTINGS", "Router"]

#: Names that ``routing=`` takes. ``shortest`` is fewest links, equal choices by
#: digits; ``ecmp`` is another name for it; ``minimal`` (dragonfly) counts links
#: between pods first (Kim et al., ISCA 2008: one where one suffices).
ROUTINGS = ("up_down", "dimension_order", "shortest", "minimal", "ecmp")


class _Climber:
    """Up-links of one scope in compressed rows: those from which its top can be reached."""

    def __init__(self, fabric: Fabric, inside: bool) -> None:
        tail, head, level = fabric.tail, fabric.head, fabric.level
        upward = (level[head] > level[tail]) & (level[tail] >= 0)
        if inside:
            upward &= (fabric.domain[tail] >= 0) & (fabric.domain[tail] == fabric.domain[head])
        else:
            outside = fabric.domain < 0
            upward &= outside[head] & (outside[tail] | (fabric.kind[tail] == 0))
            upward &= self._reaches_top(fabric, outside, upward)[head]
        in_order = fabric.out_link[upward[fabric.out_link]]
        self.up_link = in_order
        self.up_start = np.zeros(len(fabric.nodes) + 1, dtype=np.int64)
        np.cumsum(np.bincount(tail[in_order], minlength=len(fabric.nodes)), out=self.up_start[1:])
        planes = int(np.diff(self.up_start)[fabric.rank_nodes].max(initial=1))
        # A climb passes each level once, from either end.
        passed = np.unique(level[head[in_order]]).size
        self.entries = max(1, planes) * 2 * max(1, passed)

    @staticmethod
    def _reaches_top(fabric: Fabric, outside: Bools, upward: Bools) -> Bools:
        levels = np.where(outside, fabric.level, -1)
        reaches = levels == levels.max()
        links = np.flatnonzero(upward)
        for level in np.unique(levels[levels >= 0])[::-1]:
            here = links[fabric.level[fabric.tail[links]] == level]
            reaches[fabric.tail[here[reaches[fabric.head[here]]]]] = True
        return np.asarray(reaches)

    @classmethod
    def of(cls, fabric: Fabric, inside: bool) -> _Climber:
        """Those of a fabric, found once and kept with it."""
        known = fabric.notes.get(("climb", inside))
        if not isinstance(known, _Climber):
            known = fabric.notes["climb", inside] = cls(fabric, inside)
        return known

    def paths(self, fabric: Fabric, address: IntArray, src: IntArray, dst: IntArray) -> Paths:
        from sim.routing import kernels

        count = src.size
        link = np.empty(count * self.entries, dtype=np.int32)
        weight = np.empty(count * self.entries)
        start = np.zeros(count + 1, dtype=np.int64)
        delay = np.zeros(count, dtype=np.int64)
        scratch = np.empty(self.entries, dtype=np.int64)
        used = kernels.climb(
            src, dst, address, fabric.level, self.up_start, self.up_link, fabric.head, fabric.reverse,
            fabric.bandwidth, fabric.latency_ps, scratch, link, weight, start, delay,
        )  # fmt: skip
        return Paths(start, link[:used].copy(), weight[:used].copy(), delay, np.zeros(count, dtype=np.bool_))


class Router:
    """Finds the links between chips of one fabric.

    Parameters
    ----------
    fabric : Fabric
    routing : str, optional
        One of `ROUTINGS`; replaces the fabric's own choice in every scope.

    Raises
    ------
    UnknownNameError
        If there is no such routing.
    RouteError
        If the fabric lacks what the routing needs (levels, coordinates).
    """

    def __init__(self, fabric: Fabric, routing: str | None = None) -> None:
        self.fabric = fabric
        for name in (routing, fabric.routing, fabric.domain_routing):
            if name is not None and name not in ROUTINGS:
                raise nearest("routing", name, ROUTINGS)
        self.routing = routing or fabric.routing
        self.domain_routing = routing or fabric.domain_routing
        self.address = fabric.address()
        self._domains = bool((fabric.domain >= 0).any())
        self.bundles = Bundles.of(fabric)
        self._known = KnownRoutes.of(fabric)
        if routing == "up_down" and (fabric.level[fabric.rank_nodes] < 0).any():
            raise RouteError(f"routing 'up_down' needs a level on every node; {fabric.name} has none")
        if routing == "dimension_order" and not fabric.dims:
            raise RouteError(f"routing 'dimension_order' needs dims and coord; {fabric.name} has none")

    def route(self, src: IntArray, dst: IntArray) -> Paths:
        """Links of each transfer.

        Parameters
        ----------
        src, dst : int64 arrays, shape (m,)
            Nodes (chips) at both ends.

        Raises
        ------
        RouteError
            If no path joins a pair; the pair is named.
        """
        ends = self.routing, self.domain_routing, src.size, src.tobytes(), dst.tobytes()
        known = self._known.get(ends)
        return self._known.keep(ends, self._found(src, dst)) if known is None else known

    def held(self, route: Paths) -> Paths:
        """What transfers hold of their paths: one link of each bundle."""
        return self._known.held(route, self.bundles)

    def _found(self, src: IntArray, dst: IntArray) -> Paths:
        f = self.fabric
        todo = np.arange(src.size)
        away = src != dst  # local work holds no links
        inside = away & (f.domain[src] >= 0) & (f.domain[src] == f.domain[dst])
        same_host = away & ~inside & (f.host[src] >= 0) & (f.host[src] == f.host[dst]) & (f.domain[src] >= 0)
        parts: list[tuple[IntArray, Paths]] = []
        left = np.concatenate(
            [
                self._scope(parts, todo[inside], src, dst, self.domain_routing, "domain"),
                self._scope(parts, todo[same_host], src, dst, "shortest", "host"),
                todo[away & ~inside & ~same_host],
            ]
        )
        inner = len(parts)
        left = self._scope(parts, np.sort(left, kind="stable"), src, dst, self.routing, "all")
        if self._domains:
            for _, paths in parts[inner:]:
                paths.outside[:] = True
        if left.size:
            i = int(left[0])
            a, b = f.nodes[int(src[i])], f.nodes[int(dst[i])]
            raise RouteError(f"{f.name}: no path from chip {a!r} to chip {b!r}; see topologies.check")
        return merge(src.size, parts)

    def trees(self, up: Payload, down: Payload, home: IntArray) -> Paths:
        """Links of in-network transfers: a tree of switches each.

        Parameters
        ----------
        up, down : (offsets, nodes)
            Chips that send to, and receive from, the root of each transfer's tree.
        home : int64 array, shape (m,)
            Chip whose address chooses among equal roots.

        Raises
        ------
        RouteError
            If no switch reaches all the chips of a transfer over switches; it says who.
        """
        from sim.routing.trees import TreeFinder

        finder = self.fabric.notes.get("trees")
        if not isinstance(finder, TreeFinder):
            finder = self.fabric.notes["trees"] = TreeFinder(self.fabric, self.address)
        return finder.paths(up, down, home)

    def _scope(
        self,
        parts: list[tuple[IntArray, Paths]],
        which: IntArray,
        src: IntArray,
        dst: IntArray,
        routing: str,
        scope: str,
    ) -> IntArray:
        """Route the transfers ``which`` in one scope; give back those it cannot serve."""
        if not which.size:
            return which
        s, d = np.ascontiguousarray(src[which]), np.ascontiguousarray(dst[which])
        if routing == "dimension_order" and self.fabric.dims:
            which = self._keep(parts, which, self._dimension_order(s, d))
        elif routing == "up_down":
            inside = scope == "domain"
            climber = _Climber.of(self.fabric, inside)
            which = self._keep(parts, which, climber.paths(self.fabric, self.address, s, d))
        if which.size:
            s, d = np.ascontiguousarray(src[which]), np.ascontiguousarray(dst[which])
            finder = ShortestPaths.of(self.fabric, scope, routing == "minimal")
            which = self._keep(parts, which, finder.paths(self.address, s, d))
        return which

    @staticmethod
    def _keep(parts: list[tuple[IntArray, Paths]], which: IntArray, paths: Paths) -> IntArray:
        """Keep the paths that were found; give back the transfers without one."""
        found = paths.lengths > 0
        if found.all():
            parts.append((which, paths))
            return which[:0]
        if found.any():
            start = np.concatenate([[0], np.cumsum(paths.lengths[found])])
            kept = Paths(start, paths.link, paths.weight, paths.latency_ps[found], paths.outside[found])
            parts.append((which[found], kept))
        return which[~found]

    def _dimension_order(self, src: IntArray, dst: IntArray) -> Paths:
        from sim.routing import kernels

        f = self.fabric
        dims = np.array(f.dims, dtype=np.int64)
        node_at = np.full(int(dims.prod()), -1, dtype=np.int64)
        placed = np.flatnonzero((f.coordinates >= 0).all(axis=1))
        node_at[np.ravel_multi_index(tuple(f.coordinates[placed].T), f.dims)] = placed
        link = np.empty(src.size * int(dims.sum()), dtype=np.int32)
        start = np.zeros(src.size + 1, dtype=np.int64)
        delay = np.zeros(src.size, dtype=np.int64)
        used = kernels.dimension_order(
            src, dst, f.coordinates.astype(np.int64), dims, np.array(f.wrap), node_at,
            f.out_start, f.out_link, f.head, f.latency_ps, link, start, delay,
        )  # fmt: skip
        return Paths(start, link[:used].copy(), np.ones(used), delay, np.zeros(src.size, dtype=np.bool_))
