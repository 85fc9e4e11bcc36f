"""What a collective could reach: latency and bandwidth ceilings, and the price of bisection bandwidth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.plots.curves import curves, only, require, subject
from sim.plots.labels import CurveEnd, end_labels
from sim.plots.scales import GB, size_axis
from sim.plots.style import BESIDE, FONT_SIZE, NEUTRAL, axes_or_new, dress
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["plot_bisection", "plot_roofline"]

DASHES = (0, (4, 3))


def plot_roofline(
    table: pd.DataFrame,
    *,
    line_rate: float | None = None,
    latency: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw bus bandwidth over message size under its two ceilings, both axes logarithmic.

    Small messages are bounded by latency: bandwidth cannot exceed the size over the
    time of an empty message, a line of slope one. Large ones are bounded by the line
    rate. Where the ceilings meet is the size from which on bandwidth counts (the
    roofline of Williams, Waterman and Patterson, CACM 2009, with messages for
    arithmetic intensity).

    Parameters
    ----------
    table : DataFrame
        What :func:`sim.scaling` returns, of one machine and number of chips: columns
        ``size`` (bytes), ``time`` (s), ``busbw`` (bytes/s).
    line_rate : float, optional
        Bytes/s of the bandwidth ceiling; by default what the lower bound on time
        allows the largest message (column ``lower_bound``).
    latency : float, optional
        Seconds of the latency ceiling; by default the shortest time in the table.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        If columns or rows are missing, or there are several curves.
    """
    require(table, "size", "time", "busbw")
    found = curves(table, "size", "busbw")
    if len(found) != 1:
        raise FormatError(f"plot_roofline draws one machine at one number of chips, not {len(found)} curves")
    (curve,) = found
    rows = table.sort_values("size")
    largest = rows.iloc[-1]
    if line_rate is None:
        require(table, "lower_bound")
        line_rate = float(largest["busbw"] * largest["time"] / largest["lower_bound"])
    shortest = float(rows["time"].min()) if latency is None else latency
    # Bus bandwidth is factor x size / time; the factor is the same in every row.
    factor = float(largest["busbw"] * largest["time"] / largest["size"])
    sizes = np.array([curve.x[0], curve.x[-1]])
    ax = axes_or_new(ax)
    slope = factor * sizes / shortest / GB
    knee = line_rate * shortest / factor
    ax.plot(curve.x, curve.y / GB, color=NEUTRAL[0], linewidth=1.7)
    ax.plot(sizes, slope, color="black", linewidth=0.9, linestyle=DASHES)
    ax.plot(sizes, [line_rate / GB] * 2, color="black", linewidth=0.9, linestyle=DASHES)
    dress(ax)
    size_axis(ax, sizes)
    ax.set_yscale("log", base=10)
    low, high = 0.7 * min(float(curve.y.min()) / GB, float(slope[0])), 2.2 * line_rate / GB
    ax.set_ylim(low, high)
    exponents = range(int(np.ceil(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    ax.set_yticks([10.0**e for e in exponents], [f"{10.0**e:g}" for e in exponents])
    ax.set_yticks([], minor=True)
    what = f"Bus bandwidth, {subject(table, size=False)}".rstrip(", ")
    if "chips" in table.columns and table["chips"].nunique() == 1:
        what += f", {int(table['chips'].iloc[0]):,} chips"
    ax.set_ylabel(f"{what} (GB/s)")
    _roof_words(ax, sizes, slope, line_rate, shortest, knee)
    ends = [CurveEnd("simulated", float(curve.x[-1]), float(curve.y[-1]) / GB, NEUTRAL[0])]
    end_labels(ax, ends)
    return ax


def _roof_words(
    ax: Axes, sizes: np.ndarray, slope: np.ndarray, line_rate: float, latency: float, knee: float
) -> None:
    from topologies.units import format_bandwidth, format_size, format_time

    ax.annotate(
        f"bandwidth ceiling, {format_bandwidth(line_rate)}", (sizes[0], line_rate / GB), xytext=(4, 4),
        textcoords="offset points", fontsize=FONT_SIZE,
    )  # fmt: skip
    # Right of the slope, below the curve, where nothing else is.
    at = float(np.exp(np.log(sizes[0]) + 0.3 * np.log(min(max(knee, sizes[0]), sizes[1]) / sizes[0])))
    ax.annotate(
        f"latency ceiling, {format_time(latency)}", (at, float(slope[0]) * at / sizes[0]), xytext=(10, -6),
        textcoords="offset points", fontsize=FONT_SIZE, va="top",
    )  # fmt: skip
    if sizes[0] < knee < sizes[1]:
        ax.axvline(knee, color=BESIDE[1], linewidth=0.8, ymax=0.94)
        ax.annotate(
            f"they meet at {format_size(knee)}", (knee, ax.get_ylim()[0]), xytext=(5, 6),
            textcoords="offset points", fontsize=FONT_SIZE, color=BESIDE[0],
        )  # fmt: skip


def plot_bisection(
    table: pd.DataFrame, *, size: float | None = None, by: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw what an all-reduce costs on fabrics of more or less bisection bandwidth.

    Parameters
    ----------
    table : DataFrame
        One row a fabric (and size): ``bisection`` (bytes/s a chip), ``time`` (s),
        ``size`` (bytes), and what names the curves.
    size : float, optional
        Message size in bytes to keep.
    by : str, optional
        Column that names the curves; by default as for :func:`plot_scaling`.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        If columns or rows are missing, or two rows fall on one point.
    """
    require(table, "bisection", "time", "size", source="plot_bisection's docstring describes")
    kept = only(table, "size", size)
    found = curves(kept, "bisection", "time", by)
    from sim.plots.breakdown import UNITS

    longest = max(float(curve.y.max()) for curve in found)
    scale, unit = next(((s, u) for s, u in UNITS if longest >= s), (1.0, "s"))
    ax = axes_or_new(ax)
    ends = []
    for i, curve in enumerate(found):
        colour = NEUTRAL[i % len(NEUTRAL)]
        ax.plot(
            curve.x / GB, curve.y / scale, "-o", color=colour, linewidth=1.7, markersize=4,
            markerfacecolor="white", label=curve.name,
        )  # fmt: skip
        ends.append(CurveEnd(curve.name, float(curve.x[-1]) / GB, float(curve.y[-1]) / scale, colour))
    dress(ax)
    ax.set_xscale("log", base=2)
    low, high = min(c.x[0] for c in found) / GB, max(c.x[-1] for c in found) / GB
    ax.set_xlim(low / 1.15, high * 1.15)
    points = np.unique(np.concatenate([curve.x for curve in found])) / GB
    ticks = points if points.size <= 8 else points[:: -(-points.size // 8)]
    ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_ylim(0, 1.08 * longest / scale)
    ax.set_xlabel("Bisection bandwidth a chip (GB/s)")
    ax.set_ylabel(f"Time, {subject(kept, size=True)}".rstrip(", ") + f" ({unit})")
    end_labels(ax, ends)
    return ax
