"""A program carried out on sets of contributions, and on happens-before.

Each chunk of memory holds a sum of one numbered chunk's data over a set of ranks, or
nothing. Steps are carried out in an order in which they can happen. That another order
gives the same is checked as well: two steps of which one writes what the other reads
or writes must be ordered by what they wait for, else the result depends on the pace.
Who is ordered is told by vector clocks over the lanes (Fidge 1988, Mattern 1989).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sim.programs.program import RECEIVES, REDUCES, SENDS
from sim.programs.promise import Value
from topologies import memory
from topologies.errors import ScheduleError

if TYPE_CHECKING:
    from sim.programs.order import Order, Place
    from sim.programs.program import Program, Step

__all__ = ["MOST_VISITS", "check"]

#: A chunk of memory: rank, buffer, chunk. Who has touched one: node, place of the step,
#: whether it wrote.
Cell = tuple[int, str, int]
Use = tuple[int, tuple[int, int, int], bool]
Precedes = Callable[[Use, Use], bool]

#: Clocks kept at once (16 million), and visits of nodes (some seconds) up to which steps
#: in no certain order are looked for; a program that is larger is only carried out.
CLOCKS, MOST_VISITS = 1 << 24, 4_000_000

#: Bytes that a chunk of memory takes while a program is carried out.
CELL_BYTES = 400


def check(program: Program, order: Order) -> None:
    """Raise `ScheduleError` unless every rank ends with what is promised, whatever the pace."""
    held = sum(sum(program.promise.lengths(rank)) for rank in range(program.ranks))
    memory.require(held * CELL_BYTES, f"{held} chunks of {program.name} in all ranks; take fewer chunks")
    state = _State(program)
    under_way: dict[int, list[Value]] = {}
    for node in order.sequence:
        sender, receiver = order.sender[node], order.receiver[node]
        arrived: list[Value] = []
        if sender is not None:
            # A fused step has left here what it sends on.
            arrived = under_way.pop(node, []) or state.send(sender, node)
            under_way[node] = arrived
        if receiver is not None:
            arrived = under_way.pop(order.message.get(node, node), arrived)
            onward = state.take(receiver, node, arrived)
            if receiver in order.sent:
                under_way[order.sent[receiver]] = onward
    state.verify()
    _check_races(program, order, state.touched)


@dataclass(slots=True)
class _State:
    """What every chunk of memory holds, and who has touched it."""

    program: Program
    memory: dict[Cell, Value] = field(default_factory=dict)
    touched: dict[Cell, list[Use]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        promise = self.program.promise
        for rank, index, value in promise.initial():
            self.memory[rank, *promise.real(rank, "input", index)] = value
        for rank, pairs in enumerate(self.program.initial):
            for source, target in pairs:
                there = self.memory.get((rank, *promise.real(rank, "input", source)))
                if there is not None:
                    self.memory[rank, *promise.real(rank, "output", target)] = there

    def _step(self, place: Place) -> Step:
        rank, lane, index = place
        return self.program.lanes[rank][lane].steps[index]

    def _cell(self, place: Place, node: int, start: tuple[str, int], k: int, write: bool) -> Cell:
        cell = (place[0], *self.program.promise.real(place[0], start[0], start[1] + k))
        self.touched.setdefault(cell, []).append((node, place, write))
        return cell

    def _read(self, place: Place, node: int, k: int, does: str) -> Value:
        buffer, first = self._step(place).src
        value = self.memory.get(self._cell(place, node, (buffer, first), k, False))
        if value is None:
            raise ScheduleError(
                f"{self.program.where(*place)}: {does} {buffer} chunk {first + k}, which holds nothing yet"
            )
        return value

    def _write(self, place: Place, node: int, k: int, value: Value) -> None:
        self.memory[self._cell(place, node, self._step(place).dst, k, True)] = value

    def send(self, place: Place, node: int) -> list[Value]:
        """What a step sends."""
        return [self._read(place, node, k, "sends") for k in range(self._step(place).count)]

    def take(self, place: Place, node: int, arrived: list[Value]) -> list[Value]:
        """Carry out a step that takes what has arrived, or is local; what it sends on."""
        step = self._step(place)
        if step.op == "nop":
            return []
        onward = []
        for k in range(step.count):
            if step.op in RECEIVES:
                value = arrived[k]
                if step.op in REDUCES:
                    value = self._sum(place, step.src, k, value, self._read(place, node, k, "adds to"))
                if step.op != "recv_reduce_send":
                    self._write(place, node, k, value)
                onward.append(value)
                continue
            value = self._read(place, node, k, "adds" if step.op == "reduce" else "copies")
            if step.op == "reduce":
                there = self.memory.get(self._cell(place, node, step.dst, k, False))
                if there is None:
                    raise ScheduleError(
                        f"{self.program.where(*place)}: adds to {step.dst[0]} chunk {step.dst[1] + k}, "
                        f"which holds nothing yet"
                    )
                value = self._sum(place, step.dst, k, value, there)
            self._write(place, node, k, value)
        return onward if step.op in SENDS else []

    def _sum(self, place: Place, at: tuple[str, int], k: int, one: Value, other: Value) -> Value:
        if one[0] == other[0] and not one[1] & other[1]:
            return one[0], one[1] | other[1]
        holds = self.program.promise.holds
        why = "which counts some ranks twice" if one[0] == other[0] else "which is other data"
        raise ScheduleError(
            f"{self.program.where(*place)}: adds {holds(one)} to {at[0]} chunk {at[1] + k} "
            f"with {holds(other)}, {why}"
        )

    def verify(self) -> None:
        """Whether every rank has what is promised."""
        program, promise = self.program, self.program.promise
        for rank, index, value in promise.wanted():
            found = self.memory.get((rank, *promise.real(rank, "output", index)))
            if found != value:
                cell = (rank, *promise.real(rank, "output", index))
                writers = [place for _, place, write in self.touched.get(cell, ()) if write]
                last = (
                    f"; last written by thread block {writers[-1][1]}, step {writers[-1][2]}"
                    if writers
                    else ""
                )
                raise ScheduleError(
                    f"{program.kind} by {program.name}: rank {rank} ends with {promise.holds(found)} "
                    f"in output chunk {index}, needs {promise.holds(value)}{last}"
                )


def _check_races(program: Program, order: Order, touched: dict[Cell, list[Use]]) -> None:
    """Raise `ScheduleError` if two steps touch one chunk, one of them writing, in no certain order."""
    first = np.cumsum([0, *map(len, program.lanes)]).tolist()
    nodes = len(order.sequence)
    wide = max(1, CLOCKS // max(1, nodes))
    blocks = list(_blocks(first, wide))
    if len(blocks) * nodes > MOST_VISITS:
        return
    before = [order.before(node) for node in range(nodes)]
    ticks, when = _ticks(order, first)
    by_rank: dict[int, list[list[Use]]] = {}
    for cell, uses in touched.items():
        if len(uses) > 1:
            by_rank.setdefault(cell[0], []).append(uses)
    for low, high in blocks:
        clock = np.zeros((nodes, first[high] - first[low]), dtype=np.int32)
        for node in order.sequence:
            row = clock[node]
            for earlier in before[node]:
                np.maximum(row, clock[earlier], out=row)
            for lane, tick in ticks[node]:
                if first[low] <= lane < first[high]:
                    row[lane - first[low]] = tick

        def precedes(one: Use, other: Use, low: int = low) -> bool:
            node, (rank, lane, _), _ = one
            there = clock[other[0], first[rank] + lane - first[low]]  # noqa: B023
            return bool(there >= when[node, rank, lane])

        for rank in range(low, high):
            for uses in by_rank.get(rank, ()):
                _check_uses(program, uses, precedes)


def _check_uses(program: Program, uses: list[Use], precedes: Precedes) -> None:
    written: Use | None = None
    readers: list[Use] = []
    for use in uses:
        rivals = [written, *readers] if use[2] else [written]
        for rival in rivals:
            if rival is None or rival[0] == use[0] or precedes(rival, use):
                continue
            does, did = ("writes" if one[2] else "reads" for one in (use, rival))
            raise ScheduleError(
                f"{program.where(*use[1])}: {does} a chunk that {program.where(*rival[1])} {did}, "
                f"and neither waits for the other; add a dependency"
            )
        if use[2]:
            written, readers = use, []
        else:
            readers.append(use)


def _blocks(first: list[int], wide: int) -> Iterator[tuple[int, int]]:
    """Ranks, cut into stretches of at most so many lanes (at least one rank each)."""
    low = 0
    for rank in range(1, len(first)):
        if rank + 1 == len(first) or first[rank + 1] - first[low] > wide:
            yield low, rank
            low = rank


def _ticks(
    order: Order, first: list[int]
) -> tuple[list[list[tuple[int, int]]], dict[tuple[int, int, int], int]]:
    """For each node the lanes it belongs to, and its number there; the same by (node, rank, lane)."""
    counts: dict[int, int] = {}
    ticks: list[list[tuple[int, int]]] = [[] for _ in order.sequence]
    when: dict[tuple[int, int, int], int] = {}
    for node in order.sequence:
        for place in (order.sender[node], order.receiver[node]):
            if place is not None:
                lane = first[place[0]] + place[1]
                counts[lane] = counts.get(lane, 0) + 1
                ticks[node].append((lane, counts[lane]))
                when[node, place[0], place[1]] = counts[lane]
    return ticks, when
