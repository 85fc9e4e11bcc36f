"""``chipweave export``: the runs of a store as CSV or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scenarios.commands.options import Quiet

__all__ = ["export"]


def export(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store that chipweave sweep wrote.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help=".csv or .parquet.  [default: CSV to stdout]"),
    ] = None,
    timing: Annotated[
        bool, typer.Option("--timing", help="Add how long each run took, where and when.")
    ] = False,
    every_model: Annotated[
        bool, typer.Option("--every-model", help="Add runs that other versions of the model made.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """The runs of a store as a table, one row a run, the same bytes each time."""
    import sys
    import time

    from scenarios.outputs import write_file, write_manifest
    from scenarios.store import Store
    from scenarios.store.table import table

    started = time.monotonic()
    if output is not None and output.suffix.lower() not in (".csv", ".parquet"):
        raise typer.BadParameter(f"-o '{output}' must end in .csv or .parquet")
    with Store(store) as opened:
        models = opened.models()
        found = table(opened, timing=timing, every_model=every_model)
    if len(models) > 1 and not every_model and not quiet:
        others = f"{len(models) - 1} other version{'s' * (len(models) > 2)} of the model"
        typer.echo(f"left out: runs of {others}; --every-model adds them", err=True)
    if output is None:
        found.print_csv(sys.stdout)
        return
    write = found.write_csv if output.suffix.lower() == ".csv" else found.write_parquet
    write_file(output, write)
    write_manifest(
        output.with_name(f"{output.name}.manifest.json"),
        files=[output],
        inputs={
            "store": store,
            "runs": len(found),
            "models": models if every_model else models[-1:],
            "timing": timing,
        },
        wall_time=time.monotonic() - started,
    )
    if not quiet:
        typer.echo(f"written: {output}, {len(found):,} runs", err=True)
