"""Who talks to whom in an all-reduce: bytes sent, and how busy the way is."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure

import sim
from scenarios.outputs import save_figure
from sim.plots import panels, plot_pairs
from sim.traffic import pairs
from topologies.machines import machine


def figure() -> Figure:
    """All-reduce of 64 MiB by 64 H100: bytes and the way between them."""
    run = sim.all_reduce(machine("hgx-h100", chips=64), "64 MiB")
    table = pairs(run)
    drawn, (left, right) = panels(1, 2, size=(10.0, 4.3))
    plot_pairs(table, ranks=run.ranks, quantity="bytes", ax=left)
    plot_pairs(table, ranks=run.ranks, ax=right)
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "chip_pairs.svg", figure())
