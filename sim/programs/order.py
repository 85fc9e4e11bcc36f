"""What waits for what: a program as a graph of transfers.

Steps become nodes: a message is one node where it waits for its receiver, two where
it does not (the transfer, and the receipt, which is local to the receiver); whatever
happens inside a rank is a local node. The step before in the lane, the steps named by
the step, and what its messages demand are a node's predecessors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim.programs.program import LOCAL, OPERATIONS, RECEIVES, REDUCES, SENDS
from sim.schedule import IntArray
from topologies import memory
from topologies.errors import ScheduleError

if TYPE_CHECKING:
    from sim.programs.program import Program, Step

__all__ = ["Order", "order"]

#: Place of a step: rank, lane, step.
Place = tuple[int, int, int]

#: Bytes that a node and what it waits for take in the end.
NODE_BYTES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A program as n nodes, loop after loop.

    Attributes
    ----------
    src, dst : int64 array, shape (n,)
        Ranks; the same for what is local.
    count : int64 array, shape (n,)
        Chunks that a transfer moves; none for what is local.
    reduce : bool array, shape (n,)
        Whether the receiver adds what arrives.
    loop : int64 array, shape (n,)
        The loop it belongs to.
    offsets, after : int64 array
        Node i waits for ``after[offsets[i]:offsets[i + 1]]``.
    sender, receiver : list
        Of the nodes of one loop: the step that sends it, the step that takes it (a
        local step takes it); None where there is none.
    message : dict
        Of a receipt: its message.
    sent : dict
        Of a step that sends: its message.
    sequence : list of int
        The nodes of one loop in an order in which they can happen.
    """

    src: IntArray
    dst: IntArray
    count: IntArray
    reduce: npt.NDArray[np.bool_]
    loop: IntArray
    offsets: IntArray
    after: IntArray
    sender: list[Place | None]
    receiver: list[Place | None]
    message: dict[int, int]
    sent: dict[Place, int]
    sequence: list[int]

    def before(self, node: int) -> list[int]:
        """What a node waits for."""
        waits: list[int] = self.after[self.offsets[node] : self.offsets[node + 1]].tolist()
        return waits


def order(program: Program, loops: int = 1) -> Order:
    """The graph of a program.

    Raises
    ------
    ScheduleError
        If a step has no meaning, a message no other end, or steps wait for each other.
    """
    for rank in range(program.ranks):
        _check_lanes(program, rank)
    build = _Build(program)
    build.number()
    links = build.match()
    first = build.waits(links)
    nodes = len(build.src)
    memory.require(
        nodes * loops * NODE_BYTES, f"{nodes} steps of {program.name} in {loops} loops; take fewer loops"
    )
    sequence = _sequence(program, build, first)
    offsets, after = _unroll(build, links, first, loops)
    return Order(
        np.tile(np.array(build.src, dtype=np.int64), loops),
        np.tile(np.array(build.dst, dtype=np.int64), loops),
        np.tile(np.array(build.count, dtype=np.int64), loops),
        np.tile(np.array(build.adds, dtype=np.bool_), loops),
        np.repeat(np.arange(loops), nodes),
        offsets,
        after,
        build.sender,
        build.receiver,
        build.message,
        build.sent,
        sequence,
    )


def _check_lanes(program: Program, rank: int) -> None:
    """Refuse a lane or step of a rank that has no meaning."""
    lanes = program.lanes[rank]
    taken: dict[tuple[str, int, int], int] = {}
    for number, lane in enumerate(lanes):
        here = f"rank {rank}, thread block {number}"
        for side, peer in (("send", lane.send), ("recv", lane.recv)):
            if peer == -1:
                continue
            if not 0 <= peer < program.ranks or peer == rank:
                what = "itself" if peer == rank else f"none of the {program.ranks} ranks"
                raise ScheduleError(f"{here}: {side} (={peer}) is {what}; give another rank, or -1 for none")
            other = taken.setdefault((side, peer, lane.channel), number)
            if other != number:
                raise ScheduleError(
                    f"{here}: {side} (={peer}) on channel {lane.channel} is also that of thread block "
                    f"{other}; give one of them another channel"
                )
        for index, step in enumerate(lane.steps):
            _check_step(program, rank, number, index, step)


