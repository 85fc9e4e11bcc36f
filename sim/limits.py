"""What bounds a collective on a given fabric: `sim.bounds` with the fabric's figures."""

from __future__ import annotations

import numpy as np

from sim.bounds import lower_bound
from sim.clock import PS_PER_SECOND
from sim.fabric import Fabric
from sim.schedule import IntArray, Schedule

__all__ = ["fabric_bound"]

#: Collectives whose bound also holds between groups, each taken as one rank.
GROUPED = ("all_reduce", "reduce_scatter", "all_gather", "all_to_all")


def fabric_bound(fabric: Fabric, nodes: IntArray, groups: IntArray | None, schedule: Schedule) -> float:
    """Seconds that no schedule can beat on this fabric.

    The larger of two bounds: what must leave or enter every chip, over the
    bandwidth of its links; and what must leave or enter every scale-up domain,
    over the bandwidth of the links that leave it (a domain is to the others what
    a rank is, and all-gather, reduce-scatter and all-reduce owe each domain what
    they owe a rank; of an all-to-all it is owed the parts of all its ranks).

    Parameters
    ----------
    fabric : Fabric
    nodes : int64 array, shape (p,)
        Node of each rank.
    groups : int64 array, shape (p,), optional
        Scale-up domain of each rank, from 0.
    schedule : Schedule
        Its kind, size, root and, for an uneven all-to-all, matrix.
    """
    p = nodes.size
    if p == 1:
        return 0.0
    out = np.bincount(fabric.tail, weights=fabric.bandwidth, minlength=len(fabric.nodes))
    into = np.bincount(fabric.head, weights=fabric.bandwidth, minlength=len(fabric.nodes))
    # Whatever a rank sends passes one of its links first.
    latency = float(fabric.latency_ps[np.isin(fabric.tail, nodes)].min()) / PS_PER_SECOND
    matrix = None
    if schedule.kind == "all_to_all" and schedule.chunk_bytes is not None:
        matrix = schedule.chunk_bytes.reshape(p, p, -1).sum(axis=2)
    destination = schedule.options.get("destination")
    # Send and receive capacity may differ on directed graphs; the larger keeps this a bound.
    rate = np.maximum(out, into)[nodes]
    if schedule.kind == "barrier":
        return latency
    bound = lower_bound(
        schedule.kind, p, schedule.size, rate, latency, matrix, root=schedule.root, destination=destination,
        in_network=schedule.in_network,
    )  # fmt: skip
    domain = fabric.domain[nodes]
    if groups is None or schedule.kind not in GROUPED or matrix is not None or (domain < 0).any():
        return bound
    count = int(domain.max()) + 1
    leaving = (fabric.domain[fabric.tail] >= 0) & (fabric.domain[fabric.head] != fabric.domain[fabric.tail])
    egress = np.bincount(
        fabric.domain[fabric.tail[leaving]], weights=fabric.bandwidth[leaving], minlength=count
    )
    members = np.bincount(domain, minlength=count)
    present = np.flatnonzero(members)
    if present.size < 2 or not (egress[present] > 0).all():
        return bound
    if schedule.kind == "all_to_all":
        outside = schedule.size / p * members[present] * (p - members[present])
        return max(bound, latency + float((outside / egress[present]).max()))
    if schedule.kind in ("reduce_scatter", "all_gather"):
        # A domain of m ranks lacks the p - m parts of the others.
        return max(
            bound, latency + float((schedule.size / p * (p - members[present]) / egress[present]).max())
        )
    between = lower_bound(
        "all_reduce", present.size, schedule.size, egress[present], latency, in_network=schedule.in_network
    )
    return max(bound, between)
