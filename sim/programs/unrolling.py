"""Schedules as programs, and as one graph of transfers.

A schedule has no thread blocks: a rank does its part of one repetition after the other,
all transfers of a repetition at once. Here every rank gets one lane for each rank that
it sends to and each that it receives from, and a lane of its own. A step waits for
all that its rank did in the repetition before, through the rank's own lane where that
is more than two steps: so the program takes the schedule's time to the picosecond.

What a schedule leaves open is settled as a real implementation has to: chunks that do
not lie together are packed in scratch before they are sent; what arrives for a chunk
that the rank also sends in the same repetition, or that two ranks send to, goes to
scratch and is copied or added when the repetition is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from sim.programs.program import Lane, Program, Step
from sim.programs.promise import PARTED
from sim.schedule import Round, Schedule
from topologies import memory
from topologies.errors import ScheduleError

__all__ = ["from_schedule", "unrolled"]

Cell = tuple[str, int]
At = tuple[int, int]

#: Bytes that the steps of one transfer take.
TRANSFER_BYTES = 1200

#: Steps that the next ones wait for one by one; more are joined in the rank's own lane.
JOINED = 2


def from_schedule(schedule: Schedule) -> Program:
    """A schedule as a program, with the same time and the same result.

    Parameters
    ----------
    schedule : Schedule
        With payloads, all chunks of the same size, no in-network transfers.

    Raises
    ------
    ScheduleError
        If it is not of this kind.
    CapacityError
        If the program would not fit into memory.

    Examples
    --------
    >>> from sim.collectives import build
    >>> program = from_schedule(build("all_reduce", 4, 1e6, "recursive_doubling"))
    >>> program.check()
    >>> program
    <Program all_reduce by recursive_doubling: 4 ranks, 1 chunks, 8 messages in 20 thread blocks>
    """
    what = f"{schedule.kind} by {schedule.algorithm}"
    sizes = schedule.bytes_of_chunks()
    if sizes.size and sizes.max() - sizes.min() > 1e-9 * sizes.max():
        raise ScheduleError(
            f"{what}: chunks of {sizes.min():.15g} to {sizes.max():.15g} bytes; a program's are alike"
        )
    if schedule.kind == "send" and (schedule.root, schedule.options.get("destination")) != (
        0,
        schedule.ranks - 1,
    ):
        raise ScheduleError(
            f"{what}: a program sends from rank 0 to rank {schedule.ranks - 1}; give ranks in this order"
        )
    chunks = schedule.chunks // (schedule.ranks if schedule.kind == "all_to_all" else 1)
    program = Program(schedule.kind, schedule.ranks, chunks, schedule.algorithm, schedule.root)
    transfers, _ = schedule.totals()
    memory.require(transfers * TRANSFER_BYTES, f"{transfers} messages of {what}; take fewer ranks")
    _Writer(program, what).write(schedule)
    return program


def _repetitions(
    schedule: Schedule, what: str
) -> Iterator[tuple[Round, list[int], list[int], list[list[int]]]]:
    """Round, sources, destinations and chunks of every repetition."""
    for index, round_ in enumerate(schedule.rounds()):
        where = f"{what}, round {index} {round_.label!r}"
        if round_.trees is not None or round_.after is not None:
            kind = "in the network" if round_.trees is not None else "in an order of their own"
            raise ScheduleError(
                f"{where}: transfers {kind} cannot be written as steps; take another algorithm"
            )
        if round_.payload is None:
            raise ScheduleError(f"{where}: no payload, so it is not known which chunks are sent")
        for k in range(round_.repeat):
            offsets, chunks = round_.payload(k)
            cut, numbers = offsets.tolist(), chunks.tolist()
            carried = [numbers[a:b] for a, b in pairwise(cut)]
            yield round_, round_.src.tolist(), round_.dst.tolist(), carried


@dataclass(slots=True)
class _Rank:
    """A rank while its steps are written."""

    own: int = -1
    last: list[At] = field(default_factory=list)
    #: Of the repetition at hand: ends of its transfers, what is still to be done, scratch in use.
    ends: list[At] = field(default_factory=list)
    finish: list[Step] = field(default_factory=list)
    used: int = 0


class _Writer:
    """Steps of a schedule, repetition by repetition."""

    def __init__(self, program: Program, what: str) -> None:
        self.program, self.what = program, what
        self.ranks = [_Rank() for _ in range(program.ranks)]
        self.lanes: dict[tuple[int, str, int, int], int] = {}
        self.places: dict[tuple[int, int], int] = {}

    def write(self, schedule: Schedule) -> None:
        promise = self.program.promise
        if schedule.kind in PARTED - {"all_gather", "reduce_scatter"}:
            self._find_places(schedule)
        if schedule.kind == "all_to_all":
            for rank in range(schedule.ranks):
                own = rank * promise.part
                self._own(rank, Step("copy", ("input", own), ("output", own), promise.part))
        for round_, sources, targets, carried in _repetitions(schedule, self.what):
            self._repetition(round_, sources, targets, carried)

    def _find_places(self, schedule: Schedule) -> None:
        """Give chunks that lie nowhere else at a rank a place in its scratch."""
        place = self.program.promise.place
        for _, _, targets, carried in _repetitions(schedule, self.what):
            for target, chunks in zip(targets, carried, strict=True):
                for chunk in chunks:
                    if place(target, chunk) is None and (target, chunk) not in self.places:
                        self.places[target, chunk] = self.program.scratch[target]
                        self.program.scratch[target] += 1
        for rank, length in zip(self.ranks, self.program.scratch, strict=True):
            rank.used = length
        self.kept = list(self.program.scratch)

    kept: list[int] | None = None

    def _cell(self, rank: int, chunk: int) -> Cell:
        found = self.program.promise.place(rank, chunk)
        if found is None:
            if (rank, chunk) not in self.places:
                raise ScheduleError(f"{self.what}: rank {rank} sends chunk {chunk}, which it does not have")
            found = "scratch", self.places[rank, chunk]
        return found

    def _repetition(
        self, round_: Round, sources: list[int], targets: list[int], carried: list[list[int]]
    ) -> None:
        read: set[tuple[int, Cell]] = set()
        written: Counter[tuple[int, Cell]] = Counter()
        moves = []
        channels: Counter[tuple[int, int]] = Counter()
        for src, dst, chunks in zip(sources, targets, carried, strict=True):
            cells = sorted((self._cell(src, c), self._cell(dst, c)) for c in chunks)
            if not cells:
                raise ScheduleError(
                    f"{self.what}: rank {src} sends no chunk to rank {dst} in {round_.label!r}"
                )
            moves.append((src, dst, channels[src, dst], [a for a, _ in cells], [b for _, b in cells]))
            channels[src, dst] += 1
            read.update((src, a) for a, _ in cells)
            written.update((dst, b) for _, b in cells)
        for src, dst, channel, there, here in moves:
            clash = any((dst, cell) in read or written[dst, cell] > 1 for cell in here)
            self._send(src, dst, channel, there, here[0])
            self._receive(dst, src, channel, here, clash, round_.reduce)
        for rank in {*sources, *targets}:
            self._over(rank)

    def _send(self, rank: int, to: int, channel: int, cells: list[Cell], there: Cell) -> None:
        lane, state = self._lane(rank, "send", to, channel), self.ranks[rank]
        start, waits = cells[0], state.last
        runs = list(_runs(cells))
        if len(runs) > 1:
            start = self._scratch(rank, len(cells))
            at = start[1]
            for first, count in runs:
                self._append(rank, lane, Step("copy", first, ("scratch", at), count), waits)
                waits, at = [], at + count
        self._append(rank, lane, Step("send", start, there, len(cells)), waits)
        state.ends.append((lane, len(self.program.lanes[rank][lane].steps) - 1))

    def _receive(
        self, rank: int, sender: int, channel: int, cells: list[Cell], clash: bool, adds: bool
    ) -> None:
        lane, state = self._lane(rank, "recv", sender, channel), self.ranks[rank]
        runs = list(_runs(cells))
        if clash or len(runs) > 1:
            start = self._scratch(rank, len(cells))
            step, at = Step("recv", start, start, len(cells)), start[1]
            for first, count in runs:
                state.finish.append(Step("reduce" if adds else "copy", ("scratch", at), first, count))
                at += count
        else:
            step = Step("recv_reduce_copy" if adds else "recv", cells[0], cells[0], len(cells))
        self._append(rank, lane, step, state.last)
        state.ends.append((lane, len(self.program.lanes[rank][lane].steps) - 1))

    def _over(self, rank: int) -> None:
        """A rank's part of a repetition is written: finish it, and say what the next waits for."""
        state = self.ranks[rank]
        state.last = state.ends
        if state.finish or len(state.ends) > JOINED:
            first, *others = state.finish or [Step("nop", count=0)]
            # Several dependencies at one step: the writers of files make them nops.
            at = self._own(rank, first, state.ends)
            for step in others:
                at = self._own(rank, step)
            state.last = [at]
        state.ends, state.finish = [], []
        state.used = self.kept[rank] if self.kept else 0

    def _scratch(self, rank: int, count: int) -> Cell:
        """Room in scratch until the repetition is over."""
        state = self.ranks[rank]
        first, state.used = state.used, state.used + count
        self.program.scratch[rank] = max(self.program.scratch[rank], state.used)
        return "scratch", first

    def _own(self, rank: int, step: Step, waits: list[At] | None = None) -> At:
        """Put a step into the rank's own lane."""
        state = self.ranks[rank]
        if state.own < 0:
            self.program.lanes[rank].append(Lane())
            state.own = len(self.program.lanes[rank]) - 1
        return self._append(rank, state.own, step, waits or [])

    def _lane(self, rank: int, side: str, peer: int, channel: int) -> int:
        key = (rank, side, peer, channel)
        if key not in self.lanes:
            lane = Lane(peer, -1, channel) if side == "send" else Lane(-1, peer, channel)
            self.program.lanes[rank].append(lane)
            self.lanes[key] = len(self.program.lanes[rank]) - 1
        return self.lanes[key]

    def _append(self, rank: int, lane: int, step: Step, waits: list[At]) -> At:
        steps = self.program.lanes[rank][lane].steps
        after = tuple(sorted(at for at in waits if at[0] != lane))
        steps.append(Step(step.op, step.src, step.dst, step.count, after))
        return lane, len(steps) - 1


