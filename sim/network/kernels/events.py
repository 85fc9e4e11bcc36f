"""The event loop of the fluid network.

An instant is processed in three steps, each whole before the next:

1. everything the calendar holds for it: ranks arrive, transfers start, end, or
   have been reduced; what that makes ready for the same instant is taken too;
2. rates are solved once, for those whose certificate changed (`maxmin`);
3. transfers whose rate changed get a new (anchor, remaining, rate) and a new end,
   ``ceil(remaining / rate - TICK)`` picoseconds from now.

A rank reaches a repetition when all its parts of the one before are done; a
transfer is ready when both its ends have reached its repetition.
"""

from __future__ import annotations

import math

from sim.compiled import compiled
from sim.network.kernels import maxmin
from sim.network.kernels.calendar import clear, push, release, take
from sim.network.kernels.maxplus import CAPPED, CONTENTION, LATENCY, OVERHEAD, TIERS
from sim.network.kernels.recurrence import jump, same, save
from sim.network.kernels.state import (
    ACTIVE,
    ARRIVING,
    FINISHED,
    IDLE,
    LAST,
    PENDING,
    REDUCING,
    RUNNING,
    STALLED,
    UNKNOWN,
)
from sim.transfers import TICK

__all__ = ["COMPLETED", "EMPTY", "HORIZON", "LOAD", "OVERFLOW", "PAUSE", "ROOM", "rebuild", "resume", "run"]

#: Why `run` returns: nothing is left to happen; the next event is later than
#: ``until``; rounds must be loaded; the calendar needs room; the budget of
#: instants is used up; a job is done; a duration beyond the range of time.
EMPTY, HORIZON, LOAD, ROOM, PAUSE, COMPLETED, OVERFLOW = 0, 1, 2, 3, 4, 5, 6

#: Kinds of records in the calendar.
ARRIVE, START, END, REDUCED = 0, 1, 2, 3

#: ``counters``: now, events taken, solves, the solver's stamp, transfers solved,
#: transfers dirty, transfers through, transfers not idle, jobs done, a stall.
NOW, EVENTS, SOLVES, STAMP, SOLVED, DIRTY, THROUGH, BUSY, JOBS_DONE, STALLS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
#: A watched rank that has just reached a repetition (+ 1), repetitions jumped,
#: whether fast-forward is on.
WATCHED, JUMPED, FORWARD = 10, 11, 12

#: ``mark`` of a transfer that waits for the next solve.
WAITING = -1

PICO = 1e12
LONGEST = 4.0e18


@compiled
def dirty(f, transfers, scratch):  # type: ignore[no-untyped-def]
    """Have f solved at the end of the instant."""
    if transfers.mark[f] != WAITING:
        transfers.mark[f] = WAITING
        if scratch.counters[DIRTY] == scratch.changed.size:
            compact(transfers, scratch)
        scratch.changed[scratch.counters[DIRTY]] = f
        scratch.counters[DIRTY] += 1


@compiled
def compact(transfers, scratch):  # type: ignore[no-untyped-def]
    """Keep each dirty transfer that is still active, once."""
    kept = 0
    for j in range(scratch.counters[DIRTY]):
        f = scratch.changed[j]
        if transfers.mark[f] == WAITING and transfers.status[f] == ACTIVE:
            transfers.mark[f] = 0
            scratch.changed[kept] = f
            kept += 1
    for j in range(kept):
        transfers.mark[scratch.changed[j]] = WAITING
    scratch.counters[DIRTY] = kept


