"""The event calendar: instants in order, and what happens at each.

A binary heap of *batches*; a batch is one instant and a linked list of
records (what, kind). Records for an instant that was used lately join its batch
through a small direct-mapped table, so that lockstep (thousands of events at
one instant) costs one heap entry. Two batches may stand for one instant; they
are taken one after the other. A record that is out of date stays and is
recognised when it is taken.

Columns of ``state.calendar``: HEAP (batch numbers in heap order), WHEN and HEAD
of a batch (its instant, -1 if free, and first record; a free batch's HEAD is the
next free one), WHAT, KIND and FOLLOWING of a record.
"""

from __future__ import annotations

from sim.compiled import inlined, lean
from sim.network.kernels.state import (
    FOLLOWING,
    FREE_BATCH,
    FREE_RECORD,
    HEAD,
    HEAP,
    HEAP_SIZE,
    KIND,
    RECENT,
    RECENT_SIZE,
    RECORDS_LEFT,
    WHAT,
    WHEN,
    Int,
    State,
)

__all__ = ["clear", "push", "release", "take"]


@lean
def clear(s: State) -> None:
    """Forget everything."""
    c = s.calendar
    for i in range(c.shape[0]):
        c[i, WHEN] = -1
        c[i, HEAD] = i + 1
        c[i, FOLLOWING] = i + 1
    for i in range(RECENT_SIZE):
        s.counters[RECENT + i] = 0
    s.counters[HEAP_SIZE] = 0
    s.counters[FREE_BATCH] = 0
    s.counters[FREE_RECORD] = 0
    s.counters[RECORDS_LEFT] = c.shape[0]


@inlined
def push(s: State, when: Int, what: Int, kind: Int) -> None:
    """Note that ``what`` happens at ``when``. The caller has seen to room."""
    c, n = s.calendar, s.counters
    record = n[FREE_RECORD]
    n[FREE_RECORD] = c[record, FOLLOWING]
    n[RECORDS_LEFT] -= 1
    c[record, WHAT] = what
    c[record, KIND] = kind
    slot = RECENT + ((when ^ (when >> 8) ^ (when >> 16)) & (RECENT_SIZE - 1))
    batch = n[slot]
    if c[batch, WHEN] == when:
        c[record, FOLLOWING] = c[batch, HEAD]
        c[batch, HEAD] = record
        return
    batch = n[FREE_BATCH]
    n[FREE_BATCH] = c[batch, HEAD]
    c[batch, WHEN] = when
    c[batch, HEAD] = record
    c[record, FOLLOWING] = -1
    n[slot] = batch
    at = n[HEAP_SIZE]
    n[HEAP_SIZE] = at + 1
    while at > 0:
        up = (at - 1) >> 1
        if c[c[up, HEAP], WHEN] <= when:
            break
        c[at, HEAP] = c[up, HEAP]
        at = up
    c[at, HEAP] = batch


@inlined
def take(s: State) -> Int:
    """Remove the earliest batch from the heap and give its first record."""
    c, n = s.calendar, s.counters
    batch = c[0, HEAP]
    size = n[HEAP_SIZE] - 1
    n[HEAP_SIZE] = size
    moving = c[size, HEAP]
    key = c[moving, WHEN]
    at = 0
    while True:
        down = 2 * at + 1
        if down >= size:
            break
        if down + 1 < size and c[c[down + 1, HEAP], WHEN] < c[c[down, HEAP], WHEN]:
            down += 1
        if c[c[down, HEAP], WHEN] >= key:
            break
        c[at, HEAP] = c[down, HEAP]
        at = down
    c[at, HEAP] = moving
    record = c[batch, HEAD]
    c[batch, WHEN] = -1
    c[batch, HEAD] = n[FREE_BATCH]
    n[FREE_BATCH] = batch
    return record


@inlined
def release(s: State, record: Int) -> Int:
    """Free a record that was taken; give the next of its batch, or -1."""
    c, n = s.calendar, s.counters
    following = c[record, FOLLOWING]
    c[record, FOLLOWING] = n[FREE_RECORD]
    n[FREE_RECORD] = record
    n[RECORDS_LEFT] += 1
    return following
