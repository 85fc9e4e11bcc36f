"""What a library adds to transfers: one small model for all libraries.

A transfer of m bytes over a kind of hop h, among N hosts of n chips each (n counts
where h is inside, N where it is the network), by a schedule whose lanes stand for the
library's K_h channels:

    k       = max(1, m / (K_h/lanes chunk))                              chunks
    delay   = step_h + post_h + flush_h + shared_h (chips a NIC - 1) + skew_h ln(n or N)
              + (k - 1) chunk_step_h + links - hop.wire_h                but not below 0
              + short_h below short_bytes_h, + rendezvous_h above rendezvous_bytes_h
    bytes   = (m + k half_h) wire / (efficiency efficiency_h) (1 + congestion_h ln(n or N))
    rate   <= min(cap_h, K_h/lanes channel)                              of payload
    once    = base + spread min(1, bytes/spread_bytes) + own bytes/own_rate + bytes/issue_rate
              + filling
    filling = F bytes/(F + bytes)/fill_rate,  F = ranks fill
    reduce  = what arrives at the receiver at once / reduce_rate

``links`` is the latency of the path, ``hop.wire_h`` what of it the steps already
hold. Skew: the slowest of N whose delays have exponential tails is expected
ln N means late, and so are the bytes of the slowest of N flows that share a fabric.

Who waits for a delay. The simulation lets a rank go on when its transfers have
arrived (rendezvous). Libraries send ahead, so that

- around a ring the delays of different hops add up and nobody waits for the slowest
  of them again and again: every transfer of a round has their mean (``eager``); and what
  a rank got of a chunk, cut in ``slices``, it sends on while the rest is on the wire, so
  that a round takes about max(moving, delay + moving/slices), not the sum (`hidden`);
- of C chunks in a pipeline of S stages only the first waits for all its steps, and W
  are on their way at once: every step takes the share (S + (C - 1)/W) / (S + C - 1) of
  its delay (``waited``). Exchanges that are all posted at once are the case S = 1;
- what reduces first and hands out then (NVLS), or has a buffer for every peer, is full
  only after F bytes: small messages pay for both ways in turn, large ones for F alone.
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

__all__ = ["ONE_CHANNEL", "LibraryCosts", "Setting", "Steps", "hidden"]


#: More lanes than any library has channels.
ONE_CHANNEL = 2**31


#: Transfers from which on it is worth while to ask which of them cost the same.
WORTHWHILE = 512

#: All of them, or some.
Which = IntArray | slice

#: How sharply the time of a round goes over from the delay to the moving.
SHARPNESS = 4.0


def hidden(delay: FloatArray, moving: FloatArray) -> FloatArray:
    """Seconds of a delay that pass while bytes move: the smaller of the two, softly.

    Hops and channels differ, so that nothing changes at once.

    Examples
    --------
    >>> hidden(np.array([1.0, 1.0, 1.0]), np.array([0.0, 1.0, 100.0])).round(3).tolist()
    [0.0, 0.841, 1.0]
    """
    most = np.maximum(delay, moving)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(most > 0, np.minimum(delay, moving) / most, 0.0)
    return np.asarray(most * ratio / (1.0 + ratio**SHARPNESS) ** (1.0 / SHARPNESS))


def _above(size: FloatArray, bound: FloatArray) -> FloatArray:
    """How far a message is above a bound, 0 to 1: buffers hold more than the payload, nothing is sharp."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(bound > 0, (size / bound) ** SHARPNESS, np.inf)
        return np.asarray(1.0 - 1.0 / (1.0 + ratio))


