"""A user's own algorithm: what each rank's thread blocks do, step by step.

A `Program` says for each rank which *lanes* (thread blocks) it has and what each
does, one step after the other. A lane talks to at most one rank it sends to and one
it receives from, on a channel. The k-th message that a rank sends to another on a
channel is the k-th that the other receives from it there. A step may wait for steps
of other lanes of its rank besides.

======================== ========================================================
step                     what it does with chunks
======================== ========================================================
``send``                 sends those at its source
``recv``                 puts what arrives to its destination
``recv_copy_send``       the same, and sends it on
``recv_reduce_copy``     adds what arrives to its source; the sum goes to its destination
``recv_reduce_send``     the same sum is sent on, and stored nowhere
``recv_reduce_copy_send`` the same sum is stored and sent on
``copy``, ``reduce``     inside the rank: source to destination; added to it
``nop``                  nothing; waits
======================== ========================================================

Time
----
A message is one transfer. With ``slots = 0`` it starts when both its ends have come to
their step (rendezvous, as the schedules of `sim.collectives`). Otherwise it starts
when its sender has, and the ``slots``-th message before it on the same connection has
been taken out of the receiver's buffer; it is taken out when the receiver has come to
its step. A fused step sends on when all has arrived; steps inside a rank take no time.
A chunk of more than ``loop_bytes`` goes in several loops: every lane does all its
steps on a slice of each chunk, then on the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from sim.programs.promise import BUFFERS, Promise
from sim.schedule import Round, Schedule
from topologies import units
from topologies.errors import ScheduleError

if TYPE_CHECKING:
    from sim.programs.chunks import Chunk, Recorder
    from sim.programs.order import Order

__all__ = ["LOCAL", "MOST_LOOPS", "OPERATIONS", "RECEIVES", "REDUCES", "SENDS", "Lane", "Program", "Step"]

RECEIVES = frozenset(
    {"recv", "recv_copy_send", "recv_reduce_send", "recv_reduce_copy", "recv_reduce_copy_send"}
)
SENDS = frozenset({"send", "recv_copy_send", "recv_reduce_send", "recv_reduce_copy_send"})
REDUCES = frozenset({"recv_reduce_send", "recv_reduce_copy", "recv_reduce_copy_send", "reduce"})
LOCAL = frozenset({"copy", "reduce", "nop"})
OPERATIONS = RECEIVES | SENDS | LOCAL

#: A chunk is cut into at most so many slices; more change little and cost as much as they are.
MOST_LOOPS = 64


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a lane.

    Attributes
    ----------
    op : str
        One of `OPERATIONS`.
    src, dst : (buffer, chunk)
        First chunk it takes and first it writes, where the operation has such.
    count : int
        Chunks.
    after : tuple of (lane, step)
        Steps of the same rank that must be done first.
    """

    op: str
    src: tuple[str, int] = ("input", 0)
    dst: tuple[str, int] = ("input", 0)
    count: int = 1
    after: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class Lane:
    """A thread block: at most one rank to send to and one to receive from (-1: none)."""

    send: int = -1
    recv: int = -1
    channel: int = 0
    steps: list[Step] = field(default_factory=list)


