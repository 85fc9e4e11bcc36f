"""Checks that all readers share: is this figure a time in microseconds, a size in bytes?"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sim.measurements.rows import Row
from topologies.errors import FormatError

__all__ = ["agree", "number", "positive_time", "refuse_other_units", "without_copies"]

#: Share by which printed bandwidth may differ from size over time: two digits are printed.
PRINTED = 0.06

#: A printed bandwidth below this has too few digits to tell anything.
LEGIBLE = 0.2


def number(text: object, what: str, where: str) -> float:
    """A finite number.

    Raises
    ------
    FormatError
        If it is not one.
    """
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"{where}: {what} (={text!r}) is not a number; correct or remove the row")
    return value


def positive_time(time_us: float, where: str) -> float:
    """A time that a message can take.

    Raises
    ------
    FormatError
        If it is zero or negative.
    """
    if not time_us > 0:
        raise FormatError(
            f"{where}: time (={time_us:g} us) must be > 0; the run did not measure it: repeat or remove it"
        )
    return time_us


def agree(size: float, time_us: float, algbw: float, where: str) -> None:
    """Refuse a time that its own printed bandwidth (1e9 bytes/s) contradicts.

    Raises
    ------
    FormatError
        Naming the unit that the time seems to have.
    """
    if algbw < LEGIBLE or size <= 0:
        return
    implied = size / algbw / 1e3
    ratio = time_us / implied
    if abs(ratio - 1) <= PRINTED:
        return
    for unit, factor in (("ms", 1e-3), ("s", 1e-6), ("ns", 1e3)):
        if abs(ratio / factor - 1) <= PRINTED:
            raise FormatError(
                f"{where}: time (={time_us:g}) is in {unit}: {size:g} bytes at {algbw:g} GB/s take "
                f"{implied:g} us; give microseconds"
            )
    raise FormatError(
        f"{where}: time (={time_us:g} us) and bandwidth (={algbw:g} GB/s) contradict each other for "
        f"{size:g} bytes; correct or remove the row"
    )


def refuse_other_units(heading: str, where: str) -> None:
    """Refuse a table whose heading names another unit of time.

    Raises
    ------
    FormatError
    """
    plain = heading.lower().replace(" ", "")
    for unit in ("ms", "msec", "s", "sec", "ns"):
        if f"({unit})" in plain:
            raise FormatError(f"{where}: times are in {unit}, not us; convert the table to microseconds")


def without_copies(rows: Iterable[Row]) -> tuple[list[Row], list[str]]:
    """Rows without exact copies, and a line for each that was left out.

    Repeated runs stay: they differ in time.
    """
    kept: dict[tuple[object, ...], Row] = {}
    notes = []
    for row in rows:
        key = (
            row.collective, row.n_ranks, row.n_nodes, row.algorithm, row.protocol, row.message_bytes,
            row.time_us,
        )  # fmt: skip
        if key in kept:
            notes.append(f"{row.where}: duplicate of {kept[key].where}, left out")
        else:
            kept[key] = row
    return list(kept.values()), notes
