"""Who is alike: the coarsest equitable partition of a job's ranks, transfers and links.

Colours begin with what ranks, transfers and links are by themselves: when a rank
arrives; a transfer's bytes, costs, latency, and in which rounds it stands (its pattern);
a link's capacity. Then they split until

- ranks of one colour are ends of equally many transfers of every colour, as sender, as
  receiver, and as member of a tree;
- transfers of one colour have ends of the same colours, and pass equally many links of
  every colour with the same weights;
- links of one colour are passed by equally many transfers of every colour with the same
  weights.

In such a partition whatever is alike stays alike: if all of one colour are in the same
state, give every transfer the max-min rate of its colour. Every link then carries what
its colour carries, and the link at which a colour is held has its like on the path of
each transfer of the colour, so these are the max-min rates, of which there is one
solution; so all of one colour end at the same instant, and all ranks of one colour go on
together. The symmetries of a machine (`a rail is like the next`) give such a partition,
but it needs none: two subtrees of a pipeline may be alike where no map of the whole
machine brings one onto the other.

Refinement after Weisfeiler and Leman (1968), with hashes; the result is then compared
exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.network.alphabet import Alphabet
from sim.network.job import Job
from sim.network.kernels import refine
from sim.numbering import firsts, told_apart
from sim.schedule import FloatArray, IntArray
from sim.transfers import Loaded
from sim.waits import offsets_of

__all__ = ["Partition", "partition"]

Hashes = npt.NDArray[np.uint64]

#: Of ranks, transfers and links.
Colours = tuple[IntArray, IntArray, IntArray]

#: Colours of transfers, as a share of all, from which on a partition is of no use.
SHARE = 0.7

#: Partitions that are kept with a fabric, the latest.
KNOWN = 4

#: What a rank is to a transfer.
SENDER, RECEIVER, MEMBER, WAY = 1, 2, 3, 4


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Colours, numbered from 0 in the order in which they first come, and what they were made from.

    Attributes
    ----------
    rank, transfer, link : int64 array
        Colour of each; transfers as in the alphabet.
    start, passed, weight : int64 and float64 arrays
        Transfer f passes ``passed[start[f]:start[f + 1]]`` with these weights.
    """

    rank: IntArray
    transfer: IntArray
    link: IntArray
    start: IntArray
    passed: IntArray
    weight: FloatArray


def partition(
    job: Job, alphabet: Alphabet, loaded: Sequence[Loaded], capacity: FloatArray
) -> Partition | None:
    """Find the partition, or None if it is of no use.

    Parameters
    ----------
    job : Job
    alphabet : Alphabet
    loaded : sequence of Loaded
        Its parts.
    capacity : float64 array, shape (links,)
        Bytes/s of each link that speaks for a bundle.
    """
    graph = _Graph.of(job, alphabet, loaded, capacity)
    # Messages of several sizes on one fabric often differ in nothing that matters here.
    known: dict[bytes, Colours | None] = job.router.fabric.notes.setdefault("partitions", {})
    told = graph.digest()
    if told not in known:
        known[told] = _coarsest(graph)
        if len(known) > KNOWN:
            del known[next(iter(known))]
    colours = known[told]
    if colours is None:
        return None
    return Partition(*colours, graph.start, graph.passed, graph.weight)


def _coarsest(graph: _Graph) -> Colours | None:
    ranks, transfers, links = graph.begin()
    before = (0, 0, 0)
    while True:
        found = (_count(ranks), _count(transfers), _count(links))
        if found[1] > SHARE * transfers.size:
            return None
        if found == before:
            break
        before = found
        ranks = graph.split_ranks(ranks, transfers)
        links = graph.split_links(links, transfers)
        transfers = graph.split_transfers(transfers, ranks, links)
    return (ranks, transfers, links) if graph.equitable(ranks, transfers, links) else None


