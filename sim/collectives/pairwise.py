"""Pairwise: in step k rank r sends to r + k and receives from r - k (HCCL Pairwise).

All-to-all(v) in p - 1 steps: (p-1) alpha + beta * sum over k of the largest
n(i, i + k).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.direct import exchange
from sim.collectives.registry import algorithm
from sim.schedule import FloatArray, IntArray, Schedule

__all__ = ["all_to_all"]


@algorithm("all_to_all", "pairwise")
def all_to_all(ranks: int, size: float | FloatArray) -> Schedule:
    """All-to-all, one partner at a time.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float or float64 array, shape (p, p)
        Bytes of a rank's whole buffer (1/p of it for each rank), or the bytes
        from i (row) to j (column): all-to-all-v. Pairs with nothing to send
        have no transfer and hold nobody up.

    Examples
    --------
    >>> all_to_all(6, 600.0).check()
    >>> sum(round.repeat for round in all_to_all(6, 600.0).rounds())
    5
    """

    def steps() -> Iterator[tuple[IntArray, IntArray, str]]:
        here = np.arange(ranks)
        around = np.concatenate([here, here])
        for k in range(1, ranks):
            yield here, around[k : k + ranks], f"stride {k}"

    return exchange("pairwise", ranks, size, steps)
