"""Kernels of colour refinement: sums of hashes over neighbours, and the exact comparison afterwards.

A set of colours with repetitions is told by the sum of their hashes modulo 2^64, in
whatever order they come. Two different sets may have one sum, once in 10^19 or so; so
what the sums say is compared colour by colour in the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.compiled import compiled
from sim.numbering import mixed

__all__ = [
    "add_hashes",
    "add_passages",
    "by_index",
    "first_unlike",
    "kept_passages",
    "passed_alike",
]

Array = npt.NDArray[Any]


@compiled
def add_hashes(index: Array, colour: Array, of: Array, kind: Array, salt: Any, total: Array) -> None:
    """Add to ``total[index[e]]`` the hash of ``colour[of[e]]`` with ``kind[e]`` and the salt."""
    for e in range(index.size):
        told = mixed(np.uint64(colour[of[e]]) ^ (np.uint64(salt) << np.uint64(56)))
        total[index[e]] += mixed(told ^ np.uint64(kind[e]))


@compiled
def by_index(index: Array, word: Array, at: Array, words: Array) -> None:
    """The words of each item behind each other: ``word[e]`` is put to ``at[index[e]]``, which goes on."""
    for e in range(index.size):
        i = index[e]
        words[at[i]] = word[e]
        at[i] += 1


@compiled
def first_unlike(first: Array, word: Array, leader: Array, times: Array) -> int:
    """The first item whose words, in whatever order, differ from its leader's, or -1.

    Item i has the words ``word[first[i]:first[i + 1]]``; its leader is ``leader[i]``.
    ``times`` is a place for each word, 0 everywhere, and is left so unless items differ.
    """
    for i in range(leader.size):
        r = leader[i]
        if r == i:
            continue
        n = first[i + 1] - first[i]
        if n != first[r + 1] - first[r]:
            return i
        alike = True
        for k in range(n):
            alike = alike and word[first[i] + k] == word[first[r] + k]
        if alike:
            continue
        for k in range(n):
            times[word[first[r] + k]] += 1
        for k in range(n):
            times[word[first[i] + k]] -= 1
        for k in range(n):
            if times[word[first[r] + k]] != 0:
                return i
    return -1


@compiled
def add_passages(first: Any, start: Array, link: Array, weight: Array, passed: Array) -> None:
    """Add to ``passed[l]`` a hash of each transfer that passes link l, with its weight, and one.

    Transfer ``first + f`` passes ``link[start[f]:start[f + 1]]`` with ``weight``, as bits.
    """
    for f in range(start.size - 1):
        told = mixed(np.uint64(first + f))
        for e in range(start[f], start[f + 1]):
            passed[link[e], 0] += mixed(told ^ weight[e])
            passed[link[e], 1] += np.uint64(1)


@compiled
def passed_alike(start: Array, link: Array, weight: Array, leader: Array, at: Array) -> bool:
    """Whether every transfer that passes a link passes its leader with the same weight, and each link once.

    ``leader[l]`` is a link like l: if as many transfers pass both, these are the same then.
    ``at`` is a place for each link.
    """
    for f in range(start.size - 1):
        for e in range(start[f], start[f + 1]):
            at[link[e]] = e
        for e in range(start[f], start[f + 1]):
            like = leader[link[e]]
            there = at[like]
            if at[link[e]] != e or not start[f] <= there < start[f + 1] or link[there] != like:
                return False
            if weight[there] != weight[e]:
                return False
    return True


@compiled
def kept_passages(start: Array, link: Array, weight: Array, leader: Array) -> tuple[Array, Array, Array]:
    """The links that lead themselves, with their weights, and where those of each transfer start."""
    begin = np.zeros_like(start)
    for f in range(start.size - 1):
        begin[f + 1] = begin[f]
        for e in range(start[f], start[f + 1]):
            begin[f + 1] += leader[link[e]] == link[e]
    links, weights = np.empty(begin[-1], dtype=link.dtype), np.empty(begin[-1], dtype=weight.dtype)
    at = 0
    for e in range(link.size):
        if leader[link[e]] == link[e]:
            links[at], weights[at] = link[e], weight[e]
            at += 1
    return begin, links, weights
