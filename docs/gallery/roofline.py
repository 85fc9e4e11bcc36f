"""The two ceilings of a collective: latency for small messages, line rate for large ones."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure

import sim
from scenarios.outputs import save_figure
from sim.plots import panels, plot_roofline


def figure() -> Figure:
    """All-reduce by 64 H100 from 1 KiB to 8 GiB."""
    table = sim.scaling("hgx-h100", 64, [2**e for e in range(10, 34)])
    drawn, (ax,) = panels()
    plot_roofline(table, ax=ax)
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "roofline.svg", figure())
