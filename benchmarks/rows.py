"""The rows of the table: which works at which sizes, and what they must show."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["COLD", "GROWN", "GROWTH", "ROWS", "Row", "row"]

#: What the points of the growth figure, and what the first run costs, are asked for by.
GROWN, COLD = "growth", "cold"

#: Ranks at which growth is measured.
GROWTH = tuple(1024 << k for k in range(7))

#: Half of the last digit that SimGrid's answers are given to, seconds.
DIGITS = 5e-10


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    what : str
        For people.
    family : str
        Name in `benchmarks.works.FAMILIES`.
    ranks : int
    seconds, megabytes : float
        Targets, infinite where there is none: median time, peak memory of the process.
    absolute, relative : float
        How far the answer may be from the oracle's, in seconds and as a share; the
        larger counts.
    """

    what: str
    family: str
    ranks: int
    seconds: float = math.inf
    megabytes: float = math.inf
    absolute: float = 0.0
    relative: float = 1e-9

    @property
    def name(self) -> str:
        """What `python -m benchmarks` calls it."""
        return f"{self.family}-{self.ranks}"

    def agrees(self, answer: float, oracle: float) -> bool | None:
        """Whether an answer is the oracle's; None where there is no oracle.

        Examples
        --------
        >>> one = Row("", "ring-star", 8, absolute=5e-10, relative=0.0)
        >>> one.agrees(1.0000000004, 1.0), one.agrees(1.000000001, 1.0), one.agrees(1.0, math.nan)
        (True, False, None)
        """
        if math.isnan(oracle):
            return None
        return abs(answer - oracle) <= max(self.absolute, self.relative * oracle)


def _ring(ranks: int, jumped: float, exact: float, megabytes: float = math.inf) -> tuple[Row, ...]:
    work = f"ring 64 MiB, {ranks:,} ranks"
    return (
        Row(f"{work}, star, fast-forward", "ring-star", ranks, jumped),
        Row(f"{work}, fat tree, fast-forward", "ring-tree", ranks, jumped),
        Row(f"{work}, star, every transfer an event", "ring-star-exact", ranks, exact, megabytes),
        Row(f"{work}, fat tree, every transfer an event", "ring-tree-exact", ranks, exact, megabytes),
    )


def _shuffled(ranks: int, **more: float) -> Row:
    what = f"all-to-all 64 MiB, {ranks:,} ranks at random places of a fat tree"
    return Row(what, "all-to-all-shuffled", ranks, **more)


def _graph(algorithm: str, ranks: int, seconds: float, megabytes: float) -> Row:
    what = f"{algorithm.replace('_', ' ')} 1 GiB, {ranks:,} chips, three-tier fat tree, graph included"
    return Row(what, f"graph-{algorithm}", ranks, seconds, megabytes)


#: In the order of the table.
ROWS: tuple[Row, ...] = (
    *_ring(1024, 0.03, 0.8, 300),
    *_ring(4096, 0.1, 14.0),
    Row("ring 64 MiB, 1,024 ranks, links +-5 %, exact", "ring-uneven-exact", 1024, 1.0),
    Row("ring 64 MiB, 1,024 ranks, links +-5 %, periodic regime", "ring-uneven", 1024, 0.3),
    _shuffled(64, absolute=DIGITS, relative=0.0),
    _shuffled(1024, seconds=1.0, megabytes=300, relative=2e-3),
    _shuffled(4096, seconds=16.0),
    *(
        _graph(algorithm, 65_536, 5.0, 2000)
        for algorithm in ("ring", "hierarchical", "halving_doubling", "double_binary_tree")
    ),
    _graph("ring", 1_048_576, 90.0, 16_000),
    Row("two all-reduces crossing, 512 ranks each, 1 ms apart, 4:1", "crossing", 1024, 3.0, relative=0.0),
    Row("sweep of 16 machines x 12 sizes x 3 messages, graphs included", "sweep", 16_384, 45.0),
)


def row(name: str) -> Row:
    """The row of that name.

    Raises
    ------
    UnknownNameError
    """
    from topologies.errors import nearest

    known = {one.name: one for one in ROWS}
    if name not in known:
        raise nearest("benchmark", name, [*known, GROWN, COLD])
    return known[name]
