"""Predicted beside measured time: every row of a table of measurements, and how far off.

The error of a row is predicted over measured time less one. Of many rows:
the median and the 90th percentile of its size, and the geometric mean of the
factor between the two times, less one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from sim.predict import Predictor
    from topologies.systems import Systems

__all__ = [
    "MEASURED",
    "RANK_BANDS",
    "SIZE_BANDS",
    "Summary",
    "counted",
    "errors_by",
    "predict",
    "summary",
    "unmatched",
]

#: The project's own rows.
MEASURED = Path(__file__).parent / "measured" / "collectives.csv.xz"

#: Bands of message sizes (bytes) and of ranks: lower ends and names.
SIZE_BANDS = ((0, "< 64 KiB"), (1 << 16, "64 KiB – 1 MiB"), (1 << 20, "1 – 64 MiB"), (1 << 26, "≥ 64 MiB"))
RANK_BANDS = ((0, "2 – 4"), (5, "5 – 8"), (9, "9 – 32"), (33, "33 – 256"), (257, "> 256"))

Report = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """How far off many rows are; shares, not per cent."""

    rows: int
    median: float
    p90: float
    geomean: float

    def line(self, what: str = "rows") -> str:
        """The summary as one line."""
        return (
            f"# {what} {self.rows}  median |error| {100 * self.median:.1f} %  "
            f"p90 {100 * self.p90:.1f} %  geomean {100 * self.geomean:.1f} %"
        )


def predict(
    rows: pd.DataFrame, systems: Systems, predictor: Predictor, *, report: Report | None = None
) -> pd.DataFrame:
    """Predict every row.

    Parameters
    ----------
    rows : DataFrame
        As `sim.measurements.read` gives it.
    systems : Systems
    predictor : Predictor
    report : callable, optional
        Called with (done, total, system).

    Returns
    -------
    DataFrame
        The rows with columns ``machine``, ``predicted_us``, ``error``,
        ``ran_algorithm``, ``ran_protocol``, ``baseline_us``, ``baseline_error``,
        ``size_band``, ``rank_band`` and ``remark`` (why there is no time, or what was
        taken differently); what is not known is nan or empty.
    """
    from sim.baseline import published
    from sim.predict import Point

    found: dict[str, list[Any]] = {name: [] for name in (
        "machine", "predicted_us", "ran_algorithm", "ran_protocol", "baseline_us", "remark",
    )}  # fmt: skip
    for done, row in enumerate(rows.to_dict("records"), 1):
        machine = systems.find(str(row["system"]))
        point = Point.of(row)
        values: tuple[Any, ...]
        if machine is None:
            values = ("", np.nan, "", "", np.nan, "system is not known")
        else:
            said = predictor.predict(machine, point)
            values = (
                machine.name, said.time * 1e6, said.algorithm, said.protocol,
                published(machine, point) * 1e6, said.remark,
            )  # fmt: skip
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
        if report is not None:
            report(done, len(rows), str(row["system"]))
    table = rows.assign(**found)
    table["error"] = table["predicted_us"] / table["time_us"] - 1.0
    table["baseline_error"] = table["baseline_us"] / table["time_us"] - 1.0
    table["size_band"] = _bands(table["message_bytes"], SIZE_BANDS)
    table["rank_band"] = _bands(table["n_ranks"], RANK_BANDS)
    return table


def counted(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that count: predicted, and not marked as suspect by their ``quality``."""
    good = table["predicted_us"].notna()
    if "quality" in table.columns:
        good &= ~table["quality"].astype(str).str.startswith("suspect")
    return table[good]


def unmatched(table: pd.DataFrame) -> pd.DataFrame:
    """What was not predicted: columns ``system``, ``rows`` and ``reason``, most rows first."""
    missing = table[table["predicted_us"].isna()]
    counts = missing.groupby(["system", "remark"], sort=True).size().reset_index(name="rows")
    counts = counts.sort_values("rows", ascending=False, kind="stable")
    return counts.rename(columns={"remark": "reason"})[["system", "rows", "reason"]].reset_index(drop=True)


def summary(errors: pd.Series[float]) -> Summary:
    """Summarise errors.

    Examples
    --------
    >>> import pandas as pd
    >>> summary(pd.Series([-0.5, 0.0, 1.0])).line()
    '# rows 3  median |error| 50.0 %  p90 90.0 %  geomean 58.7 %'
    """
    values = errors.to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return Summary(0, float("nan"), float("nan"), float("nan"))
    off = np.abs(values)
    factor = float(np.exp(np.mean(np.abs(np.log(values + 1.0)))))
    return Summary(values.size, float(np.median(off)), float(np.quantile(off, 0.9)), factor - 1.0)


def errors_by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Errors of the rows by the values of a column.

    Returns
    -------
    DataFrame
        Columns: the column's name, ``rows``, ``median``, ``p90``, ``geomean``, ``bias``
        (median of the signed error: negative is too fast), ``baseline_median`` and
        ``baseline_rows``.
    """
    import pandas as pd

    bands = {"size_band": SIZE_BANDS, "rank_band": RANK_BANDS}.get(column)
    order = [name for _, name in bands] if bands else sorted(set(table[column]))
    rows = []
    for value in order:
        part = table[table[column] == value]
        if not len(part):
            continue
        ours, other = summary(part["error"]), summary(part["baseline_error"])
        rows.append(
            (value, ours.rows, ours.median, ours.p90, ours.geomean, float(part["error"].median()),
             other.median, other.rows)
        )  # fmt: skip
    columns = [column, "rows", "median", "p90", "geomean", "bias", "baseline_median", "baseline_rows"]
    return pd.DataFrame(rows, columns=columns)


def _bands(values: pd.Series[float], bands: tuple[tuple[int, str], ...]) -> list[str]:
    ends = np.array([low for low, _ in bands])
    place = np.searchsorted(ends, values.to_numpy(dtype=np.float64), side="right") - 1
    return [bands[i][1] for i in place]
