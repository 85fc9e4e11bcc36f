"""Axes with the units people read: chips and sizes in powers of two, GB/s from zero."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from topologies.units import binary_label, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["GB", "bandwidth_axis", "binary_ticks", "chips_axis", "collective_name", "size_axis", "size_text"]

#: nccl-tests and data sheets count bandwidth in thousands.
GB = 1e9
#: "16,384" and "256 MiB" take up to half an inch at 9 points, and need air.
INCHES_PER_LABEL = 0.6


#: Octaves between ticks. Sizes: so that KiB, MiB and GiB come out round; chips: 8, 64, 512, ...
SIZE_STRIDES = (1, 2, 5, 10, 20, 40)
CHIP_STRIDES = (1, 3, 6, 12)


def binary_ticks(
    low: float, high: float, *, most: int = 7, strides: Sequence[int] = SIZE_STRIDES
) -> list[int]:
    """Powers of two between two numbers, evenly spaced on a log2 axis.

    Parameters
    ----------
    low, high : float
        Ends of the axis, ``1 <= low <= high``.
    most : int
        Most ticks wanted.
    strides : sequence of int
        Octaves between ticks to choose from, rising; exponents are multiples of
        the one taken.

    Returns
    -------
    list of int
        Empty where there is no power of two between the ends.

    Examples
    --------
    >>> binary_ticks(8, 16384, strides=(3,))
    [8, 64, 512, 4096]
    >>> binary_ticks(1024, 2**30, most=4)
    [1024, 1048576, 1073741824]
    """
    first, last = math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9)
    exponents: list[int] = []
    for stride in strides:
        found = [e for e in range(first, last + 1) if e % stride == 0]
        exponents = found or exponents
        if len(found) <= most:
            break
    return [2**e for e in exponents]


def chips_axis(ax: Axes, chips: Iterable[float]) -> None:
    """Make the horizontal axis one of numbers of chips: 8, 64, 512, 4,096 where they span enough."""
    low, high = _span(ax, chips)
    ticks = binary_ticks(low, high, most=_room(ax), strides=CHIP_STRIDES)
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("Chips")


def size_axis(ax: Axes, sizes: Iterable[float]) -> None:
    """Make the horizontal axis one of message sizes."""
    low, high = _span(ax, sizes)
    ticks = binary_ticks(low, high, most=_room(ax))
    ax.set_xticks(ticks, [binary_label(tick) for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("Message size")


def bandwidth_axis(ax: Axes, highest: float, what: str = "Bus bandwidth") -> None:
    """Make the vertical axis one of GB/s, from zero."""
    ax.set_ylim(0, 1.08 * highest if highest > 0 else 1.0)
    ax.set_ylabel(f"{what} (GB/s)")


def size_text(size: float) -> str:
    """Write a message size for people: ``1 GiB``."""
    return format_size(size)


def collective_name(kind: str) -> str:
    """Write a collective for people.

    Examples
    --------
    >>> collective_name("all_reduce")
    'all-reduce'
    """
    return kind.replace("_", "-")


def _room(ax: Axes) -> int:
    """How many labels fit below an Axes, two at least."""
    width = ax.get_position().width * ax.get_figure(root=True).get_figwidth()  # type: ignore[union-attr]
    return max(2, int(width / INCHES_PER_LABEL))


def _span(ax: Axes, values: Iterable[float]) -> tuple[float, float]:
    """Set a log2 axis over the values; a single value gets room on both sides."""
    numbers = [float(value) for value in values]
    low, high = min(numbers), max(numbers)
    ax.set_xscale("log", base=2)
    if low == high:
        ax.set_xlim(low / 2, high * 2)
    else:
        ax.set_xlim(low, high)
    return low, high
