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
    from matplotlib.figure import Figure

    from sim import Run

__all__ = ["scaling"]

#: What is said of each machine's largest run below the table, which says the rest.
EXPLAINED = ("run", "bounded", "contention", "bound", "change")


#: Columns of the table on the page; the CSV has all of them.
COLUMNS = ("machine", "chips", "size", "algorithm", "protocol", "time", "busbw", "efficiency", "bounded_by")


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
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write table, figures and a page there."),
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
    from scenarios.report import Report
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
    said = []
    if not as_json or folder is not None:
        for machine, run in last.items():
            parts = [str(part) for part in run.explanation() if part.topic in EXPLAINED]
            said.append((f"{machine}, {run.ranks:,} chips", "\n".join(parts)))
    if not as_json:
        for _, text in said:
            typer.echo("\n" + text)
    if folder is not None:
        inputs = {"machines": machines, "chips": counts, "sizes": sizes, "collective": collective, **settings}
        folder.write_table("scaling.csv", table)
        figures = _figures(table)
        for name, (_, figure) in figures.items():
            folder.write_figure(name, figure)
        described = [name for name in machines if name.endswith(".toml")]
        page = Report(
            title=f"{collective} on {', '.join(dict.fromkeys(table['machine']))}",
            machines=machines,
            figures={f"{name}.svg": caption for name, (caption, _) in figures.items()},
            tables={"scaling.csv": ("Every point", table[list(COLUMNS)])},
            explanations=said,
        )
        folder.manifest("scaling", inputs=inputs, input_files=described, seed=seed, report=page)
        if not quiet:
            names = ", ".join(["scaling.csv", *(f"{name}.png" for name in figures), "index.html"])
            typer.echo(f"written into {folder.path}: {names}", err=True)


def _figures(table: pd.DataFrame) -> dict[str, tuple[str, Figure]]:
    """Caption and figure by file name: over chips for each size, or over sizes at one number of chips."""
    from scenarios.survey import file_size
    from sim.plots import panels, plot_busbw, plot_scaling
    from topologies.units import format_size

    found = {}
    if table["chips"].nunique() > 1:
        for size in sorted(set(table["size"])):
            figure, (ax,) = panels()
            plot_scaling(table, size=size, ax=ax)
            found[f"scaling-{file_size(size)}"] = (f"Bus bandwidth over chips, {format_size(size)}", figure)
    elif table["size"].nunique() > 1:
        figure, (ax,) = panels()
        plot_busbw(table, ax=ax)
        found["busbw"] = ("Bus bandwidth over message size", figure)
    return found


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