def _check_step(program: Program, rank: int, number: int, index: int, step: Step) -> None:
    lanes, here = program.lanes[rank], f"rank {rank}, thread block {number}, step {index}"
    if step.op not in OPERATIONS:
        raise ScheduleError(f"{here}: no operation {step.op!r}; there are {', '.join(sorted(OPERATIONS))}")
    here += f" ({step.op})"
    if step.op in SENDS and lanes[number].send < 0:
        raise ScheduleError(f"{here}: its thread block sends to nobody (send=-1); name the rank")
    if step.op in RECEIVES and lanes[number].recv < 0:
        raise ScheduleError(f"{here}: its thread block receives from nobody (recv=-1); name the rank")
    if step.op != "nop" and step.count < 1:
        raise ScheduleError(f"{here}: count (={step.count}) must be >= 1")
    for side, (buffer, first) in _touched(step):
        length = program.length(rank, buffer)
        if not 0 <= first <= length - step.count:
            last = f" to {first + step.count - 1}" if step.count > 1 else ""
            raise ScheduleError(
                f"{here}: {side} chunk {first}{last} lies outside the {buffer} buffer, which has {length}"
            )
    for lane, at in step.after:
        if not (0 <= lane < len(lanes) and 0 <= at < len(lanes[lane].steps)):
            raise ScheduleError(f"{here}: waits for thread block {lane}, step {at}, which does not exist")
        if lane == number and at >= index:
            raise ScheduleError(
                f"{here}: waits for step {at} of its own thread block, which comes no earlier"
            )


def _touched(step: Step) -> Iterator[tuple[str, tuple[str, int]]]:
    """First chunks that a step reads and writes."""
    if step.op == "send" or step.op in REDUCES or step.op == "copy":
        yield "source", step.src
    if step.op in RECEIVES - {"recv_reduce_send"} or step.op in LOCAL - {"nop"}:
        yield "destination", step.dst


