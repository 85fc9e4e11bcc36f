"""Recorders and traces: what is recorded is what happened, and Perfetto can nest it."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.exposure import exposed
from sim.network.recorder import Activity
from sim.trace import _entries, chrome_trace
from tests.sim.strategies import graphs, jobs
from topologies.errors import CapacityError, OutputError, SimulationError


def crossing_ranks() -> tuple[Any, list[int]]:
    """Sixteen chips under four leaves, ranks dealt across them: transfers of a round collide."""
    graph = topologies.leaf_spine(16, per_leaf=4, oversubscription=2, bandwidth="50 GB/s", latency="1 us")
    return graph, sorted(range(16), key=lambda rank: rank % 4)


def rows(recorder: sim.Recorder) -> dict[str, Any]:
    s = recorder.segments()
    order = np.lexsort((s.begin_ps, s.transfer, s.repetition, s.round))
    return {name: getattr(s, name)[order] for name in s.__slots__}


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("all_to_all", "pairwise"), ("all_to_all", "direct"), ("all_reduce", "ring")],
)
def test_both_networks_record_the_same_segments(kind: str, algorithm: str) -> None:
    graph, ranks = crossing_ranks()
    found = []
    for network in ("fluid", "reference"):
        recorder = sim.Recorder()
        settings_: dict[str, Any] = {
            "algorithm": algorithm,
            "ranks": ranks,
            "library": "nccl",
            "network": network,
        }
        run = sim.collective(kind, graph, "1 MiB", recorder=recorder, **settings_)
        assert run.time == sim.collective(kind, graph, "1 MiB", **settings_).time
        found.append(rows(recorder))
    fluid, reference = found
    for name in ("round", "transfer", "repetition", "begin_ps", "end_ps", "last"):
        np.testing.assert_array_equal(fluid[name], reference[name], err_msg=name)
    np.testing.assert_allclose(fluid["rate"], reference["rate"], rtol=1e-9)


@settings(max_examples=60)
@given(st.data())
def test_segments_carry_all_bytes_at_rates_that_fit(data: st.DataObject) -> None:
    """Summed over segments, rate x duration x weight is what each link carried; no link is over capacity."""
    graph = data.draw(graphs())
    job = data.draw(jobs(graph))
    network = data.draw(st.sampled_from(["fluid", "reference"]))
    recorder = sim.Recorder()
    run = sim.collective(
        job.kind, graph, job.size, ranks=list(job.chips), algorithm=job.algorithm, library="ideal",
        network=network, recorder=recorder,
    )  # fmt: skip
    s = recorder.segments()
    whose, link, weight = _entries(recorder, s.round, s.transfer)
    moved = (weight * s.rate[whose]) * ((s.end_ps - s.begin_ps)[whose] * 1e-12)
    carried = np.bincount(link, weights=moved, minlength=run.fabric.links)
    # The end of a transfer is rounded up to the next picosecond.
    slack = np.bincount(link, weights=weight * s.rate[whose] * 1e-12, minlength=run.fabric.links)
    assert (np.abs(carried - run.carried) <= slack + 1e-9 * run.carried).all()
    for instant in np.unique(s.begin_ps)[:: max(1, np.unique(s.begin_ps).size // 20)]:
        on = ((s.begin_ps <= instant) & (instant < s.end_ps))[whose]
        used = np.bincount(link[on], weights=(weight * s.rate[whose])[on], minlength=run.fabric.links)
        assert (used <= run.fabric.bandwidth * (1 + 1e-9)).all()
    assert recorder.lives().end_ps.max(initial=0) <= round(run.time * 1e12)
    assert recorder.lives().round.size == run.cost.transfers


def test_the_times_of_transfers_are_those_of_a_ring() -> None:
    """p = 4, 1 MB: a step is 1 us + 250 kB / 50 GB/s = 6 us; step k is ready at 6 k us."""
    recorder = sim.Recorder()
    ring = topologies.ring(4, bandwidth="50 GB/s", latency="1 us")
    sim.all_reduce(ring, "1 MB", algorithm="ring", library="ideal", recorder=recorder)
    table = recorder.transfers()
    assert len(table) == 6 * 4
    step = np.repeat(np.arange(6), 4)
    np.testing.assert_allclose(table["ready"] * 1e6, 6 * step)
    np.testing.assert_allclose(table["start"] * 1e6, 6 * step + 1)
    np.testing.assert_allclose(table["end"] * 1e6, 6 * step + 6)
    assert (table["bytes"] == 250e3).all()
    assert set(zip(table["src"], table["dst"], strict=True)) == {(0, 1), (1, 2), (2, 3), (3, 0)}


def test_a_recorder_serves_one_run_and_follows_transfers_only() -> None:
    ring = topologies.ring(4, bandwidth="50 GB/s", latency="1 us")
    recorder = sim.Recorder()
    run = sim.all_reduce(ring, "1 MB", recorder=recorder)
    with pytest.raises(SimulationError, match="make a new Recorder"):
        sim.all_reduce(ring, "1 MB", recorder=recorder)
    count = recorder.segments().round.size
    assert run.again().time == run.time
    assert recorder.segments().round.size == count
    with pytest.raises(SimulationError, match="nothing to record"):
        sim.all_reduce(ring, "1 MB", network="analytic", recorder=sim.Recorder())
    with pytest.raises(SimulationError, match="has recorded nothing"):
        list(chrome_trace(sim.Recorder()))


def test_more_transfers_than_memory_are_refused_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = topologies.ring(2048, bandwidth="50 GB/s", latency="1 us")
    monkeypatch.setattr("topologies.memory.available", lambda: 1e9)
    with pytest.raises(CapacityError, match="recording 8384512 transfers of all_reduce"):
        sim.all_reduce(ring, "1 GiB", algorithm="ring", recorder=sim.Recorder())


# ------------------------------------------------------------------ the trace


def world_with_everything() -> tuple[sim.World, sim.Recorder]:
    """Compute and collectives side by side, two jobs at once, and a link that slows down."""
    graph, ranks = crossing_ranks()
    recorder = sim.Recorder()
    world = sim.World(graph, library="nccl", recorder=recorder)

    def training(world: sim.World) -> Any:
        for _ in range(2):
            work = world.compute(seconds=20e-6)
            talk = world.all_to_all("1 MiB", ranks[:8], algorithm="direct")
            yield work & talk
            yield world.all_reduce("256 KiB", algorithm="ring")

    def fault(world: sim.World) -> Any:
        yield world.env.timeout(15e-6)
        tail, head = (world.fabric.nodes[int(ends[0])] for ends in (world.fabric.tail, world.fabric.head))
        world.set_link(tail, head, bandwidth="5 GB/s")

    world.process(training(world))
    world.process(fault(world))
    world.run()
    return world, recorder


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads("".join(chrome_trace(world_with_everything()[1])))["traceEvents"]
    return found


def nanoseconds(event: dict[str, Any]) -> tuple[int, int]:
    begin = round(event["ts"] * 1000)
    return begin, begin + round(event["dur"] * 1000)


def test_slices_of_a_track_nest_or_follow_each_other(events: list[dict[str, Any]]) -> None:
    tracks: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append(nanoseconds(event))
    assert {pid for pid, _ in tracks} == {1, 2, 3}
    for slices in tracks.values():
        # In the file already: by begin, what encloses before what is inside.
        assert slices == sorted(slices, key=lambda span: span[0])
        open_: list[int] = []
        for begin, end in slices:
            while open_ and open_[-1] <= begin:
                open_.pop()
            assert not open_ or end <= open_[-1]
            open_.append(end)


def test_every_track_and_process_has_a_name(events: list[dict[str, Any]]) -> None:
    named = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    used = {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"}
    assert used == set(named)
    assert len(set(named.values())) == len(named)
    assert {e["args"]["name"] for e in events if e["name"] == "process_name"} == {
        "activities",
        "chips",
        "links",
    }


def test_an_arrow_leads_from_each_send_to_its_receipt(events: list[dict[str, Any]]) -> None:
    """Both ends lie in slices of the same transfer, and no arrow leads back in time."""
    at: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X" and event["pid"] == 2 and event["name"].startswith(("to ", "from ")):
            at[event["pid"], event["tid"]].append(event)
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    ends: dict[str, dict[int, dict[str, Any]]] = {"s": {}, "f": {}}
    for event in events:
        if event["ph"] in "sf":
            assert event["id"] not in ends[event["ph"]]
            ends[event["ph"]][event["id"]] = event
    assert ends["s"].keys() == ends["f"].keys()
    assert len(ends["s"]) == sum(e["ph"] == "X" and e["name"].startswith("to ") for e in events) > 0

    def around(end: dict[str, Any]) -> dict[str, Any]:
        instant = round(end["ts"] * 1000)
        spans = [(nanoseconds(e), e) for e in at[end["pid"], end["tid"]]]
        (found,) = [e for (begin, until), e in spans if begin <= instant < max(until, begin + 1)]
        return found

    for number, start in ends["s"].items():
        finish = ends["f"][number]
        send, receipt = around(start), around(finish)
        assert start["ts"] <= finish["ts"]
        assert send["args"] == receipt["args"]
        sender, receiver = names[start["pid"], start["tid"]], names[finish["pid"], finish["tid"]]
        assert sender.startswith(f"chip {receipt['name'].removeprefix('from ')} sends")
        assert receiver.startswith(f"chip {send['name'].removeprefix('to ')} receives")


def test_counters_are_the_utilisation_of_their_links(events: list[dict[str, Any]]) -> None:
    """Rising instants, 0 to 100 %, back to 0 at the end; their integral is what the link carried."""
    world, recorder = world_with_everything()
    levels: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "C":
            levels[event["name"]].append((round(event["ts"] * 1000), event["args"]["utilisation %"]))
    carried = world.links()
    table = {f"{r.tail} -> {r.head}": (r.bytes, r.bandwidth) for r in carried.itertuples() if r.bytes > 0}
    assert levels.keys() == table.keys()
    for name, steps in levels.items():
        instants, values = np.array(steps).T
        assert (np.diff(instants) > 0).all()
        assert (values >= 0).all()
        assert (values <= 100 * (1 + 1e-3)).all()
        assert values[-1] == 0
        moved = float((np.diff(instants) * 1e-9 * values[:-1] / 100).sum()) * table[name][1]
        # Four digits of utilisation, instants to the nanosecond.
        assert moved == pytest.approx(table[name][0], rel=2e-3)
    assert recorder.fabric is world.fabric


def test_activities_are_those_of_the_timeline(events: list[dict[str, Any]]) -> None:
    world, _ = world_with_everything()
    slices = sorted((e["name"], *nanoseconds(e)) for e in events if e["ph"] == "X" and e["pid"] == 1)
    expected = sorted(
        (r.what, int(r.start * 1e9 + 1e-6), int(r.end * 1e9 + 1e-6)) for r in world.timeline().itertuples()
    )
    assert [name for name, _, _ in slices] == [name for name, _, _ in expected]
    np.testing.assert_allclose([s[1:] for s in slices], [e[1:] for e in expected], atol=1)


def test_traces_are_files_the_same_each_time_and_may_be_compressed(tmp_path: Path) -> None:
    recorder = world_with_everything()[1]
    plain = sim.write_trace(recorder, tmp_path / "a.json").read_bytes()
    assert plain == sim.write_trace(recorder, tmp_path / "b.json").read_bytes()
    packed = [sim.write_trace(recorder, tmp_path / name).read_bytes() for name in ("a.json.gz", "b.json.gz")]
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0]) == plain
    assert len(sim.write_trace(recorder, tmp_path / "c.json", links=False).read_bytes()) < len(plain)
    with pytest.raises(OutputError, match="cannot write"):
        sim.write_trace(recorder, tmp_path / "no" / "a.json")


def test_bench_writes_the_largest_size_as_a_trace(tmp_path: Path, chipweave: Callable[..., Any]) -> None:
    file = tmp_path / "trace.json"
    done = chipweave("bench", "hgx-h100", "--chips", "8", "-b", "1M", "-e", "2M", "--trace", str(file))
    assert done.code == 0, done.err
    names = [e["name"] for e in json.loads(file.read_text())["traceEvents"]]
    assert "all_reduce" in names
    refused = chipweave(
        "bench", "hgx-h100", "--chips", "8", "--network", "analytic", "--trace", str(tmp_path / "x.json")
    )
    assert refused.code == 2
    assert not (tmp_path / "x.json").exists()


# ------------------------------------------------- exposed communication


def test_communication_is_exposed_while_not_all_its_chips_compute() -> None:
    talk = Activity("4 chips", "all_reduce", True, (0, 1, 2, 3), 0, 100)
    everyone = Activity("all chips", "forward", False, None, 10, 30)
    some = [Activity(f"chip {r}", "late", False, (r,), 25, 50 + r) for r in range(4)]
    one = Activity("chip 5", "elsewhere", False, (5,), 0, 100)
    assert exposed([talk, everyone, *some, one], 8)[0][1] == [(0, 10), (50, 100)]
    assert exposed([talk], 8)[0][1] == [(0, 100)]
    assert exposed([talk, Activity("all chips", "f", False, None, 0, 100)], 8)[0][1] == []


def test_a_world_says_how_much_of_its_communication_is_exposed() -> None:
    world = sim.World(topologies.switch(4, bandwidth="50 GB/s", latency="1 us"), library="ideal")

    def step(world: sim.World) -> Any:
        work = world.compute(seconds=10e-6)
        talk = world.all_reduce("1 MB", algorithm="ring")  # 6 (2 us + 5 us) = 42 us
        yield work & talk

    world.process(step(world))
    world.run()
    (row,) = world.exposed().to_dict("records")
    assert row["what"] == "all_reduce"
    assert (row["start"], row["end"]) == pytest.approx((10e-6, 42e-6))
    assert world.timeline()["kind"].tolist() == ["compute", "communication"]
