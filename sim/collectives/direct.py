"""Direct: from one rank to another without a way-station.

Send is one transfer. All-to-all with a window of w: in step t every rank sends
to the w ranks at distance t w + 1 to t w + w and receives from as many, so that
ceil((p-1)/w) steps; a window of 1 is pairwise, of p - 1 the mesh. Through one
port: ceil((p-1)/w) alpha + (p-1)/p n beta. ASTRA-sim's ``direct8`` and HCCL's
full mesh with limited concurrency are such windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from sim.collectives.arguments import whole_number
from sim.collectives.payload import even, everything
from sim.collectives.registry import algorithm
from sim.schedule import FloatArray, IntArray, Payload, Round, Schedule
from topologies.errors import ScheduleError

__all__ = ["WINDOW", "all_to_all", "exchange", "send"]

#: Partners at once if the caller does not say: as many as a common host has chips.
WINDOW = 8


@algorithm("send", "direct")
def send(ranks: int, size: float, source: int = 0, destination: int | None = None) -> Schedule:
    """Send ``size`` bytes from one rank to another: alpha + n beta.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes.
    source, destination : int
        The two ranks; the destination is the last rank if not given.

    Raises
    ------
    ScheduleError
        If both are the same rank.

    Examples
    --------
    >>> send(2, 100.0).check()
    """
    target = ranks - 1 if destination is None else destination
    if source == target:
        raise ScheduleError(f"send by direct: source and destination are both rank {source}; give two ranks")

    def rounds() -> Iterator[Round]:
        yield Round(
            np.array([source]),
            np.array([target]),
            np.array([size]),
            False,
            1,
            lambda k: everything(1, 1),
            "send",
        )

    return Schedule(
        "send", "direct", ranks, size, rounds, chunks=1, root=source, options={"destination": target}
    )


@algorithm("all_to_all", "direct")
def all_to_all(ranks: int, size: float | FloatArray, window: int = WINDOW) -> Schedule:
    """All-to-all(v), a window of partners at a time.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float or float64 array, shape (p, p)
        Bytes of a rank's whole buffer, or the bytes from i (row) to j (column);
        pairs with nothing to send have no transfer.
    window : int
        Partners w that a rank sends to at the same time, >= 1.

    Raises
    ------
    ScheduleError
        If the window is not a whole number >= 1.

    Examples
    --------
    >>> all_to_all(6, 600.0, window=2).check()
    >>> [round.src.size for round in all_to_all(6, 600.0, window=2).rounds()]
    [12, 12, 6]
    """
    width = whole_number("all_to_all by direct", "window", window)

    def steps() -> Iterator[tuple[IntArray, IntArray, str]]:
        here = np.arange(ranks)
        for first in range(1, ranks, width):
            strides = np.arange(first, min(first + width, ranks))
            src = np.tile(here, strides.size)
            yield src, (src + np.repeat(strides, ranks)) % ranks, f"strides {first} to {strides[-1]}"

    return exchange("direct", ranks, size, steps, options={"window": width})


def exchange(
    algorithm: str,
    ranks: int,
    size: float | FloatArray,
    steps: Callable[[], Iterable[tuple[IntArray, IntArray, str]]],
    *,
    groups: IntArray | None = None,
    options: dict[str, Any] | None = None,
) -> Schedule:
    """All-to-all(v) in which every piece goes straight to its receiver.

    Parameters
    ----------
    algorithm, ranks, groups, options
        As in `sim.schedule.Schedule`.
    size : float or float64 array, shape (p, p)
        Bytes of a rank's whole buffer, or the bytes from i (row) to j (column).
    steps : callable
        Gives the steps anew: who sends (src) to whom (dst), and a label. Pairs
        with nothing to send are left out.

    Examples
    --------
    >>> swap = [(np.array([0, 1]), np.array([1, 0]), "swap")]
    >>> exchange("by hand", 2, np.array([[0.0, 5.0], [0.0, 0.0]]), lambda: swap).totals()
    (1, 5.0)
    """
    matrix = size if isinstance(size, np.ndarray) else None
    most = float(size) if matrix is None else float(matrix.sum(axis=1).max())

    def rounds() -> Iterator[Round]:
        for everyone, partner, label in steps():
            src, dst, each = everyone, partner, np.full(everyone.size, most / ranks)
            if matrix is not None:
                busy = matrix[src, dst] > 0
                src, dst = src[busy], dst[busy]
                each = matrix[src, dst]
            if src.size:
                yield Round(src, dst, each, False, 1, _Pieces(src, dst, ranks), label)

    return Schedule(
        "all_to_all",
        algorithm,
        ranks,
        most,
        rounds,
        chunks=ranks * ranks,
        chunk_bytes=None if matrix is None else matrix.ravel(),
        groups=groups,
        options=options or {},
    )


class _Pieces:
    """Payload: each transfer carries what its sender has for its receiver."""

    __slots__ = ("dst", "ranks", "src")

    def __init__(self, src: IntArray, dst: IntArray, ranks: int) -> None:
        self.src, self.dst, self.ranks = src, dst, ranks

    def __call__(self, _: int) -> Payload:
        return even(self.src * self.ranks + self.dst)
