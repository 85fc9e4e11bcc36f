"""``chipweave bench``: one collective over message sizes, printed as nccl-tests prints it."""

from __future__ import annotations

import json
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scenarios.commands.options import (
    Algorithm,
    Channels,
    Chips,
    Collective,
    Library,
    Network,
    Pieces,
    Protocol,
    Quiet,
    Seed,
    own_files,
    rank_list,
)

if TYPE_CHECKING:
    from scenarios.commands.subject import Subject
    from scenarios.nccl_table import Row
    from sim import Recorder, Run

__all__ = ["bench"]


def bench(
    subject: Annotated[
        str, typer.Argument(metavar="MACHINE|GRAPH", help="A catalogue name, a .toml, a .graphml or a .json.")
    ],
    chips: Chips = None,
    collective: Collective = "all_reduce",
    begin: Annotated[str, typer.Option("-b", "--begin", help="Smallest size: 8, 64K, 128M.")] = "8",
    end: Annotated[str, typer.Option("-e", "--end", help="Largest size: 8G.")] = "8G",
    factor: Annotated[float, typer.Option("-f", "--factor", help="Between one size and the next.")] = 2,
    ranks: Annotated[str | None, typer.Option(help="Which chips instead: 0:8 or 0,2,4.")] = None,
    algorithm: Algorithm = "auto",
    protocol: Protocol = "auto",
    channels: Channels = None,
    pieces: Pieces = None,
    library: Library = None,
    network: Network = "fluid",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the table as JSON as well.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the largest size as a trace for ui.perfetto.dev: .json or .json.gz."
        ),
    ] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """One collective over message sizes, in the table of nccl-tests."""
    import sim
    from scenarios.commands.subject import open_subject
    from scenarios.nccl_table import footer, header, row_text, sizes
    from scenarios.outputs import check_file, write_file
    from topologies.units import nccl_size

    started = time.monotonic()
    wanted = sizes(nccl_size(begin, name="-b"), nccl_size(end, name="-e"), factor)
    for file in (json_file, trace):
        if file is not None:
            check_file(file)
    if ranks is not None and chips is not None:
        raise typer.BadParameter(
            f"--chips {chips} and --ranks {ranks}: both say who takes part; give one of them"
        )
    cluster = open_subject(subject, chips, None if ranks is None else rank_list(ranks))
    settings: dict[str, Any] = {
        "algorithm": algorithm,
        "protocol": protocol,
        "library": library,
        "network": network,
        "seed": seed,
    }
    recorder = None if trace is None else sim.Recorder()
    # Not every collective has these; said only if asked for.
    settings |= {
        name: value for name, value in (("channels", channels), ("pipeline", pieces)) if value is not None
    }
    rows, runs, cut = _simulate(cluster, collective, wanted, settings, quiet, recorder)
    typer.echo(
        "\n".join(
            header(
                collective,
                cluster.hosts,
                cluster.name,
                wanted[0],
                wanted[-1],
                factor,
                ["Simulated by chipweave: out-of-place and in-place are the same run", *cut],
            )
        )
    )
    for row in rows:
        typer.echo(row_text(collective, row))
    typer.echo("\n".join(footer(rows, [*_choices(runs), "", *runs[-1].explain().splitlines()])))
    if json_file is not None:
        config = {"machine": subject, "chips": len(cluster.members), "collective": collective}
        config |= {"minimum_bytes": wanted[0], "maximum_bytes": wanted[-1], "step_factor": factor, **settings}
        _write_json(json_file, collective, rows, config, cluster, time.monotonic() - started)
    if trace is not None and recorder is not None:
        write_file(trace, lambda path: sim.write_trace(recorder, path))


def _simulate(
    cluster: Subject,
    collective: str,
    wanted: list[int],
    settings: dict[str, Any],
    quiet: bool,
    recorder: Recorder | None,
) -> tuple[list[Row], list[Run], list[str]]:
    """Run each size, the largest recorded; sizes too small to give every rank its part are said, not run."""
    import sim
    from scenarios.nccl_table import Row, count_and_size
    from scenarios.progress import progress

    # Compiled once for all sizes.
    fabric = sim.compile_fabric(cluster.graph)
    ranks = len(cluster.members)
    rows: list[Row] = []
    runs: list[Run] = []
    cut: list[int] = []
    with progress(collective, quiet=quiet) as report:
        for done, asked in enumerate(wanted, start=1):
            count, size = count_and_size(collective, ranks, asked)
            if count == 0:
                cut.append(asked)
                continue
            run = sim.collective(
                collective, fabric, size, ranks=cluster.members,
                recorder=recorder if done == len(wanted) else None, **settings,
            )  # fmt: skip
            rows.append(Row(size, count, run.time, run.algbw, run.busbw))
            runs.append(run)
            report(done, len(wanted), f"{asked} bytes")
    if not rows:
        raise typer.BadParameter(
            f"-e {wanted[-1]}: not one size gives each of {ranks} ranks something to send; "
            f"end at {16 * ranks} or above"
        )
    left_out = [f"Sizes up to {cut[-1]} are too small for {ranks} parts and left out"] if cut else []
    return rows, runs, left_out


def _choices(runs: list[Run]) -> list[str]:
    """Say which algorithm and protocol ran at which sizes, for the ``#`` lines."""
    lines = []
    for (algorithm, protocol), same in groupby(runs, key=lambda run: (run.algorithm, run.protocol)):
        sizes = [f"{run.size:.0f}" for run in same]
        span = sizes[0] if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        lines.append(f"{span} bytes: {algorithm}, protocol {protocol}")
    return lines


def _write_json(
    path: Path, collective: str, rows: list[Row], config: dict[str, Any], cluster: Subject, seconds: float
) -> None:
    from scenarios.nccl_table import to_json
    from scenarios.outputs import write_file, write_manifest

    content = to_json(collective, rows, arguments=sys.argv[1:], config=config)
    text = json.dumps(content, indent=2) + "\n"
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    write_manifest(
        path.with_name(path.name + ".manifest.json"),
        files=[path],
        inputs=config,
        input_files=[*cluster.files, *own_files(config["algorithm"])],
        seed=config["seed"],
        wall_time=seconds,
    )
