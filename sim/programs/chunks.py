"""Writing a program: chunks that are sent, added and copied.

Every call appends a step to the lanes of the ranks concerned. What a step must wait
for follows from the chunks: who reads one waits for who wrote it last, who writes one
waits for who wrote it last and who has read it since. Lanes come of themselves: one
for each rank sent to and one for each received from (on each channel), and local steps
go where what they wait for is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim.programs.program import Lane, Step
from topologies.errors import ScheduleError

if TYPE_CHECKING:
    from sim.programs.program import Program

__all__ = ["Chunk", "Recorder"]

Cell = tuple[int, str, int]
At = tuple[int, int]


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

    writer: At | None = None
    readers: list[At] = field(default_factory=list)
    version: int = 0


@dataclass(slots=True)
class Recorder:
    """What has been written of a program so far."""

    program: Program
    uses: dict[Cell, _Uses] = field(default_factory=dict)
    lanes: dict[tuple[int, str, int, int], int] = field(default_factory=dict)
    own_places: dict[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        program = self.program
        if program.kind == "all_to_all" and not program.in_place and not any(program.lanes):
            part = program.promise.part
            for rank in range(program.ranks):
                own = ("input", rank * part), ("output", rank * part)
                self._local(rank, "copy", *own, part)

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
        source, place = (chunk.buffer, chunk.first), (target.buffer, target.first)
        if target.rank == chunk.rank:
            if source == place:
                raise ScheduleError(f"program: {chunk!r} would be {'added' if adds else 'copied'} to itself")
            self._local(chunk.rank, "reduce" if adds else "copy", source, place, chunk.count)
        else:
            self._message(chunk, target, adds, channel)
        self.program.changed()
        return self._seen(target.rank, target.buffer, target.first, target.count, target.number)

    def _message(self, chunk: Chunk, target: Chunk, adds: bool, channel: int) -> None:
        out = self._lane(chunk.rank, "send", target.rank, channel)
        into = self._lane(target.rank, "recv", chunk.rank, channel)
        read = self._cells(chunk.rank, chunk.buffer, chunk.first, chunk.count)
        write = self._cells(target.rank, target.buffer, target.first, target.count)
        source, place = (chunk.buffer, chunk.first), (target.buffer, target.first)
        sent = self._append(chunk.rank, out, Step("send", source, place, chunk.count), _waits(read, []))
        step = Step("recv_reduce_copy" if adds else "recv", place, place, chunk.count)
        taken = self._append(target.rank, into, step, _waits([], write))
        _note(read, [], sent)
        _note([], write, taken)

    def _local(self, rank: int, op: str, source: tuple[str, int], place: tuple[str, int], count: int) -> None:
        read, write = self._cells(rank, *source, count), self._cells(rank, *place, count)
        waits = _waits(read, write)
        lanes = self.program.lanes[rank]
        # A lane whose last step it waits for anyway, and nothing else: there it delays nobody.
        lane = next(
            (a for a, b in waits if b + 1 == len(lanes[a].steps) and all(other == a for other, _ in waits)),
            -1,
        )
        if lane < 0:
            own = (i for i, one in enumerate(lanes) if one.send < 0 and one.recv < 0)
            lane = next((i for i in own if (i, len(lanes[i].steps) - 1) in waits), -1)
        if lane < 0:
            lanes.append(Lane())
            lane = len(lanes) - 1
        _note(read, write, self._append(rank, lane, Step(op, source, place, count), waits))

    def _lane(self, rank: int, side: str, peer: int, channel: int) -> int:
        key = (rank, side, peer, channel)
        if key not in self.lanes:
            lanes = self.program.lanes[rank]
            lanes.append(Lane(peer, -1, channel) if side == "send" else Lane(-1, peer, channel))
            self.lanes[key] = len(lanes) - 1
        return self.lanes[key]

    def _append(self, rank: int, lane: int, step: Step, waits: set[At]) -> At:
        """Put a step at the end of a lane, to wait for the last of the steps in each other lane."""
        latest: dict[int, int] = {}
        for other, index in waits:
            if other != lane:
                latest[other] = max(index, latest.get(other, -1))
        steps = self.program.lanes[rank][lane].steps
        steps.append(Step(step.op, step.src, step.dst, step.count, tuple(sorted(latest.items()))))
        return lane, len(steps) - 1


def _waits(read: list[_Uses], write: list[_Uses]) -> set[At]:
    found = {use.writer for use in [*read, *write] if use.writer is not None}
    for use in write:
        found.update(use.readers)
    return found


def _note(read: list[_Uses], write: list[_Uses], at: At) -> None:
    for use in read:
        use.readers.append(at)
    for use in write:
        use.writer, use.readers = at, []
        use.version += 1
