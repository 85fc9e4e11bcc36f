"""Which algorithm and protocol: NCCL's published model by hand, HCCL's rules, and the best of all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import sim
import topologies
from sim import collectives
from sim.libraries import libraries, library
from sim.libraries.parameters import Parameters
from sim.libraries.planned import Planned, expected
from sim.plan import plan
from sim.routing import Router
from topologies.errors import LibraryError, ScheduleError, UnknownNameError

LINK = {"bandwidth": 50e9, "latency": 1e-6}
MIB = 2.0**20


def hopper() -> Parameters:
    return library("nccl").parameters.on({"generation": "hopper"})


def on(hosts: int, each: int, **more: Any) -> Planned:
    """Hosts of some H100: 369 GB/s inside, 48 GB/s of NIC for each chip."""
    up = math.inf if each == 1 else 369e9
    given = {"inside": "scale_up", "up": up, "out": 48e9 * each if hosts > 1 else math.inf, **more}
    return Planned(hosts * each, hosts, **given)


# --------------------------------------------------- NCCL's model, by hand

#: (hosts, chips a host, collective, algorithm, protocol, bytes, microseconds).
BY_HAND = [
    # base + 2 (n - 1) steps inside; 256 B over 141 / 2 (LL at half, below its most) GB/s is 3 ps.
    (1, 8, "all_reduce", "ring", "ll", 8, 6.6 + 14 * 0.6),
    (1, 8, "all_reduce", "ring", "ll128", 8, 14.0 + 14 * 1.9),
    (1, 8, "all_reduce", "ring", "simple", 8, 8.4 + 14 * 3.4),
    (1, 8, "all_gather", "ring", "ll", 8, 6.6 + 7 * 0.6),
    # Four hosts of four: 30 steps, 6 of them between hosts; inside at least the post overhead.
    (4, 4, "all_reduce", "ring", "ll", 8, 6.6 + 24 * 1.0 + 6 * 2.7),
    (4, 4, "reduce_scatter", "ring", "ll", 8, 6.6 + 12 * 1.0 + 3 * 2.7),
    (4, 4, "all_reduce", "ring", "simple", 8, 8.4 + 24 * 3.4 + 6 * (14 + 0.6)),
    # The tree's step where a host has one rank.
    (4, 1, "all_reduce", "ring", "ll", 8, 6.6 + 6 * 5.0),
    (4, 4, "all_reduce", "tree", "ll", 8, 6.8 + 2 * (3 * 0.6 + 2 * 5.0)),
    (8, 4, "all_reduce", "tree", "simple", 8, 8.4 + 2 * (3 * 4.0 + 3 * 14)),
    (1, 8, "all_reduce", "nvls", "simple", 8, 25.0),
    (4, 8, "all_reduce", "nvls", "simple", 8, 25.0 + 18),
    (4, 8, "all_reduce", "nvls_tree", "simple", 8, 25.0 + 2 * 2 * 20.9),
    (4, 8, "all_reduce", "collnet", "simple", 8, 2 * (3.7 + 0.4 * 7) + 31),
    (8, 1, "all_gather", "pat", "simple", 8, 8.0 + 3 * 14 / 3.5 + 8 * 2.8),
    # Bytes: 1 GiB at n / (2 (n - 1)) of the channels' bandwidth.
    (1, 8, "all_reduce", "ring", "simple", 1024 * MIB, 8.4 + 14 * 3.4 + 1024 * MIB * 14 / 8 / 369e3),
    (1, 8, "all_reduce", "ring", "ll128", 1024 * MIB, 14 + 14 * 1.9 + 1024 * MIB * 14 / 8 / (0.92 * 369e3)),
    (1, 8, "all_reduce", "ring", "ll", 1024 * MIB, 6.6 + 14 * 0.6 + 1024 * MIB * 14 / 8 / 141e3),
    # Many bytes a rank and channel on several hosts: the plateau.
    (
        4, 8, "all_reduce", "ring", "simple", 1024 * MIB,
        1.4 * (8.4 + 56 * 3.4 + 6 * 14.6) + 1024 * MIB * 62 / 32 / 369e3,
    ),
    # Trees: 0.92, halved as up and down; at 1 GiB (2^24 x 64 B, beyond the table) uncorrected.
    (4, 8, "all_reduce", "tree", "simple", 1024 * MIB, 8.4 + 2 * (28 + 28) + 1024 * MIB / (0.92 * 369e3 / 2)),
    # 1 MiB is place 14 of the table: 0.5 for Simple.
    (4, 8, "all_reduce", "tree", "simple", MIB, 8.4 + 2 * (28 + 28) + MIB / (0.5 * 0.92 * 369e3 / 2)),
    (1, 8, "all_reduce", "nvls", "simple", 1024 * MIB, 25 + 1024 * MIB / (0.85 * 369e3)),
]  # fmt: skip


@pytest.mark.parametrize(("hosts", "each", "kind", "model", "protocol", "size", "microseconds"), BY_HAND)
def test_the_published_model_by_hand(
    hosts: int, each: int, kind: str, model: str, protocol: str, size: float, microseconds: float
) -> None:
    found = expected(hopper(), on(hosts, each), kind, model, protocol, size)
    assert found * 1e6 == pytest.approx(microseconds, rel=1e-4)


@pytest.mark.parametrize(
    ("plan_of", "kind", "model", "protocol"),
    [
        (on(1, 8), "all_gather", "tree", "simple"),  # trees reduce
        (on(1, 8), "all_reduce", "pat", "simple"),
        (on(2, 8), "all_gather", "pat", "simple"),  # one rank a host
        (on(1, 8), "all_reduce", "nvls", "ll"),  # Simple only
        (on(1, 8), "all_reduce", "nvls_tree", "simple"),  # between hosts
        (on(1, 8, inside="host"), "all_reduce", "ring", "ll128"),  # needs NVLink
        (on(2, 8, near_nics=False), "all_reduce", "ring", "ll128"),  # and NICs behind a PCIe switch
    ],
)
def test_what_the_published_model_does_not_allow(
    plan_of: Planned, kind: str, model: str, protocol: str
) -> None:
    assert expected(hopper(), plan_of, kind, model, protocol, 8) == math.inf


def test_generations_have_limits_of_their_own() -> None:
    """LL128: 20 GB/s a channel on Ampere, 36.7 on Hopper; LL 87.7 and 141 GB/s in all."""
    wide = on(1, 8, up=2e12)
    for generation, ll128, ll in (("ampere", 24 * 20e9, 87.7e9), ("hopper", 24 * 36.7e9, 141e9)):
        figures = library("nccl").parameters.on({"generation": generation})
        for protocol, limit in (("ll128", ll128), ("ll", ll)):
            more = expected(figures, wide, "all_reduce", "ring", protocol, 2e9)
            less = expected(figures, wide, "all_reduce", "ring", protocol, 1e9)
            assert 1e9 / (more - less) == pytest.approx(limit * 8 / 14)


def test_nccl_sees_the_topology() -> None:
    """Eight NICs of 50 x 0.98 GB/s, eight NVLinks of 450 x 0.82; Polaris' NICs hang off the host."""
    for machine, chips, want in (
        ("hgx-h100", 16, (2, "scale_up", 369e9, 8 * 49e9, True)),
        ("hgx-h100", 8, (1, "scale_up", 369e9, math.inf, True)),
        ("l40s", 8, (1, "host", None, math.inf, True)),
        ("polaris", 8, (2, "scale_up", None, None, False)),
    ):
        run = sim.all_reduce(topologies.machine(machine, chips=chips), 8, library="nccl")
        seen = next(v for v in run.fabric.notes.values() if isinstance(v, Planned))
        for got, wanted in zip(
            (seen.hosts, seen.inside, seen.up, seen.out, seen.near_nics), want, strict=True
        ):
            assert wanted is None or got == pytest.approx(wanted) or got == wanted


