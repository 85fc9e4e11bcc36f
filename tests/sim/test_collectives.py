"""Every algorithm: right at every p, as many steps, bytes and seconds as its closed form.

`seconds` below times a schedule where nothing is in the way: each repetition of
a round takes alpha + beta * the most bytes through one port (or one pair of ranks).
All closed forms are those of docs of NCCL and HCCL and of Thakur et al. 2005.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.collectives
from sim.collectives import algorithms, build, kinds, serves
from sim.collectives.compose import Phase, compose, share_ends
from sim.collectives.double_binary_tree import in_order_tree, two_trees
from sim.collectives.hierarchical import members_of
from sim.schedule import Schedule
from topologies.errors import ScheduleError, UnknownNameError

ALPHA, BETA = 1.0, 2.0**-20
# What needs neither groups nor dims; test_collectives_lanes and _levels have the others.
PLAIN = [(kind, name) for kind in kinds() for name in algorithms(kind) if serves(kind, name, 4) is None]
LEVELLED = [kind for kind in kinds() if "hierarchical" in algorithms(kind)]
ROOTED = ("broadcast", "reduce", "gather", "scatter")


def steps(schedule: Schedule) -> int:
    return sum(round_.repeat for round_ in schedule.rounds())


def seconds(schedule: Schedule, *, pairs: bool = False) -> float:
    """Time without contention: per port, or per pair where each pair has a link."""
    p, total = schedule.ranks, 0.0
    for round_ in schedule.rounds():
        keys = [round_.src * p + round_.dst] if pairs else [round_.src, round_.dst]
        most = max(np.bincount(key, weights=round_.bytes).max() for key in keys)
        total += round_.repeat * (ALPHA + BETA * float(most))
    return total


def log2_up(p: int) -> int:
    return (p - 1).bit_length()


def log2_down(p: int) -> int:
    return p.bit_length() - 1


# ---------------------------------------------------------------- right results


@pytest.mark.parametrize(("kind", "name"), PLAIN)
def test_right_at_every_number_of_ranks(kind: str, name: str) -> None:
    served = 0
    for p in range(1, 65):
        if serves(kind, name, p) is not None:
            continue
        options = {"root": (7 * p) // 11} if kind in ROOTED else {}
        schedule = build(kind, p, 1000.0, name, **options)
        schedule.check()
        served += 1
        for round_ in schedule.rounds():
            assert (round_.src != round_.dst).all()
            ends = round_.src * p + round_.dst
            assert np.unique(ends).size == ends.size, "two transfers between the same ranks in one round"
            assert round_.src.dtype == round_.dst.dtype == np.int64
            assert round_.bytes.dtype == np.float64
            assert (round_.bytes > 0).all()
    assert served >= 7  # the powers of two and one


@pytest.mark.parametrize("kind", LEVELLED)
@pytest.mark.parametrize("p", [2, 7, 12, 16, 30, 36, 64])
def test_hierarchical_is_right_for_every_grouping(kind: str, p: int) -> None:
    shuffle = np.random.default_rng(p)
    for g in (d for d in range(1, p + 1) if p % d == 0):
        groups = shuffle.permutation(np.arange(p) // g) * 3 - 5
        options = {"root": p - 1} if kind in ROOTED else {}
        for inner in ("mesh", None):
            chosen = {"inner": inner} if inner in algorithms(kind) else {}
            build(kind, p, 1000.0, "hierarchical", groups=groups, **chosen, **options).check()


@pytest.mark.parametrize(
    "outer",
    [
        "recursive_doubling",
        "halving_doubling",
        "double_binary_tree",
        "mesh",
        "bidirectional_ring",
        "nhr",
        "nb",
    ],
)
def test_any_algorithm_between_the_groups(outer: str) -> None:
    for hosts, g in ((3, 8), (5, 4), (8, 3)):
        groups = np.arange(hosts * g) % hosts
        schedule = build(
            "all_reduce", hosts * g, 999.0, "hierarchical", groups=groups, inner="mesh", outer=outer
        )
        schedule.check()
        between = build("all_reduce", hosts, 999.0 / g, outer)
        assert steps(schedule) == 2 + steps(between)
        assert seconds(schedule, pairs=True) == pytest.approx(
            2 * (ALPHA + 999.0 / g * BETA) + seconds(between, pairs=True), rel=1e-12
        )


def test_three_levels_are_nesting() -> None:
    """24 ranks: hosts of 2, pods of 3 hosts, 4 pods."""
    groups = np.arange(24) // 2
    deeper = {"groups": np.arange(12) // 3, "inner": "ring", "outer": "halving_doubling"}
    for kind, options in (
        ("all_reduce", deeper),
        ("reduce_scatter", {"groups": deeper["groups"]}),
        ("all_gather", {"groups": deeper["groups"]}),
    ):
        schedule = build(
            kind, 24, 480.0, "hierarchical", groups=groups, outer="hierarchical", outer_options=options
        )
        schedule.check()
        assert steps(schedule) == {"all_reduce": 2 * (1 + 2 + 2), "reduce_scatter": 6, "all_gather": 6}[kind]


def test_groups_of_one_and_one_group_are_the_plain_algorithm() -> None:
    p, size = 6, 600.0
    ring = [
        (r.src.tolist(), r.bytes.tolist(), r.repeat) for r in build("all_reduce", p, size, "ring").rounds()
    ]
    for groups in (np.zeros(p, dtype=int), np.arange(p)):
        schedule = build("all_reduce", p, size, "hierarchical", groups=groups)
        assert [(r.src.tolist(), r.bytes.tolist(), r.repeat) for r in schedule.rounds()] == ring


@pytest.mark.parametrize(("kind", "name"), [*PLAIN, *((kind, "hierarchical") for kind in LEVELLED)])
def test_one_rank_has_nothing_to_do(kind: str, name: str) -> None:
    options = {"groups": [0]} if name == "hierarchical" else {}
    schedule = build(kind, 1, 8.0, name, **options)
    schedule.check()
    assert schedule.totals() == (0, 0.0)


@given(st.sampled_from(PLAIN), st.integers(1, 96), st.floats(1e-3, 1e15), st.integers(0, 95))
@settings(max_examples=80, deadline=None)
def test_right_for_random_ranks_sizes_and_roots(
    pair: tuple[str, str], p: int, size: float, root: int
) -> None:
    kind, name = pair
    if serves(kind, name, p) is None:
        build(kind, p, size, name, **({"root": root % p} if kind in ROOTED else {})).check()


@given(st.integers(2, 9), st.data())
@settings(max_examples=40, deadline=None)
def test_uneven_all_to_all(p: int, data: st.DataObject) -> None:
    """All bytes off the diagonal move once, and pairwise takes the sum of each step's largest."""
    cell = st.one_of(st.just(0.0), st.floats(0.5, 1e9))
    matrix = np.array(data.draw(st.lists(st.lists(cell, min_size=p, max_size=p), min_size=p, max_size=p)))
    off = matrix.copy()
    np.fill_diagonal(off, 0.0)
    for name in ("mesh", "pairwise"):
        schedule = build("all_to_all", p, matrix, name)
        schedule.check()
        transfers, moved = schedule.totals()
        assert transfers == np.count_nonzero(off)
        assert moved == pytest.approx(off.sum(), rel=1e-12)
        assert schedule.size == matrix.sum(axis=1).max()
    here = np.arange(p)
    largest = [off[here, (here + k) % p].max() for k in range(1, p)]
    want = sum(ALPHA + BETA * most for most in largest if most)
    assert seconds(build("all_to_all", p, matrix, "pairwise")) == pytest.approx(want, rel=1e-12)


