"""From rounds to transfers: where a schedule meets a fabric.

A `Loaded` is a round with everything a network needs to know about its
transfers: the links they hold, what they cost before they hold them, their
wire bytes and how long they last when nobody disturbs them; and, where a round
has an order of its own or more than two ends a transfer, whom they wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sim.clock import LATEST, PS_PER_SECOND, TICK
from sim.fabric import Fabric
from sim.parts import arriving, put_together, refuse_ages
from sim.routing import Paths, Router
from sim.routing.paths import Bools, Ints, joined
from sim.schedule import FloatArray, IntArray, Round
from sim.waits import Waits, waits_of
from topologies import memory
from topologies.errors import ChipweaveError, ScheduleError

__all__ = ["TICK", "Costs", "Free", "Loaded", "TransferCosts", "duration_ps", "load", "round_costs"]

#: Transfers routed in one call where rounds are small.
BATCH = 65_536

#: Transfers of parts that are kept for later rounds.
KEPT = 4_194_304

#: Bytes that a loaded transfer takes, and each link on its path (arrays of the
#: event loop and what prepares them), and how many links a path has or so.
TRANSFER_BYTES, LINK_BYTES, TYPICAL_LINKS = 400, 40, 6


@dataclass(frozen=True, slots=True, eq=False)
class TransferCosts:
    """What a library adds to m transfers.

    Attributes
    ----------
    overhead_ps : int64 array, shape (m,)
        Software time before a transfer holds its links.
    cap : float64 array, shape (m,)
        Highest rate in bytes/s, infinite where there is none.
    wire_bytes : float64 array, shape (m,)
        Bytes on the wire: payload and what the protocol adds.
    reduce_ps : int64 array, shape (m,)
        Time the receiver needs to add what has arrived, from the end of the transfer on.
    latency_ps : int64 array, shape (m,), optional
        What of its path's latency somebody waits for (all of it if not given): a
        library that sends ahead hides some.
    """

    overhead_ps: IntArray
    cap: FloatArray
    wire_bytes: FloatArray
    reduce_ps: IntArray
    latency_ps: IntArray | None = None


class Costs(Protocol):
    """A library's software costs, as a network asks for them.

    ``separable`` says whether a transfer's costs depend on it alone, not on the others
    that are asked for with it: then several rounds may be asked for in one go.
    """

    @property
    def separable(self) -> bool: ...

    def of(self, fabric: Fabric, paths: Paths, payload: FloatArray, reduce: bool) -> TransferCosts:
        """Costs of the transfers that hold ``paths`` with ``payload`` bytes each."""

    def adding_ps(self, payload: FloatArray) -> IntArray:
        """Picoseconds that a receiver needs to add so many bytes."""

    def capacity(self, fabric: Fabric) -> FloatArray:
        """Bytes/s that payload gets on each link, shape (links,)."""


class Free:
    """No software costs: the ideal library, and what `Costs` means at its simplest."""

    separable = True

    def of(self, fabric: Fabric, paths: Paths, payload: FloatArray, reduce: bool) -> TransferCosts:
        """Nothing, no cap, no added bytes."""
        nothing = np.zeros(payload.size, dtype=np.int64)
        return TransferCosts(nothing, np.full(payload.size, np.inf), payload, nothing)

    def adding_ps(self, payload: FloatArray) -> IntArray:
        """No time."""
        return np.zeros(payload.size, dtype=np.int64)

    def capacity(self, fabric: Fabric) -> FloatArray:
        """The links' own bandwidth."""
        return fabric.bandwidth


