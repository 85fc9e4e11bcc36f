"""Rounds without contention, as a recursion of completion times.

While no two transfers hold a link at the same time, a transfer lasts as long as
when it is alone, and the instants X_r at which ranks reach a repetition obey

    end_i = max(X_src(i), X_dst(i)) + delay_i + ideal_i
    X'_r  = max over r's transfers i of (end_i, or end_i + reduce_i where r receives)

which is linear in the (max, +) algebra: from X + T it gives X' + T. So when X
repeats after d repetitions but for one constant T, every further d repetitions
add T again, and the recursion jumps.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from sim.compiled import compiled

__all__ = ["CONFLICT", "DONE", "HORIZON", "repeat_round"]

Array = npt.NDArray[Any]

DONE, CONFLICT, HORIZON = 0, 1, 2

#: First columns of a rank's account of its critical path, in picoseconds; the
#: tiers follow, in the order of `Fabric.tiers`, serialisation each.
OVERHEAD, LATENCY, CONTENTION, CAPPED, TIERS = 0, 1, 2, 3, 4


@compiled
def repeat_round(
    src: Array,
    dst: Array,
    overhead: Array,
    latency: Array,
    ideal: Array,
    reduce: Array,
    tier: Array,
    wire: Array,
    start: Array,
    link: Array,
    weight: Array,
    repeat: Any,
    horizon: Any,
    jump: Any,
    strict: Any,
    round_number: Any,
    reach: Array,
    account: Array,
    busy: Array,
    used_by: Array,
    carried: Array,
    counts: Array,
) -> int:
    """Do the repetitions of one round that end by ``horizon``.

    Parameters
    ----------
    src ... weight
        The round's transfers and their paths.
    repeat, horizon, jump, strict
        Repetitions, last instant, whether to jump, whether to watch for conflicts.
    round_number
        Counts the rounds, to tell which round used a link last.
    reach : int64 (p,), in and out
        When each rank reaches the round, then the next.
    account : int64 (p, columns), in and out
        Each rank's critical path by cause.
    busy, used_by : int64 (links,), in and out
        When each link was last released, and by which round.
    carried : float64 (links,), in and out
        Bytes each link has carried.
    counts : int64 (2,), out
        Repetitions done, and how many of them were jumped.

    Returns
    -------
    DONE, CONFLICT (two transfers would share a link: nothing of the round is
    done) or HORIZON (stopped before the repetition that would pass it).
    """
    m = src.size
    counts[0] = 0
    counts[1] = 0
    if m == 0:
        counts[0] = repeat
        return DONE
    p, columns = account.shape
    member = reach.copy()
    member[:] = 0
    ranks = 0
    for i in range(m):
        if member[src[i]] == 0:
            member[src[i]] = 1
            ranks += 1
        if member[dst[i]] == 0:
            member[dst[i]] = 1
            ranks += 1
    who = src[:1].repeat(ranks)
    j = 0
    for r in range(p):
        if member[r]:
            who[j] = r
            j += 1
    later = reach.copy()
    cause = reach.copy()
    critical = src.copy()
    ended = src.copy()
    fresh = account[:ranks].copy()
    saved = later[:ranks].copy()
    saved_account = fresh.copy()
    saved_at = -1
    k = 0
    while k < repeat:
        for j in range(ranks):
            later[who[j]] = -1
        latest = 0
        for i in range(m):
            s, d = src[i], dst[i]
            if reach[s] >= reach[d]:
                ready = reach[s]
                critical[i] = s
            else:
                ready = reach[d]
                critical[i] = d
            hold = ready + overhead[i] + latency[i]
            end = hold + ideal[i]
            ended[i] = end
            if k == 0 and strict and ideal[i] > 0:
                for e in range(start[i], start[i + 1]):
                    l = link[e]
                    if used_by[l] == round_number or hold < busy[l]:
                        return CONFLICT
                    used_by[l] = round_number
            if end > later[s]:
                later[s] = end
                cause[s] = i
            end += reduce[i]
            if end > later[d]:
                later[d] = end
                cause[d] = i
            if end > latest:
                latest = end
        if latest > horizon:
            break
        for j in range(ranks):
            r = who[j]
            i = cause[r]
            for c in range(columns):
                fresh[j, c] = account[critical[i], c]
            fresh[j, OVERHEAD] += overhead[i]
            if r == dst[i]:
                fresh[j, OVERHEAD] += later[r] - ended[i]
            fresh[j, LATENCY] += latency[i]
            if tier[i] < 0:
                fresh[j, CAPPED] += ideal[i]
            else:
                fresh[j, TIERS + tier[i]] += ideal[i]
        for j in range(ranks):
            r = who[j]
            reach[r] = later[r]
            for c in range(columns):
                account[r, c] = fresh[j, c]
        k += 1
        if not jump or k == repeat:
            continue
        if saved_at >= 0:
            period = k - saved_at
            step = reach[who[0]] - saved[0]
            same = True
            for j in range(ranks):
                if reach[who[j]] - saved[j] != step:
                    same = False
                    break
            if same:
                for j in range(ranks):
                    for c in range(columns):
                        if (
                            account[who[j], c] - saved_account[j, c]
                            != account[who[0], c] - saved_account[0, c]
                        ):
                            same = False
                if same:
                    n = (repeat - k) // period
                    if step > 0:
                        n = min(n, (horizon - latest) // step)
                    for j in range(ranks):
                        r = who[j]
                        reach[r] += n * step
                        for c in range(columns):
                            account[r, c] += n * (account[r, c] - saved_account[j, c])
                    for i in range(m):
                        ended[i] += n * step
                    k += n * period
                    counts[1] += n * period
                    jump = False
                    continue
        if saved_at < 0 or k >= saved_at + 1 + saved_at // 8:
            saved_at = k
            for j in range(ranks):
                saved[j] = reach[who[j]]
                for c in range(columns):
                    saved_account[j, c] = account[who[j], c]
    for i in range(m):
        for e in range(start[i], start[i + 1]):
            l = link[e]
            carried[l] += k * weight[e] * wire[i]
            if k > 0 and ended[i] > busy[l]:
                busy[l] = ended[i]
    counts[0] = k
    return DONE if k == repeat else HORIZON
