"""The shipped calibration: figures of the libraries fitted to the project's measured rows.

A stage fits some figures to the rows of some systems and puts them under the
attribute those rows have in common: what happens inside a host under the chips'
generation, what happens between hosts under the network's stack, and what is
particular to a site under its machine. A stage begins where those before it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from topologies.errors import ChipweaveError

if TYPE_CHECKING:
    import pandas as pd

    from sim.calibrate import Fit, Sample
    from sim.libraries import Library
    from topologies.systems import Systems

__all__ = ["STAGES", "Calibrated", "Stage", "calibrated", "samples_of"]

#: Collectives whose rows are fitted.
KINDS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce", "sendrecv")


#: How often a library that chooses by its own figures chooses and is fitted.
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Stage:
    """Which rows determine which figures.

    Attributes
    ----------
    prefix : str
        Where the figures go, such as ``where.generation.hopper.``.
    library : str
    systems : tuple of str
        Systems of the rows.
    hosts : {"one", "many", "any"}
        Rows of one host, or of several.
    hops : tuple of str
        Kinds of hop whose figures are fitted.
    once : bool
        Whether what a collective costs once is fitted as well.
    but : str
        Rows whose sweep's name contains this (a regular expression) are left out.
    messages : bool
        Whether the network's software treats short and long messages in ways of its own.
    """

    prefix: str
    library: str
    systems: tuple[str, ...]
    hosts: str = "one"
    hops: tuple[str, ...] = ("scale_up", "host")
    once: bool = True
    but: str = "^$"
    messages: bool = False

    def rows(self, table: pd.DataFrame) -> pd.Series[bool]:
        """Which rows of a table the stage fits."""
        mask = table["system"].isin(self.systems) & table["collective"].isin(KINDS)
        # Another library's rows say nothing of this one's steps.
        mask &= ~table["library"].astype(str).str.contains("MPI")
        many = table["n_nodes"] > 1
        if self.hosts != "any":
            mask &= many if self.hosts == "many" else ~many
        return mask & ~table["sweep_id"].astype(str).str.contains(self.but)


_BETWEEN = ("network",)
_AIC = "NVIDIA {} (aiconfigurator)"

STAGES: tuple[Stage, ...] = (
    Stage("where.generation.ampere.", "nccl", (_AIC.format("a100_sxm"),)),
    Stage(
        "where.generation.hopper.",
        "nccl",
        (_AIC.format("h100_sxm"), _AIC.format("h200_sxm"), "xxrjun cluster01 (10x H100 nodes)"),
    ),
    Stage(
        "where.generation.blackwell.",
        "nccl",
        tuple(_AIC.format(n) for n in ("b200_sxm", "b300_sxm", "gb200", "gb300")),
    ),
    Stage("where.generation.ada.", "nccl", (_AIC.format("l40s"),)),
    Stage("where.machine.rtx-pro-6000.", "nccl", (_AIC.format("rtx_pro_6000_server"),)),
    Stage("where.machine.azure-nda100-v4.", "nccl", ("Azure ND A100 v4 class (SuperBench test log)",)),
    Stage("where.machine.metax-c500.", "nccl", ("MetaX C500 server (Red Hat note)",)),
    Stage("where.machine.a100-bridge.", "nccl", ("Vidur profile a100_pairwise_nvlink",)),
    Stage("where.machine.h100-bridge.", "nccl", ("Vidur profile h100_pairwise_nvlink",)),
    Stage(
        "where.network.ib.",
        "nccl",
        ("MareNostrum 5 ACC", "ALCF Sophia (DGX A100)", "xxrjun cluster01 (10x H100 nodes)"),
        "many",
        _BETWEEN,
    ),
    Stage("where.machine.marenostrum5.", "nccl", ("MareNostrum 5 ACC",), "many", _BETWEEN),
    Stage("where.machine.sophia.", "nccl", ("ALCF Sophia (DGX A100)",), "many", _BETWEEN),
    Stage(
        "where.network.slingshot.",
        "nccl",
        ("ALCF Polaris", "ALCF Sirius (Polaris test system)"),
        "many",
        _BETWEEN,
        but="-env[35]-",
        messages=True,
    ),
    Stage(
        "where.environment.alcf-3.",
        "nccl",
        ("ALCF Polaris", "ALCF Sirius (Polaris test system)"),
        "many",
        _BETWEEN,
        but="-env[45]-",
        messages=True,
    ),
    Stage(
        "where.environment.alcf-5.",
        "nccl",
        ("ALCF Polaris", "ALCF Sirius (Polaris test system)"),
        "many",
        _BETWEEN,
        but="-env[34]-",
        messages=True,
    ),
    Stage("where.network.efa.", "nccl", ("AWS p4de.24xlarge", "AWS p5.48xlarge (EKS)"), "many", _BETWEEN),
    Stage(
        "where.network.roce.",
        "nccl",
        ("GCP a3-ultragpu-8g", "OCI BM.GPU.H100.8", "OCI BM.GPU.B4.8"),
        "many",
        _BETWEEN,
    ),
    Stage("where.network.tcpx.", "nccl", ("GCP a3-highgpu-8g",), "many", _BETWEEN),
    Stage("where.generation.cdna3.", "rccl", ("AMD AAC8 MI300X",)),
    Stage(
        "where.generation.cdna2.",
        "rccl",
        (
            "8x MI250X, 1 node (RCCL developer machine)",
            "MI250X test machine, 2 nodes x 16 GCD (TE-CCL, Azure)",
        ),
        "any",
        ("scale_up", "host", "network"),
    ),
    Stage("where.machine.arc-pro-b60.", "oneccl", ("Intel Arc Pro B60 (aiconfigurator)",)),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Libraries with the figures of all stages, and what each stage found."""

    libraries: dict[str, Library]
    fits: list[tuple[Stage, Fit]]


