"""Sweep files: from TOML to points, checked whole before the first of them is run.

``[sweep]`` is a grid: every key is the name of an argument of `sim.collective`
or of `topologies.machine`, or an option of an algorithm, and holds a value or a
list of them; ``[sweep.link.TIER]`` sets figures of the links of a tier. With
``[sweep.random]`` so many points are drawn instead. ``[[point]]`` adds single
points. docs/sweeps.md is the reference.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from scenarios.sweep.axes import Axis, Key, Range, read_axis, read_value
from scenarios.sweep.meaning import Meaning, known_keys
from scenarios.sweep.point import Point
from topologies.errors import CapacityError, ChipweaveError, FormatError, nearest
from topologies.links import FIGURES

__all__ = ["Specification", "parse", "read"]

#: Points of one file; each takes about a kilobyte while the sweep lasts.
MOST_POINTS = 2_000_000

#: A draw may repeat another; after so many draws for each point the axes are used up.
_DRAWS = 50


@dataclass(frozen=True)
class Specification:
    """What a sweep file asks for.

    Attributes
    ----------
    points : list of Point
        In the order of the file, none twice.
    descriptions : dict
        The machines as JSON, by the digest of their figures.
    text : str
        The file.
    name : str
        What it is called.
    """

    points: list[Point]
    descriptions: dict[str, str]
    text: str
    name: str


def read(path: Path) -> Specification:
    """Read a sweep file.

    Raises
    ------
    FormatError
        If it cannot be read, or a key has no meaning; the message has the key path.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FormatError(f"cannot read '{path}': {reason}; give the path of a sweep file") from error
    return parse(text, path.name, path.parent)


