"""AHC: all-reduce over groups of unequal size (HCCL, asymmetric hierarchical concatenation).

1. Reduce-scatter in each group: member j of a group of g holds the sum of the
   j-th of g stretches of the buffer.
2. The stretches of all groups cut the buffer into segments; the G ranks that
   hold one segment, one in each group, are "logically of the same number" and
   all-reduce it. All segments go at once; what a rank sends another for several
   of them is one transfer.
3. All-gather in each group.

With L the least common multiple of the groups' sizes the buffer is L * G
slices. With NB at both levels, m the smallest and M the largest group:
2 (ceil(log2 M) + ceil(log2 G)) alpha + 2 ((M-1)/M + (G-1) C/(G m)) n beta, C the
ratio of a link's bandwidth inside to one between (HCCL's documentation). On
groups of equal size it is the hierarchical all-reduce.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.collectives.arguments import Layout
from sim.collectives.beside import merged
from sim.collectives.compose import Phase, embed, share_ends
from sim.collectives.hierarchical import Options
from sim.collectives.payload import stretches
from sim.collectives.registry import algorithm, build
from sim.schedule import IntArray, Payload, Round, Schedule
from topologies.errors import ScheduleError

__all__ = ["all_reduce", "same_numbers"]

NAME = "ahc"

#: More slices than this cannot be numbered with room to spare.
MOST_SLICES = 1 << 50


def _grouped(layout: Layout) -> str | None:
    if layout.groups is None:
        return "needs groups=, the group (such as the pod) of each rank"
    if layout.groups.shape != (layout.ranks,):
        return (
            f"needs one group for each of the {layout.ranks} ranks, not groups of shape {layout.groups.shape}"
        )
    sizes = np.unique(layout.groups, return_counts=True)[1]
    slices = math.lcm(*(int(g) for g in sizes)) * sizes.size
    if slices > MOST_SLICES:
        return (
            f"needs groups whose sizes have a common multiple, the buffer would be cut into {slices} slices"
        )
    return None


@algorithm("all_reduce", NAME, _grouped)
def all_reduce(
    ranks: int,
    size: float,
    groups: IntArray,
    inner: str = "nb",
    outer: str = "nb",
    inner_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """All-reduce over groups of any size.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of a rank's buffer.
    groups : int64 array, shape (p,)
        Group of each rank.
    inner : str
        Algorithm of reduce-scatter and all-gather inside the groups.
    outer : str
        Algorithm of the all-reduce between them.
    inner_options, outer_options : dict, optional
        Options of these algorithms.

    Raises
    ------
    ScheduleError, UnknownNameError
        If an algorithm does not exist or cannot serve its ranks.

    Examples
    --------
    HCCL's example, groups of two and three, 12 slices:

    >>> schedule = all_reduce(5, 1200.0, np.array([0, 0, 1, 1, 1]))
    >>> schedule.check()
    >>> schedule.chunks
    12
    """
    by_size = _by_size(groups)
    names = np.unique(groups)
    sizes = [members.shape[1] for members in by_size]
    scattering, gathering = (
        [
            Phase(build(kind, g, size, inner, **(inner_options or {})), m)
            for g, m in zip(sizes, by_size, strict=True)
        ]
        for kind in ("reduce_scatter", "all_gather")
    )
    across = build("all_reduce", names.size, size / max(sizes), outer, **(outer_options or {}))
    common = math.lcm(*sizes)
    chunks = math.lcm(common * across.chunks, *(p.schedule.chunks for p in scattering + gathering))
    owners, bounds = same_numbers(groups)

    def rounds() -> Iterator[Round]:
        yield from merged([embed(phase, chunks) for phase in scattering])
        yield from _between(across, owners, bounds * (chunks // common), size / chunks, ranks)
        yield from merged([embed(phase, chunks) for phase in gathering])

    noted = {"inner": inner, "outer": outer}
    return Schedule(
        "all_reduce",
        NAME,
        ranks,
        size,
        lambda: share_ends(rounds()),
        chunks=chunks,
        groups=groups,
        options=noted,
    )


def same_numbers(groups: IntArray) -> tuple[IntArray, IntArray]:
    """Who holds which segment after the reduce-scatter in the groups.

    Returns
    -------
    owners : int64 array, shape (groups, segments)
        The rank of each group that holds each segment.
    bounds : int64 array, shape (segments + 1,)
        Where segments begin and end, in parts of the least common multiple.

    Examples
    --------
    >>> owners, bounds = same_numbers(np.array([0, 0, 1, 1, 1]))
    >>> owners, bounds
    (array([[0, 0, 1, 1],
           [2, 3, 3, 4]]), array([0, 2, 3, 4, 6]))
    """
    counts = np.unique(groups, return_counts=True)[1]
    order = np.argsort(groups, kind="stable")
    first = np.cumsum(counts) - counts
    common = math.lcm(*(int(g) for g in np.unique(counts)))
    bounds = np.unique(np.concatenate([np.arange(g + 1) * (common // g) for g in np.unique(counts)]))
    return order[first[:, None] + bounds[:-1] // (common // counts)[:, None]], bounds


def _by_size(groups: IntArray) -> list[IntArray]:
    """Ranks of the groups, shape (copies, g) for each size g in turn."""
    names, counts = np.unique(groups, return_counts=True)
    order = np.argsort(groups, kind="stable")
    found = []
    for g in np.unique(counts):
        chosen = np.isin(groups[order], names[counts == g])
        found.append(order[chosen].reshape(-1, int(g)))
    return found


def _between(
    across: Schedule, owners: IntArray, bounds: IntArray, chunk_bytes: float, ranks: int
) -> Iterator[Round]:
    """The all-reduce of every segment by the ranks that hold it, all at once."""
    length = np.diff(bounds)
    for small in across.rounds():
        if small.trees is not None or small.after is not None:
            raise ScheduleError(
                f"all_reduce by {NAME}: outer {across.algorithm!r} must be plain messages between ranks, "
                "not in-network ones nor in an order of their own; choose another"
            )
        ends = (owners[small.src] * ranks + owners[small.dst]).ravel()
        pairs, carrier = np.unique(ends, return_inverse=True)
        # The small schedule's bytes as shares of its buffer, of every segment.
        each = np.outer(small.bytes / across.size, length * chunk_bytes).ravel()
        yield Round(
            pairs // ranks,
            pairs % ranks,
            np.bincount(carrier, weights=each).astype(np.float64),
            small.reduce,
            small.repeat,
            _OfSegments(small, across.chunks, bounds, carrier, pairs.size),
            f"between the groups: {small.label}",
        )


@dataclass(frozen=True, slots=True, eq=False)
class _OfSegments:
    """Payload: the small round's chunks of every segment, put together by pairs of ranks."""

    small: Round
    cut: int
    bounds: IntArray
    carrier: IntArray
    transfers: int

    def __call__(self, k: int) -> Payload:
        offsets, chunks = self.small.payload(k)  # type: ignore[misc]
        segments = self.bounds.size - 1
        width = np.diff(self.bounds) // self.cut
        transfer = np.repeat(np.arange(self.small.src.size), np.diff(offsets))
        carrier = self.carrier.reshape(-1, segments)[transfer].ravel()
        first = (self.bounds[:-1] + chunks[:, None] * width).ravel()
        count = np.tile(width, chunks.size)
        order = np.argsort(carrier, kind="stable")
        carried = np.bincount(carrier, weights=count, minlength=self.transfers).astype(np.int64)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(carried)])
        return starts, stretches(first[order], count[order])[1]
