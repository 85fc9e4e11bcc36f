"""Bruck's all-to-all: ceil(log2 p) steps, blocks travel by the bits of their distance.

In step k every rank passes all blocks whose remaining distance has bit k to the
rank 2^k further on. Over p = 2^k ranks: log2 p (alpha + n/2 beta), n the bytes
of a rank's buffer with its own block: few steps for more bytes.

Bruck, Ho, Kipnis, Upfal and Weathersby, IEEE TPDS 8(11), 1997.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sim.collectives.payload import even
from sim.collectives.registry import algorithm
from sim.schedule import FloatArray, IntArray, Payload, Round, Schedule

__all__ = ["all_to_all"]


@algorithm("all_to_all", "bruck")
def all_to_all(ranks: int, size: float | FloatArray) -> Schedule:
    """All-to-all(v) in ceil(log2 p) steps.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float or float64 array, shape (p, p)
        Bytes of a rank's whole buffer, or the bytes from i (row) to j (column):
        blocks of no bytes do not travel.

    Examples
    --------
    >>> all_to_all(6, 600.0).check()
    >>> [float(round.bytes[0]) for round in all_to_all(8, 800.0).rounds()]
    [400.0, 400.0, 400.0]
    >>> all_to_all(3, np.array([[0, 0, 9.0], [0, 0, 0], [0, 0, 0]])).totals()  # a way of 2 is one step
    (1, 9.0)
    """
    matrix = size if isinstance(size, np.ndarray) else None
    most = float(size) if matrix is None else float(matrix.sum(axis=1).max())

    def rounds() -> Iterator[Round]:
        for k in range((ranks - 1).bit_length()):
            step = _step(ranks, most, 1 << k)
            if matrix is not None:
                step = _uneven(step, matrix.ravel())
            if step.src.size:
                yield step

    return Schedule(
        "all_to_all",
        "bruck",
        ranks,
        most,
        rounds,
        chunks=ranks * ranks,
        chunk_bytes=None if matrix is None else matrix.ravel(),
    )


def _step(p: int, size: float, stride: int) -> Round:
    here = np.arange(p)
    distance = here[(here & stride) > 0]

    def payload(_: int) -> Payload:
        source = (here[:, None] - (distance & (stride - 1))) % p
        return even(source * p + (source + distance) % p)

    each = np.full(p, size / p * distance.size)
    return Round(here, (here + stride) % p, each, False, 1, payload, f"stride {stride}")


def _uneven(step: Round, block_bytes: FloatArray) -> Round:
    """The same step with blocks of these bytes, without those that have none."""

    def carried() -> tuple[IntArray, IntArray, IntArray]:
        offsets, blocks = step.payload(0)  # type: ignore[misc]
        kept = block_bytes[blocks] > 0
        counts = np.add.reduceat(kept, offsets[:-1], dtype=np.int64)
        busy = np.flatnonzero(counts)
        return busy, np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts[busy])]), blocks[kept]

    busy, offsets, blocks = carried()
    each = np.add.reduceat(block_bytes[blocks], offsets[:-1]) if busy.size else np.zeros(0)
    return replace(step, src=step.src[busy], dst=step.dst[busy], bytes=each, payload=lambda _: carried()[1:])
