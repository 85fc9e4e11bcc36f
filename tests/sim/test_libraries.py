"""Libraries: what their figures mean for transfers, and what they choose."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
import topologies
from sim import collectives
from sim.libraries import Library, libraries, library, parse
from sim.libraries.hops import hops_of
from sim.plan import plan
from sim.routing import Router
from topologies.errors import (
    ChipweaveError,
    FormatError,
    LibraryError,
    ScheduleError,
    UnitError,
    UnknownNameError,
)

LINK = {"bandwidth": 50e9, "latency": 1e-6}


def steps(inside: str, outside: str) -> dict[str, Any]:
    """A step inside the scale-up domain, and beyond it."""
    return {"scale_up": {"step": {"value": inside}}, "network": {"step": {"value": outside}}}


FIGURES: dict[str, Any] = {
    "name": "mine",
    "launch": {"value": "5 us", "evidence": "assumed", "source": "test"},
    "protocol": {
        "simple": steps("1 us", "3 us"),
        "quick": {**steps("0 s", "0 s"), "wire": {"value": 2.0}},
    },
    "candidates": {"all_reduce": ["ring", "halving_doubling"]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """`FIGURES` with one value replaced, or taken out (None)."""
    figures = deepcopy(FIGURES)
    table = figures
    *way, last = path.split(".")
    for key in way:
        table = table.setdefault(key, {})
    if value is None:
        del table[last]
    else:
        table[last] = value
    return figures


# ---------------------------------------------------------------- figures


def test_a_library_from_its_figures() -> None:
    mine = parse(FIGURES, "mine.toml")
    assert (mine.name, mine.launch, mine.efficient, mine.eager) == ("mine", 5e-6, True, False)
    assert mine.protocols == ["simple", "quick"]
    assert mine.parameters.value("protocol.simple.network.step") == 3e-6
    assert mine.parameters.value("protocol.simple.wire") == 1
    assert mine.parameters.value("protocol.quick.wire") == 2
    assert mine.candidates == {"all_reduce": ("ring", "halving_doubling")}


@pytest.mark.parametrize("name", libraries())
def test_every_figure_has_evidence_and_source(name: str) -> None:
    mine = library(name)
    assert mine.name == name
    for path, figure in mine.parameters.figures.items():
        assert figure.source, path
        if figure.evidence == "assumed":
            assert figure.low is not None, f"{path} is assumed, so it needs low and high"


@pytest.mark.parametrize("name", libraries())
@pytest.mark.parametrize("kind", collectives.kinds())
def test_every_library_can_do_every_collective(name: str, kind: str) -> None:
    """Alone, in pairs, at an odd number and on two levels."""
    rails = topologies.rail_optimized(4, 4, **LINK)
    for graph, ranks in ((topologies.switch(7, **LINK), 2), (topologies.switch(7, **LINK), 7), (rails, 16)):
        run = sim.collective(kind, graph, 1e6, ranks=ranks, library=name)
        assert run.time >= run.plan.launch
        assert run.algorithm.partition(":")[0] in run.plan.request.known()


def test_ideal_adds_nothing() -> None:
    ideal = library("ideal")
    assert (ideal.launch, ideal.efficient, ideal.eager, ideal.protocols) == (0, False, False, ["plain"])
    figures = ideal.steps("plain")
    assert not any(x.any() for x in (figures.base, figures.fixed, figures.half, figures.chunk_step))
    assert (figures.stretch == 1).all()
    assert np.isinf(figures.cap).all()


@pytest.mark.parametrize(
    ("figures", "error", "says"),
    [
        (
            changed("protocol.simple.scale_up.step", {"value": "1 GB"}),
            UnitError,
            "protocol.simple.scale_up.step",
        ),
        (
            changed("protocol.simple.network.step", {"value": "-1 us"}),
            UnitError,
            "protocol.simple.network.step",
        ),
        (
            changed("protocol.simple.network.step", "3 us"),
            LibraryError,
            "protocol.simple.network.step .*table",
        ),
        (changed("protocol.quick.wire", {"value": 0.5}), LibraryError, r"quick.wire \(=0.5\) must be .*>= 1"),
        (
            changed("protocol.quick.efficiency", {"value": 0}),
            LibraryError,
            r"efficiency \(=0\) must be a share",
        ),
        (changed("protocol.quick.reduce_rate", {"value": "1 us"}), UnitError, "quick.reduce_rate"),
        (changed("protocol", {}), LibraryError, "no protocol"),
        (changed("protocol.simple.network.stp", {"value": "1 us"}), UnknownNameError, "network.stp"),
        (changed("hop.netwrok.skew", {"value": "1 us"}), UnknownNameError, "hop.netwrok.skew"),
        (changed("launch", {"value": "1 us", "sorce": "x"}), LibraryError, "launch has 'sorce'"),
        (changed("launch", {"value": "1 us", "low": "0 s"}), LibraryError, "only one of low and high"),
        (
            changed("launch", {"value": "1 us", "low": "2 us", "high": "3 us"}),
            LibraryError,
            "low .* <= value .* <= high",
        ),
        (changed("launch", {"value": "1 us", "evidence": "guess"}), LibraryError, "evidence .*'guess'"),
        (changed("choice", {"model": "nccI"}), UnknownNameError, "did you mean 'nccl'"),
    ],
)
def test_wrong_figures_are_named(figures: dict[str, Any], error: type[ChipweaveError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        parse(figures, "mine.toml")
    assert str(caught.value).startswith(("mine.toml", "unknown choice.model of mine.toml"))
    assert "\n" not in str(caught.value)


def test_unknown_names_are_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown library 'ncl'; did you mean 'nccl'"):
        library("ncl")
    with pytest.raises(UnknownNameError, match="unknown protocol of nccl 'ull'; did you mean 'll'"):
        library("nccl").protocol("ull")
    with pytest.raises(FormatError, match=r"no\.toml: cannot be read"):
        library("no.toml")


# ---------------------------------------------------------------- parameters


def test_parameters_replace_figures_by_path() -> None:
    """What is given is what is used, also where the library has a figure for such machines."""
    path = "family.ring.ll128.channel"
    mine = library("nccl", parameters={path: "5 GB/s", "protocol.ll.network.step": 3.1e-6})
    hopper = mine.parameters.on({"generation": "hopper"})
    assert library("nccl").parameters.on({"generation": "hopper"}).value(path) == 36.7e9
    assert hopper.value(path) == mine.parameters.value(path) == 5e9
    assert hopper.own("ring", "ll", "step", "network") == 3.1e-6
    only = library("nccl", parameters={f"where.generation.hopper.{path}": "5 GB/s"})
    assert only.parameters.on({"generation": "hopper"}).value(path) == 5e9
    assert only.parameters.on({"generation": "volta"}).value(path) == 20e9


@pytest.mark.parametrize(
    ("path", "value", "error", "says"),
    [
        ("protocol.ll.netwrok.step", 1e-6, UnknownNameError, "did you mean .*protocol.ll.network.step"),
        ("protocol.ul.network.stp", 1e-6, UnknownNameError, "did you mean"),
        ("protocol.ll.network.step", "3 GB", UnitError, "protocol.ll.network.step"),
        ("protocol.ll.network.step", "3", UnitError, "protocol.ll.network.step"),
        ("protocol.ll.network.efficiency", "x", LibraryError, "efficiency .*must be a share"),
        ("protocol.ll.network.step", float("nan"), UnitError, "nan"),
    ],
)
def test_wrong_parameters_are_named(path: str, value: Any, error: type[ChipweaveError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        library("nccl", parameters={path: value})
    assert "\n" not in str(caught.value)


def test_an_overlay_changes_its_base(tmp_path: Path) -> None:
    """A TOML with ``base`` has the base's figures but for its own; it serves wherever a name does."""
    file = tmp_path / "tonight.toml"
    file.write_text(
        'base = "nccl"\n[protocol.ll.network]\n'
        'step = { value = "9 us", evidence = "measured", source = "logs", low = "8 us", high = "11 us" }\n'
    )
    mine = library(str(file))
    assert (mine.name, mine.model, mine.eager) == ("tonight", "nccl", True)
    assert mine.parameters.value("protocol.ll.network.step") == 9e-6
    assert mine.parameters.value("protocol.ll.scale_up.step") == 0.6e-6
    assert library(str(file), estimate="low").parameters.value("protocol.ll.network.step") == 11e-6
    graph = topologies.rail_optimized(2, 2, **LINK)
    slow, fast = (
        sim.all_reduce(graph, 8, algorithm="ring", protocol="ll", library=n) for n in (str(file), "nccl")
    )
    assert slow.library == "tonight"
    assert slow.time > fast.time
    file.write_text('base = "nccl"\n[protocol.ll.network]\nstep = { value = "9 GB" }\n')
    with pytest.raises(UnitError, match=r"tonight.toml: protocol.ll.network.step"):
        library(str(file))
    file.write_text("base = ")
    with pytest.raises(FormatError, match=r"tonight.toml: no TOML"):
        library(str(file))


