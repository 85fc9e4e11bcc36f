"""Writing a program: chunks that are sent, added and copied.

What a step must wait for follows from the chunks: who reads one waits for who wrote it
last, who writes one waits for who wrote it last and who has read it since. Lanes come of
themselves: one for each rank sent to and one for each received from (on each channel),
and local steps go where what they wait for is. In a lane messages follow each other in
the order in which they could start if each took as long as any other and two on one
connection went one after the other; so the journey of one chunk may be written down
before that of the next, though they travel at the same time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim.programs.program import Lane, Step
from topologies.errors import ScheduleError

if TYPE_CHECKING:
    from sim.programs.program import Program

__all__ = ["Chunk", "Recorder"]

Cell = tuple[int, str, int]
At = tuple[int, int]

#: A move's number, and whether its receiving side is meant (a local step is both).
Use = tuple[int, bool]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some chunks at a rank, as they were when this was taken.

    Attributes
    ----------
    rank : int
    buffer, first, count
        Where they lie.
    numbers : int, optional
        The first one's number (`Program.chunk`), if they have a place of their own.
    """

    recorder: Recorder
    rank: int
    buffer: str
    first: int
    count: int
    number: int | None
    version: tuple[int, ...]

    def send(self, to: int | Chunk, *, channel: int = 0) -> Chunk:
        """Send them: to the place they have at another rank, or to a place there.

        Returns
        -------
        Chunk
            They as they are there.

        Raises
        ------
        ScheduleError
            If they have been overwritten since they were taken, or there is no such rank.
        """
        return self.recorder.move(self, to, False, channel)

    def reduce(self, to: int | Chunk, *, channel: int = 0) -> Chunk:
        """Send them as `send` does, to be added to what is there."""
        return self.recorder.move(self, to, True, channel)

    def copy(self, to: Chunk) -> Chunk:
        """Copy them inside the rank, to a place of `Program.scratch_chunk` or another chunk's."""
        if to.rank != self.rank:
            raise ScheduleError(
                f"program: copy from rank {self.rank} to {to!r}: copies stay inside a rank; send"
            )
        return self.recorder.move(self, to, False, 0)

    def __repr__(self) -> str:
        last = f"-{self.first + self.count - 1}" if self.count > 1 else ""
        return f"<Chunk {self.buffer} {self.first}{last} of rank {self.rank}>"


@dataclass(slots=True)
class _Uses:
    """Who has used a chunk of memory: its last writer, its readers since, how often it was written."""

    writer: Use | None = None
    readers: list[Use] = field(default_factory=list)
    version: int = 0


@dataclass(frozen=True, slots=True)
class _Move:
    """Something written down: a message, or a copy or sum inside a rank.

    ``reading`` and ``writing`` are what its sending and its receiving step wait for (a
    local step for both).
    """

    source: Chunk
    target: Chunk
    adds: bool
    channel: int
    reading: set[Use]
    writing: set[Use]

    @property
    def local(self) -> bool:
        return self.source.rank == self.target.rank