# ---------------------------------------------------------------- closed forms

Form = Callable[[int, float], float]


def folded_steps(p: int) -> int:
    return 0 if p & (p - 1) == 0 else 2


def halving_doubling(p: int, n: float) -> float:
    core = 1 << log2_down(p)
    fold = folded_steps(p)
    return (2 * log2_down(p) + fold) * ALPHA + (2 * (core - 1) / core + fold) * n * BETA


def halving_by_parts(p: int, n: float) -> float:
    """Of the first 2 e ranks, e = p - p', one of two stands for both, and its block has two parts."""
    core = 1 << log2_down(p)
    extra = p - core
    steps_ = log2_down(p) + folded_steps(p)
    parts = core - 1 + sum(min(1 << k, extra) for k in range(log2_down(p))) + (p if extra else 0)
    return steps_ * ALPHA + parts / p * n * BETA


def in_log_steps(p: int, n: float) -> float:
    return log2_up(p) * ALPHA + (p - 1) / p * n * BETA


PORT_FORMS: dict[tuple[str, str], Form] = {
    ("all_reduce", "ring"): lambda p, n: 2 * (p - 1) * ALPHA + 2 * (p - 1) / p * n * BETA,
    ("reduce_scatter", "ring"): lambda p, n: (p - 1) * ALPHA + (p - 1) / p * n * BETA,
    ("all_gather", "ring"): lambda p, n: (p - 1) * ALPHA + (p - 1) / p * n * BETA,
    ("all_reduce", "recursive_doubling"): lambda p, n: (log2_down(p) + folded_steps(p)) * (ALPHA + n * BETA),
    ("all_reduce", "halving_doubling"): halving_doubling,
    ("reduce_scatter", "halving_doubling"): halving_by_parts,
    ("all_gather", "halving_doubling"): halving_by_parts,
    ("all_to_all", "pairwise"): lambda p, n: (p - 1) * (ALPHA + n / p * BETA),
    ("broadcast", "binomial"): lambda p, n: log2_up(p) * (ALPHA + n * BETA),
    ("reduce", "binomial"): lambda p, n: log2_up(p) * (ALPHA + n * BETA),
    ("scatter", "binomial"): lambda p, n: log2_up(p) * ALPHA + (p - 1) / p * n * BETA,
    ("gather", "binomial"): lambda p, n: log2_up(p) * ALPHA + (p - 1) / p * n * BETA,
    ("send", "direct"): lambda p, n: ALPHA + n * BETA,
    ("all_reduce", "binomial"): lambda p, n: 2 * log2_up(p) * (ALPHA + n * BETA),
    ("all_reduce", "nhr"): lambda p, n: 2 * in_log_steps(p, n),
    ("all_reduce", "nb"): lambda p, n: 2 * in_log_steps(p, n),
    ("broadcast", "nhr"): lambda p, n: 2 * in_log_steps(p, n),
    ("broadcast", "scatter_all_gather"): lambda p, n: in_log_steps(p, n) + (p - 1) * (ALPHA + n / p * BETA),
    **{
        (kind, name): in_log_steps
        for kind in ("reduce_scatter", "all_gather")
        for name in ("nhr", "nb", "pat")
    },
    ("scatter", "nhr"): in_log_steps,
    ("barrier", "recursive_doubling"): lambda p, n: (log2_down(p) + folded_steps(p)) * (ALPHA + n * BETA),
    ("barrier", "binomial"): lambda p, n: 2 * log2_up(p) * (ALPHA + n * BETA),
}