def _classes(kind: IntArray, latency_ps: IntArray, payload: FloatArray) -> tuple[Which, Which]:
    """Class of each transfer, and a transfer of each class: those of a class cost the same.

    There are a handful, and some 50 operations on each.
    """
    if payload.size >= WORTHWHILE:
        # Kernels are imported where they are used: numba takes a third of a second.
        from sim.numbering import firsts, told_apart

        which = np.zeros(payload.size, dtype=np.int64)
        for values in (kind, latency_ps, payload):
            if (values != values[0]).any():
                which = told_apart(which, values)
        first = firsts(which)
        if 4 * first.size <= payload.size:
            return which, first
    return slice(None), slice(None)


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
    own : bool
        Whether each rank has a part of its own to move (not where all is the root's).
    """

    family: str = "other"
    ranks: int = 1
    hosts: int = 1
    lanes: int = 1
    mean: bool = False
    waited: tuple[int, int] = (1, 1)
    sharing: int = 1
    own: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """The figures of one protocol in one setting, by kind of hop, shape (3,).

    `base`, `spread`, `own` (seconds a byte) and `fill` are of the time once for the whole
    collective. Those of several settings may stand behind each other (`stacked`): kind of
    hop h of setting s is 3 s + h.
    """

    base: FloatArray
    spread: FloatArray
    spread_bytes: FloatArray
    own: FloatArray
    fill: FloatArray
    fill_rate: FloatArray
    mean: npt.NDArray[np.bool_]
    behind: FloatArray
    fixed: FloatArray
    chunk_step: FloatArray
    short: FloatArray
    short_bytes: FloatArray
    rendezvous: FloatArray
    rendezvous_bytes: FloatArray
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
        window = np.where(np.isnan(by_hop("window")), own("window"), by_hop("window"))
        base = parameters.value("launch") if np.isnan(base) else base
        return cls(
            base=np.array([base + own("base_rank") * setting.ranks]),
            spread=np.array([own("spread")]),
            spread_bytes=np.array([own("spread_bytes")]),
            own=np.array([setting.own / (own("own_rate") * setting.ranks) + 1 / own("issue_rate")]),
            fill=np.array([own("fill") * setting.ranks]),
            fill_rate=np.array([own("fill_rate")]),
            mean=np.array([setting.mean]),
            behind=(1 - 1 / np.maximum(1.0, by_hop("slices"))) * setting.mean,
            fixed=by_hop("step") + by_hop("post") + by_hop("flush")
            + of_way("skew") * spread + of_way("shared") * sharers,
            chunk_step=by_hop("chunk_step"),
            short=by_hop("short"),
            short_bytes=by_hop("short_bytes"),
            rendezvous=by_hop("rendezvous"),
            rendezvous_bytes=by_hop("rendezvous_bytes"),
            held=of_way("wire"),
            plateau=alike(own("plateau") if setting.hosts > 1 else 1.0),
            plateau_bytes=alike(own("plateau_bytes")),
            chunk=own("chunk") * channels,
            half=by_hop("half"),
            stretch=own("wire") / (own("efficiency") * by_hop("efficiency"))
            * (1 + of_way("congestion") * spread),
            cap=np.minimum(own("channel") * channels, by_hop("cap")),
            reduce_rate=alike(own("reduce_rate")),
            waited=(stages + (chunks - 1) / window)
            / (stages + chunks - 1),
        )  # fmt: skip

    @classmethod
    def stacked(cls, several: Sequence[Steps]) -> Steps:
        """Those of several settings behind each other."""
        return cls(*(np.concatenate([getattr(one, f.name) for one in several]) for f in fields(cls)))

    def once(self, size: FloatArray, setting: IntArray) -> FloatArray:
        """Seconds once for collectives of these bytes, in these settings."""
        fill = self.fill[setting]
        with np.errstate(divide="ignore", invalid="ignore"):
            started = np.minimum(1.0, size / self.spread_bytes[setting])
            filled = np.where(fill > 0, fill * size / (fill + size), 0.0) / self.fill_rate[setting]
        return np.asarray(
            self.base[setting] + self.spread[setting] * started + self.own[setting] * size + filled
        )

    def chunks(self, payload: FloatArray, kind: IntArray) -> FloatArray:
        """Chunks k of each transfer, a number >= 1."""
        return np.maximum(1.0, payload / self.chunk[kind])

    def delay(self, payload: FloatArray, kind: IntArray, links: FloatArray, chunks: FloatArray) -> FloatArray:
        """Seconds before each transfer holds its links, the latency of the links with it."""
        steps = self.fixed[kind] + (chunks - 1.0) * self.chunk_step[kind]
        steps *= np.where(payload >= self.plateau_bytes[kind], self.plateau[kind], 1.0)
        one = payload / chunks
        # Many libraries know neither kind of message, and powers are dear.
        if self.rendezvous.any():
            steps += self.rendezvous[kind] * _above(one, self.rendezvous_bytes[kind])
        waited = np.maximum(0.0, steps + links - self.held[kind]) * self.waited[kind]
        if self.short.any():
            waited += self.short[kind] * (1 - _above(one, self.short_bytes[kind]))
        return np.asarray(waited)

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
        which, first = _classes(kind, paths.latency_ps, payload)
        k, m = kind[first], payload[first]
        chunks = steps.chunks(m, k)
        delay = steps.delay(m, k, paths.latency_ps[first] / PS_PER_SECOND, chunks)[which]
        each_wire = steps.wire_bytes(m, k, chunks)
        with np.errstate(divide="ignore", invalid="ignore"):
            cap = np.where(m > 0, steps.cap[k] * (each_wire / m), np.inf)[which]
        wire = each_wire[which]
        if steps.mean[0] and count:
            each = float(delay.mean())
            behind = steps.behind[kind.max()]
            if behind > 0:
                moving = self._moving(fabric, paths, payload, kind, wire)
                each -= float(hidden(np.array([each]), np.array([behind * moving]))[0])
            delay = np.full(count, each)
        total = np.rint(delay * PS_PER_SECOND).astype(np.int64)
        overhead = np.maximum(0, total - paths.latency_ps)
        took = self.adding_ps(payload) if reduce else np.zeros(count, dtype=np.int64)
        return TransferCosts(overhead, cap, wire, took, np.minimum(paths.latency_ps, total))

    def adding_ps(self, payload: FloatArray) -> IntArray:
        """Picoseconds that a receiver needs to add so many bytes."""
        rate = self.steps.reduce_rate[0]
        if not np.isfinite(rate):
            return np.zeros(payload.size, dtype=np.int64)
        return np.asarray(np.rint(payload / rate * PS_PER_SECOND), dtype=np.int64)

    def _moving(
        self, fabric: Fabric, paths: Paths, payload: FloatArray, kind: IntArray, wire: FloatArray
    ) -> float:
        """Seconds that the round's busiest link, or its slowest channel, moves bytes."""
        with np.errstate(divide="ignore", invalid="ignore"):
            slowest = float(np.where(payload > 0, payload / self.steps.cap[kind], 0.0).max())
            weight = paths.weight * np.repeat(wire, paths.lengths) / self.capacity(fabric)[paths.link]
        busiest = float(np.bincount(paths.link, weights=weight).max()) if weight.size else 0.0
        return max(slowest, busiest)

    def capacity(self, fabric: Fabric) -> FloatArray:
        """Bytes/s that payload gets on each link."""
        return fabric.bandwidth * fabric.efficiency if self.efficient else fabric.bandwidth
