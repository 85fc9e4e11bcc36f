"""Quantities with units in, plain SI numbers out, and back to text for people.

Sizes are bytes, bandwidths bytes/s, durations seconds. Decimal prefixes (k, M,
G, T, P, E) count in thousands, binary ones (Ki, Mi, Gi, Ti, Pi, Ei) in 1,024s
(IEC 80000-13); ``B`` is the byte, ``bit`` the bit, eight to a byte. ``b`` means
the bit in rates only, as in "400 Gb/s": as a size it is too often a slip.

The common spellings are read here; everything else ("2 megabyte / second")
goes to pint, which is not imported before it is needed.
"""

from __future__ import annotations

import math
import numbers
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

from topologies.errors import UnitError

__all__ = [
    "bandwidth",
    "binary_label",
    "duration",
    "format_bandwidth",
    "format_size",
    "format_time",
    "nccl_size",
    "size",
]

_NUMBER = r"(?P<number>[+-]?(?:\d+(?:_?\d+)*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_PREFIX = r"(?P<prefix>[kKMGTPE]i?)?"
_PLAIN = re.compile(rf"{_NUMBER}$")
_SIZE = re.compile(rf"{_NUMBER}\s*{_PREFIX}(?P<unit>B|bytes?|bits?)$")
_RATE = re.compile(rf"{_NUMBER}\s*{_PREFIX}(?P<unit>B|bytes?|bits?|b)\s*(?:/\s*s|ps)$")
_TIME = re.compile(rf"{_NUMBER}\s*(?P<unit>ps|ns|us|µs|μs|ms|s|min|h)$")
_NCCL = re.compile(rf"{_NUMBER}(?P<prefix>[kKmMgG])?$")

_DECIMAL = {letter: Decimal(10) ** (3 * i) for i, letter in enumerate("kMGTPE", start=1)}
_BINARY = {letter: Decimal(2) ** (10 * i) for i, letter in enumerate("KMGTPE", start=1)}
_SECONDS = {
    "ps": Decimal("1e-12"),
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),  # micro sign, U+00B5
    "μs": Decimal("1e-6"),  # Greek mu, U+03BC
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
}


def size(x: object, *, name: str = "size", zero: bool = False) -> float:
    """Read a number of bytes.

    Parameters
    ----------
    x : str or number
        Text such as ``"64 MiB"`` or ``"1 GB"``; a number, or text without a unit,
        counts bytes.
    name : str
        What the value is, for the message.
    zero : bool
        Whether nothing at all is allowed.

    Returns
    -------
    float
        Bytes.

    Raises
    ------
    UnitError
        If `x` is no finite, positive number of bytes.

    Examples
    --------
    >>> size("64 MiB"), size("1 GB"), size("8"), size(4096)
    (67108864.0, 1000000000.0, 8.0, 4096.0)
    >>> size("5 s", name="message")
    Traceback (most recent call last):
    topologies.errors.UnitError: message (='5 s') is not a size; write bytes, as in '64 MiB' or '1 GB'
    """
    if isinstance(x, str):
        text = x.strip()
        if match := _SIZE.match(text):
            value = float(Decimal(match["number"]) * _scale(match["prefix"], match["unit"]))
        elif _PLAIN.match(text):
            value = float(text)
        else:
            value = _by_pint(x, name, "byte", "size", "write bytes, as in '64 MiB' or '1 GB'")
    else:
        value = _plain(x, name, "write bytes, as in '64 MiB' or 4096")
    return _in_range(value, x, name, zero)


