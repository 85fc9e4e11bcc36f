"""The catalogue against its sources, and every machine against the graph contract.

Expectations are derived by hand from what the sources state (docs/machines.md);
each test says how.
"""

from __future__ import annotations

import itertools
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import topologies
from topologies.machines import ESTIMATES, describe, machine, names
from topologies.scale_out import plan_clos

CATALOG = Path(topologies.__file__).parent / "catalog"
NAMES = names()
GB = 1e9
WANTED = {
    "dgx-v100",
    "hgx-a100",
    "hgx-h100",
    "hgx-h200",
    "hgx-h800",
    "hgx-h20",
    "hgx-b200",
    "gb200-nvl72",
    "mi250x",
    "mi300x",
    "mi355x",
    "gaudi3",
    "tpu-v4",
    "tpu-v5p",
    "polaris",
    "marenostrum5",
    "atlas-800",
    "atlas-800t-a2",
    "cloudmatrix384",
    "atlas-950",
    "atlas-950-8192",
    "metax-c500",
    "mlu370-x8",
    "mtt-s5000",
    "biren-br100",
    "zhenwu-810e",
    "longcat-pod",
}


def out(graph: nx.Graph[Any], node: object, tier: str | None = None) -> float:
    """Bytes/s that leave a node, over links of a tier or over all."""
    return sum(a["bandwidth"] for a in graph.adj[node].values() if tier in (None, a["tier"]))


def latency(graph: nx.Graph[Any], *path: object) -> float:
    return sum(float(graph.edges[a, b]["latency"]) for a, b in itertools.pairwise(path))


