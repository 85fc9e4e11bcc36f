"""Double binary tree (Sanders, Speck and Träff 2009; NCCL's "Tree").

Two binary trees over all ranks, each carrying half of the buffer: what is
inside one tree is a leaf of the other, so every rank sends and receives at
full rate. The first is the in-order tree: counted from 1, a number ending in
j zero bits stands j levels above the leaves. The second is its mirror image
(p even) or is shifted by one rank (p odd).

Each half flows up to the root of its tree and down again in C pieces. Either
way moves n/C bytes in and out of a rank a step, whose both directions are thus
full: alternating the ways, as NCCL does, takes as many steps as one after the
other. D = floor(log2 p) levels take 2 (D + C - 1) (alpha + n/C beta).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.pipeline import pieces_for, pipelined
from sim.collectives.registry import algorithm
from sim.schedule import IntArray, Round, Schedule

__all__ = ["all_reduce", "in_order_tree", "two_trees"]


@algorithm("all_reduce", "double_binary_tree")
def all_reduce(ranks: int, size: float, pipeline: int | str | None = None) -> Schedule:
    """All-reduce up and down two binary trees, any number of ranks.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of a rank's buffer.
    pipeline : int or ``"auto"``, optional
        Pieces C that each half is cut into; by default
        `sim.collectives.pipeline.pieces_for` chooses.

    Examples
    --------
    >>> schedule = all_reduce(8, 1000.0, pipeline=6)
    >>> schedule.check()
    >>> sum(round.repeat for round in schedule.rounds())
    16
    """
    what = "all_reduce by double_binary_tree"
    pieces = pieces_for(what, ranks.bit_length() - 1, size, pipeline)

    def rounds() -> Iterator[Round]:
        child, parent, depth, tree = two_trees(ranks)
        deepest = int(depth.max())
        first, each = tree * pieces, size / (2 * pieces)
        yield from pipelined(
            child, parent, deepest - depth, first, pieces, each, reduce=True, label="reduce up both trees"
        )
        yield from pipelined(
            parent, child, depth - 1, first, pieces, each, reduce=False, label="broadcast down both trees"
        )

    return Schedule(
        "all_reduce",
        "double_binary_tree",
        ranks,
        size,
        rounds,
        chunks=2 * pieces,
        options={"pipeline": pieces},
    )


def two_trees(ranks: int) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Edges of both trees.

    Returns
    -------
    child, parent : int64 array, shape (2 (p - 1),)
        Ends of each edge.
    depth : int64 array
        Depth of the child; the roots have 0.
    tree : int64 array
        0 or 1.

    Examples
    --------
    >>> child, parent, depth, tree = two_trees(4)
    >>> list(zip(child[tree == 0].tolist(), parent[tree == 0].tolist()))
    [(0, 1), (1, 3), (2, 1)]
    """
    parent, depth = in_order_tree(ranks)
    child = np.flatnonzero(parent >= 0)
    above = parent[child]
    here = np.arange(ranks)
    image = ranks - 1 - here if ranks % 2 == 0 else (here + 1) % ranks
    return (
        np.concatenate([child, image[child]]),
        np.concatenate([above, image[above]]),
        np.tile(depth[child], 2),
        np.repeat(np.arange(2), child.size),
    )


def in_order_tree(ranks: int) -> tuple[IntArray, IntArray]:
    """Parent (-1 for the root) and depth of every rank in the in-order tree.

    Examples
    --------
    >>> in_order_tree(5)
    (array([ 1,  3,  1, -1,  3]), array([2, 1, 2, 0, 1]))
    """
    number = np.arange(1, ranks + 1)
    bit = number & -number
    above = (number ^ bit) | (bit << 1)
    # Where the tree is cut off on the right, the next ancestor that exists.
    above = np.where(above > ranks, number ^ bit, above)
    root = 1 << (ranks.bit_length() - 1)
    parent = above - 1
    parent[root - 1] = -1
    depth = np.zeros(ranks, dtype=np.int64)
    level, current = 0, parent
    while (current >= 0).any():
        level += 1
        depth[current >= 0] = level
        current = np.where(current >= 0, parent[current], -1)
    return parent, depth
