"""The one-call face: what a run says of itself, who takes part, and every mistake in one line."""

from __future__ import annotations

import json
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim import collectives
from sim.bounds import bus_factor
from tests.sim.strategies import graphs, jobs
from topologies.errors import (
    CapacityError,
    ChipweaveError,
    MachineError,
    RouteError,
    ScheduleError,
    TopologyError,
    UnitError,
    UnknownNameError,
)

LINK = {"bandwidth": 50e9, "latency": 1e-6}


def star(p: int = 8) -> nx.Graph[Any]:
    return topologies.switch(p, **LINK)


# ---------------------------------------------------------------- fields


def test_fields_of_a_run() -> None:
    """Ring of 8 on a star, 64 MiB: 14 steps of 2 us + 8 MiB / 50 GB/s."""
    run = sim.all_reduce(star(), "64 MiB", algorithm="ring", library="ideal")
    n = 64 * 2**20
    assert (run.kind, run.algorithm, run.protocol, run.library) == ("all_reduce", "ring", "plain", "ideal")
    assert (run.ranks, run.size) == (8, n)
    assert run.time == pytest.approx(14 * (2e-6 + n / 8 / 50e9), rel=1e-9)
    assert run.algbw == n / run.time
    assert run.busbw == pytest.approx(run.algbw * 14 / 8)
    assert run.efficiency == run.lower_bound / run.time
    assert 0 <= run.lower_bound - 2 * 7 / 8 * n / 50e9 < 2e-6
    assert run.rounds["repeat"].sum() == 14
    assert run.rounds["bytes"].tolist() == [n] * len(run.rounds)
    assert run.rounds["reduce"].tolist() == [True, False]
    assert run.links["bytes"].sum() == pytest.approx(2 * 14 * n)
    assert run.links["utilisation"].max() == pytest.approx(14 / 8 * n / 50e9 / run.time)
    assert run.cost.transfers == 14 * 8
    assert run.bounded_by == "serialisation:link"


def test_the_bound_counts_a_latency() -> None:
    """One byte from each to each, 1 us a link: no schedule takes less than a link's latency."""
    for kind in ("all_reduce", "barrier"):
        assert sim.collective(kind, star(), 1, library="ideal").lower_bound >= 1e-6


@pytest.mark.parametrize("kind", collectives.kinds())
def test_bus_bandwidth_is_that_of_nccl_tests(kind: str) -> None:
    run = sim.collective(kind, star(), 1e6, library="ideal")
    assert run.busbw == pytest.approx(bus_factor(kind, 8) * run.size / run.time)


def test_breakdown_of_known_parts() -> None:
    """Two stages: 4 chips a leaf, oversubscribed 4:1; one send each across: c/4 from the start.

    5 us to launch and 1 us of overhead by the library, 4 us of links, n/c = 20 us of
    serialisation, and 3 n/c in which the others had the link.
    """
    step = {"step": {"value": "1 us"}}
    library = sim.libraries.parse(
        {"efficient": False, "launch": {"value": "5 us"}, "protocol": {"only": {"scale_up": step}}},
        "software",
    )
    graph = topologies.leaf_spine(8, per_leaf=4, oversubscription=4, **LINK)
    matrix = np.zeros((8, 8))
    matrix[np.arange(4), np.arange(4) + 4] = 1e6
    run = sim.all_to_all(graph, matrix, algorithm="mesh", library=library)
    assert run.time == pytest.approx(5e-6 + 1e-6 + 4e-6 + 80e-6, rel=1e-9)
    parts = {k: v for k, v in run.breakdown.items() if v}
    assert parts == pytest.approx(
        {"overhead": 6e-6, "latency": 4e-6, "serialisation:access": 20e-6, "contention": 60e-6}, rel=1e-9
    )
    assert run.bounded_by == "contention"


