"""PAT, NCCL's parallel aggregated trees: logarithmic steps with bounded buffers.

All-gather over the trees of `nhr`, the farthest first, but a transfer carries
no more than ``aggregation`` parts A. With m the least number for which
ceil(p / 2^m) <= A: first the strides 2^k >= 2^m, one step each, then the
2^m - 1 offsets in between one by one, depth first, for all ceil(p / 2^m)
subtrees at once. Reduce-scatter is the same backwards.

All-reduce, which NCCL does not run by PAT, is both.

Times: (ceil(log2 p) - m + 2^m - 1) alpha + (p-1)/p n beta where 2^m divides p.
Source: Jeaugey, "PAT: a new algorithm for all-gather and reduce-scatter
operations at scale", arXiv 2506.20252, 2025.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.registry import algorithm
from sim.collectives.strided import collect, lowest_bit_offsets, spread
from sim.schedule import IntArray, Round, Schedule
from topologies.errors import ScheduleError

__all__ = ["all_gather", "all_reduce", "reduce_scatter"]


@algorithm("all_reduce", "pat")
def all_reduce(ranks: int, size: float, aggregation: int | None = None) -> Schedule:
    """All-reduce: PAT reduce-scatter, then PAT all-gather; parameters as for `all_gather`.

    Examples
    --------
    >>> all_reduce(11, 1100.0, aggregation=3).check()
    """
    linear = _linear_bits("all_reduce", ranks, aggregation)

    def rounds() -> Iterator[Round]:
        for stride, offsets in reversed(list(_steps(ranks, linear))):
            yield collect(ranks, size, stride, offsets)
        for stride, offsets in _steps(ranks, linear):
            yield spread(ranks, size, stride, offsets)

    return Schedule(
        "all_reduce", "pat", ranks, size, rounds, chunks=ranks, options={"aggregation": aggregation}
    )


@algorithm("all_gather", "pat")
def all_gather(ranks: int, size: float, aggregation: int | None = None) -> Schedule:
    """All-gather, the farthest first; ``size`` is the whole buffer (p parts).

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of the whole buffer.
    aggregation : int, optional
        Most parts a transfer carries, >= 1; no limit if not given.

    Raises
    ------
    ScheduleError
        If the aggregation is not a whole number >= 1.

    Examples
    --------
    >>> all_gather(11, 1100.0, aggregation=3).check()
    >>> sum(1 for round in all_gather(16, 1600.0, aggregation=4).rounds())
    5
    """
    linear = _linear_bits("all_gather", ranks, aggregation)

    def rounds() -> Iterator[Round]:
        for stride, offsets in _steps(ranks, linear):
            yield spread(ranks, size, stride, offsets)

    return Schedule(
        "all_gather", "pat", ranks, size, rounds, chunks=ranks, options={"aggregation": aggregation}
    )


@algorithm("reduce_scatter", "pat")
def reduce_scatter(ranks: int, size: float, aggregation: int | None = None) -> Schedule:
    """Reduce-scatter, the nearest first: the all-gather backwards.

    Parameters as for `all_gather`.

    Examples
    --------
    >>> reduce_scatter(11, 1100.0, aggregation=3).check()
    """
    linear = _linear_bits("reduce_scatter", ranks, aggregation)

    def rounds() -> Iterator[Round]:
        for stride, offsets in reversed(list(_steps(ranks, linear))):
            yield collect(ranks, size, stride, offsets)

    return Schedule(
        "reduce_scatter", "pat", ranks, size, rounds, chunks=ranks, options={"aggregation": aggregation}
    )


def _linear_bits(kind: str, ranks: int, aggregation: int | None) -> int:
    """Number m of low bits whose offsets are served one by one."""
    if aggregation is None:
        return 0
    if isinstance(aggregation, bool) or not isinstance(aggregation, int | np.integer) or aggregation < 1:
        raise ScheduleError(
            f"{kind} by pat: aggregation (={aggregation!r}) must be a whole number of parts >= 1"
        )
    return next(m for m in range(ranks.bit_length() + 1) if -(-ranks >> m) <= aggregation)


def _steps(ranks: int, linear: int) -> Iterator[tuple[int, IntArray]]:
    """Stride and offsets of every step of the all-gather."""
    for k in reversed(range(linear, (ranks - 1).bit_length())):
        yield 1 << k, lowest_bit_offsets(ranks, k)
    for low in range(1, min(1 << linear, ranks)):
        # Counting up visits the subtree depth first: o without its lowest bit comes before o.
        yield low & -low, np.arange(low, ranks, 1 << linear)
