"""The same work as in other simulators, to all the digits they print; and without rounding.

SimGrid 3.32 (model CM02, precision 1e-12): 64 MiB, links of 50e9 bytes/s and 1 us
or none, D-mod-k routing.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

import sim
import topologies
from benchmarks.without_rounding import Exchange
from tests.sim.test_closed_forms import BANDWIDTH, WAYS, assert_exact, star

MIB = 2.0**20


def test_an_all_gather_of_another_simulator() -> None:
    """Ring of 16, 1 MiB each, 50e9 bytes/s, 500 ns: 322,073 ns (ASTRA-sim's documentation)."""
    ring = topologies.ring(16, bandwidth=50e9, latency=500e-9)
    run = sim.all_gather(ring, 16 * MIB, algorithm="ring", library="ideal")
    assert round(run.time * 1e9) == 322_073


# ---------------------------------------------------------------- SimGrid 3.32, same work


def square_tree(p: int, latency: float = 1e-6) -> sim.Fabric:
    """Two tiers, sqrt(p) chips a leaf, as many spines: full bisection."""
    side = round(p**0.5)
    return sim.compile_fabric(topologies.leaf_spine(p, per_leaf=side, bandwidth=50e9, latency=latency))


@pytest.mark.parametrize(
    ("p", "simgrid"),
    [(16, 0.002576582), (64, 0.002894412), (256, 0.003693869), (1024, 0.006773733), (4096, 0.019063699)],
)
def test_simgrid_ring_on_a_star(p: int, simgrid: float) -> None:
    """64 MiB, links of 50e9 bytes/s and 1 us; model CM02, all printed digits."""
    assert round(sim.all_reduce(star(p), 64 * MIB, algorithm="ring", library="ideal").time, 9) == simgrid


@pytest.mark.parametrize(("p", "simgrid"), [(64, 0.003146412), (256, 0.004713869), (1024, 0.010865733)])
@pytest.mark.parametrize("fast_forward", [True, False])
def test_simgrid_ring_on_a_fat_tree(p: int, simgrid: float, fast_forward: bool) -> None:
    run = sim.all_reduce(
        square_tree(p), 64 * MIB, algorithm="ring", library="ideal", fast_forward=fast_forward
    )
    assert round(run.time, 9) == simgrid


@pytest.mark.parametrize(
    ("name", "p", "simgrid"),
    [
        ("recursive_doubling", 64, 0.008065),
        ("recursive_doubling", 256, 0.010753),
        ("recursive_doubling", 1024, 0.013442),
        ("halving_doubling", 64, 0.002666),
        ("halving_doubling", 256, 0.002706),
        ("halving_doubling", 1024, 0.002722),
    ],
)
def test_simgrid_doubling_on_a_star(name: str, p: int, simgrid: float) -> None:
    """SMPI replay of recursive doubling and of Rabenseifner's algorithm, all printed digits."""
    assert round(sim.all_reduce(star(p), 64 * MIB, algorithm=name, library="ideal").time, 6) == simgrid


@pytest.mark.parametrize(("p", "simgrid"), [(64, 0.001573206), (1024, 0.005432867)])
def test_simgrid_all_to_all_in_order(p: int, simgrid: float) -> None:
    """Pairwise, 64 MiB a rank, rank r on host r, spine = destination mod k: nobody collides."""
    run = sim.all_to_all(square_tree(p), 64 * MIB, algorithm="pairwise", library="ideal")
    assert round(run.time, 9) == simgrid


def shuffled(p: int) -> list[int]:
    """Hosts of the ranks: a Fisher-Yates shuffle by a 64-bit linear congruence from 12345."""
    host, x = list(range(p)), 12345
    for i in range(p - 1, 0, -1):
        x = (6364136223846793005 * x + 1442695040888963407) % 2**64
        j = (x >> 33) % (i + 1)
        host[i], host[j] = host[j], host[i]
    return host


def exactly(p: int, host: list[int]) -> Fraction:
    """The same all-to-all in rational numbers, in units of one undisturbed transfer: a twin without rounding.

    Pairwise, sqrt(p) hosts a leaf, spine = destination mod sqrt(p); all links of
    rate 1, all transfers of 1.
    """
    side = round(p**0.5)

    def path(a: int, b: int) -> list[tuple[str, int, int]]:
        up, down = a // side, b // side
        ends = [("from", a, 0), ("to", b, 0)]
        return ends if up == down else [*ends, ("up", up, b % side), ("down", b % side, down)]

    step, parts = [1] * p, [0] * p
    arrived: dict[tuple[int, int], int] = {}
    left: dict[tuple[int, int], Fraction] = {}
    links: dict[tuple[int, int], list[tuple[str, int, int]]] = {}

    def reach(r: int) -> None:
        k = step[r]
        if k == p:
            return
        parts[r] = 2
        for src in (r, (r - k) % p):
            arrived[src, k] = arrived.get((src, k), 0) + 1
            if arrived[src, k] == 2:
                left[src, k] = Fraction(1)
                links[src, k] = path(host[src], host[(src + k) % p])

    for r in range(p):
        reach(r)
    now = Fraction(0)
    while left:
        rates = filled({f: links[f] for f in left})
        span = min(left[f] / rates[f] for f in left)
        now += span
        for f in left:
            left[f] -= span * rates[f]
        done = [f for f in left if left[f] == 0]
        for f in done:
            del left[f]
        for src, k in done:
            for r in (src, (src + k) % p):
                parts[r] -= 1
                if parts[r] == 0:
                    step[r] += 1
                    reach(r)
    return now


def filled(links: dict[tuple[int, int], list[tuple[str, int, int]]]) -> dict[tuple[int, int], Fraction]:
    """Max-min rates on links of rate 1 by progressive filling, in rational numbers."""
    on: dict[tuple[str, int, int], set[tuple[int, int]]] = {}
    for f, held in links.items():
        for link in held:
            on.setdefault(link, set()).add(f)
    room = dict.fromkeys(on, Fraction(1))
    rates: dict[tuple[int, int], Fraction] = {}
    while len(rates) < len(links):
        share = {link: room[link] / len(users) for link, users in on.items() if users}
        level = min(share.values())
        for f in {f for link in share if share[link] == level for f in on[link]}:
            rates[f] = level
            for link in links[f]:
                room[link] -= level
                on[link].discard(f)
    return rates


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("p", [4, 9, 16])
def test_collisions_as_in_rational_numbers(p: int, way: str) -> None:
    """Pairwise at random places: half, third, two thirds of a link, and ranks that run ahead of others."""
    alone = 64 * MIB / p / BANDWIDTH
    run = sim.all_to_all(
        square_tree(p, 0.0), 64 * MIB, ranks=shuffled(p), algorithm="pairwise", library="ideal", **WAYS[way]
    )
    assert_exact(run, float(exactly(p, shuffled(p))) * alone)


@pytest.mark.parametrize("p", [4, 9, 25])
def test_enough_binary_places_are_as_good_as_rational_numbers(p: int) -> None:
    """The twin for a thousand ranks, where fractions would grow beyond all bounds, agrees with this one."""
    exchange = Exchange(p, places=600)
    wrong = Fraction(exchange.run(), exchange.one) - exactly(p, shuffled(p))
    assert abs(wrong) < Fraction(1, 2**550)


@pytest.mark.slow
def test_simgrid_all_to_all_at_random_places_in_rational_numbers() -> None:
    """Zero latency, 64 ranks anywhere: SimGrid's digits (max-min at 1e-12) are exact arithmetic's."""
    assert round(float(exactly(64, shuffled(64))) * MIB / 50e9, 9) == 0.003013927


@pytest.mark.parametrize("way", WAYS)
def test_simgrid_all_to_all_at_random_places(way: str) -> None:
    """Its digits, although a picosecond lost in step 3 would be 50 us in step 44: collisions amplify."""
    run = sim.all_to_all(
        square_tree(64, 0.0), 64 * MIB, ranks=shuffled(64), algorithm="pairwise", library="ideal", **WAYS[way]
    )
    assert round(run.time, 9) == 0.003013927


@pytest.mark.slow
def test_simgrid_a_million_transfers_that_collide() -> None:
    """1,024 ranks: as SimGrid within 0.2 %, on the average of runs that differ in the last bits.

    Over a thousand steps of collisions the last bit decides who is first: answers to
    sizes that differ by 1e-14 scatter by 0.25 % (standard deviation), SimGrid's like
    ours. The mean of eight has a standard error of 0.09 %.
    """
    graph, place = square_tree(1024, 0.0), shuffled(1024)
    times = [
        sim.all_to_all(
            graph, 64 * MIB * (1 + k * 1e-14), ranks=place, algorithm="pairwise", library="ideal"
        ).time
        for k in range(8)
    ]
    assert abs(sum(times) / len(times) / 0.003838581 - 1) < 2e-3
