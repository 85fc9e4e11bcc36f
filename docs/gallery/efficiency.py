"""Scaling efficiency: against the lower bound, and against the smallest number of chips."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure

import sim
from scenarios.outputs import save_figure
from sim.plots import panels, plot_efficiency
from sim.plots.style import FONT_SIZE

MACHINES = ["cloudmatrix384", "atlas-800t-a2", "hgx-h100", "tpu-v5p"]


def figure() -> Figure:
    """All-reduce of 256 MiB on four machines, from 8 to 256 chips."""
    table = sim.scaling(MACHINES, [8, 16, 32, 64, 128, 256], "256 MiB")
    drawn, (left, right) = panels(1, 2, size=(10.0, 4.3))
    plot_efficiency(table, ax=left)
    plot_efficiency(table, ax=right, against="smallest")
    left.set_title("what the fabric allows", loc="left", fontsize=FONT_SIZE)
    right.set_title("what 8 chips have", loc="left", fontsize=FONT_SIZE)
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "efficiency.svg", figure())
