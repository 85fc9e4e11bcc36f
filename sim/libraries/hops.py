"""Kinds of hop: what a transfer goes over, as far as software cares.

``scale_up``: links of a scale-up domain (and every link of a graph that knows no
domains). ``host``: over a host's bus, between its domains or where its chips have no
links of their own. ``network``: beyond the host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.fabric import KINDS, Fabric
from sim.routing import Paths
from sim.schedule import IntArray

__all__ = ["HOST", "NETWORK", "SCALE_UP", "Hops", "hops_of", "hosts_among"]

SCALE_UP, HOST, NETWORK = 0, 1, 2

#: Tiers that are a host's bus, by their names.
BUS = re.compile(r"(pcie|host|upi|qpi)")


@dataclass(frozen=True, slots=True, eq=False)
class Hops:
    """What a fabric's links are to software.

    Attributes
    ----------
    over_bus : bool array, shape (links,)
        Whether a link is part of a host's bus.
    sharing : int
        Most chips that use one NIC; 1 where there are none.
    """

    over_bus: npt.NDArray[np.bool_]
    sharing: int

    def kinds(self, paths: Paths) -> IntArray:
        """Kind of hop of each path, shape (m,)."""
        if not len(paths):
            return np.zeros(0, dtype=np.int64)
        kind = np.zeros(len(paths), dtype=np.int64)
        if self.over_bus.any():
            reached = paths.lengths > 0
            where = paths.start[:-1][reached]
            kind[reached] = np.maximum.reduceat(self.over_bus[paths.link].astype(np.int64), where)
        kind[paths.outside] = NETWORK
        return kind


def hops_of(fabric: Fabric) -> Hops:
    """What the links of a fabric are; kept with it."""
    key = ("hops",)
    if key not in fabric.notes:
        bus_tier = np.array([BUS.match(t) is not None for t in fabric.tiers], dtype=np.bool_)
        host = fabric.kind == KINDS.index("host")
        over = bus_tier[fabric.tier] | host[fabric.tail] | host[fabric.head]
        fabric.notes[key] = Hops(over, _sharing(fabric))
    return fabric.notes[key]  # type: ignore[no-any-return]


def hosts_among(fabric: Fabric, nodes: IntArray) -> int:
    """How many hosts (or scale-up domains, where those are wider) the chips stand in; 1 if unknown.

    What is one domain is one host to software: no network lies between its chips.
    """
    counts = [np.unique(p[nodes]).size for p in (fabric.domain, fabric.host) if (p[nodes] >= 0).all()]
    return int(min(counts, default=1))


def _sharing(fabric: Fabric) -> int:
    """Chips for each NIC, at the busiest."""
    nic = fabric.kind == KINDS.index("nic")
    if not nic.any():
        return 1
    chip, host = fabric.kind == 0, fabric.kind == KINDS.index("host")
    at_chip = np.bincount(fabric.head[chip[fabric.tail] & nic[fabric.head]], minlength=nic.size)
    most = int(at_chip.max())
    if most:
        return most
    chips = np.bincount(fabric.head[chip[fabric.tail] & host[fabric.head]], minlength=nic.size)
    cards = np.bincount(fabric.tail[host[fabric.tail] & nic[fabric.head]], minlength=nic.size)
    both = (chips > 0) & (cards > 0)
    return int(np.ceil(chips[both] / cards[both]).max()) if both.any() else 1
