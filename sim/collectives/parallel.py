"""Rounds that happen at the same time made into one: copies of a round, and different ones.

Whatever a round says of its transfers goes with them: their order among each
other, their local work, the trees of in-network ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim.schedule import FloatArray, IntArray, Payload, Round, Trees
from topologies.errors import ScheduleError

__all__ = ["at_once", "in_copies", "joined", "renumbered"]


def in_copies(small: Round, members: IntArray) -> Round:
    """One round done by many sets of ranks at once; its payload is left out.

    Parameters
    ----------
    small : Round
        Over ranks 0 to g - 1.
    members : int64 array, shape (copies, g)
        Rank that plays rank j of the round in each copy.

    Examples
    --------
    >>> one = Round(np.array([0]), np.array([1]), np.array([8.0]))
    >>> both = in_copies(one, np.array([[0, 2], [1, 3]]))
    >>> both.src.tolist(), both.dst.tolist()
    ([0, 1], [2, 3])
    """
    copies, m = members.shape[0], small.src.size
    after = seconds = trees = None
    if small.after is not None:
        offsets, earlier = small.after
        places = (np.arange(copies)[:, None] * m + earlier).ravel()
        after = (_starts(np.tile(np.diff(offsets), copies)), places)
    if small.seconds is not None:
        seconds = np.tile(small.seconds, copies)
    if small.trees is not None:
        trees = Trees(_copied(small.trees.up, members), _copied(small.trees.down, members))
    return replace(
        small,
        src=members[:, small.src].ravel(),
        dst=members[:, small.dst].ravel(),
        bytes=np.tile(small.bytes, copies),
        payload=None,
        after=after,
        seconds=seconds,
        trees=trees,
    )


def renumbered(small: Round, order: IntArray) -> Round:
    """The same round with rank ``order[j]`` in the place of rank j; its payload is left out.

    Examples
    --------
    >>> renumbered(Round(np.array([0]), np.array([1]), np.array([8.0])), np.array([5, 3])).src
    array([5])
    """
    return in_copies(small, order[None, :])


def at_once(rounds: Sequence[Round]) -> Round:
    """All transfers of several rounds as one round, done once; its payload is left out.

    Parameters
    ----------
    rounds : sequence of Round
        At least one; the label is that of the first.

    Raises
    ------
    ScheduleError
        If one of them reduces while another copies, or reduces in the network.

    Examples
    --------
    >>> a, b = (Round(np.array([i]), np.array([i + 1]), np.array([4.0])) for i in (0, 2))
    >>> at_once([a, b]).dst
    array([1, 3])
    """
    first = rounds[0]
    if any(r.reduce != first.reduce for r in rounds):
        raise ScheduleError(
            f"round {first.label!r}: one lane adds while another copies; lanes must reduce together"
        )
    if len(rounds) == 1:
        return replace(first, repeat=1, payload=None)
    if first.reduce and len({r.trees is None for r in rounds}) > 1:
        # A receiver adds to what it has; the sum of a tree replaces it.
        raise ScheduleError(f"round {first.label!r}: one lane adds in the network while another does not")
    return Round(
        np.concatenate([r.src for r in rounds]),
        np.concatenate([r.dst for r in rounds]),
        np.concatenate([r.bytes for r in rounds]),
        first.reduce,
        label=first.label,
        after=_after(rounds),
        seconds=_seconds(rounds),
        trees=_trees(rounds),
    )


def joined(parts: Sequence[Payload]) -> Payload:
    """Rows of several ``(offsets, values)`` one after the other.

    Examples
    --------
    >>> joined([(np.array([0, 1]), np.array([7])), (np.array([0, 2]), np.array([8, 9]))])
    (array([0, 1, 3]), array([7, 8, 9]))
    """
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.diff(offsets) for offsets, _ in parts])
    return _starts(counts), np.concatenate([values for _, values in parts])


def _after(rounds: Sequence[Round]) -> Payload | None:
    if all(r.after is None for r in rounds):
        return None
    parts, at = [], 0
    for r in rounds:
        if r.after is None:
            parts.append((np.zeros(r.src.size + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)))
        else:
            parts.append((r.after[0], r.after[1] + at))
        at += r.src.size
    return joined(parts)


def _seconds(rounds: Sequence[Round]) -> FloatArray | None:
    if all(r.seconds is None for r in rounds):
        return None
    return np.concatenate([np.zeros(r.src.size) if r.seconds is None else r.seconds for r in rounds])


def _trees(rounds: Sequence[Round]) -> Trees | None:
    if all(r.trees is None for r in rounds):
        return None
    each = [
        # A message from chip to chip is the tree with one of them on either side.
        Trees((np.arange(r.src.size + 1), r.src), (np.arange(r.src.size + 1), r.dst))
        if r.trees is None
        else r.trees
        for r in rounds
    ]
    return Trees(joined([t.up for t in each]), joined([t.down for t in each]))


def _copied(ends: Payload, members: IntArray) -> Payload:
    offsets, ranks = ends
    return _starts(np.tile(np.diff(offsets), members.shape[0])), members[:, ranks].ravel()


def _starts(counts: IntArray) -> IntArray:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