class _Build:
    """Nodes of one loop, as they are found."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.src: list[int] = []
        self.dst: list[int] = []
        self.count: list[int] = []
        self.adds: list[bool] = []
        self.sender: list[Place | None] = []
        self.receiver: list[Place | None] = []
        self.message: dict[int, int] = {}
        #: Node that a step's message is, that takes a step's message, and that ends a step.
        self.sent: dict[Place, int] = {}
        self.taken: dict[Place, int] = {}
        self.end: list[list[list[int]]] = []

    def _node(
        self, src: int, dst: int, count: int, adds: bool, sender: Place | None, taker: Place | None
    ) -> int:
        for column, value in zip(
            (self.src, self.dst, self.count, self.adds, self.sender, self.receiver),
            (src, dst, count, adds, sender, taker),
            strict=True,
        ):
            column.append(value)  # type: ignore[attr-defined]
        return len(self.src) - 1

    def number(self) -> None:
        """Make the messages, and what is local, into nodes."""
        for rank, lanes in enumerate(self.program.lanes):
            self.end.append([[-1] * len(lane.steps) for lane in lanes])
            for number, lane in enumerate(lanes):
                for index, step in enumerate(lane.steps):
                    place = (rank, number, index)
                    if step.op in SENDS:
                        node = self._node(rank, lane.send, step.count, False, place, None)
                        self.sent[place] = node
                        self.end[rank][number][index] = node
                    elif step.op in LOCAL:
                        self.end[rank][number][index] = self._node(rank, rank, 0, False, None, place)

    def match(self) -> list[tuple[list[int], list[int]]]:
        """Join sends and receives; of each connection the messages, and what takes each."""
        ends: dict[tuple[int, int, int], tuple[list[Place], list[Place]]] = {}
        for rank, lanes in enumerate(self.program.lanes):
            for number, lane in enumerate(lanes):
                for index, step in enumerate(lane.steps):
                    place = (rank, number, index)
                    if step.op in SENDS:
                        ends.setdefault((rank, lane.send, lane.channel), ([], []))[0].append(place)
                    if step.op in RECEIVES:
                        ends.setdefault((lane.recv, rank, lane.channel), ([], []))[1].append(place)
        links = []
        for (src, dst, channel), (sends, takes) in sorted(ends.items()):
            common = min(len(sends), len(takes))
            for kind, rest, other in (("sent", sends, dst), ("received", takes, src)):
                if len(rest) > common:
                    raise ScheduleError(
                        f"{self.program.where(*rest[common])}: message {common} from rank {src} to rank "
                        f"{dst} on channel {channel} is {kind} here, but rank {other} has no step that "
                        f"{'receives' if kind == 'sent' else 'sends'} it"
                    )
            for send, take in zip(sends, takes, strict=True):
                self._join(send, take)
            links.append(([self.sent[s] for s in sends], [self.taken[t] for t in takes]))
        return links

    def _join(self, send: Place, take: Place) -> None:
        program = self.program
        count, wanted = (program.lanes[r][n].steps[i].count for r, n, i in (send, take))
        if count != wanted:
            raise ScheduleError(
                f"{program.where(*take)}: receives {wanted} chunks where {program.where(*send)} sends {count}"
            )
        rank, number, index = take
        op = program.lanes[rank][number].steps[index].op
        message = self.sent[send]
        self.adds[message] = op in REDUCES
        if program.slots:
            self.taken[take] = self._node(rank, rank, 0, False, None, take)
            self.message[self.taken[take]] = message
        else:
            self.receiver[message] = take
            self.taken[take] = message
        if op not in SENDS:
            self.end[rank][number][index] = self.taken[take]

    def waits(self, links: list[tuple[list[int], list[int]]]) -> list[list[int]]:
        """What each node waits for in the first loop."""
        found: list[set[int]] = [set() for _ in self.src]
        for rank, lanes in enumerate(self.program.lanes):
            for number, lane in enumerate(lanes):
                for index, step in enumerate(lane.steps):
                    ready = {self.end[rank][a][b] for a, b in step.after}
                    if index:
                        ready.add(self.end[rank][number][index - 1])
                    place = (rank, number, index)
                    begins = self.taken[place] if step.op in RECEIVES else self.end[rank][number][index]
                    found[begins] |= ready
                    if step.op in SENDS and step.op in RECEIVES:
                        found[self.sent[place]].add(begins)
        for receipt, message in self.message.items():
            found[receipt].add(message)
        if self.program.slots:
            for messages, takes in links:
                for message, freed in zip(messages[self.program.slots :], takes, strict=False):
                    found[message].add(freed)
        return [sorted(one) for one in found]


def _unroll(
    build: _Build, links: list[tuple[list[int], list[int]]], first: list[list[int]], loops: int
) -> tuple[IntArray, IntArray]:
    """What every node waits for, in all loops."""
    nodes = len(first)
    heads = np.repeat(np.arange(nodes), [len(one) for one in first])
    tails = np.fromiter((t for one in first for t in one), dtype=np.int64, count=heads.size)
    shift = nodes * np.arange(loops)[:, None]
    pairs = [((heads + shift).ravel(), (tails + shift).ravel())]
    again = [pair for pair in _again(build) if pair]
    if loops > 1:
        head, tail = np.array(again, dtype=np.int64).reshape(-1, 2).T
        pairs.append(((head + shift[1:]).ravel(), (tail + shift[:-1]).ravel()))
        slots = build.program.slots
        for messages, takes in links if slots else ():
            # Message k of this loop waits for the receipt of message k - slots, counted over all loops.
            number = np.arange(loops * len(messages))
            late = number[slots:]
            earlier = late - slots
            between = late // len(messages) > earlier // len(messages)
            late, earlier = late[between], earlier[between]
            loop, k = np.divmod(late, len(messages))
            then, j = np.divmod(earlier, len(messages))
            pairs.append((np.array(messages)[k] + nodes * loop, np.array(takes)[j] + nodes * then))
    head = np.concatenate([h for h, _ in pairs])
    tail = np.concatenate([t for _, t in pairs])
    place = np.lexsort((tail, head))
    counts = np.bincount(head, minlength=nodes * loops)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]), tail[place]


def _again(build: _Build) -> Iterator[tuple[int, int]]:
    """(First node, last node) of each lane: the first of the next loop waits for the last of this."""
    for rank, lanes in enumerate(build.program.lanes):
        for number, lane in enumerate(lanes):
            if lane.steps:
                begin = build.taken.get((rank, number, 0), build.end[rank][number][0])
                yield begin, build.end[rank][number][-1]


def _sequence(program: Program, build: _Build, waits: list[list[int]]) -> list[int]:
    """An order in which everything can happen.

    Raises
    ------
    ScheduleError
        If there is none; a circle of steps that wait for each other is named.
    """
    left = [len(one) for one in waits]
    follow: list[list[int]] = [[] for _ in waits]
    for node, one in enumerate(waits):
        for earlier in one:
            follow[earlier].append(node)
    ready = deque(node for node, count in enumerate(left) if not count)
    done = []
    while ready:
        node = ready.popleft()
        done.append(node)
        for later in follow[node]:
            left[later] -= 1
            if not left[later]:
                ready.append(later)
    if len(done) == len(waits):
        return done
    node = next(n for n, count in enumerate(left) if count)
    walk: dict[int, int] = {}
    while node not in walk:
        walk[node] = len(walk)
        node = next(earlier for earlier in waits[node] if left[earlier])
    names: list[str] = []
    for step in list(walk)[walk[node] :]:
        place = build.sender[step] or build.receiver[step]
        if place is not None and program.where(*place) not in names:
            names.append(program.where(*place))
    shown = " waits for ".join([*names[:4], *(["..."] if len(names) > 4 else []), names[0]])
    raise ScheduleError(f"{program.kind} by {program.name}: deadlock: {shown}")
