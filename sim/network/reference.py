"""The reference network: pure SimPy, textbook, the truth.

Every transfer's start and end is a SimPy event. Rates come from progressive
filling over all active transfers, at the end of every instant at which one
started or ended. An end is rounded up to the next picosecond, and keeps by how much
(its *lag*) for those who go on from it, unless it moved at one rate throughout or
its round repeats (`sim.network.kernels.events` says why). It serves small runs and,
above all, as the oracle of the fluid network, which must give the same picoseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import simpy

from sim.clock import PS_PER_SECOND, Clock
from sim.fabric import Fabric
from sim.network import standstill
from sim.network.job import Cost, Finished, Job
from sim.network.recorder import Recorder
from sim.schedule import FloatArray, IntArray
from sim.transfers import TICK, load

__all__ = ["ReferenceNetwork", "max_min_rates"]

#: Shares and rates within this of each other, relatively, are the same.
RATE_TOLERANCE = 1e-12

#: Below all of SimPy's priorities: the end of an instant.
LAST = 2


@dataclass(eq=False, slots=True)
class _Transfer:
    """One transfer of one repetition."""

    job: _Running
    src: int
    dst: int
    links: list[tuple[int, float]]
    bytes: float
    cap: float
    delay: int
    reduce: int
    account: IntArray
    ideal: int
    ends: list[int]
    needed: int
    repeats: bool
    behind: list[_Transfer] = field(default_factory=list)
    arrived: int = 0
    arrived_at: int = -1
    lag: float = 0.0
    anchor_lag: float = 0.0
    base: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    begun: int = 0
    anchor: int = 0
    remaining: float = 0.0
    rate: float = 0.0
    version: int = 0
    #: Round, transfer and repetition, for the recorder.
    place: tuple[int, int, int] = (-1, 0, 0)


@dataclass(eq=False, slots=True)
class _Running:
    """A job under way: where each rank is, and the repetitions somebody is in."""

    job: Job
    event: simpy.Event
    account: IntArray
    steps: Iterator[dict[int, list[_Transfer]]] = field(default_factory=lambda: iter(()))
    unrolled: list[dict[int, list[_Transfer]]] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    part_at: list[int] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    left: int = 0


def _after(event: simpy.Event, action: Callable[[], None]) -> None:
    """Do something when an event happens."""
    event.callbacks.append(lambda _: action())


def max_min_rates(
    transfers: list[tuple[list[tuple[int, float]], float]], capacity: FloatArray
) -> list[float]:
    """Max-min fair rates by progressive filling, level by level.

    All rates rise together; when a link is full, or a transfer at its cap, those
    concerned keep their rate and the others rise on.

    Parameters
    ----------
    transfers : list of ((link, weight) list, cap)
    capacity : float64 array, shape (links,)
        Bytes/s.

    Returns
    -------
    list of float
        Bytes/s of each transfer.

    Examples
    --------
    The parking lot: A on both links, B on the first, C on the second.

    >>> both, first, second = [(0, 1.0), (1, 1.0)], [(0, 1.0)], [(1, 1.0)]
    >>> lot = [(both, math.inf), (first, math.inf), (second, math.inf)]
    >>> max_min_rates(lot, np.array([10.0, 4.0]))
    [2.0, 8.0, 2.0]
    """
    rates = [-1.0] * len(transfers)
    on: dict[int, list[tuple[int, float]]] = {}
    for f, (links, _) in enumerate(transfers):
        for link, weight in links:
            on.setdefault(link, []).append((f, weight))
    room = {link: float(capacity[link]) for link in on}
    rising = set(range(len(transfers)))
    while rising:
        share: dict[int, float] = {}
        for link, users in on.items():
            width = sum(weight for f, weight in users if f in rising)
            if width > 0:
                share[link] = max(room[link], 0.0) / width
        level = min([*share.values(), *(transfers[f][1] for f in rising)])
        limit = level * (1 + RATE_TOLERANCE)
        frozen = {f for f in rising if transfers[f][1] <= limit}
        for link, value in share.items():
            if value <= limit:
                frozen.update(f for f, _ in on[link] if f in rising)
        for f in sorted(frozen):
            rates[f] = level
            for link, weight in transfers[f][0]:
                room[link] -= weight * level
        rising -= frozen
    return rates


class ReferenceNetwork:
    """The network model whose every transfer is made of SimPy events.

    Parameters
    ----------
    clock : Clock
    fabric : Fabric
    capacity : float64 array, shape (links,)
        Bytes/s that payload gets on each link.
    recorder : Recorder, optional
        Told of every transfer.
    """

    def __init__(
        self, clock: Clock, fabric: Fabric, capacity: FloatArray, *, recorder: Recorder | None = None
    ) -> None:
        self.clock = clock
        self._recorder = recorder
        self.fabric = fabric
        self.capacity = capacity.copy()
        self.cost = Cost()
        self._active: list[_Transfer] = []
        self._carried = np.zeros(fabric.links)
        self._solving = False
        self._running: list[_Running] = []
        self._instant, self._lag = 0, 0.0

    def launch(self, job: Job) -> simpy.Event:
        """Start a job now; the event's value is its `Finished`."""
        p = job.nodes.size
        running = _Running(job, self.clock.event(), np.zeros((p, 4 + len(self.fabric.tiers)), dtype=np.int64))
        running.steps = self._steps(running)
        running.at, running.pending, running.left = [-1] * p, [0] * p, p
        running.part_at, running.lag = [-1] * p, [0.0] * p
        self._running.append(running)
        for rank in range(p):
            arrival = self.clock.timeout_ps(int(job.arrivals[rank]) - self.clock.now_ps)
            _after(arrival, partial(self._on, running, rank))
        return running.event

    def set_capacity(self, link: int, capacity: float) -> None:
        """Change a link's bytes/s from this instant on; 0 holds its transfers."""
        self.capacity[link] = capacity
        self._happens(0.0)
        self._solve_later()

    def carried(self) -> FloatArray:
        """Bytes each link has carried so far, shape (links,)."""
        total = self._carried.copy()
        for t in self._active:
            moved = t.rate * ((self.clock.now_ps - t.anchor) / PS_PER_SECOND)
            for link, weight in t.links:
                total[link] += weight * (t.bytes - max(t.remaining - moved, 0.0))
        return total

    def close(self) -> None:
        """Nothing to let go of."""

    def where(self) -> str:
        """What is under way, in words."""
        return "; ".join(
            f"{r.job.name}: {r.left} of {len(r.at)} ranks still under way" for r in self._running
        )

    def stuck(self) -> str:
        """Why nothing can happen any more, in words."""
        held = [
            standstill.Held(
                t.job.job.name, t.src, t.dst, next(l for l, _ in t.links if self.capacity[l] <= 0)
            )
            for t in self._active
            if t.rate <= 0
        ]
        return standstill.explain(self.fabric, self.clock.now_ps, held, self.where())

    # ------------------------------------------------------------------ inside

    def _steps(self, running: _Running) -> Iterator[dict[int, list[_Transfer]]]:
        """The transfers of each rank, repetition after repetition."""
        job = running.job
        for one in load(job.rounds(), job.router, job.nodes, self.capacity, job.costs, every_link=True):
            r, paths, costs = one.round, one.paths, one.costs
            recorded = -1 if self._recorder is None else self._recorder.enter(job, one)
            for repetition in range(r.repeat):
                self.cost.rounds += 1
                step: dict[int, list[_Transfer]] = {}
                these: list[_Transfer] = []
                for i in range(r.src.size):
                    held = slice(int(paths.start[i]), int(paths.start[i + 1]))
                    account = np.zeros(running.account.shape[1], dtype=np.int64)
                    account[0], account[1] = costs.overhead_ps[i], paths.latency_ps[i]
                    account[3 if one.tier[i] < 0 else 4 + int(one.tier[i])] = one.ideal_ps[i]
                    transfer = _Transfer(
                        running, int(r.src[i]), int(r.dst[i]),
                        list(zip(paths.link[held].tolist(), paths.weight[held].tolist(), strict=True)),
                        float(costs.wire_bytes[i]), float(costs.cap[i]),
                        int(costs.overhead_ps[i] + paths.latency_ps[i]), int(costs.reduce_ps[i]),
                        account, int(one.ideal_ps[i]), [int(r.src[i]), int(r.dst[i])], 2,
                        r.repeat > 1, place=(recorded, i, repetition),
                    )  # fmt: skip
                    if one.waits is not None:
                        at = one.waits.ends[0]
                        transfer.ends = one.waits.ends[1][at[i] : at[i + 1]].tolist()
                        transfer.needed = int(one.waits.needed[i])
                    these.append(transfer)
                    for rank in transfer.ends:
                        step.setdefault(rank, []).append(transfer)
                if one.waits is not None:
                    at, behind = one.waits.behind
                    for i, transfer in enumerate(these):
                        transfer.behind = [these[j] for j in behind[at[i] : at[i + 1]]]
                yield step

    def _on(self, running: _Running, rank: int) -> None:
        """A rank is through with its repetition: on to the next with a part for it."""
        while True:
            running.at[rank] += 1
            while running.at[rank] >= len(running.unrolled):
                step = next(running.steps, None)
                if step is None:
                    running.left -= 1
                    if running.left == 0:
                        self._running.remove(running)
                        last = running.account[int(np.argmax(running.account.sum(axis=1)))].copy()
                        running.event.succeed(Finished(running.job, self.clock.now_ps, last))
                    return
                running.unrolled.append(step)
            mine = running.unrolled[running.at[rank]].pop(rank, [])
            if mine:
                break
        running.pending[rank] = len(mine)
        for transfer in mine:
            self._arrived(transfer, running.account[rank], running.lag[rank])

    def _happens(self, lag: float) -> None:
        """Something happens now, or rather ``lag`` picoseconds ago: the instant is the latest of them."""
        now = self.clock.now_ps
        self._lag = min(self._lag, lag) if self._instant == now else lag
        self._instant = now

    def _arrived(self, transfer: _Transfer, account: IntArray, lag: float) -> None:
        """One of those that a transfer waits for is there; the last one makes it ready."""
        now = self.clock.now_ps
        transfer.lag = min(transfer.lag, lag) if transfer.arrived_at == now else lag
        transfer.arrived_at = now
        transfer.arrived += 1
        if transfer.arrived == transfer.needed:
            transfer.base = account
            if transfer.repeats:
                transfer.lag = 0.0
            start = self.clock.timeout_ps(transfer.delay)
            _after(start, partial(self._start, transfer))

    def _start(self, transfer: _Transfer) -> None:
        self.cost.events += 1
        self._happens(transfer.lag)
        transfer.begun = transfer.anchor = self.clock.now_ps
        transfer.remaining = transfer.bytes
        if transfer.bytes <= 0:
            self._end(transfer, 0)
            return
        self._active.append(transfer)
        self._solve_later()

    def _end(self, transfer: _Transfer, version: int) -> None:
        if version != transfer.version:
            return
        self.cost.events += 1
        self._happens(transfer.lag)
        self.cost.transfers += 1
        self._note(transfer, 1)
        if transfer.bytes > 0:
            self._active.remove(transfer)
            self._solve_later()
        for link, weight in transfer.links:
            self._carried[link] += weight * transfer.bytes
        account = transfer.base + transfer.account
        account[2] += self.clock.now_ps - transfer.begun - transfer.ideal
        # Who needs what the receiver makes of it waits until that has reduced it.
        late = [t for t in transfer.behind if transfer.reduce and transfer.dst in (t.src, t.dst)]
        self._through(
            transfer,
            [t for t in transfer.behind if t not in late],
            [r for r in transfer.ends if not (transfer.reduce and r == transfer.dst)],
            account,
        )
        if transfer.reduce:
            account = account.copy()
            account[0] += transfer.reduce
            reduced = self.clock.timeout_ps(transfer.reduce)
            _after(reduced, partial(self._through, transfer, late, [transfer.dst], account))

    def _note(self, transfer: _Transfer, last: int) -> None:
        """Tell the recorder how a transfer has moved since its rate last changed."""
        if self._recorder is not None:
            now = self.clock.now_ps
            self._recorder.note(*transfer.place, transfer.anchor, now, transfer.rate, last)

    def _through(
        self, transfer: _Transfer, behind: list[_Transfer], ranks: list[int], account: IntArray
    ) -> None:
        """A transfer is done, for these that waited for it."""
        for following in behind:
            self._arrived(following, account, transfer.lag)
        for rank in ranks:
            self._part_done(transfer, rank, account)

    def _part_done(self, transfer: _Transfer, rank: int, account: IntArray) -> None:
        running, now = transfer.job, self.clock.now_ps
        together = running.part_at[rank] == now
        running.lag[rank] = min(running.lag[rank], transfer.lag) if together else transfer.lag
        running.part_at[rank] = now
        running.pending[rank] -= 1
        if running.pending[rank] == 0:
            running.account[rank] = account
            self._on(running, rank)

    def _solve_later(self) -> None:
        """Solve once, when everything of this instant has happened."""
        if not self._solving:
            self._solving = True
            _after(self.clock.timeout_ps(0, LAST), self._solve)

    def _solve(self) -> None:
        self._solving = False
        self.cost.solves += 1
        now = self.clock.now_ps
        rates = max_min_rates([(t.links, t.cap) for t in self._active], self.capacity)
        for transfer, rate in zip(self._active, rates, strict=True):
            if abs(rate - transfer.rate) <= 0.1 * RATE_TOLERANCE * transfer.rate:
                continue
            if now > transfer.anchor:
                self._note(transfer, 0)
            moving = (now - transfer.anchor) - (self._lag - transfer.anchor_lag)
            transfer.remaining -= transfer.rate * (moving / PS_PER_SECOND)
            transfer.anchor, transfer.anchor_lag, transfer.rate = now, self._lag, rate
            transfer.version += 1
            if rate > 0:
                exact = transfer.remaining * PS_PER_SECOND / rate - self._lag
                span = max(0, math.ceil(exact - TICK))
                at_one_rate = self._lag == 0.0 and transfer.remaining == transfer.bytes
                transfer.lag = 0.0 if at_one_rate or transfer.repeats else span - exact
                end = self.clock.timeout_ps(span)
                _after(end, partial(self._end, transfer, transfer.version))
