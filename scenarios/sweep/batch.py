"""What a worker does: some runs on one cluster, for half a second or one run.

A batch is what a process takes at a time. It ends after `PATIENCE` (or after the
time that building the fabric took, if that is longer), at least one run, and gives
back what it has not begun: that is what a killed worker, or a killed sweep, loses.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from scenarios.store.runs import Outcome, results
from scenarios.sweep.model import model_version
from topologies.errors import CapacityError, ChipweaveError, SimulationError

if TYPE_CHECKING:
    import networkx as nx

    from sim import Fabric

__all__ = ["PATIENCE", "Batch", "Done", "Job", "build", "run_batch"]

#: Figures of links that a sweep sets: ((tier, figure), value).
Links = tuple[tuple[tuple[str, str], float], ...]

#: Seconds after which a batch comes back.
PATIENCE = 0.5

#: Fabrics that a worker keeps; one of 65,536 chips takes 0.2 GB.
_KEPT = 2

#: A worker of a cluster may have several threads; they would share the caches.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True)
class Job:
    """One run: its key, and what goes into `sim.collective`."""

    key: str
    collective: str
    size: float
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some runs on one cluster.

    Attributes
    ----------
    description : str
        The machine as JSON.
    chips, estimate, scale_out
        As for `topologies.machine`.
    link : tuple of ((tier, figure), value)
        Figures of links to change.
    jobs : tuple of Job
    model : str
        The version of the model that the sweep is of.
    """

    description: str
    chips: int
    estimate: str
    scale_out: bool | None
    link: Links
    jobs: tuple[Job, ...]
    model: str


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a batch, and what was not begun."""

    outcomes: tuple[Outcome, ...]
    left: tuple[Job, ...]


def run_batch(batch: Batch) -> Done:
    """Run a batch.

    Raises
    ------
    SimulationError
        If this process has another version of the model than the sweep.
    """
    if batch.model != model_version():
        raise SimulationError(
            f"worker {_name()} has chipweave {model_version()}, the sweep is of {batch.model}; "
            "install the same version there"
        )
    with _ONE_AT_A_TIME:
        return _run(batch)


def _run(batch: Batch) -> Done:
    started = time.perf_counter()
    try:
        fabric = _fabric(batch.description, batch.chips, batch.estimate, batch.scale_out, batch.link)
    except (ChipweaveError, MemoryError) as error:
        return Done(tuple(_not_done(job, error, 0.0) for job in batch.jobs), ())
    ready = time.perf_counter()
    enough = ready + max(PATIENCE, ready - started)
    outcomes: list[Outcome] = []
    for place, job in enumerate(batch.jobs):
        if outcomes and time.perf_counter() > enough:
            return Done(tuple(outcomes), batch.jobs[place:])
        outcomes.append(_outcome(job, fabric))
    return Done(tuple(outcomes), ())


def _outcome(job: Job, fabric: Fabric) -> Outcome:
    import sim

    started = time.perf_counter()
    try:
        run = sim.collective(job.collective, fabric, job.size, **job.arguments)
        values = results(run)
    except Exception as error:  # a bug in one point must not cost the others
        return _not_done(job, error, time.perf_counter() - started)
    return Outcome(job.key, "done", None, values, time.perf_counter() - started, _name())


def _not_done(job: Job, error: Exception, seconds: float) -> Outcome:
    mistaken = isinstance(error, ChipweaveError) and not isinstance(error, CapacityError)
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return Outcome(job.key, "refused" if mistaken else "failed", line, (), seconds, _name())


@lru_cache(maxsize=_KEPT)
def _fabric(description: str, chips: int, estimate: str, scale_out: bool | None, link: Links) -> Fabric:
    import sim

    return sim.compile_fabric(build(description, chips, estimate, scale_out, link))


def build(description: str, chips: int, estimate: str, scale_out: bool | None, link: Links) -> nx.Graph[Any]:
    """Build the graph of a machine with some links changed.

    Parameters
    ----------
    description : str
        The machine as JSON.
    chips, estimate, scale_out
        As for `topologies.machine`.
    link : tuple of ((tier, figure), value)
        As for `topologies.links.change_links`.
    """
    import topologies
    from topologies.links import change_links
    from topologies.machines import describe

    machine = describe(json.loads(description))
    graph = topologies.machine(machine, chips=chips, estimate=estimate, scale_out=scale_out)
    change_links(graph, machine, dict(link), estimate)
    return graph


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
