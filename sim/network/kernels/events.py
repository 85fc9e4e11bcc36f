"""The event loop of the fluid network.

An instant is processed in three steps, each whole before the next:

1. everything the calendar holds for it: ranks arrive, transfers start, end, or
   have been reduced (`ranks`, `under_way`); what that makes ready for the same instant is
   taken too;
2. rates are solved once, for those whose certificate changed (`maxmin`);
3. transfers whose rate changed get a new (anchor, remaining, rate) and a new end,
   ``ceil(remaining / rate - TICK)`` picoseconds from now.
"""

from __future__ import annotations

from sim.clock import FOREVER
from sim.compiled import lean
from sim.network.kernels.ahead import (
    GAP,
    fetch,
    fetch_ends,
    fetch_links,
    fetch_neighbours,
    fetch_owners,
    fetch_parts,
    fetch_path,
    fetch_row,
    outgrown,
)
from sim.network.kernels.calendar import clear, earliest, peek, push, take
from sim.network.kernels.maxmin import solve
from sim.network.kernels.moves import OVERHEAD as OVERHEAD_SPENT
from sim.network.kernels.ranks import advance, hand_on, part_done
from sim.network.kernels.recurrence import FEW, MOVED, look
from sim.network.kernels.state import (
    ACTIVE,
    ARRIVES,
    ARRIVING,
    BUSY,
    CHANGES,
    CHECKS,
    DIRTY,
    DST,
    END,
    ENDS,
    EVENTS,
    FOLLOWING_IT,
    FORWARD,
    IDLE,
    IS_REDUCED,
    JOB,
    JOBS_DONE,
    KIND,
    LAG,
    LOGGED,
    NEEDED,
    NEVER,
    NOW,
    PART_AT,
    PAYLOAD,
    PENDING,
    RANKS_STALLED,
    RECORDS_LEFT,
    REDUCE,
    REDUCING,
    REPETITION,
    ROUND,
    SCRIPTED,
    SINGLY,
    SOLVES,
    SPREAD,
    SRC,
    STALLED,
    STALLS,
    STANDING,
    START,
    STARTS,
    STATUS,
    TOGETHER,
    WATCHED,
    WHAT,
    Int,
    State,
)
from sim.network.kernels.strangers import act, gather, holds
from sim.network.kernels.under_way import apply, compact, finish, start

__all__ = [
    "BROKEN",
    "COMPLETED",
    "CROWDED",
    "EMPTY",
    "HORIZON",
    "LOAD",
    "OVERFLOW",
    "PAUSE",
    "RECORDED",
    "TRANSIENT",
    "arrive",
    "rebuild",
    "resume",
    "run",
]

#: Why `run` returns: nothing is left to happen; the next event is later than
#: ``until``; rounds must be loaded; the calendar needs room; the budget of
#: instants is used up; a job is done; a duration beyond the range of time; the log
#: is full; only a few have done otherwise than in the repetition before; in a front, a
#: stranger cannot do what the script says.
EMPTY, HORIZON, LOAD, CROWDED, PAUSE, COMPLETED, OVERFLOW, RECORDED, TRANSIENT, BROKEN = range(10)


#: Stages of `look_ahead`.
LOOKS = 5

#: Records of an instant from which on it looks ahead.
SEVERAL = 8


@lean
def look_ahead(s: State, i: Int, count: Int) -> None:
    """Ask for what records i + GAP ... i + 5 GAP of those due will need, each at its stage.

    The furthest one's row first, then its entries, their links, the first entries there and
    the transfers these belong to: an end looks for those it has limited, a start is put
    before them. An end also lets its ranks go on: their rows, where their next parts
    stand, those parts, and the transfers these are.
    """
    j = i + LOOKS * GAP
    if j < count:
        if s.due[j, KIND] == ARRIVES:
            fetch(s.ranks, s.due[j, WHAT], ROUND)
        else:
            fetch_row(s, s.due[j, WHAT])
    for stage in range(1, LOOKS):
        j = i + (LOOKS - stage) * GAP
        if j < 0 or j >= count or s.due[j, KIND] == ARRIVES:
            continue
        f = s.due[j, WHAT]
        if stage == 1:
            fetch_path(s, f)
        elif stage == 2:
            fetch_links(s, f)
        elif stage == 3:
            fetch_neighbours(s, f)
        else:
            fetch_owners(s, f)
        # Of a record out of date the ranks may be elsewhere by now.
        if s.due[j, KIND] == ENDS and s.transfers[f, STATUS] == ACTIVE:
            if stage == 1:
                fetch_ends(s, f)
            else:
                fetch_parts(s, s.tags[f, SRC], stage)
                fetch_parts(s, s.tags[f, DST], stage)


