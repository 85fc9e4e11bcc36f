"""Chain: from neighbour to neighbour in pieces, NCCL's ring broadcast and reduce.

C pieces over p - 1 hops: (p - 2 + C) (alpha + n/C beta), near n beta for large n.
Scatter sends the farthest part first, gather the nearest; the parts are the
pieces: (p-1) alpha + (p-1)/p n beta.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from sim.collectives.payload import even
from sim.collectives.pipeline import pieces_for, pipelined
from sim.collectives.registry import algorithm
from sim.schedule import IntArray, Payload, Round, Schedule

__all__ = ["broadcast", "gather", "reduce", "scatter"]


@algorithm("broadcast", "chain")
def broadcast(ranks: int, size: float, root: int = 0, pipeline: int | str | None = None) -> Schedule:
    """Broadcast along the ranks after the root.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of the buffer.
    root : int
        Rank that has it.
    pipeline : int or ``"auto"``, optional
        Pieces C; by default `sim.collectives.pipeline.pieces_for` chooses.

    Examples
    --------
    >>> broadcast(5, 1000.0, root=3, pipeline=4).check()
    """
    pieces = pieces_for("broadcast by chain", ranks - 1, size, pipeline)

    def rounds() -> Iterator[Round]:
        hop = np.arange(ranks - 1)
        way = (root + np.arange(ranks)) % ranks
        return pipelined(
            way[:-1], way[1:], hop, 0 * hop, pieces, size / pieces, reduce=False, label="broadcast"
        )

    chosen = {"pipeline": pieces}
    return Schedule("broadcast", "chain", ranks, size, rounds, chunks=pieces, root=root, options=chosen)


@algorithm("reduce", "chain")
def reduce(ranks: int, size: float, root: int = 0, pipeline: int | str | None = None) -> Schedule:
    """Reduce along the ranks after the root, ending in it.

    Parameters as for `broadcast`.

    Examples
    --------
    >>> reduce(5, 1000.0, root=3, pipeline=4).check()
    """
    pieces = pieces_for("reduce by chain", ranks - 1, size, pipeline)

    def rounds() -> Iterator[Round]:
        hop = np.arange(ranks - 1)
        way = (root + 1 + np.arange(ranks)) % ranks
        return pipelined(way[:-1], way[1:], hop, 0 * hop, pieces, size / pieces, reduce=True, label="reduce")

    chosen = {"pipeline": pieces}
    return Schedule("reduce", "chain", ranks, size, rounds, chunks=pieces, root=root, options=chosen)


@algorithm("scatter", "chain")
def scatter(ranks: int, size: float, root: int = 0) -> Schedule:
    """Scatter along the ranks after the root, the farthest part first.

    Examples
    --------
    >>> scatter(5, 1000.0, root=3).check()
    """

    def rounds() -> Iterator[Round]:
        way = (root + np.arange(ranks)) % ranks
        for step in range(ranks - 1):
            hop = np.arange(step + 1)
            part = way[ranks - 1 - step + hop]
            each = np.full(hop.size, size / ranks)
            yield Round(
                way[hop],
                way[hop + 1],
                each,
                False,
                1,
                partial(_parts, part),
                f"scatter, step {step}",
            )

    return Schedule("scatter", "chain", ranks, size, rounds, chunks=ranks, root=root)


def _parts(part: IntArray, _: int) -> Payload:
    return even(part)


@algorithm("gather", "chain")
def gather(ranks: int, size: float, root: int = 0) -> Schedule:
    """Gather along the ranks before the root: the scatter backwards.

    Examples
    --------
    >>> gather(5, 1000.0, root=3).check()
    """

    def rounds() -> Iterator[Round]:
        way = (root - np.arange(ranks)) % ranks
        for step in reversed(range(ranks - 1)):
            hop = np.arange(step + 1)
            part = way[ranks - 1 - step + hop]
            each = np.full(hop.size, size / ranks)
            yield Round(
                way[hop + 1],
                way[hop],
                each,
                False,
                1,
                partial(_parts, part),
                f"gather, step {step}",
            )

    return Schedule("gather", "chain", ranks, size, rounds, chunks=ranks, root=root)
