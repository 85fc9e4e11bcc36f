"""NCCL's in-network all-reduces by name: NVLS, NVLS-tree, CollNet.

==========  ==============================  ================================
algorithm   inside the scale-up domain      between
==========  ==============================  ================================
nvls        the domain's switches           the fabric's switches
nvls_tree   the domain's switches           double binary tree
collnet     direct (every pair at once)     the fabric's switches (SHARP)
==========  ==============================  ================================

Inside, a reduce-scatter leaves each chip its share, so that every NIC carries one;
then these meet between the domains; then an all-gather inside. In one domain
alone ``nvls`` is one tree, and without groups ``collnet`` is one over the fabric.

Source: NVIDIA NCCL src/device/all_reduce.h and src/graph (algorithms NVLS,
NVLS_TREE, COLLNET_DIRECT); NCCL user guide, NCCL_ALGO.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.collectives import hierarchical
from sim.collectives.arguments import Layout
from sim.collectives.hierarchical import equal_groups
from sim.collectives.in_network import NAME as IN_NETWORK
from sim.collectives.in_network import all_reduce as in_network
from sim.collectives.registry import algorithm
from sim.schedule import IntArray, Schedule

__all__ = ["collnet", "nvls", "nvls_tree"]


def _one_group_or_equal(layout: Layout) -> str | None:
    return None if layout.groups is None else equal_groups(layout)


def _levels(name: str, ranks: int, size: float, groups: IntArray | None, inner: str, outer: str) -> Schedule:
    if groups is None or np.unique(groups).size in (1, ranks):
        found = in_network(ranks, size)
    else:
        found = hierarchical.all_reduce(ranks, size, groups, inner=inner, outer=outer)
    return replace(found, algorithm=name)


@algorithm("all_reduce", "nvls", _one_group_or_equal, in_network=True)
def nvls(ranks: int, size: float, groups: IntArray | None = None) -> Schedule:
    """All-reduce by the switches of each scale-up domain, and of the fabric between them.

    Parameters
    ----------
    ranks : int
    size : float
        Bytes of a rank's buffer.
    groups : int64 array, shape (p,), optional
        Scale-up domain of each rank; all equally large. One if not given.

    Examples
    --------
    >>> nvls(6, 600.0).check()
    >>> nvls(6, 600.0, np.array([0, 0, 0, 1, 1, 1])).check()
    """
    return _levels("nvls", ranks, size, groups, IN_NETWORK, IN_NETWORK)


@algorithm("all_reduce", "nvls_tree", equal_groups, in_network=True)
def nvls_tree(ranks: int, size: float, groups: IntArray) -> Schedule:
    """All-reduce by the switches of each scale-up domain, and a double binary tree between.

    Parameters as for `nvls`; ``groups`` must be given.

    Examples
    --------
    >>> nvls_tree(6, 600.0, np.array([0, 0, 1, 1, 2, 2])).check()
    """
    found = hierarchical.all_reduce(ranks, size, groups, inner=IN_NETWORK, outer="double_binary_tree")
    return replace(found, algorithm="nvls_tree")


@algorithm("all_reduce", "collnet", _one_group_or_equal, in_network=True)
def collnet(ranks: int, size: float, groups: IntArray | None = None) -> Schedule:
    """All-reduce by the switches between the hosts, direct inside them.

    Parameters as for `nvls`; without groups every rank sends into the fabric itself.

    Examples
    --------
    >>> collnet(6, 600.0, np.array([0, 0, 1, 1, 2, 2])).check()
    """
    return _levels("collnet", ranks, size, groups, "mesh", IN_NETWORK)
