"""Bus bandwidth from one host to many: domestic machines warm, global ones cold, soft figures as bands."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure

import sim
from scenarios.outputs import save_figure
from sim.plots import panels, plot_scaling

MACHINES = ["cloudmatrix384", "atlas-800t-a2", "mtt-s5000", "hgx-h100", "gb200-nvl72", "tpu-v5p"]


def figure() -> Figure:
    """All-reduce of 256 MiB on six machines, from 8 to 256 chips."""
    table = sim.scaling(MACHINES, [8, 16, 32, 64, 128, 256], "256 MiB", estimates=("nominal", "low", "high"))
    drawn, (ax,) = panels()
    plot_scaling(table, ax=ax)
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "scaling.svg", figure())
