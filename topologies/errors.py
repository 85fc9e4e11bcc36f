"""Every error Chipweave raises on purpose.

They stand on the lowest floor because all floors raise them. Each is also a
subclass of the builtin that fits, so that callers who never heard of
Chipweave catch what they expect. A message says what is wrong, where (file
and key, node, link), the value found, and what to do about it, on one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CapacityError",
    "ChipweaveError",
    "FormatError",
    "LibraryError",
    "MachineError",
    "MissingPackageError",
    "OutputError",
    "RouteError",
    "ScheduleError",
    "SimulationError",
    "TopologyError",
    "UnitError",
    "UnknownNameError",
    "nearest",
]


class ChipweaveError(Exception):
    """Base of all errors that are the input's fault, not the programme's."""


class UnitError(ChipweaveError, ValueError):
    """A quantity without a unit, with a unit of another kind, or not a number."""


class TopologyError(ChipweaveError, ValueError):
    """A graph that breaks the graph contract."""


class MachineError(ChipweaveError, ValueError):
    """A machine description, or a number of chips, that gives no machine."""


class RouteError(ChipweaveError, ValueError):
    """Two chips that no path joins, or a routing that cannot serve this graph."""


class ScheduleError(ChipweaveError, ValueError):
    """A schedule that is malformed or does not do what its collective promises."""


class LibraryError(ChipweaveError, ValueError):
    """A library description, protocol or parameter that cannot be used."""


class FormatError(ChipweaveError, ValueError):
    """A file that cannot be read or does not say what its format demands."""


class OutputError(ChipweaveError, OSError):
    """A file or folder that cannot be written."""


class SimulationError(ChipweaveError, RuntimeError):
    """A simulation that cannot go on: deadlock, or links that never come back."""


class CapacityError(ChipweaveError, MemoryError):
    """A request that would need more memory or time range than there is."""


class MissingPackageError(ChipweaveError, ImportError):
    """A package of an optional extra that is not installed."""


class UnknownNameError(ChipweaveError, KeyError):
    """A name (machine, algorithm, collective, ...) that does not exist."""

    def __str__(self) -> str:
        # KeyError prints the repr of its argument; people should see the sentence.
        return str(self.args[0]) if self.args else ""


def nearest(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Build the error for an unknown name, with the nearest known ones.

    Parameters
    ----------
    kind : str
        What the name should have been, such as ``"machine"``.
    name : object
        The name that was given.
    known : iterable of str
        The names that exist.

    Returns
    -------
    UnknownNameError
        Ready to be raised.

    Examples
    --------
    >>> print(nearest("machine", "hgx-h10", ["hgx-h100", "tpu-v4"]))
    unknown machine 'hgx-h10'; did you mean 'hgx-h100'?
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    if close:
        hint = "did you mean " + " or ".join(repr(c) for c in close) + "?"
    else:
        hint = "known: " + ", ".join(names)
    return UnknownNameError(f"unknown {kind} {name!r}; {hint}")
