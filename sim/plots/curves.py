"""From a tidy table to the curves of a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.plots.scales import collective_name, size_text
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Curve", "curves", "only", "require", "subject"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve: nominal values, their band, and a bound where one is known.

    Attributes
    ----------
    name : str
        What the curve is called.
    x, y : float64 array
        In rising order of x.
    low, high : float64 array
        Least and greatest y over all estimates; equal to y where the curve has
        one estimate, nan at points where some were not run.
    bound : float64 array
        What y cannot exceed by the lower bound on time; nan where unknown.
    """

    name: str
    x: FloatArray
    y: FloatArray
    low: FloatArray
    high: FloatArray
    bound: FloatArray


def require(table: pd.DataFrame, *names: str, source: str = "sim.scaling") -> None:
    """Refuse a table without rows or without the columns a figure needs.

    Raises
    ------
    FormatError
        Naming the columns that are missing.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise FormatError(
            f"the table to plot lacks column {', '.join(map(repr, missing))} "
            f"(it has {', '.join(map(str, table.columns))}); pass what {source} returns"
        )
    if len(table) == 0:
        raise FormatError(f"the table to plot has no rows; pass what {source} returns")


def only(table: pd.DataFrame, column: str, value: float | None) -> pd.DataFrame:
    """Keep the rows of one size, or of one number of chips.

    Raises
    ------
    FormatError
        If no row has it.
    """
    if value is None:
        return table
    kept = table[table[column] == value]
    if len(kept) == 0:
        there = ", ".join(f"{v:,.15g}" for v in sorted(table[column].unique()))
        raise FormatError(f"the table to plot has no row with {column} = {value:,.15g}; it has {there}")
    return kept


def subject(table: pd.DataFrame, *, size: bool) -> str:
    """Say what the rows have in common, for an axis: ``all-reduce of 1 GiB``."""
    words = []
    if "collective" in table.columns and table["collective"].nunique() == 1:
        words.append(collective_name(str(table["collective"].iloc[0])))
    if size and table["size"].nunique() == 1:
        words += (["of"] if words else []) + [size_text(float(table["size"].iloc[0]))]
    return " ".join(words)


def curves(table: pd.DataFrame, x: str, y: str, by: str | None = None) -> list[Curve]:
    """Cut a tidy table into curves.

    Parameters
    ----------
    table : DataFrame
        One row a point, as :func:`sim.scaling` returns it.
    x, y : str
        Columns.
    by : str, optional
        Column that names the curves. By default the first of machine, size,
        chips, algorithm, library and protocol that gives one row for each x
        and estimate.

    Returns
    -------
    list of Curve
        In the order in which their names first appear.

    Raises
    ------
    FormatError
        If no column, or not the one given, tells the rows apart.
    """
    require(table, x, y)
    if "estimate" not in table.columns:
        table = table.assign(estimate="nominal")
    by = by or _telling(table, x)
    require(table, by)
    twice = table.duplicated([by, x, "estimate"])
    if twice.any():
        row = table[twice].iloc[0]
        raise FormatError(
            f"two rows for {by} = {row[by]!r} at {x} = {row[x]:,.15g}: "
            "keep one size (size=...), one number of chips (chips=...) or one algorithm before plotting"
        )
    return [_curve(_name(by, key), part, x, y) for key, part in table.groupby(by, sort=False)]


def _telling(table: pd.DataFrame, x: str) -> str:
    columns = [c for c in ("machine", "size", "chips", "algorithm", "library", "protocol") if c != x]
    present = [c for c in columns if c in table.columns]
    for column in present:
        if not table.duplicated([column, x, "estimate"]).any():
            return column
    return present[0] if present else "machine"


def _name(by: str, key: Any) -> str:
    if by == "size":
        return size_text(float(key))
    return f"{key:,} chips" if by == "chips" else str(key)


def _curve(name: str, part: pd.DataFrame, x: str, y: str) -> Curve:
    pivot = part.pivot(index=x, columns="estimate", values=y).sort_index()
    middle = "nominal" if "nominal" in pivot.columns else pivot.columns[0]
    line = pivot[middle].dropna()
    bands = pivot.loc[line.index]
    whole = bands.notna().all(axis=1)
    bound = np.full(len(line), np.nan)
    if {"time", "lower_bound", "busbw"} <= set(part.columns):
        nominal = part[part["estimate"] == middle].set_index(x).loc[line.index]
        limits: Mapping[str, Any] = {
            # Bandwidth goes as 1 / time, so the bound on time bounds it from above.
            "busbw": nominal["busbw"] * nominal["time"] / nominal["lower_bound"],
            "efficiency": nominal["time"] / nominal["time"],
            "time": nominal["lower_bound"],
        }
        if y in limits:
            bound = np.asarray(limits[y], dtype=np.float64)
    return Curve(
        name=name,
        x=line.index.to_numpy(dtype=np.float64),
        y=line.to_numpy(dtype=np.float64),
        low=bands.min(axis=1).where(whole).to_numpy(dtype=np.float64),
        high=bands.max(axis=1).where(whole).to_numpy(dtype=np.float64),
        bound=bound,
    )
