"""How long transfers take: their distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sim.plots.breakdown import UNITS
from sim.plots.curves import require
from sim.plots.style import FONT_SIZE, NEUTRAL, axes_or_new, dress
from topologies.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["plot_transfer_times"]

#: Points of a curve; a million transfers need no million corners.
CORNERS = 2000


def plot_transfer_times(
    transfers: pd.DataFrame | Mapping[str, pd.DataFrame], *, ax: Axes | None = None
) -> Axes:
    """Draw the share of transfers that were through within a time (a cumulative distribution).

    The time of a transfer lasts from when both its ends were there to its last byte.

    Parameters
    ----------
    transfers : DataFrame, or mapping of name to DataFrame
        What ``Recorder.transfers()`` gives: columns ``ready`` and ``end`` (seconds).
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        If columns or rows are missing.
    """
    tables = transfers if isinstance(transfers, Mapping) else {"": transfers}
    if not tables:
        raise FormatError("plot_transfer_times: no table; pass what Recorder.transfers() returns")
    spans = {}
    for name, table in tables.items():
        require(table, "ready", "end", source="Recorder.transfers()")
        spans[name] = np.sort((table["end"] - table["ready"]).to_numpy(dtype=np.float64))
    longest = max(float(times[-1]) for times in spans.values())
    scale, unit = next(((s, u) for s, u in UNITS if longest >= s), (1.0, "s"))
    ax = axes_or_new(ax)
    for i, (name, times) in enumerate(spans.items()):
        kept = np.unique(np.linspace(0, times.size - 1, min(times.size, CORNERS)).astype(np.int64))
        x = np.concatenate([[times[0]], times[kept]]) / scale
        y = np.concatenate([[0.0], 100 * (kept + 1) / times.size])
        ax.plot(
            x, y, color=NEUTRAL[i % len(NEUTRAL)], linewidth=1.7, drawstyle="steps-post", label=name or None
        )
    dress(ax)
    ax.set_xlim(0, 1.04 * longest / scale)
    ax.set_ylim(0, 104)
    ax.set_yticks(range(0, 101, 20))
    ax.set_xlabel(f"Time of a transfer ({unit})")
    ax.set_ylabel("Transfers through (%)")
    if isinstance(transfers, Mapping):
        # All curves end at the top: names there would lie on top of each other.
        ax.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, frameon=False, fontsize=FONT_SIZE,
            handlelength=1.4, columnspacing=1.4,
        )  # fmt: skip
    return ax