@pytest.mark.parametrize("name", libraries())
def test_low_is_slower_and_high_is_faster(name: str) -> None:
    """The ends of all soft figures at once, at small and large messages."""
    graph = topologies.rail_optimized(4, 4, **LINK)
    for size in (8.0, 1e8):
        low, nominal, high = (
            sim.all_reduce(graph, size, algorithm="ring", library=library(name, estimate=e)).time
            for e in ("low", "nominal", "high")
        )
        assert low >= nominal >= high


# ---------------------------------------------------------------- costs


def test_a_step_depends_on_the_kind_of_hop() -> None:
    """Rails of two hosts: 1 us inside, 3 us beyond; on a graph without domains always inside."""
    costs = parse(FIGURES, "mine").costs("simple")
    fabric = sim.compile_fabric(topologies.rail_optimized(2, 2, **LINK))
    src, dst = fabric.rank_nodes[[0, 0, 1]], fabric.rank_nodes[[1, 2, 3]]
    found = costs.of(fabric, Router(fabric).route(src, dst), np.full(3, 8.0), False)
    assert found.overhead_ps.tolist() == [1_000_000, 3_000_000, 3_000_000]
    star = sim.compile_fabric(topologies.leaf_spine(4, per_leaf=2, **LINK))
    paths = Router(star).route(star.rank_nodes[[0]], star.rank_nodes[[3]])
    assert costs.of(star, paths, np.full(1, 8.0), False).overhead_ps.tolist() == [1_000_000]


