"""Which algorithms there are for each collective, and building one by name.

An algorithm is a function ``(ranks, size, **options) -> Schedule`` that its
module enters here with :func:`algorithm`. What it can serve is said by a
predicate next to it, so that nobody has to try in order to know.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.schedule import IntArray, Schedule
from topologies.errors import ScheduleError, nearest

__all__ = ["Serves", "algorithm", "algorithms", "build", "kinds", "options", "power_of_two", "serves"]

#: ``serves(ranks, groups)``: None, or why the algorithm cannot serve them.
Serves = Callable[[int, IntArray | None], str | None]
Builder = Callable[..., Schedule]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm of one collective."""

    function: Builder
    serves: Serves | None
    options: frozenset[str]


_TABLE: dict[str, dict[str, Algorithm]] = {}


def algorithm(kind: str, name: str, serves: Serves | None = None) -> Callable[[Builder], Builder]:
    """Enter the decorated function as algorithm ``name`` of collective ``kind``."""

    def enter(function: Builder) -> Builder:
        options = frozenset(inspect.signature(function).parameters) - {"ranks", "size"}
        _TABLE.setdefault(kind, {})[name] = Algorithm(function, serves, options)
        return function

    return enter


def kinds() -> list[str]:
    """Names of the collectives, sorted.

    Examples
    --------
    >>> "all_reduce" in kinds()
    True
    """
    return sorted(_TABLE)


def algorithms(kind: str) -> list[str]:
    """Names of the algorithms of a collective, sorted.

    Parameters
    ----------
    kind : str
        The collective, such as ``"all_reduce"``.

    Raises
    ------
    UnknownNameError
        If there is no such collective.

    Examples
    --------
    >>> algorithms("send")
    ['direct']
    """
    return sorted(_of_kind(kind))


def serves(kind: str, algorithm: str, ranks: int, groups: npt.ArrayLike | None = None) -> str | None:
    """Say why an algorithm cannot serve so many ranks, or these groups.

    Parameters
    ----------
    kind, algorithm : str
        The collective and its algorithm.
    ranks : int
        Number of ranks p.
    groups : int array, shape (p,), optional
        The group (host, pod) of each rank.

    Returns
    -------
    str or None
        None if it can; else the reason, fit to be shown.

    Raises
    ------
    UnknownNameError
        If there is no such collective or algorithm.

    Examples
    --------
    >>> serves("all_reduce", "ring", 7)
    >>> serves("reduce_scatter", "halving_doubling", 7)
    'needs a power of two of ranks, not 7'
    """
    entry = _entry(kind, algorithm)
    if ranks <= 1 or entry.serves is None:
        return None
    return entry.serves(ranks, None if groups is None else np.asarray(groups, dtype=np.int64))


def build(kind: str, ranks: int, size: float | npt.ArrayLike, algorithm: str, **options: Any) -> Schedule:
    """Build the schedule of a collective by one algorithm.

    Parameters
    ----------
    kind : str
        The collective, such as ``"all_reduce"``.
    ranks : int
        Number of ranks p, >= 1. One rank alone has nothing to send.
    size : float, or array of shape (p, p) for all-to-all
        Bytes, > 0, as nccl-tests counts them (see `sim.schedule.Schedule`). A
        matrix gives the bytes rank i (row) has for rank j (column).
    algorithm : str
        One of ``algorithms(kind)``.
    **options
        What the algorithm takes besides: ``root``, ``groups``, ``pipeline``, ...

    Returns
    -------
    Schedule

    Raises
    ------
    UnknownNameError
        If there is no such collective, algorithm or option.
    ScheduleError
        If ranks, size or an option has no meaning, or the algorithm cannot
        serve so many ranks or these groups.

    Examples
    --------
    >>> build("all_reduce", 8, 1024.0, "ring")
    <Schedule all_reduce by ring: 8 ranks, 1024 bytes in 8 chunks>
    """
    entry = _entry(kind, algorithm)
    what = f"{kind} by {algorithm}"
    try:
        ranks = operator.index(ranks)
    except TypeError:
        raise ScheduleError(f"{what}: ranks (={ranks!r}) must be a whole number") from None
    if ranks < 1:
        raise ScheduleError(f"{what}: ranks (={ranks}) must be >= 1")
    for name in options:
        if name not in entry.options:
            raise nearest(f"option of {what}", name, entry.options or {"(none)"})
    for name in ("root", "source", "destination"):
        _check_rank(what, name, options.get(name), ranks)
    if options.get("groups") is not None:
        options["groups"] = _groups(what, options["groups"], ranks)
    amount = _check_size(what, kind, ranks, size)
    if ranks == 1:
        total = amount if isinstance(amount, float) else float(amount.sum())
        return Schedule(kind, algorithm, 1, total, lambda: iter(()), chunks=1)
    reason = serves(kind, algorithm, ranks, options.get("groups"))
    if reason is not None:
        raise ScheduleError(f"{what}: {reason}")
    return entry.function(ranks, amount, **options)


def options(kind: str, algorithm: str) -> frozenset[str]:
    """Names of the options an algorithm takes besides ranks and size.

    Examples
    --------
    >>> "root" in options("broadcast", "binomial")
    True
    """
    return _entry(kind, algorithm).options


def power_of_two(ranks: int, groups: IntArray | None = None) -> str | None:
    """Serve powers of two only (a `Serves` predicate)."""
    return f"needs a power of two of ranks, not {ranks}" if ranks & (ranks - 1) else None


def _of_kind(kind: str) -> dict[str, Algorithm]:
    if kind not in _TABLE:
        raise nearest("collective", kind, _TABLE)
    return _TABLE[kind]


def _entry(kind: str, name: str) -> Algorithm:
    entries = _of_kind(kind)
    if name not in entries:
        raise nearest(f"algorithm of {kind}", name, entries)
    return entries[name]


def _check_rank(what: str, name: str, rank: int | None, ranks: int) -> None:
    if rank is not None and not 0 <= rank < ranks:
        raise ScheduleError(f"{what}: {name} (={rank}) must be one of the {ranks} ranks (0 to {ranks - 1})")


def _groups(what: str, groups: npt.ArrayLike, ranks: int) -> IntArray:
    array = np.asarray(groups)
    if array.shape != (ranks,) or array.dtype.kind not in "iu":
        raise ScheduleError(
            f"{what}: groups must be one whole number for each of the {ranks} ranks, "
            f"not {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.int64)


def _check_size(
    what: str, kind: str, ranks: int, size: float | npt.ArrayLike
) -> float | npt.NDArray[np.float64]:
    try:
        amount = np.asarray(size, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScheduleError(f"{what}: size (={size!r}) must be a number of bytes") from None
    if amount.ndim == 0:
        value = float(amount)
        if not (value > 0 and math.isfinite(value)):
            raise ScheduleError(f"{what}: size (={value:.15g}) must be a finite number of bytes > 0")
        return value
    if kind != "all_to_all":
        raise ScheduleError(f"{what}: size must be one number of bytes; only all_to_all takes a matrix")
    if amount.shape != (ranks, ranks):
        raise ScheduleError(f"{what}: the matrix must be {ranks} by {ranks}, not of shape {amount.shape}")
    wrong = ~((amount >= 0) & np.isfinite(amount))
    if wrong.any():
        i, j = (int(k) for k in np.argwhere(wrong)[0])
        raise ScheduleError(
            f"{what}: matrix[{i}, {j}] (={amount[i, j]:.15g}) must be a finite number of bytes >= 0"
        )
    return amount
