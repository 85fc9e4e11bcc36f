"""Where the chunks of one of k equal shares of the data lie in the whole.

Channels and the pieces of a pipeline are whole schedules, each on its share. A
buffer consists of *cells*, p * p for all-to-all (what one rank has for another),
p for collectives in which every rank has a part, one for the others; share c of
k is the c-th k-th of every cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.schedule import FloatArray, IntArray, Payload

__all__ = ["Placed", "cells", "place_of", "share_bytes"]

#: Collectives in which every rank has a part of the buffer of its own.
BY_PARTS = ("all_gather", "reduce_scatter", "gather", "scatter")

#: From chunks of a share to chunks of the whole.
Place = Callable[[IntArray], IntArray]


def cells(kind: str, ranks: int) -> int:
    """Number of cells of the buffer of a collective.

    Examples
    --------
    >>> [cells(kind, 8) for kind in ("all_reduce", "all_gather", "all_to_all")]
    [1, 8, 64]
    """
    if kind == "all_to_all":
        return ranks * ranks
    return ranks if kind in BY_PARTS else 1


def place_of(kind: str, order: IntArray, c: int, count: int, width: int) -> Place:
    """Where the ``width`` chunks of share c of ``count`` lie.

    Parameters
    ----------
    kind : str
        The collective.
    order : int64 array, shape (p,)
        Rank that plays each position of the share's schedule.

    Examples
    --------
    The second half of an all-gather over two ranks that have changed places:

    >>> place_of("all_gather", np.array([1, 0]), 1, 2, 4)(np.arange(4))
    array([6, 7, 2, 3])
    """
    ranks = order.size
    each = width // cells(kind, ranks)

    def place(chunk: IntArray) -> IntArray:
        cell, within = chunk // each, chunk % each
        if kind == "all_to_all":
            cell = order[cell // ranks] * ranks + order[cell % ranks]
        elif kind in BY_PARTS:
            cell = order[cell]
        found: IntArray = cell * (count * each) + c * each + within
        return found

    return place


def share_bytes(matrix: FloatArray | None, chunks: int) -> FloatArray | None:
    """Bytes of each chunk of an uneven all-to-all whose cells are cut evenly.

    Examples
    --------
    >>> share_bytes(np.array([[0.0, 6.0], [2.0, 0.0]]), 8)
    array([0., 0., 3., 3., 1., 1., 0., 0.])
    """
    if matrix is None:
        return None
    width = chunks // matrix.size
    return matrix.ravel() if width == 1 else np.repeat(matrix.ravel() / width, width)


@dataclass(frozen=True, slots=True)
class Placed:
    """Payload of a share's round: its chunks, each ``width`` chunks fine, where they lie in the whole."""

    small: Callable[[int], Payload]
    width: int
    place: Place

    def __call__(self, k: int) -> Payload:
        offsets, chunks = self.small(k)
        fine = (chunks[:, None] * self.width + np.arange(self.width)).ravel()
        return offsets * self.width, self.place(fine)
