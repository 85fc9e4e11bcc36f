"""What a calibrated simulator must show, and how far it is: hold-outs, left-out systems, choices, bands.

Every hold-out is predicted with figures that never saw it: a cluster's larger
rank counts from its smaller ones, a system from the other systems of its
generation of chips and kind of network. All predictions are simulations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.arguments import ScenarioParser
from scenarios.outputs import OutputFolder
from scenarios.progress import progress
from scenarios.report import Report as Page

if TYPE_CHECKING:
    import pandas as pd

    from sim.calibrate import Sample
    from sim.libraries import Library
    from sim.schedule import FloatArray
    from topologies.systems import Systems

__all__ = ["HOLDOUTS", "Holdout", "Target", "main", "targets"]

NAME = "validation_targets"
MIB = float(1 << 20)

#: Every so manyeth row of sweeps with hundreds of rows, where a system is left out.
MOST_ROWS = 400

Report = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Holdout:
    """A cluster whose larger rank counts are predicted from its smaller ones."""

    title: str
    system: str
    machine: str
    at_most: int
    predicted: tuple[int, ...]
    sweeps: str = ""
    algorithm: str | None = None


HOLDOUTS = (
    Holdout("xxrjun cluster01, 2–16 → 20", "xxrjun cluster01 (10x H100 nodes)", "hgx-h100", 16, (20,)),
    Holdout("MareNostrum 5, Ring, 16 → 32", "MareNostrum 5 ACC", "marenostrum5", 16, (32,), algorithm="Ring"),
    Holdout("MareNostrum 5, Tree, 16 → 32", "MareNostrum 5 ACC", "marenostrum5", 16, (32,), algorithm="Tree"),
    Holdout("Polaris, 8 → 32, environments 3 and 4", "ALCF Polaris", "polaris", 8, (32,), "-env[34]-"),
    Holdout("Polaris, 8 → 32, environment 5", "ALCF Polaris", "polaris", 8, (32,), "-env5-"),
    Holdout("Polaris, 8 and 32 → 512, environment 5", "ALCF Polaris", "polaris", 32, (512,), "-env5-"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table: what was wanted and what was reached; shares, not per cent."""

    what: str
    rows: int
    wanted: str
    reached: str
    met: bool