@compiled
def arm(r, transfers, ranks, rounds, starts, parts, calendar, scratch):  # type: ignore[no-untyped-def]
    """Rank r has reached its repetition: count it in on its parts, start what is ready."""
    at = rounds.row[ranks.round[r]] + ranks.number[r]
    ranks.pending[r] = starts[at + 1] - starts[at]
    ranks.state[r] = RUNNING
    if rounds.watch[ranks.round[r]] == r:
        scratch.counters[WATCHED] = r + 1
    now = scratch.counters[NOW]
    for j in range(starts[at], starts[at + 1]):
        f = parts[j]
        transfers.arrived[f] += 1
        if transfers.arrived[f] == 2:
            transfers.arrived[f] = 0
            transfers.status[f] = PENDING
            transfers.critical[f] = r
            transfers.start[f] = now + transfers.overhead[f] + transfers.latency[f]
            scratch.counters[BUSY] += 1
            push(calendar, transfers.start[f], f, START)


@compiled
def advance(r, transfers, ranks, rounds, starts, parts, calendar, scratch):  # type: ignore[no-untyped-def]
    """Rank r is through with its repetition: on to the next that has a part for it."""
    q = ranks.round[r]
    at = rounds.row[q] + ranks.number[r]
    if ranks.repetition[r] + 1 < rounds.repeat[q] and starts[at + 1] > starts[at]:
        ranks.repetition[r] += 1
        arm(r, transfers, ranks, rounds, starts, parts, calendar, scratch)
        return
    while True:
        following = rounds.next[q]
        if following == UNKNOWN:
            ranks.round[r] = q
            ranks.repetition[r] = rounds.repeat[q] - 1
            ranks.state[r] = STALLED
            scratch.job_stalled[ranks.job[r]] += 1
            scratch.counters[STALLS] = 1
            return
        if following == LAST:
            ranks.state[r] = FINISHED
            job = ranks.job[r]
            scratch.job_left[job] -= 1
            if scratch.job_left[job] == 0:
                scratch.job_done[job] = scratch.counters[NOW]
                scratch.counters[JOBS_DONE] += 1
            return
        q = following
        at = rounds.row[q] + ranks.number[r]
        if starts[at + 1] > starts[at]:
            ranks.round[r] = q
            ranks.repetition[r] = 0
            arm(r, transfers, ranks, rounds, starts, parts, calendar, scratch)
            return


@compiled
def part_done(r, row, transfers, ranks, rounds, starts, parts, calendar, scratch):  # type: ignore[no-untyped-def]
    """One of rank r's parts is done; the last one decides its critical path."""
    ranks.pending[r] -= 1
    if ranks.pending[r] == 0:
        ranks.account[r, :] = scratch.account[row, :]
        advance(r, transfers, ranks, rounds, starts, parts, calendar, scratch)


@compiled
def finish(f, transfers, entries, links, ranks, rounds, starts, parts, calendar, scratch):  # type: ignore[no-untyped-def]  # noqa: E501
    """Transfer f is through: free its links, account for it, tell both ends."""
    now = scratch.counters[NOW]
    if transfers.status[f] == ACTIVE:
        maxmin.unlink_entries(f, transfers, entries, links)
        for e in range(transfers.entry[f], transfers.entry[f] + transfers.entries[f]):
            l = entries.link[e]
            at = links.first[l]
            while at >= 0:
                g = entries.owner[at]
                if transfers.limit[g] == l:
                    dirty(g, transfers, scratch)
                at = entries.after[at]
    transfers.mark[f] = 0
    transfers.done[f] += 1
    scratch.counters[THROUGH] += 1
    rounds.left[transfers.round[f]] -= 1
    row = f if scratch.account.shape[0] > 1 else 0
    critical = transfers.critical[f]
    for c in range(scratch.account.shape[1]):
        scratch.account[row, c] = ranks.account[critical, c]
    scratch.account[row, OVERHEAD] += transfers.overhead[f]
    scratch.account[row, LATENCY] += transfers.latency[f]
    scratch.account[row, CONTENTION] += now - transfers.start[f] - transfers.ideal[f]
    tier = transfers.tier[f]
    scratch.account[row, CAPPED if tier < 0 else TIERS + tier] += transfers.ideal[f]
    if transfers.reduce[f] > 0:
        transfers.status[f] = REDUCING
        transfers.end[f] = now + transfers.reduce[f]
        push(calendar, transfers.end[f], f, REDUCED)
        part_done(transfers.src[f], row, transfers, ranks, rounds, starts, parts, calendar, scratch)
        return
    transfers.status[f] = IDLE
    scratch.counters[BUSY] -= 1
    part_done(transfers.src[f], row, transfers, ranks, rounds, starts, parts, calendar, scratch)
    part_done(transfers.dst[f], row, transfers, ranks, rounds, starts, parts, calendar, scratch)


