"""Recursive halving and doubling (Rabenseifner; HCCL RHD).

Reduce-scatter by halving: at stride s = p/2, p/4, ..., 1 rank r sends rank
r xor s the half of what it still sums that the other keeps. All-gather by
doubling: the same backwards. Over p = 2^k ranks each takes
log2 p alpha + (p-1)/p n beta, all-reduce both. All-reduce over other numbers is
folded: (2 floor(log2 p) + 2) alpha + (2 (p'-1)/p' + 2) n beta, p' = 2^floor(log2 p).

Rabenseifner, "Optimization of collective reduction operations", ICCS 2004.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.fold import core_size, folded
from sim.collectives.payload import even
from sim.collectives.registry import algorithm, power_of_two
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


@algorithm("reduce_scatter", NAME, power_of_two)
def reduce_scatter(ranks: int, size: float) -> Schedule:
    """Reduce-scatter by recursive halving, p a power of two.

    Examples
    --------
    >>> reduce_scatter(8, 1000.0).check()
    """

    def rounds() -> Iterator[Round]:
        here = np.arange(ranks)
        yield from _halving(here, _partners(here), size)

    return Schedule("reduce_scatter", NAME, ranks, size, rounds, chunks=ranks)


@algorithm("all_gather", NAME, power_of_two)
def all_gather(ranks: int, size: float) -> Schedule:
    """All-gather by recursive doubling, p a power of two.

    Examples
    --------
    >>> all_gather(8, 1000.0).check()
    """

    def rounds() -> Iterator[Round]:
        here = np.arange(ranks)
        yield from _doubling(here, _partners(here), size)

    return Schedule("all_gather", NAME, ranks, size, rounds, chunks=ranks)


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
