"""Orders of the chips for rings and chains that use every link of a full mesh.

A ring through a switch may take its chips in any order. On a full mesh of direct
links it uses one link of each chip, so libraries run several rings, each along
other links. Walecki's zigzag 0, 1, n-1, 2, n-2, ... turned around a circle of n
places uses every link equally often (Alspach, "The wonderful Walecki
construction", 2008).
"""

from __future__ import annotations

import numpy as np

from sim.fabric import Fabric
from sim.schedule import IntArray

__all__ = ["full_mesh", "paths_of_mesh", "rings_of_mesh"]

#: Chips of a host beyond which nobody wires a full mesh.
MOST = 64


def full_mesh(fabric: Fabric, nodes: IntArray, groups: IntArray | None) -> bool:
    """Whether the chips of every group are joined by a link for every pair."""
    home = np.zeros(nodes.size, dtype=np.int64) if groups is None else groups
    size = int(np.bincount(home).max())
    if not 2 < size <= MOST:
        return False
    group_of = np.full(len(fabric.nodes), -1, dtype=np.int64)
    group_of[nodes] = home
    inside = (group_of[fabric.tail] >= 0) & (group_of[fabric.tail] == group_of[fabric.head])
    pairs = np.unique(fabric.tail[inside].astype(np.int64) * len(fabric.nodes) + fabric.head[inside]).size
    sizes = np.bincount(home)
    return bool(pairs == int((sizes * (sizes - 1)).sum()))


def _zigzag(n: int) -> IntArray:
    """0, 1, n-1, 2, n-2, ...: neighbours differ by 1, 2, ..., each difference once."""
    half = np.arange(1, n // 2 + 1)
    turn = np.zeros(n, dtype=np.int64)
    turn[1::2] = half[: turn[1::2].size]
    turn[2::2] = (n - half)[: turn[2::2].size]
    return turn


def rings_of_mesh(chips: int) -> IntArray:
    """Rings over a full mesh that use every directed link equally often, shape (rings, chips).

    Examples
    --------
    >>> rings_of_mesh(4).tolist()
    [[3, 0, 1, 2], [3, 1, 2, 0], [3, 2, 0, 1], [2, 1, 0, 3], [0, 2, 1, 3], [1, 0, 2, 3]]
    """
    around = chips - 1
    turns = around if chips % 2 == 0 else around // 2
    zigzag = _zigzag(around)
    rows = [np.concatenate([[around], (zigzag + t) % around]) for t in range(turns)]
    return np.stack(rows + [row[::-1] for row in rows])


def paths_of_mesh(chips: int) -> IntArray:
    """Paths through all chips of a full mesh, an even number, that use every directed link once.

    Row k begins in chip k, so that every chip is the first of one path and the last of one.

    Examples
    --------
    >>> paths_of_mesh(4).tolist()
    [[0, 1, 3, 2], [1, 2, 0, 3], [2, 3, 1, 0], [3, 0, 2, 1]]
    """
    return (np.arange(chips)[:, None] + _zigzag(chips)) % chips
