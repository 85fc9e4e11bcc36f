"""docs/validation.md against the simulator: a part of its rows is predicted again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.validation import MEASURED, counted, predict, summary
from scenarios.validation_report import subset
from sim.measurements import read
from sim.predict import Predictor
from topologies.systems import Systems

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"


@pytest.mark.slow
def test_the_median_has_not_worsened_by_more_than_a_point() -> None:
    """Of every so manyeth row; the page holds the median of its day."""
    line = re.search(
        r"^# subset rows (\d+)  median \|error\| ([\d.]+) %", PAGE.read_text(encoding="utf-8"), re.M
    )
    assert line is not None, "docs/validation.md has no line of the subset: chipweave run validation_report"
    again = predict(subset(read(MEASURED).rows).reset_index(drop=True), Systems(), Predictor())
    found = summary(counted(again)["error"])
    assert found.rows == int(line[1])
    assert 100 * found.median <= float(line[2]) + 1.0
