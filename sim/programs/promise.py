"""What a collective promises, on buffers of chunks: where data lie before and after.

A program moves *chunks* between three buffers of each rank: input, output and
scratch. A chunk is ``size / chunks`` bytes, size as nccl-tests counts it, so that
with c = chunks / ranks

========================= =========== ============ =====================================
collective                input       output       output chunk k must hold
========================= =========== ============ =====================================
all_reduce                chunks      chunks       sum of input chunk k of all ranks
reduce_scatter            chunks      c            sum of input chunk r c + k of all ranks
all_gather                c           chunks       input chunk k mod c of rank k // c
all_to_all                chunks      chunks       chunk r c + k mod c of rank k // c
broadcast                 chunks      chunks       input chunk k of the root
reduce (at the root)      chunks      chunks       sum of input chunk k of all ranks
gather (at the root)      c           chunks       input chunk k mod c of rank k // c
scatter                   chunks      c            input chunk r c + k of the root
send (0 to ranks - 1)     chunks      chunks       input chunk k of rank 0
========================= =========== ============ =====================================

These are the sizes of MSCCL (``nchunksperloop``, with nccl's count times the number of
ranks where a rank has a part; microsoft/msccl, `msccl_interpreter.h`).

In place, input and output are one buffer, as in NCCL: the smaller of the two is the
rank's own part of the larger.

*Numbered* chunks are those of `sim.schedule.Schedule`: what an algorithm is written in
that does not care where a chunk lies. All-to-all has ``ranks * chunks`` of them, number
``s * chunks + k`` being input chunk k of rank s; the others have ``chunks``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from topologies.errors import ScheduleError, nearest

__all__ = ["BUFFERS", "KINDS", "Promise", "Value"]

BUFFERS = ("input", "output", "scratch")

#: Collectives a program may be for; those of the second set have a part for each rank.
PARTED = frozenset({"reduce_scatter", "all_gather", "all_to_all", "gather", "scatter"})
KINDS = ("all_gather", "all_reduce", "all_to_all", "broadcast", "gather", "reduce", "reduce_scatter",
         "scatter", "send")  # fmt: skip
SUMS = frozenset({"all_reduce", "reduce_scatter", "reduce"})

#: What a chunk holds: a numbered chunk, and the ranks whose data are summed into it
#: (bit r for rank r).
Value = tuple[int, int]

Cell = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Promise:
    """A collective over so many ranks and chunks.

    Raises
    ------
    UnknownNameError
        If there is no such collective, or programs cannot be written for it.
    ScheduleError
        If ranks, chunks or root have no meaning.

    Examples
    --------
    >>> promise = Promise("all_gather", ranks=4, chunks=8)
    >>> promise.lengths(0)
    (2, 8)
    >>> promise.real(3, "input", 1)  # in place: the rank's own part of the output
    ('output', 7)
    """

    kind: str
    ranks: int
    chunks: int
    root: int = 0
    in_place: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise nearest("collective of programs", self.kind, KINDS)
        if self.ranks < 2:
            raise ScheduleError(f"program: ranks (={self.ranks}) must be >= 2")
        if self.chunks < 1:
            raise ScheduleError(f"program: chunks (={self.chunks}) must be >= 1")
        if self.kind in PARTED and self.chunks % self.ranks:
            raise ScheduleError(
                f"program: chunks (={self.chunks}) of {self.kind} must be a multiple of "
                f"its {self.ranks} ranks"
            )
        if not 0 <= self.root < self.ranks:
            raise ScheduleError(f"program: root (={self.root}) must be one of the {self.ranks} ranks")

    @property
    def part(self) -> int:
        """Chunks of one rank's part."""
        return self.chunks // self.ranks if self.kind in PARTED else self.chunks

    @property
    def numbered(self) -> int:
        """How many numbered chunks there are."""
        return self.chunks * (self.ranks if self.kind == "all_to_all" else 1)

    def lengths(self, rank: int) -> tuple[int, int]:
        """Chunks of the input and of the output buffer of a rank."""
        whole, part = self.chunks, self.part
        if self.kind == "all_gather":
            return part, whole
        if self.kind == "reduce_scatter":
            return whole, part
        if self.kind == "gather":
            return part, whole if rank == self.root else 0
        if self.kind == "scatter":
            return whole if rank == self.root else 0, part
        return whole, whole

    def real(self, rank: int, buffer: str, index: int) -> Cell:
        """The chunk of memory behind a chunk of a buffer: in place, one is behind two."""
        if not self.in_place or buffer == "scratch":
            return buffer, index
        inputs, outputs = self.lengths(rank)
        if buffer == "input" and inputs <= outputs:
            return "output", index + (rank * self.part if inputs < outputs else 0)
        if buffer == "output" and outputs < inputs:
            return "input", index + rank * self.part
        return buffer, index

    def initial(self) -> Iterator[tuple[int, int, Value]]:
        """Rank, input chunk, and what it holds before anything happens."""
        for rank in range(self.ranks):
            if self.kind in ("broadcast", "scatter") and rank != self.root:
                continue
            if self.kind == "send" and rank:
                continue
            own = 1 << rank
            first = rank * self.part if self.kind in ("all_gather", "gather") else 0
            first = rank * self.chunks if self.kind == "all_to_all" else first
            for k in range(self.lengths(rank)[0]):
                yield rank, k, (first + k, own)

    def wanted(self) -> Iterator[tuple[int, int, Value]]:
        """Rank, output chunk, and what it must hold in the end."""
        everyone = (1 << self.ranks) - 1
        for rank in range(self.ranks):
            if self.kind in ("reduce", "gather") and rank != self.root:
                continue
            if self.kind == "send" and rank != self.ranks - 1:
                continue
            first = rank * self.part if self.kind in ("reduce_scatter", "scatter") else 0
            for k in range(self.lengths(rank)[1]):
                if self.kind in ("all_gather", "gather"):
                    yield rank, k, (k, 1 << k // self.part)
                elif self.kind == "all_to_all":
                    sender, within = divmod(k, self.part)
                    yield rank, k, (sender * self.chunks + rank * self.part + within, 1 << sender)
                elif self.kind in SUMS:
                    yield rank, k, (first + k, everyone)
                else:
                    yield rank, k, (first + k, 1 << (self.root if self.kind != "send" else 0))

    def place(self, rank: int, chunk: int) -> Cell | None:
        """Where a numbered chunk lies at a rank, by custom; None: nowhere but in scratch.

        Examples
        --------
        >>> everyone = Promise("all_to_all", ranks=4, chunks=4, in_place=False)
        >>> everyone.place(1, 1 * 4 + 2), everyone.place(2, 1 * 4 + 2), everyone.place(3, 1 * 4 + 2)
        (('input', 2), ('output', 1), None)
        """
        kind, part = self.kind, self.part
        if kind in ("all_reduce", "reduce_scatter", "reduce"):
            return "input", chunk
        if kind in ("all_gather", "broadcast"):
            return "output", chunk
        if kind == "send":
            return ("input" if rank == 0 and self.ranks > 1 else "output"), chunk
        if kind == "all_to_all":
            sender, rest = divmod(chunk, self.chunks)
            receiver, within = divmod(rest, part)
            if receiver == rank:
                return "output", sender * part + within
            return ("input", rest) if sender == rank else None
        whole = "output" if kind == "gather" else "input"
        if rank == self.root:
            return whole, chunk
        owner, within = divmod(chunk, part)
        return ("input" if kind == "gather" else "output", within) if owner == rank else None

    def holds(self, value: Value | None) -> str:
        """What a chunk holds, in words."""
        if value is None:
            return "nothing"
        chunk, mask = value
        ranks = [r for r in range(self.ranks) if mask >> r & 1]
        if self.kind not in SUMS:
            sender, within = (
                divmod(chunk, self.chunks) if self.kind == "all_to_all" else divmod(chunk, self.part)
                if self.kind in ("all_gather", "gather") else (ranks[0], chunk)
            )  # fmt: skip
            return f"input chunk {within} of rank {sender}"
        shown = ", ".join(map(str, ranks[:8])) + (", ..." if len(ranks) > 8 else "")
        return f"input chunk {chunk} of ranks {{{shown}}} ({len(ranks)})"
