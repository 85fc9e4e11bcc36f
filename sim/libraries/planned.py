"""What NCCL plans with: its published cost model, for the choice and for nothing else.

NCCL takes the algorithm and protocol with the least

    latency + bytes / bandwidth,

from a base latency, a latency a step by algorithm, protocol and kind of link, and
the bandwidth that its channels have on the topology it finds. Of n ranks on N
hosts, m = n/N each:

===========  ==================================================================
ring         base + (S - S_N) max(inside, post) + S_N between; S = 2 (n - 1) and
             S_N = 2 (N - 1) for an all-reduce, half of that for reduce-scatter and
             all-gather; with one rank a host the tree's step between; Simple the flush
tree         base + 2 ((m - 1) inside + log2 N between)
nvls         inside (+ between)
nvls_tree    inside + 2 log2 N between
collnet      2 (inside + 0.4 (m - 1)) + between
pat          base + log2 N between / 3.5 + 2.8 us n
===========  ==================================================================

Bandwidths are shares of what the channels have, each with most a channel; medium-size
trees are corrected by a table in powers of two from 64 B. Constants, each with its
source, stand in the library's TOML under ``choice`` (NVIDIA/nccl src/graph/tuning.cc
and src/tuning/cost_model.cc, June 2026, Apache-2.0; RCCL's are of the same form).

Grouped sends have no cost model: LL up to a number of bytes a message, then Simple.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim.fabric import KINDS, Fabric
from sim.libraries.hops import HOST, SCALE_UP, hops_of
from sim.libraries.parameters import HOPS, Parameters
from sim.libraries.request import Request
from sim.schedule import FloatArray, IntArray

__all__ = ["Planned", "planned"]

#: Collectives that NCCL does by grouped sends.
GROUPED = ("all_to_all", "send", "gather", "scatter")

#: From the project's algorithms to the ones NCCL has a model for.
MODELLED = {
    "ring": "ring", "chain": "ring", "tree": "tree", "double_binary_tree": "tree", "nvls": "nvls",
    "nvls_tree": "nvls_tree", "collnet": "collnet", "pat": "pat",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planned:
    """What NCCL knows of the topology.

    Attributes
    ----------
    ranks, hosts : int
    inside : str
        Kind of hop inside a host: ``scale_up`` or ``host``.
    up, out : float
        Bytes/s of a chip inside its host, and of a host's NICs together; infinite
        where there are none.
    near_nics : bool
        Whether the NICs hang off the chips, not off the host.
    """

    ranks: int
    hosts: int
    inside: str
    up: float
    out: float
    near_nics: bool = True

    @property
    def scale(self) -> str:
        """One host, two, or more: how NCCL's tables are indexed."""
        return "one" if self.hosts == 1 else "two" if self.hosts == 2 else "more"

    @property
    def bus(self) -> float:
        """Bytes/s that the channels have together."""
        return self.up if self.hosts == 1 else min(self.up, self.out)


def planned(request: Request, labels: list[str], protocols: list[str]) -> dict[tuple[str, str], float]:
    """Seconds that NCCL expects of each pair that it has a model for, least first.

    Parameters
    ----------
    request : Request
    labels, protocols : list of str
        Candidates, with their names of the library or of the project.

    Returns
    -------
    dict of seconds by (algorithm, protocol)
        Empty where the model has nothing to say of this collective or of these.
    """
    plan, figures = _seen(request), request.parameters
    if request.kind in GROUPED:
        return _grouped(request, labels, protocols)
    kind = "all_reduce" if request.kind == "barrier" else request.kind
    found = {}
    for label in labels:
        model = MODELLED.get(label)
        for protocol in protocols if model is not None else ():
            seconds = expected(figures, plan, kind, model, protocol, request.size)  # type: ignore[arg-type]
            if math.isfinite(seconds):
                found[label, protocol] = seconds
    return {pair: found[pair] for pair in sorted(found, key=lambda pair: (found[pair], pair))}