def main(argv: list[str] | None = None) -> int:
    """Run the scenario; see ``--help`` for its options.

    Returns
    -------
    int
        Exit code: 0.
    """
    parser = ScenarioParser(NAME, (__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("out") / NAME, metavar="DIR")
    parser.add_argument("-q", "--quiet", action="store_true", help="No progress bar, no messages.")
    arguments = parser.parse_args(argv)
    folder = OutputFolder(arguments.output)
    with progress("targets", quiet=arguments.quiet) as report:
        found, systems = targets(report=report)
    import pandas as pd

    table = pd.DataFrame([(t.what, t.rows, t.wanted, t.reached, t.met) for t in found],
                         columns=["target", "rows", "wanted", "reached", "met"])  # fmt: skip
    folder.write_table(f"{NAME}.csv", table)
    folder.write_table(f"{NAME}-systems.csv", systems)
    folder.manifest(
        NAME,
        inputs={},
        report=Page(
            title=(__doc__ or "").partition("\n")[0],
            question=(__doc__ or "").partition("\n")[2],
            tables={
                f"{NAME}.csv": ("Targets, and whether they are met", table),
                f"{NAME}-systems.csv": ("Every system predicted without its own rows", systems),
            },
        ),
    )
    width = max(len(t.what) for t in found)
    for t in found:
        print(
            f"{'ok  ' if t.met else 'MISS'} {t.what:<{width}} {t.rows:>5} rows  "
            f"{t.reached:<34} wanted {t.wanted}"
        )
    return 0


def targets(report: Report | None = None) -> tuple[list[Target], pd.DataFrame]:
    """Evaluate all targets on the project's rows.

    Returns
    -------
    found : list of Target
    systems : DataFrame
        Error of each system when it is left out: ``system``, ``rows``, ``all``, ``from_1MiB``,
        ``from_64MiB`` (medians), ``p90``.
    """
    from scenarios.calibration import samples_of
    from scenarios.validation import MEASURED
    from sim.libraries import library
    from sim.measurements import read
    from topologies.systems import Systems

    table = read(MEASURED).rows
    systems = Systems()
    bare = {n: library(n, calibrated=False) for n in ("nccl", "rccl", "oneccl")}
    samples = samples_of(table, systems)
    found = [*_calibration(table, systems)]
    found += [_choices(table, systems)]
    steps = len(HOLDOUTS) + 30
    for i, held in enumerate(HOLDOUTS):
        if report is not None:
            report(i, steps, held.title)
        found.append(_held_out(held, table, samples, systems, bare))
    left = _left_out(table, samples, systems, bare, report)
    found += _systems_targets(left)
    found += _bands(table, systems)
    return found, left.drop(columns=["errors", "sizes"])


# ------------------------------------------------------------------ rows that were fitted


def _quantiles(errors: FloatArray) -> tuple[float, float]:
    off = np.abs(errors)
    return (float(np.median(off)), float(np.quantile(off, 0.9))) if off.size else (float("nan"),) * 2


def _target(what: str, errors: FloatArray, median: float, p90: float | None = None) -> Target:
    middle, high = _quantiles(errors)
    wanted = f"median ≤ {100 * median:.0f} %" + (f", p90 ≤ {100 * p90:.0f} %" if p90 is not None else "")
    reached = f"median {100 * middle:.1f} %" + (f", p90 {100 * high:.1f} %" if p90 is not None else "")
    met = middle <= median and (p90 is None or high <= p90)
    return Target(what, int(errors.size), wanted, reached, bool(met))


def _simulated_errors(samples: Sequence[Sample], library: Library | None = None) -> FloatArray:
    from sim.calibrate import simulate

    return np.array([simulate(s, library) / s.seconds - 1.0 for s in samples])


def _calibration(table: pd.DataFrame, systems: Systems) -> list[Target]:
    """Of the rows that were fitted, with the libraries as they are shipped."""
    from scenarios.validation import predict
    from sim.predict import Predictor

    chosen = table[table["split"] == "calibrate"].reset_index(drop=True)
    done = predict(chosen, systems, Predictor())
    errors = done["error"].to_numpy(dtype=np.float64)
    large = done["message_bytes"].to_numpy(dtype=np.float64) >= MIB
    return [
        _target("calibration rows, ≥ 1 MiB", errors[large], 0.05, 0.15),
        _target("calibration rows, < 1 MiB", errors[~large], 0.10, 0.25),
    ]


# ------------------------------------------------------------------ hold-outs


def _held_out(
    held: Holdout,
    table: pd.DataFrame,
    samples: Sequence[Sample | None],
    systems: Systems,
    bare: dict[str, Library],
) -> Target:
    from scenarios.calibration import STAGES, Stage, calibrated

    mine = (table["system"] == held.system).to_numpy().copy()
    if held.sweeps:
        mine &= table["sweep_id"].astype(str).str.contains(held.sweeps).to_numpy()
    if held.algorithm is not None:
        mine &= (table["algorithm"] == held.algorithm).to_numpy()
    ranks = table["n_ranks"].to_numpy()
    # Nothing of this system but its smaller rank counts, nothing of its sister system.
    others = table["system"] != held.system
    if held.machine == "polaris":
        others &= ~table["system"].str.contains("Sirius")
    known = (others | (mine & (ranks <= held.at_most))).to_numpy()
    machine = systems.find(held.system)
    assert machine is not None
    of_machine = _of_machine(STAGES, machine)
    own = Stage(
        f"where.machine.{held.machine}.",
        "nccl",
        (held.system,),
        "many",
        ("network",),
        messages=any(s.messages for s in of_machine),
    )
    environments = [
        replace(s, systems=(held.system,))
        for s in STAGES
        if s.prefix.startswith("where.environment.") and held.system in s.systems
    ]
    stages, begun = _without(of_machine, table, known, bare)
    part = table[known].reset_index(drop=True)
    kept = [s for s, k in zip(samples, known, strict=True) if k]
    fitted = calibrated(part, kept, systems, [*stages, own, *environments], begun).libraries["nccl"]
    wanted = [
        s for s, m, r in zip(samples, mine, ranks, strict=True) if m and r in held.predicted and s is not None
    ]
    return _target(held.title, _simulated_errors(wanted, fitted), 0.12, 0.35)


def _without(
    stages: Sequence[Any], table: pd.DataFrame, known: Any, bare: dict[str, Library]
) -> tuple[list[Any], dict[str, Library]]:
    """Stages to fit again without some rows, and the libraries with the figures of the others.

    A stage that none of its rows leaves keeps its shipped figures; one that all leave has none.
    """
    from sim.calibrate import with_values
    from sim.libraries import library

    again, begun = [], dict(bare)
    for stage in stages:
        mine = stage.rows(table).to_numpy()
        if (mine & ~known).any():
            if (mine & known).any():
                again.append(stage)
            continue
        figures = library(stage.library).parameters.figures
        values = [(path, f.value) for path, f in figures.items() if path.startswith(stage.prefix)]
        fitted = [(path, v) for path, v in values if figures[path].evidence == "measured"]
        begun[stage.library] = with_values(begun[stage.library], fitted)
    return again, begun


def _of_machine(stages: Sequence[Any], machine: Any) -> list[Any]:
    """Stages of a machine's generation and network, none of a machine or environment."""
    from topologies.traits import traits

    has = traits(machine)
    heads = {f"where.{key}.{value}." for key, value in has.items()}
    return [s for s in stages if s.prefix in heads and s.library == machine.library]


def _left_out(
    table: pd.DataFrame,
    samples: Sequence[Sample | None],
    systems: Systems,
    bare: dict[str, Library],
    report: Report | None,
) -> pd.DataFrame:
    import pandas as pd

    from scenarios.calibration import STAGES, calibrated

    rows = []
    names = sorted(set(table.loc[table["kind"] == "sweep", "system"]))
    for i, name in enumerate(names):
        machine = systems.find(name)
        if machine is None or machine.library not in bare:
            continue
        if report is not None:
            report(len(HOLDOUTS) + i, len(HOLDOUTS) + len(names), f"without {name}")
        # Its sisters on the same machine are left out with it.
        sisters = tuple(machine.systems) if machine.name == "polaris" else (name,)
        known = (~table["system"].isin(sisters)).to_numpy()
        every = _of_machine(STAGES, machine)
        stages, begun = _without(every, table, known, bare)
        if not any((s.rows(table).to_numpy() & known).any() for s in every):
            continue
        part = table[known].reset_index(drop=True)
        kept = [s for s, k in zip(samples, known, strict=True) if k]
        fitted = calibrated(part, kept, systems, stages, begun).libraries[machine.library]
        chosen = [
            s for s, system in zip(samples, table["system"], strict=True) if system == name and s is not None
        ]
        chosen = chosen[:: max(1, len(chosen) // MOST_ROWS)]
        errors = _simulated_errors(chosen, fitted)
        sizes = np.array([s.size for s in chosen])
        off = np.abs(errors)

        def middle(mask: Any, off: FloatArray = off) -> float:
            return float(np.median(off[mask])) if mask.any() else float("nan")

        rows.append(
            (name, len(chosen), middle(sizes > 0), middle(sizes >= MIB), middle(sizes >= 64 * MIB),
             float(np.quantile(off, 0.9)), errors, sizes)
        )  # fmt: skip
    columns = ["system", "rows", "all", "from_1MiB", "from_64MiB", "p90", "errors", "sizes"]
    return pd.DataFrame(rows, columns=columns)


def _systems_targets(left: pd.DataFrame) -> list[Target]:
    errors, sizes = np.concatenate(list(left["errors"])), np.concatenate(list(left["sizes"]))
    return [
        _target("one system left out, ≥ 64 MiB", errors[sizes >= 64 * MIB], 0.12),
        _target("one system left out, ≥ 1 MiB", errors[sizes >= MIB], 0.20),
        _target("one system left out, all sizes", errors, 0.30),
    ]


# ------------------------------------------------------------------ choices and bands


def _choices(table: pd.DataFrame, systems: Systems) -> Target:
    """Ring or tree at each size: what NCCL took when left alone, by the forced time nearest to its own."""
    from sim.predict import Point, Predictor

    rows = table[(table["system"] == "MareNostrum 5 ACC") & ~table["library"].str.contains("MPI")]
    time = rows.pivot_table(index=["n_ranks", "message_bytes"], columns="algorithm", values="time_us")
    machine = systems.find("MareNostrum 5 ACC")
    assert machine is not None
    predictor = Predictor()
    right = 0
    for key, row in time.iterrows():
        ranks, size = np.asarray(key, dtype=np.float64)
        point = Point("all_reduce", int(ranks), int(ranks) // 4, 4, float(size))
        planned, _ = predictor.plan(machine, point)
        took = "Tree" if abs(row["Tree"] / row[""] - 1) < abs(row["Ring"] / row[""] - 1) else "Ring"
        same = abs(row["Tree"] / row["Ring"] - 1) < 0.02
        right += same or took.lower() == planned.schedule.algorithm
    share = right / len(time)
    reached = f"right at {right} of {len(time)} sizes ({100 * share:.0f} %)"
    return Target(
        "MareNostrum 5: choice of ring or tree", len(time), "right at ≥ 85 %", reached, share >= 0.85
    )


def _bands(table: pd.DataFrame, systems: Systems) -> list[Target]:
    """How many points of the domestic machines lie between the low and the high estimate."""
    from sim.predict import Point, Predictor

    ends = [Predictor(estimate=estimate) for estimate in ("high", "low")]
    found = []
    groups = (
        ("Ascend 910B and 910C, one-sided transfers", table["kind"] == "p2p"),
        (
            "Ascend, MoE dispatch and combine",
            (table["kind"] == "ep_kernel") & table["system"].str.contains("Huawei"),
        ),
        ("MetaX C500, 8 chips", table["system"].str.startswith("MetaX")),
    )
    inside_all = rows_all = 0
    for what, mask in groups:
        inside = 0
        rows = table[mask]
        for row in rows.to_dict("records"):
            machine = systems.find(str(row["system"]))
            assert machine is not None
            fast, slow = (end.predict(machine, Point.of(row)).time * 1e6 for end in ends)
            inside += bool(fast * 0.999 <= row["time_us"] <= slow * 1.001)
        inside_all, rows_all = inside_all + inside, rows_all + len(rows)
        share = inside / len(rows)
        reached = f"{inside} of {len(rows)} in the band ({100 * share:.0f} %)"
        found.append(Target(what, len(rows), "≥ 80 % in the band", reached, share >= 0.8))
    return found
