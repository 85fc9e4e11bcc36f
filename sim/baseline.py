"""NCCL's published estimate as it stands: the baseline that a simulator has to beat.

The formulas and constants are those of NVIDIA/nccl src/graph/tuning.cc (June
2026, Apache-2.0): a base latency, a latency a step by algorithm, protocol and
kind of link, and the bytes over the planned bus bandwidth. Here the planned
bandwidth is the datasheet's, and the choice the least estimate. It knows rings
and trees; what NCCL has no estimate for, the baseline has none for either.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sim.predict import Point

if TYPE_CHECKING:
    from topologies.description import MachineDescription

__all__ = ["published"]

#: LL, LL128, Simple; microseconds. Base, and a step over NVLink, PCIe and the network.
_BASE = {"tree": (6.8, 14.0, 8.4), "ring": (6.6, 14.0, 8.4)}
_STEP = {
    "nvlink": {"tree": (0.6, 1.25, 4.0), "ring": (0.6, 1.9, 3.4)},
    "pcie": {"tree": (1.0, 1.9, 4.0), "ring": (1.0, 2.5, 5.7)},
    "network": {"tree": (5.0, 8.5, 14.0), "ring": (2.7, 4.0, 14.0)},
}
_PROTOCOLS = ("ll", "ll128", "simple")
#: GB/s, by generation of chip (Volta, Ampere, Hopper, Blackwell) and 1, 2, 4+ nodes.
_LL_MOST = ((39.0, 39.0, 20.4), (87.7, 22.5, 19.0), (141.0, 45.0, 35.0), (282.0, 90.0, 70.0))
#: GB/s a channel.
_LL128_RING = (20.0, 20.0, 36.7, 40.0)
_LL128_TREE = ((20.0, 20.0, 20.0), (20.0, 20.0, 20.0), (36.7, 36.7, 29.0), (55.6, 31.7, 20.0))
_TREE = ((26.5, 18.5, 10.0), (24.0, 23.6, 17.8), (38.7, 41.4, 36.0), (70.0, 42.8, 24.0))
_CHANNELS = (12, 24, 24, 16)
#: Post overhead of a network step, Intel hosts; three times that for Simple.
_POST = 1.0
_PLATEAU = 1.4
_GENERATION = {"V100": 0, "A100": 1, "H100": 2, "H200": 2, "H800": 2, "H20": 2, "B200": 3, "B300": 3, "GB": 3}
_STEPS = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1}


def published(machine: MachineDescription, point: Point) -> float:
    """Seconds that NCCL's published model gives with the machine's datasheet links.

    Returns
    -------
    float
        nan where the model says nothing: another library, another collective, one
        rank, or an algorithm that it does not describe.

    Examples
    --------
    Ring all-reduce of 1 GiB on 8 H100: 2 (p - 1) steps of 3.4 us and 8.4, and the
    bytes at 450 GB/s of bus bandwidth:

    >>> from topologies.machines import describe
    >>> seconds = published(describe("hgx-h100"), Point("all_reduce", 8, 1, 8, 2**30, "Ring", "Simple"))
    >>> round(seconds * 1e6, 1)  # 8.4 + 14 * 3.4 + 2**30 * 1.75 / 450e3
    4231.7
    """
    p, host = point.ranks, machine.host.chips.value
    steps = _STEPS.get(point.collective)
    if machine.library != "nccl" or steps is None or p < 2:
        return math.nan
    nodes = point.nodes or -(-p // host)
    each = p / nodes
    algorithms = [point.algorithm.lower()] if point.algorithm else ["ring", "tree"]
    protocols = [point.protocol.lower()] if point.protocol else list(_PROTOCOLS)
    found = [
        _estimate(machine, point, a, _PROTOCOLS.index(q), nodes, each)
        for a in algorithms
        if a in _BASE and (a == "ring" or point.collective == "all_reduce")
        for q in protocols
        if q in _PROTOCOLS
    ]
    return min(found, default=math.nan) * 1e-6


def _estimate(
    machine: MachineDescription, point: Point, algorithm: str, protocol: int, nodes: int, each: float
) -> float:
    p, steps = point.ranks, _STEPS[point.collective]
    generation = next((g for name, g in _GENERATION.items() if name in machine.chip.name), 2)
    scale = min(nodes, 3) - 1
    inside = _STEP["pcie" if "pcie" in machine.scale_up.link.tier else "nvlink"][algorithm][protocol]
    network = _STEP["network"]["ring" if each > 1 else "tree"][protocol]
    bandwidth, channels = _planned(machine, nodes, each), _CHANNELS[generation]
    if algorithm == "tree":
        latency = _BASE["tree"][protocol] + 2 * (
            (each - 1) * inside + math.log2(nodes) * _STEP["network"]["tree"][protocol]
        )
        bus = min(bandwidth * 0.92, channels * _TREE[generation][scale])
        if protocol == 0:
            bus = min(bus / 3.8, _LL_MOST[generation][scale])
        elif protocol == 1:
            bus = min(bus * (7 / 9 if nodes == 1 else 120 / 128), channels * _LL128_TREE[generation][scale])
        return latency + point.size / (bus / 2 * 1e3)
    bus = bandwidth
    if protocol == 0:
        bus = min(bus / 2, _LL_MOST[generation][scale])
    elif protocol == 1:
        bus = min(bus * 0.92, channels * _LL128_RING[generation])
    between = steps * (nodes - 1)
    if nodes > 1:
        inside = max(inside, _POST * (3 if protocol == 2 else 1))
    latency = _BASE["ring"][protocol] + (steps * (p - 1) - between) * inside + between * network
    if nodes > 1 and protocol == 2 and point.size / (p * channels) >= 64:
        latency *= _PLATEAU
    return latency + point.size * steps * (p - 1) / p / (bus * 1e3)


def _planned(machine: MachineDescription, nodes: int, each: float) -> float:
    """Bus bandwidth by the datasheet, GB/s: a chip's scale-up links, or a host's NICs that its chips use."""
    from topologies.machines import scale_up_rate

    up = scale_up_rate(machine) / 1e9
    if nodes == 1 or machine.nic is None:
        return up
    share = min(1.0, each / machine.host.chips.value) if machine.nic.at == "chip" else 1.0
    out = machine.nic.per_host.value * machine.nic.bandwidth.value / 1e9 * share
    return min(up, out) if each > 1 else out
