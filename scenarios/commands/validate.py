"""``chipweave validate``: every row of a table of measurements predicted, and how far off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.commands.options import Library, Quiet

if TYPE_CHECKING:
    import pandas as pd

    from scenarios.outputs import OutputFolder

__all__ = ["validate"]


def validate(
    table: Annotated[
        Path | None,
        typer.Argument(metavar="CSV", help="Measured rows in our schema; by default the project's own."),
    ] = None,
    machines: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of machine files (.toml) besides the catalogue."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write tables and figures there.")
    ] = None,
    library: Library = None,
    quiet: Quiet = False,
) -> None:
    """Predicted against measured time, row by row."""
    from scenarios.outputs import OutputFolder
    from scenarios.progress import progress
    from scenarios.validation import MEASURED, counted, predict, summary, unmatched
    from sim.measurements import read
    from sim.predict import Predictor
    from topologies.systems import Systems

    folder = OutputFolder(output) if output is not None else None
    path = table or MEASURED
    measured = read(path)
    systems = Systems(machines)
    with progress("measured rows", quiet=quiet) as report:
        predicted = predict(measured.rows, systems, Predictor(library), report=report)
    for note in measured.notes if table is not None else ():
        typer.echo(f"# {note}")
    missing = unmatched(predicted)
    for row in missing.to_dict("records"):
        near = systems.nearest(row["system"]) if row["reason"] == "system is not known" else ""
        hint = f"; add a machine file that answers to it (nearest known: {near})" if near else ""
        typer.echo(f"# not predicted: {row['system']!r}, {row['rows']} rows: {row['reason']}{hint}")
    good = counted(predicted)
    suspect = int(predicted["predicted_us"].notna().sum()) - len(good)
    if suspect:
        typer.echo(f"# {suspect} rows are marked suspect: predicted, not counted")
    if folder is not None and len(good):
        _write(folder, predicted, good, missing, path, machines, library)
    _tables(good)
    both = good[good["baseline_error"].notna()]
    if len(both):
        typer.echo(summary(both["baseline_error"]).line("NCCL's published model, rows"))
        typer.echo(summary(both["error"]).line("the simulator on the same rows"))
    typer.echo(summary(good["error"]).line())


def _tables(good: pd.DataFrame) -> None:
    from scenarios.validation import errors_by

    for column in ("system", "collective", "size_band", "rank_band"):
        errors = errors_by(good, column)
        if not len(errors):
            continue
        width = max(len(column), *(len(str(v)) for v in errors[column]))
        typer.echo(f"{column:<{width}} {'rows':>6} {'median':>8} {'p90':>8} {'geomean':>8} {'bias':>8}")
        for row in errors.to_dict("records"):
            figures = "".join(f" {100 * row[key]:6.1f} %" for key in ("median", "p90", "geomean", "bias"))
            typer.echo(f"{row[column]:<{width}} {row['rows']:>6}{figures}")
        typer.echo("")


def _write(
    folder: OutputFolder,
    predicted: pd.DataFrame,
    good: pd.DataFrame,
    missing: pd.DataFrame,
    path: Path,
    machines: Path | None,
    library: str | None,
) -> None:
    from scenarios.validation import errors_by
    from scenarios.validation_figures import by_size, measured_against_simulated

    folder.write_table("cases.csv", predicted)
    for column in ("system", "collective", "size_band", "rank_band"):
        folder.write_table(f"errors-by-{column.replace('_', '-')}.csv", errors_by(good, column))
    folder.write_table("not-predicted.csv", missing)
    folder.write_figure("measured-against-simulated", measured_against_simulated(good))
    folder.write_figure("error-by-size", by_size(good))
    own = sorted(machines.glob("*.toml")) if machines is not None else []
    folder.manifest("validate", inputs={"table": path, "library": library}, input_files=[path, *own])