def tables(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table of a TOML file that has a value."""
    for key, child in part.items():
        if isinstance(child, dict):
            if "value" in child:
                yield f"{path}{key}", child
            else:
                yield from tables(child, f"{path}{key}.")


def sizes(name: str) -> list[int]:
    """Small, odd, one host, one domain, a domain and a bit, 1,024, as far as the machine allows."""
    d = describe(name)
    host, domain, most = d.host.chips.value, d.scale_up.chips.value, d.limits.chips.value
    if d.scale_up.shape == "torus":
        return [1, 2, 8, host, 64, min(1024, most)]
    return [n for n in sorted({1, 2, 8, host, 2 * host + 3, domain, domain + 5, 1024}) if n <= most]


def test_all_wanted_machines_are_there() -> None:
    assert set(NAMES) >= WANTED


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_file_is_a_figure_with_evidence_and_source(name: str) -> None:
    content = tomllib.loads((CATALOG / f"{name}.toml").read_text(encoding="utf-8"))
    assert content["name"] == name
    found = dict(tables(content))
    for path, figure in found.items():
        assert figure["evidence"] in ("measured", "vendor", "derived", "assumed"), path
        assert len(figure["source"]) > 3, path
        assert figure["evidence"] != "assumed" or {"low", "high"} <= set(figure), path
    # What is not a figure is text or a flag: no bare number anywhere.
    stack: list[Any] = [content]
    while stack:
        for child in stack.pop().values():
            if isinstance(child, dict):
                stack += [] if "value" in child else [child]
            elif isinstance(child, list):
                assert all(isinstance(name, str) for name in child)
            else:
                assert isinstance(child, (str, bool))
    assert set(found) == {path for path, _ in describe(name).figures()}


@pytest.mark.parametrize("name", NAMES)
def test_every_size_keeps_the_graph_contract(name: str) -> None:
    for chips in sizes(name):
        graph = machine(name, chips)
        assert topologies.faults(graph) == []
        assert topologies.chips(graph) == list(range(chips))
        assert graph.graph["machine"] == name
        loose = [n for n in graph if graph.degree(n) == 0]
        assert loose == ([0] if chips == 1 and len(graph) == 1 else []), chips
    with_nics = machine(name, 2, scale_out=True)
    assert topologies.faults(with_nics) == []


@pytest.mark.parametrize("name", NAMES)
def test_low_is_slower_and_high_is_faster(name: str) -> None:
    """On every link that the three graphs share, and strictly somewhere, as no machine is all hard fact."""
    d = describe(name)
    chips = 64 if d.scale_up.shape == "torus" else min(d.limits.chips.value, d.scale_up.chips.value + 9)
    low, nominal, high = (machine(name, chips, estimate=e) for e in ESTIMATES)
    assert all(topologies.faults(g) == [] for g in (low, high))
    spread = False
    for tail, head, middle in nominal.edges(data=True):
        if low.has_edge(tail, head) and high.has_edge(tail, head):
            slow, fast = low.edges[tail, head], high.edges[tail, head]
            assert slow["bandwidth"] <= middle["bandwidth"] <= fast["bandwidth"]
            assert slow["latency"] >= middle["latency"] >= fast["latency"]
            spread |= slow["latency"] > fast["latency"]
    assert spread


@pytest.mark.parametrize("name", NAMES)
def test_the_fabric_serves_the_limit_at_every_estimate(name: str) -> None:
    """Also where the soft end has fewer ports or more NICs."""
    d = describe(name)
    if d.nic is None or d.scale_out is None:
        return
    hosts = -(-d.limits.chips.value // d.host.chips.value)
    for estimate in ESTIMATES:
        cards = d.nic.per_host.at(estimate)
        if d.scale_out.shape == "clos":
            plan = plan_clos(d, [hosts] * cards if d.scale_out.rails else [hosts * cards], estimate)
            assert plan.per_leaf * (1 + 1 / plan.ratio) <= plan.radix + 1e-9
        else:
            fly = d.scale_out
            assert (
                hosts * cards
                <= fly.groups.value * fly.switches_per_group.value * fly.endpoints_per_switch.value
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hgx-h100", "cloudmatrix384", "mi250x"])
def test_16384_chips(name: str) -> None:
    graph = machine(name, 16384)
    topologies.check(graph)
    assert len(topologies.chips(graph)) == 16384


def test_dgx_v100_hybrid_cube_mesh() -> None:
    """Six links of 25 GB/s a GPU; pairs as in msccl-tools nvidia.py (rows of 0 and 5 by hand)."""
    graph = machine("dgx-v100")
    assert all(out(graph, chip) == 150 * GB for chip in range(8))
    assert {n: a["bandwidth"] / (25 * GB) for n, a in graph[0].items()} == {1: 2, 2: 1, 3: 1, 4: 2}
    assert {n: a["bandwidth"] / (25 * GB) for n, a in graph[5].items()} == {1: 1, 4: 2, 6: 1, 7: 2}
    big = machine("dgx-v100", 16)
    assert set(big["nic0.1"]) >= {2, 3} and out(big, 0) == 150 * GB + 15.75 * GB


def test_h100_superpod_counts() -> None:
    """NVIDIA's table: 256 GPUs (1 SU) have 8 leaves, 1,024 have 32, 4,096 have 128; 12.8 TB/s a SU."""
    for chips, leaves in ((256, 8), (1024, 32), (4096, 128)):
        graph = machine("hgx-h100", chips)
        found = [n for n in graph if str(n).startswith("leaf")]
        assert len(found) == leaves
        assert all(out(graph, n, "ib-ndr") == out(graph, n, "ib-ndr-spine") == 32 * 50 * GB for n in found)
    assert sum(out(machine("hgx-h100", 256), f"leaf{i}", "ib-ndr-spine") for i in range(8)) == 12.8e12
    assert {graph.nodes[n]["rail"] for n in graph["leaf0"] if str(n).startswith("nic")} == {0}
    assert out(graph, 0, "nvlink4") == 450 * GB


def test_nvl72_is_one_domain_of_eighteen_trays() -> None:
    graph = machine("gb200-nvl72", 72)
    assert [n for n in graph if graph.nodes[n]["kind"] == "switch"] == ["up0"]
    assert out(graph, "up0") == 72 * 900 * GB
    assert Counter(graph.nodes[c]["host"] for c in range(72)) == dict.fromkeys(range(18), 4)


def test_cloudmatrix384() -> None:
    """48 nodes x 7 L1, 7 x 16 L2; a L1 has 8 x 56 = 448 GB/s down and 16 x 28 up; a L2 48 ports of 28."""
    graph = machine("cloudmatrix384", 384)
    leaves = [n for n in graph if graph.nodes[n].get("level") == 1]
    spines = [n for n in graph if graph.nodes[n].get("level") == 2]
    assert (len(leaves), len(spines)) == (336, 112)
    assert all(out(graph, c) == 392 * GB for c in range(384))
    assert all(out(graph, n, "ub") == out(graph, n, "ub-spine") == 448 * GB for n in leaves)
    assert all(graph.degree(n) == 48 and out(graph, n) == 48 * 28 * GB for n in spines)
    assert sorted(graph["up0.5.3"], key=str)[-16:] == sorted(f"up0.s3.{j}" for j in range(16))
    # StrataCL: 0.7 us inside a node, 2.1 us between nodes.
    assert latency(graph, 0, "up0.0.0", 1) == pytest.approx(0.7e-6)
    assert latency(graph, 0, "up0.0.0", "up0.s0.0", "up0.1.0", 8) == pytest.approx(2.1e-6)


def test_superpods_are_joined_by_roce() -> None:
    """48 servers of 8 are a pod; chip 384 is the first of the next, one NIC a chip."""
    graph = machine("longcat-pod", 2 * 384)
    assert {graph.nodes[c]["domain"] for c in range(384)} == {0}
    assert graph.nodes[384]["domain"] == 1 and graph.nodes[384]["host"] == 48
    assert out(graph, "nic48.0", "roce-400g") == 50 * GB
    down, up = out(graph, "leaf0", "roce-400g"), out(graph, "leaf0", "roce-400g-spine")
    assert down == 2 * up


@pytest.mark.parametrize(
    ("name", "each", "total"),
    [
        ("mi300x", 64, 448),
        ("mi325x", 64, 448),
        ("mi355x", 76.5, 535.5),
        ("gaudi3", 75, 525),
        ("atlas-800t-a2", 28, 196),
        ("mtt-s5000", 56, 392),
        ("biren-br100", 64, 448),
        ("zhenwu-810e", 50, 350),
    ],
)
def test_full_meshes_of_eight(name: str, each: float, total: float) -> None:
    """A link to each of seven peers."""
    graph = machine(name, 8)
    assert set(range(1, 8)) <= set(graph[0])
    links = [graph.edges[0, peer]["bandwidth"] for peer in range(1, 8)]
    assert links == [each * GB] * 7 and sum(links) == total * GB


@pytest.mark.parametrize(
    ("name", "peers"), [("atlas-800", 3), ("metax-c500", 3), ("mlu370-x8", 3), ("zhenwu-810e", 7)]
)
def test_cliques_meet_at_the_host(name: str, peers: int) -> None:
    graph = machine(name)
    assert len([n for n in graph[0] if isinstance(n, int)]) == peers
    assert set(graph["host0"]) == set(range(len(graph) - 1))
    assert nx.shortest_path_length(graph, 0, len(graph) - 2) == 2
    assert graph.nodes["host0"].get("domain") is None


def test_mi250x_node() -> None:
    """RCCL's topo_8p1h_1: 7 links of 50 GB/s on even GCDs, 6 on odd; 4 inside a package with its NIC."""
    graph = machine("mi250x", 16)
    assert [out(graph, c, "xgmi3") / (50 * GB) for c in range(8)] == [7, 6] * 4
    assert all(graph.edges[c, c + 1]["bandwidth"] == 200 * GB for c in range(0, 16, 2))
    assert all(set(graph[f"nic1.{i}"]) >= {8 + 2 * i, 9 + 2 * i} for i in range(4))


def test_lumi_dragonfly() -> None:
    """32 switches a group, 31 local ports, at most 17 global and 16 endpoints; 276 TB/s both ways."""
    graph = machine("mi250x", 23824)
    switches = [n for n in graph if graph.nodes[n]["kind"] == "switch"]
    assert len(switches) == 24 * 32
    for n in switches:
        tiers = Counter(a["tier"] for a in graph.adj[n].values())
        assert tiers["slingshot11-local"] == 31
        assert tiers["slingshot11"] <= 16 and tiers["slingshot11-global"] <= 17
    between = [a["bandwidth"] for _, _, a in graph.edges(data=True) if a["tier"] == "slingshot11-global"]
    assert 2 * sum(between) == pytest.approx(276e12)
    for host in (0, 77, 2977):
        assert (
            len({next(n for n in graph[f"nic{host}.{i}"] if str(n).startswith("leaf")) for i in range(4)})
            == 4
        )


def test_polaris_node() -> None:
    """Full mesh of 4 with 100 GB/s a pair; two NICs of 25 GB/s on the host; all 560 nodes fit."""
    graph = machine("polaris", 2240)
    assert out(graph, 0, "nvlink3") == 300 * GB
    assert sum(out(graph, f"nic7.{i}", "slingshot11") for i in range(2)) == 50 * GB
    assert {"nic0.0", "nic0.1"} <= set(graph["host0"])
    assert sum(graph.nodes[n]["kind"] == "nic" for n in graph) == 1120


def test_end_to_end_latencies_add_up() -> None:
    """1.8 us GPU to GPU under one InfiniBand leaf (perftest PR#98), 3.7 us over three Slingshot switches."""
    graph = machine("hgx-a100", 16)
    leaf = next(n for n in graph["nic0.0"] if str(n).startswith("leaf"))
    assert latency(graph, 0, "nic0.0", leaf, "nic1.0", 8) == pytest.approx(1.8e-6)
    fly = describe("mi250x").scale_out
    nic = describe("mi250x").nic
    assert fly is not None and fly.shape == "dragonfly" and nic is not None
    path = (
        2 * (nic.bus.latency.value + fly.leaf.latency.value)
        + fly.local.latency.value
        + fly.global_link.latency.value
    )
    assert path == pytest.approx(3.7e-6)


@pytest.mark.parametrize(
    ("name", "chips", "dims", "wrap"),
    [
        ("tpu-v4", 1, "1x1x1", "0x0x0"),
        ("tpu-v4", 8, "2x2x2", "0x0x0"),
        ("tpu-v4", 32, "2x4x4", "0x0x0"),
        ("tpu-v4", 64, "4x4x4", "1x1x1"),
        ("tpu-v4", 1024, "8x8x16", "1x1x1"),
        ("tpu-v4", 4096, "16x16x16", "1x1x1"),
        ("tpu-v5p", 8960, "16x20x28", "1x1x1"),
        ("tpu-v5e", 64, "8x8", "0x0"),
        ("tpu-v5e", 128, "8x16", "0x1"),
        ("tpu-v6e", 256, "16x16", "1x1"),
    ],
)
def test_tpu_slices(name: str, chips: int, dims: str, wrap: str) -> None:
    graph = machine(name, chips)
    assert (graph.graph["dims"], graph.graph["wrap"]) == (dims, wrap)
    assert graph.graph["routing"] == "dimension_order"
    if set(wrap) == {"1", "x"}:
        assert {d for _, d in graph.degree()} == {2 * (dims.count("x") + 1)}


def test_uplinks_of_atlas_950_carry_a_cabinet() -> None:
    """Non-blocking: 64 chips x 840 GB/s down, as much up; 16 cabinets; all in one domain."""
    graph = machine("atlas-950", 1024)
    leaves = [n for n in graph if graph.nodes[n].get("level") == 1]
    assert len(leaves) == 16
    assert all(out(graph, n, "ub2") == out(graph, n, "ub2-spine") == 64 * 840 * GB for n in leaves)
    assert {graph.nodes[n]["domain"] for n in graph} == {0}


def test_efficiency_is_on_the_edges_and_not_in_the_bandwidth() -> None:
    graph = machine("hgx-h100", 16)
    tiers = {a["tier"]: a for _, _, a in graph.edges(data=True)}
    assert tiers["nvlink4"]["efficiency"] == 0.82 and tiers["ib-ndr"]["efficiency"] == 0.98
    assert tiers["ib-ndr-spine"]["efficiency"] == 0.98 and tiers["ib-ndr"]["bandwidth"] == 50 * GB