def bandwidth(x: object, *, name: str = "bandwidth", zero: bool = False) -> float:
    """Read a bandwidth.

    Parameters
    ----------
    x : str or number
        Text with a unit, such as ``"400 Gbit/s"``, ``"400 Gb/s"`` or ``"50 GB/s"``; a
        number counts bytes/s.
    name, zero
        As for `size`.

    Returns
    -------
    float
        Bytes/s.

    Raises
    ------
    UnitError
        If `x` is text without a unit, or no finite, positive bandwidth.

    Examples
    --------
    >>> bandwidth("400 Gbit/s"), bandwidth("50 GB/s"), bandwidth(25e9)
    (50000000000.0, 50000000000.0, 25000000000.0)
    """
    hint = "write bits or bytes a second, as in '400 Gbit/s' or '50 GB/s'"
    if isinstance(x, str):
        text = x.strip()
        if match := _RATE.match(text):
            value = float(Decimal(match["number"]) * _scale(match["prefix"], match["unit"]))
        elif _PLAIN.match(text):
            raise UnitError(f"{name} (={x!r}) has no unit; {hint}")
        else:
            value = _by_pint(x, name, "byte / second", "bandwidth", hint)
    else:
        value = _plain(x, name, hint)
    return _in_range(value, x, name, zero)


def duration(x: object, *, name: str = "duration", zero: bool = True) -> float:
    """Read a time.

    Parameters
    ----------
    x : str or number
        Text with a unit, such as ``"1.5 us"`` or ``"2 ms"``; a number counts seconds.
    name : str
        What the value is, for the message.
    zero : bool
        Whether no time at all is allowed.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    UnitError
        If `x` is text without a unit, or no finite time >= 0.

    Examples
    --------
    >>> duration("1.5 us"), duration("2 min"), duration(0)
    (1.5e-06, 120.0, 0.0)
    """
    hint = "write a time, as in '1.5 us' or '2 ms'"
    if isinstance(x, str):
        text = x.strip()
        if match := _TIME.match(text):
            value = float(Decimal(match["number"]) * _SECONDS[match["unit"]])
        elif _PLAIN.match(text):
            raise UnitError(f"{name} (={x!r}) has no unit; {hint}")
        else:
            value = _by_pint(x, name, "second", "duration", hint)
    else:
        value = _plain(x, name, hint)
    return _in_range(value, x, name, zero)


def nccl_size(x: object, *, name: str = "size", zero: bool = False) -> float:
    """Read a size as nccl-tests does: ``8``, ``128M`` and ``8G`` are binary.

    Source: ``parsesize`` of nccl-tests (src/common.cu): K, M, G of either case are
    2**10, 2**20, 2**30. Sizes with a unit ("64 MiB", "1 GB") mean what they say.

    Parameters
    ----------
    x, name, zero
        As for `size`.

    Returns
    -------
    float
        Bytes.

    Raises
    ------
    UnitError
        If `x` is no finite, positive number of bytes.

    Examples
    --------
    >>> nccl_size("8"), nccl_size("128M"), nccl_size("8G"), nccl_size("1 GB")
    (8.0, 134217728.0, 8589934592.0, 1000000000.0)
    """
    if isinstance(x, str) and (match := _NCCL.match(x.strip())) and match["prefix"]:
        value = float(Decimal(match["number"]) * _BINARY[match["prefix"].upper()])
        return _in_range(value, x, name, zero)
    return size(x, name=name, zero=zero)


