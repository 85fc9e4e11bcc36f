"""Ranks and transfers make each other ready.

A rank reaches a repetition when all its parts of the one before are done; a
transfer is ready when both its ends have reached its repetition (or all of them,
and those before it are through: `fans`).
"""

from __future__ import annotations

from sim.compiled import inlined, lean
from sim.network.kernels.ahead import fetch_links, fetch_path, look_further, prepare
from sim.network.kernels.calendar import push
from sim.network.kernels.script import note_coming
from sim.network.kernels.state import (
    ARRIVED,
    BEHIND_FROM,
    BEHIND_TO,
    BUSY,
    CRITICAL,
    DST,
    ENDED,
    FINISHED,
    FROM,
    JOB,
    JOBS_DONE,
    LAG,
    LAST,
    LATENCY,
    NEEDED,
    NEXT,
    NOW,
    NUMBER,
    OVERHEAD,
    PART_AT,
    PENDING,
    PENDING_PARTS,
    RANK_LAG,
    RANKS_LEFT,
    RANKS_STALLED,
    REDUCE,
    REPEAT,
    REPETITION,
    ROUND,
    ROUND_OF,
    ROW,
    RUNNING,
    SCRIPTED,
    SINGLY,
    SPANNED,
    SPREAD,
    SRC,
    STALLED,
    STALLS,
    STANDING,
    START,
    STARTS,
    STATUS,
    TO,
    UNKNOWN,
    UNSCRIPTED,
    WATCH,
    WATCHED,
    WHOLE_FROM,
    WHOLE_TO,
    Float,
    Int,
    State,
)

__all__ = ["advance", "hand_on", "part_done", "whole"]


@inlined
def whole(s: State, f: Int) -> bool:
    """Whether transfer f, ready or under way, ends on a whole picosecond, as where rounds repeat."""
    q = s.tags[f, ROUND_OF]
    # Its sender is in its repetition until it ends.
    repetition = s.ranks[s.tags[f, SRC], REPETITION] if s.rounds[q, SPANNED] else 0
    return bool(s.rounds[q, WHOLE_FROM] <= repetition and repetition < s.rounds[q, WHOLE_TO])


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
        if whole(s, f):
            s.flows[f, LAG] = 0.0
        s.counters[BUSY] += 1
        push(s, s.transfers[f, START], f, STARTS)
        if s.counters[SPREAD] == SINGLY:
            fetch_links(s, f)
    elif s.counters[SPREAD] == SINGLY:
        fetch_path(s, f)


@lean
def hand_on(s: State, f: Int, reduced: bool) -> None:
    """Tell those behind transfer f that it is through.

    Who shares its receiver waits until that has reduced what arrived; the others go on
    when the wire is done.
    """
    for j in range(s.fans[f, BEHIND_FROM], s.fans[f, BEHIND_TO]):
        g = s.fanned[j]
        receiver = s.tags[f, DST]
        late = s.transfers[f, REDUCE] > 0 and (s.tags[g, SRC] == receiver or s.tags[g, DST] == receiver)
        if late == reduced:
            arrived(s, g, -2 - f, s.flows[f, LAG])


@inlined
def stands(s: State, j: Int, repetition: Int) -> bool:
    """Whether part j stands in this repetition of its round."""
    return bool(s.spans[j, FROM] <= repetition and repetition < s.spans[j, TO])


@lean
def following_repetition(s: State, q: Int, at: Int, repetition: Int) -> Int:
    """The first repetition of round q, from this one on, in which the rank whose parts ``at`` tells has one.

    Not below `REPEAT` of the round where there is none.
    """
    if s.starts[at + 1] == s.starts[at]:
        return s.rounds[q, REPEAT]
    if not s.rounds[q, SPANNED]:
        return repetition
    found = s.rounds[q, REPEAT]
    for j in range(s.starts[at], s.starts[at + 1]):
        if repetition < s.spans[j, TO]:
            found = min(found, max(repetition, s.spans[j, FROM]))
    return found


@inlined
def arm(s: State, r: Int) -> None:
    """Rank r has reached its repetition: count it in on its parts, start what is ready."""
    at = s.rounds[s.ranks[r, ROUND], ROW] + s.ranks[r, NUMBER]
    spanned = s.rounds[s.ranks[r, ROUND], SPANNED]
    if spanned:
        s.ranks[r, PENDING_PARTS] = 0
        for j in range(s.starts[at], s.starts[at + 1]):
            if stands(s, j, s.ranks[r, REPETITION]):
                s.ranks[r, PENDING_PARTS] += 1
    else:
        s.ranks[r, PENDING_PARTS] = s.starts[at + 1] - s.starts[at]
    s.ranks[r, STANDING] = RUNNING
    if s.rounds[s.ranks[r, ROUND], WATCH] == r:
        s.counters[WATCHED] = r + 1
    if s.counters[SCRIPTED] != UNSCRIPTED:
        note_coming(s, r)
    if s.counters[SPREAD] == SINGLY:
        look_further(s, r)
    for j in range(s.starts[at], s.starts[at + 1]):
        if not spanned or stands(s, j, s.ranks[r, REPETITION]):
            arrived(s, s.parts[j], r, s.lags[r, RANK_LAG])


@lean
def advance(s: State, r: Int) -> None:
    """Rank r is through with its repetition: on to the next that has a part for it."""
    q = s.ranks[r, ROUND]
    at = s.rounds[q, ROW] + s.ranks[r, NUMBER]
    s.ranks[r, REPETITION] = following_repetition(s, q, at, s.ranks[r, REPETITION] + 1)
    while s.ranks[r, REPETITION] >= s.rounds[q, REPEAT]:
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
        s.ranks[r, ROUND] = q
        s.ranks[r, REPETITION] = following_repetition(s, q, at, 0)
    arm(s, r)


@lean
def part_done(s: State, r: Int, row: Int, lag: Float) -> None:
    """One of rank r's parts is done; the last one decides its critical path."""
    now = s.counters[NOW]
    s.lags[r, RANK_LAG] = min(s.lags[r, RANK_LAG], lag) if s.ranks[r, PART_AT] == now else lag
    s.ranks[r, PART_AT] = now
    s.ranks[r, PENDING_PARTS] -= 1
    if s.ranks[r, PENDING_PARTS] == 0:
        for c in range(s.row.shape[1]):
            s.account[r, c] = s.row[row, c]
        advance(s, r)
    elif s.counters[SPREAD] == SINGLY and s.ranks[r, PENDING_PARTS] == 1:
        prepare(s, r)
