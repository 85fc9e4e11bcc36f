"""Rounds of a folded job, put together from parts that lie behind each other.

A round of a pipeline is some dozens of parts, most of them those of the round before.
The parts lie in the order in which the longest rounds have them, so that a round is a
few stretches of all the transfers, one a lane: as many copies, not as many as parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.clock import PS_PER_SECOND
from sim.network.alphabet import Alphabet, Line
from sim.network.stretches import stretches
from sim.parts import arriving, put_together, refuse_ages
from sim.routing.paths import Paths
from sim.schedule import FloatArray, IntArray, Round
from sim.transfers import Costs, Loaded, TransferCosts
from sim.waits import offsets_of

__all__ = ["Lines"]

#: Stretches of transfers, each from its first to behind its last.
Stretches = list[tuple[int, int]]


class Lines:
    """What puts the lines of an alphabet together.

    Parameters
    ----------
    alphabet : Alphabet
    parts : sequence of (Loaded, int64 array)
        Each of its parts folded, and which of its transfers are left.
    costs : Costs
    adds : bool
        Whether any receiver takes time to add.
    """

    def __init__(
        self, alphabet: Alphabet, parts: Sequence[tuple[Loaded, IntArray]], costs: Costs, adds: bool
    ) -> None:
        self._alphabet, self._parts, self._costs, self._adds = alphabet, parts, costs, adds
        self._order = _order(alphabet)
        self._place = np.empty(self._order.size, dtype=np.int64)
        self._place[self._order] = np.arange(self._order.size)
        in_order = [parts[i][0] for i in self._order.tolist()]
        self._waited = any(one.waits is not None for one in in_order)
        self._all = _Transfers.of(in_order)
        whole = [alphabet.parts[i] for i in self._order.tolist()]
        self._whole_at = offsets_of(np.array([one.src.size for one in whole], dtype=np.int64))
        if adds:
            self._dst = np.concatenate([one.dst for one in whole])
            self._bytes = np.concatenate([one.bytes for one in whole])
            self._kept = np.concatenate([parts[i][1] for i in self._order.tolist()])
            self._kept += np.repeat(self._whole_at[:-1], np.diff(self._all.at))

    def together(self) -> Iterator[Loaded]:
        """The rounds of all lines in order, steps of a pipeline as one where nobody adds or waits."""
        if self._adds or self._waited or all(line.repeat == 1 for line in self._alphabet.lines):
            yield from map(self.loaded, self._alphabet.lines)
            return
        lines = ((line, line.parts, line.repeat) for line in self._alphabet.lines)
        for stretch in stretches(lines):
            fullest = stretch.fullest()
            if fullest is None:
                yield from (self.loaded(line) for line, *_ in stretch.steps)
            else:
                line, whole = fullest
                span = stretch.span(line.parts, [self._parts[i][0].round.src.size for i in line.parts])
                yield replace(self.loaded(replace(line, repeat=stretch.repeat)), span=span, whole=whole)

    def loaded(self, line: Line) -> Loaded:
        """A round over the folded parts; trees live on in whom their transfers wait for."""
        place = self._place[np.array(line.parts, dtype=np.int64)]
        runs = np.flatnonzero(np.diff(place, prepend=-2) != 1)
        lo, hi = place[runs], place[np.append(runs[1:], place.size) - 1] + 1
        mine = _stretches(self._all.at, lo, hi)
        if self._waited:
            each = [self._parts[i][0] for i in line.parts]
            found = put_together(self._all.round(mine, line), each, self._costs)
        else:
            found = self._all.loaded(mine, line)
        if not self._adds or not found.costs.reduce_ps.any():
            return found
        if not self._waited:
            adding = self._costs.adding_ps(arriving(found.round.dst, found.round.bytes))
            found = _adding(found, np.where(found.paths.lengths == 0, 0, adding))
        # What arrives at a receiver, which one transfer for many cannot tell.
        there = _stretches(self._whole_at, lo, hi)
        sizes = [b - a for a, b in there]
        moved = zip(mine, there, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True)
        kept = np.concatenate([self._kept[a:b] + (at - first) for (a, b), (first, _), at in moved])
        whole = arriving(_taken(self._dst, there), _taken(self._bytes, there))
        took = np.where(found.costs.reduce_ps > 0, self._costs.adding_ps(whole[kept]), 0)
        return _adding(found, took)


@dataclass(frozen=True, slots=True, eq=False)
class _Transfers:
    """The transfers of all parts; those of part i are ``at[i]`` to ``at[i + 1] - 1``."""

    at: IntArray
    src: IntArray
    dst: IntArray
    bytes: FloatArray
    overhead_ps: IntArray
    cap: FloatArray
    wire_bytes: FloatArray
    reduce_ps: IntArray
    ideal_ps: IntArray
    tier: IntArray
    paths: Paths

    @classmethod
    def of(cls, parts: Sequence[Loaded]) -> _Transfers:
        def joined(values: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
            return np.concatenate(values)

        paths = [one.paths for one in parts]
        return cls(
            offsets_of(np.array([one.round.src.size for one in parts], dtype=np.int64)),
            joined([one.round.src for one in parts]),
            joined([one.round.dst for one in parts]),
            joined([one.round.bytes for one in parts]),
            joined([one.costs.overhead_ps for one in parts]),
            joined([one.costs.cap for one in parts]),
            joined([one.costs.wire_bytes for one in parts]),
            joined([one.costs.reduce_ps for one in parts]),
            joined([one.ideal_ps for one in parts]),
            joined([one.tier for one in parts]),
            Paths(
                offsets_of(joined([one.lengths for one in paths])),
                joined([one.link for one in paths]),
                joined([one.weight for one in paths]),
                joined([one.latency_ps for one in paths]),
                joined([one.outside for one in paths]),
            ),
        )

    def round(self, mine: Stretches, line: Line) -> Round:
        return Round(
            _taken(self.src, mine), _taken(self.dst, mine), _taken(self.bytes, mine), line.reduce,
            line.repeat, None, line.label,
        )  # fmt: skip

    def loaded(self, mine: Stretches, line: Line) -> Loaded:
        round_ = self.round(mine, line)
        start = self.paths.start
        links = [(int(start[a]), int(start[b])) for a, b in mine]
        held = Paths(
            offsets_of(_taken(start[1:], mine) - _taken(start[:-1], mine)),
            _taken(self.paths.link, links),
            _taken(self.paths.weight, links),
            _taken(self.paths.latency_ps, mine),
            _taken(self.paths.outside, mine),
        )
        costs = TransferCosts(
            _taken(self.overhead_ps, mine), _taken(self.cap, mine), _taken(self.wire_bytes, mine),
            _taken(self.reduce_ps, mine),
        )  # fmt: skip
        ideal = _taken(self.ideal_ps, mine)
        refuse_ages(round_, float(ideal.max(initial=0)) / PS_PER_SECOND)
        return Loaded(round_, (held,), held, costs, ideal, _taken(self.tier, mine))


def _order(alphabet: Alphabet) -> IntArray:
    """The parts as they follow each other in the longest lines."""
    found: dict[int, None] = {}
    for line in sorted(alphabet.lines, key=lambda line: -len(line.parts)):
        found.update(dict.fromkeys(line.parts))
    return np.fromiter(found, dtype=np.int64, count=len(found))


def _stretches(at: IntArray, lo: IntArray, hi: IntArray) -> Stretches:
    return list(zip(at[lo].tolist(), at[hi].tolist(), strict=True))


def _taken(values: npt.NDArray[Any], stretches: Stretches) -> npt.NDArray[Any]:
    if len(stretches) == 1:
        ((a, b),) = stretches
        return values[a:b]
    return np.concatenate([values[a:b] for a, b in stretches])


def _adding(found: Loaded, reduce_ps: IntArray) -> Loaded:
    return replace(found, costs=replace(found.costs, reduce_ps=reduce_ps))