@lean
def happen(s: State, what: Int, kind: Int) -> None:
    """Process one record of the calendar at the current instant."""
    now = s.counters[NOW]
    if kind == ARRIVES:
        if s.ranks[what, STANDING] != ARRIVING:
            return
        s.ranks[what, PART_AT] = -1
        s.ranks[what, REPETITION] -= 1
        advance(s, what)
    elif kind == CHANGES:
        act(s, what)
    elif kind != IS_REDUCED:
        if kind == STARTS:
            if s.transfers[what, STATUS] != PENDING or s.transfers[what, START] != now:
                return
            if s.flows[what, PAYLOAD] > 0.0:
                start(s, what)
                return
        elif s.transfers[what, STATUS] != ACTIVE or s.transfers[what, END] != now:
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
        part_done(s, s.tags[what, DST], row, s.flows[what, LAG])


@lean
def arrive(s: State, first: Int, count: Int) -> None:
    """Note the arrivals of a job's ranks."""
    for r in range(first, first + count):
        push(s, s.ranks[r, PART_AT], r, ARRIVES)


@lean
def rebuild(s: State) -> None:
    """Fill the calendar anew from the transfers' and ranks' state, without stale records."""
    clear(s)
    for r in range(s.ranks.shape[0]):
        if s.ranks[r, STANDING] == ARRIVING and s.ranks[r, PART_AT] >= 0:
            push(s, s.ranks[r, PART_AT], r, ARRIVES)
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
    spread = outgrown(s)
    counters[SPREAD] = SINGLY if spread else 0
    for _ in range(budget):
        # An instant notes each transfer twice at most: when it is solved, and when it ends.
        if s.log.shape[0] > 0 and counters[LOGGED] > s.log.shape[0] - 2 * s.transfers.shape[0]:
            return RECORDED
        if counters[STALLS]:
            counters[STALLS] = 0
            return LOAD
        when = earliest(s)
        if (counters[DIRTY] > 0 or counters[CHECKS] > 0) and when > counters[NOW]:
            if counters[RECORDS_LEFT] < 2 * s.transfers.shape[0] + 64:
                return CROWDED
            if counters[SCRIPTED] == FOLLOWING_IT:
                gather(s)
            compact(s)
            members = 0
            if counters[DIRTY] > 0:
                members = solve(s, counters[DIRTY])
                counters[DIRTY] = 0
                counters[SOLVES] += 1
                if spread:
                    peek(s, 2)
                if not apply(s, members):
                    return OVERFLOW
                if spread:
                    peek(s, 3)
            if counters[SCRIPTED] == FOLLOWING_IT and not holds(s, members):
                return BROKEN
            continue
        if counters[WATCHED] > 0 and when > counters[NOW]:
            watched = counters[WATCHED] - 1
            counters[WATCHED] = 0
            if counters[FORWARD]:
                found = look(s, watched, until)
                if found == MOVED:
                    rebuild(s)
                    continue
                if found == FEW:
                    return TRANSIENT
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
        count = take(s)
        counters[EVENTS] += count
        if spread:
            peek(s, 0)
        ahead = spread and count >= SEVERAL
        if spread:
            counters[SPREAD] = TOGETHER if ahead else SINGLY
        for i in range(-LOOKS * GAP if ahead else 0, count):
            if ahead:
                look_ahead(s, i, count)
            if i >= 0:
                happen(s, s.due[i, WHAT], s.due[i, KIND])
        if spread:
            peek(s, 1)
    return PAUSE


@lean
def resume(s: State, first: Int, count: Int) -> None:
    """Rounds have been loaded: let the stalled ranks of a job go on."""
    for r in range(first, first + count):
        if s.ranks[r, STANDING] == STALLED:
            s.jobs[s.ranks[r, JOB], RANKS_STALLED] -= 1
            advance(s, r)
