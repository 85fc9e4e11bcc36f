"""The event calendar: instants in order, and what happens at each.

A binary heap of *batches*; a batch is one instant and a linked list of
records (what, kind). Records for an instant that was used lately join its batch
through a small direct-mapped table, so that lockstep (thousands of events at
one instant) costs one heap entry. Two batches may stand for one instant; they
are taken one after the other. A record that is out of date stays and is
recognised when it is taken.

Arrays: ``heap`` of batch numbers; per batch ``when`` and ``first``; per record
``what``, ``kind``, ``after``; ``recent`` maps ``hash(instant)`` to a batch.
``size`` holds the heap's size, the first free batch, the first free record and
the number of free records.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.compiled import compiled
from sim.schedule import IntArray

__all__ = ["Calendar", "clear", "new_calendar", "push", "release", "take"]

HEAP, FREE_BATCH, FREE_RECORD, RECORDS_LEFT = 0, 1, 2, 3


class Calendar(NamedTuple):
    """The arrays of a calendar; see the module."""

    heap: IntArray
    when: IntArray
    first: IntArray
    what: IntArray
    kind: IntArray
    after: IntArray
    recent: IntArray
    size: IntArray


def new_calendar(records: int) -> Calendar:
    """An empty calendar with room for so many records."""
    arrays = [np.zeros(records, dtype=np.int64) for _ in range(6)]
    calendar = Calendar(*arrays, np.zeros(256, dtype=np.int64), np.zeros(4, dtype=np.int64))
    clear(calendar)
    return calendar


@compiled
def clear(calendar):  # type: ignore[no-untyped-def]
    """Forget everything."""
    room = calendar.when.size
    for i in range(room):
        calendar.when[i] = -1
        calendar.first[i] = i + 1
        calendar.after[i] = i + 1
    calendar.recent[:] = 0
    calendar.size[HEAP] = 0
    calendar.size[FREE_BATCH] = 0
    calendar.size[FREE_RECORD] = 0
    calendar.size[RECORDS_LEFT] = room


@compiled
def push(calendar, when, what, kind):  # type: ignore[no-untyped-def]
    """Note that ``what`` happens at ``when``. The caller has seen to room."""
    record = calendar.size[FREE_RECORD]
    calendar.size[FREE_RECORD] = calendar.after[record]
    calendar.size[RECORDS_LEFT] -= 1
    calendar.what[record] = what
    calendar.kind[record] = kind
    slot = (when ^ (when >> 8) ^ (when >> 16)) & 255
    batch = calendar.recent[slot]
    if calendar.when[batch] == when:
        calendar.after[record] = calendar.first[batch]
        calendar.first[batch] = record
        return
    batch = calendar.size[FREE_BATCH]
    calendar.size[FREE_BATCH] = calendar.first[batch]
    calendar.when[batch] = when
    calendar.first[batch] = record
    calendar.after[record] = -1
    calendar.recent[slot] = batch
    heap = calendar.heap
    at = calendar.size[HEAP]
    calendar.size[HEAP] = at + 1
    while at > 0:
        up = (at - 1) >> 1
        if calendar.when[heap[up]] <= when:
            break
        heap[at] = heap[up]
        at = up
    heap[at] = batch


@compiled
def take(calendar):  # type: ignore[no-untyped-def]
    """Remove the earliest batch from the heap and give its first record."""
    heap = calendar.heap
    batch = heap[0]
    size = calendar.size[HEAP] - 1
    calendar.size[HEAP] = size
    moving = heap[size]
    key = calendar.when[moving]
    at = 0
    while True:
        down = 2 * at + 1
        if down >= size:
            break
        if down + 1 < size and calendar.when[heap[down + 1]] < calendar.when[heap[down]]:
            down += 1
        if calendar.when[heap[down]] >= key:
            break
        heap[at] = heap[down]
        at = down
    heap[at] = moving
    record = calendar.first[batch]
    calendar.when[batch] = -1
    calendar.first[batch] = calendar.size[FREE_BATCH]
    calendar.size[FREE_BATCH] = batch
    return record


@compiled
def release(calendar, record):  # type: ignore[no-untyped-def]
    """Free a record that was taken; give the next of its batch, or -1."""
    after = calendar.after[record]
    calendar.after[record] = calendar.size[FREE_RECORD]
    calendar.size[FREE_RECORD] = record
    calendar.size[RECORDS_LEFT] += 1
    return after
