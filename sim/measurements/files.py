"""Reading files of measurements, whatever wrote them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim.measurements import hccl_test, nccl_tests
from sim.measurements.checks import without_copies
from sim.measurements.rows import COLUMNS, Row
from sim.measurements.table import read_table
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Measurements", "read"]

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measured points and what was left out.

    Attributes
    ----------
    rows : DataFrame
        Columns `sim.measurements.COLUMNS` first; a CSV's own columns after them.
    notes : tuple of str
        One line each.
    """

    rows: pd.DataFrame
    notes: tuple[str, ...]


def read(
    paths: StrPath | Iterable[StrPath],
    *,
    system: str = "",
    collective: str | None = None,
    ranks: int | None = None,
    nodes: int | None = None,
) -> Measurements:
    """Read one file or several.

    Parameters
    ----------
    paths : path or iterable of paths
        Logs of nccl-tests, rccl-tests or hccl_test, JSON of nccl-tests, or CSV.
    system : str
        Name of the system, for logs.
    collective, ranks, nodes : optional
        What a log does not say itself.

    Raises
    ------
    FormatError, UnknownNameError
        If a file cannot be read; its name and line are in the message.
    """
    import pandas as pd

    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not listed:
        raise FormatError("no file of measurements; give at least one")
    parts: list[pd.DataFrame] = []
    notes: list[str] = []
    logged: list[Row] = []
    for path in map(Path, listed):
        if path.name.endswith((".csv", ".csv.gz", ".csv.xz")):
            table, said = read_table(path)
            parts.append(table)
        else:
            rows, said = _log(path, collective, ranks, nodes)
            logged += rows
        notes += said
    kept, copies = without_copies(logged)
    if kept:
        parts.insert(0, _frame(kept, system))
    return Measurements(pd.concat(parts, ignore_index=True), (*notes, *copies))


def _log(
    path: Path, collective: str | None, ranks: int | None, nodes: int | None
) -> tuple[list[Row], list[str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}; give a log or a .csv") from error
    if not text.strip():
        raise FormatError(f"{path}: the file is empty; give the output of a benchmark")
    if text.lstrip().startswith("{"):
        try:
            content = json.loads(text)
        except ValueError as error:
            raise FormatError(f"{path}: no JSON: {error}; the file may be cut off") from error
        return nccl_tests.parse_json(content, str(path), collective=collective, ranks=ranks)
    if hccl_test.reads(text):
        return hccl_test.parse(text, str(path), collective=collective, ranks=ranks, nodes=nodes)
    if nccl_tests.reads(text):
        return nccl_tests.parse_text(text, str(path), collective=collective, ranks=ranks, nodes=nodes)
    raise FormatError(
        f"{path}: not written by nccl-tests, rccl-tests or hccl_test; give an output of these or a .csv"
    )


def _frame(rows: list[Row], system: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            (
                system, row.n_nodes, -(-row.n_ranks // row.n_nodes), row.n_ranks, row.collective,
                row.algorithm, row.protocol, row.message_bytes, row.time_us, row.where,
            )
            for row in rows
        ],
        columns=list(COLUMNS),
    )  # fmt: skip
