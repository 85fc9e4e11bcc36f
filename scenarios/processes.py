"""Independent pieces of work, shared out among processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from topologies.errors import SimulationError

__all__ = ["end", "processors", "spread"]

Item = TypeVar("Item")
Result = TypeVar("Result")

#: By the number of their processes.
_POOLS: dict[int, ProcessPoolExecutor] = {}


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def spread(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Result]]:
    """Call a function on each item, and yield (item, result) as they are done.

    Parameters
    ----------
    function : callable
        At the top of a module, so that other processes find it.
    items : sequence
        Begun in this order; put the longest first.
    workers : int
        Processes; with 1, or one item, everything happens in this one.

    Yields
    ------
    (item, result)
        In no certain order. The first error is raised here, and what has not
        begun is dropped.

    Raises
    ------
    SimulationError
        If a process dies, as when the machine runs out of memory.

    Examples
    --------
    >>> dict(spread(abs, [-2, 3], workers=1))
    {-2: 2, 3: 3}
    """
    if workers <= 1 or len(items) <= 1:
        for item in items:
            yield item, function(item)
        return
    running = {_pool(workers).submit(function, item): item for item in items}
    try:
        for future in as_completed(running):
            yield running[future], future.result()
    except BrokenProcessPool:
        raise SimulationError(
            f"one of {workers} processes died over {len(items)} pieces of work: killed, or out of memory; "
            f"ask for fewer chips, or look at the system's log"
        ) from None
    finally:
        for future in running:
            future.cancel()


def end() -> None:
    """End the processes; the next question starts new ones."""
    for pool in _POOLS.values():
        pool.shutdown(cancel_futures=True)
    _POOLS.clear()


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that live until this one ends: what they have imported serves the next question."""
    if workers not in _POOLS:
        # Spawned: a progress bar's thread must not be forked.
        _POOLS[workers] = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    return _POOLS[workers]