def test_a_host_bus_is_a_hop_of_its_own() -> None:
    """Two domains of two chips in a host: inside by links, between over the bus; a PCIe box is all bus."""
    fabric = sim.compile_fabric(topologies.machine("atlas-800", chips=8))
    kinds = hops_of(fabric).kinds(Router(fabric).route(fabric.rank_nodes[[0, 0]], fabric.rank_nodes[[1, 7]]))
    assert kinds.tolist() == [0, 1]
    box = sim.compile_fabric(topologies.machine("l40s", chips=8))
    assert hops_of(box).kinds(Router(box).route(box.rank_nodes[[0]], box.rank_nodes[[1]])).tolist() == [1]
    assert hops_of(sim.compile_fabric(topologies.machine("polaris", chips=8))).sharing == 2


def one_send(parameters: dict[str, Any], **on: Any) -> float:
    """Seconds of one message of 1 MB over two links of 1 us and 50 GB/s: 22 us and what software adds."""
    mine = parse(FIGURES, "mine").with_parameters(
        {"launch": 0.0, "protocol.simple.scale_up.step": 0.0, **parameters}
    )
    graph = topologies.switch(2, **LINK)
    graph.graph.update(on)
    return sim.send(graph, 1e6, library=mine, protocol="simple").time


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 22e-6),
        ({"protocol.simple.base": "4 us"}, 26e-6),
        ({"protocol.simple.base_rank": "4 us"}, 30e-6),  # two ranks
        ({"protocol.simple.scale_up.step": "1 us", "protocol.simple.scale_up.flush": "2 us"}, 25e-6),
        # 0.5 us of the step are in the links already; no more than all of both.
        ({"protocol.simple.scale_up.step": "1 us", "hop.scale_up.wire": "0.5 us"}, 22.5e-6),
        ({"hop.scale_up.wire": "10 us"}, 20e-6),
        ({"protocol.simple.efficiency": 0.5, "protocol.simple.scale_up.efficiency": 0.8}, 2e-6 + 50e-6),
        ({"protocol.simple.wire": 1.5}, 2e-6 + 30e-6),
        # Ten chunks of 100 kB, each as if it were 25 kB larger, nine of them with a step of their own.
        (
            {
                "protocol.simple.chunk": 1e5,
                "protocol.simple.scale_up.half": 25e3,
                "protocol.simple.scale_up.chunk_step": "1 us",
            },
            2e-6 + 9e-6 + 25e-6,
        ),
        # A single chunk at s / (s + half) of the rate.
        ({"protocol.simple.scale_up.half": 1e6}, 2e-6 + 40e-6),
        # The payload's rate, whatever the protocol adds on the wire.
        ({"protocol.simple.scale_up.cap": "10 GB/s", "protocol.simple.wire": 2.0}, 2e-6 + 100e-6),
        ({"protocol.simple.channel": "5 GB/s", "hop.scale_up.channels": 4.0}, 2e-6 + 50e-6),
        ({"hop.scale_up.skew": "1 us"}, (22 + np.log(2)) * 1e-6),
        ({"hop.scale_up.congestion": 0.5}, 2e-6 + 20e-6 * (1 + 0.5 * np.log(2))),
        ({"where.generation.hopper.protocol.simple.base": "4 us"}, 26e-6),
        ({"where.generation.volta.protocol.simple.base": "4 us"}, 22e-6),
        ({"family.p2p.simple.base": "4 us"}, 22e-6),
        ({"family.other.simple.base": "4 us"}, 22e-6),
    ],
)
def test_every_parameter_by_hand(parameters: dict[str, Any], expected: float) -> None:
    if "family.p2p.simple.base" in parameters:
        expected += 4e-6  # a send is of that family
    assert one_send(parameters, generation="hopper") == pytest.approx(expected, rel=1e-9)


