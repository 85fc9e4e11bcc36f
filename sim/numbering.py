"""Numbers for what is different: pairs told apart in one pass, without sorting."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.compiled import compiled, inlined
from sim.schedule import IntArray

__all__ = ["firsts", "mixed", "number", "told_apart"]

Array = npt.NDArray[Any]

#: Places of a table to begin with.
FEW = 1024


@inlined
def mixed(x: Any) -> Any:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit depends on every bit."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def wider(table: Array, colour: Array, value: Array) -> Array:
    """A table of four times the places with the items of another."""
    larger = np.full(4 * table.size, -1, dtype=np.int64)
    last = larger.size - 1
    for j in table:
        if j >= 0:
            place = np.int64(mixed(mixed(np.uint64(colour[j])) ^ np.uint64(value[j])) & np.uint64(last))
            while larger[place] >= 0:
                place = (place + 1) & last
            larger[place] = j
    return larger


@compiled
def number(colour: Array, value: Array, table: Array, found: Array) -> int:
    """Number the different pairs (colour[i], value[i]) in the order in which they first come.

    ``table`` is one of -1 to begin with, its length a power of two: open addressing, linear
    probing; a place holds the first item with its pair. It grows with the pairs, not the
    items, so that few pairs stay in the processor's cache. Returns how many different
    pairs there are.
    """
    last = table.size - 1
    count = 0
    for i in range(colour.size):
        if 2 * count > last:
            table = wider(table, colour, value)
            last = table.size - 1
        place = np.int64(mixed(mixed(np.uint64(colour[i])) ^ np.uint64(value[i])) & np.uint64(last))
        while True:
            j = table[place]
            if j < 0:
                table[place] = i
                found[i] = count
                count += 1
                break
            if colour[j] == colour[i] and value[j] == value[i]:
                found[i] = found[j]
                break
            place = (place + 1) & last
    return count


def told_apart(colour: IntArray, value: Array) -> IntArray:
    """Numbers of the pairs (colour[i], value[i]), 0, 1, ... in the order in which they first come.

    Parameters
    ----------
    colour : int64 array, shape (n,)
    value : array of integers, floats or booleans, shape (n,)
        Told apart by their bits.

    Examples
    --------
    >>> told_apart(np.array([0, 0, 1, 0]), np.array([2.5, 3.5, 2.5, 2.5])).tolist()
    [0, 1, 2, 0]
    """
    bits = value.astype(np.int64) if value.dtype.itemsize < 8 else np.ascontiguousarray(value).view(np.int64)
    found = np.empty(colour.size, dtype=np.int64)
    number(colour, bits, np.full(FEW, -1, dtype=np.int64), found)
    return found


def firsts(colour: IntArray) -> IntArray:
    """The first item of each colour, where colours are numbered in the order in which they first come.

    Examples
    --------
    >>> firsts(np.array([0, 0, 1, 0, 2, 1])).tolist()
    [0, 2, 4]
    """
    return np.flatnonzero(np.diff(np.maximum.accumulate(colour), prepend=-1))
