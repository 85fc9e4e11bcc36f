"""Paths of least cost in one scope of a fabric, and what their search has found, kept."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from sim.fabric import KINDS, Fabric
from sim.routing.paths import Bools, Ints, Paths
from sim.schedule import IntArray
from sim.waits import offsets_of

__all__ = ["ShortestPaths"]

CHIP = KINDS.index("chip")

#: Bytes of distances that are kept with a fabric.
KEPT = 64_000_000


class ShortestPaths:
    """Finds paths of least cost between the chips of a fabric.

    Parameters
    ----------
    fabric : Fabric
    scope : {"domain", "host", "all"}
        Inside scale-up domains, inside hosts, or over the scale-out fabric.
    minimal : bool
        Whether links between pods count before all others.
    """

    def __init__(self, fabric: Fabric, scope: str, minimal: bool) -> None:
        self.fabric = fabric
        nodes = len(fabric.nodes)
        chip = fabric.kind == CHIP
        if scope == "domain":
            self.zone, self.transit = fabric.domain, np.ones(nodes, dtype=np.bool_)
        elif scope == "host":
            self.zone, self.transit = fabric.host, ~chip & (fabric.domain < 0)
        else:
            self.zone, self.transit = np.zeros(nodes, dtype=np.int32), fabric.domain < 0
        apart = np.zeros(fabric.links, dtype=np.bool_)
        if minimal:
            from_pod, to_pod = fabric.pod[fabric.tail], fabric.pod[fabric.head]
            apart = (from_pod >= 0) & (to_pod >= 0) & (from_pod != to_pod)
        self.cost = np.where(apart, nodes + 2, 1)
        self.members = np.flatnonzero(self._core())
        self.core = np.full(nodes, -1, dtype=np.int64)
        self.core[self.members] = np.arange(self.members.size)
        # A zone of its own is searched sooner than it is looked up among all.
        room = KEPT // (8 * max(1, self.members.size)) if scope == "all" else 0
        self._rows = np.empty((min(room, nodes), self.members.size), dtype=np.int64)
        self._row_of = np.full(nodes, -1, dtype=np.int64)
        self._kept = np.zeros(1, dtype=np.int64)

    @classmethod
    def of(cls, fabric: Fabric, scope: str, minimal: bool) -> ShortestPaths:
        """Those of a fabric, made once and kept with it."""
        key = ("shortest paths", scope, minimal)
        known = fabric.notes.get(key)
        if not isinstance(known, ShortestPaths):
            known = fabric.notes[key] = cls(fabric, scope, minimal)
        return known

    def paths(self, address: IntArray, src: IntArray, dst: IntArray) -> Paths:
        """Links of each transfer; none where there is no path.

        Parameters
        ----------
        address : int64 array, shape (nodes,)
            Number whose digits choose among equal ways.
        src, dst : int64 arrays, shape (m,)
        """
        # Kernels are imported where they are used: numba takes a third of a second.
        from sim.routing import search

        f = self.fabric
        nodes = len(f.nodes)
        in_start, in_link = self._inward
        widest = int(np.diff(f.out_start).max(initial=0))
        by_destination = np.argsort(dst, kind="stable")
        room = 16 * src.size
        while True:
            link = np.empty(room, dtype=np.int32)
            piece, length, delay = (np.zeros(src.size, dtype=np.int64) for _ in range(3))
            used = search.shortest(
                by_destination, src, dst, self.zone, self.transit, self.core, self.members, self.cost,
                in_start, in_link, f.tail, f.out_start, f.out_link, f.head, address, f.latency_ps,
                self._row_of, self._rows, self._kept, np.full(nodes, -1, dtype=np.int64),
                np.empty(nodes, dtype=np.int64), np.empty(nodes + widest, dtype=np.int64),
                np.zeros(nodes, dtype=np.bool_), link, piece, length, delay,
            )  # fmt: skip
            if used >= 0:
                break
            room = max(2 * room, -used)
        start = offsets_of(length)
        within = np.arange(int(start[-1])) - np.repeat(start[:-1], length)
        return Paths(
            start,
            link[np.repeat(piece, length) + within],
            np.ones(int(start[-1])),
            delay,
            np.zeros(src.size, dtype=np.bool_),
        )

    @cached_property
    def _inward(self) -> tuple[IntArray, Ints]:
        """Links into each node, in compressed rows."""
        f = self.fabric
        order = np.lexsort((np.arange(f.links), f.tail, f.head)).astype(np.int32)
        return offsets_of(np.bincount(f.head, minlength=len(f.nodes))), order

    def _core(self) -> Bools:
        """Whether each node can be passed, and is more than a dead end at a node that can."""
        # Kernels are imported where they are used: numba takes a third of a second.
        from sim.numbering import firsts, told_apart

        f, nodes = self.fabric, len(self.fabric.nodes)
        both = self.transit[f.tail] & self.transit[f.head] & (self.zone[f.tail] == self.zone[f.head])
        tail, head = f.tail[both].astype(np.int64), f.head[both].astype(np.int64)
        pairs: npt.NDArray[np.int64] = np.concatenate([tail * nodes + head, head * nodes + tail])
        pairs = pairs[firsts(told_apart(np.zeros(pairs.size, dtype=np.int64), pairs))]
        neighbours = np.bincount(pairs // nodes, minlength=nodes)
        # Of two nodes that have each other alone, both stay.
        alone = neighbours == 0
        single = neighbours[pairs // nodes] == 1
        ends = single & (neighbours[pairs % nodes] > 1)
        dead = alone.copy()
        dead[(pairs // nodes)[ends]] = True
        return np.asarray(self.transit & ~dead)
