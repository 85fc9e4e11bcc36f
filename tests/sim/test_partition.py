"""Who is alike: the kernels' partition is that of textbook refinement, and is compared exactly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim import collectives
from sim.network.alphabet import Alphabet
from sim.network.job import Job
from sim.network.kernels import refine
from sim.network.partition import SHARE, Partition, _Graph, partition
from sim.numbering import firsts, number
from sim.routing import Router
from sim.transfers import Free, Loaded
from tests.sim.strategies import graphs, jobs


def job_of(
    graph: Any, kind: str, size: float, algorithm: str, chips: Sequence[Any] | None = None, **options: Any
) -> tuple[Job, Alphabet, list[Loaded]]:
    fabric = sim.compile_fabric(graph)
    number = {node: i for i, node in enumerate(fabric.nodes)}
    nodes = np.array([number[chip] for chip in chips or topologies.chips(graph)], dtype=np.int64)
    schedule = collectives.build(kind, nodes.size, size, algorithm, **options)
    arrivals = np.zeros(nodes.size, dtype=np.int64)
    job = Job("job", schedule.rounds, nodes, arrivals, Router(fabric), Free())
    alphabet = Alphabet.of(job)
    assert alphabet is not None
    return job, alphabet, alphabet.load(job, fabric.bandwidth)


def groups(colours: Iterable[Hashable], among: Iterable[int] | None = None) -> set[frozenset[int]]:
    found = defaultdict(set)
    for i, colour in enumerate(colours):
        if among is None or i in among:
            found[colour].add(i)
    return {frozenset(each) for each in found.values()}


def twin(
    job: Job, alphabet: Alphabet, loaded: list[Loaded], capacity: Any
) -> tuple[list[Any], list[Any], list[Any]]:
    """Colour refinement with tuples and counters: colours of ranks, transfers and links."""
    transfers: list[Any] = []
    ends: list[list[tuple[int, str]]] = []
    paths: list[list[tuple[int, float]]] = []
    where: list[list[int]] = [[] for _ in alphabet.parts]
    for step, line in enumerate(alphabet.lines):
        for part in line.parts:
            where[part].append(step)
    for part, one in enumerate(loaded):
        for i in range(one.round.src.size):
            alone = (
                one.round.bytes[i], one.costs.overhead_ps[i], one.costs.cap[i], one.costs.wire_bytes[i],
                one.costs.reduce_ps[i], one.paths.latency_ps[i], one.ideal_ps[i], one.tier[i],
            )  # fmt: skip
            transfers.append((tuple(where[part]), *(float(value) for value in alone)))
            mine = [(int(one.round.src[i]), "src"), (int(one.round.dst[i]), "dst")]
            if one.waits is not None:
                at, who = one.waits.ends
                mine += [(int(r), "member") for r in who[at[i] : at[i + 1]]]
            ends.append(mine)
            lo, hi = one.paths.start[i], one.paths.start[i + 1]
            passed = zip(one.paths.link[lo:hi].tolist(), one.paths.weight[lo:hi].tolist(), strict=True)
            paths.append(list(passed))
    ranks: list[Any] = job.arrivals.tolist()
    links: list[Any] = capacity.tolist()
    sizes = None
    while sizes != (sizes := (len(set(ranks)), len(set(transfers)), len(set(links)))):
        ended: list[Counter[Any]] = [Counter() for _ in ranks]
        borne: list[Counter[Any]] = [Counter() for _ in links]
        for f, colour in enumerate(transfers):
            for rank, role in ends[f]:
                ended[rank][colour, role] += 1
            for link, weight in paths[f]:
                borne[link][colour, weight] += 1
        ranks = numbered((old, frozenset(new.items())) for old, new in zip(ranks, ended, strict=True))
        links = numbered((old, frozenset(new.items())) for old, new in zip(links, borne, strict=True))
        transfers = numbered(
            (
                old,
                frozenset(Counter((ranks[r], role) for r, role in ends[f]).items()),
                frozenset(Counter((links[l], weight) for l, weight in paths[f]).items()),
            )
            for f, old in enumerate(transfers)
        )
    return ranks, transfers, links


def numbered(colours: Iterable[Hashable]) -> list[Any]:
    names: dict[Hashable, int] = {}
    return [names.setdefault(colour, len(names)) for colour in colours]


def assert_as_the_twin(job: Job, alphabet: Alphabet, loaded: list[Loaded]) -> Partition | None:
    capacity = job.router.bundles.narrowest(job.router.fabric.bandwidth)[0]
    found = partition(job, alphabet, loaded, capacity)
    ranks, transfers, links = twin(job, alphabet, loaded, capacity)
    if found is None:
        assert len(set(transfers)) > SHARE * len(transfers)
        return None
    assert groups(found.transfer.tolist()) == groups(transfers)
    assert groups(found.rank.tolist()) == groups(ranks)
    used = {int(l) for one in loaded for l in one.paths.link}
    assert groups(found.link.tolist(), used) == groups(links, used)
    return found


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_job_on_any_graph(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    drawn = data.draw(jobs(graph).filter(lambda job: len(job.chips) > 1))
    assert_as_the_twin(*job_of(graph, drawn.kind, drawn.size, drawn.algorithm, drawn.chips))


# The two trees mirror each other, so that half the hosts are left; of each one chip, where a turn by
# one place changes nothing, or four.
@pytest.mark.parametrize(
    ("machine", "chips", "algorithm", "options", "ranks"),
    [
        ("hgx-h100", 64, "tree", {"channels": "auto", "pipeline": 3}, 4),
        ("hgx-h100", 32, "nvls_tree", {}, 2),
        ("metax-c500", 64, "tree", {"channels": "auto", "pipeline": 3}, 16),
        ("mtt-s5000", 64, "tree", {"channels": "auto", "pipeline": 3}, 4),
    ],
)
def test_machines(machine: str, chips: int, algorithm: str, options: dict[str, Any], ranks: int) -> None:
    graph = topologies.machine(machine, chips=chips)
    options = {**options, "groups": np.arange(chips) // 8}
    found = assert_as_the_twin(*job_of(graph, "all_reduce", 2.0**20, algorithm, **options))
    assert found is not None and found.rank.max() + 1 == ranks


def test_a_ring_of_equals_is_one_rank() -> None:
    graph = topologies.switch(12, bandwidth="50 GB/s", latency="1 us")
    found = assert_as_the_twin(*job_of(graph, "all_reduce", 1e6, "ring"))
    assert found is not None and set(found.rank.tolist()) == {0}


def test_one_slow_link_tells_all_of_a_ring_apart() -> None:
    graph = topologies.ring(12, bandwidth="50 GB/s", latency="1 us")
    graph.edges[0, 1]["bandwidth"] = 49e9
    assert assert_as_the_twin(*job_of(graph, "all_reduce", 1e6, "ring")) is None


def test_what_is_known_of_a_fabric_serves_the_same_job_only() -> None:
    """One fabric, job after job: other bytes keep the partition, whatever else changes makes another."""
    graph = topologies.machine("hgx-h100", chips=32)
    fabric = sim.compile_fabric(graph)
    slow = fabric.bandwidth.copy()
    slow[np.flatnonzero(fabric.tier == fabric.tier.max())[0]] /= 2
    kept: list[int] = []
    for size, algorithm, pieces, bandwidth in [
        (2.0**20, "double_binary_tree", 8, fabric.bandwidth),
        (2.0**24, "double_binary_tree", 8, fabric.bandwidth),
        (2.0**24, "double_binary_tree", 8, slow),
        (2.0**24, "ring", None, fabric.bandwidth),
        (2.0**24, "double_binary_tree", 8, fabric.bandwidth),
    ]:
        options = {} if pieces is None else {"pipeline": pieces}
        job, alphabet, loaded = job_of(
            fabric, "all_reduce", size, algorithm, topologies.chips(graph), **options
        )
        found = partition(job, alphabet, loaded, bandwidth)
        alone = job_of(graph, "all_reduce", size, algorithm, **options)
        fresh = partition(*alone, bandwidth)
        kept.append(len(fabric.notes["partitions"]))
        assert (found is None) == (fresh is None)
        if found is not None and fresh is not None:
            for mine, other in zip(_arrays(found), _arrays(fresh), strict=True):
                np.testing.assert_array_equal(mine, other)
    assert kept == [1, 1, 2, 3, 3]


def _arrays(found: Partition) -> list[Any]:
    return [found.rank, found.transfer, found.link, found.start, found.passed, found.weight]


def test_colours_that_are_too_coarse_are_found_out() -> None:
    """What hashes say is compared exactly: two colours made one do not pass."""
    job, alphabet, loaded = job_of(
        topologies.machine("hgx-h100", chips=64), "all_reduce", 2.0**20, "tree", channels="auto",
        groups=np.arange(64) // 8, pipeline=3,
    )  # fmt: skip
    capacity = job.router.bundles.narrowest(job.router.fabric.bandwidth)[0]
    found = partition(job, alphabet, loaded, capacity)
    assert found is not None
    graph = _Graph.of(job, alphabet, loaded, capacity)
    assert graph.equitable(found.rank, found.transfer, found.link)
    for spoilt in ("rank", "transfer", "link"):
        colours = {name: getattr(found, name).copy() for name in ("rank", "transfer", "link")}
        used = np.unique(found.passed) if spoilt == "link" else np.arange(colours[spoilt].size)
        last = colours[spoilt][used].max()
        colours[spoilt][colours[spoilt] == last] = colours[spoilt][used].min()
        assert not graph.equitable(colours["rank"], colours["transfer"], colours["link"]), spoilt


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), max_size=40))
def test_numbering_by_first_appearance(pairs: list[tuple[int, int]]) -> None:
    colour, value = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    found = np.empty(len(pairs), dtype=np.int64)
    table = np.full(2, -1, dtype=np.int64)
    count = number(colour, value, table, found)
    assert found.tolist() == numbered(pairs) and count == len(set(pairs))
    assert firsts(found).tolist() == [pairs.index(pair) for pair in dict.fromkeys(pairs)]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=40), st.randoms())
def test_sums_of_hashes_do_not_depend_on_the_order(pairs: list[tuple[int, int]], chance: Any) -> None:
    """Equal sets, equal sums; and sets that differ, in how often a colour comes too, do not."""

    def sums(which: list[tuple[int, int]]) -> list[int]:
        index, colour = (np.array([pair[i] for pair in which], dtype=np.int64) for i in (0, 1))
        total = np.zeros(5, dtype=np.uint64)
        here = np.arange(len(which))
        refine.add_hashes(index, colour, here, np.zeros(len(which), dtype=np.int64), 1, total)
        return [int(value) for value in total]

    shuffled = chance.sample(pairs, len(pairs))
    assert sums(pairs) == sums(shuffled)
    if pairs:
        assert sums([*pairs, pairs[0]]) != sums(pairs)


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=8),
    st.randoms(),
)
def test_words_are_compared_in_any_order(
    bags: list[list[int]], more: list[tuple[int, int]], chance: Any
) -> None:
    """Items 0, 1, ... are shuffled copies of bags, and some get a word more: the first unlike its leader."""
    items = [chance.sample(bag, len(bag)) for bag in bags for _ in range(2)]
    for item, word in more:
        items[item % len(items)].append(word)
    pairs = [(i, word) for i, words in enumerate(items) for word in words]
    chance.shuffle(pairs)
    index, word = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    begin = np.concatenate([[0], np.cumsum([len(words) for words in items])])
    words = np.empty(len(pairs), dtype=np.int64)
    refine.by_index(index, word, begin[:-1].copy(), words)
    stretches = [words[a:b].tolist() for a, b in pairwise(begin)]
    assert [sorted(each) for each in stretches] == [sorted(words) for words in items]
    leader = np.arange(len(items)) // 2 * 2
    unlike = [i for i, r in enumerate(leader) if sorted(items[i]) != sorted(items[r])]
    times = np.zeros(4, dtype=np.int64)
    assert refine.first_unlike(begin, words, leader, times) == (unlike[0] if unlike else -1)
    assert unlike or not times.any()
