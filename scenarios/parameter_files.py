"""Writing figures of a library as TOML: what a fit found, with its evidence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.calibrate import Fit, Fitted

__all__ = ["figures_toml", "text_of"]

#: Digits of a figure.
DIGITS = 4


def text_of(path: str, value: float) -> str:
    """A value as TOML, with its unit.

    Examples
    --------
    >>> text_of("protocol.ll.network.step", 2.7e-6), text_of("protocol.ll.channel", 5e9)
    ('"2.7 us"', '"5 GB/s"')
    """
    from sim.libraries.parameters import kind_of

    kind = kind_of(path)[0]
    if kind == "time":
        return f'"{value * 1e6:.{DIGITS}g} us"'
    if kind == "bandwidth":
        return f'"{value / 1e9:.{DIGITS}g} GB/s"'
    if kind == "size":
        return f'"{value:.0f} B"'
    return f"{float(f'{value:.{DIGITS}g}')}"


def figures_toml(fits: Iterable[tuple[str, Fit]]) -> str:
    """Tables of the figures that the points told, by path.

    Parameters
    ----------
    fits : iterable of (source, Fit)
        What was measured, in words, and the fit.
    """
    tables: dict[str, list[str]] = {}
    for source, found in fits:
        span = found.range
        where = ", ".join(
            f"{key} {low:g} to {high:g}" if low < high else f"{key} {low:g}"
            for key, (low, high) in span.items()
        )
        tail = (
            f'evidence = "measured", source = "{source}; fitted over {where}", '
            f"residual = {found.residual:.3f}, range = {{ {_ranges(span)} }}"
        )
        for figure in found.figures:
            if figure.told:
                table, _, key = figure.path.rpartition(".")
                tables.setdefault(table, []).append(f"{key} = {{ {_values(figure)}, {tail} }}")
    return "\n".join(f"[{table}]\n" + "\n".join(lines) + "\n" for table, lines in tables.items())


def _values(figure: Fitted) -> str:
    value, low, high = (text_of(figure.path, v) for v in (figure.value, figure.low, figure.high))
    return f"value = {value}" + (f", low = {low}, high = {high}" if low != high else "")


def _ranges(span: dict[str, list[float]]) -> str:
    return ", ".join(f"{key} = [{low:.0f}, {high:.0f}]" for key, (low, high) in span.items())
