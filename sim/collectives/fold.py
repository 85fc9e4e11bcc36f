"""The fold: make any number of ranks a power of two.

Of the first 2 (p - p') ranks, p' = 2^floor(log2 p), every even one adds its
buffer to its odd neighbour's and sits out; when the p' others are done it gets
the result (Thakur, Rabenseifner and Gropp 2005, as in MPICH). The fold costs
2 (alpha + n beta) more, and n gamma for the sum.
"""

from __future__ import annotations

import numpy as np

from sim.collectives import binomial
from sim.collectives.compose import Phase, compose
from sim.schedule import Schedule

__all__ = ["core_size", "folded"]


def core_size(ranks: int) -> int:
    """Largest power of two p' <= p.

    Examples
    --------
    >>> core_size(13), core_size(16)
    (8, 16)
    """
    return 1 << (ranks.bit_length() - 1)


def folded(core: Schedule, ranks: int) -> Schedule:
    """All-reduce over any number of ranks by one over a power of two of them.

    Parameters
    ----------
    core : Schedule
        All-reduce over ``core_size(ranks)`` ranks.
    ranks : int
        Number of ranks p.

    Returns
    -------
    Schedule
        The core itself if p is a power of two.
    """
    extra = ranks - core.ranks
    if not extra:
        return core
    pairs = np.arange(2 * extra).reshape(extra, 2)
    inside = np.concatenate([pairs[:, 1], np.arange(2 * extra, ranks)])[None, :]
    phases = [
        Phase(binomial.reduce(2, core.size, root=1), pairs, label="fold"),
        Phase(core, inside),
        Phase(binomial.broadcast(2, core.size, root=1), pairs, label="unfold"),
    ]
    return compose(core.kind, core.algorithm, ranks, core.size, phases)
