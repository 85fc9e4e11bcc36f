"""Pipeline: a ring between servers and a mesh inside them at the same time (HCCL Pipeline).

Chips of the same place in their servers form rings. In the all-gather each
chip, while the next block comes in over the ring, passes the last one on to all
chips of its own server: H servers take H - 1 steps of both and one more inside.
The reduce-scatter is the same backwards: the server's contributions to a block
are summed while the ring moves the block before it.

With s/p bytes in every transfer, beta of one link of the ring or the mesh:
max(alpha_inter + s/p beta_inter, alpha_intra + s/p beta_intra) (H - 1)
+ alpha_intra + s/p beta_intra each, all-reduce both (HCCL's documentation).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.beside import merged
from sim.collectives.compose import share_ends
from sim.collectives.hierarchical import equal_groups, members_of
from sim.collectives.payload import even
from sim.collectives.registry import algorithm
from sim.schedule import IntArray, Payload, Round, Schedule

__all__ = ["all_gather", "all_reduce", "reduce_scatter"]

NAME = "pipeline"


@algorithm("all_reduce", NAME, equal_groups)
def all_reduce(ranks: int, size: float, groups: IntArray) -> Schedule:
    """All-reduce: both halves one after the other.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of a rank's buffer.
    groups : int64 array, shape (p,)
        Server of each rank; all equally large.

    Examples
    --------
    >>> all_reduce(12, 1200.0, np.arange(12) // 4).check()
    >>> sum(round.repeat for round in all_reduce(12, 1200.0, np.arange(12) // 4).rounds())
    6
    """
    members = members_of(groups)

    def rounds() -> Iterator[Round]:
        yield from _scattering(members, size)
        yield from _gathering(members, size)

    return Schedule(
        "all_reduce", NAME, ranks, size, lambda: share_ends(rounds()), chunks=ranks, groups=groups
    )


@algorithm("reduce_scatter", NAME, equal_groups)
def reduce_scatter(ranks: int, size: float, groups: IntArray) -> Schedule:
    """Reduce-scatter: sums inside the servers while the rings turn.

    Examples
    --------
    >>> reduce_scatter(12, 1200.0, np.arange(12) // 4).check()
    """
    members = members_of(groups)
    return Schedule(
        "reduce_scatter",
        NAME,
        ranks,
        size,
        lambda: share_ends(_scattering(members, size)),
        chunks=ranks,
        groups=groups,
    )


@algorithm("all_gather", NAME, equal_groups)
def all_gather(ranks: int, size: float, groups: IntArray) -> Schedule:
    """All-gather: blocks are passed on inside the servers while the rings turn.

    Examples
    --------
    >>> all_gather(12, 1200.0, np.arange(12) // 4).check()
    """
    members = members_of(groups)
    return Schedule(
        "all_gather",
        NAME,
        ranks,
        size,
        lambda: share_ends(_gathering(members, size)),
        chunks=ranks,
        groups=groups,
    )


def _scattering(members: IntArray, size: float) -> Iterator[Round]:
    servers = members.shape[0]
    label = "reduce-scatter"
    yield from merged([_mesh(members, size, True, 0, 1, label)])
    ring = _ring(members, size, True, servers - 1, label)
    yield from merged([ring, _mesh(members, size, True, 1, servers - 1, label)])


def _gathering(members: IntArray, size: float) -> Iterator[Round]:
    servers = members.shape[0]
    label = "all-gather"
    ring = _ring(members, size, False, servers - 1, label)
    yield from merged([ring, _mesh(members, size, False, 0, servers, label)])


def _ring(members: IntArray, size: float, adds: bool, repeat: int, label: str) -> list[Round]:
    """Every chip to its like in the next server."""
    if not repeat:
        return []
    servers, g = members.shape
    here = np.repeat(np.arange(servers), g)
    place = np.tile(np.arange(g), servers)

    def payload(k: int) -> Payload:
        return even(members[(here - k - int(adds)) % servers, place])

    each = np.full(members.size, size / members.size)
    dst = np.roll(members, -1, axis=0).ravel()
    return [Round(members.ravel(), dst, each, adds, repeat, payload, f"{label}: ring and mesh")]


def _mesh(members: IntArray, size: float, adds: bool, first: int, repeat: int, label: str) -> list[Round]:
    """Every chip to all others of its server, steps ``first`` on."""
    servers, g = members.shape
    if g == 1 or not repeat:
        return []
    here = np.repeat(np.arange(servers), g * (g - 1))
    i = np.tile(np.repeat(np.arange(g), g - 1), servers)
    j = (i + np.tile(np.arange(1, g), servers * g)) % g

    def payload(k: int) -> Payload:
        # What is summed belongs to the receiver, what is passed on to the sender.
        return even(members[(here - first - k - int(adds)) % servers, j if adds else i])

    each = np.full(here.size, size / members.size)
    return [Round(members[here, i], members[here, j], each, adds, repeat, payload, f"{label}: mesh")]
