"""Rounds that happen at the same time made into one: copies of a round, and different ones.

Whatever a round says of its transfers goes with them: their order among each
other, their local work, the trees of in-network ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sim.schedule import Assembled, FloatArray, IntArray, Payload, Round, Trees
from topologies.errors import ScheduleError

__all__ = ["Copies", "at_once", "joined"]

Payloads = Callable[[int], Payload]


class Copies:
    """Rounds done by many sets of ranks at once; payloads are left out.

    A part that stands in several rounds is copied once, and stands in all their copies.

    Parameters
    ----------
    members : int64 array, shape (copies, g)
        Rank that plays rank j of the rounds in each copy. One row: other names for
        the same ranks.

    Examples
    --------
    >>> one = Round(np.array([0]), np.array([1]), np.array([8.0]))
    >>> both = Copies(np.array([[0, 2], [1, 3]])).of(one)
    >>> both.src.tolist(), both.dst.tolist()
    ([0, 1], [2, 3])
    """

    def __init__(self, members: IntArray) -> None:
        self.members = members
        self._known: dict[int, Round] = {}
        self._copied: list[Round] = []

    def of(self, small: Round, payload: Payloads | None = None, label: str | None = None) -> Round:
        """The copies of a round: of each part in turn those of the first set of ranks, of the next, ...

        With another payload, and another label if one is given.
        """
        label = small.label if label is None else label
        if small.parts is None:
            return _in_copies(small, self.members, payload, label)
        try:
            parts = tuple(map(self._known.__getitem__, map(id, small.parts)))
        except KeyError:
            parts = tuple([self._part(part) for part in small.parts])
        return at_once(parts, repeat=small.repeat, payload=payload, label=label, parts=parts)

    def _part(self, part: Round) -> Round:
        known = self._known.get(id(part))
        if known is None:
            known = self._known[id(part)] = _in_copies(part, self.members, None, part.label)
            # Kept too, so that nobody else gets its number.
            self._copied.append(part)
        return known

    def order(self, small: Round) -> IntArray | None:
        """Where each transfer of `of` stands among the copies of the whole round, one copy after the other.

        None where it is the same order.
        """
        copies, m = self.members.shape[0], small.src.size
        if small.parts is None or copies == 1 or len(small.parts) == 1:
            return None
        sizes = [part.src.size for part in small.parts]
        firsts = np.cumsum([0, *sizes[:-1]])
        return np.concatenate(
            [
                (np.arange(copies)[:, None] * m + first + np.arange(size)).ravel()
                for first, size in zip(firsts.tolist(), sizes, strict=True)
            ]
        )


def _in_copies(small: Round, members: IntArray, payload: Payloads | None, label: str) -> Round:
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
    # Not `replace`: rounds are many, and it takes longer than all of the above.
    return Round(
        members[:, small.src].ravel(),
        members[:, small.dst].ravel(),
        np.tile(small.bytes, copies),
        small.reduce,
        small.repeat,
        payload,
        label,
        after,
        seconds,
        trees,
        small.adds,
        small.parts,
    )


def at_once(
    rounds: Sequence[Round],
    *,
    repeat: int = 1,
    payload: Payloads | None = None,
    label: str | None = None,
    parts: tuple[Round, ...] | None = None,
) -> Round:
    """All transfers of several rounds as one round.

    Parameters
    ----------
    rounds : sequence of Round
        At least one.
    repeat, payload, label
        Of the round; the label is that of the first if not given.
    parts : tuple of Round, optional
        What it is made of; by default what the rounds are made of, if any says so.

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
    plain = True
    for r in rounds:
        if r.reduce != first.reduce:
            raise ScheduleError(
                f"round {first.label!r}: one lane adds while another copies; lanes must reduce together"
            )
        plain = plain and r.after is None and r.seconds is None and r.trees is None and r.adds is None
    label = first.label if label is None else label
    parts = _parts(rounds) if parts is None else parts
    if plain and parts is not None and (len(rounds) > 1 or isinstance(first, Assembled)):
        return Assembled.of(parts, repeat, payload, label)
    if len(rounds) == 1:
        return replace(first, repeat=repeat, payload=payload, label=label, parts=parts)
    if first.reduce and len({r.trees is None for r in rounds}) > 1:
        # A receiver adds to what it has; the sum of a tree replaces it.
        raise ScheduleError(f"round {first.label!r}: one lane adds in the network while another does not")
    return Round(
        np.concatenate([r.src for r in rounds]),
        np.concatenate([r.dst for r in rounds]),
        np.concatenate([r.bytes for r in rounds]),
        first.reduce,
        repeat,
        payload,
        label,
        after=_after(rounds),
        seconds=_seconds(rounds),
        trees=_trees(rounds),
        parts=parts,
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


def _parts(rounds: Sequence[Round]) -> tuple[Round, ...] | None:
    """What the rounds are made of: themselves, where they will be known again."""
    if all(r.parts is None for r in rounds) or any(r.after is not None for r in rounds):
        return None
    return tuple([part for r in rounds for part in (r.parts or (r,))])


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
