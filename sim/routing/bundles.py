"""Links that are always held together: one of them speaks for all.

A NIC or a host bridge with two neighbours passes on whatever it gets: every
transfer on the link into it is on the link out of it, at the same rate. Of such
a chain only the narrowest link can ever limit anybody, so max-min rates are the
same when each transfer holds one link of the chain, with the least capacity of
all. The event loop then has half as many links to look at on most paths of
machines with a NIC for every chip.

A switch with two neighbours is left alone: it may sum what an in-network transfer
brings, so that its two links carry different shares.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sim.fabric import KINDS, Fabric
from sim.routing.paths import Bools, Ints, Paths
from sim.schedule import FloatArray, IntArray

__all__ = ["Bundles"]

SWITCH, CHIP = KINDS.index("switch"), KINDS.index("chip")


class Bundles:
    """Chains of links of one fabric.

    Attributes
    ----------
    speaker : int32 array, shape (links,)
        The link of its chain that transfers hold in the name of each link: the first.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.speaker, self._place = _chains(fabric)
        self._tier = fabric.tier
        self._last: tuple[FloatArray, tuple[FloatArray, Ints]] | None = None

    @classmethod
    def of(cls, fabric: Fabric) -> Bundles:
        """The bundles of a fabric, found once and kept with it."""
        known = fabric.notes.get("bundles")
        if not isinstance(known, Bundles):
            known = fabric.notes["bundles"] = cls(fabric)
        return known

    @cached_property
    def speaks(self) -> Bools:
        """Whether each link is held itself."""
        return np.asarray(self.speaker == np.arange(self.speaker.size))

    @cached_property
    def _members(self) -> tuple[IntArray, IntArray]:
        """Links ordered by their speaker and along its chain, and where each chain begins."""
        order = np.lexsort((self._place, self.speaker))
        first = np.flatnonzero(np.diff(self.speaker[order], prepend=-1))
        return order, first

    def narrowest(self, capacity: FloatArray) -> tuple[FloatArray, Ints]:
        """Capacity of each speaker's chain, and the tier of the link that sets it.

        Parameters
        ----------
        capacity : float64 array, shape (links,)
            Bytes/s of each link.

        Returns
        -------
        float64 and int32 arrays, shape (links,)
            The least capacity of the chain, and the first such link's tier, at the
            speakers; at the others what they have themselves.
        """
        if self.speaks.all():
            return capacity, self._tier
        if self._last is None or not np.array_equal(self._last[0], capacity):
            self._last = capacity.copy(), self._narrowest(capacity)
        least, tier = self._last[1]
        return least.copy(), tier

    def _narrowest(self, capacity: FloatArray) -> tuple[FloatArray, Ints]:
        order, first = self._members
        speakers = order[first]
        least = capacity.copy()
        least[speakers] = np.minimum.reduceat(capacity[order], first)
        sets = np.where(capacity[order] == least[self.speaker[order]], np.arange(order.size), order.size)
        tier = self._tier.copy()
        tier[speakers] = self._tier[order[np.minimum.reduceat(sets, first)]]
        return least, tier

    def chain(self, link: int) -> IntArray:
        """All links of a link's chain, that one among them."""
        return np.flatnonzero(self.speaker == self.speaker[link])

    def held(self, paths: Paths) -> Paths:
        """Paths with the speakers alone."""
        if self.speaks.all():
            return paths
        keep = self.speaks[paths.link]
        count = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(keep)])
        return Paths(
            count[paths.start], paths.link[keep], paths.weight[keep], paths.latency_ps, paths.outside
        )

    def spread(self, carried: FloatArray) -> FloatArray:
        """Bytes of every link from those of the speakers, shape (links,)."""
        return carried[self.speaker]


def _chains(fabric: Fabric) -> tuple[Ints, Ints]:
    """The first link of each link's chain, itself where it stands alone; and its place in the chain."""
    tail, head, links = fabric.tail, fabric.head, fabric.links
    nodes = len(fabric.nodes)
    into, out = np.bincount(head, minlength=nodes), np.bincount(tail, minlength=nodes)
    passes = (fabric.kind != CHIP) & (fabric.kind != SWITCH) & (into == 2) & (out == 2)
    before = np.arange(links, dtype=np.int64)
    arriving = np.flatnonzero(passes[head])
    node = head[arriving]
    first = fabric.out_link[fabric.out_start[node]]
    other = fabric.out_link[fabric.out_start[node] + 1]
    # The way on is the one that does not lead back; without a way back nothing is known.
    back = fabric.reverse[arriving]
    on = np.where(first == back, other, first)
    known = (
        (back >= 0) & ((first == back) | (other == back)) & (tail[on] == node) & (head[on] != tail[arriving])
    )
    before[on[known]] = arriving[known]
    # Pointer jumping: a chain of n links takes log2 n rounds.
    place = (before != np.arange(links)).astype(np.int64)
    for _ in range(links.bit_length() + 1):
        earlier = before[before]
        if (earlier == before).all():
            return before.astype(np.int32), place.astype(np.int32)
        place = place + place[before]
        before = earlier
    # Bridges in a circle, which no chip can reach.
    return np.arange(links, dtype=np.int32), np.zeros(links, dtype=np.int32)
