"""The command ``chipweave``.

Whatever is the input's fault ends in one line on stderr and exit code 2. An
exception that is no :class:`ChipweaveError` is a bug and shows its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, cast

import typer

from scenarios import __version__
from scenarios.commands.algorithm import app as algorithm
from scenarios.commands.bench import bench
from scenarios.commands.calibrate import calibrate
from scenarios.commands.explain import explain
from scenarios.commands.export import export
from scenarios.commands.run import run
from scenarios.commands.scaling import scaling
from scenarios.commands.sweep import sweep
from scenarios.commands.topo import app as topo
from scenarios.commands.validate import validate

__all__ = ["app", "main"]

USER_ERROR = 2
#: What typer raises for words it does not understand (ClickException; it has
#: its own copy of click, so that the class is reached through a public child).
_USAGE_ERRORS = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

#: What shells say of a programme that a reader's closed pipe, or Ctrl-C, ended.
BROKEN_PIPE = 141
INTERRUPTED = 130

app = typer.Typer(
    name="chipweave",
    help="How well do the chips of this cluster talk to each other, and what would make them talk better?",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chipweave {__version__}")
        raise typer.Exit


@app.callback()
def _chipweave(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(scaling)
app.command()(bench)
app.add_typer(topo, name="topo")
app.add_typer(algorithm, name="algorithm")
app.command()(validate)
app.command()(sweep)
app.command()(export)
app.command()(explain)
app.command()(calibrate)
# What follows the scenario's name is the scenario's, --help included.
app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    }
)(run)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the programme's name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0 done, 2 a user's error, 130 interrupted.

    Examples
    --------
    >>> main(["--version"])
    chipweave 0.1.0
    0
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = app(args=arguments or ["--help"], prog_name="chipweave", standalone_mode=False)
        sys.stdout.flush()
    except _USAGE_ERRORS as error:
        return _complain(f"{error.format_message().rstrip('.')}; see chipweave --help")
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at the end and must not fail there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        # Imported here: the help must not wait for networkx, which stands behind it.
        from topologies.errors import ChipweaveError

        if not isinstance(error, ChipweaveError):
            raise
        return _complain(str(error))
    if code == INTERRUPTED:
        # typer turns KeyboardInterrupt into this code without a word.
        _complain("interrupted")
    return code if isinstance(code, int) else 0


def _complain(message: str) -> int:
    sys.stdout.flush()
    print("chipweave: error:", " ".join(message.split()), file=sys.stderr)
    return USER_ERROR
