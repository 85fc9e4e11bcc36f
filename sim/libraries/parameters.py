"""Parameters of a library: figures with evidence, each at a dotted path.

A library's TOML is a tree of tables; a table with ``value`` is a figure, and its
path is its name: ``protocol.ll.network.step``. What a path may be:

=====================================  ==========================================================
``launch``                             seconds once for every collective
``protocol.PROTOCOL.KEY``              of a protocol: `PROTOCOL_KEYS`
``protocol.PROTOCOL.HOP.KEY``          of a protocol on a kind of hop: `HOP_KEYS`
``family.FAMILY.PROTOCOL[.HOP].KEY``   the same for a family of algorithms; goes before the protocol's
``hop.HOP.KEY``                        of a kind of hop, whatever the protocol: `WAY_KEYS`
``choice.…``                           what the library plans with (`CHOICE_KEYS`), not what is simulated
``where.ATTRIBUTE.VALUE.PATH``         the figure at PATH on graphs with this attribute, such as
                                       ``where.generation.hopper.family.ring.ll128.channel``
=====================================  ==========================================================

HOP is ``scale_up`` (inside a scale-up domain), ``host`` (over a host's bus) or
``network``. What no figure says has the neutral default of its key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from topologies import units
from topologies.errors import ChipweaveError, LibraryError, UnitError, nearest

__all__ = ["CHOICE_KEYS", "HOPS", "HOP_KEYS", "PROTOCOL_KEYS", "WAY_KEYS", "Figure", "Parameters", "flat"]

#: Kinds of hop, in the order of their codes.
HOPS = ("scale_up", "host", "network")

#: Attributes that figures are kept for, the more particular the later.
PRECEDENCE = ("generation", "cpu", "network", "machine", "environment")

#: Ends of the soft figures; low is the slower library.
ESTIMATES = ("low", "nominal", "high")

#: Of a normal distribution, nine tenths lie within so many times the median deviation.
SPREADS = 2.44

#: What a key measures: a unit, and whether less of it is faster.
TIME, BANDWIDTH, SIZE, SHARE, FACTOR, EXTRA, COUNT, TABLE = (
    "time", "bandwidth", "size", "share", "factor", "extra", "count", "table",
)  # fmt: skip

#: Of a protocol (or of a family with it): what it measures, and its default.
PROTOCOL_KEYS: dict[str, tuple[str, float]] = {
    "base": (TIME, math.nan),  # once for every collective; by default `launch`
    "spread": (TIME, 0.0),  # starting all channels takes so much longer than one ...
    "spread_bytes": (SIZE, 0.0),  # ... which messages of so many bytes do
    "own_rate": (BANDWIDTH, math.inf),  # a chip moves its own part, once, beside the steps
    "issue_rate": (BANDWIDTH, math.inf),  # it hands over all that it sends, message by message
    "fill": (SIZE, 0.0),  # so many bytes of each rank fill the pipeline ...
    "fill_rate": (BANDWIDTH, math.inf),  # ... at this rate, beside the steps
    "base_rank": (TIME, 0.0),  # and for every rank
    "wire": (FACTOR, 1.0),  # bytes on the wire for each of payload
    "efficiency": (SHARE, 1.0),  # share of a link's rate it reaches, on every kind of hop
    "channel": (BANDWIDTH, math.inf),  # most payload of a channel
    "chunk": (SIZE, math.inf),  # bytes a channel moves at a time
    "chunk_least": (SIZE, math.inf),  # and no fewer where chunks fill a pipeline
    "window": (FACTOR, 1.0),  # chunks on their way at once
    "reduce_rate": (BANDWIDTH, math.inf),  # a chip adds what has arrived
    "plateau": (FACTOR, 1.0),  # steps on several hosts take so much longer ...
    "plateau_bytes": (SIZE, 0.0),  # ... from so many bytes a transfer on
}

#: Of a protocol on a kind of hop.
HOP_KEYS: dict[str, tuple[str, float]] = {
    "step": (TIME, 0.0),  # before a transfer is there, see hop.HOP.wire
    "post": (TIME, 0.0),  # to hand the transfer to the NIC
    "flush": (TIME, 0.0),  # until what has arrived may be read
    "chunk_step": (TIME, 0.0),  # every chunk after the first
    "efficiency": (SHARE, 1.0),  # share of the link's rate
    "slices": (COUNT, 1.0),  # pieces of a chunk that a ring sends on while the rest comes in
    "short": (TIME, 0.0),  # a message takes so much longer ...
    "short_bytes": (SIZE, 0.0),  # ... below so many bytes (the host copies it)
    "rendezvous": (TIME, 0.0),  # and so much longer ...
    "rendezvous_bytes": (SIZE, 0.0),  # ... above so many (the receiver is asked first)
    "window": (FACTOR, math.nan),  # chunks on their way at once; by default the protocol's
    "half": (SIZE, 0.0),  # chunk that moves at half the rate: peak s / (s + half)
    "cap": (BANDWIDTH, math.inf),  # most payload of one transfer
}

#: Of a kind of hop.
WAY_KEYS: dict[str, tuple[str, float]] = {
    "wire": (TIME, 0.0),  # latency of links that the steps above already hold
    "skew": (TIME, 0.0),  # a step waits so much longer for each e-fold of ranks or hosts
    "congestion": (EXTRA, 0.0),  # and its bytes take such a share longer
    "shared": (TIME, 0.0),  # a step, for every further chip at the same NIC
    "channels": (COUNT, 1.0),  # channels the library runs
}

#: What NCCL's cost model plans with, by the form of its path after ``choice.``.
CHOICE_KEYS: dict[str, str] = {
    r"base\.\w+\.\w+": TIME,
    r"step\.(scale_up|host|network)\.\w+\.\w+": TIME,
    r"post": TIME,
    r"flush": TIME,
    r"efficiency\.\w+\.\w+(\.(one|more))?": SHARE,
    r"divide\.\w+\.\w+": FACTOR,
    r"most\.\w+\.\w+\.(one|two|more)": BANDWIDTH,
    r"channel\.\w+\.\w+\.(one|two|more)": BANDWIDTH,
    r"channels": COUNT,
    r"plateau": FACTOR,
    r"plateau_bytes": SIZE,
    r"grouped_bytes": SIZE,
    r"correction\.\w+": TABLE,
    r"step_rank\.\w+": TIME,
    r"log_divide\.\w+": FACTOR,
    r"both_ways\.\w+": FACTOR,
}

EVIDENCE = ("measured", "vendor", "derived", "assumed")
LESS_IS_FASTER = (TIME, FACTOR, EXTRA)


@dataclass(frozen=True, slots=True)
class Figure:
    """A value in SI units with the evidence for it, and how soft it is.

    Attributes
    ----------
    value, low, high : float, or tuple of float for a table
        Low and high are None where the figure is not soft.
    evidence, source : str
    range : mapping
        Of a fitted figure: smallest and largest ``ranks``, ``hosts`` and ``bytes`` measured.
    residual : float
        Of a fitted figure: median error of the rows it was fitted to with the others; nan
        where it was not fitted.
    """

    value: Any
    evidence: str = "assumed"
    source: str = ""
    low: Any = None
    high: Any = None
    range: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    residual: float = math.nan


class Parameters:
    """All figures of a library by path.

    Parameters
    ----------
    figures : dict of Figure by path

    Examples
    --------
    >>> mine = Parameters.read({"protocol": {"ll": {"network": {"step": {"value": "3 us"}}}}}, "mine.toml")
    >>> mine.value("protocol.ll.network.step"), mine.value("protocol.ll.wire")
    (3e-06, 1.0)
    """

    def __init__(self, figures: dict[str, Figure]) -> None:
        self.figures = figures
        self._asked = sorted({p.split(".", 2)[1] for p in figures if p.startswith("where.")})
        self._on: dict[tuple[str, ...], Parameters] = {}
        self._names: dict[str, list[str]] = {}

    @classmethod
    def read(cls, tables: Mapping[str, Any], where: str) -> Parameters:
        """Read the tables of a TOML file.

        Raises
        ------
        LibraryError, UnitError, UnknownNameError
            Naming the file, the path and the value.
        """
        return cls({path: read_figure(table, path, where) for path, table in flat(tables, "", where)})

    def replaced(self, given: Mapping[str, Any], where: str = "parameters") -> Parameters:
        """With other values at some paths.

        A value for a path goes before what the library says of it on certain
        machines (``where.….PATH``), so that what is given is what is used.

        Parameters
        ----------
        given : mapping
            Path to a number in SI units, text with a unit, or a table as in TOML.

        Raises
        ------
        UnknownNameError
            If there is no such path; the nearest are named.
        """
        figures = dict(self.figures)
        for path, value in given.items():
            kind_of(path, self)
            table = value if isinstance(value, Mapping) else {"value": value}
            if not isinstance(value, Mapping):
                table = {**table, "evidence": "assumed", "source": where}
            if not path.startswith("where."):
                for other in [p for p in figures if p.startswith("where.") and p.endswith(f".{path}")]:
                    if other.split(".", 3)[3] == path:
                        del figures[other]
            figures[path] = read_figure(table, path, where)
        return Parameters(figures)

    def at(self, estimate: str) -> Parameters:
        """With the ends of the soft figures as their values; low is the slower library.

        Figures that were fitted together are not taken to the ends of their own intervals
        all at once: each makes up for others, and the times they give together are known
        as well as the rows they were fitted to. They become slower, or faster, by
        `SPREADS` times what the residual says of the spread.

        Raises
        ------
        UnknownNameError
            If there is no such estimate.
        """
        if estimate not in ESTIMATES:
            raise nearest("estimate", estimate, ESTIMATES)
        if estimate == "nominal":
            return self
        return Parameters({path: _end(path, figure, estimate) for path, figure in self.figures.items()})

    def on(self, attributes: Mapping[str, Any]) -> Parameters:
        """As they are on a machine with these graph attributes.

        Where several say something of one path, the attribute that is later in
        `PRECEDENCE` counts: what a site measured goes before what its network does.
        """
        key = tuple(str(attributes.get(name)) for name in self._asked)
        if key not in self._on:
            figures = {p: f for p, f in self.figures.items() if not p.startswith("where.")}
            found: list[tuple[int, str, Figure]] = []
            for path, figure in self.figures.items():
                if path.startswith("where."):
                    _, attribute, value, rest = path.split(".", 3)
                    if str(attributes.get(attribute)) == value:
                        place = PRECEDENCE.index(attribute) if attribute in PRECEDENCE else -1
                        found.append((place, rest, figure))
            for _, rest, figure in sorted(found, key=lambda f: f[0]):
                figures[rest] = figure
            self._on[key] = Parameters(figures)
        return self._on[key]

    def value(self, path: str) -> float:
        """The value at a path; the neutral default of its key where no figure says.

        Raises
        ------
        UnknownNameError
            If there can be no such path.
        """
        figure = self.figures.get(path)
        if figure is not None:
            return figure.value  # type: ignore[no-any-return]
        return kind_of(path, self)[1]

    def own(self, family: str, protocol: str, key: str, hop: str = "") -> float:
        """Value of a key for a family of algorithms, else for the protocol, else its default."""
        tail = f"{hop}.{key}" if hop else key
        for path in (f"family.{family}.{protocol}.{tail}", f"protocol.{protocol}.{tail}"):
            figure = self.figures.get(path)
            if figure is not None:
                return figure.value  # type: ignore[no-any-return]
        return (HOP_KEYS if hop else PROTOCOL_KEYS)[key][1]

    def names(self, table: str) -> list[str]:
        """Names that stand under ``protocol``, ``family``, ..., in order."""
        if table not in self._names:
            each = [path.split(".", 2) for path in self.figures if path.startswith(f"{table}.")]
            self._names[table] = list(dict.fromkeys(parts[1] for parts in each if len(parts) > 2))
        return list(self._names[table])

    def paths(self) -> list[str]:
        """Every path a value can be given for, sorted: those with figures and those with defaults."""
        protocols, families = self.names("protocol"), self.names("family")
        heads = [f"protocol.{p}" for p in protocols]
        heads += [f"family.{f}.{p}" for f in families for p in protocols]
        found = {"launch", *self.figures}
        for head in heads:
            found.update(f"{head}.{key}" for key in PROTOCOL_KEYS)
            found.update(f"{head}.{hop}.{key}" for hop in HOPS for key in HOP_KEYS)
        found.update(f"hop.{hop}.{key}" for hop in HOPS for key in WAY_KEYS)
        return sorted(found)


def kind_of(path: str, parameters: Parameters | None = None) -> tuple[str, float]:
    """What the key of a path measures, and its default.

    Raises
    ------
    UnknownNameError
        If there can be no such path; the nearest are named.

    Examples
    --------
    >>> kind_of("protocol.simple.network.efficiency")
    ('share', 1.0)
    """
    found = _kind(path.split("."))
    if found is None:
        known = parameters.paths() if parameters is not None else []
        raise nearest("parameter", path, known or _FORMS)
    return found


_FORMS = ("launch", "protocol.NAME.KEY", "protocol.NAME.HOP.KEY", "family.NAME.PROTOCOL.KEY", "hop.HOP.KEY")
_NAME = re.compile(r"[a-z0-9_]+$")


def _kind(parts: list[str]) -> tuple[str, float] | None:
    head, rest = parts[0], parts[1:]
    if parts == ["launch"]:
        return TIME, 0.0
    if head == "where" and len(rest) > 2:
        return _kind(rest[2:]) if rest[2] != "where" else None
    if head == "hop" and len(rest) == 2 and rest[0] in HOPS:
        return WAY_KEYS.get(rest[1])
    if head == "choice":
        tail = ".".join(rest)
        return next(((kind, 0.0) for form, kind in CHOICE_KEYS.items() if re.fullmatch(form, tail)), None)
    names = {"protocol": 1, "family": 2}.get(head, 0)
    if not names or not all(_NAME.match(name) for name in rest[:names]):
        return None
    tail_parts = rest[names:]
    if len(tail_parts) == 1:
        return PROTOCOL_KEYS.get(tail_parts[0])
    if len(tail_parts) == 2 and tail_parts[0] in HOPS:
        return HOP_KEYS.get(tail_parts[1])
    return None


def flat(tables: Mapping[str, Any], path: str, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Figures of nested tables with their paths, in order."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for key, table in tables.items():
        here = f"{path}.{key}" if path else key
        if not isinstance(table, Mapping):
            raise LibraryError(f"{where}: {here} (={table!r}) must be a table with value, evidence, source")
        found += [(here, table)] if "value" in table else flat(table, here, where)
    return found


def read_figure(table: Mapping[str, Any], path: str, where: str) -> Figure:
    """A figure from its table.

    Raises
    ------
    LibraryError, UnitError, UnknownNameError
        Naming the file, the path and the value.
    """
    try:
        kind, _ = kind_of(path)
    except ChipweaveError as error:
        raise type(error)(f"{where}: {error}") from None
    known = {"value", "low", "high", "evidence", "source", "residual", "range"}
    if strange := sorted(set(table) - known):
        raise LibraryError(f"{where}: {path} has {strange[0]!r}; a figure has {', '.join(sorted(known))}")
    evidence = str(table.get("evidence", "assumed"))
    if evidence not in EVIDENCE:
        raise LibraryError(f"{where}: {path}.evidence (={evidence!r}) must be one of {', '.join(EVIDENCE)}")
    read = [_read(table.get(end), kind, f"{where}: {path}") for end in ("value", "low", "high")]
    if (read[1] is None) != (read[2] is None):
        raise LibraryError(f"{where}: {path} has only one of low and high; give both or neither")
    if read[1] is not None and not read[1] <= read[0] <= read[2]:
        raise LibraryError(f"{where}: {path}: low ({read[1]:g}) <= value ({read[0]:g}) <= high ({read[2]:g})")
    return Figure(
        read[0], evidence, str(table.get("source", "")), read[1], read[2], _range(table, f"{where}: {path}"),
        _residual(table, f"{where}: {path}"),
    )  # fmt: skip


def _residual(table: Mapping[str, Any], name: str) -> float:
    """Median error of a fit, a share >= 0; nan where the figure was not fitted."""
    given = table.get("residual", math.nan)
    if isinstance(given, bool) or not isinstance(given, int | float) or given < 0:
        raise LibraryError(f"{name}.residual (={given!r}) must be a number >= 0: the fit's median error")
    return float(given)


def _range(table: Mapping[str, Any], name: str) -> dict[str, tuple[float, float]]:
    """What a figure was fitted over: ``{ ranks = [2, 8], hosts = [1, 1], bytes = [8, 1024] }``."""
    given = table.get("range", {})
    good = isinstance(given, Mapping) and all(
        isinstance(ends, list | tuple) and len(ends) == 2 and all(isinstance(x, int | float) for x in ends)
        for ends in given.values()
    )
    if not good:
        raise LibraryError(f"{name}.range (={given!r}) must be a table such as {{ ranks = [2, 8] }}")
    return {str(key): (float(ends[0]), float(ends[1])) for key, ends in given.items()}


def _time(x: object, name: str) -> float:
    return units.duration(x, name=name)


def _bandwidth(x: object, name: str) -> float:
    return math.inf if x == math.inf else units.bandwidth(x, name=name)


def _size(x: object, name: str) -> float:
    return math.inf if x == math.inf else units.size(x, name=name, zero=True)


def _number(least: float, most: float, says: str) -> Callable[[object, str], float]:
    def read(x: object, name: str) -> float:
        good = isinstance(x, int | float) and not isinstance(x, bool)
        if not good or not least <= float(x) <= most:  # type: ignore[arg-type]
            raise LibraryError(f"{name} (={x!r}) must be {says}")
        return float(x)  # type: ignore[arg-type]

    return read


def _table(x: object, name: str) -> tuple[float, ...]:
    if not isinstance(x, list | tuple) or not x:
        raise LibraryError(f"{name} (={x!r}) must be a list of numbers > 0")
    return tuple(_number(1e-9, math.inf, "a list of numbers > 0")(v, name) for v in x)


_READERS: dict[str, Callable[[object, str], Any]] = {
    TIME: _time,
    BANDWIDTH: _bandwidth,
    SIZE: _size,
    # Relative to what the link is said to give, which may be a little low.
    SHARE: _number(1e-9, 2.0, "a share > 0 and <= 2"),
    FACTOR: _number(1.0, math.inf, "a number >= 1"),
    EXTRA: _number(0.0, math.inf, "a number >= 0"),
    COUNT: _number(1.0, math.inf, "a number >= 1"),
    TABLE: _table,
}


def _read(value: object, kind: str, name: str) -> Any:
    if value is None:
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        raise UnitError(f"{name} (=nan) is not a number")
    return _READERS[kind](value, name)


def _end(path: str, figure: Figure, estimate: str) -> Figure:
    if "choice" in path.split("."):
        return figure  # a band is of one plan; another would be another curve
    if figure.residual == figure.residual:
        slower = (1.0 + figure.residual) ** (SPREADS if estimate == "low" else -SPREADS)
        kind = kind_of(path)[0]
        factor = slower if kind == TIME else 1 / slower if kind in (BANDWIDTH, SHARE) else 1.0
        return replace(figure, value=figure.value * factor)
    if figure.low is None:
        return figure
    slow_end_is_high = kind_of(path)[0] in LESS_IS_FASTER
    end = figure.high if (estimate == "low") == slow_end_is_high else figure.low
    return replace(figure, value=end)
