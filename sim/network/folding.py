"""Hosts whose chips all do the same, one place further: simulate one chip of each.

Eight channels of a ring or a tree, each shifted by one chip, on hosts with a NIC
for every chip: turn every host by one place, and machine and job are what they
were. Such a turn s maps chips, NICs, switches and links onto others of the same
bandwidth and latency, and every transfer onto another with the same bytes whose
links are the images of its own. Then whatever happens to a transfer happens to its
images at the same instant and at the same rate, since the state that is the same
on all images satisfies the max-min conditions, and these have one solution. So the
job is *folded*: one rank stands for a host, one transfer for its images, one link
for its images, on which a transfer weighs as often as it and its images pass it.

Nothing is assumed: the turn is found from the fabric, and checked on every link,
every transfer and every path of the job before the job is folded. A job that does
not pass the check, or is disturbed by anybody, is simulated whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.fabric import Fabric
from sim.network.job import Job
from sim.routing.paths import Paths
from sim.schedule import FloatArray, IntArray, Round
from sim.transfers import Loaded, TransferCosts, load
from sim.waits import ranges

__all__ = ["Folded", "fold"]

#: Below so many (transfer, repetition) pairs a job is simulated sooner than it is folded.
WORTHWHILE = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A job with one rank for each host.

    Attributes
    ----------
    job : Job
        Over the hosts; its rounds are ``rounds``, which are loaded already.
    rounds : list of Loaded
    times : int
        Chips that one stands for.
    stands_for : int64 array, shape (links,)
        The link that is simulated in the place of each.
    """

    job: Job
    rounds: list[Loaded]
    times: int
    stands_for: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """A turn of all hosts by one place; ``times`` of them lead back to where all were.

    ``rank`` and ``link`` are the images of ranks and links, ``one_of`` numbers the sets
    of ranks that turn into each other; ``least`` is the smallest image of each link
    under any number of turns, ``stays`` how many of these leave it where it is.
    """

    one_of: IntArray
    rank: IntArray
    link: IntArray
    least: IntArray
    stays: IntArray
    times: int


def fold(job: Job, capacity: FloatArray) -> Folded | None:
    """Fold a job, or say by None that it cannot be.

    Parameters
    ----------
    job : Job
    capacity : float64 array, shape (links,)
        Bytes/s of each link.
    """
    first = next((r for r in job.rounds() if r.src.size), None)
    if first is None or sum(r.repeat * r.src.size for r in job.rounds()) < WORTHWHILE:
        return None
    turn = _turn(job, first, capacity)
    if turn is None:
        return None
    rounds: list[Loaded] = []
    for one in load(job.rounds(), job.router, job.nodes, capacity, job.costs):
        images = _images(one, turn)
        if images is None:
            return None
        rounds.append(_quotient(one, images, turn))
    leader = np.unique(turn.one_of, return_index=True)[1]
    small = replace(job, rounds=lambda: iter(()), nodes=job.nodes[leader], arrivals=job.arrivals[leader])
    return Folded(small, rounds, turn.times, turn.least)


def _turn(job: Job, first: Round, capacity: FloatArray) -> _Turn | None:
    """The least turn of the hosts (or scale-up domains) that leaves machine and first round as they are."""
    fabric = job.router.fabric
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
            if (job.arrivals[rank] != job.arrivals).any() or _same_ends(first, rank) is None:
                continue
            link = _known_links(fabric, job.nodes, rank)
            if link is None or (capacity[link] != capacity).any():
                continue
            times = int(size[0]) // step
            least, stays = _orbits(link, times)
            if stays is not None:
                one_of = np.empty(host.size, dtype=np.int64)
                one_of[members] = host[members] * step + np.arange(size[0]) % step
                return _Turn(one_of, rank, link, least, stays, times)
    return None


def _known_links(fabric: Fabric, nodes: IntArray, rank: IntArray) -> IntArray | None:
    """`_links`, found once for a fabric and kept with it."""
    key = ("turn", nodes.tobytes(), rank.tobytes())
    if key not in fabric.notes:
        fabric.notes[key] = _links(fabric, nodes, rank)
    found: IntArray | None = fabric.notes[key]
    return found


def _links(fabric: Fabric, nodes: IntArray, rank: IntArray) -> IntArray | None:
    """Image of every link when the chips turn, if the fabric allows it.

    Images of NICs and switches follow from their neighbours': the unknown
    neighbours of a node, in order, go to those of its image of the same tier.
    """
    count = len(fabric.nodes)
    image = np.full(count, -1, dtype=np.int64)
    image[nodes] = nodes[rank]
    idle = (fabric.kind == 0) & (image < 0)
    image[idle] = np.flatnonzero(idle)  # chips that take no part stay where they are
    start, out, head = fabric.out_start.tolist(), fabric.out_link.tolist(), fabric.head.tolist()
    tier, to = fabric.tier.tolist(), image.tolist()
    taken = np.zeros(count, dtype=bool)
    taken[image[image >= 0]] = True
    known = taken.tolist()
    queue: list[int] = nodes.tolist()
    for u in queue:
        mine = [l for l in out[start[u] : start[u + 1]] if to[head[l]] < 0]
        if not mine:
            continue
        theirs = [l for l in out[start[to[u]] : start[to[u] + 1]] if not known[head[l]]]
        settled: list[int] = []
        for l in mine:
            w = head[l]
            if to[w] >= 0:
                continue
            # A neighbour of both, such as the host's switch, is its own image.
            match = next((k for k in theirs if head[k] == w and tier[k] == tier[l]), None)
            if match is None:
                match = next((k for k in theirs if tier[k] == tier[l] and not known[head[k]]), None)
            if match is None:
                return None
            to[w] = head[match]
            known[head[match]] = True
            settled.append(w)
        queue += settled
    images = np.array(to, dtype=np.int64)
    rest = images < 0
    images[rest] = np.flatnonzero(rest)
    if np.unique(images).size != count or (fabric.kind[images] != fabric.kind).any():
        return None
    return _matched(fabric, images)


