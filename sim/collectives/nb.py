"""NB, HCCL's nonuniform Bruck: ceil(log2 p) steps for any p, strides 1, 2, 4, ...

Reduce-scatter at stride 2^k: rank r sends rank r + 2^k the
floor((p-1+2^k) / 2^(k+1)) parts of the ranks r + 2^k, r + 3 * 2^k, ...
All-gather is Bruck's: rank r sends rank r + 2^k all it has, in the last step
only what is missing. Source: HCCL's documentation of NB; Bruck et al., IEEE
TPDS 8(11), 1997.

Times: ceil(log2 p) alpha + (p-1)/p n beta each, all-reduce both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.registry import algorithm
from sim.collectives.strided import collect, lowest_bit_offsets, spread
from sim.schedule import Round, Schedule

__all__ = ["all_gather", "all_reduce", "reduce_scatter"]


@algorithm("all_reduce", "nb")
def all_reduce(ranks: int, size: float) -> Schedule:
    """All-reduce: NB reduce-scatter, then NB all-gather.

    Examples
    --------
    >>> all_reduce(7, 700.0).check()
    """

    def rounds() -> Iterator[Round]:
        yield from _collecting(ranks, size)
        yield from _spreading(ranks, size)

    return Schedule("all_reduce", "nb", ranks, size, rounds, chunks=ranks)


@algorithm("reduce_scatter", "nb")
def reduce_scatter(ranks: int, size: float) -> Schedule:
    """Reduce-scatter; ``size`` is the whole buffer (p parts).

    Examples
    --------
    >>> reduce_scatter(7, 700.0).check()
    """
    return Schedule("reduce_scatter", "nb", ranks, size, lambda: _collecting(ranks, size), chunks=ranks)


@algorithm("all_gather", "nb")
def all_gather(ranks: int, size: float) -> Schedule:
    """All-gather; ``size`` is the whole buffer (p parts).

    Examples
    --------
    >>> all_gather(7, 700.0).check()
    """
    return Schedule("all_gather", "nb", ranks, size, lambda: _spreading(ranks, size), chunks=ranks)


def _collecting(ranks: int, size: float) -> Iterator[Round]:
    for k in range((ranks - 1).bit_length()):
        yield collect(ranks, size, 1 << k, lowest_bit_offsets(ranks, k), turn=-1)


def _spreading(ranks: int, size: float) -> Iterator[Round]:
    for k in range((ranks - 1).bit_length()):
        stride = 1 << k
        yield spread(ranks, size, stride, np.arange(stride, min(2 * stride, ranks)))
