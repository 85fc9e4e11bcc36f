"""The colliding all-to-all without rounding: ``python -m benchmarks.without_rounding RANKS...``.

The model of `sim.network` in fixed-point numbers of so many binary places that no
rounding reaches the answer: a difference of one unit in the last place grows by about
a third a step (`docs/performance.md`), by 2**420 in the 1,023 steps of 1,024 ranks.
What two runs with different numbers of places agree on is the exact answer, which
floating-point simulators can only scatter around.

Time is in units of one undisturbed transfer, bandwidth in units of a link's.
"""

from __future__ import annotations

import argparse
import heapq
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.fabrics import BANDWIDTH, shuffled
from benchmarks.works import MIB

__all__ = ["Exchange", "main", "seconds"]

#: Binary places, if nothing else is asked for.
PLACES = 2000


@dataclass(slots=True, eq=False)
class _Transfer:
    """A transfer on its links: rate, bytes left at ``since``, the link that limits it."""

    src: int
    step: int
    links: tuple[int, ...]
    left: int
    since: int
    rate: int = 0
    limit: int = -1
    version: int = 0
    trial: int = 0


class Exchange:
    """Pairwise all-to-all of p ranks, shuffled over sqrt(p) leaves of sqrt(p) chips.

    Every leaf has a link to each of sqrt(p) spines; the spine is the destination's
    number modulo sqrt(p). No latencies. In step k rank r sends to r + k and receives from
    r - k, and goes on when both are done.

    Parameters
    ----------
    ranks : int
        A square.
    places : int
        Binary places of all numbers.
    """

    def __init__(self, ranks: int, places: int = PLACES) -> None:
        self.ranks, self.places, self.one = ranks, places, 1 << places
        #: Closer than this is the same: 7/16 of the places are left to rounding.
        self.same = 1 << (places * 7 // 16)
        self.side = math.isqrt(ranks)
        self.place = shuffled(ranks)
        self.now = 0
        self._on: list[set[_Transfer]] = [set() for _ in range(2 * ranks + 2 * self.side**2)]
        self._step, self._parts = [0] * ranks, [0] * ranks
        self._waiting: set[tuple[int, int]] = set()
        self._ends: list[tuple[int, int, int, _Transfer]] = []
        self._dirty: set[_Transfer] = set()

    def run(self) -> int:
        """When the last transfer ends, in units of ``2**-places``."""
        for rank in range(self.ranks):
            self._go_on(rank)
        while True:
            if self._dirty:
                self._apply(self._solved(self._dirty))
                self._dirty = set()
            ended = self._next()
            if not ended:
                return self.now
            for one in ended:
                for link in one.links:
                    self._on[link].discard(one)
            for one in ended:
                self._dirty.update(g for l in one.links for g in self._on[l] if g.limit == l)
            for one in ended:
                for rank in (one.src, (one.src + one.step) % self.ranks):
                    self._parts[rank] -= 1
                    if self._parts[rank] == 0:
                        self._go_on(rank)

    def _path(self, a: int, b: int) -> tuple[int, ...]:
        p, side, spine = self.ranks, self.side, b % self.side
        if a // side == b // side:
            return a, p + b
        rise, fall = 2 * p + a // side * side + spine, 2 * p + side**2 + b // side * side + spine
        return a, rise, fall, p + b

    def _go_on(self, rank: int) -> None:
        """A rank reaches its next step; a transfer starts when its other end is there."""
        self._step[rank] += 1
        k = self._step[rank]
        if k == self.ranks:
            return
        self._parts[rank] = 2
        for src in (rank, (rank - k) % self.ranks):
            if (src, k) not in self._waiting:
                self._waiting.add((src, k))
                continue
            self._waiting.remove((src, k))
            links = self._path(self.place[src], self.place[(src + k) % self.ranks])
            started = _Transfer(src, k, links, self.one, self.now)
            self._dirty.add(started)
            for link in links:
                self._on[link].add(started)

    def _next(self) -> list[_Transfer]:
        """Those that end next, all at one instant; the clock moves there."""
        found: list[_Transfer] = []
        while self._ends and (not found or self._ends[0][0] <= self.now + self.same):
            when, _, version, one = heapq.heappop(self._ends)
            if version == one.version:
                self.now = self.now if found else when
                one.version = -1
                found.append(one)
        return found

    def _apply(self, solved: Iterable[_Transfer]) -> None:
        """New rates and ends for those whose rate has changed."""
        for one in solved:
            if one.rate and abs(one.trial - one.rate) <= self.same:
                continue
            one.left -= one.rate * (self.now - one.since) >> self.places
            one.since, one.rate = self.now, one.trial
            one.version += 1
            end = self.now + (one.left << self.places) // one.rate
            heapq.heappush(self._ends, (end, one.src * self.ranks + one.step, one.version, one))

    def _solved(self, members: set[_Transfer]) -> set[_Transfer]:
        """Max-min rates, as ``trial``, for these and those whose certificate they break."""
        while True:
            room: dict[int, int] = {}
            open_: dict[int, int] = {}
            for link in {l for one in members for l in one.links}:
                inside = self._on[link] & members
                room[link] = self.one - sum(g.rate for g in self._on[link] - inside)
                open_[link] = len(inside)
            self._fill(members, room, open_)
            joining = self._broken(members, room)
            if not joining:
                return members
            members = members | joining

    def _fill(self, members: set[_Transfer], room: dict[int, int], open_: dict[int, int]) -> None:
        """Progressive filling: the link with the lowest share settles its transfers."""
        queue = [(max(free, 0) // open_[link], link) for link, free in room.items()]
        heapq.heapify(queue)
        unsettled = set(members)
        while unsettled:
            share, link = heapq.heappop(queue)
            if not open_[link]:
                continue
            now = max(room[link], 0) // open_[link]
            if now > share:
                heapq.heappush(queue, (now, link))
                continue
            for one in self._on[link] & unsettled:
                one.trial, one.limit = share, link
                unsettled.remove(one)
                for each in one.links:
                    room[each] -= share
                    open_[each] -= 1

    def _broken(self, members: set[_Transfer], links: Iterable[int]) -> set[_Transfer]:
        """Others that are no longer limited where they were, or are faster than a member limited there."""
        joining: set[_Transfer] = set()
        for link in links:
            inside = self._on[link] & members
            others = self._on[link] - inside
            if not others:
                continue
            rates = [g.trial for g in inside] + [g.rate for g in others]
            full, fastest = sum(rates) >= self.one - self.same, max(rates)
            slowest = min((g.trial for g in inside if g.limit == link), default=fastest)
            for one in others:
                gone = one.limit == link and (not full or one.rate < fastest - self.same)
                if gone or one.rate > slowest + self.same:
                    joining.add(one)
        return joining


def seconds(ranks: int, places: int = PLACES) -> float:
    """Simulated seconds of the row ``all-to-all-shuffled`` of so many ranks.

    Examples
    --------
    >>> round(seconds(16), 12)
    0.00245366784
    """
    exchange = Exchange(ranks, places)
    units = exchange.run() * 10**18 // exchange.one
    return units / 1e18 * (64 * MIB / ranks / BANDWIDTH)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the exact answers; 2 for a number of ranks that is no square."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.without_rounding", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("ranks", nargs="+", type=int, help="squares: 64, 256, 1024")
    parser.add_argument("--places", type=int, default=PLACES, help="binary places (default: %(default)s)")
    arguments = parser.parse_args(argv)
    for ranks in arguments.ranks:
        if ranks < 4 or math.isqrt(ranks) ** 2 != ranks:
            print(f"error: ranks (={ranks}) must be a square of at least 4", file=sys.stderr)
            return 2
        print(f"{ranks:>6,} ranks, {arguments.places} places: {seconds(ranks, arguments.places):.12f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
