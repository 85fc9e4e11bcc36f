"""The works at moderate sizes, under pytest-benchmark: ``pytest benchmarks``.

For two versions of the code on one machine: ``pytest benchmarks
--benchmark-autosave``, then ``pytest-benchmark compare``. Each must also give
its oracle's answer.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.rows import Row
from benchmarks.works import FAMILIES

#: Ranks at which a run takes a few to a few hundred milliseconds.
MODERATE = {
    "ring-star": 1024,
    "ring-star-exact": 256,
    "ring-tree": 1024,
    "ring-tree-exact": 256,
    "ring-uneven": 256,
    "ring-uneven-exact": 256,
    "all-to-all-in-order": 256,
    "all-to-all-shuffled": 256,
    "graph-ring": 8192,
    "graph-hierarchical": 8192,
    "graph-halving_doubling": 8192,
    "graph-double_binary_tree": 1024,
    "growth": 4096,
    "crossing": 256,
    "sweep": 64,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_speed(benchmark: Any, family: str) -> None:
    """One work, warm."""
    work, one = FAMILIES[family], Row("", family, MODERATE[family])
    subject = work.subject(one.ranks)
    work.work(subject)
    answer = benchmark.pedantic(work.work, (subject,), rounds=3)
    benchmark.extra_info.update(answer.cost)
    assert one.agrees(answer.value, work.oracle(subject)) is not False
