"""What nccl-tests and rccl-tests print, as text and as JSON (``-J``).

A text log may hold several runs, prefixes of mpirun, srun or kubectl
(``[1,0]<stdout>:``, ``0: ``), and lines of anything else between the rows. The
columns are those of doc/PERFORMANCE.md of NVIDIA/nccl-tests: size, count, type,
redop, root, then time, algbw, busbw and errors, out of place and in place.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from sim.measurements.checks import agree, number, positive_time, refuse_other_units
from sim.measurements.rows import ELEMENT_BYTES, Row, kind_of
from topologies.errors import FormatError

__all__ = ["parse_json", "parse_text", "reads"]

_PREFIX = re.compile(r"^(?:\[\d+,\d+\]\s*<std(?:out|err)>\s*:?|\[[^\]\s]*:?\d+\]:?(?=\s*#)|\d+:)\s?")
_DEVICE = re.compile(
    r"^#\s+Rank\s+(\d+)\s+(?:Group\s+\d+\s+)?Pid\s+\d+\s+on\s+(\S+)\s+device\s+\d+", re.IGNORECASE
)
_PROGRAM = re.compile(r"\b([a-z][a-z_]*)_perf\b")
_FORCED = {
    "algorithm": re.compile(r"\bNCCL_ALGO[=:]\s*\"?([A-Za-z]+)\"?(?![,;A-Za-z])"),
    "protocol": re.compile(r"\bNCCL_PROTO[=:]\s*\"?([A-Za-z0-9]+)\"?(?![,;A-Za-z0-9])"),
}
_TYPES = "|".join(sorted(map(re.escape, ELEMENT_BYTES), key=len, reverse=True))
_ROW = re.compile(rf"^\s*(\S+)\s+(\d+)\s+({_TYPES})\b(.*)$")
_REDOPS = {"sum", "prod", "max", "min", "avg", "mulsum", "all", "none"}


@dataclass
class _Table:
    """A run within a log: its devices, and what is known of it."""

    line: int
    hosts: dict[int, str] = field(default_factory=dict)
    program: str = ""
    forced: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[int, float, float, float, float, bool]] = field(default_factory=list)
    ended: bool = False


def reads(text: str) -> bool:
    """Whether a text looks like a log of nccl-tests."""
    return "algbw" in text or bool(_PROGRAM.search(text)) or any(map(_row_of, text.splitlines()))


def parse_text(
    text: str,
    origin: str,
    *,
    collective: str | None = None,
    ranks: int | None = None,
    nodes: int | None = None,
) -> tuple[list[Row], list[str]]:
    """Read a log.

    Parameters
    ----------
    text : str
    origin : str
        The file, for messages and the rows' source.
    collective : str, optional
        What the log must be of, where it does not say so itself.
    ranks, nodes : int, optional
        Where the log lists no devices.

    Returns
    -------
    rows : list of Row
    notes : list of str
        What was left out, one line each.

    Raises
    ------
    FormatError, UnknownNameError
        If the log is cut off, of another collective, in other units, or contradicts itself.

    Examples
    --------
    >>> log = '''# Collective test starting: all_reduce_perf
    ... #  Rank  0 Group  0 Pid  1 on node1 device  0 [0000:04:00] NVIDIA H100
    ... #  Rank  1 Group  0 Pid  1 on node1 device  1 [0000:05:00] NVIDIA H100
    ... [1,0]<stdout>:  1048576  262144  float  sum  -1   14.70   71.33   71.33   0   14.5   72.3   72.3   0
    ... # Avg bus bandwidth    : 71.33'''
    >>> rows, notes = parse_text(log, "log.txt")
    >>> rows[0].collective, rows[0].n_ranks, rows[0].time_us
    ('all_reduce', 2, 14.7)
    """
    notes: list[str] = []
    tables = _tables(text, origin, notes)
    if not any(t.rows for t in tables):
        raise FormatError(f"{origin}: no row of results; give the whole output of nccl-tests")
    rows: list[Row] = []
    for table in tables:
        if table.rows:
            rows += _finish(table, origin, collective, ranks, nodes, notes)
    return rows, notes


def _tables(text: str, origin: str, notes: list[str]) -> list[_Table]:
    tables = [_Table(1)]
    program, forced = "", {}
    rooted: bool | None = None
    for at, raw in enumerate(text.splitlines(), 1):
        line = _PREFIX.sub("", raw.replace("\x00", "")).rstrip()
        where = f"{origin}:{at}"
        table = tables[-1]
        found = _PROGRAM.search(line)
        if found:
            program = found[1]
        for key, pattern in _FORCED.items():
            match = pattern.search(line)
            if match:
                forced[key] = match[1]
        device = _DEVICE.match(line)
        starts = re.match(r"^#\s*nThread", line) is not None or "Collective test starting" in line
        if (starts or (device and int(device[1]) == 0)) and (table.rows or table.ended):
            tables.append(table := _Table(at))
        if device:
            table.hosts[int(device[1])] = device[2]
        table.program, table.forced = table.program or program, table.forced or dict(forced)
        if found:
            table.program = found[1]
        if line.startswith("#"):
            refuse_other_units(line, where)
            table.ended |= "Avg bus bandwidth" in line
            if "busbw" in line:
                rooted = "root" in line.split()
            continue
        values = _row_of(line)
        if values is None:
            continue
        row = _read_row(at, values, rooted, where, notes)
        if row is not None:
            table.rows.append(row)
    return tables


def _row_of(line: str) -> list[str] | None:
    match = _ROW.match(_PREFIX.sub("", line))
    return [match[1], match[2], match[3], *match[4].split()] if match else None


def _read_row(
    at: int, values: list[str], rooted: bool | None, where: str, notes: list[str]
) -> tuple[int, float, float, float, float, bool] | None:
    size, count, kind, *rest = values
    if size == "0" or count == "0":
        notes.append(f"{where}: a message of 0 bytes, left out")
        return None
    redop = rest[0].lower() if rest and rest[0].lower() in _REDOPS else ""
    if redop:
        rest = rest[1:]
    if rooted is None:
        # No heading: with a root there are 5 or 9 more columns, without one 4 or 8.
        rooted = len(rest) in (5, 9) and re.fullmatch(r"-?\d+", rest[0]) is not None
    if rooted:
        rest = rest[1:]
    # Lines of other ranks may break into a row: what is left of it counts.
    figures = []
    for word in rest:
        if not re.fullmatch(r"-?\d+(\.\d*)?(e[+-]?\d+)?|N/A", word):
            break
        figures.append(word)
    if len(figures) < 3 and len(figures) < len(rest):
        notes.append(f"{where}: the row is torn by another line, left out")
        return None
    if len(figures) < 3 or (len(figures) == 3 == len(rest)):
        raise FormatError(
            f"{where}: the row ends after {len(values)} columns, it is cut off; "
            "give the whole log or remove the row"
        )
    if 4 < len(rest) < 8 and len(figures) == len(rest):
        notes.append(f"{where}: the row is cut off after its out-of-place figures, which are kept")
    if not re.fullmatch(r"\d+(\.\d+)?(e\+?\d+)?", size):
        raise FormatError(f"{where}: size (={size!r}) is not a number of bytes; sizes must not carry units")
    moved, elements = number(size, "size", where), number(count, "count", where)
    if figures[0] == "N/A":
        notes.append(f"{where}: no time out of place, left out")
        return None
    time_us = positive_time(number(figures[0], "time", where), where)
    algbw, busbw = number(figures[1], "algbw", where), number(figures[2], "busbw", where)
    agree(moved, time_us, algbw, where)
    ratio = busbw / algbw if algbw >= 1 else 0.0
    return at, moved, elements * ELEMENT_BYTES[kind], time_us, ratio, redop not in ("", "none")


def _finish(
    table: _Table, origin: str, collective: str | None, ranks: int | None, nodes: int | None, notes: list[str]
) -> list[Row]:
    where = f"{origin}:{table.line}"
    count = len(table.hosts) or ranks or 0
    if not count:
        raise FormatError(f"{where}: no device is listed, so the number of ranks is unknown; give --ranks")
    missing = sorted(set(range(count)) - set(table.hosts)) if table.hosts else []
    if missing:
        raise FormatError(f"{where}: rank {missing[0]} is not among the devices listed; give the whole log")
    kind = _kind(table, where, count, collective, notes)
    _consistent(table, origin, kind, count)
    if not table.ended:
        notes.append(f"{where}: no line '# Avg bus bandwidth' ends the table; it may be cut off")
    hosts = len(set(table.hosts.values())) or nodes or 1
    return [
        Row(
            kind, count, hosts, size, time_us, f"{origin}:{at}",
            table.forced.get("algorithm", ""), table.forced.get("protocol", ""),
        )
        for at, size, _, time_us, _, _ in table.rows
    ]  # fmt: skip


def _kind(table: _Table, where: str, ranks: int, collective: str | None, notes: list[str]) -> str:
    named = kind_of(table.program, where) if table.program else None
    asked = kind_of(collective, "--collective") if collective else None
    if named and asked and named != asked:
        raise FormatError(f"{where}: the log is of {named}, not of {asked} as asked; give the right log")
    if named or asked:
        return str(named or asked)
    ratios = sorted(ratio for *_, ratio, _ in table.rows if ratio)
    ratio = ratios[len(ratios) // 2] if ratios else 0.0
    reduces = any(redop for *_, redop in table.rows)
    if ranks > 2 and reduces and abs(ratio - 2 * (ranks - 1) / ranks) < 0.04:
        found = "all_reduce"
    elif ranks > 2 and reduces and abs(ratio - (ranks - 1) / ranks) < 0.04:
        found = "reduce_scatter"
    else:
        raise FormatError(f"{where}: the log does not say which collective it is of; give --collective")
    notes.append(f"{where}: taken for {found}, since busbw / algbw is {ratio:.3g}")
    return found


def _consistent(table: _Table, origin: str, kind: str, ranks: int) -> None:
    """Sizes against elements, and bus bandwidth against the collective's factor."""
    from sim.bounds import bus_factor

    share = {1.0, float(ranks), 1.0 / ranks}
    for at, size, held, *_ in table.rows:
        # All-gather and kin: older versions print the elements of one rank.
        if held and not any(
            abs(size / held / s - 1) < 0.02 or abs(size - held * s) < 16 * ranks for s in share
        ):
            raise FormatError(
                f"{origin}:{at}: size (={size:g} B) and count (={held:g} B) differ: sizes are mixed up"
            )
    factor = 1.0 if kind in ("sendrecv", "send") else bus_factor(kind, ranks)
    for at, *_, ratio, _ in table.rows:
        if ratio and abs(ratio - factor) > 0.06 * max(factor, 1):
            raise FormatError(
                f"{origin}:{at}: busbw is {ratio:.3g} times algbw, where {kind} of {ranks} ranks has "
                f"{factor:.3g}; this is a log of another collective or rank count"
            )


