"""Turns: all hosts, or scale-up domains, moved on by some places; and whether a job and its fabric allow one.

A turn maps every rank to the rank some places further in its host. It serves
(`sim.network.folding`) if it maps the job's transfers onto each other, in the same
rounds and with the same bytes and costs, and their paths link by link onto links of
the same capacity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.fabric import Fabric
from sim.network.alphabet import Alphabet
from sim.network.job import Job
from sim.routing.paths import Bools
from sim.schedule import FloatArray, IntArray
from sim.transfers import Loaded
from sim.waits import ranges

__all__ = ["Orbits", "Turn", "orbits", "turns"]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A turn of all hosts by one place; ``times`` of them lead back to where all were.

    ``rank`` is the image of each rank, ``one_of`` numbers the sets of ranks that turn
    into each other, ``transfer`` the image of each transfer of the alphabet.
    """

    rank: IntArray
    one_of: IntArray
    transfer: IntArray
    times: int


@dataclass(frozen=True, slots=True, eq=False)
class Orbits:
    """``least`` is the smallest image of each link under any number of turns, ``stays`` how many leave it."""

    least: IntArray
    stays: IntArray


def turns(job: Job, alphabet: Alphabet) -> Iterator[Turn]:
    """Turns of hosts or scale-up domains that map the transfers onto each other, the least first."""
    fabric = job.router.fabric
    words: _Words | None = None
    for place in (fabric.host, fabric.domain):
        of_rank = place[job.nodes]
        if (of_rank < 0).any():
            continue
        host = np.unique(of_rank, return_inverse=True)[1].astype(np.int64)
        size = np.bincount(host)
        if size.size < 2 or size[0] < 2 or (size != size[0]).any():
            continue
        members = np.argsort(host, kind="stable").reshape(size.size, -1)
        for step in [d for d in range(1, size[0]) if size[0] % d == 0]:
            rank = np.empty(host.size, dtype=np.int64)
            rank[members] = np.roll(members, -step, axis=1)
            if (job.arrivals[rank] != job.arrivals).any():
                continue
            words = words or _Words.of(alphabet)
            image = words.images(rank)
            times = int(size[0]) // step
            if image is None or not _comes_back(image, times):
                continue
            one_of = np.empty(host.size, dtype=np.int64)
            one_of[members] = host[members] * step + np.arange(size[0]) % step
            yield Turn(rank, one_of, image, times)


@dataclass(frozen=True, slots=True, eq=False)
class _Words:
    """What tells the transfers of an alphabet apart: ends, and a number for bytes, pattern and work."""

    src: IntArray
    dst: IntArray
    sort: IntArray
    few: IntArray

    @classmethod
    def of(cls, alphabet: Alphabet) -> _Words:
        parts = alphabet.parts
        size = np.unique(np.concatenate([one.bytes for one in parts]), return_inverse=True)[1]
        pattern = alphabet.patterns()
        sort = pattern * (int(size.max(initial=0)) + 1) + size
        first = alphabet.lines[0].parts
        starts = alphabet.starts
        few = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in first])
        return cls(
            np.concatenate([one.src for one in parts]), np.concatenate([one.dst for one in parts]), sort, few
        )

    def images(self, rank: IntArray) -> IntArray | None:
        """For every transfer the one like it between the images of its ranks; None if one lacks."""
        # The first round tells most turns that are none.
        if self._matched(rank, self.few) is None:
            return None
        return self._matched(rank, np.arange(self.src.size))

    def _matched(self, rank: IntArray, which: IntArray) -> IntArray | None:
        src, dst, p = self.src[which], self.dst[which], rank.size
        pair, turned = src * p + dst, rank[src] * p + rank[dst]
        # Transfers between the same ranks are told apart by their sort, then by their order.
        sort = self.sort[which]
        kinds = int(sort.max(initial=0)) + 1
        if kinds < 2**62 // (p * p):
            here = np.argsort(pair * kinds + sort, kind="stable")
            there = np.argsort(turned * kinds + sort, kind="stable")
        else:
            here, there = np.lexsort((sort, pair)), np.lexsort((sort, turned))
        if (pair[here] != turned[there]).any() or (sort[here] != sort[there]).any():
            return None
        image = np.empty(which.size, dtype=np.int64)
        image[there] = here
        return image


def _comes_back(image: IntArray, times: int) -> bool:
    at = image
    for _ in range(times - 1):
        at = image[at]
    return bool((at == np.arange(image.size)).all())


