"""Rounds made of parts: each part meets the fabric once, and rounds are put together.

A pipeline of S stages and C pieces is S + C - 1 rounds, most of them of nearly the
same transfers. What a network knows about a transfer (its path, its costs, how long
it lasts alone) does not change from round to round, so that it is found once for each
stage (`sim.schedule.Round.parts`) and put together here.

Two costs are the round's business and not a part's: what a receiver adds at a time
(`sim.transfers.round_costs`), which is looked at again, and a mean over all transfers
(`sim.transfers.Costs.separable`), with which rounds are not taken apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.routing.paths import Paths
from sim.schedule import IntArray, Payload
from sim.waits import Waits

if TYPE_CHECKING:
    from sim.transfers import Loaded, TransferCosts

__all__ = ["joined_costs", "joined_paths", "joined_waits"]


def joined_paths(parts: Sequence[Paths]) -> Paths:
    """Paths of several sets of transfers one after the other."""
    lengths = [np.diff(one.start) for one in parts]
    return Paths(
        _offsets(np.concatenate(lengths)),
        np.concatenate([one.link for one in parts]),
        np.concatenate([one.weight for one in parts]),
        np.concatenate([one.latency_ps for one in parts]),
        np.concatenate([one.outside for one in parts]),
    )


def joined_costs(parts: Sequence[TransferCosts]) -> TransferCosts:
    """Costs of several sets of transfers one after the other."""
    columns: dict[str, Any] = {}
    for name in [f.name for f in fields(parts[0])]:
        each = [getattr(one, name) for one in parts]
        columns[name] = None if each[0] is None else np.concatenate(each)
    return type(parts[0])(**columns)


def joined_waits(parts: Sequence[Loaded]) -> Waits | None:
    """Whom the transfers of a round wait for; None where all for their two ends alone."""
    if all(one.waits is None for one in parts):
        return None
    counts, ranks = [], []
    for one in parts:
        if one.waits is None:
            both = np.sort(np.column_stack([one.round.src, one.round.dst]), axis=1)
            counts.append(np.full(both.shape[0], 2, dtype=np.int64))
            ranks.append(both.ravel())
        else:
            counts.append(np.diff(one.waits.ends[0]))
            ranks.append(one.waits.ends[1])
    ends: Payload = _offsets(np.concatenate(counts)), np.concatenate(ranks)
    m = ends[0].size - 1
    none: Payload = np.zeros(m + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return Waits(ends, none, none, np.arange(m))


def _offsets(counts: IntArray) -> IntArray:
    offsets: IntArray = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    return offsets