class Recorder:
    """What has been written of a program so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.uses: dict[Cell, _Uses] = {}
        self.moves: list[_Move] = []
        self.own_places: dict[tuple[int, int], int] = {}
        self.settled = 0
        if any(program.own_lanes):
            raise ScheduleError(
                f"{program!r}: has lanes already, of a file or a schedule; nothing can be written on to it"
            )
        if program.kind == "all_to_all" and not program.in_place:
            part = program.promise.part
            for rank in range(program.ranks):
                first = rank * part
                own, there = (self._seen(rank, name, first, part, None) for name in ("input", "output"))
                self._note(own, there, False, 0)

    # ----------------------------------------------------------------- places

    def chunk(self, rank: int, index: int, count: int) -> Chunk:
        """See `Program.chunk`."""
        program = self.program
        self._check_rank(rank)
        if count < 1 or not 0 <= index <= program.promise.numbered - count:
            raise ScheduleError(
                f"program: no chunk {index if count == 1 else f'{index} to {index + count - 1}'} among the "
                f"{program.promise.numbered} of {program.kind}"
            )
        places = [program.promise.place(rank, index + k) for k in range(count)]
        start = places[0]
        if start is None:
            start = self._own_place(rank, index, count)
            places = [
                ("scratch", self.own_places.get((rank, index + k), -1)) if place is None else place
                for k, place in enumerate(places)
            ]
        if places != [(start[0], start[1] + k) for k in range(count)]:
            raise ScheduleError(
                f"program: chunks {index} to {index + count - 1} do not lie together at rank {rank}; "
                f"take them one by one"
            )
        return self._seen(rank, *start, count, index)

    def scratch_chunk(self, rank: int, index: int, count: int) -> Chunk:
        """See `Program.scratch_chunk`."""
        self._check_rank(rank)
        if index < 0 or count < 1:
            raise ScheduleError(f"program: no scratch chunk {index} of rank {rank}; count from 0")
        self.program.scratch[rank] = max(self.program.scratch[rank], index + count)
        return self._seen(rank, "scratch", index, count, None)

    def _check_rank(self, rank: int) -> None:
        if not 0 <= rank < self.program.ranks:
            raise ScheduleError(f"program: no rank {rank}; ranks are 0 to {self.program.ranks - 1}")

    def _own_place(self, rank: int, index: int, count: int) -> tuple[str, int]:
        """A place in scratch for chunks that have none at this rank, the same each time."""
        if (rank, index) not in self.own_places:
            first = self.program.scratch[rank]
            self.program.scratch[rank] += count
            for k in range(count):
                self.own_places.setdefault((rank, index + k), first + k)
        return "scratch", self.own_places[rank, index]

    def _seen(self, rank: int, buffer: str, first: int, count: int, number: int | None) -> Chunk:
        version = tuple(use.version for use in self._cells(rank, buffer, first, count))
        return Chunk(self, rank, buffer, first, count, number, version)

    def _cells(self, rank: int, buffer: str, first: int, count: int) -> list[_Uses]:
        real = self.program.promise.real
        return [self.uses.setdefault((rank, *real(rank, buffer, first + k)), _Uses()) for k in range(count)]

    # ------------------------------------------------------------------ steps

    def move(self, chunk: Chunk, to: int | Chunk, adds: bool, channel: int) -> Chunk:
        """Send, add or copy chunks to a rank, or to a place."""
        now = tuple(use.version for use in self._cells(chunk.rank, chunk.buffer, chunk.first, chunk.count))
        if now != chunk.version:
            raise ScheduleError(
                f"program: {chunk!r} has been overwritten since it was taken; take it again with chunk()"
            )
        if isinstance(to, Chunk):
            if to.count != chunk.count:
                raise ScheduleError(f"program: {chunk.count} chunks do not fit a place of {to.count}")
            target = to
        elif chunk.number is None:
            raise ScheduleError(
                f"program: {chunk!r} has no place of its own at rank {to}; send it to a chunk there"
            )
        else:
            target = self.chunk(to, chunk.number, chunk.count)
        if (target.rank, target.buffer, target.first) == (chunk.rank, chunk.buffer, chunk.first):
            raise ScheduleError(f"program: {chunk!r} would be {'added' if adds else 'copied'} to itself")
        self._note(chunk, target, adds, channel)
        return self._seen(target.rank, target.buffer, target.first, target.count, target.number)

    def _note(self, source: Chunk, target: Chunk, adds: bool, channel: int) -> None:
        """Write a move down, and who uses which chunk."""
        read = self._cells(source.rank, source.buffer, source.first, source.count)
        write = self._cells(target.rank, target.buffer, target.first, target.count)
        move = _Move(source, target, adds, channel, _waits(read, []), _waits([], write))
        number = len(self.moves)
        self.moves.append(move)
        self.program.changed()
        for use in read:
            use.readers.append((number, move.local))
        for use in write:
            use.writer, use.readers = (number, True), []
            use.version += 1

    # ------------------------------------------------------------------ lanes

    def settle(self) -> None:
        """Write the lanes of all that has been written down so far."""
        if self.settled == len(self.moves):
            return
        self.settled = len(self.moves)
        program = self.program
        for mine in program.own_lanes:
            mine.clear()
        lanes: dict[tuple[int, str, int, int], int] = {}
        #: Step that is the sending (False) or the receiving (True) side of a move.
        at: dict[Use, At] = {}
        for number in range(len(self.moves)) if program.in_order else self._sequence():
            move = self.moves[number]
            source, target = move.source, move.target
            start, place = (source.buffer, source.first), (target.buffer, target.first)
            reading, writing = {at[use] for use in move.reading}, {at[use] for use in move.writing}
            if move.local:
                lane = self._local_lane(source.rank, reading | writing)
                step = Step("reduce" if move.adds else "copy", start, place, source.count)
                at[number, True] = self._append(source.rank, lane, step, reading | writing)
                continue
            out = self._lane(lanes, source.rank, "send", target.rank, move.channel)
            into = self._lane(lanes, target.rank, "recv", source.rank, move.channel)
            step = Step("send", start, place, source.count)
            at[number, False] = self._append(source.rank, out, step, reading)
            step = Step("recv_reduce_copy" if move.adds else "recv", place, place, source.count)
            at[number, True] = self._append(target.rank, into, step, writing)

    def _sequence(self) -> Iterator[int]:
        """The moves in the order in which they could start."""
        left = [len({use[0] for use in move.reading | move.writing}) for move in self.moves]
        follow: list[list[int]] = [[] for _ in self.moves]
        for number, move in enumerate(self.moves):
            for earlier in {use[0] for use in move.reading | move.writing}:
                follow[earlier].append(number)
        ready = [0] * len(self.moves)
        free: dict[tuple[int, int, int], int] = {}
        heap = [(0, number) for number, count in enumerate(left) if not count]
        while heap:
            time, number = heapq.heappop(heap)
            move = self.moves[number]
            connection = (move.source.rank, move.target.rank, move.channel)
            if not move.local:
                if free.get(connection, 0) > time:
                    heapq.heappush(heap, (free[connection], number))
                    continue
                free[connection] = time + 1
            yield number
            for later in follow[number]:
                ready[later] = max(ready[later], time + (not move.local))
                left[later] -= 1
                if not left[later]:
                    heapq.heappush(heap, (ready[later], later))

    def _local_lane(self, rank: int, waits: set[At]) -> int:
        """A lane for a local step: one where it delays nobody."""
        lanes = self.program.own_lanes[rank]
        for lane, index in sorted(waits):
            if index + 1 != len(lanes[lane].steps):
                continue
            # It waits for the last step there, and for nothing else or in a lane without messages.
            if all(other == lane for other, _ in waits) or (lanes[lane].send, lanes[lane].recv) == (-1, -1):
                return lane
        lanes.append(Lane())
        return len(lanes) - 1

    def _lane(
        self, known: dict[tuple[int, str, int, int], int], rank: int, side: str, peer: int, channel: int
    ) -> int:
        key = (rank, side, peer, channel)
        if key not in known:
            lanes = self.program.own_lanes[rank]
            lanes.append(Lane(peer, -1, channel) if side == "send" else Lane(-1, peer, channel))
            known[key] = len(lanes) - 1
        return known[key]

    def _append(self, rank: int, lane: int, step: Step, waits: set[At]) -> At:
        """Put a step at the end of a lane, to wait for the last of the steps in each other lane."""
        latest: dict[int, int] = {}
        for other, index in waits:
            if other != lane:
                latest[other] = max(index, latest.get(other, -1))
        steps = self.program.own_lanes[rank][lane].steps
        steps.append(Step(step.op, step.src, step.dst, step.count, tuple(sorted(latest.items()))))
        return lane, len(steps) - 1


def _waits(read: list[_Uses], write: list[_Uses]) -> set[Use]:
    found = {use.writer for use in [*read, *write] if use.writer is not None}
    for use in write:
        found.update(use.readers)
    return found
