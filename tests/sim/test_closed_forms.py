"""Simulated times against the closed forms of the algorithms.

p ranks, n bytes, alpha seconds a step (the latency of a path), beta seconds a
byte on a rank's link, gamma seconds a byte reduced. "Exact" is one picosecond
for each sequential step, plus 1e-9 relative: durations are rounded up.

Sources: Thakur, Rabenseifner and Gropp 2005; Bruck et al. 1997; HCCL's
documentation of its algorithms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

import sim
import topologies
from sim.collectives import serves
from sim.libraries import library, parse

BANDWIDTH = 50e9
LATENCY = 1e-6
RANKS = [*range(2, 18), 64]
SIZE = 3.0e6

WAYS = {
    "fast-forward": {"network": "fluid", "fast_forward": True},
    "every event": {"network": "fluid", "fast_forward": False},
    "reference": {"network": "reference"},
}

#: What software adds in the tests of libraries: seconds, wire factor, bytes/s.
LAUNCH, OVERHEAD, WIRE, REDUCE_RATE = 7e-6, 1.5e-6, 1.25, 80e9
SOFTWARE = parse(
    {
        "name": "software",
        "efficient": False,
        "launch": {"value": LAUNCH},
        "protocol": {
            "simple": {
                "wire": {"value": WIRE},
                "reduce_rate": {"value": REDUCE_RATE},
                **{hop: {"step": {"value": OVERHEAD}} for hop in ("scale_up", "host", "network")},
            }
        },
    },
    "software",
)


def log2_up(p: int) -> int:
    return (p - 1).bit_length()


def log2_down(p: int) -> int:
    return p.bit_length() - 1


@dataclass(frozen=True)
class Form:
    """a steps of latency, b bytes moved and c bytes reduced, one after the other; b and c in units of n."""

    a: Callable[[int], float]
    b: Callable[[int], float]
    c: Callable[[int], float] = lambda p: 0.0

    def __call__(self, p: int, n: float, alpha: float, beta: float, gamma: float) -> float:
        return self.a(p) * alpha + n * self.b(p) * beta + n * self.c(p) * gamma


def others(p: int) -> float:
    """(p - 1) / p"""
    return (p - 1) / p


def folding(p: int) -> int:
    """1 where the ranks beyond a power of two are folded in first and out last."""
    return 0 if p & (p - 1) == 0 else 1


def core(p: int) -> float:
    """(p' - 1) / p' of the largest power of two p' <= p"""
    return others(1 << log2_down(p))


def halving_by_parts(p: int) -> float:
    """Parts that pass the busiest rank, over p: of 2 e ranks, e = p - p', one of two stands for both."""
    e = p - (1 << log2_down(p))
    return (p - e - 1 + sum(min(1 << k, e) for k in range(log2_down(p))) + (p if e else 0)) / p


RING_HALF = Form(lambda p: p - 1, others, others)
RING_GATHER = Form(lambda p: p - 1, others)
LOG_HALF = Form(log2_up, others, others)
LOG_GATHER = Form(log2_up, others)
TREE = Form(log2_up, log2_up)

#: On one switch: what passes a rank's own link.
STAR = {
    ("all_reduce", "ring"): Form(lambda p: 2 * (p - 1), lambda p: 2 * others(p), others),
    ("reduce_scatter", "ring"): RING_HALF,
    ("all_gather", "ring"): RING_GATHER,
    ("all_reduce", "recursive_doubling"): Form(
        lambda p: log2_down(p) + 2 * folding(p),
        lambda p: log2_down(p) + 2 * folding(p),
        lambda p: log2_down(p) + folding(p),
    ),
    ("all_reduce", "halving_doubling"): Form(
        lambda p: 2 * log2_down(p) + 2 * folding(p),
        lambda p: 2 * core(p) + 2 * folding(p),
        lambda p: core(p) + folding(p),
    ),
    ("reduce_scatter", "halving_doubling"): Form(
        lambda p: log2_down(p) + 2 * folding(p), halving_by_parts, halving_by_parts
    ),
    ("all_gather", "halving_doubling"): Form(lambda p: log2_down(p) + 2 * folding(p), halving_by_parts),
    ("all_reduce", "nhr"): Form(lambda p: 2 * log2_up(p), lambda p: 2 * others(p), others),
    ("all_reduce", "nb"): Form(lambda p: 2 * log2_up(p), lambda p: 2 * others(p), others),
    ("reduce_scatter", "nhr"): LOG_HALF,
    ("reduce_scatter", "nb"): LOG_HALF,
    ("reduce_scatter", "pat"): LOG_HALF,
    ("all_gather", "nhr"): LOG_GATHER,
    ("all_gather", "nb"): LOG_GATHER,
    ("all_gather", "pat"): LOG_GATHER,
    ("all_to_all", "pairwise"): RING_GATHER,
    ("broadcast", "nhr"): Form(lambda p: 2 * log2_up(p), lambda p: 2 * others(p)),
    ("broadcast", "scatter_all_gather"): Form(lambda p: log2_up(p) + p - 1, lambda p: 2 * others(p)),
    ("broadcast", "binomial"): TREE,
    ("reduce", "binomial"): Form(log2_up, log2_up, log2_up),
    ("all_reduce", "binomial"): Form(lambda p: 2 * log2_up(p), lambda p: 2 * log2_up(p), log2_up),
    ("scatter", "binomial"): LOG_GATHER,
    ("scatter", "nhr"): LOG_GATHER,
    ("gather", "binomial"): LOG_GATHER,
    ("send", "direct"): Form(lambda p: 1, lambda p: 1),
    ("all_reduce", "pat"): Form(lambda p: 2 * log2_up(p), lambda p: 2 * others(p), others),
    ("reduce", "nhr"): Form(lambda p: 2 * log2_up(p), lambda p: 2 * others(p), others),
    ("reduce", "reduce_scatter_gather"): Form(lambda p: log2_up(p) + p - 1, lambda p: 2 * others(p), others),
    ("gather", "nhr"): LOG_GATHER,
    ("scatter", "chain"): RING_GATHER,
    ("gather", "chain"): RING_GATHER,
    ("broadcast", "bine"): TREE,
    ("reduce", "bine"): Form(log2_up, log2_up, log2_up),
    **{
        ("all_reduce", name): Form(lambda p: 2 * log2_up(p), lambda p: 2 * others(p), others)
        for name in ("swing", "bine")
    },
    **{("reduce_scatter", name): LOG_HALF for name in ("swing", "bine")},
    **{("all_gather", name): LOG_GATHER for name in ("swing", "bine")},
}

#: Between every pair a link of its own.
FULL_MESH = {
    ("all_reduce", "mesh"): Form(lambda p: 2, lambda p: 2 / p, others),
    ("reduce_scatter", "mesh"): Form(lambda p: 1, lambda p: 1 / p, others),
    **{
        (kind, "mesh"): Form(lambda p: 1, lambda p: 1 / p)
        for kind in ("all_gather", "all_to_all", "gather", "scatter")
    },
    ("all_reduce", "bidirectional_ring"): Form(lambda p: 2 * (p - 1), others, others),
    ("reduce_scatter", "bidirectional_ring"): Form(lambda p: p - 1, lambda p: others(p) / 2, others),
    ("all_gather", "bidirectional_ring"): Form(lambda p: p - 1, lambda p: others(p) / 2),
    ("all_reduce", "two_shot"): Form(lambda p: 2, lambda p: 2 / p, others),
    ("all_reduce", "one_shot"): Form(lambda p: 1, lambda p: 1, lambda p: p - 1),
    ("broadcast", "mesh"): Form(lambda p: 1, lambda p: 1),
    ("reduce", "mesh"): Form(lambda p: 1, lambda p: 1, lambda p: p - 1),
}


@cache
def star(p: int) -> sim.Fabric:
    return sim.compile_fabric(topologies.switch(p, bandwidth=BANDWIDTH, latency=LATENCY))


@cache
def full_mesh(p: int) -> sim.Fabric:
    return sim.compile_fabric(topologies.full_mesh(p, bandwidth=BANDWIDTH, latency=LATENCY))


def assert_exact(run: sim.Run, formula: float) -> None:
    """The project's one tolerance on times."""
    steps = int(run.rounds["repeat"].sum())
    assert abs(run.time - formula) <= steps * 1e-12 + 1e-9 * formula, (
        f"{run.kind} by {run.algorithm}, {run.ranks} ranks: {run.time!r} s, formula {formula!r} s"
    )


def cases(forms: dict[tuple[str, str], Form]) -> list[object]:
    return [pytest.param(kind, name, id=f"{kind}-{name}") for kind, name in forms]


def ranks_for(kind: str, name: str, ranks: list[int]) -> list[int]:
    found = [p for p in ranks if serves(kind, name, p) is None]
    assert found
    return found


# ---------------------------------------------------------------- alpha and beta


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "name"), cases(STAR))
def test_on_a_star(kind: str, name: str, way: str) -> None:
    """alpha is two links; beta that of one; nobody disturbs anybody."""
    most = 9 if way == "reference" else 64
    for p in ranks_for(kind, name, RANKS):
        if p <= most:
            run = sim.collective(kind, star(p), SIZE, algorithm=name, library="ideal", **WAYS[way])
            assert_exact(run, STAR[kind, name](p, SIZE, 2 * LATENCY, 1 / BANDWIDTH, 0))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "name"), cases(FULL_MESH))