@compiled
def happen(what, kind, transfers, entries, links, ranks, rounds, starts, parts, calendar, scratch):  # type: ignore[no-untyped-def]  # noqa: E501
    """Process one record of the calendar at the current instant."""
    now = scratch.counters[NOW]
    if kind == ARRIVE:
        q = ranks.round[what]
        at = rounds.row[q] + ranks.number[what]
        if starts[at + 1] > starts[at]:
            arm(what, transfers, ranks, rounds, starts, parts, calendar, scratch)
        else:
            advance(what, transfers, ranks, rounds, starts, parts, calendar, scratch)
    elif kind == START:
        if transfers.status[what] != PENDING or transfers.start[what] != now:
            return
        if transfers.payload[what] <= 0.0:
            finish(what, transfers, entries, links, ranks, rounds, starts, parts, calendar, scratch)
            return
        transfers.status[what] = ACTIVE
        transfers.anchor[what] = now
        transfers.remaining[what] = transfers.payload[what]
        transfers.rate[what] = 0.0
        transfers.end[what] = -1
        transfers.limit[what] = -1
        maxmin.link_entries(what, transfers, entries, links)
        dirty(what, transfers, scratch)
    elif kind == END:
        if transfers.status[what] != ACTIVE or transfers.end[what] != now:
            return
        finish(what, transfers, entries, links, ranks, rounds, starts, parts, calendar, scratch)
    else:
        if transfers.status[what] != REDUCING or transfers.end[what] != now:
            return
        transfers.status[what] = IDLE
        scratch.counters[BUSY] -= 1
        row = what if scratch.account.shape[0] > 1 else 0
        scratch.account[row, OVERHEAD] += transfers.reduce[what]
        part_done(transfers.dst[what], row, transfers, ranks, rounds, starts, parts, calendar, scratch)


@compiled
def apply(members, transfers, calendar, scratch):  # type: ignore[no-untyped-def]
    """Give the solved transfers their new rates and ends. False: beyond all time."""
    now = scratch.counters[NOW]
    for j in range(members):
        f = scratch.changed[j]
        new, old = transfers.trial[f], transfers.rate[f]
        transfers.mark[f] = 0
        if abs(new - old) <= 0.1 * maxmin.RATE_TOLERANCE * old:
            continue
        transfers.remaining[f] -= old * ((now - transfers.anchor[f]) / PICO)
        transfers.anchor[f] = now
        transfers.rate[f] = new
        if new <= 0.0:
            transfers.end[f] = -1
            continue
        span = math.ceil(transfers.remaining[f] * PICO / new - TICK)
        if span > LONGEST:
            return False
        transfers.end[f] = now + max(0, int(span))
        push(calendar, transfers.end[f], f, END)
    return True


@compiled
def rebuild(arrivals, transfers, ranks, calendar):  # type: ignore[no-untyped-def]
    """Fill the calendar anew from the transfers' and ranks' state, without stale records."""
    clear(calendar)
    for r in range(arrivals.size):
        if ranks.state[r] == ARRIVING and arrivals[r] >= 0:
            push(calendar, arrivals[r], r, ARRIVE)
    for f in range(transfers.status.size):
        if transfers.status[f] == PENDING:
            push(calendar, transfers.start[f], f, START)
        elif transfers.status[f] == ACTIVE:
            if transfers.end[f] >= 0:
                push(calendar, transfers.end[f], f, END)
        elif transfers.status[f] == REDUCING:
            push(calendar, transfers.end[f], f, REDUCED)


