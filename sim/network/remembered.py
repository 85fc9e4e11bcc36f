"""A schedule's rounds, made and loaded once where they are few.

A network may look at a job several times: without contention, for what is alike, and
event by event. Making the rounds of a small schedule takes as long as simulating it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from sim.schedule import Round
from sim.transfers import Loaded

__all__ = ["Remembered"]

#: Transfers of rounds that are kept at most: a dozen megabytes; and of loaded ones.
KEPT = 524_288
KEPT_LOADED = 131_072

One = TypeVar("One", Round, Loaded)


class Remembered(Generic[One]):
    """Iterators over the rounds of a schedule, loaded or not, which share what one of them has made.

    Parameters
    ----------
    rounds : callable
        Gives a fresh iterator over the rounds.

    Examples
    --------
    >>> import numpy as np
    >>> one = Round(np.array([0]), np.array([1]), np.array([8.0]))
    >>> rounds = Remembered(lambda: iter([one]))
    >>> next(rounds()) is next(rounds())
    True
    """

    def __init__(self, rounds: Callable[[], Iterator[One]]) -> None:
        self._fresh: Callable[[], Iterator[One]] = rounds
        self._later: Iterator[One] | None = None
        self._kept: list[One] | None = []
        self._left: float = KEPT

    def __call__(self) -> Iterator[One]:
        """All rounds, from the first on."""
        at = 0
        while self._kept is not None:
            if at == len(self._kept):
                later = self._later = self._fresh() if self._later is None else self._later
                try:
                    following = next(later, None)
                except BaseException:
                    self._kept = None  # it would seem to have ended there
                    raise
                if following is None:
                    return
                if isinstance(following, Round):
                    self._left -= following.transfers
                else:
                    self._left -= following.round.src.size * (KEPT / KEPT_LOADED)
                if self._left < 0:
                    self._kept = self._later = None
                    yield following
                    yield from later
                    return
                self._kept.append(following)
            at += 1
            yield self._kept[at - 1]
        yield from islice(self._fresh(), at, None)
