"""Links that slow down, fail and come back: every end at its hand-computed instant."""

from __future__ import annotations

import networkx as nx
import pytest

import sim
from tests.sim.test_world import EXACT, US, at, ends, star, world_of
from topologies.errors import SimulationError


@pytest.mark.parametrize("network", EXACT)
def test_half_the_bandwidth_in_the_middle_of_a_transfer(network: str) -> None:
    """1 MB from 2 us on at 50 GB/s would end at 22 us. At 7 us, a quarter is through;
    the other 750 kB at 25 GB/s take 30 us: 37 us. The way back is not touched.
    """
    world = world_of(network=network)
    there, back = world.send(0, 1, "1 MB"), world.send(1, 0, "1 MB")
    at(world, 7e-6, lambda: world.set_link(0, "switch0", bandwidth="25 GB/s"))
    assert ends(world, there, back) == [37 * US, 22 * US]


@pytest.mark.parametrize("network", EXACT)
def test_half_the_bandwidth_in_the_middle_of_a_ring(network: str) -> None:
    """Four ranks, 1 MB: six steps of 2 us + 250 kB / 50 GB/s = 7 us each.

    The link of rank 0 halves at 17 us: the third step (14 to 21) holds its links
    from 16 us on; 50 kB are through, 200 kB at 25 GB/s: 8 us, to 25 us. Its ends do
    three more of 2 + 10 us, to 61 us; nobody is later.
    """
    world = world_of(network=network)
    done = world.all_reduce("1 MB", algorithm="ring")
    at(world, 17e-6, lambda: world.set_link(0, "switch0", bandwidth=25e9))
    assert ends(world, done) == [61 * US]


@pytest.mark.parametrize("network", EXACT)
def test_a_link_that_fails_and_comes_back(network: str) -> None:
    """1 MB from 2 us on; at 7 us 250 kB are through; down until 107 us; the other 15 us after that.

    A transfer that comes when the link is down waits the same way.
    """
    world = world_of(network=network)
    done = world.send(0, 1, "1 MB")
    log: list[int] = []
    at(world, 7e-6, lambda: world.set_link(0, "switch0", up=False))
    at(world, 107e-6, lambda: world.set_link(0, "switch0"))
    assert ends(world, done) == [122 * US]
    assert world.links()["bytes"].sum() == pytest.approx(2e6, rel=1e-12)

    world = world_of(network=network)
    world.set_link(0, "switch0", up=False)
    late = world.send(0, 1, "1 MB")
    late.callbacks.append(lambda _: log.append(world.env.now_ps))
    at(world, 50e-6, lambda: world.set_link(0, "switch0", bandwidth="100 GB/s"))
    world.run()
    assert log == [70 * US], "the other link of the path still has 50 GB/s"


@pytest.mark.parametrize("network", EXACT)
def test_a_link_that_fails_for_ever(network: str) -> None:
    """Named: the link, the collective, and the ranks that wait; nothing ends silently."""
    for until in (None, "event"):
        world = world_of(network=network)
        done = world.all_reduce("1 MB", [3, 1, 2], algorithm="ring", name="gradients")
        at(world, 4e-6, lambda world=world: world.set_link(1, "switch0", up=False))
        with pytest.raises(SimulationError, match="gradients") as caught:
            world.run(until=done if until else None)
        message = str(caught.value)
        assert "1 -> 'switch0'" in message
        assert "rank 1 to rank 2" in message
        assert "switch-4" in message
        assert "\n" not in message


@pytest.mark.parametrize("network", EXACT)
def test_every_link_that_holds_somebody_is_named(network: str) -> None:
    """Links that are merely down, or full, are not; of many transfers three are named."""
    world = world_of(star(8), network=network)
    for chip in (0, 1, 5):
        world.set_link(chip, "switch0", up=False)
    for chip in range(3):
        world.send(chip, 4, "1 MB")
    with pytest.raises(SimulationError) as caught:
        world.run()
    assert str(caught.value) == (
        "switch-8: at 2.2e-05 s nothing can happen any more: send 0-4 from rank 0 to rank 1, "
        "send 1-4 from rank 0 to rank 1 cannot move on link 0 -> 'switch0', link 1 -> 'switch0' "
        "with bandwidth 0; set the link up again with set_link"
    )
    world = world_of(star(8), network=network)
    world.set_link("switch0", 4, up=False)
    done = world.collective("gather", "1 MB", algorithm="mesh", root=4)
    with pytest.raises(SimulationError, match=r"and 4 more transfers .* 'switch0' -> 4 with bandwidth 0"):
        world.run(until=done)