def format_size(n: float) -> str:
    """Write bytes for people, at most four digits: binary unless only decimal is exact.

    Examples
    --------
    >>> format_size(64 * 2**20), format_size(1e9), format_size(8), format_size(1_000_003)
    ('64 MiB', '1 GB', '8 B', '976.6 KiB')
    """
    binary = _format(n, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))
    decimal = _format(n, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB", "EB"))
    if not math.isfinite(n) or n <= 0 or size(binary) == n or size(decimal) != n:
        return binary
    return decimal


def format_bandwidth(rate: float) -> str:
    """Write bytes/s for people in decimal units, at most four digits.

    Examples
    --------
    >>> format_bandwidth(392e9), format_bandwidth(1.8e12), format_bandwidth(12.5e6)
    ('392 GB/s', '1800 GB/s', '12.5 MB/s')
    """
    # Aggregates of chips are compared in GB/s; a change to TB/s hides a factor of 1,000.
    if 1e12 <= rate < 1e13:
        return f"{rate / 1e9:.4g} GB/s"
    return _format(rate, 1000.0, ("B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s", "EB/s"))


def format_time(t: float) -> str:
    """Write seconds for people, from ps to s, at most four digits.

    Examples
    --------
    >>> format_time(1.5e-6), format_time(0.0123456), format_time(3e-12), format_time(0)
    ('1.5 us', '12.35 ms', '3 ps', '0 s')
    """
    if t == 0 or not math.isfinite(t):
        return f"{t:.4g} s"
    names = ("ps", "ns", "us", "ms", "s")
    i = min(max(0, math.floor(math.log10(abs(t)) / 3) + 4), 4)
    value = t * 1000.0 ** (4 - i)
    if abs(float(f"{value:.4g}")) >= 1000 and i < 4:
        i, value = i + 1, value / 1000.0
    return f"{_four_digits(value)} {names[i]}"


def binary_label(n: float) -> str:
    """Label of a tick on a log2 axis of bytes.

    Examples
    --------
    >>> [binary_label(n) for n in (8, 1024, 2**20, 3 * 2**29)]
    ['8 B', '1 KiB', '1 MiB', '1.5 GiB']
    """
    return _format(n, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))


def _scale(prefix: str | None, unit: str) -> Decimal:
    """Bytes in one of the unit."""
    if prefix is None:
        scale = Decimal(1)
    elif prefix.endswith("i"):
        scale = _BINARY[prefix[0].upper()]
    else:
        scale = _DECIMAL["k" if prefix == "K" else prefix]
    return scale / 8 if unit in ("b", "bit", "bits") else scale


def _plain(x: object, name: str, hint: str) -> float:
    if isinstance(x, bool) or not isinstance(x, numbers.Real):
        raise UnitError(f"{name} (={x!r}) is not a number; {hint}")
    try:
        return float(x)
    except OverflowError:
        raise UnitError(f"{name} (={x!r}) is out of range; {hint}") from None


def _in_range(value: float, x: object, name: str, zero: bool) -> float:
    if not math.isfinite(value):
        raise UnitError(f"{name} (={x!r}) must be finite")
    if value < 0 or (value == 0 and not zero):
        raise UnitError(f"{name} (={x!r}) must be {'>= 0' if zero else '> 0'}")
    return value


def _by_pint(x: str, name: str, to: str, kind: str, hint: str) -> float:
    """Read a spelling that the patterns above do not know."""
    refused = UnitError(f"{name} (={x!r}) is not a {kind}; {hint}")
    if not re.match(r"\s*[+-]?\.?\d", x):
        raise refused
    import tokenize

    import pint

    try:
        quantity = _registry().Quantity(x)
        # To pint a bit is a pure number, like the radian: "5 rad" must not be a size.
        bits = dict(quantity.to_root_units().unit_items()).get("bit", 0)
        if bits != (1 if to.startswith("byte") else 0):
            raise refused
        return float(quantity.m_as(to))
    except (pint.PintError, tokenize.TokenError, SyntaxError, TypeError, ValueError, ArithmeticError):
        # Whatever the parser stumbles over, the user wrote something that is no quantity.
        raise refused from None


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint

    return pint.UnitRegistry()


def _format(n: float, base: float, names: tuple[str, ...]) -> str:
    if not math.isfinite(n):
        return f"{n} {names[0]}"
    i, value = 0, float(n)
    # What would be rounded up to the next unit is written in it.
    while i < len(names) - 1 and float(_four_digits(abs(value))) >= base:
        i, value = i + 1, value / base
    return f"{_four_digits(value)} {names[i]}"


def _four_digits(value: float) -> str:
    """Four significant digits, but never an exponent and no whole number cut short."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
