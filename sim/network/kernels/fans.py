"""Rounds whose transfers wait for more than two ranks, without contention.

With E(i) the ends of transfer i and B(i) the transfers before it, the recursion of
`maxplus` becomes

    end_i = max(X_r for r in E(i); end_b, or end_b + reduce_b, for b in B(i)) + delay_i + ideal_i
    X'_r  = max of end_i (+ reduce_i where r receives) over the transfers i with r in E(i)

where reduce_b counts for those behind b that share its receiver.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiled import compiled
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

__all__ = ["fanned_round"]


@compiled
def fanned_round(
    order: Array,
    ends_start: Array,
    ends: Array,
    before_start: Array,
    before: Array,
    t: Moves,
    repeat: Any,
    horizon: Any,
    strict: Any,
    round_number: Any,
    x: Ahead,
) -> int:
    """Do the repetitions of one round that end by ``horizon``, one by one.

    Parameters
    ----------
    order, ends_start, ends, before_start, before
        See `sim.waits.Waits`.
    t ... x
        See `maxplus.repeat_round`. ``strict`` is for rounds without an order of
        their own only: within one, transfers may hold a link one after the other.

    Returns
    -------
    As `maxplus.repeat_round`.
    """
    src, dst, overhead, latency, ideal = t.src, t.dst, t.overhead, t.latency, t.ideal
    reduce, tier, reach, account, counts = t.reduce, t.tier, x.reach, x.account, x.counts
    columns = account.shape[1]
    m = src.size
    ended = src.copy()
    hold = src.copy()
    later = reach.copy()
    cause = reach.copy()
    critical = src.copy()
    rows = np.zeros((m, columns), dtype=np.int64)
    counts[0] = 0
    counts[1] = 0
    for k in range(repeat):
        for e in range(ends.size):
            later[ends[e]] = -1
        latest = 0
        for o in range(m):
            i = order[o]
            ready = -1
            for e in range(ends_start[i], ends_start[i + 1]):
                if reach[ends[e]] > ready:
                    ready = reach[ends[e]]
                    critical[i] = ends[e]
            lag = 0
            for e in range(before_start[i], before_start[i + 1]):
                b = before[e]
                wait = 0
                if src[i] == dst[b] or dst[i] == dst[b]:
                    wait = reduce[b]
                if ended[b] + wait > ready:
                    ready = ended[b] + wait
                    critical[i] = -2 - b
                    lag = wait
            hold[i] = ready + overhead[i] + latency[i]
            ended[i] = hold[i] + ideal[i]
            if k == 0 and strict and not claim_links(t, i, hold[i], round_number, x):
                return CONFLICT
            for c in range(columns):
                rows[i, c] = account[critical[i], c] if critical[i] >= 0 else rows[-2 - critical[i], c]
            rows[i, OVERHEAD] += overhead[i] + (lag if critical[i] < 0 else 0)
            rows[i, LATENCY] += latency[i]
            rows[i, CAPPED if tier[i] < 0 else TIERS + tier[i]] += ideal[i]
            latest = max(latest, ended[i] + reduce[i])
            for e in range(ends_start[i], ends_start[i + 1]):
                r = ends[e]
                end = ended[i] + (reduce[i] if r == dst[i] else 0)
                if end > later[r]:
                    later[r] = end
                    cause[r] = i
        if latest > horizon:
            break
        for e in range(ends.size):
            r = ends[e]
            i = cause[r]
            reach[r] = later[r]
            for c in range(columns):
                account[r, c] = rows[i, c]
            account[r, OVERHEAD] += later[r] - ended[i]
        counts[0] = k + 1
    done = counts[0]
    for i in range(m):
        settle_links(t, i, ended[i], done, x)
    return DONE if done == repeat else HORIZON
