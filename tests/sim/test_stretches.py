"""Steps of a pipeline as one round say the same as step by step, and take as long."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.collectives import beside, chain, double_binary_tree, ring
from sim.network import event_loop, folding
from sim.network.kernels import ranks, state
from sim.network.stretches import stretches, together
from sim.schedule import IntArray, Round, Schedule
from sim.transfers import Free
from tests.sim.strategies import Fault, Job, Situation
from tests.sim.test_equality import assert_same

MANY = 2**40


def schedule(name: str, p: int, pieces: int, lanes: int) -> Schedule:
    def one(size: float) -> Schedule:
        if name == "tree":
            return double_binary_tree.all_reduce(p, size, pipeline=pieces)
        if name == "ring":
            return ring.all_reduce(p, size)
        return chain.broadcast(p, size, root=p // 2, pipeline=pieces)

    if lanes == 1:
        return one(4096.0)
    each = one(4096.0 / lanes)
    orders = [np.roll(np.arange(p), k) for k in range(lanes)]
    return beside.beside(each.kind, name, p, 4096.0, [each] * lanes, orders)


def step_by_step(rounds: list[tuple[Round, IntArray | None]]) -> list[list[tuple[int, int, float]]]:
    """The transfers of every repetition."""
    found = []
    for one, span in rounds:
        all_of_them = list(zip(one.src.tolist(), one.dst.tolist(), one.bytes.tolist(), strict=True))
        for k in range(one.repeat):
            stands = [True] * one.src.size if span is None else [lo <= k < hi for lo, hi in span.tolist()]
            found.append(sorted(each for each, here in zip(all_of_them, stands, strict=True) if here))
    return found


@given(st.sampled_from(["tree", "chain", "ring"]), st.integers(3, 20), st.integers(1, 40), st.integers(1, 3))
def test_every_step_has_the_transfers_it_had(name: str, p: int, pieces: int, lanes: int) -> None:
    one = schedule(name, p, pieces, lanes)
    taken = list(together(one.rounds(), Free()))
    assert step_by_step([(r, span) for r, span, _ in taken]) == step_by_step(
        [(r, None) for r in one.rounds()]
    )
    for r, span, whole in taken:
        if span is not None:
            assert whole is not None
            assert whole[1] - whole[0] > 1
            # All stages are busy then, and at no other time.
            busy = np.array([((span[:, 0] <= k) & (k < span[:, 1])).all() for k in range(r.repeat)])
            assert np.flatnonzero(busy).tolist() == list(range(*whole))
    stages = {"tree": p.bit_length() - 1, "chain": p - 1, "ring": MANY}[name]
    if 1 < stages < pieces:
        assert len(taken) == (2 if name == "tree" else 1)


STEPS = st.lists(st.tuples(st.lists(st.integers(0, 5), unique=True, max_size=4), st.integers(1, 3)))


@given(STEPS)
@settings(max_examples=300)
def test_any_steps_are_cut_into_stretches(steps: list[tuple[list[int], int]]) -> None:
    """None is lost, and of each part the repetitions told are those in which it stands."""
    found = list(stretches((i, tuple(parts), repeat) for i, (parts, repeat) in enumerate(steps)))
    assert [i for one in found for i, *_ in one.steps] == list(range(len(steps)))
    for one in found:
        at = 0
        for i, _, repeat in one.steps:
            parts = steps[i][0] if one.at else ()
            for k in range(at, at + repeat):
                assert {part for part, (lo, hi) in one.at.items() if lo <= k < hi} == set(parts)
            at += repeat
        assert at == one.repeat


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=6), st.booleans(), st.integers(0, 12)
)
def test_the_next_repetition_with_a_part(
    begun: list[tuple[int, int]], spanned: bool, repetition: int
) -> None:
    spans = [(lo, lo + often) for lo, often in begun]
    s = state.with_rows(
        state.new_state(np.ones(1), 5), rounds=1, starts=2, parts=len(spans), spans=max(1, len(spans))
    )
    s.rounds[0, [state.REPEAT, state.SPANNED]] = 10, spanned
    s.starts[1] = len(spans)
    if spans:
        s.spans[:] = spans
    if spanned:
        expected = next((k for k in range(repetition, 10) if any(lo <= k < hi for lo, hi in spans)), 10)
    else:
        expected = repetition if spans else 10
    assert int(ranks.following_repetition(s, 0, 0, repetition)) == expected


def fabric(shape: str, seed: int) -> Any:
    values = {"bandwidth": 50e9, "latency": 1e-6}
    graph = (
        topologies.leaf_spine(12, per_leaf=4, oversubscription=2, **values)
        if shape == "leaf_spine"
        else topologies.torus((3, 4), **values)
    )
    rng = np.random.default_rng(seed)
    for _, _, link in graph.edges(data=True):
        if rng.random() < 0.3:
            link["bandwidth"] *= rng.choice([0.5, rng.uniform(0.9, 1.0)])
    return graph


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Repetitions of the rounds that the event loop has taken together."""
    found: list[int] = []
    place = event_loop.EventLoop._place

    def noted(self: Any, running: Any, one: Any, repetition: int) -> None:
        if one.span is not None:
            found.append(one.round.repeat)
        place(self, running, one, repetition)

    monkeypatch.setattr(event_loop.EventLoop, "_place", noted)
    return found


