"""A schedule's rounds made once: whoever looks, and however far, sees all of them in order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.network import remembered
from sim.network.remembered import Remembered
from sim.schedule import Round
from topologies.errors import ScheduleError


def rounds(count: int, fails: int = -1) -> Iterator[Round]:
    for i in range(count):
        if i == fails:
            raise ScheduleError(f"round {i} cannot be made")
        ends = np.arange(i + 1)
        yield Round(ends, ends + 1, np.ones(i + 1), label=str(i))


@given(st.integers(0, 8), st.integers(0, 40), st.lists(st.integers(0, 3), max_size=40))
def test_readers_that_overtake_each_other(count: int, kept: int, turns: list[int]) -> None:
    """Four readers in any order of turns, with room for all rounds, some, or none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "KEPT", kept)
        source = Remembered(lambda: rounds(count))
        readers = [source() for _ in range(4)]
        seen: list[list[str]] = [[] for _ in readers]
        for reader in turns:
            seen[reader] += [round_.label for round_ in [next(readers[reader], None)] if round_ is not None]
        for reader, labels in zip(readers, seen, strict=True):
            assert labels + [round_.label for round_ in reader] == [str(i) for i in range(count)]
        assert [round_.label for round_ in source()] == [str(i) for i in range(count)]


def test_rounds_are_made_once() -> None:
    made: list[int] = []

    def counted() -> Iterator[Round]:
        made.append(1)
        yield from rounds(5)

    source = Remembered(counted)
    first = list(source())
    assert all(a is b for a, b in zip(first, source(), strict=True))
    assert len(made) == 1


def test_what_cannot_be_made_is_refused_every_time() -> None:
    source = Remembered(lambda: rounds(5, fails=2))
    for _ in range(2):
        with pytest.raises(ScheduleError, match="round 2 cannot be made"):
            list(source())