def test_on_a_full_mesh(kind: str, name: str, way: str) -> None:
    """alpha and beta are those of one link; all p - 1 links of a chip work at once."""
    most = 9 if way == "reference" else 64
    for p in ranks_for(kind, name, RANKS):
        if p <= most:
            run = sim.collective(kind, full_mesh(p), SIZE, algorithm=name, library="ideal", **WAYS[way])
            assert_exact(run, FULL_MESH[kind, name](p, SIZE, LATENCY, 1 / BANDWIDTH, 0))


@pytest.mark.parametrize("way", ["fast-forward", "every event"])
@pytest.mark.parametrize(("kind", "name"), cases(STAR))
def test_of_a_thousand_ranks(kind: str, name: str, way: str) -> None:
    p = 1000 if serves(kind, name, 1000) is None else 1024
    run = sim.collective(kind, star(p), 1e9, algorithm=name, library="ideal", **WAYS[way])
    assert_exact(run, STAR[kind, name](p, 1e9, 2 * LATENCY, 1 / BANDWIDTH, 0))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("all_reduce", "mesh"), ("all_reduce", "bidirectional_ring")])
def test_of_a_thousand_ranks_with_half_a_million_links(kind: str, name: str) -> None:
    run = sim.collective(kind, full_mesh(1000), 1e9, algorithm=name, library="ideal")
    assert_exact(run, FULL_MESH[kind, name](1000, 1e9, LATENCY, 1 / BANDWIDTH, 0))


