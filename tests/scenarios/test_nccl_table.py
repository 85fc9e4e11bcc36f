"""The table is that of nccl-tests: parsers written for it read ours."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.nccl_table import Row, _fit, count_and_size, footer, header, row_text, sizes, to_json
from topologies.errors import UnitError

#: What converters of nccl-tests logs look for: thirteen columns.
NUMBER = r"(\d+\.?\d*(?:e[+-]\d+)?)"
COLUMNS = re.compile(
    r"\s*(\d+)\s+(\d+)\s+(float|half|int|double)\s+(sum|prod|max|min|none)\s+(-?\d+)"
    + rf"(?:\s+{NUMBER}\s+{NUMBER}\s+{NUMBER}\s+(\d+|N/A)){{2}}\s*"
)


def test_row_is_printed_as_on_a_real_machine() -> None:
    # Rows of nccl-tests on eight A100, the column of the root (newer versions) put in.
    for size, micros, algbw, busbw, half in (
        (1048576, 74.78, 14.02, 24.54, "    74.78   14.02   24.54"),
        (67108864, 584.52, 114.81, 200.91, "   584.52  114.81  200.91"),
        (8589934592, 63896.0, 134.44, 235.26, "  63896.0  134.44  235.26"),
    ):
        printed = row_text("all_reduce", Row(size, size // 4, micros / 1e6, algbw * 1e9, busbw * 1e9))
        lead = f"{size:>12}  {size // 4:>12}     float     sum      -1"
        assert printed == lead + (half + "     N/A") * 2


@given(
    st.sampled_from(["all_reduce", "all_gather", "broadcast", "send"]),
    st.integers(1, 10**12 - 1),
    st.floats(1e-7, 1e4),
    st.floats(1e3, 1e14),
)
def test_every_row_parses_and_keeps_its_columns(kind: str, size: int, time: float, rate: float) -> None:
    printed = row_text(kind, Row(size, size, time, rate, rate / 2))
    found = COLUMNS.fullmatch(printed)
    assert found is not None
    assert int(found[1]) == size
    assert len(printed) == len(row_text(kind, Row(8, 2, 1e-6, 1e9, 1e9)))


@given(st.floats(0, 1e12), st.sampled_from([6, 7]))
def test_numbers_fit_their_column(value: float, width: int) -> None:
    printed = _fit(value, width)
    assert len(printed) <= width
    if "e" not in printed:
        assert float(printed) == pytest.approx(value, abs=0.5)


def test_heads_stand_over_their_columns() -> None:
    *above, names, units = header("all_reduce", [0] * 8 + [1] * 8, "hgx-h100", 8, 2**33, 2, ["a note"])
    row = row_text("all_reduce", Row(8, 2, 1e-6, 1e9, 1e9))
    ends = [match.end() for match in re.finditer(r"\S+", row)]
    assert [match.end() for match in re.finditer(r"[#\w]+", names)][1:] == ends
    assert names[1:].split() == [
        "size", "count", "type", "redop", "root", *["time", "algbw", "busbw", "#wrong"] * 2,
    ]  # fmt: skip
    assert units[1:].split() == ["(B)", "(elements)", *["(us)", "(GB/s)", "(GB/s)"] * 2]
    assert all(line.startswith("#") for line in above)
    assert "# a note" in above
    assert "#  Rank  9 Group  0 Pid      0 on      host1 device  1 [simulated] hgx-h100" in above


def test_foot_averages_every_row_and_comes_last() -> None:
    rows = [Row(8, 2, 1e-6, 1e9, rate) for rate in (1e9, 2e9, 6e9)]
    assert list(footer(rows, ["ring"])) == [
        "# ring",
        "# Out of bounds values : 0 OK",
        "# Avg bus bandwidth    : 3",
    ]
    assert to_json("all_reduce", rows, arguments=[], config={})["average_bus_bandwidth"]["bandwidth"] == 3.0


@given(
    st.sampled_from(["all_reduce", "all_gather", "all_to_all"]), st.integers(1, 4096), st.integers(0, 2**36)
)
def test_cut_sizes_are_whole_parts_and_lose_less_than_one(kind: str, ranks: int, size: int) -> None:
    count, cut = count_and_size(kind, ranks, size)
    parts = 1 if kind == "all_reduce" else ranks
    assert cut == count * 4 * parts
    assert 0 <= size - cut < (4 if kind == "all_reduce" else 16 * ranks)


def test_sizes_begin_and_end_where_they_should() -> None:
    assert sizes(8, 8 * 2**30, 2) == [2**power for power in range(3, 34)]
    assert sizes(1, 4, 1.5) == [1, 2, 3]
    for begin, end, factor in ((8, 4, 2), (0, 4, 2), (8, 16, 1), (8, 16, float("nan"))):
        with pytest.raises(UnitError):
            sizes(begin, end, factor)
