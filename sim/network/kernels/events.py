"""The event loop of the fluid network.

An instant is processed in three steps, each whole before the next:

1. everything the calendar holds for it: ranks arrive, transfers start, end, or
   have been reduced; what that makes ready for the same instant is taken too;
2. rates are solved once, for those whose certificate changed (`maxmin`);
3. transfers whose rate changed get a new (anchor, remaining, rate) and a new end,
   ``ceil(remaining / rate - TICK)`` picoseconds from now.

A rank reaches a repetition when all its parts of the one before are done; a
transfer is ready when both its ends have reached its repetition (or all of them,
and those before it are through: `fans`).

Ends are rounded up to whole picoseconds, and what happens within one picosecond
happens together. Where transfers share links for a part of their time only, such
a rounding is handed on to others, who collide elsewhere, and grows by about a third
with every step: after fifty steps a picosecond has become a microsecond. So an end
keeps its *lag*, by how much it really was before its instant: those who go on from
it start as much earlier, and bytes are counted from there. A transfer that moved at
one rate from a start without lag, and any of a round that repeats, ends on the
picosecond without lag: repetitions are alike to the last bit, which fast-forward
rests on.
"""

from __future__ import annotations

import math

from sim.clock import FOREVER
from sim.compiled import inlined, lean
from sim.network.kernels import maxmin
from sim.network.kernels.calendar import clear, earliest, push, release, take
from sim.network.kernels.moves import CAPPED, CONTENTION, TIERS
from sim.network.kernels.moves import LATENCY as LATENCY_SPENT
from sim.network.kernels.moves import OVERHEAD as OVERHEAD_SPENT
from sim.network.kernels.recurrence import look
from sim.network.kernels.state import (
    ACTIVE,
    AFTER,
    ANCHOR,
    ANCHOR_LAG,
    ARRIVAL,
    ARRIVED,
    ARRIVING,
    BEGUN,
    BEHIND_FROM,
    BEHIND_TO,
    BUSY,
    CRITICAL,
    DIRTY,
    DONE,
    DST,
    END,
    ENDED,
    ENDS_FROM,
    ENDS_TO,
    ENTRIES,
    ENTRY,
    EVENTS,
    FINAL,
    FINISHED,
    FIRST,
    FORWARD,
    IDEAL,
    IDLE,
    JOB,
    JOBS_DONE,
    KIND,
    LAG,
    LAST,
    LATENCY,
    LEFT,
    LIMIT,
    LINK,
    LOGGED,
    MARK,
    NEEDED,
    NEXT,
    NOW,
    NUMBER,
    OVERHEAD,
    OWNER,
    PART_AT,
    PAYLOAD,
    PENDING,
    PENDING_PARTS,
    RANKS_LEFT,
    RANKS_STALLED,
    RATE,
    RECORDS_LEFT,
    REDUCE,
    REDUCING,
    REMAINING,
    REPEAT,
    REPETITION,
    ROUND,
    ROUND_OF,
    ROW,
    RUNNING,
    SLOT,
    SOLVES,
    SRC,
    STALLED,
    STALLS,
    STANDING,
    START,
    STATUS,
    THROUGH,
    TIER,
    TIME_OF,
    TRIAL,
    UNKNOWN,
    UNTIL,
    WATCH,
    WATCHED,
    WHAT,
    Float,
    Int,
    State,
)
from sim.transfers import TICK

__all__ = [
    "COMPLETED",
    "CROWDED",
    "EMPTY",
    "HORIZON",
    "LOAD",
    "NEVER",
    "OVERFLOW",
    "PAUSE",
    "RECORDED",
    "arrive",
    "rebuild",
    "resume",
    "run",
]

#: Why `run` returns: nothing is left to happen; the next event is later than
#: ``until``; rounds must be loaded; the calendar needs room; the budget of
#: instants is used up; a job is done; a duration beyond the range of time; the log
#: is full.
EMPTY, HORIZON, LOAD, CROWDED, PAUSE, COMPLETED, OVERFLOW, RECORDED = 0, 1, 2, 3, 4, 5, 6, 7

