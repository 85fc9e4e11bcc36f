"""``chipweave run``: the scripts of ``scenarios/``, and people's own."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run", "scenarios"]

Main = Callable[[list[str]], int | None]


def run(
    context: typer.Context,
    scenario: Annotated[
        str | None, typer.Argument(metavar="SCENARIO", help="Its name, or the path of a script.")
    ] = None,
) -> None:
    """A scenario with its own options; alone: the list of them."""
    if scenario is None:
        for name, summary in scenarios():
            typer.echo(f"{name:<24}{summary}")
        return
    code = _main_of(scenario)(list(context.args))
    if code:
        raise typer.Exit(code)


def scenarios() -> Iterator[tuple[str, str]]:
    """Names of the scenarios with the first line of their docstrings.

    A scenario is a module of this package with a function ``main(argv)``; the
    sources are parsed, not imported, so that the list costs nothing.
    """
    folder = Path(__file__).parent.parent
    for path in sorted(folder.glob("*.py")):
        if path.stem == "cli":
            continue
        module = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(part, ast.FunctionDef) and part.name == "main" for part in module.body):
            summary = (ast.get_docstring(module) or "").partition("\n")[0]
            yield path.stem, summary


def _main_of(scenario: str) -> Main:
    from topologies.errors import FormatError, nearest

    names = [name for name, _ in scenarios()]
    if scenario in names:
        main: Main = importlib.import_module(f"scenarios.{scenario}").main
        return main
    path = Path(scenario)
    if path.suffix != ".py" and not path.exists():
        raise nearest("scenario", scenario, names)
    if not path.is_file():
        raise FormatError(f"cannot run '{path}': there is no such script; check the path")
    # A name of its own: a script called sim.py must not stand in the way of sim.
    name = f"script:{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FormatError(f"cannot run '{path}': it is no Python script; name it something.py")
    module = importlib.util.module_from_spec(spec)
    # Classes of the script look their module up here (dataclasses, pickle).
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot run '{path}': {error}; it must be a Python script") from error
    found: Main | None = getattr(module, "main", None)
    if not callable(found):
        raise FormatError(f"cannot run '{path}': it has no function main(argv); add one")
    return found
