"""The script of one period, and the state that everybody who follows it has later.

Written by the event loop (`kernels.script`), followed window by window by `transient`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim.network.kernels import state
from sim.network.kernels.state import State
from sim.schedule import IntArray

__all__ = ["Flags", "Script", "delay"]

Flags = npt.NDArray[np.bool_]


class Script:
    """What a round's transfers and ranks did in the period that has just ended.

    Attributes
    ----------
    state : State
    q, first, count, base, members : int
        The round; its first transfer and how many; the job's first rank slot and how many.
    begun, period : int
        When the period ended, and how long it was (picoseconds).
    transfers, ranks, account : int64 arrays
        Their rows of the state, now.
    here : bool array, shape (members,)
        Ranks that were in the round.
    expected : int64 array, shape (members,)
        When each came to its repetition.
    furthest : int
        Repetition of who is furthest.
    """

    def __init__(self, s: State) -> None:
        self.state = s
        c = s.counters
        self.q = int(c[state.SAVED_ROUND])
        row = s.rounds[self.q]
        self.first, self.count = int(row[state.FIRST_TRANSFER]), int(row[state.COUNT])
        self.base, self.members = int(row[state.BASE]), int(row[state.MEMBERS])
        self.begun = int(c[state.NOW])
        self.period = self.begun - int(c[state.SAVED_AT])
        mine, ranks = slice(self.first, self.first + self.count), slice(self.base, self.base + self.members)
        self.transfers, self.ranks, self.account = s.transfers[mine], s.ranks[ranks], s.account[ranks]
        self.here = (self.ranks[:, state.ROUND] == self.q) & (self.ranks[:, state.STANDING] == state.RUNNING)
        self.expected = s.came[ranks, state.CAME_AT].copy()
        self.furthest = int(self.ranks[self.here, state.REPETITION].max(initial=0))
        # Of links that limit alike, and causes that came at once, those noted now: the others may no longer
        # be any, where somebody has done otherwise in this period.
        for noted in (state.LIMIT, state.CRITICAL):
            s.saved_transfers[: self.count, noted] = self.transfers[:, noted]
        self._often = self.transfers[:, state.DONE] - s.saved_transfers[: self.count, state.DONE]
        # Accounts before the period, and by how much each grew in it.
        self._was, self._grown = s.saved_account[: self.members].reshape(self.members, 2, -1).swapaxes(0, 1)
        self._grown[:] = self.account - self._was
        self._sort()

    def end(self, n: int) -> int:
        """When the n-th window ends, in picoseconds."""
        return self.begun + n * self.period

    def place(self, which: Flags, n: int) -> None:
        """Give transfers the state that they have at the end of the n-th window by the script."""
        rows = self.state.saved_transfers[: self.count][which]
        delay(rows, (n + 1) * self.period)
        rows[:, state.DONE] += (n + 1) * self._often[which]
        self.transfers[which] = rows

    def place_ranks(self, which: Flags, n: int) -> None:
        """Give ranks the state that they have at the end of the n-th window by the script.

        Who was not in the round stays as it was when the period ended, wherever it went within it.
        """
        which = which & self.here
        rows = self.state.saved_ranks[: self.members][which]
        rows[:, state.REPETITION] += n + 1
        rows[:, state.PART_AT] += (n + 1) * self.period
        self.ranks[which] = rows
        self.account[which] = self._was[which] + (n + 1) * self._grown[which]

    def _sort(self) -> None:
        """Put the lines of each transfer side by side."""
        s, lines = self.state, int(self.state.counters[state.WRITTEN])
        order = np.argsort(s.script[:lines, state.WHO], kind="stable")
        s.script[:lines] = s.script[:lines][order]
        s.script_rate[:lines] = s.script_rate[:lines][order]
        slots = np.arange(s.follow.shape[0])
        s.follow[:, state.FIRST_LINE] = np.searchsorted(s.script[:lines, state.WHO], slots)


def delay(rows: IntArray, by: int) -> None:
    """Let transfers do what they do so many picoseconds later."""
    busy = rows[:, state.STATUS] != state.IDLE
    rows[busy, state.START] += by
    rows[busy, state.ANCHOR] += by
    rows[busy & (rows[:, state.END] >= 0), state.END] += by
