"""Curves over chips and over message size: bus bandwidth and efficiency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sim.plots.curves import Curve, curves, only, require, subject
from sim.plots.labels import CurveEnd, end_labels
from sim.plots.scales import GB, bandwidth_axis, chips_axis, size_axis
from sim.plots.style import FONT_SIZE, axes_or_new, colours, dress, origins
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_curves", "palette_of", "plot_busbw", "plot_efficiency", "plot_scaling"]

#: What efficiency is measured against.
AGAINST = ("bound", "smallest")

DASHES = (0, (4, 3))


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
    line_rate: float | None = None,
    measured: pd.DataFrame | None = None,
) -> Axes:
    """Draw bus bandwidth over message size, one curve a machine.

    Parameters
    ----------
    chips : int, optional
        Number of chips to keep; needed where the table has several of them
        and several machines.
    bounds : bool, optional
        Dash in what the lower bound on time allows; by default where there is one curve
        and no line rate.
    line_rate : float, optional
        Bytes/s that a chip's links carry, as a dashed line.
    measured : DataFrame, optional
        Points to draw as markers: ``size`` (bytes), ``busbw`` (bytes/s) and, where
        there are several curves, the column that names them.
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
    dashed = len(found) == 1 and line_rate is None if bounds is None else bounds
    draw_curves(ax, kept, "size", "busbw", by, palette, scale=1 / GB, bounds=dashed)
    highest = _highest(found, dashed)
    colour = palette_of(found, kept, palette)
    if line_rate is not None:
        highest = max(highest, line_rate)
        _line_rate(ax, line_rate)
    if measured is not None:
        highest = max(highest, _markers(ax, measured, colour))
    size_axis(ax, kept["size"] if measured is None else [*kept["size"], *measured["size"]])
    what = f"Bus bandwidth, {subject(kept, size=False)}".rstrip(", ")
    if "chips" in kept.columns and kept["chips"].nunique() == 1:
        what += f", {int(kept['chips'].iloc[0]):,} chips"
    bandwidth_axis(ax, highest / GB, what)
    return _named(ax, found, colour, 1 / GB)


def plot_efficiency(
    table: pd.DataFrame,
    *,
    size: float | None = None,
    ax: Axes | None = None,
    by: str | None = None,
    palette: Mapping[str, str] | None = None,
    against: str = "bound",
) -> Axes:
    """Draw how much of the possible is kept as the number of chips grows.

    Parameters
    ----------
    against : {"bound", "smallest"}
        What is 100 %: the lower bound on time, which no algorithm can beat on this
        fabric; or the bus bandwidth that the curve has at its smallest number of
        chips, which is what scaling loses.
    table, size, ax, by, palette
        As for :func:`plot_scaling`.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        As :func:`plot_scaling`; or if ``against`` is something else.
    """
    if against not in AGAINST:
        raise FormatError(f"plot_efficiency: against (={against!r}) must be one of {', '.join(AGAINST)}")
    kept = only(table, "size", size) if size is not None else table
    if against == "smallest":
        return _kept_bandwidth(kept, ax, by, palette)
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


def _kept_bandwidth(
    table: pd.DataFrame, ax: Axes | None, by: str | None, palette: Mapping[str, str] | None
) -> Axes:
    """Bus bandwidth over that of the smallest number of chips, curve by curve."""
    found = curves(table, "chips", "busbw", by)
    colour = palette_of(found, table, palette)
    ax = axes_or_new(ax)
    shares = [replace(c, y=c.y / c.y[0], low=c.low / c.y[0], high=c.high / c.y[0]) for c in found]
    for curve in shares:
        ink = colour[curve.name]
        ax.plot(curve.x, 100 * curve.y, color=ink, linewidth=1.7, solid_capstyle="butt", label=curve.name)
    dress(ax)
    chips_axis(ax, table["chips"])
    ax.set_ylim(0, 1.08 * max(100.0, 100 * max(float(c.y.max()) for c in shares)))
    ax.axhline(100, color="black", linewidth=0.8, linestyle=DASHES)
    ax.set_ylabel(f"Bandwidth kept, {subject(table, size=True)}".rstrip(", ") + " (%)")
    return _named(ax, shares, colour, 100.0)


def _line_rate(ax: Axes, rate: float) -> None:
    from topologies.units import format_bandwidth

    ax.axhline(rate / GB, color="black", linewidth=0.9, linestyle=DASHES)
    ax.annotate(
        f"line rate, {format_bandwidth(rate)}", (0.0, rate / GB), xycoords=ax.get_yaxis_transform(),
        xytext=(4, -4), textcoords="offset points", fontsize=FONT_SIZE, va="top",
    )  # fmt: skip


def _markers(ax: Axes, measured: pd.DataFrame, colour: Mapping[str, str]) -> float:
    """Draw measured points in the colours of their curves; gives the greatest."""
    require(measured, "size", "busbw", source="plot_busbw's docstring describes")
    naming = [column for column in measured.columns if set(measured[column].astype(str)) & set(colour)]
    for name, ink in colour.items():
        part = measured[measured[naming[0]].astype(str) == name] if naming else measured
        ax.plot(
            part["size"], part["busbw"] / GB, "o", color=ink, markersize=4, markerfacecolor="white",
            linestyle="", label=f"{name}, measured", clip_on=False,
        )  # fmt: skip
    return float(measured["busbw"].max())


def _highest(found: Sequence[Curve], bounds: bool) -> float:
    tops = [float(np.nanmax([curve.y, curve.high])) for curve in found]
    if bounds:
        tops += [float(np.nanmax(c.bound)) for c in found if np.isfinite(c.bound).any()]
    return max(tops)


def _named(ax: Axes, found: Sequence[Curve], colour: Mapping[str, str], scale: float) -> Axes:
    ends = [CurveEnd(c.name, float(c.x[-1]), float(scale * c.y[-1]), colour[c.name]) for c in found]
    end_labels(ax, ends)
    return ax
