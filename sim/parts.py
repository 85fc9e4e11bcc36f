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
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.clock import LATEST, PS_PER_SECOND
from sim.routing.paths import joined
from sim.schedule import FloatArray, IntArray, Payload, Round
from sim.waits import Waits, offsets_of
from topologies.errors import CapacityError

if TYPE_CHECKING:
    from sim.transfers import Costs, Loaded, TransferCosts

__all__ = ["arriving", "put_together", "refuse_ages"]


def put_together(round_: Round, parts: Sequence[Loaded], costs: Costs) -> Loaded:
    """A round as loaded, from its parts as loaded.

    Parameters
    ----------
    round_ : Round
        Its transfers are those of the parts, one after the other.
    parts : sequence of Loaded
        At least one.
    costs : Costs
        Says how long a receiver adds what arrives in the whole round.

    Raises
    ------
    CapacityError
        If the round would outlast time.
    """
    paths = joined([one.paths for one in parts])
    found = _costs([one.costs for one in parts])
    if found.reduce_ps.any():
        adding = costs.adding_ps(arriving(round_.dst, round_.bytes))
        # Local work passes no links and adds nothing.
        found = replace(found, reduce_ps=np.where(paths.lengths == 0, 0, adding))
    ideal = np.concatenate([one.ideal_ps for one in parts])
    refuse_ages(round_, float(ideal.max(initial=0)) / PS_PER_SECOND)
    return replace(
        parts[0],
        round=round_,
        passed=tuple([route for one in parts for route in one.passed]),
        paths=paths,
        costs=found,
        ideal_ps=ideal,
        tier=np.concatenate([one.tier for one in parts]),
        waits=_waits(parts),
    )


def arriving(receiver: IntArray, each: FloatArray) -> FloatArray:
    """Bytes that the receiver of each transfer of a round gets in one repetition, shape (m,).

    Summed from the smallest on, so that they do not depend on the transfers' order.
    """
    if receiver.max(initial=0) > 4 * receiver.size:
        # Numbered anew: several small rounds of many ranks may stand here as one.
        _, receiver = np.unique(receiver, return_inverse=True)
    if each.size and (each == each[0]).all():
        return np.asarray(np.bincount(receiver, weights=each)[receiver], dtype=np.float64)
    order = np.argsort(each, kind="stable")
    total = np.bincount(receiver[order], weights=each[order]).astype(np.float64)
    return np.asarray(total[receiver])


def refuse_ages(round_: Round, seconds: float) -> None:
    """Refuse a round whose repetitions, at so many seconds each, would outlast time.

    Raises
    ------
    CapacityError
    """
    longest = seconds * round_.repeat
    if longest * PS_PER_SECOND > LATEST:
        raise CapacityError(
            f"round {round_.label!r} would last {longest:.3g} s, beyond the 53 days a simulation may last; "
            f"lower the size or raise the bandwidth"
        )


def _costs(parts: Sequence[TransferCosts]) -> TransferCosts:
    """Costs of several sets of transfers one after the other."""
    columns: dict[str, Any] = {}
    for name in [f.name for f in fields(parts[0])]:
        each = [getattr(one, name) for one in parts]
        columns[name] = None if each[0] is None else np.concatenate(each)
    return type(parts[0])(**columns)


def _waits(parts: Sequence[Loaded]) -> Waits | None:
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
    ends: Payload = offsets_of(np.concatenate(counts)), np.concatenate(ranks)
    m = ends[0].size - 1
    none: Payload = np.zeros(m + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return Waits(ends, none, none, np.arange(m))