def expected(figures: Parameters, plan: Planned, kind: str, model: str, protocol: str, size: float) -> float:
    """Seconds that the published model gives; infinite where it is not allowed or not there.

    Parameters
    ----------
    figures : Parameters
        Of the machine (`Parameters.on`).
    plan : Planned
    kind, model, protocol : str
    size : float
        Bytes as nccl-tests counts them.

    Examples
    --------
    Ring all-reduce of 1 GiB on 8 H100 by Simple: 8.4 us + 14 x 3.4 us + 14/8 of the
    bytes at 369 GB/s:

    >>> from sim.libraries import library
    >>> hopper = library("nccl").parameters.on({"generation": "hopper"})
    >>> one = Planned(ranks=8, hosts=1, inside="scale_up", up=369e9, out=float("inf"))
    >>> round(expected(hopper, one, "all_reduce", "ring", "simple", 2.0**30) * 1e6, 1)
    5148.3
    """
    if not _allowed(plan, kind, model, protocol) or not _known(figures, model, protocol):
        return math.inf
    bandwidth = _bandwidth(figures, plan, kind, model, protocol)
    latency = _latency(figures, plan, kind, model, protocol, size)
    if model == "tree":
        table = figures.figures.get(f"choice.correction.{protocol}")
        place = int(math.log2(size / 64)) if size >= 64 else -1
        if table is not None and 0 <= place < len(table.value):
            bandwidth *= table.value[place]
    return latency + size / bandwidth


def _allowed(plan: Planned, kind: str, model: str, protocol: str) -> bool:
    if model in ("tree", "nvls", "nvls_tree", "collnet") and kind != "all_reduce":
        return False
    if protocol == "ll128" and (plan.inside != "scale_up" or (plan.hosts > 1 and not plan.near_nics)):
        return False  # needs NVLink inside, and NICs no farther than a PCIe switch
    if model == "pat":
        return kind in ("reduce_scatter", "all_gather") and plan.ranks == plan.hosts and plan.hosts > 1
    if model == "nvls_tree":
        return plan.hosts > 1
    return True


def _known(figures: Parameters, model: str, protocol: str) -> bool:
    return any(f"choice.step.{hop}.{model}.{protocol}" in figures.figures for hop in HOPS)


def _step(figures: Parameters, hop: str, model: str, protocol: str) -> float:
    return figures.value(f"choice.step.{hop}.{model}.{protocol}")


def _latency(figures: Parameters, plan: Planned, kind: str, model: str, protocol: str, size: float) -> float:
    n, hosts = plan.ranks, plan.hosts
    each, levels = n // hosts, int(math.log2(hosts))
    base = figures.value(f"choice.base.{model}.{protocol}")
    inside = _step(figures, plan.inside, model, protocol)
    between = _step(figures, "network", model, protocol)
    if model == "tree":
        return base + 2 * ((each - 1) * inside + levels * between)
    if model == "nvls":
        return base + inside + (between if hosts > 1 else 0.0)
    if model == "nvls_tree":
        return base + inside + 2 * levels * between
    if model == "collnet":
        return base + 2 * (inside + (each - 1) * figures.value("choice.step_rank.collnet")) + between
    if model == "pat":
        per_rank = n * figures.value("choice.step_rank.pat")
        return base + levels * between / max(1.0, figures.value("choice.log_divide.pat")) + per_rank
    if hosts > 1:
        inside = max(inside, figures.value("choice.post") * (3 if protocol == "simple" else 1))
        if each == 1:
            between = _step(figures, "network", "tree", protocol) or between
        if protocol == "simple":
            between += figures.value("choice.flush")
    steps = {"all_reduce": 2 * (n - 1), "reduce_scatter": n - 1, "all_gather": n - 1}.get(kind, n)
    crossing = {"all_reduce": 2 * (hosts - 1), "reduce_scatter": hosts - 1, "all_gather": hosts - 1}.get(
        kind, hosts if hosts > 1 else 0
    )
    latency = base + (steps - crossing) * inside + crossing * between
    channels = figures.value("choice.channels")
    filled = size / (max(1.0, channels) * n) >= figures.value("choice.plateau_bytes")
    if protocol == "simple" and hosts > 1 and kind == "all_reduce" and filled:
        latency *= max(1.0, figures.value("choice.plateau"))
    return latency


