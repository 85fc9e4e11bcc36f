"""What a run gives back: the time, where it went, and what would have been possible."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.bounds import bus_factor
from sim.clock import PS_PER_SECOND
from sim.explain import Section, explain
from sim.fabric import Fabric
from sim.network.job import CAUSES, Cost, Finished
from sim.plan import Plan
from sim.schedule import FloatArray
from sim.world import link_table
from topologies import units
from topologies.html_table import html_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Run"]

#: Links shown by `explain`.
HOTTEST = 5


@dataclass(frozen=True, eq=False)
class Run:
    """One simulated collective.

    Attributes
    ----------
    kind, algorithm, protocol, library : str
        What was run.
    ranks : int
    size : float
        Bytes, as nccl-tests counts them.
    time : float
        Seconds from the call to the last rank's end.
    lower_bound : float
        Seconds that no algorithm can beat on this fabric.
    cost : Cost
        Events, transfers, solves, rounds, and rounds jumped over.
    rerun : callable
        What `again` calls.
    """

    fabric: Fabric
    plan: Plan
    network: str
    finished: Finished
    carried: FloatArray
    time: float
    lower_bound: float
    cost: Cost
    rerun: Callable[..., Run] = field(repr=False)

    @property
    def kind(self) -> str:
        """The collective."""
        return self.plan.schedule.kind

    @property
    def algorithm(self) -> str:
        """The algorithm's name."""
        return self.plan.schedule.algorithm

    @property
    def protocol(self) -> str:
        """The protocol's name."""
        return self.plan.choice.protocol

    @property
    def library(self) -> str:
        """The library's name."""
        return self.plan.library.name

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        return self.plan.schedule.ranks

    @property
    def size(self) -> float:
        """Bytes, as nccl-tests counts them."""
        return self.plan.schedule.size

    @property
    def algbw(self) -> float:
        """Size over time, bytes/s; 0 where no time passes, as for one rank alone: nothing moves."""
        return self.size / self.time if self.time > 0 else 0.0

    @property
    def busbw(self) -> float:
        """Bus bandwidth, bytes/s: ``algbw`` times nccl-tests' factor; 0 for one rank alone."""
        return self.algbw * (bus_factor(self.kind, self.ranks) if self.kind != "barrier" else 0.0)

    @property
    def efficiency(self) -> float:
        """Lower bound over time, 0 to 1."""
        return self.lower_bound / self.time if self.time > 0 else 1.0

    @cached_property
    def breakdown(self) -> dict[str, float]:
        """Seconds by cause along the critical path of the last rank; they add up to `time`.

        ``overhead`` (launch, protocol, reduction), ``latency`` (links),
        ``serialisation:TIER`` (bytes over the narrowest link of an undisturbed
        path), ``serialisation:protocol`` (a protocol's own rate), ``contention``
        (beyond that) and ``waiting`` (nobody moved for it).
        """
        account = self.finished.account / PS_PER_SECOND
        by = dict(zip(CAUSES, account.tolist(), strict=False))
        parts = {"overhead": by["overhead"] + self.plan.launch, "latency": by["latency"]}
        for tier, value in zip(self.fabric.tiers, account[len(CAUSES) :].tolist(), strict=True):
            if value:
                parts[f"serialisation:{tier}"] = value
        if by["capped"]:
            parts["serialisation:protocol"] = by["capped"]
        parts["contention"] = by["contention"]
        parts["waiting"] = max(0.0, self.time - sum(parts.values()))
        if parts["waiting"] < 1e-12:
            parts["waiting"] = 0.0
        return parts

    @property
    def bounded_by(self) -> str:
        """The largest share of `breakdown`, in a word or two."""
        if self.ranks == 1:
            return "nothing"
        return max(self.breakdown, key=lambda cause: self.breakdown[cause])

    @cached_property
    def links(self) -> pd.DataFrame:
        """Columns tail, head, tier, bandwidth (bytes/s), bytes, utilisation (0 to 1)."""
        return link_table(self.fabric, self.carried, self.time)

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """The schedule: columns label, repeat, transfers, bytes (of one repetition), reduce."""
        import pandas as pd

        rows = [
            (r.label, r.repeat, r.src.size, float(r.bytes.sum()), r.reduce)
            for r in self.plan.schedule.rounds()
        ]
        return pd.DataFrame(rows, columns=["label", "repeat", "transfers", "bytes", "reduce"])

    @cached_property
    def utilisation(self) -> FloatArray:
        """Share of each link's bandwidth that was used over the whole run, shape (links,), 0 to 1."""
        if self.time <= 0:
            return np.zeros(self.fabric.links)
        return np.asarray(self.carried / (self.fabric.bandwidth * self.time), dtype=np.float64)

    def hottest(self, count: int = HOTTEST) -> list[tuple[str, str, float]]:
        """The busiest links: (link, tier, utilisation), busiest first."""
        f, used = self.fabric, self.utilisation
        return [
            (f"{f.nodes[f.tail[l]]} -> {f.nodes[f.head[l]]}", f.tiers[f.tier[l]], float(used[l]))
            for l in np.argsort(-used, kind="stable")[:count]
            if used[l] > 0
        ]

    def again(self, **changes: Any) -> Run:
        """The same request once more, with something changed.

        Parameters
        ----------
        **changes
            Arguments of `sim.collective` (``size``, ``algorithm``, ``network``, ...),
            ``options`` (a dict) for the algorithm's own, and ``fabric`` for the graph.

        Examples
        --------
        >>> import sim, topologies
        >>> run = sim.all_reduce(topologies.switch(4, bandwidth="50 GB/s", latency="1 us"), "1 MiB")
        >>> run.again(size="2 MiB").time > run.time
        True
        """
        return self.rerun(**changes)

    def explanation(self, *, rerun: bool | None = None, best: bool = False) -> list[Section]:
        """What bounded the time, section by section; see `explain`."""
        return explain(self, rerun=rerun, best=best)

    def explain(self, *, rerun: bool | None = None, best: bool = False) -> str:
        """What bounded the time, in words and figures.

        Parameters
        ----------
        rerun : bool, optional
            Whether to run again for two of the answers: how much was contention, and
            which single change of the links would help most. By default where one
            such run moves at most `sim.explain.CHEAP` transfers one by one.
        best : bool
            Whether to run everything the library could have chosen as well, and say
            what the fastest would have given.
        """
        return "\n".join(str(section) for section in self.explanation(rerun=rerun, best=best))

    def to_dict(self) -> dict[str, Any]:
        """The run as plain numbers and text, fit for JSON: every number is finite."""
        return {
            "machine": self.fabric.name,
            "chips": self.fabric.ranks,
            "collective": self.kind,
            "ranks": self.ranks,
            "size": self.size,
            "algorithm": self.algorithm,
            "protocol": self.protocol,
            "library": self.library,
            "network": self.network,
            "time": self.time,
            "algbw": self.algbw,
            "busbw": self.busbw,
            "lower_bound": self.lower_bound,
            "efficiency": self.efficiency,
            "bounded_by": self.bounded_by,
            "breakdown": self.breakdown,
            "events": self.cost.events,
            "transfers": self.cost.transfers,
            "solves": self.cost.solves,
            "rounds": self.cost.rounds,
            "rounds_jumped": self.cost.jumped,
        }

    def __repr__(self) -> str:
        return (
            f"<Run {self.kind} of {units.format_size(self.size)} on {self.fabric.name}, {self.ranks} ranks, "
            f"{self.algorithm}: {units.format_time(self.time)}, {units.format_bandwidth(self.busbw)}>"
        )

    def _repr_html_(self) -> str:
        rows = [
            (cause, units.format_time(spent), f"{100 * spent / self.time if self.time else 0:.1f} %")
            for cause, spent in self.breakdown.items()
            if spent > 0
        ]
        return (
            f"<b>{html.escape(self.kind)}</b> of {units.format_size(self.size)} by {self.ranks} chips of "
            f"{html.escape(self.fabric.name)}<br>{html.escape(self.algorithm)}, {html.escape(self.protocol)} "
            f"({html.escape(self.library)}): <b>{units.format_time(self.time)}</b>, bus bandwidth "
            f"<b>{units.format_bandwidth(self.busbw)}</b>, "
            f"{100 * self.efficiency:.0f} % of the lower bound's speed"
            f"{html_table(('critical path', 'time', 'share'), rows)}"
        )