#: Kinds of records in the calendar.
ARRIVES, STARTS, ENDS, IS_REDUCED = 0, 1, 2, 3

#: ``mark`` of a transfer that waits for the next solve.
WAITING = -1

#: Lag of an instant in which nothing has happened yet: above all others, which are below 1.
NEVER = 2.0

PICO = 1e12
LONGEST = 4.0e18


@inlined
def dirty(s: State, f: Int) -> None:
    """Have f solved at the end of the instant."""
    if s.transfers[f, MARK] != WAITING:
        s.transfers[f, MARK] = WAITING
        if s.counters[DIRTY] == s.changed.size:
            make_room(s)
        s.changed[s.counters[DIRTY]] = f
        s.counters[DIRTY] += 1


@inlined
def compact(s: State) -> None:
    """Keep each dirty transfer that is still active, once."""
    kept = 0
    for j in range(s.counters[DIRTY]):
        f = s.changed[j]
        if s.transfers[f, MARK] == WAITING and s.transfers[f, STATUS] == ACTIVE:
            s.transfers[f, MARK] = 0
            s.changed[kept] = f
            kept += 1
    for j in range(kept):
        s.transfers[s.changed[j], MARK] = WAITING
    s.counters[DIRTY] = kept


@lean
def make_room(s: State) -> None:
    """`compact`, out of the way of those who hardly ever need it."""
    compact(s)


@inlined
def happens(s: State, lag: Float) -> None:
    """Something happens now, or rather ``lag`` picoseconds ago: the instant is the latest of them."""
    s.instant[0] = min(s.instant[0], lag)


@inlined
def arrived(s: State, f: Int, critical: Int, lag: Float) -> None:
    """One of those that transfer f waits for is there; the last one makes it ready."""
    now = s.counters[NOW]
    if s.transfers[f, ARRIVED] > 0 and s.transfers[f, START] == now:
        lag = min(lag, s.flows[f, LAG])
    s.flows[f, LAG] = lag
    s.transfers[f, START] = now
    s.transfers[f, ARRIVED] += 1
    needed = 2
    if s.fans.shape[0] > 1 and s.fans[f, NEEDED] > 0:
        needed = s.fans[f, NEEDED]
    if s.transfers[f, ARRIVED] == needed:
        s.transfers[f, ARRIVED] = 0
        s.transfers[f, STATUS] = PENDING
        s.transfers[f, CRITICAL] = critical
        s.transfers[f, START] = now + s.transfers[f, OVERHEAD] + s.transfers[f, LATENCY]
        if s.rounds[s.transfers[f, ROUND_OF], REPEAT] > 1:
            s.flows[f, LAG] = 0.0
        s.counters[BUSY] += 1
        push(s, s.transfers[f, START], f, STARTS)


@lean
def hand_on(s: State, f: Int, reduced: bool) -> None:
    """Tell those behind transfer f that it is through.

    Who shares its receiver waits until that has reduced what arrived; the others go on
    when the wire is done.
    """
    for j in range(s.fans[f, BEHIND_FROM], s.fans[f, BEHIND_TO]):
        g = s.fanned[j]
        receiver = s.transfers[f, DST]
        late = s.transfers[f, REDUCE] > 0 and (
            s.transfers[g, SRC] == receiver or s.transfers[g, DST] == receiver
        )
        if late == reduced:
            arrived(s, g, -2 - f, s.flows[f, LAG])


@inlined
def arm(s: State, r: Int) -> None:
    """Rank r has reached its repetition: count it in on its parts, start what is ready."""
    at = s.rounds[s.ranks[r, ROUND], ROW] + s.ranks[r, NUMBER]
    s.ranks[r, PENDING_PARTS] = s.starts[at + 1] - s.starts[at]
    s.ranks[r, STANDING] = RUNNING
    if s.rounds[s.ranks[r, ROUND], WATCH] == r:
        s.counters[WATCHED] = r + 1
    for j in range(s.starts[at], s.starts[at + 1]):
        arrived(s, s.parts[j], r, s.lags[r])


