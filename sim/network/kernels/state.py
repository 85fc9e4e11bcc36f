"""The arrays that the event loop works on, grouped by what they describe.

Transfers stand in slots; the slots of a round are consecutive. Entries are the
(transfer, link) pairs of all loaded transfers; the entries of the active
transfers on one link form a doubly linked list.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim.schedule import FloatArray, IntArray

__all__ = [
    "ACTIVE",
    "ARRIVING",
    "FINISHED",
    "IDLE",
    "LAST",
    "PENDING",
    "REDUCING",
    "RUNNING",
    "STALLED",
    "UNKNOWN",
    "Entries",
    "Links",
    "Ranks",
    "Rounds",
    "Scratch",
    "Transfers",
]

Ints = npt.NDArray[np.int32]

#: Status of a transfer slot.
IDLE, PENDING, ACTIVE, REDUCING = 0, 1, 2, 3

#: A rank slot: free or through, on its way to its first round, in a round, or
#: waiting for rounds to be loaded.
FINISHED, ARRIVING, RUNNING, STALLED = 0, 1, 2, 3

#: ``Rounds.next``: the next round is not loaded yet, or there is none.
UNKNOWN, LAST = -1, -2


class Links(NamedTuple):
    """Per link: bytes/s, first entry of its list (-1: nobody), scratch of the solver."""

    capacity: FloatArray
    first: IntArray
    room: FloatArray
    width: FloatArray
    unsettled: IntArray
    seen: IntArray


class Transfers(NamedTuple):
    """Per transfer slot.

    ``start`` is when it will hold its links, ``anchor`` and ``remaining`` its
    state when its ``rate`` last changed, ``end`` when it ends at that rate (-1:
    not while the rate is zero), ``limit`` the link that limits it (-1: its cap),
    ``critical`` the rank slot whose arrival made it ready, ``done`` how often it
    has been through. ``trial`` and ``mark`` belong to the solver.
    """

    src: IntArray
    dst: IntArray
    payload: FloatArray
    cap: FloatArray
    overhead: IntArray
    latency: IntArray
    reduce: IntArray
    ideal: IntArray
    tier: IntArray
    status: IntArray
    arrived: IntArray
    start: IntArray
    anchor: IntArray
    remaining: FloatArray
    rate: FloatArray
    end: IntArray
    limit: IntArray
    critical: IntArray
    done: IntArray
    trial: FloatArray
    mark: IntArray
    entry: IntArray
    entries: IntArray
    round: IntArray


class Entries(NamedTuple):
    """Per (transfer, link) pair: both, the weight, and neighbours in the link's list."""

    link: Ints
    owner: Ints
    weight: FloatArray
    after: IntArray
    before: IntArray


class Ranks(NamedTuple):
    """Per rank slot: job, number within the job, round, repetition, parts left, state."""

    job: IntArray
    number: IntArray
    round: IntArray
    repetition: IntArray
    pending: IntArray
    state: IntArray
    account: IntArray


class Rounds(NamedTuple):
    """Per loaded round: repetitions, transfer completions left, next round, where its parts are.

    The parts (transfer slots) of rank number n of the job are
    ``parts[starts[row + n]:starts[row + n + 1]]``, ``row`` being the round's. Its
    transfers are ``first`` to ``first + count``, its job's ranks begin at ``base``;
    ``watch`` is the rank whose steps are watched for a recurring state, or -1.
    """

    repeat: IntArray
    left: IntArray
    next: IntArray
    row: IntArray
    first: IntArray
    count: IntArray
    base: IntArray
    watch: IntArray


class Scratch(NamedTuple):
    """Work space of the solver and counters of the loop; see `events`."""

    changed: IntArray
    touched: IntArray
    heap_key: FloatArray
    heap_what: IntArray
    counters: IntArray
    account: IntArray
    job_left: IntArray
    job_stalled: IntArray
    job_done: IntArray