def _runs(cells: list[Cell]) -> Iterator[tuple[Cell, int]]:
    """Stretches of cells that lie together: the first of each, and how many."""
    start, count = cells[0], 1
    for cell in cells[1:]:
        if cell == (start[0], start[1] + count):
            count += 1
        else:
            yield start, count
            start, count = cell, 1
    yield start, count


def unrolled(schedule: Schedule) -> Schedule:
    """The same schedule as one round, a graph of all its transfers.

    Raises
    ------
    ScheduleError
        If some transfers are in-network ones.
    CapacityError
        If so many transfers would not fit into memory.

    Examples
    --------
    >>> from sim.collectives import build
    >>> [round] = unrolled(build("all_reduce", 4, 1e6, "ring")).rounds()
    >>> round.src.size, round.after[1][:8].tolist()
    (24, [0, 1, 3, 0, 1, 2, 1, 2])
    """
    transfers, _ = schedule.totals()
    memory.require(transfers * TRANSFER_BYTES, f"{transfers} transfers as one graph; take fewer ranks")
    graph = _Graph([[] for _ in range(schedule.ranks)])
    for round_ in schedule.rounds():
        if round_.trees is not None:
            raise ScheduleError(
                f"{schedule.kind} by {schedule.algorithm}: transfers in the network cannot be written; "
                f"take another algorithm"
            )
        for _ in range(round_.repeat):
            graph.add(round_)
    one = graph.round(schedule.algorithm)
    return Schedule(
        schedule.kind, schedule.algorithm, schedule.ranks, schedule.size, lambda: iter([one]),
        schedule.chunks, schedule.chunk_bytes, schedule.root, schedule.groups, schedule.options,
        proof=schedule.check,
    )  # fmt: skip


