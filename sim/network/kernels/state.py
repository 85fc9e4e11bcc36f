"""The arrays of the event loop, and what stands in their columns.

Few wide arrays instead of many narrow ones: a transfer's fields lie side by side
in memory, and a call of one kernel from another passes few arrays. Integers and
floats of one thing lie side by side too: some arrays are views of others (`VIEWS`).
The loop waits for memory more than it computes, so a row is one or several whole
lines of the processor's cache, `LINE` bytes each, and what is used together shares one.

Transfers stand in slots; the slots of a round are consecutive. Entries are the
(transfer, link) pairs of all loaded transfers; those of the active transfers on
one link form a doubly linked list.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim.schedule import FloatArray, IntArray

__all__ = ["VIEWS", "Float", "Int", "Numbers", "State", "new_state", "with_rows"]

# What a kernel takes and gives besides arrays: whatever numba infers.
Int = Any
Float = Any
Numbers = npt.NDArray[Any]

# transfers, flows and tags: integers, floats and short integers of each slot, three
# lines. START is when it will hold its links, ANCHOR
# when its rate last changed, END when it ends at that rate (-1: not while the
# rate is zero), LIMIT the link that limits it (-1: its cap), CRITICAL the rank
# slot whose arrival made it ready (-2 - f: the end of transfer f did), DONE how often
# it has been through. Before a transfer is ready, START is when somebody last arrived.
# Floats: bytes to move, cap (bytes/s), bytes left at ANCHOR, rate (bytes/s), and the
# solver's new rate; how many picoseconds earlier than their instants its next start
# or end, and the last change of its rate, really are. Short: rank slots of its ends,
# its round, and the tier of its slowest link (-1: its cap is slower).
STATUS, MARK, LIMIT, ENTRY, ENTRIES, CAP, RATE, TRIAL = range(8)  # what the solver and neighbours use
ARRIVED, START, END, ANCHOR, PAYLOAD, REMAINING, LAG, ANCHOR_LAG = range(8, 16)  # how it moves
OVERHEAD, LATENCY, IDEAL, REDUCE, CRITICAL, DONE = range(16, 22)  # what it has cost when it ends
SRC, DST, ROUND_OF, TIER = range(44, 48)

# STATUS of a transfer.
IDLE, PENDING, ACTIVE, REDUCING = range(4)

# entries and weights: link, transfer, and neighbours in the link's list (-1: none);
# the transfer's weight there.
LINK, OWNER, AFTER, BEFORE = range(4)
WEIGHT = 2

# lists and links: first entry on each link, scratch of the solver; bytes/s of each
# link, what is left of them, and the weight that shares it; whether a front has the link
# in view (see `strangers`).
FIRST, UNSETTLED, SEEN, OTHERS, CAPACITY, ROOM, WIDTH, IN_VIEW = range(8)

# ranks and lags: job, number within the job, round, repetition, parts left, state,
# when its last part was done (while it is on its way: when it arrives); by how much it
# reached its repetition before its instant.
JOB, NUMBER, ROUND, REPETITION, PENDING_PARTS, STANDING, PART_AT, RANK_LAG = range(8)

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

# due: what happens at an instant, see `calendar`.
WHAT, KIND = range(2)
ARRIVES, STARTS, ENDS, IS_REDUCED, CHANGES = range(5)  # kinds
WHEN, BATCH = range(2)

#: Instants that the calendar's table of recent ones holds, a power of two.
RECENT = 256

# fans: for transfers with an order or ends of their own, by slot: how many arrivals
# make one ready (0: plain, its sender and its receiver do), its ends (rank slots) and
# those behind it (transfer slots) as stretches of `fanned`.
NEEDED, ENDS_FROM, ENDS_TO, BEHIND_FROM, BEHIND_TO = range(5)

# script: what transfers did in one period, see `script`: which, when, what (STARTS, CHANGES
# or ENDS), and the link that limited it from then on.
WHO, WHEN_IT_DID, DID, LIMITED_BY = range(4)

# follow: of each transfer slot its role in a front, its first line of the script, the next one.
ROLE, FIRST_LINE, NEXT_LINE = range(3)

# came: of each rank slot its role in a front, when it last came to a repetition, how often.
CAME_AT, COMINGS = 1, 2

# ROLE: nothing to do with the front; follows the script; simulated; to be simulated too.
ABSENT, STRANGER, LIVE, JOINING = range(4)

# SCRIPTED: nobody writes, or reads, a script.
UNSCRIPTED, WRITING, FOLLOWING_IT = range(3)

# jobs: ranks not through, ranks stalled, when the last one was through.
RANKS_LEFT, RANKS_STALLED, ENDED = range(3)

# counters: scalars of the loop.
(
    NOW, EVENTS, SOLVES, STAMP, SOLVED, DIRTY, THROUGH, BUSY, JOBS_DONE, STALLS, WATCHED, JUMPED, FORWARD,
    HEAP_SIZE, FREE_BATCH, FRESH_BATCH, FREE_LINE, FRESH_LINE, RECORDS_LEFT, SAVED_AT, SAVED_REPETITION,
    SAVED_ROUND, STRANGERS, LOGGED, SPREAD, TODAY, SCRIPTED, WRITTEN, SHIFT, WINDOW, CHECKS, PATIENCE,
    PATIENT_ROUND, ENOUGH, SHARE,
) = range(35)  # fmt: skip

# SPREAD: 0 where all is in the cache; else whether an instant's events are looked at one
# by one, or so many that they are gone through in stages (`ahead`).
SINGLY, TOGETHER = 1, 2

# log: spans of constant rate of transfers, where somebody records them. Slot,
# repetition, from when to when (picoseconds), whether the transfer then ended.
SLOT, TIME_OF, BEGUN, UNTIL, FINAL = range(5)


#: Lag of an instant in which nothing has happened yet: above all others, which are below 1.
NEVER = 2.0


#: Bytes of a line of the cache.
LINE = 64

#: Arrays that are the memory of another one, seen as another kind of number.
VIEWS: dict[str, tuple[str, Any]] = {
    "flows": ("transfers", np.float64),
    "tags": ("transfers", np.int32),
    "weights": ("entries", np.float64),
    "links": ("lists", np.float64),
    "lags": ("ranks", np.float64),
    "saved_flows": ("saved_transfers", np.float64),
}


class State(NamedTuple):
    """All of it; columns as named above.

    ``queue_key`` and ``queue_what`` are the solver's heap, ``changed`` the
    transfers it works on, ``touched`` their links; ``row`` holds the account of a
    transfer that has just ended (one row a slot where receivers reduce, or
    transfers wait for each other); ``fans`` has one row where all are plain;
    ``instant`` says by how much what happens in it was before the instant, at the latest;
    ``saved_*`` the state that fast-forward compares with (``saved_account`` has as many
    columns again, by how much accounts grew in the period of a script). ``log`` and ``log_rate``
    are empty where nobody records; ``script``, ``script_rate`` (bytes/s), ``follow``,
    ``came`` and ``checks`` (links to look at) where no front was needed.
    """

    transfers: IntArray
    flows: FloatArray
    tags: npt.NDArray[np.int32]
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
    calendar: IntArray
    heap_when: IntArray
    heap_batch: IntArray
    due: npt.NDArray[np.int32]
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
    script: IntArray
    script_rate: FloatArray
    follow: IntArray
    came: IntArray
    checks: IntArray


def with_rows(s: State, **rows: int) -> State:
    """A state with so many rows in the arrays named; what they held stays, new rows are zero."""
    longer: dict[str, Any] = {}
    for name, count in rows.items():
        old = getattr(s, name)
        new = _zeros(count, old.shape[1:], old.dtype)
        new[: old.shape[0]] = old
        longer[name] = new
    for name, (base, kind) in VIEWS.items():
        if base in longer:
            longer[name] = longer[base].view(kind)
    return s._replace(**longer)


def _zeros(count: int, row: tuple[int, ...], kind: Any) -> Any:
    """Zeros whose first row begins with a line of the cache."""
    size = count * math.prod(row) * np.dtype(kind).itemsize
    room = np.zeros(size + LINE, dtype=np.uint8)
    first = -room.ctypes.data % LINE
    return room[first : first + size].view(kind).reshape(count, *row)


def new_state(capacity: FloatArray, columns: int) -> State:
    """An empty state for so many links; accounts have ``columns`` columns."""

    def whole(*shape: int) -> IntArray:
        return np.zeros(shape, dtype=np.int64)

    def short(*shape: int) -> npt.NDArray[np.int32]:
        return np.zeros(shape, dtype=np.int32)

    none = np.zeros((0, 1))
    s = State(
        transfers=whole(0, 24),
        flows=none,
        tags=short(0, 1),
        entries=short(0, 6),
        weights=none,
        lists=whole(0, 8),
        links=none,
        ranks=whole(0, 8),
        lags=none,
        instant=np.zeros(1),
        account=whole(0, columns),
        rounds=whole(0, 9),
        starts=whole(0),
        parts=whole(0),
        calendar=whole(0),
        heap_when=whole(0),
        heap_batch=whole(0),
        due=short(0, 2),
        recent=whole(RECENT, 2),
        jobs=whole(0, 3),
        counters=whole(SHARE + 1),
        changed=whole(0),
        touched=whole(0),
        queue_key=np.zeros(0),
        queue_what=whole(0),
        row=whole(1, columns),
        fans=whole(1, 5),
        fanned=whole(0),
        saved_ranks=whole(0, 8),
        saved_account=whole(0, 2 * columns),
        saved_transfers=whole(0, 24),
        saved_flows=none,
        saved_row=whole(0, columns),
        log=whole(0, 5),
        log_rate=np.zeros(0),
        script=whole(0, 4),
        script_rate=np.zeros(0),
        follow=whole(0, 3),
        came=whole(0, 3),
        checks=whole(0),
    )
    links = capacity.size
    s = with_rows(s, transfers=0, entries=0, ranks=0, saved_transfers=0, lists=links, touched=links)
    s.lists[:, FIRST] = -1
    s.links[:, CAPACITY] = capacity
    s.counters[STAMP] = 2
    s.counters[SAVED_ROUND] = s.counters[TODAY] = -1
    return s