PAIR_FORMS: dict[tuple[str, str], Form] = {
    ("all_reduce", "mesh"): lambda p, n: 2 * ALPHA + 2 / p * n * BETA,
    ("all_reduce", "bidirectional_ring"): lambda p, n: 2 * (p - 1) * ALPHA + (p - 1) / p * n * BETA,
    ("reduce_scatter", "mesh"): lambda p, n: ALPHA + n / p * BETA,
    ("all_gather", "mesh"): lambda p, n: ALPHA + n / p * BETA,
    ("all_to_all", "mesh"): lambda p, n: ALPHA + n / p * BETA,
    ("gather", "mesh"): lambda p, n: ALPHA + n / p * BETA,
    ("scatter", "mesh"): lambda p, n: ALPHA + n / p * BETA,
}


@pytest.mark.parametrize("p", [2, 3, 4, 7, 8, 13, 16, 31, 64, 100])
def test_times_are_the_closed_forms(p: int) -> None:
    n = 3.0e6
    for pairs, forms in ((False, PORT_FORMS), (True, PAIR_FORMS)):
        for (kind, name), form in forms.items():
            if serves(kind, name, p) is None:
                got = seconds(build(kind, p, n, name), pairs=pairs)
                assert got == pytest.approx(form(p, n), rel=1e-12), (kind, name)


def test_a_double_binary_tree_takes_its_stages_and_pieces() -> None:
    """2 (D + C - 1) (alpha + n/C beta), D = floor(log2 p): both trees at once, two ranks below each."""
    n = 3.0e6
    for p in (2, 3, 8, 13, 64, 100):
        for pieces in (1, 2, 5, 40):
            schedule = build("all_reduce", p, n, "double_binary_tree", pipeline=pieces)
            depth = log2_down(p)
            assert steps(schedule) == 2 * (depth + pieces - 1)
            want = 2 * (depth + pieces - 1) * (ALPHA + n / pieces * BETA)
            # Where p is small a rank never has two children sending at once.
            assert seconds(schedule) <= want * (1 + 1e-12)
            if p >= 8 and pieces >= depth:
                steady = [r for r in schedule.rounds() if r.src.size == 2 * (p - 1)]
                assert [r.repeat for r in steady] == [pieces - depth + 1] * 2
                assert max(np.bincount(steady[0].dst, weights=steady[0].bytes)) == pytest.approx(n / pieces)


