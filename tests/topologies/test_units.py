"""Units: exact reading of every spelling, refusal of everything else, text that reads back."""

from __future__ import annotations

import math
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies import units
from topologies.errors import UnitError

DECIMAL = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def _nearest_float(exact: Fraction) -> float:
    return exact.numerator / exact.denominator


@given(st.decimals(min_value=0, max_value=10**6, places=4), st.sampled_from([*DECIMAL, *BINARY]))
def test_sizes_are_the_nearest_float_of_the_exact_value(number: Decimal, prefix: str) -> None:
    exact = Fraction(number) * (10 ** DECIMAL[prefix] if prefix in DECIMAL else Fraction(2) ** BINARY[prefix])
    assert units.size(f"{number} {prefix}B", zero=True) == _nearest_float(exact)
    assert units.size(f"{number}{prefix}bit", zero=True) == _nearest_float(exact / 8)
    assert units.bandwidth(f"{number} {prefix}B/s", zero=True) == _nearest_float(exact)
    assert units.bandwidth(f"{number}{prefix}b/s", zero=True) == _nearest_float(exact / 8)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1.1 us", 1.1e-6),
        ("1.1 µs", 1.1e-6),
        ("1.1μs", 1.1e-6),
        ("2 ms", 2e-3),
        ("300ns", 3e-7),
        ("7 ps", 7e-12),
        ("0 s", 0.0),
        ("1.5 min", 90.0),
        ("2 h", 7200.0),
        (3, 3.0),
        (0, 0.0),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert units.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("400 Gbit/s", 50e9),
        ("400 Gb/s", 50e9),
        ("400Gbps", 50e9),
        ("50 GB/s", 50e9),
        ("50GBps", 50e9),
        ("1 GiB/s", 2.0**30),
        (25e9, 25e9),
        (np.float64(3.5), 3.5),
        (np.int64(7), 7.0),
        ("400 gigabit / second", 50e9),
        ("3 megabyte/ms", 3e9),
    ],
)
def test_bandwidths(text: object, rate: float) -> None:
    assert units.bandwidth(text) == pytest.approx(rate, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "count"),
    [("8", 8.0), ("4096", 4096.0), (4096, 4096.0), ("64 MiB", 2.0**26), ("1e3 B", 1e3), ("2 megabyte", 2e6)],
)
def test_sizes(text: object, count: float) -> None:
    assert units.size(text) == count


@pytest.mark.parametrize(
    ("text", "count"), [("128M", 2**27), ("8G", 2**33), ("4k", 4096), ("8", 8), ("1 GB", 1e9)]
)
def test_nccl_sizes_are_binary(text: str, count: float) -> None:
    assert units.nccl_size(text) == count


NO_QUANTITY = [
    "",
    " ",
    "many",
    "400 G",
    "-1 B",
    "nan",
    "inf B",
    "1 B B",
    "(1",
    "1 B**1e9",
    "__import__('os')",
    True,
    None,
    math.nan,
    math.inf,
    -1.0,
    10**400,
    [1],
    b"1 B",
    1j,
    "1e999 B",
    "5 rad",
    "5 %",
]


@pytest.mark.parametrize("x", NO_QUANTITY, ids=repr)
@pytest.mark.parametrize("read", [units.size, units.bandwidth, units.duration, units.nccl_size])
def test_what_is_no_quantity_is_refused_by_name_on_one_line(read, x) -> None:
    with pytest.raises(UnitError, match="the value") as caught:
        read(x, name="the value")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("read", "x"),
    [
        (units.size, "5 s"),
        (units.size, "64 mib"),
        (units.size, "64 Mb"),
        (units.size, "1 GB/s"),
        (units.size, "128M"),
        (units.bandwidth, "50 GB"),
        (units.bandwidth, "5 s"),
        (units.bandwidth, "50"),
        (units.bandwidth, 0),
        (units.duration, "5"),
        (units.duration, "5 B"),
        (units.duration, "1 GB/s"),
        (units.size, 0),
        (units.size, "0 B"),
    ],
)
def test_other_kinds_of_quantity_are_refused(read, x) -> None:
    with pytest.raises(UnitError):
        read(x)


def test_zero_only_where_asked() -> None:
    assert units.size("0 B", zero=True) == units.bandwidth(0, zero=True) == 0
    with pytest.raises(UnitError, match="> 0"):
        units.duration("0 s", zero=False)


@given(st.integers(1, 9999), st.integers(0, 6))
def test_formatted_sizes_of_few_digits_read_back(number: int, power: int) -> None:
    for n in (number * 1024.0**power, number * 1000.0**power):
        text = units.format_size(n)
        assert units.size(text) == pytest.approx(n, rel=5.01e-4)
        assert number > 1023 or power > 5 or units.size(text) == n


@given(st.floats(1e-12, 9.9e5))
def test_formatted_times_read_back(t: float) -> None:
    text = units.format_time(t)
    number, unit = text.split()
    assert units.duration(text) == pytest.approx(t, rel=5.01e-4)
    assert "e" not in number
    assert float(number) < 1000 or unit == "s"
    assert float(number) >= 1 or unit == "ps"


@given(st.floats(1, 1e18))
def test_formatted_bandwidths_read_back(rate: float) -> None:
    text = units.format_bandwidth(rate)
    assert units.bandwidth(text) == pytest.approx(rate, rel=5.01e-4)
    assert "e" not in text


def test_text_never_rounds_up_to_a_thousand_of_a_unit() -> None:
    assert units.format_time(999.96e-9) == "1 us"
    assert units.binary_label(1023.99 * 1024) == "1 MiB"
    assert units.format_bandwidth(999.99e6) == "1 GB/s"


def test_common_spellings_do_not_import_pint() -> None:
    code = (
        "import sys, topologies.units as u; "
        "u.size('64 MiB'), u.bandwidth('400 Gbit/s'), u.duration('1.5 us'); "
        "sys.exit('pint' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
