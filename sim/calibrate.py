"""Fitting a library's figures to measured times: which figures, how well, and what cannot be told.

The time of a measured point is that of its schedule on the machine's fabric,
evaluated at any figures by `sim.libraries.Prediction`; the library's choice of
algorithm and protocol is made once, with what the library plans with, and is not
fitted. The figures at the paths theta are those that minimise

    sum over points of rho((ln predicted - ln measured) / noise)
    + sum over paths of (ln theta - ln vendor)^2 / spread^2,

rho being soft L1: a point far off pulls with constant force. What the points say
nothing about stays at the library's own figure, and is named. Points that remain
far off are left out, one line each, and the fit is repeated. The confidence
interval of a figure is that of the linearised problem, for the residual found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.clock import seconds
from sim.libraries import Features, Library, Prediction
from sim.libraries.parameters import Figure, Parameters, kind_of
from sim.plan import Plan
from sim.predict import Point, Predictor
from sim.schedule import FloatArray
from sim.world import World
from topologies.errors import LibraryError

if TYPE_CHECKING:
    from topologies.description import MachineDescription

__all__ = [
    "Fit",
    "Fitted",
    "Sample",
    "Slot",
    "figures_to_fit",
    "fit",
    "sample_of",
    "simulated",
    "with_values",
]

#: Spread of ln(predicted / measured) that is nobody's fault: runs differ by as much.
NOISE = 0.05
#: How far a figure may stand from the vendor's before the prior pulls as much as one point: e^1.5.
SPREAD = 1.5
#: A figure whose uncertainty is this share of the prior's was not determined by the points
#: (below it may still be known better together with others than alone).
UNTOLD = 0.95
#: Unless they moved it all the same: by more than this, as a logarithm.
MOVED = 0.05
#: Points are left out beyond so many spreads of the residuals, and at least so far off.
OUTLIER_SPREADS, OUTLIER_LEAST = 6.0, 0.4
#: Where a figure has no value to begin with: by what it measures (seconds, bytes/s, bytes, shares).
BEGIN = {"time": 1e-6, "bandwidth": 1e12, "size": 65536.0, "share": 1.0, "factor": 1.0, "extra": 0.03}
#: Within which a figure must stay: by what it measures; others within e^6 of the beginning.
LIMITS = {"share": (0.02, 1.3), "extra": (1e-4, 2.0)}
#: Where slices and filling have no effect: logarithms of their distance from where a fit begins.
OFF = {"slices": -9.0, "fill_rate": 3.0}
#: Step of the numerical derivatives, as a logarithm.
DIFFERENCE = 1e-4
#: Families whose pipeline is seen to fill: at most a rank's buffers, 4 MiB for each of 24 channels.
FILLED = ("nvls", "nvls_tree", "p2p", "ring")
#: Base and steps to begin with where a library has none, by protocol.
STEP = {"ll": 1e-6, "ll128": 2e-6}


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A measured point, ready to be predicted.

    Attributes
    ----------
    features : Features
    protocol : str
    seconds : float
        Measured.
    where : str
        File and line, or id.
    ranks, hosts : int
    size : float
    planned : Plan, optional
        What to simulate.
    ratio : float
        Simulated time over that of the features, where it is known: pipelines run
        ahead of their rounds, which the features do not see.
    """

    features: Features
    protocol: str
    seconds: float
    where: str = ""
    ranks: int = 0
    hosts: int = 1
    size: float = 0.0
    planned: Plan | None = None
    ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Slot:
    """A figure to fit: its path, where it begins, and how far it may go.

    ``path`` may begin with ``where.ATTRIBUTE.VALUE.``.
    """

    path: str
    begin: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float = SPREAD


