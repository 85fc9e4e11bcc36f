"""``chipweave explain``: one run of a store, run again and put in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sim import Run

__all__ = ["explain", "run_again"]


def explain(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store that chipweave sweep wrote.")],
    run: Annotated[str, typer.Argument(metavar="ID", help="First digits of the column id of export.")],
) -> None:
    """What a run was of, what came out, and what bounded it; the run is made again for that."""
    from scenarios.store import Store

    with Store(store) as opened:
        stored = opened.find(run.strip().lower())
    typer.echo("\n".join(_stored(stored)))
    if stored["state"] != "done":
        return
    again = run_again(stored)
    typer.echo(f"\n{again.explain()}")
    if again.time != stored["time"]:
        from scenarios.sweep.model import model_version
        from topologies.units import format_time

        typer.echo(
            f"\nRun again it takes {format_time(again.time)}: "
            f"the stored run is of chipweave {stored['model']}, this is {model_version()}."
        )


def run_again(stored: Mapping[str, Any]) -> Run:
    """Make a stored run once more, on the machine as it was described then.

    Parameters
    ----------
    stored : mapping
        As :meth:`scenarios.store.Store.find` gives it.
    """
    import sim
    from scenarios.sweep.batch import build

    inputs = json.loads(stored["inputs"])
    inputs.pop("machine")
    changed = inputs.pop("link").items()
    link = tuple(((tier, figure), x) for tier, figures in changed for figure, x in figures.items())
    graph = build(
        stored["description"], inputs.pop("chips"), inputs.pop("estimate"), inputs.pop("scale_out"), link
    )
    return sim.collective(inputs.pop("collective"), graph, inputs.pop("size"), **inputs)


def _stored(stored: Mapping[str, Any]) -> list[str]:
    """What the store has of a run: inputs that say something, and the result."""
    from scenarios.store.table import ID_DIGITS
    from topologies.units import format_bandwidth, format_size, format_time

    inputs = json.loads(stored["inputs"])
    inputs["size"] = format_size(inputs["size"])
    links = inputs.pop("link")
    inputs |= {
        f"link.{tier}.{figure}": {"bandwidth": format_bandwidth, "latency": format_time}.get(figure, str)(x)
        for tier, figures in links.items()
        for figure, x in figures.items()
    }
    lines = [f"{'id':<28}{stored['key'][:ID_DIGITS]}"]
    lines += [f"{name:<28}{x}" for name, x in inputs.items() if x is not None]
    lines.append(f"{'model':<28}{stored['model']}")
    lines.append(f"{'state':<28}{stored['state']}")
    if stored["error"]:
        lines.append(f"{'error':<28}{stored['error']}")
    if stored["state"] == "done":
        lines.append(f"{'time':<28}{format_time(stored['time'])}")
        lines.append(f"{'busbw':<28}{format_bandwidth(stored['busbw'])}")
    return lines