class Program:
    """An algorithm of one's own.

    Written by hand with `chunk`, read from a file (`sim.programs.read`), or made from
    a schedule (`sim.programs.from_schedule`). It goes wherever the name of an
    algorithm goes: ``sim.all_reduce(graph, size, algorithm=program)``.

    Parameters
    ----------
    kind : str
        The collective.
    ranks : int
    chunks : int, optional
        Pieces that the buffer of ``size`` bytes is cut into; by default one for each rank.
    name : str
    root : int
        Root of broadcast, reduce, gather and scatter.
    in_place : bool, optional
        Whether input and output are one buffer; by default they are, but for
        all-to-all.
    protocol : str, optional
        The library's protocol it is made for, taken where none is asked for.
    slots : int
        Messages that a connection holds before the receiver takes them; 0: a message
        waits for its receiver.
    loop_bytes : float
        Largest slice of a chunk that is moved at once.
    in_order : bool
        Whether the messages of a connection go in the order in which they are written
        with `chunk`, rather than as soon as they may.

    Attributes
    ----------
    scratch : list of int
        Chunks of each rank's scratch buffer.
    initial : list of list of (int, int)
        For each rank, (input chunk, output chunk) that are the same from the start.

    Examples
    --------
    An all-reduce around a ring, chunk by chunk:

    >>> with Program("all_reduce", ranks=4) as ring:
    ...     for i in range(4):
    ...         piece = ring.chunk(i, i)
    ...         for k in range(1, 4):
    ...             piece = piece.reduce((i + k) % 4)
    ...         for k in range(4, 7):
    ...             piece = piece.send((i + k) % 4)
    >>> ring
    <Program all_reduce by program: 4 ranks, 4 chunks, 24 messages in 8 thread blocks>
    >>> ring.schedule("1 MB")
    <Schedule all_reduce by program: 4 ranks, 1000000 bytes in 4 chunks>
    """

    def __init__(
        self,
        kind: str,
        ranks: int,
        chunks: int | None = None,
        name: str = "program",
        root: int = 0,
        in_place: bool | None = None,
        protocol: str | None = None,
        slots: int = 0,
        loop_bytes: float = float("inf"),
        in_order: bool = False,
    ) -> None:
        for what, value, least in (("ranks", ranks, 2), ("slots", slots, 0)):
            if not isinstance(value, int | np.integer) or value < least:
                raise ScheduleError(f"program: {what} (={value!r}) must be a whole number >= {least}")
        if not loop_bytes > 0:
            raise ScheduleError(f"program: loop_bytes (={loop_bytes!r}) must be > 0")
        in_place = kind != "all_to_all" if in_place is None else in_place
        self.promise = Promise(kind, ranks, ranks if chunks is None else chunks, root, in_place)
        self.name, self.protocol = name, protocol
        self.slots, self.loop_bytes, self.in_order = slots, loop_bytes, in_order
        #: The lanes as they are, without those of what has been written since.
        self.own_lanes: list[list[Lane]] = [[] for _ in range(ranks)]
        self.scratch = [0] * ranks
        self.initial: list[list[tuple[int, int]]] = [[] for _ in range(ranks)]
        self._recorder: Recorder | None = None
        self._order: dict[int, Order] = {}
        self._sound = False

    @property
    def kind(self) -> str:
        """The collective."""
        return self.promise.kind

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        return self.promise.ranks

    @property
    def root(self) -> int:
        """Root of broadcast, reduce, gather and scatter."""
        return self.promise.root

    @property
    def in_place(self) -> bool:
        """Whether input and output are one buffer."""
        return self.promise.in_place

    @property
    def lanes(self) -> list[list[Lane]]:
        """Lanes of each rank. Call `changed` after changing them."""
        if self._recorder is not None:
            self._recorder.settle()
        return self.own_lanes

    # ---------------------------------------------------------------- writing

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.check()

    def chunk(self, rank: int, index: int, count: int = 1) -> Chunk:
        """The numbered chunk ``index`` (and the next ``count - 1``) at a rank, as it is now.

        Chunks are numbered as in `sim.schedule.Schedule`: those of the collective's
        whole buffer; for all-gather and the like rank r's part is chunks ``r * c`` to
        ``(r + 1) * c``, c = chunks / ranks; for all-to-all number ``s * chunks + k`` is
        input chunk k of rank s. Where it lies at the rank (input, output or scratch)
        is seen to.

        Raises
        ------
        ScheduleError
            If there is no such rank or chunk.
        """
        return self._record().chunk(rank, index, count)

    def scratch_chunk(self, rank: int, index: int, count: int = 1) -> Chunk:
        """A place in the scratch buffer of a rank, to send or copy to."""
        return self._record().scratch_chunk(rank, index, count)

    def _record(self) -> Recorder:
        if self._recorder is None:
            from sim.programs.chunks import Recorder

            self._recorder = Recorder(self)
        self.changed()
        return self._recorder

    def changed(self) -> None:
        """Forget what was known of the program: its lanes have changed."""
        self._order.clear()
        self._sound = False

    # ------------------------------------------------------------------ using

    def check(self) -> None:
        """Carry the program out on sets of contributions.

        Raises
        ------
        ScheduleError
            If a message is never received or never sent, an offset lies outside its
            buffer, steps wait for each other, two steps touch the same chunk in no
            certain order, or a rank does not end with what the collective promises.
            Rank, thread block and step are named.
        """
        if not self._sound:
            from sim.programs.contributions import check

            check(self, self.order())
            self._sound = True

    def order(self, loops: int = 1) -> Order:
        """Its transfers and what they wait for, with ``loops`` loops one after the other.

        Raises
        ------
        ScheduleError
            As `check`, but for what the chunks hold.
        """
        if loops not in self._order:
            from sim.programs.order import order

            self._order[loops] = order(self, loops)
        return self._order[loops]

    def schedule(self, size: float | str) -> Schedule:
        """The checked program as a schedule for so many bytes.

        Parameters
        ----------
        size : float or str
            As nccl-tests counts it (`sim.schedule.Schedule`).

        Raises
        ------
        ScheduleError
            If the program is faulty.
        """
        self.check()
        amount = units.size(size, name="size")
        chunk = amount / self.promise.chunks
        loops = (
            int(min(MOST_LOOPS, max(1.0, np.ceil(chunk / self.loop_bytes)))) if chunk > self.loop_bytes else 1
        )
        found = self.order(loops)
        slices = np.full(loops, min(chunk, max(self.loop_bytes, chunk / loops)))
        slices[-1] = chunk - slices[:-1].sum()
        round_ = Round(
            found.src,
            found.dst,
            found.count * slices[found.loop],
            adds=found.reduce if found.reduce.any() else None,
            label=self.name,
            after=(found.offsets, found.after),
        )
        kind = self.kind
        return Schedule(
            kind,
            self.name,
            self.ranks,
            amount,
            lambda: iter([round_]),
            chunks=self.promise.numbered,
            root=self.root,
            options={"destination": self.ranks - 1} if kind == "send" else {},
            proof=self.check,
        )

    def length(self, rank: int, buffer: str) -> int:
        """Chunks of a buffer of a rank.

        Raises
        ------
        ScheduleError
            If there is no such buffer.
        """
        if buffer not in BUFFERS:
            raise ScheduleError(f"program: no buffer {buffer!r}; there are {', '.join(BUFFERS)}")
        if buffer == "scratch":
            return self.scratch[rank]
        return self.promise.lengths(rank)[buffer == "output"]

    def where(self, rank: int, lane: int, step: int) -> str:
        """A step in words: rank, thread block, step and what it does."""
        here = self.lanes[rank][lane]
        return f"rank {rank}, thread block {lane}, step {step} ({here.steps[step].op})"

    def steps(self) -> int:
        """Number of steps of all ranks."""
        return sum(len(lane.steps) for lanes in self.lanes for lane in lanes)

    def messages(self) -> int:
        """Number of messages that are sent."""
        return sum(step.op in SENDS for lanes in self.lanes for lane in lanes for step in lane.steps)

    def __repr__(self) -> str:
        blocks = sum(map(len, self.lanes))
        return (
            f"<Program {self.kind} by {self.name}: {self.ranks} ranks, {self.promise.chunks} chunks, "
            f"{self.messages()} messages in {blocks} thread blocks>"
        )
