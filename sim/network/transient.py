"""Fronts of the event loop: the tail of a transient.

While one round repeats, its transfers soon do in each repetition what they did in the
one before, all but a few: somewhere two collide, and what is left of the difference
is halved each time, over tens of repetitions, until it is below a picosecond. The state
comes back only then (`recurrence`); meanwhile the many would be simulated again and again
for the sake of the few.

So one repetition is written down (the *script*, of length T), and from then on, window of
length T by window, only a *front* is simulated:

- *live* are the ranks that differ from a period ago, or that have a transfer that does, and
  all transfers of theirs;
- *strangers* share a link with a live transfer, or have a rank in common with one that is not
  live. They do what the script says, n T later, beside the live ones (`kernels.strangers`);
- everybody else does what the script says, too, and is not looked at.

After each instant every stranger's certificate is checked where it may have gone: its link is
full and nobody there is faster. After each window, every rank that follows the script, but waits for
a live transfer, must have come at the instant that the script has for it. If so,
all rates are max-min fair and every rank goes on when its last part is done: that is what
the whole simulation would have found, since it has one solution only. If not, those
concerned are to be live, too, and the window begins anew. If too many are, the front is given up,
at the beginning of the window, where the state of all is known: the script's, shifted.

Whoever differed at first has no script to return to and stays live; others may leave the front when
they are again where the script has them. When the live ones are as they were some windows ago,
relative to the script, the rest of the repetitions is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.clock import FOREVER
from sim.network.kernels import events, recurrence, state, strangers
from sim.network.kernels.state import State
from sim.network.script import Flags, Script, delay
from sim.schedule import FloatArray, IntArray
from sim.transfers import duration_ps
from topologies import memory

__all__ = ["follow", "forget", "prepare", "write"]

#: A front is tried where a round has so many transfers, and one in so many, at most, is not as it was.
ENOUGH, SHARE = 256, 8

#: Lines of a script for each transfer, and for small rounds.
LINES, MORE_LINES = 8, 1024

#: Bytes of a line: four integers and a rate.
LINE_BYTES = 40

#: A front is given up when more than one in so many transfers is live.
MOST = 3

#: It is chosen anew when it could have so many times fewer ranks.
FEWER = 4

#: So little has arrived of a stranger that it never gets ready by itself.
NOT_READY = -(2**40)


def prepare(s: State) -> None:
    """Tell the loop where a front may be worth it."""
    s.counters[state.ENOUGH], s.counters[state.SHARE] = ENOUGH, SHARE


def forget(s: State) -> None:
    """Something else happens: what was remembered, or written, is of no use."""
    s.counters[state.SAVED_ROUND] = -1
    s.counters[state.SCRIPTED] = state.UNSCRIPTED


def write(s: State) -> State:
    """Begin to write a script; the state has just been remembered."""
    count = int(s.rounds[s.counters[state.SAVED_ROUND], state.COUNT])
    lines = LINES * count + MORE_LINES
    if lines * LINE_BYTES > memory.SHARE * memory.available():
        # It saves time only: without it every transfer is simulated.
        s.counters[state.PATIENT_ROUND], s.counters[state.PATIENCE] = s.counters[state.SAVED_ROUND], FOREVER
        return s
    s = _with_room(s, script=lines, script_rate=lines, came=s.ranks.shape[0])
    s.came[:] = 0
    s.counters[state.WRITTEN] = 0
    s.counters[state.SCRIPTED] = state.WRITING
    return s


def _with_room(s: State, **wanted: int) -> State:
    return state.with_rows(s, **{n: k for n, k in wanted.items() if getattr(s, n).shape[0] < k})


def follow(s: State, until: int, budget: int) -> State:
    """Go through windows while only a few are live; the script has just been written.

    Parameters
    ----------
    s : State
    until : int
        No window ends later, in picoseconds.
    budget : int
        Instants between two looks at the keyboard.
    """
    if s.counters[state.NOW] == s.counters[state.SAVED_AT]:
        forget(s)  # a period of no time
        return s
    # Rounds may have been loaded since the script was begun.
    s = _with_room(s, follow=s.transfers.shape[0] + 1, checks=s.lists.shape[0])
    _Front(s, budget).follow(until)
    return s


class _Past(NamedTuple):
    """Live transfers, tracked ranks and the job after ``n`` windows."""

    n: int
    transfers: IntArray
    ranks: IntArray
    account: IntArray
    job: IntArray


class _Front:
    """Who is live in the round that repeats, and how many windows are through (``n``)."""

    def __init__(self, s: State, budget: int) -> None:
        self.s, self._budget = s, budget
        self.script = one = Script(s)
        self.n = 0
        self.transfers, self.ranks, self.account = one.transfers, one.ranks, one.account
        mine = slice(one.first, one.first + one.count)
        self.came, self.role = s.came[one.base : one.base + one.members], s.follow[mine]
        self.src, self.dst = s.tags[mine, state.SRC] - one.base, s.tags[mine, state.DST] - one.base
        entry = int(self.transfers[0, state.ENTRY])
        passages = s.entries[entry : entry + int(self.transfers[:, state.ENTRIES].sum())]
        self.link, self.owner = passages[:, state.LINK], passages[:, state.OWNER] - one.first
        row = s.rounds[one.q]
        self.done, self.left = self.transfers[:, state.DONE].copy(), int(row[state.LEFT])
        self.through = int(s.counters[state.THROUGH])
        parts = np.diff(s.starts[int(row[state.ROW]) : int(row[state.ROW]) + one.members + 1])
        self.parted = np.flatnonzero(parts > 0)
        weight = s.weights[entry : entry + passages.shape[0], state.WEIGHT]
        self.pace = self._pace(s.links[self.link, state.CAPACITY] / weight)
        self.differ = np.zeros(one.count, dtype=bool)
        self.live, self.near = np.zeros(one.count, dtype=bool), np.zeros(0, dtype=np.int64)
        self.alive = self.tracked = np.zeros(one.members, dtype=bool)

    def follow(self, until: int) -> None:
        """Window after window, then give everybody the state it has."""
        c = self.s.counters
        c[state.SCRIPTED], c[state.FORWARD] = state.FOLLOWING_IT, 0
        self.core = self._ahead()
        self.core[self.parted] |= self.came[self.parted, state.COMINGS] != 1
        self._choose(self.core)
        seen = self._remember()
        if not self.core.any():
            self.n = self._room(until)
        while (
            MOST * np.count_nonzero(self.live) <= self.script.count and self._room(until) > 0 and self._stay()
        ):
            begin = self._remember()
            joining = self._window()
            if joining is None or joining.any():
                self._return_to(begin)
                if joining is None:
                    break
                self._choose(self.alive | joining)
                seen = self._remember()
                continue
            self.n += 1
            past = next((one for one in (begin, seen) if self._recurs(one)), None)
            if past is not None:
                self._jump(past, self._room(until))
                break
            ahead = self._ahead() | self.core
            if FEWER * np.count_nonzero(ahead) < np.count_nonzero(self.alive):
                self._choose(ahead)
                seen = self._remember()
            elif self.n >= seen.n + 1 + seen.n // 8:
                seen = self._remember()
        self._settle()

    # ------------------------------------------------------------ who is what

    def _ahead(self) -> Flags:
        """Ranks that differ from the script, or have a transfer that does."""
        s, span = self.s, (self.n + 1) * self.script.period
        these = np.flatnonzero(self.live) if self.n else np.arange(self.script.count)
        found = np.zeros(these.size, dtype=np.int64)
        recurrence.differing(
            s, self.script.first + these, s.saved_transfers, s.saved_flows, these, span, found
        )
        differ = these[found > 0]
        ranks = np.flatnonzero(self.alive) if self.n else self.parted
        ahead = np.zeros(self.script.members, dtype=np.int64)
        recurrence.misplaced(s, ranks, self.n + 1, span, ahead)
        ahead[self.src[differ]] = ahead[self.dst[differ]] = 1
        if self.n == 0:
            self.differ[differ] = True
        return ahead > 0

    def _choose(self, alive: Flags) -> None:
        """Make these ranks live, at the beginning of a window, and find who is near them."""
        s = self.s
        live = alive[self.src] | alive[self.dst]
        ends = np.zeros(self.script.members, dtype=bool)
        ends[self.src[live]] = ends[self.dst[live]] = True
        boundary = ends & ~alive
        view = np.zeros(s.lists.shape[0], dtype=bool)
        view[self.link[live[self.owner]]] = True
        near = boundary[self.src] | boundary[self.dst]
        near[self.owner[view[self.link]]] = True
        near &= ~live
        # The core is in a state of its own.
        self.script.place(live & ~self.live & ~self.differ, self.n)
        self.script.place(near, self.n)
        self.transfers[near, state.ARRIVED] = NOT_READY
        tracked = ends | alive
        self.script.place_ranks(tracked & ~self.tracked & ~self.core, self.n)
        s.follow[:, state.ROLE] = s.came[:, state.ROLE] = state.ABSENT
        self.role[live, state.ROLE], self.role[near, state.ROLE] = state.LIVE, state.STRANGER
        self.came[alive, state.ROLE], self.came[boundary, state.ROLE] = state.LIVE, state.STRANGER
        self.alive, self.tracked, self.live = alive, tracked, live
        self.near = self.script.first + np.flatnonzero(near)
        self._calm()
        strangers.relink(s, self.near, self.script.first + np.flatnonzero(live))
        strangers.recast(s, self.script.first + np.flatnonzero(live))

    # ------------------------------------------------------------------ windows

    def _room(self, until: int) -> int:
        """Windows that end by ``until`` and before anybody comes to the last two repetitions."""
        furthest = self.script.furthest + self.n
        if self.alive.any():
            furthest = max(furthest, int(self.ranks[self.alive, state.REPETITION].max()))
        room = int(self.s.rounds[self.script.q, state.WHOLE_TO]) - 2 - furthest
        if self.script.period > 0:
            room = min(room, (until - self.script.end(self.n)) // self.script.period)
        # Somebody may be further already.
        return max(room, 0)

    def _pace(self, room: FloatArray) -> IntArray:
        """Repetitions of each rank in a window, at most: none is shorter than its longest transfer alone.

        ``room`` is bytes/s of each link for who passes it.
        """
        flows = self.transfers.view(np.float64)
        rate = flows[:, state.CAP].copy()
        np.minimum.at(rate, self.owner, room)
        rate[rate <= 0] = np.inf
        alone = duration_ps(flows[:, state.PAYLOAD], rate)
        alone += self.transfers[:, state.OVERHEAD] + self.transfers[:, state.LATENCY]
        shortest = np.ones(self.script.members, dtype=np.int64)
        for end in (self.src, self.dst):
            np.maximum.at(shortest, end, alone)
        return -(-self.script.period // shortest)

    def _stay(self) -> bool:
        """Whether all who are simulated stay in the round for another window, however fast they are."""
        mine = self.tracked & (self.ranks[:, state.ROUND] == self.script.q)
        furthest = self.ranks[mine, state.REPETITION] + self.pace[mine]
        return bool((furthest < self.s.rounds[self.script.q, state.WHOLE_TO]).all())

    def _window(self) -> Flags | None:
        """Simulate a window: the ranks that have to be live, too, or None if something else came up."""
        s, c = self.s, self.s.counters
        end = self.script.end(self.n) + self.script.period
        c[state.SHIFT], c[state.WINDOW] = (self.n + 1) * self.script.period, self.n + 1
        self.came[self.tracked, state.COMINGS] = 0
        strangers.cue(s, self.near)
        status = events.PAUSE
        while status == events.PAUSE:
            status = events.run(s, end, self._budget)
        joining = np.zeros(self.script.members, dtype=bool)
        if status == events.BROKEN:
            marked = self.role[:, state.ROLE] == state.JOINING
            joining[self.src[marked]] = joining[self.dst[marked]] = True
            return joining if joining.any() else None
        if status not in (events.HORIZON, events.EMPTY):
            return None
        self._be_at(end)
        boundary = self.tracked & ~self.alive
        on_time = self.came[:, state.CAME_AT] == self.script.expected + (self.n + 1) * self.script.period
        late: Flags = boundary & ~(on_time & (self.came[:, state.COMINGS] == 1))
        return late

    def _be_at(self, now: int) -> None:
        self.s.counters[state.NOW] = now
        self.s.instant[0] = state.NEVER

    def _remember(self) -> _Past:
        job = int(self.ranks[0, state.JOB])
        return _Past(
            self.n, self.transfers[self.live], self.ranks[self.tracked], self.account[self.tracked],
            self.s.jobs[job].copy(),
        )  # fmt: skip

    def _return_to(self, past: _Past) -> None:
        """Be at the beginning of a window again."""
        self.transfers[self.live] = past.transfers
        self.ranks[self.tracked], self.account[self.tracked] = past.ranks, past.account
        self.s.jobs[int(self.ranks[0, state.JOB])] = past.job
        self._be_at(self.script.end(self.n))
        self._calm()

    def _calm(self) -> None:
        """Nothing is left to do at this instant."""
        for name in (state.DIRTY, state.CHECKS, state.WATCHED, state.STALLS, state.JOBS_DONE):
            self.s.counters[name] = 0

    # ------------------------------------------------------------------ the end

    def _recurs(self, past: _Past) -> bool:
        """Whether the live ones are where they were then, relative to the script."""
        windows = self.n - past.n
        these = self.script.first + np.flatnonzero(self.live)
        found = np.zeros(these.size, dtype=np.int64)
        recurrence.differing(
            self.s, these, past.transfers, past.transfers.view(np.float64), np.arange(these.size),
            windows * self.script.period, found,
        )  # fmt: skip
        # The account of the rank that a transfer waited for last has then grown by as much.
        waits = self.transfers[self.live]
        waits = (waits[:, state.STATUS] != state.IDLE) & (
            waits[:, state.CRITICAL] != past.transfers[:, state.CRITICAL]
        )
        now = self.ranks[self.tracked]
        same = (state.ROUND, state.STANDING, state.PENDING_PARTS)
        return bool(
            not found.any()
            and not waits.any()
            and (now[:, same] == past.ranks[:, same]).all()
            and (now[:, state.REPETITION] - past.ranks[:, state.REPETITION] == windows).all()
        )

    def _jump(self, past: _Past, room: int) -> None:
        """Skip as many of the periods since then as there is room for."""
        windows = self.n - past.n
        times = room // windows
        later = times * windows * self.script.period
        rows = self.transfers[self.live]
        delay(rows, later)
        rows[:, state.DONE] += times * (rows[:, state.DONE] - past.transfers[:, state.DONE])
        self.transfers[self.live] = rows
        ranks, account = self.ranks[self.tracked], self.account[self.tracked]
        ranks[:, state.REPETITION] += times * windows
        ranks[:, state.PART_AT] += later
        self.ranks[self.tracked] = ranks
        self.account[self.tracked] = account + times * (account - past.account)
        self.n += times * windows

    def _settle(self) -> None:
        """Give everybody the state at the end of the n-th window, and go on as without a front."""
        s, c = self.s, self.s.counters
        self.script.place(~self.live, self.n)
        # A rank that has a part in the front may still wait for it where the script has it done.
        self.script.place_ranks(~self.tracked, self.n)
        self._be_at(self.script.end(self.n))
        self._calm()
        through = int((self.transfers[:, state.DONE] - self.done).sum())
        s.rounds[self.script.q, state.LEFT] = self.left - through
        c[state.THROUGH] = self.through + through
        c[state.BUSY] = np.count_nonzero(self.transfers[:, state.STATUS] != state.IDLE)
        c[state.JUMPED] += self.n
        c[state.SCRIPTED], c[state.FORWARD], c[state.SAVED_ROUND] = state.UNSCRIPTED, 1, -1
        recurrence.be_patient(s, self.script.q, self.script.furthest + self.n)
        none = np.zeros(0, dtype=np.int64)
        strangers.relink(s, self.script.first + np.arange(self.script.count), none)
        events.rebuild(s)
