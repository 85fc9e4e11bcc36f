"""Who did what when, as a Gantt chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.plots.breakdown import UNITS
from sim.plots.curves import require
from sim.plots.style import FONT_SIZE, GREY, NEUTRAL, axes_or_new, dress
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["plot_timeline"]

#: Rows that still carry a name each at the height of the figure.
NAMED_ROWS = 24


def plot_timeline(
    records: pd.DataFrame, *, exposed: pd.DataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the records of a world: one row an actor, one bar for each thing it did.

    Parameters
    ----------
    records : DataFrame
        Columns ``actor``, ``what``, ``start`` and ``end`` (seconds). Rows of the
        figure follow the order in which the actors first appear.
    exposed : DataFrame, optional
        Spans to hatch, with the columns ``actor``, ``start`` and ``end``: communication
        that no computing hides, as ``World.exposed()`` gives it.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        If columns or rows are missing, or a record ends before it starts.
    """
    require(records, "actor", "what", "start", "end", source="World.timeline()")
    backwards = records[~(records["end"] >= records["start"])]
    if len(backwards):
        row = backwards.iloc[0]
        raise FormatError(
            f"record {row['what']!r} of {row['actor']!r} starts at {row['start']:g} s and ends at "
            f"{row['end']:g} s; the end must not come before the start"
        )
    ax = axes_or_new(ax)
    scale, unit = next(((s, u) for s, u in UNITS if records["end"].max() >= s), (1.0, "s"))
    actors = [str(actor) for actor in dict.fromkeys(records["actor"])]
    row_of = {actor: i for i, actor in enumerate(actors)}
    for i, (what, part) in enumerate(records.groupby("what", sort=False)):
        start = part["start"].to_numpy(dtype=np.float64) / scale
        width = part["end"].to_numpy(dtype=np.float64) / scale - start
        rows = [row_of[str(actor)] for actor in part["actor"]]
        ax.barh(
            rows, width, left=start, height=0.72, color=NEUTRAL[i % len(NEUTRAL)],
            edgecolor="white", linewidth=0.4, label=str(what),
        )  # fmt: skip
    if exposed is not None and len(exposed):
        require(exposed, "actor", "start", "end", source="World.exposed()")
        start = exposed["start"].to_numpy(dtype=np.float64) / scale
        ax.barh(
            [row_of[str(actor)] for actor in exposed["actor"]],
            exposed["end"].to_numpy(dtype=np.float64) / scale - start,
            left=start, height=0.72, facecolor="none", edgecolor="white", linewidth=0.0, hatch="////",
        )  # fmt: skip
        # White on any colour; in the legend on grey.
        ax.bar(0, 0, facecolor=GREY, edgecolor="white", linewidth=0.0, hatch="////", label="exposed")
    dress(ax, grid="x")
    step = -(-len(actors) // NAMED_ROWS)
    ax.set_yticks(range(0, len(actors), step), actors[::step])
    ax.set_ylim(len(actors) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(float(min(records["start"].min() / scale, 0.0)), float(records["end"].max()) / scale or 1.0)
    ax.set_xlabel(f"Time ({unit})")
    ax.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, frameon=False, fontsize=FONT_SIZE,
        handlelength=1.0, columnspacing=1.4,
    )  # fmt: skip
    return ax
