"""What a faster link would change: one kind of link made better, and the run done again.

Nothing is read off a breakdown: every number is the time of a run on a fabric
in which the links of one tier have twice the bandwidth, or half the latency,
and everything else, the library's choice of algorithm included, follows. Where
a fabric is balanced no single tier helps; hence the rows for the whole path,
all links inside and all links outside the scale-up domains together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from sim.fabric import Fabric

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CHANGES", "SCALE_OUT", "SCALE_UP", "Rerunnable", "best", "changed", "sensitivities", "tiers"]

BoolArray = npt.NDArray[np.bool_]

#: Names of the rows that stand for many tiers at once.
SCALE_UP, SCALE_OUT = "all of scale-up", "all of scale-out"

COLUMNS = (
    "size", "links", "single", "change", "time_before", "time_after", "gain",
    "bounded_by", "algorithm",
)  # fmt: skip

#: (name, factor on bandwidth, factor on latency)
CHANGES = (("bandwidth x2", 2.0, 1.0), ("latency x0.5", 1.0, 0.5))


class Rerunnable(Protocol):
    """What is asked of a run here: its figures, and that it can be done again."""

    @property
    def fabric(self) -> Fabric:
        """Where it ran."""

    @property
    def size(self) -> float:
        """Bytes."""

    @property
    def algorithm(self) -> str:
        """The algorithm's name."""

    @property
    def protocol(self) -> str:
        """The protocol's name."""

    @property
    def time(self) -> float:
        """Seconds."""

    @property
    def bounded_by(self) -> str:
        """The largest share of the time."""

    def again(self, **changes: Any) -> Any:
        """The same run with something changed."""


def tiers(fabric: Fabric) -> dict[str, BoolArray]:
    """Links that can be upgraded together.

    Parameters
    ----------
    fabric : Fabric

    Returns
    -------
    dict
        Which links, shape (links,), by tier, and by `SCALE_UP` (both ends in one
        scale-up domain) and `SCALE_OUT` (the others) where these hold more than
        one tier.

    Examples
    --------
    >>> import sim, topologies
    >>> ring = sim.compile_fabric(topologies.ring(4, bandwidth="50 GB/s", latency="1 us"))
    >>> {name: int(links.sum()) for name, links in tiers(ring).items()}
    {'link': 8}
    """
    found = {name: fabric.tier == number for number, name in enumerate(fabric.tiers)}
    tail, head = fabric.domain[fabric.tail], fabric.domain[fabric.head]
    inside = (tail >= 0) & (tail == head)
    for name, side in ((SCALE_UP, inside), (SCALE_OUT, ~inside)):
        if np.unique(fabric.tier[side]).size > 1:
            found[name] = side
    return found


def changed(fabric: Fabric, links: BoolArray, *, bandwidth: float = 1.0, latency: float = 1.0) -> Fabric:
    """Return a fabric with some links made better; the given one stays as it is.

    Parameters
    ----------
    fabric : Fabric
    links : bool array, shape (links,)
        Which of them.
    bandwidth, latency : float
        Factors.
    """
    return replace(
        fabric,
        bandwidth=np.where(links, bandwidth, 1.0) * fabric.bandwidth,
        latency_ps=np.where(links, np.rint(latency * fabric.latency_ps), fabric.latency_ps).astype(np.int64),
        # What was kept with the fabric, such as estimates, holds for its old figures.
        notes={},
    )


def sensitivities(run: Rerunnable) -> pd.DataFrame:
    """Do a run again with each tier of its fabric made better.

    A library that chose better on the upgraded fabric than on the fabric as it
    is would make the link look good. So every algorithm it chooses on any of
    the fabrics is also run on the fabric as it is, the fastest of them is the
    time before, and that one is run on each upgraded fabric as well.

    Parameters
    ----------
    run : Run

    Returns
    -------
    DataFrame
        One row a tier and change: ``size``, ``links`` (the tier), ``single``
        (whether it is one tier), ``change``, ``time_before`` and ``time_after``
        (s), ``gain`` (their ratio less one: 0.25 is a quarter faster),
        ``bounded_by`` and ``algorithm`` (before).

    Examples
    --------
    >>> import sim, topologies
    >>> ring = topologies.ring(8, bandwidth="50 GB/s", latency="0 s")
    >>> table = sensitivities(sim.all_reduce(ring, 64e6))
    >>> table.loc[table["change"] == "bandwidth x2", "gain"].round(6).tolist()
    [1.0]
    """
    import pandas as pd

    candidates = [
        (name, change, changed(run.fabric, links, bandwidth=bandwidth, latency=latency))
        for name, links in tiers(run.fabric).items()
        for change, bandwidth, latency in CHANGES
    ]
    chosen = [run.again(fabric=better) for _, _, better in candidates]
    runs: dict[tuple[str, str], Rerunnable] = {(run.algorithm, run.protocol): run}
    for other in chosen:
        key = (other.algorithm, other.protocol)
        if key not in runs:
            runs[key] = run.again(algorithm=key[0], protocol=key[1])
    before = min(runs.values(), key=lambda each: each.time)
    held = (before.algorithm, before.protocol)
    rows = []
    for (name, change, better), after in zip(candidates, chosen, strict=True):
        time = after.time
        if (after.algorithm, after.protocol) != held:
            time = min(time, run.again(fabric=better, algorithm=held[0], protocol=held[1]).time)
        rows.append(
            (run.size, name, name not in (SCALE_UP, SCALE_OUT), change, before.time, time,
             before.time / time - 1.0, before.bounded_by, before.algorithm)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def best(table: pd.DataFrame, change: str) -> dict[str, Any]:
    """The single tier whose change gains most; the first of equal ones.

    Parameters
    ----------
    table : DataFrame
        What :func:`sensitivities` returns.
    change : str
        ``"bandwidth x2"`` or ``"latency x0.5"``.

    Returns
    -------
    dict
        A row of the table.
    """
    single = table[table["single"] & (table["change"] == change)]
    return {str(key): value for key, value in single.nlargest(1, "gain").to_dict("records")[0].items()}
