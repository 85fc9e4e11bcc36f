"""Fast-forward inside the event loop: a state that comes back.

While one repeated round is all that happens, the future depends on the state
alone: which repetition each rank is in (relative to the others), and for each
transfer its status, times relative to now, remaining bytes and rate. If that
state is, bit for bit, the state of d repetitions ago, T picoseconds earlier,
then the same d repetitions follow again and last T each time. `same` compares,
`jump` skips as many of them as remain before the round or the horizon ends.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.compiled import compiled
from sim.network.kernels.state import ACTIVE, IDLE, PENDING, RUNNING
from sim.schedule import FloatArray, IntArray

__all__ = ["Snapshot", "jump", "same", "save"]


class Snapshot(NamedTuple):
    """The state of one job in one round; times relative to ``at[0]``.

    ``at`` holds the instant, the watched rank's repetition, and the round (-1: empty).
    """

    at: IntArray
    rank_round: IntArray
    repetition: IntArray
    pending: IntArray
    account: IntArray
    status: IntArray
    arrived: IntArray
    start: IntArray
    anchor: IntArray
    end: IntArray
    remaining: FloatArray
    rate: FloatArray
    limit: IntArray
    critical: IntArray
    done: IntArray


@compiled
def save(now, watched, q, first_rank, first, count, transfers, ranks, snapshot):  # type: ignore[no-untyped-def]
    """Remember the state."""
    snapshot.at[0] = now
    snapshot.at[1] = ranks.repetition[watched]
    snapshot.at[2] = q
    for j in range(snapshot.rank_round.size):
        r = first_rank + j
        snapshot.rank_round[j] = ranks.round[r]
        snapshot.repetition[j] = ranks.repetition[r]
        snapshot.pending[j] = ranks.pending[r]
        snapshot.account[j, :] = ranks.account[r, :]
    for j in range(count):
        f = first + j
        snapshot.status[j] = transfers.status[f]
        snapshot.arrived[j] = transfers.arrived[f]
        snapshot.start[j] = transfers.start[f] - now
        snapshot.anchor[j] = transfers.anchor[f] - now
        snapshot.end[j] = transfers.end[f] - now if transfers.end[f] >= 0 else -1
        snapshot.remaining[j] = transfers.remaining[f]
        snapshot.rate[j] = transfers.rate[f]
        snapshot.limit[j] = transfers.limit[f]
        snapshot.critical[j] = transfers.critical[f]
        snapshot.done[j] = transfers.done[f]


@compiled
def same(now, watched, busy, first_rank, first, count, transfers, ranks, snapshot):  # type: ignore[no-untyped-def]
    """Whether the state is the remembered one, shifted in time and repetitions."""
    q = snapshot.at[2]
    shift = ranks.repetition[watched] - snapshot.at[1]
    alive = 0
    for j in range(count):
        f = first + j
        status = transfers.status[f]
        if status != snapshot.status[j] or transfers.arrived[f] != snapshot.arrived[j]:
            return False
        if status == IDLE:
            continue
        alive += 1
        if transfers.critical[f] != snapshot.critical[j] or transfers.start[f] - now != snapshot.start[j]:
            return False
        if status == PENDING:
            continue
        if status == ACTIVE:
            if (
                transfers.anchor[f] - now != snapshot.anchor[j]
                or transfers.remaining[f] != snapshot.remaining[j]
                or transfers.rate[f] != snapshot.rate[j]
                or transfers.limit[f] != snapshot.limit[j]
            ):
                return False
        end = transfers.end[f] - now if transfers.end[f] >= 0 else -1
        if end != snapshot.end[j]:
            return False
    if alive != busy:
        return False
    ahead = ranks.account[watched, :] - snapshot.account[watched - first_rank, :]
    for j in range(snapshot.rank_round.size):
        r = first_rank + j
        if ranks.round[r] != snapshot.rank_round[j] or ranks.pending[r] != snapshot.pending[j]:
            return False
        moved = shift if ranks.round[r] == q and ranks.state[r] == RUNNING else 0
        if ranks.repetition[r] - snapshot.repetition[j] != moved:
            return False
        if moved:
            for c in range(ahead.size):
                if ranks.account[r, c] - snapshot.account[j, c] != ahead[c]:
                    return False
    return True


@compiled
def jump(now, until, watched, first_rank, first, count, transfers, ranks, rounds, snapshot):  # type: ignore[no-untyped-def]
    """Skip whole periods. Returns (picoseconds, repetitions, transfers) skipped."""
    q = snapshot.at[2]
    period = ranks.repetition[watched] - snapshot.at[1]
    span = now - snapshot.at[0]
    most = 0
    for j in range(snapshot.rank_round.size):
        r = first_rank + j
        if ranks.round[r] == q and ranks.state[r] == RUNNING:
            most = max(most, ranks.repetition[r])
    n = (rounds.repeat[q] - 1 - most) // period
    if span > 0:
        n = min(n, (until - now) // span)
    if n <= 0:
        return 0, 0, 0
    for j in range(snapshot.rank_round.size):
        r = first_rank + j
        if ranks.round[r] == q and ranks.state[r] == RUNNING:
            ranks.repetition[r] += n * period
            for c in range(ranks.account.shape[1]):
                ranks.account[r, c] += n * (ranks.account[r, c] - snapshot.account[j, c])
    through = 0
    for j in range(count):
        f = first + j
        skipped = n * (transfers.done[f] - snapshot.done[j])
        transfers.done[f] += skipped
        through += skipped
        if transfers.status[f] != IDLE:
            transfers.start[f] += n * span
            transfers.anchor[f] += n * span
            if transfers.end[f] >= 0:
                transfers.end[f] += n * span
    rounds.left[q] -= through
    return n * span, n * period, through