def parse(text: str, name: str = "sweep", folder: Path = Path()) -> Specification:
    """Read the text of a sweep file.

    Parameters
    ----------
    text : str
        TOML.
    name : str
        What it is called in messages.
    folder : Path
        Where paths of machine descriptions start.

    Raises
    ------
    FormatError
        As for `read`; the first fault, and how many more there are.
    CapacityError
        If there are more points than memory has room for.

    Examples
    --------
    >>> asked = parse('[sweep]\\nmachine = "hgx-h100"\\nchips = "8:32"\\nsize = ["1 MiB", "64 MiB"]')
    >>> len(asked.points), asked.points[-1].cluster.chips
    (6, 32)
    >>> parse('[sweep]\\nmachine = "hgx-h10"\\nsize = "1 MiB"')  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    topologies.errors.FormatError: sweep: sweep.machine: unknown machine 'hgx-h10'; did you mean ...
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"{name}: no TOML: {error}; correct the file there") from error
    return _Reading(name, folder).specification(content, text)


class _Reading:
    """One file being read; collects its faults, so that the message can count them."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.faults: list[str] = []
        self.meaning = Meaning()

    def specification(self, content: dict[str, Any], text: str) -> Specification:
        for key in content:
            if key not in ("sweep", "point"):
                self.fault(f"{key}: unknown table; a sweep file has [sweep] and [[point]]")
        grid, points = content.get("sweep"), content.get("point", [])
        if not isinstance(grid, dict | None):
            self.fault("sweep: must be one table, [sweep]")
        if not isinstance(points, list) or not all(isinstance(one, dict) for one in points):
            self.fault("point: must be a list of tables, [[point]]")
        if not grid and not points:
            self.fault("nothing to run; write a table [sweep] with machine and size")
        self.raise_faults()
        asked: list[dict[Key, Any]] = []
        if grid:
            drawn = self.read_random(grid.get("random"))
            axes = self.read_axes(grid, random=drawn is not None)
            self.faults += self.meaning.faults(axes)
            self.raise_faults()
            asked += self.random(axes, *drawn) if drawn else self.grid(axes)
        for place, one in enumerate(points):
            asked.append(self.read_point(one, f"point[{place}]"))
        self.raise_faults()
        found: dict[str, Point] = {}
        for values in asked:
            point = self.point(values)
            found.setdefault(point.key(""), point)
        return Specification(list(found.values()), self.meaning.descriptions, text, self.name)

    def fault(self, text: str | ChipweaveError) -> None:
        self.faults.append(str(text))

    def raise_faults(self) -> None:
        if self.faults:
            more = len(self.faults) - 1
            also = f" (and {more} more fault{'s' * (more > 1)})" if more else ""
            raise FormatError(f"{self.name}: {self.faults[0]}{also}")

    def keys(self, table: dict[str, Any], where: str) -> Iterator[tuple[Key, Any, str]]:
        """Every axis of a table with its key path; the tables of links are opened."""
        for required in ("machine", "size"):
            if required not in table:
                self.fault(f"{where}.{required} is missing; add it")
        for key, x in table.items():
            if key == "random" and where == "sweep":
                continue
            if key == "link":
                yield from self.link_keys(x, f"{where}.link")
            elif key in known_keys():
                yield (key,), x, f"{where}.{key}"
            else:
                self.fault(f"{where}.{key}: {nearest('key', key, known_keys())}")

    def link_keys(self, x: Any, where: str) -> Iterator[tuple[Key, Any, str]]:
        if not isinstance(x, dict):
            self.fault(f"{where}: must be tables by tier, such as [{where}.roce-200g]")
            return
        for tier, figures in x.items():
            if not isinstance(figures, dict):
                self.fault(f"{where}.{tier}: must be a table with bandwidth, latency or efficiency")
                continue
            for figure, values in figures.items():
                if figure not in FIGURES:
                    self.fault(f"{where}.{tier}.{figure}: {nearest('figure of a link', figure, FIGURES)}")
                else:
                    yield ("link", tier, figure), values, f"{where}.{tier}.{figure}"

    def read_axes(self, table: dict[str, Any], *, random: bool) -> dict[Key, Axis]:
        axes: dict[Key, Axis] = {}
        for key, x, where in self.keys(table, "sweep"):
            try:
                axes[key] = read_axis(key, x, where, self.folder, random=random)
            except ChipweaveError as error:
                self.fault(error)
        return axes

    def read_point(self, table: dict[str, Any], where: str) -> dict[Key, Any]:
        values: dict[Key, Any] = {}
        before = len(self.faults)
        for key, x, path in self.keys(table, where):
            try:
                values[key] = read_value(key, x, path, self.folder)
            except ChipweaveError as error:
                self.fault(error)
        if len(self.faults) == before:
            self.faults += self.meaning.faults({key: [x] for key, x in values.items()}, where)
        return values

    def read_random(self, x: Any) -> tuple[int, int] | None:
        """Number of points and seed of a random sweep; None for a grid."""
        if x is None:
            return None
        if not isinstance(x, dict):
            self.fault("sweep.random: must be a table with count and seed")
            return 1, 0
        for key in x:
            if key not in ("count", "seed"):
                self.fault(f"sweep.random.{key}: unknown key; there are count and seed")
        for key, least in (("count", 1), ("seed", 0)):
            given = x.get(key)
            if isinstance(given, bool) or not isinstance(given, int) or given < least:
                state = "is missing" if given is None else f"(={given!r}) is none"
                self.fault(f"sweep.random.{key} {state}; give a whole number of at least {least}")
        self.raise_faults()
        return x["count"], x["seed"]

    def point(self, values: dict[Key, Any]) -> Point:
        """The point of some values; what they cannot be together is a fault of the file."""
        try:
            return self.meaning.point(values)
        except ChipweaveError as error:
            raise FormatError(f"{self.name}: {error}; mend the link's table") from error

    def grid(self, axes: dict[Key, Axis]) -> Iterable[dict[Key, Any]]:
        lists = [axis for axis in axes.values() if isinstance(axis, list)]
        self.check_count(math.prod(len(axis) for axis in lists))
        return (dict(zip(axes, values, strict=True)) for values in product(*lists))

    def random(self, axes: dict[Key, Axis], count: int, seed: int) -> Iterable[dict[Key, Any]]:
        self.check_count(count)
        drawn: dict[str, dict[Key, Any]] = {}
        chance = Random(seed)
        for _ in range(count * _DRAWS):
            values = {key: _drawn(axis, chance.random()) for key, axis in axes.items()}
            drawn.setdefault(self.point(values).key(""), values)
            if len(drawn) == count:
                break
        return drawn.values()

    def check_count(self, count: int) -> None:
        if count > MOST_POINTS:
            raise CapacityError(
                f"{self.name}: {count:,} points are more than the {MOST_POINTS:,} that one sweep holds; "
                "shorten a list, or write several files that share a store"
            )


def _drawn(axis: Axis, u: float) -> Any:
    return axis.at(u) if isinstance(axis, Range) else axis[int(u * len(axis))]
