"""Steps of a pipeline taken together: one round, of which each transfer has a part in some repetitions.

A pipeline of S stages and C pieces is S + C - 1 steps. C - S + 1 of them are one round that
repeats; in the others not all stages are busy yet, or no longer. To the event loop all of
them are repetitions of the round with all stages, where each transfer stands in C
repetitions in a row, its *span*. So transfers are written into its arrays once, not
once for every step.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from sim.schedule import Assembled, IntArray, Round
from sim.transfers import Costs

__all__ = ["Stretch", "separate", "stretches", "together"]

Step = TypeVar("Step")

#: Repetitions of a stretch at most: the event loop keeps spans in 32 bits.
MOST = 2**31 - 1

#: Bytes of which it is asked whether a receiver takes time to add them.
MUCH = 1e12


@dataclass(slots=True, eq=False)
class Stretch(Generic[Step]):
    """Steps one after the other.

    Attributes
    ----------
    steps : list of (step, int, int)
        Each with how many parts it has and how often it is done.
    at : dict
        From which repetition on each part stands in them, and before which no longer.
    repeat : int
        Repetitions of all steps.
    """

    steps: list[tuple[Step, int, int]] = field(default_factory=list)
    at: dict[Hashable, list[int]] = field(default_factory=dict)
    repeat: int = 0

    def takes(self, parts: tuple[Hashable, ...]) -> bool:
        """Whether a step of these parts may follow.

        It shares some, none comes back, and there may still be a step with all parts.
        """
        if len(set(parts)) < len(parts):
            return False
        if not self.steps:
            return True
        known = [part for part in parts if part in self.at]
        ended = len(known) < len(self.at)
        return (
            bool(known)
            and not (ended and len(known) < len(parts))
            and all(self.at[part][1] == self.repeat for part in known)
        )

    def add(self, step: Step, parts: tuple[Hashable, ...], repeat: int) -> None:
        """Append a step."""
        self.steps.append((step, len(parts), repeat))
        for part in parts:
            self.at.setdefault(part, [self.repeat, 0])[1] = self.repeat + repeat
        self.repeat += repeat

    def fullest(self) -> tuple[Step, tuple[int, int]] | None:
        """The step with all parts, from which repetition on it is done, and before which.

        None where no step has all, where it is the only one, where another one is done more than once,
        or where the repetitions are more than `MOST`.
        """
        first, others = 0, len(self.steps) - 1
        for step, count, repeat in self.steps:
            if count == len(self.at):
                fits = others > 0 and repeat > 1 and self.repeat - repeat == others and self.repeat <= MOST
                return (step, (first, first + repeat)) if fits else None
            first += repeat
        return None

    def span(self, parts: Sequence[Hashable], sizes: Sequence[int]) -> IntArray:
        """First repetition of each transfer, and the one behind its last, shape (transfers, 2)."""
        return np.repeat(np.array([self.at[part] for part in parts], dtype=np.int64), sizes, axis=0)


def stretches(steps: Iterable[tuple[Step, tuple[Hashable, ...] | None, int]]) -> Iterator[Stretch[Step]]:
    """Cut steps, their parts (None: not of parts) and their repetitions into stretches.

    Examples
    --------
    >>> steps = [("a", (1,), 1), ("ab", (1, 2), 3), ("b", (2,), 1), ("c", None, 1)]
    >>> [(one.repeat, one.fullest(), one.at) for one in stretches(steps)]
    [(5, ('ab', (1, 4)), {1: [0, 4], 2: [1, 5]}), (1, None, {})]
    """
    found: Stretch[Step] = Stretch()
    for step, parts, repeat in steps:
        if found.steps and (parts is None or not found.takes(parts)):
            yield found
            found = Stretch()
        if parts is None or not found.takes(parts):
            yield Stretch([(step, 0, repeat)], {}, repeat)
            continue
        found.add(step, parts, repeat)
    if found.steps:
        yield found


def separate(round_: Round) -> bool:
    """Whether each transfer of a round is what it is whatever others stand in the round."""
    return all(
        part.after is None and part.seconds is None and part.trees is None and part.adds is None
        for part in (round_, *(round_.parts or ()))
    )


def adds(costs: Costs) -> bool:
    """Whether receivers take time to add what arrives, which is a matter of the round."""
    return bool(costs.adding_ps(np.array([MUCH]))[0] > 0)


def together(
    rounds: Iterable[Round], costs: Costs
) -> Iterator[tuple[Round, IntArray | None, tuple[int, int] | None]]:
    """The rounds of a schedule, steps of a pipeline as one.

    With the span of each transfer of such a round, and in which of its repetitions all stages are busy.
    """
    alone = not costs.separable or adds(costs)

    def steps() -> Iterator[tuple[Round, tuple[Hashable, ...] | None, int]]:
        for one in rounds:
            plain = one.parts is None or alone or not separate(one)
            yield one, None if plain else tuple(map(id, one.parts or ())), one.repeat

    for stretch in stretches(steps()):
        fullest = stretch.fullest()
        if fullest is None:
            yield from ((one, None, None) for one, *_ in stretch.steps)
            continue
        one, whole = fullest
        parts = one.parts or ()
        span = stretch.span(list(map(id, parts)), [part.src.size for part in parts])
        yield Assembled.of(parts, stretch.repeat, None, one.label), span, whole
