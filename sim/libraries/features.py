"""Features: what of a schedule on a fabric its time depends on, whatever the parameters.

The time of a schedule in lockstep is

    base + sum over rounds of repeat * (max delay + max over links of bytes / capacity)

(where the library sends ahead around a ring, the mean delay, and of that what does not
pass while bytes move). Its
transfers differ in few things, kind of hop, bytes and latency of the path, so a round
is a handful of classes and of links that are loaded by them; rounds that are alike
count once. `Prediction` evaluates thousands of schedules at one vector of parameters
with the formulas of `sim.libraries.costs`, the very ones that are simulated.

It ignores that ranks run ahead of each other; the simulation does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.clock import PS_PER_SECOND
from sim.libraries.costs import Setting, Steps, hidden
from sim.libraries.hops import hops_of
from sim.libraries.library import Library
from sim.routing import Router
from sim.routing.paths import Paths
from sim.schedule import FloatArray, IntArray, Round, Schedule
from sim.transfers import Free, load

__all__ = ["Features", "Prediction", "features_of"]

#: More classes in a round than this are merged by kind of hop and latency.
CLASSES = 64

#: Links of different load in a round up to which those that never matter are dropped.
PRUNED = 256


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """A schedule on a fabric: R different rounds, C classes of transfers, L loaded links.

    Attributes
    ----------
    size : float
        Bytes of the collective; payloads count in it.
    setting : Setting
    attributes : dict
        Of the graph: what ``where.`` figures ask.
    repeat, local : float64 arrays, shape (R,)
        How often each round is done, and its longest local work in seconds.
    round_of, kind : int64 arrays, shape (C,)
        Round and kind of hop of each class, in the order of the rounds.
    payload : float64 array, shape (C,)
        Bytes of a transfer, as a share of `size`.
    links, count : float64 arrays, shape (C,)
        Seconds of latency of the path; how many transfers.
    adds : float64 array, shape (C,)
        Bytes that arrive at the receiver at once and that it adds, as a share of `size`.
    row_round : int64 array, shape (L,)
    row_start, row_class, row_weight
        Link i needs ``row_weight[e]`` seconds for each wire byte of a transfer of
        class ``row_class[e]``, e from ``row_start[i]`` to ``row_start[i + 1]``.
    """

    size: float
    setting: Setting
    attributes: Mapping[str, Any]
    repeat: FloatArray
    local: FloatArray
    round_of: IntArray
    kind: IntArray
    payload: FloatArray
    links: FloatArray
    count: FloatArray
    adds: FloatArray
    row_round: IntArray
    row_start: IntArray
    row_class: IntArray
    row_weight: FloatArray

    def resized(self, size: float) -> Features:
        """The same schedule with more or fewer bytes, all in proportion."""
        return replace(self, size=size)


#: Kind of hop, payload, latency, count and bytes to add of each class of a round.
Classes = tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray]


@dataclass(slots=True, eq=False)
class _Kind:
    """Rounds that are alike."""

    classes: Classes
    rows: list[tuple[IntArray, FloatArray]]
    local: float
    repeat: int = 0


def features_of(
    schedule: Schedule, router: Router, nodes: IntArray, setting: Setting, capacity: FloatArray
) -> Features:
    """Features of a schedule on a fabric; walks over all its rounds once.

    Parameters
    ----------
    schedule : Schedule
    router : Router
    nodes : int64 array, shape (p,)
        Node of each rank.
    setting : Setting
    capacity : float64 array, shape (links,)
        Bytes/s that payload gets on each link.
    """
    hops = hops_of(router.fabric)
    found: dict[bytes, _Kind] = {}
    last: tuple[Round, _Kind] | None = None
    for one in load(schedule.rounds(), router, nodes, capacity, Free(), every_link=True):
        r = one.round
        if not r.src.size:
            continue
        if last is not None and _alike(r, last[0]):
            last[1].repeat += r.repeat
            continue
        local = 0.0 if r.seconds is None else float(r.seconds.max())
        kind = hops.kinds(one.paths)
        payload = r.bytes / schedule.size
        which, classes = _classes(kind, payload, one.paths.latency_ps / PS_PER_SECOND, _adds(r, payload))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = payload / classes[1][which]
        share[~np.isfinite(share)] = 1.0
        rows = _rows(one.paths, which, share, classes[0].size, capacity)
        key = b"".join([*(c.tobytes() for c in classes), *(a.tobytes() + b.tobytes() for a, b in rows)])
        key += np.float64(local).tobytes()
        alike = found.setdefault(key, _Kind(classes, rows, local))
        alike.repeat += r.repeat
        last = r, alike
    return _assembled(schedule.size, setting, router.fabric.attributes, list(found.values()))


def _alike(a: Round, b: Round) -> bool:
    """Whether two rounds do the same, seen quickly; no answer is needed where it is not."""
    ends = a.src is b.src and a.dst is b.dst and a.trees is b.trees and a.seconds is b.seconds
    return ends and a.reduce == b.reduce and (a.bytes is b.bytes or np.array_equal(a.bytes, b.bytes))


def _adds(round_: Round, payload: FloatArray) -> FloatArray:
    """What each receiver adds of all that arrives in the round (`sim.transfers.round_costs`)."""
    if not round_.reduce or round_.trees is not None:
        return np.zeros_like(payload)
    if round_.after is not None:
        return payload
    return np.asarray(np.bincount(round_.dst, weights=payload)[round_.dst], dtype=np.float64)


def _classes(
    kind: IntArray, payload: FloatArray, links: FloatArray, adds: FloatArray
) -> tuple[IntArray, Classes]:
    """Class of each transfer, and what the classes are."""
    table = np.stack([kind.astype(np.float64), links, payload, adds])
    unique, which = _columns(table)
    if unique.shape[1] > CLASSES:
        unique, which = _columns(table[:2])
        most = np.zeros((2, unique.shape[1]))
        for row, values in zip(most, (payload, adds), strict=True):
            np.maximum.at(row, which, values)
        unique = np.vstack([unique, most])
    count = np.bincount(which, minlength=unique.shape[1]).astype(np.float64)
    kinds = unique[0].astype(np.int64)
    return which, (kinds, unique[2].copy(), unique[1].copy(), count, unique[3].copy())


def _columns(table: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], IntArray]:
    """Different columns in order, and which of them each is: `np.unique` for many columns of few kinds."""
    from sim.numbering import firsts, told_apart

    which = np.zeros(table.shape[1], dtype=np.int64)
    for row in table:
        which = told_apart(which, row)
    unique = table[:, firsts(which)]
    order = np.lexsort(unique[::-1])
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    return unique[:, order], place[which]


def _rows(
    paths: Paths, which: IntArray, share: FloatArray, classes: int, capacity: FloatArray
) -> list[tuple[IntArray, FloatArray]]:
    """Loads of the links that may be the busiest: (classes, seconds a wire byte of each)."""
    if not paths.link.size:
        return []
    lengths = np.diff(paths.start)
    link = paths.link.astype(np.int64)
    with np.errstate(divide="ignore"):
        weight = paths.weight * np.repeat(share, lengths) / capacity[link]
    if classes == 1:
        each = np.bincount(link, weights=weight)
        return [(np.zeros(1, dtype=np.int64), np.array([each.max()]))]
    place = link * classes + np.repeat(which, lengths)
    used, back = _columns(place[None, :])
    used = used[0]
    total = np.bincount(back, weights=weight)
    links, row = np.unique(used // classes, return_inverse=True)
    table = np.zeros((links.size, classes))
    table[row.reshape(-1), used % classes] = total
    table = np.unique(np.round(table, 24), axis=0)
    if len(table) <= PRUNED:
        covers: npt.NDArray[np.bool_] = np.all(table[None, :, :] >= table[:, None, :], axis=2)
        np.fill_diagonal(covers, False)
        table = table[~covers.any(axis=1)]
    return [(np.flatnonzero(line), line[line > 0]) for line in table]


def _assembled(size: float, setting: Setting, attributes: Mapping[str, Any], kinds: list[_Kind]) -> Features:
    counts = np.array([k.classes[0].size for k in kinds], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(counts)])[:-1] if kinds else counts
    rows = [(i, which + first[i], weight) for i, k in enumerate(kinds) for which, weight in k.rows]
    floats, ints = np.zeros(0), np.zeros(0, dtype=np.int64)

    def joined(parts: list[Any], empty: Any) -> Any:
        return np.concatenate(parts) if parts else empty

    return Features(
        size=size,
        setting=setting,
        attributes=attributes,
        repeat=np.array([k.repeat for k in kinds], dtype=np.float64),
        local=np.array([k.local for k in kinds], dtype=np.float64),
        round_of=np.repeat(np.arange(len(kinds)), counts),
        kind=joined([k.classes[0] for k in kinds], ints),
        payload=joined([k.classes[1] for k in kinds], floats),
        links=joined([k.classes[2] for k in kinds], floats),
        count=joined([k.classes[3] for k in kinds], floats),
        adds=joined([k.classes[4] for k in kinds], floats),
        row_round=np.array([i for i, _, _ in rows], dtype=np.int64),
        row_start=np.concatenate([[0], np.cumsum([w.size for _, w, _ in rows])]).astype(np.int64),
        row_class=joined([w for _, w, _ in rows], ints),
        row_weight=joined([x for _, _, x in rows], floats),
    )


class Prediction:
    """Times of many schedules at any parameters.

    Parameters
    ----------
    rows : sequence of (Features, protocol)

    Examples
    --------
    >>> import topologies
    >>> from sim.libraries import library
    >>> from sim.plan import plan
    >>> from sim.routing import Router
    >>> from sim.fabric import compile_fabric
    >>> router = Router(compile_fabric(topologies.switch(4, bandwidth="50 GB/s", latency="1 us")))
    >>> ring = plan("all_reduce", router, "1 MB", algorithm="ring", library="ideal")
    >>> round(float(Prediction([(ring.features(), "plain")]).times(library("ideal"))[0] * 1e6), 6)
    42.0
    """

    def __init__(self, rows: Sequence[tuple[Features, str]]) -> None:
        self.rows = list(rows)
        features = [f for f, _ in rows]
        settings: dict[Any, int] = {}
        self._settings: list[tuple[Setting, str, Mapping[str, Any]]] = []
        number = []
        for f, protocol in rows:
            key = (f.setting, protocol, id(f.attributes))
            if key not in settings:
                settings[key] = len(self._settings)
                self._settings.append((f.setting, protocol, f.attributes))
            number.append(settings[key])
        self._setting_of = np.array(number, dtype=np.int64)
        self._size = np.array([f.size for f in features], dtype=np.float64)
        rounds = np.array([f.repeat.size for f in features], dtype=np.int64)
        classes = np.array([f.kind.size for f in features], dtype=np.int64)
        first_round = np.concatenate([[0], np.cumsum(rounds)])
        first_class = np.concatenate([[0], np.cumsum(classes)])

        def joined(parts: list[Any]) -> Any:
            return np.concatenate(parts) if parts else np.zeros(0)

        self._row_of_round = np.repeat(np.arange(len(features)), rounds)
        self._repeat = joined([f.repeat for f in features])
        self._local = joined([f.local for f in features])
        self._round = joined([f.round_of + a for f, a in zip(features, first_round, strict=False)])
        of_class = np.repeat(self._setting_of, classes)
        self._kind = 3 * of_class + joined([f.kind for f in features]).astype(np.int64)
        self._payload = joined([f.payload * f.size for f in features])
        self._links = joined([f.links for f in features])
        self._count = joined([f.count for f in features])
        self._adds = joined([f.adds * f.size for f in features])
        self._link_round = joined([f.row_round + a for f, a in zip(features, first_round, strict=False)])
        lengths = joined([np.diff(f.row_start) for f in features]).astype(np.int64)
        self._link_start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)[:-1]
        self._link_class = joined(
            [f.row_class + a for f, a in zip(features, first_class, strict=False)]
        ).astype(np.int64)
        self._weight = joined([f.row_weight for f in features])

    def times(self, library: Library) -> FloatArray:
        """Seconds of each schedule with this library's figures, shape (rows,)."""
        if not self.rows:
            return np.zeros(0)
        on: dict[int, Any] = {}
        steps = []
        for setting, protocol, attributes in self._settings:
            if id(attributes) not in on:
                on[id(attributes)] = library.parameters.on(attributes)
            steps.append(Steps.of(on[id(attributes)], protocol, setting))
        s = Steps.stacked(steps)
        count = self._repeat.size
        total = s.once(self._size, self._setting_of)
        if not count:
            return total
        k, m = self._kind, self._payload
        chunks = s.chunks(m, k)
        delay = s.delay(m, k, self._links, chunks)
        took = self._adds / s.reduce_rate[k]
        first = np.flatnonzero(np.diff(self._round, prepend=-1))
        mean = s.mean[self._setting_of[self._row_of_round]]
        slowest = np.maximum.reduceat(np.where(mean[self._round], took, delay + took), first)
        heaviest = np.add.reduceat(delay * self._count, first) / np.add.reduceat(self._count, first)
        wire = s.wire_bytes(m, k, chunks)
        with np.errstate(invalid="ignore"):
            moving = np.maximum.reduceat(np.where(m > 0, m / s.cap[k], 0.0), first)
        if self._link_start.size:
            busy = np.add.reduceat(wire[self._link_class] * self._weight, self._link_start)
            np.maximum.at(moving, self._link_round.astype(np.int64), busy)
        behind = s.behind[np.maximum.reduceat(k, first)]
        waiting = heaviest - np.where(mean, hidden(heaviest, behind * moving), 0.0)
        each = np.where(mean, waiting + slowest, slowest) + self._local
        np.add.at(total, self._row_of_round, self._repeat * (each + moving))
        return total
