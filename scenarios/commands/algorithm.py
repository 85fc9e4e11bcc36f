"""``chipweave algorithm``: list ours, write them as files, check files of one's own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios.commands.options import whole

__all__ = ["app"]

app = typer.Typer(rich_markup_mode=None, help="Algorithms as files: MSCCL XML (.xml) and GOAL (.goal).")

Kind = Annotated[str, typer.Argument(metavar="COLLECTIVE", help="all_reduce, all_gather, all_to_all, ...")]


@app.command("list")
def list_(
    collective: Annotated[str | None, typer.Argument(metavar="COLLECTIVE", help="Of this one only.")] = None,
) -> None:
    """The algorithms of each collective."""
    from sim import collectives

    for kind in collectives.kinds() if collective is None else [collective]:
        typer.echo(f"{kind + ':':<16}{' '.join(collectives.algorithms(kind))}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An .xml (MSCCL) or a .goal.")],
) -> None:
    """Whether an algorithm does what it promises; rank, thread block and step of a fault if not."""
    from sim.programs import Program, read

    found = read(file)
    if isinstance(found, Program):
        messages = found.messages()
        blocks = sum(map(len, found.lanes))
        held = (
            f"buffers of {found.slots} messages" if found.slots else "messages that wait for their receiver"
        )
        typer.echo(
            f"{file}: good; {found.kind} by {found.name}, {found.ranks} ranks, "
            f"{found.promise.chunks} chunks, {messages} messages in {blocks} thread blocks, {held}"
        )
        return
    what = f"{found.kind} of {found.size:.15g} bytes by {found.name}, " if found.kind and found.size else ""
    operations = sum(map(len, found.operations))
    typer.echo(f"{file}: every message has both ends; {what}{found.ranks} ranks, {operations} operations")


@app.command()
def export(
    collective: Kind,
    algorithm: Annotated[
        str, typer.Argument(metavar="ALGORITHM", help="A name, or hierarchical:INNER/OUTER.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help=".xml (MSCCL) or .goal."),
    ],
    ranks: Annotated[int, typer.Option(parser=whole, metavar="N", help="Number of ranks.")] = 8,
    size: Annotated[
        str | None, typer.Option(help="Bytes, such as 64M: what .goal is written for; by default 1M a rank.")
    ] = None,
    group: Annotated[
        int | None,
        typer.Option(parser=whole, metavar="N", help="Ranks of a group (host), for algorithms by groups."),
    ] = None,
    dims: Annotated[str | None, typer.Option(help="Shape of the torus, such as 4x4.")] = None,
    channels: Annotated[int | None, typer.Option(parser=whole, metavar="N", help="Channels.")] = None,
    root: Annotated[int | None, typer.Option(help="Root of broadcast, reduce, gather and scatter.")] = None,
) -> None:
    """One of our algorithms as a file."""
    from scenarios.outputs import check_writable, write_file, write_manifest
    from sim import collectives
    from sim.libraries import levels
    from sim.programs import text
    from topologies.errors import FormatError
    from topologies.units import nccl_size

    started = time.monotonic()
    if output.suffix.lower() not in (".xml", ".goal"):
        raise FormatError(f"-o {output}: unknown suffix '{output.suffix}'; take .xml (MSCCL) or .goal")
    check_writable(output.parent)
    amount = float(nccl_size(size, name="--size")) if size is not None else float(ranks << 20)
    name, given = levels(collective, algorithm)
    asked: dict[str, Any] = {
        "groups": None if group is None else [rank // group for rank in range(ranks)],
        "dims": dims,
        "channels": channels,
        "root": root,
    }
    given |= {key: value for key, value in asked.items() if value is not None}
    schedule = collectives.build(collective, ranks, amount, name, **given)
    content = text(schedule, output.suffix.lower())
    write_file(output, lambda path: path.write_text(content, encoding="utf-8"))
    write_manifest(
        output.with_name(output.name + ".manifest.json"),
        files=[output],
        inputs={"collective": collective, "algorithm": algorithm, "ranks": ranks, "size": amount}
        | {key: value for key, value in asked.items() if value is not None},
        wall_time=time.monotonic() - started,
    )
