"""Time: integer picoseconds inside, seconds outside.

An int64 of picoseconds reaches 106 days. Ten times 0.1 s is one second here,
which it is not in floats; and a duration that depends on the state alone is
the same at every instant, which fast-forwarding rests on.
"""

from __future__ import annotations

import math
from heapq import heappush
from typing import Any

import simpy
from simpy.events import NORMAL, EventPriority

from topologies.errors import CapacityError, UnitError

__all__ = ["FOREVER", "LATEST", "PS_PER_SECOND", "TICK", "Clock", "picoseconds", "seconds"]

PS_PER_SECOND = 1_000_000_000_000

#: "Never", in picoseconds.
FOREVER = 2**63 - 1

#: The last instant a simulation may reach: 53 days, half of the int64 range,
#: so that a sum of two instants never overflows.
LATEST = 2**62

#: Share of a picosecond by which a duration may exceed a whole number of them
#: before it is rounded up: rounding in a float's last bit must not cost one.
#: An odd number on purpose, so that no fraction of bytes lands on it.
TICK = 0.000912


def picoseconds(duration: float, name: str = "time") -> int:
    """Seconds as whole picoseconds, to the nearest.

    Raises
    ------
    UnitError
        If the duration is not a finite number of seconds, or negative.
    CapacityError
        If it is beyond the 53 days that a simulation may last.

    Examples
    --------
    >>> picoseconds(1.5e-6)
    1500000
    """
    if not math.isfinite(duration) or duration < 0:
        raise UnitError(f"{name} (={duration}) must be a finite number of seconds >= 0")
    if duration * PS_PER_SECOND > LATEST:
        raise CapacityError(f"{name} (={duration:g} s) is beyond the 53 days a simulation may last")
    return round(duration * PS_PER_SECOND)


def seconds(ps: int) -> float:
    """Picoseconds as seconds.

    Examples
    --------
    >>> seconds(1500000)
    1.5e-06
    """
    return ps / PS_PER_SECOND


class Clock(simpy.Environment):
    """A SimPy environment whose time is exact: integer picoseconds inside.

    ``now``, ``timeout(delay)`` and ``run(until)`` speak seconds like every other
    SimPy programme; the event queue holds integers.

    Examples
    --------
    >>> clock = Clock()
    >>> def ten_tenths(clock):
    ...     for _ in range(10):
    ...         yield clock.timeout(0.1)
    >>> _ = clock.process(ten_tenths(clock))
    >>> clock.run()
    >>> clock.now == 1.0
    True
    """

    _now: int

    def __init__(self) -> None:
        super().__init__(initial_time=0)

    @property
    def now(self) -> float:
        """The current time in seconds."""
        return self._now / PS_PER_SECOND

    @property
    def now_ps(self) -> int:
        """The current time in picoseconds."""
        return self._now

    def peek_ps(self) -> int:
        """Instant of the next event in picoseconds, or `FOREVER`."""
        return int(self._queue[0][0]) if self._queue else FOREVER

    def peek(self) -> float:
        """Instant of the next event in seconds, or infinity."""
        return self._queue[0][0] / PS_PER_SECOND if self._queue else math.inf

    def schedule(self, event: Any, priority: Any = NORMAL, delay: Any = 0) -> None:
        """Queue an event ``delay`` seconds from now.

        Raises
        ------
        KeyboardInterrupt
            If the event is a process that came to its end by it: at once. In its turn
            it might come too late, behind what the simulation runs until.
        """
        if event._ok is False and isinstance(event._value, KeyboardInterrupt):
            raise event._value
        self.schedule_ps(event, picoseconds(delay, "delay") if delay else 0, priority)

    def schedule_ps(self, event: Any, delay: int, priority: int = NORMAL) -> None:
        """Queue an event ``delay`` picoseconds from now."""
        heappush(self._queue, (self._now + delay, EventPriority(priority), next(self._eid), event))

    def clear(self) -> None:
        """Forget all events that have not happened yet."""
        self._queue.clear()

    def timeout_ps(self, delay: int, priority: int = NORMAL) -> simpy.Event:
        """An event that happens ``delay`` picoseconds from now.

        Unlike SimPy's own timeouts it may have a priority below all others, so
        that a process can wait for the end of the instant.
        """
        event = simpy.Event(self)
        event._ok, event._value = True, None
        self.schedule_ps(event, delay, priority)
        return event
