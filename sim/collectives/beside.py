"""Schedules side by side: the channels of a library, the lanes of a torus.

Lane c of k is a whole schedule over the same p ranks, in an order of its own,
on the c-th of k equal shares of the data. Lanes advance together: repetition s
of the whole is repetition s of every lane, one round of all their transfers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.collectives.compose import share_ends
from sim.collectives.parallel import Copies, at_once, joined
from sim.collectives.shares import Placed, place_of, share_bytes
from sim.schedule import FloatArray, IntArray, Payload, Round, Schedule
from topologies.errors import ScheduleError

__all__ = ["beside", "merged"]


def beside(
    kind: str,
    algorithm: str,
    ranks: int,
    size: float,
    lanes: Sequence[Schedule],
    orders: Sequence[IntArray] | IntArray,
    *,
    root: int = 0,
    options: dict[str, Any] | None = None,
    matrix: FloatArray | None = None,
) -> Schedule:
    """Run schedules over the same ranks at once, each on an equal share of the data.

    Parameters
    ----------
    kind, algorithm, ranks, size, root
        As in `sim.schedule.Schedule`.
    lanes : sequence of Schedule
        k schedules over p positions, of size / k bytes each.
    orders : sequence of int64 array, shape (p,)
        Rank that plays each position, for each lane.
    options : dict, optional
        What to note in the schedule; by default what the first lane notes, and k.
    matrix : float64 array, shape (p, p), optional
        Bytes from each rank to each, of the whole, for an uneven all-to-all.

    Raises
    ------
    ScheduleError
        If the lanes' kinds or sizes do not fit.

    Examples
    --------
    >>> from sim.collectives import ring
    >>> half = ring.all_gather(3, 30.0)
    >>> beside("all_gather", "both ways", 3, 60.0, [half, half], [np.arange(3), np.array([2, 1, 0])])
    <Schedule all_gather by both ways: 3 ranks, 60 bytes in 6 chunks>
    """
    count = len(lanes)
    for lane in lanes:
        fits = matrix is not None or math.isclose(lane.size * count, size, rel_tol=1e-9)
        if lane.kind != kind or lane.ranks != ranks or not fits:
            raise ScheduleError(f"{kind} by {algorithm}: {lane!r} is not one of {count} equal lanes of it")
    width = math.lcm(*(lane.chunks for lane in lanes))

    def rounds() -> Iterator[Round]:
        moved = []
        for c, (lane, order) in enumerate(zip(lanes, orders, strict=True)):
            row = np.asarray(order)
            moved.append(_placed(lane, row, width // lane.chunks, place_of(kind, row, c, count, width)))
        return share_ends(merged(moved))

    noted = {**lanes[0].options, "channels": count} if options is None else options
    return Schedule(
        kind,
        algorithm,
        ranks,
        size,
        rounds,
        chunks=count * width,
        chunk_bytes=share_bytes(matrix, count * width),
        root=root,
        options=noted,
        in_network=any(lane.in_network for lane in lanes),
    )


def merged(lanes: Sequence[Iterable[Round]]) -> Iterator[Round]:
    """Rounds of lanes that advance together, repetition by repetition.

    Parameters
    ----------
    lanes : sequence of iterable of Round
        When one has ended the others go on.

    Raises
    ------
    ScheduleError
        If one lane reduces in a repetition in which another copies.

    Examples
    --------
    >>> a = Round(np.array([0]), np.array([1]), np.array([4.0]), repeat=3)
    >>> b = Round(np.array([2]), np.array([3]), np.array([5.0]), repeat=2)
    >>> [(r.src.tolist(), r.repeat) for r in merged([[a], [b]])]
    [([0, 2], 2), ([0], 1)]
    """
    running = [_Lane(iter(lane)) for lane in lanes]
    while live := [lane for lane in running if lane.advance()]:
        rounds = [lane.round for lane in live]
        repeat = min(lane.round.repeat - lane.done for lane in live)
        payload = _Merged(tuple((lane.round, lane.done) for lane in live))
        known = all(r.payload is not None for r in rounds)
        yield at_once(rounds, repeat=repeat, payload=payload if known else None)
        for lane in live:
            lane.done += repeat


class _Lane:
    """A lane's round and how many of its repetitions are done."""

    __slots__ = ("_rounds", "done", "round")

    def __init__(self, rounds: Iterator[Round]) -> None:
        self._rounds = rounds
        self.round: Round = next(rounds, _END)
        self.done = 0

    def advance(self) -> bool:
        if self.round is not _END and self.done == self.round.repeat:
            self.round, self.done = next(self._rounds, _END), 0
        return self.round is not _END


_END = Round(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0), label="end")


@dataclass(frozen=True, slots=True)
class _Merged:
    """Payload of rounds side by side, each from the repetition it has come to."""

    parts: tuple[tuple[Round, int], ...]

    def __call__(self, k: int) -> Payload:
        return joined([r.payload(done + k) for r, done in self.parts if r.payload is not None])


def _placed(
    lane: Schedule, order: IntArray, width: int, place: Callable[[IntArray], IntArray]
) -> Iterator[Round]:
    """Rounds of a lane over the ranks and chunks of the whole."""
    copies = Copies(order[None, :])
    for small in lane.rounds():
        payload = None if small.payload is None else Placed(small.payload, width, place)
        yield copies.of(small, payload)
