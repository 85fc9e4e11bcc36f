"""What the keys of a sweep file may say: readers that name the key path in every complaint."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topologies import units
from topologies.errors import ChipweaveError, FormatError, nearest
from topologies.links import FIGURES, change

__all__ = ["Axis", "Range", "read_axis", "read_value"]

#: A key of the file: ``("size",)``, or ``("link", tier, figure)``.
Key = tuple[str, ...]
Reader = Callable[[Any, str], Any]

#: Texts such as "8:16384" of these keys double from the first to the last.
_DOUBLING = ("chips", "size")


@dataclass(frozen=True, slots=True)
class Range:
    """Values between two ends, to be drawn from.

    Attributes
    ----------
    low, high : float
        Where `factor`, of the machine's own figure.
    log : bool
        Whether every doubling is as likely as another, or every step.
    whole : bool
        Whether only whole numbers count.
    factor : bool
    """

    low: float
    high: float
    log: bool
    whole: bool = False
    factor: bool = False

    def at(self, u: float) -> Any:
        """The value at a place from 0 to 1 between the ends.

        Examples
        --------
        >>> Range(1.0, 100.0, log=True).at(0.5), Range(8, 16, log=False, whole=True).at(0.99)
        (10.0, 16)
        """
        value = self.low * (self.high / self.low) ** u if self.log else self.low + (self.high - self.low) * u
        # Six digits: the last bit of pow() may be another on another machine.
        value = float(f"{value:.6g}")
        if self.factor:
            return f"x{value!r}".removesuffix(".0")
        return round(value) if self.whole else value


#: The values an axis may take: some, or all between two ends.
Axis = list[Any] | Range


def read_axis(key: Key, x: Any, where: str, folder: Path, *, random: bool) -> Axis:
    """Read what a key of ``[sweep]`` says.

    Parameters
    ----------
    key : tuple of str
        ``("size",)``, or ``("link", tier, figure)``.
    x : object
        A value, a list of values, ``"8:64"`` for numbers of chips and sizes that
        double, or ``{low, high, scale}`` in a random sweep.
    where : str
        The key path, for the message.
    folder : Path
        Where the file lies; machine descriptions are looked for there.
    random : bool
        Whether the sweep is drawn by chance.

    Raises
    ------
    ChipweaveError
        What, where, the value, what to do.
    """
    if isinstance(x, list):
        if not x:
            raise FormatError(f"{where} (=[]) must have at least one value; give one, or remove the key")
        return [read_value(key, item, f"{where}[{place}]", folder) for place, item in enumerate(x)]
    if isinstance(x, dict):
        if not random:
            raise FormatError(f"{where}: a range needs [sweep.random] count = N; or give a list of values")
        return _range(key, x, where, folder)
    if key[0] in _DOUBLING and isinstance(x, str) and ":" in x:
        return _doubling(key, x, where, folder)
    return [read_value(key, x, where, folder)]


def read_value(key: Key, x: Any, where: str, folder: Path) -> Any:
    """Read one value of a key; arguments as for `read_axis`."""
    if key[0] == "link":
        return change(key[2], x, name=where)
    if key[0] == "machine":
        return _machine(x, where, folder)
    return _READERS.get(key[0], _anything)(x, where)


def _machine(x: Any, where: str, folder: Path) -> Any:
    """The description: of the catalogue, or of a file beside the sweep's."""
    from topologies.machines import describe

    if not isinstance(x, str):
        raise FormatError(f"{where} (={x!r}) must be a name of the catalogue or the path of a .toml")
    try:
        return describe(folder / x) if x.endswith(".toml") else describe(x)
    except ChipweaveError as error:
        raise FormatError(f"{where}: {error}") from error


def _doubling(key: Key, x: str, where: str, folder: Path) -> list[Any]:
    first, _, last = x.partition(":")
    ends = []
    for part in (first.strip(), last.strip()):
        given: Any = int(part) if key[0] == "chips" and part.isascii() and part.isdigit() else part
        ends.append(read_value(key, given, where, folder))
    low, high = ends
    if low > high:
        raise FormatError(f"{where} (={x!r}) must rise, as in '8:64'")
    return [low * 2**step for step in range(int(math.log2(high / low) + 1e-9) + 1)]


