"""The compiled event loop, its arrays, and the rounds loaded into them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.clock import FOREVER
from sim.fabric import Fabric
from sim.network.arena import Arena
from sim.network.job import Cost, Finished, Job
from sim.network.kernels import calendar as calendars
from sim.network.kernels import events, recurrence, state
from sim.network.kernels.maxplus import TIERS
from sim.schedule import FloatArray, IntArray
from sim.transfers import Loaded
from topologies.errors import CapacityError

__all__ = ["EventLoop"]

#: Transfers loaded ahead of the ranks.
LOOKAHEAD = 65_536

#: Instants between two looks at the keyboard: about a tenth of a second.
BUDGET = 100_000


@dataclass(slots=True, eq=False)
class _Round:
    """Where a loaded round stands in the arrays."""

    loaded: Loaded
    transfer: int
    entry: int
    row: int
    part: int


@dataclass(slots=True, eq=False)
class _Running:
    """A job in the loop."""

    job: Job
    first: int
    later: Iterator[Loaded]
    last: int = -1
    complete: bool = False
    arrived: bool = False
    live: dict[int, _Round] = field(default_factory=dict)


class EventLoop:
    """All jobs whose transfers may meet, event by event.

    Parameters
    ----------
    fabric : Fabric
    capacity : float64 array, shape (links,)
        Bytes/s of each link.
    fast_forward : bool
        Whether to skip repetitions once the state recurs.
    """

    def __init__(self, fabric: Fabric, capacity: FloatArray, fast_forward: bool) -> None:
        self.fabric = fabric
        self.jobs: dict[int, _Running] = {}
        self.cost = Cost()
        self._fast_forward = fast_forward
        self._settled = np.zeros(fabric.links)
        self._columns = TIERS + len(fabric.tiers)
        self._arenas = {name: Arena(0) for name in ("transfer", "entry", "rank", "round", "row", "part")}
        n = fabric.links
        self._links = state.Links(
            capacity, np.full(n, -1), np.zeros(n), np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
        )
        self._transfers = _empty(state.Transfers)
        self._entries = _empty(state.Entries)
        self._ranks = _empty(state.Ranks)._replace(account=np.zeros((0, self._columns), np.int64))
        self._rounds = _empty(state.Rounds)
        self._arrivals, self._starts, self._parts = (np.zeros(0, np.int64) for _ in range(3))
        self._calendar = calendars.new_calendar(1024)
        self._scratch = _empty(state.Scratch)._replace(
            counters=np.zeros(16, np.int64),
            account=np.zeros((1, self._columns), np.int64),
            touched=np.zeros(n, np.int64),
        )
        self._scratch.counters[events.STAMP] = 2
        self._scratch.counters[events.FORWARD] = fast_forward
        self._snapshot = self._new_snapshot(0, 0)

    @property
    def now_ps(self) -> int:
        """The instant up to which everything has happened."""
        return int(self._scratch.counters[events.NOW])

    def inject(
        self, job: Job, reach: IntArray, account: IntArray, later: Iterator[Loaded], repetition: int = 0
    ) -> None:
        """Take a job in; its ranks arrive at ``reach``.

        Parameters
        ----------
        job : Job
        reach : int64 array, shape (p,)
            When each rank reaches the first of ``later``; not before now, or the job
            is alone.
        account : int64 array, shape (p, columns)
            Each rank's critical path so far.
        later : iterator of Loaded
            The rounds to go.
        repetition : int
            Repetitions of the first round that are done already.
        """
        p = reach.size
        running = _Running(job, self._arenas["rank"].take(p), later)
        number = next(i for i in range(len(self.jobs) + 1) if i not in self.jobs)
        self._fit(jobs=number + 1)
        mine = slice(running.first, running.first + p)
        ranks = self._ranks
        ranks.job[mine], ranks.number[mine] = number, np.arange(p)
        ranks.pending[mine], ranks.state[mine] = 0, state.ARRIVING
        ranks.repetition[mine], ranks.account[mine] = repetition, account
        self._arrivals[mine] = reach
        self._scratch.job_left[number], self._scratch.job_stalled[number] = p, 0
        if not self.jobs:
            self._scratch.counters[events.NOW] = int(reach.min())
        self.jobs[number] = running
        self._load(running, number, repetition)
        self._ranks.round[mine] = next(iter(running.live))
        self._scratch.counters[events.FORWARD] = self._fast_forward and len(self.jobs) == 1
        self._snapshot.at[2] = -1
        self._fit_calendar()

    def advance(self, until: int) -> list[Finished]:
        """Let everything happen up to ``until``, or to the first instant at which jobs end.

        Returns
        -------
        list of Finished
            The jobs that ended at `now_ps`; empty where ``until`` came first or
            nothing is left that could happen.

        Raises
        ------
        CapacityError
            If a transfer would last beyond the range of time.
        """
        while True:
            status = events.run(
                until, BUDGET, self._transfers, self._entries, self._links, self._ranks, self._rounds,
                self._starts, self._parts, self._arrivals, self._calendar, self._scratch, self._snapshot,
            )  # fmt: skip
            self._count()
            if status == events.LOAD:
                for number, running in self.jobs.items():
                    if self._scratch.job_stalled[number] > 0:
                        self._retire(running)
                        self._load(running, number)
                        self._fit_calendar()
                        events.resume(
                            running.first, running.job.nodes.size, self._transfers, self._ranks, self._rounds,
                            self._starts, self._parts, self._calendar, self._scratch,
                        )  # fmt: skip
            elif status == events.ROOM:
                self._fit_calendar()
            elif status == events.COMPLETED:
                return self._collect()
            elif status == events.OVERFLOW:
                raise CapacityError(
                    f"{self.fabric.name}: a transfer would last longer than 46 days at the rate it gets; "
                    f"raise the bandwidth of its links or lower the size"
                )
            elif status in (events.EMPTY, events.HORIZON):
                if until < FOREVER:
                    self._scratch.counters[events.NOW] = max(self.now_ps, until)
                return []

    def set_capacity(self, link: int, capacity: float) -> None:
        """Change a link's bytes/s now; everyone on it is solved again."""
        self._links.capacity[link] = capacity
        at = int(self._links.first[link])
        while at >= 0:
            events.dirty(int(self._entries.owner[at]), self._transfers, self._scratch)
            at = int(self._entries.after[at])
        self._snapshot.at[2] = -1

    def carried(self) -> FloatArray:
        """Bytes each link has carried up to now, shape (links,)."""
        total = self._settled.copy()
        for running in self.jobs.values():
            for one in running.live.values():
                mine = slice(one.transfer, one.transfer + one.loaded.round.src.size)
                t = self._transfers
                through = t.done[mine] * t.payload[mine]
                active = t.status[mine] == state.ACTIVE
                moved = t.rate[mine] * ((self.now_ps - t.anchor[mine]) / 1e12)
                left = np.maximum(t.remaining[mine] - moved, 0.0)
                through += np.where(active, t.payload[mine] - left, 0.0)
                total += _on_links(one.loaded, through, total.size)
        return total

    def waiting(self) -> list[tuple[Job, int, int, int]]:
        """Transfers that hold links without moving: (job, source, destination, limiting link)."""
        t = self._transfers
        stuck = np.flatnonzero((t.status == state.ACTIVE) & (t.rate <= 0))
        r = self._ranks
        return [
            (
                self.jobs[int(r.job[t.src[f]])].job,
                int(r.number[t.src[f]]),
                int(r.number[t.dst[f]]),
                int(t.limit[f]),
            )
            for f in stuck
        ]

    def progress(self) -> str:
        """Where each job is, in words."""
        lines = []
        for number, running in self.jobs.items():
            mine = slice(running.first, running.first + running.job.nodes.size)
            states = self._ranks.state[mine]
            lines.append(
                f"{running.job.name}: {int(self._scratch.job_left[number])} of {states.size} ranks still under way"
            )
        return "; ".join(lines)

    # ------------------------------------------------------------- the arrays

    def _load(self, running: _Running, number: int, repetition: int = 0) -> None:
        """Load rounds until enough are ahead of the ranks, or all are."""
        ahead = 0
        while not running.complete and (ahead == 0 or ahead < LOOKAHEAD):
            one = next(running.later, None)
            if one is None:
                running.complete = True
                if running.last < 0:
                    self._place(running, _nothing(running.job), 0)
                self._rounds.next[running.last] = state.LAST
            else:
                self._place(running, one, repetition)
                ahead += one.round.src.size + running.job.nodes.size // 8
                repetition = 0

    def _place(self, running: _Running, one: Loaded, repetition: int) -> None:
        """Write one round into the arrays."""
        m, p = one.round.src.size, running.job.nodes.size
        take = {name: arena.take for name, arena in self._arenas.items()}
        place = _Round(one, take["transfer"](m), take["entry"](one.entries()), take["row"](p + 1), take["part"](2 * m))
        q = take["round"](1)
        if one.costs.reduce_ps.any() and self._scratch.account.shape[0] == 1:
            self._scratch = self._scratch._replace(account=np.zeros((0, self._columns), np.int64))
        self._fit()
        t, mine = self._transfers, slice(place.transfer, place.transfer + m)
        t.src[mine], t.dst[mine] = running.first + one.round.src, running.first + one.round.dst
        t.payload[mine], t.cap[mine] = one.costs.wire_bytes, one.costs.cap
        t.overhead[mine], t.latency[mine] = one.costs.overhead_ps, one.paths.latency_ps
        t.reduce[mine], t.ideal[mine], t.tier[mine] = one.costs.reduce_ps, one.ideal_ps, one.tier
        t.status[mine], t.arrived[mine], t.done[mine], t.mark[mine] = state.IDLE, 0, 0, 0
        t.entry[mine], t.entries[mine] = place.entry + one.paths.start[:-1], np.diff(one.paths.start)
        t.round[mine] = q
        e = slice(place.entry, place.entry + one.entries())
        self._entries.link[e], self._entries.weight[e] = one.paths.link, one.paths.weight
        self._entries.owner[e] = np.repeat(np.arange(mine.start, mine.stop), np.diff(one.paths.start))
        ends = np.concatenate([one.round.src, one.round.dst])
        order = np.argsort(ends, kind="stable")
        self._parts[place.part : place.part + 2 * m] = place.transfer + (order % m if m else order)
        self._starts[place.row] = place.part
        self._starts[place.row + 1 : place.row + p + 1] = place.part + np.cumsum(np.bincount(ends, minlength=p))
        r = self._rounds
        r.repeat[q], r.left[q] = one.round.repeat, m * (one.round.repeat - repetition)
        r.next[q], r.row[q], r.first[q], r.count[q] = state.UNKNOWN, place.row, place.transfer, m
        r.base[q] = running.first
        watch = self._fast_forward and one.round.repeat > 2 and m
        r.watch[q] = running.first + int(one.round.src[0]) if watch else -1
        if watch and (m > self._snapshot.status.size or p != self._snapshot.pending.size):
            self._snapshot = self._new_snapshot(p, m)
        if running.last >= 0:
            r.next[running.last] = q
        running.last = q
        running.live[q] = place
        self.cost.rounds += one.round.repeat - repetition

    def _retire(self, running: _Running) -> None:
        """Free the rounds that nobody will look at again."""
        if not running.arrived:
            mine = slice(running.first, running.first + running.job.nodes.size)
            running.arrived = bool((self._ranks.state[mine] != state.ARRIVING).all())
            if not running.arrived:
                return
        for q in [q for q in running.live if q != running.last and self._rounds.left[q] == 0]:
            self._free(running, q)

    def _free(self, running: _Running, q: int) -> None:
        one = running.live.pop(q)
        m, p = one.loaded.round.src.size, running.job.nodes.size
        mine = slice(one.transfer, one.transfer + m)
        self._settled += _on_links(one.loaded, self._transfers.done[mine] * one.loaded.costs.wire_bytes, self._settled.size)
        self._arenas["transfer"].give(one.transfer, m)
        self._arenas["entry"].give(one.entry, one.loaded.entries())
        self._arenas["row"].give(one.row, p + 1)
        self._arenas["part"].give(one.part, 2 * m)
        self._arenas["round"].give(q, 1)

    def _collect(self) -> list[Finished]:
        """Take out the jobs that have ended."""
        done = []
        for number in [n for n in self.jobs if self._scratch.job_left[n] == 0]:
            running = self.jobs.pop(number)
            mine = slice(running.first, running.first + running.job.nodes.size)
            account = self._ranks.account[mine]
            total = account.sum(axis=1)
            last = account[int(np.argmax(total))].copy()
            done.append(Finished(running.job, int(self._scratch.job_done[number]), last))
            for q in list(running.live):
                self._free(running, q)
            self._arenas["rank"].give(running.first, running.job.nodes.size)
        self._scratch.counters[events.FORWARD] = self._fast_forward and len(self.jobs) == 1
        self._snapshot.at[2] = -1
        return done

    def _count(self) -> None:
        c = self._scratch.counters
        self.cost.events, self.cost.transfers = int(c[events.EVENTS]), int(c[events.THROUGH])
        self.cost.solves, self.cost.solved = int(c[events.SOLVES]), int(c[events.SOLVED])
        self.cost.jumped = int(c[events.JUMPED])

    def _fit(self, jobs: int = 0) -> None:
        """Grow the arrays to what the arenas have given out."""
        size = {name: arena.size for name, arena in self._arenas.items()}
        transfers = size["transfer"]
        self._transfers = _grown(self._transfers, transfers)
        self._entries = _grown(self._entries, size["entry"])
        self._ranks = _grown(self._ranks, size["rank"])
        self._rounds = _grown(self._rounds, size["round"])
        self._arrivals = _longer(self._arrivals, size["rank"])
        self._starts, self._parts = _longer(self._starts, size["row"]), _longer(self._parts, size["part"])
        s = self._scratch
        room = {name: _longer(getattr(s, name), jobs) for name in ("job_left", "job_stalled", "job_done")}
        queue = min(self.fabric.links, size["entry"]) + transfers
        if s.account.shape[0] != 1:
            room["account"] = _longer(s.account, max(2, transfers))
        self._scratch = s._replace(
            changed=_longer(s.changed, 2 * transfers + 64),
            heap_key=_longer(s.heap_key, queue),
            heap_what=_longer(s.heap_what, queue),
            **room,
        )

    def _fit_calendar(self) -> None:
        """Drop stale records; make room for twice as many as there are transfers."""
        needed = 4 * self._transfers.src.size + 2 * self._ranks.job.size + 256
        if self._calendar.when.size < needed:
            self._calendar = calendars.new_calendar(needed)
        events.rebuild(self._arrivals, self._transfers, self._ranks, self._calendar)

    def _new_snapshot(self, ranks: int, transfers: int) -> recurrence.Snapshot:
        per_rank = {name: np.zeros(ranks, np.int64) for name in ("rank_round", "repetition", "pending")}
        per_rank["account"] = np.zeros((ranks, self._columns), np.int64)
        rest = [name for name in recurrence.Snapshot._fields if name not in ("at", *per_rank)]
        per_transfer = {n: np.zeros(transfers, np.float64 if n in _FLOATS else np.int64) for n in rest}
        return recurrence.Snapshot(at=np.full(3, -1), **per_rank, **per_transfer)


