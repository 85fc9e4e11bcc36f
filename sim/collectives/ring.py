"""Ring: every rank sends to the next and receives from the one before.

Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
workstations", JPDC 2009; Thakur, Rabenseifner and Gropp, IJHPCA 2005.
Times with alpha a step and beta a byte: reduce-scatter and all-gather
(p-1) alpha + (p-1)/p n beta each, all-reduce both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.arguments import Layout
from sim.collectives.payload import even
from sim.collectives.registry import algorithm
from sim.schedule import FloatArray, IntArray, Payload, Round, Schedule

__all__ = [
    "all_gather",
    "all_reduce",
    "bidirectional_all_gather",
    "bidirectional_all_reduce",
    "bidirectional_reduce_scatter",
    "reduce_scatter",
]

#: Everything a ring's two phases have in common: source, destination, bytes.
Ends = tuple[IntArray, IntArray, FloatArray]


@algorithm("all_reduce", "ring")
def all_reduce(ranks: int, size: float) -> Schedule:
    """All-reduce: reduce-scatter around the ring, then all-gather.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of a rank's buffer.

    Returns
    -------
    Schedule
        Two rounds, each repeated p - 1 times, over the same arrays.

    Examples
    --------
    >>> schedule = all_reduce(8, 1024.0)
    >>> schedule.check()
    >>> [round.repeat for round in schedule.rounds()]
    [7, 7]
    """

    def rounds() -> Iterator[Round]:
        ends = _ends(ranks, size)
        yield _reduce_scatter(ends)
        yield _all_gather(ends)

    return Schedule("all_reduce", "ring", ranks, size, rounds, chunks=ranks)


@algorithm("reduce_scatter", "ring")
def reduce_scatter(ranks: int, size: float) -> Schedule:
    """Reduce-scatter around the ring; ``size`` is the whole buffer (p parts).

    Examples
    --------
    >>> reduce_scatter(7, 1024.0).check()
    """
    return Schedule(
        "reduce_scatter",
        "ring",
        ranks,
        size,
        lambda: iter([_reduce_scatter(_ends(ranks, size))]),
        chunks=ranks,
    )


@algorithm("all_gather", "ring")
def all_gather(ranks: int, size: float) -> Schedule:
    """All-gather around the ring; ``size`` is the whole buffer (p parts).

    Examples
    --------
    >>> all_gather(7, 1024.0).check()
    """
    return Schedule(
        "all_gather", "ring", ranks, size, lambda: iter([_all_gather(_ends(ranks, size))]), chunks=ranks
    )


def _two_neighbours(layout: Layout) -> str | None:
    ranks = layout.ranks
    return f"needs two different neighbours, so at least 3 ranks, not {ranks}" if ranks < 3 else None


@algorithm("all_reduce", "bidirectional_ring", _two_neighbours)
def bidirectional_all_reduce(ranks: int, size: float) -> Schedule:
    """All-reduce on two opposite rings, half of the buffer each.

    Twice the speed of one ring where the ways to both neighbours are separate
    links (tori, chains of cables): (p-1)/p n beta of one link each.

    Examples
    --------
    >>> bidirectional_all_reduce(5, 1000.0).check()
    """

    def rounds() -> Iterator[Round]:
        ends = _both_ways(ranks, size)
        yield _both_ways_round(ends, adds=True, by_rank=False)
        yield _both_ways_round(ends, adds=False, by_rank=False)

    return Schedule("all_reduce", "bidirectional_ring", ranks, size, rounds, chunks=2 * ranks)


@algorithm("reduce_scatter", "bidirectional_ring", _two_neighbours)
def bidirectional_reduce_scatter(ranks: int, size: float) -> Schedule:
    """Reduce-scatter on two opposite rings, half of every part each.

    Examples
    --------
    >>> bidirectional_reduce_scatter(5, 1000.0).check()
    """

    def rounds() -> Iterator[Round]:
        yield _both_ways_round(_both_ways(ranks, size), adds=True, by_rank=True)

    return Schedule("reduce_scatter", "bidirectional_ring", ranks, size, rounds, chunks=2 * ranks)


@algorithm("all_gather", "bidirectional_ring", _two_neighbours)
def bidirectional_all_gather(ranks: int, size: float) -> Schedule:
    """All-gather on two opposite rings, half of every part each.

    Examples
    --------
    >>> bidirectional_all_gather(5, 1000.0).check()
    """

    def rounds() -> Iterator[Round]:
        yield _both_ways_round(_both_ways(ranks, size), adds=False, by_rank=True)

    return Schedule("all_gather", "bidirectional_ring", ranks, size, rounds, chunks=2 * ranks)


def _both_ways(ranks: int, size: float) -> Ends:
    here, after, _ = _ends(ranks, size)
    return (
        np.concatenate([here, after]),
        np.concatenate([after, here]),
        np.full(2 * ranks, size / (2 * ranks)),
    )


def _both_ways_round(ends: Ends, *, adds: bool, by_rank: bool) -> Round:
    """Both rings' reduce-scatter, or all-gather.

    The way back is the way there with ranks and parts mirrored (r -> -r); its
    transfer i is the one that rank i + 1 sends. Its halves of the parts follow
    those of the way there, or stand next to them where each rank has a part.
    """
    src, dst, each = ends
    p = src.size // 2
    here, after = src[:p], dst[:p]

    def payload(k: int) -> Payload:
        ahead, back = (here - k - int(adds)) % p, (after + k + int(adds)) % p
        return even(np.concatenate([2 * ahead, 2 * back + 1] if by_rank else [ahead, p + back]))

    name = "reduce-scatter" if adds else "all-gather"
    return Round(src, dst, each, adds, p - 1, payload, f"{name}, both ways round")


def _ends(ranks: int, size: float) -> Ends:
    here = np.arange(ranks)
    return here, np.roll(here, -1), np.full(ranks, size / ranks)


def _reduce_scatter(ends: Ends) -> Round:
    here, after, each = ends
    p = here.size

    def payload(k: int) -> Payload:
        return even((here - k - 1) % p)

    return Round(here, after, each, True, p - 1, payload, "reduce-scatter")


def _all_gather(ends: Ends) -> Round:
    here, after, each = ends
    p = here.size

    def payload(k: int) -> Payload:
        return even((here - k) % p)

    return Round(here, after, each, False, p - 1, payload, "all-gather")
