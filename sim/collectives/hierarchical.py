"""Hierarchical: collectives by levels, any algorithm at each level (HCCL's stages).

Ranks stand in groups (hosts, pods) of equal size g. The ranks with the same
place in their groups form the outer sets.

========================  ====================================================
all-reduce                reduce-scatter inside, all-reduce between, all-gather inside
reduce-scatter            between first, then inside
all-gather                inside first, then between
broadcast                 scatter inside the root's group, broadcast between,
                          all-gather inside
========================  ====================================================

More levels are nesting: ``outer="hierarchical"`` with its own groups in
``outer_options``. Groups of one leave the outer algorithm alone, one group
the inner.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.collectives.compose import Phase, compose
from sim.collectives.registry import algorithm, build
from sim.schedule import IntArray, Schedule
from topologies.errors import ScheduleError

__all__ = ["all_gather", "all_reduce", "broadcast", "members_of", "reduce_scatter"]

NAME = "hierarchical"
Options = dict[str, Any] | None


def _equal_groups(ranks: int, groups: IntArray | None) -> str | None:
    if groups is None:
        return "needs groups=, the group (such as the host) of each rank"
    if groups.shape != (ranks,):
        return f"needs one group for each of the {ranks} ranks, not groups of shape {groups.shape}"
    names, counts = np.unique(groups, return_counts=True)
    if counts.min() != counts.max():
        small, large = int(np.argmin(counts)), int(np.argmax(counts))
        return (
            f"needs groups of equal size, but group {names[small]} has {counts[small]} ranks "
            f"and group {names[large]} has {counts[large]}"
        )
    return None


def members_of(groups: IntArray) -> IntArray:
    """Ranks of each group, in rank order, groups by their numbers.

    Parameters
    ----------
    groups : int64 array, shape (p,)
        Group of each rank; all equally large (g ranks).

    Returns
    -------
    int64 array, shape (p / g, g)

    Examples
    --------
    >>> members_of(np.array([7, 2, 7, 2]))
    array([[1, 3],
           [0, 2]])
    """
    reason = _equal_groups(groups.size, groups)
    if reason is not None:
        raise ScheduleError(reason)
    return np.argsort(groups, kind="stable").reshape(np.unique(groups).size, -1)


@algorithm("all_reduce", NAME, _equal_groups)
def all_reduce(
    ranks: int,
    size: float,
    groups: IntArray,
    inner: str = "ring",
    outer: str = "ring",
    inner_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """All-reduce: reduce-scatter inside, all-reduce between, all-gather inside.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float
        Bytes of a rank's buffer.
    groups : int64 array, shape (p,)
        Group of each rank; all equally large.
    inner : str
        Algorithm of reduce-scatter and all-gather inside the groups.
    outer : str
        Algorithm of the all-reduce between ranks of the same place.
    inner_options, outer_options : dict, optional
        Options of these algorithms.

    Raises
    ------
    ScheduleError, UnknownNameError
        If an algorithm does not exist or cannot serve its ranks.

    Examples
    --------
    >>> all_reduce(12, 1200.0, np.repeat(np.arange(3), 4), inner="mesh").check()
    """
    members = members_of(groups)
    count, g = members.shape
    inside = inner_options or {}
    phases = [
        Phase(build("reduce_scatter", g, size, inner, **inside), members, label="inside the groups"),
        Phase(
            build("all_reduce", count, size / g, outer, **(outer_options or {})),
            members.T,
            parts=g,
            part=np.arange(g),
            label="between the groups",
        ),
        Phase(build("all_gather", g, size, inner, **inside), members, label="inside the groups"),
    ]
    chosen = {"inner": inner, "outer": outer}
    return compose("all_reduce", NAME, ranks, size, phases, groups=groups, options=chosen)


@algorithm("reduce_scatter", NAME, _equal_groups)
def reduce_scatter(
    ranks: int,
    size: float,
    groups: IntArray,
    inner: str = "ring",
    outer: str = "ring",
    inner_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """Reduce-scatter: between the groups first, then inside.

    Parameters as for `all_reduce`; ``size`` is the whole buffer (p parts).

    Examples
    --------
    >>> reduce_scatter(12, 1200.0, np.arange(12) % 3).check()
    """
    members = members_of(groups)
    between, inside = _by_levels(
        "reduce_scatter", members, size, (inner, inner_options or {}), (outer, outer_options or {})
    )
    return _composed("reduce_scatter", members, size, [between, inside], groups, inner, outer)


@algorithm("all_gather", NAME, _equal_groups)
def all_gather(
    ranks: int,
    size: float,
    groups: IntArray,
    inner: str = "ring",
    outer: str = "ring",
    inner_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """All-gather: inside the groups first, then between.

    Parameters as for `all_reduce`; ``size`` is the whole buffer (p parts).

    Examples
    --------
    >>> all_gather(12, 1200.0, np.arange(12) % 3).check()
    """
    members = members_of(groups)
    between, inside = _by_levels(
        "all_gather", members, size, (inner, inner_options or {}), (outer, outer_options or {})
    )
    return _composed("all_gather", members, size, [inside, between], groups, inner, outer)


@algorithm("broadcast", NAME, _equal_groups)
def broadcast(
    ranks: int,
    size: float,
    groups: IntArray,
    root: int = 0,
    inner: str = "ring",
    outer: str = "binomial",
    inner_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """Broadcast: scatter inside the root's group, between, all-gather inside.

    Parameters as for `all_reduce`; ``inner`` is the all-gather's algorithm, the
    scatter is by ``"mesh"`` where that is the inner algorithm, else binomial.

    Examples
    --------
    >>> broadcast(12, 1200.0, np.arange(12) % 3, root=5).check()
    """
    members = members_of(groups)
    count, g = members.shape
    home, place = (int(i) for i in np.argwhere(members == root)[0])
    scatter = "mesh" if inner == "mesh" else "binomial"
    phases = [
        Phase(
            build("scatter", g, size, scatter, root=place),
            members[home : home + 1],
            label="inside the root's group",
        ),
        Phase(
            build("broadcast", count, size / g, outer, root=home, **(outer_options or {})),
            members.T,
            parts=g,
            part=np.arange(g),
            label="between the groups",
        ),
        Phase(
            build("all_gather", g, size, inner, **(inner_options or {})), members, label="inside the groups"
        ),
    ]
    chosen = {"inner": inner, "outer": outer}
    return compose("broadcast", NAME, ranks, size, phases, root=root, groups=groups, options=chosen)


def _by_levels(
    kind: str,
    members: IntArray,
    size: float,
    inner: tuple[str, dict[str, Any]],
    outer: tuple[str, dict[str, Any]],
) -> tuple[Phase, Phase]:
    """Phase between the groups and phase inside them, parts in the order of the groups."""
    count, g = members.shape
    between = Phase(build(kind, count, size, outer[0], **outer[1]), members.T, label="between the groups")
    inside = Phase(
        build(kind, g, size / count, inner[0], **inner[1]),
        members,
        parts=count,
        part=np.arange(count),
        label="inside the groups",
    )
    return between, inside


def _composed(
    kind: str, members: IntArray, size: float, phases: list[Phase], groups: IntArray, inner: str, outer: str
) -> Schedule:
    chosen = {"inner": inner, "outer": outer}
    return compose(
        kind, NAME, members.size, size, phases, order=members.ravel(), groups=groups, options=chosen
    )
