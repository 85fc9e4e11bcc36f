"""Transfers under way: how they start, change their rate and end.

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

from sim.compiled import inlined, lean
from sim.network.kernels.ahead import FAR, MANY, fetch, fetch_links, fetch_path
from sim.network.kernels.calendar import push
from sim.network.kernels.maxmin import RATE_TOLERANCE, link_entries, unlink_entries
from sim.network.kernels.moves import CAPPED, CONTENTION, TIERS
from sim.network.kernels.moves import LATENCY as LATENCY_SPENT
from sim.network.kernels.moves import OVERHEAD as OVERHEAD_SPENT
from sim.network.kernels.ranks import hand_on, part_done, whole
from sim.network.kernels.script import write_line
from sim.network.kernels.state import (
    ACTIVE,
    AFTER,
    ANCHOR,
    ANCHOR_LAG,
    BEGUN,
    BUSY,
    CHANGES,
    CRITICAL,
    DIRTY,
    DONE,
    DST,
    END,
    ENDS,
    ENDS_FROM,
    ENDS_TO,
    ENTRIES,
    ENTRY,
    FINAL,
    FIRST,
    IDEAL,
    IDLE,
    IS_REDUCED,
    LAG,
    LATENCY,
    LEFT,
    LIMIT,
    LINK,
    LOGGED,
    MARK,
    NEEDED,
    NOW,
    OVERHEAD,
    OWNER,
    PAYLOAD,
    RATE,
    REDUCE,
    REDUCING,
    REMAINING,
    ROUND_OF,
    SCRIPTED,
    SINGLY,
    SLOT,
    SPREAD,
    SRC,
    START,
    STARTS,
    STATUS,
    THROUGH,
    TIER,
    TIME_OF,
    TRIAL,
    UNTIL,
    WRITING,
    Float,
    Int,
    State,
)
from sim.transfers import TICK

__all__ = ["apply", "compact", "dirty", "finish", "have_solved", "start"]

#: ``mark`` of a transfer that waits for the next solve.
WAITING = -1

PICO = 1e12
LONGEST = 4.0e18


@inlined
def dirty(s: State, f: Int) -> None:
    """Have f solved at the end of the instant."""
    if s.transfers[f, MARK] != WAITING:
        s.transfers[f, MARK] = WAITING
        if s.counters[DIRTY] == s.changed.size:
            compact(s)
        s.changed[s.counters[DIRTY]] = f
        s.counters[DIRTY] += 1


@lean
def have_solved(s: State, l: Int) -> None:
    """Have everybody on link l solved at the end of the instant."""
    at = s.lists[l, FIRST]
    while at >= 0:
        dirty(s, s.entries[at, OWNER])
        at = s.entries[at, AFTER]


@lean
def compact(s: State) -> None:
    """Keep each dirty transfer that is still active, once."""
    kept = 0
    members = s.counters[DIRTY]
    near = members < MANY and s.counters[SPREAD] > 0
    for j in range(members):
        if members >= MANY and j + FAR < members:
            fetch(s.transfers, s.changed[j + FAR], STATUS)
        f = s.changed[j]
        if s.transfers[f, MARK] == WAITING and s.transfers[f, STATUS] == ACTIVE:
            s.transfers[f, MARK] = 0
            s.changed[kept] = f
            kept += 1
            if near:
                fetch_links(s, f)
    for j in range(kept):
        s.transfers[s.changed[j], MARK] = WAITING
    s.counters[DIRTY] = kept


@inlined
def happens(s: State, lag: Float) -> None:
    """Something happens now, or rather ``lag`` picoseconds ago: the instant is the latest of them."""
    s.instant[0] = min(s.instant[0], lag)


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
    if s.counters[SCRIPTED] == WRITING:
        write_line(s, f, ENDS)
    if s.transfers[f, STATUS] == ACTIVE:
        singly = s.counters[SPREAD] == SINGLY
        unlink_entries(s, f)
        for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
            l = s.entries[e, LINK]
            at = s.lists[l, FIRST]
            while at >= 0:
                g = s.entries[at, OWNER]
                if s.transfers[g, LIMIT] == l:
                    dirty(s, g)
                    if singly:
                        fetch_path(s, g)
                at = s.entries[at, AFTER]
    s.transfers[f, MARK] = 0
    s.transfers[f, DONE] += 1
    s.counters[THROUGH] += 1
    s.rounds[s.tags[f, ROUND_OF], LEFT] -= 1
    row = f if s.row.shape[0] > 1 else 0
    critical = s.transfers[f, CRITICAL]
    for c in range(s.row.shape[1]):
        s.row[row, c] = s.account[critical, c] if critical >= 0 else s.row[-2 - critical, c]
    s.row[row, OVERHEAD_SPENT] += s.transfers[f, OVERHEAD]
    s.row[row, LATENCY_SPENT] += s.transfers[f, LATENCY]
    s.row[row, CONTENTION] += now - s.transfers[f, START] - s.transfers[f, IDEAL]
    tier = s.tags[f, TIER]
    s.row[row, CAPPED if tier < 0 else TIERS + tier] += s.transfers[f, IDEAL]
    fanned = s.fans.shape[0] > 1 and s.fans[f, NEEDED] > 0
    if s.transfers[f, REDUCE] > 0:
        s.transfers[f, STATUS] = REDUCING
        s.transfers[f, END] = now + s.transfers[f, REDUCE]
        push(s, s.transfers[f, END], f, IS_REDUCED)
        first, after = SRC, SRC + 1
    else:
        s.transfers[f, STATUS] = IDLE
        s.counters[BUSY] -= 1
        first, after = SRC, DST + 1
        if fanned:
            first, after = s.fans[f, ENDS_FROM], s.fans[f, ENDS_TO]
    if fanned:
        hand_on(s, f, False)
    several = fanned and s.transfers[f, STATUS] == IDLE
    # One loop for all: what is compiled into it is long.
    for j in range(first, after):
        part_done(s, s.fanned[j] if several else s.tags[f, j], row, lag)


@inlined
def start(s: State, f: Int) -> None:
    """Transfer f takes its links, and a rate when the instant is over."""
    happens(s, s.flows[f, LAG])
    s.transfers[f, STATUS] = ACTIVE
    s.transfers[f, ANCHOR] = s.counters[NOW]
    s.flows[f, REMAINING] = s.flows[f, PAYLOAD]
    s.flows[f, RATE] = 0.0
    s.transfers[f, END] = -1
    s.transfers[f, LIMIT] = -1
    if s.counters[SCRIPTED] == WRITING:
        write_line(s, f, STARTS)
    link_entries(s, f)
    dirty(s, f)


@inlined
def apply(s: State, members: Int) -> bool:
    """Give the solved transfers their new rates and ends. False: beyond all time."""
    now, lag = s.counters[NOW], s.instant[0]
    for j in range(members):
        if members >= MANY and j + FAR < members:
            fetch(s.transfers, s.changed[j + FAR], RATE)
            fetch(s.transfers, s.changed[j + FAR], ANCHOR)
        f = s.changed[j]
        new, old = s.flows[f, TRIAL], s.flows[f, RATE]
        s.transfers[f, MARK] = 0
        same = abs(new - old) <= 0.1 * RATE_TOLERANCE * old
        if s.counters[SCRIPTED] == WRITING:
            s.flows[f, RATE] = old if same else new
            write_line(s, f, CHANGES)
        if same:
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
        if at_one_rate or whole(s, f):
            s.flows[f, LAG] = 0.0
        else:
            s.flows[f, LAG] = span - exact
        push(s, s.transfers[f, END], f, ENDS)
    return True
