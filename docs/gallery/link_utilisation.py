"""How busy each link was during an all-reduce, on the drawn topology."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure

import sim
from scenarios.outputs import save_figure
from sim.plots import panels, plot_links
from topologies.machines import machine


def figure() -> Figure:
    """All-reduce of 64 MiB by four H100 hosts."""
    graph = machine("hgx-h100", chips=32)
    run = sim.all_reduce(graph, "64 MiB")
    drawn, (ax,) = panels()
    plot_links(graph, run.links, ax=ax)
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "link_utilisation.svg", figure())
