"""A recursion of completion times, followed only where something still changes.

Let V_r(k) be what rank r has after k repetitions, its time and its account, and
V_r(k) - V_r(k - 1) its *growth*. Completion times are linear in the (max, +) algebra,
so that where r and all it exchanges data with have grown by one and the same c in a
repetition, r grows by c in the next one: everything it compares has moved by c. Such a
rank needs no work; its values are a straight line over k.

So a repetition works on a *front*, those ranks that have grown otherwise than one of
their partners. Only a rank of the front can grow otherwise than before, so that the
next front is found among this one and its partners. A ring over a fat tree begins with
as many plateaus as hosts under one leaf; the slower ones spread by a rank a repetition
until they meet, while thousands of ranks in between rest. Without a front the rest of
the repetitions is known.

Nobody grows by more than the fastest did in the repetition before, which bounds how
soon somebody can pass the horizon.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiled import compiled, inlined
from sim.network.kernels.moves import CAPPED, LATENCY, OVERHEAD, TIERS, Ahead, Array, Moves

__all__ = ["follow"]


@compiled
def parts_of(t: Moves, ranks: Any) -> tuple[Array, Array]:
    """The parts of each rank in the order of transfers, by counting sort.

    Of rank r they are ``part[first[r] : first[r + 1]]``: ``2 i`` where it sends
    transfer i, ``2 i + 1`` where it receives it.
    """
    first = np.zeros(ranks + 1, dtype=np.int64)
    part = np.empty(2 * t.src.size, dtype=np.int64)
    for i in range(t.src.size):
        first[t.src[i]] += 1
        first[t.dst[i]] += 1
    total = 0
    for r in range(ranks + 1):
        total += first[r]
        first[r] = total
    for i in range(t.src.size - 1, -1, -1):
        first[t.dst[i]] -= 1
        part[first[t.dst[i]]] = 2 * i + 1
        first[t.src[i]] -= 1
        part[first[t.src[i]]] = 2 * i
    return first, part


@inlined
def partner(t: Moves, part: Any) -> Any:
    """The rank at the other end of a part."""
    return t.src[part >> 1] if part & 1 else t.dst[part >> 1]


@inlined
def differ(r: Any, q: Any, grown: Array, rows: Array) -> bool:
    """Whether two ranks have grown by different amounts."""
    if grown[r] != grown[q]:
        return True
    for c in range(rows.shape[1]):  # noqa: SIM110
        if rows[r, c] != rows[q, c]:
            return True
    return False


@compiled
def follow(t: Moves, repeat: Any, horizon: Any, x: Ahead, who: Array, grown: Array, rows: Array) -> int:
    """Do the repetitions from the second on that end by ``horizon``.

    Parameters
    ----------
    t, repeat, horizon, x
        See `maxplus.repeat_round`; the first repetition is done.
    who : int64 array
        The ranks that have a part.
    grown, rows : int64 arrays, shape (p,) and (p, columns), in and out
        Growth of each rank's time and account in the last repetition.

    Returns
    -------
    Number of repetitions done. ``counts[1]`` is how many of them needed no work.
    """
    p, columns = x.account.shape
    first, part = parts_of(t, p)
    since = np.ones(p, dtype=np.int64)  # the repetition that reach and account are of
    front, coming = np.empty(p, dtype=np.int64), np.empty(p, dtype=np.int64)
    listed = np.zeros(p, dtype=np.int64)  # the repetition whose front a rank was last put on
    later, fresh = np.empty(p, dtype=np.int64), np.empty((p, columns), dtype=np.int64)
    size = who.size
    for j in range(size):
        front[j] = who[j]
    latest, fastest = -1, 0
    k = 1
    while True:
        # The next front, from those who may have grown otherwise than before.
        found = 0
        for j in range(size):
            r = front[j]
            for e in range(first[r], first[r + 1]):
                q = partner(t, part[e])
                if (listed[r] != k or listed[q] != k) and differ(r, q, grown, rows):
                    for one in (r, q):
                        if listed[one] != k:
                            listed[one] = k
                            coming[found] = one
                            found += 1
        front, coming, size = coming, front, found
        if k == repeat or size == 0:
            break
        close = False
        if latest < 0 or latest + fastest > horizon:
            latest, fastest = 0, 0
            for j in range(who.size):
                r = who[j]
                latest = max(latest, x.reach[r] + (k - since[r]) * grown[r])
                fastest = max(fastest, grown[r])
            close = latest + fastest > horizon
        for j in range(size):
            r = front[j]
            later[r] = -1
            for e in range(first[r], first[r + 1]):
                i = part[e] >> 1
                s, d = t.src[i], t.dst[i]
                at_s = x.reach[s] + (k - since[s]) * grown[s]
                at_d = x.reach[d] + (k - since[d]) * grown[d]
                spent = max(at_s, at_d) + t.latency[i] + t.ideal[i]
                end = spent + t.overhead[i] + (t.reduce[i] if part[e] & 1 else 0)
                if end > later[r]:
                    later[r] = end
                    c = s if at_s >= at_d else d
                    for a in range(columns):
                        fresh[j, a] = x.account[c, a] + (k - since[c]) * rows[c, a]
                    fresh[j, OVERHEAD] += end - spent
                    fresh[j, LATENCY] += t.latency[i]
                    fresh[j, CAPPED if t.tier[i] < 0 else TIERS + t.tier[i]] += t.ideal[i]
        if close:
            highest = 0
            for j in range(who.size):
                r = who[j]
                resting = x.reach[r] + (k + 1 - since[r]) * grown[r]
                highest = max(highest, later[r] if listed[r] == k else resting)
            if highest > horizon:
                break
        for j in range(size):
            r = front[j]
            ago = k - since[r]
            grown[r], x.reach[r] = later[r] - (x.reach[r] + ago * grown[r]), later[r]
            for a in range(columns):
                before = x.account[r, a] + ago * rows[r, a]
                rows[r, a], x.account[r, a] = fresh[j, a] - before, fresh[j, a]
            since[r] = k + 1
        latest += fastest
        k += 1
    if size == 0:
        skipped = repeat - k
        for j in range(who.size):
            r = who[j]
            if grown[r] > 0:
                room = horizon - (x.reach[r] + (k - since[r]) * grown[r])
                skipped = min(skipped, room // grown[r])
        k += skipped
        x.counts[1] = skipped
    for j in range(who.size):
        r = who[j]
        ago = k - since[r]
        x.reach[r] += ago * grown[r]
        for a in range(columns):
            x.account[r, a] += ago * rows[r, a]
    return k
