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
    ARRIVING,
    BASE,
    BUSY,
    COUNT,
    CRITICAL,
    DONE,
    END,
    ENOUGH,
    FIRST_TRANSFER,
    IDLE,
    JUMPED,
    LEFT,
    MEMBERS,
    NOW,
    PATIENCE,
    PATIENT_ROUND,
    PENDING,
    PENDING_PARTS,
    RATE,
    REMAINING,
    REPETITION,
    ROUND,
    RUNNING,
    SAVED_AT,
    SAVED_REPETITION,
    SAVED_ROUND,
    SCRIPTED,
    SHARE,
    SPANNED,
    STANDING,
    START,
    STATUS,
    THROUGH,
    UNSCRIPTED,
    WHOLE_FROM,
    WHOLE_TO,
    WRITING,
    Int,
    State,
)
from sim.schedule import FloatArray, IntArray

__all__ = ["FEW", "MOVED", "NOTHING", "be_patient", "differing", "jump", "look", "misplaced", "same", "save"]

#: What `look` has found.
NOTHING, MOVED, FEW = range(3)

#: Repetitions that must be left for a front to be worth it.
WORTH = 6


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


@inlined
def unlike(s: State, f: Int, old: IntArray, old_flows: FloatArray, j: Int, span: Int) -> bool:
    """Whether transfer f is in another state than row j of ``old``, ``span`` picoseconds later.

    Of two links that limit a transfer alike either may be noted: it decides no rate.
    """
    status = s.transfers[f, STATUS]
    if status != old[j, STATUS] or s.transfers[f, ARRIVED] != old[j, ARRIVED]:
        return True
    if status == IDLE:
        return False
    if s.transfers[f, START] - span != old[j, START]:
        return True
    if status == PENDING:
        return False
    if status == ACTIVE:
        if s.transfers[f, ANCHOR] - span != old[j, ANCHOR]:
            return True
        if s.flows[f, REMAINING] != old_flows[j, REMAINING] or s.flows[f, RATE] != old_flows[j, RATE]:
            return True
        if s.flows[f, ANCHOR_LAG] != old_flows[j, ANCHOR_LAG]:
            return True
    moved = span if s.transfers[f, END] >= 0 else 0
    return bool(s.transfers[f, END] - moved != old[j, END])


@inlined
def elsewhere(s: State, r: Int, j: Int, shift: Int) -> bool:
    """Whether rank r, the j-th of its job, is elsewhere than ``shift`` repetitions ago."""
    q = s.counters[SAVED_ROUND]
    if s.ranks[r, ROUND] != s.saved_ranks[j, ROUND] or s.ranks[r, STANDING] != s.saved_ranks[j, STANDING]:
        return True
    if s.ranks[r, PENDING_PARTS] != s.saved_ranks[j, PENDING_PARTS]:
        return True
    here = s.ranks[r, ROUND] == q and s.ranks[r, STANDING] == RUNNING
    return bool(s.ranks[r, REPETITION] - s.saved_ranks[j, REPETITION] != (shift if here else 0))


@lean
def same(s: State, watched: Int) -> bool:
    """Whether the state is the remembered one, shifted in time and repetitions.

    Of two ends that came at the same instant either may be noted as critical: it decides no
    time, only to whose account the time goes.
    """
    q = s.counters[SAVED_ROUND]
    first, base = s.rounds[q, FIRST_TRANSFER], s.rounds[q, BASE]
    span = s.counters[NOW] - s.counters[SAVED_AT]
    if not all_in(s):
        return False
    alive = 0
    for j in range(s.rounds[q, COUNT]):
        f = first + j
        if unlike(s, f, s.saved_transfers, s.saved_flows, j, span):
            return False
        if s.transfers[f, STATUS] == IDLE:
            continue
        alive += 1
        critical = s.transfers[f, CRITICAL]
        if critical != s.saved_transfers[j, CRITICAL] and (
            critical < 0 or not was_there(s, critical, critical - base, span)
        ):
            return False
    if alive != s.counters[BUSY]:
        return False
    shift = s.ranks[watched, REPETITION] - s.counters[SAVED_REPETITION]
    return not any_elsewhere(s, shift)


@lean
def all_in(s: State) -> bool:
    """Whether all ranks have come, and were in repetitions of all parts when the state was remembered.

    Who is yet to come does so at an instant of its own, which no state tells. Where parts have
    spans, those are as many rounds as others.
    """
    q = s.counters[SAVED_ROUND]
    for j in range(s.rounds[q, MEMBERS]):
        if s.ranks[s.rounds[q, BASE] + j, STANDING] == ARRIVING:
            return False
        if s.rounds[q, SPANNED] and (
            s.saved_ranks[j, ROUND] == q and s.saved_ranks[j, REPETITION] < s.rounds[q, WHOLE_FROM]
        ):
            return False
    return True


