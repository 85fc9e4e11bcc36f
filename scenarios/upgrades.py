"""What would make a machine talk better: one kind of link made better, and the job run again.

Nothing is read off a breakdown: every number is the time of a run on a graph
in which the links of one tier have twice the bandwidth, or half the latency,
and everything else, the library's choice of algorithm included, follows. Where
a fabric is balanced no single tier helps; hence the row for the whole path,
all links outside the scale-up domains together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = ["SCALE_OUT", "SCALE_UP", "best", "changed", "tiers", "upgrades"]

#: Names of the rows that stand for many tiers at once.
SCALE_UP, SCALE_OUT = "all of scale-up", "all of scale-out"

#: (tail, head), and the key in a multigraph.
Edge = tuple[Any, ...]

COLUMNS = (
    "size", "links", "single", "change", "time_before", "time_after", "gain",
    "bounded_by", "algorithm",
)  # fmt: skip

#: (name, factor on bandwidth, factor on latency)
CHANGES = (("bandwidth x2", 2.0, 1.0), ("latency x0.5", 1.0, 0.5))


def tiers(graph: nx.Graph[Any]) -> dict[str, list[Edge]]:
    """Links that can be upgraded together.

    Parameters
    ----------
    graph : networkx graph
        After the graph contract.

    Returns
    -------
    dict
        Edges by tier, and by `SCALE_UP` (both ends in one scale-up domain) and
        `SCALE_OUT` (the others) where these hold more than one tier.

    Examples
    --------
    >>> import topologies
    >>> sorted(tiers(topologies.ring(4, bandwidth="50 GB/s", latency="1 us")))
    ['link']
    """
    keyed: dict[str, list[Edge]] = {}
    sides: dict[str, list[Edge]] = {SCALE_UP: [], SCALE_OUT: []}
    held: dict[str, set[str]] = {SCALE_UP: set(), SCALE_OUT: set()}
    for edge in graph.edges:
        tier = str(graph.edges[edge].get("tier", "link"))
        tail, head = (graph.nodes[node].get("domain") for node in edge[:2])
        side = SCALE_UP if tail is not None and tail == head else SCALE_OUT
        keyed.setdefault(tier, []).append(edge)
        sides[side].append(edge)
        held[side].add(tier)
    return keyed | {side: edges for side, edges in sides.items() if len(held[side]) > 1}


def changed(
    graph: nx.Graph[Any], edges: list[Edge], *, bandwidth: float = 1.0, latency: float = 1.0
) -> nx.Graph[Any]:
    """Copy a graph with some links made better.

    Parameters
    ----------
    graph : networkx graph
    edges : list
        Edges of it.
    bandwidth, latency : float
        Factors.

    Returns
    -------
    networkx graph
        The given graph is left as it is.
    """
    from topologies.graph import link_bandwidth, link_latency

    better = graph.copy()
    for edge in edges:
        attributes = better.edges[edge]
        attributes["bandwidth"] = bandwidth * link_bandwidth(attributes, str(edge))
        attributes["latency"] = latency * link_latency(attributes, str(edge))
    return better


def upgrades(graph: nx.Graph[Any], size: float, *, collective: str = "all_reduce") -> pd.DataFrame:
    """Run a collective with each tier of a graph upgraded.

    A library that chose better on the upgraded graph than on the graph as it
    is would make the link look good. So every algorithm it chooses on any of
    the graphs is also run on the graph as it is, the fastest of them is the
    time before, and that one is run on each upgraded graph as well.

    Parameters
    ----------
    graph : networkx graph
        After the graph contract.
    size : float
        Bytes.
    collective : str

    Returns
    -------
    DataFrame
        One row a tier and change: ``size``, ``links`` (the tier), ``single``
        (whether it is one tier), ``change``, ``time_before`` and ``time_after``
        (s), ``gain`` (their ratio less one: 0.25 is a quarter faster),
        ``bounded_by`` and ``algorithm`` (before).

    Raises
    ------
    ChipweaveError
        If the graph or the collective cannot be used.

    Examples
    --------
    >>> import topologies
    >>> table = upgrades(topologies.ring(8, bandwidth="50 GB/s", latency="0 s"), 64e6)
    >>> table.loc[table["change"] == "bandwidth x2", "gain"].round(6).tolist()
    [1.0]
    """
    import pandas as pd

    import sim

    candidates = [
        (name, change, sim.compile_fabric(changed(graph, edges, bandwidth=bandwidth, latency=latency)))
        for name, edges in tiers(graph).items()
        for change, bandwidth, latency in CHANGES
    ]
    fabric = sim.compile_fabric(graph)
    chosen = [sim.collective(collective, better, size) for _, _, better in candidates]
    as_it_is = sim.collective(collective, fabric, size)
    runs = {(as_it_is.algorithm, as_it_is.protocol): as_it_is}
    for run in chosen:
        key = (run.algorithm, run.protocol)
        if key not in runs:
            runs[key] = sim.collective(collective, fabric, size, algorithm=key[0], protocol=key[1])
    before = min(runs.values(), key=lambda run: run.time)
    held = (before.algorithm, before.protocol)
    rows = []
    for (name, change, better), after in zip(candidates, chosen, strict=True):
        time = after.time
        if (after.algorithm, after.protocol) != held:
            again = sim.collective(collective, better, size, algorithm=held[0], protocol=held[1])
            time = min(time, again.time)
        rows.append(
            (size, name, name not in (SCALE_UP, SCALE_OUT), change, before.time, time,
             before.time / time - 1.0, before.bounded_by, before.algorithm)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def best(table: pd.DataFrame, change: str) -> dict[str, Any]:
    """The single tier whose change gains most; the first of equal ones.

    Parameters
    ----------
    table : DataFrame
        What :func:`upgrades` returns.
    change : str
        ``"bandwidth x2"`` or ``"latency x0.5"``.

    Returns
    -------
    dict
        A row of the table.
    """
    single = table[table["single"] & (table["change"] == change)]
    return {str(key): value for key, value in single.nlargest(1, "gain").to_dict("records")[0].items()}
