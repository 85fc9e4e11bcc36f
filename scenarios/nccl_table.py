"""The table of nccl-tests, column for column, so that existing parsers read it.

Formats follow nccl-tests 2.17 (``src/util.cu``): lines that begin with ``#``
around rows of ``size count type redop root`` and, for out-of-place and
in-place, ``time algbw busbw #wrong``; time in microseconds, bandwidth in
1e9 bytes/s. One simulation gives both halves: the model knows no difference.
``#wrong`` is ``N/A``, as nccl-tests prints where nothing was checked, because
no values are computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from topologies.errors import UnitError

__all__ = ["ELEMENT", "Row", "count_and_size", "footer", "header", "row_text", "sizes", "to_json"]

#: Bytes of an element; the table is one of floats.
ELEMENT = 4

#: Collectives whose size is the total of the parts, which nccl-tests cuts to
#: multiples of 16 bytes a rank (the ``GetCollByteCount`` of each test).
PARTED = frozenset({"all_gather", "reduce_scatter", "all_to_all", "gather", "scatter"})
REDUCING = frozenset({"all_reduce", "reduce_scatter", "reduce"})
ROOTED = frozenset({"broadcast", "reduce", "gather", "scatter"})

_LEAD = "{:>12}  {:>12}  {:>8}  {:>6}  {:>6}"
_HALF = "  {:>7}  {:>6}  {:>6}  {:>6}"


@dataclass(frozen=True, slots=True)
class Row:
    """One message size.

    Attributes
    ----------
    size : int
        Bytes, as nccl-tests counts them.
    count : int
        Elements.
    time : float
        Seconds.
    algbw, busbw : float
        Bytes/s.
    """

    size: int
    count: int
    time: float
    algbw: float
    busbw: float


#: Sizes of one table: more are a slip in the factor.
MOST_SIZES = 10_000


def sizes(begin: float, end: float, factor: float) -> list[int]:
    """Message sizes from ``begin`` to ``end`` bytes, each ``factor`` times the one before.

    Raises
    ------
    UnitError
        If they do not rise, or are more than `MOST_SIZES`.

    Examples
    --------
    >>> sizes(8, 64, 2)
    [8, 16, 32, 64]
    """
    if not 1 < factor < math.inf:
        raise UnitError(f"-f {factor:g}: the factor between sizes must be finite and greater than 1")
    if not 0 < begin <= end:
        raise UnitError(f"-b {begin:g} -e {end:g}: sizes must begin above 0 and end no lower than they begin")
    count = math.log(end / begin) / math.log(factor)
    if count > MOST_SIZES:
        raise UnitError(
            f"-f {factor:.15g}: from {begin:g} to {end:g} bytes that makes {count:,.0f} sizes, more than "
            f"{MOST_SIZES:,}; take a larger factor"
        )
    found, size = [], float(begin)
    while size <= end:
        found.append(int(size))
        size *= factor
    # A factor close to 1 repeats small whole numbers.
    return list(dict.fromkeys(found))


def count_and_size(kind: str, ranks: int, size: int) -> tuple[int, int]:
    """Cut a size to whole elements as nccl-tests does: the ``count`` and ``size`` it prints.

    Parameters
    ----------
    kind : str
        The collective.
    ranks : int
        Number of ranks.
    size : int
        Bytes that were asked for.

    Returns
    -------
    tuple of int
        Elements and bytes; for collectives with a part for each rank the count
        is that of a part. Both are 0 where the size is too small to cut.

    Examples
    --------
    >>> count_and_size("all_reduce", 8, 1000)
    (250, 1000)
    >>> count_and_size("all_gather", 8, 1000)
    (28, 896)
    """
    if kind not in PARTED:
        count = size // ELEMENT
        return count, count * ELEMENT
    part = size // (ranks * 16) * 16
    return part // ELEMENT, part * ranks


def header(
    kind: str, hosts: Sequence[int], machine: str, begin: int, end: int, factor: float, notes: Sequence[str]
) -> Iterator[str]:
    """Lines above the rows.

    Parameters
    ----------
    kind : str
        The collective.
    hosts : sequence of int
        Host of each rank.
    machine : str
        What stands for the name of the device.
    begin, end : int
        Smallest and largest size, in bytes.
    factor : float
        Between sizes.
    notes : sequence of str
        Said in lines of their own.
    """
    yield f"# Collective test starting: {kind}"
    yield (
        f"# nThread 1 nGpus {len(hosts)} minBytes {begin} maxBytes {end} step: {factor:g}(factor) "
        "warmup iters: 0 iters: 1 agg iters: 1 validation: 0 graph: 0"
    )
    yield from (f"# {note}" for note in notes)
    yield "#"
    yield "# Using devices"
    seen: dict[int, int] = {}
    for rank, host in enumerate(hosts[:_DEVICES]):
        device = seen.get(host, 0)
        seen[host] = device + 1
        yield (
            f"#  Rank {rank:2d} Group  0 Pid      0 on {'host' + str(host):>10} device {device:2d} "
            f"[simulated] {machine}"
        )
    if len(hosts) > _DEVICES:
        yield f"#  ... {len(hosts) - _DEVICES} more"
    yield "#"
    yield "# " + " " * 50 + "           out-of-place                       in-place          "
    half = _HALF.format("time", "algbw", "busbw", "#wrong")
    yield "# " + _LEAD.format("size", "count", "type", "redop", "root")[2:] + half * 2
    half = _HALF.format("(us)", "(GB/s)", "(GB/s)", "")
    yield "# " + _LEAD.format("(B)", "(elements)", "", "", "")[2:] + half * 2


#: Ranks listed above the table; nccl-tests cuts its list off too.
_DEVICES = 32


def row_text(kind: str, row: Row) -> str:
    """One row.

    Examples
    --------
    >>> print(row_text("all_reduce", Row(1048576, 262144, 74.78e-6, 14.02e9, 24.54e9)))
         1048576        262144     float     sum      -1    74.78   14.02   24.54     N/A...
    """
    half = _HALF.format(_fit(row.time * 1e6, 7), _fit(row.algbw / 1e9, 6), _fit(row.busbw / 1e9, 6), "N/A")
    redop = "sum" if kind in REDUCING else "none"
    root = 0 if kind in ROOTED else -1
    return _LEAD.format(row.size, row.count, "float", redop, root) + half * 2


def footer(rows: Sequence[Row], notes: Sequence[str]) -> Iterator[str]:
    """Lines below the rows; the average counts every row alike, as nccl-tests does."""
    yield from (f"# {note}".rstrip() for note in notes)
    yield f"# {'Out of bounds values':<20} : 0 OK"
    yield f"# {'Avg bus bandwidth':<20} : {_average(rows):g}"


def to_json(
    kind: str, rows: Sequence[Row], *, arguments: Sequence[str], config: dict[str, Any]
) -> dict[str, Any]:
    """The same table as nccl-tests writes it with ``-J``, without the times of day.

    Parameters
    ----------
    kind : str
        The collective.
    rows : sequence of Row
        The rows.
    arguments : sequence of str
        The command line.
    config : dict
        Goes into ``config``.

    Returns
    -------
    dict
        Plain values; time in microseconds, bandwidth in 1e9 bytes/s.
    """
    results = []
    for row in rows:
        half = {
            "time": row.time * 1e6,
            "alg_bw": row.algbw / 1e9,
            "bus_bw": row.busbw / 1e9,
            "nwrong": None,
        }
        results.append(
            {
                "size": row.size,
                "count": row.count,
                "type": "float",
                "redop": "sum" if kind in REDUCING else "none",
                "root": str(0 if kind in ROOTED else -1),
                "out_of_place": half,
                "in_place": half,
                "actual_iterations": 1,
                "experiment_name": kind,
            }
        )
    return {
        "version": 2,
        "args": list(arguments),
        "env": [],
        "config": config,
        "results": results,
        "out_of_bounds": {"count": 0, "okay": "true"},
        "average_bus_bandwidth": {"bandwidth": _average(rows), "okay": "unchecked"},
        "errors": [],
    }


def _average(rows: Sequence[Row]) -> float:
    return sum(row.busbw for row in rows) / len(rows) / 1e9 if rows else 0.0


def _fit(value: float, width: int) -> str:
    """As many of two decimals as the column holds, then powers of ten (``getFloatStr``).

    >>> [_fit(x, 7) for x in (0.5, 9999.0, 16215.0, 1234567.0, 123456789.0)]
    ['0.50', '9999.00', '16215.0', '1234567', '1.2e+08']
    """
    digits, bound = 0, 1
    while value >= bound:
        bound *= 10
        digits += 1
    if digits < width - 2:
        return f"{value:.2f}"
    if digits < width - 1:
        return f"{value:.1f}"
    if digits < width + 1:
        return f"{value:.0f}"
    return f"{value:.1e}" if width >= 7 else f"{value:.0e}"
