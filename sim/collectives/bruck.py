"""Bruck's all-to-all: ceil(log2 p) steps, blocks travel by the bits of their distance.

In step k every rank passes all blocks whose remaining distance has bit k to the
rank 2^k further on. Over p = 2^k ranks: log2 p (alpha + n/2 beta), n the bytes
of a rank's buffer with its own block: few steps for more bytes.

Bruck, Ho, Kipnis, Upfal and Weathersby, IEEE TPDS 8(11), 1997.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.payload import even
from sim.collectives.registry import algorithm
from sim.schedule import FloatArray, Payload, Round, Schedule
from topologies.errors import ScheduleError

__all__ = ["all_to_all"]


@algorithm("all_to_all", "bruck")
def all_to_all(ranks: int, size: float | FloatArray) -> Schedule:
    """All-to-all of equal blocks in ceil(log2 p) steps.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of a rank's whole buffer.

    Raises
    ------
    ScheduleError
        If the size is a matrix: blocks must be equal.

    Examples
    --------
    >>> all_to_all(6, 600.0).check()
    >>> [float(round.bytes[0]) for round in all_to_all(8, 800.0).rounds()]
    [400.0, 400.0, 400.0]
    """
    if isinstance(size, np.ndarray):
        raise ScheduleError("all_to_all by bruck: takes one size, not a matrix; ask for pairwise or mesh")

    def rounds() -> Iterator[Round]:
        for k in range((ranks - 1).bit_length()):
            yield _step(ranks, size, 1 << k)

    return Schedule("all_to_all", "bruck", ranks, size, rounds, chunks=ranks * ranks)


def _step(p: int, size: float, stride: int) -> Round:
    here = np.arange(p)
    distance = here[(here & stride) > 0]

    def payload(_: int) -> Payload:
        source = (here[:, None] - (distance & (stride - 1))) % p
        return even(source * p + (source + distance) % p)

    each = np.full(p, size / p * distance.size)
    return Round(here, (here + stride) % p, each, False, 1, payload, f"stride {stride}")
