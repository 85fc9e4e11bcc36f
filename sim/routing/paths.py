"""Paths: the links that each of m transfers holds, with weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.schedule import FloatArray, IntArray
from sim.waits import offsets_of

__all__ = ["Paths", "joined", "merge"]

Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Links of m transfers.

    Attributes
    ----------
    start : int64 array, shape (m + 1,)
        Transfer i holds ``link[start[i]:start[i + 1]]``.
    link : int32 array
    weight : float64 array
        Share of the transfer's rate that each link carries: 1 on a plain path, less
        where the transfer is sprayed over planes.
    latency_ps : int64 array, shape (m,)
        Sum of the link latencies; of the slowest plane where sprayed.
    outside : bool array, shape (m,)
        Whether the transfer leaves its scale-up domain and host.
    """

    start: IntArray
    link: Ints
    weight: FloatArray
    latency_ps: IntArray
    outside: Bools

    def __len__(self) -> int:
        return int(self.latency_ps.size)

    @property
    def lengths(self) -> IntArray:
        """Number of links of each transfer, shape (m,)."""
        # np.diff asks a dozen questions first, and small rounds are many.
        return self.start[1:] - self.start[:-1]


def joined(parts: Sequence[Paths]) -> Paths:
    """Paths of several sets of transfers one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Paths(
        offsets_of(np.concatenate([one.lengths for one in parts])),
        np.concatenate([one.link for one in parts]),
        np.concatenate([one.weight for one in parts]),
        np.concatenate([one.latency_ps for one in parts]),
        np.concatenate([one.outside for one in parts]),
    )


def merge(count: int, parts: list[tuple[IntArray, Paths]]) -> Paths:
    """Put the paths of disjoint subsets of transfers together.

    Parameters
    ----------
    count : int
        Number of transfers in all.
    parts : list of (which, paths)
        ``which`` numbers the transfers that ``paths`` serves.
    """
    if len(parts) == 1 and parts[0][0].size == count:
        return parts[0][1]
    # Kernels are imported where they are used: numba takes a third of a second.
    from sim.routing.kernels import copy_pieces

    lengths = np.zeros(count, dtype=np.int64)
    latency = np.zeros(count, dtype=np.int64)
    outside = np.zeros(count, dtype=np.bool_)
    for which, paths in parts:
        lengths[which] = paths.lengths
        latency[which] = paths.latency_ps
        outside[which] = paths.outside
    start = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(lengths, out=start[1:])
    link = np.empty(int(start[-1]), dtype=np.int32)
    weight = np.empty(int(start[-1]), dtype=np.float64)
    for which, paths in parts:
        copy_pieces(which, paths.start, paths.link, paths.weight, start, link, weight)
    return Paths(start, link, weight, latency, outside)
