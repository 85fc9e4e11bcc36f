"""Routes that were found before, kept with their fabric.

Messages of several sizes go the same ways, and a network looks at a job up to three
times: without contention, for what is alike, event by event.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from sim.fabric import Fabric
from sim.routing.bundles import Bundles
from sim.routing.paths import Paths

__all__ = ["KnownRoutes"]

#: Links on the paths that are kept at most, each of 12 bytes, and what else a path
#: (of a transfer) and a set of paths take, in such links: some 300 MB.
KEPT = 24_000_000
A_PATH, A_SET = 4, 64

#: And so many for each link of the fabric: rounds that pass a link thousands of times, as those of an
#: all-to-all do, would fill the memory for messages of other sizes that hardly ever come.
PASSES = 256


@dataclass(slots=True, eq=False)
class _Known:
    """A set of paths, and those of them that transfers hold (`Bundles`), once somebody asks."""

    route: Paths
    held: Paths | None
    size: int


class KnownRoutes:
    """The latest sets of paths of one fabric, by who sends to whom."""

    def __init__(self, links: int) -> None:
        self._most = min(KEPT, PASSES * links)
        self._by_ends: dict[Hashable, _Known] = {}
        # A known set of paths lives, so that no other has its number.
        self._by_number: dict[int, _Known] = {}
        self._size = 0

    @classmethod
    def of(cls, fabric: Fabric) -> KnownRoutes:
        """Those of a fabric."""
        known = fabric.notes.get("routes")
        if not isinstance(known, KnownRoutes):
            known = fabric.notes["routes"] = cls(fabric.links)
        return known

    def get(self, ends: Hashable) -> Paths | None:
        """The paths between these ends, if they are known."""
        found = self._by_ends.pop(ends, None)
        if found is None:
            return None
        self._by_ends[ends] = found  # the latest again
        return found.route

    def keep(self, ends: Hashable, route: Paths) -> Paths:
        """Keep a set of paths, and let go of the oldest for it."""
        size = route.link.size + A_PATH * len(route) + A_SET
        if size > self._most // 2:
            return route
        while self._size + size > self._most:
            self._forget(next(iter(self._by_ends)))
        one = self._by_ends[ends] = self._by_number[id(route)] = _Known(route, None, size)
        self._size += one.size
        return route

    def held(self, route: Paths, bundles: Bundles) -> Paths:
        """What transfers hold of their paths."""
        known = self._by_number.get(id(route))
        if known is None:
            return bundles.held(route)
        if known.held is None:
            known.held = bundles.held(route)
            if known.held is not route:
                known.size += known.held.link.size
                self._size += known.held.link.size
        return known.held

    def _forget(self, ends: Hashable) -> None:
        gone = self._by_ends.pop(ends)
        del self._by_number[id(gone.route)]
        self._size -= gone.size
