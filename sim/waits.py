"""Whom a transfer waits for, where that is more than its sender and its receiver.

An in-network transfer has many ends; a round with an order of its own (an
algorithm read from a file) makes transfers wait for others of the round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.schedule import IntArray, Payload, Round
from topologies.errors import ScheduleError

__all__ = ["Waits", "offsets_of", "ranges", "waits_of"]

#: Transfers of a circle that the message names.
CIRCLE = 4


@dataclass(frozen=True, slots=True, eq=False)
class Waits:
    """Whom each of m transfers waits for, and who waits for it.

    Attributes
    ----------
    ends : (offsets, ranks)
        Ranks that must have reached the transfer, and that its end lets go on.
    before, behind : (offsets, transfers)
        Transfers of the round that must be done first; and the other way round.
    order : int64 array, shape (m,)
        The transfers, each behind all those it waits for.
    """

    ends: Payload
    before: Payload
    behind: Payload
    order: IntArray

    @property
    def needed(self) -> IntArray:
        """How many arrivals each transfer waits for, shape (m,)."""
        return np.diff(self.ends[0]) + np.diff(self.before[0])


def waits_of(round_: Round) -> Waits | None:
    """Whom the transfers of a round wait for; None where for their two ends alone.

    Raises
    ------
    ScheduleError
        If transfers wait for each other in a circle; they are named.
    """
    if round_.after is None and round_.trees is None:
        return None
    m = round_.src.size
    ends = [np.stack([round_.src, round_.dst])]
    owner = [np.tile(np.arange(m), (2, 1))]
    if round_.trees is not None:
        for offsets, ranks in (round_.trees.up, round_.trees.down):
            ends.append(ranks)
            owner.append(np.repeat(np.arange(m), np.diff(offsets)))
    over = max(int(e.max(initial=0)) for e in ends) + 1
    pairs = np.unique(
        np.concatenate([o.ravel() for o in owner]) * over + np.concatenate([e.ravel() for e in ends])
    )
    at = offsets_of(np.bincount(pairs // over, minlength=m))
    none = np.zeros(m + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    before = none if round_.after is None else round_.after
    if before[1].size and (before[1].min() < 0 or before[1].max() >= m):
        stray = int(before[1].max() if before[1].max() >= m else before[1].min())
        raise ScheduleError(f"round {round_.label!r}: a transfer waits for {stray}, which is none of its {m}")
    waiting = np.repeat(np.arange(m), np.diff(before[0]))
    by_first = np.argsort(before[1], kind="stable")
    behind = offsets_of(np.bincount(before[1], minlength=m)), waiting[by_first]
    return Waits((at, pairs % over), before, behind, _in_order(round_, before, behind))


def _in_order(round_: Round, before: Payload, behind: Payload) -> IntArray:
    """The transfers, each behind all those it waits for, layer by layer (Kahn 1962)."""
    left = np.diff(before[0])
    layer = np.flatnonzero(left == 0)
    found = []
    while layer.size:
        found.append(layer)
        counts = np.diff(behind[0])[layer]
        freed = behind[1][ranges(behind[0][layer], counts)]
        np.subtract.at(left, freed, 1)
        layer = np.unique(freed[left[freed] == 0])
    order = np.concatenate([*found, np.zeros(0, dtype=np.int64)])
    if order.size < left.size:
        raise ScheduleError(f"round {round_.label!r}: {_circle(round_, before, np.flatnonzero(left > 0))}")
    return order


def _circle(round_: Round, before: Payload, stuck: IntArray) -> str:
    """Transfers that wait for each other in a circle, in words."""
    held = set(stuck.tolist())
    path, f = [], int(stuck[0])
    while f not in path:
        path.append(f)
        f = next(int(g) for g in before[1][before[0][f] : before[0][f + 1]] if int(g) in held)
    circle = path[path.index(f) :]
    named = ", ".join(
        f"transfer {g} (rank {int(round_.src[g])} to rank {int(round_.dst[g])})" for g in circle[:CIRCLE]
    )
    more = f" and {len(circle) - CIRCLE} more" if len(circle) > CIRCLE else ""
    return f"deadlock: {len(circle)} transfers wait for each other in a circle: {named}{more}"


def ranges(first: IntArray, count: IntArray) -> IntArray:
    """Numbers ``first[i], ..., first[i] + count[i] - 1`` of all i, one after the other.

    Examples
    --------
    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(count)
    found: IntArray = np.arange(int(ends[-1]) if count.size else 0) + np.repeat(first - (ends - count), count)
    return found


def offsets_of(counts: IntArray) -> IntArray:
    """Where each of several stretches of these lengths begins, one after the other, and where the last ends.

    Examples
    --------
    >>> offsets_of(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    offsets: IntArray = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    return offsets
