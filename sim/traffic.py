"""Who sends how much to whom, and how busy the way between them is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.fabric import Fabric
from sim.plan import Plan
from sim.schedule import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from sim.results import Run

__all__ = ["pairs"]


def pairs(run: Run) -> pd.DataFrame:
    """The pairs of chips between which a run has moved bytes.

    Parameters
    ----------
    run : Run

    Returns
    -------
    DataFrame
        Columns ``src``, ``dst`` (ranks), ``bytes`` (payload over the whole run) and
        ``utilisation``: that of the busiest link on the path between them, 0 to 1. An
        in-network transfer counts for the pair it is noted under.

    Examples
    --------
    >>> import sim, topologies
    >>> run = sim.all_reduce(topologies.ring(4, bandwidth="50 GB/s", latency="0 s"), "4 MB",
    ...                      algorithm="ring", library="ideal")
    >>> pairs(run).to_dict("records")[0]  # 6 steps of a quarter; its one link is never idle
    {'src': 0, 'dst': 1, 'bytes': 6000000.0, 'utilisation': 1.0}
    """
    import pandas as pd

    sent = _sent(run.plan)
    src, dst = np.nonzero(sent)
    return pd.DataFrame(
        {
            "src": src,
            "dst": dst,
            "bytes": sent[src, dst],
            "utilisation": _busiest(run.fabric, run.plan, run.utilisation, src, dst),
        }
    )


def _sent(plan: Plan) -> FloatArray:
    """Bytes from each rank to each, shape (p, p)."""
    sent = np.zeros((plan.nodes.size, plan.nodes.size))
    for round_ in plan.schedule.rounds():
        np.add.at(sent, (round_.src, round_.dst), round_.repeat * round_.bytes)
    return sent


def _busiest(
    fabric: Fabric, plan: Plan, utilisation: FloatArray, src: np.ndarray, dst: np.ndarray
) -> FloatArray:
    if not src.size:
        return np.zeros(0)
    paths = plan.router.route(plan.nodes[src], plan.nodes[dst])
    used: FloatArray = np.maximum.reduceat(utilisation[paths.link], paths.start[:-1])
    # The shares of a sprayed path, summed over transfers, may end a rounding above one.
    return np.round(used, 12)
