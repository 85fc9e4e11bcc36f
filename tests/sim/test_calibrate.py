"""Fitting: times made with known figures give these figures back, whatever a few rows say.

The measured times of these tests are predictions of a library with known figures,
with noise of a known size and seed; the fit does not see the figures.
"""

from __future__ import annotations

import numpy as np
import pytest

import sim
import topologies
from sim.calibrate import Sample, Slot, figures_to_fit, fit, sample_of, simulate, simulated, with_values
from sim.libraries import Prediction, library
from sim.predict import Point, Predictor
from sim.uncertainty import extrapolated, sensitivity
from topologies.machines import describe

MACHINE = "hgx-h100"
BARE = library("nccl", calibrated=False)
TRUE = {
    "family.ring.simple.base": 20e-6,
    "family.ring.simple.scale_up.step": 5e-6,
    "family.ring.simple.scale_up.efficiency": 0.8,
    "family.ring.ll.base": 9e-6,
    "family.ring.ll.scale_up.step": 0.9e-6,
}
SIZES = tuple(float(1 << e) for e in range(10, 31, 2))


def made(
    noise: float = 0.0, ranks: tuple[int, ...] = (2, 4, 8), protocols: tuple[str, ...] = ("LL", "Simple")
) -> list[Sample]:
    predictor, drawn = Predictor(BARE), np.random.default_rng(7)
    known = with_values(BARE, TRUE.items())
    samples = [
        sample_of(
            predictor,
            describe(MACHINE),
            Point("all_reduce", p, 1, p, size, "Ring", protocol),
            1.0,
            f"{p}@{size}",
        )
        for p in ranks
        for protocol in protocols
        for size in SIZES
    ]
    times = Prediction([(s.features, s.protocol) for s in samples]).times(known)
    times *= np.exp(noise * drawn.standard_normal(len(samples)))
    return [
        Sample(s.features, s.protocol, float(t), s.where, s.ranks, s.hosts, s.size, s.planned)
        for s, t in zip(samples, times, strict=True)
    ]


def slots(samples: list[Sample]) -> list[Slot]:
    return [s for s in figures_to_fit(samples, BARE) if s.path in TRUE]


def test_known_figures_come_back() -> None:
    """Without noise within 2 %; with 5 % of it inside the intervals that the fit gives."""
    for found in fit(made(), BARE, slots(made())).figures:
        assert found.told and found.value == pytest.approx(TRUE[found.path], rel=0.02), found
    noisy = made(0.05)
    found = fit(noisy, BARE, slots(noisy))
    assert found.residual < 0.06 and not found.dropped
    inside = [f.low <= TRUE[f.path] <= f.high for f in found.figures]
    assert sum(inside) >= 4


def test_rows_far_off_are_left_out_and_named() -> None:
    """Two of 66 rows at eight times and a fifth of their time: left out, and the figures as before."""
    rows = made(0.02)
    for at, factor in ((3, 8.0), (40, 0.2)):
        s = rows[at]
        rows[at] = Sample(
            s.features, s.protocol, s.seconds * factor, s.where, s.ranks, s.hosts, s.size, s.planned
        )
    found = fit(rows, BARE, slots(rows))
    assert [s.where for s, _ in found.dropped] == [rows[3].where, rows[40].where]
    assert "slower" in found.dropped[0][1] and "faster" in found.dropped[1][1]
    for figure in found.figures:
        assert figure.value == pytest.approx(TRUE[figure.path], rel=0.1), figure


def test_what_the_rows_cannot_tell_stays_the_vendors() -> None:
    """Rows of Simple alone say nothing of LL, rows of one host nothing of the network."""
    rows = made(protocols=("Simple",))
    extra = [Slot("family.ring.ll.base", 6.6e-6), Slot("family.ring.simple.network.step", 14e-6)]
    found = fit(rows, BARE, [*slots(rows), *extra])
    untold = {f.path: f for f in found.figures if not f.told}
    assert set(untold) == {s.path for s in extra}
    assert all(f.value == pytest.approx(f.vendor) for f in untold.values())
    assert "family.ring.ll.base" in BARE.parameters.paths()
    assert found.range == {"ranks": [2, 8], "hosts": [1, 1], "bytes": [1024.0, 2.0**30]}


