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

__all__ = ["ARRAYS", "VIEWS", "Float", "Int", "Numbers", "State", "new_state", "with_rows"]

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
# steps are watched for a recurring state (-1: none), whether its parts have spans; from which
# repetition on what ends does so on whole picoseconds, and before which.
REPEAT, LEFT, NEXT, ROW, FIRST_TRANSFER, COUNT, BASE, MEMBERS, WATCH = range(9)
SPANNED, WHOLE_FROM, WHOLE_TO = range(9, 12)

# NEXT: not loaded yet, or there is none.
UNKNOWN, LAST = -1, -2

# due: what happens at an instant, see `calendar`.
WHAT, KIND = range(2)
ARRIVES, STARTS, ENDS, IS_REDUCED, CHANGES = range(5)  # kinds
WHEN, BATCH = range(2)

#: Instants that the calendar's table of recent ones holds, a power of two.
RECENT = 256

# spans: of each part of `parts`, where its round has spans: the first repetition it stands in, and
# the one behind its last.
FROM, TO = range(2)

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
VIEWS: dict[str, str] = {
    "flows": "transfers",
    "tags": "transfers",
    "weights": "entries",
    "links": "lists",
    "lags": "ranks",
    "saved_flows": "saved_transfers",
}

#: Columns of an array: none, as it is a line; as many as an account has, or twice that.
LINEAR, ACCOUNT, TWO_ACCOUNTS = 0, -1, -2

#: What each array of a state holds, and its columns.
ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "transfers": (np.int64, 24),
    "flows": (np.float64, 24),
    "tags": (np.int32, 48),
    "entries": (np.int32, 6),
    "weights": (np.float64, 3),
    "lists": (np.int64, 8),
    "links": (np.float64, 8),
    "ranks": (np.int64, 8),
    "lags": (np.float64, 8),
    "instant": (np.float64, LINEAR),
    "account": (np.int64, ACCOUNT),
    "rounds": (np.int64, 12),
    "starts": (np.int64, LINEAR),
    "parts": (np.int64, LINEAR),
    "spans": (np.int32, 2),
    "calendar": (np.int64, LINEAR),
    "heap_when": (np.int64, LINEAR),
    "heap_batch": (np.int64, LINEAR),
    "due": (np.int32, 2),
    "recent": (np.int64, 2),
    "jobs": (np.int64, 3),
    "counters": (np.int64, LINEAR),
    "changed": (np.int64, LINEAR),
    "touched": (np.int64, LINEAR),
    "queue_key": (np.float64, LINEAR),
    "queue_what": (np.int64, LINEAR),
    "row": (np.int64, ACCOUNT),
    "fans": (np.int64, 5),
    "fanned": (np.int64, LINEAR),
    "saved_ranks": (np.int64, 8),
    "saved_account": (np.int64, TWO_ACCOUNTS),
    "saved_transfers": (np.int64, 24),
    "saved_flows": (np.float64, 24),
    "saved_row": (np.int64, ACCOUNT),
    "log": (np.int64, 5),
    "log_rate": (np.float64, LINEAR),
    "script": (np.int64, 4),
    "script_rate": (np.float64, LINEAR),
    "follow": (np.int64, 3),
    "came": (np.int64, 3),
    "checks": (np.int64, LINEAR),
}

#: Columns of `State.table`: where an array is in memory, its rows and its columns.
ADDRESS, ROWS, COLUMNS = range(3)


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

    ``table`` says where the arrays are: it is what kernels are given (`handle`), and goes
    with these very arrays. So states are made by `new_state` and `with_rows` only.
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
    spans: npt.NDArray[np.int32]
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
    table: IntArray


def with_rows(s: State, **rows: int) -> State:
    """A state with so many rows in the arrays named; what they held there stays, new rows are zero."""
    longer: dict[str, Any] = {}
    for name, count in rows.items():
        old = getattr(s, name)
        longer[name] = _zeros(count, old.shape[1:], old.dtype)
        longer[name][: old.shape[0]] = old[:count]
    return _with_arrays(s, longer)


def _with_arrays(s: State, arrays: dict[str, Any]) -> State:
    """A state with these arrays, their views, and a table that says so."""
    for name, base in VIEWS.items():
        if base in arrays:
            arrays[name] = arrays[base].view(ARRAYS[name][0])
    table = s.table.copy()
    for i, name in enumerate(ARRAYS):
        array = arrays.get(name)
        if array is not None:
            # Of an empty one nobody reads the address.
            where = array.__array_interface__["data"][0] if array.shape[0] else 0
            table[i] = where, array.shape[0], array.shape[-1]
    return s._replace(**arrays, table=table)


def _zeros(count: int, row: tuple[int, ...], kind: Any) -> Any:
    """Zeros whose first row begins with a line of the cache."""
    if count == 0:
        return np.zeros((0, *row), dtype=kind)
    size = count * math.prod(row) * np.dtype(kind).itemsize
    room = np.zeros(size + LINE, dtype=np.uint8)
    first = -room.__array_interface__["data"][0] % LINE
    return room[first : first + size].view(kind).reshape(count, *row)


def new_state(capacity: FloatArray, columns: int) -> State:
    """An empty state for so many links; accounts have ``columns`` columns."""
    links = capacity.size
    rows = {
        "instant": 1, "recent": RECENT, "counters": SHARE + 1, "row": 1, "fans": 1, "spans": 1,
        "lists": links, "touched": links,
    }  # fmt: skip
    arrays: dict[str, Any] = {}
    for name, (kind, width) in ARRAYS.items():
        if name not in VIEWS:
            row = () if width == LINEAR else (width if width > 0 else -width * columns,)
            arrays[name] = _zeros(rows.get(name, 0), row, kind)
    none = np.zeros((len(ARRAYS), 3), dtype=np.int64)
    nothing: dict[str, Any] = dict.fromkeys(State._fields, none)
    s = _with_arrays(State(**nothing), arrays)
    s.lists[:, FIRST] = -1
    s.links[:, CAPACITY] = capacity
    s.counters[STAMP] = 2
    s.counters[SAVED_ROUND] = s.counters[TODAY] = -1
    return s
