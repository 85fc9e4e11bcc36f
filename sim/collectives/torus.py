"""Torus: rings along one dimension after the other, all dimensions at once (bucket).

Ranks stand row-major on a torus of d_1 x ... x d_D. Reduce-scatter runs around
the rings of the first dimension, then with 1/d_1 of the data around those of the
second, and so on; all-gather goes back (the bucket algorithm; Barnett et al.
1993, Jain and Sabharwal 2010). So that no dimension is idle the data are cut
into D shares, share c beginning with dimension c (Sack and Gropp 2015; TPU
slices), and each again into two that go opposite ways if ``bidirectional``.

With D equal dimensions d, nothing in the way, a link for each port: reduce-scatter
and all-gather D (d-1) alpha + (p-1)/p n beta / D each, half the second term if
bidirectional; all-reduce both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sim.collectives.arguments import Layout
from sim.collectives.beside import beside
from sim.collectives.compose import Phase, compose
from sim.collectives.registry import algorithm, build
from sim.schedule import IntArray, Schedule

__all__ = ["all_gather", "all_reduce", "lanes_of", "reduce_scatter", "wrong_dims"]

NAME = "torus"
Dims = tuple[int, ...]


def wrong_dims(layout: Layout) -> str | None:
    """Serve dimensions that hold all the ranks (a predicate)."""
    if layout.dims is None:
        return "needs dims=, the ranks along each dimension of the torus"
    if math.prod(layout.dims) != layout.ranks:
        shape = "x".join(map(str, layout.dims))
        return f"needs dims= of {layout.ranks} ranks in all, but dims {shape} hold {math.prod(layout.dims)}"
    return None


@algorithm("all_reduce", NAME, wrong_dims)
def all_reduce(ranks: int, size: float, dims: Dims, bidirectional: bool = False) -> Schedule:
    """All-reduce: reduce-scatter along every dimension, all-gather back.

    Parameters
    ----------
    ranks : int
        Number of ranks p, the product of the dimensions.
    size : float
        Bytes of a rank's buffer.
    dims : tuple of int
        Dimensions of the torus, rank numbers row-major.
    bidirectional : bool
        Whether half of every share goes the other way round.

    Examples
    --------
    >>> all_reduce(12, 1200.0, (3, 4)).check()
    >>> all_reduce(12, 1200.0, (2, 3, 2), bidirectional=True).check()
    """
    return _by_lanes("all_reduce", size, dims, bidirectional)


@algorithm("reduce_scatter", NAME, wrong_dims)
def reduce_scatter(ranks: int, size: float, dims: Dims, bidirectional: bool = False) -> Schedule:
    """Reduce-scatter along one dimension after the other; options as `all_reduce`.

    Examples
    --------
    >>> reduce_scatter(12, 1200.0, (3, 4)).check()
    """
    return _by_lanes("reduce_scatter", size, dims, bidirectional)


@algorithm("all_gather", NAME, wrong_dims)
def all_gather(ranks: int, size: float, dims: Dims, bidirectional: bool = False) -> Schedule:
    """All-gather along one dimension after the other; options as `all_reduce`.

    Examples
    --------
    >>> all_gather(12, 1200.0, (3, 4)).check()
    """
    return _by_lanes("all_gather", size, dims, bidirectional)


def lanes_of(dims: Sequence[int], bidirectional: bool) -> list[tuple[Dims, IntArray]]:
    """Lanes of a torus: one for each dimension to begin with, and their mirror images.

    Returns
    -------
    list of (dims, order)
        The dimensions in the lane's turn, and the rank at each place of them
        (row-major). Dimensions of one rank are left out.

    Examples
    --------
    >>> [(turned, order.tolist()) for turned, order in lanes_of((2, 3), False)]
    [((2, 3), [0, 1, 2, 3, 4, 5]), ((3, 2), [0, 3, 1, 4, 2, 5])]
    """
    kept = tuple(d for d in dims if d > 1) or (1,)
    grid = np.arange(math.prod(kept)).reshape(kept)
    mirrored = grid[np.ix_(*(-np.arange(d) % d for d in kept))]
    lanes = []
    for one in (grid, mirrored) if bidirectional else (grid,):
        for c in range(len(kept)):
            axes = [(c + i) % len(kept) for i in range(len(kept))]
            lanes.append((tuple(kept[a] for a in axes), one.transpose(axes).ravel()))
    return lanes


def _by_lanes(kind: str, size: float, dims: Dims, bidirectional: bool) -> Schedule:
    found = lanes_of(dims, bidirectional)
    lanes = [_bucket(kind, turned, size / len(found)) for turned, _ in found]
    noted = {"dims": "x".join(map(str, dims)), "bidirectional": bidirectional}
    return beside(kind, NAME, math.prod(dims), size, lanes, [order for _, order in found], options=noted)


def _bucket(kind: str, dims: Dims, size: float) -> Schedule:
    """One lane: rings along one dimension after the other."""
    scattering: list[Phase] = []
    gathering: list[Phase] = []
    grid = np.arange(math.prod(dims)).reshape(dims)
    parts = 1
    for axis, d in enumerate(dims):
        lines = np.moveaxis(grid, axis, -1).reshape(-1, d)
        part = np.arange(lines.shape[0]) // (lines.shape[0] // parts)
        for phases, one in ((scattering, "reduce_scatter"), (gathering, "all_gather")):
            ring = build(one, d, size / parts, "ring")
            phases.append(Phase(ring, lines, parts=parts, part=part, label=f"dimension of {d}"))
        parts *= d
    phases = {
        "reduce_scatter": scattering,
        "all_gather": gathering[::-1],
        "all_reduce": scattering + gathering[::-1],
    }[kind]
    return compose(kind, NAME, grid.size, size, phases)
