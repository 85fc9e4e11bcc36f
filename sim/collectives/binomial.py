"""Binomial trees: broadcast, reduce, scatter and gather in ceil(log2 p) steps.

Ranks are counted from the root. In the broadcast the farthest are served
first: at stride s = 2^j, j falling, every multiple v of 2s sends to v + s, so
that below each rank hangs a stretch of consecutive ranks. Reduce and gather
are broadcast and scatter backwards (Thakur, Rabenseifner and Gropp 2005).

Times: broadcast and reduce ceil(log2 p) (alpha + n beta); scatter and gather
ceil(log2 p) alpha + (p-1)/p n beta; all-reduce is a reduce and a broadcast.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.compose import Phase, compose
from sim.collectives.payload import everything, stretches
from sim.collectives.registry import algorithm
from sim.schedule import IntArray, Payload, Round, Schedule

__all__ = ["all_reduce", "broadcast", "gather", "reduce", "scatter"]


@algorithm("broadcast", "binomial")
def broadcast(ranks: int, size: float, root: int = 0) -> Schedule:
    """Broadcast the root's whole buffer down a binomial tree.

    Examples
    --------
    >>> broadcast(6, 1000.0, root=4).check()
    """

    def rounds() -> Iterator[Round]:
        for stride in _strides(ranks):
            parents, children, _ = _level(ranks, root, stride)
            yield _whole(parents, children, size, False, f"broadcast, stride {stride}")

    return Schedule("broadcast", "binomial", ranks, size, rounds, chunks=1, root=root)


@algorithm("reduce", "binomial")
def reduce(ranks: int, size: float, root: int = 0) -> Schedule:
    """Reduce to the root up a binomial tree.

    Examples
    --------
    >>> reduce(6, 1000.0, root=4).check()
    """

    def rounds() -> Iterator[Round]:
        for stride in reversed(_strides(ranks)):
            parents, children, _ = _level(ranks, root, stride)
            yield _whole(children, parents, size, True, f"reduce, stride {stride}")

    return Schedule("reduce", "binomial", ranks, size, rounds, chunks=1, root=root)


@algorithm("all_reduce", "binomial")
def all_reduce(ranks: int, size: float) -> Schedule:
    """Reduce to rank 0, then broadcast from it: 2 ceil(log2 p) (alpha + n beta).

    Examples
    --------
    >>> all_reduce(6, 1000.0).check()
    """
    everyone = np.arange(ranks)[None, :]
    phases = [Phase(reduce(ranks, size), everyone), Phase(broadcast(ranks, size), everyone)]
    return compose("all_reduce", "binomial", ranks, size, phases)


@algorithm("scatter", "binomial")
def scatter(ranks: int, size: float, root: int = 0) -> Schedule:
    """Scatter: every rank gets the parts of all ranks below it in the tree.

    Examples
    --------
    >>> scatter(6, 1000.0, root=4).check()
    """

    def rounds() -> Iterator[Round]:
        for stride in _strides(ranks):
            parents, children, below = _level(ranks, root, stride)
            yield _parts(parents, children, children, below, ranks, size, f"scatter, stride {stride}")

    return Schedule("scatter", "binomial", ranks, size, rounds, chunks=ranks, root=root)


@algorithm("gather", "binomial")
def gather(ranks: int, size: float, root: int = 0) -> Schedule:
    """Gather: every rank passes up the parts of all ranks below it in the tree.

    Examples
    --------
    >>> gather(6, 1000.0, root=4).check()
    """

    def rounds() -> Iterator[Round]:
        for stride in reversed(_strides(ranks)):
            parents, children, below = _level(ranks, root, stride)
            yield _parts(children, parents, children, below, ranks, size, f"gather, stride {stride}")

    return Schedule("gather", "binomial", ranks, size, rounds, chunks=ranks, root=root)


def _strides(ranks: int) -> list[int]:
    return [1 << j for j in reversed(range((ranks - 1).bit_length()))]


def _level(ranks: int, root: int, stride: int) -> tuple[IntArray, IntArray, IntArray]:
    """Parents, children and number of ranks from each child down, at one stride."""
    above = np.arange(0, ranks - stride, 2 * stride)
    below = np.minimum(stride, ranks - above - stride)
    return (above + root) % ranks, (above + stride + root) % ranks, below


def _whole(src: IntArray, dst: IntArray, size: float, adds: bool, label: str) -> Round:
    return Round(src, dst, np.full(src.size, size), adds, 1, lambda k: everything(src.size, 1), label)


def _parts(
    src: IntArray, dst: IntArray, first: IntArray, count: IntArray, ranks: int, size: float, label: str
) -> Round:
    def payload(k: int) -> Payload:
        offsets, chunks = stretches(first, count)
        return offsets, chunks % ranks

    each = count.astype(np.float64) * (size / ranks)
    return Round(src, dst, each, False, 1, payload, label)
