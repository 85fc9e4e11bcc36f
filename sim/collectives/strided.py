"""Spreading and collecting parts in strides, the step that NHR, NB and PAT share.

Count ranks from the owner of a part: the rank o further on is at offset o. To
*spread* is to pass parts on from offset o - s to offset o, the same for all
owners at once: rank r sends to rank r + s. To *collect* is the way back: rank r
sends what it has summed for the owner o before it to rank r - s. ``turn`` = -1
counts the other way round.
"""

from __future__ import annotations

import numpy as np

from sim.collectives.payload import even
from sim.schedule import IntArray, Payload, Round

__all__ = ["collect", "lowest_bit_offsets", "spread"]


def spread(ranks: int, size: float, stride: int, offsets: IntArray, turn: int = 1) -> Round:
    """One step of an all-gather: ``offsets`` get their parts from ``offsets - stride``.

    Parameters
    ----------
    ranks : int
        Number of ranks p, each owner of a part of size / p bytes.
    size : float
        Bytes of the whole buffer.
    stride : int
        How much further on the receivers are.
    offsets : int64 array, shape (w,)
        Offsets served in this step; every transfer carries w parts.
    turn : int
        1 or -1, the way round.

    Examples
    --------
    >>> step = spread(4, 8.0, 2, np.array([2]))
    >>> step.dst, step.payload(0)[1]
    (array([2, 3, 0, 1]), array([0, 1, 2, 3]))
    """
    here = np.arange(ranks)

    def payload(_: int) -> Payload:
        return even((here[:, None] - turn * (offsets - stride)) % ranks)

    each = np.full(ranks, size / ranks * offsets.size)
    return Round(
        here, (here + turn * stride) % ranks, each, False, 1, payload, f"all-gather, stride {stride}"
    )


def collect(ranks: int, size: float, stride: int, offsets: IntArray, turn: int = 1) -> Round:
    """One step of a reduce-scatter: ``offsets`` give their sums to ``offsets - stride``.

    Parameters as for `spread`.

    Examples
    --------
    >>> step = collect(4, 8.0, 2, np.array([2]))
    >>> step.dst, step.payload(0)[1]
    (array([2, 3, 0, 1]), array([2, 3, 0, 1]))
    """
    here = np.arange(ranks)

    def payload(_: int) -> Payload:
        return even((here[:, None] - turn * offsets) % ranks)

    each = np.full(ranks, size / ranks * offsets.size)
    return Round(
        here, (here - turn * stride) % ranks, each, True, 1, payload, f"reduce-scatter, stride {stride}"
    )


def lowest_bit_offsets(ranks: int, k: int) -> IntArray:
    """Offsets 1 to p - 1 whose lowest bit is bit k: floor((p-1+2^k) / 2^(k+1)) of them.

    Examples
    --------
    >>> lowest_bit_offsets(7, 1)
    array([2, 6])
    """
    return np.arange(1 << k, ranks, 2 << k)
