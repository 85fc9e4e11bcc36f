"""Pipelining of any algorithm: pieces of the data follow each other through its rounds.

Piece c of C is the whole schedule on 1/C of the data. At stage s piece c does
round s - c, so that up to as many pieces are on their way as the algorithm has
rounds; what uses different links (tiers, dimensions, levels of a tree) then
works at the same time. With S rounds that use links of their own, a round of n
bytes taking alpha + n beta, S + C - 1 stages of alpha + n/C beta.

Rounds that reduce never run beside rounds that copy (a round does one or the
other; nor do chips reduce beside switches), so all pieces pass the reducing rounds
before the first copies: an
all-reduce is two pipelines, one up and one down, as in the double binary tree.
Where every round needs the same links, as around a ring, pieces gain nothing
and cost their latencies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from sim.collectives.beside import merged
from sim.collectives.compose import share_ends
from sim.collectives.shares import Placed, place_of, share_bytes
from sim.schedule import FloatArray, Round, Schedule
from topologies.errors import ScheduleError

__all__ = ["in_pieces", "stages_of"]

#: More pieces than this only make the schedule longer.
MOST = 65_536


def in_pieces(piece: Schedule, pieces: int, size: float, matrix: FloatArray | None = None) -> Schedule:
    """Run one schedule C times, a round behind each other.

    Parameters
    ----------
    piece : Schedule
        The schedule on 1/C of the data.
    pieces : int
        Number of pieces C >= 1.
    size : float
        Bytes of the whole.
    matrix : float64 array, shape (p, p), optional
        Bytes from each rank to each, of the whole, for an uneven all-to-all.

    Returns
    -------
    Schedule
        The piece itself if it is the only one.

    Raises
    ------
    ScheduleError
        If there are more than `MOST` pieces.

    Examples
    --------
    A broadcast over four ranks in three pieces: two rounds, four stages.

    >>> from sim.collectives import binomial
    >>> flowing = in_pieces(binomial.broadcast(4, 100.0), 3, 300.0)
    >>> flowing.check()
    >>> [round.src.tolist() for round in flowing.rounds()]
    [[0], [0, 2, 0], [0, 2, 0], [0, 2]]
    """
    if pieces == 1:
        return piece
    if pieces > MOST:
        raise ScheduleError(
            f"{piece.kind} by {piece.algorithm}: pipeline (={pieces}) must be at most {MOST} pieces"
        )
    kind, chunks = piece.kind, piece.chunks * pieces
    here = np.arange(piece.ranks)

    def placed(round_: Round, c: int) -> list[Round]:
        if round_.payload is None:
            return [round_]
        place = place_of(kind, here, c, pieces, piece.chunks)
        # With another payload it is another object, made of the same transfers.
        same = round_.parts or (round_,)
        return [replace(round_, payload=Placed(round_.payload, 1, place), parts=same)]

    def rounds() -> Iterator[Round]:
        for stage in _stages(piece.rounds(), pieces):
            yield from merged([placed(round_, c) for round_, c in stage])

    return replace(
        piece,
        size=size,
        rounds=lambda: share_ends(rounds()),
        chunks=chunks,
        chunk_bytes=share_bytes(matrix, chunks),
        options={**piece.options, "pipeline": pieces},
    )


def stages_of(schedule: Schedule) -> int:
    """Rounds of the longest run of rounds that all reduce, or all copy.

    Examples
    --------
    >>> from sim.collectives import halving_doubling, ring
    >>> stages_of(ring.all_reduce(8, 1.0)), stages_of(halving_doubling.all_reduce(8, 1.0))
    (1, 3)
    """
    longest = current = 0
    before: tuple[bool, bool] | None = None
    for round_ in schedule.rounds():
        current = current + 1 if _sort(round_) == before else 1
        before = _sort(round_)
        longest = max(longest, current)
    return longest


def _sort(round_: Round) -> tuple[bool, bool]:
    """What rounds must have in common to run at once: reducing, and reducing in the network."""
    return round_.reduce, round_.reduce and round_.trees is not None


def _stages(rounds: Iterable[Round], pieces: int) -> Iterator[list[tuple[Round, int]]]:
    """Rounds that are busy at each stage with the piece that each has, the first piece's first."""
    busy: deque[Round | None] = deque([None] * pieces, maxlen=pieces)

    def stage() -> list[tuple[Round, int]]:
        return [(round_, c) for c, round_ in enumerate(reversed(busy)) if round_ is not None]

    def drained() -> Iterator[list[tuple[Round, int]]]:
        busy.append(None)
        while found := stage():
            yield found
            busy.append(None)

    before: tuple[bool, bool] | None = None
    for round_ in rounds:
        if before is not None and _sort(round_) != before:
            yield from drained()
        before = _sort(round_)
        busy.append(round_)
        yield stage()
    yield from drained()
