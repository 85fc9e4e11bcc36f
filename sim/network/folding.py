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

from sim.network.alphabet import Alphabet, Line
from sim.network.job import Job
from sim.network.turns import Orbits, Turn, orbits, turns
from sim.parts import put_together
from sim.routing.paths import Paths
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
    for turn in turns(job, alphabet):
        loaded = loaded or alphabet.load(job, capacity)
        found = orbits(job.router.fabric, job.nodes, loaded, turn, narrowest)
        if found is not None:
            return _folded(job, alphabet, loaded, turn, found)
    return None


def _folded(job: Job, alphabet: Alphabet, loaded: list[Loaded], turn: Turn, orbits: Orbits) -> Folded:
    parts = _quotients(loaded, turn, orbits)
    leader = np.unique(turn.one_of, return_index=True)[1]
    small = replace(job, rounds=lambda: iter(()), nodes=job.nodes[leader], arrivals=job.arrivals[leader])
    rounds = (
        put_together(_round(line, parts), [parts[i] for i in line.parts], job.costs)
        for line in alphabet.lines
    )
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


def _quotients(loaded: list[Loaded], turn: Turn, orbits: Orbits) -> list[Loaded]:
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


def _quotient(one: Loaded, kept: IntArray, turn: Turn, orbits: Orbits) -> Loaded:
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
    small = Round(
        turn.one_of[r.src[kept]], turn.one_of[r.dst[kept]], r.bytes[kept], r.reduce, 1, None, r.label
    )
    own = TransferCosts(
        costs.overhead_ps[kept], costs.cap[kept], costs.wire_bytes[kept], costs.reduce_ps[kept]
    )
    return Loaded(
        small, held, held, own, one.ideal_ps[kept], one.tier[kept], _folded_waits(one.waits, kept, turn)
    )


def _folded_waits(waits: Waits | None, kept: IntArray, turn: Turn) -> Waits | None:
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