@compiled
def look(watched, until, transfers, ranks, rounds, scratch, snapshot):  # type: ignore[no-untyped-def]
    """Compare the state with the remembered one and jump if it is the same.

    Returns whether time has moved; else the state may have been remembered, each
    time an eighth later than the last.
    """
    counters = scratch.counters
    now = counters[NOW]
    q = ranks.round[watched]
    first, count, base = rounds.first[q], rounds.count[q], rounds.base[q]
    if count > snapshot.status.size:
        return False
    repetition = ranks.repetition[watched]
    if snapshot.at[2] == q and repetition > snapshot.at[1]:
        if same(now, watched, counters[BUSY], base, first, count, transfers, ranks, snapshot):
            moved, repetitions, through = jump(
                now, until, watched, base, first, count, transfers, ranks, rounds, snapshot
            )
            snapshot.at[2] = -1
            if repetitions > 0:
                counters[NOW] += moved
                counters[JUMPED] += repetitions
                counters[THROUGH] += through
                return True
    if snapshot.at[2] != q or repetition >= snapshot.at[1] + 1 + snapshot.at[1] // 8:
        save(now, watched, q, base, first, count, transfers, ranks, snapshot)
    return False


@compiled
def run(until, budget, transfers, entries, links, ranks, rounds, starts, parts, arrivals, calendar, scratch, snapshot):  # type: ignore[no-untyped-def]  # noqa: E501
    """Process instants up to and including ``until``; say why it stopped.

    ``budget`` bounds the number of instants, so that the caller can look at the
    keyboard. After LOAD, ROOM or PAUSE the state is whole: call again.
    """
    counters = scratch.counters
    for _ in range(budget):
        if counters[STALLS]:
            counters[STALLS] = 0
            return LOAD
        more = calendar.size[0] > 0
        if counters[DIRTY] > 0 and not (more and calendar.when[calendar.heap[0]] <= counters[NOW]):
            if calendar.size[3] < 2 * transfers.src.size + 64:
                return ROOM
            compact(transfers, scratch)
            if counters[DIRTY] > 0:
                members = maxmin.solve(counters[DIRTY], transfers, entries, links, scratch)
                counters[DIRTY] = 0
                counters[SOLVES] += 1
                if not apply(members, transfers, calendar, scratch):
                    return OVERFLOW
            continue
        if counters[WATCHED] > 0:
            watched = counters[WATCHED] - 1
            counters[WATCHED] = 0
            if counters[FORWARD] and look(watched, until, transfers, ranks, rounds, scratch, snapshot):
                rebuild(arrivals, transfers, ranks, calendar)
                continue
        if counters[JOBS_DONE] > 0:
            counters[JOBS_DONE] = 0
            return COMPLETED
        if not more:
            return EMPTY
        when = calendar.when[calendar.heap[0]]
        if when > until:
            counters[NOW] = max(counters[NOW], until)
            return HORIZON
        if calendar.size[3] < 2 * transfers.src.size + 64:
            return ROOM
        counters[NOW] = when
        record = take(calendar)
        while record >= 0:
            what, kind = calendar.what[record], calendar.kind[record]
            record = release(calendar, record)
            counters[EVENTS] += 1
            happen(what, kind, transfers, entries, links, ranks, rounds, starts, parts, calendar, scratch)
    return PAUSE


@compiled
def resume(first, count, transfers, ranks, rounds, starts, parts, calendar, scratch):  # type: ignore[no-untyped-def]
    """Rounds have been loaded: let the stalled ranks of a job go on."""
    for r in range(first, first + count):
        if ranks.state[r] == STALLED:
            scratch.job_stalled[ranks.job[r]] -= 1
            advance(r, transfers, ranks, rounds, starts, parts, calendar, scratch)
