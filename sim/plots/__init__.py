"""Figures: one function each, from a table to the Axes it is drawn on.

All share one style (:mod:`sim.plots.style`): lines are simulated, markers
measured, dashes bounds, bands the reach of figures that are not known well;
domestic machines are warm in colour, global ones cold. Without ``ax`` a figure
of 7 x 4.3 inches is made through pyplot, so that a notebook shows it.
"""

from sim.plots.breakdown import plot_breakdown
from sim.plots.comparison import plot_comparison
from sim.plots.overlay import plot_overlay
from sim.plots.scaling import plot_busbw, plot_efficiency, plot_scaling
from sim.plots.style import panels
from sim.plots.timeline import plot_timeline

__all__ = [
    "panels",
    "plot_breakdown",
    "plot_busbw",
    "plot_comparison",
    "plot_efficiency",
    "plot_overlay",
    "plot_scaling",
    "plot_timeline",
]
