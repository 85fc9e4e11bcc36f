"""NHR, HCCL's nonuniform hierarchical ring: ceil(log2 p) steps for any p.

Every part travels over a tree in which the parent of offset o is o without its
lowest bit. Reduce-scatter goes from stride 1 up, so that most bytes move
between neighbours: at stride 2^k rank r sends rank r - 2^k the
floor((p-1+2^k) / 2^(k+1)) parts whose lowest bit is k. All-gather is the way
back. Source: HCCL's documentation, and its ``GetStepInfo`` for NHR.

Times: reduce-scatter, all-gather, scatter and gather ceil(log2 p) alpha + (p-1)/p n beta;
all-reduce (reduce-scatter, all-gather), broadcast (scatter, all-gather) and reduce
(reduce-scatter, gather) twice that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sim.collectives.compose import Phase, compose
from sim.collectives.payload import stretches
from sim.collectives.registry import algorithm
from sim.collectives.strided import collect, lowest_bit_offsets, spread
from sim.schedule import Payload, Round, Schedule

__all__ = ["all_gather", "all_reduce", "broadcast", "gather", "reduce", "reduce_scatter", "scatter"]


@algorithm("all_reduce", "nhr")
def all_reduce(ranks: int, size: float) -> Schedule:
    """All-reduce: NHR reduce-scatter, then NHR all-gather.

    Examples
    --------
    >>> all_reduce(7, 700.0).check()
    """

    def rounds() -> Iterator[Round]:
        yield from _collecting(ranks, size)
        yield from _spreading(ranks, size)

    return Schedule("all_reduce", "nhr", ranks, size, rounds, chunks=ranks)


@algorithm("reduce_scatter", "nhr")
def reduce_scatter(ranks: int, size: float) -> Schedule:
    """Reduce-scatter from stride 1 up; ``size`` is the whole buffer (p parts).

    Examples
    --------
    >>> reduce_scatter(7, 700.0).check()
    """
    return Schedule("reduce_scatter", "nhr", ranks, size, lambda: _collecting(ranks, size), chunks=ranks)


@algorithm("all_gather", "nhr")
def all_gather(ranks: int, size: float) -> Schedule:
    """All-gather from the largest stride down; ``size`` is the whole buffer (p parts).

    Examples
    --------
    >>> all_gather(7, 700.0).check()
    """
    return Schedule("all_gather", "nhr", ranks, size, lambda: _spreading(ranks, size), chunks=ranks)


@algorithm("scatter", "nhr")
def scatter(ranks: int, size: float, root: int = 0) -> Schedule:
    """Scatter from stride 1 up: the root first hands every second part to its neighbour.

    Examples
    --------
    >>> scatter(7, 700.0, root=3).check()
    """
    return Schedule(
        "scatter", "nhr", ranks, size, lambda: _scattering(ranks, size, root), chunks=ranks, root=root
    )


@algorithm("broadcast", "nhr")
def broadcast(ranks: int, size: float, root: int = 0) -> Schedule:
    """Broadcast: NHR scatter, then NHR all-gather.

    Examples
    --------
    >>> broadcast(7, 700.0, root=3).check()
    """
    everyone = np.arange(ranks)[None, :]
    phases = [Phase(scatter(ranks, size, root), everyone), Phase(all_gather(ranks, size), everyone)]
    return compose("broadcast", "nhr", ranks, size, phases, root=root)


@algorithm("gather", "nhr")
def gather(ranks: int, size: float, root: int = 0) -> Schedule:
    """Gather: the scatter backwards.

    Examples
    --------
    >>> gather(7, 700.0, root=3).check()
    """

    def rounds() -> Iterator[Round]:
        for there in reversed(list(_scattering(ranks, size, root))):
            yield replace(there, src=there.dst, dst=there.src, label=there.label.replace("scatter", "gather"))

    return Schedule("gather", "nhr", ranks, size, rounds, chunks=ranks, root=root)


@algorithm("reduce", "nhr")
def reduce(ranks: int, size: float, root: int = 0) -> Schedule:
    """Reduce: NHR reduce-scatter, then NHR gather.

    Examples
    --------
    >>> reduce(7, 700.0, root=3).check()
    """
    everyone = np.arange(ranks)[None, :]
    phases = [Phase(reduce_scatter(ranks, size), everyone), Phase(gather(ranks, size, root), everyone)]
    return compose("reduce", "nhr", ranks, size, phases, root=root)


def _collecting(ranks: int, size: float) -> Iterator[Round]:
    for k in range((ranks - 1).bit_length()):
        yield collect(ranks, size, 1 << k, lowest_bit_offsets(ranks, k))


def _spreading(ranks: int, size: float) -> Iterator[Round]:
    for k in reversed(range((ranks - 1).bit_length())):
        yield spread(ranks, size, 1 << k, lowest_bit_offsets(ranks, k))


def _scattering(ranks: int, size: float, root: int) -> Iterator[Round]:
    for k in range((ranks - 1).bit_length()):
        yield _scatter_step(ranks, size, root, 1 << k)


def _scatter_step(ranks: int, size: float, root: int, stride: int) -> Round:
    """Let the ranks q < s before the root pass on what is for q + s, q + 3 s, ..."""
    giver = np.arange(min(stride, ranks - stride))
    taker = giver + stride
    count = (ranks - 1 - taker) // (2 * stride) + 1

    def payload(_: int) -> Payload:
        offsets, nth = stretches(np.zeros_like(count), count)
        return offsets, (root - np.repeat(taker, count) - 2 * stride * nth) % ranks

    src, dst = (root - giver) % ranks, (root - taker) % ranks
    each = count.astype(np.float64) * (size / ranks)
    return Round(src, dst, each, False, 1, payload, f"scatter, stride {stride}")
