"""Chain: from neighbour to neighbour in pieces, NCCL's ring broadcast and reduce.

C pieces over p - 1 hops: (p - 2 + C) (alpha + n/C beta), near n beta for large n.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.pipeline import pieces_for, pipelined
from sim.collectives.registry import algorithm
from sim.schedule import Round, Schedule

__all__ = ["broadcast", "reduce"]


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
