"""By levels: three-level and rooted collectives, AHC, pipeline, all-to-all; MoE matrices.

Every schedule is proved by the checker at every grouping of many p; what each is
for (bytes between groups, steps, one rail a message) is derived here by hand.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.collectives import algorithms, build, kinds, moe_matrix, serves
from sim.collectives.ahc import same_numbers
from sim.schedule import Schedule
from topologies.errors import ScheduleError

ALPHA, BETA = 1.0, 2.0**-20
ROOTED = ("broadcast", "reduce", "gather", "scatter")
LEVELLED = [kind for kind in kinds() if "hierarchical" in algorithms(kind)]
GROUPED = [(k, n) for n in ("pipeline", "grouped_mesh", "ahc") for k in kinds() if n in algorithms(k)]
REL = 1e-12


def steps(schedule: Schedule) -> int:
    return sum(round_.repeat for round_ in schedule.rounds())


def log2_up(p: int) -> int:
    return (p - 1).bit_length()


def crossing(schedule: Schedule, groups: np.ndarray) -> float:
    """Bytes between groups, over all rounds."""
    total = 0.0
    for round_ in schedule.rounds():
        total += round_.repeat * round_.bytes[groups[round_.src] != groups[round_.dst]].sum()
    return total


def groupings(p: int) -> list[np.ndarray]:
    """Equal groups of every size, shuffled among the ranks."""
    shuffle = np.random.default_rng(p)
    return [shuffle.permutation(np.arange(p) // g) * 2 + 1 for g in range(1, p + 1) if p % g == 0]


# ---------------------------------------------------------------- two and three levels


@pytest.mark.parametrize("kind", LEVELLED)
def test_three_levels_are_right(kind: str) -> None:
    for p in (8, 12, 24, 36):
        options = {"root": p - 2} if kind in ROOTED else {}
        for g, h in ((2, 2), (2, 3), (4, 1), (1, 4)):
            if p % (g * h):
                continue
            seat = np.random.default_rng(p).permutation(p)
            groups, pods = (seat // g) * 5, seat // (g * h)
            for middle in (None, "mesh") if "mesh" in algorithms(kind) else (None,):
                build(
                    kind, p, 1000.0, "hierarchical", groups=groups, pods=pods, middle=middle, **options
                ).check()


def test_three_levels_move_the_least_between_pods() -> None:
    """All-reduce, P pods, H hosts in all: 2 (P-1) n between pods, 2 (H-P) n between hosts of a pod."""
    p, n = 48, 4800.0
    groups, pods = np.arange(p) // 4, np.arange(p) // 16
    for middle in ("ring", "nhr", "mesh"):
        schedule = build(
            "all_reduce", p, n, "hierarchical", groups=groups, pods=pods, inner="mesh", middle=middle
        )
        assert crossing(schedule, pods) == pytest.approx(2 * (3 - 1) * n, rel=REL)
        assert crossing(schedule, groups) == pytest.approx(2 * (3 - 1) * n + 2 * (12 - 3) * n, rel=REL)
        assert schedule.options == {"inner": "mesh", "middle": middle, "outer": "ring"}
        # There and back: the mesh of 4 chips, `middle` over 4 hosts, the ring of 3 pods.
        assert steps(schedule) == 2 * (1 + {"ring": 3, "nhr": 2, "mesh": 1}[middle] + 2)


@pytest.mark.parametrize("name", ["hierarchical", "ahc", "pipeline"])
def test_groups_are_those_of_the_ranks_in_any_order(name: str) -> None:
    """However the ranks are counted, 4 groups swap 2 * 3 n and no more, pods of 2 groups 2 n."""
    groups = np.arange(24) // 6
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(24)
        for channels in (1, 3):
            options = {"groups": groups, "order": order, "channels": channels}
            schedule = build("all_reduce", 24, 2400.0, name, **options)
            schedule.check()
            assert crossing(schedule, groups) == pytest.approx(2 * 3 * 2400.0, rel=REL)
            if name == "hierarchical":
                schedule = build("all_reduce", 24, 2400.0, name, pods=groups // 2, **options)
                assert crossing(schedule, groups // 2) == pytest.approx(2 * 2400.0, rel=REL)


@pytest.mark.parametrize(
    ("kind", "share"),
    [("broadcast", 1.0), ("reduce", 1.0), ("scatter", 1 / 6), ("gather", 1 / 6)],
)
@pytest.mark.parametrize("root", [0, 7, 23])
def test_roots_at_two_levels_send_every_group_its_bytes_once(kind: str, share: float, root: int) -> None:
    """6 groups: 5 of them get (or give) the buffer, or their sixth of it."""
    groups = np.arange(24) % 6
    outer = "mesh" if kind in ("scatter", "gather") else "binomial"
    schedule = build(kind, 24, 2400.0, "hierarchical", groups=groups, root=root, inner="mesh", outer=outer)
    schedule.check()
    assert crossing(schedule, groups) == pytest.approx(5 * share * 2400.0, rel=REL)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "needs groups="),
        ({"groups": [0, 0, 0, 1, 1, 1, 1, 1]}, "groups of equal size"),
        ({"groups": [0, 0, 1, 1, 2, 2, 3, 3], "pods": [0, 1, 1, 1, 1, 1, 1, 1]}, "group 0 is in several"),
        ({"groups": [0, 0, 1, 1, 2, 2, 3, 3], "pods": [0, 0, 1, 1, 1, 1, 1, 1]}, "pod 1 has 3"),
        ({"groups": [0, 0, 1, 1, 2, 2, 3, 3], "pods": [0, 1]}, "pods must be one whole number"),
    ],
)
def test_groups_and_pods_that_do_not_fit_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        build("all_reduce", 8, 8.0, "hierarchical", **options)


@pytest.mark.parametrize(("kind", "name"), GROUPED)
def test_algorithms_by_groups_say_that_they_need_them(kind: str, name: str) -> None:
    assert "needs groups=" in str(serves(kind, name, 6))
    assert serves(kind, name, 6, [0, 0, 0, 1, 1, 1]) is None
    assert (serves(kind, name, 6, [0, 0, 1, 1, 1, 1]) is None) == (name == "ahc")
    with pytest.raises(ScheduleError, match="needs groups="):
        build(kind, 6, 8.0, name)


# ---------------------------------------------------------------- pipeline


@pytest.mark.parametrize("kind", ["all_reduce", "reduce_scatter", "all_gather"])
@pytest.mark.parametrize("p", range(2, 31))
def test_pipeline_is_right(kind: str, p: int) -> None:
    for groups in groupings(p):
        schedule = build(kind, p, 1000.0, "pipeline", groups=groups)
        schedule.check()
        factor = 2 if kind == "all_reduce" else 1
        assert schedule.totals()[1] == pytest.approx(factor * (p - 1) * 1000.0, rel=1e-9)


@pytest.mark.parametrize(("servers", "g"), [(2, 8), (5, 4), (1, 8), (16, 2)])
@pytest.mark.parametrize(("slow", "far"), [(1.0, 1.0), (6.0, 3.0), (0.2, 0.1)])
def test_pipeline_takes_hccls_formula(servers: int, g: int, slow: float, far: float) -> None:
    """2 (max(inter, intra) (H-1) + intra), each alpha + s/p beta of its own link."""
    p, n = servers * g, 3.0e6
    groups = np.arange(p) // g
    intra, inter = ALPHA + n / p * BETA, far * ALPHA + slow * n / p * BETA
    total = 0.0
    for round_ in build("all_reduce", p, n, "pipeline", groups=groups).rounds():
        across = groups[round_.src] != groups[round_.dst]
        assert np.unique(round_.src * p + round_.dst).size == round_.src.size
        assert round_.bytes == pytest.approx(np.full(round_.src.size, n / p))
        total += round_.repeat * max(inter if across.any() else 0.0, 0.0 if across.all() else intra)
    assert total == pytest.approx(2 * (max(inter, intra) * (servers - 1) + intra), rel=REL)


# ---------------------------------------------------------------- AHC


@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), st.sampled_from(["nb", "ring", "nhr", "mesh"]))
@settings(max_examples=60)
def test_ahc_is_right_for_groups_of_any_size(groups: list[int], name: str) -> None:
    for outer in (name, "double_binary_tree"):
        schedule = build("all_reduce", len(groups), 1000.0, "ahc", groups=groups, inner=name, outer=outer)
        schedule.check()
        for round_ in schedule.rounds():
            ends = round_.src * len(groups) + round_.dst
            assert np.unique(ends).size == ends.size
            assert (round_.bytes > 0).all()


@pytest.mark.parametrize("sizes", [(2, 3), (8, 8, 8), (4, 6, 10), (1, 7), (64, 128), (5, 5, 3)])
def test_ahc_takes_hccls_terms(sizes: tuple[int, ...]) -> None:
    """2 (log M + log G) steps; 2 (g-1)/g n a rank inside, 2 (G-1)/(G g) n between; LCM * G slices."""
    n, count = 3.0e6, len(sizes)
    groups = np.repeat(np.arange(count), sizes)
    p = groups.size
    schedule = build("all_reduce", p, n, "ahc", groups=groups)
    assert schedule.chunks == math.lcm(*sizes) * count
    assert steps(schedule) == 2 * (log2_up(max(sizes)) + log2_up(count))
    inside, between = np.zeros(p), np.zeros(p)
    for round_ in schedule.rounds():
        across = groups[round_.src] != groups[round_.dst]
        np.add.at(between, round_.src[across], round_.repeat * round_.bytes[across])
        np.add.at(inside, round_.src[~across], round_.repeat * round_.bytes[~across])
    g = np.array(sizes)[groups]
    assert inside == pytest.approx(2 * (g - 1) / g * n, rel=1e-9)
    assert between == pytest.approx(2 * (count - 1) / (count * g) * n, rel=1e-9)


def test_ahc_over_equal_groups_is_hierarchical() -> None:
    groups = np.arange(24) // 8
    options = {"groups": groups, "inner": "ring", "outer": "ring"}
    ours, theirs = (
        list(build("all_reduce", 24, 2400.0, n, **options).rounds()) for n in ("ahc", "hierarchical")
    )
    for a, b in zip(ours, theirs, strict=True):
        assert sorted(zip(a.src, a.dst, a.bytes, strict=True)) == sorted(
            zip(b.src, b.dst, b.bytes, strict=True)
        )
        assert (a.repeat, a.reduce) == (b.repeat, b.reduce)


def test_logical_same_numbers_of_hccls_example() -> None:
    """Groups of 2 and 3: halves meet thirds at 0, 2, 3, 4, 6 sixths."""
    owners, bounds = same_numbers(np.array([1, 0, 1, 0, 1]))
    assert bounds.tolist() == [0, 2, 3, 4, 6]
    assert owners.tolist() == [[1, 1, 3, 3], [0, 2, 2, 4]]


def test_ahc_refuses_what_cannot_be_numbered() -> None:
    """Groups of 2, 3, 5, ..., 47: their common multiple is 6e17."""
    sizes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47]
    assert "slices" in str(serves("all_reduce", "ahc", sum(sizes), np.repeat(np.arange(15), sizes)))


# ---------------------------------------------------------------- all-to-all

DIRECT = ("direct", "grouped_mesh", "hierarchical")


@pytest.mark.parametrize("p", range(2, 25))
def test_all_to_all_by_groups_is_right(p: int) -> None:
    for groups in groupings(p):
        build("all_to_all", p, 1000.0, "grouped_mesh", groups=groups, inside=3, between=2).check()
        for inner, outer in (("mesh", "pairwise"), ("bruck", "bruck"), ("direct", "mesh")):
            build("all_to_all", p, 1000.0, "hierarchical", groups=groups, inner=inner, outer=outer).check()


@given(st.integers(2, 12), st.integers(0, 2**31), st.floats(0.0, 1.0), st.data())
@settings(max_examples=60)
def test_uneven_all_to_all_by_groups(p: int, seed: int, dense: float, data: st.DataObject) -> None:
    """Right with empty pairs, rows and columns; every byte crosses between groups just once."""
    rng = np.random.default_rng(seed)
    matrix = rng.random((p, p)) * 1e6 * (rng.random((p, p)) < dense)
    matrix[rng.integers(p)] = 0.0
    matrix[:, rng.integers(p)] = 0.0
    g = data.draw(st.sampled_from([d for d in range(1, p + 1) if p % d == 0]))
    groups = rng.permutation(np.arange(p) // g)
    apart = groups[:, None] != groups[None, :]
    for name in DIRECT:
        options = {} if name == "direct" else {"groups": groups}
        schedule = build("all_to_all", p, matrix, name, **options)
        schedule.check()
        assert crossing(schedule, groups) == pytest.approx(matrix[apart].sum(), rel=1e-9)
        for round_ in schedule.rounds():
            assert (round_.bytes > 0).all()
    build("all_to_all", p, matrix, "hierarchical", groups=groups, inner="bruck", outer="bruck").check()


@pytest.mark.parametrize(("count", "g"), [(4, 8), (3, 5), (2, 2), (1, 6), (7, 1)])
def test_all_to_all_by_levels_sends_few_large_messages_on_one_rail(count: int, g: int) -> None:
    """g - 1 messages of n/g inside at once, then H - 1 steps of n/H between equal places."""
    p, n = count * g, 3.0e6
    groups, place = np.arange(p) // g, np.arange(p) % g
    inside, between = [], []
    for round_ in build("all_to_all", p, n, "hierarchical", groups=groups).rounds():
        across = groups[round_.src] != groups[round_.dst]
        assert across.all() or not across.any()
        (between if across.all() else inside).append(round_)
        assert round_.bytes == pytest.approx(np.full(round_.src.size, n / (count if across.all() else g)))
    assert [r.src.size for r in inside] == ([p * (g - 1)] if g > 1 else [])
    assert [r.src.size for r in between] == [p] * (count - 1)
    for round_ in between:
        assert (place[round_.src] == place[round_.dst]).all()


@pytest.mark.parametrize(("p", "window"), [(9, 1), (9, 3), (9, 8), (9, 50), (16, 4), (2, 8)])
def test_direct_all_to_all_keeps_to_its_window(p: int, window: int) -> None:
    """ceil((p-1)/w) steps of at most w sent and received by a rank; 1 is pairwise, p - 1 the mesh."""
    n = 3.0e6
    schedule = build("all_to_all", p, n, "direct", window=window)
    schedule.check()
    rounds = list(schedule.rounds())
    assert len(rounds) == math.ceil((p - 1) / window)
    for round_ in rounds:
        assert np.bincount(round_.src).max() <= window
        assert np.bincount(round_.dst).max() <= window
    if window == 1:
        other = build("all_to_all", p, n, "pairwise").rounds()
        assert [r.dst.tolist() for r in rounds] == [r.dst.tolist() for r in other]
    if window >= p - 1:
        (mesh,) = build("all_to_all", p, n, "mesh").rounds()
        assert sorted(zip(rounds[0].src, rounds[0].dst, strict=True)) == sorted(
            zip(mesh.src, mesh.dst, strict=True)
        )


@pytest.mark.parametrize(("inside", "between"), [(16, 1), (2, 3), (1, 1), (3, 100)])
def test_grouped_mesh_is_wide_inside_and_narrow_between(inside: int, between: int) -> None:
    """4 pods of 6: max(ceil(5 / inside), ceil(18 / between)) steps, no more at once than allowed."""
    p, g = 24, 6
    groups = np.arange(p) % 4
    schedule = build("all_to_all", p, 2400.0, "grouped_mesh", groups=groups, inside=inside, between=between)
    schedule.check()
    rounds = list(schedule.rounds())
    assert len(rounds) == max(math.ceil((g - 1) / inside), math.ceil((p - g) / between))
    for round_ in rounds:
        across = groups[round_.src] != groups[round_.dst]
        for end in (round_.src, round_.dst):
            assert np.bincount(end[across], minlength=p).max() <= between
            assert np.bincount(end[~across], minlength=p).max() <= inside


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("direct", {"window": 0}, r"window \(=0\)"),
        ("direct", {"window": True}, r"window \(=True\)"),
        ("grouped_mesh", {"groups": [0, 0, 1, 1], "inside": 0}, r"inside \(=0\)"),
        ("grouped_mesh", {"groups": [0, 0, 1, 1], "between": 0.5}, r"between \(=0.5\)"),
        ("hierarchical", {"groups": [0, 0, 0, 1]}, "groups of equal size"),
    ],
)
def test_windows_without_meaning_are_refused(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        build("all_to_all", 4, 8.0, name, **options)


# ---------------------------------------------------------------- one-shot and two-shot


def test_one_shot_and_two_shot() -> None:
    """One step of n on every link against two of n/p."""
    p, n = 8, 800.0
    (one,) = build("all_reduce", p, n, "one_shot").rounds()
    assert one.src.size == p * (p - 1)
    assert (one.bytes == n).all()
    two = list(build("all_reduce", p, n, "two_shot").rounds())
    assert [r.bytes.max() for r in two] == [n / p, n / p]
    assert "one scale-up domain" in str(serves("all_reduce", "one_shot", 513))


# ---------------------------------------------------------------- mixture of experts


@given(st.integers(1, 9), st.integers(0, 60), st.integers(1, 4), st.integers(0, 20), st.integers(0, 99))
@settings(max_examples=60)
def test_every_token_goes_to_top_k_experts(p: int, tokens: int, k: int, more: int, seed: int) -> None:
    experts = k + more
    matrix = moe_matrix(p, tokens, 7.0, k, experts, seed=seed)
    assert matrix.shape == (p, p)
    assert matrix.sum(axis=1) == pytest.approx(np.full(p, tokens * k * 7.0))
    assert (matrix == moe_matrix(p, tokens, 7.0, k, experts, seed=seed)).all()
    # Different experts: a rank with m of them gets at most m copies of a token.
    held = np.bincount(np.arange(experts) * p // experts, minlength=p)
    assert (matrix <= np.minimum(held, k) * tokens * 7.0).all()
    once = moe_matrix(p, tokens, 7.0, k, experts, seed=seed, once_per_rank=True)
    assert (once <= matrix).all()
    assert (once <= tokens * 7.0).all()
    if experts <= p:
        assert (once == matrix).all()


def test_an_exact_load_is_given_by_hand() -> None:
    """2 ranks with experts (0, 1), (2, 3); load 4 : 2 : 1 : 1, 2 of them each, 80 tokens of 10 bytes.

    Experts get 80, 40, 20, 20 copies, the ranks 120 and 40: 1200 and 400 bytes of each.
    """
    matrix = moe_matrix(2, 80, 10.0, 2, 4, load=[4, 2, 1, 1], seed=None)
    assert matrix == pytest.approx(np.array([[1200.0, 400.0]] * 2), rel=REL)
    even = moe_matrix(4, 100, 1.0, 2, 8, seed=None)
    assert even == pytest.approx(np.full((4, 4), 50.0), rel=REL)


def test_the_draw_follows_the_load() -> None:
    """One expert of 8 with half the demand: of 20,000 tokens half, within 5 standard deviations (71)."""
    load = [7, 1, 1, 1, 1, 1, 1, 1]
    matrix = moe_matrix(8, 20_000, 1.0, 1, 8, load=load, seed=3)
    assert matrix[:, 0] == pytest.approx(np.full(8, 10_000), abs=5 * 71)
    assert matrix[:, 1:] == pytest.approx(np.full((8, 7), 10_000 / 7), abs=5 * 37)
    assert len({tuple(row) for row in matrix}) == 8, "ranks draw for themselves"
    assert not moe_matrix(2, 50, 1.0, 2, 4, load=[1, 1, 0, 0])[:, 1].any()


def test_dispatch_and_combine_run() -> None:
    matrix = moe_matrix(8, 256, 7168.0, 4, 32, load=np.arange(32) + 1.0)
    for one in (matrix, matrix.T):
        schedule = build("all_to_all", 8, one, "hierarchical", groups=np.arange(8) // 4)
        schedule.check()
        assert schedule.size == one.sum(axis=1).max()


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ((0, 1, 1.0, 1, 1), {}, r"ranks \(=0\)"),
        ((2, -1, 1.0, 1, 1), {}, r"tokens \(=-1\)"),
        ((2, 1, 0.0, 1, 1), {}, r"hidden_bytes \(=0.0\)"),
        ((2, 1, math.nan, 1, 1), {}, r"hidden_bytes \(=nan\)"),
        ((2, 1, 1.0, 3, 2), {}, r"top_k \(=3\)"),
        ((2, 1, 1.0, 2, 4), {"load": [1, 0, 0, 0]}, "1 of 4"),
        ((2, 1, 1.0, 1, 4), {"load": [1, 1]}, r"shape \(2,\)"),
        ((2, 1, 1.0, 1, 2), {"load": [1, -1]}, r"load\[1\] \(=-1\)"),
        ((2, 1, 1.0, 1, 2), {"load": [0, 0]}, "0 for all experts"),
        ((2, 1, 1.0, 1, 2), {"load": "much"}, "one number for each"),
        ((2, 1, 1.0, 2, 4), {"load": [3, 1, 1, 1], "seed": None, "once_per_rank": True}, "needs a draw"),
        ((2, 1, 1.0, 2, 4), {"load": [3, 1, 1, 0], "seed": None}, "expert 0 would get 1.2"),
    ],
)
def test_moe_without_meaning_is_refused(arguments: tuple, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        moe_matrix(*arguments, **options)
