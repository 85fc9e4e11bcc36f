"""Programs in files, MSCCL XML (`.xml`) and GOAL text (`.goal`), and in the place of an algorithm's name."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path

from sim.programs import goal, msccl
from sim.programs.messages import LogGOPS, Messages
from sim.programs.program import Program
from sim.programs.unrolling import from_schedule
from sim.schedule import Schedule
from topologies.errors import FormatError, ScheduleError
from topologies.formats.whole import read_text, write_text

__all__ = ["SUFFIXES", "Algorithm", "algorithm_of", "protocol_of", "read", "schedule_of", "text", "write"]

#: What ``algorithm=`` takes: a name, the path of a file, or a program.
Algorithm = str | os.PathLike[str] | Program | Messages

SUFFIXES = (".xml", ".goal")


def read(path: str | os.PathLike[str], *, settings: LogGOPS | None = None) -> Program | Messages:
    """Read an algorithm from a file, and check it.

    Parameters
    ----------
    path : path
        Ending in ``.xml`` (MSCCL) or ``.goal``.
    settings : LogGOPS, optional
        What the messages of a GOAL file cost besides the fabric.

    Raises
    ------
    FormatError
        If the file cannot be read, or the algorithm in it is faulty; what and where is
        said in one line.
    """
    file = Path(path)
    suffix = _suffix(file, "read")
    content = read_text(file)
    try:
        return goal.parse(content, settings, file.stem) if suffix == ".goal" else msccl.parse(content)
    except FormatError as error:
        raise FormatError(f"cannot read {file}: {error}") from error


def text(algorithm: Program | Schedule, suffix: str, size: float | str | None = None) -> str:
    """An algorithm as the text of a file; see `write`."""
    if suffix == ".goal":
        if isinstance(algorithm, Program):
            if size is None:
                raise FormatError("GOAL holds messages of a certain size; give size=")
            algorithm = algorithm.schedule(size)
        return goal.text(algorithm)
    return msccl.text(algorithm if isinstance(algorithm, Program) else from_schedule(algorithm))


def write(
    algorithm: Program | Schedule, path: str | os.PathLike[str], *, size: float | str | None = None
) -> None:
    """Write an algorithm to a file, whole or not at all.

    Parameters
    ----------
    algorithm : Program or Schedule
    path : path
        Ending in ``.xml`` (MSCCL; for any size) or ``.goal`` (for one size).
    size : float or str, optional
        Of a `Program` written as GOAL.

    Raises
    ------
    ScheduleError
        If the algorithm does what the format cannot say.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from sim.collectives import build
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(build("all_reduce", 4, 4096.0, "ring"), folder + "/ring.goal")
    ...     read(folder + "/ring.goal")
    <Messages ring: 4 ranks, 48 operations>
    """
    file = Path(path)
    write_text(file, text(algorithm, _suffix(file, "write"), size))


def algorithm_of(algorithm: object) -> Program | Messages | None:
    """The algorithm that a program or a path is; None for the name of one.

    A file is read again only when it has changed.
    """
    if isinstance(algorithm, Program | Messages):
        return algorithm
    if not isinstance(algorithm, str | os.PathLike) or Path(algorithm).suffix.lower() not in SUFFIXES:
        return None
    try:
        state = os.stat(algorithm)
    except OSError:
        return read(algorithm)  # which says what is wrong
    return _known(os.path.abspath(algorithm), os.fspath(algorithm), state.st_mtime_ns, state.st_size)


def schedule_of(
    own: Program | Messages, kind: str, ranks: int, size: object, options: Mapping[str, object]
) -> Schedule:
    """The schedule of an algorithm of one's own, for a request.

    Raises
    ------
    ScheduleError
        If it is another collective, for other ranks, or takes no such size or option.
    """
    for name in options:
        raise ScheduleError(
            f"{own.name}: takes no option {name!r}; a program settles everything but the size"
        )
    if own.kind not in (kind, None):
        raise ScheduleError(f"{own.name}: is an algorithm of {own.kind}, not of {kind}; ask for {own.kind}")
    if own.ranks != ranks:
        raise ScheduleError(f"{own.name}: is for {own.ranks} ranks, not {ranks}; give ranks={own.ranks}")
    if not isinstance(size, float):
        raise ScheduleError(f"{own.name}: takes one size, not a matrix; a program's chunks are alike")
    return own.schedule(size) if isinstance(own, Program) else own.schedule(size, kind)


def protocol_of(own: Program | Messages, protocols: Collection[str]) -> str:
    """The protocol where none is asked for: its own, else ``simple``, else a library's first."""
    for name in (own.protocol, "simple"):
        if name in protocols:
            return str(name)
    return next(iter(protocols))


@lru_cache(maxsize=16)
def _known(place: str, path: str, changed: int, size: int) -> Program | Messages:
    return read(path)


def _suffix(file: Path, verb: str) -> str:
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise FormatError(f"cannot {verb} {file}: unknown suffix {file.suffix!r}; take .xml (MSCCL) or .goal")
    return suffix
