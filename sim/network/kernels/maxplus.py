"""Rounds without contention, as a recursion of completion times.

While no two transfers hold a link at the same time, a transfer lasts as long as
when it is alone, and the instants X_r at which ranks reach a repetition obey

    end_i = max(X_src(i), X_dst(i)) + delay_i + ideal_i
    X'_r  = max over r's transfers i of (end_i, or end_i + reduce_i where r receives)

which is linear in the (max, +) algebra: from X + T it gives X' + T. The first
repetition is done here; the next ones where something still changes (`fronts`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiled import compiled, inlined
from sim.network.kernels.fronts import follow
from sim.network.kernels.moves import (
    CAPPED,
    CONFLICT,
    DONE,
    HORIZON,
    LATENCY,
    OVERHEAD,
    TIERS,
    Ahead,
    Array,
    Moves,
    claim_links,
    settle_links,
)

__all__ = ["repeat_round"]


@compiled
def members(t: Moves, ranks: Any) -> Array:
    """The ranks that have a part in a round, in ascending order."""
    part = np.zeros(ranks, dtype=np.int64)
    for i in range(t.src.size):
        part[t.src[i]] = part[t.dst[i]] = 1
    who = np.empty(ranks, dtype=np.int64)
    found = 0
    for r in range(ranks):
        if part[r]:
            who[found] = r
            found += 1
    return who[:found]


@inlined
def everybody(t: Moves, x: Ahead, who: Array, later: Array, cause: Array, critical: Array) -> Any:
    """One repetition of all transfers: when each rank is through, by which transfer; the latest of all."""
    for j in range(who.size):
        later[who[j]] = -1
    for i in range(t.src.size):
        s, d = t.src[i], t.dst[i]
        critical[i] = s if x.reach[s] >= x.reach[d] else d
        end = x.reach[critical[i]] + t.overhead[i] + t.latency[i] + t.ideal[i]
        if end > later[s]:
            later[s] = end
            cause[s] = i
        end += t.reduce[i]
        if end > later[d]:
            later[d] = end
            cause[d] = i
    latest = 0
    for j in range(who.size):
        latest = max(latest, later[who[j]])
    return latest


@inlined
def go_on(
    t: Moves, x: Ahead, who: Array, later: Array, cause: Array, critical: Array, grown: Array, rows: Array
) -> None:
    """Let every rank go on; ``grown`` and ``rows`` get what times and accounts have grown by."""
    columns = x.account.shape[1]
    for j in range(who.size):
        r = who[j]
        i = cause[r]
        c = critical[i]
        for k in range(columns):
            rows[r, k] = x.account[c, k] - x.account[r, k]
        # What is neither overhead, latency nor bytes is the reduction.
        spent = x.reach[c] + t.latency[i] + t.ideal[i]
        rows[r, OVERHEAD] += later[r] - spent
        rows[r, LATENCY] += t.latency[i]
        rows[r, CAPPED if t.tier[i] < 0 else TIERS + t.tier[i]] += t.ideal[i]
        grown[r] = later[r] - x.reach[r]
    for j in range(who.size):
        r = who[j]
        x.reach[r] = later[r]
        for k in range(columns):
            x.account[r, k] += rows[r, k]


@compiled
def repeat_round(
    t: Moves, repeat: Any, horizon: Any, jump: Any, strict: Any, round_number: Any, x: Ahead
) -> int:
    """Do the repetitions of one round that end by ``horizon``.

    Parameters
    ----------
    t : Moves
    repeat, horizon, jump, strict
        Repetitions, last instant, whether to skip what is known, whether to watch for conflicts.
    round_number
        Counts the rounds, to tell which round used a link last.
    x : Ahead

    Returns
    -------
    DONE, CONFLICT or HORIZON.
    """
    m, p = t.src.size, x.reach.size
    x.counts[0] = 0
    x.counts[1] = 0
    if m == 0:
        x.counts[0] = repeat
        return DONE
    if strict:
        for i in range(m):
            ready = max(x.reach[t.src[i]], x.reach[t.dst[i]])
            if not claim_links(t, i, ready + t.overhead[i] + t.latency[i], round_number, x):
                return CONFLICT
    who = members(t, p)
    later, cause = np.empty(p, dtype=np.int64), np.empty(p, dtype=np.int64)
    critical = np.empty(m, dtype=np.int64)
    grown, rows = np.zeros(p, dtype=np.int64), np.zeros(x.account.shape, dtype=np.int64)
    k = 0
    while k < repeat:
        if k == 1 and jump:
            k = follow(t, repeat, horizon, x, who, grown, rows)
            break
        if everybody(t, x, who, later, cause, critical) > horizon:
            break
        go_on(t, x, who, later, cause, critical, grown, rows)
        k += 1
    for i in range(m):
        s, d = t.src[i], t.dst[i]
        ready = max(x.reach[s] - grown[s], x.reach[d] - grown[d])
        settle_links(t, i, ready + t.overhead[i] + t.latency[i] + t.ideal[i], k, x)
    x.counts[0] = k
    return DONE if k == repeat else HORIZON
