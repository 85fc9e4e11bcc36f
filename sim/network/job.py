"""What a network model is asked to do, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import simpy

from sim.routing import Router
from sim.schedule import FloatArray, IntArray, Round
from sim.transfers import Costs

__all__ = ["CAUSES", "Cost", "Finished", "Job", "NetworkModel"]

#: Causes in the order of the first columns of an account; the tiers follow.
CAUSES = ("overhead", "latency", "contention", "capped")


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One collective on its way: a schedule on certain nodes.

    Attributes
    ----------
    name : str
        For messages.
    rounds : callable
        Gives a fresh iterator over the schedule's rounds.
    nodes : int64 array, shape (p,)
        Node of each rank.
    arrivals : int64 array, shape (p,)
        When each rank calls the collective, in picoseconds.
    router : Router
    costs : Costs
    """

    name: str
    rounds: Callable[[], Iterator[Round]]
    nodes: IntArray
    arrivals: IntArray
    router: Router
    costs: Costs


@dataclass(slots=True)
class Cost:
    """What a simulation has cost: a run reports it."""

    events: int = 0
    transfers: int = 0
    solves: int = 0
    solved: int = 0
    rounds: int = 0
    jumped: int = 0

    def since(self, earlier: Cost) -> Cost:
        """The difference to an earlier state."""
        return Cost(*(getattr(self, k) - getattr(earlier, k) for k in self.__slots__))

    def copy(self) -> Cost:
        """A copy that stays as it is."""
        return Cost(*(getattr(self, k) for k in self.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A job that is done.

    Attributes
    ----------
    at_ps : int
        When its last rank was through.
    account : int64 array, shape (4 + tiers,)
        The critical path of that rank in picoseconds: `CAUSES`, then
        serialisation by tier. Sums to the time from that rank's critical arrival.
    """

    job: Job
    at_ps: int
    account: IntArray


class NetworkModel(Protocol):
    """What a `World` asks of a network."""

    @property
    def cost(self) -> Cost:
        """What has been simulated so far."""

    def launch(self, job: Job) -> simpy.Event:
        """Start a job now; the event's value is its `Finished`."""

    def set_capacity(self, link: int, capacity: float) -> None:
        """Change a link's bytes/s from this instant on."""

    def carried(self) -> FloatArray:
        """Bytes each link has carried so far, shape (links,)."""

    def close(self) -> None:
        """Let go of what is large; the network cannot be used any more."""

    def where(self) -> str:
        """What is under way, in words; empty if nothing is."""

    def stuck(self) -> str:
        """Why nothing can happen any more, in words."""
