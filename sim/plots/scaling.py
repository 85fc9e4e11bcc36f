"""Curves over chips and over message size: bus bandwidth and efficiency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.plots.curves import Curve, curves, only, subject
from sim.plots.labels import CurveEnd, end_labels
from sim.plots.scales import GB, bandwidth_axis, chips_axis, size_axis
from sim.plots.style import axes_or_new, colours, dress, origins

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_curves", "palette_of", "plot_busbw", "plot_efficiency", "plot_scaling"]


def plot_scaling(
    table: pd.DataFrame,
    *,
    size: float | None = None,
    ax: Axes | None = None,
    by: str | None = None,
    palette: Mapping[str, str] | None = None,
    bounds: bool = False,
    top: float | None = None,
) -> Axes:
    """Draw bus bandwidth over the number of chips, one curve a machine.

    Parameters
    ----------
    table : DataFrame
        What :func:`sim.scaling` returns; rows of estimate low and high give
        the band around each curve, as far as both are there. A column ``origin`` (domestic, global)
        chooses the family of colours; without it the catalogue does.
    size : float, optional
        Message size in bytes to keep; needed where the table has several sizes
        and several machines.
    ax : Axes, optional
        Where to draw; by default a new figure.
    by : str, optional
        Column that names the curves; by default whichever tells the rows apart.
    palette : mapping, optional
        Colour by curve name.
    bounds : bool
        Dash in what the lower bound on time allows.
    top : float, optional
        Bandwidth (bytes/s) the axis reaches up to, for panels that are to be
        compared; by default what is drawn.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        If columns are missing, the size is not there, or two rows fall on one point.
    """
    kept = only(table, "size", size) if size is not None else table
    ax = axes_or_new(ax)
    found = draw_curves(ax, kept, "chips", "busbw", by, palette, scale=1 / GB, bounds=bounds)
    chips_axis(ax, kept["chips"])
    highest = _highest(found, bounds) if top is None else top
    bandwidth_axis(ax, highest / GB, f"Bus bandwidth, {subject(kept, size=True)}".rstrip(", "))
    return _named(ax, found, palette_of(found, kept, palette), 1 / GB)


def plot_busbw(
    table: pd.DataFrame,
    *,
    chips: int | None = None,
    ax: Axes | None = None,
    by: str | None = None,
    palette: Mapping[str, str] | None = None,
    bounds: bool | None = None,
) -> Axes:
    """Draw bus bandwidth over message size, one curve a machine.

    Parameters
    ----------
    chips : int, optional
        Number of chips to keep; needed where the table has several of them
        and several machines.
    bounds : bool, optional
        Dash in what the lower bound on time allows; by default where there is one curve.
    table, ax, by, palette
        As for :func:`plot_scaling`.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        As :func:`plot_scaling`.
    """
    kept = only(table, "chips", chips) if chips is not None else table
    ax = axes_or_new(ax)
    found = curves(kept, "size", "busbw", by)
    dashed = len(found) == 1 if bounds is None else bounds
    draw_curves(ax, kept, "size", "busbw", by, palette, scale=1 / GB, bounds=dashed)
    size_axis(ax, kept["size"])
    what = f"Bus bandwidth, {subject(kept, size=False)}".rstrip(", ")
    if "chips" in kept.columns and kept["chips"].nunique() == 1:
        what += f", {int(kept['chips'].iloc[0]):,} chips"
    bandwidth_axis(ax, _highest(found, dashed) / GB, what)
    return _named(ax, found, palette_of(found, kept, palette), 1 / GB)


def plot_efficiency(
    table: pd.DataFrame,
    *,
    size: float | None = None,
    ax: Axes | None = None,
    by: str | None = None,
    palette: Mapping[str, str] | None = None,
) -> Axes:
    """Draw which share of what the lower bound allows is reached, over the number of chips.

    Efficiency is lower bound over time: 100 % is what no algorithm can beat on
    this fabric. Parameters, return value and errors are those of
    :func:`plot_scaling`.
    """
    kept = only(table, "size", size) if size is not None else table
    ax = axes_or_new(ax)
    found = draw_curves(ax, kept, "chips", "efficiency", by, palette, scale=100.0)
    chips_axis(ax, kept["chips"])
    ax.set_ylim(0, 108)
    ax.axhline(100, color="black", linewidth=0.8, linestyle=(0, (4, 3)))
    ax.set_ylabel(f"Share of the lower bound, {subject(kept, size=True)}".rstrip(", ") + " (%)")
    return _named(ax, found, palette_of(found, kept, palette), 100.0)


def draw_curves(
    ax: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    by: str | None = None,
    palette: Mapping[str, str] | None = None,
    *,
    scale: float = 1.0,
    bounds: bool = False,
) -> list[Curve]:
    """Draw lines, bands and dashed bounds of a table; axes and labels are the caller's.

    Returns
    -------
    list of Curve
        What was drawn, unscaled.
    """
    found = curves(table, x, y, by)
    colour = palette_of(found, table, palette)
    for curve in found:
        ink = colour[curve.name]
        if (curve.high > curve.low).any():
            ax.fill_between(
                curve.x, scale * curve.low, scale * curve.high, color=ink, alpha=0.18, linewidth=0
            )
        if bounds and np.isfinite(curve.bound).any():
            ax.plot(curve.x, scale * curve.bound, color=ink, linewidth=0.9, linestyle=(0, (4, 3)))
        ax.plot(curve.x, scale * curve.y, color=ink, linewidth=1.7, solid_capstyle="butt", label=curve.name)
        if curve.x.size == 1:  # a line through one point cannot be seen
            ax.plot(curve.x, scale * curve.y, "_", color=ink, markersize=9, markeredgewidth=1.7)
    dress(ax)
    return found


def palette_of(
    found: Sequence[Curve], table: pd.DataFrame, palette: Mapping[str, str] | None
) -> Mapping[str, str]:
    """Colour by curve name: the caller's, or dealt by family."""
    names = [curve.name for curve in found]
    own = colours(names, origins(table))
    return own if palette is None else {name: palette.get(name, own[name]) for name in names}


def _highest(found: Sequence[Curve], bounds: bool) -> float:
    tops = [float(np.nanmax([curve.y, curve.high])) for curve in found]
    if bounds:
        tops += [float(np.nanmax(c.bound)) for c in found if np.isfinite(c.bound).any()]
    return max(tops)


def _named(ax: Axes, found: Sequence[Curve], colour: Mapping[str, str], scale: float) -> Axes:
    ends = [CurveEnd(c.name, float(c.x[-1]), float(scale * c.y[-1]), colour[c.name]) for c in found]
    end_labels(ax, ends)
    return ax
