"""What a request for a schedule may say, checked before an algorithm sees it."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.schedule import FloatArray, IntArray
from topologies.errors import ScheduleError

__all__ = [
    "Layout",
    "as_dims",
    "as_groups",
    "as_order",
    "as_ranks",
    "as_size",
    "check_rank",
    "whole_number",
]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What is known of the ranks; an algorithm says what it can serve by it.

    Attributes
    ----------
    ranks : int
        Number of ranks p.
    groups, pods : int64 array, shape (p,), optional
        The group (host) and the group of groups (pod) of each rank.
    dims : tuple of int, optional
        Ranks along each dimension of a mesh or torus, rank numbers row-major.
    """

    ranks: int
    groups: IntArray | None = None
    pods: IntArray | None = None
    dims: tuple[int, ...] | None = None


def as_ranks(what: str, ranks: int) -> int:
    """Number of ranks, a whole number >= 1; else `ScheduleError`.

    Examples
    --------
    >>> as_ranks("all_reduce by ring", np.int32(4))
    4
    """
    try:
        count = operator.index(ranks)
    except TypeError:
        raise ScheduleError(f"{what}: ranks (={ranks!r}) must be a whole number") from None
    if count < 1:
        raise ScheduleError(f"{what}: ranks (={count}) must be >= 1")
    return count


def check_rank(what: str, name: str, rank: int | None, ranks: int) -> None:
    """Refuse with `ScheduleError` what is not one of the ranks (None is let pass)."""
    whole = rank is None or (hasattr(rank, "__index__") and not isinstance(rank, bool))
    if not whole or (rank is not None and not 0 <= rank < ranks):
        raise ScheduleError(f"{what}: {name} (={rank}) must be one of the {ranks} ranks (0 to {ranks - 1})")


def as_groups(what: str, name: str, groups: npt.ArrayLike, ranks: int) -> IntArray:
    """One whole number for each rank; else `ScheduleError`.

    Examples
    --------
    >>> as_groups("all_reduce by ring", "groups", [0, 0, 1, 1], 4)
    array([0, 0, 1, 1])
    """
    array = np.asarray(groups)
    if array.shape != (ranks,) or array.dtype.kind not in "iu":
        raise ScheduleError(
            f"{what}: {name} must be one whole number for each of the {ranks} ranks, "
            f"not {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.int64)


def as_dims(what: str, dims: str | Sequence[int]) -> tuple[int, ...]:
    """Dimensions as whole numbers >= 1, from numbers or text such as ``4x4x4``.

    Examples
    --------
    >>> as_dims("all_reduce by torus", "4x2")
    (4, 2)
    """
    try:
        found = tuple(
            int(d) if isinstance(d, str) else operator.index(d)
            for d in (dims.split("x") if isinstance(dims, str) else dims)
        )
    except (TypeError, ValueError):
        raise ScheduleError(
            f"{what}: dims (={dims!r}) must be whole numbers, such as (4, 4) or '4x4'"
        ) from None
    if not found or min(found) < 1:
        raise ScheduleError(f"{what}: dims (={dims!r}) must be one or more whole numbers >= 1")
    return found


def as_order(what: str, order: npt.ArrayLike, ranks: int) -> IntArray:
    """Orders of the ranks, one a row; each must hold every rank once.

    Examples
    --------
    >>> as_order("all_reduce by ring", [2, 0, 1], 3)
    array([[2, 0, 1]])
    """
    array = np.asarray(order)
    rows = array[None, :] if array.ndim == 1 else array
    whole = rows.ndim == 2 and rows.shape[0] > 0 and rows.shape[1] == ranks and rows.dtype.kind in "iu"
    if not whole or (np.sort(rows, axis=1) != np.arange(ranks)).any():
        raise ScheduleError(
            f"{what}: order must hold each of the ranks 0 to {ranks - 1} once (a row for each channel)"
        )
    return rows.astype(np.int64)


def as_size(what: str, kind: str, ranks: int, size: float | npt.ArrayLike) -> float | FloatArray:
    """Bytes > 0, or for all-to-all a (p, p) matrix of bytes >= 0; else `ScheduleError`.

    Examples
    --------
    >>> as_size("all_reduce by ring", "all_reduce", 4, 8)
    8.0
    """
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


def whole_number(what: str, name: str, value: Any, least: int = 1) -> int:
    """An option that is a whole number >= ``least``; else `ScheduleError`.

    Examples
    --------
    >>> whole_number("all_to_all by direct", "window", 8)
    8
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ScheduleError(f"{what}: {name} (={value!r}) must be a whole number >= {least}")
    return int(value)
