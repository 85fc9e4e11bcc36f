"""What hccl_test prints: ``data_size | aveg_time | alg_bandwidth | check_result``.

Columns after CANN's HCCL performance tester guide (hiascend.com, HCCLpertest):
data_size is the data of one NPU in bytes, the time is in microseconds. For
all-gather, reduce-scatter and all-to-all the project, like nccl-tests, counts
the whole buffer.
"""

from __future__ import annotations

import re

from sim.measurements.checks import agree, number, positive_time, refuse_other_units
from sim.measurements.rows import Row, kind_of
from topologies.errors import FormatError

__all__ = ["parse", "reads"]

_PREFIX = re.compile(r"^(?:\[\d+,\d+\]\s*<std(?:out|err)>\s*:?|\d+:)\s?")
_PROGRAM = re.compile(r"\b([a-z][a-z_]*)_test\b")
_ROW = re.compile(r"^\s*(\d+)\s*\|")
_RANKS = (re.compile(r"(?<!\S)-np?\s+(\d+)"), re.compile(r"rank_?size\s*(?:is|[:=])\s*(\d+)", re.IGNORECASE))
_PER_NODE = re.compile(r"(?<!\S)-p\s+(\d+)")


def reads(text: str) -> bool:
    """Whether a text looks like a log of hccl_test."""
    return "alg_bandwidth" in text or ("data_size" in text and "|" in text)


def parse(
    text: str,
    origin: str,
    *,
    collective: str | None = None,
    ranks: int | None = None,
    nodes: int | None = None,
) -> tuple[list[Row], list[str]]:
    """Read a log; parameters, results and errors as for `sim.measurements.nccl_tests.parse_text`.

    Examples
    --------
    >>> log = '''mpirun -n 8 ./bin/all_reduce_test -b 8K -e 64M -f 2 -d fp32 -o sum -p 8
    ... data_size(Bytes): | aveg_time(us): | alg_bandwidth(GB/s): | check_result:
    ... 67108864          |    2630.20     |      25.51474        | success'''
    >>> rows, _ = parse(log, "log.txt")
    >>> rows[0].collective, rows[0].n_ranks, rows[0].message_bytes
    ('all_reduce', 8, 67108864.0)
    """
    rows: list[Row] = []
    notes: list[str] = []
    program = ""
    count, hosts = ranks or 0, nodes or 0
    for at, raw in enumerate(text.splitlines(), 1):
        line = _PREFIX.sub("", raw.replace("\x00", ""))
        where = f"{origin}:{at}"
        if "data_size" in line:
            refuse_other_units(line, where)
        elif "|" not in line:
            found = _PROGRAM.search(line.replace("hccl_test", ""))
            if found:
                program = found[1]
                matches = [m for m in (pattern.search(line) for pattern in _RANKS) if m]
                count = ranks or (int(matches[0][1]) if matches else count)
                each = _PER_NODE.search(line)
                if each and not nodes and count:
                    hosts = -(-count // max(1, int(each[1])))
        if not _ROW.match(line):
            continue
        cells = [c.strip() for c in line.split("|")]
        if len(cells) < 3 or not cells[1] or not cells[2]:
            raise FormatError(f"{where}: the row is cut off; give the whole log or remove the row")
        size, time_us = number(cells[0], "data_size", where), number(cells[1], "aveg_time", where)
        if size == 0:
            notes.append(f"{where}: a message of 0 bytes, left out")
            continue
        positive_time(time_us, where)
        if len(cells) > 3 and cells[3].lower().startswith("fail"):
            notes.append(f"{where}: check_result is failed, left out")
            continue
        agree(size, time_us, number(cells[2], "alg_bandwidth", where), where)
        if not count:
            raise FormatError(f"{where}: the log does not say how many ranks ran; give --ranks")
        named = kind_of(program, where) if program else None
        asked = kind_of(collective, "--collective") if collective else None
        if named and asked and named != asked:
            raise FormatError(f"{where}: the log is of {named}, not of {asked} as asked; give the right log")
        if not (named or asked):
            raise FormatError(f"{where}: the log does not say which collective it is of; give --collective")
        kind = str(named or asked)
        whole = count if kind == "all_gather" else 1
        rows.append(Row(kind, count, hosts or 1, size * whole, time_us, where))
    if not rows:
        raise FormatError(f"{origin}: no row of results; give the whole output of hccl_test")
    return rows, notes
