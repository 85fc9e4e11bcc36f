"""Max-min fair sharing: cases solved by hand, progressive filling, and linear programmes.

The allocation: rates r_f are max-min fair subject to

    sum over f of w(f, l) * r_f <= c(l)   for every link l,    r_f <= cap(f).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim.network.kernels import maxmin, state
from sim.network.reference import max_min_rates
from tests.sim.strategies import System, random_system, systems

#: Both solvers compare shares within 1e-12 and add up to a few dozen terms.
SAME = 1e-9

Links = Sequence[tuple[int, float]]


class Compiled:
    """The compiled solver on a state of its own, as the event loop uses it.

    Transfers come and go one batch after the other; only those are handed to the
    solver that it asks for: who started, and who is limited by a link that lost
    somebody or changed.
    """

    def __init__(self, capacity: Sequence[float], transfers: Sequence[tuple[Links, float]]) -> None:
        count = len(transfers)
        entries = sum(len(links) for links, _ in transfers)
        s = state.new_state(np.array(capacity, dtype=np.float64), 4)
        queue = len(capacity) + count
        s = state.with_rows(
            s, transfers=count, entries=entries, changed=count, queue_key=queue, queue_what=queue
        )
        at = 0
        for f, (links, cap) in enumerate(transfers):
            s.transfers[f, state.ENTRY], s.transfers[f, state.ENTRIES] = at, len(links)
            s.transfers[f, state.LIMIT] = -1
            s.flows[f, state.CAP] = cap
            for link, weight in links:
                s.entries[at, state.LINK], s.entries[at, state.OWNER] = link, f
                s.weights[at, state.WEIGHT] = weight
                at += 1
        self.state = s
        self.transfers = transfers
        self.active: set[int] = set()

    def change(
        self, start: Sequence[int] = (), end: Sequence[int] = (), capacity: dict[int, float] | None = None
    ) -> dict[int, float]:
        """Let transfers start and end and links change at one instant; the new rate of each active one."""
        s = self.state
        dirty = set()
        for f in end:
            maxmin.unlink_entries(s, f)
            self.active.remove(f)
            dirty |= {
                g
                for link, _ in self.transfers[f][0]
                for g in self.active
                if s.transfers[g, state.LIMIT] == link
            }
        for link, value in (capacity or {}).items():
            s.links[link, state.CAPACITY] = value
            dirty |= {g for g in self.active if any(l == link for l, _ in self.transfers[g][0])}
        for f in start:
            s.flows[f, state.RATE] = 0.0
            s.transfers[f, state.LIMIT] = -1
            maxmin.link_entries(s, f)
            self.active.add(f)
        members = sorted((dirty & self.active) | set(start))
        s.changed[: len(members)] = members
        if members:
            for f in s.changed[: maxmin.solve(s, len(members))]:
                s.flows[f, state.RATE] = s.flows[f, state.TRIAL]
                s.transfers[f, state.MARK] = 0
        return {f: float(s.flows[f, state.RATE]) for f in sorted(self.active)}


def both(capacity: Sequence[float], transfers: Sequence[tuple[Links, float]]) -> list[float]:
    """Rates by progressive filling, after the compiled solver has given the very same."""
    textbook = max_min_rates([(list(links), cap) for links, cap in transfers], np.array(capacity))
    compiled = Compiled(capacity, transfers).change(start=range(len(transfers)))
    assert list(compiled.values()) == textbook
    return textbook


def alone(*links: int) -> tuple[Links, float]:
    return [(link, 1.0) for link in links], math.inf


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_k_transfers_on_one_link(k: int) -> None:
    """c / k each."""
    assert both([16.0], [alone(0)] * k) == [16.0 / k] * k


def test_parking_lot() -> None:
    """A on both links, B on the first, C on the second; capacities 10 and 10: 5, 5, 5.

    With 4 on the second A and C share it, 2 each, and B takes the other 8.
    """
    lot = [alone(0, 1), alone(0), alone(1)]
    assert both([10.0, 10.0], lot) == [5.0, 5.0, 5.0]
    assert both([10.0, 4.0], lot) == [2.0, 8.0, 2.0]


@pytest.mark.parametrize("p", [3, 5, 9])
def test_incast(p: int) -> None:
    """p - 1 senders of line rate c to one receiver of c: c / (p-1) each."""
    c = 8.0 * (p - 1)
    assert both([c] * p, [alone(i, p - 1) for i in range(p - 1)]) == [8.0] * (p - 1)


@pytest.mark.parametrize("network", ["fluid", "reference"])
def test_the_early_finisher(network: str) -> None:
    """10 and 20 bytes on a link of 2 B/s: 1 B/s each, the first ends at 10 s; the rest at 2 B/s, at 15 s."""
    graph = topologies.switch(3, bandwidth=1e3, latency=0.0)
    graph.edges[2, "switch0"]["bandwidth"] = 2.0
    world = sim.World(graph, library="ideal", network=network)
    ends = []
    for src, size in ((0, 10.0), (1, 20.0)):
        world.send(src, 2, size).callbacks.append(lambda event, src=src: ends.append((src, world.env.now_ps)))
    world.run()
    assert ends == [(0, 10 * 10**12), (1, 15 * 10**12)]


@pytest.mark.parametrize("ratio", [1, 2, 4])
def test_oversubscribed_leaves(ratio: int) -> None:
    """Eight hosts a leaf, 8/o uplinks of c, hosts spread over them evenly: c / o each; inside the leaf c."""
    uplinks = 8 // ratio
    across = [alone(i, 16 + i % uplinks) for i in range(8)]
    assert both([12.0] * 24, across) == [12.0 / ratio] * 8
    assert both([12.0] * 24, [alone(i, 8 + (i + 1) % 8) for i in range(8)]) == [12.0] * 8


def test_a_ring_shares_nothing() -> None:
    """Neighbours on a ring of 5: every directed link has one transfer, at full rate."""
    assert both([7.0] * 5, [alone(i) for i in range(5)]) == [7.0] * 5


def test_a_slow_link_slows_only_its_own() -> None:
    assert both([8.0, 4.0, 8.0], [alone(0), alone(1), alone(2)]) == [8.0, 4.0, 8.0]


def test_weights_and_caps() -> None:
    """A sprayed over two planes (1/2 each) beside B on the first, planes of 6, C on the second capped at 1.

    Together they rise to r: r/2 + r = 6 at 4 on the first plane; C stops at 1 before
    that; the second plane has 6 - 4/2 - 1 = 3 left. A = B = 4, C = 1.
    """
    spray = [(0, 0.5), (1, 0.5)]
    assert both([6.0, 6.0], [(spray, math.inf), alone(0), ([(1, 1.0)], 1.0)]) == [4.0, 4.0, 1.0]


def test_a_tree_is_as_fast_as_its_slowest_branch() -> None:
    """A multicast over links of 9, 3 and 9 moves at 3 on all of them; a path beside it on the first has 6."""
    assert both([9.0, 3.0, 9.0], [alone(0, 1, 2), alone(0)]) == [3.0, 6.0]


def test_a_link_that_is_down_holds_its_own_alone() -> None:
    """0 for the transfer through it; the other on the shared link has all of it."""
    assert both([10.0, 0.0], [alone(0, 1), alone(0)]) == [0.0, 10.0]


def test_a_start_far_away_changes_a_rate_through_a_chain() -> None:
    """Links of 10, 12, 20. A on 0 and 1, B on 1 and 2, C on 2; then D on 0.

    Before: A and B share 1, 6 each (A fits into 10), and C has 14. D on link 0:
    A = D = 5; so B gets 7, and C 13: nobody of B and C shares a link with D.
    """
    chain = Compiled([10.0, 12.0, 20.0], [alone(0, 1), alone(1, 2), alone(2), alone(0)])
    assert list(chain.change(start=[0, 1, 2]).values()) == [6.0, 6.0, 14.0]
    assert list(chain.change(start=[3]).values()) == [5.0, 7.0, 13.0, 5.0]
    assert list(chain.change(end=[3]).values()) == [6.0, 6.0, 14.0]


# ---------------------------------------------------------------- three solvers


def successive_programmes(problems: Sequence[System]) -> list[list[float]]:
    """Max-min rates of independent systems by linear programmes (HiGHS), all systems in one programme.

    Raise t_s, the least rate of those not yet fixed, in every system s; those whose
    constraint r_f >= t_s has a price other than zero have that rate in every
    solution: fix them, and go on (Radunovic and Le Boudec 2007, max-min programming).
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    first = np.cumsum([0, *(len(s.transfers) for s in problems)])
    count = int(first[-1])
    of = np.repeat(np.arange(len(problems)), np.diff(first))
    flows = [flow for s in problems for flow in s.transfers]
    caps = np.array([cap for _, cap in flows])
    below = np.cumsum([0, *(len(s.capacity) for s in problems)])
    rows, columns, values = [], [], []
    for f, (links, _) in enumerate(flows):
        for link, weight in links:
            rows.append(int(below[of[f]]) + link)
            columns.append(f)
            values.append(weight)
    capacity = np.concatenate([s.capacity for s in problems])
    fixed = np.full(count, np.nan)
    while np.isnan(fixed).any():
        rising = np.flatnonzero(np.isnan(fixed))
        least = below[-1] + np.arange(rising.size)
        matrix = coo_array(
            (
                [*values, *np.ones(rising.size), *-np.ones(rising.size)],
                ([*rows, *least, *least], [*columns, *(count + of[rising]), *rising]),
            ),
            shape=(int(below[-1]) + rising.size, count + len(problems)),
        ).tocsr()
        lower = np.concatenate([np.where(np.isnan(fixed), 0.0, fixed), np.zeros(len(problems))])
        upper = np.concatenate([np.where(np.isnan(fixed), caps, fixed), np.full(len(problems), 1e4)])
        goal = np.zeros(count + len(problems))
        goal[count + np.unique(of[rising])] = -1.0
        slack = 1e-9 * capacity  # what is fixed is so to the solver's own accuracy
        solved = linprog(
            goal,
            A_ub=matrix,
            b_ub=np.concatenate([capacity + slack, np.zeros(rising.size)]),
            bounds=np.column_stack([lower, upper]),
            method="highs-ds",
            options={"dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-10},
        )
        assert solved.status == 0, solved.message
        price = -solved.ineqlin.marginals[below[-1] :]
        level = solved.x[count + of[rising]]
        now = price > 1e-7
        assert now.any()
        fixed[rising[now]] = level[now]
    return [fixed[a:b].tolist() for a, b in itertools.pairwise(first)]


def test_a_thousand_random_systems_by_three_solvers() -> None:
    """Up to 10 links and 16 transfers with weights, caps and trees."""
    rng = random.Random(2024)
    problems = [random_system(rng, rng.randint(1, 10), rng.randint(1, 16)) for _ in range(1200)]
    programmes = successive_programmes(problems)
    for problem, programme in zip(problems, programmes, strict=True):
        textbook = max_min_rates(
            [(list(links), cap) for links, cap in problem.transfers], np.array(problem.capacity)
        )
        compiled = Compiled(problem.capacity, problem.transfers).change(start=range(len(problem.transfers)))
        assert list(compiled.values()) == pytest.approx(textbook, rel=SAME)
        assert programme == pytest.approx(textbook, rel=1e-6), problem


@given(systems(), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_solving_again_only_what_must_change(problem: System, rng: random.Random) -> None:
    """Transfers start, end and links change in any order; each time the rates are those from scratch."""
    solver = Compiled(problem.capacity, problem.transfers)
    capacity = list(problem.capacity)
    for _ in range(8):
        idle = [f for f in range(len(problem.transfers)) if f not in solver.active]
        start = [f for f in idle if rng.random() < 0.4]
        end = [f for f in sorted(solver.active) if rng.random() < 0.3]
        changed = {
            l: rng.choice([0.0, 1.0, problem.capacity[l]])
            for l in range(len(capacity))
            if rng.random() < 0.15
        }
        for link, value in changed.items():
            capacity[link] = value
        rates = solver.change(start, end, changed)
        active = [(list(problem.transfers[f][0]), problem.transfers[f][1]) for f in rates]
        assert list(rates.values()) == pytest.approx(max_min_rates(active, np.array(capacity)), rel=SAME)


@given(systems(most_links=12, most_transfers=20))
@settings(max_examples=150)
def test_every_transfer_has_its_certificate(problem: System) -> None:
    """At its cap, or on a full link on which nobody is faster; and no link above its capacity."""
    rates = list(
        Compiled(problem.capacity, problem.transfers).change(start=range(len(problem.transfers))).values()
    )
    load = np.zeros(len(problem.capacity))
    fastest = np.zeros(len(problem.capacity))
    for rate, (links, _) in zip(rates, problem.transfers, strict=True):
        for link, weight in links:
            load[link] += weight * rate
            fastest[link] = max(fastest[link], rate)
    capacity = np.array(problem.capacity)
    assert (load <= capacity * (1 + SAME)).all()
    for rate, (links, cap) in zip(rates, problem.transfers, strict=True):
        assert rate <= cap
        assert rate == cap or any(
            load[l] >= capacity[l] * (1 - SAME) and rate >= fastest[l] * (1 - SAME) for l, _ in links
        )
