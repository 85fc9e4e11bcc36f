"""Bisection bandwidth: what one half of the chips can send to the other."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np

from sim.fabric import Fabric, compile_fabric

__all__ = ["bisection"]

#: Capacities go into the solver as whole numbers up to this, so that their sums fit 32 bits.
RESOLUTION = 2**30


def bisection(graph: nx.Graph[Any] | Fabric) -> float:
    """Bytes/s that the first half of the chips, in rank order, can send to the second.

    The least cut between the halves, which is the largest flow (Ford and Fulkerson,
    1956), so that no routing and no link within a half is left out. The least over
    *all* halves is NP-hard (Garey, Johnson and Stockmeyer, 1976); halves in rank
    order cut between hosts and pods, which is where fabrics are thin.

    Parameters
    ----------
    graph : networkx graph or Fabric

    Returns
    -------
    float
        Bytes/s; 0 for a single chip.

    Examples
    --------
    >>> import topologies
    >>> bisection(topologies.ring(8, bandwidth="50 GB/s", latency="0 s")) / 1e9  # two links are cut
    100.0
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import maximum_flow

    fabric = compile_fabric(graph)
    chips, nodes = fabric.rank_nodes, len(fabric.nodes)
    if chips.size < 2:
        return 0.0
    half = chips.size // 2
    # An even half each: of an odd number the middle one takes part in neither.
    first, second = chips[:half], chips[chips.size - half :]
    total = float(fabric.injection()[:half].sum())
    scale = RESOLUTION / total if total > 0 else 1.0
    whole = np.maximum(np.rint(np.minimum(fabric.bandwidth, total) * scale), 1)
    source, sink = np.full(half, nodes), np.full(half, nodes + 1)
    tail = np.concatenate([fabric.tail, source, second])
    head = np.concatenate([fabric.head, first, sink])
    room = np.concatenate([whole, np.full(2 * half, RESOLUTION)]).astype(np.int32)
    network = coo_array((room, (tail, head)), shape=(nodes + 2, nodes + 2)).tocsr()
    return float(maximum_flow(network, nodes, nodes + 1).flow_value) / scale
