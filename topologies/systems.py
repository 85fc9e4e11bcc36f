"""Which machine a measurement means by the name of its system.

Names in tables of measurements are written by people: case, spaces and
punctuation do not count. A machine answers to its file's name, its ``name``, its
``title`` and every entry of its ``systems``; descriptions of one's own go before
the catalogue.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from topologies.errors import FormatError, MachineError

if TYPE_CHECKING:
    from topologies.description import MachineDescription

__all__ = ["Systems", "plain"]


def plain(name: str) -> str:
    """A name without case, spaces and punctuation.

    Examples
    --------
    >>> plain("NVIDIA h100_sxm (aiconfigurator)")
    'nvidiah100sxmaiconfigurator'
    """
    return re.sub(r"[\W_]+", "", name.casefold())


class Systems:
    """Machines by the names that measurements give them.

    Parameters
    ----------
    folder : path, optional
        Folder of ``.toml`` descriptions that go before the catalogue's.

    Raises
    ------
    FormatError, MachineError
        If the folder or a description cannot be read, or two descriptions there
        answer to one name.

    Examples
    --------
    >>> Systems().find("Azure ND H100 v5").name
    'azure-ndh100-v5'
    >>> Systems().find("my basement") is None
    True
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        from topologies.machines import describe, names

        self._own = _table(_own(Path(folder))) if folder is not None else {}
        self._catalog = _table({name: describe(name) for name in names()})

    def find(self, system: str) -> MachineDescription | None:
        """The machine a system's name means, or None."""
        wanted = plain(system)
        if not wanted:
            return None
        return self._own.get(wanted) or self._catalog.get(wanted)

    def nearest(self, system: str) -> str:
        """The known name that is most like a system's, for messages."""
        from difflib import get_close_matches

        known = {**self._catalog, **self._own}
        close = get_close_matches(plain(system), known, n=1, cutoff=0.0)
        return known[close[0]].name if close else ""


def _own(folder: Path) -> dict[str, MachineDescription]:
    from topologies.machines import describe

    if not folder.is_dir():
        raise FormatError(f"{folder}: no folder of machine descriptions; give one with .toml files")
    found = {path.stem: describe(path) for path in sorted(folder.glob("*.toml"))}
    if not found:
        raise FormatError(f"{folder}: no .toml file; put machine descriptions there")
    return found


def _table(described: Mapping[str, MachineDescription]) -> dict[str, MachineDescription]:
    table: dict[str, MachineDescription] = {}
    # Names first: a title or an alias must not take another machine's name.
    for name, machine in described.items():
        _enter(table, (name, machine.name), machine)
    for machine in described.values():
        _enter(table, machine.systems, machine)
    for machine in described.values():
        table.setdefault(plain(machine.title), machine)
    return table


def _enter(table: dict[str, MachineDescription], names: Iterable[str], machine: MachineDescription) -> None:
    for name in names:
        other = table.setdefault(plain(name), machine)
        if other is not machine:
            raise MachineError(f"{machine.name} and {other.name} both answer to {name!r}; rename one of them")
