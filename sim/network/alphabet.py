"""The different transfers of a job, and in which of its rounds each stands.

A schedule may repeat few transfers in many rounds: the stages of a pipeline, step
after step. Its *alphabet* is the parts that its rounds are made of, each once; a
round is then a line of parts. Transfers of parts that stand in the same rounds have
the same *pattern*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from sim.network.job import Job
from sim.schedule import FloatArray, IntArray, Round
from sim.transfers import Loaded, load

__all__ = ["Alphabet", "Line"]

#: Transfers of the largest alphabet that is gathered; loaded it takes a gigabyte.
MOST = 2_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """A round: the numbers of its parts in order, and what else a round says."""

    parts: tuple[int, ...]
    reduce: bool
    repeat: int
    label: str


@dataclass(slots=True, eq=False)
class Alphabet:
    """Parts and lines of a job.

    Attributes
    ----------
    parts : list of Round
    lines : list of Line
    work : int
        Transfers times repetitions.
    """

    parts: list[Round] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    work: int = 0

    @classmethod
    def of(cls, job: Job) -> Alphabet | None:
        """Gather it; None where it is too large, or a round has an order of its own."""
        found = cls()
        known: dict[int, int] = {}
        size = 0
        for round_ in job.rounds():
            if round_.after is not None or round_.adds is not None:
                return None
            parts: Iterable[Round] = (round_,)
            if round_.parts is not None and job.costs.separable:
                parts = round_.parts
            line = []
            for part in parts:
                if id(part) not in known:
                    known[id(part)] = len(found.parts)
                    found.parts.append(part)
                    size += part.src.size
                line.append(known[id(part)])
            if size > MOST:
                return None
            found.lines.append(Line(tuple(line), round_.reduce, round_.repeat, round_.label))
            found.work += round_.repeat * round_.transfers
        return found

    @property
    def starts(self) -> IntArray:
        """Number of the first transfer of each part, and how many there are in all."""
        return np.cumsum([0, *(part.src.size for part in self.parts)])

    def largest(self, count: int) -> Alphabet:
        """The alphabet of its largest parts alone, one after the other."""
        parts = sorted(self.parts, key=lambda part: -part.src.size)[:count]
        lines = [Line((i,), part.reduce, 1, part.label) for i, part in enumerate(parts)]
        return Alphabet(parts, lines, sum(part.src.size for part in parts))

    def patterns(self) -> IntArray:
        """Pattern of each transfer, shape (transfers,)."""
        where: list[list[int]] = [[] for _ in self.parts]
        for number, line in enumerate(self.lines):
            for part in line.parts:
                where[part].append(number)
        names: dict[tuple[int, ...], int] = {}
        of_part = [names.setdefault(tuple(each), len(names)) for each in where]
        return np.repeat(np.array(of_part, dtype=np.int64), np.diff(self.starts))

    def load(self, job: Job, capacity: FloatArray) -> list[Loaded]:
        """Every part on the fabric."""
        found: dict[int, Loaded] = {}
        # Those that add apart from those that copy: what is alike is loaded in one go.
        for reduce in (True, False):
            which = [i for i, part in enumerate(self.parts) if part.reduce == reduce]
            rounds = (replace(self.parts[i], parts=None, payload=None) for i in which)
            found.update(zip(which, load(rounds, job.router, job.nodes, capacity, job.costs), strict=True))
        return [found[i] for i in range(len(self.parts))]
