"""Which chunks the transfers of a round carry, as ``(offsets, chunks)``.

Only the checker and the writers of algorithm files ever ask for a payload, so
the functions here are called from closures, never while a schedule is built.
"""

from __future__ import annotations

import numpy as np

from sim.schedule import IntArray, Payload

__all__ = ["even", "everything", "stretches"]


def even(table: IntArray) -> Payload:
    """Carry row i of ``table`` in transfer i; all carry equally many chunks.

    Parameters
    ----------
    table : int64 array, shape (m, w) or (m,)
        Chunks of each transfer; one-dimensional for one chunk each.

    Examples
    --------
    >>> even(np.array([[4, 5], [6, 7]]))
    (array([0, 2, 4]), array([4, 5, 6, 7]))
    """
    width = table.size // table.shape[0] if table.shape[0] else 0
    return np.arange(table.shape[0] + 1) * width, table.ravel()


def everything(transfers: int, chunks: int) -> Payload:
    """Carry all ``chunks`` chunks in every one of ``transfers`` transfers.

    Examples
    --------
    >>> everything(2, 3)
    (array([0, 3, 6]), array([0, 1, 2, 0, 1, 2]))
    """
    return np.arange(transfers + 1) * chunks, np.tile(np.arange(chunks), transfers)


def stretches(first: IntArray, count: IntArray) -> Payload:
    """Carry the ``count[i]`` consecutive chunks from ``first[i]`` in transfer i.

    Examples
    --------
    >>> stretches(np.array([0, 10]), np.array([2, 3]))
    (array([0, 2, 5]), array([ 0,  1, 10, 11, 12]))
    """
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(count)])
    within = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], count)
    return offsets, np.repeat(first, count) + within
