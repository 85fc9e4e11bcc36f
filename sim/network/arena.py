"""Room in arrays that grow: which stretches of slots are taken."""

from __future__ import annotations

import bisect

__all__ = ["Arena"]


class Arena:
    """First-fit allocation of consecutive slots.

    Examples
    --------
    >>> arena = Arena(10)
    >>> arena.take(4), arena.take(8), arena.size
    (0, 4, 20)
    >>> arena.give(0, 4)
    >>> arena.take(3)
    0
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: list[tuple[int, int]] = [(0, size)] if size else []

    def take(self, count: int) -> int:
        """First slot of ``count`` free ones; `size` grows where there is no room."""
        if count == 0:
            return 0
        for i, (first, room) in enumerate(self._free):
            if room >= count:
                self._free[i : i + 1] = [(first + count, room - count)] if room > count else []
                return first
        grown = max(2 * self.size, self.size + count)
        self.give(self.size, grown - self.size)
        self.size = grown
        return self.take(count)

    def give(self, first: int, count: int) -> None:
        """Free slots that were taken."""
        if count == 0:
            return
        i = bisect.bisect(self._free, (first, count))
        self._free.insert(i, (first, count))
        if i + 1 < len(self._free) and first + count == self._free[i + 1][0]:
            self._free[i : i + 2] = [(first, count + self._free[i + 1][1])]
        if i > 0 and sum(self._free[i - 1]) == first:
            before = self._free[i - 1]
            self._free[i - 1 : i + 1] = [(before[0], before[1] + self._free[i][1])]
