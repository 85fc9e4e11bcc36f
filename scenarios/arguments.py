"""The parser of a scenario's own options: argparse whose complaints are one line."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["ScenarioParser"]


class ScenarioParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that complains as the other commands do.

    argparse prints the usage above its complaint; here a user's error is one
    line on stderr and exit code 2, wherever on the command line it stands.

    Parameters
    ----------
    name : str
        Name of the scenario.
    description : str, optional
        What it does, for ``--help``.

    Examples
    --------
    >>> parser = ScenarioParser("allreduce_scaling")
    >>> _ = parser.add_argument("--seed", type=int, default=0)
    >>> parser.parse_args(["--seed", "7"]).seed
    7
    """

    def __init__(self, name: str, description: str | None = None) -> None:
        super().__init__(prog=f"chipweave run {name}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with exit code 2."""
        self.exit(2, f"chipweave: error: {' '.join(message.split())}; see {self.prog} --help\n")