@dataclass(frozen=True, slots=True)
class Fitted:
    """One figure after the fit.

    Attributes
    ----------
    path : str
    value, low, high : float
        SI units; the ends of the 95 % confidence interval.
    vendor : float
        Where it began.
    told : bool
        Whether the points determine it; if not it stays where it began.
    """

    path: str
    value: float
    low: float
    high: float
    vendor: float
    told: bool


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found.

    Attributes
    ----------
    figures : list of Fitted
    errors : float64 array, shape (samples,)
        Predicted over measured time less one, of all samples.
    kept : bool array, shape (samples,)
        Which of them the fit is based on.
    dropped : list of (sample, reason)
    library : Library
        With the figures that are told.
    """

    figures: list[Fitted]
    errors: FloatArray
    kept: Any
    dropped: list[tuple[Sample, str]]
    library: Library
    samples: Sequence[Sample] = field(default_factory=tuple)

    @property
    def residual(self) -> float:
        """Median size of the error of the samples kept."""
        return float(np.median(np.abs(self.errors[self.kept]))) if self.kept.any() else float("nan")

    @property
    def range(self) -> dict[str, list[float]]:
        """Smallest and largest ranks, hosts and bytes of the samples kept."""
        kept = [s for s, k in zip(self.samples, self.kept, strict=True) if k]
        if not kept:
            return {}
        spans: dict[str, list[float]] = {
            "ranks": [s.ranks for s in kept],
            "hosts": [s.hosts for s in kept],
            "bytes": [s.size for s in kept],
        }
        return {key: [min(values), max(values)] for key, values in spans.items()}


def with_values(library: Library, values: Iterable[tuple[str, float]], source: str = "fitted") -> Library:
    """The library with measured figures at some paths, ``where.`` ones included."""
    figures = dict(library.parameters.figures)
    for path, value in values:
        figures.pop(path, None)  # behind the others: it counts after them
        figures[path] = Figure(value, "measured", source)
    return replace(library, parameters=Parameters(figures))


def figures_to_fit(
    samples: Sequence[Sample], library: Library, prefix: str = "", *, messages: bool = False
) -> list[Slot]:
    """Figures that the samples' schedules depend on.

    For each family of algorithms and protocol that ran: what it costs once, a step
    on each kind of hop it went over and the share of the link it reached there, its
    own part; for LL also the start of its channels. With three numbers of hosts or
    more the growth with them.

    Parameters
    ----------
    prefix : str
        Put before every path, such as ``where.generation.hopper.``.
    messages : bool
        Whether the network's software treats short and long messages in ways of its own
        (libfabric): what these cost, from how many bytes on, and how many are on their way.
    """
    from sim.libraries.parameters import HOPS

    ran: dict[tuple[str, str], set[int]] = {}
    for s in samples:
        ran.setdefault((s.features.setting.family, s.protocol), set()).update(s.features.kind.tolist())
    slots = []
    for (family, protocol), hops in sorted(ran.items()):
        head = f"{prefix}family.{family}.{protocol}."
        known = library.parameters.own(family, protocol, "base")
        slots.append(Slot(head + "base", known if known > 0 else 8e-6))
        # Two kinds of hop in one host bound a ring by turns: one share for both.
        both = {0, 1} <= hops
        if both:
            slots.append(Slot(head + "efficiency", 1.0, high=2.0, spread=0.7))
        for hop in sorted(hops):
            step = library.parameters.own(family, protocol, "step", HOPS[hop])
            slots.append(Slot(f"{head}{HOPS[hop]}.step", step if step > 0 else STEP.get(protocol, 4e-6)))
            if not (both and hop < 2):
                slots.append(Slot(f"{head}{HOPS[hop]}.efficiency", 1.0, spread=0.7))
            if family == "ring":
                known = library.parameters.own(family, protocol, "slices", HOPS[hop])
                slots.append(Slot(f"{head}{HOPS[hop]}.slices", max(1.001, known), 1.0, 64.0, spread=1.0))
        slots.append(Slot(head + "own_rate"))
        if messages and 2 in hops:
            slots += _messages(f"{head}network.", family, protocol)
        limits = (f"{prefix}family.{family}.{protocol}.channel", f"family.{family}.{protocol}.channel")
        limit = next((library.parameters.value(p) for p in limits if p in library.parameters.figures), None)
        if limit is not None:
            slots.append(Slot(head + "channel", limit))
        if family in FILLED and protocol == "simple":
            slots += [Slot(head + "fill", 1e6, 6e4, 1e8, spread=1.0), Slot(head + "fill_rate", 1e12)]
        if protocol == "ll":
            slots.append(Slot(head + "spread"))
            slots.append(Slot(head + "spread_bytes", 6e4, 2e4, 4e5))
    if len({s.hosts for s in samples if s.hosts > 1}) > 2:
        slots += [Slot(f"{prefix}hop.network.skew", 1e-7), Slot(f"{prefix}hop.network.congestion", 0.02)]
    return slots


def _messages(head: str, family: str, protocol: str) -> list[Slot]:
    if family == "p2p" and protocol == "ll":
        return [
            Slot(head + "short", 1e-6),
            Slot(head + "short_bytes", 180.0, 64.0, 4096.0),
            Slot(head + "window", 8.0, 1.0, 64.0),
        ]
    if family == "ring":
        return [
            Slot(head + "rendezvous", 1e-6),
            Slot(head + "rendezvous_bytes", 1e4 if protocol == "ll" else 1e5, 512.0, 1e6),
        ]
    return []


def fit(
    samples: Sequence[Sample],
    library: Library,
    slots: Sequence[Slot],
    *,
    noise: float = NOISE,
    outliers: bool = True,
) -> Fit:
    """Fit the figures at the slots' paths.

    Parameters
    ----------
    samples : sequence of Sample
    library : Library
        Its own figures are where the fit begins, and stay where nothing is told.
    slots : sequence of Slot
    noise : float
        Spread of the logarithm of measured times.
    outliers : bool
        Whether to leave out what remains far off.
    """
    kept = np.ones(len(samples), dtype=np.bool_)
    solved = _least(samples, library, slots, noise)
    dropped: list[tuple[Sample, str]] = []
    if outliers and len(samples) > 3:
        off = np.log1p(_errors(samples, with_values(library, _values(solved))))
        middle = float(np.median(off))
        width = 1.4826 * float(np.median(np.abs(off - middle)))
        limit = max(OUTLIER_LEAST, OUTLIER_SPREADS * width)
        kept = np.abs(off - middle) <= limit
        for sample, far in ((s, o) for s, o, k in zip(samples, off, kept, strict=True) if not k):
            factor = math.exp(abs(far))
            word = "slower" if far < 0 else "faster"
            dropped.append(
                (
                    sample,
                    f"{factor:.1f} times {word} than the other rows allow ({sample.seconds * 1e6:.4g} us)",
                )
            )
        if dropped and kept.sum() >= 2:
            solved = _least([s for s, k in zip(samples, kept, strict=True) if k], library, slots, noise)
    told = [f for f in solved if f.told]
    best = with_values(library, _values(told))
    return Fit(solved, _errors(samples, best), kept, dropped, best, samples)


def sample_of(
    predictor: Predictor, machine: MachineDescription, point: Point, measured: float, where: str = ""
) -> Sample:
    """A measured point on a machine, ready to be predicted.

    Raises
    ------
    ChipweaveError
        If it cannot run there.
    """
    planned, _ = predictor.plan(machine, point)
    return Sample(
        planned.features(), planned.choice.protocol, measured, where, point.ranks, planned.request.hosts,
        point.size, planned,
    )  # fmt: skip


def simulated(samples: Sequence[Sample], library: Library) -> list[Sample]:
    """The samples with the ratio of their simulated time, by this library, to that of their features."""
    times = Prediction([(s.features, s.protocol) for s in samples]).times(library)
    return [
        replace(s, ratio=simulate(s, library) / float(t)) if s.planned is not None else s
        for s, t in zip(samples, times, strict=True)
    ]


def simulate(sample: Sample, library: Library | None = None) -> float:
    """Seconds that a sample's plan takes in the simulator, with another library's figures if given.

    The algorithm and protocol stay those of the plan.
    """
    planned = sample.planned
    if planned is None:
        raise LibraryError(f"{sample.where}: the sample holds no plan to simulate")
    if library is not None:
        planned = replace(planned, library=library)
    world = World(planned.router.fabric, library=planned.library)
    finished = world.run(until=world.start(planned, planned.schedule.kind))
    world.close()
    return seconds(finished.at_ps)


def _values(figures: Iterable[Fitted]) -> list[tuple[str, float]]:
    return [(f.path, f.value) for f in figures]


def _errors(samples: Sequence[Sample], library: Library) -> FloatArray:
    times = Prediction([(s.features, s.protocol) for s in samples]).times(library)
    times *= np.array([s.ratio for s in samples])
    return np.asarray(times / np.array([s.seconds for s in samples]) - 1.0)


def _least(samples: Sequence[Sample], library: Library, slots: Sequence[Slot], noise: float) -> list[Fitted]:
    from scipy.optimize import least_squares

    measured = np.log(np.array([s.seconds / s.ratio for s in samples]))
    begin = np.array([_begin(slot, library) for slot in slots])
    spread = np.array([slot.spread for slot in slots])
    low, high = np.array([_limits(slot, b) for slot, b in zip(slots, begin, strict=True)]).T
    # A figure of a family and protocol moves the rows of these and no others.
    kinds = [(s.features.setting.family, s.protocol) for s in samples]
    parts = []
    for kind in sorted(set(kinds)):
        rows = np.array([i for i, k in enumerate(kinds) if k == kind], dtype=np.int64)
        parts.append((kind, rows, Prediction([(samples[i].features, kind[1]) for i in rows])))

    def at(theta: FloatArray) -> Library:
        values = begin * np.exp(theta)
        return with_values(library, [(slot.path, float(v)) for slot, v in zip(slots, values, strict=True)])

    def logs(theta: FloatArray, of: tuple[str, str] | None = None) -> tuple[Any, FloatArray]:
        fitted = at(theta)
        wanted = [(rows, part) for kind, rows, part in parts if of is None or kind == of]
        rows = np.concatenate([rows for rows, _ in wanted])
        return rows, np.log(np.concatenate([part.times(fitted) for _, part in wanted]))

    def far(theta: FloatArray) -> FloatArray:
        rows, found = logs(theta)
        errors = np.empty(len(samples))
        errors[rows] = found
        return np.concatenate([(errors - measured) / noise, theta / spread])

    def slope(theta: FloatArray) -> FloatArray:
        known: dict[tuple[str, str] | None, tuple[Any, FloatArray]] = {}
        matrix = np.zeros((len(samples) + len(slots), len(slots)))
        for column, slot in enumerate(slots):
            of = _kind_of_slot(slot.path)
            matrix[len(samples) + column, column] = 1.0 / spread[column]
            if of is not None and of not in kinds:
                continue  # no row of these
            if of not in known:
                known[of] = logs(theta, of)
            step = DIFFERENCE if theta[column] + DIFFERENCE < high[column] else -DIFFERENCE
            moved = theta.copy()
            moved[column] += step
            rows, there = logs(moved, of)
            matrix[rows, column] = (there - known[of][1]) / step / noise
        return matrix

    # From the library's figures, and from a library that overlaps nothing: the better of both.
    plain = np.array([OFF.get(slot.path.rpartition(".")[2], 0.0) for slot in slots])
    starts = [np.zeros(len(slots)), plain] if plain.any() else [plain]
    found = min(
        (
            least_squares(
                far,
                np.clip(start, low + 1e-6, high - 1e-6),
                bounds=(low, high),
                loss="soft_l1",
                jac=slope,
                max_nfev=40,
                ftol=1e-4,
                xtol=1e-4,
            )
            for start in starts
        ),
        key=lambda result: float(result.cost),
    )
    # The residual found, if it is larger than the noise assumed.
    rest = far(found.x)[: len(samples)]
    scale = max(1.0, 1.4826 * float(np.median(np.abs(rest))))
    jacobian = np.array(found.jac, dtype=np.float64)
    jacobian[: len(samples)] /= scale
    deviation = np.sqrt(np.diag(np.linalg.pinv(jacobian.T @ jacobian)))
    values = begin * np.exp(found.x)
    edge = 1.96 * deviation
    least, most = begin * np.exp(low), begin * np.exp(high)
    return [
        Fitted(
            slot.path, float(v), float(max(a, v * math.exp(-e))), float(min(z, v * math.exp(min(e, 50.0)))),
            float(b), bool(d < UNTOLD * slot.spread or abs(x) > MOVED),
        )
        for slot, v, e, a, z, b, d, x in zip(
            slots, values, edge, least, most, begin, deviation, found.x, strict=True
        )
    ]  # fmt: skip


def _kind_of_slot(path: str) -> tuple[str, str] | None:
    """Family and protocol whose rows a path moves; None where all may."""
    parts = path.split(".")
    parts = parts[3:] if parts[0] == "where" else parts
    return (parts[1], parts[2]) if parts[0] == "family" else None


def _begin(slot: Slot, library: Library) -> float:
    if slot.begin is not None:
        return slot.begin
    figure = library.parameters.figures.get(slot.path)
    value = figure.value if figure is not None else math.nan
    if isinstance(value, float) and 0 < value < math.inf:
        return value
    return BEGIN[kind_of(slot.path)[0]]


def _limits(slot: Slot, begin: float) -> tuple[float, float]:
    low, high = LIMITS.get(kind_of(slot.path)[0], (begin * math.exp(-6), begin * math.exp(6)))
    low, high = slot.low or low, slot.high or high
    return math.log(min(low, begin * 0.999) / begin), math.log(max(high, begin * 1.001) / begin)