@pytest.mark.parametrize("p", [2, 4, 8, 16, 64, 1024])
def test_bruck_of_a_power_of_two(p: int) -> None:
    """log2 p (alpha + n/2 beta): half of a rank's blocks move in each step."""
    run = sim.all_to_all(star(p), SIZE, algorithm="bruck", library="ideal")
    assert_exact(run, log2_up(p) * (2 * LATENCY + SIZE / 2 / BANDWIDTH))


@pytest.mark.parametrize("p", [3, 8, 17, 1000])
def test_ring_on_a_ring(p: int) -> None:
    """A ring of links serves a ring of ranks as a star does, with one link a step."""
    ring = topologies.ring(p, bandwidth=BANDWIDTH, latency=LATENCY)
    for kind in ("all_reduce", "reduce_scatter", "all_gather"):
        run = sim.collective(kind, ring, SIZE, algorithm="ring", library="ideal")
        assert_exact(run, STAR[kind, "ring"](p, SIZE, LATENCY, 1 / BANDWIDTH, 0))


@pytest.mark.parametrize(("p", "pieces"), [(2, 1), (7, 1), (7, 5), (64, 40), (1000, 3)])
def test_a_chain_flows_in_pieces(p: int, pieces: int) -> None:
    """(p - 2 + C) (alpha + n/C beta): every rank sends one piece while it receives the next."""
    run = sim.broadcast(star(p), SIZE, algorithm="chain", pipeline=pieces, library="ideal")
    assert_exact(run, (p - 2 + pieces) * (2 * LATENCY + SIZE / pieces / BANDWIDTH))


@pytest.mark.parametrize(("hosts", "g"), [(2, 2), (3, 4), (5, 8)])
def test_two_levels(hosts: int, g: int) -> None:
    """Reduce-scatter inside, ring between chips of one index, all-gather inside (HCCL).

    Hosts are full meshes of links of 1/beta', rail i is a star of all i-th chips:
    2 (alpha' + n/g beta') + 2 (h-1) (alpha + n/(g h) beta), and for three stages
    of an all-gather (between first, p parts of n/p): the same with half of each.
    """
    graph = topologies.rail_optimized(
        hosts, g, bandwidth=BANDWIDTH, latency=LATENCY, tiers=1, radix=2 * hosts, nic_latency=0.0,
        scale_up_bandwidth=4 * BANDWIDTH, scale_up_latency=0.4e-6,
    )  # fmt: skip
    run = sim.all_reduce(graph, SIZE, algorithm="hierarchical", inner="ring", outer="ring", library="ideal")
    between = sim.send(graph, 1.0, ranks=[0, g], library="ideal").time - 1 / BANDWIDTH
    inside = sim.send(graph, 1.0, ranks=[0, 1], library="ideal").time - 1 / (4 * BANDWIDTH)
    want = 2 * (g - 1) * (inside + SIZE / g / (4 * BANDWIDTH)) + 2 * (hosts - 1) * (
        between + SIZE / (g * hosts) / BANDWIDTH
    )
    assert abs(run.time - want) <= 1e-12 * (2 * (g - 1) + 2 * (hosts - 1) + 4) + 1e-9 * want