@given(st.data())
@settings(max_examples=120)
def test_the_breakdown_adds_up(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    job = data.draw(jobs(graph))
    library = data.draw(st.sampled_from(["ideal", "nccl", "hccl"]))
    network = data.draw(st.sampled_from(["fluid", "reference", "analytic"]))
    run = sim.collective(
        job.kind, graph, job.size, ranks=list(job.chips), algorithm=job.algorithm, library=library,
        network=network,
    )  # fmt: skip
    assert sum(run.breakdown.values()) == pytest.approx(run.time, rel=1e-9, abs=1e-15)
    assert all(part >= 0 for part in run.breakdown.values())
    assert run.breakdown["waiting"] == 0
    assert network != "analytic" or run.breakdown["contention"] == 0


def test_explain_says_what_bounded_the_time() -> None:
    graph = topologies.machine("hgx-h100", chips=32)
    run = sim.all_reduce(graph, "1 GiB")
    text = run.explain()
    for said in (
        "all_reduce of 1 GiB",
        "32 chips",
        run.algorithm,
        run.protocol,
        "nccl",
        "next best",
        "Lower bound",
    ):
        assert said in text
    for cause, spent in run.breakdown.items():
        assert (f"  {cause} " in text) == (spent > 0)
    link, tier, used = run.hottest()[0]
    assert f"{link}" in text
    assert tier in text
    assert f"{100 * used:.1f} %" in text
    assert used == pytest.approx(run.links["utilisation"].max())
    assert "as asked" in sim.all_reduce(graph, "1 GiB", algorithm="ring", protocol="simple").explain()


def test_the_hottest_link_is_the_narrow_one() -> None:
    graph = star()
    graph.edges[3, "switch0"]["bandwidth"] = 5e9
    graph.edges[3, "switch0"]["tier"] = "wire"
    run = sim.all_gather(graph, 1e9, algorithm="ring", library="ideal")
    assert {link for link, _, _ in run.hottest(2)} == {"3 -> switch0", "switch0 -> 3"}
    assert run.bounded_by == "serialisation:wire"


def test_a_run_as_json_and_html() -> None:
    run = sim.all_reduce(star(), "1 MiB", library="ideal")
    record = json.loads(json.dumps(run.to_dict(), allow_nan=False))
    assert record["machine"] == "switch-8"
    assert record["time"] == run.time
    assert record["breakdown"] == run.breakdown
    assert {
        "ranks",
        "size",
        "algbw",
        "busbw",
        "efficiency",
        "events",
        "solves",
        "rounds_jumped",
    } <= record.keys()
    graph = star()
    graph.graph["name"] = "<b>&"
    page = sim.all_reduce(graph, "1 MiB", library="ideal")._repr_html_()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&<" not in page
    assert page.count("<table>") == page.count("</table>") == 1
    assert repr(run).startswith("<Run all_reduce of 1 MiB on switch-8, 8 ranks, ")


def test_the_same_bytes_each_time() -> None:
    graph = topologies.leaf_spine(9, per_leaf=3, oversubscription=3, **LINK)
    once, again = (
        json.dumps(sim.all_to_all(graph, 3e6).to_dict()) + sim.all_to_all(graph, 3e6).links.to_csv()
        for _ in range(2)
    )
    assert once == again


def test_the_graph_is_left_as_it_was() -> None:
    graph = topologies.machine("atlas-800", chips=16)
    before = nx.node_link_data(graph, edges="edges")
    sim.all_reduce(graph, "1 MB")
    assert nx.node_link_data(graph, edges="edges") == before


# ---------------------------------------------------------------- who takes part


def test_ranks_in_their_order() -> None:
    """On a ring of 8: four neighbours, the last of whom is three links from the first; every second chip."""
    ring = topologies.ring(8, **LINK)
    step = 1e6 / 4 / 50e9
    for ranks, hops in ((range(4), 3), ([0, 2, 4, 6], 2), ([6, 4, 2, 0], 2)):
        run = sim.all_gather(ring, 1e6, ranks=ranks, algorithm="ring", library="ideal")
        assert run.time == pytest.approx(3 * (hops * 1e-6 + step), rel=1e-9)
    names = nx.relabel_nodes(ring, {i: f"chip {i}" for i in range(8)})
    run = sim.all_gather(names, 1e6, ranks=["chip 0", "chip 2", "chip 4", "chip 6"], algorithm="ring")
    assert run.time == pytest.approx(3 * (2e-6 + step), rel=1e-9)


def test_a_number_of_ranks_is_the_first_so_many() -> None:
    ring = topologies.ring(8, **LINK)
    assert sim.all_reduce(ring, 1e6, ranks=5).time == sim.all_reduce(ring, 1e6, ranks=range(5)).time
    assert sim.all_reduce(ring, 1e6, ranks=8).time == sim.all_reduce(ring, 1e6).time
    assert sim.all_reduce(ring, 1e6, ranks=np.arange(3)).ranks == 3


@pytest.mark.parametrize("kind", [k for k in collectives.kinds() if k != "send"])
@pytest.mark.parametrize("network", ["fluid", "reference", "analytic"])
def test_one_rank_needs_no_time(kind: str, network: str) -> None:
    run = sim.collective(kind, star(), 1e6, ranks=1, library="nccl", network=network)
    assert run.time == run.lower_bound == 0
    assert run.efficiency == 1
    assert run.algbw == run.busbw == 0
    assert run.bounded_by == "nothing"
    assert run.links["bytes"].sum() == 0
    assert sum(run.breakdown.values()) == 0
    assert "alone" in run.explain()
    assert run._repr_html_()


def test_one_rank_is_fit_for_json() -> None:
    """JSON has no infinity."""
    told = sim.all_reduce(star(), 1e6, ranks=1).to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told


@pytest.mark.parametrize("kind", collectives.kinds())
def test_fewer_bytes_than_ranks(kind: str) -> None:
    """An eighth of a byte is as good as any: time goes to the latencies of its steps."""
    for name in collectives.algorithms(kind):
        if collectives.serves(kind, name, 8) is None:
            run = sim.collective(kind, star(), 1, algorithm=name, library="ideal")
            assert 2e-6 <= run.time < 40e-6
            assert run.breakdown["latency"] / run.time > 0.99


def test_a_larger_message_takes_longer() -> None:
    times = [sim.all_reduce(star(), 10.0**k, library="nccl").time for k in range(12)]
    assert times == sorted(times)


# ---------------------------------------------------------------- uneven all-to-all


@given(st.integers(2, 9), st.data())
@settings(max_examples=60)
def test_uneven_pairwise_is_hccls_formula(p: int, data: st.DataObject) -> None:
    """(p-1) alpha + beta sum_k max_i n(i, i+k) is a bound, and exact with a barrier after each step.

    Without one a rank goes on when its own parts are done: never later than the
    formula, never before its own row and column. Where one rank has the largest
    of every step, the formula is exact. Rows and columns of zeros hold nobody up.
    """
    cell = st.one_of(st.just(0.0), st.floats(1.0, 1e7))
    matrix = np.array(data.draw(st.lists(st.lists(cell, min_size=p, max_size=p), min_size=p, max_size=p)))
    nobody = data.draw(st.integers(0, p - 1))
    matrix[nobody] = 0.0
    matrix[:, (nobody + 1) % p] = 0.0
    np.fill_diagonal(matrix, 0.0)
    if not matrix.any():
        return
    here = np.arange(p)
    largest = np.array([matrix[here, (here + k) % p].max() for k in range(1, p)])
    formula = float(((largest > 0) * 2e-6 + largest / 50e9).sum())
    fabric = sim.compile_fabric(star(p))
    run = sim.all_to_all(fabric, matrix, algorithm="pairwise", library="ideal")
    assert run.time <= formula * (1 + 1e-9) + p * 1e-12
    rows = [((row > 0) * 2e-6 + row / 50e9).sum() for row in (*matrix, *matrix.T)]
    assert run.time >= max(rows) * (1 - 1e-9)
    barrier = 0.0
    for k in range(1, p):
        one = np.zeros((p, p))
        one[here, (here + k) % p] = matrix[here, (here + k) % p]
        if one.any():
            barrier += sim.all_to_all(fabric, one, algorithm="pairwise", library="ideal").time
    assert barrier == pytest.approx(formula, rel=1e-9, abs=p * 1e-12)
    links = run.links.set_index(["tail", "head"])["bytes"]
    for rank in range(p):
        assert links[rank, "switch0"] == pytest.approx(matrix[rank].sum(), rel=1e-9)
        assert links["switch0", rank] == pytest.approx(matrix[:, rank].sum(), rel=1e-9)


def test_an_even_matrix_is_the_even_case() -> None:
    even = sim.all_to_all(star(), 8e6, algorithm="pairwise", library="ideal")
    matrix = sim.all_to_all(star(), np.full((8, 8), 1e6), algorithm="pairwise", library="ideal")
    assert matrix.time == even.time
    assert matrix.size == even.size


def test_nothing_to_exchange() -> None:
    run = sim.all_to_all(star(), np.diag(np.full(8, 1e6)), library="ideal")
    assert run.time == 0
    assert run.links["bytes"].sum() == 0


# ---------------------------------------------------------------- mistakes


def islands() -> nx.Graph[Any]:
    graph = nx.Graph([(0, 1, LINK), (2, 3, LINK)])
    nx.set_node_attributes(graph, "chip", "kind")
    return graph


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: sim.all_reduce(star(), 8, ranks=[0, 1, 0]), TopologyError, "rank 2: chip 0 is listed twice"),
        (lambda: sim.all_reduce(star(), 8, ranks=[0, 8]), TopologyError, "rank 1: 8 is not a chip"),
        (lambda: sim.all_reduce(star(), 8, ranks=[0, "switch0"]), TopologyError, "'switch0' is not a chip"),
        (lambda: sim.all_reduce(star(), 8, ranks=[]), TopologyError, "at least one chip"),
        (lambda: sim.all_reduce(star(), 8, ranks=9), TopologyError, r"ranks \(=9\) must be 1 to 8"),
        (lambda: sim.all_reduce(star(), 8, ranks=0), TopologyError, r"ranks \(=0\)"),
        (lambda: sim.all_reduce(star(), 8, ranks=2.5), TopologyError, r"ranks \(=2.5\)"),
        (lambda: sim.all_reduce(star(), 8, algorithm="rign"), UnknownNameError, "did you mean 'ring'"),
        (lambda: sim.collective("all_redcue", star(), 8), UnknownNameError, "did you mean 'all_reduce'"),
        (lambda: sim.all_reduce(star(), 8, network="fluit"), UnknownNameError, "did you mean 'fluid'"),
        (lambda: sim.all_reduce(star(), 8, routing="up-down"), UnknownNameError, "did you mean 'up_down'"),
        (lambda: sim.all_reduce(star(), 8, library="ncl"), UnknownNameError, "did you mean 'nccl'"),
        (
            lambda: sim.all_reduce(star(), 8, library="nccl", protocol="sipmle"),
            UnknownNameError,
            "did you mean 'simple'",
        ),
        (lambda: sim.all_reduce(star(), 8, algorithm="ring", rot=1), UnknownNameError, "'rot'"),
        (lambda: sim.broadcast(star(), 8, algorithm="binomial", root=8), ScheduleError, r"root \(=8\)"),
        (
            lambda: sim.reduce_scatter(star(), 8, ranks=6, algorithm="swing"),
            ScheduleError,
            "power of two of ranks, not 6",
        ),
        (lambda: sim.all_reduce(star(), "5 s"), UnitError, "5 s"),
        (lambda: sim.all_reduce(star(), "64 M"), UnitError, "64 M"),
        (lambda: sim.all_reduce(star(), -1), UnitError, "-1"),
        (lambda: sim.all_reduce(star(), 0), UnitError, "0"),
        (lambda: sim.all_reduce(star(), float("nan")), UnitError, "nan"),
        (lambda: sim.all_reduce(star(), None), UnitError, "size"),
        (lambda: sim.all_reduce(star(), np.ones((8, 8))), UnitError, r"shape \(8, 8\)"),
        (lambda: sim.all_to_all(star(), np.ones((7, 7))), ScheduleError, r"\(7, 7\) for 8 ranks"),
        (lambda: sim.all_to_all(star(), np.full((8, 8), -1.0)), ScheduleError, r"matrix\[0, 0\] \(=-1"),
        (lambda: sim.all_to_all(star(), np.full((8, 8), np.nan)), ScheduleError, r"matrix\[0, 0\] \(=nan"),
        (lambda: sim.all_reduce(star(), 1e19), CapacityError, "53 days"),
        (lambda: sim.all_reduce(islands(), 8), RouteError, "no path from chip 1 to chip 2"),
        (lambda: sim.all_reduce(nx.Graph(), 8), TopologyError, "chip"),
        (lambda: sim.all_reduce("hgx-h100", 8), TopologyError, "must be a networkx graph, not str"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(call: Any, error: type[ChipweaveError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        call()
    assert isinstance(caught.value, ChipweaveError)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- tables


def test_scaling_is_tidy() -> None:
    seen: list[tuple[int, int, str]] = []
    table = sim.scaling(
        ["hgx-h100", "tpu-v4"], [8, 16], ["1 MiB", 2**26], progress=lambda *said: seen.append(said)
    )
    assert table[["machine", "chips", "size"]].to_numpy().tolist() == [
        [m, c, s] for m in ("hgx-h100", "tpu-v4") for c in (8, 16) for s in (2**20, 2**26)
    ]
    assert not table.isna().any().any()
    for row in table.itertuples():
        run = sim.all_reduce(topologies.machine(row.machine, chips=row.chips), row.size)
        assert (row.time, row.busbw, row.algorithm) == (run.time, run.busbw, run.algorithm)
    assert seen[0][:2] == (0, 4)
    assert seen[-1] == (4, 4, "done")


def test_scaling_leaves_out_what_a_machine_does_not_allow() -> None:
    table = sim.scaling("hgx-h100", [8, 10**9], "1 MiB")
    assert table["chips"].tolist() == [8]
    with pytest.raises(MachineError, match="hgx-h100"):
        sim.scaling(["hgx-h100"], 10**9, "1 MiB")
