"""NCCL's tree: a chain through every host, a double binary tree between their heads.

Up: from the end of each chain to its head, then up both trees, each with half of the
buffer; down the same way back. M ranks in the largest group and N groups make
S = M - 1 + floor(log2 N) stages, so C pieces take 2 (S + C - 1) steps of n/C bytes
each way (n/2C between the heads and one parent). Groups may be of any sizes; one
group alone is a chain, groups of one the double binary tree.

Source: NVIDIA NCCL src/graph/trees.cc and connect.cc (the intra-node chain and the
double binary tree of Sanders, Speck and Träff between nodes).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.double_binary_tree import two_trees
from sim.collectives.pipeline import pieces_for, pipelined
from sim.collectives.registry import algorithm
from sim.schedule import IntArray, Round, Schedule

__all__ = ["all_reduce", "stages_of_tree"]


@algorithm("all_reduce", "tree")
def all_reduce(
    ranks: int, size: float, groups: IntArray | None = None, pipeline: int | None = None
) -> Schedule:
    """All-reduce up and down a tree of chains.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of a rank's buffer.
    groups : int64 array, shape (p,), optional
        Group (host) of each rank, of any sizes; the first of a group is its head.
        Without them every rank is one.
    pipeline : int, optional
        Pieces C that each half is cut into; by default
        `sim.collectives.pipeline.pieces_for` chooses.

    Examples
    --------
    >>> all_reduce(12, 1200.0, np.arange(12) // 4, pipeline=3).check()
    >>> all_reduce(7, 700.0, np.array([0, 0, 0, 1, 1, 2, 2])).check()
    >>> schedule = all_reduce(8, 800.0, np.arange(8) // 4, pipeline=5)
    >>> sum(round.repeat for round in schedule.rounds())  # 2 (3 + 1 + 5 - 1)
    16
    """
    home = np.arange(ranks) if groups is None else groups
    stages = stages_of_tree(home)
    pieces = pieces_for("all_reduce by tree", stages, size, pipeline)

    def rounds() -> Iterator[Round]:
        child, parent, height, tree = _edges(home)
        first, each = tree * pieces, size / (2 * pieces)
        yield from pipelined(
            child, parent, height, first, pieces, each, reduce=True, label="reduce up the trees"
        )
        yield from pipelined(
            parent, child, stages - 1 - height, first, pieces, each, reduce=False,
            label="broadcast down the trees",
        )  # fmt: skip

    options = {"pipeline": pieces, "stages": stages}
    return Schedule(
        "all_reduce", "tree", ranks, size, rounds, chunks=2 * pieces, groups=groups, options=options
    )


def stages_of_tree(groups: IntArray) -> int:
    """Stages S: steps from the farthest rank to the root.

    Examples
    --------
    >>> stages_of_tree(np.arange(16) // 4)
    5
    """
    counts = np.unique(groups, return_counts=True)[1]
    return int(counts.max()) - 1 + (counts.size.bit_length() - 1)


def _edges(groups: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Child, parent, stage on the way up, and tree (0 or 1) of every edge of both trees."""
    names, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(place.reshape(-1), kind="stable")
    start = np.cumsum(counts) - counts
    heads, longest = order[start], int(counts.max())
    within = np.arange(order.size) - np.repeat(start, counts)
    chained = np.flatnonzero(within > 0)
    child = np.tile(order[chained], 2)
    parent = np.tile(order[chained - 1], 2)
    height = np.tile(longest - 1 - within[chained], 2)
    tree = np.repeat(np.arange(2), chained.size)
    if names.size > 1:
        low, high, depth, which = two_trees(names.size)
        child = np.concatenate([child, heads[low]])
        parent = np.concatenate([parent, heads[high]])
        height = np.concatenate([height, longest - 1 + int(depth.max()) - depth])
        tree = np.concatenate([tree, which])
    return child, parent, height, tree