_FLOATS = {"payload", "cap", "remaining", "rate", "trial", "weight", "heap_key", "capacity", "room", "width"}
_SHORTS = {"link", "owner"}


def _empty(kind: Any) -> Any:
    """An instance of a state tuple with empty arrays of the right types."""
    types = {**dict.fromkeys(_FLOATS, np.float64), **dict.fromkeys(_SHORTS, np.int32)}
    return kind(*(np.zeros(0, dtype=types.get(name, np.int64)) for name in kind._fields))


def _longer(array: Any, size: int) -> Any:
    """The array, or a longer copy with zeros at the end."""
    if array.shape[0] >= size:
        return array
    return np.concatenate([array, np.zeros((size - array.shape[0], *array.shape[1:]), dtype=array.dtype)])


def _grown(group: Any, size: int) -> Any:
    """A state tuple whose arrays all have at least this length."""
    if group[0].shape[0] >= size:
        return group
    return type(group)(*(_longer(array, size) for array in group))


def _on_links(one: Loaded, through: FloatArray, links: int) -> FloatArray:
    """Bytes on each link when transfer i has moved ``through[i]`` bytes."""
    each = np.repeat(through, np.diff(one.paths.start)) * one.paths.weight
    return np.bincount(one.paths.link, weights=each, minlength=links)


def _nothing(job: Job) -> Loaded:
    """An empty round, for a schedule without any."""
    from sim.schedule import Round
    from sim.transfers import load

    none = np.zeros(0, dtype=np.int64)
    empty = Round(none, none, np.zeros(0))
    return next(load(iter([empty]), job.router, job.nodes, np.zeros(job.router.fabric.links), job.costs))
