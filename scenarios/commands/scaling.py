"""``chipweave scaling``: one collective from few chips to many, on several machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scenarios.commands.options import (
    Algorithm,
    Collective,
    Library,
    Network,
    Protocol,
    Quiet,
    Seed,
    chip_counts,
)

if TYPE_CHECKING:
    import pandas as pd

    from sim import Run

__all__ = ["scaling"]

#: What is said of each machine's largest run below the table, which says the rest.
EXPLAINED = ("run", "bounded", "contention", "bound", "change")


def scaling(
    machines: Annotated[
        list[str], typer.Argument(metavar="MACHINE...", help="Catalogue names or .toml descriptions.")
    ],
    chips: Annotated[str, typer.Option(help="8:16384 doubles; 8,24,96 lists.")] = "8:16384",
    size: Annotated[
        list[str] | None, typer.Option(help="Message size, repeatable.  [default: 1MiB, 1GiB]")
    ] = None,
    collective: Collective = "all_reduce",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write scaling.csv there.")
    ] = None,
    algorithm: Algorithm = "auto",
    protocol: Protocol = "auto",
    library: Library = None,
    network: Network = "fluid",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """One collective over numbers of chips, one row a point."""
    import sim
    from scenarios.commands.subject import GRAPH_SUFFIXES
    from scenarios.outputs import OutputFolder
    from scenarios.progress import progress
    from topologies.units import size as size_in_bytes

    for name in machines:
        if Path(name).suffix.lower() in GRAPH_SUFFIXES:
            raise typer.BadParameter(
                f"'{name}' is a graph, whose chips are those it has; scaling builds machines of many sizes "
                f"from a name or a .toml, and bench takes graphs"
            )
    folder = None if output is None else OutputFolder(output)
    counts = chip_counts(chips)
    sizes = [size_in_bytes(text, name="--size") for text in size or ["1 MiB", "1 GiB"]]
    settings: dict[str, Any] = {
        "algorithm": algorithm,
        "protocol": protocol,
        "library": library,
        "network": network,
        "seed": seed,
    }
    # The last run of a machine is its largest.
    last: dict[str, Run] = {}
    with progress(f"{collective} scaling", quiet=quiet) as report:
        table = sim.scaling(
            machines, counts, sizes, collective, progress=report,
            each=lambda run: last.update({str(run.fabric.attributes.get("machine", run.fabric.name)): run}),
            **settings,
        )  # fmt: skip
    typer.echo(table.to_json(orient="records", indent=2) if as_json else _text(table))
    if not as_json:
        for run in last.values():
            typer.echo("\n" + "\n".join(str(part) for part in run.explanation() if part.topic in EXPLAINED))
    if folder is not None:
        inputs = {"machines": machines, "chips": counts, "sizes": sizes, "collective": collective, **settings}
        folder.write_table("scaling.csv", table)
        described = [name for name in machines if name.endswith(".toml")]
        folder.manifest("scaling", inputs=inputs, input_files=described, seed=seed)
        if not quiet:
            typer.echo(f"written: {folder.path / 'scaling.csv'}", err=True)


def _text(table: pd.DataFrame) -> str:
    """The columns people compare, with units; the CSV holds all of them."""
    from topologies.units import format_bandwidth, format_size, format_time

    columns = {
        "machine": str,
        "chips": "{:,}".format,
        "size": format_size,
        "algorithm": str,
        "protocol": str,
        "time": format_time,
        "busbw": format_bandwidth,
        "efficiency": "{:.1%}".format,
        "bounded_by": str,
    }
    shown = table[list(columns)]
    return shown.to_string(index=False, formatters=columns)  # type: ignore[arg-type]
