"""Recursive halving and doubling (Rabenseifner; HCCL RHD).

Reduce-scatter by halving: at stride s = p/2, p/4, ..., 1 rank r sends rank
r xor s the half of what it still sums that the other keeps. All-gather by
doubling: the same backwards. Over p = 2^k ranks each takes
log2 p alpha + (p-1)/p n beta, all-reduce both. All-reduce over other numbers is
folded: (2 floor(log2 p) + 2) alpha + (2 (p'-1)/p' + 2) n beta, p' = 2^floor(log2 p).

Reduce-scatter and all-gather over other numbers keep to their parts (MPICH): of
the first 2 e ranks, e = p - p', every odd one stands for its even neighbour as
well, owns two parts among the p', and hands the neighbour's over at the end (of
the all-gather: gets it at the beginning). The neighbour gives and gets p - 1
parts, and the largest block at stride s is of s + min(s, e) parts:
(floor(log2 p) + 2) alpha + (2p' - 1 + sum over k < log2 p' of min(2^k, e) + e) n/p beta.

Rabenseifner, "Optimization of collective reduction operations", ICCS 2004.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.fold import core_size, folded
from sim.collectives.payload import even, stretches
from sim.collectives.registry import algorithm
from sim.schedule import IntArray, Payload, Round, Schedule

__all__ = ["all_gather", "all_reduce", "reduce_scatter"]

NAME = "halving_doubling"


@algorithm("all_reduce", NAME)
def all_reduce(ranks: int, size: float) -> Schedule:
    """All-reduce by halving and doubling, any number of ranks.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of a rank's buffer.

    Examples
    --------
    >>> all_reduce(8, 1000.0).check()
    >>> sum(round.repeat for round in all_reduce(11, 1000.0).rounds())
    8
    """
    p = core_size(ranks)

    def rounds() -> Iterator[Round]:
        here = np.arange(p)
        partners = _partners(here)
        yield from _halving(here, partners, size)
        yield from _doubling(here, partners, size)

    return folded(Schedule("all_reduce", NAME, p, size, rounds, chunks=p), ranks)


@algorithm("reduce_scatter", NAME)
def reduce_scatter(ranks: int, size: float) -> Schedule:
    """Reduce-scatter by recursive halving, any number of ranks.

    Examples
    --------
    >>> reduce_scatter(8, 1000.0).check()
    >>> reduce_scatter(11, 1100.0).check()
    """

    def rounds() -> Iterator[Round]:
        seats = _Seats(ranks)
        partners = _partners(np.arange(seats.core))
        yield from seats.neighbours(size, size / ranks * (ranks - 1), inwards=True, adds=True)
        for k, partner in reversed(list(enumerate(partners))):
            yield seats.exchange(partner, partner, k, size, adds=True)
        yield from seats.neighbours(size, size / ranks, inwards=False, adds=True)

    return Schedule("reduce_scatter", NAME, ranks, size, rounds, chunks=ranks)


@algorithm("all_gather", NAME)
def all_gather(ranks: int, size: float) -> Schedule:
    """All-gather by recursive doubling, any number of ranks.

    Examples
    --------
    >>> all_gather(8, 1000.0).check()
    >>> all_gather(11, 1100.0).check()
    """

    def rounds() -> Iterator[Round]:
        seats = _Seats(ranks)
        partners = _partners(np.arange(seats.core))
        yield from seats.neighbours(size, size / ranks, inwards=True, adds=False)
        for k, partner in enumerate(partners):
            yield seats.exchange(partner, np.arange(seats.core), k, size, adds=False)
        yield from seats.neighbours(size, size / ranks * (ranks - 1), inwards=False, adds=False)

    return Schedule("all_gather", NAME, ranks, size, rounds, chunks=ranks)


class _Seats:
    """The p' ranks that halve or double, and which parts each of them stands for."""

    def __init__(self, ranks: int) -> None:
        self.ranks, self.core = ranks, core_size(ranks)
        self.extra = ranks - self.core
        seat = np.arange(self.core + 1)
        #: Seat v stands for the parts bound[v] to bound[v + 1] - 1.
        self.bound = seat + np.minimum(seat, self.extra)
        self.rank = self.bound[1:] - 1

    def exchange(self, partner: IntArray, keeper: IntArray, k: int, size: float, *, adds: bool) -> Round:
        """Swap the parts of blocks of 2^k seats at stride 2^k: those of the keeper's block."""
        stride = 1 << k
        first = self.bound[keeper & ~(stride - 1)]
        count = self.bound[(keeper & ~(stride - 1)) + stride] - first
        each = count * (size / self.ranks)
        name = "halving" if adds else "doubling"
        return Round(
            self.rank, self.rank[partner], each, adds, 1, lambda _: stretches(first, count),
            f"{name}, stride {stride}",
        )  # fmt: skip

    def neighbours(self, size: float, each: float, *, inwards: bool, adds: bool) -> Iterator[Round]:
        """Even ranks that have no seat give to their odd neighbours, or get from them.

        Of a sum, the neighbour's own part stays with it until the end.
        """
        if not self.extra:
            return
        even_ = 2 * np.arange(self.extra)
        src, dst = (even_, even_ + 1) if inwards else (even_ + 1, even_)

        def payload(_: int) -> Payload:
            if inwards != adds:  # the one part of the neighbour
                return even(even_)
            others = np.arange(self.ranks - 1)
            return even(others + (others >= even_[:, None]))

        yield Round(
            src,
            dst,
            np.full(self.extra, each),
            adds,
            1,
            payload,
            "neighbours in" if inwards else "neighbours out",
        )


def _partners(here: IntArray) -> list[IntArray]:
    """Partner of every rank at stride 1, 2, 4, ..."""
    return [here ^ (1 << k) for k in range(here.size.bit_length() - 1)]


def _halving(here: IntArray, partners: list[IntArray], size: float) -> Iterator[Round]:
    for k, partner in reversed(list(enumerate(partners))):
        yield _exchange(here, partner, partner, k, size, reduce=True)


def _doubling(here: IntArray, partners: list[IntArray], size: float) -> Iterator[Round]:
    for k, partner in enumerate(partners):
        yield _exchange(here, partner, here, k, size, reduce=False)


def _exchange(
    here: IntArray, partner: IntArray, keeper: IntArray, k: int, size: float, *, reduce: bool
) -> Round:
    """Swap blocks of 2^k parts at stride 2^k: those that hold the keeper's part."""
    stride = 1 << k

    def payload(_: int) -> Payload:
        return even((keeper[:, None] & ~(stride - 1)) + np.arange(stride))

    each = np.full(here.size, size * stride / here.size)
    name = "halving" if reduce else "doubling"
    return Round(here, partner, each, reduce, 1, payload, f"{name}, stride {stride}")