def _matched(fabric: Fabric, image: IntArray) -> IntArray | None:
    """Link between the images of every link's ends, if all are there and alike."""
    pair = fabric.tail.astype(np.int64) * len(fabric.nodes) + fabric.head
    want = image[fabric.tail] * len(fabric.nodes) + image[fabric.head]
    order, wanted = np.argsort(pair, kind="stable"), np.argsort(want, kind="stable")
    if (pair[order] != want[wanted]).any():
        return None
    link = np.empty(pair.size, dtype=np.int64)
    link[wanted] = order
    alike = (
        (fabric.latency_ps[link] == fabric.latency_ps).all()
        and (fabric.tier[link] == fabric.tier).all()
        and (fabric.bandwidth[link] == fabric.bandwidth).all()
    )
    return link if alike else None


def _orbits(link: IntArray, times: int) -> tuple[IntArray, IntArray | None]:
    """Least image of every link, and how many of ``times`` turns leave it; None if they lead elsewhere."""
    everything = np.arange(link.size)
    least, stays, at = everything, np.zeros(link.size, dtype=np.int64), everything
    for _ in range(times):
        at = link[at]
        least = np.minimum(least, at)
        stays = stays + (at == everything)
    return least, stays if (at == everything).all() else None


def _same_ends(r: Round, rank: IntArray) -> IntArray | None:
    """For every transfer the one between the images of its ranks, with as many bytes; None if one lacks."""
    p = rank.size
    # Transfers between the same ranks are told apart by their bytes, then by their order.
    here = np.lexsort((r.bytes, r.src * p + r.dst))
    there = np.lexsort((r.bytes, rank[r.src] * p + rank[r.dst]))
    image = np.empty(r.src.size, dtype=np.int64)
    image[there] = here
    same = (rank[r.src] == r.src[image]) & (rank[r.dst] == r.dst[image]) & (r.bytes == r.bytes[image])
    return image if same.all() else None


def _images(one: Loaded, turn: _Turn) -> IntArray | None:
    """Image of every transfer of a round; None if one has none that is like it."""
    r, costs, paths = one.round, one.costs, one.paths
    if one.waits is not None or r.seconds is not None or (r.src == r.dst).any():
        return None
    image = _same_ends(r, turn.rank)
    if image is None:
        return None
    like = all(
        (values == values[image]).all()
        for values in (
            costs.overhead_ps, costs.cap, costs.wire_bytes, costs.reduce_ps, paths.latency_ps,
            one.ideal_ps, one.tier, np.diff(paths.start),
        )
    )  # fmt: skip
    if not like:
        return None
    entries = ranges(paths.start[image], np.diff(paths.start)[image])
    same = (turn.link[paths.link] == paths.link[entries]).all()
    return image if same and (paths.weight == paths.weight[entries]).all() else None


def _quotient(one: Loaded, image: IntArray, turn: _Turn) -> Loaded:
    """One transfer for its images."""
    r, paths, costs = one.round, one.paths, one.costs
    least = np.arange(image.size)
    at = image
    for _ in range(turn.times - 1):
        least = np.minimum(least, at)
        at = image[at]
    kept = np.flatnonzero(least == np.arange(image.size))
    count = np.diff(paths.start)[kept]
    entries = ranges(paths.start[kept], count)
    owner = np.repeat(np.arange(kept.size), count)
    link, links = turn.least[paths.link[entries]], turn.least.size
    # A path that passes several images of a link weighs on it once for each.
    key, where = np.unique(owner * links + link, return_inverse=True)
    each = paths.weight[entries] * turn.stays[paths.link[entries]]
    weight: FloatArray = np.bincount(where, weights=each).astype(np.float64)
    start = np.searchsorted(key, np.arange(kept.size + 1) * links)
    held = Paths(
        np.asarray(start, dtype=np.int64),
        (key % links).astype(np.int32),
        weight,
        paths.latency_ps[kept],
        paths.outside[kept],
    )
    small = Round(
        turn.one_of[r.src[kept]], turn.one_of[r.dst[kept]], r.bytes[kept], r.reduce, r.repeat, None, r.label
    )
    own = TransferCosts(
        costs.overhead_ps[kept], costs.cap[kept], costs.wire_bytes[kept], costs.reduce_ps[kept]
    )
    return Loaded(small, held, held, own, one.ideal_ps[kept], one.tier[kept])