@lean
def advance(s: State, r: Int) -> None:
    """Rank r is through with its repetition: on to the next that has a part for it."""
    q = s.ranks[r, ROUND]
    at = s.rounds[q, ROW] + s.ranks[r, NUMBER]
    if s.ranks[r, REPETITION] + 1 < s.rounds[q, REPEAT] and s.starts[at + 1] > s.starts[at]:
        s.ranks[r, REPETITION] += 1
        arm(s, r)
        return
    while True:
        following = s.rounds[q, NEXT]
        if following == UNKNOWN:
            s.ranks[r, ROUND] = q
            s.ranks[r, REPETITION] = s.rounds[q, REPEAT] - 1
            s.ranks[r, STANDING] = STALLED
            s.jobs[s.ranks[r, JOB], RANKS_STALLED] += 1
            s.counters[STALLS] = 1
            return
        if following == LAST:
            s.ranks[r, STANDING] = FINISHED
            job = s.ranks[r, JOB]
            s.jobs[job, RANKS_LEFT] -= 1
            if s.jobs[job, RANKS_LEFT] == 0:
                s.jobs[job, ENDED] = s.counters[NOW]
                s.counters[JOBS_DONE] += 1
            return
        q = following
        at = s.rounds[q, ROW] + s.ranks[r, NUMBER]
        if s.starts[at + 1] > s.starts[at]:
            s.ranks[r, ROUND] = q
            s.ranks[r, REPETITION] = 0
            arm(s, r)
            return


@inlined
def part_done(s: State, r: Int, row: Int, lag: Float) -> None:
    """One of rank r's parts is done; the last one decides its critical path."""
    now = s.counters[NOW]
    s.lags[r] = min(s.lags[r], lag) if s.ranks[r, PART_AT] == now else lag
    s.ranks[r, PART_AT] = now
    s.ranks[r, PENDING_PARTS] -= 1
    if s.ranks[r, PENDING_PARTS] == 0:
        for c in range(s.row.shape[1]):
            s.account[r, c] = s.row[row, c]
        advance(s, r)


@lean
def note(s: State, f: Int, final: Int) -> None:
    """Record how transfer f has moved since its rate last changed."""
    n = s.counters[LOGGED]
    active = s.transfers[f, STATUS] == ACTIVE
    s.log[n, SLOT], s.log[n, TIME_OF] = f, s.transfers[f, DONE]
    s.log[n, BEGUN] = s.transfers[f, ANCHOR] if active else s.counters[NOW]
    s.log[n, UNTIL], s.log[n, FINAL] = s.counters[NOW], final
    s.log_rate[n] = s.flows[f, RATE] if active else 0.0
    s.counters[LOGGED] += 1


@inlined
def finish(s: State, f: Int) -> None:
    """Transfer f is through: free its links, account for it, tell both ends."""
    now = s.counters[NOW]
    lag = s.flows[f, LAG]
    happens(s, lag)
    if s.log.shape[0] > 0:
        note(s, f, 1)
    if s.transfers[f, STATUS] == ACTIVE:
        maxmin.unlink_entries(s, f)
        for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
            l = s.entries[e, LINK]
            at = s.lists[l, FIRST]
            while at >= 0:
                g = s.entries[at, OWNER]
                if s.transfers[g, LIMIT] == l:
                    dirty(s, g)
                at = s.entries[at, AFTER]
    s.transfers[f, MARK] = 0
    s.transfers[f, DONE] += 1
    s.counters[THROUGH] += 1
    s.rounds[s.transfers[f, ROUND_OF], LEFT] -= 1
    row = f if s.row.shape[0] > 1 else 0
    critical = s.transfers[f, CRITICAL]
    for c in range(s.row.shape[1]):
        s.row[row, c] = s.account[critical, c] if critical >= 0 else s.row[-2 - critical, c]
    s.row[row, OVERHEAD_SPENT] += s.transfers[f, OVERHEAD]
    s.row[row, LATENCY_SPENT] += s.transfers[f, LATENCY]
    s.row[row, CONTENTION] += now - s.transfers[f, START] - s.transfers[f, IDEAL]
    tier = s.transfers[f, TIER]
    s.row[row, CAPPED if tier < 0 else TIERS + tier] += s.transfers[f, IDEAL]
    fanned = s.fans.shape[0] > 1 and s.fans[f, NEEDED] > 0
    if s.transfers[f, REDUCE] > 0:
        s.transfers[f, STATUS] = REDUCING
        s.transfers[f, END] = now + s.transfers[f, REDUCE]
        push(s, s.transfers[f, END], f, IS_REDUCED)
        if fanned:
            hand_on(s, f, False)
        part_done(s, s.transfers[f, SRC], row, lag)
        return
    s.transfers[f, STATUS] = IDLE
    s.counters[BUSY] -= 1
    if fanned:
        hand_on(s, f, False)
        for j in range(s.fans[f, ENDS_FROM], s.fans[f, ENDS_TO]):
            part_done(s, s.fanned[j], row, lag)
        return
    part_done(s, s.transfers[f, SRC], row, lag)
    part_done(s, s.transfers[f, DST], row, lag)