def test_features_and_simulation_agree_on_a_ring() -> None:
    """A ring in lockstep: the ratio of simulated time to that of its features is 1."""
    for sample in simulated(made(ranks=(4,))[:4], BARE):
        assert sample.ratio == pytest.approx(1.0, rel=1e-6)
        assert simulate(sample, BARE) == pytest.approx(
            float(Prediction([(sample.features, sample.protocol)]).times(BARE)[0]), rel=1e-6
        )


def test_sensitivity_of_a_ring_by_hand() -> None:
    """Of what is once and (p - 1) steps of n / p / B: each share of the time is its sensitivity."""
    run = sim.all_gather(topologies.machine(MACHINE), "1 GiB", algorithm="ring", protocol="simple")
    table = sensitivity(run.plan).set_index("figure")["sensitivity"]
    # The rate of a ring is the link's times the library's share of it.
    assert set(table.index[:2]) == {"nvlink4 bandwidth", "family.ring.simple.scale_up.efficiency"}
    figures = run.plan.library.parameters.on(run.plan.router.fabric.attributes)
    share = figures.own("ring", "simple", "efficiency", "scale_up") * 0.82
    moving = 7 / 8 * 2**30 / (450e9 * share)
    assert table.iloc[:2].tolist() == pytest.approx([-moving / run.time] * 2, rel=0.02)
    assert table["nvlink4 latency"] >= 0 and table["nvlink4 latency"] < 0.01
    small = sim.all_gather(topologies.machine(MACHINE), 8192, algorithm="ring", protocol="ll")
    assert sensitivity(small.plan).iloc[0]["figure"].endswith(("base", "step"))


def test_outside_what_was_fitted_a_run_says_so() -> None:
    inside = sim.all_gather(topologies.machine(MACHINE), "1 MiB", algorithm="ring", protocol="ll")
    assert extrapolated(inside.plan) == ""
    beyond = sim.all_gather(topologies.machine(MACHINE, 512), "1 MiB", algorithm="ring", protocol="ll")
    assert extrapolated(beyond.plan).startswith("extrapolated: 512 ranks (fitted over ")
    own = sim.all_gather(topologies.ring(8, bandwidth="50 GB/s", latency="1 us"), "1 MiB")
    assert extrapolated(own.plan) == ""


def test_the_low_estimate_of_a_machine_takes_its_library_along() -> None:
    times = [
        sim.all_reduce(topologies.machine("atlas-800t-a2", estimate=e), 1024).time
        for e in ("low", "nominal", "high")
    ]
    assert times[0] > times[1] > times[2]


def test_simulated_sensitivities_are_those_of_the_simulator() -> None:
    """Where ranks run ahead of each other the schedule in lockstep names another link than counts."""
    graph = topologies.machine("atlas-800t-a2", 64)
    run = sim.all_reduce(graph, "64 MiB")
    first = sensitivity(run.plan, simulated=True).iloc[0]
    tier = first["figure"].removesuffix(" bandwidth")
    for _, _, edge in graph.edges(data=True):
        if edge["tier"] == tier:
            edge["bandwidth"] *= 1.01
    wider = sim.all_reduce(graph, "64 MiB")
    assert np.log(wider.time / run.time) / np.log(1.01) == pytest.approx(first["sensitivity"], abs=0.01)
    assert f"Depends most on {first['figure']}" in str(run.explain())


def test_ends_of_fitted_figures_follow_the_residual() -> None:
    """Times become slower and faster by what is left of the rows, not by every interval at once."""
    machine = topologies.machine(MACHINE)
    nominal, low, high = (
        sim.all_gather(
            machine, "1 MiB", algorithm="ring", protocol="ll", library=library("nccl", estimate=estimate)
        ).time
        for estimate in ("nominal", "low", "high")
    )
    path = "where.generation.hopper.family.ring.ll.base"
    residual = library("nccl").parameters.figures[path].residual
    assert 0.01 < residual < 0.1
    most = (1 + residual) ** 2.44
    assert 1 < low / nominal <= most * 1.001 and 1 < nominal / high <= most * 1.001
    assert low / nominal > 1 + (most - 1) / 2
