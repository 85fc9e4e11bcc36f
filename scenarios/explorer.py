"""A panel for notebooks: choose machine, chips, size and algorithm, and see what a collective does.

Made of ipywidgets (``pip install 'chipweave[notebook]'``). Every change of a
widget runs the collective and draws again, in some hundred milliseconds at the
numbers of chips offered (``python -m benchmarks.explorer`` measures it). Fabrics
and runs are kept, so that what has been seen once comes back at once. Of a curve not
seen before as many points are run as `PATIENCE` allows, the ends first; the others
follow at the next change. Which points are there depends on the machine this runs on,
their values do not.
"""

from __future__ import annotations

import html
import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from topologies.errors import ChipweaveError, MissingPackageError

if TYPE_CHECKING:
    import networkx as nx

    from sim import Fabric, Run

__all__ = ["CHIPS", "MACHINES", "SIZES", "Explorer", "explore"]

#: What is offered by default: one of each kind of scale-up fabric.
MACHINES = ("hgx-h100", "gb200-nvl72", "mi300x", "tpu-v5p", "atlas-800t-a2", "cloudmatrix384", "metax-c500")
#: More chips than that take longer to draw than a hand takes to move on.
CHIPS = (8, 16, 32, 64)
#: Bytes: 1 KiB to 4 GiB.
SIZES = tuple(2.0**k for k in range(10, 33, 2))

#: Seconds of running before a picture is drawn, which takes a tenth of a second more.
PATIENCE = 0.15

#: Of the picture, in inches, and its pixels per inch. Its margins are set by hand: to
#: have them found takes as long as all the rest.
PICTURE, DPI = (7.0, 3.6), 90
MARGINS = {"left": 0.09, "right": 0.76, "bottom": 0.14, "top": 0.97}

#: Makes the graph of so many chips.
Maker = Callable[[int], "nx.Graph[Any]"]


