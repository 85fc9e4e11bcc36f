"""Where the time of an all-reduce goes, from small messages to large ones."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure

import sim
from scenarios.outputs import save_figure
from sim.plots import panels, plot_breakdown
from topologies.machines import machine


def figure() -> Figure:
    """Shares of the critical path on 64 chips of CloudMatrix384, at four sizes."""
    fabric = sim.compile_fabric(machine("cloudmatrix384", chips=64))
    runs = {size: sim.all_reduce(fabric, size) for size in ("64 KiB", "1 MiB", "16 MiB", "1 GiB")}
    drawn, (ax,) = panels()
    plot_breakdown(runs, ax=ax, share=True)
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "breakdown.svg", figure())
