"""What all tests share: no display, the same random cases each time, the command line in-process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports matplotlib.
os.environ["MPLBACKEND"] = "Agg"

# Two cores are shared by everybody: a deadline would measure the others. The
# cases are derived from the test itself, so that a failure is seen by all.
settings.register_profile(
    "chipweave", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("chipweave")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is slow last: a mistake shows in the first seconds."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def chipweave(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run ``chipweave`` with some arguments in this process."""
    from scenarios.cli import main

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return call
