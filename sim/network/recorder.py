"""What moved when: an injected recorder that network models fill, and that costs nothing where there is none.

A transfer's way is kept as *segments* of constant rate, which is exact in the
fluid model: its first segment begins when it holds its links, its last one ends
when its bytes are through. A network that is recorded follows every transfer
one by one; repetitions are not jumped over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sim.clock import PS_PER_SECOND
from sim.fabric import Fabric
from sim.network.job import Job
from sim.schedule import FloatArray, IntArray
from sim.transfers import Loaded

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Activity", "Lives", "Recorder", "Segments"]


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that chips did: computing, or a collective they took part in.

    Attributes
    ----------
    actor, what : str
        For people.
    communicates : bool
        Whether it is communication; else it is computing.
    ranks : tuple of int, or None
        Chips of the fabric, by rank; None: all of them.
    begin_ps, end_ps : int
        Picoseconds.
    """

    actor: str
    what: str
    communicates: bool
    ranks: tuple[int, ...] | None
    begin_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Spans of constant rate of the transfers of all rounds; n of them, in no order.

    Attributes
    ----------
    round : int64 array, shape (n,)
        Place in `Recorder.rounds`.
    transfer, repetition : int64 arrays, shape (n,)
        Which transfer of the round, and which time of it.
    begin_ps, end_ps : int64 arrays, shape (n,)
    rate : float64 array, shape (n,)
        Bytes/s on the wire.
    last : int64 array, shape (n,)
        1 where the transfer ends with it, else 0.
    """

    round: IntArray
    transfer: IntArray
    repetition: IntArray
    begin_ps: IntArray
    end_ps: IntArray
    rate: FloatArray
    last: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Lives:
    """Transfers that are through, n of them, by round, repetition and place in it.

    Attributes
    ----------
    round, transfer, repetition : int64 arrays, shape (n,)
        As in `Segments`.
    job : int64 array, shape (n,)
        Number of the job, in the order in which jobs first appear.
    src, dst : int64 arrays, shape (n,)
        Nodes of the fabric.
    bytes : float64 array, shape (n,)
        Bytes of payload.
    ready_ps, begin_ps, end_ps, reduced_ps : int64 arrays, shape (n,)
        When both ends were there, when the transfer held its links, when its bytes
        were through, and when the receiver had added them to its own.
    """

    round: IntArray
    transfer: IntArray
    repetition: IntArray
    job: IntArray
    src: IntArray
    dst: IntArray
    bytes: FloatArray
    ready_ps: IntArray
    begin_ps: IntArray
    end_ps: IntArray
    reduced_ps: IntArray


class Recorder:
    """Keeps what a run or a world does; hand one to `sim.collective` or `sim.World`.

    Attributes
    ----------
    fabric : Fabric, optional
        Where it happened; None before anything did.
    activities : list of Activity
        What the chips did, in the order in which it was noted.
    rounds : list of (Job, Loaded)
        What was loaded, in that order.

    Examples
    --------
    >>> import sim, topologies
    >>> recorder = sim.Recorder()
    >>> ring = topologies.ring(4, bandwidth="50 GB/s", latency="1 us")
    >>> run = sim.all_reduce(ring, "1 MB", algorithm="ring", library="ideal", recorder=recorder)
    >>> recorder.segments().round.size  # 6 steps of 4 transfers, each at one rate
    24
    """

    def __init__(self) -> None:
        self.fabric: Fabric | None = None
        self.activities: list[Activity] = []
        self.rounds: list[tuple[Job, Loaded]] = []
        self._blocks: list[tuple[IntArray, FloatArray]] = []
        self._rows: list[tuple[int, int, int, int, int, int]] = []
        self._rates: list[float] = []

    def enter(self, job: Job, loaded: Loaded) -> int:
        """Take down a round; gives its place in `rounds`."""
        self.rounds.append((job, loaded))
        return len(self.rounds) - 1

    def note(
        self, round_: int, transfer: int, repetition: int, begin_ps: int, end_ps: int, rate: float, last: int
    ) -> None:
        """Take down one segment."""
        self._rows.append((round_, transfer, repetition, begin_ps, end_ps, last))
        self._rates.append(rate)

    def note_all(self, rows: IntArray, rates: FloatArray) -> None:
        """Take down n segments: columns round, transfer, repetition, begin, end, last; and rates."""
        self._blocks.append((rows, rates))

    def segments(self) -> Segments:
        """All segments noted so far."""
        if self._rows:
            self._blocks.append((np.array(self._rows, dtype=np.int64), np.array(self._rates)))
            self._rows, self._rates = [], []
        if not self._blocks:
            none = np.zeros(0, dtype=np.int64)
            return Segments(none, none, none, none, none, np.zeros(0), none)
        rows = np.concatenate([block for block, _ in self._blocks])
        rates = np.concatenate([block for _, block in self._blocks])
        self._blocks = [(rows, rates)]
        return Segments(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4], rates, rows[:, 5])

    def lives(self) -> Lives:
        """The transfers that are through, each from when it was ready to its end."""
        s = self.segments()
        order = np.lexsort((s.begin_ps, s.transfer, s.repetition, s.round))
        round_, transfer, repetition = s.round[order], s.transfer[order], s.repetition[order]
        new = np.ones(order.size, dtype=bool)
        new[1:] = (
            (round_[1:] != round_[:-1])
            | (repetition[1:] != repetition[:-1])
            | (transfer[1:] != transfer[:-1])
        )
        first = np.flatnonzero(new)
        last = np.append(first[1:], order.size) - 1 if order.size else first
        through = s.last[order][last] == 1
        first, last = first[through], last[through]
        round_, transfer, repetition = round_[first], transfer[first], repetition[first]
        begin, end = s.begin_ps[order][first], s.end_ps[order][last]
        jobs: dict[int, int] = {}
        job = [jobs.setdefault(id(each), len(jobs)) for each, _ in self.rounds]
        offset = np.cumsum([0, *(one.round.src.size for _, one in self.rounds)])
        place = offset[round_] + transfer

        def whole(columns: list[IntArray]) -> IntArray:
            joined: IntArray = np.concatenate([*columns, np.zeros(0, np.int64)])[place]
            return joined

        delay = whole([one.delay_ps for _, one in self.rounds])
        reduce = whole([one.costs.reduce_ps for _, one in self.rounds])
        size = np.concatenate([*(one.round.bytes for _, one in self.rounds), np.zeros(0)])[place]
        return Lives(
            round=round_,
            transfer=transfer,
            repetition=repetition,
            job=np.array(job, dtype=np.int64)[round_],
            src=whole([on.nodes[one.round.src] for on, one in self.rounds]),
            dst=whole([on.nodes[one.round.dst] for on, one in self.rounds]),
            bytes=size,
            ready_ps=begin - delay,
            begin_ps=begin,
            end_ps=end,
            reduced_ps=end + reduce,
        )

    def transfers(self) -> pd.DataFrame:
        """The transfers that are through.

        Returns
        -------
        DataFrame
            One row a transfer, in the order in which they were ready: ``job`` (its
            name), ``round``, ``repetition``, ``src``, ``dst`` (chips), ``bytes``, and
            ``ready``, ``start``, ``end`` in seconds: when both ends were there, when
            it held its links, when its bytes were through.
        """
        import pandas as pd

        l = self.lives()
        order = np.lexsort((np.arange(l.round.size), l.ready_ps))
        nodes = np.array([] if self.fabric is None else self.fabric.nodes, dtype=object)
        names = np.array([on.name for on, _ in self.rounds], dtype=object)
        return pd.DataFrame(
            {
                "job": names[l.round[order]],
                "round": l.round[order],
                "repetition": l.repetition[order],
                "src": nodes[l.src[order]],
                "dst": nodes[l.dst[order]],
                "bytes": l.bytes[order],
                "ready": l.ready_ps[order] / PS_PER_SECOND,
                "start": l.begin_ps[order] / PS_PER_SECOND,
                "end": l.end_ps[order] / PS_PER_SECOND,
            }
        )