@inlined
def happen(s: State, what: Int, kind: Int) -> None:
    """Process one record of the calendar at the current instant."""
    now = s.counters[NOW]
    if kind == ARRIVES:
        if s.ranks[what, STANDING] != ARRIVING:
            return
        q = s.ranks[what, ROUND]
        at = s.rounds[q, ROW] + s.ranks[what, NUMBER]
        if s.starts[at + 1] > s.starts[at]:
            arm(s, what)
        else:
            advance(s, what)
    elif kind == STARTS:
        if s.transfers[what, STATUS] != PENDING or s.transfers[what, START] != now:
            return
        if s.flows[what, PAYLOAD] <= 0.0:
            finish(s, what)
            return
        happens(s, s.flows[what, LAG])
        s.transfers[what, STATUS] = ACTIVE
        s.transfers[what, ANCHOR] = now
        s.flows[what, REMAINING] = s.flows[what, PAYLOAD]
        s.flows[what, RATE] = 0.0
        s.transfers[what, END] = -1
        s.transfers[what, LIMIT] = -1
        maxmin.link_entries(s, what)
        dirty(s, what)
    elif kind == ENDS:
        if s.transfers[what, STATUS] != ACTIVE or s.transfers[what, END] != now:
            return
        finish(s, what)
    else:
        if s.transfers[what, STATUS] != REDUCING or s.transfers[what, END] != now:
            return
        s.transfers[what, STATUS] = IDLE
        s.counters[BUSY] -= 1
        row = what if s.row.shape[0] > 1 else 0
        s.row[row, OVERHEAD_SPENT] += s.transfers[what, REDUCE]
        if s.fans.shape[0] > 1 and s.fans[what, NEEDED] > 0:
            hand_on(s, what, True)
        part_done(s, s.transfers[what, DST], row, s.flows[what, LAG])


@inlined
def apply(s: State, members: Int) -> bool:
    """Give the solved transfers their new rates and ends. False: beyond all time."""
    now, lag = s.counters[NOW], s.instant[0]
    for j in range(members):
        f = s.changed[j]
        new, old = s.flows[f, TRIAL], s.flows[f, RATE]
        s.transfers[f, MARK] = 0
        if abs(new - old) <= 0.1 * maxmin.RATE_TOLERANCE * old:
            continue
        if s.log.shape[0] > 0 and now > s.transfers[f, ANCHOR]:
            note(s, f, 0)
        moving = (now - s.transfers[f, ANCHOR]) - (lag - s.flows[f, ANCHOR_LAG])
        s.flows[f, REMAINING] -= old * (moving / PICO)
        s.transfers[f, ANCHOR] = now
        s.flows[f, ANCHOR_LAG] = lag
        s.flows[f, RATE] = new
        if new <= 0.0:
            s.transfers[f, END] = -1
            continue
        exact = s.flows[f, REMAINING] * PICO / new - lag
        if exact > LONGEST:
            return False
        span = max(0, math.ceil(exact - TICK))
        s.transfers[f, END] = now + span
        at_one_rate = lag == 0.0 and s.flows[f, REMAINING] == s.flows[f, PAYLOAD]
        repeats = s.rounds[s.transfers[f, ROUND_OF], REPEAT] > 1
        s.flows[f, LAG] = 0.0 if at_one_rate or repeats else span - exact
        push(s, s.transfers[f, END], f, ENDS)
    return True