def parse_json(
    content: dict[str, Any], origin: str, *, collective: str | None = None, ranks: int | None = None
) -> tuple[list[Row], list[str]]:
    """Read a JSON file of nccl-tests (``-J``).

    Parameters and errors are those of `parse_text`.
    """
    results = content.get("results", content.get("rows"))
    if not isinstance(results, list) or not results:
        raise FormatError(f"{origin}: no 'results'; give the JSON that nccl-tests -J writes")
    config = content.get("config") if isinstance(content.get("config"), dict) else {}
    assert isinstance(config, dict)
    devices = config.get("devices") or content.get("devices") or []
    hosts = {str(d.get("host", d.get("hostname", ""))) for d in devices if isinstance(d, dict)}
    count = len(devices) or ranks or int(config.get("nranks") or content.get("nranks") or 0)
    if not count:
        shape = [config.get("nthreads"), config.get("ngpus"), config.get("nprocs", 1)]
        if all(isinstance(x, int) for x in shape):
            count = math.prod(shape)
    if not count:
        raise FormatError(f"{origin}: no config.devices, so the number of ranks is unknown; give --ranks")
    text = " ".join(map(str, content.get("args", []) or [])) + " " + str(content.get("test", ""))
    program = _PROGRAM.search(text)
    table = _Table(1, program=program[1] if program else str(content.get("collective", "")))
    environment = json.dumps(content.get("env", {})).replace('": "', "=")
    for key, pattern in _FORCED.items():
        match = pattern.search(environment)
        if match:
            table.forced[key] = match[1]
    notes: list[str] = []
    for i, result in enumerate(results):
        where = f"{origin}: results[{i}]"
        if not isinstance(result, dict) or not isinstance(result.get("out_of_place"), dict):
            raise FormatError(f"{where}: no 'out_of_place'; the file is cut off or of another tool")
        timed = result["out_of_place"]
        size = number(result.get("size"), "size", where)
        if size == 0:
            notes.append(f"{where}: a message of 0 bytes, left out")
            continue
        time_us = positive_time(number(timed.get("time"), "time", where), where)
        algbw, busbw = float(timed.get("alg_bw") or 0.0), float(timed.get("bus_bw") or 0.0)
        agree(size, time_us, algbw, where)
        redop = str(result.get("redop", "none")).lower() not in ("none", "")
        table.rows.append((i, size, 0.0, time_us, busbw / algbw if algbw >= 1 else 0.0, redop))
    table.hosts = dict.fromkeys(range(count), "")
    table.ended = True
    rows = _finish(table, origin, collective, ranks, None, notes)
    many = max(1, len(hosts))
    return [Row(**{**_fields(row), "n_nodes": many}) for row in rows], notes


def _fields(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Row.__slots__}
