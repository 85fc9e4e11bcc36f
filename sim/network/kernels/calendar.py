"""The event calendar: instants in order, and what happens at each.

A heap of *batches*; a batch is one instant and a linked list of records (what,
kind). Records for an instant that was used lately join its batch through a small
direct-mapped table, so that lockstep (thousands of events at one instant) costs one
heap entry. Two batches may stand for one instant; they are taken one after the
other. A record that is out of date stays and is recognised when it is taken.

What is to happen at the present instant needs no heap: its records form a list of
their own, TODAY.

The heap has four children to a node, ``4 i + 1 ... 4 i + 4``: half as deep as with
two, and the four instants that are compared lie side by side. ``heap_when`` and
``heap_batch`` are its two columns. Columns of ``calendar``: HEAD, the first record of
a batch (of a free one, the next free one), and WHAT, KIND and FOLLOWING of a record.
Columns of ``recent``: WHEN (-1: nothing) and BATCH. A batch that is taken is copied to
``due``, columns WHAT and KIND, whose readers can look ahead.
"""

from __future__ import annotations

from sim.clock import FOREVER
from sim.compiled import inlined, lean
from sim.network.kernels.ahead import fetch, fetch_ends, fetch_links, fetch_path, fetch_row
from sim.network.kernels.state import (
    ARRIVES,
    BATCH,
    ENDS,
    FOLLOWING,
    FREE_BATCH,
    FREE_RECORD,
    HEAD,
    HEAP_SIZE,
    KIND,
    NOW,
    RECENT,
    RECORDS_LEFT,
    TODAY,
    WHAT,
    WHEN,
    Int,
    State,
)

__all__ = ["clear", "earliest", "peek", "push", "take"]


#: Records of the next instant that `peek` looks at.
PEEKED = 4


@lean
def clear(s: State) -> None:
    """Forget everything."""
    c = s.calendar
    for i in range(c.shape[0]):
        c[i, HEAD] = i + 1
        c[i, FOLLOWING] = i + 1
    for i in range(RECENT):
        s.recent[i, WHEN] = -1
    s.counters[TODAY] = -1
    s.counters[HEAP_SIZE] = 0
    s.counters[FREE_BATCH] = 0
    s.counters[FREE_RECORD] = 0
    s.counters[RECORDS_LEFT] = c.shape[0]


@inlined
def place(when: Int) -> Int:
    """Where in the table of recent instants this one stands."""
    return (when ^ (when >> 8) ^ (when >> 16)) & (RECENT - 1)


@inlined
def push(s: State, when: Int, what: Int, kind: Int) -> None:
    """Note that ``what`` happens at ``when``. The caller has seen to room."""
    c, n = s.calendar, s.counters
    record = n[FREE_RECORD]
    n[FREE_RECORD] = c[record, FOLLOWING]
    n[RECORDS_LEFT] -= 1
    fetch(c, n[FREE_RECORD], FOLLOWING)
    c[record, WHAT] = what
    c[record, KIND] = kind
    if when == n[NOW]:
        c[record, FOLLOWING] = n[TODAY]
        n[TODAY] = record
        return
    slot = place(when)
    if s.recent[slot, WHEN] == when:
        batch = s.recent[slot, BATCH]
        c[record, FOLLOWING] = c[batch, HEAD]
        c[batch, HEAD] = record
        return
    batch = n[FREE_BATCH]
    n[FREE_BATCH] = c[batch, HEAD]
    c[batch, HEAD] = record
    c[record, FOLLOWING] = -1
    s.recent[slot, WHEN] = when
    s.recent[slot, BATCH] = batch
    at = n[HEAP_SIZE]
    n[HEAP_SIZE] = at + 1
    key, heap = s.heap_when, s.heap_batch
    while at > 0:
        up = (at - 1) >> 2
        if key[up] <= when:
            break
        key[at], heap[at] = key[up], heap[up]
        at = up
    key[at], heap[at] = when, batch


@inlined
def earliest(s: State) -> Int:
    """When the next record is due; `FOREVER` if there is none."""
    if s.counters[TODAY] >= 0:
        return s.counters[NOW]
    return s.heap_when[0] if s.counters[HEAP_SIZE] > 0 else FOREVER


@inlined
def peek(s: State, stage: Int) -> None:
    """Ask for what the next instant in the heap will need; each stage when the one before has come."""
    c, size = s.calendar, s.counters[HEAP_SIZE]
    if size == 0:
        return
    if stage == 0:
        for at in range(1, min(5, size)):
            fetch(c, s.heap_batch[at], HEAD)
        fetch(c, c[s.heap_batch[0], HEAD], WHAT)
        return
    record = c[s.heap_batch[0], HEAD]
    for _ in range(PEEKED):
        if record < 0:
            break
        f = c[record, WHAT]
        if c[record, KIND] != ARRIVES:
            if stage == 1:
                fetch_row(s, f)
            elif stage == 2:
                fetch_path(s, f)
                if c[record, KIND] == ENDS:
                    fetch_ends(s, f)
            else:
                fetch_links(s, f)
        record = c[record, FOLLOWING]


@inlined
def release(s: State, record: Int) -> Int:
    """Move a list of records to ``due``, and free them; how many they are."""
    c, n = s.calendar, s.counters
    count = 0
    while record >= 0:
        s.due[count, WHAT], s.due[count, KIND] = c[record, WHAT], c[record, KIND]
        count += 1
        following = c[record, FOLLOWING]
        c[record, FOLLOWING] = n[FREE_RECORD]
        n[FREE_RECORD] = record
        record = following
    n[RECORDS_LEFT] += count
    return count


@inlined
def take(s: State) -> Int:
    """Move a batch of the earliest instant to ``due``; how many records it has."""
    c, n = s.calendar, s.counters
    if n[TODAY] >= 0:
        record = n[TODAY]
        n[TODAY] = -1
        return release(s, record)
    key, heap = s.heap_when, s.heap_batch
    batch = heap[0]
    slot = place(key[0])
    if s.recent[slot, BATCH] == batch:
        s.recent[slot, WHEN] = -1
    size = n[HEAP_SIZE] - 1
    n[HEAP_SIZE] = size
    moved, moved_batch = key[size], heap[size]
    at = 0
    while True:
        down = 4 * at + 1
        if down >= size:
            break
        least = key[down]
        for other in range(down + 1, min(down + 4, size)):
            if key[other] < least:
                down, least = other, key[other]
        if least >= moved:
            break
        key[at], heap[at] = least, heap[down]
        at = down
    key[at], heap[at] = moved, moved_batch
    record = c[batch, HEAD]
    c[batch, HEAD] = n[FREE_BATCH]
    n[FREE_BATCH] = batch
    return release(s, record)
