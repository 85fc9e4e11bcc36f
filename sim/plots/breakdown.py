"""Where the time of a collective goes, as stacked bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.plots.curves import require
from sim.plots.style import FONT_SIZE, axes_or_new, dress
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["breakdown_table", "plot_breakdown"]

#: Causes that every run may have; what is left are the tiers of its links.
CAUSES = {"overhead": "#7F7F7F", "latency": "#56B4E9", "contention": "#000000", "waiting": "#D9D9D9"}
TIERS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442")
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"), (1e-12, "ps"))


def breakdown_table(runs: Mapping[str, Any]) -> pd.DataFrame:
    """Turn runs into a table of seconds by cause.

    Parameters
    ----------
    runs : mapping
        Runs, or their ``breakdown`` (seconds by cause), by the name to show.

    Returns
    -------
    DataFrame
        Columns ``run``, ``cause``, ``seconds``.

    Examples
    --------
    >>> breakdown_table({"ring": {"latency": 2e-6}}).to_dict("records")
    [{'run': 'ring', 'cause': 'latency', 'seconds': 2e-06}]
    """
    import pandas as pd

    rows = []
    for name, run in runs.items():
        parts = run if isinstance(run, Mapping) else run.breakdown
        rows += [(str(name), str(cause), float(seconds)) for cause, seconds in parts.items()]
    return pd.DataFrame(rows, columns=["run", "cause", "seconds"])


def plot_breakdown(
    runs: Mapping[str, Any] | pd.DataFrame, *, ax: Axes | None = None, share: bool = False
) -> Axes:
    """Draw where the time goes: one bar a run, one piece a cause.

    Parameters
    ----------
    runs : mapping or DataFrame
        As for :func:`breakdown_table`, or the table it returns.
    ax : Axes, optional
        Where to draw; by default a new figure.
    share : bool
        Show percent of each run instead of time.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        If columns or rows are missing, or a time is negative.
    """
    table = breakdown_table(runs) if isinstance(runs, Mapping) else runs
    require(table, "run", "cause", "seconds", source="plot_breakdown's docstring describes")
    if (table["seconds"] < 0).any():
        row = table[table["seconds"] < 0].iloc[0]
        raise FormatError(
            f"run {row['run']!r}: {row['cause']} takes {row['seconds']:g} s; times must be >= 0"
        )
    parts = table.pivot_table(
        index="run", columns="cause", values="seconds", aggfunc="sum", sort=False, fill_value=0.0
    )
    parts = parts.loc[:, parts.to_numpy().max(axis=0) > 0]
    totals = parts.sum(axis=1).to_numpy(dtype=np.float64)
    scale, unit = _unit(float(totals.max()))
    divisor = np.where(totals > 0, totals, 1.0) / 100 if share else np.full(totals.size, scale)
    ax = axes_or_new(ax)
    left = np.zeros(totals.size)
    heights = np.arange(totals.size)
    for cause, colour in _colours([str(c) for c in parts.columns]).items():
        width = parts[cause].to_numpy(dtype=np.float64) / divisor
        ax.barh(heights, width, left=left, height=0.62, color=colour, label=_text(cause))
        left += width
    _labels(ax, [str(name) for name in parts.index], heights)
    ax.set_xlim(0, float(left.max()) * 1.02 if left.max() > 0 else 1.0)
    ax.set_xlabel("Share of the time (%)" if share else f"Time ({unit})")
    return ax


def _labels(ax: Axes, names: list[str], heights: Any) -> None:
    dress(ax, grid="x")
    ax.set_yticks(heights, names)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    handles, _ = ax.get_legend_handles_labels()
    if handles:
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=min(len(handles), 3),
            frameon=False,
            fontsize=FONT_SIZE,
            handlelength=1.0,
            columnspacing=1.4,
        )


def _colours(causes: list[str]) -> dict[str, str]:
    """Order causes from software to wire to loss, and colour them."""
    tiers = [cause for cause in causes if cause not in CAUSES]
    colour = {tier: TIERS[i % len(TIERS)] for i, tier in enumerate(tiers)} | CAUSES
    first = [cause for cause in ("overhead", "latency") if cause in causes]
    last = [cause for cause in ("contention", "waiting") if cause in causes]
    return {cause: colour[cause] for cause in first + tiers + last}


def _text(cause: str) -> str:
    kind, _, tier = cause.partition(":")
    return f"{kind}, {tier}" if tier else cause


def _unit(longest: float) -> tuple[float, str]:
    return next(((scale, unit) for scale, unit in UNITS if longest >= scale), (1.0, "s"))
