"""The analytic network: every transfer at the rate it has alone.

No contention, between transfers of a round or between jobs: closed forms for
any schedule on any graph, and the quickest look at one. What it leaves out is
what `fluid` is for.
"""

from __future__ import annotations

import numpy as np
import simpy

from sim.clock import Clock
from sim.fabric import Fabric
from sim.network import standstill
from sim.network.contention_free import run_ahead
from sim.network.job import Cost, Finished, Job
from sim.routing.bundles import Bundles
from sim.schedule import FloatArray

__all__ = ["AnalyticNetwork"]


class AnalyticNetwork:
    """The network model without contention.

    Parameters
    ----------
    clock : Clock
    fabric : Fabric
    capacity : float64 array, shape (links,)
        Bytes/s that payload gets on each link.
    fast_forward : bool
        Whether to jump over repetitions whose effect is known.
    """

    def __init__(
        self, clock: Clock, fabric: Fabric, capacity: FloatArray, *, fast_forward: bool = True
    ) -> None:
        self.clock = clock
        self._fabric = fabric
        self.capacity = capacity.copy()
        self._bundles = Bundles.of(fabric)
        self.cost = Cost()
        self._fast_forward = fast_forward
        self._carried = np.zeros(fabric.links)
        self._names: list[str] = []

    def launch(self, job: Job) -> simpy.Event:
        """Start a job now; the event's value is its `Finished`."""
        cut = run_ahead(job, self.capacity, jump=self._fast_forward, strict=False)
        if cut is None:  # only a strict run gives None
            raise RuntimeError("contention in a run that does not look for it")
        self.cost.rounds += cut.rounds
        self.cost.jumped += cut.jumped
        self.cost.transfers += cut.transfers
        last = int(np.argmax(cut.reach))
        finished = Finished(job, int(cut.reach[last]), cut.account[last].copy())
        event = self.clock.timeout_ps(finished.at_ps - self.clock.now_ps)
        event._value = finished
        self._names.append(job.name)

        def settle(_: simpy.Event) -> None:
            self._carried += cut.carried
            self._names.remove(job.name)

        event.callbacks.append(settle)
        return event

    def set_capacity(self, link: int, capacity: float) -> None:
        """Change a link's bytes/s for jobs that start from now on."""
        self.capacity[link] = capacity

    def carried(self) -> FloatArray:
        """Bytes each link has carried for jobs that are done, shape (links,)."""
        return self._bundles.spread(self._carried)

    def close(self) -> None:
        """Nothing to let go of."""

    def where(self) -> str:
        """What is under way, in words."""
        return "; ".join(f"{name}: under way" for name in self._names)

    def stuck(self) -> str:
        """Why nothing can happen any more, in words."""
        return standstill.explain(self._fabric, self.clock.now_ps, [], self.where())