@lean
def arrive(s: State, first: Int, count: Int) -> None:
    """Note the arrivals of a job's ranks."""
    for r in range(first, first + count):
        push(s, s.ranks[r, ARRIVAL], r, ARRIVES)


@lean
def rebuild(s: State) -> None:
    """Fill the calendar anew from the transfers' and ranks' state, without stale records."""
    clear(s)
    for r in range(s.ranks.shape[0]):
        if s.ranks[r, STANDING] == ARRIVING and s.ranks[r, ARRIVAL] >= 0:
            push(s, s.ranks[r, ARRIVAL], r, ARRIVES)
    for f in range(s.transfers.shape[0]):
        if s.transfers[f, STATUS] == PENDING:
            push(s, s.transfers[f, START], f, STARTS)
        elif s.transfers[f, STATUS] == ACTIVE:
            if s.transfers[f, END] >= 0:
                push(s, s.transfers[f, END], f, ENDS)
        elif s.transfers[f, STATUS] == REDUCING:
            push(s, s.transfers[f, END], f, IS_REDUCED)


@lean
def run(s: State, until: Int, budget: Int) -> Int:
    """Process instants up to and including ``until``; say why it stopped.

    ``budget`` bounds the number of instants, so that the caller can look at the
    keyboard. After LOAD, CROWDED or PAUSE the state is whole: call again.
    """
    counters = s.counters
    for _ in range(budget):
        # An instant notes each transfer twice at most: when it is solved, and when it ends.
        if s.log.shape[0] > 0 and counters[LOGGED] > s.log.shape[0] - 2 * s.transfers.shape[0]:
            return RECORDED
        if counters[STALLS]:
            counters[STALLS] = 0
            return LOAD
        when = earliest(s)
        if counters[DIRTY] > 0 and when > counters[NOW]:
            if counters[RECORDS_LEFT] < 2 * s.transfers.shape[0] + 64:
                return CROWDED
            compact(s)
            if counters[DIRTY] > 0:
                members = maxmin.solve(s, counters[DIRTY])
                counters[DIRTY] = 0
                counters[SOLVES] += 1
                if not apply(s, members):
                    return OVERFLOW
            continue
        if counters[WATCHED] > 0:
            watched = counters[WATCHED] - 1
            counters[WATCHED] = 0
            if counters[FORWARD] and look(s, watched, until):
                rebuild(s)
                continue
        if counters[JOBS_DONE] > 0:
            counters[JOBS_DONE] = 0
            return COMPLETED
        if when == FOREVER:
            return EMPTY
        if when > until:
            if until > counters[NOW]:
                counters[NOW] = until
                s.instant[0] = NEVER
            return HORIZON
        if counters[RECORDS_LEFT] < 2 * s.transfers.shape[0] + 64:
            return CROWDED
        if when != counters[NOW]:
            counters[NOW] = when
            s.instant[0] = NEVER
        record = take(s)
        while record >= 0:
            what, kind = s.calendar[record, WHAT], s.calendar[record, KIND]
            record = release(s, record)
            counters[EVENTS] += 1
            happen(s, what, kind)
    return PAUSE


@lean
def resume(s: State, first: Int, count: Int) -> None:
    """Rounds have been loaded: let the stalled ranks of a job go on."""
    for r in range(first, first + count):
        if s.ranks[r, STANDING] == STALLED:
            s.jobs[s.ranks[r, JOB], RANKS_STALLED] -= 1
            advance(s, r)
