"""The fabrics of the works, and where their ranks sit.

Links of 50e9 bytes/s and 1 us, as in the runs of other simulators that
`docs/performance.md` cites.
"""

from __future__ import annotations

import math
from typing import Any

import networkx as nx

import topologies

__all__ = [
    "BANDWIDTH",
    "LATENCY",
    "oversubscribed",
    "radix",
    "shuffled",
    "star",
    "three_tier",
    "two_level",
    "uneven_star",
]

#: Bytes/s of one direction of a link.
BANDWIDTH = 50e9

#: Seconds of a link.
LATENCY = 1e-6

#: Seed of the links' bandwidths in `uneven_star`.
SEED = 20_240_229


def star(ranks: int) -> nx.Graph[Any]:
    """All chips on one switch: two links a path."""
    return topologies.switch(ranks, bandwidth=BANDWIDTH, latency=LATENCY)


def uneven_star(ranks: int) -> nx.Graph[Any]:
    """A star whose links, each direction for itself, have 95 to 105 % of the bandwidth."""
    import numpy as np

    graph = star(ranks).to_directed()
    drawn = np.random.default_rng(SEED).uniform(0.95, 1.05, graph.number_of_edges())
    for (_, _, edge), share in zip(graph.edges(data=True), drawn.tolist(), strict=True):
        edge["bandwidth"] = BANDWIDTH * share
    return graph


def two_level(ranks: int, *, latency: float = LATENCY) -> nx.Graph[Any]:
    """Leaf and spine of full bisection: sqrt(p) leaves of sqrt(p) chips, sqrt(p) spines."""
    side = math.isqrt(ranks)
    return topologies.leaf_spine(ranks, per_leaf=side, spines=side, bandwidth=BANDWIDTH, latency=latency)


def oversubscribed(ranks: int, *, ratio: int = 4) -> nx.Graph[Any]:
    """Leaf and spine with ``ratio`` links down for each link up, sqrt(p) chips on a leaf."""
    side = math.isqrt(ranks)
    return topologies.leaf_spine(
        ranks, per_leaf=side, oversubscription=ratio, bandwidth=BANDWIDTH, latency=LATENCY
    )


def three_tier(ranks: int) -> nx.Graph[Any]:
    """Fat tree of three tiers from the smallest switches that are enough."""
    return topologies.fat_tree(ranks, tiers=3, radix=radix(ranks), bandwidth=BANDWIDTH, latency=LATENCY)


def radix(ranks: int) -> int:
    """Smallest even k with ``k**3 / 4 >= ranks``.

    Examples
    --------
    >>> radix(65536), radix(65537)
    (64, 66)
    """
    k = 2
    while k**3 // 4 < ranks:
        k += 2
    return k


def shuffled(ranks: int) -> list[int]:
    """Chip of each rank: a Fisher-Yates shuffle drawn by a linear congruence.

    x = 12345; for i = p - 1 ... 1: x = 6364136223846793005 x + 1442695040888963407
    mod 2**64 (Knuth's MMIX), swap places i and (x >> 33) mod (i + 1). The same few
    lines stand in `benchmarks/simgrid/works.cpp`.

    Examples
    --------
    >>> shuffled(8)
    [2, 5, 3, 7, 1, 6, 4, 0]
    """
    place = list(range(ranks))
    x = 12345
    for i in range(ranks - 1, 0, -1):
        x = (6364136223846793005 * x + 1442695040888963407) % 2**64
        j = (x >> 33) % (i + 1)
        place[i], place[j] = place[j], place[i]
    return place
