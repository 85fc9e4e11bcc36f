"""Time: whole picoseconds inside, seconds outside, as exact at the end of a run as at its beginning."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from sim.clock import FOREVER, LATEST, PS_PER_SECOND, Clock, picoseconds, seconds
from topologies.errors import CapacityError, UnitError


def test_picoseconds_are_the_nearest() -> None:
    assert picoseconds(0.4e-12) == 0
    assert picoseconds(0.6e-12) == 1
    assert picoseconds(1.5e-6) == 1_500_000
    assert picoseconds(86400) == 86400 * PS_PER_SECOND


@given(st.integers(0, 2**52))
def test_there_and_back(ps: int) -> None:
    """Exact as long as a float of seconds holds a picosecond: 75 minutes."""
    assert picoseconds(seconds(ps)) == ps


@pytest.mark.parametrize("wrong", [-1e-12, float("nan"), float("inf"), -float("inf")])
def test_what_is_no_duration_is_refused(wrong: float) -> None:
    with pytest.raises(UnitError, match=r"patience \(=.*\) must be a finite number of seconds >= 0"):
        picoseconds(wrong, "patience")


def test_time_ends() -> None:
    """At 2**62 ps, 53 days; two such instants still add up within int64."""
    assert picoseconds(LATEST / PS_PER_SECOND) == LATEST
    with pytest.raises(CapacityError, match="53 days"):
        picoseconds(1.01 * LATEST / PS_PER_SECOND)
    assert 2 * LATEST - 1 <= FOREVER == 2**63 - 1


def test_durations_add_up_without_rounding() -> None:
    """A day and ten million thirds of a nanosecond later it is that, not a float's idea of it."""
    clock = Clock()
    log: list[int] = []

    def steps() -> Generator[simpy.Event, Any, None]:
        yield clock.timeout(86400)
        for _ in range(1000):
            yield clock.timeout(0.1)
        yield clock.timeout_ps(333)
        log.append(clock.now_ps)

    clock.process(steps())
    clock.run()
    assert log == [86500 * PS_PER_SECOND + 333]
    assert clock.now == 86500.000000000333


def test_run_until_a_time() -> None:
    clock = Clock()
    seen: list[float] = []
    clock.timeout(1e-6).callbacks.append(lambda _: seen.append(clock.now))
    clock.timeout(2e-6).callbacks.append(lambda _: seen.append(clock.now))
    assert clock.peek_ps() == 1_000_000
    assert clock.peek() == 1e-6
    clock.run(until=1.5e-6)
    assert seen == [1e-6]
    assert clock.now_ps == 1_500_000
    clock.run()
    assert seen == [1e-6, 2e-6]
    assert clock.peek_ps() == FOREVER
    assert clock.peek() == float("inf")


def test_events_of_one_instant_keep_their_order() -> None:
    """As scheduled; but those of a lower priority come last, whoever schedules meanwhile."""
    clock = Clock()
    log: list[str] = []

    def note(word: str) -> Any:
        return lambda _: log.append(word)

    clock.timeout_ps(5, 2).callbacks.append(note("last"))
    clock.timeout_ps(5).callbacks.append(note("a"))
    b = clock.timeout_ps(5)
    b.callbacks.append(lambda _: clock.timeout_ps(0).callbacks.append(note("c")))
    b.callbacks.append(note("b"))
    clock.run()
    assert log == ["a", "b", "c", "last"]


def test_simpy_as_usual() -> None:
    """Conditions, resources, values and interrupts work on the clock."""
    clock = Clock()
    desk = simpy.Resource(clock, capacity=1)
    log: list[tuple[str, float]] = []

    def visit(name: str) -> Generator[simpy.Event, Any, None]:
        with desk.request() as mine:
            yield mine
            value = yield clock.timeout(1e-3, value=name)
            log.append((value, clock.now))

    def hasty() -> Generator[simpy.Event, Any, None]:
        try:
            yield clock.timeout(1)
        except simpy.Interrupt:
            log.append(("interrupted", clock.now))

    both = clock.all_of([clock.process(visit("first")), clock.process(visit("second"))])
    other = clock.process(hasty())
    clock.run(until=both)
    other.interrupt()
    clock.run()
    assert log == [("first", 1e-3), ("second", 2e-3), ("interrupted", 2e-3)]


def test_a_wrong_delay_is_refused() -> None:
    clock = Clock()
    with pytest.raises((UnitError, ValueError), match="delay"):
        clock.timeout(-1e-9)
    with pytest.raises(UnitError, match="delay"):
        clock.timeout(float("nan"))
