"""Recursive doubling: at every step all pairs at one stride swap whole buffers.

Thakur, Rabenseifner and Gropp 2005. All-reduce over p = 2^k ranks takes
log2 p (alpha + n beta + n gamma); other numbers are folded (`fold`):
(floor(log2 p) + 2) (alpha + n beta) + (floor(log2 p) + 1) n gamma.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.fold import core_size, folded
from sim.collectives.payload import everything
from sim.collectives.registry import algorithm
from sim.schedule import Round, Schedule

__all__ = ["all_reduce"]


@algorithm("all_reduce", "recursive_doubling")
def all_reduce(ranks: int, size: float) -> Schedule:
    """All-reduce by recursive doubling, any number of ranks.

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
    5
    """
    p = core_size(ranks)

    def rounds() -> Iterator[Round]:
        here, whole = np.arange(p), np.full(p, size)
        for k in range(p.bit_length() - 1):
            stride = 1 << k
            yield Round(here, here ^ stride, whole, True, 1, lambda _: everything(p, 1), f"stride {stride}")

    return folded(Schedule("all_reduce", "recursive_doubling", p, size, rounds, chunks=1), ranks)
