"""Hierarchical: collectives by levels, any algorithm at each level (HCCL's stages).

Ranks stand in groups (hosts, pods) of equal size g. The ranks with the same
place in their groups form the outer sets.

========================  ====================================================
all-reduce                reduce-scatter inside, all-reduce between, all-gather inside
reduce-scatter            between first, then inside; or inside first
all-gather                inside first, then between; or between first
========================  ====================================================

For reduce-scatter and all-gather both orders are HCCL's: the first that of its
documentation and of its meshes (Atlas A2; every rank has (H-1)/H n to bring to
the other groups), the second that of its double rings (A3), which brings 1/g of
that to other groups and is the way of the all-reduce.

An inner algorithm that is a tree (it has a reduce and a broadcast, but no
reduce-scatter) makes the all-reduce go by leaders: reduce inside to the first
of the group, all-reduce between the first, broadcast inside (NCCL's trees are a
chain inside and a double binary tree between, in as many channels as a host has
NICs, each with another leader).

A third level (``pods``, the pod of each rank) makes the part between the groups
hierarchical in its turn: `middle` between the groups of a pod, `outer` between
pods. More levels are nesting: ``outer="hierarchical"`` with its own groups in
``outer_options``. Groups of one leave the outer algorithm alone, one group the
inner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.collectives.arguments import Layout
from sim.collectives.compose import Phase, compose
from sim.collectives.registry import algorithm, algorithms, build
from sim.schedule import IntArray, Schedule
from topologies.errors import ScheduleError

__all__ = [
    "Levels",
    "all_gather",
    "all_reduce",
    "equal_groups",
    "levels_of",
    "members_of",
    "reduce_scatter",
]

NAME = "hierarchical"
Options = dict[str, Any] | None


def equal_groups(layout: Layout) -> str | None:
    """Serve groups of equal size, and pods of equally many of them (a predicate)."""
    if layout.groups is None:
        return "needs groups=, the group (such as the host) of each rank"
    reason = _equal(layout.ranks, layout.groups, "group", "ranks")
    if reason is not None or layout.pods is None:
        return reason
    pod_of_group = layout.pods[members_of(layout.groups)]
    torn = np.flatnonzero((pod_of_group != pod_of_group[:, :1]).any(axis=1))
    if torn.size:
        return (
            f"needs every group inside one pod, but group {np.unique(layout.groups)[torn[0]]} is in several"
        )
    return _equal(pod_of_group.shape[0], pod_of_group[:, 0], "pod", "groups")


def _equal(ranks: int, groups: IntArray, name: str, of: str) -> str | None:
    if groups.shape != (ranks,):
        return f"needs one {name} for each of the {ranks} {of}, not {name}s of shape {groups.shape}"
    names, counts = np.unique(groups, return_counts=True)
    if counts.min() != counts.max():
        small, large = int(np.argmin(counts)), int(np.argmax(counts))
        return (
            f"needs {name}s of equal size, but {name} {names[small]} has {counts[small]} {of} "
            f"and {name} {names[large]} has {counts[large]}"
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
    reason = _equal(groups.size, groups, "group", "ranks")
    if reason is not None:
        raise ScheduleError(reason)
    return np.argsort(groups, kind="stable").reshape(np.unique(groups).size, -1)


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Who does what at the two levels of a hierarchical collective.

    Attributes
    ----------
    members : int64 array, shape (groups, g)
        Ranks of each group.
    groups : int64 array, shape (p,)
        Group of each rank.
    inner, outer : str
        Algorithms inside the groups and between them.
    inner_options, outer_options : dict
        Their options.
    noted : dict
        The choice, for people.
    """

    members: IntArray
    groups: IntArray
    inner: str
    outer: str
    inner_options: dict[str, Any]
    outer_options: dict[str, Any]
    noted: dict[str, Any]

    def inside(self, kind: str, size: float, **more: Any) -> Schedule:
        """A collective over the ranks of one group."""
        return build(kind, self.members.shape[1], size, self.inner, **self.inner_options, **more)

    def between(self, kind: str, size: float, **more: Any) -> Schedule:
        """A collective over the ranks of one place in all groups."""
        return build(kind, self.members.shape[0], size, self.outer, **self.outer_options, **more)


def levels_of(
    groups: IntArray,
    pods: IntArray | None,
    inner: str,
    middle: str | None,
    outer: str,
    inner_options: Options,
    middle_options: Options,
    outer_options: Options,
) -> Levels:
    """Two levels, or three as two whose outer one is hierarchical.

    Parameters as for `all_reduce`; ``middle`` is ``inner`` if not given.

    Examples
    --------
    >>> levels_of(np.arange(8) // 2, np.arange(8) // 4, "mesh", "nhr", "ring", None, None, None).outer
    'hierarchical'
    """
    members = members_of(groups)
    noted = {"inner": inner, "outer": outer}
    further = dict(outer_options or {})
    if pods is not None:
        noted = {"inner": inner, "middle": middle or inner, "outer": outer}
        further = {
            "groups": pods[members[:, 0]],
            "inner": middle or inner,
            "outer": outer,
            "inner_options": dict(middle_options or {}),
            "outer_options": further,
        }
        outer = NAME
    return Levels(members, groups, inner, outer, dict(inner_options or {}), further, noted)


