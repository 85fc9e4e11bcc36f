"""Jobs in which many do the same: folded, they end at the same picosecond with the same bytes."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.libraries import library
from sim.network import folding
from sim.network.alphabet import Alphabet
from sim.network.folding import fold

folded_by: list[int] = []


@pytest.fixture(autouse=True)
def folds_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small jobs too, and the number of chips that one stood for is noted."""
    from sim.network import fluid

    folded_by.clear()

    def watched(*arguments: Any) -> Any:
        found = fold(*arguments)
        folded_by.append(0 if found is None else arguments[0].nodes.size // found.job.nodes.size)
        return found

    monkeypatch.setattr(folding, "WORTHWHILE", 0)
    monkeypatch.setattr(fluid, "fold", watched)


def both(graph: Any, size: float, **options: Any) -> tuple[sim.Run, sim.Run]:
    """A run that may fold, and one in which every transfer is an event."""
    runs = [sim.all_reduce(graph, size, fast_forward=on, **options) for on in (True, False)]
    return runs[0], runs[1]


def assert_same(graph: Any, size: float, **options: Any) -> None:
    may, whole = both(graph, size, **options)
    assert may.finished.at_ps == whole.finished.at_ps
    np.testing.assert_allclose(may.carried, whole.carried, rtol=1e-9, atol=1e-3)
    assert may.cost.transfers == whole.cost.transfers
    assert sum(may.finished.account) == sum(whole.finished.account)


# Trees share links between their rounds, so that the contention-free recursion does not serve.
@pytest.mark.parametrize(
    ("machine", "chips", "times"),
    [
        ("hgx-h100", 32, 16),  # the chips of a host, and each host like its mirror image
        ("hgx-h100", 256, 16),
        ("hgx-a100", 64, 16),
        ("dgx-v100", 32, 0),  # four NICs for eight chips: a turn by two, and channels that turn by one
        ("mi300x", 64, 16),
        ("polaris", 32, 0),
    ],
)
def test_channels_that_turn_with_the_host(machine: str, chips: int, times: int) -> None:
    graph = topologies.machine(machine, chips=chips)
    assert_same(graph, 2.0**26, algorithm="double_binary_tree", channels="auto", pipeline=8, library="ideal")
    if times:
        assert folded_by == [times]


def test_a_link_that_stays_bears_all_images() -> None:
    """Hosts of two chips behind one bridge: its upward link carries what both chips send."""
    graph = nx.Graph()
    graph.add_node("switch", kind="switch")
    for host in range(6):
        graph.add_node(f"bridge{host}", kind="host", host=host)
        graph.add_edge(f"bridge{host}", "switch", bandwidth=40e9, latency=1e-6)
        for place in range(2):
            graph.add_node((host, place), kind="chip", host=host)
            graph.add_edge((host, place), f"bridge{host}", bandwidth=50e9, latency=5e-7)
    assert_same(graph, 2.0**24, algorithm="double_binary_tree", channels="auto", pipeline=4, library="ideal")
    assert folded_by == [4]


@pytest.mark.parametrize(
    ("machine", "chips", "times"),
    [
        ("hgx-h100", 2048, 16),  # the leaves of two rails share spines
        ("mtt-s5000", 512, 16),  # no rails: D-mod-k by address, whose digits turn with the host
        ("hgx-b200", 256, 16),
        ("zhenwu-810e", 256, 16),  # a NIC for every chip, hosts of two domains
        ("metax-c500", 256, 8),
        ("mi250x", 128, 4),
    ],
)
@pytest.mark.parametrize("size", [2.0**20, 2.0**26])
def test_what_libraries_choose_at_scale(machine: str, chips: int, times: int, size: float) -> None:
    fabric = sim.compile_fabric(topologies.machine(machine, chips=chips))
    assert_same(fabric, size)
    assert folded_by == [times]


@pytest.mark.parametrize("algorithm", ["tree", "ring"])
@pytest.mark.parametrize("machine", ["hgx-h100", "metax-c500"])
def test_receivers_that_take_time_to_add(machine: str, algorithm: str) -> None:
    """What arrives at a receiver at once is a matter of the whole round, not of one transfer for many."""
    rates = {f"protocol.{name}.reduce_rate": "300 GB/s" for name in ("simple", "ll", "ll128")}
    slow = library("nccl").with_parameters(rates)
    graph = topologies.machine(machine, chips=32)
    may, whole = both(graph, 12345678.9, algorithm=algorithm, library=slow)
    assert may.finished.at_ps == whole.finished.at_ps
    np.testing.assert_allclose(may.carried, whole.carried, rtol=1e-9, atol=1e-3)
    assert folded_by[0] > 1


def test_jumps_keep_the_account_of_what_is_being_added() -> None:
    slow = library("nccl").with_parameters({"protocol.ll128.reduce_rate": "300 GB/s"})
    graph = topologies.machine("hgx-h100", chips=32)
    may, whole = both(graph, 12345678.9, algorithm="tree", protocol="ll128", library=slow)
    assert sum(may.finished.account) == sum(whole.finished.account)


def test_trees_of_switches_fold() -> None:
    """NVLS: each chip's tree is like the next chip's, whose members are the same."""
    graph = topologies.machine("hgx-h100", chips=128)
    assert_same(graph, 2.0**26, algorithm="nvls_tree")
    assert folded_by == [16]


@pytest.mark.parametrize(("why", "most"), [("one channel", 2), ("a slow link", 2), ("some ranks", 1)])
def test_what_is_not_alike_is_not_folded(why: str, most: int) -> None:
    """One channel leaves the mirror image of a host; a slow link all but the mirror images it reaches."""
    graph = topologies.machine("hgx-h100", chips=32)
    options: dict[str, Any] = {"channels": "auto"}
    if why == "one channel":
        options = {}
    elif why == "a slow link":
        tail, head, attributes = next(
            (u, v, a) for u, v, a in graph.edges(data=True) if a["tier"] == "nvlink4"
        )
        graph.edges[tail, head]["bandwidth"] = 0.9 * attributes["bandwidth"]
    else:
        options["ranks"] = topologies.chips(graph)[:31]
        options["channels"] = 7
    assert_same(graph, 2.0**24, algorithm="double_binary_tree", pipeline=4, library="ideal", **options)
    assert folded_by[0] <= most


@pytest.mark.parametrize(("chips", "looked_at"), [(32, True), (72, False)])
def test_who_does_each_of_many_once_is_sooner_simulated(
    chips: int, looked_at: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An all-to-all of many ranks is not even loaded to be folded; one of few is."""
    loaded: list[int] = []

    def watched(self: Alphabet, *arguments: Any) -> Any:
        loaded.append(int(self.starts[-1]))
        return load(self, *arguments)

    load = Alphabet.load
    monkeypatch.setattr(Alphabet, "load", watched)
    graph = topologies.leaf_spine(chips, per_leaf=8, oversubscription=4, bandwidth=50e9, latency=1e-6)
    sim.all_to_all(graph, 2.0**20, algorithm="pairwise", library="ideal")
    assert bool(loaded) == looked_at and len(folded_by) == 1


def test_somebody_interferes() -> None:
    """A link that slows down in the middle of a folded job: as if it had never been folded."""
    ends = []
    for forward in (True, False):
        graph = topologies.machine("hgx-h100", chips=32)
        world = sim.World(graph, library="ideal", fast_forward=forward)
        done = world.all_reduce(2.0**26, algorithm="double_binary_tree", channels="auto", pipeline=8)
        tail, head = next((u, v) for u, v, a in graph.edges(data=True) if a["tier"] == "nvlink4")

        def slow(world: Any = world, tail: Any = tail, head: Any = head) -> Any:
            yield world.env.timeout(2e-4)
            world.set_link(tail, head, bandwidth=5e9)

        world.process(slow())
        ends.append((world.run(until=done).at_ps, world.network.carried()))
    assert folded_by[0] == 16 and ends[0][0] == ends[1][0]
    np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=1e-9, atol=1e-3)


@given(
    st.sampled_from(
        ["hgx-h100", "hgx-a100", "mi300x", "gb200-nvl72", "atlas-800t-a2", "longcat-pod", "mtt-s5000"]
    ),
    st.sampled_from([16, 32, 48, 72, 144]),
    st.sampled_from(
        ["ring", "double_binary_tree", "halving_doubling", "tree", "hierarchical:ring/double_binary_tree"]
    ),
    st.sampled_from([1, 2, 4, "auto"]),
    st.sampled_from([2.0**16, 2.0**24, 12345678.9]),
)
@settings(max_examples=60, deadline=None)
def test_machines_and_algorithms(machine: str, chips: int, name: str, channels: Any, size: float) -> None:
    graph = topologies.machine(machine, chips=chips)
    assert_same(graph, size, algorithm=name, channels=channels, library="ideal")
