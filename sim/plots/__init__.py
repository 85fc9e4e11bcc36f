"""Figures: one function each, from a table to the Axes it is drawn on.

All share one style (:mod:`sim.plots.style`): lines are simulated, markers
measured, dashes bounds, bands the reach of figures that are not known well;
domestic machines are warm in colour, global ones cold. Without ``ax`` a figure
of 7 x 4.3 inches is made through pyplot, so that a notebook shows it.
"""

from sim.plots.breakdown import plot_breakdown
from sim.plots.ceilings import plot_bisection, plot_roofline
from sim.plots.comparison import plot_comparison
from sim.plots.links import plot_links, plot_pairs
from sim.plots.overlay import plot_overlay
from sim.plots.scaling import plot_busbw, plot_efficiency, plot_scaling
from sim.plots.style import panels
from sim.plots.timeline import plot_timeline
from sim.plots.transfers import plot_transfer_times

__all__ = [
    "panels",
    "plot_bisection",
    "plot_breakdown",
    "plot_busbw",
    "plot_comparison",
    "plot_efficiency",
    "plot_links",
    "plot_overlay",
    "plot_pairs",
    "plot_roofline",
    "plot_scaling",
    "plot_timeline",
    "plot_transfer_times",
]