@pytest.mark.parametrize("p", [2, 4, 16, 64])
def test_bruck_all_to_all_of_a_power_of_two(p: int) -> None:
    """log2 p (alpha + n/2 beta)."""
    n = 3.0e6
    want = log2_up(p) * (ALPHA + n / 2 * BETA)
    assert seconds(build("all_to_all", p, n, "bruck")) == pytest.approx(want, rel=1e-12)


@given(st.integers(2, 300))
@settings(max_examples=60, deadline=None)
def test_blocks_of_every_nb_and_nhr_step(p: int) -> None:
    """Step k of the reduce-scatter: stride 2^k, floor((p-1+2^k) / 2^(k+1)) blocks (HCCL)."""
    for name, way in (("nb", 1), ("nhr", -1)):
        for k, round_ in enumerate(build("reduce_scatter", p, float(p), name).rounds()):
            assert ((round_.dst - round_.src) % p == way * 2**k % p).all()
            assert (round_.bytes == (p - 1 + 2**k) // 2 ** (k + 1)).all()


@pytest.mark.parametrize("kind", ["all_gather", "reduce_scatter"])
@pytest.mark.parametrize("aggregation", [1, 2, 3, 8])
def test_pat_keeps_to_its_aggregation(kind: str, aggregation: int) -> None:
    """ceil(log2 p) - m + 2^m - 1 steps of at most A parts, m the least with ceil(p / 2^m) <= A."""
    for p in range(2, 41):
        schedule = build(kind, p, float(p), "pat", aggregation=aggregation)
        schedule.check()
        rounds = list(schedule.rounds())
        assert max(round_.bytes.max() for round_ in rounds) <= aggregation
        assert seconds(schedule) == pytest.approx(len(rounds) * ALPHA + (p - 1) * BETA, rel=1e-12)
        m = next(m for m in range(8) if math.ceil(p / 2**m) <= aggregation)
        assert len(rounds) == log2_up(p) - m + min(2**m, p) - 1


@pytest.mark.parametrize("kind", ["broadcast", "reduce"])
def test_a_chain_takes_its_hops_and_pieces(kind: str) -> None:
    """(p - 2 + C) (alpha + n/C beta)."""
    n = 3.0e6
    for p in (2, 3, 9, 32):
        for pieces in (1, 4, 50):
            schedule = build(kind, p, n, "chain", pipeline=pieces, root=p // 2)
            schedule.check()
            want = (p - 2 + pieces) * (ALPHA + n / pieces * BETA)
            assert seconds(schedule) == pytest.approx(want, rel=1e-12)


MOVED: dict[tuple[str, str], Form] = {
    ("all_reduce", "ring"): lambda p, n: 2 * (p - 1) * n,
    ("all_reduce", "bidirectional_ring"): lambda p, n: 2 * (p - 1) * n,
    ("all_reduce", "mesh"): lambda p, n: 2 * (p - 1) * n,
    ("all_reduce", "double_binary_tree"): lambda p, n: 2 * (p - 1) * n,
    ("reduce_scatter", "ring"): lambda p, n: (p - 1) * n,
    ("all_gather", "ring"): lambda p, n: (p - 1) * n,
    ("reduce_scatter", "mesh"): lambda p, n: (p - 1) * n,
    ("all_gather", "mesh"): lambda p, n: (p - 1) * n,
    ("all_to_all", "pairwise"): lambda p, n: (p - 1) * n,
    ("all_to_all", "mesh"): lambda p, n: (p - 1) * n,
    **{("all_reduce", name): lambda p, n: 2 * (p - 1) * n for name in ("nhr", "nb", "binomial")},
    **{("reduce_scatter", name): lambda p, n: (p - 1) * n for name in ("nhr", "nb", "pat")},
    **{("all_gather", name): lambda p, n: (p - 1) * n for name in ("nhr", "nb", "pat")},
    ("broadcast", "chain"): lambda p, n: (p - 1) * n,
    ("reduce", "chain"): lambda p, n: (p - 1) * n,
    ("broadcast", "binomial"): lambda p, n: (p - 1) * n,
    ("reduce", "binomial"): lambda p, n: (p - 1) * n,
    ("gather", "mesh"): lambda p, n: (p - 1) / p * n,
    ("scatter", "mesh"): lambda p, n: (p - 1) / p * n,
}


@given(st.sampled_from(sorted(MOVED)), st.integers(3, 200), st.floats(1.0, 1e12))
@settings(max_examples=100, deadline=None)
def test_bytes_moved_are_the_closed_forms(pair: tuple[str, str], p: int, n: float) -> None:
    assert build(pair[0], p, n, pair[1]).totals()[1] == pytest.approx(MOVED[pair](p, n), rel=1e-9)


def test_hierarchical_moves_as_much_between_groups_as_a_ring_over_them() -> None:
    """H groups of g: g rings over H ranks and n/g bytes: 2 (H - 1) n across the groups in all."""
    p, g, n = 24, 4, 2400.0
    groups = np.arange(p) // g
    across = 0.0
    for round_ in build("all_reduce", p, n, "hierarchical", groups=groups).rounds():
        crosses = groups[round_.src] != groups[round_.dst]
        across += round_.repeat * round_.bytes[crosses].sum()
    assert across == pytest.approx(2 * (p // g - 1) * n, rel=1e-12)


# ---------------------------------------------------------------- structure


@given(st.integers(2, 3000))
@settings(max_examples=80, deadline=None)
def test_two_trees_share_no_inner_rank(p: int) -> None:
    child, parent, depth, tree = two_trees(p)
    inner = [set(parent[tree == t].tolist()) for t in (0, 1)]
    assert not inner[0] & inner[1]
    for t in (0, 1):
        assert np.bincount(parent[tree == t]).max() <= 2
        assert np.unique(child[tree == t]).size == p - 1
    assert depth.max() == log2_down(p)
    above, level = in_order_tree(p)
    below = above >= 0
    assert (level[below] == level[above[below]] + 1).all()


def test_large_schedules_are_few_arrays() -> None:
    """The ring over 2^20 ranks is two rounds over the very same ends."""
    scatter, gather = build("all_reduce", 1 << 20, 2.0**30, "ring").rounds()
    assert scatter.src is gather.src
    assert scatter.dst is gather.dst
    assert scatter.bytes is gather.bytes
    assert (scatter.repeat, gather.repeat) == ((1 << 20) - 1,) * 2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("halving_doubling", {}),
        ("hierarchical", {"groups": np.arange(4096) // 8}),
        ("hierarchical", {"groups": np.arange(4096) // 8, "inner": "halving_doubling"}),
    ],
)
def test_mirrored_phases_share_their_ends(name: str, options: dict[str, Any]) -> None:
    rounds = list(build("all_reduce", 4096, 1e6, name, **options).rounds())
    for ahead, back in zip(rounds, reversed(rounds), strict=True):
        assert ahead.src is back.src
        assert ahead.dst is back.dst


def test_sharing_ends_changes_no_round() -> None:
    for p, name in ((13, "halving_doubling"), (24, "double_binary_tree"), (9, "ring")):
        rounds = list(build("all_reduce", p, 1e6, name).rounds())
        for window in (1, 64):
            for before, after in zip(rounds, share_ends(rounds, window), strict=True):
                assert (before.src == after.src).all()
                assert (before.dst == after.dst).all()
                assert (before.bytes == after.bytes).all()
                assert (before.reduce, before.repeat) == (after.reduce, after.repeat)


def test_a_payload_is_not_made_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("a payload was made")

    for module in pkgutil.iter_modules(sim.collectives.__path__):
        for function in ("even", "everything", "stretches", "reached"):
            loaded = importlib.import_module(f"sim.collectives.{module.name}")
            monkeypatch.setattr(loaded, function, refuse, raising=False)
    for kind, name in PLAIN:
        if serves(kind, name, 8) is None:
            assert list(build(kind, 8, 8.0, name).rounds()) != []


def test_schedules_can_be_walked_more_than_once() -> None:
    for kind, name in PLAIN:
        if serves(kind, name, 8) is None:
            schedule = build(kind, 8, 800.0, name)
            assert schedule.totals() == schedule.totals() != (0, 0.0)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("kind", "ranks", "size", "name", "options", "says"),
    [
        ("all_reduce", 0, 8.0, "ring", {}, r"ranks \(=0\)"),
        ("all_reduce", 2.5, 8.0, "ring", {}, r"ranks \(=2.5\)"),
        ("all_reduce", 4, 0.0, "ring", {}, r"size \(=0\)"),
        ("all_reduce", 4, -1.0, "ring", {}, r"size \(=-1\)"),
        ("all_reduce", 4, math.nan, "ring", {}, r"size \(=nan\)"),
        ("all_reduce", 4, math.inf, "ring", {}, r"size \(=inf\)"),
        ("all_reduce", 4, "much", "ring", {}, "must be a number of bytes"),
        ("all_reduce", 2, np.ones((2, 2)), "ring", {}, "only all_to_all takes a matrix"),
        ("all_to_all", 3, np.ones((2, 2)), "pairwise", {}, "must be 3 by 3"),
        ("all_to_all", 2, [[0.0, -1.0], [0.0, 0.0]], "mesh", {}, r"matrix\[0, 1\] \(=-1\)"),
        ("broadcast", 4, 8.0, "binomial", {"root": 4}, r"root \(=4\)"),
        ("send", 4, 8.0, "direct", {"source": 3}, "both rank 3"),
        ("reduce_scatter", 6, 8.0, "swing", {}, "power of two"),
        ("all_reduce", 4, 8.0, "double_binary_tree", {"pipeline": 0}, r"pipeline \(=0\)"),
        ("all_gather", 4, 8.0, "pat", {"aggregation": 0}, r"aggregation \(=0\)"),
        ("all_reduce", 2, 8.0, "bidirectional_ring", {}, "at least 3 ranks"),
        ("all_reduce", 4, 8.0, "hierarchical", {"groups": [0, 0, 0, 1]}, "group 1 has 1 .* group 0 has 3"),
        ("all_reduce", 4, 8.0, "hierarchical", {"groups": [0, 1]}, "each of the 4 ranks"),
        ("all_reduce", 4, 8.0, "hierarchical", {"groups": None}, "needs groups="),
        ("all_reduce", 9000, 8.0, "mesh", {}, "at most 8192 ranks"),
    ],
)
def test_what_cannot_be_built_is_refused(
    kind: str, ranks: Any, size: Any, name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ScheduleError, match=says):
        build(kind, ranks, size, name, **options)


def test_unknown_names_come_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'all_reduce'"):
        algorithms("allreduce")
    with pytest.raises(UnknownNameError, match="did you mean 'ring'"):
        build("all_reduce", 4, 8.0, "rings")
    with pytest.raises(UnknownNameError, match="did you mean 'pipeline'"):
        build("all_reduce", 4, 8.0, "double_binary_tree", pipelin=3)
    with pytest.raises(UnknownNameError, match="unknown algorithm of all_gather"):
        serves("all_gather", "double_binary_tree", 4)


def test_predicates_say_what_build_would_say() -> None:
    """An algorithm serves exactly the numbers of ranks it can be built for."""
    for kind, name in PLAIN:
        for p in (1, 2, 3, 5, 8, 12):
            reason = serves(kind, name, p)
            if reason is None:
                build(kind, p, 8.0, name)
            else:
                with pytest.raises(ScheduleError, match=reason):
                    build(kind, p, 8.0, name)
    assert serves("all_reduce", "hierarchical", 4) is not None
    assert serves("all_reduce", "hierarchical", 4, [0, 0, 1, 1]) is None
    assert serves("all_reduce", "hierarchical", 4, [0, 1, 1, 1]) is not None


def test_phases_that_do_not_fit_are_refused() -> None:
    pair = build("all_reduce", 2, 8.0, "ring")
    for members, parts, says in (
        (np.array([[0, 1, 2]]), 1, "for 2 ranks a copy"),
        (np.array([[0, 1], [1, 2]]), 1, "disjoint"),
        (np.array([[0, 4]]), 1, "ranks 0 to 3"),
        (np.array([[0, 1]]), 2, "a part of the buffer has 4"),
    ):
        with pytest.raises(ScheduleError, match=says):
            compose("all_reduce", "by hand", 4, 8.0, [Phase(pair, members, parts)])


def test_members_are_in_rank_order() -> None:
    assert members_of(np.array([9, 4, 9, 4, 4, 9])).tolist() == [[1, 3, 4], [0, 2, 5]]
