"""Hosts whose chips all do the same, one place further: simulate one chip of each.

Eight channels of a ring or a tree, each shifted by one chip, on hosts with a NIC
for every chip: turn every host by one place, and machine and job are what they
were. Such a turn s maps every transfer onto another with the same bytes, in the same
rounds, whose links are the images of its own, and every link that the job uses onto
another of the same capacity. Then whatever happens to a transfer happens to its
images at the same instant and at the same rate, since the state that is the same
on all images satisfies the max-min conditions, and these have one solution. So the
job is *folded*: one rank stands for a host, one transfer for its images, one link
for its images, on which a transfer weighs as often as it and its images pass it.

Nothing is assumed. Whether the ranks may turn is seen from the job's transfers;
the images of links are read off their paths, so that any routing serves that
treats all places of a host alike, D-mod-k by address among them; and the turn is
checked on every transfer, every path and every link before the job is folded. A job
that does not pass, or is disturbed by anybody, is simulated whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sim.fabric import Fabric
from sim.network.alphabet import Alphabet, Line
from sim.network.job import Job
from sim.parts import put_together
from sim.routing.paths import Bools, Paths
from sim.schedule import FloatArray, IntArray, Round
from sim.transfers import Loaded, TransferCosts
from sim.waits import Waits, ranges

__all__ = ["Folded", "fold"]

#: Below so many (transfer, repetition) pairs a job is simulated sooner than it is folded;
#: and below so many repetitions a transfer, since each has to be looked at to be folded.
WORTHWHILE = 200_000
REPEATED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A job with one rank for each host.

    Attributes
    ----------
    job : Job
        Over the hosts; its rounds are ``rounds``, which are loaded already.
    rounds : iterator of Loaded
    times : int
        Chips that one stands for.
    stands_for : int64 array, shape (links,)
        The link that is simulated in the place of each.
    """

    job: Job
    rounds: Iterator[Loaded]
    times: int
    stands_for: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """A turn of all hosts by one place; ``times`` of them lead back to where all were.

    ``rank`` is the image of each rank, ``one_of`` numbers the sets of ranks that turn
    into each other, ``transfer`` the image of each transfer of the alphabet.
    """

    rank: IntArray
    one_of: IntArray
    transfer: IntArray
    times: int


@dataclass(frozen=True, slots=True, eq=False)
class _Orbits:
    """``least`` is the smallest image of each link under any number of turns, ``stays`` how many leave it."""

    least: IntArray
    stays: IntArray


def fold(job: Job, capacity: FloatArray) -> Folded | None:
    """Fold a job, or say by None that it cannot be.

    Parameters
    ----------
    job : Job
    capacity : float64 array, shape (links,)
        Bytes/s of each link.
    """
    alphabet = Alphabet.of(job)
    if alphabet is None or alphabet.work < max(WORTHWHILE, REPEATED * int(alphabet.starts[-1])):
        return None
    loaded: list[Loaded] = []
    narrowest = job.router.bundles.narrowest(capacity)[0]
    for turn in _turns(job, alphabet):
        loaded = loaded or alphabet.load(job, capacity)
        orbits = _orbits(job.router.fabric, job.nodes, loaded, turn, narrowest)
        if orbits is not None:
            return _folded(job, alphabet, loaded, turn, orbits)
    return None


def _folded(job: Job, alphabet: Alphabet, loaded: list[Loaded], turn: _Turn, orbits: _Orbits) -> Folded:
    parts = _quotients(loaded, turn, orbits)
    leader = np.unique(turn.one_of, return_index=True)[1]
    small = replace(job, rounds=lambda: iter(()), nodes=job.nodes[leader], arrivals=job.arrivals[leader])
    rounds = (put_together(_round(line, parts), [parts[i] for i in line.parts], job.costs) for line in alphabet.lines)
    return Folded(small, rounds, turn.times, orbits.least)


def _round(line: Line, parts: list[Loaded]) -> Round:
    """A line over the folded parts; trees live on in whom their transfers wait for."""
    each = [parts[i].round for i in line.parts]
    return Round(
        np.concatenate([one.src for one in each]),
        np.concatenate([one.dst for one in each]),
        np.concatenate([one.bytes for one in each]),
        line.reduce,
        line.repeat,
        None,
        line.label,
    )


