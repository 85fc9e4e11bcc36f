"""Broadcast and reduce of large buffers by parts.

Broadcast scatters the parts, then all-gathers them; reduce is its mirror, a
reduce-scatter and a gather (Rabenseifner).

Binomial scatter and ring all-gather (van de Geijn; MPICH for long messages):
(ceil(log2 p) + p - 1) alpha + 2 (p-1)/p n beta. Thakur, Rabenseifner and Gropp 2005.
"""

from __future__ import annotations

import numpy as np

from sim.collectives.compose import Phase, compose
from sim.collectives.registry import algorithm, build
from sim.schedule import Schedule

__all__ = ["broadcast", "reduce"]


@algorithm("broadcast", "scatter_all_gather")
def broadcast(
    ranks: int, size: float, root: int = 0, scatter: str = "binomial", all_gather: str = "ring"
) -> Schedule:
    """Broadcast by any scatter and any all-gather.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of the buffer.
    root : int
        Rank that has it.
    scatter, all_gather : str
        Algorithms of the two phases.

    Raises
    ------
    ScheduleError, UnknownNameError
        If an algorithm does not exist or cannot serve so many ranks.

    Examples
    --------
    >>> broadcast(6, 600.0, root=2, all_gather="mesh").check()
    """
    everyone = np.arange(ranks)[None, :]
    phases = [
        Phase(build("scatter", ranks, size, scatter, root=root), everyone),
        Phase(build("all_gather", ranks, size, all_gather), everyone),
    ]
    chosen = {"scatter": scatter, "all_gather": all_gather}
    return compose("broadcast", "scatter_all_gather", ranks, size, phases, root=root, options=chosen)


@algorithm("reduce", "reduce_scatter_gather")
def reduce(
    ranks: int, size: float, root: int = 0, reduce_scatter: str = "ring", gather: str = "binomial"
) -> Schedule:
    """Reduce by any reduce-scatter and any gather.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of the buffer.
    root : int
        Rank that gets the sum.
    reduce_scatter, gather : str
        Algorithms of the two phases.

    Raises
    ------
    ScheduleError, UnknownNameError
        If an algorithm does not exist or cannot serve so many ranks.

    Examples
    --------
    >>> reduce(6, 600.0, root=2, reduce_scatter="halving_doubling").check()
    """
    everyone = np.arange(ranks)[None, :]
    phases = [
        Phase(build("reduce_scatter", ranks, size, reduce_scatter), everyone),
        Phase(build("gather", ranks, size, gather, root=root), everyone),
    ]
    chosen = {"reduce_scatter": reduce_scatter, "gather": gather}
    return compose("reduce", "reduce_scatter_gather", ranks, size, phases, root=root, options=chosen)
