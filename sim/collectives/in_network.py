"""In-network collectives: the switches sum and multicast (NVLS, SHARP).

One transfer over a tree of switches does what takes a ring 2 (p - 1) steps: all
ranks send, the switches sum, and the root's sum comes down to all:

    all-reduce   alpha + n beta,   alpha up to the tree's root and down again

at most 2 (p - 1) / p times the bus bandwidth of the link, twice what a ring can
give. Reduce-scatter is p such trees at once, each with one receiver, all-gather
p with one sender; both are bound by a rank's own link, as without the network.

Whether a machine's switches can do so is the machine's business (graph attribute
``in_network``); the schedule asks only who takes part.

Source: Graham et al., "Scalable Hierarchical Aggregation Protocol (SHARP)", COMHPC
2016; Klenk et al., "An in-network architecture for accelerating shared-memory
multiprocessor collectives", ISCA 2020 (NVLS).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.payload import even, everything
from sim.collectives.registry import algorithm
from sim.schedule import IntArray, Payload, Round, Schedule, Trees

__all__ = ["all_gather", "all_reduce", "barrier", "broadcast", "reduce", "reduce_scatter"]

NAME = "in_network"


@algorithm("all_reduce", NAME, in_network=True)
def all_reduce(ranks: int, size: float) -> Schedule:
    """All-reduce in one pass up and down a tree of switches: alpha + n beta.

    Examples
    --------
    >>> all_reduce(5, 1000.0).check()
    """
    everyone = np.arange(ranks)
    return _one_tree("all_reduce", ranks, size, everyone, everyone, 0)


@algorithm("barrier", NAME, in_network=True)
def barrier(ranks: int, size: float) -> Schedule:
    """Barrier: the all-reduce of a token.

    Examples
    --------
    >>> barrier(5, 1.0).check()
    """
    everyone = np.arange(ranks)
    return _one_tree("barrier", ranks, size, everyone, everyone, 0)


@algorithm("reduce", NAME, in_network=True)
def reduce(ranks: int, size: float, root: int = 0) -> Schedule:
    """Reduce: the sum comes down to the root alone.

    Examples
    --------
    >>> reduce(5, 1000.0, root=3).check()
    """
    return _one_tree("reduce", ranks, size, np.arange(ranks), np.array([root]), root)


@algorithm("broadcast", NAME, in_network=True)
def broadcast(ranks: int, size: float, root: int = 0) -> Schedule:
    """Broadcast: the root's data go up once and down to all.

    Examples
    --------
    >>> broadcast(5, 1000.0, root=3).check()
    """
    return _one_tree("broadcast", ranks, size, np.array([root]), np.delete(np.arange(ranks), root), root)


@algorithm("reduce_scatter", NAME, in_network=True)
def reduce_scatter(ranks: int, size: float) -> Schedule:
    """Reduce-scatter: p trees at once, the sum of part r comes down to rank r.

    Every rank sends all parts but its own sum stays: alpha + n beta on its way up.

    Examples
    --------
    >>> reduce_scatter(5, 1000.0).check()
    """
    return _tree_for_each("reduce_scatter", ranks, size)


@algorithm("all_gather", NAME, in_network=True)
def all_gather(ranks: int, size: float) -> Schedule:
    """All-gather: p trees at once, part r goes up once from rank r and down to all others.

    alpha + (p-1)/p n beta on everyone's way down.

    Examples
    --------
    >>> all_gather(5, 1000.0).check()
    """
    return _tree_for_each("all_gather", ranks, size)


def _one_tree(kind: str, ranks: int, size: float, up: IntArray, down: IntArray, root: int) -> Schedule:
    sender, receiver = up[up != down[-1]][:1], down[-1:]

    def rounds() -> Iterator[Round]:
        trees = Trees((np.array([0, up.size]), up), (np.array([0, down.size]), down))
        yield Round(
            sender, receiver, np.array([size]), up.size > 1, 1, lambda _: everything(1, 1),
            "in the network", trees=trees,
        )  # fmt: skip

    return Schedule(kind, NAME, ranks, size, rounds, chunks=1, root=root, in_network=True)


def _tree_for_each(kind: str, ranks: int, size: float) -> Schedule:
    here = np.arange(ranks)
    others = (here[:, None] + np.arange(1, ranks)) % ranks
    lone = np.arange(ranks + 1), here
    gathering = kind == "all_gather"
    crowd = np.arange(ranks + 1) * (ranks - 1 if gathering else ranks)

    def rounds() -> Iterator[Round]:
        many: Payload = crowd, (others if gathering else np.tile(here, (ranks, 1))).ravel()
        far = others[:, -1]
        src, dst = (here, far) if gathering else (far, here)
        trees = Trees(lone, many) if gathering else Trees(many, lone)
        yield Round(
            src, dst, np.full(ranks, size / ranks), not gathering, 1, lambda _: even(here),
            "in the network, a tree for each part", trees=trees,
        )  # fmt: skip

    return Schedule(kind, NAME, ranks, size, rounds, chunks=ranks, in_network=True)