def test_nccl_goes_from_latency_to_bandwidth() -> None:
    """Four HGX H100: a tree by LL, then a tree by LL128, then rings by Simple, which use all eight NICs."""
    graph = topologies.machine("hgx-h100", chips=32)
    found = [(r.algorithm, r.protocol) for r in (sim.all_reduce(graph, s) for s in (8, 4 * MIB, 2048 * MIB))]
    assert found == [("tree", "ll"), ("tree", "ll128"), ("ring", "simple")]
    run = sim.all_reduce(graph, 2048 * MIB)
    used = run.links[run.links.tier == "ib-ndr"].bytes
    assert (used > 0.99 * used.max()).all()
    assert run.busbw > 7 * 49e9  # one NIC would give 49 GB/s
    one_host = topologies.machine("hgx-h100", chips=8)
    assert sim.all_reduce(one_host, 1024 * MIB).algorithm == "nvls"
    older = topologies.machine("hgx-a100", chips=8)
    assert sim.all_reduce(older, 1024 * MIB).algorithm == "ring"


def test_grouped_sends_take_ll_up_to_16_kib_a_message() -> None:
    graph = topologies.machine("hgx-h100", chips=8)
    assert sim.all_to_all(graph, 8 * 16384).protocol == "ll"
    assert sim.all_to_all(graph, 8 * 16384 + 8).protocol == "simple"


