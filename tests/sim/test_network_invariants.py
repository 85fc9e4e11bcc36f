"""What holds for every algorithm on every graph: bytes conserved, capacity kept, bounds not beaten."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim import collectives
from sim.routing import Router
from sim.schedule import FloatArray
from tests.sim.strategies import SHAPES, SIZES, Situation, behind_switches, graphs, jobs, situations
from tests.sim.test_equality import simulate
from topologies.errors import RouteError

ALGORITHMS = [
    (kind, name)
    for kind in collectives.kinds()
    for name in collectives.algorithms(kind)
    if kind != "barrier" and name != "hierarchical"
]
NETWORKS = ("fluid", "reference", "analytic")


def routed_bytes(run: sim.Run) -> FloatArray:
    """Bytes that the schedule puts on each link: payload x weight over all rounds and repetitions."""
    router = Router(run.fabric)
    total = np.zeros(run.fabric.links)
    for r in run.plan.schedule.rounds():
        if r.src.size:
            nodes = run.plan.nodes
            if r.trees is None:
                paths = router.route(nodes[r.src], nodes[r.dst])
            else:
                (up, senders), (down, receivers) = r.trees.up, r.trees.down
                paths = router.trees((up, nodes[senders]), (down, nodes[receivers]), nodes[r.src])
            each = np.repeat(r.bytes * r.repeat, np.diff(paths.start)) * paths.weight
            np.add.at(total, paths.link, each)
    return total


def assert_physical(run: sim.Run, *, contention: bool = True) -> None:
    """Every byte has arrived, once, where it was routed; links and bounds are kept."""
    np.testing.assert_allclose(run.carried, routed_bytes(run), rtol=1e-9, atol=1e-6)
    if run.ranks == 1:
        assert run.time == run.lower_bound == 0 == run.carried.sum()
        return
    # A picosecond is the grain of time: a run of a few of them may end up to one too early for the share.
    slack = 1e-12 * run.fabric.bandwidth.max()
    if contention:
        assert (run.carried <= run.fabric.bandwidth * run.time * (1 + 1e-9) + slack).all()
        assert run.links["utilisation"].max() <= 1 + 1e-9
        assert run.time >= run.lower_bound * (1 - 1e-9)
    if run.plan.schedule.in_network:
        return  # a switch sends on less than it gets, or more
    out = np.bincount(run.fabric.tail, weights=run.carried, minlength=len(run.fabric.nodes))
    into = np.bincount(run.fabric.head, weights=run.carried, minlength=len(run.fabric.nodes))
    relays = run.fabric.kind != 0
    np.testing.assert_allclose(out[relays], into[relays], rtol=1e-9, atol=1e-6)


@given(st.data())
@settings(max_examples=200)
def test_any_collective_on_any_graph(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    job = data.draw(jobs(graph))
    network = data.draw(st.sampled_from(NETWORKS))
    run = sim.collective(
        job.kind,
        graph,
        job.size,
        ranks=list(job.chips),
        algorithm=job.algorithm,
        library="ideal",
        network=network,
    )
    assert_physical(run, contention=network != "analytic")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kind", "name"), ALGORITHMS, ids=lambda x: x)
def test_every_algorithm_on_every_shape(shape: str, kind: str, name: str) -> None:
    """Eight or nine chips where the shape allows, at a size below a byte a rank and a large one."""
    import random

    values = {"bandwidth": 25e9, "latency": 1e-6}
    graph = SHAPES[shape](random.Random(1), 8, values)
    p = len(topologies.chips(graph))
    while collectives.serves(kind, name, p) is not None:
        p -= 1
    if p > 1 and collectives.uses_network(kind, name) and not behind_switches(graph):
        with pytest.raises(RouteError, match="cannot reduce"):
            sim.collective(kind, graph, 1.0, algorithm=name, library="ideal")
        return
    for size in (SIZES[0], SIZES[-1]):
        for fast_forward in (True, False):
            assert_physical(
                sim.collective(
                    kind, graph, size, ranks=p, algorithm=name, library="ideal", fast_forward=fast_forward
                )
            )


@given(situations(most_jobs=3, most_faults=2))
@settings(max_examples=80)
def test_nothing_is_lost_when_jobs_cross_and_links_fail(case: Situation) -> None:
    """Carried bytes are those of the jobs routed alone, added up."""
    _, carried = simulate(case, "fluid", True)
    world = sim.World(case.graph, library=case.library)
    protocol = world.library.protocols[-1]
    total = np.zeros(world.fabric.links)
    for job in case.jobs:
        run = sim.collective(
            job.kind, case.graph, job.size, ranks=list(job.chips), algorithm=job.algorithm,
            library=world.library, protocol=protocol, network="analytic",
        )  # fmt: skip
        (wire,) = set(run.plan.costs.steps.stretch)
        total += wire * routed_bytes(run)
    np.testing.assert_allclose(carried, total, rtol=1e-9, atol=1e-3)


@given(st.data())
@settings(max_examples=60)
def test_at_any_instant_no_link_has_carried_more_than_it_can(data: st.DataObject) -> None:
    """Looked at in the middle, again and again: never above capacity x time, never less than before."""
    graph = data.draw(graphs())
    job = data.draw(jobs(graph, start=False))
    network = data.draw(st.sampled_from(["fluid", "reference"]))
    world = sim.World(graph, library="ideal", network=network)
    done = world.collective(job.kind, job.size, list(job.chips), algorithm=job.algorithm)
    before = world.network.carried()
    for _ in range(6):
        world.run(until=world.now + 7.7e-6)
        carried = world.network.carried()
        assert (carried >= before * (1 - 1e-9) - 1e-6).all()
        assert (carried - before <= world.fabric.bandwidth * 7.7e-6 * (1 + 1e-9) + 1e-3).all()
        before = carried
    if not done.processed:
        world.run(until=done)
    alone = sim.collective(
        job.kind, graph, job.size, ranks=list(job.chips), algorithm=job.algorithm, library="ideal"
    )
    assert done.value.at_ps == alone.finished.at_ps, "looking has changed the run"
    np.testing.assert_allclose(world.network.carried(), alone.carried, rtol=1e-9, atol=1e-3)


@given(graphs(), st.sampled_from(SIZES))
@settings(max_examples=60)
def test_contention_never_helps(graph: object, size: float) -> None:
    """The time with sharing is at least that of transfers that do not see each other."""
    for name in ("ring", "mesh"):
        times = [
            sim.all_reduce(graph, size, algorithm=name, library="ideal", network=network).time  # type: ignore[arg-type]
            for network in ("fluid", "analytic")
        ]
        assert times[0] >= times[1]