def test_a_changed_link_stays_changed() -> None:
    """For jobs that start later, and until it is given its own bandwidth back."""
    world = world_of()
    world.set_link(0, "switch0", bandwidth=25e9)
    assert ends(world, world.send(0, 1, 100e3)) == [6 * US]
    world.set_link(0, "switch0")
    assert ends(world, world.send(0, 1, 100e3)) == [10 * US]


def test_parallel_links_change_alike() -> None:
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(2), kind="chip")
    for _ in range(2):
        graph.add_edge(0, 1, bandwidth=50e9, latency=1e-6)
    world = world_of(graph)
    world.set_link(0, 1, bandwidth=25e9)
    assert ends(world, world.send(0, 1, 50e3)) == [3 * US]


def test_a_measured_share_stays_with_a_changed_link() -> None:
    """efficiency 0.8: 40 GB/s for payload, then 0.8 x 25 GB/s, where a library counts it."""
    graph = star(2)
    for _, _, attributes in graph.edges(data=True):
        attributes["efficiency"] = 0.8
    library = sim.libraries.library("nccl")
    ends_of = []
    for bandwidth in (50e9, 25e9):
        world = sim.World(graph, library=library)
        world.set_link(0, "switch0", bandwidth=bandwidth)
        ends_of += ends(world, world.send(0, 1, 4e6, protocol="simple"))
    assert ends_of[1] - ends_of[0] == 100 * US


@pytest.mark.parametrize("network", EXACT)
def test_every_direction_of_a_link_is_its_own(network: str) -> None:
    """Down towards the switch, rank 0 still receives."""
    world = world_of(network=network)
    world.set_link(0, "switch0", up=False)
    assert ends(world, world.send(1, 0, "50 kB")) == [3 * US]


@pytest.mark.parametrize("network", EXACT)
def test_who_does_not_use_the_link_goes_on(network: str) -> None:
    """A link is down from 1 us to 1 s: the job through it waits, the other does not notice."""
    world = world_of(network=network)
    held, free = world.send(0, 1, "50 kB"), world.send(2, 3, "50 kB")
    at(world, 1e-6, lambda: world.set_link(0, "switch0", up=False))
    at(world, 1.0, lambda: world.set_link(0, "switch0"))
    assert ends(world, held, free) == [10**12 + 1 * US, 3 * US]


@pytest.mark.parametrize("network", EXACT)
def test_changes_at_one_instant_count_once(network: str) -> None:
    """Halved, doubled and halved again at 7 us: as halved once."""
    world = world_of(network=network)
    done = world.send(0, 1, "1 MB")
    for bandwidth in (25e9, 100e9, 25e9):
        at(world, 7e-6, lambda bandwidth=bandwidth: world.set_link(0, "switch0", bandwidth=bandwidth))
    assert ends(world, done) == [37 * US]


@pytest.mark.parametrize("network", EXACT)
@pytest.mark.parametrize("when", [0.0, 2e-6, 22e-6, 23e-6])
def test_a_change_at_the_edges_of_a_transfer(network: str, when: float) -> None:
    """1 MB holds its links from 2 to 22 us; at half the bandwidth from 0 or 2 us on, to 42."""
    world = world_of(network=network)
    done = world.send(0, 1, "1 MB")
    at(world, when, lambda: world.set_link(0, "switch0", bandwidth=25e9))
    assert ends(world, done) == [42 * US if when <= 2e-6 else 22 * US]


def test_the_analytic_network_counts_a_change_for_jobs_to_come() -> None:
    """No contention, no surprises: what is under way keeps its time."""
    world = world_of(network="analytic")
    first = world.send(0, 1, "1 MB")
    at(world, 7e-6, lambda: world.set_link(0, "switch0", bandwidth=25e9))
    assert ends(world, first) == [22 * US]
    assert ends(world, world.send(0, 1, "1 MB")) == [64 * US]