@pytest.mark.parametrize("chips", [4, 8])
def test_rings_use_every_link_of_a_full_mesh(chips: int) -> None:
    """Chips with a link for every pair: all links carry alike, and the ring beats a single one."""
    graph = topologies.full_mesh(chips, **LINK)
    run = sim.all_reduce(graph, 1e9, library="nccl", algorithm="ring", protocol="simple")
    assert run.links.bytes.min() == pytest.approx(run.links.bytes.max())
    single = sim.all_reduce(graph, 1e9, library="nccl", algorithm="ring", protocol="simple", channels=1)
    assert single.time / run.time > 0.9 * (chips - 1)
    assert run.plan.schedule.check() is None


# ---------------------------------------------------------------- HCCL's rules


@pytest.mark.parametrize(
    ("kind", "machine", "chips", "size", "algorithm"),
    [
        ("all_reduce", "atlas-800t-a2", 8, "1 KiB", "mesh"),
        ("all_reduce", "atlas-800t-a2", 8, "1 GiB", "mesh"),
        ("all_reduce", "atlas-800t-a2", 32, "1 MiB", "hierarchical:mesh/halving_doubling"),
        ("all_reduce", "atlas-800t-a2", 24, "1 MiB", "hierarchical:mesh/ring"),
        ("all_reduce", "atlas-800t-a2", 72, "1 MiB", "hierarchical:mesh/nhr"),
        ("all_reduce", "atlas-800t-a2", 72, "1 KiB", "hierarchical:mesh/halving_doubling"),
        ("all_reduce", "atlas-800t-a2", 32, "64 MiB", "pipeline"),
        ("all_reduce", "atlas-800t-a2", 20, "1 MiB", "ahc"),
        ("all_gather", "atlas-800t-a2", 20, "1 MiB", "nhr"),
        ("reduce_scatter", "atlas-800t-a2", 24, "1 MiB", "hierarchical:mesh/ring"),
        ("all_to_all", "atlas-800t-a2", 32, "1 MiB", "hierarchical:mesh/pairwise"),
        ("all_to_all", "atlas-800t-a2", 20, "1 MiB", "pairwise"),
        ("broadcast", "atlas-800t-a2", 32, "1 MiB", "hierarchical:mesh/nhr"),
        ("all_to_all", "cloudmatrix384", 64, "1 MiB", "direct"),
    ],
)
def test_hccl_follows_its_rules(kind: str, machine: str, chips: int, size: str, algorithm: str) -> None:
    run = sim.collective(kind, topologies.machine(machine, chips=chips), size)
    assert (run.library, run.algorithm) == ("hccl", algorithm)
    assert run.plan.choice.reason.startswith("hccl's rule: ")


@pytest.mark.slow
def test_hccl_over_several_superpods() -> None:
    """Three levels, and all-to-all by grouped full mesh."""
    router = Router(sim.compile_fabric(topologies.machine("cloudmatrix384", chips=768)))
    assert plan("all_reduce", router, 1e6).choice.schedule.algorithm == "hierarchical:mesh/nhr/nhr"
    assert plan("all_to_all", router, 1e6).choice.schedule.algorithm == "grouped_mesh"


@pytest.mark.parametrize(
    ("rule", "error", "says"),
    [
        ({"take": "ring"}, LibraryError, "rule 1: collective"),
        ({"collective": ["all_reduce"]}, LibraryError, "rule 1 has no take"),
        (
            {"collective": ["all_reduce"], "when": {"sevrers": [1]}, "take": "ring"},
            UnknownNameError,
            "servers",
        ),
        (
            {"collective": ["all_reduce"], "when": {"servers": 4}, "take": "ring"},
            LibraryError,
            "servers .*list",
        ),
        (
            {"collective": ["all_reduce"], "when": {"power_of_two": "x"}, "take": "ring"},
            UnknownNameError,
            "'x'",
        ),
    ],
)
def test_wrong_rules_are_named(rule: dict[str, Any], error: type[Exception], says: str) -> None:
    figures = {
        "name": "mine",
        "choice": {"model": "rules"},
        "protocol": {"simple": {"base": {"value": "1 us"}}},
        "rule": [rule],
    }
    with pytest.raises(error, match=says):
        sim.all_reduce(topologies.switch(4, **LINK), 1e6, library=sim.libraries.parse(figures, "mine"))


def test_a_rule_that_cannot_serve_is_passed_over() -> None:
    figures = {
        "name": "mine",
        "choice": {"model": "rules"},
        "protocol": {"simple": {"base": {"value": "1 us"}}},
        "rule": [
            {"collective": ["all_reduce"], "take": "torus"},
            {"collective": ["all_reduce"], "take": "nhr", "because": "it can"},
        ],
    }
    run = sim.all_reduce(topologies.switch(5, **LINK), 1e6, library=sim.libraries.parse(figures, "mine"))
    assert (run.algorithm, run.plan.choice.reason) == ("nhr", "mine's rule: it can")


# ---------------------------------------------------------------- all libraries

MACHINES = [("hgx-h100", 16), ("atlas-800t-a2", 16), ("mi300x", 8), ("tpu-v5p", 8), ("l40s", 4)]


