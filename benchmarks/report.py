"""The table: printed, and written to `docs/performance.md`."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured
from benchmarks.memory import SIZES, latency
from benchmarks.rows import Row

__all__ = ["HEADINGS", "cells", "machine", "markdown", "replace_block", "seconds", "text"]

HEADINGS = ("work", "target", "CPU", "wall", "peak memory", "answer", "oracle", "")


def cells(one: Row, measured: Measured) -> tuple[str, ...]:
    """One line of the table, a text for each of `HEADINGS`."""
    target = seconds(one.seconds) if math.isfinite(one.seconds) else ""
    if math.isfinite(one.megabytes):
        target += f", {_memory(one.megabytes)}"
    if measured.runs == 0:
        return one.what, target, "", "", "", "", "", verdict(one, measured)
    unit = "points" if one.family == "sweep" else "s"
    return (
        one.what,
        target,
        seconds(measured.cpu),
        seconds(measured.seconds),
        _memory(measured.megabytes),
        f"{_answer(measured.answer, unit)} {unit}",
        "" if math.isnan(measured.oracle) else _answer(measured.oracle, unit),
        verdict(one, measured),
    )


def verdict(one: Row, measured: Measured) -> str:
    """What a row shows: ``met``, or each thing that it misses.

    Examples
    --------
    >>> row = Row("", "ring-star", 8, seconds=1.0, megabytes=300)
    >>> verdict(row, Measured("ring-star", 8, 2.5, 2.0, 2.0, 1, 200.0, 1.0, 1.1))
    'time 2.0 x target; answer off by -9.1 %'
    """
    if measured.runs == 0:
        return "failed, or not measured"
    missed = []
    if measured.time > one.seconds:
        missed.append(f"time {measured.time / one.seconds:.1f} x target")
    if measured.megabytes > one.megabytes:
        missed.append(f"memory {measured.megabytes / one.megabytes:.1f} x target")
    if one.agrees(measured.answer, measured.oracle) is False:
        missed.append(f"answer off by {100 * (measured.answer / measured.oracle - 1):+.2g} %")
    return "; ".join(missed) or "met"


def text(rows: Sequence[tuple[str, ...]], headings: tuple[str, ...] = HEADINGS) -> str:
    """A table for a terminal: columns as wide as their widest cell, the outer ones ranged left."""
    lines = (headings, *rows)
    last = len(headings) - 1
    wide = [max(len(line[i]) for line in lines) for i in range(last + 1)]
    return "\n".join(
        "  ".join(
            c.ljust(wide[i]) if i in (0, last) else c.rjust(wide[i]) for i, c in enumerate(line)
        ).rstrip()
        for line in lines
    )


def markdown(rows: Sequence[tuple[str, ...]], headings: Sequence[str] = HEADINGS) -> str:
    """A table for a page."""
    rule = ["---" if i in (0, len(headings) - 1) else "---:" for i in range(len(headings))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (headings, rule, *rows))


def replace_block(path: Path, name: str, block: str) -> None:
    """Put ``block`` between ``<!-- name -->`` and ``<!-- /name -->`` of a page.

    Raises
    ------
    OutputError
        If the page or its marks are not there.
    """
    from topologies.errors import OutputError

    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from None
    before, found, rest = page.partition(opening)
    _, closed, after = rest.partition(closing)
    if not found or not closed:
        raise OutputError(f"{path}: no {opening} ... {closing} to put the results in; restore the two marks")
    path.write_text(f"{before}{opening}\n\n{block}\n\n{closing}{after}", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    from importlib.metadata import version

    cpu = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.exists():
        named = (l for l in described.read_text().splitlines() if l.startswith("model name"))
        cpu = next(named, f": {cpu}").partition(":")[2].strip()
    busy = f"{os.getloadavg()[2]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("numba", "numpy", "networkx", "simpy")},
        "load of the last 15 minutes": busy,
        **{f"a read within {size:g} MiB": f"{latency(size) * 1e9:.0f} ns" for size in SIZES},
    }


def seconds(value: float) -> str:
    """A time with two or three digits.

    Examples
    --------
    >>> seconds(0.00437), seconds(0.43), seconds(13.52)
    ('4.4 ms', '430 ms', '13.5 s')
    """
    if value < 1:
        return f"{1000 * value:.2g} ms" if value < 0.1 else f"{1000 * value:.0f} ms"
    return f"{value:.3g} s"


def _memory(megabytes: float) -> str:
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.3g} GB"


def _answer(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit == "points" else f"{value:.9f}"
