"""Butterflies: in every step all ranks swap with a partner, over a power of two of ranks.

Given the partners of L = log2 p steps, R(s, r) is the set of ranks that rank r
reaches by the steps s to L - 1: R(L, r) = {r}, and
R(s, r) = R(s + 1, r) + R(s + 1, partner(s, r)), disjoint if the butterfly is a
good one. In step s of the reduce-scatter r sends its partner q the parts of
R(s + 1, q); the all-gather is the same backwards. Step s moves n / 2^(s+1), so
that each takes log2 p alpha + (p-1)/p n beta.

Recursive halving is the butterfly of r xor 2^k; Swing and Bine trees have
others, whose partners are nearer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sim.collectives.payload import even, everything
from sim.schedule import IntArray, Payload, Round

__all__ = ["doubling", "halving", "reached", "swapping"]


def halving(partners: Sequence[IntArray], size: float) -> Iterator[Round]:
    """Reduce-scatter: step s sends the partner what is for all whom it will reach.

    Parameters
    ----------
    partners : sequence of int64 array, shape (p,)
        Partner of every rank in each of log2 p steps; ``q[q]`` is 0 to p - 1.
    size : float
        Bytes of the whole buffer.

    Examples
    --------
    >>> near_first = [np.array([1, 0, 3, 2]), np.array([2, 3, 0, 1])]
    >>> [(r.dst.tolist(), r.bytes.max().item()) for r in halving(near_first, 8.0)]
    [([1, 0, 3, 2], 4.0), ([2, 3, 0, 1], 2.0)]
    """
    for s, partner in enumerate(partners):
        yield _swap(partners, s, partner, size, True, f"reduce-scatter, step {s}")


def doubling(partners: Sequence[IntArray], size: float) -> Iterator[Round]:
    """All-gather: the steps of `halving` backwards, each the other way round."""
    for s in reversed(range(len(partners))):
        yield _swap(partners, s, np.arange(partners[s].size), size, False, f"all-gather, step {s}")


def swapping(partners: Sequence[IntArray], size: float) -> Iterator[Round]:
    """All-reduce of small buffers: swap all that is summed so far, log2 p (alpha + n beta)."""
    for s, partner in enumerate(partners):
        p = partner.size
        yield Round(np.arange(p), partner, np.full(p, size), True, 1, _Everything(p), f"all-reduce, step {s}")


def reached(partners: Sequence[IntArray], ranks: int) -> IntArray:
    """Ranks that every rank reaches by these steps, itself first.

    Returns
    -------
    int64 array, shape (p, 2^steps)

    Examples
    --------
    >>> reached([np.array([1, 0, 3, 2]), np.array([2, 3, 0, 1])], 4)[0]
    array([0, 2, 1, 3])
    """
    found = np.arange(ranks)[:, None]
    for partner in reversed(partners):
        found = np.concatenate([found, found[partner]], axis=1)
    return found


def _swap(
    partners: Sequence[IntArray], s: int, keeper: IntArray, size: float, adds: bool, label: str
) -> Round:
    """Swap in step s the parts of all whom the keeper reaches after it."""
    p = keeper.size

    def payload(_: int) -> Payload:
        return even(reached(partners[s + 1 :], p)[keeper])

    return Round(np.arange(p), partners[s], np.full(p, size / (2 << s)), adds, 1, payload, label)


class _Everything:
    """Payload: the one chunk of p transfers."""

    __slots__ = ("ranks",)

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks

    def __call__(self, _: int) -> Payload:
        return everything(self.ranks, 1)