def test_reduction_takes_time_where_a_rate_is_given() -> None:
    rate = changed("protocol.quick.reduce_rate", {"value": "100 GB/s"})
    costs = parse(rate, "mine").costs("quick")
    fabric = sim.compile_fabric(topologies.switch(2, **LINK))
    paths = Router(fabric).route(np.array([0]), np.array([1]))
    assert costs.of(fabric, paths, np.array([1e6]), True).reduce_ps.tolist() == [10_000_000]
    assert costs.of(fabric, paths, np.array([1e6]), False).reduce_ps.tolist() == [0]
    assert costs.of(fabric, paths, np.array([1e6]), True).wire_bytes.tolist() == [2e6]


def test_links_give_payload_their_measured_share() -> None:
    graph = topologies.switch(2, **LINK)
    graph.edges[0, "switch0"]["efficiency"] = 0.8
    fabric = sim.compile_fabric(graph)
    assert sorted(library("nccl").costs("simple").capacity(fabric)) == [40e9, 40e9, 50e9, 50e9]
    assert sorted(library("ideal").costs("plain").capacity(fabric)) == [50e9] * 4
    assert sim.send(graph, 4e6, library="ideal").time == pytest.approx(82e-6)
    value = library("nccl").parameters.value
    assert sim.send(graph, 4e6, library="nccl", protocol="simple").time == pytest.approx(
        value("protocol.simple.base")
        + value("protocol.simple.scale_up.step") - value("hop.scale_up.wire")
        + 2e-6 + 100e-6
    )  # fmt: skip


def test_around_a_ring_the_steps_add_up() -> None:
    """NCCL's LL over two hosts of two, eager: the mean of the hops' delays, not the slowest, a step.

    Inside 0.6 us - 0.3 us + 2 links of 1 us; between 2.7 us - 1.8 us + 4 links; 6 steps.
    """
    graph = topologies.rail_optimized(2, 2, **LINK)
    run = sim.all_reduce(graph, 8, algorithm="ring", protocol="ll", library="nccl", channels=1)
    paths = Router(run.fabric).route(run.fabric.rank_nodes[[0, 1]], run.fabric.rank_nodes[[1, 2]])
    inside = 0.6e-6 - 0.3e-6 + paths.latency_ps[0] * 1e-12
    between = 2.7e-6 - 1.8e-6 + paths.latency_ps[1] * 1e-12
    assert run.time == pytest.approx(6.6e-6 + 6 * (inside + between) / 2, rel=1e-3)


# ---------------------------------------------------------------- choice


@pytest.mark.parametrize("size", [8.0, 1e5, 1e9])
@pytest.mark.parametrize("network", ["fluid", "analytic"])
def test_the_choice_is_the_least_estimate(size: float, network: str) -> None:
    mine = parse(FIGURES, "mine")
    run = sim.all_reduce(topologies.switch(8, **LINK), size, library=mine, network=network)
    estimates = run.plan.choice.estimates
    assert set(estimates) == {(a, p) for a in FIGURES["candidates"]["all_reduce"] for p in mine.protocols}
    assert list(estimates.values()) == sorted(estimates.values())
    assert next(iter(estimates)) == (run.algorithm, run.protocol)