def _bandwidth(figures: Parameters, plan: Planned, kind: str, model: str, protocol: str) -> float:
    """Bytes/s of the collective's size."""

    def limit(which: str) -> float:
        return figures.value(f"choice.{which}.{model}.{protocol}.{plan.scale}") or math.inf

    channels = max(1.0, figures.value("choice.channels"))
    scaled = "one" if plan.hosts == 1 else "more"
    share = (
        figures.value(f"choice.efficiency.{model}.{protocol}.{scaled}")
        or figures.value(f"choice.efficiency.{model}.{protocol}")
        or 1.0
    )
    if model in ("nvls", "nvls_tree"):
        bus = min(plan.up * share, channels * limit("channel"))
        # Of a tree between more than two hosts a NIC takes in two branches.
        out = plan.out / 2 if model == "nvls_tree" and plan.hosts > 2 else plan.out
        bus = bus if plan.hosts == 1 else min(bus, out)
    else:
        bus = min(plan.bus * share, channels * limit("channel"))
    bus = min(bus / max(1.0, figures.value(f"choice.divide.{model}.{protocol}")), limit("most"))
    n = plan.ranks
    ratio = 0.5
    if model in ("ring", "pat"):
        steps = {"all_reduce": 2 * (n - 1), "reduce_scatter": n - 1, "all_gather": n - 1}.get(kind, n)
        ratio = n / steps
    return bus * ratio * max(1.0, figures.value(f"choice.both_ways.{model}"))


def _grouped(request: Request, labels: list[str], protocols: list[str]) -> dict[tuple[str, str], float]:
    """LL for short messages, Simple for long ones; the first candidate, with no seconds to show."""
    each = request.size / (1 if request.kind == "send" else request.ranks)
    most = request.parameters.value("choice.grouped_bytes")
    wanted = "ll" if each <= most and "ll" in protocols else "simple"
    return {(labels[0], wanted): 0.0} if wanted in protocols else {}


def _seen(request: Request) -> Planned:
    """What NCCL finds of the ranks' topology; kept with the fabric."""
    notes, key = request.router.fabric.notes, ("seen", request.nodes.tobytes(), request.library.efficient)
    if key not in notes:
        notes[key] = _found(request)
    return notes[key]  # type: ignore[no-any-return]


def _found(request: Request) -> Planned:
    fabric, nodes = request.router.fabric, request.nodes
    share = fabric.bandwidth * (fabric.efficiency if request.library.efficient else 1.0)
    taking = np.zeros(len(fabric.nodes), dtype=np.bool_)
    taking[nodes] = True
    nic, host = KINDS.index("nic"), KINDS.index("host")
    first = int(nodes[0])
    leaving = fabric.tail == first
    inward = (
        leaving & (fabric.kind[fabric.head] != nic) & ((fabric.kind[fabric.head] != 0) | taking[fabric.head])
    )
    own = inward & (fabric.kind[fabric.head] != host)
    up = float(share[own if own.any() else inward].sum()) or math.inf
    kind = HOPS[SCALE_UP]
    if own.any():
        kind = HOPS[HOST] if hops_of(fabric).over_bus[own].all() else kind
    elif inward.any():
        kind = HOPS[HOST]
    if request.ranks == request.hosts and request.hosts > 1:
        up = math.inf
    out, near = _nics(fabric, nodes, share)
    return Planned(request.ranks, request.hosts, kind, up, out, near)


def _nics(fabric: Fabric, nodes: IntArray, share: FloatArray) -> tuple[float, bool]:
    """Bytes/s of the NICs that the first host's ranks use, and whether they hang off the chips."""
    nic, host = KINDS.index("nic"), KINDS.index("host")
    place = fabric.domain if (fabric.domain[nodes] >= 0).all() else fabric.host
    if (place[nodes] < 0).any():
        return math.inf, True
    mine = np.zeros(len(fabric.nodes), dtype=np.bool_)
    mine[nodes[place[nodes] == place[nodes[0]]]] = True
    at_chip = mine[fabric.tail] & (fabric.kind[fabric.head] == nic)
    near = bool(at_chip.any())
    if near:
        cards = np.unique(fabric.head[at_chip])
    else:
        bus = np.unique(fabric.head[mine[fabric.tail] & (fabric.kind[fabric.head] == host)])
        from_bus = np.isin(fabric.tail, bus) & (fabric.kind[fabric.head] == nic)
        cards = np.unique(fabric.head[from_bus])
    if not cards.size:
        return math.inf, True
    outward = np.isin(fabric.tail, cards) & (fabric.kind[fabric.head] == KINDS.index("switch"))
    inner = np.isin(fabric.head, cards) & (mine[fabric.tail] | (fabric.kind[fabric.tail] == host))
    return float(min(share[outward].sum(), share[inner].sum())), near
