"""Direct: one transfer from one rank to another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.payload import everything
from sim.collectives.registry import algorithm
from sim.schedule import Round, Schedule
from topologies.errors import ScheduleError

__all__ = ["send"]


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
