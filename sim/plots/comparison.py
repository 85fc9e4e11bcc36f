"""Machines side by side at a few numbers of chips, as ranked bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.plots.curves import only, require, subject
from sim.plots.scales import GB
from sim.plots.style import FAMILIES, FIGURE_SIZE, FONT_SIZE, GREY, NEUTRAL, dress, origins
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["plot_comparison"]


def plot_comparison(
    table: pd.DataFrame,
    *,
    chips: Sequence[int] | None = None,
    size: float | None = None,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw bus bandwidth of machines as bars, one panel for each number of chips.

    Machines stand in the order of the last panel, the fastest on top; a
    machine that does not reach a number of chips has a dash there. Whiskers
    span estimates low to high.

    Parameters
    ----------
    table : DataFrame
        What :func:`sim.scaling` returns, of one size or with ``size`` given.
    chips : sequence of int, optional
        Numbers of chips, one panel each; by default all in the table.
    size : float, optional
        Message size in bytes to keep.
    axes : sequence of Axes, optional
        As many as numbers of chips; by default a new figure.

    Returns
    -------
    list of Axes
        One for each number of chips.

    Raises
    ------
    FormatError
        If columns are missing, a number of chips is not there, or the table
        has several rows for one bar.
    """
    require(table, "machine", "chips", "size", "busbw")
    kept = only(table, "size", size)
    counts = sorted(kept["chips"].unique()) if chips is None else list(chips)
    for count in counts:
        only(kept, "chips", count)
    if "estimate" not in kept.columns:
        kept = kept.assign(estimate="nominal")
    twice = kept.duplicated(["machine", "chips", "estimate"])
    if twice.any():
        row = kept[twice].iloc[0]
        raise FormatError(f"several rows for {row['machine']} at {row['chips']} chips; give size=...")
    if axes is None:
        import matplotlib.pyplot as plt

        grid = plt.subplots(
            1, len(counts), figsize=FIGURE_SIZE, layout="constrained", sharey=True, squeeze=False
        )[1]
        axes = list(grid.ravel())
    ranked = _ranked(kept, counts)
    family = origins(kept)
    for i, (ax, count) in enumerate(zip(axes, counts, strict=True)):
        _bars(ax, kept[kept["chips"] == count], ranked, family)
        ax.set_title(f"{count:,} chips", fontsize=FONT_SIZE, loc="left")
        ax.set_yticks(range(len(ranked)), ranked)
        ax.tick_params(axis="y", length=0, labelleft=i == 0)
        ax.set_ylim(len(ranked) - 0.4, -0.6)
    middle = axes[len(axes) // 2]
    middle.set_xlabel(f"Bus bandwidth, {subject(kept, size=True)}".rstrip(", ") + " (GB/s)")
    _key(axes[0], family)
    return list(axes)


def _ranked(table: pd.DataFrame, counts: Sequence[int]) -> list[str]:
    """Order machines by the largest number of chips each reaches, then by bandwidth there."""
    nominal = table[table["estimate"] == "nominal"]
    pivot = nominal.pivot(index="machine", columns="chips", values="busbw").reindex(columns=list(counts))
    rows = pivot.to_numpy(dtype=np.float64)
    keys = [tuple(np.where(np.isnan(row), -1.0, row)[::-1]) for row in rows]
    order = sorted(range(len(keys)), key=lambda i: keys[i], reverse=True)
    return [str(pivot.index[i]) for i in order]


def _bars(ax: Axes, part: pd.DataFrame, ranked: Sequence[str], family: dict[str, str]) -> None:
    dress(ax, grid="x")
    pivot = part.pivot(index="machine", columns="estimate", values="busbw") / GB
    values = pivot.to_numpy(dtype=np.float64)
    nominal = dict(zip(pivot.index, pivot["nominal"].to_numpy(dtype=np.float64), strict=True))
    spans = dict(zip(pivot.index, zip(values.min(axis=1), values.max(axis=1), strict=True), strict=True))
    top = float(values.max())
    for row, machine in enumerate(ranked):
        if machine not in nominal:
            ax.text(0.0, row, " –", color=GREY, va="center", fontsize=FONT_SIZE)
            continue
        value, (low, high) = float(nominal[machine]), spans[machine]
        colour = FAMILIES.get(family.get(machine, ""), NEUTRAL[-1:])[0]
        ax.barh(row, value, height=0.68, color=colour)
        if high > low:
            ax.plot([low, high], [row, row], color="black", linewidth=0.9, solid_capstyle="butt")
        ax.text(high + 0.03 * top, row, f"{value:.3g}", va="center", fontsize=FONT_SIZE)
    # Room for the figure behind the longest bar.
    ax.set_xlim(0, 1.42 * top)


def _key(ax: Axes, family: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    there = [name for name in FAMILIES if name in family.values()]
    if len(there) > 1:
        figure = ax.get_figure(root=True)
        handles = [Patch(color=FAMILIES[name][0], label=name) for name in there]
        figure.legend(  # type: ignore[union-attr]
            handles=handles, loc="outside upper left", ncols=2, frameon=False, fontsize=FONT_SIZE,
            handlelength=1.0,
        )  # fmt: skip
