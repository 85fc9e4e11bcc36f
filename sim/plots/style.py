"""The style sheet: sizes, fonts, colours, and how an Axes is dressed.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which
people with any of the common kinds of colour blindness tell apart, and darker
shades of them. Curves carry their names at their ends, so no reader depends on
colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FIGURE_SIZE", "FONT_SIZE", "axes_or_new", "colours", "dress", "origins", "panels"]

#: Inches. Half a slide, or the text width of a two-column page.
FIGURE_SIZE = (7.0, 4.3)
#: Points; nothing in a figure is smaller.
FONT_SIZE = 9.0

#: Warm: vermillion, orange, reddish purple, and a darker shade of each.
DOMESTIC = ("#D55E00", "#E69F00", "#CC79A7", "#7F3300", "#9A6A00", "#85406A")
#: Cold: blue, sky blue, bluish green, black, and darker shades.
GLOBAL = ("#0072B2", "#56B4E9", "#009E73", "#000000", "#003F63", "#00543D")
#: For curves that belong to neither family: the whole palette, yellow left out (too pale on white).
NEUTRAL = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: For the same among curves of the families: colourless, so that they are not taken for either.
BESIDE = ("#6E6E6E", "#A6A6A6")
FAMILIES = {"domestic": DOMESTIC, "global": GLOBAL}

GREY = "#6E6E6E"
GRID = "#DADADA"


def colours(names: Iterable[str], origin: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give each name a colour of its family.

    Parameters
    ----------
    names : iterable of str
        In the order the colours are dealt; more names than a family has
        colours begin it again.
    origin : mapping, optional
        ``"domestic"`` or ``"global"`` by name; other names are neutral.

    Returns
    -------
    dict
        Colour by name, as ``#rrggbb``.

    Examples
    --------
    >>> colours(["atlas-950", "hgx-h100"], {"atlas-950": "domestic", "hgx-h100": "global"})
    {'atlas-950': '#D55E00', 'hgx-h100': '#0072B2'}
    """
    origin = origin or {}
    unique = list(dict.fromkeys(names))
    others = BESIDE if any(origin.get(name) in FAMILIES for name in unique) else NEUTRAL
    dealt: dict[str, int] = {}
    chosen: dict[str, str] = {}
    for name in unique:
        family = origin.get(name, "")
        palette = FAMILIES.get(family, others)
        chosen[name] = palette[dealt.get(family, 0) % len(palette)]
        dealt[family] = dealt.get(family, 0) + 1
    return chosen


def origins(table: pd.DataFrame) -> dict[str, str]:
    """Say which family each machine of a table belongs to.

    Parameters
    ----------
    table : DataFrame
        With a column ``machine``; ``origin`` is used where there is one, else
        the catalogue is asked.

    Returns
    -------
    dict
        ``"domestic"`` or ``"global"`` by machine; machines nobody knows are missing.
    """
    if "machine" not in table.columns:
        return {}
    if "origin" in table.columns:
        known = table[["machine", "origin"]].drop_duplicates()
        return {str(machine): str(origin) for machine, origin in known.itertuples(index=False)}
    import topologies

    names = set(table["machine"])
    catalogue = topologies.machines()[["name", "origin"]]
    return {str(name): str(origin) for name, origin in catalogue.itertuples(index=False) if name in names}


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the Axes given, or those of a new pyplot figure of the usual size."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=FIGURE_SIZE, layout="constrained")[1]


def panels(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float] = FIGURE_SIZE, **subplots: Any
) -> tuple[Figure, list[Axes]]:
    """Make a figure that pyplot does not hold on to, for scripts that write files.

    Parameters
    ----------
    rows, columns : int
        Number of panels.
    size : (float, float)
        Width and height in inches.
    **subplots
        Handed to :meth:`matplotlib.figure.Figure.subplots` (``sharey``, ``height_ratios``, ...).

    Returns
    -------
    (Figure, list of Axes)
        Row by row.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **subplots)
    return figure, list(grid.ravel())


def dress(ax: Axes, *, grid: str = "y") -> None:
    """Set fonts, spines and grid of an Axes, whatever style it was made under."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(which="both", labelsize=FONT_SIZE, color=GREY)
    ax.grid(visible=False, which="both")
    ax.grid(visible=True, axis=grid, color=GRID, linewidth=0.6)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
        text.set_fontsize(FONT_SIZE)