# ------------------------------------------------------------------- finding a turn


def _turns(job: Job, alphabet: Alphabet) -> Iterator[_Turn]:
    """Turns of the hosts (or scale-up domains) that map the job's transfers onto each other, the least first."""
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
            yield _Turn(rank, one_of, image, times)


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


# ------------------------------------------------------------- checking it on the fabric


def _orbits(
    fabric: Fabric, nodes: IntArray, loaded: list[Loaded], turn: _Turn, capacity: FloatArray
) -> _Orbits | None:
    """Images of all links the job uses, if every transfer costs what its image costs and all links are alike."""
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


def _turned(to: IntArray, used: IntArray, times: int, capacity: FloatArray) -> _Orbits | None:
    """Orbits of the links in use; None if two go to one, if one is unlike its image, or if they lead elsewhere."""
    if np.unique(to[used]).size != used.size or (capacity[to[used]] != capacity[used]).any():
        return None
    least, stays, at = np.arange(to.size), np.zeros(to.size, dtype=np.int64), np.arange(to.size)
    for _ in range(times):
        at = to[at]
        least[used] = np.minimum(least[used], at[used])
        stays += at == np.arange(to.size)
    return _Orbits(least, stays) if (at[used] == used).all() else None


def _same_members(loaded: list[Loaded], turn: _Turn) -> bool:
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


# ----------------------------------------------------------------------------- folding


def _quotients(loaded: list[Loaded], turn: _Turn, orbits: _Orbits) -> list[Loaded]:
    """Every part with one transfer for its images: the first of them in the alphabet."""
    least = np.arange(turn.transfer.size)
    at = turn.transfer
    for _ in range(turn.times - 1):
        least = np.minimum(least, at)
        at = turn.transfer[at]
    kept = least == np.arange(least.size)
    starts = np.cumsum([0, *(one.round.src.size for one in loaded)])
    return [
        _quotient(one, np.flatnonzero(kept[starts[i] : starts[i + 1]]), turn, orbits)
        for i, one in enumerate(loaded)
    ]


def _quotient(one: Loaded, kept: IntArray, turn: _Turn, orbits: _Orbits) -> Loaded:
    r, paths, costs = one.round, one.paths, one.costs
    count = np.diff(paths.start)[kept]
    entries = ranges(paths.start[kept], count)
    owner = np.repeat(np.arange(kept.size), count)
    link, links = orbits.least[paths.link[entries]], orbits.least.size
    # A path that passes several images of a link weighs on it once for each.
    key, where = np.unique(owner * links + link, return_inverse=True)
    each = paths.weight[entries] * orbits.stays[paths.link[entries]]
    weight: FloatArray = np.bincount(where, weights=each).astype(np.float64)
    start = np.searchsorted(key, np.arange(kept.size + 1) * links)
    held = Paths(
        np.asarray(start, dtype=np.int64),
        (key % links).astype(np.int32),
        weight,
        paths.latency_ps[kept],
        paths.outside[kept],
    )
    small = Round(turn.one_of[r.src[kept]], turn.one_of[r.dst[kept]], r.bytes[kept], r.reduce, 1, None, r.label)
    own = TransferCosts(
        costs.overhead_ps[kept], costs.cap[kept], costs.wire_bytes[kept], costs.reduce_ps[kept]
    )
    return Loaded(
        small, held, held, own, one.ideal_ps[kept], one.tier[kept], _folded_waits(one.waits, kept, turn)
    )


def _folded_waits(waits: Waits | None, kept: IntArray, turn: _Turn) -> Waits | None:
    """Whom the kept transfers wait for, one rank for all that turn into each other."""
    if waits is None:
        return None
    count = np.diff(waits.ends[0])[kept]
    owner = np.repeat(np.arange(kept.size), count)
    ranks = turn.one_of.size
    pairs = np.unique(owner * ranks + turn.one_of[waits.ends[1][ranges(waits.ends[0][kept], count)]])
    offsets = np.searchsorted(pairs, np.arange(kept.size + 1) * ranks)
    none = np.zeros(kept.size + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return Waits((offsets, pairs % ranks), none, none, np.arange(kept.size))
