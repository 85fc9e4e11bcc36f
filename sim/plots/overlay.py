"""Simulated curves over measured points, and how far apart they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sim.plots.curves import require
from sim.plots.labels import CurveEnd, end_labels
from sim.plots.scales import GB, bandwidth_axis, size_axis
from sim.plots.style import FIGURE_SIZE, FONT_SIZE, NEUTRAL, dress
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["join", "plot_overlay"]

MARKERS = ("o", "s", "^", "D", "v", "P")


def join(simulated: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Put simulated and measured points of the same case and size side by side.

    Parameters
    ----------
    simulated, measured : DataFrame
        Columns ``case``, ``size`` (bytes), ``time`` (s), ``busbw`` (bytes/s).

    Returns
    -------
    DataFrame
        Columns ``case``, ``size``, ``time``, ``time_measured``, ``busbw``,
        ``busbw_measured`` and ``ratio``, simulated time over measured time: 1 is
        right, below 1 the simulation is too fast. In the order of ``measured``.

    Raises
    ------
    FormatError
        If columns are missing or the two have no point in common.
    """
    for table in (simulated, measured):
        require(table, "case", "size", "time", "busbw", source="plot_overlay's docstring describes")
    keys = ["case", "size"]
    both = measured[[*keys, "time", "busbw"]].merge(
        simulated[[*keys, "time", "busbw"]], on=keys, suffixes=("_measured", "")
    )
    if len(both) == 0:
        raise FormatError(
            "simulated and measured points have no (case, size) in common; simulate those sizes"
        )
    both["ratio"] = both["time"] / both["time_measured"]
    return both[[*keys, "time", "time_measured", "busbw", "busbw_measured", "ratio"]]


def plot_overlay(
    simulated: pd.DataFrame,
    measured: pd.DataFrame,
    *,
    axes: tuple[Axes, Axes] | None = None,
    palette: Mapping[str, str] | None = None,
) -> tuple[Axes, Axes]:
    """Draw simulated bus bandwidth as lines over measured points, and below it their ratio.

    Parameters
    ----------
    simulated, measured : DataFrame
        As for :func:`join`.
    axes : (Axes, Axes), optional
        Where to draw bandwidth and ratio; by default a new figure.
    palette : mapping, optional
        Colour by case.

    Returns
    -------
    (Axes, Axes)
        Bandwidth, and simulated time over measured time.

    Raises
    ------
    FormatError
        As :func:`join`.
    """
    points = join(simulated, measured)
    if axes is None:
        import matplotlib.pyplot as plt

        _, (above, below) = plt.subplots(
            2, 1, figsize=FIGURE_SIZE, layout="constrained", sharex=True, height_ratios=(3, 2)
        )
    else:
        above, below = axes
    upper, lower = [], []
    for i, case in enumerate(dict.fromkeys(points["case"])):
        colour = (palette or {}).get(case, NEUTRAL[i % len(NEUTRAL)])
        part = points[points["case"] == case].sort_values("size")
        line = simulated[simulated["case"] == case].sort_values("size")
        style = {"color": colour, "markersize": 3.6, "markerfacecolor": "white", "clip_on": False}
        marker = MARKERS[i % len(MARKERS)]
        above.plot(line["size"], line["busbw"] / GB, color=colour, linewidth=1.5)
        above.plot(part["size"], part["busbw_measured"] / GB, marker, **style)
        below.plot(part["size"], part["ratio"], color=colour, linewidth=1.5)
        upper.append(CurveEnd(case, float(line["size"].iloc[-1]), float(line["busbw"].iloc[-1]) / GB, colour))
        lower.append(CurveEnd(case, float(part["size"].iloc[-1]), float(part["ratio"].iloc[-1]), colour))
    _dress(above, below, points, simulated)
    end_labels(above, upper)
    end_labels(below, lower)
    return above, below


def _dress(above: Axes, below: Axes, points: pd.DataFrame, simulated: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    sizes = np.concatenate([points["size"], simulated["size"]])
    for ax in (above, below):
        dress(ax)
        size_axis(ax, sizes)
    above.set_xlabel("")
    above.tick_params(labelbottom=False)
    bandwidth_axis(above, float(max(simulated["busbw"].max(), points["busbw_measured"].max())) / GB)
    below.set_yscale("log", base=2)
    furthest = max(2.0, float(2 ** np.abs(np.log2(points["ratio"])).max()) * 1.1)
    below.set_ylim(1 / furthest, furthest)
    ticks = [2.0**e for e in range(-6, 7) if 1 / furthest <= 2.0**e <= furthest]
    below.set_yticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
    below.set_yticks([], minor=True)
    below.axhline(1.0, color="black", linewidth=0.8)
    below.set_ylabel("Simulated time\nover measured")
    keys = [
        Line2D([], [], color="black", linewidth=1.5, label="simulated"),
        Line2D(
            [],
            [],
            color="black",
            marker="o",
            markerfacecolor="white",
            markersize=4,
            linestyle="",
            label="measured",
        ),
    ]
    above.legend(handles=keys, loc="upper left", frameon=False, fontsize=FONT_SIZE)
