"""THE contract between collectives and networks, and its symbolic checker.

A collective algorithm is a pure function to a :class:`Schedule`: a sequence
of :class:`Round` s. A round is a set of transfers ``(src, dst, bytes)`` that a
network may run at the same time, done ``repeat`` times in a row.

Order
-----
There is no global barrier. Every rank goes through the repetitions of the
rounds in order, and

- a rank *reaches* repetition k when its own transfers (sent and received) of
  all earlier repetitions are done; a rank without a part in a round passes it
  at once;
- a transfer *starts* when all its ends have reached its repetition
  (rendezvous): sender and receiver, or every member of an in-network one.

A round may hold an order of its own, a dependency graph (``Round.after``): then
a transfer also waits for those transfers of the same round. An algorithm read
from a file is one such round. A transfer with ``src == dst`` is local work of
``Round.seconds`` and moves nothing; an eager message is a transfer followed by
a local receipt, which waits for the message and for what the receiver does first.

Rounds come out of a generator, one at a time: the ring over 65,536 ranks is
one round repeated 131,070 times, never 8.6 billion objects.

Meaning
-------
For the checker, the collective's buffer is cut into ``chunks`` numbered
pieces. Before each repetition every rank holds, for each chunk, a set of
contributions (which ranks' data are summed into it). A transfer sends the
listed chunks as they are before the repetition; the receiver adds them to its
own (``reduce``) or replaces its own by them (copy). :meth:`Schedule.check`
runs any schedule on these sets and says whether every rank ends with exactly
what the collective promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from topologies.errors import ScheduleError

__all__ = ["Assembled", "FloatArray", "IntArray", "Payload", "Round", "Schedule", "Trees"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: Rounds that a schedule shows of itself in a notebook.
SHOWN_ROUNDS = 10

#: ``(offsets, chunks)``: transfer i of the round carries
#: ``chunks[offsets[i]:offsets[i + 1]]``.
Payload = tuple[IntArray, IntArray]


@dataclass(frozen=True, slots=True)
class Trees:
    """Who takes part in each of m in-network transfers, besides its two ends.

    Such a transfer is one flow at one rate over all links of a tree of switches:
    from the chips in ``up`` to the tree's root, where their data are summed on the
    way (reduction), and from there to the chips in ``down`` (multicast). A plain
    message would be the tree with one chip on each side. All chips of both sides
    are the transfer's ends: it starts when they all have reached it, and is done for
    all at once. Its ``src`` and ``dst`` in the round are a member of ``up`` and one
    of ``down``.

    Attributes
    ----------
    up, down : (offsets, ranks)
        Transfer i sums the data of ``ranks[offsets[i]:offsets[i + 1]]`` of ``up`` and
        brings the sum to those of ``down``.
    """

    up: Payload
    down: Payload


@dataclass(frozen=True, slots=True)
class Round:
    """Transfers that may run at the same time, ``repeat`` times in a row.

    Parameters
    ----------
    src, dst : int64 array, shape (m,)
        Sending and receiving rank of each transfer; the same rank for local work.
    bytes : float64 array, shape (m,)
        Bytes of each transfer. Not rounded: a tenth of 64 MiB is 6710886.4.
        Local work has none.
    reduce : bool
        Whether the receiver adds what arrives to what it has, or replaces it.
    repeat : int
        How many times the round is done; each time with the same ends and bytes.
    payload : callable, optional
        ``payload(k)`` gives the chunks that repetition ``k`` (0 based) moves, as
        ``(offsets, chunks)``. Only the checker and the writers of algorithm
        files call it.
    label : str
        What the round is for ("reduce-scatter inside the host"), for people.
    after : (offsets, transfers), optional
        Transfer i waits for ``transfers[offsets[i]:offsets[i + 1]]`` of this round,
        besides its ends; without cycles, and only where ``repeat`` is 1.
    seconds : float64 array, shape (m,), optional
        Local work before the transfer holds its links, in seconds.
    trees : Trees, optional
        The transfers are in-network ones: the switches reduce, multicast, or both.
    adds : bool array, shape (m,), optional
        Of which transfers the receiver adds what arrives, where they differ (in a
        graph of transfers); then ``reduce`` says nothing.
    parts : tuple of Round, optional
        Rounds whose transfers, one after the other, are those of this one: the stages
        of a pipeline that are busy at a step. A part is the same object in every round
        it stands in, so that networks need to know it only once.
    """

    src: IntArray
    dst: IntArray
    bytes: FloatArray
    reduce: bool = False
    repeat: int = 1
    payload: Callable[[int], Payload] | None = None
    label: str = ""
    after: Payload | None = None
    seconds: FloatArray | None = None
    trees: Trees | None = None
    adds: npt.NDArray[np.bool_] | None = None
    parts: tuple[Round, ...] | None = None

    @property
    def transfers(self) -> int:
        """Number of transfers m."""
        return self.src.size

    def __post_init__(self) -> None:
        if not (self.src.shape == self.dst.shape == self.bytes.shape and self.src.ndim == 1):
            raise ScheduleError(
                f"round {self.label!r}: src, dst and bytes must be 1-d and equally long, "
                f"not {self.src.shape}, {self.dst.shape}, {self.bytes.shape}"
            )
        if self.repeat < 1:
            raise ScheduleError(f"round {self.label!r}: repeat (={self.repeat}) must be >= 1")
        if self.after is not None and self.repeat > 1:
            raise ScheduleError(
                f"round {self.label!r}: repeat (={self.repeat}) must be 1 where transfers wait for each other"
            )
        if self.parts is not None:
            self._check_parts(self.parts)

    def _check_parts(self, parts: tuple[Round, ...]) -> None:
        """Refuse parts of other transfers, by a glance at both ends; `Schedule.check` looks at all."""
        some = [part for part in parts if part.src.size]
        alike = sum([part.src.size for part in some]) == self.src.size
        for part, i in ((some[0], 0), (some[-1], -1)) if some and alike else ():
            alike = alike and (
                self.src[i] == part.src[i]
                and self.dst[i] == part.dst[i]
                and self.bytes[i] == part.bytes[i]
                and self.reduce == part.reduce
            )
        if not alike:
            raise ScheduleError(
                f"round {self.label!r}: its parts, one after the other, are not its transfers"
            )


class Assembled(Round):
    """A round of plain parts alone, whose own arrays are put together when somebody asks for them.

    Who looks at a schedule for its parts never does.
    """

    __slots__ = ()

    @classmethod
    def of(
        cls,
        parts: tuple[Round, ...],
        repeat: int = 1,
        payload: Callable[[int], Payload] | None = None,
        label: str = "",
        **arrays: npt.NDArray[Any],
    ) -> Assembled:
        """The round of these parts, at least one, all of which add or all of which replace.

        Where the caller has ``src``, ``dst`` or ``bytes`` already, they are taken as they are.

        Examples
        --------
        >>> one = Round(np.array([0]), np.array([1]), np.array([8.0]))
        >>> Assembled.of((one, one)).dst.tolist()
        [1, 1]
        """
        self = cls.__new__(cls)
        told = {"repeat": repeat, "payload": payload, "label": label, "parts": parts}
        for name, value in {**_PLAIN, "reduce": parts[0].reduce, **told, **arrays}.items():
            object.__setattr__(self, name, value)
        return self

    @property
    def transfers(self) -> int:
        """Number of transfers m."""
        return self.src.size if self.parts is None else sum([part.src.size for part in self.parts])

    def __getattr__(self, name: str) -> Any:
        """An array that has not been asked for yet."""
        if name not in ("src", "dst", "bytes"):
            raise AttributeError(f"a round has no {name!r}")
        found = np.concatenate([getattr(part, name) for part in self.parts or ()])
        object.__setattr__(self, name, found)
        return found


#: What a plain round does not say.
_PLAIN = {"after": None, "seconds": None, "trees": None, "adds": None}


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a collective algorithm returns: rounds of transfers, lazily.

    Parameters
    ----------
    kind : str
        The collective: ``"all_reduce"``, ``"all_gather"``, ...
    algorithm : str
        Name of the algorithm.
    ranks : int
        Number of ranks p.
    size : float
        Bytes, as nccl-tests counts them: the buffer of a rank for all-reduce,
        broadcast and reduce; the *total* buffer (p parts) for all-gather,
        reduce-scatter, all-to-all, gather and scatter.
    rounds : callable
        ``rounds()`` gives a fresh iterator over the :class:`Round` s.
    chunks : int
        Number of pieces the buffer is cut into. All-to-all: a multiple w of p * p;
        what rank s has for rank d is the w chunks from ``(s * p + d) * w``. Collectives with a part
        for each rank (all-gather, reduce-scatter, gather, scatter): a multiple
        of p; rank r's part is chunks ``r * chunks // p`` to ``(r + 1) * chunks // p``.
    chunk_bytes : float64 array, shape (chunks,), optional
        Bytes of each chunk where they differ; else ``size / chunks`` each
        (all-to-all: ``size * p / chunks``).
    root : int
        Root of broadcast, reduce, scatter and gather.
    groups : int64 array, shape (p,), optional
        The group of each rank where the algorithm works by groups, for people.
    in_network : bool
        Whether switches sum or multicast, so that the bounds of the others do not hold.
    proof : callable, optional
        Checks the schedule in place of the checker, and raises `ScheduleError`: of a
        user's program, whose chunks lie in buffers of their own.
    """

    kind: str
    algorithm: str
    ranks: int
    size: float
    rounds: Callable[[], Iterator[Round]]
    chunks: int
    chunk_bytes: FloatArray | None = None
    root: int = 0
    groups: IntArray | None = None
    options: dict[str, Any] = field(default_factory=dict)
    in_network: bool = False
    proof: Callable[[], None] | None = None

    def bytes_of_chunks(self) -> FloatArray:
        """Bytes of each chunk, shape (chunks,)."""
        if self.chunk_bytes is not None:
            return self.chunk_bytes
        cut = self.size * self.ranks if self.kind == "all_to_all" else self.size
        return np.full(self.chunks, cut / self.chunks)

    def check(self) -> None:
        """Run the schedule on sets of contributions.

        Raises
        ------
        ScheduleError
            Where the schedule first goes wrong (rank, round, chunk), or the
            first rank that does not end with what the collective promises.
        """
        from sim.symbolic import check

        (self.proof or partial(check, self))()

    def totals(self) -> tuple[int, float]:
        """Number of transfers and bytes over all rounds and repetitions."""
        transfers, moved = 0, 0.0
        for round_ in self.rounds():
            transfers += round_.repeat * round_.src.size
            moved += round_.repeat * float(round_.bytes.sum())
        return transfers, moved

    def __repr__(self) -> str:
        return (
            f"<Schedule {self.kind} by {self.algorithm}: {self.ranks} ranks, "
            f"{self.size:.15g} bytes in {self.chunks} chunks>"
        )

    def _repr_html_(self) -> str:
        import html
        from itertools import islice

        from topologies.html_table import html_table
        from topologies.units import format_size

        first = list(islice(self.rounds(), SHOWN_ROUNDS + 1))
        rows = [
            (
                part.label or "round", f"{part.repeat:,}", f"{part.src.size:,}",
                format_size(float(part.bytes.sum())),
                "either" if part.adds is not None else "add" if part.reduce else "copy",
            )
            for part in first[:SHOWN_ROUNDS]
        ]  # fmt: skip
        heading = ("rounds", "times", "transfers", "bytes of one", "add or copy")
        more = "and more rounds" if len(first) > SHOWN_ROUNDS else ""
        return (
            f"<b>{html.escape(self.kind)}</b> by {html.escape(self.algorithm)}: {self.ranks:,} ranks, "
            f"{format_size(self.size)} in {self.chunks:,} chunks{html_table(heading, rows)}{more}"
        )
