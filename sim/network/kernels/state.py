"""The arrays of the event loop, and what stands in their columns.

Few wide arrays instead of many narrow ones: a transfer's fields lie side by side
in memory, and a call of one kernel from another passes few arrays.

Transfers stand in slots; the slots of a round are consecutive. Entries are the
(transfer, link) pairs of all loaded transfers; those of the active transfers on
one link form a doubly linked list.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim.schedule import FloatArray, IntArray

__all__ = ["Float", "Int", "Numbers", "State", "new_state"]

# What a kernel takes and gives besides arrays: whatever numba infers.
Int = Any
Float = Any
Numbers = npt.NDArray[Any]

# transfers: integers of each slot. START is when it will hold its links, ANCHOR
# when its rate last changed, END when it ends at that rate (-1: not while the
# rate is zero), LIMIT the link that limits it (-1: its cap), CRITICAL the rank
# slot whose arrival made it ready (-2 - f: the end of transfer f did), DONE how often
# it has been through. Before a transfer is ready, START is when somebody last arrived.
(
    SRC, DST, OVERHEAD, LATENCY, REDUCE, IDEAL, TIER, ROUND_OF, ENTRY, ENTRIES,
    STATUS, ARRIVED, START, ANCHOR, END, LIMIT, CRITICAL, DONE, MARK,
) = range(19)  # fmt: skip

# flows: floats of each slot. Bytes to move, cap (bytes/s), bytes left at ANCHOR,
# rate (bytes/s), and the solver's new rate; how many picoseconds earlier than their
# instants its next start or end, and the last change of its rate, really are.
PAYLOAD, CAP, REMAINING, RATE, TRIAL, LAG, ANCHOR_LAG = range(7)

# STATUS of a transfer.
IDLE, PENDING, ACTIVE, REDUCING = range(4)

# entries: link, transfer, and neighbours in the link's list (-1: none).
LINK, OWNER, AFTER, BEFORE = range(4)

# lists and room: first entry on each link, scratch of the solver; bytes/s of each
# link, what is left of them, and the weight that shares it.
FIRST, UNSETTLED, SEEN, OTHERS = range(4)
CAPACITY, ROOM, WIDTH = range(3)

# ranks: job, number within the job, round, repetition, parts left, state, arrival,
# when its last part was done.
JOB, NUMBER, ROUND, REPETITION, PENDING_PARTS, STANDING, ARRIVAL, PART_AT = range(8)

# STANDING of a rank slot: free or through, on its way to its first round, in a
# round, or waiting for rounds to be loaded.
FINISHED, ARRIVING, RUNNING, STALLED = range(4)

# rounds: repetitions, transfer completions left, next round; the parts (transfer
# slots) of rank number n are parts[starts[ROW + n] : starts[ROW + n + 1]]; first
# transfer and how many, first rank slot of the job and how many, the rank whose
# steps are watched for a recurring state (-1: none).
REPEAT, LEFT, NEXT, ROW, FIRST_TRANSFER, COUNT, BASE, MEMBERS, WATCH = range(9)

# NEXT: not loaded yet, or there is none.
UNKNOWN, LAST = -1, -2

# calendar: see `calendar`.
HEAD, WHAT, KIND, FOLLOWING = range(4)
ARRIVES, STARTS, ENDS, IS_REDUCED = range(4)  # kinds
WHEN, BATCH = range(2)

#: Instants that the calendar's table of recent ones holds, a power of two.
RECENT = 256

# fans: for transfers with an order or ends of their own, by slot: how many arrivals
# make one ready (0: plain, its sender and its receiver do), its ends (rank slots) and
# those behind it (transfer slots) as stretches of `fanned`.
NEEDED, ENDS_FROM, ENDS_TO, BEHIND_FROM, BEHIND_TO = range(5)

# jobs: ranks not through, ranks stalled, when the last one was through.
RANKS_LEFT, RANKS_STALLED, ENDED = range(3)

# counters: scalars of the loop.
(
    NOW, EVENTS, SOLVES, STAMP, SOLVED, DIRTY, THROUGH, BUSY, JOBS_DONE, STALLS, WATCHED, JUMPED, FORWARD,
    HEAP_SIZE, FREE_BATCH, FREE_RECORD, RECORDS_LEFT, SAVED_AT, SAVED_REPETITION, SAVED_ROUND, STRANGERS,
    LOGGED, TODAY,
) = range(23)  # fmt: skip

# log: spans of constant rate of transfers, where somebody records them. Slot,
# repetition, from when to when (picoseconds), whether the transfer then ended.
SLOT, TIME_OF, BEGUN, UNTIL, FINAL = range(5)


#: Lag of an instant in which nothing has happened yet: above all others, which are below 1.
NEVER = 2.0


class State(NamedTuple):
    """All of it; columns as named above.

    ``queue_key`` and ``queue_what`` are the solver's heap, ``changed`` the
    transfers it works on, ``touched`` their links; ``row`` holds the account of a
    transfer that has just ended (one row a slot where receivers reduce, or
    transfers wait for each other); ``fans`` has one row where all are plain;
    ``lags`` says by how much each rank reached its repetition before its instant,
    ``instant`` the same of the instant itself, the latest of what happens in it;
    ``saved_*`` the state that fast-forward compares with. ``log`` and ``log_rate``
    are empty where nobody records.
    """

    transfers: IntArray
    flows: FloatArray
    entries: npt.NDArray[np.int32]
    weights: FloatArray
    lists: IntArray
    links: FloatArray
    ranks: IntArray
    lags: FloatArray
    instant: FloatArray
    account: IntArray
    rounds: IntArray
    starts: IntArray
    parts: IntArray
    calendar: npt.NDArray[np.int32]
    heap_when: IntArray
    heap_batch: npt.NDArray[np.int32]
    recent: IntArray
    jobs: IntArray
    counters: IntArray
    changed: IntArray
    touched: IntArray
    queue_key: FloatArray
    queue_what: IntArray
    row: IntArray
    fans: IntArray
    fanned: IntArray
    saved_ranks: IntArray
    saved_account: IntArray
    saved_transfers: IntArray
    saved_flows: FloatArray
    saved_row: IntArray
    log: IntArray
    log_rate: FloatArray


def new_state(capacity: FloatArray, columns: int) -> State:
    """An empty state for so many links; accounts have ``columns`` columns."""

    def whole(*shape: int) -> IntArray:
        return np.zeros(shape, dtype=np.int64)

    links = capacity.size
    lists = whole(links, 4)
    lists[:, FIRST] = -1
    room = np.zeros((links, 3))
    room[:, CAPACITY] = capacity
    counters = whole(TODAY + 1)
    counters[STAMP] = 2
    counters[SAVED_ROUND] = counters[TODAY] = -1
    return State(
        transfers=whole(0, 19),
        flows=np.zeros((0, 7)),
        entries=np.zeros((0, 4), np.int32),
        weights=np.zeros(0),
        lists=lists,
        links=room,
        ranks=whole(0, 8),
        lags=np.zeros(0),
        instant=np.zeros(1),
        account=whole(0, columns),
        rounds=whole(0, 9),
        starts=whole(0),
        parts=whole(0),
        calendar=np.zeros((0, 4), np.int32),
        heap_when=whole(0),
        heap_batch=np.zeros(0, np.int32),
        recent=whole(RECENT, 2),
        jobs=whole(0, 3),
        counters=counters,
        changed=whole(0),
        touched=whole(links),
        queue_key=np.zeros(0),
        queue_what=whole(0),
        row=whole(1, columns),
        fans=whole(1, 5),
        fanned=whole(0),
        saved_ranks=whole(0, 8),
        saved_account=whole(0, columns),
        saved_transfers=whole(0, 19),
        saved_flows=np.zeros((0, 7)),
        saved_row=whole(0, columns),
        log=whole(0, 5),
        log_rate=np.zeros(0),
    )