def _range(key: Key, x: dict[str, Any], where: str, folder: Path) -> Range:
    figure = key[-1]
    for name in x:
        if name not in ("low", "high", "scale"):
            raise FormatError(f"{where}.{name}: unknown key; a range has low, high and scale")
    if figure not in (*_DOUBLING, *FIGURES):
        raise FormatError(f"{where}: {figure} has no range; give a list of values")
    for end in ("low", "high"):
        if end not in x:
            raise FormatError(f"{where}.{end} is missing; a range has low, high and scale")
    low, high = (read_value(key, x[end], f"{where}.{end}", folder) for end in ("low", "high"))
    factors = [isinstance(end, str) for end in (low, high)]
    if any(factors) and not all(factors):
        raise FormatError(f"{where}: low and high must both be factors, or both values")
    if all(factors):
        low, high = float(low[1:]), float(high[1:])
    scale = x.get("scale", "linear" if figure == "efficiency" else "log")
    if scale not in ("log", "linear"):
        raise FormatError(f"{where}.scale (={scale!r}) must be 'log' or 'linear'")
    if not low <= high or (scale == "log" and low == 0):
        raise FormatError(
            f"{where}: low (={x['low']!r}) must be above zero and not above high (={x['high']!r})"
        )
    return Range(low, high, scale == "log", whole=figure in _DOUBLING, factor=all(factors))


def _chips(x: Any, where: str) -> int:
    if isinstance(x, bool) or not isinstance(x, int) or x < 1:
        raise FormatError(f"{where} (={x!r}) must be a whole number of at least 1, or text such as '8:64'")
    return x


def _ranks(x: Any, where: str) -> Any:
    if isinstance(x, list):
        return [_rank(item, f"{where}[{place}]", 0) for place, item in enumerate(x)]
    return _rank(x, where, 1)


def _rank(x: Any, where: str, least: int) -> int:
    if isinstance(x, bool) or not isinstance(x, int) or x < least:
        raise FormatError(f"{where} (={x!r}) must be a whole number of at least {least}")
    return x


def _switch(x: Any, where: str) -> bool:
    if not isinstance(x, bool):
        raise FormatError(f"{where} (={x!r}) must be true or false")
    return x


def _seed(x: Any, where: str) -> int:
    return _rank(x, where, 0)


def _text(x: Any, where: str) -> str:
    if not isinstance(x, str) or not x:
        raise FormatError(f"{where} (={x!r}) must be text; put it in quotes")
    return x


def _anything(x: Any, where: str) -> Any:
    if isinstance(x, float) and not math.isfinite(x):
        raise FormatError(f"{where} (={x!r}) must be finite")
    if isinstance(x, list):
        return [_anything(item, f"{where}[{place}]") for place, item in enumerate(x)]
    if not isinstance(x, bool | int | float | str):
        raise FormatError(f"{where} (={x!r}) must be text, a number, true or false, or a list of these")
    return x


def _one_of(kind: str, known: Callable[[], list[str] | tuple[str, ...]]) -> Reader:
    def read(x: Any, where: str) -> str:
        if x not in known():
            raise FormatError(f"{where}: {nearest(kind, x, known())}")
        return str(x)

    return read


def _kinds() -> list[str]:
    from sim import collectives

    return collectives.kinds()


def _libraries() -> list[str]:
    from sim.libraries import libraries

    return libraries()


def _routings() -> tuple[str, ...]:
    from sim.routing import ROUTINGS

    return ROUTINGS


def _networks() -> tuple[str, ...]:
    from sim.world import NETWORKS

    return NETWORKS


def _estimates() -> tuple[str, ...]:
    from topologies.machines import ESTIMATES

    return ESTIMATES


_READERS: dict[str, Reader] = {
    "chips": _chips,
    "size": lambda x, where: units.size(x, name=where),
    "collective": _one_of("collective", _kinds),
    "algorithm": _text,
    "protocol": _text,
    "library": _one_of("library", _libraries),
    "routing": _one_of("routing", _routings),
    "network": _one_of("network", _networks),
    "estimate": _one_of("estimate", _estimates),
    "ranks": _ranks,
    "fast_forward": _switch,
    "scale_out": _switch,
    "seed": _seed,
}
