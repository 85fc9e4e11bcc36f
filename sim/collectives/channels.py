"""Channels: one algorithm several times at once, each in its own order of the ranks.

NCCL runs its rings and trees on several channels, each on its share of the
data, so that every one leaves a host through another chip and its NIC.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim.collectives.arguments import as_order, whole_number
from sim.collectives.beside import beside
from sim.schedule import FloatArray, IntArray, Schedule
from topologies.errors import ScheduleError

__all__ = ["channel_orders", "in_channels"]


def in_channels(
    kind: str,
    algorithm: str,
    ranks: int,
    size: float | FloatArray,
    orders: IntArray,
    build: Callable[[float | FloatArray, IntArray], Schedule],
    root: int = 0,
) -> Schedule:
    """Run one algorithm k times at once, each on 1/k of the data in its own order.

    Parameters
    ----------
    kind, algorithm, ranks, root
        As in `sim.schedule.Schedule`.
    size : float, or (p, p) matrix for all-to-all
        Bytes of the whole.
    orders : int64 array, shape (k, p)
        Rank that plays position j of the algorithm in each channel.
    build : callable
        ``build(size, order)`` gives the schedule of a channel over positions.

    Examples
    --------
    Two rings over four ranks, the second the other way round:

    >>> from sim.collectives import ring
    >>> two = in_channels("all_reduce", "ring", 4, 80.0, np.array([[0, 1, 2, 3], [3, 2, 1, 0]]),
    ...                   lambda size, order: ring.all_reduce(4, size))
    >>> two.check()
    >>> next((r.src.tolist(), r.bytes.max().item(), r.repeat) for r in two.rounds())
    ([0, 1, 2, 3, 3, 2, 1, 0], 10.0, 3)
    """
    if isinstance(size, np.ndarray):
        shares = [size[np.ix_(order, order)] / len(orders) for order in orders]
        lanes = [build(share, order) for share, order in zip(shares, orders, strict=True)]
        whole, matrix = float(size.sum(axis=1).max()), size
    else:
        lanes = [build(size / len(orders), order) for order in orders]
        whole, matrix = size, None
    return beside(kind, algorithm, ranks, whole, lanes, orders, root=root, matrix=matrix)


def channel_orders(
    what: str,
    ranks: int,
    order: npt.ArrayLike | None = None,
    channels: int | str | None = None,
    groups: IntArray | None = None,
    channel_map: str | None = None,
) -> IntArray | None:
    """Order of the ranks in each channel.

    Channel c visits the groups in the same order as the others and begins in each
    with another member, so that on hosts with a NIC for every chip no two channels
    share one: it enters a group at member c, and

    - ``"turn"``: passes c + 1, c + 2, ... and leaves by c - 1 (modulo g): for hosts
      whose chips are joined by switches or stand in a ring;
    - ``"zigzag"``: passes c + 1, c - 1, c + 2, c - 2, ... and leaves by c + g/2: for
      hosts whose chips each have a link to each other. For even g this cuts the full
      mesh into Hamiltonian paths (Walecki; Alspach, "The wonderful Walecki
      construction", 2008): g channels use every link once each way, where in turn
      they would all use those between neighbours.

    Parameters
    ----------
    what : str
        The collective and algorithm, for the error.
    ranks : int
        Number of ranks p.
    order : int array, shape (p,) or (k, p), optional
        Order of the ranks; a row for each channel says them all.
    channels : int or ``"auto"``, optional
        Number of channels k; ``"auto"`` is the size of the smallest group. By
        default one, or the rows of ``order``.
    groups : int64 array, shape (p,), optional
        Group of each rank; without them all channels have the same order, or, in
        zigzag, all ranks are one group.
    channel_map : {"turn", "zigzag"}, optional
        How a channel passes through a group; in turn if not given.

    Returns
    -------
    int64 array, shape (k, p), or None
        None where one channel runs in rank order.

    Examples
    --------
    >>> channel_orders("", 4, channels="auto", groups=np.array([0, 0, 1, 1]))
    array([[0, 1, 2, 3],
           [1, 0, 3, 2]])
    >>> channel_orders("", 4, channels=4, channel_map="zigzag")
    array([[0, 1, 3, 2],
           [1, 2, 0, 3],
           [2, 3, 1, 0],
           [3, 0, 2, 1]])
    """
    if channel_map not in (None, "turn", "zigzag"):
        raise ScheduleError(f"{what}: channel_map (={channel_map!r}) must be 'turn' or 'zigzag'")
    rows = None if order is None else as_order(what, order, ranks)
    if isinstance(channels, str):
        if channels != "auto":
            raise ScheduleError(f"{what}: channels (={channels!r}) must be a whole number >= 1, or 'auto'")
        alone = ranks if channel_map == "zigzag" else 1
        channels = alone if groups is None else int(np.unique(groups, return_counts=True)[1].min())
    count = whole_number(what, "channels", channels) if channels is not None else None
    if rows is not None and len(rows) > 1:
        if count not in (None, len(rows)):
            raise ScheduleError(f"{what}: channels (={count}) but order has {len(rows)} rows, one a channel")
        return rows
    if count in (None, 1):
        return rows
    base = np.arange(ranks) if rows is None else rows[0]
    if groups is None:
        if channel_map != "zigzag":
            return np.tile(base, (count, 1))
        groups = np.zeros(ranks, dtype=np.int64)
    _, first, inverse = np.unique(groups[base], return_index=True, return_inverse=True)
    base = base[np.argsort(first[inverse], kind="stable")]
    home = np.concatenate([np.zeros(1, dtype=np.int64), np.flatnonzero(np.diff(groups[base])) + 1])
    sizes = np.diff(np.append(home, ranks))
    start, size = np.repeat(home, sizes), np.repeat(sizes, sizes)
    within = np.arange(ranks) - start
    if channel_map == "zigzag":
        within = np.where(within % 2, (within + 1) // 2, -(within // 2))
    return np.stack([base[start + (within + c) % size] for c in range(count)])
