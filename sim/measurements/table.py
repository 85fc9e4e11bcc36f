"""Tables of measurements in the project's own schema (CSV, also compressed).

Columns that must be there: ``system``, ``n_ranks``, ``collective``,
``message_bytes``, and ``time_us`` or ``algbw_GBps``. All others may be missing
or empty: no ``n_nodes`` means as few hosts as the ranks need, no ``algorithm``
or ``auto`` the library's choice. Unknown columns are kept and not looked at.
"""

from __future__ import annotations

import csv
import gzip
import lzma
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sim.measurements.checks import number
from sim.measurements.rows import COLUMNS, kind_of
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table"]

REQUIRED = ("system", "n_ranks", "collective", "message_bytes")


def read_table(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a CSV.

    Returns
    -------
    table : DataFrame
        `COLUMNS` first, with collectives by the project's names, whole ranks, and
        0 for ``n_nodes`` or ``chips_per_node`` where the file says nothing.
    notes : list of str
        Rows left out, one line each.

    Raises
    ------
    FormatError, UnknownNameError
        If a column is missing or a row has no meaning; the line is named.
    """
    import pandas as pd

    try:
        with _open(path) as file:
            lines = list(csv.reader(file, skipinitialspace=True, strict=True))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, lzma.LZMAError) as error:
        said = " ".join(str(error).split())
        raise FormatError(f"{path}: cannot be read: {said}; give a CSV of measurements") from error
    heading = [name.strip() for name in lines[0]] if lines else []
    if len(set(heading)) < len(heading):
        raise FormatError(f"{path}:1: a column stands twice in the heading; name each once")
    for at, line in enumerate(lines[1:], 2):
        if line and len(line) != len(heading):
            raise FormatError(
                f"{path}:{at}: {len(line)} columns where the heading has {len(heading)}; the row is cut off"
            )
    raw = pd.DataFrame([line for line in lines[1:] if line], columns=heading, dtype=str)
    for column in raw.columns:
        if column.lower() in ("time_ms", "time_s", "time_ns", "time(ms)", "time (ms)"):
            raise FormatError(f"{path}: column {column!r}: give times in microseconds as 'time_us'")
    missing = [c for c in REQUIRED if c not in raw.columns]
    if "time_us" not in raw.columns and "algbw_GBps" not in raw.columns:
        missing.append("time_us")
    if missing:
        raise FormatError(f"{path}: column {missing[0]!r} is missing; needed: {', '.join(REQUIRED)}, time_us")
    if not len(raw):
        raise FormatError(f"{path}: no rows; give at least one measured point")
    return _checked(raw, str(path))


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _checked(raw: pd.DataFrame, origin: str) -> tuple[pd.DataFrame, list[str]]:
    notes: list[str] = []
    seen: dict[tuple[Any, ...], int] = {}
    columns: dict[str, list[Any]] = {c: [] for c in COLUMNS}
    keep = []
    for i, row in enumerate(raw.to_dict("records")):
        where = f"{origin}:{i + 2}"
        values = _row(row, where, notes)
        if values is None:
            continue
        key = (*(v for c, v in values.items() if c != "source"), row.get("id", ""))
        if key in seen:
            notes.append(f"{where}: duplicate of line {seen[key]}; both are kept and counted")
        seen.setdefault(key, i + 2)
        keep.append(i)
        for column, value in values.items():
            columns[column].append(value)
    if not keep:
        raise FormatError(f"{origin}: no row has a time; {notes[0]}")
    table = raw.iloc[keep].reset_index(drop=True)
    for column, found in columns.items():
        table[column] = found
    rest = [c for c in table.columns if c not in COLUMNS]
    return table[[*COLUMNS, *rest]], notes


def _row(row: dict[Any, str], where: str, notes: list[str]) -> dict[str, Any] | None:
    def text(key: str) -> str:
        value = str(row.get(key, "")).strip()
        return "" if value.lower() in ("nan", "none", "n/a") else value

    size = number(text("message_bytes"), "message_bytes", where) if text("message_bytes") else 0.0
    if size <= 0:
        notes.append(f"{where}: message_bytes (={text('message_bytes')!r}) is not a size > 0, left out")
        return None
    algbw = number(text("algbw_GBps"), "algbw_GBps", where) if text("algbw_GBps") else 0.0
    if text("time_us"):
        time_us = number(text("time_us"), "time_us", where)
    elif algbw > 0:
        time_us = size / algbw / 1e3
    else:
        notes.append(f"{where}: neither time_us nor algbw_GBps is given, left out")
        return None
    if time_us <= 0:
        notes.append(f"{where}: time_us (={time_us:g}) must be > 0, left out")
        return None
    if algbw >= 1 and 500 < size / algbw / 1e3 / time_us < 2000:
        raise FormatError(f"{where}: time_us (={time_us:g}) is in ms: algbw_GBps (={algbw:g}) says so")
    ranks = _whole(text("n_ranks"), "n_ranks", where)
    if ranks < 1:
        raise FormatError(f"{where}: n_ranks (={text('n_ranks')!r}) must be a whole number >= 1")
    auto = text("algorithm").lower() in ("auto", "default")
    return {
        "system": text("system"),
        "n_nodes": _whole(text("n_nodes"), "n_nodes", where),
        "chips_per_node": _whole(text("chips_per_node"), "chips_per_node", where),
        "n_ranks": ranks,
        "collective": kind_of(text("collective"), where),
        "algorithm": "" if auto else text("algorithm"),
        "protocol": "" if text("protocol").lower() == "auto" else text("protocol"),
        "message_bytes": size,
        "time_us": time_us,
        "source": text("source"),
    }


def _whole(text: str, what: str, where: str) -> int:
    """A whole number, or 0 where the file says nothing that is one ("?", "8 or 16")."""
    if not text:
        return 0
    try:
        value = float(text)
    except ValueError:
        return 0
    if value != int(value) or value < 0:
        raise FormatError(f"{where}: {what} (={text!r}) must be a whole number")
    return int(value)
