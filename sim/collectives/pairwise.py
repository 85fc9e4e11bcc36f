"""Pairwise: in step k rank r sends to r + k and receives from r - k (HCCL Pairwise).

All-to-all(v) in p - 1 steps: (p-1) alpha + beta * sum over k of the largest
n(i, i + k).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.payload import even
from sim.collectives.registry import algorithm
from sim.schedule import FloatArray, IntArray, Payload, Round, Schedule

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
    p = ranks
    if not isinstance(size, np.ndarray):
        return Schedule("all_to_all", "pairwise", p, size, lambda: _even_rounds(p, size), chunks=p * p)
    return Schedule(
        "all_to_all",
        "pairwise",
        p,
        float(size.sum(axis=1).max()),
        lambda: _uneven_rounds(p, size),
        chunks=p * p,
        chunk_bytes=size.ravel(),
    )


def _even_rounds(p: int, size: float) -> Iterator[Round]:
    here, each = np.arange(p), np.full(p, size / p)
    for k in range(1, p):
        yield _step(here, (here + k) % p, each, p, k)


def _uneven_rounds(p: int, matrix: FloatArray) -> Iterator[Round]:
    here = np.arange(p)
    for k in range(1, p):
        there = (here + k) % p
        amounts = matrix[here, there]
        busy = amounts > 0
        if busy.any():
            yield _step(here[busy], there[busy], amounts[busy], p, k)


def _step(src: IntArray, dst: IntArray, amounts: FloatArray, p: int, k: int) -> Round:
    def payload(_: int) -> Payload:
        return even(src * p + dst)

    return Round(src, dst, amounts, False, 1, payload, f"stride {k}")
