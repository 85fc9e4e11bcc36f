"""Transfers that follow a script, beside others that are simulated.

In a front (`sim.network.transient`) a few transfers are simulated (LIVE); whoever shares
a link with one of them, or has a rank in common, is a *stranger*: it does what the script
says, one window later each time. The rates of all stay max-min fair as long as every
stranger keeps its certificate (`maxmin`): the link that the script names is full, and
nobody on it is faster. Where a live transfer has part in that link it is *in view*, and
looked at whenever somebody on it has changed; a link out of view is passed by strangers
and by others that follow the script, so that it is as full as it was. One whose
certificate is gone is to be simulated too, and the window begins anew.
"""

from __future__ import annotations

from sim.compiled import lean
from sim.network.kernels.calendar import clear, push
from sim.network.kernels.maxmin import RATE_TOLERANCE, link_entries, unlink_entries
from sim.network.kernels.ranks import part_done
from sim.network.kernels.state import (
    ACTIVE,
    AFTER,
    CAPACITY,
    CHANGES,
    CHECKS,
    DID,
    DIRTY,
    DST,
    END,
    ENDS,
    ENTRIES,
    ENTRY,
    FIRST,
    FIRST_LINE,
    IDLE,
    IN_VIEW,
    JOINING,
    LIMIT,
    LIMITED_BY,
    LINK,
    LIVE,
    MARK,
    NEXT_LINE,
    NOW,
    OWNER,
    PENDING,
    RATE,
    ROLE,
    SHIFT,
    SRC,
    START,
    STARTS,
    STATUS,
    STRANGER,
    WEIGHT,
    WHEN_IT_DID,
    Int,
    State,
)
from sim.network.kernels.under_way import dirty
from sim.schedule import IntArray

__all__ = ["act", "cue", "gather", "holds", "recast", "relink"]

#: IN_VIEW of a link: a live transfer has part in it; and it is to be looked at.
SEEN, PENDING_CHECK = 1, 2


@lean
def have_checked(s: State, f: Int) -> None:
    """Have those links of transfer f looked at that are in view."""
    for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
        l = s.entries[e, LINK]
        if s.lists[l, IN_VIEW] == SEEN:
            s.lists[l, IN_VIEW] = PENDING_CHECK
            s.checks[s.counters[CHECKS]] = l
            s.counters[CHECKS] += 1


@lean
def act(s: State, f: Int) -> None:
    """Stranger f does what the script has for it at this instant."""
    at, last = s.follow[f, NEXT_LINE], s.follow[f + 1, FIRST_LINE]
    while at < last and s.script[at, WHEN_IT_DID] + s.counters[SHIFT] == s.counters[NOW]:
        did = s.script[at, DID]
        if did == STARTS:
            s.transfers[f, STATUS] = ACTIVE
            s.flows[f, RATE] = 0.0
            s.transfers[f, LIMIT] = -1
            link_entries(s, f)
        elif did == CHANGES:
            s.flows[f, RATE] = s.script_rate[at]
            s.transfers[f, LIMIT] = s.script[at, LIMITED_BY]
        else:
            if s.transfers[f, STATUS] == ACTIVE:
                unlink_entries(s, f)
            s.transfers[f, STATUS] = IDLE
            if s.came[s.tags[f, SRC], ROLE] == STRANGER:
                part_done(s, s.tags[f, SRC], 0, 0.0)
            if s.came[s.tags[f, DST], ROLE] == STRANGER:
                part_done(s, s.tags[f, DST], 0, 0.0)
        at += 1
    s.follow[f, NEXT_LINE] = at
    have_checked(s, f)
    # Ends of a round that repeats have no lag.
    s.instant[0] = min(s.instant[0], 0.0)


@lean
def gather(s: State) -> None:
    """Have those live ones solved whom strangers may concern; strangers are not solved."""
    kept = 0
    for j in range(s.counters[DIRTY]):
        f = s.changed[j]
        if s.follow[f, ROLE] == LIVE:
            s.changed[kept] = f
            kept += 1
        else:
            s.transfers[f, MARK] = 0
            have_checked(s, f)
    s.counters[DIRTY] = kept
    for j in range(s.counters[CHECKS]):
        at = s.lists[s.checks[j], FIRST]
        while at >= 0:
            g = s.entries[at, OWNER]
            if s.follow[g, ROLE] == LIVE:
                dirty(s, g)
            at = s.entries[at, AFTER]


@lean
def holds(s: State, members: Int) -> bool:
    """Whether every stranger keeps its certificate; those that do not are marked `JOINING`.

    ``members`` have just been solved; a stranger among them had to be solved with them.
    """
    fine = True
    for j in range(members):
        if s.follow[s.changed[j], ROLE] != LIVE:
            s.follow[s.changed[j], ROLE] = JOINING
            fine = False
    for j in range(s.counters[CHECKS]):
        l = s.checks[j]
        s.lists[l, IN_VIEW] = SEEN
        used, fastest = 0.0, 0.0
        at = s.lists[l, FIRST]
        while at >= 0:
            rate = s.flows[s.entries[at, OWNER], RATE]
            used += s.weights[at, WEIGHT] * rate
            fastest = max(fastest, rate)
            at = s.entries[at, AFTER]
        full = used >= s.links[l, CAPACITY] * (1.0 - RATE_TOLERANCE)
        too_slow = fastest * (1.0 - RATE_TOLERANCE)
        kept = used <= s.links[l, CAPACITY] * (1.0 + RATE_TOLERANCE)
        at = s.lists[l, FIRST]
        while at >= 0 and kept:
            g = s.entries[at, OWNER]
            kept = s.transfers[g, LIMIT] != l or (full and s.flows[g, RATE] >= too_slow)
            at = s.entries[at, AFTER]
        if not kept:
            fine = False
            at = s.lists[l, FIRST]
            while at >= 0:
                if s.follow[s.entries[at, OWNER], ROLE] == STRANGER:
                    s.follow[s.entries[at, OWNER], ROLE] = JOINING
                at = s.entries[at, AFTER]
    s.counters[CHECKS] = 0
    return fine


@lean
def cue(s: State, strangers: IntArray) -> None:
    """Put into the calendar when the strangers do something, a window later than last time."""
    for f in strangers:
        s.follow[f, NEXT_LINE] = s.follow[f, FIRST_LINE]
        before = -1
        for at in range(s.follow[f, FIRST_LINE], s.follow[f + 1, FIRST_LINE]):
            when = s.script[at, WHEN_IT_DID] + s.counters[SHIFT]
            if when != before:
                push(s, when, f, CHANGES)
            before = when


@lean
def recast(s: State, live: IntArray) -> None:
    """A calendar of live transfers alone."""
    clear(s)
    for f in live:
        if s.transfers[f, STATUS] == PENDING:
            push(s, s.transfers[f, START], f, STARTS)
        elif s.transfers[f, STATUS] == ACTIVE and s.transfers[f, END] >= 0:
            push(s, s.transfers[f, END], f, ENDS)


@lean
def relink(s: State, strangers: IntArray, live: IntArray) -> None:
    """Make the lists of all links anew, of these alone; links of live ones come in view."""
    for l in range(s.lists.shape[0]):
        s.lists[l, FIRST] = -1
        s.lists[l, IN_VIEW] = 0
    for f in strangers:
        s.transfers[f, MARK] = 0
        if s.transfers[f, STATUS] == ACTIVE:
            link_entries(s, f)
    for f in live:
        s.transfers[f, MARK] = 0
        if s.transfers[f, STATUS] == ACTIVE:
            link_entries(s, f)
        for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
            s.lists[s.entries[e, LINK], IN_VIEW] = SEEN