@lean
def any_elsewhere(s: State, shift: Int) -> bool:
    """Whether some rank is `elsewhere`."""
    q = s.counters[SAVED_ROUND]
    for j in range(s.rounds[q, MEMBERS]):  # noqa: SIM110
        if elsewhere(s, s.rounds[q, BASE] + j, j, shift):
            return True
    return False


@lean
def few(s: State) -> bool:
    """Whether all but a few transfers are as they were one repetition ago."""
    q = s.counters[SAVED_ROUND]
    span = s.counters[NOW] - s.counters[SAVED_AT]
    # Who waits for other transfers, or reduces, has causes that a script does not tell.
    if s.row.shape[0] > 1 or s.fans.shape[0] > 1 or not all_in(s):
        return False
    alive, differ, most = 0, 0, s.rounds[q, COUNT] // s.counters[SHARE]
    for j in range(s.rounds[q, COUNT]):
        f = s.rounds[q, FIRST_TRANSFER] + j
        if s.transfers[f, STATUS] != IDLE:
            alive += 1
        if unlike(s, f, s.saved_transfers, s.saved_flows, j, span):
            differ += 1
            if differ > most:
                return False
    return bool(alive == s.counters[BUSY])


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
    n = (s.rounds[q, WHOLE_TO] - 1 - most) // period
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
def be_patient(s: State, q: Int, repetition: Int) -> None:
    """No other front of round q for some repetitions."""
    s.counters[PATIENT_ROUND] = q
    s.counters[PATIENCE] = repetition + (repetition - s.rounds[q, WHOLE_FROM]) // 4 + 2


@lean
def misplaced(s: State, ranks: IntArray, shift: Int, span: Int, found: IntArray) -> None:
    """Say in ``found`` which of these ranks of a job are `elsewhere` or have come at another time.

    ``ranks`` and ``found`` go by number; what was remembered is ``shift`` repetitions and ``span``
    picoseconds ago.
    """
    base = s.rounds[s.counters[SAVED_ROUND], BASE]
    for j in ranks:
        found[j] = elsewhere(s, base + j, j, shift) or not was_there(s, base + j, j, span)


@lean
def differing(
    s: State, these: IntArray, old: IntArray, old_flows: FloatArray, at: IntArray, span: Int, found: IntArray
) -> None:
    """Say in ``found`` which of these transfers are `unlike` rows ``at`` of ``old``."""
    for j in range(these.size):
        found[j] = unlike(s, these[j], old, old_flows, at[j], span)


@lean
def look(s: State, watched: Int, until: Int) -> int:
    """Compare the state with the remembered one and jump if it is the same.

    Returns whether time has moved (`MOVED`), or that all but a few transfers are as they
    were one repetition ago (`FEW`), where that is worth a front; else the state may have
    been remembered, each time an eighth later than the last.
    """
    q = s.ranks[watched, ROUND]
    repetition, first = s.ranks[watched, REPETITION], s.rounds[q, WHOLE_FROM]
    if repetition < first or repetition >= s.rounds[q, WHOLE_TO]:
        return NOTHING
    if repetition == first:
        # Another round, perhaps in the place of one that has been forgotten.
        s.counters[SAVED_ROUND] = s.counters[PATIENT_ROUND] = -1
    saved = s.counters[SAVED_REPETITION]
    writing = s.counters[SCRIPTED] == WRITING
    if s.counters[SAVED_ROUND] == q and repetition > saved:
        if same(s, watched):
            s.counters[SCRIPTED] = UNSCRIPTED
            moved = jump(s, watched, until)
            s.counters[SAVED_ROUND] = -1
            if moved:
                return MOVED
        elif repetition == saved + 1 and repetition + WORTH < s.rounds[q, WHOLE_TO]:
            patient = s.counters[PATIENT_ROUND] == q and repetition < s.counters[PATIENCE]
            worth = s.rounds[q, COUNT] >= s.counters[ENOUGH] and not patient
            if (writing or worth) and few(s):
                if not writing:
                    save(s, watched)
                return FEW
    if writing:
        # It was not worth it after all.
        s.counters[SCRIPTED] = UNSCRIPTED
        be_patient(s, q, repetition)
    saved = s.counters[SAVED_REPETITION]
    if s.counters[SAVED_ROUND] != q or repetition >= saved + 1 + (saved - first) // 8:
        save(s, watched)
    return NOTHING
