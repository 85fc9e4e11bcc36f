"""How sure a simulated time is: which figure it hangs on, and whether it was ever measured there.

The sensitivity of a time to a figure is local, d ln time / d ln figure: per cent
of time for a per cent of the figure, with the same algorithm, protocol and
schedule. Figures of the library are varied where they act; of the fabric, the
bandwidth and the latency of the links of each tier.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sim.clock import seconds
from sim.fabric import Fabric
from sim.libraries import Library, Prediction
from sim.libraries.features import features_of
from sim.libraries.parameters import HOPS, Figure, Parameters
from sim.plan import Plan
from sim.routing import Router
from sim.world import World

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["extrapolated", "sensitivity"]

#: Relative step of a figure.
STEP = 0.01


#: Figures of the library that are simulated where `sensitivity` simulates: those most felt in lockstep.
SIMULATED = 4


def sensitivity(planned: Plan, *, simulated: bool = False) -> pd.DataFrame:
    """Local sensitivity of a plan's time to each figure, largest first.

    Parameters
    ----------
    planned : Plan
        ``run.plan`` of a run.
    simulated : bool
        Whether to simulate the plan again with the bandwidth of each tier and the
        figures that count most changed. Without it all are told from a schedule in
        lockstep, which does not know of ranks that run ahead of each other.

    Returns
    -------
    DataFrame
        Columns ``figure`` (path in the library, or ``TIER bandwidth`` and ``TIER
        latency`` of the fabric), ``value`` (SI units; nan for a tier with several),
        ``sensitivity`` (per cent of time for a per cent of the figure) and
        ``evidence``.

    Examples
    --------
    A ring of large messages hangs on the bandwidth of its links, one to one:

    >>> import sim, topologies
    >>> run = sim.all_reduce(topologies.ring(4, bandwidth="50 GB/s", latency="1 us"), "1 GB")
    >>> table = sensitivity(run.plan)
    >>> table.iloc[0]["figure"], round(float(table.iloc[0]["sensitivity"]), 2)
    ('link bandwidth', -1.0)
    """
    import pandas as pd

    fabric = planned.router.fabric
    protocol, setting = planned.choice.protocol, planned.choice.setting
    features = planned.features()
    here = Prediction([(features, protocol)])
    resolved = planned.library.parameters.on(fabric.attributes)
    plain = replace(planned.library, parameters=resolved)
    time = float(here.times(plain)[0])
    rows: list[tuple[str, float, float, str]] = []
    if planned.nodes.size < 2 or time <= 0:
        return pd.DataFrame(rows, columns=["figure", "value", "sensitivity", "evidence"])
    for path in _acting(plain, setting.family, protocol):
        figure = resolved.figures[path]
        changed = replace(figure, value=figure.value * (1 + STEP))
        other = replace(plain, parameters=Parameters({**resolved.figures, path: changed}))
        gain = _slope(float(here.times(other)[0]), time)
        rows.append((path, float(figure.value), gain, figure.evidence))
    capacity = planned.library.capacity(fabric)
    for number, tier in enumerate(fabric.tiers):
        mine = fabric.tier == number
        values = np.unique(fabric.bandwidth[mine])
        for what in ("bandwidth", "latency"):
            if what == "bandwidth":
                room = np.where(mine, capacity * (1 + STEP), capacity)
                other_features = features_of(planned.schedule, planned.router, planned.nodes, setting, room)
                value = float(values[0]) if values.size == 1 else float("nan")
            else:
                longer = np.where(mine, fabric.latency_ps * (1 + STEP), fabric.latency_ps).astype(np.int64)
                router = Router(replace(fabric, latency_ps=longer, notes={}), planned.router.routing)
                other_features = features_of(planned.schedule, router, planned.nodes, setting, capacity)
                own = np.unique(fabric.latency_ps[mine])
                value = float(own[0]) * 1e-12 if own.size == 1 else float("nan")
            gain = _slope(float(Prediction([(other_features, protocol)]).times(plain)[0]), time)
            rows.append((f"{tier} {what}", value, gain, "machine"))
    table = pd.DataFrame(rows, columns=["figure", "value", "sensitivity", "evidence"])
    if simulated:
        _simulate(table, planned, plain, list(fabric.tiers))
    order = np.argsort(-table["sensitivity"].abs().to_numpy(), kind="stable")
    return table.iloc[order].reset_index(drop=True)


def _simulate(table: pd.DataFrame, planned: Plan, plain: Library, tiers: list[str]) -> None:
    """Put simulated sensitivities in the place of those in lockstep, where they may be the largest."""

    def time(library: Library, fabric: Fabric) -> float:
        router = (
            Router(fabric, planned.router.routing) if fabric is not planned.router.fabric else planned.router
        )
        world = World(fabric, library=library)
        again = replace(planned, library=library, router=router)
        finished = world.run(until=world.start(again, planned.schedule.kind))
        world.close()
        return seconds(finished.at_ps)

    fabric = planned.router.fabric
    now = time(plain, fabric)
    of_tier = {f"{tier} bandwidth": number for number, tier in enumerate(tiers)}
    size = table["sensitivity"].abs()
    felt = size[~table["figure"].str.contains(" ", regex=False)].nlargest(SIMULATED).index
    for row in table.index:
        name = str(table.at[row, "figure"])
        if name in of_tier:
            wider = np.where(fabric.tier == of_tier[name], fabric.bandwidth * (1 + STEP), fabric.bandwidth)
            there = time(plain, replace(fabric, bandwidth=wider, notes={}))
        elif row in felt:
            figure = plain.parameters.figures[name]
            changed = replace(figure, value=figure.value * (1 + STEP))
            figures = Parameters({**plain.parameters.figures, name: changed})
            there = time(replace(plain, parameters=figures), fabric)
        else:
            continue
        table.at[row, "sensitivity"] = _slope(there, now)


def _slope(changed: float, time: float) -> float:
    return math.log(changed / time) / math.log1p(STEP)


def _acting(library: Library, family: str, protocol: str) -> list[str]:
    """Paths of the figures that count for a family and protocol: numbers > 0."""
    found: list[str] = []

    def take(*paths: str) -> None:
        for path in paths:
            figure = library.parameters.figures.get(path)
            if figure is not None:
                if _positive(figure):
                    found.append(path)
                return

    from sim.libraries.parameters import HOP_KEYS, PROTOCOL_KEYS, WAY_KEYS

    for key in PROTOCOL_KEYS:
        take(f"family.{family}.{protocol}.{key}", f"protocol.{protocol}.{key}")
    if not any(path.endswith(f"{protocol}.base") for path in found):
        take("launch")
    for hop in HOPS:
        for key in HOP_KEYS:
            take(f"family.{family}.{protocol}.{hop}.{key}", f"protocol.{protocol}.{hop}.{key}")
        for key in WAY_KEYS:
            take(f"hop.{hop}.{key}")
    return found


def _positive(figure: Figure) -> bool:
    return isinstance(figure.value, float) and 0 < figure.value < float("inf")


def extrapolated(planned: Plan) -> str:
    """In words how far a plan lies outside what its library's figures were fitted over; empty inside.

    A figure that was fitted says over which ranks, hosts and bytes (``range`` in
    the library's TOML).
    """
    fabric = planned.router.fabric
    parameters = planned.library.parameters.on(fabric.attributes)
    plain = replace(planned.library, parameters=parameters)
    have = {
        "ranks": float(planned.nodes.size),
        "hosts": float(planned.request.hosts),
        "bytes": float(planned.schedule.size),
    }
    names = {"ranks": "ranks", "hosts": "hosts", "bytes": "bytes"}
    widest: dict[str, tuple[float, float]] = {}
    for path in _acting(plain, planned.choice.setting.family, planned.choice.protocol):
        for key, (low, high) in parameters.figures[path].range.items():
            before = widest.get(key, (low, high))
            widest[key] = (min(before[0], low), max(before[1], high))
    said = [
        f"{have[key]:,.0f} {names[key]} (fitted over {low:,.0f} to {high:,.0f})"
        for key, (low, high) in widest.items()
        if key in have and not low <= have[key] <= high
    ]
    return "extrapolated: " + ", ".join(said) if said else ""
