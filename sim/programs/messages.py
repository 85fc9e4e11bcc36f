"""Programs of messages: local work, sends and receives that wait for each other.

What GOAL files hold. There are no buffers, so what a program computes is not known; it
is checked that every message has both ends and that nothing waits for ever.

Matching is MPI's: a receive takes the first message, in the order in which they were
sent, whose rank and tag fit (-1 fits all). Who comes first is settled once, without
times: operations happen as soon as what they wait for has, ranks in turn. Where a
wildcard could take either of two messages, another order might come of other times.

Time
----
A message of up to S bytes is eager: its send is done after o + (n - 1) O seconds of the
cpu; the bytes then travel, and the receive is done o + (n - 1) O seconds after they are
there and it has been called. A longer one begins when both ends have been called
(rendezvous; its handshake takes no time), and is done for both when it is through.
Work and sends of one cpu of a rank follow each other, in the order in which they may
begin; receives occupy it without keeping others from it.

Latency and bandwidth are the fabric's, unless L and G are given: then a message leaves
(n - 1) G seconds after its send, arrives L seconds later, the next one leaves its rank g
seconds after that at the earliest, and the fabric is not used. (Hoefler, Schneider and
Lumsdaine, "LogGOPSim", HPDC 2010.)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from sim.schedule import Round, Schedule
from topologies import units
from topologies.errors import ScheduleError

__all__ = ["LOGGOPSIM", "LogGOPS", "Messages", "Operation"]

#: Place of an operation: rank, number.
Place = tuple[int, int]

NANOSECOND = 1e-9


@dataclass(frozen=True, slots=True)
class LogGOPS:
    """What messages cost: latency, overhead, gap, gap and overhead a byte, eager up to S bytes.

    Parameters
    ----------
    L, o, g : float or None
        Seconds. Without L and G (both or none) latency and bandwidth are the fabric's.
    G, O : float or None
        Seconds a byte.
    S : int
        Largest eager message in bytes.

    Examples
    --------
    >>> LOGGOPSIM  # LogGOPSim's own defaults
    LogGOPS(L=2.5e-06, o=1.5e-06, g=1e-06, G=6e-09, O=0.0, S=65535)
    """

    L: float | None = None
    o: float = 0.0
    g: float = 0.0
    G: float | None = None
    O: float = 0.0
    S: int = 65535

    def __post_init__(self) -> None:
        if (self.L is None) != (self.G is None):
            raise ScheduleError(f"LogGOPS: L (={self.L}) and G (={self.G}) go together: give both, or none")
        for name in ("L", "o", "g", "G", "O", "S"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ScheduleError(f"LogGOPS: {name} (={value}) must be >= 0")


#: Defaults of LogGOPSim (spcl/LogGOPSim, `src/LogGOPSim/cmdline.c`; ns there).
LOGGOPSIM = LogGOPS(L=2.5e-6, o=1.5e-6, g=1e-6, G=6e-9, O=0.0, S=65535)


@dataclass(slots=True)
class Operation:
    """Local work of ``size`` ns, or a message of ``size`` bytes to or from ``peer`` (-1: anybody)."""

    kind: str
    size: int
    peer: int = -1
    tag: int = 0
    cpu: int = 0
    requires: list[int] = field(default_factory=list)
    irequires: list[int] = field(default_factory=list)
    line: int = 0

    def __str__(self) -> str:
        if self.kind == "calc":
            return f"calc {self.size}"
        return (
            f"{self.kind} {self.size}b {'to' if self.kind == 'send' else 'from'} {self.peer} tag {self.tag}"
        )


@dataclass(eq=False, slots=True)
class Messages:
    """A program of messages, as read from a GOAL file.

    Parameters
    ----------
    name : str
    operations : list of list of Operation
        Of each rank.
    settings : LogGOPS
    kind, size : optional
        The collective it is and its bytes, if that is known; it has messages of its own
        sizes and serves no other.
    """

    name: str
    operations: list[list[Operation]]
    settings: LogGOPS = field(default_factory=LogGOPS)
    kind: str | None = None
    size: float | None = None
    _order: _Order | None = field(init=False, default=None)

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        return len(self.operations)

    #: The library's protocol it is made for: none.
    protocol = None

    def check(self) -> None:
        """Whether every message has both ends, and nothing waits for ever.

        Raises
        ------
        ScheduleError
            With rank and line of the first operation that never is done.
        """
        self.order()

    def order(self) -> _Order:
        """Which operations happen in which order, and which receive takes which send."""
        if self._order is None:
            order = _Order(self)
            order.run()
            self._order = order
        return self._order

    def schedule(self, size: float | str, kind: str | None = None) -> Schedule:
        """The program as a schedule.

        Parameters
        ----------
        size : float or str
            Bytes that bandwidths are counted with; the messages have sizes of their own.
        kind : str
            The collective it is.

        Raises
        ------
        ScheduleError
            If it is known to be another collective or size.
        """
        amount = units.size(size, name="size")
        if self.size is not None and abs(self.size - amount) > 1e-9 * amount:
            raise ScheduleError(
                f"{self.name}: its messages are those of {self.size:.15g} bytes, not {amount:.15g}; "
                f"give that size, or export the algorithm for another"
            )
        round_ = _Nodes(self).round()
        return Schedule(
            kind or self.kind or "send", self.name, self.ranks, amount, lambda: iter([round_]),
            chunks=self.ranks, proof=self.check,
        )  # fmt: skip

    def where(self, place: Place) -> str:
        """An operation in words."""
        rank, number = place
        one = self.operations[rank][number]
        return f"line {one.line}: rank {rank}: {one}"

    def __repr__(self) -> str:
        return f"<Messages {self.name}: {self.ranks} ranks, {sum(map(len, self.operations))} operations>"


class _Order:
    """Operations carried out without times."""

    def __init__(self, program: Messages) -> None:
        self.program = program
        self.sequence: list[Place] = []
        #: Of a send its receive, and the other way round.
        self.other: dict[Place, Place] = {}
        self.done: set[Place] = set()
        self.left = [[len(one.requires) + len(one.irequires) for one in mine] for mine in program.operations]
        self.on_end: dict[Place, list[Place]] = {}
        self.on_start: dict[Place, list[Place]] = {}
        for rank, mine in enumerate(program.operations):
            for number, one in enumerate(mine):
                for waits, others in ((self.on_end, one.requires), (self.on_start, one.irequires)):
                    for earlier in others:
                        waits.setdefault((rank, earlier), []).append((rank, number))
        self.ready = deque(
            (rank, number) for rank, mine in enumerate(self.left) for number, n in enumerate(mine) if not n
        )
        #: At each rank: messages nobody has taken, receives that wait, in their order.
        self.come: list[list[Place]] = [[] for _ in program.operations]
        self.called: list[list[Place]] = [[] for _ in program.operations]

    def run(self) -> None:
        """Carry everything out.

        Raises
        ------
        ScheduleError
            If something is left.
        """
        operations = self.program.operations
        while self.ready:
            place = self.ready.popleft()
            self.sequence.append(place)
            self._release(self.on_start.get(place, ()))
            one = operations[place[0]][place[1]]
            if one.kind == "calc":
                self._end(place)
            elif one.kind == "send":
                if one.size <= self.program.settings.S:
                    self._end(place)
                self._match(self.called[one.peer], self.come[one.peer], place, True)
            else:
                self._match(self.come[place[0]], self.called[place[0]], place, False)
        for rank, waiting in enumerate(self.come):
            if waiting:
                self._refuse(waiting[0], f"is never received: rank {rank} calls no receive that fits")
        for rank, waiting in enumerate(self.called):
            if waiting:
                self._refuse(waiting[0], f"never gets a message: nobody sends one that fits to rank {rank}")
        for rank, mine in enumerate(operations):
            for number in range(len(mine)):
                if (rank, number) not in self.done:
                    self._refuse((rank, number), "waits for itself through what it requires")

    def _refuse(self, place: Place, why: str) -> None:
        stuck = sum(map(len, self.program.operations)) - len(self.done)
        behind = f" ({stuck} operations never happen, so they may wait in a circle)" if stuck > 1 else ""
        raise ScheduleError(f"{self.program.where(place)} {why}{behind}")

    def _match(self, there: list[Place], here: list[Place], place: Place, sending: bool) -> None:
        """Join with the first that fits, or wait."""
        operations = self.program.operations
        for index, other in enumerate(there):
            send, take = (place, other) if sending else (other, place)
            message, receive = operations[send[0]][send[1]], operations[take[0]][take[1]]
            if receive.peer not in (-1, send[0]) or receive.tag not in (-1, message.tag):
                continue
            if receive.size < message.size:
                raise ScheduleError(
                    f"{self.program.where(take)} is too short for {message} of rank {send[0]} "
                    f"(line {message.line})"
                )
            del there[index]
            self.other[send], self.other[take] = take, send
            for one in (send, take):
                if one not in self.done:
                    self._end(one)
            return
        here.append(place)

    def _end(self, place: Place) -> None:
        self.done.add(place)
        self._release(self.on_end.get(place, ()))

    def _release(self, places: list[Place] | tuple[()]) -> None:
        for rank, number in places:
            self.left[rank][number] -= 1
            if not self.left[rank][number]:
                self.ready.append((rank, number))


class _Nodes:
    """A program as the transfers of a round, with what each waits for."""

    def __init__(self, program: Messages) -> None:
        self.program, self.settings, self.found = program, program.settings, program.order()
        self.src: list[int] = []
        self.dst: list[int] = []
        self.bytes: list[float] = []
        self.seconds: list[float] = []
        self.after: list[set[int]] = []
        #: What an operation waits for, and the node that ends it.
        self.begins: dict[Place, set[int]] = {}
        self.ends: dict[Place, int] = {}
        self.cpu: dict[tuple[int, int], int] = {}
        self.gap: dict[int, int] = {}
        for place in self.found.sequence:
            self._begin(place)
        self._join()

    def _node(self, src: int, dst: int, size: float, seconds: float, after: set[int]) -> int:
        self.src.append(src)
        self.dst.append(dst)
        self.bytes.append(size)
        self.seconds.append(seconds)
        self.after.append(after)
        return len(self.src) - 1

    def _begin(self, place: Place) -> None:
        """A node for the local part of an operation; what it waits for comes when all have one."""
        rank, number = place
        one, s = self.program.operations[rank][number], self.settings
        eager = one.kind == "send" and one.size <= s.S
        work = one.size * NANOSECOND if one.kind == "calc" else s.o + max(0, one.size - 1) * s.O
        if one.kind == "recv":
            other = self.found.other[place]
            eager = self.program.operations[other[0]][other[1]].size <= s.S
        # The node at which the operation is called: it says when it starts, and is done at
        # once where nothing is to be done.
        busy = one.kind != "recv" and work > 0
        call = self._node(rank, rank, 0.0, work if busy else 0.0, set())
        if busy:
            before = self.cpu.get((rank, one.cpu))
            if before is not None:
                self.after[call].add(before)
            self.cpu[rank, one.cpu] = call
        self.begins[place] = {call}
        self.ends[place] = call
        if one.kind == "send" and eager:
            return
        if one.kind == "recv":
            self.ends[place] = self._node(rank, rank, 0.0, work, {call})

    def _join(self) -> None:
        """Messages between the calls, and what every operation waits for."""
        operations, s = self.program.operations, self.settings
        for place in self.found.sequence:
            rank, number = place
            one = operations[rank][number]
            if one.kind == "send":
                take = self.found.other[place]
                [call], [called] = self.begins[place], self.begins[take]
                eager = one.size <= s.S
                first, last = self._message(rank, take[0], one.size, {call} if eager else {call, called})
                self.after[self.ends[take]].add(last)
                if not eager:
                    self.ends[place] = first
        for place in self.found.sequence:
            rank, number = place
            one = operations[rank][number]
            [call] = self.begins[place]
            self.after[call] |= {self.ends[rank, earlier] for earlier in one.requires}
            for earlier in one.irequires:
                [start] = self.begins[rank, earlier]
                self.after[call] |= self.after[start]

    def _message(self, src: int, dst: int, size: int, after: set[int]) -> tuple[int, int]:
        """Nodes of a message: when it has left its sender, when it is there."""
        s = self.settings
        if s.L is None or s.G is None:
            node = self._node(src, dst, float(size), 0.0, after)
            return node, node
        if src in self.gap:
            after = after | {self.gap[src]}
        leaves = self._node(src, src, 0.0, max(0, size - 1) * s.G, after)
        self.gap[src] = self._node(src, src, 0.0, s.g, {leaves}) if s.g else leaves
        return leaves, self._node(dst, dst, 0.0, s.L, {leaves})

    def round(self) -> Round:
        """All of it as one round."""
        counts = np.array([len(one) for one in self.after], dtype=np.int64)
        seconds = np.array(self.seconds, dtype=np.float64)
        return Round(
            np.array(self.src, dtype=np.int64),
            np.array(self.dst, dtype=np.int64),
            np.array(self.bytes, dtype=np.float64),
            label=self.program.name,
            after=(
                np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
                np.array([j for one in self.after for j in sorted(one)], dtype=np.int64),
            ),
            seconds=seconds if seconds.any() else None,
        )
