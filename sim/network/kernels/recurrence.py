"""Fast-forward inside the event loop: a state that comes back.

While one repeated round is all that happens, the future depends on the state
alone: which repetition each rank is in (relative to the others), and for each
transfer its status, times relative to now, remaining bytes and rate. If that
state is, bit for bit, the state of d repetitions ago, T picoseconds earlier,
then the same d repetitions follow again and last T each time. `same` compares,
`jump` skips as many of them as remain before the round or the horizon ends.

Accounts take no part in the comparison: time does not depend on them. Each grows in
every period skipped as in the one seen. Their sums are exact, as a rank's account
adds up to its time; which of several causes that end at one instant a rank has waited
for is not told apart anyway, and would, where everybody ends at once, wander for ever.
"""

from __future__ import annotations

from sim.compiled import inlined, lean
from sim.network.kernels.state import (
    ACTIVE,
    ANCHOR,
    ANCHOR_LAG,
    ARRIVED,
    BASE,
    BUSY,
    COUNT,
    CRITICAL,
    DONE,
    END,
    FIRST_TRANSFER,
    IDLE,
    JUMPED,
    LEFT,
    MEMBERS,
    NOW,
    PENDING,
    PENDING_PARTS,
    RATE,
    REMAINING,
    REPEAT,
    REPETITION,
    ROUND,
    RUNNING,
    SAVED_AT,
    SAVED_REPETITION,
    SAVED_ROUND,
    STANDING,
    START,
    STATUS,
    THROUGH,
    Int,
    State,
)

__all__ = ["jump", "look", "same", "save"]


@lean
def save(s: State, watched: Int) -> None:
    """Remember the state."""
    q = s.ranks[watched, ROUND]
    s.counters[SAVED_AT] = s.counters[NOW]
    s.counters[SAVED_REPETITION] = s.ranks[watched, REPETITION]
    s.counters[SAVED_ROUND] = q
    for j in range(s.rounds[q, MEMBERS]):
        r = s.rounds[q, BASE] + j
        for c in range(s.ranks.shape[1]):
            s.saved_ranks[j, c] = s.ranks[r, c]
        for c in range(s.account.shape[1]):
            s.saved_account[j, c] = s.account[r, c]
    for j in range(s.rounds[q, COUNT]):
        f = s.rounds[q, FIRST_TRANSFER] + j
        for c in range(s.transfers.shape[1]):
            s.saved_transfers[j, c] = s.transfers[f, c]
        if s.row.shape[0] > 1:
            for c in range(s.row.shape[1]):
                s.saved_row[j, c] = s.row[f, c]


@inlined
def was_there(s: State, r: Int, j: Int, span: Int) -> bool:
    """Whether rank r, the j-th of its job, came to its repetition ``span`` later than to the remembered one.

    A rank's account adds up to when it came.
    """
    later = 0
    for c in range(s.account.shape[1]):
        later += s.account[r, c] - s.saved_account[j, c]
    return bool(later == span)


