"""Swing: a butterfly whose partners stay near on a ring or torus.

In step s rank r of a ring of p = 2^L swaps with r + rho(s) if r is even, with
r - rho(s) if it is odd, rho(s) = (1 - (-2)^(s+1)) / 3 = 1, -1, 3, -5, 11, ...:
about a third nearer in all than recursive doubling's 2^s. On a torus the steps
take the dimensions in turn. Lanes that begin with different dimensions, and
their mirror images, use the ports of all dimensions and both directions.

De Sensi, Bonato, Saam and Hoefler, "Swing: Short-cutting Rings for Higher
Bandwidth Allreduce", NSDI 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sim.collectives import butterfly
from sim.collectives.arguments import Layout
from sim.collectives.beside import beside
from sim.collectives.compose import share_ends
from sim.collectives.registry import algorithm, power_of_two
from sim.collectives.torus import lanes_of, wrong_dims
from sim.schedule import IntArray, Round, Schedule
from topologies.errors import ScheduleError

__all__ = [
    "all_gather",
    "all_reduce",
    "by_lanes",
    "partners",
    "powers_of_two",
    "reduce_scatter",
    "rho",
]

NAME = "swing"
Dims = tuple[int, ...]


def powers_of_two(layout: Layout) -> str | None:
    reason = power_of_two(layout)
    if reason is not None or layout.dims is None:
        return reason
    return wrong_dims(layout)  # dimensions of 2^L ranks are powers of two


@algorithm("all_reduce", NAME, powers_of_two)
def all_reduce(
    ranks: int, size: float, dims: Dims | None = None, bidirectional: bool = False, whole: bool = False
) -> Schedule:
    """All-reduce: 2 log2 p alpha + 2 (p-1)/p n beta where nothing is in the way.

    Parameters
    ----------
    ranks : int
        Number of ranks p, a power of two.
    size : float
        Bytes of a rank's buffer.
    dims : tuple of int, optional
        Dimensions of the torus, powers of two; one ring if not given.
    bidirectional : bool
        Whether mirrored lanes go the other way round at the same time. The paper
        runs with all ports: give ``dims`` and True.
    whole : bool
        Swap whole buffers, the paper's latency-optimal form: log2 p (alpha + n beta).

    Examples
    --------
    >>> all_reduce(16, 1600.0).check()
    >>> all_reduce(16, 1600.0, dims=(4, 4), bidirectional=True).check()
    """

    def steps(order: list[IntArray], share: float) -> Iterator[Round]:
        if whole:
            yield from butterfly.swapping(order, share)
        else:
            yield from butterfly.halving(order, share)
            yield from butterfly.doubling(order, share)

    return by_lanes("all_reduce", NAME, ranks, size, dims, bidirectional, steps, 1 if whole else ranks)


@algorithm("reduce_scatter", NAME, powers_of_two)
def reduce_scatter(
    ranks: int, size: float, dims: Dims | None = None, bidirectional: bool = False
) -> Schedule:
    """Reduce-scatter, the first half of the all-reduce; options as there.

    Examples
    --------
    >>> reduce_scatter(8, 1600.0, dims=(2, 4)).check()
    """
    return by_lanes("reduce_scatter", NAME, ranks, size, dims, bidirectional, butterfly.halving, ranks)


@algorithm("all_gather", NAME, powers_of_two)
def all_gather(ranks: int, size: float, dims: Dims | None = None, bidirectional: bool = False) -> Schedule:
    """All-gather, the second half of the all-reduce; options as there.

    Examples
    --------
    >>> all_gather(8, 1600.0, dims=(2, 4)).check()
    """
    return by_lanes("all_gather", NAME, ranks, size, dims, bidirectional, butterfly.doubling, ranks)


def rho(step: int) -> int:
    """Way to the partner of an even rank in a step, (1 - (-2)^(s+1)) / 3.

    Examples
    --------
    >>> [rho(s) for s in range(6)]
    [1, -1, 3, -5, 11, -21]
    """
    way: int = (1 - (-2) ** (step + 1)) // 3
    return way


def partners(dims: Dims) -> list[IntArray]:
    """Partner of every rank in each step, dimensions in turn, rank numbers row-major.

    Raises
    ------
    ScheduleError
        If a dimension is not a power of two.

    Examples
    --------
    >>> [q.tolist() for q in partners((8,))]
    [[1, 0, 3, 2, 5, 4, 7, 6], [7, 2, 1, 4, 3, 6, 5, 0], [3, 6, 5, 0, 7, 2, 1, 4]]
    """
    for d in dims:
        if d & (d - 1):
            raise ScheduleError(f"swing: dims (={dims}) must be powers of two, not {d}")
    coords = np.unravel_index(np.arange(int(np.prod(dims))), dims)
    found: list[IntArray] = []
    step = 0
    while len(found) < sum(d.bit_length() - 1 for d in dims):
        for axis, d in enumerate(dims):
            if step < d.bit_length() - 1:
                x = coords[axis]
                there = [*coords]
                there[axis] = (x + np.where(x % 2, -rho(step), rho(step))) % d
                found.append(np.ravel_multi_index(there, dims).astype(np.int64))
        step += 1
    return found


def by_lanes(
    kind: str,
    name: str,
    ranks: int,
    size: float,
    dims: Dims | None,
    bidirectional: bool,
    steps: Callable[[list[IntArray], float], Iterator[Round]],
    chunks: int,
) -> Schedule:
    """Swap with Swing's partners in lanes that begin with different dimensions.

    Parameters
    ----------
    kind, name : str
        The collective and the algorithm.
    steps : callable
        ``steps(partners, size)`` gives the rounds of one lane.
    chunks : int
        Pieces that the steps cut a lane's buffer into.
    """
    lanes, orders = [], []
    found = lanes_of(dims or (ranks,), bidirectional)
    share = size / len(found)
    for turned, order in found:
        lanes.append(
            Schedule(
                kind,
                name,
                ranks,
                share,
                lambda turned=turned: share_ends(steps(partners(turned), share)),  # type: ignore[misc]
                chunks=chunks,
            )
        )
        orders.append(order)
    noted = {"dims": "x".join(map(str, dims or (ranks,)))}
    return beside(kind, name, ranks, size, lanes, orders, options=noted)
