"""Names at the ends of curves, moved apart so that none covers another.

Labels of height ``gap`` are wanted at heights ``w_1 <= ... <= w_n``. They are
put at the heights nearest to these in the sense of least squares under
``y_{i+1} - y_i >= gap``. With ``z_i = y_i - i * gap`` that is isotonic
regression, which pooling adjacent violators solves exactly (Barlow, Bartholomew,
Bremner and Brunk, "Statistical Inference under Order Restrictions", 1972), and
clipping z to its bounds solves the problem with bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim.plots.style import FONT_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CurveEnd", "end_labels", "spread"]

#: Height of a line of text over its font size.
LINE_HEIGHT = 1.3
POINTS_PER_INCH = 72.0


@dataclass(frozen=True, slots=True)
class CurveEnd:
    """Where a curve ends, in the coordinates of its Axes, and what it is called."""

    text: str
    x: float
    y: float
    colour: str


def spread(
    wanted: Sequence[float] | npt.NDArray[np.float64], gap: float, low: float, high: float
) -> npt.NDArray[np.float64]:
    """Move heights apart until neighbours are at least ``gap`` apart, as little as possible.

    Parameters
    ----------
    wanted : sequence of float
        Heights, in any order; equal ones keep the order they come in.
    gap : float
        Least distance of neighbours. Where ``n`` of them do not fit between the
        bounds, what fits.
    low, high : float
        Bounds of all heights.

    Returns
    -------
    float64 array
        The new heights, in the order of ``wanted``.

    Examples
    --------
    >>> spread([5, 5, 9], gap=1, low=0, high=10).tolist()
    [4.5, 5.5, 9.0]
    """
    heights = np.asarray(wanted, dtype=np.float64)
    n = heights.size
    if n == 0:
        return heights
    if n > 1:
        gap = min(gap, (high - low) / (n - 1))
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(n)
    # Blocks of (mean, count); a block that starts below the one before is pooled with it.
    blocks: list[tuple[float, int]] = []
    for value in heights[order] - steps:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, members = blocks.pop()
            mean = (mean * count + before * members) / (count + members)
            count += members
        blocks.append((mean, count))
    pooled = np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])
    result = np.empty(n)
    result[order] = np.clip(pooled, low, high - steps[-1]) + steps
    return result


def end_labels(ax: Axes, ends: Sequence[CurveEnd]) -> None:
    """Write the names of curves right of an Axes, at the height where each ends.

    Call it when the limits of the Axes are final. A curve that ends before the
    right edge, or whose label had to move, is joined to its label by a hairline.

    Parameters
    ----------
    ax : Axes
        Where the curves are.
    ends : sequence of CurveEnd
        One for each curve.
    """
    to_axes = ax.transData + ax.transAxes.inverted()
    wanted = [float(to_axes.transform((end.x, end.y))[1]) for end in ends]
    height = ax.get_position().height * ax.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    gap = LINE_HEIGHT * FONT_SIZE / POINTS_PER_INCH / height
    for end, y in zip(ends, spread(wanted, gap, 0.0, 1.0), strict=True):
        ax.annotate(
            end.text,
            xy=(end.x, end.y),
            xytext=(1.04, float(y)),
            textcoords="axes fraction",
            color=end.colour,
            fontsize=FONT_SIZE,
            va="center",
            ha="left",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": end.colour,
                "linewidth": 0.6,
                "alpha": 0.55,
                "shrinkA": 1.0,
                "shrinkB": 0.0,
                "relpos": (0.0, 0.5),
            },
        )