@pytest.mark.parametrize("size", [8.0, 1e5, 1e9])
def test_without_collisions_the_estimate_is_the_time(size: float) -> None:
    """In lockstep on a star: launch + steps (overhead + 2 us) + wire bytes / rate."""
    mine = parse(FIGURES, "mine")
    star = topologies.switch(8, **LINK)
    estimates = sim.all_reduce(star, size, library=mine).plan.choice.estimates
    for (algorithm, protocol), estimate in estimates.items():
        run = sim.all_reduce(star, size, library=mine, algorithm=algorithm, protocol=protocol)
        assert estimate == pytest.approx(run.time, rel=1e-6)


def test_estimates_of_one_size_serve_another() -> None:
    """What is kept of a request gives the same choice and figures as a request from scratch."""
    mine = parse(FIGURES, "mine")
    fabric = sim.compile_fabric(topologies.switch(8, **LINK))
    router = Router(fabric)
    plan("all_reduce", router, 8.0, library=mine)
    for size in (1e5, 1e9):
        kept = plan("all_reduce", router, size, library=mine).choice.estimates
        fresh = plan("all_reduce", Router(fabric), size, library=mine).choice.estimates
        assert list(kept) == list(fresh)
        assert kept == pytest.approx(fresh, rel=1e-9)


@pytest.mark.parametrize("differs", ["reduction", "groups"])
def test_estimates_that_are_kept_are_those_of_the_request(differs: str) -> None:
    """Receivers that add at 1 GB/s, or other groups: as from scratch."""
    fabric = sim.compile_fabric(topologies.leaf_spine(8, per_leaf=4, oversubscription=4, **LINK))
    if differs == "reduction":
        mine = parse(changed("protocol.quick.reduce_rate", {"value": "1 GB/s"}), "mine")
        first, then = ({"size": s, "options": {}} for s in (8.0, 1e9))
    else:
        mine = parse(changed("candidates", {"all_reduce": ["hierarchical:ring/ring", "ring"]}), "mine")
        first, then = ({"size": 1e9, "options": {"groups": g}} for g in ([0, 1] * 4, [0] * 4 + [1] * 4))
    router = Router(fabric)
    plan("all_reduce", router, first["size"], library=mine, **first["options"])
    kept = plan("all_reduce", router, then["size"], library=mine, **then["options"]).choice.estimates
    fresh = plan("all_reduce", Router(fabric), then["size"], library=mine, **then["options"]).choice.estimates
    assert kept == pytest.approx(fresh, rel=1e-9)


def test_what_cannot_serve_is_no_candidate() -> None:
    """Reduce-scatter by Swing needs a power of two; where no candidate serves, all are asked."""
    mine = parse(changed("candidates", {"reduce_scatter": ["swing"]}), "mine")
    assert sim.reduce_scatter(topologies.switch(8, **LINK), 1e6, library=mine).algorithm == "swing"
    assert sim.reduce_scatter(topologies.switch(7, **LINK), 1e6, library=mine).algorithm != "swing"
    with pytest.raises(ScheduleError, match="power of two"):
        sim.reduce_scatter(topologies.switch(7, **LINK), 1e6, library=mine, algorithm="swing")


def test_small_messages_take_few_steps_and_large_ones_few_bytes() -> None:
    """8 B over 64 ranks by doubling with 12 steps, not a ring with 126; 1 GB by whatever moves least."""
    mine = parse(changed("candidates", {"all_reduce": ["ring", "recursive_doubling"]}), "mine")
    star = topologies.switch(64, **LINK)
    assert sim.all_reduce(star, 8, library=mine).algorithm == "recursive_doubling"
    assert sim.all_reduce(star, 1e9, library=mine).algorithm == "ring"
    assert sim.all_reduce(star, 8, library=mine).protocol == "quick"
    assert sim.all_reduce(star, 1e9, library=mine).protocol == "simple"


def test_a_name_is_taken_as_it_is() -> None:
    mine: Library = parse(FIGURES, "mine")
    star = topologies.switch(4, **LINK)
    run = sim.all_reduce(star, 1e6, library=mine, algorithm="ring", protocol="quick")
    assert (run.algorithm, run.protocol, run.plan.choice.estimates) == ("ring", "quick", {})
