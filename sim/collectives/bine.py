"""Bine trees: binomial trees and butterflies whose partners stay near.

Bine, binomial negabinary: ranks are written to the base of -2, so that subtrees
are stretches on both sides of their root and partners are about a third nearer
than in the usual trees; on tapered fat trees and dragonflies fewer bytes leave
their part of the machine. p a power of two.

Broadcast goes down the tree with the farthest first: with v the rank counted
from the root and nb(v) its negabinary digits, who has the buffer in step j,
falling, passes it to the rank whose lowest j + 1 digits are all turned over.
Reduce is the same backwards. The butterfly of reduce-scatter and all-gather is
the one of a ring of Swing, nearest first and last; all-reduce is both. On a torus
it takes the dimensions in turn, in lanes that begin with different ones.

De Sensi et al., "Bine Trees: Enhancing Collective Operations by Optimizing
Communication Locality", SC 2025, and the authors' HLC-Lab/bine-trees.
Times: broadcast and reduce log2 p (alpha + n beta), reduce-scatter and all-gather
log2 p alpha + (p-1)/p n beta.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives import butterfly
from sim.collectives.payload import everything
from sim.collectives.registry import algorithm, power_of_two
from sim.collectives.swing import by_lanes, powers_of_two
from sim.schedule import IntArray, Round, Schedule

__all__ = ["all_gather", "all_reduce", "broadcast", "negabinary", "reduce", "reduce_scatter"]

NAME = "bine"
Dims = tuple[int, ...]


@algorithm("all_reduce", NAME, powers_of_two)
def all_reduce(ranks: int, size: float, dims: Dims | None = None, bidirectional: bool = False) -> Schedule:
    """All-reduce: reduce-scatter, then all-gather, by the butterfly.

    Parameters
    ----------
    ranks : int
        Number of ranks p, a power of two.
    size : float
        Bytes of a rank's buffer.
    dims : tuple of int, optional
        Dimensions of the torus, powers of two; one ring if not given.
    bidirectional : bool
        Whether mirrored lanes go the other way round at the same time.

    Examples
    --------
    >>> all_reduce(16, 1600.0).check()
    >>> all_reduce(16, 1600.0, dims=(4, 4), bidirectional=True).check()
    """

    def steps(found: list[IntArray], share: float) -> Iterator[Round]:
        yield from butterfly.halving(found, share)
        yield from butterfly.doubling(found, share)

    return by_lanes("all_reduce", NAME, ranks, size, dims, bidirectional, steps, ranks)


@algorithm("reduce_scatter", NAME, powers_of_two)
def reduce_scatter(
    ranks: int, size: float, dims: Dims | None = None, bidirectional: bool = False
) -> Schedule:
    """Reduce-scatter, nearest partners and most bytes first; options as for `all_reduce`.

    Examples
    --------
    >>> reduce_scatter(16, 1600.0).check()
    """
    return by_lanes("reduce_scatter", NAME, ranks, size, dims, bidirectional, butterfly.halving, ranks)


@algorithm("all_gather", NAME, powers_of_two)
def all_gather(ranks: int, size: float, dims: Dims | None = None, bidirectional: bool = False) -> Schedule:
    """All-gather, nearest partners and most bytes last; options as for `all_reduce`.

    Examples
    --------
    >>> all_gather(16, 1600.0).check()
    """
    return by_lanes("all_gather", NAME, ranks, size, dims, bidirectional, butterfly.doubling, ranks)


@algorithm("broadcast", NAME, power_of_two)
def broadcast(ranks: int, size: float, root: int = 0) -> Schedule:
    """Broadcast the root's whole buffer down a Bine tree.

    Examples
    --------
    >>> broadcast(8, 800.0, root=3).check()
    >>> [(r.src.tolist(), r.dst.tolist()) for r in broadcast(8, 8.0).rounds()]
    [([0], [3]), ([0, 3], [7, 4]), ([0, 3, 4, 7], [1, 2, 5, 6])]
    """

    def rounds() -> Iterator[Round]:
        for step, (above, below) in enumerate(_levels(ranks, root)):
            yield _whole(above, below, size, False, f"broadcast, step {step}")

    return Schedule("broadcast", NAME, ranks, size, rounds, chunks=1, root=root)


@algorithm("reduce", NAME, power_of_two)
def reduce(ranks: int, size: float, root: int = 0) -> Schedule:
    """Reduce to the root up a Bine tree.

    Examples
    --------
    >>> reduce(8, 800.0, root=3).check()
    """

    def rounds() -> Iterator[Round]:
        for step, (above, below) in enumerate(reversed(_levels(ranks, root))):
            yield _whole(below, above, size, True, f"reduce, step {step}")

    return Schedule("reduce", NAME, ranks, size, rounds, chunks=1, root=root)


def negabinary(number: IntArray, digits: int) -> IntArray:
    """Lowest digits of numbers to the base of -2, as the bits of a number.

    The digits of v are the bits of (v + m) xor m, m = ...101010.

    Examples
    --------
    >>> negabinary(np.array([1, 2, 3, -1]), 3)  # 001, 110, 111, 011
    array([1, 6, 7, 3])
    """
    mask = 0xAAAAAAAA & ((1 << digits) - 1)
    return ((number + mask) ^ mask) & ((1 << digits) - 1)


def _levels(ranks: int, root: int) -> list[tuple[IntArray, IntArray]]:
    """Who has the buffer and who gets it from them, in each step from the root down."""
    digits = ranks.bit_length() - 1
    here = np.arange(ranks)
    written = negabinary(here, digits)
    rank_of = np.empty(ranks, dtype=np.int64)
    rank_of[written] = here
    having = np.zeros(1, dtype=np.int64)
    levels = []
    for j in reversed(range(digits)):
        getting = rank_of[written[having] ^ ((2 << j) - 1)]
        levels.append(((having + root) % ranks, (getting + root) % ranks))
        having = np.sort(np.concatenate([having, getting]))
    return levels


def _whole(src: IntArray, dst: IntArray, size: float, adds: bool, label: str) -> Round:
    return Round(src, dst, np.full(src.size, size), adds, 1, lambda _: everything(src.size, 1), label)
