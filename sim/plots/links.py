"""How busy links are: on the drawn topology, and between each pair of chips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sim.plots.curves import require
from sim.plots.style import FONT_SIZE, GREY, axes_or_new
from topologies.errors import FormatError

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["plot_links", "plot_pairs"]

#: Ticks along an axis of chips.
TICKS = 8

QUANTITIES = ("utilisation", "bytes")


def plot_links(graph: nx.Graph[Any], links: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw a graph with its links coloured by how busy they were.

    Parameters
    ----------
    graph : networkx graph
    links : DataFrame
        What ``Run.links`` or ``World.links()`` gives: ``tail``, ``head`` and
        ``utilisation``; of parallel links and both directions the busiest shows.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        If columns or rows are missing.
    """
    import topologies

    require(links, "tail", "head", "utilisation", source="Run.links")
    busiest: dict[tuple[Any, Any], float] = {}
    for tail, head, used in zip(links["tail"], links["head"], links["utilisation"], strict=True):
        busiest[tail, head] = max(busiest.get((tail, head), 0.0), min(float(used), 1.0))
    ax = topologies.draw(graph, ax=axes_or_new(ax), values=busiest)
    bar = ax.get_figure(root=True).axes[-1]  # type: ignore[union-attr]
    bar.set_ylabel("Utilisation of the busier direction (%)", fontsize=FONT_SIZE)
    bar.set_yticks(np.linspace(0, 1, 6), [f"{100 * tick:.0f}" for tick in np.linspace(0, 1, 6)])
    return ax


def plot_pairs(
    pairs: pd.DataFrame,
    *,
    ranks: int | None = None,
    quantity: str = "utilisation",
    ax: Axes | None = None,
) -> Axes:
    """Draw a heat map of chip by chip: how busy the way is, or how many bytes went it.

    Parameters
    ----------
    pairs : DataFrame
        What :func:`sim.traffic.pairs` gives: ``src``, ``dst`` and the quantity. Pairs
        that are not there are left white.
    ranks : int, optional
        Size of the map; by default up to the last rank in the table.
    quantity : {"utilisation", "bytes"}
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    FormatError
        If columns or rows are missing, or the quantity is another.
    """
    if quantity not in QUANTITIES:
        raise FormatError(f"plot_pairs: quantity (={quantity!r}) must be one of {', '.join(QUANTITIES)}")
    require(pairs, "src", "dst", quantity, source="sim.traffic.pairs")
    from matplotlib.colors import LogNorm, Normalize

    from topologies.units import format_size

    size = int(max(pairs["src"].max(), pairs["dst"].max())) + 1 if ranks is None else ranks
    values = np.full((size, size), np.nan)
    values[pairs["src"].to_numpy(), pairs["dst"].to_numpy()] = pairs[quantity].to_numpy(dtype=np.float64)
    ax = axes_or_new(ax)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if quantity == "utilisation":
        norm: Normalize = Normalize(0, 1)
    else:
        norm = LogNorm(low, high) if high > 1.01 * low > 0 else Normalize(0, high)
    picture = ax.imshow(values, cmap="viridis_r", norm=norm, interpolation="nearest", origin="upper")
    figure = ax.get_figure(root=True)
    bar = figure.colorbar(picture, ax=ax, pad=0.02)  # type: ignore[union-attr]
    if quantity == "utilisation":
        bar.set_ticks([i / 5 for i in range(6)], labels=[f"{20 * i}" for i in range(6)])
        bar.set_label("Utilisation of the busiest link on the path (%)", fontsize=FONT_SIZE)
    else:
        spaced = np.geomspace(low, high, 4) if isinstance(norm, LogNorm) else np.linspace(0, high, 5)
        ticks = spaced.tolist()
        bar.set_ticks(ticks, labels=[format_size(tick) for tick in ticks])
        bar.set_label("Bytes sent", fontsize=FONT_SIZE)
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=FONT_SIZE, color=GREY)
    _chips(ax, size)
    return ax


def _chips(ax: Axes, size: int) -> None:
    step = max(1, -(-size // TICKS))
    # Powers of two, the sizes that hosts and pods have.
    step = 1 << (step - 1).bit_length()
    ticks = range(0, size, step)
    for axis, name in ((ax.xaxis, "Receiving rank"), (ax.yaxis, "Sending rank")):
        axis.set_ticks(list(ticks), [f"{tick:,}" for tick in ticks])
        axis.set_label_text(name, fontsize=FONT_SIZE)
    ax.tick_params(labelsize=FONT_SIZE, color=GREY, length=2)
    for spine in ax.spines.values():
        spine.set_color(GREY)