# ---------------------------------------------------------------- gamma, overhead, wire bytes


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "name"), cases(STAR))
def test_software_on_a_star(kind: str, name: str, way: str) -> None:
    """launch + the form with alpha + overhead, wire * beta, and gamma = 1 / reduce_rate."""
    for p in ranks_for(kind, name, [2, 3, 4, 6, 8, 13, 16] if way != "reference" else [2, 3, 4, 6]):
        run = sim.collective(kind, star(p), SIZE, algorithm=name, library=SOFTWARE, **WAYS[way])
        want = STAR[kind, name](p, SIZE, 2 * LATENCY + OVERHEAD, WIRE / BANDWIDTH, 1 / REDUCE_RATE)
        assert_exact(run, LAUNCH + want)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "name"), list(FULL_MESH))
def test_software_on_a_full_mesh(kind: str, name: str, way: str) -> None:
    """As on the star; what several peers send at once is reduced one after the other: (p-1)/p n gamma."""
    for p in ranks_for(kind, name, [2, 3, 4, 6, 8, 13] if way != "reference" else [2, 3, 4, 6]):
        run = sim.collective(kind, full_mesh(p), SIZE, algorithm=name, library=SOFTWARE, **WAYS[way])
        want = FULL_MESH[kind, name](p, SIZE, LATENCY + OVERHEAD, WIRE / BANDWIDTH, 1 / REDUCE_RATE)
        assert_exact(run, LAUNCH + want)


# ---------------------------------------------------------------- what is not uniform


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("p", [2, 3, 5, 8, 16])
def test_a_slow_link_in_a_ring(p: int, way: str) -> None:
    """One link at c/2: 2(p-1) (alpha + 2m/c) for m = n/p, with no transient.

    Both ends of the slow link reach step k at k times its step time D, as each
    step of theirs contains it; nobody else is ever later: a rank d hops away has
    seen at least k - d of the slow steps, and its other steps are shorter.
    """
    graph = topologies.ring(p, bandwidth=BANDWIDTH, latency=LATENCY)
    world = sim.World(graph, library="ideal", **WAYS[way])
    world.set_link(0, 1, bandwidth=BANDWIDTH / 2)
    done = world.all_reduce(SIZE, algorithm="ring")
    world.run(until=done)
    want = 2 * (p - 1) * (LATENCY + 2 * SIZE / p / BANDWIDTH)
    assert abs(world.now - want) <= 2 * (p - 1) * 1e-12 + 1e-9 * want


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ratio", [1, 2, 4])
def test_an_oversubscribed_tier(ratio: int, way: str) -> None:
    """Eight chips a leaf, all send to the other leaf at once: c / o each; inside the leaf: c."""
    graph = topologies.leaf_spine(
        16, per_leaf=8, oversubscription=ratio, bandwidth=BANDWIDTH, latency=LATENCY
    )
    world = sim.World(graph, library="ideal", **WAYS[way])
    across = [world.send(i, i + 8, SIZE) for i in range(8)]
    world.run(until=world.env.all_of(across))
    assert abs(world.now - (4 * LATENCY + SIZE * ratio / BANDWIDTH)) <= 1e-12
    before = world.now
    inside = [world.send(i, (i + 1) % 8, SIZE) for i in range(8)]
    world.run(until=world.env.all_of(inside))
    assert abs(world.now - before - (2 * LATENCY + SIZE / BANDWIDTH)) <= 2e-12


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("p", [2, 5, 16, 33])
def test_incast(p: int, way: str) -> None:
    """p - 1 senders to one receiver: c/(p-1) each, all end at (p-1) n/c + lambda. As gather by mesh."""
    run = sim.gather(star(p), SIZE, algorithm="mesh", library="ideal", **WAYS[way])
    assert_exact(run, 2 * LATENCY + (p - 1) / p * SIZE / BANDWIDTH)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrap", [True, False])
