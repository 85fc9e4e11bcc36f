"""``chipweave topo``: look at machines and graphs, check them, draw them, write them out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from scenarios.commands.options import Chips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from scenarios.commands.subject import Subject

__all__ = ["app"]

app = typer.Typer(rich_markup_mode=None, help="Look at machines and graphs.")

NameOrFile = Annotated[str, typer.Argument(metavar="NAME|FILE", help="Catalogue name, .toml or graph file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """The machines of the catalogue."""
    import topologies

    table = topologies.machines()
    if as_json:
        typer.echo(table.to_json(orient="records", indent=2))
        return
    columns: dict[str, Callable[[Any], str]] = {
        "name": str,
        "origin": str,
        "chip": str,
        "chips_per_host": str,
        "domain": str,
        "scale_up": _rate,
        "scale_out": _rate,
        "max_chips": "{:,}".format,
    }
    typer.echo(table[list(columns)].to_string(index=False, formatters=columns, na_rep="-"))


@app.command()
def show(name: NameOrFile, chips: Chips = None, as_json: AsJson = False) -> None:
    """What it is made of: nodes by kind, links by tier; of a machine every figure and its source."""
    import json

    from scenarios.commands.subject import open_subject

    subject = open_subject(name, chips)
    summary = _summary(subject)
    if subject.described:
        summary |= _described(name)
    typer.echo(json.dumps(summary, indent=2) if as_json else "\n".join(_lines(summary)))


@app.command()
def check(file: Annotated[str, typer.Argument(metavar="FILE", help="A graph or a machine.")]) -> None:
    """Whether a graph keeps the contract; what is wrong with it if not."""
    from scenarios.commands.subject import open_subject

    subject = open_subject(file)
    nodes = subject.graph.number_of_nodes()
    links = subject.graph.number_of_edges()
    typer.echo(f"{file}: good; {len(subject.members)} chips, {nodes} nodes, {links} links")


@app.command()
def draw(
    name: NameOrFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PNG", help="Or .svg, .pdf.")],
    chips: Chips = None,
) -> None:
    """A picture of it: tiers one above the other, chips in their hosts."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.backend_bases import FigureCanvasBase

    import topologies
    from scenarios.commands.subject import open_subject
    from scenarios.outputs import check_file, save_figure
    from topologies.errors import FormatError

    if output.suffix.lower().lstrip(".") not in FigureCanvasBase.get_supported_filetypes():
        raise FormatError(
            f"-o {output}: pictures cannot be written as '{output.suffix}'; use one of .png, .svg, .pdf"
        )
    check_file(output)
    started = time.monotonic()
    subject = open_subject(name, chips)
    # Axes that were drawn on stand in a figure.
    figure = cast("Figure", topologies.draw(subject.graph).get_figure(root=True))
    _write(output, lambda path: save_figure(path, figure), subject, chips, started)


@app.command()
def export(
    name: NameOrFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help=".graphml or .json.")],
    chips: Chips = None,
) -> None:
    """The graph as a file."""
    import topologies
    from scenarios.commands.subject import GRAPH_SUFFIXES, open_subject
    from scenarios.outputs import check_file

    if output.suffix.lower() not in GRAPH_SUFFIXES:
        raise typer.BadParameter(
            f"-o {output}: graphs cannot be written as '{output.suffix}'; use {' or '.join(GRAPH_SUFFIXES)}"
        )
    check_file(output)
    started = time.monotonic()
    subject = open_subject(name, chips)
    _write(output, lambda path: topologies.write(subject.graph, path), subject, chips, started)


def _write(
    output: Path, write: Callable[[Path], object], subject: Subject, chips: int | None, started: float
) -> None:
    from scenarios.outputs import write_file, write_manifest

    write_file(output, write)
    write_manifest(
        output.with_name(output.name + ".manifest.json"),
        files=[output],
        inputs={"subject": subject.name, "chips": chips},
        input_files=subject.files,
        wall_time=time.monotonic() - started,
    )


def _summary(subject: Subject) -> dict[str, Any]:
    import topologies

    held = topologies.summary(subject.graph)
    return {
        "name": subject.name,
        "chips": len(subject.members),
        "nodes": held.nodes,
        "links": [dataclasses.asdict(kind) for kind in held.links],
        "graph": held.attributes,
    }


def _described(name: str) -> dict[str, Any]:
    """Every figure of a machine description: value, evidence, source, and the ends of soft ones."""
    from topologies.machines import describe

    machine = describe(name)
    figures = [
        {
            "figure": path,
            "value": figure.text(),
            "low": None if figure.low is None else figure.text(figure.low),
            "high": None if figure.high is None else figure.text(figure.high),
            "evidence": figure.evidence,
            "source": figure.source,
        }
        for path, figure in machine.figures()
    ]
    return {"title": machine.title, "notes": machine.notes, "figures": figures}


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    from topologies.units import format_bandwidth, format_time

    yield f"{summary['name']}: {summary['chips']} chips"
    yield "nodes   " + ", ".join(f"{number} {kind}" for kind, number in summary["nodes"].items())
    for row in summary["links"]:
        each_way = format_bandwidth(row["bandwidth"])
        latency = format_time(row["latency"])
        yield f"links   {row['number']:>7} {row['tier']:<20} {each_way:>12} each way, {latency}"
    yield from (f"{key:<15} {value}" for key, value in summary["graph"].items() if key != "name")
    if "figures" in summary:
        yield f"\n{summary['title']}\n{summary['notes']}"
    for row in summary.get("figures", []):
        soft = "" if row["low"] == row["high"] else f" ({row['low']} to {row['high']})"
        yield f"{row['figure']:<28} {row['value']}{soft}, {row['evidence']}: {row['source']}"


def _rate(bandwidth: float) -> str:
    """A bandwidth of the catalogue; a machine that has no such network has none."""
    from topologies.units import format_bandwidth

    return "-" if bandwidth != bandwidth else format_bandwidth(bandwidth)
