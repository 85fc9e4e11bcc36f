"""Mesh: every rank talks to every other directly, all at once (HCCL Mesh).

On a full mesh, with n/p beta on a link of its own for every pair: one step of
alpha + n/p beta for reduce-scatter, all-gather, scatter, gather and
all-to-all, two for all-reduce. One-shot all-reduce sends whole buffers to all,
alpha + n beta, as do broadcast and reduce between the root and everyone else;
two-shot is the mesh under the name that serving kernels give it
(TensorRT-LLM's and vLLM's custom all-reduce, MSCCL++).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sim.collectives.arguments import Layout
from sim.collectives.payload import even, everything
from sim.collectives.registry import algorithm
from sim.schedule import FloatArray, IntArray, Round, Schedule

__all__ = [
    "all_gather",
    "all_reduce",
    "all_to_all",
    "broadcast",
    "gather",
    "one_shot",
    "reduce",
    "reduce_scatter",
    "scatter",
    "two_shot",
]

#: Above this many ranks the p (p - 1) transfers of one round take gigabytes.
MOST_RANKS = 8192

#: One-shot and two-shot are kernels over the memory of one scale-up domain.
MOST_SHOT_RANKS = 512


def _few_enough(layout: Layout) -> str | None:
    ranks = layout.ranks
    if ranks > MOST_RANKS:
        return f"all {ranks * (ranks - 1)} pairs at once are too many, at most {MOST_RANKS} ranks"
    return None


@algorithm("all_reduce", "mesh", _few_enough)
def all_reduce(ranks: int, size: float) -> Schedule:
    """All-reduce: direct reduce-scatter, then direct all-gather.

    Examples
    --------
    >>> all_reduce(5, 1000.0).check()
    """

    def rounds() -> Iterator[Round]:
        src, dst, each = _pairs(ranks, size)
        yield Round(src, dst, each, True, 1, lambda k: even(dst), "reduce-scatter")
        yield Round(src, dst, each, False, 1, lambda k: even(src), "all-gather")

    return Schedule("all_reduce", "mesh", ranks, size, rounds, chunks=ranks)


def _one_domain(layout: Layout) -> str | None:
    if layout.ranks > MOST_SHOT_RANKS:
        return f"meant for one scale-up domain of at most {MOST_SHOT_RANKS} ranks, not {layout.ranks}"
    return None


@algorithm("all_reduce", "one_shot", _one_domain)
def one_shot(ranks: int, size: float) -> Schedule:
    """All-reduce in one step: every rank sends all it has to every other and adds up.

    Examples
    --------
    >>> one_shot(5, 1000.0).check()
    """

    def rounds() -> Iterator[Round]:
        src, dst, _ = _pairs(ranks, size)
        each = np.full(src.size, size)
        yield Round(src, dst, each, True, 1, lambda k: everything(src.size, 1), "all to all")

    return Schedule("all_reduce", "one_shot", ranks, size, rounds, chunks=1)


@algorithm("all_reduce", "two_shot", _one_domain)
def two_shot(ranks: int, size: float) -> Schedule:
    """All-reduce in two steps: the mesh, by its other name.

    Examples
    --------
    >>> two_shot(5, 1000.0).check()
    """
    return replace(all_reduce(ranks, size), algorithm="two_shot")


@algorithm("reduce_scatter", "mesh", _few_enough)
def reduce_scatter(ranks: int, size: float) -> Schedule:
    """Reduce-scatter: every rank sends every other its part.

    Examples
    --------
    >>> reduce_scatter(5, 1000.0).check()
    """

    def rounds() -> Iterator[Round]:
        src, dst, each = _pairs(ranks, size)
        yield Round(src, dst, each, True, 1, lambda k: even(dst), "reduce-scatter")

    return Schedule("reduce_scatter", "mesh", ranks, size, rounds, chunks=ranks)


@algorithm("all_gather", "mesh", _few_enough)
def all_gather(ranks: int, size: float) -> Schedule:
    """All-gather: every rank sends its part to every other.

    Examples
    --------
    >>> all_gather(5, 1000.0).check()
    """

    def rounds() -> Iterator[Round]:
        src, dst, each = _pairs(ranks, size)
        yield Round(src, dst, each, False, 1, lambda k: even(src), "all-gather")

    return Schedule("all_gather", "mesh", ranks, size, rounds, chunks=ranks)


@algorithm("all_to_all", "mesh", _few_enough)
def all_to_all(ranks: int, size: float | FloatArray) -> Schedule:
    """All-to-all in one round: every pair at once.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float or float64 array, shape (p, p)
        Bytes of a rank's whole buffer, or the bytes from i (row) to j (column);
        pairs with nothing to send have no transfer.

    Examples
    --------
    >>> all_to_all(4, 1024.0).check()
    >>> all_to_all(2, np.array([[0.0, 5.0], [0.0, 0.0]])).totals()
    (1, 5.0)
    """
    p = ranks
    matrix = size if isinstance(size, np.ndarray) else None

    def rounds() -> Iterator[Round]:
        if matrix is None:
            src, dst, each = _pairs(p, float(size))
        else:
            off_diagonal = matrix.copy()
            np.fill_diagonal(off_diagonal, 0.0)
            src, dst = np.nonzero(off_diagonal)
            each = off_diagonal[src, dst]
        if src.size:
            yield Round(src, dst, each, False, 1, lambda k: even(src * p + dst), "all pairs")

    if matrix is None:
        return Schedule("all_to_all", "mesh", p, float(size), rounds, chunks=p * p)
    most = float(matrix.sum(axis=1).max())
    return Schedule("all_to_all", "mesh", p, most, rounds, chunks=p * p, chunk_bytes=matrix.ravel())


@algorithm("gather", "mesh")
def gather(ranks: int, size: float, root: int = 0) -> Schedule:
    """Gather: every rank sends its part to the root directly.

    Examples
    --------
    >>> gather(5, 1000.0, root=2).check()
    """

    def rounds() -> Iterator[Round]:
        others, at_root = _star(ranks, root)
        yield Round(
            others, at_root, np.full(ranks - 1, size / ranks), False, 1, lambda k: even(others), "gather"
        )

    return Schedule("gather", "mesh", ranks, size, rounds, chunks=ranks, root=root)


@algorithm("scatter", "mesh")
def scatter(ranks: int, size: float, root: int = 0) -> Schedule:
    """Scatter: the root sends every rank its part directly.

    Examples
    --------
    >>> scatter(5, 1000.0, root=2).check()
    """

    def rounds() -> Iterator[Round]:
        others, at_root = _star(ranks, root)
        yield Round(
            at_root, others, np.full(ranks - 1, size / ranks), False, 1, lambda k: even(others), "scatter"
        )

    return Schedule("scatter", "mesh", ranks, size, rounds, chunks=ranks, root=root)


@algorithm("broadcast", "mesh")
def broadcast(ranks: int, size: float, root: int = 0) -> Schedule:
    """Broadcast in one step: the root sends every rank the whole buffer.

    Examples
    --------
    >>> broadcast(5, 1000.0, root=2).check()
    """

    def rounds() -> Iterator[Round]:
        others, at_root = _star(ranks, root)
        each = np.full(ranks - 1, size)
        yield Round(at_root, others, each, False, 1, lambda k: everything(ranks - 1, 1), "broadcast")

    return Schedule("broadcast", "mesh", ranks, size, rounds, chunks=1, root=root)


@algorithm("reduce", "mesh")
def reduce(ranks: int, size: float, root: int = 0) -> Schedule:
    """Reduce in one step: every rank sends the root its whole buffer.

    Examples
    --------
    >>> reduce(5, 1000.0, root=2).check()
    """

    def rounds() -> Iterator[Round]:
        others, at_root = _star(ranks, root)
        each = np.full(ranks - 1, size)
        yield Round(others, at_root, each, True, 1, lambda k: everything(ranks - 1, 1), "reduce")

    return Schedule("reduce", "mesh", ranks, size, rounds, chunks=1, root=root)


def _pairs(ranks: int, size: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Sources, destinations and bytes of the p (p - 1) transfers between all pairs."""
    src = np.repeat(np.arange(ranks), ranks - 1)
    step = np.tile(np.arange(1, ranks), ranks)
    return src, (src + step) % ranks, np.full(src.size, size / ranks)


def _star(ranks: int, root: int) -> tuple[IntArray, IntArray]:
    others = np.delete(np.arange(ranks), root)
    return others, np.full(ranks - 1, root)