@dataclass(slots=True)
class _Graph:
    """Transfers so far, and for each rank those that its next wait for."""

    last: list[list[int]]
    src: list[int] = field(default_factory=list)
    dst: list[int] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    adds: list[bool] = field(default_factory=list)
    after: list[list[int]] = field(default_factory=list)

    def _node(self, src: int, dst: int, size: float, seconds: float, adds: bool, after: list[int]) -> int:
        self.src.append(src)
        self.dst.append(dst)
        self.bytes.append(size)
        self.seconds.append(seconds)
        self.adds.append(adds)
        self.after.append(after)
        return len(self.src) - 1

    def add(self, round_: Round) -> None:
        """All transfers of one repetition."""
        count, first = round_.src.size, len(self.src)
        for rank in {*round_.src.tolist(), *round_.dst.tolist()}:
            if len(self.last[rank]) > JOINED:
                self.last[rank] = [self._node(rank, rank, 0.0, 0.0, False, self.last[rank])]
                first += 1
        offsets, within = round_.after or (np.zeros(count + 1, dtype=np.int64), np.zeros(0, dtype=np.int64))
        adds = [round_.reduce] * count if round_.adds is None else round_.adds.tolist()
        seconds = np.zeros(count) if round_.seconds is None else round_.seconds
        ends: dict[int, list[int]] = {}
        for i, (src, dst) in enumerate(zip(round_.src.tolist(), round_.dst.tolist(), strict=True)):
            inside = (within[offsets[i] : offsets[i + 1]] + first).tolist()
            after = sorted({*self.last[src], *self.last[dst], *inside})
            node = self._node(src, dst, float(round_.bytes[i]), float(seconds[i]), adds[i], after)
            for rank in {src, dst}:
                ends.setdefault(rank, []).append(node)
        for rank, nodes in ends.items():
            self.last[rank] = nodes

    def round(self, label: str) -> Round:
        """Everything as one round."""
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum([len(a) for a in self.after])])
        after = np.array([earlier for one in self.after for earlier in one], dtype=np.int64)
        return Round(
            np.array(self.src, dtype=np.int64),
            np.array(self.dst, dtype=np.int64),
            np.array(self.bytes, dtype=np.float64),
            adds=np.array(self.adds, dtype=np.bool_),
            label=label,
            after=(offsets.astype(np.int64), after),
            seconds=np.array(self.seconds) if any(self.seconds) else None,
        )
