"""``chipweave calibrate``: a library's figures from your own measurements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.commands.options import Library, Quiet

if TYPE_CHECKING:
    import pandas as pd

    from sim.calibrate import Sample
    from sim.predict import Predictor
    from topologies.description import MachineDescription

__all__ = ["calibrate"]


def calibrate(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG...", help="Output of nccl-tests, rccl-tests or hccl_test, its JSON, or CSV."
        ),
    ],
    machine: Annotated[
        str, typer.Option("--machine", metavar="NAME|FILE", help="Where it was measured: a name or a .toml.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The figures; usable as library=FILE.")
    ] = Path("params.toml"),
    collective: Annotated[
        str | None, typer.Option("-c", "--collective", help="What the logs are of, where they do not say.")
    ] = None,
    ranks: Annotated[
        int | None, typer.Option(min=2, help="How many ranks ran, where the logs do not say.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="On how many hosts, where the logs do not say.")
    ] = None,
    library: Library = None,
    quiet: Quiet = False,
) -> None:
    """Fit a library's figures to measured times: few hosts tonight, many tomorrow."""
    from scenarios.calibration_report import described, residuals, toml, warnings
    from scenarios.outputs import check_writable, save_figure, write_file, write_manifest
    from scenarios.progress import progress
    from sim.calibrate import figures_to_fit, fit, simulated
    from sim.libraries import library as named
    from sim.measurements import read
    from sim.predict import Predictor
    from topologies.errors import FormatError
    from topologies.machines import describe
    from topologies.traits import traits

    if output.suffix != ".toml":
        raise typer.BadParameter(f"-o {output}: the figures are TOML; name the file something.toml")
    check_writable(output.parent)
    where = describe(machine)
    measured = read(logs, system=where.name, collective=collective, ranks=ranks, nodes=nodes)
    base = named(library or where.library)
    # What the library has for such machines is where the fit begins, not what stands above it.
    attributes = {"machine": where.name, **traits(where)}
    base = replace(base, parameters=base.parameters.on(attributes))
    with progress("measured rows", quiet=quiet) as report:
        samples, refused = _samples(measured.rows, where, Predictor(base), report)
    for note in (*measured.notes, *refused):
        typer.echo(f"# {note}")
    if not samples:
        raise FormatError(
            f"{logs[0]}: no row can be run on {where.name}; {refused[0] if refused else 'see above'}"
        )
    found = fit(samples, base, figures_to_fit(samples, base))
    if any(s.features.setting.waited != (1, 1) for s in samples):
        found = fit(simulated(samples, found.library), base, figures_to_fit(samples, base))
    for line in described(found):
        typer.echo(line)
    for sample, reason in found.dropped:
        typer.echo(f"# left out: {sample.where}: {reason}")
    for line in warnings(found):
        typer.echo(f"# warning: {line}")
    text = toml(found, base.name, where.name, [str(log) for log in logs])
    write_file(output, lambda path: path.write_text(text, encoding="utf-8"))
    figure = output.with_suffix(".png")
    drawn = residuals(found)
    write_file(figure, lambda path: save_figure(path, drawn))
    write_manifest(
        output.with_name(output.name + ".manifest.json"),
        files=[output, figure],
        inputs={"machine": machine, "library": base.name},
        input_files=logs,
    )
    typer.echo(
        f"# {int(found.kept.sum())} rows, median |error| {100 * found.residual:.1f} %; "
        f"written: {output}, {figure}; use it as library={str(output)!r}"
    )


def _samples(
    rows: pd.DataFrame, machine: MachineDescription, predictor: Predictor, report: object
) -> tuple[list[Sample], list[str]]:
    """One sample for each point, repetitions as their median; and what cannot be run."""
    from sim.calibrate import sample_of
    from sim.predict import Point
    from topologies.errors import ChipweaveError

    refused: list[str] = []
    points: dict[Point, list[tuple[float, str]]] = {}
    for row in rows.to_dict("records"):
        points.setdefault(Point.of(row), []).append((float(row["time_us"]) * 1e-6, str(row["source"])))
    samples = []
    for done, (point, times) in enumerate(points.items(), 1):
        said = f"{point.collective} of {point.size:.0f} bytes by {point.ranks} ranks"
        where = times[0][1] or said
        if len(times) > 1:
            refused.append(f"{where}: measured {len(times)} times, their median is taken")
        if point.ranks < 2:
            refused.append(f"{where}: one rank has nothing to send, left out")
            continue
        try:
            middle = sorted(t for t, _ in times)[len(times) // 2]
            samples.append(sample_of(predictor, machine, point, middle, where))
        except ChipweaveError as error:
            refused.append(f"{where}: left out: {error}")
        report(done, len(points), point.collective)  # type: ignore[operator]
    return samples, refused