def samples_of(
    table: pd.DataFrame,
    systems: Systems,
    library: Library | None = None,
    *,
    report: Callable[[int, int, str], None] | None = None,
) -> list[Sample | None]:
    """A sample for each row; None where the machine is not known or cannot run it.

    Algorithm and protocol are chosen with the libraries' own figures where no library is
    given: what was fitted before must not lead the fit.
    """
    from sim.calibrate import sample_of
    from sim.libraries import library as named
    from sim.predict import Point, Predictor

    predictors: dict[str, Predictor] = {}
    found: list[Sample | None] = []
    for done, row in enumerate(table.to_dict("records"), 1):
        machine, point = systems.find(str(row["system"])), Point.of(row)
        sample = None
        if machine is not None and point.collective in KINDS and point.ranks > 1:
            name = machine.library
            if name not in predictors:
                predictors[name] = Predictor(library or named(name, calibrated=False))
            predictor = predictors[name]
            try:
                where = str(row.get("id") or row["source"])
                sample = sample_of(predictor, machine, point, float(row["time_us"]) * 1e-6, where)
            except ChipweaveError:
                sample = None
        found.append(sample)
        if report is not None:
            report(done, len(table), str(row["system"]))
    return found


def calibrated(
    table: pd.DataFrame,
    samples: Sequence[Sample | None],
    systems: Systems,
    stages: Sequence[Stage] = STAGES,
    start: Calibrated | dict[str, Library] | None = None,
) -> Calibrated:
    """Fit all stages, one after the other.

    Parameters
    ----------
    table : DataFrame
        Rows of `sim.measurements.read`.
    samples : sequence
        Of the rows, by `samples_of`.
    systems : Systems
    stages : sequence of Stage
    start : Calibrated, or dict of Library by name, optional
        Where to begin; by default the libraries without any calibration.
    """
    from sim.calibrate import figures_to_fit, fit, simulated
    from sim.libraries import library

    begun = start if isinstance(start, Calibrated) else Calibrated(dict(start or {}), [])
    libraries, fits = dict(begun.libraries), list(begun.fits)
    usable = np.array([s is not None for s in samples])
    for stage in stages:
        base = libraries.setdefault(stage.library, library(stage.library, calibrated=False))
        mask = stage.rows(table).to_numpy() & usable
        chosen = [s for s, m in zip(samples, mask, strict=True) if m and s is not None]
        if not chosen:
            continue
        rows = table[mask]
        for _ in range(ROUNDS):
            every = figures_to_fit(chosen, base, stage.prefix, messages=stage.messages)
            slots = [s for s in every if _wanted(stage, s.path)]
            found = fit(chosen, base, slots)
            if base.model != "nccl":
                # What this library chooses depends on its figures: choose again, fit again.
                again = samples_of(rows, systems, found.library)
                chosen = [s for s in again if s is not None]
            elif any(s.features.setting.waited != (1, 1) for s in chosen):
                chosen = simulated(chosen, found.library)
            else:
                break
        libraries[stage.library] = found.library
        fits.append((stage, found))
    return Calibrated(libraries, fits)


def _wanted(stage: Stage, path: str) -> bool:
    rest = path.removeprefix(stage.prefix).split(".")
    if rest[0] == "hop":
        return rest[1] in stage.hops
    if len(rest) == 5:
        return rest[3] in stage.hops
    # What is once: inside a host only, but trees have nothing inside that tells it.
    return stage.hops != _BETWEEN or rest[1] == "tree" if stage.once else False


def without(stages: Sequence[Stage], system: str) -> list[Stage]:
    """The stages as they are without one system, and without what is particular to its machine."""
    return [replace(s, systems=tuple(n for n in s.systems if n != system)) for s in stages]
