"""Whole jobs without contention: the recursion of completion times.

Serves two masters. `network="analytic"` takes every transfer at the rate it has
alone. The fluid network tries it first: as long as no two transfers hold a link
at the same time, which is watched link by link, it is the fluid model's exact
answer; at the first overlap the job goes to the event loop from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.clock import FOREVER
from sim.network.job import Job
from sim.network.kernels import fans, maxplus
from sim.network.kernels.moves import CONFLICT, HORIZON, TIERS, Ahead, Moves
from sim.schedule import FloatArray, IntArray
from sim.transfers import Loaded, load

__all__ = ["Cut", "run_ahead"]


@dataclass(slots=True, eq=False)
class Cut:
    """Where a job stands: which rank reaches the next repetition when.

    ``pending`` is the round that is not finished (None: the job is), with
    ``repetition`` repetitions of it done; ``later`` yields the rounds after it.
    """

    reach: IntArray
    account: IntArray
    carried: FloatArray
    pending: Loaded | None
    repetition: int
    later: Iterator[Loaded]
    rounds: int
    jumped: int
    transfers: int
    events: int = 0
    solves: int = 0
    solved: int = 0


def run_ahead(
    job: Job,
    capacity: FloatArray,
    *,
    horizon: int = FOREVER,
    jump: bool = True,
    strict: bool = True,
    loaded: Iterator[Loaded] | None = None,
) -> Cut | None:
    """Follow a job alone to its end, or to the last repetition that ends by ``horizon``.

    Parameters
    ----------
    job : Job
    capacity : float64 array, shape (links,)
        Bytes/s of each link.
    horizon : int
        Picoseconds.
    jump : bool
        Whether to jump over repetitions whose effect is known.
    strict : bool
        Whether two transfers on one link at one time end the attempt.
    loaded : iterator of Loaded, optional
        The job's rounds, where somebody has loaded them.

    Returns
    -------
    Cut, or None where ``strict`` and two transfers met on a link.
    """
    fabric = job.router.fabric
    links = fabric.links
    x = Ahead(
        job.arrivals.copy(),
        np.zeros((job.arrivals.size, TIERS + len(fabric.tiers)), dtype=np.int64),
        np.zeros(links, dtype=np.int64),
        np.full(links, -1, dtype=np.int64),
        np.zeros(links),
        np.zeros(2, dtype=np.int64),
    )
    if loaded is None:
        loaded = load(job.rounds(), job.router, job.nodes, capacity, job.costs)
    rounds = jumped = transfers = 0
    for number, one in enumerate(loaded):
        r, paths, costs = one.round, one.paths, one.costs
        moves = Moves(
            r.src, r.dst, costs.overhead_ps, paths.latency_ps, one.ideal_ps, costs.reduce_ps, one.tier,
            costs.wire_bytes, paths.start, paths.link, paths.weight,
        )  # fmt: skip
        if one.waits is None:
            status = maxplus.repeat_round(moves, r.repeat, horizon, jump, strict, number, x)
        elif strict and r.after is not None:
            return None  # within such a round links are shared one after the other: events tell
        else:
            w = one.waits
            status = fans.fanned_round(
                w.order, *w.ends, *w.before, moves, r.repeat, horizon, strict, number, x
            )
        if status == CONFLICT:
            return None
        rounds += int(x.counts[0])
        jumped += int(x.counts[1])
        transfers += int(x.counts[0]) * r.src.size
        if status == HORIZON:
            return Cut(
                x.reach, x.account, x.carried, one, int(x.counts[0]), loaded, rounds, jumped, transfers
            )
    return Cut(x.reach, x.account, x.carried, None, 0, loaded, rounds, jumped, transfers)