@dataclass(frozen=True, slots=True, eq=False)
class _Graph:
    """Who meets whom. Ends are (transfer, rank, role), passages (transfer, link, sort of weight)."""

    arrivals: IntArray
    sorts: IntArray
    capacity: FloatArray
    owner: IntArray
    end: IntArray
    role: IntArray
    start: IntArray
    by: IntArray
    passed: IntArray
    weight: FloatArray
    kind: IntArray

    @classmethod
    def of(cls, job: Job, alphabet: Alphabet, loaded: Sequence[Loaded], capacity: FloatArray) -> _Graph:
        src = np.concatenate([one.round.src for one in loaded])
        dst = np.concatenate([one.round.dst for one in loaded])
        counts = np.concatenate([one.paths.lengths for one in loaded])
        every = np.arange(src.size)
        owner, end = [every, every], [src, dst]
        role = [np.full(src.size, SENDER), np.full(src.size, RECEIVER)]
        at = 0
        for one in loaded:
            m = one.round.src.size
            if one.waits is not None:
                owner.append(at + np.repeat(np.arange(m), np.diff(one.waits.ends[0])))
                end.append(one.waits.ends[1])
                role.append(np.full(one.waits.ends[1].size, MEMBER))
            at += m
        weight = np.concatenate([one.paths.weight for one in loaded])
        return cls(
            job.arrivals,
            _sorts(alphabet, loaded),
            capacity,
            np.concatenate(owner),
            np.concatenate(end),
            np.concatenate(role),
            offsets_of(counts),
            np.repeat(every, counts),
            np.concatenate([one.paths.link for one in loaded]),
            weight,
            told_apart(np.zeros(weight.size, dtype=np.int64), weight),
        )

    def digest(self) -> bytes:
        """What tells this graph from others: two with one digest have the same partition."""
        told = hashlib.blake2b()
        members = self.owner[2 * self.sorts.size :]  # before them are all as senders, and all as receivers
        for values in (*self.begin(), np.diff(self.start), members, self.end, self.passed, self.kind):
            # Small numbers, in as few bytes as they need.
            narrow = values.astype(np.min_scalar_type(int(values.max(initial=0))))
            told.update(f"{narrow.dtype}{narrow.size};".encode())
            told.update(narrow.tobytes())
        return told.digest()

    def begin(self) -> tuple[IntArray, IntArray, IntArray]:
        """Colours of ranks, transfers and links by themselves."""
        none = np.zeros(self.arrivals.size, dtype=np.int64)
        unused = np.zeros(self.capacity.size, dtype=np.int64)
        return told_apart(none, self.arrivals), self.sorts, told_apart(unused, self.capacity)

    def split_ranks(self, ranks: IntArray, transfers: IntArray) -> IntArray:
        total: Hashes = np.zeros(ranks.size, dtype=np.uint64)
        refine.add_hashes(self.end, transfers, self.owner, self.role, 1, total)
        return told_apart(ranks, total)

    def split_links(self, links: IntArray, transfers: IntArray) -> IntArray:
        total: Hashes = np.zeros(links.size, dtype=np.uint64)
        refine.add_hashes(self.passed, transfers, self.by, self.kind, 2, total)
        return told_apart(links, total)

    def split_transfers(self, transfers: IntArray, ranks: IntArray, links: IntArray) -> IntArray:
        total: Hashes = np.zeros(transfers.size, dtype=np.uint64)
        refine.add_hashes(self.owner, ranks, self.end, self.role, 3, total)
        refine.add_hashes(self.by, links, self.passed, self.kind, 4, total)
        return told_apart(transfers, total)

    def equitable(self, ranks: IntArray, transfers: IntArray, links: IntArray) -> bool:
        """Compare every rank, transfer and link with the first of its colour, colour by colour."""
        roles, kinds = WAY + 1, int(self.kind.max(initial=0)) + 1
        meets = transfers[self.owner] * roles + self.role
        ended = ranks[self.end] * roles + self.role
        bears = transfers[self.by] * kinds + self.kind
        passes = links[self.passed] * kinds + self.kind
        return (
            _alike(ranks, self.end, meets)
            and _alike(transfers, self.owner, ended)
            and _alike(links, self.passed, bears)
            and _alike(transfers, self.by, passes)
        )


def _sorts(alphabet: Alphabet, loaded: Sequence[Loaded]) -> IntArray:
    """Numbers of what transfers are by themselves, where they have the same."""
    costs = [one.costs for one in loaded]
    of_itself: tuple[list[npt.NDArray[Any]], ...] = (
        [one.round.bytes for one in loaded],
        [one.overhead_ps for one in costs],
        [one.cap for one in costs],
        [one.wire_bytes for one in costs],
        [one.reduce_ps for one in costs],
        [one.paths.latency_ps for one in loaded],
        [one.ideal_ps for one in loaded],
        [one.tier for one in loaded],
        [np.full(one.round.src.size, one.waits is not None) for one in loaded],
    )
    patterns = alphabet.patterns()
    sorts = told_apart(patterns, patterns)
    for each in of_itself:
        values = np.concatenate(each)
        if (values != values[:1]).any():
            sorts = told_apart(sorts, values)
    return sorts


def _alike(colour: IntArray, index: IntArray, word: IntArray) -> bool:
    """Whether all items of one colour have the same words; ``word[e]`` is a word of item ``index[e]``."""
    first = firsts(colour)
    begin = offsets_of(np.bincount(index, minlength=colour.size))
    words = np.empty(index.size, dtype=np.int64)
    refine.by_index(index, word, begin[:-1].copy(), words)
    times = np.zeros(int(word.max(initial=0)) + 1, dtype=np.int64)
    return refine.first_unlike(begin, words, first[colour], times) < 0


def _count(colour: IntArray) -> int:
    return int(colour.max(initial=-1)) + 1
