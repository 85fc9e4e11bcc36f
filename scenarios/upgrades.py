"""What would make a machine talk better: `sim.sensitivity` on a graph, and the row that says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = ["upgrades"]


def upgrades(graph: nx.Graph[Any], size: float, *, collective: str = "all_reduce") -> pd.DataFrame:
    """Run a collective with each tier of a graph upgraded.

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
        What :func:`sim.sensitivity.sensitivities` returns.

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
    import sim
    from sim.sensitivity import sensitivities

    return sensitivities(sim.collective(collective, graph, size))