@pytest.mark.parametrize("name", libraries())
@pytest.mark.parametrize(("machine", "chips"), MACHINES)
def test_every_library_runs_on_every_machine(name: str, machine: str, chips: int) -> None:
    fabric = sim.compile_fabric(topologies.machine(machine, chips=chips))
    for kind in collectives.kinds():
        run = sim.collective(kind, fabric, 1e5, library=name)
        assert run.time > run.plan.launch
        run.plan.schedule.check()


@pytest.mark.parametrize("name", libraries())
@pytest.mark.parametrize("ranks", [2, 3, 7, 12])
def test_auto_never_picks_what_cannot_serve(name: str, ranks: int) -> None:
    """Any number of chips of two hosts of eight, evenly cut or not."""
    fabric = sim.compile_fabric(topologies.machine("hgx-a100", chips=16))
    for kind in collectives.kinds():
        for chips in (range(ranks), [*range(ranks - 1), 15]):
            run = sim.collective(kind, fabric, 1e5, ranks=list(chips), library=name)
            run.plan.schedule.check()


@pytest.mark.parametrize("name", ["nccl", "hccl", "rccl", "oneccl"])
@pytest.mark.parametrize("size", [8, 1e6, 1e8])
def test_best_is_never_slower_than_auto(name: str, size: float) -> None:
    fabric = sim.compile_fabric(topologies.machine("hgx-h100", chips=16))
    for kind in ("all_reduce", "all_gather", "broadcast"):
        auto = sim.collective(kind, fabric, size, library=name)
        best = sim.collective(kind, fabric, size, library=name, algorithm="best")
        assert best.time <= auto.time
        times = best.plan.choice.estimates
        assert times[best.algorithm, best.protocol] == best.time == min(times.values())
        assert times[auto.algorithm, auto.protocol] == auto.time


def test_best_in_a_world_and_without_a_network() -> None:
    graph = topologies.machine("hgx-h100", chips=16)
    world = sim.World(graph)
    world.run(until=world.all_reduce("1 MiB", algorithm="best"))
    assert world.now == pytest.approx(sim.all_reduce(graph, "1 MiB", algorithm="best").time, rel=1e-12)
    with pytest.raises(ScheduleError, match="needs a network"):
        plan("all_reduce", Router(world.fabric), 1e6, algorithm="best")


def test_explain_says_why_and_what_the_best_would_have_given() -> None:
    graph = topologies.machine("atlas-800t-a2", chips=24)
    run = sim.all_reduce(graph, "1 MiB")
    plain, full = run.explain(rerun=False), run.explain(rerun=False, best=True)
    assert "hccl's rule: few servers" in plain
    assert "was run" not in plain
    best = run.again(algorithm="best")
    assert best.time <= run.time
    assert (best.algorithm in full) if best.time < run.time else ("None of the library's" in full)
    nccl = sim.all_reduce(graph, "1 MiB", library="nccl").explain(rerun=False)
    assert "nccl's own cost model" in nccl
    assert "next best" in nccl


def test_nccls_tree_is_chains_and_two_trees() -> None:
    """8 B over 4 hosts of 4, LL: 2 (3 steps inside and 2 between); every channel has other heads."""
    graph = topologies.machine("marenostrum5", chips=16)
    vendor = library("nccl", calibrated=False)
    run = sim.all_reduce(graph, 8, algorithm="tree", protocol="ll", library=vendor)
    routed = Router(run.fabric).route(run.fabric.rank_nodes[[0, 0]], run.fabric.rank_nodes[[1, 4]])
    inside, between = (x * 1e-12 for x in routed.latency_ps.tolist())
    want = 6.8e-6 + 2 * (3 * (0.6e-6 - 0.3e-6 + inside) + 2 * (5.0e-6 - 1.8e-6 + between))
    assert run.time == pytest.approx(want, rel=1e-3)
    run.plan.schedule.check()


def test_switches_serve_whole_domains_alike() -> None:
    """A domain of 72 that is partly filled: no sums by its switches over hosts of four instead."""
    fabric = sim.compile_fabric(topologies.machine("gb200-nvl72", chips=128))
    with pytest.raises(
        ScheduleError, match="scale-up domains of equal size, but they hold 56 to 72 of the 128"
    ):
        sim.all_reduce(fabric, "64 MiB", algorithm="nvls_tree")
    chosen = sim.all_reduce(fabric, "64 MiB").algorithm
    assert chosen not in ("nvls", "nvls_tree")
    own = np.arange(128) // 4
    assert sim.all_reduce(fabric, "64 MiB", algorithm="nvls_tree", groups=own).algorithm == "nvls_tree"
    even = topologies.machine("gb200-nvl72", chips=144)
    assert sim.all_reduce(even, "64 MiB", algorithm="nvls_tree").algorithm == "nvls_tree"