@lean
def same(s: State, watched: Int) -> bool:
    """Whether the state is the remembered one, shifted in time and repetitions.

    Of two links that limit a transfer alike, and of two ends that came at the same
    instant, either may be noted: the one decides no rate, the other no time, only to
    whose account the time goes.
    """
    q = s.counters[SAVED_ROUND]
    first, base = s.rounds[q, FIRST_TRANSFER], s.rounds[q, BASE]
    span = s.counters[NOW] - s.counters[SAVED_AT]
    alive = 0
    for j in range(s.rounds[q, COUNT]):
        f = first + j
        status = s.transfers[f, STATUS]
        if status != s.saved_transfers[j, STATUS] or s.transfers[f, ARRIVED] != s.saved_transfers[j, ARRIVED]:
            return False
        if status == IDLE:
            continue
        alive += 1
        critical = s.transfers[f, CRITICAL]
        if critical != s.saved_transfers[j, CRITICAL] and (
            critical < 0 or not was_there(s, critical, critical - base, span)
        ):
            return False
        if s.transfers[f, START] - span != s.saved_transfers[j, START]:
            return False
        if status == PENDING:
            continue
        if status == ACTIVE:
            if s.transfers[f, ANCHOR] - span != s.saved_transfers[j, ANCHOR]:
                return False
            if (
                s.flows[f, REMAINING] != s.saved_flows[j, REMAINING]
                or s.flows[f, RATE] != s.saved_flows[j, RATE]
            ):
                return False
            if s.flows[f, ANCHOR_LAG] != s.saved_flows[j, ANCHOR_LAG]:
                return False
        moved = span if s.transfers[f, END] >= 0 else 0
        if s.transfers[f, END] - moved != s.saved_transfers[j, END]:
            return False
    if alive != s.counters[BUSY]:
        return False
    shift = s.ranks[watched, REPETITION] - s.counters[SAVED_REPETITION]
    for j in range(s.rounds[q, MEMBERS]):
        r = base + j
        if s.ranks[r, ROUND] != s.saved_ranks[j, ROUND] or s.ranks[r, STANDING] != s.saved_ranks[j, STANDING]:
            return False
        if s.ranks[r, PENDING_PARTS] != s.saved_ranks[j, PENDING_PARTS]:
            return False
        here = s.ranks[r, ROUND] == q and s.ranks[r, STANDING] == RUNNING
        if s.ranks[r, REPETITION] - s.saved_ranks[j, REPETITION] != (shift if here else 0):
            return False
    return True


@lean
def jump(s: State, watched: Int, until: Int) -> bool:
    """Skip whole periods; the calendar must then be rebuilt. Returns whether any were."""
    q = s.counters[SAVED_ROUND]
    first, base = s.rounds[q, FIRST_TRANSFER], s.rounds[q, BASE]
    period = s.ranks[watched, REPETITION] - s.counters[SAVED_REPETITION]
    span = s.counters[NOW] - s.counters[SAVED_AT]
    most = 0
    for j in range(s.rounds[q, MEMBERS]):
        if s.ranks[base + j, ROUND] == q and s.ranks[base + j, STANDING] == RUNNING:
            most = max(most, s.ranks[base + j, REPETITION])
    n = (s.rounds[q, REPEAT] - 1 - most) // period
    if span > 0:
        n = min(n, (until - s.counters[NOW]) // span)
    if n <= 0:
        return False
    for j in range(s.rounds[q, MEMBERS]):
        r = base + j
        if s.ranks[r, ROUND] == q and s.ranks[r, STANDING] == RUNNING:
            s.ranks[r, REPETITION] += n * period
            for c in range(s.account.shape[1]):
                s.account[r, c] += n * (s.account[r, c] - s.saved_account[j, c])
    through = 0
    for j in range(s.rounds[q, COUNT]):
        f = first + j
        skipped = n * (s.transfers[f, DONE] - s.saved_transfers[j, DONE])
        s.transfers[f, DONE] += skipped
        through += skipped
        if s.transfers[f, STATUS] != IDLE:
            s.transfers[f, START] += n * span
            s.transfers[f, ANCHOR] += n * span
            if s.transfers[f, END] >= 0:
                s.transfers[f, END] += n * span
        # Read by whoever waits for this transfer's end or for what it adds.
        if s.row.shape[0] > 1:
            for c in range(s.row.shape[1]):
                s.row[f, c] += n * (s.row[f, c] - s.saved_row[j, c])
    s.rounds[q, LEFT] -= through
    s.counters[THROUGH] += through
    s.counters[NOW] += n * span
    s.counters[JUMPED] += n * period
    return True


@lean
def look(s: State, watched: Int, until: Int) -> bool:
    """Compare the state with the remembered one and jump if it is the same.

    Returns whether time has moved; else the state may have been remembered, each
    time an eighth later than the last.
    """
    q = s.ranks[watched, ROUND]
    repetition = s.ranks[watched, REPETITION]
    if s.counters[SAVED_ROUND] == q and repetition > s.counters[SAVED_REPETITION] and same(s, watched):
        moved = jump(s, watched, until)
        s.counters[SAVED_ROUND] = -1
        if moved:
            return True
    saved = s.counters[SAVED_REPETITION]
    if s.counters[SAVED_ROUND] != q or repetition >= saved + 1 + saved // 8:
        save(s, watched)
    return False