def orbits(
    fabric: Fabric, nodes: IntArray, loaded: list[Loaded], turn: Turn, capacity: FloatArray
) -> Orbits | None:
    """Orbits of the links, if every transfer costs what its image costs and links go to links alike."""
    image = turn.transfer
    costs = [one.costs for one in loaded]
    like = (
        [one.overhead_ps for one in costs], [one.cap for one in costs], [one.wire_bytes for one in costs],
        [one.reduce_ps for one in costs], [one.paths.latency_ps for one in loaded],
        [one.ideal_ps for one in loaded], [one.tier for one in loaded],
        [np.diff(one.paths.start) for one in loaded],
    )  # fmt: skip
    for each in like:
        values = np.concatenate(each)
        if (values != values[image]).any():
            return None
    counts = np.concatenate(like[-1])
    start = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    link = np.concatenate([one.paths.link for one in loaded]).astype(np.int64)
    weight = np.concatenate([one.paths.weight for one in loaded])
    other = ranges(start[image], counts)
    grown = np.repeat(np.concatenate([_grown(one) for one in loaded]), counts)
    to = _images_of_links(fabric, nodes, turn.rank, link[~grown], link[other][~grown])
    if to is None:
        return None
    # The links of a tree come in no order that means anything.
    mine, theirs = to[link], link[other]
    if grown.any():
        owner = np.repeat(np.arange(counts.size), counts)
        here, there = np.lexsort((mine, owner)), np.lexsort((theirs, owner))
        mine, theirs, weight, weight_there = mine[here], theirs[there], weight[here], weight[other][there]
    else:
        weight_there = weight[other]
    if (mine != theirs).any() or (weight != weight_there).any() or not _same_members(loaded, turn):
        return None
    return _turned(to, np.unique(link), turn.times, capacity)


def _grown(one: Loaded) -> Bools:
    """Which transfers are trees."""
    return np.full(one.round.src.size, one.round.trees is not None)


def _images_of_links(
    fabric: Fabric, nodes: IntArray, rank: IntArray, link: IntArray, image: IntArray
) -> IntArray | None:
    """Image of every link: of those on paths the link in the same place of the image's path.

    Links at a chip that no path tells of go to those in the same place at its image,
    all others to themselves. None where paths contradict each other.
    """
    to = np.full(fabric.links, -1, dtype=np.int64)
    to[link] = image
    if (to[link] != image).any():
        return None
    taken = np.zeros(fabric.links, dtype=bool)
    taken[image] = True
    here, there = nodes, nodes[rank]
    counts = fabric.out_start[here + 1] - fabric.out_start[here]
    if (counts == fabric.out_start[there + 1] - fabric.out_start[there]).all():
        mine = fabric.out_link[ranges(fabric.out_start[here].astype(np.int64), counts.astype(np.int64))]
        theirs = fabric.out_link[ranges(fabric.out_start[there].astype(np.int64), counts.astype(np.int64))]
        for a, b in ((mine, theirs), (fabric.reverse[mine], fabric.reverse[theirs])):
            open_ = (a >= 0) & (b >= 0)
            open_ &= (to[a] < 0) & ~taken[b]
            to[a[open_]] = b[open_]
    rest = to < 0
    to[rest] = np.flatnonzero(rest)
    return to


def _turned(to: IntArray, used: IntArray, times: int, capacity: FloatArray) -> Orbits | None:
    """Orbits of the links in use; None if two go to one, to an unlike one, or never come back."""
    if np.unique(to[used]).size != used.size or (capacity[to[used]] != capacity[used]).any():
        return None
    least, stays, at = np.arange(to.size), np.zeros(to.size, dtype=np.int64), np.arange(to.size)
    for _ in range(times):
        at = to[at]
        least[used] = np.minimum(least[used], at[used])
        stays += at == np.arange(to.size)
    return Orbits(least, stays) if (at[used] == used).all() else None


def _same_members(loaded: list[Loaded], turn: Turn) -> bool:
    """Whether the ends of every tree go to the ends of its image."""
    if all(one.waits is None for one in loaded):
        return True
    ends, counts = [], []
    for one in loaded:
        if one.waits is None:
            ends.append(np.column_stack([one.round.src, one.round.dst]).ravel())
            counts.append(np.full(one.round.src.size, 2, dtype=np.int64))
        else:
            ends.append(one.waits.ends[1])
            counts.append(np.diff(one.waits.ends[0]))
    member, count = np.concatenate(ends), np.concatenate(counts)
    if (count != count[turn.transfer]).any():
        return False
    start = np.cumsum(count) - count
    owner = np.repeat(np.arange(count.size), count)
    mine, theirs = turn.rank[member], member[ranges(start[turn.transfer], count)]
    here, there = np.lexsort((mine, owner)), np.lexsort((theirs, owner))
    return bool((mine[here] == theirs[there]).all())
