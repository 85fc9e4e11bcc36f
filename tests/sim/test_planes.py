"""Links that the same transfers pass: one is left, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.network import fluid, folding
from sim.network.kernels import refine
from sim.network.planes import thin
from sim.routing.paths import Paths
from sim.schedule import Round
from sim.transfers import Loaded, TransferCosts
from sim.waits import offsets_of

LINKS = 8


def loaded_of(paths: list[list[tuple[int, float]]]) -> Loaded:
    """Transfers that pass these links with these weights."""
    m = len(paths)
    nothing, every = np.zeros(m, dtype=np.int64), [passage for path in paths for passage in path]
    held = Paths(
        offsets_of(np.array([len(path) for path in paths], dtype=np.int64)),
        np.array([link for link, _ in every], dtype=np.int32),
        np.array([weight for _, weight in every]),
        nothing,
        np.zeros(m, dtype=np.bool_),
    )
    costs = TransferCosts(nothing, np.full(m, np.inf), np.ones(m), nothing)
    return Loaded(Round(nothing, nothing + 1, np.ones(m)), (held,), held, costs, nothing, nothing)


def paths_of(one: Loaded) -> list[list[tuple[int, float]]]:
    p = one.paths
    spans = zip(p.start[:-1], p.start[1:], strict=True)
    return [list(zip(p.link[a:b].tolist(), p.weight[a:b].tolist(), strict=True)) for a, b in spans]


some_paths = st.lists(
    st.dictionaries(st.integers(0, LINKS - 1), st.sampled_from([0.5, 1.0]), max_size=LINKS).map(
        lambda path: list(path.items())
    ),
    min_size=1,
    max_size=4,
)


@given(
    st.lists(some_paths, min_size=1, max_size=3), st.lists(st.integers(1, 3), min_size=LINKS, max_size=LINKS)
)
def test_the_narrowest_of_all_with_the_same_transfers_is_left(
    parts: list[list[list[tuple[int, float]]]], capacity: list[int]
) -> None:
    """As sets of (transfer, weight) say it, over all parts together."""
    passed: dict[int, set[tuple[int, float]]] = {link: set() for link in range(LINKS)}
    for f, path in enumerate(path for part in parts for path in part):
        for link, weight in path:
            passed[link].add((f, weight))
    stands_for = list(range(LINKS))
    for link in range(LINKS):
        if passed[link]:
            like = [other for other in range(LINKS) if passed[other] == passed[link]]
            stands_for[link] = min(like, key=lambda other: (capacity[other], other))
    found = thin([loaded_of(part) for part in parts], np.array(capacity, dtype=np.float64))
    assert found.stands_for.tolist() == stands_for
    for one, part in zip(found.loaded, parts, strict=True):
        assert paths_of(one) == [[each for each in path if stands_for[each[0]] == each[0]] for path in part]
    left, every = (
        sum(len(path) for part in ps for path in part) for ps in (map(paths_of, found.loaded), parts)
    )
    assert found.share == (left / every if every else 1.0)


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param([[(0, 1.0), (1, 1.0)], [(1, 1.0)]], id="another transfer"),
        pytest.param([[(0, 1.0), (1, 0.5)]], id="another weight"),
        pytest.param([[(0, 1.0), (1, 1.0), (1, 1.0)]], id="twice"),
        pytest.param([[(0, 1.0)], [(1, 1.0)]], id="apart"),
    ],
)
def test_equal_hashes_of_unlike_links_are_found_out(paths: list[list[tuple[int, float]]]) -> None:
    """Link 1 is said to be like link 0 and is not: what the hashes say is compared."""
    p = loaded_of(paths).paths
    times = [sum(link == l for path in paths for link, _ in path) for l in (0, 1)]
    leader = np.array([0, 0], dtype=np.int32)
    alike = refine.passed_alike(
        p.start, p.link, p.weight.view(np.uint64), leader, np.zeros(2, dtype=np.int64)
    )
    assert not (alike and times[0] == times[1])


def test_hashes_that_are_equal_by_chance_leave_every_link(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(first: int, start: Any, link: Any, weight: Any, passed: Any) -> None:
        for each in link:
            passed[each] += np.array([1, 1], dtype=np.uint64)

    monkeypatch.setattr(refine, "add_passages", blind)
    one = loaded_of([[(0, 1.0)], [(1, 1.0)]])
    assert thin([one], np.ones(2)).loaded == [one]


@pytest.fixture
def only_links(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Small jobs are looked at, too; notes what share of the passages each has left."""
    shares = []

    def watched(*arguments: Any) -> Any:
        found = thin(*arguments)
        shares.append(found.share)
        return found

    monkeypatch.setattr(folding, "WORTHWHILE", 0)
    monkeypatch.setattr(folding, "thin", watched)
    return shares


def uneven(machine: str, chips: int, seed: int) -> nx.Graph:
    """A machine no two of whose chips are alike, nor two of the links between switches.

    The links of one chip stay as they were to each other: they say how it is sprayed.
    """
    graph = topologies.machine(machine, chips=chips)
    chance = np.random.default_rng(seed)
    by_chip = {chip: chance.uniform(0.9, 1.1) for chip in topologies.chips(graph)}
    for tail, head, attributes in graph.edges(data=True):
        factor = next((by_chip[end] for end in (tail, head) if end in by_chip), chance.uniform(0.9, 1.1))
        attributes["bandwidth"] = float(attributes["bandwidth"]) * factor
    return graph


@given(
    st.sampled_from([("longcat-pod", 96), ("cloudmatrix384", 48), ("atlas-950", 64)]),
    st.sampled_from(["halving_doubling", "double_binary_tree", "tree"]),
    st.integers(0, 2**16),
)
@settings(max_examples=12, deadline=None)
def test_planes_of_uneven_machines(machine: tuple[str, int], algorithm: str, seed: int) -> None:
    """The same picosecond, the same bytes on every link, whatever each plane can carry."""
    graph = uneven(*machine, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "WORTHWHILE", 0)
        may, whole = (
            sim.all_reduce(graph, 2.0**24, algorithm=algorithm, library="ideal", fast_forward=on)
            for on in (True, False)
        )
    assert may.finished.at_ps == whole.finished.at_ps
    np.testing.assert_allclose(may.carried, whole.carried, rtol=1e-9, atol=1e-3)
    assert may.cost.transfers == whole.cost.transfers
    assert sum(may.finished.account) == sum(whole.finished.account)


def test_planes_alone_are_folded(only_links: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sprayed over eight planes, no two chips alike: the links of one plane are left, and all ranks."""
    ranks = []

    def watched(*arguments: Any) -> Any:
        found = folding.fold(*arguments)
        ranks.append(None if found is None else found.job.nodes.size)
        return found

    monkeypatch.setattr(fluid, "fold", watched)
    sim.all_reduce(uneven("longcat-pod", 96, 1), 2.0**24, algorithm="tree", library="ideal")
    assert ranks == [96] and only_links[-1] < 0.5


def test_a_path_keeps_what_it_is_told_of() -> None:
    """Latency and the outside of a path are those of all its links, also of those that are gone."""
    one = loaded_of([[(0, 1.0), (1, 1.0)]])
    one = replace(one, paths=replace(one.paths, latency_ps=np.array([7]), outside=np.array([True])))
    (left,) = thin([one], np.array([2.0, 1.0])).loaded
    assert paths_of(left) == [[(1, 1.0)]] and left.paths.latency_ps[0] == 7 and left.paths.outside[0]
