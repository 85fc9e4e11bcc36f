"""The SimPy side: programmes, faults at hand-computed instants, jobs that cross."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy

import sim
import topologies
from topologies.errors import (
    CapacityError,
    ScheduleError,
    SimulationError,
    TopologyError,
    UnitError,
    UnknownNameError,
)

Steps = Generator[simpy.Event, Any, None]

EXACT = ("fluid", "reference")
EVERY = (*EXACT, "analytic")
US = 10**6


def star(p: int = 4) -> Any:
    """Links of 50 GB/s and 1 us: 50 kB last 1 us, a path 2 us."""
    return topologies.switch(p, bandwidth="50 GB/s", latency="1 us")


def world_of(graph: Any = None, network: str = "fluid", **same: Any) -> sim.World:
    return sim.World(star() if graph is None else graph, library="ideal", network=network, **same)


def ends(world: sim.World, *events: simpy.Event) -> list[int]:
    """Run, and say when each event happened, in picoseconds."""
    at = dict.fromkeys(events, -1)

    def note(event: simpy.Event) -> None:
        at[event] = world.env.now_ps

    for event in events:
        assert event.callbacks is not None
        event.callbacks.append(note)
    world.run()
    return list(at.values())


def at(world: sim.World, seconds: float, do: Any) -> None:
    """Have ``do()`` called at a time."""

    def wait() -> Steps:
        yield world.env.timeout(seconds)
        do()

    world.process(wait())


# ---------------------------------------------------------------- programmes


def test_the_sample_programme() -> None:
    """As on the front page: three steps of computing and an all-reduce on 1,024 chips."""
    cluster = topologies.machine("atlas-800t-a2", chips=1024)
    world = sim.World(cluster)

    def training(world: sim.World) -> Steps:
        for _ in range(3):
            yield world.compute(flops=2.1e15)
            yield world.all_reduce("1 GiB")

    world.process(training(world))
    world.run()
    step = 2.1e15 / cluster.graph["peak_flops"]
    alone = sim.all_reduce(cluster, "1 GiB")
    assert world.now == pytest.approx(3 * (step + alone.time), rel=1e-9)
    assert world.links()["bytes"].sum() == pytest.approx(3 * alone.links["bytes"].sum(), rel=1e-9)
    assert 0 < world.links()["utilisation"].max() < 1
    timeline = world.timeline()
    assert timeline["what"].tolist() == ["compute", "all_reduce"] * 3
    assert timeline["end"].tolist()[:-1] == pytest.approx(timeline["start"].tolist()[1:], rel=1e-12)
    assert len(world.plot_timeline().patches) > 0


@pytest.mark.parametrize("network", EVERY)
def test_a_programme_of_every_kind_of_event(network: str) -> None:
    """send 2 us + 100 kB / 50 GB/s = 4 us; compute 5 us; ring of four 6 (2 us + 25 kB / 50 GB/s) = 15 us."""
    world = world_of(network=network)
    log: list[tuple[str, int]] = []

    def programme() -> Steps:
        yield world.send(0, 3, "100 kB")
        log.append(("send", world.env.now_ps))
        yield world.compute(seconds="5 us")
        log.append(("compute", world.env.now_ps))
        yield world.all_reduce("100 kB", algorithm="ring")
        log.append(("all_reduce", world.env.now_ps))

    world.process(programme())
    world.run()
    assert log == [("send", 4 * US), ("compute", 9 * US), ("all_reduce", 24 * US)]
    assert world.now == 24e-6


@pytest.mark.parametrize(
    "kind", ["reduce_scatter", "all_gather", "all_to_all", "broadcast", "reduce", "gather", "scatter"]
)
def test_every_collective_is_an_event(kind: str) -> None:
    """At the same instant as the one-call run, by the same automatic choice."""
    world = world_of()
    (end,) = ends(world, getattr(world, kind)("1 MB"))
    assert end == sim.collective(kind, star(), "1 MB", library="ideal").finished.at_ps
    world = world_of()
    (end,) = ends(world, getattr(world, kind)("1 MB", 2))
    assert end == sim.collective(kind, star(), "1 MB", ranks=2, library="ideal").finished.at_ps


def test_stragglers() -> None:
    """A chip at half its speed holds all of them up, or itself, from the next compute on."""
    graph = star()
    graph.graph["peak_flops"] = 1e12
    world = world_of(graph)
    first = world.compute(flops=1e7)
    world.set_chip(2, speed=0.5)
    everyone, itself, other = (
        world.compute(flops=1e7),
        world.compute(flops=1e7, chip=2),
        world.compute(seconds=1e-5, chip=1),
    )
    assert ends(world, first, everyone, itself, other) == [10 * US, 20 * US, 20 * US, 10 * US]
    world.set_chip(2, speed=1)
    assert ends(world, world.compute(flops=1e7)) == [30 * US]


def test_timeline_and_links() -> None:
    world = world_of()
    world.compute(seconds=1e-6, chip=3, name="forward")
    world.send(0, 1, "50 kB")
    world.run()
    assert world.timeline().to_dict("list") == {
        "actor": ["chip 3", "2 chips"],
        "what": ["forward", "send 0-1"],
        "kind": ["compute", "communication"],
        "start": [0.0, 0.0],
        "end": [1e-6, 3e-6],
    }
    links = world.links().set_index(["tail", "head"])
    assert list(links.columns) == ["tier", "bandwidth", "bytes", "utilisation"]
    assert links.loc[(0, "switch0"), "bytes"].item() == 50e3
    assert links.loc[("switch0", 1), "utilisation"].item() == pytest.approx(1 / 3)
    assert links["bytes"].sum() == 100e3


@pytest.mark.parametrize("network", EXACT)
def test_run_until_a_time_and_on(network: str) -> None:
    """Stopped in the middle of a transfer: half of it is through; the end is where it would have been."""
    world = world_of(network=network)
    done = world.send(0, 1, "100 kB")
    world.run(until="3 us")
    assert world.env.now_ps == 3 * US
    assert not done.triggered
    assert world.links()["bytes"].sum() == pytest.approx(2 * 50e3, rel=1e-12)
    assert ends(world, done) == [4 * US]


@pytest.mark.parametrize("network", EXACT)
def test_two_runs_are_the_same_bytes(network: str) -> None:
    graph = topologies.leaf_spine(12, per_leaf=3, oversubscription=3, bandwidth=50e9, latency=1e-6)

    def once() -> bytes:
        world = world_of(graph, network)
        for start, chips in ((0.0, range(0, 12, 2)), (1e-5, range(1, 12, 2))):
            at(world, start, lambda chips=chips: world.all_to_all(3e6, list(chips)))
        world.run()
        return world.links().to_csv().encode() + world.timeline().to_csv().encode()

    assert once() == once()


# ---------------------------------------------------------------- sharing


@pytest.mark.parametrize("network", EXACT)
def test_a_second_job_cuts_in(network: str) -> None:
    """200 kB and, 2 us after it began to move, 100 kB over the same link.

    Both at 50 GB/s: the first is half through at 4 us, when the second arrives
    (started at 2 us, latency 2 us); 25 GB/s each: 4 us for 100 kB; both end at 8 us.
    """
    world = world_of(network=network)
    first = world.send(0, 1, "200 kB")
    log: list[int] = []
    at(
        world,
        2e-6,
        lambda: world.send(2, 1, "100 kB").callbacks.append(lambda _: log.append(world.env.now_ps)),
    )
    assert ends(world, first) == [8 * US]
    assert log == [8 * US]


@pytest.mark.parametrize("network", EXACT)
def test_two_jobs_that_cross_take_turns(network: str) -> None:
    """Two rings of two through one link each way between two switches: half of it each, all the time.

    2 ranks, 100 kB: two steps of 3 us + 50 kB / 25 GB/s = 2 us. Alone: two steps of 3 + 1 us.
    """
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(4), kind="chip")
    graph.add_nodes_from("ab", kind="switch")
    for chip in range(4):
        graph.add_edge(chip, "ab"[chip % 2], bandwidth=50e9, latency=1e-6)
    graph.add_edge("a", "b", bandwidth=50e9, latency=1e-6)
    world = world_of(graph, network)
    two = [world.all_reduce(100e3, group, algorithm="ring") for group in ([0, 1], [2, 3])]
    assert ends(world, *two) == [10 * US, 10 * US]
    world = world_of(graph, network)
    assert ends(world, world.all_reduce(100e3, [0, 1], algorithm="ring")) == [8 * US]


@pytest.mark.parametrize("network", EXACT)
def test_jobs_on_other_chips_change_nothing(network: str) -> None:
    alone = world_of(star(8), network)
    (end,) = ends(alone, alone.all_reduce(1e6, [0, 1, 2, 3], algorithm="ring"))
    world = world_of(star(8), network)
    beside = world.all_to_all(1e7, [4, 5, 6, 7], algorithm="mesh")
    assert ends(world, world.all_reduce(1e6, [0, 1, 2, 3], algorithm="ring"), beside)[0] == end


# ---------------------------------------------------------------- mistakes, interruption


@pytest.mark.parametrize(
    ("do", "error", "says"),
    [
        (lambda w: w.set_link(0, 1, up=False), TopologyError, "no link 0 -> 1 in switch-4"),
        (lambda w: w.set_link(0, "leaf"), TopologyError, "no node 'leaf'"),
        (lambda w: w.set_link(0, "switch0", bandwidth="5 us"), UnitError, "bandwidth"),
        (lambda w: w.set_link(0, "switch0", bandwidth=-1.0), UnitError, "bandwidth"),
        (lambda w: w.set_chip(9, speed=1), TopologyError, "9 is not a chip"),
        (lambda w: w.set_chip(0, speed=0), UnitError, r"speed \(=0\)"),
        (lambda w: w.set_chip(0, speed=float("nan")), UnitError, r"speed \(=nan\)"),
        (lambda w: w.compute(), UnitError, "flops= or seconds="),
        (lambda w: w.compute(flops=1, seconds=1), UnitError, "flops= or seconds="),
        (lambda w: w.compute(flops=1e12), UnitError, "peak_flops"),
        (lambda w: w.compute(seconds="1 GB"), UnitError, "seconds"),
        (lambda w: w.compute(seconds=-1), UnitError, "seconds"),
        (lambda w: w.send(0, 0, 8), TopologyError, "listed twice"),
        (lambda w: w.send(0, "switch0", 8), TopologyError, "'switch0' is not a chip"),
        (lambda w: w.all_reduce("1 s"), UnitError, "size"),
        (lambda w: w.all_reduce(8, 5), TopologyError, r"ranks \(=5\) must be 1 to 4"),
        (lambda w: w.all_reduce(8, algorithm="rign"), UnknownNameError, "did you mean 'ring'"),
        (lambda w: w.collective("all_redcue", 8), UnknownNameError, "did you mean 'all_reduce'"),
        (lambda w: w.reduce_scatter(8, 3, algorithm="swing"), ScheduleError, "power of two"),
        (lambda w: w.send(0, 1, 1e19), CapacityError, "53 days"),
    ],
)
def test_mistakes_are_named_at_once(do: Any, error: type[Exception], says: str) -> None:
    world = world_of()
    with pytest.raises(error, match=says) as caught:
        do(world)
        world.run()
    assert "\n" not in str(caught.value)
    assert world.now == 0


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown network 'flud'; did you mean 'fluid'"):
        world_of(network="flud")


@pytest.mark.parametrize("network", EVERY)
def test_an_interruption_says_where(network: str) -> None:
    world = world_of(network=network)
    world.all_reduce("1 GB", algorithm="ring", name="gradients")

    def press() -> None:
        raise KeyboardInterrupt

    at(world, 1e-3, press)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted at 0.001 s of simulated time: gradients"):
        world.run()


@pytest.mark.parametrize("network", EVERY)
def test_an_interruption_just_before_the_end_is_one(network: str) -> None:
    """When the event that the simulation runs until has its place in the queue already."""
    world = world_of(network=network)
    end = world.env.event()

    def last() -> Any:
        yield world.env.timeout(1e-6)
        end.succeed()
        raise KeyboardInterrupt

    world.process(last())
    with pytest.raises(KeyboardInterrupt, match=r"interrupted at 1e-06 s"):
        world.run(until=end)


def test_an_exception_of_the_users_own_passes() -> None:
    world = world_of()

    def fail() -> None:
        raise RuntimeError("mine")

    at(world, 1e-6, fail)
    with pytest.raises(RuntimeError, match=r"^mine$"):
        world.run()


@pytest.mark.parametrize("network", EVERY)
def test_waiting_for_nothing_is_an_error(network: str) -> None:
    world = world_of(network=network)
    with pytest.raises(SimulationError, match=r"^switch-4: .*nothing .*\w$"):
        world.run(until=world.env.event())


@pytest.mark.parametrize("network", EVERY)
def test_jobs_at_the_very_same_instants(network: str) -> None:
    """Ten empty-handed jobs and ten real ones at one instant all end, each once."""
    world = world_of(network=network)
    done = [world.all_reduce(8, 1) for _ in range(10)] + [
        world.send(i % 4, (i + 1) % 4, 50e3) for i in range(10)
    ]
    finished = np.array(ends(world, *done))
    assert (finished[:10] == 0).all()
    assert (finished[10:] >= 3 * US).all()
    assert (finished[10:] <= 5 * US).all()
    assert repr(world).startswith("<World of switch-4 with 4 chips at ")
