"""The fluid network: max-min fair rates, compiled, under SimPy.

One SimPy process drives it. It lets the network run ahead to the next event of
anybody else (`Clock.peek_ps`), so that a collective's millions of internal
events never become Python objects, yet a fault, a second job or a straggler
that SimPy schedules cuts in at the exact instant.

A job that is alone is tried without contention first (`contention_free`), which
costs a recursion of completion times instead of events. Whoever interferes
makes it a job of the event loop, from the last repetition that was over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import simpy

from sim.clock import FOREVER, Clock
from sim.fabric import Fabric
from sim.network import standstill
from sim.network.contention_free import Cut, run_ahead
from sim.network.event_loop import EventLoop
from sim.network.folding import fold
from sim.network.job import Cost, Finished, Job
from sim.network.kernels.moves import TIERS
from sim.network.recorder import Recorder
from sim.network.remembered import Remembered
from sim.network.stretches import together
from sim.routing.bundles import Bundles
from sim.schedule import FloatArray, IntArray, Round
from sim.transfers import Loaded, load
from topologies.errors import SimulationError

__all__ = ["FluidNetwork"]

#: Below all of SimPy's priorities: the end of an instant.
LAST = 2


class FluidNetwork:
    """The default network model.

    Parameters
    ----------
    clock : Clock
        The SimPy environment.
    fabric : Fabric
    capacity : float64 array, shape (links,)
        Bytes/s that payload gets on each link.
    fast_forward : bool
        Whether to jump over repetitions whose effect is known. The answer is the
        same to the last picosecond.
    recorder : Recorder, optional
        Told of every transfer, which is then followed one by one.
    """

    def __init__(
        self,
        clock: Clock,
        fabric: Fabric,
        capacity: FloatArray,
        *,
        fast_forward: bool = True,
        recorder: Recorder | None = None,
    ) -> None:
        self.clock = clock
        self.fabric = fabric
        self.capacity = capacity.copy()
        self.bundles = Bundles.of(fabric)
        # A recorder wants every transfer: nothing is jumped over, nothing runs ahead.
        self._fast_forward = fast_forward and recorder is None
        self.loop = EventLoop(fabric, self.bundles.narrowest(capacity)[0], self._fast_forward, recorder)
        self._ahead: Job | None = None
        self._result: Cut | None = None
        self._settled = np.zeros(fabric.links)
        self._cost = Cost()
        self._events: dict[int, simpy.Event] = {}
        self._wake = clock.event()
        self._driver = self._drive()
        clock.process(self._driver)

    @property
    def cost(self) -> Cost:
        """What has been simulated so far."""
        c, loop = self._cost, self.loop.cost
        return Cost(*(getattr(c, k) + getattr(loop, k) for k in Cost.__slots__))

    def launch(self, job: Job) -> simpy.Event:
        """Start a job now; the event's value is its `Finished`."""
        event = self.clock.event()
        self._events[id(job)] = event
        if (
            self._ahead is None
            and not self.loop.jobs
            and self._fast_forward
            and bool((self.capacity > 0).all())
        ):
            self._ahead, self._result = job, None
        else:
            self._disturb()
            self.loop.inject(job, *self._fresh(job))
        if not self._wake.triggered:
            self._wake.succeed()
        return event

    def set_capacity(self, link: int, capacity: float) -> None:
        """Change a link's bytes/s from this instant on; 0 holds its transfers."""
        self._disturb()
        self.capacity[link] = capacity
        chain = self.bundles.chain(link)
        self.loop.set_capacity(int(self.bundles.speaker[link]), float(self.capacity[chain].min()))
        if not self._wake.triggered:
            self._wake.succeed()

    def carried(self) -> FloatArray:
        """Bytes each link has carried so far, shape (links,)."""
        if self._ahead is not None:
            self._disturb()
        elif self.loop.jobs:
            self._catch_up()
        return self.bundles.spread(self._settled + self.loop.carried())

    def where(self) -> str:
        """What is under way, in words."""
        if self._ahead is not None:
            return f"{self._ahead.name}: under way"
        return self.loop.progress()

    def close(self) -> None:
        """Let go of everything at once; the network cannot be used any more.

        SimPy's process and the event it waits for refer to each other; without this
        a sweep would fill the memory before Python looks for such cycles.
        """
        self._driver.close()
        self._events.clear()
        self._ahead = self._result = None

    # ------------------------------------------------------------------ inside

    def _drive(self) -> Generator[simpy.Event, Any, None]:
        clock = self.clock
        while True:
            while self._ahead is None and not self.loop.jobs:
                yield self._wake
                self._wake = clock.event()
            # Let everyone else have their say at this instant first.
            while clock.peek_ps() == clock.now_ps:
                yield clock.timeout_ps(0, LAST)
            horizon = clock.peek_ps()
            done = self._advance(horizon)
            instant = done[0].at_ps if done else horizon
            if not done and horizon == FOREVER:
                raise SimulationError(self.stuck())
            if instant > clock.now_ps:
                yield clock.timeout_ps(instant - clock.now_ps)
            for finished in done:
                self._events.pop(id(finished.job)).succeed(finished)

    def _advance(self, until: int) -> list[Finished]:
        if self._ahead is None:
            return self.loop.advance(until)
        if self._result is None:
            job = self._ahead
            # Loaded once for the attempt without contention and for the event loop.
            loaded = Remembered(partial(self._loaded, job))
            self._result = run_ahead(job, self.capacity, loaded=loaded()) or self._run_folded(job)
            if self._result is None:
                self._ahead = None
                self.loop.inject(job, job.arrivals, self._account(job), self._together(job, loaded))
                return self.loop.advance(until)
        end = int(self._result.reach.max())
        if end > until:
            return []
        finished = Finished(self._ahead, end, self._result.account[int(np.argmax(self._result.reach))].copy())
        self._settle(self._result)
        self._ahead = self._result = None
        return [finished]

    def _run_folded(self, job: Job) -> Cut | None:
        """Follow a job alone to its end with one chip of each host, if the hosts are all alike."""
        folded = fold(job, self.capacity)
        if folded is None:
            return None
        loop = EventLoop(self.fabric, self.bundles.narrowest(self.capacity)[0], fast_forward=True)
        loop.inject(folded.job, folded.job.arrivals, self._account(folded.job), folded.rounds)
        finished = loop.advance(FOREVER)[0]
        c = loop.cost
        return Cut(
            np.array([finished.at_ps]), finished.account[None, :], loop.carried()[folded.stands_for], None, 0,
            iter(()), c.rounds, c.jumped, folded.work, c.events, c.solves, c.solved,
        )  # fmt: skip

    def _settle(self, cut: Cut) -> None:
        self._settled += cut.carried
        self._cost.events += cut.events
        self._cost.solves += cut.solves
        self._cost.solved += cut.solved
        self._cost.rounds += cut.rounds
        self._cost.jumped += cut.jumped
        self._cost.transfers += cut.transfers

    def _fresh(self, job: Job) -> tuple[IntArray, IntArray, Iterator[Loaded]]:
        return job.arrivals, self._account(job), self._loaded(job)

    def _loaded(self, job: Job) -> Iterator[Loaded]:
        return load(job.rounds(), job.router, job.nodes, self.capacity, job.costs)

    def _together(self, job: Job, loaded: Remembered[Loaded]) -> Iterator[Loaded]:
        """A job's rounds for the event loop, steps of a pipeline as one."""
        first = next(job.rounds(), None)
        # Of parts, and at some step all stages are busy.
        if first is not None and first.parts is not None and any(one.repeat > 1 for one in job.rounds()):
            return self._loaded_together(job)
        return loaded()

    def _loaded_together(self, job: Job) -> Iterator[Loaded]:
        spans: deque[tuple[IntArray | None, tuple[int, int] | None]] = deque()

        def rounds() -> Iterator[Round]:
            for one, span, whole in together(job.rounds(), job.costs):
                spans.append((span, whole))
                yield one

        for one in load(rounds(), job.router, job.nodes, self.capacity, job.costs):
            span, whole = spans.popleft()
            yield one if span is None else replace(one, span=span, whole=whole)

    def _account(self, job: Job) -> IntArray:
        return np.zeros((job.nodes.size, TIERS + len(self.fabric.tiers)), dtype=np.int64)

    def _disturb(self) -> None:
        """Somebody interferes now: the job that ran ahead goes to the event loop."""
        job, self._ahead, self._result = self._ahead, None, None
        if job is not None:
            cut = run_ahead(job, self.capacity, horizon=self.clock.now_ps)
            if cut is None:
                self.loop.inject(job, *self._fresh(job))
            else:
                self._settle(cut)
                pending = iter(()) if cut.pending is None else iter((cut.pending,))
                self.loop.inject(job, cut.reach, cut.account, chain(pending, cut.later), cut.repetition)
        self._catch_up()

    def _catch_up(self) -> None:
        """Bring the event loop to the present instant."""
        done = self.loop.advance(self.clock.now_ps)
        for finished in done:
            self._events.pop(id(finished.job)).succeed(finished)

    def stuck(self) -> str:
        """Why nothing can happen any more, in words."""
        # The loop may have run ahead of the clock.
        now = max(self.clock.now_ps, self.loop.now_ps)
        held = [replace(one, link=self._narrowest(one.link)) for one in self.loop.waiting()]
        return standstill.explain(self.fabric, now, held, self.where())

    def _narrowest(self, link: int) -> int:
        """The link that limits those who hold a chain."""
        chain = self.bundles.chain(link)
        return int(chain[np.argmin(self.capacity[chain])])
