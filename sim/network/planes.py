"""Links that the same transfers pass with the same weights: one of them is enough.

A machine with seven planes has seven links where others have one, and a transfer that
is sprayed over all of them holds seven times as many. Where *every* transfer of a job
that passes one of some links passes them all, each with its weight, the links bear the
same at any time; the one with the least capacity binds before the others, so that the
max-min rates are the same without these. Whether the links are planes, or stand behind
each other on paths that nobody else takes, is all one.

It is a property of a job, not of a fabric: a second job may take one of the planes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim.network.kernels import refine
from sim.numbering import firsts, told_apart
from sim.routing.paths import Ints, Paths
from sim.schedule import FloatArray, IntArray
from sim.transfers import Loaded

__all__ = ["Thinned", "thin"]


@dataclass(frozen=True, slots=True, eq=False)
class Thinned:
    """A job's transfers on the links that are left.

    Attributes
    ----------
    loaded : list of Loaded
    stands_for : int64 array, shape (links,)
        The link that is left in the place of each; itself where nobody passes it.
    share : float
        Share of all (transfer, link) pairs that is left.
    """

    loaded: list[Loaded]
    stands_for: IntArray
    share: float


def thin(loaded: Sequence[Loaded], capacity: FloatArray) -> Thinned:
    """Leave one link of all that the same transfers pass with the same weights.

    Parameters
    ----------
    loaded : sequence of Loaded
        All transfers of the job.
    capacity : float64 array, shape (links,)
        Bytes/s of each link that speaks for a bundle.
    """
    itself = np.arange(capacity.size)
    whole = Thinned(list(loaded), itself, 1.0)
    bits = [one.paths.weight.view(np.uint64) for one in loaded]
    passed: npt.NDArray[np.uint64] = np.zeros((capacity.size, 2), dtype=np.uint64)
    first = 0
    for one, weight in zip(loaded, bits, strict=True):
        refine.add_passages(first, one.paths.start, one.paths.link, weight, passed)
        first += one.round.src.size
    used = np.flatnonzero(passed[:, 1])
    group = told_apart(np.zeros(used.size, dtype=np.int64), passed[used, 0])
    leaders = used[_narrowest(group, capacity[used])]
    if leaders.size == used.size:
        return whole
    stands_for = itself.copy()
    stands_for[used] = leaders[group]
    leader, at = stands_for.astype(np.int32), np.zeros(capacity.size, dtype=np.int64)
    alike = (passed[:, 1] == passed[stands_for, 1]).all() and all(
        refine.passed_alike(one.paths.start, one.paths.link, weight, leader, at)
        for one, weight in zip(loaded, bits, strict=True)
    )
    if not alike:  # two hashes were equal by chance, or a path passes a link twice
        return whole
    fewer = [_without(one, leader) for one in loaded]
    left, every = (sum(one.entries() for one in each) for each in (fewer, loaded))
    return Thinned(fewer, stands_for, left / every)


def _narrowest(group: IntArray, capacity: FloatArray) -> IntArray:
    """The item of each group with the least capacity, the first of several."""
    found = firsts(group)
    if (capacity == capacity[found[group]]).all():
        return found
    order = np.lexsort((capacity, group))
    return order[np.flatnonzero(np.diff(group[order], prepend=-1))]


def _without(one: Loaded, leader: Ints) -> Loaded:
    """The same transfers on the links that stand for others or themselves."""
    paths = one.paths
    held = refine.kept_passages(paths.start, paths.link, paths.weight, leader)
    return replace(one, paths=Paths(*held, paths.latency_ps, paths.outside))
