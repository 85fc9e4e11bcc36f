"""The compiled event loop, its arrays, and the rounds loaded into them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from sim.clock import FOREVER, PS_PER_SECOND
from sim.fabric import Fabric
from sim.network import transient
from sim.network.arena import Arena
from sim.network.job import Cost, Finished, Job
from sim.network.kernels import calendar, events, loading, state, under_way
from sim.network.kernels.moves import TIERS
from sim.network.recorder import Recorder
from sim.network.standstill import Held
from sim.schedule import FloatArray, IntArray
from sim.transfers import Loaded
from topologies.errors import CapacityError

__all__ = ["EventLoop"]

#: Transfers loaded ahead of the ranks, or as many as there are ranks: few, so that
#: they are still in the processor's cache when their time comes.
LOOKAHEAD = 2048

#: Spans of constant rate that the log has room for, or more where many transfers are loaded.
LOG = 65_536

#: Instants between two looks at the keyboard: about a tenth of a second.
BUDGET = 100_000

NONE = np.zeros(0, dtype=np.int64)


@dataclass(slots=True, eq=False)
class _Round:
    """Where a loaded round stands in the arrays."""

    loaded: Loaded
    transfer: int
    entry: int
    row: int
    part: int
    fan: int
    recorded: int = -1


@dataclass(slots=True, eq=False)
class _Running:
    """A job in the loop."""

    job: Job
    first: int
    later: Iterator[Loaded]
    last: int = -1
    complete: bool = False
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
    recorder : Recorder, optional
        Told of every transfer.
    """

    def __init__(
        self, fabric: Fabric, capacity: FloatArray, fast_forward: bool, recorder: Recorder | None = None
    ) -> None:
        self.fabric = fabric
        self._recorder = recorder
        self.jobs: dict[int, _Running] = {}
        self.cost = Cost()
        self._fast_forward = fast_forward
        self._settled = np.zeros(fabric.links)
        self._columns = TIERS + len(fabric.tiers)
        self._arenas = {
            name: Arena(0) for name in ("transfer", "entry", "rank", "round", "row", "part", "fan")
        }
        self._fitted: tuple[int, ...] = ()
        self.state = state.new_state(capacity, self._columns)
        self.state.counters[state.FORWARD] = fast_forward
        transient.prepare(self.state)
        if recorder is not None:
            self._hand_over(recorder)

    @property
    def now_ps(self) -> int:
        """The instant up to which everything has happened."""
        return int(self.state.counters[state.NOW])

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
        ranks = self.state.ranks
        ranks[mine] = 0
        ranks[mine, state.JOB], ranks[mine, state.NUMBER] = number, np.arange(p)
        ranks[mine, state.STANDING], ranks[mine, state.REPETITION] = state.ARRIVING, repetition
        ranks[mine, state.PART_AT] = reach
        self.state.account[mine] = account
        self.state.jobs[number] = p, 0, 0
        if not self.jobs:
            # Records out of date of those who were here last would take time back.
            calendar.clear(self.state)
            self.state.counters[state.NOW] = int(reach.min())
            self.state.instant[0] = state.NEVER
        self.jobs[number] = running
        self._load(running, repetition)
        self.state.ranks[mine, state.ROUND] = next(iter(running.live))
        self.state.counters[state.FORWARD] = self._fast_forward and len(self.jobs) == 1
        transient.forget(self.state)
        self._fit_calendar()
        events.arrive(self.state, running.first, p)

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
            status = events.run(self.state, until, BUDGET)
            self._count()
            if self._recorder is not None:
                self._hand_over(self._recorder)
            if status == events.LOAD:
                for number, running in self.jobs.items():
                    if self.state.jobs[number, state.RANKS_STALLED] > 0:
                        self._retire(running)
                        self._load(running)
                        self._fit_calendar()
                        events.resume(self.state, running.first, running.job.nodes.size)
            elif status == events.TRANSIENT:
                if self.state.counters[state.SCRIPTED] == state.WRITING:
                    self.state = transient.follow(self.state, until, BUDGET)
                else:
                    self.state = transient.write(self.state)
            elif status == events.CROWDED:
                self._fit_calendar()
            elif status == events.COMPLETED:
                return self._collect()
            elif status == events.OVERFLOW:
                raise CapacityError(
                    f"{self.fabric.name}: a transfer would last longer than 46 days at the rate it gets; "
                    f"raise the bandwidth of its links or lower the size"
                )
            elif status in (events.EMPTY, events.HORIZON):
                if self.now_ps < until < FOREVER:
                    self.state.counters[state.NOW] = until
                    self.state.instant[0] = state.NEVER
                return []

    def set_capacity(self, link: int, capacity: float) -> None:
        """Change a link's bytes/s now; everyone on it is solved again."""
        self.state.links[link, state.CAPACITY] = capacity
        self.state.instant[0] = min(float(self.state.instant[0]), 0.0)
        under_way.have_solved(self.state, link)
        transient.forget(self.state)

    def carried(self) -> FloatArray:
        """Bytes each link has carried up to now, shape (links,)."""
        total = self._settled.copy()
        for running in self.jobs.values():
            for one in running.live.values():
                mine = slice(one.transfer, one.transfer + one.loaded.round.src.size)
                t, x = self.state.transfers[mine], self.state.flows[mine]
                moved = x[:, state.RATE] * ((self.now_ps - t[:, state.ANCHOR]) / PS_PER_SECOND)
                left = np.maximum(x[:, state.REMAINING] - moved, 0.0)
                partly = np.where(t[:, state.STATUS] == state.ACTIVE, x[:, state.PAYLOAD] - left, 0.0)
                through = t[:, state.DONE] * x[:, state.PAYLOAD] + partly
                total += _on_links(one.loaded, through, total.size)
        return total

    def waiting(self) -> list[Held]:
        """Transfers that hold links without moving."""
        t, tags, r = self.state.transfers, self.state.tags, self.state.ranks
        stuck = np.flatnonzero((t[:, state.STATUS] == state.ACTIVE) & (self.state.flows[:, state.RATE] <= 0))
        return [
            Held(
                self.jobs[int(r[tags[f, state.SRC], state.JOB])].job.name,
                int(r[tags[f, state.SRC], state.NUMBER]),
                int(r[tags[f, state.DST], state.NUMBER]),
                int(t[f, state.LIMIT]),
            )
            for f in stuck
        ]

    def progress(self) -> str:
        """Where each job is, in words."""
        lines = []
        for number, running in self.jobs.items():
            left = int(self.state.jobs[number, state.RANKS_LEFT])
            lines.append(f"{running.job.name}: {left} of {running.job.nodes.size} ranks still under way")
        return "; ".join(lines)

    # ------------------------------------------------------------- the arrays

    def _load(self, running: _Running, repetition: int = 0) -> None:
        """Load rounds until enough are ahead of the ranks, or all are."""
        ahead, wanted = 0, max(LOOKAHEAD, running.job.nodes.size)
        while not running.complete and (ahead == 0 or ahead < wanted):
            one = next(running.later, None)
            if one is None:
                running.complete = True
                if running.last < 0:
                    self._place(running, _nothing(running.job), 0)
                self.state.rounds[running.last, state.NEXT] = state.LAST
            else:
                self._place(running, one, repetition)
                ahead += one.round.src.size + running.job.nodes.size // 8
                repetition = 0

    def _place(self, running: _Running, one: Loaded, repetition: int) -> None:
        """Write one round into the arrays."""
        r, m, p = one.round, one.round.src.size, running.job.nodes.size
        take = {name: arena.take for name, arena in self._arenas.items()}
        place = _Round(
            one, take["transfer"](m), take["entry"](one.entries()), take["row"](p + 1),
            take["part"](one.parts()), take["fan"](_fan(one)),
        )  # fmt: skip
        q = take["round"](1)
        watched = bool(self._fast_forward and r.repeat > 2 and m)
        self._fit(
            reducing=bool(one.costs.reduce_ps.any()) or one.waits is not None,
            fanned=one.waits is not None,
            spanned=one.span is not None,
            watched=m if watched else 0,
            ranks=p if watched else 0,
        )
        s = self.state
        loading.place_round(
            s, place.transfer, place.entry, place.row, place.part, running.first, p, q,
            np.ascontiguousarray(r.src), np.ascontiguousarray(r.dst), one.costs.overhead_ps,
            one.paths.latency_ps, one.costs.reduce_ps, one.ideal_ps, one.tier, one.costs.wire_bytes,
            one.costs.cap, one.paths.start, one.paths.link, one.paths.weight,
            *((NONE, NONE) if one.waits is None else one.waits.ends),
        )  # fmt: skip
        self._place_fan(running, place)
        watch = running.first + int(r.src[0]) if watched else -1
        left = m * (r.repeat - repetition)
        whole = one.whole or ((0, r.repeat) if r.repeat > 1 else (0, 0))
        if one.span is not None:
            left = int(np.diff(one.span).sum())
            mine = slice(place.part, place.part + one.parts())
            s.spans[mine] = one.span[s.parts[mine] - place.transfer]
        s.rounds[q] = (
            r.repeat, left, state.UNKNOWN, place.row, place.transfer, m, running.first, p, watch,
            one.span is not None, *whole,
        )  # fmt: skip
        if running.last >= 0:
            s.rounds[running.last, state.NEXT] = q
        running.last = q
        running.live[q] = place
        if self._recorder is not None:
            place.recorded = self._recorder.enter(running.job, one)
        self.cost.rounds += r.repeat - repetition

    def _place_fan(self, running: _Running, place: _Round) -> None:
        """Write whom a round's transfers wait for; plain ones in slots used before forget it."""
        s, waits, m = self.state, place.loaded.waits, place.loaded.round.src.size
        if s.fans.shape[0] == 1:
            return
        rows = s.fans[place.transfer : place.transfer + m]
        rows[:] = 0
        if waits is None:
            return
        (ends_at, ends), (behind_at, behind) = waits.ends, waits.behind
        middle = place.fan + ends.size
        rows[:, state.NEEDED] = waits.needed
        rows[:, state.ENDS_FROM], rows[:, state.ENDS_TO] = place.fan + ends_at[:-1], place.fan + ends_at[1:]
        rows[:, state.BEHIND_FROM], rows[:, state.BEHIND_TO] = middle + behind_at[:-1], middle + behind_at[1:]
        s.fanned[place.fan : middle] = running.first + ends
        s.fanned[middle : middle + behind.size] = place.transfer + behind

    def _retire(self, running: _Running) -> None:
        """Free the rounds that nobody will look at again."""
        mine = self.state.ranks[running.first : running.first + running.job.nodes.size]
        # A rank goes through all rounds, also those in which it has no part: what lies before
        # the last rank may be full of transfers that are through, and is still its way.
        held = set(np.unique(mine[:, state.ROUND]).tolist())
        for q in list(takewhile(lambda q: q not in held, running.live)):
            self._free(running, q)

    def _free(self, running: _Running, q: int) -> None:
        if int(self.state.counters[state.SAVED_ROUND]) == q:
            transient.forget(self.state)  # another round will take its place
        if int(self.state.counters[state.PATIENT_ROUND]) == q:
            self.state.counters[state.PATIENT_ROUND] = -1
        one = running.live.pop(q)
        m, p = one.loaded.round.src.size, running.job.nodes.size
        paths = one.loaded.paths
        loading.settle_round(
            self.state.transfers[one.transfer : one.transfer + m, state.DONE], one.loaded.costs.wire_bytes,
            paths.start, paths.link, paths.weight, self._settled,
        )  # fmt: skip
        self._arenas["transfer"].give(one.transfer, m)
        self._arenas["entry"].give(one.entry, one.loaded.entries())
        self._arenas["row"].give(one.row, p + 1)
        self._arenas["part"].give(one.part, one.loaded.parts())
        self._arenas["fan"].give(one.fan, _fan(one.loaded))
        self._arenas["round"].give(q, 1)

    def _collect(self) -> list[Finished]:
        """Take out the jobs that have ended."""
        done = []
        for number in [n for n in self.jobs if self.state.jobs[n, state.RANKS_LEFT] == 0]:
            running = self.jobs.pop(number)
            mine = slice(running.first, running.first + running.job.nodes.size)
            account = self.state.account[mine]
            last = account[int(np.argmax(account.sum(axis=1)))].copy()
            done.append(Finished(running.job, int(self.state.jobs[number, state.ENDED]), last))
            for q in list(running.live):
                self._free(running, q)
            self._arenas["rank"].give(running.first, running.job.nodes.size)
        self.state.counters[state.FORWARD] = self._fast_forward and len(self.jobs) == 1
        transient.forget(self.state)
        return done

    def _hand_over(self, recorder: Recorder) -> None:
        """Give the recorder what the loop has noted, and make room for more."""
        s, noted = self.state, int(self.state.counters[state.LOGGED])
        if noted:
            log = s.log[:noted]
            place = {q: one for running in self.jobs.values() for q, one in running.live.items()}
            q, row = np.unique(s.tags[log[:, state.SLOT], state.ROUND_OF], return_inverse=True)
            number = np.array([place[int(each)].recorded for each in q])[row]
            first = np.array([place[int(each)].transfer for each in q])[row]
            rest = log[:, state.TIME_OF :]
            recorder.note_all(
                np.column_stack([number, log[:, state.SLOT] - first, rest]), s.log_rate[:noted].copy()
            )
            s.counters[state.LOGGED] = 0
        wanted = max(4 * s.transfers.shape[0], LOG)
        if s.log.shape[0] < wanted:
            self.state = state.with_rows(s, log=wanted, log_rate=wanted)

    def _count(self) -> None:
        c = self.state.counters
        self.cost.events, self.cost.transfers = int(c[state.EVENTS]), int(c[state.THROUGH])
        self.cost.solves, self.cost.solved = int(c[state.SOLVES]), int(c[state.SOLVED])
        self.cost.jumped = int(c[state.JUMPED])

    def _fit(
        self,
        *,
        jobs: int = 0,
        reducing: bool = False,
        fanned: bool = False,
        spanned: bool = False,
        watched: int = 0,
        ranks: int = 0,
    ) -> None:
        """Grow the arrays to what the arenas have given out."""
        size = {name: arena.size for name, arena in self._arenas.items()}
        asked = (*size.values(), jobs, reducing, fanned, spanned, watched, ranks)
        if asked == self._fitted:
            return
        self._fitted = asked
        s, transfers = self.state, size["transfer"]
        rows = max(2, transfers) if reducing or s.row.shape[0] > 1 else 1
        saved = max(watched, s.saved_transfers.shape[0]) if rows > 1 else 0
        fans = max(2, transfers) if fanned or s.fans.shape[0] > 1 else 1
        spans = max(2, size["part"]) if spanned or s.spans.shape[0] > 1 else 1
        queue = min(self.fabric.links, size["entry"]) + transfers
        wanted = {
            "transfers": transfers, "entries": size["entry"], "ranks": size["rank"], "account": size["rank"],
            "rounds": size["round"], "starts": size["row"], "parts": size["part"], "jobs": jobs,
            "changed": 2 * transfers + 64, "queue_key": queue, "queue_what": queue, "row": rows,
            "fans": fans, "spans": spans, "fanned": size["fan"], "saved_transfers": watched,
            "saved_ranks": ranks, "saved_account": ranks, "saved_row": saved,
        }  # fmt: skip
        longer = {n: k for n, k in wanted.items() if getattr(s, n).shape[0] < k}
        if "row" in longer:
            transient.forget(s)  # was remembered without these rows
        if longer:
            self.state = state.with_rows(s, **longer)

    def _fit_calendar(self) -> None:
        """Make room for twice as many records as there are transfers; drop stale ones first."""
        transfers, ranks = self.state.transfers.shape[0], self.state.ranks.shape[0]
        left = int(self.state.counters[state.RECORDS_LEFT])
        if left >= 2 * transfers + ranks + 128:
            return
        needed = 5 * transfers + 3 * ranks + 256
        if self.state.due.shape[0] < needed:
            room = 2 * needed
            # Built anew below: nothing is copied, and what nobody needs stays untouched.
            fresh = state.with_rows(self.state, calendar=0, due=0)
            self.state = state.with_rows(
                fresh, calendar=calendar.numbers(room), heap_when=room, heap_batch=room, due=room
            )
        events.rebuild(self.state)


def _fan(one: Loaded) -> int:
    """Room that a round's ends and successors take."""
    return 0 if one.waits is None else one.waits.ends[1].size + one.waits.behind[1].size


def _on_links(one: Loaded, through: FloatArray, links: int) -> FloatArray:
    """Bytes on each link when transfer i has moved ``through[i]`` bytes."""
    each = np.repeat(through, np.diff(one.paths.start)) * one.paths.weight
    return np.bincount(one.paths.link, weights=each, minlength=links).astype(np.float64)


def _nothing(job: Job) -> Loaded:
    """An empty round, for a schedule without any."""
    from sim.schedule import Round
    from sim.transfers import load

    none = np.zeros(0, dtype=np.int64)
    empty = Round(none, none, np.zeros(0))
    return next(load(iter([empty]), job.router, job.nodes, np.zeros(job.router.fabric.links), job.costs))