def duration_ps(remaining: FloatArray, rate: FloatArray) -> IntArray:
    """Whole picoseconds until ``remaining`` bytes are through at ``rate`` bytes/s.

    ``ceil(remaining / rate - TICK)``, the rule that every network model follows.

    Examples
    --------
    >>> duration_ps(np.array([50e3, 50e3 + 0.01]), np.array([50e9, 50e9])).tolist()
    [1000000, 1000001]
    """
    return np.maximum(np.ceil(remaining * PS_PER_SECOND / rate - TICK), 0.0).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A round on a fabric: m transfers and their paths.

    ``route`` is every link that a transfer passes (put together of ``passed``, one set of
    paths after the other, when somebody asks for it), ``paths`` those that it holds in
    the network model: one of each bundle (`sim.routing.bundles`), unless ``load`` was
    asked for every link. ``ideal_ps`` is how long a transfer holds its links when alone, ``tier`` the
    tier of the link that then limits it (-1: its cap does). ``waits`` is None where
    every transfer waits for its sender and its receiver alone.

    Of steps that are taken together (`sim.network.stretches`) ``span``, shape (m, 2), is the first
    repetition of each transfer, and the one behind its last; ``whole`` those in which all stand. None:
    there is one round only.
    """

    round: Round
    passed: tuple[Paths, ...]
    paths: Paths
    costs: TransferCosts
    ideal_ps: IntArray
    tier: IntArray
    waits: Waits | None = None
    span: IntArray | None = None
    whole: tuple[int, int] | None = None

    @property
    def route(self) -> Paths:
        """Every link that each transfer passes."""
        return joined(self.passed)

    @property
    def delay_ps(self) -> IntArray:
        """From ready to holding the links: overhead and latency."""
        return self.costs.overhead_ps + self.paths.latency_ps

    def parts(self) -> int:
        """Number of (transfer, rank) pairs."""
        return 2 * self.round.src.size if self.waits is None else int(self.waits.ends[1].size)

    def entries(self) -> int:
        """Number of (transfer, link) pairs."""
        return int(self.paths.link.size)


@dataclass(frozen=True, slots=True, eq=False)
class _Links:
    """The links as transfers hold them: bytes/s now, when up, and tier of each."""

    fabric: Fabric
    capacity: FloatArray
    tier: Ints
    bundled: Router | None

    def held(self, paths: Paths) -> Paths:
        return paths if self.bundled is None else self.bundled.held(paths)


def load(
    rounds: Iterator[Round],
    router: Router,
    nodes: IntArray,
    capacity: FloatArray,
    costs: Costs,
    *,
    every_link: bool = False,
) -> Iterator[Loaded]:
    """Route the rounds of a schedule, several in one go, in order and lazily.

    Parameters
    ----------
    rounds : iterator of Round
    router : Router
    nodes : int64 array, shape (p,)
        Node of each rank of the schedule.
    capacity : float64 array, shape (links,)
        Bytes/s of each link now.
    costs : Costs
    every_link : bool
        Whether transfers hold all links of a bundle, instead of the one that speaks
        for them with the least capacity of all.

    Yields
    ------
    Loaded
        One a round. Rounds that share their ``src`` and ``dst`` arrays share paths, and
        those that share parts all that is known of their transfers.

    Raises
    ------
    RouteError
        If a pair has no path.
    CapacityError
        If a round alone would outlast the 53 days a simulation may last.
    """
    fabric = router.fabric
    # A link that is down has its own bandwidth here: the network makes a transfer wait for it.
    up = np.where(capacity > 0, capacity, fabric.bandwidth)
    if every_link:
        links = _Links(fabric, up, fabric.tier, None)
    else:
        links = _Links(fabric, *router.bundles.narrowest(up), router)
    waiting: list[Round] = []
    size = 0
    last: tuple[Round, Paths] | None = None
    known = _Parts(router, nodes, links, costs)
    for round_ in rounds:
        if round_.parts is not None and costs.separable:
            yield from _batch(waiting, router, nodes, links, costs)
            waiting, size, last = [], 0, None
            yield known.loaded(round_, round_.parts)
            continue
        if last is not None and _same_ends(round_, last[0]):
            yield from _batch(waiting, router, nodes, links, costs)
            waiting, size = [], 0
            yield _loaded(round_, last[1], links, costs)
            continue
        waiting.append(round_)
        size += round_.src.size
        last = None
        if size >= BATCH or round_.repeat > 1:
            done = list(_batch(waiting, router, nodes, links, costs))
            last = (round_, done[-1].route)
            yield from done
            waiting, size = [], 0
    yield from _batch(waiting, router, nodes, links, costs)


def _same_ends(a: Round, b: Round) -> bool:
    return a.src is b.src and a.dst is b.dst and a.trees is b.trees


def _batch(
    rounds: list[Round], router: Router, nodes: IntArray, links: _Links, costs: Costs
) -> Iterator[Loaded]:
    if not rounds:
        return
    count = sum(r.src.size for r in rounds)
    if count > 2 * BATCH:
        label = rounds[-1].label
        memory.require(
            count * (TRANSFER_BYTES + TYPICAL_LINKS * LINK_BYTES),
            f"{count} transfers in one round ({label}); take fewer ranks or smaller rounds",
        )
    src = nodes[np.concatenate([r.src for r in rounds])]
    dst = nodes[np.concatenate([r.dst for r in rounds])]
    if any(r.trees is not None for r in rounds):
        for r in rounds:
            yield _loaded(r, _routed(r, router, nodes), links, costs)
        return
    route = router.route(src, dst)
    together = _together(rounds, nodes.size, route, links, costs) if costs.separable else None
    at = 0
    for r in rounds:
        mine = slice(at, at + r.src.size)
        at = mine.stop
        if together is None:
            yield _loaded(r, _stretch(route, mine), links, costs)
        else:
            part = _stretch(route, mine)
            held = part if together.paths is route else _stretch(together.paths, mine)
            yield Loaded(
                r,
                (part,),
                held,
                _costs_of(together.costs, mine),
                together.ideal_ps[mine],
                together.tier[mine],
            )


def _together(rounds: list[Round], ranks: int, route: Paths, links: _Links, costs: Costs) -> Loaded | None:
    """Plain rounds as one, the ranks of each apart from those of the others; None where that cannot be.

    Small rounds cost little more than the calls of numpy: a thousand together cost what one does.
    """
    first = rounds[0]
    plain = all(
        r.reduce == first.reduce and r.after is None and r.seconds is None and r.adds is None for r in rounds
    )
    if not plain or len(rounds) == 1:
        return None
    apart = np.repeat(np.arange(len(rounds)) * ranks, [r.src.size for r in rounds])
    whole = Round(
        np.concatenate([r.src for r in rounds]) + apart,
        np.concatenate([r.dst for r in rounds]) + apart,
        np.concatenate([r.bytes for r in rounds]),
        first.reduce,
        max(r.repeat for r in rounds),
    )
    try:
        return _loaded(whole, route, links, costs)
    except ChipweaveError:
        return None  # one by one, so that the message names the round


def _stretch(paths: Paths, which: slice) -> Paths:
    """The paths of some consecutive transfers."""
    lo, hi = int(paths.start[which.start]), int(paths.start[which.stop])
    return Paths(
        paths.start[which.start : which.stop + 1] - lo,
        paths.link[lo:hi],
        paths.weight[lo:hi],
        paths.latency_ps[which],
        paths.outside[which],
    )


def _costs_of(found: TransferCosts, which: slice) -> TransferCosts:
    """The costs of some consecutive transfers."""
    latency = None if found.latency_ps is None else found.latency_ps[which]
    return TransferCosts(
        found.overhead_ps[which], found.cap[which], found.wire_bytes[which], found.reduce_ps[which], latency
    )


def _routed(r: Round, router: Router, nodes: IntArray) -> Paths:
    """Paths of one round, plain or in-network."""
    if r.trees is None:
        return router.route(nodes[r.src], nodes[r.dst])
    (up_start, up), (down_start, down) = r.trees.up, r.trees.down
    return router.trees((up_start, nodes[up]), (down_start, nodes[down]), nodes[r.src])


def round_costs(round_: Round, paths: Paths, fabric: Fabric, costs: Costs) -> TransferCosts:
    """What a library adds to the transfers of a round.

    A receiver adds what arrives in one repetition with the one memory and the one
    arithmetic it has, so that each of several arrivals takes as long as all of them
    (they share the receiver like transfers that share a link; where they come
    together, this is one after the other). In a round with an order of its own
    arrivals are spread over the whole round, and each is added by itself.
    """
    if round_.adds is not None:
        adding, copying = (costs.of(fabric, paths, round_.bytes, way) for way in (True, False))
        return TransferCosts(
            np.where(round_.adds, adding.overhead_ps, copying.overhead_ps),
            np.where(round_.adds, adding.cap, copying.cap),
            np.where(round_.adds, adding.wire_bytes, copying.wire_bytes),
            np.where(round_.adds, adding.reduce_ps, copying.reduce_ps),
        )
    found = costs.of(fabric, paths, round_.bytes, round_.reduce and round_.trees is None)
    if not found.reduce_ps.any() or round_.after is not None:
        return found
    return replace(found, reduce_ps=costs.adding_ps(arriving(round_.dst, round_.bytes)))


class _Parts:
    """Parts of rounds as they were loaded, the latest of them."""

    def __init__(self, router: Router, nodes: IntArray, links: _Links, costs: Costs) -> None:
        self._how: tuple[Router, IntArray, _Links, Costs] = router, nodes, links, costs
        # The part is kept with what is known of it, so that nobody else gets its number.
        self._known: dict[int, tuple[Round, Loaded]] = {}
        self._size = 0

    def loaded(self, round_: Round, parts: tuple[Round, ...]) -> Loaded:
        """A round, from its parts."""
        new = list({id(part): part for part in parts if id(part) not in self._known}.values())
        self._size += sum(part.src.size for part in new)
        for part, loaded in zip(new, _batch(new, *self._how), strict=True):
            self._known[id(part)] = part, loaded
        each = [self._known[id(part)][1] for part in parts]
        self._forget({id(part) for part in parts})
        return put_together(round_, each, self._how[-1])

    def _forget(self, needed: set[int]) -> None:
        """Let go of the oldest parts, so that not a whole long schedule is kept."""
        for number in [n for n in self._known if n not in needed]:
            if self._size <= KEPT:
                return
            self._size -= self._known.pop(number)[0].src.size


def _loaded(round_: Round, route: Paths, links: _Links, costs: Costs) -> Loaded:
    found = round_costs(round_, route, links.fabric, costs)
    paths = links.held(route)
    if found.latency_ps is not None:
        paths = replace(paths, latency_ps=found.latency_ps)
    if not round_.src.size:
        return Loaded(round_, (route,), paths, found, np.zeros(0, np.int64), np.zeros(0, np.int64))
    local = round_.src == round_.dst
    if round_.seconds is not None or local.any():
        found = _with_work(round_, found, local)
    ideal, tier = _alone(round_, paths, links, found)
    return Loaded(round_, (route,), paths, found, ideal, tier, waits_of(round_))


def _alone(round_: Round, paths: Paths, links: _Links, found: TransferCosts) -> tuple[IntArray, IntArray]:
    """How long each transfer holds its links when alone, and the tier that limits it."""
    # Kernels are imported where they are used: numba takes a third of a second.
    from sim.durations import alone

    ideal, limited = np.empty(round_.src.size, dtype=np.int64), np.empty(round_.src.size, dtype=np.int64)
    longest = alone(
        paths.start, paths.link, paths.weight, links.capacity, links.tier, found.cap, found.wire_bytes, TICK,
        ideal, limited,
    )  # fmt: skip
    refuse_ages(round_, longest)
    return ideal, limited


def _with_work(round_: Round, found: TransferCosts, local: Bools) -> TransferCosts:
    """Costs with the rounds' own local work; pure local work has no other costs, and no bytes."""
    if round_.bytes[local].any():
        i = int(np.flatnonzero(local & (round_.bytes != 0))[0])
        raise ScheduleError(
            f"round {round_.label!r}: rank {int(round_.src[i])} sends {round_.bytes[i]:.15g} bytes to "
            f"itself; local work has no bytes, give its time as seconds"
        )
    overhead = np.where(local, 0, found.overhead_ps)
    if round_.seconds is not None:
        work = round_.seconds * PS_PER_SECOND
        if not (work >= 0).all() or (work > LATEST).any():
            i = int(np.argmax(~(work >= 0) | (work > LATEST)))
            raise ScheduleError(
                f"round {round_.label!r}: seconds[{i}] (={round_.seconds[i]:.15g}) must be 0 to "
                f"{LATEST / PS_PER_SECOND:.0f} s"
            )
        overhead = overhead + np.rint(work).astype(np.int64)
    wire = np.where(local, 0.0, found.wire_bytes)
    return TransferCosts(overhead, found.cap, wire, np.where(local, 0, found.reduce_ps))
