"""The event calendar: instants in order, and what happens at each.

A heap of *batches*; a batch is one instant and its records (what, kind). Records for an
instant that was used lately join its batch through a small direct-mapped table, so that
lockstep (thousands of events at one instant) costs one heap entry. Two batches may
stand for one instant; they are taken one after the other. A record that is out of
date stays and is recognised when it is taken.

``calendar`` is one row of numbers. A batch has two of them: its first record, and where its
latest line begins (-1: it has none). A line of the processor's cache holds what else is to happen: where
the line before it begins (-1: none) and how many records it has, in one number, then up to `PER_LINE`
records. Those who go through thousands of records so wait for memory once a line, not once a record,
and the line after it is on its way by then; a batch of one record, the rule where all links differ,
stays small. Batches are given out from the front, lines from the back; free ones form lists.

What is to happen at the present instant needs no heap: its records form a batch of
their own, TODAY (-1: none).

The heap has four children to a node, ``4 i + 1 ... 4 i + 4``: half as deep as with
two, and the four instants that are compared lie side by side. ``heap_when`` and
``heap_batch`` are its two columns. Columns of ``recent``: WHEN (-1: nothing) and BATCH.
A batch that is taken is copied to ``due``, columns WHAT and KIND, the latest record first;
its readers can look ahead.
"""

from __future__ import annotations

from sim.clock import FOREVER
from sim.compiled import inlined, lean
from sim.network.kernels.ahead import fetch, fetch_ends, fetch_links, fetch_path, fetch_row
from sim.network.kernels.state import (
    ARRIVES,
    BATCH,
    ENDS,
    FREE_BATCH,
    FREE_LINE,
    FRESH_BATCH,
    FRESH_LINE,
    HEAP_SIZE,
    KIND,
    LINE,
    NOW,
    RECENT,
    RECORDS_LEFT,
    TODAY,
    WHAT,
    WHEN,
    Int,
    State,
)

__all__ = ["clear", "earliest", "numbers", "peek", "push", "take"]

#: Numbers of the calendar for each record: two, as a batch of its own, and four, as there may be a line
#: for every two records of other times. What was a line never becomes a batch.
PLACES = 6

#: Numbers of a line, and records in it. A number holds a count, or a kind, in its lowest bits.
LENGTH = LINE // 8
PER_LINE = LENGTH - 1
BITS = 3
LOWEST = (1 << BITS) - 1

#: Records of the next instant that `peek` looks at.
PEEKED = 4


def numbers(records: int) -> int:
    """How long ``calendar`` must be for so many records."""
    return PLACES * records + LENGTH


@lean
def clear(s: State) -> None:
    """Forget everything."""
    n = s.counters
    for i in range(RECENT):
        s.recent[i, WHEN] = -1
    n[TODAY] = n[FREE_BATCH] = n[FREE_LINE] = -1
    n[HEAP_SIZE] = n[FRESH_BATCH] = 0
    n[FRESH_LINE] = s.calendar.size - s.calendar.size % LENGTH
    n[RECORDS_LEFT] = (s.calendar.size - LENGTH) // PLACES


@inlined
def place(when: Int) -> Int:
    """Where in the table of recent instants this one stands."""
    return (when ^ (when >> 8) ^ (when >> 16)) & (RECENT - 1)


@inlined
def join_batch(s: State, batch: Int, record: Int) -> None:
    """One more record of a batch."""
    c, n = s.calendar, s.counters
    line = c[batch + 1]
    head = c[line] if line >= 0 else PER_LINE
    if head & LOWEST == PER_LINE:
        head = line << BITS
        line = n[FREE_LINE]
        if line >= 0:
            n[FREE_LINE] = c[line]
            fetch(c, max(n[FREE_LINE], 0), 0)
        else:
            n[FRESH_LINE] -= LENGTH
            line = n[FRESH_LINE]
        c[batch + 1] = line
    c[line] = head + 1
    c[line + 1 + (head & LOWEST)] = record


@inlined
def new_batch(s: State, record: Int) -> Int:
    """A batch of one record."""
    c, n = s.calendar, s.counters
    batch = n[FREE_BATCH]
    if batch >= 0:
        n[FREE_BATCH] = c[batch + 1]
        fetch(c, max(n[FREE_BATCH], 0), 0)
    else:
        batch = n[FRESH_BATCH]
        n[FRESH_BATCH] = batch + 2
    c[batch], c[batch + 1] = record, -1
    return batch


@lean
def push(s: State, when: Int, what: Int, kind: Int) -> None:
    """Note that ``what`` happens at ``when``. The caller has seen to room."""
    n = s.counters
    n[RECORDS_LEFT] -= 1
    record = what << BITS | kind
    today = when == n[NOW]
    slot = place(when)
    batch = n[TODAY]
    if not today:
        batch = s.recent[slot, BATCH] if s.recent[slot, WHEN] == when else -1
    if batch >= 0:
        join_batch(s, batch, record)
        return
    batch = new_batch(s, record)
    if today:
        n[TODAY] = batch
        return
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


@lean
def earliest(s: State) -> Int:
    """When the next record is due; `FOREVER` if there is none."""
    if s.counters[TODAY] >= 0:
        return s.counters[NOW]
    return s.heap_when[0] if s.counters[HEAP_SIZE] > 0 else FOREVER


@lean
def peek(s: State, stage: Int) -> None:
    """Ask for what the next instant in the heap will need; each stage when the one before has come."""
    c, size = s.calendar, s.counters[HEAP_SIZE]
    if size == 0:
        return
    batch = s.heap_batch[0]
    line = c[batch + 1]
    if stage == 0:
        for at in range(1, min(5, size)):
            fetch(c, s.heap_batch[at], 0)
        fetch(c, max(line, 0), 0)
        return
    held = c[line] & LOWEST if line >= 0 else 0
    for i in range(min(held + 1, PEEKED)):
        record = c[line + held - i] if i < held else c[batch]
        f = record >> BITS
        if record & LOWEST != ARRIVES:
            if stage == 1:
                fetch_row(s, f)
            elif stage == 2:
                fetch_path(s, f)
                if record & LOWEST == ENDS:
                    fetch_ends(s, f)
            else:
                fetch_links(s, f)


@inlined
def release(s: State, batch: Int) -> Int:
    """Move the records of a batch to ``due``, and free its lines; how many they are."""
    c, n, due = s.calendar, s.counters, s.due
    count = 0
    line = c[batch + 1]
    while line >= 0:
        head = c[line]
        behind = head >> BITS
        fetch(c, max(behind, 0), 0)
        for at in range(line + (head & LOWEST), line, -1):
            due[count, WHAT], due[count, KIND] = c[at] >> BITS, c[at] & LOWEST
            count += 1
        c[line] = n[FREE_LINE]
        n[FREE_LINE] = line
        line = behind
    due[count, WHAT], due[count, KIND] = c[batch] >> BITS, c[batch] & LOWEST
    count += 1
    c[batch + 1] = n[FREE_BATCH]
    n[FREE_BATCH] = batch
    n[RECORDS_LEFT] += count
    return count


@lean
def take(s: State) -> Int:
    """Move a batch of the earliest instant to ``due``; how many records it has."""
    n = s.counters
    if n[TODAY] >= 0:
        batch = n[TODAY]
        n[TODAY] = -1
        return release(s, batch)
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
    return release(s, batch)
