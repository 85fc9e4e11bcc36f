"""Hierarchical all-to-all: inside the groups first, then between (HCCL; PXN of NCCL).

Rank (h, i), place i of group h, first gives each neighbour (h, j) everything
that anybody at place j of any group is to get; then (h, j) sends group h's
bytes for (h', j) in one message. All traffic between groups runs between equal
places, on one rail each, in groups - 1 large messages instead of p - g small
ones; bytes that change their place go over the inner links as well.

Any all-to-all at each level. With mesh inside and pairwise between, n bytes a
rank, H groups of g: (alpha + n/g beta_inner) + (H-1) (alpha + n/H beta_outer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sim.collectives.compose import share_ends
from sim.collectives.hierarchical import NAME, Options, equal_groups, levels_of
from sim.collectives.registry import algorithm
from sim.schedule import FloatArray, IntArray, Payload, Round, Schedule
from topologies.errors import ScheduleError

__all__ = ["all_to_all"]

#: From one piece of a level's all-to-all in one copy to the pieces of the whole in it.
Pieces = Callable[[IntArray, IntArray], IntArray]


@algorithm("all_to_all", NAME, equal_groups)
def all_to_all(
    ranks: int,
    size: float | FloatArray,
    groups: IntArray,
    pods: IntArray | None = None,
    inner: str = "mesh",
    middle: str | None = None,
    outer: str = "pairwise",
    inner_options: Options = None,
    middle_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """All-to-all(v) by levels.

    Parameters as for `sim.collectives.hierarchical.all_reduce`; ``size`` may be a
    (p, p) matrix of bytes, and messages of no bytes are not sent.

    Examples
    --------
    >>> all_to_all(6, 600.0, np.arange(6) // 2).check()
    >>> all_to_all(4, np.eye(4)[::-1] * 5.0, np.arange(4) // 2).totals()
    (8, 40.0)
    """
    levels = levels_of(groups, pods, inner, middle, outer, inner_options, middle_options, outer_options)
    matrix = size if isinstance(size, np.ndarray) else None
    most = float(size) if matrix is None else float(matrix.sum(axis=1).max())
    # With a matrix the levels' own bytes are not used, only who sends which piece to whom.
    each = most if matrix is None else 1.0
    within, between = levels.inside("all_to_all", each), levels.between("all_to_all", each)
    members = levels.members
    for small in (within, between):
        if small.chunks > small.ranks**2:
            raise ScheduleError(
                f"all_to_all by {NAME}: the {small.algorithm} of one level cannot be cut into channels or "
                "pieces; give channels= and pipeline= to the whole"
            )

    def rounds() -> Iterator[Round]:
        yield from _level(within, members, _inside(members), matrix, "inside the groups")
        yield from _level(between, members.T, _between(members), matrix, "between the groups")

    return Schedule(
        "all_to_all",
        NAME,
        ranks,
        most,
        lambda: share_ends(rounds()),
        chunks=ranks * ranks,
        chunk_bytes=None if matrix is None else matrix.ravel(),
        groups=groups,
        options=levels.noted,
    )


def _inside(members: IntArray) -> Pieces:
    """Piece (i, j) in one group: from its place i to place j of every group."""
    p, g = members.size, members.shape[1]

    def pieces(copy: IntArray, piece: IntArray) -> IntArray:
        sender: IntArray = members[copy, piece // g]
        bundle: IntArray = sender[:, None] * p + members.T[piece % g]
        return bundle

    return pieces


def _between(members: IntArray) -> Pieces:
    """Piece (h, h') at one place: from all of group h to that place of group h'."""
    p, count = members.size, members.shape[0]

    def pieces(copy: IntArray, piece: IntArray) -> IntArray:
        receiver: IntArray = members[piece % count, copy]
        bundle: IntArray = members[piece // count] * p + receiver[:, None]
        return bundle

    return pieces


def _level(
    small: Schedule, members: IntArray, pieces: Pieces, matrix: FloatArray | None, label: str
) -> Iterator[Round]:
    """One level: a small all-to-all in every copy, each of its pieces a bundle of the whole's."""
    copies = members.shape[0]
    for round_ in small.rounds():
        src, dst = members[:, round_.src].ravel(), members[:, round_.dst].ravel()
        payload = _Bundles(round_, copies, pieces)
        name = f"{label}: {round_.label}"
        if matrix is None:
            yield Round(src, dst, np.tile(round_.bytes, copies), round_.reduce, round_.repeat, payload, name)
            continue
        for k in range(round_.repeat):
            some = _NotEmpty(payload, k, matrix.ravel())
            busy, offsets, chunks = some.carried()
            if busy.size:
                each = np.add.reduceat(matrix.ravel()[chunks], offsets[:-1])
                yield Round(src[busy], dst[busy], each, round_.reduce, 1, some, name)


class _Bundles:
    """Payload of a level's round: the bundles behind its pieces, copy after copy."""

    __slots__ = ("copies", "pieces", "small")

    def __init__(self, small: Round, copies: int, pieces: Pieces) -> None:
        self.small, self.copies, self.pieces = small, copies, pieces

    def __call__(self, k: int) -> Payload:
        offsets, chunks = self.small.payload(k)  # type: ignore[misc]
        copy = np.repeat(np.arange(self.copies), chunks.size)
        bundles = self.pieces(copy, np.tile(chunks, self.copies))
        each = np.tile(np.diff(offsets), self.copies) * bundles.shape[1]
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(each)]), bundles.ravel()


class _NotEmpty:
    """Payload of one repetition without the pieces that have no bytes."""

    __slots__ = ("k", "payload", "piece_bytes")

    def __init__(self, payload: _Bundles, k: int, piece_bytes: FloatArray) -> None:
        self.payload, self.k, self.piece_bytes = payload, k, piece_bytes

    def carried(self) -> tuple[IntArray, IntArray, IntArray]:
        """Transfers that are left, and the offsets and chunks they carry."""
        offsets, chunks = self.payload(self.k)
        kept = self.piece_bytes[chunks] > 0
        counts = np.add.reduceat(kept, offsets[:-1], dtype=np.int64)
        busy = np.flatnonzero(counts)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts[busy])])
        return busy, starts, chunks[kept]

    def __call__(self, _: int) -> Payload:
        return self.carried()[1:]