@algorithm("all_reduce", NAME, equal_groups)
def all_reduce(
    ranks: int,
    size: float,
    groups: IntArray,
    pods: IntArray | None = None,
    inner: str = "ring",
    middle: str | None = None,
    outer: str = "ring",
    inner_options: Options = None,
    middle_options: Options = None,
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
    pods : int64 array, shape (p,), optional
        Pod of each rank: whole groups, equally many in each.
    inner : str
        Algorithm inside the groups.
    middle : str, optional
        Algorithm between the groups of a pod, where there are pods; by default
        the inner one.
    outer : str
        Algorithm between ranks of the same place in their groups, or pods.
    inner_options, middle_options, outer_options : dict, optional
        Options of these algorithms.

    Raises
    ------
    ScheduleError, UnknownNameError
        If an algorithm does not exist or cannot serve its ranks.

    Examples
    --------
    >>> all_reduce(12, 1200.0, np.repeat(np.arange(3), 4), inner="mesh").check()
    >>> all_reduce(12, 1200.0, np.arange(12) // 2, pods=np.arange(12) // 6).check()
    >>> all_reduce(12, 1200.0, np.arange(12) // 4, inner="chain", outer="double_binary_tree").check()
    """
    levels = levels_of(groups, pods, inner, middle, outer, inner_options, middle_options, outer_options)
    members = levels.members
    g = members.shape[1]
    if _is_tree(inner):
        return compose(
            "all_reduce", NAME, ranks, size, _by_leaders(levels, size), groups=groups, options=levels.noted
        )
    phases = [
        Phase(levels.inside("reduce_scatter", size), members, label="inside the groups"),
        Phase(
            levels.between("all_reduce", size / g),
            members.T,
            parts=g,
            part=np.arange(g),
            label="between the groups",
        ),
        Phase(levels.inside("all_gather", size), members, label="inside the groups"),
    ]
    return compose("all_reduce", NAME, ranks, size, phases, groups=groups, options=levels.noted)


@algorithm("reduce_scatter", NAME, equal_groups)
def reduce_scatter(
    ranks: int,
    size: float,
    groups: IntArray,
    pods: IntArray | None = None,
    inner: str = "ring",
    middle: str | None = None,
    outer: str = "ring",
    inner_options: Options = None,
    middle_options: Options = None,
    outer_options: Options = None,
    first: str = "between",
) -> Schedule:
    """Reduce-scatter: between the groups first, then inside, or the other way round.

    Parameters as for `all_reduce`; ``size`` is the whole buffer (p parts), and
    ``first`` is ``"between"`` or ``"inside"``.

    Examples
    --------
    >>> reduce_scatter(12, 1200.0, np.arange(12) % 3).check()
    >>> reduce_scatter(12, 1200.0, np.arange(12) % 3, first="inside").check()
    """
    levels = levels_of(groups, pods, inner, middle, outer, inner_options, middle_options, outer_options)
    return _by_levels("reduce_scatter", levels, size, first, large="between")


@algorithm("all_gather", NAME, equal_groups)
def all_gather(
    ranks: int,
    size: float,
    groups: IntArray,
    pods: IntArray | None = None,
    inner: str = "ring",
    middle: str | None = None,
    outer: str = "ring",
    inner_options: Options = None,
    middle_options: Options = None,
    outer_options: Options = None,
    first: str = "inside",
) -> Schedule:
    """All-gather: inside the groups first, then between, or the other way round.

    Parameters as for `all_reduce`; ``size`` is the whole buffer (p parts), and
    ``first`` is ``"inside"`` or ``"between"``.

    Examples
    --------
    >>> all_gather(12, 1200.0, np.arange(12) % 3).check()
    >>> all_gather(12, 1200.0, np.arange(12) % 3, first="between").check()
    """
    levels = levels_of(groups, pods, inner, middle, outer, inner_options, middle_options, outer_options)
    return _by_levels("all_gather", levels, size, first, large="inside")


def _is_tree(inner: str) -> bool:
    return inner not in algorithms("reduce_scatter") and all(
        inner in algorithms(kind) for kind in ("reduce", "broadcast")
    )


def _by_leaders(levels: Levels, size: float) -> list[Phase]:
    """All-reduce between the first ranks of the groups, who reduce and broadcast for the others."""
    members = levels.members
    return [
        Phase(levels.inside("reduce", size), members, label="inside the groups"),
        Phase(levels.between("all_reduce", size), members[:, 0][None, :], label="between the leaders"),
        Phase(levels.inside("broadcast", size), members, label="inside the groups"),
    ]


def _by_levels(kind: str, levels: Levels, size: float, first: str, large: str) -> Schedule:
    """Both phases, in the order asked for; ``large`` is the order in which most passes between the groups."""
    if first not in ("inside", "between"):
        raise ScheduleError(f"{kind} by {NAME}: first (={first!r}) must be 'inside' or 'between'")
    members = levels.members
    count, g = members.shape
    if levels.outer == NAME and "groups" in levels.outer_options:
        levels.outer_options.setdefault("first", first)
    # The phase that is alone with its ranks' parts is the one next to the parts' owners.
    if first == large:
        inside = Phase(
            levels.inside(kind, size / count), members, count, np.arange(count), "inside the groups"
        )
        between = Phase(levels.between(kind, size), members.T, label="between the groups")
        order = members.ravel()
    else:
        inside = Phase(levels.inside(kind, size), members, label="inside the groups")
        between = Phase(levels.between(kind, size / g), members.T, g, np.arange(g), "between the groups")
        order = members.T.ravel()
    phases = [inside, between] if first == "inside" else [between, inside]
    noted = levels.noted | {"first": first}
    return compose(kind, NAME, members.size, size, phases, order=order, groups=levels.groups, options=noted)