@pytest.mark.parametrize("work", [("double_binary_tree", "all_reduce"), ("chain", "broadcast")])
@pytest.mark.parametrize("shape", ["leaf_spine", "torus"])
@pytest.mark.parametrize("seed", range(4))
def test_taken_together_or_not_they_take_as_long(
    spans: list[int], work: tuple[str, str], shape: str, seed: int
) -> None:
    graph, (algorithm, kind) = fabric(shape, seed), work
    chips = list(topologies.chips(graph))
    rng = np.random.default_rng(seed)
    options: Any = {"algorithm": algorithm, "library": "ideal", "pipeline": 30}
    options["ranks"] = [chips[i] for i in rng.permutation(len(chips))]
    ways: Any = ({}, {"fast_forward": False}, {"network": "reference"})
    one, *others = (sim.collective(kind, graph, 2.0**22, **options, **way) for way in ways)
    # What meets nobody has no need of events.
    assert spans or one.cost.events == 0
    for other in others:
        assert one.finished.at_ps == other.finished.at_ps
        assert sum(one.finished.account) == sum(other.finished.account)
        assert one.cost.transfers == other.cost.transfers
        np.testing.assert_allclose(one.carried, other.carried, rtol=1e-9, atol=1e-3)


def test_a_folded_pipeline_is_taken_together(spans: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "WORTHWHILE", 1)
    graph = topologies.machine("hgx-h100", chips=64)
    one, other = (sim.all_reduce(graph, 2.0**28, algorithm="tree", fast_forward=on) for on in (True, False))
    assert len(spans) == 2
    assert one.finished.at_ps == other.finished.at_ps
    assert sum(one.finished.account) == sum(other.finished.account)
    np.testing.assert_allclose(one.carried, other.carried, rtol=1e-9, atol=1e-3)


@given(st.integers(0, 2**10), st.floats(0.05, 0.95), st.sampled_from([0.0, 0.25]))
@settings(max_examples=25)
def test_somebody_interferes_with_steps_taken_together(seed: int, at: float, factor: float) -> None:
    """A link slows down or fails while the pipeline fills, is full, or empties."""
    graph = fabric("leaf_spine", seed)
    chips = list(topologies.chips(graph))
    rng = np.random.default_rng(seed)
    mine = tuple(chips[i] for i in rng.permutation(len(chips)))
    size = 2.0**22
    alone = sim.all_reduce(
        graph, size, algorithm="double_binary_tree", library="ideal", ranks=list(mine)
    ).time
    tail, head = list(graph.edges())[seed % graph.number_of_edges()][:2]
    jobs = (
        Job(0.0, "all_reduce", "ring", mine[:4], 1e4),
        # Not alone: it goes to the event loop at once.
        Job(0.0, "all_reduce", "double_binary_tree", mine, size),
    )
    assert_same(
        Situation(graph, "ideal", jobs[seed % 2 :], (Fault(alone * at, tail, head, factor, alone / 10),))
    )


@pytest.mark.parametrize("pieces", [2**31 - 11, 2**31 - 10, 2**33])
def test_more_repetitions_than_spans_can_tell_are_taken_step_by_step(spans: list[int], pieces: int) -> None:
    """Twelve chips are eleven stages; each piece of a byte takes what it does in a short pipeline."""
    graph = fabric("leaf_spine", 0)
    chips = list(topologies.chips(graph))
    chips = [chips[i] for i in np.random.default_rng(0).permutation(len(chips))]
    options: Any = {"algorithm": "chain", "library": "ideal", "ranks": chips}
    ends = []
    for count in (200, 300, pieces):
        one = sim.broadcast(graph, float(count), pipeline=count, **options)
        ends.append(one.finished.at_ps)
        assert one.cost.transfers == 11 * count
    assert (ends[2] - ends[1]) * 100 == (ends[1] - ends[0]) * (pieces - 300)
    assert spans == [210, 310, *([2**31 - 1] if pieces == 2**31 - 11 else [])]
