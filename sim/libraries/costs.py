"""What a library adds to transfers: one small model for all libraries.

A transfer of m bytes over a kind of hop h, among N hosts of n chips each (n counts
where h is inside, N where it is the network), by a schedule whose lanes stand for the
library's K_h channels:

    k       = max(1, m / (K_h/lanes chunk))                              chunks
    delay   = step_h + post_h + flush_h + shared_h (chips a NIC - 1) + skew_h ln(n or N)
              + (k - 1) chunk_step_h + links - hop.wire_h                but not below 0
    bytes   = (m + k half_h) wire / (efficiency efficiency_h) (1 + congestion_h ln(n or N))
    rate   <= min(cap_h, K_h/lanes channel)                              of payload
    once    = base + spread min(1, bytes/spread_bytes) + bytes/ranks/own_rate
    reduce  = what arrives at the receiver at once / reduce_rate

``links`` is the latency of the path, ``hop.wire_h`` what of it the steps already
hold. Skew: the slowest of N whose delays have exponential tails is expected
ln N means late, and so are the bytes of the slowest of N flows that share a fabric.

Who waits for a delay. The simulation lets a rank go on when its transfers have
arrived (rendezvous). Libraries send ahead, so that

- around a ring the delays of different hops add up and nobody waits for the slowest
  of them again and again: every transfer of a round has their mean (``eager``);
- of C chunks in a pipeline of S stages only the first waits for all its steps, and W
  are on their way at once: every step takes the share (S + (C - 1)/W) / (S + C - 1) of
  its delay (``waited``). Exchanges that are all posted at once are the case S = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from sim.clock import PS_PER_SECOND
from sim.fabric import Fabric
from sim.libraries.hops import hops_of
from sim.libraries.parameters import HOPS, Parameters
from sim.routing import Paths
from sim.schedule import FloatArray, IntArray
from sim.transfers import TransferCosts

__all__ = ["ONE_CHANNEL", "LibraryCosts", "Setting", "Steps"]


#: More lanes than any library has channels.
ONE_CHANNEL = 2**31


@dataclass(frozen=True, slots=True)
class Setting:
    """What of a request the costs of its transfers depend on.

    Attributes
    ----------
    family : str
        Family of the algorithm, as the library's figures name it.
    ranks, hosts : int
        Who takes part.
    lanes : int
        Channels of the schedule, each simulated on its own; `ONE_CHANNEL` where each
        transfer is a single channel's, whatever the library has.
    mean : bool
        Whether the transfers of a round share the mean of their delays.
    waited : (stages, chunks)
        S and C of a pipeline; (1, 1) where every step is waited for.
    sharing : int
        Chips at one NIC.
    """

    family: str = "other"
    ranks: int = 1
    hosts: int = 1
    lanes: int = 1
    mean: bool = False
    waited: tuple[int, int] = (1, 1)
    sharing: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """The figures of one protocol in one setting, by kind of hop, shape (3,).

    `base`, `spread` and `own` are of the time once for the whole collective. Those of several settings may
    stand behind each other (`stacked`): kind of hop h of setting s is 3 s + h.
    """

    base: FloatArray
    spread: FloatArray
    spread_bytes: FloatArray
    own: FloatArray
    mean: npt.NDArray[np.bool_]
    fixed: FloatArray
    chunk_step: FloatArray
    held: FloatArray
    plateau: FloatArray
    plateau_bytes: FloatArray
    chunk: FloatArray
    half: FloatArray
    stretch: FloatArray
    cap: FloatArray
    reduce_rate: FloatArray
    waited: FloatArray

    @classmethod
    def of(cls, parameters: Parameters, protocol: str, setting: Setting) -> Steps:
        """Resolve the figures (already those of the machine, `Parameters.on`)."""

        def own(key: str, hop: str = "") -> float:
            return parameters.own(setting.family, protocol, key, hop)

        def by_hop(key: str) -> FloatArray:
            return np.array([own(key, hop) for hop in HOPS])

        def of_way(key: str) -> FloatArray:
            return np.array([parameters.value(f"hop.{hop}.{key}") for hop in HOPS])

        def alike(value: float) -> FloatArray:
            return np.full(len(HOPS), value)

        inside = max(1.0, setting.ranks / setting.hosts)
        spread = np.log(np.array([inside, inside, setting.hosts], dtype=np.float64))
        channels = np.maximum(1.0, of_way("channels") / setting.lanes)
        sharers = np.array([0.0, 0.0, setting.sharing - 1.0])
        base, stages, chunks = own("base"), *setting.waited
        base = parameters.value("launch") if np.isnan(base) else base
        return cls(
            base=np.array([base + own("base_rank") * setting.ranks]),
            spread=np.array([own("spread")]),
            spread_bytes=np.array([own("spread_bytes")]),
            own=np.array([1 / (own("own_rate") * setting.ranks)]),
            mean=np.array([setting.mean]),
            fixed=by_hop("step") + by_hop("post") + by_hop("flush")
            + of_way("skew") * spread + of_way("shared") * sharers,
            chunk_step=by_hop("chunk_step"),
            held=of_way("wire"),
            plateau=alike(own("plateau") if setting.hosts > 1 else 1.0),
            plateau_bytes=alike(own("plateau_bytes")),
            chunk=own("chunk") * channels,
            half=by_hop("half"),
            stretch=own("wire") / (own("efficiency") * by_hop("efficiency"))
            * (1 + of_way("congestion") * spread),
            cap=np.minimum(own("channel") * channels, by_hop("cap")),
            reduce_rate=alike(own("reduce_rate")),
            waited=alike((stages + (chunks - 1) / own("window")) / (stages + chunks - 1)),
        )  # fmt: skip

    @classmethod
    def stacked(cls, several: Sequence[Steps]) -> Steps:
        """Those of several settings behind each other."""
        return cls(*(np.concatenate([getattr(one, f.name) for one in several]) for f in fields(cls)))

    def once(self, size: FloatArray, setting: IntArray) -> FloatArray:
        """Seconds once for collectives of these bytes, in these settings."""
        with np.errstate(divide="ignore"):
            started = np.minimum(1.0, size / self.spread_bytes[setting])
        return self.base[setting] + self.spread[setting] * started + self.own[setting] * size

    def chunks(self, payload: FloatArray, kind: IntArray) -> FloatArray:
        """Chunks k of each transfer, a number >= 1."""
        return np.maximum(1.0, payload / self.chunk[kind])

    def delay(self, payload: FloatArray, kind: IntArray, links: FloatArray, chunks: FloatArray) -> FloatArray:
        """Seconds before each transfer holds its links, the latency of the links with it."""
        steps = self.fixed[kind] + (chunks - 1.0) * self.chunk_step[kind]
        steps *= np.where(payload >= self.plateau_bytes[kind], self.plateau[kind], 1.0)
        return np.asarray(np.maximum(0.0, steps + links - self.held[kind]) * self.waited[kind])

    def wire_bytes(self, payload: FloatArray, kind: IntArray, chunks: FloatArray) -> FloatArray:
        """Bytes each transfer puts on its links."""
        return (payload + chunks * self.half[kind]) * self.stretch[kind]


@dataclass(frozen=True, slots=True, eq=False)
class LibraryCosts:
    """A library's protocol in one request, as `sim.transfers.Costs`."""

    protocol: str
    steps: Steps
    efficient: bool

    @property
    def separable(self) -> bool:
        """Whether each transfer has its own delay, not the mean of its round."""
        return not self.steps.mean[0]

    def of(self, fabric: Fabric, paths: Paths, payload: FloatArray, reduce: bool) -> TransferCosts:
        """Overheads, rate caps, wire bytes and reductions of m transfers."""
        steps, count = self.steps, payload.size
        kind = hops_of(fabric).kinds(paths)
        chunks = steps.chunks(payload, kind)
        delay = steps.delay(payload, kind, paths.latency_ps / PS_PER_SECOND, chunks)
        if steps.mean[0] and count:
            delay = np.full(count, delay.mean())
        total = np.rint(delay * PS_PER_SECOND).astype(np.int64)
        overhead = np.maximum(0, total - paths.latency_ps)
        wire = steps.wire_bytes(payload, kind, chunks)
        with np.errstate(divide="ignore", invalid="ignore"):
            cap = np.where(payload > 0, steps.cap[kind] * (wire / payload), np.inf)
        took = self.adding_ps(payload) if reduce else np.zeros(count, dtype=np.int64)
        return TransferCosts(overhead, cap, wire, took, np.minimum(paths.latency_ps, total))

    def adding_ps(self, payload: FloatArray) -> IntArray:
        """Picoseconds that a receiver needs to add so many bytes."""
        rate = self.steps.reduce_rate[0]
        if not np.isfinite(rate):
            return np.zeros(payload.size, dtype=np.int64)
        return np.asarray(np.rint(payload / rate * PS_PER_SECOND), dtype=np.int64)

    def capacity(self, fabric: Fabric) -> FloatArray:
        """Bytes/s that payload gets on each link."""
        return fabric.bandwidth * fabric.efficiency if self.efficient else fabric.bandwidth
