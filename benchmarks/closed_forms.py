"""Answers of the works, by other means than the simulator's.

Formulas of Thakur, Rabenseifner and Gropp ("Optimization of collective
communication operations in MPICH", IJHPCA 2005) with the latency of each
step's longest path, and the recursion of completion times written down once
more, for links of unequal bandwidth.
"""

from __future__ import annotations

from typing import Any

import networkx as nx

from benchmarks.fabrics import BANDWIDTH, LATENCY, radix

__all__ = [
    "SIMGRID_IN_ORDER",
    "SIMGRID_SHUFFLED",
    "halving_doubling_three_tier",
    "hierarchical_three_tier",
    "ring",
    "ring_three_tier",
    "ring_uneven_star",
]

#: Seconds by ranks, to the digits that SimGrid 3.32 was made to print: pairwise all-to-all
#: of 64 MiB a rank on `fabrics.two_level`, rank r on chip r.
SIMGRID_IN_ORDER = {64: 0.001573206, 1024: 0.005432867}

#: The same without latency and ranks shuffled: pure max-min at a precision of 1e-12.
SIMGRID_SHUFFLED = {64: 0.003013927, 1024: 0.003838581}


def ring(ranks: int, size: float, links: int) -> float:
    """Ring all-reduce: 2 (p - 1) (alpha + n / (p B)).

    Parameters
    ----------
    ranks : int
    size : float
        Bytes of a rank's buffer.
    links : int
        Links of the longest path between neighbours: the whole ring keeps its pace.

    Examples
    --------
    >>> round(ring(64, 64 * 2**20, 2), 9)  # SimGrid on a star: 0.002894412
    0.002894412
    """
    return 2 * (ranks - 1) * (links * LATENCY + size / ranks / BANDWIDTH)


def ring_three_tier(ranks: int, size: float) -> float:
    """Ring all-reduce of ranks that fill more than one pod: six links between pods."""
    return ring(ranks, size, 6)


def hierarchical_three_tier(ranks: int, size: float) -> float:
    """Reduce-scatter under each leaf, ring all-reduce between leaves, all-gather under each leaf.

    g chips a leaf: 2 (g - 1) (2 alpha + n / (g B)) inside, and the ring of p / g
    ranks with n / g bytes between.
    """
    each = radix(ranks) // 2
    inside = 2 * (each - 1) * (2 * LATENCY + size / each / BANDWIDTH)
    return inside + ring_three_tier(ranks // each, size / each)


def halving_doubling_three_tier(ranks: int, size: float) -> float:
    """Halving-doubling with p, chips a leaf and chips a pod powers of two.

    2 (p - 1) / p n / B, and two steps for each distance 1, 2, 4, ...: two links
    under a leaf, four inside a pod, six between pods.
    """
    half = radix(ranks) // 2
    steps = [1 << bit for bit in range(ranks.bit_length() - 1)]
    links = sum(2 if step < half else 4 if step < half * half else 6 for step in steps)
    return 2 * (links * LATENCY + (ranks - 1) / ranks * size / BANDWIDTH)


def ring_uneven_star(graph: nx.Graph[Any], size: float) -> float:
    """Ring all-reduce on a star of unequal links: max(t[r], t[r + 1]) + duration, step by step.

    The transfer from rank r to the next starts when both have reached the step,
    and lasts its latency and the time its bytes take on the slower of its two
    links; no two share one. In whole picoseconds, rounded up as the network rounds.
    """
    import numpy as np

    from sim.transfers import duration_ps

    p = len(graph) - 1
    up = np.array([graph.edges[r, "switch0"]["bandwidth"] for r in range(p)])
    down = np.array([graph.edges["switch0", r]["bandwidth"] for r in range(p)])
    rate = np.minimum(up, np.roll(down, -1))
    lasts = duration_ps(np.full(p, size / p), rate) + round(2 * LATENCY * 1e12)
    reached = np.zeros(p, dtype=np.int64)
    for _ in range(2 * (p - 1)):
        through = np.maximum(reached, np.roll(reached, -1)) + lasts
        reached = np.maximum(through, np.roll(through, 1))
    return float(reached.max()) / 1e12