def test_rings_along_a_torus_dimension_never_meet(way: str, wrap: bool) -> None:
    """All-reduces along every row and column of a 4 x 5 torus at once take their time alone.

    On a mesh the way back from the last to the first passes all other links, in
    the other direction: still nobody's. Its latency is that of the whole row.
    """
    graph = topologies.torus((4, 5), bandwidth=BANDWIDTH, latency=LATENCY, wrap=(wrap, wrap))
    for rows in ([range(5 * r, 5 * r + 5) for r in range(4)], [range(c, 20, 5) for c in range(5)]):
        p = len(rows[0])
        world = sim.World(graph, library="ideal", **WAYS[way])
        done = [world.all_reduce(SIZE, list(row), algorithm="ring") for row in rows]
        world.run(until=world.env.all_of(done))
        longest = LATENCY * (1 if wrap else p - 1)
        want = 2 * (p - 1) * (longest + SIZE / p / BANDWIDTH)
        assert abs(world.now - want) <= 2 * (p - 1) * 1e-12 + 1e-9 * want


def test_uneven_all_to_all_is_the_sum_of_each_steps_largest() -> None:
    """(p-1) alpha + beta sum over k of max over i of n(i, i+k) (HCCL pairwise), largest ones on one rank.

    Without a barrier the sum is an upper bound: it is reached where one rank sends
    the largest of every step.
    """
    p = 6
    rng = np.random.default_rng(5)
    matrix = rng.uniform(0, 1e6, (p, p))
    matrix[2] = 1e6 + np.arange(p)
    run = sim.all_to_all(star(p), matrix, algorithm="pairwise", library="ideal")
    assert_exact(run, (p - 1) * 2 * LATENCY + float(np.delete(matrix[2], 2).sum()) / BANDWIDTH)


@pytest.mark.parametrize("p", [2, 3, 7, 12])
@pytest.mark.parametrize("seed", range(3))
def test_uneven_all_to_all_of_any_matrix(p: int, seed: int) -> None:
    """HCCL's pairwise formula step by step, and what ranks gain by not waiting for each other.

    Step k alone takes alpha + beta max_i n(i, i+k): their sum is the formula. In one
    run a message starts when its two ends have done their messages of the steps
    before, which gives each rank's times by recurrence, none above the formula. One
    row and one column have nothing to send.
    """
    draw = np.random.default_rng([p, seed])
    matrix = draw.uniform(0, 1e6, (p, p)) * (draw.random((p, p)) < 0.8)
    matrix[draw.integers(p)], matrix[:, draw.integers(p)] = 0.0, 0.0
    here, alpha, formula = np.arange(p), 2 * LATENCY, 0.0
    reached = np.zeros(p)
    for k in range(1, p):
        there = (here + k) % p
        sent = matrix[here, there]
        step = np.zeros((p, p))
        step[here, there] = sent
        if not sent.any():
            continue
        alone = sim.all_to_all(star(p), step, algorithm="pairwise", library="ideal")
        assert_exact(alone, alpha + float(sent.max()) / BANDWIDTH)
        formula += alone.time
        done = np.maximum(reached, reached[there]) + alpha + sent / BANDWIDTH
        after = reached.copy()
        for rank in here[sent > 0]:
            for end in (rank, there[rank]):
                after[end] = max(after[end], done[rank])
        reached = after
    if not matrix[~np.eye(p, dtype=bool)].any():
        return
    run = sim.all_to_all(star(p), matrix, algorithm="pairwise", library="ideal")
    assert_exact(run, float(reached.max()))
    assert run.time <= formula + 1e-12 * p


@pytest.mark.parametrize("slices", [1.0, 2.0, 8.0])
@pytest.mark.parametrize("size", [1e5, 1e7, 1e9])
def test_a_ring_in_slices_hides_its_delay(slices: float, size: float) -> None:
    """Of a step of delay d and bytes that move for b: d + b less what of d passes during (1 - 1/s) b."""
    delay, ranks, rate = 20e-6, 8, 50e9
    graph = topologies.switch(ranks, bandwidth=rate, latency=1e-6)
    figures = {
        "protocol.simple.scale_up.step": delay,
        "protocol.simple.scale_up.slices": slices,
        "protocol.simple.base": 0.0,
        "hop.scale_up.wire": 2e-6,
    }
    run = sim.all_gather(
        graph, size, algorithm="ring", protocol="simple",
        library=library("nccl", parameters=figures, calibrated=False),
    )  # fmt: skip
    moving = size / ranks / rate
    passes = (1 - 1 / slices) * moving
    waits = delay - (delay**-4 + passes**-4) ** -0.25 if slices > 1 else delay
    assert run.time == pytest.approx((ranks - 1) * (waits + moving), rel=0.01)
