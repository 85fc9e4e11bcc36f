"""Jobs in which many do the same: simulate one of each.

Eight channels of a tree, each shifted by one chip, on hosts with a NIC for every
chip: the chips of a host do the same one place further, and so do most subtrees.
`sim.network.partition` finds who is alike, and the job is *folded*: one rank stands
for all of its colour, one transfer for all of its colour, one link for all of its
colour; a transfer weighs on a link what all of its colour weigh on one of its.

Nothing is assumed: what is alike is found from the job's transfers, their costs and
their paths, and compared exactly. Where only links are alike (`sim.network.planes`), they
alone are folded. A job of which too little is alike, or which is disturbed by anybody, is
simulated whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sim.network.alphabet import Alphabet
from sim.network.job import Job
from sim.network.lines import Lines
from sim.network.partition import Partition, partition
from sim.network.planes import Thinned, thin
from sim.numbering import firsts
from sim.routing.paths import Paths
from sim.schedule import FloatArray, IntArray, Round
from sim.transfers import Loaded, TransferCosts
from sim.waits import Waits, offsets_of, ranges

__all__ = ["Folded", "fold"]

#: Below so many (transfer, repetition) pairs a job is simulated sooner than it is folded.
WORTHWHILE = 50_000

#: To be folded each transfer has to be looked at, which takes as long as two or three events: a job in which
#: they are done fewer times is tried up to so many a rank (what is found is kept with the fabric).
REPEATED = 3
FEW = 64

#: Share of the (transfer, link) pairs that may be left where only links are alike.
SHARE = 0.5

#: Parts that are looked at before all are.
SAMPLE = 4


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A job with one rank for all that are alike.

    Attributes
    ----------
    job : Job
        Over the ranks that are left; its rounds are ``rounds``, which are loaded already.
    rounds : iterator of Loaded
    work : int
        Transfers of the whole job, times repetitions.
    stands_for : int64 array, shape (links,)
        The link that is simulated in the place of each.
    """

    job: Job
    rounds: Iterator[Loaded]
    work: int
    stands_for: IntArray


def fold(job: Job, capacity: FloatArray) -> Folded | None:
    """Fold a job, or say by None that it cannot be.

    Parameters
    ----------
    job : Job
    capacity : float64 array, shape (links,)
        Bytes/s of each link.
    """
    alphabet = Alphabet.of(job)
    if alphabet is None or alphabet.work < WORTHWHILE:
        return None
    transfers = int(alphabet.starts[-1])
    if alphabet.work < REPEATED * transfers and transfers > FEW * job.nodes.size:
        return None
    narrowest = job.router.bundles.narrowest(capacity)[0]
    # What is alike in the whole job is alike in some of its parts: a look at these tells most of the others.
    planes = True
    if len(alphabet.parts) > SAMPLE:
        sample = alphabet.largest(SAMPLE)
        thinned = thin(sample.load(job, capacity), narrowest)
        planes = thinned.share <= SHARE
        if not planes and partition(job, sample, thinned.loaded, narrowest) is None:
            return None
    found = _alike(job, alphabet, capacity, narrowest, planes)
    if found is None:
        return None
    parts, leader, stands_for = found
    small = replace(job, rounds=lambda: iter(()), nodes=job.nodes[leader], arrivals=job.arrivals[leader])
    adds = any(one.costs.reduce_ps.any() for one, _ in parts)
    lines = Lines(alphabet, parts, job.costs, adds)
    return Folded(small, lines.together(), alphabet.work, stands_for)


def _alike(
    job: Job, alphabet: Alphabet, capacity: FloatArray, narrowest: FloatArray, planes: bool
) -> tuple[list[tuple[Loaded, IntArray]], IntArray, IntArray] | None:
    """What is left of every part, and which of its transfers; the ranks that are left; the link for each.

    ``planes`` says whether to look for links that the same transfers pass.
    """
    loaded = alphabet.load(job, capacity)
    thinned = thin(loaded, narrowest) if planes else Thinned(loaded, np.arange(narrowest.size), 1.0)
    found = partition(job, alphabet, thinned.loaded, narrowest)
    if found is not None:
        stands_for = firsts(found.link)[found.link[thinned.stands_for]]
        return _quotients(thinned.loaded, found), firsts(found.rank), stands_for
    if thinned.share > SHARE:
        return None
    whole = [(one, np.arange(one.round.src.size)) for one in thinned.loaded]
    return whole, np.arange(job.nodes.size), thinned.stands_for


def _quotients(loaded: list[Loaded], found: Partition) -> list[tuple[Loaded, IntArray]]:
    """Every part with the first transfer of each colour alone, and which of its transfers these are."""
    kept = np.zeros(found.transfer.size, dtype=bool)
    kept[firsts(found.transfer)] = True
    start, link, weight = _passages(found)
    starts = np.cumsum([0, *(one.round.src.size for one in loaded)])
    parts = []
    for i, one in enumerate(loaded):
        here = np.flatnonzero(kept[starts[i] : starts[i + 1]])
        colour = found.transfer[starts[i] + here]
        entries = ranges(start[colour], np.diff(start)[colour])
        begin = offsets_of(np.diff(start)[colour])
        held = Paths(
            begin, link[entries].astype(np.int32), weight[entries], one.paths.latency_ps[here],
            one.paths.outside[here],
        )  # fmt: skip
        parts.append((_quotient(one, here, held, found.rank), here))
    return parts


def _passages(found: Partition) -> tuple[IntArray, IntArray, FloatArray]:
    """Links that each colour of transfers holds, and what all of the colour weigh on one of each."""
    first = firsts(found.link)
    counts = np.diff(found.start)
    by = np.repeat(found.transfer, counts)
    # One link of each colour, with all that pass it.
    stands = first[found.link[found.passed]] == found.passed
    links = first.size
    key, where = np.unique(by[stands] * links + found.link[found.passed[stands]], return_inverse=True)
    weight: FloatArray = np.bincount(where, weights=found.weight[stands]).astype(np.float64)
    colours = int(found.transfer.max(initial=-1)) + 1
    start = np.searchsorted(key, np.arange(colours + 1) * links)
    return np.asarray(start, dtype=np.int64), first[key % links], weight


def _quotient(one: Loaded, kept: IntArray, held: Paths, rank: IntArray) -> Loaded:
    r, costs = one.round, one.costs
    small = Round(rank[r.src[kept]], rank[r.dst[kept]], r.bytes[kept], r.reduce, 1, None, r.label)
    own = TransferCosts(
        costs.overhead_ps[kept], costs.cap[kept], costs.wire_bytes[kept], costs.reduce_ps[kept]
    )
    return Loaded(
        small, (held,), held, own, one.ideal_ps[kept], one.tier[kept], _waits(one.waits, kept, rank)
    )


def _waits(waits: Waits | None, kept: IntArray, rank: IntArray) -> Waits | None:
    """Whom the kept transfers wait for, one rank for all of a colour."""
    if waits is None:
        return None
    count = np.diff(waits.ends[0])[kept]
    owner = np.repeat(np.arange(kept.size), count)
    ranks = rank.size
    pairs = np.unique(owner * ranks + rank[waits.ends[1][ranges(waits.ends[0][kept], count)]])
    offsets = np.searchsorted(pairs, np.arange(kept.size + 1) * ranks)
    none = np.zeros(kept.size + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return Waits((offsets, pairs % ranks), none, none, np.arange(kept.size))