class Explorer:
    """The widgets and what they show; see :func:`explore`.

    Attributes
    ----------
    machine, chips, size, algorithm
        The widgets; setting their ``value`` is what a reader's hand does.
    picture : ipywidgets.Image
        Bus bandwidth over message size, by the algorithm chosen and by the library's choice.
    words : ipywidgets.HTML
        What the run at the size chosen came to, and where its time went; or, in one
        line, why there is none.
    panel : ipywidgets.VBox
        All of them.
    run : Run or None
        The run that is shown.
    """

    def __init__(
        self,
        makers: Mapping[str, Maker],
        chips: Sequence[int],
        sizes: Sequence[float],
        collective: str,
    ) -> None:
        import ipywidgets as widgets

        from sim import algorithms
        from topologies.units import format_size

        self._makers = dict(makers)
        self._sizes = [float(size) for size in sizes]
        self._order = _ends_first(sorted(self._sizes))
        self._collective = collective
        self._fabrics: dict[tuple[str, int], Fabric] = {}
        self._runs: dict[tuple[str, int, str, float], Run] = {}
        self.run: Run | None = None
        style, wide = {"description_width": "5.5em"}, widgets.Layout(width="24em")
        self.machine = widgets.Dropdown(
            options=list(self._makers), description="machine", style=style, layout=wide
        )
        self.chips = widgets.SelectionSlider(
            options=[(f"{count:,}", count) for count in chips], description="chips",
            continuous_update=False, style=style, layout=wide,
        )  # fmt: skip
        self.size = widgets.SelectionSlider(
            options=[(format_size(size), size) for size in self._sizes],
            value=self._sizes[len(self._sizes) // 2], description="size",
            continuous_update=False, style=style, layout=wide,
        )  # fmt: skip
        self.algorithm = widgets.Dropdown(
            options=["auto", *algorithms(collective)], description="algorithm", style=style, layout=wide
        )
        self.picture = widgets.Image(format="png")
        self.words = widgets.HTML()
        choices = (self.machine, self.chips, self.size, self.algorithm)
        self.panel = widgets.VBox(
            [
                widgets.HBox(choices[:2]),
                widgets.HBox(choices[2:]),
                widgets.HBox([self.picture, self.words], layout=widgets.Layout(align_items="center")),
            ]
        )
        for widget in choices:
            widget.observe(self._redraw, names="value")
        self._redraw()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """What a notebook shows: the panel."""
        return self.panel._repr_mimebundle_(**options)

    def __repr__(self) -> str:
        from topologies.units import format_size

        return (
            f"<Explorer {self._collective}: {self.machine.value}, {self.chips.value} chips, "
            f"{format_size(self.size.value)}, {self.algorithm.value}>"
        )

    def _redraw(self, change: object = None) -> None:
        chosen, size = self.algorithm.value, self.size.value
        start, longest = time.perf_counter(), 0.0
        try:
            self.run = self._run(chosen, size)
            curves = {"auto": {size: self._run("auto", size)}, chosen: {size: self.run}}
            for each in self._order:
                for name, runs in curves.items():
                    begun = time.perf_counter()
                    # One more if it is there, or if it takes no longer than others did and that is in time.
                    if self._known(name, each) or begun - start + longest < PATIENCE:
                        runs[each] = self._run(name, each)
                        longest = max(longest, time.perf_counter() - begun)
        except ChipweaveError as error:
            self.run = None
            self.words.value = f"<span style='color:#a33'>{html.escape(str(error))}</span>"
            self.picture.layout.display = "none"
            return
        self.words.value = self.run._repr_html_()
        self.picture.value = _drawn(self.run, curves)
        self.picture.layout.display = None

    def _known(self, algorithm: str, size: float) -> bool:
        return (self.machine.value, self.chips.value, algorithm, size) in self._runs

    def _run(self, algorithm: str, size: float) -> Run:
        import sim

        machine, chips = self.machine.value, self.chips.value
        key = (machine, chips, algorithm, size)
        if key not in self._runs:
            where = (machine, chips)
            if where not in self._fabrics:
                self._fabrics[where] = sim.compile_fabric(self._makers[machine](chips))
            self._runs[key] = sim.collective(
                self._collective, self._fabrics[where], size, algorithm=algorithm
            )
        return self._runs[key]


def explore(
    machines: Sequence[str] = MACHINES,
    *,
    graphs: Mapping[str, Maker] | None = None,
    chips: Sequence[int] = CHIPS,
    sizes: Sequence[float] = SIZES,
    collective: str = "all_reduce",
) -> Explorer:
    """Show a panel to explore how a collective does on some machines.

    Parameters
    ----------
    machines : sequence of str
        Names of the catalogue, or ``.toml`` descriptions.
    graphs : mapping, optional
        Clusters of your own, shown first: a function from a number of chips to the
        networkx graph, by the name to show.
    chips : sequence of int
        Numbers of chips to choose from.
    sizes : sequence of float
        Message sizes to choose from, in bytes.
    collective : str

    Returns
    -------
    Explorer
        Displays itself as the last expression of a cell.

    Raises
    ------
    MissingPackageError
        Without ipywidgets.
    UnknownNameError
        If a machine or the collective is not known.

    Examples
    --------
    >>> panel = explore(["hgx-h100"], chips=[8, 16], sizes=[2**20])
    >>> panel.chips.value = 16
    >>> panel
    <Explorer all_reduce: hgx-h100, 16 chips, 1 MiB, auto>
    >>> panel.run.ranks
    16
    """
    from functools import partial

    import topologies
    from topologies.machines import describe

    try:
        import ipywidgets  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "the explorer needs ipywidgets, which is not installed; pip install 'chipweave[notebook]'"
        ) from error
    makers: dict[str, Maker] = dict(graphs or {})
    for name in machines:
        describe(name)
        makers[name] = partial(topologies.machine, name)
    return Explorer(makers, chips, sizes, collective)


def _ends_first(sizes: Sequence[float]) -> list[float]:
    """The sizes in an order in which any first few are spread over all of them.

    >>> _ends_first([1, 2, 3, 4, 5, 6])
    [6, 1, 4, 3, 5, 2]
    """
    order = [*sizes[-1:], *sizes[:1]]
    gaps = [(0, len(sizes) - 1)]
    while gaps:
        low, high = gaps.pop(0)
        if high - low > 1:
            middle = (low + high + 1) // 2
            order.append(sizes[middle])
            gaps += [(low, middle), (middle, high)]
    return list(dict.fromkeys(order))


def _drawn(run: Run, curves: Mapping[str, Mapping[float, Run]]) -> bytes:
    """Bus bandwidth over size, with a dot at the chosen run, as PNG."""
    import pandas as pd
    from matplotlib.figure import Figure

    from sim.plots import plot_busbw

    rows = [
        {**row.to_dict(), "name": "the library's choice" if name == "auto" else name}
        for name, runs in curves.items() for _, row in sorted(runs.items())
    ]  # fmt: skip
    figure = Figure(figsize=PICTURE)
    ax = figure.subplots(gridspec_kw=MARGINS)
    plot_busbw(pd.DataFrame(rows), by="name", ax=ax)
    ax.plot([run.size], [run.busbw / 1e9], "o", color="black", zorder=3)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, pil_kwargs={"compress_level": 1})
    return out.getvalue()
