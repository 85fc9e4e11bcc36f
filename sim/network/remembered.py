"""A schedule's rounds, made once where they are few.

A network may look at a job several times: without contention, for what is alike, and
event by event. Making the rounds of a small schedule takes as long as simulating it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from sim.schedule import Round

__all__ = ["Remembered"]

#: Transfers that are kept at most: a dozen megabytes.
KEPT = 524_288


class Remembered:
    """Iterators over the rounds of a schedule, which share what one of them has made.

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

    def __init__(self, rounds: Callable[[], Iterator[Round]]) -> None:
        self._fresh = rounds
        self._later: Iterator[Round] | None = None
        self._kept: list[Round] | None = []
        self._size = 0

    def __call__(self) -> Iterator[Round]:
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
                self._size += following.src.size
                if self._size > KEPT:
                    self._kept = self._later = None
                    yield following
                    yield from later
                    return
                self._kept.append(following)
            at += 1
            yield self._kept[at - 1]
        yield from islice(self._fresh(), at, None)
