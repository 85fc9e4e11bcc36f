"""Explanations: every figure is that of a run, and the words follow from the figures."""

from __future__ import annotations

import re

import pytest

import sim
import topologies
from sim.explain import CHEAP, effort, verdict
from topologies.errors import UnknownNameError


def said(run: sim.Run, topic: str, *, rerun: bool = True) -> str:
    return next((str(part) for part in run.explanation(rerun=rerun) if part.topic == topic), "")


def crossing() -> sim.Run:
    """Two transfers over one link of 10 GB/s: chips 0 and 1 on one switch, 2 and 3 on the other.

    An all-to-all by direct exchange of 10 MB a chip sends 2.5 MB from each to each;
    four of them cross the link one way: 10 MB, 1 ms; alone one takes 0.25 ms.
    """
    import networkx as nx

    graph: nx.Graph[object] = nx.Graph(name="crossing")
    graph.add_nodes_from(range(4), kind="chip")
    graph.add_nodes_from(("a", "b"), kind="switch")
    for chip in range(4):
        graph.add_edge(chip, "ab"[chip // 2], bandwidth=1e12, latency=0.0, tier="port")
    graph.add_edge("a", "b", bandwidth=10e9, latency=0.0, tier="trunk")
    return sim.all_to_all(graph, 10e6, algorithm="direct", library="ideal")


def test_contention_is_what_the_run_takes_longer_than_without_it() -> None:
    run = crossing()
    assert run.time == pytest.approx(1e-3, rel=1e-9)
    assert said(run, "contention") == (
        "Contention: 750 us, 75.0 % of the time; with every transfer alone on its links the run takes 250 us."
    )
    assert said(run, "bounded").startswith("Bounded by contention")
    assert "2 more" not in said(run, "links")
    assert "a -> b" in said(run, "links")
    assert re.search(r"a -> b +trunk +100\.0 %", said(run, "links"))
    assert "No contention was modelled" in said(run.again(network="analytic"), "contention")


def test_the_change_that_helps_most_is_the_narrow_link_at_twice_its_bandwidth() -> None:
    """1 ms of bytes over the trunk, no latency: twice the bandwidth is 0.5 ms, 100 % faster."""
    assert said(crossing(), "change") == (
        "What would help most: twice the bandwidth of trunk, 500 us, 100.0 % faster. (Each of these was run.)"
    )


def test_next_to_no_bytes_are_bounded_by_latency_and_helped_by_half_of_it() -> None:
    run = sim.all_reduce(topologies.ring(6, bandwidth="1e6 GB/s", latency="1 ms"), 8.0, library="ideal")
    assert said(run, "bounded") == (
        "Bounded by latency: the links' latency most of all; both together take 100.0 % of the time."
    )
    assert "half the latency of link" in said(run, "change")
    assert "100.0 % faster" in said(run, "change")


def test_runs_that_are_long_are_not_run_again_unasked() -> None:
    graph = topologies.leaf_spine(256, per_leaf=16, bandwidth="50 GB/s", latency="1 us")
    # Every chip to every other, and the leaves' first hop collides: nothing can be jumped over.
    order = sorted(range(256), key=lambda rank: rank % 16)
    run = sim.all_to_all(graph, "64 MiB", algorithm="pairwise", ranks=order)
    assert effort(run) > CHEAP
    text = run.explain()
    assert f"Not run again for its {effort(run):,.0f} transfers" in text
    assert "Contention" not in text


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"overhead": 3.0, "latency": 2.0, "serialisation:x": 4.0}, ("latency", "overhead", 5 / 9)),
        ({"overhead": 1.0, "serialisation:x": 2.0, "serialisation:y": 3.0}, ("bandwidth", "y", 5 / 6)),
        ({"serialisation:protocol": 1.0, "contention": 2.0}, ("contention", "contention", 2 / 3)),
        ({"waiting": 1.0, "latency": 0.0}, ("waiting", "waiting", 1.0)),
    ],
)
def test_the_verdict_is_the_largest_kind_of_cause(
    parts: dict[str, float], expected: tuple[str, str, float]
) -> None:
    kind, cause, share = verdict(parts)
    assert (kind, cause) == expected[:2]
    assert share == pytest.approx(expected[2])


def test_a_run_is_done_again_with_what_is_changed() -> None:
    run = sim.all_reduce(topologies.machine("hgx-h100", chips=16), "1 MiB", protocol="simple")
    twice = run.again(size="2 MiB")
    assert (twice.size, twice.protocol, twice.library) == (2.0**21, "simple", "nccl")
    assert run.again().time == run.time
    with pytest.raises(UnknownNameError, match="argument of again"):
        run.again(sizes=1)
