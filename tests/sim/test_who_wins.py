"""Who wins where is as the literature says.

Trees at small messages, rings at large ones, the crossover moving with p (Thakur,
Rabenseifner and Gropp 2005; Sanders, Speck and Träff 2009; NCCL's tuning);
levels beat flat algorithms where tiers differ (HCCL's stages; Graham and Shipman
2008); reduction in the network passes the bound of rings (Klenk et al. 2020).
All without software costs: what differs is the algorithm alone.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import networkx as nx
import numpy as np
import pytest

import sim
import topologies

LINK = {"bandwidth": 50e9, "latency": 1e-6}
SIZES = [2.0**power for power in range(8, 35)]


@cache
def star(p: int) -> sim.Fabric:
    return sim.compile_fabric(topologies.switch(p, **LINK))


def time(fabric: Any, kind: str, size: float, algorithm: str, **options: Any) -> float:
    return sim.collective(kind, fabric, size, algorithm=algorithm, library="ideal", **options).time


def crossover(fabric: Any, kind: str, small: str, large: str) -> float:
    """The first size at which the second algorithm wins; it must win all above and none below."""
    wins = [time(fabric, kind, size, large) < time(fabric, kind, size, small) for size in SIZES]
    first = wins.index(True)
    assert not any(wins[:first])
    assert all(wins[first:])
    return SIZES[first]


@pytest.mark.parametrize(
    ("kind", "small", "large"),
    [
        ("all_reduce", "double_binary_tree", "ring"),
        ("all_reduce", "recursive_doubling", "ring"),
        ("all_reduce", "recursive_doubling", "halving_doubling"),
        ("broadcast", "binomial", "scatter_all_gather"),
        ("reduce", "binomial", "reduce_scatter_gather"),
        ("all_to_all", "bruck", "pairwise"),
    ],
)
def test_few_steps_win_small_messages_and_few_bytes_large_ones(kind: str, small: str, large: str) -> None:
    """One crossover; with more ranks it is at a larger message, as steps grow and bytes do not."""
    at = [crossover(star(p), kind, small, large) for p in (8, 32, 128)]
    if large == "halving_doubling":  # both take some log p steps: n beta log p against alpha log p
        assert max(at) <= 4 * min(at)
    else:
        assert at == sorted(at)
        assert at[2] >= 4 * at[0]


def test_the_crossover_of_doubling_and_ring_is_that_of_their_formulas() -> None:
    """log2 p (a + n b) = 2 (p-1) a + 2 (p-1)/p n b, solved for n, on a star of 64."""
    p, a, b = 64, 2e-6, 1 / 50e9
    n = (2 * (p - 1) - 6) * a / ((6 - 2 * (p - 1) / p) * b)
    for size, better, worse in (
        (0.99 * n, "recursive_doubling", "ring"),
        (1.01 * n, "ring", "recursive_doubling"),
    ):
        assert time(star(p), "all_reduce", size, better) < time(star(p), "all_reduce", size, worse)


@cache
def hosts(ratio: float) -> sim.Fabric:
    """Four hosts of eight chips on a switch each, links inside ``ratio`` times as fast as a chip's NIC."""
    graph: nx.Graph[Any] = nx.Graph(name="four hosts", routing="up_down")
    graph.add_node("spine", kind="switch", level=2)
    for host in range(4):
        graph.add_node(("inside", host), kind="switch", level=1, domain=host)
        for chip in range(8 * host, 8 * host + 8):
            graph.add_node(chip, kind="chip", host=host, domain=host, level=0)
            graph.add_edge(chip, ("inside", host), bandwidth=ratio * 25e9, latency=0.5e-6, tier="up")
            graph.add_edge(chip, "spine", bandwidth=25e9, latency=2e-6, tier="out")
    graph.graph.update(routing="shortest")
    return sim.compile_fabric(graph)


FLAT = [
    "ring",
    "bidirectional_ring",
    "double_binary_tree",
    "recursive_doubling",
    "halving_doubling",
    "nhr",
    "nb",
    "pat",
]


@pytest.mark.parametrize("size", [2.0**20, 2.0**24, 2.0**28])
def test_levels_beat_flat_algorithms_where_tiers_differ_by_eight(size: float) -> None:
    """By levels each NIC carries 1/8 of the data; in one channel nothing flat is as sparing."""
    levels = time(hosts(8), "all_reduce", size, "hierarchical:mesh/nhr")
    for flat in FLAT:
        assert levels < time(hosts(8), "all_reduce", size, flat), flat


def test_levels_gain_less_the_less_tiers_differ() -> None:
    gains = [
        time(hosts(ratio), "all_reduce", 2.0**28, "ring")
        / time(hosts(ratio), "all_reduce", 2.0**28, "hierarchical:ring/ring")
        for ratio in (1, 2, 4, 8)
    ]
    assert gains == sorted(gains)
    assert gains[3] > 2 * gains[0]


def test_rings_in_as_many_channels_as_nics_catch_up_at_large_messages_only() -> None:
    """Eight channels move as little over each NIC as levels do, in 62 steps instead of 6."""
    rings, levels = (
        np.array([time(hosts(8), "all_reduce", size, name, **more) for size in (2.0**18, 2.0**32)])
        for name, more in (("ring", {"channels": "auto"}), ("hierarchical:mesh/nhr", {}))
    )
    assert levels[0] < rings[0] / 3
    assert rings[1] < levels[1]


def test_in_either_order_parts_by_levels_arrive_and_the_nearer_first_is_the_faster_sum() -> None:
    """Reduce-scatter inside first brings 1/8 of the bytes to other hosts that it brings between first."""
    for kind, near, far in (("reduce_scatter", "inside", "between"), ("all_gather", "between", "inside")):
        good, bad = (time(hosts(8), kind, 2.0**28, "hierarchical", first=first) for first in (near, far))
        assert good < bad / 2


def test_the_network_reduces_faster_than_any_ring_can() -> None:
    """NVLS on an HGX H100: busbw above the link's 450 GB/s, the bound of what chips alone can do."""
    h100 = sim.compile_fabric(topologies.machine("hgx-h100", chips=8))
    rate = float(
        h100.bandwidth[h100.tier == h100.tier[h100.out_link[h100.out_start[h100.rank_nodes[0]]]]].max()
    )
    ring, nvls = (
        sim.all_reduce(h100, 2.0**32, algorithm=name, library="ideal").busbw for name in ("ring", "nvls")
    )
    assert ring <= rate < nvls
    assert nvls <= 2 * 7 / 8 * rate * (1 + 1e-9)


@pytest.mark.parametrize("inner", [("mesh", "nhr"), ("ring", "ring")])
def test_pieces_hide_one_tier_behind_the_other(inner: tuple[str, str]) -> None:
    """While a piece is between the hosts the next is inside: faster, but never than the slower tier alone."""
    label = f"hierarchical:{inner[0]}/{inner[1]}"
    plain = time(hosts(2), "all_reduce", 2.0**30, label)
    flowing = time(hosts(2), "all_reduce", 2.0**30, label, pipeline=8)
    assert flowing < 0.95 * plain
    assert flowing > 2 * 3 / 4 * 2.0**30 / 8 / 25e9  # 2 (H-1)/H n/g over a NIC
