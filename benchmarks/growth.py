"""How time and memory grow with the number of ranks, with fast-forward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Measured
from benchmarks.rows import GROWTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "figure", "ratios"]


def ratios(points: Sequence[Measured]) -> tuple[float, float, float]:
    """Growth of ranks, time and memory from the first point to the last.

    Examples
    --------
    >>> small = Measured("growth", 1024, 0.01, 0.01, 0.01, 5, 200.0, 1.0, 1.0)
    >>> large = Measured("growth", 65536, 0.5, 0.5, 0.5, 5, 300.0, 1.0, 1.0)
    >>> ratios([small, *[small] * 5, large])
    (64.0, 50.0, 1.5)
    """
    first, last = points[0], points[-1]
    return GROWTH[-1] / GROWTH[0], last.time / first.time, last.megabytes / first.megabytes


def figure(points: Sequence[Measured]) -> Figure:
    """Time and peak memory over ranks, each beside linear growth from its first point.

    Parameters
    ----------
    points : sequence of Measured
        One for each of `GROWTH`.
    """
    from sim.plots import panels
    from sim.plots.style import FONT_SIZE, GREY, NEUTRAL, dress

    drawn, axes = panels(1, 2)
    columns = (
        ([1000 * p.time for p in points], "time of one all-reduce [ms]"),
        ([p.megabytes for p in points], "peak memory of the process [MB]"),
    )
    for ax, (values, label) in zip(axes, columns, strict=True):
        ax.plot(GROWTH, values, "o-", color=NEUTRAL[0], markersize=4)
        linear = [values[0] * p / GROWTH[0] for p in GROWTH]
        ax.plot(GROWTH, linear, "--", color=GREY, linewidth=1)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(GROWTH, [f"{p:,}" for p in GROWTH], rotation=45, ha="right", rotation_mode="anchor")
        ax.set_xlabel("chips")
        ax.set_ylabel(label)
        dress(ax)
        middle = len(GROWTH) // 2
        ax.annotate(
            "linear", (GROWTH[middle], linear[middle]), xytext=(-4, 6), textcoords="offset points",
            ha="right", color=GREY, fontsize=FONT_SIZE,
        )  # fmt: skip
    return drawn


def draw(points: Sequence[Measured], path: Path) -> None:
    """Write `figure` to a file, always the same bytes for the same points."""
    from scenarios.outputs import save_figure

    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(path, figure(points))
