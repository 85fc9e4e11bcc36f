"""Figures of a validation: measured against simulated, and the error over message size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["by_size", "measured_against_simulated"]

#: Half of the band around the right answer.
BAND = 0.1
#: Collectives in the order of their colours.
ORDER = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "other")


def measured_against_simulated(table: pd.DataFrame) -> Figure:
    """Simulated over measured time of every row, with a band of ±10 % around the right answer."""
    from sim.plots import panels
    from sim.plots.scales import collective_name
    from sim.plots.style import FONT_SIZE, NEUTRAL, dress

    figure, (ax,) = panels(1, 1, size=(7.0, 5.4))
    measured, simulated = table["time_us"] * 1e-6, table["predicted_us"] * 1e-6
    low = float(min(measured.min(), simulated.min())) / 1.5
    high = float(max(measured.max(), simulated.max())) * 1.5
    line = np.array([low, high])
    ax.fill_between(line, line * (1 - BAND), line * (1 + BAND), color="#CFCFCF", linewidth=0, label="±10 %")
    ax.plot(line, line, color="black", linewidth=0.8)
    kinds = table["collective"].where(table["collective"].isin(ORDER[:-1]), "other")
    for i, kind in enumerate(ORDER):
        here = (kinds == kind).to_numpy()
        if here.any():
            ax.plot(
                measured[here], simulated[here], ".", color=NEUTRAL[i], markersize=2.6, alpha=0.6,
                markeredgewidth=0, label=f"{collective_name(kind)} ({int(here.sum()):,})",
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    _time_ticks(ax, low, high)
    dress(ax, grid="both")
    ax.set_xlabel("Measured time")
    ax.set_ylabel("Simulated time")
    legend = ax.legend(frameon=False, fontsize=FONT_SIZE, loc="upper left", markerscale=4)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return figure


def by_size(table: pd.DataFrame) -> Figure:
    """Median and middle 80 % of the signed error over message size, ours beside the baseline's."""
    from sim.plots import panels
    from sim.plots.scales import size_axis
    from sim.plots.style import FONT_SIZE, dress

    figure, axes = panels(1, 2, size=(9.0, 4.0), sharey=True)
    octave = np.round(np.log2(table["message_bytes"])).astype(int)
    both = table[table["baseline_error"].notna()]
    shown = (
        (axes[0], table, "error", "#0072B2", f"Chipweave, {len(table):,} rows"),
        (axes[1], both, "baseline_error", "#D55E00", f"NCCL's published model, {len(both):,} rows"),
    )
    for ax, rows, column, colour, title in shown:
        if not len(rows):
            ax.set_visible(False)
            continue
        groups = rows.groupby(octave[rows.index])[column]
        middle, least, most = groups.median(), groups.quantile(0.1), groups.quantile(0.9)
        sizes = 2.0**middle.index
        ax.axhspan(-100 * BAND, 100 * BAND, color="#E3E3E3", linewidth=0)
        ax.axhline(0, color="black", linewidth=0.8)
        ax.fill_between(sizes, 100 * least, 100 * most, color=colour, alpha=0.25, linewidth=0)
        ax.plot(sizes, 100 * middle, color=colour, linewidth=1.6)
        dress(ax)
        size_axis(ax, sizes)
        ax.set_title(title, fontsize=FONT_SIZE, loc="left")
    axes[0].set_ylim(-100, 100)
    axes[0].set_ylabel("Error of the time (%): median, middle 80 %")
    return figure


def _time_ticks(ax: Axes, low: float, high: float) -> None:
    names = {-6: "1 µs", -5: "10 µs", -4: "100 µs", -3: "1 ms", -2: "10 ms", -1: "100 ms", 0: "1 s"}
    ticks = [e for e in names if low <= 10.0**e <= high]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks([10.0**e for e in ticks], [names[e] for e in ticks])
        axis.set_ticks([], minor=True)
