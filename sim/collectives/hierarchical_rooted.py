"""Hierarchical collectives with a root: broadcast, reduce, scatter and gather by levels.

=========  ========================================================================
broadcast  scatter inside the root's group, broadcast between, all-gather inside
reduce     reduce-scatter inside, reduce between, gather inside the root's group
scatter    between the ranks of the root's place, then inside every group
gather     inside every group to the root's place, then between
=========  ========================================================================

Broadcast as HCCL does it; reduce is its mirror. Options as in
`sim.collectives.hierarchical`. Where a level needs a scatter or gather, it is
direct if that level's algorithm is ``"mesh"``, else binomial.
"""

from __future__ import annotations

import numpy as np

from sim.collectives.compose import Phase, compose
from sim.collectives.hierarchical import NAME, Levels, Options, equal_groups, levels_of
from sim.collectives.registry import algorithm, build
from sim.schedule import IntArray, Schedule

__all__ = ["broadcast", "gather", "reduce", "scatter"]


@algorithm("broadcast", NAME, equal_groups)
def broadcast(
    ranks: int,
    size: float,
    groups: IntArray,
    root: int = 0,
    pods: IntArray | None = None,
    inner: str = "ring",
    middle: str | None = None,
    outer: str = "binomial",
    inner_options: Options = None,
    middle_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """Broadcast: scatter inside the root's group, between, all-gather inside.

    Parameters as for `sim.collectives.hierarchical.all_reduce`; ``inner`` is the
    all-gather's algorithm.

    Examples
    --------
    >>> broadcast(12, 1200.0, np.arange(12) % 3, root=5).check()
    """
    levels = levels_of(groups, pods, inner, middle, outer, inner_options, middle_options, outer_options)
    home, place = _seat(levels, root)
    g = levels.members.shape[1]
    phases = [
        Phase(
            build("scatter", g, size, _direct_or_tree(inner), root=place),
            levels.members[home : home + 1],
            label="inside the root's group",
        ),
        Phase(
            levels.between("broadcast", size / g, root=home),
            levels.members.T,
            parts=g,
            part=np.arange(g),
            label="between the groups",
        ),
        Phase(levels.inside("all_gather", size), levels.members, label="inside the groups"),
    ]
    return compose("broadcast", NAME, ranks, size, phases, root=root, groups=groups, options=levels.noted)


@algorithm("reduce", NAME, equal_groups)
def reduce(
    ranks: int,
    size: float,
    groups: IntArray,
    root: int = 0,
    pods: IntArray | None = None,
    inner: str = "ring",
    middle: str | None = None,
    outer: str = "binomial",
    inner_options: Options = None,
    middle_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """Reduce: reduce-scatter inside, reduce between, gather inside the root's group.

    Parameters as for `broadcast`; ``inner`` is the reduce-scatter's algorithm.

    Examples
    --------
    >>> reduce(12, 1200.0, np.arange(12) % 3, root=5).check()
    """
    levels = levels_of(groups, pods, inner, middle, outer, inner_options, middle_options, outer_options)
    home, place = _seat(levels, root)
    g = levels.members.shape[1]
    phases = [
        Phase(levels.inside("reduce_scatter", size), levels.members, label="inside the groups"),
        Phase(
            levels.between("reduce", size / g, root=home),
            levels.members.T,
            parts=g,
            part=np.arange(g),
            label="between the groups",
        ),
        Phase(
            build("gather", g, size, _direct_or_tree(inner), root=place),
            levels.members[home : home + 1],
            label="inside the root's group",
        ),
    ]
    return compose("reduce", NAME, ranks, size, phases, root=root, groups=groups, options=levels.noted)


@algorithm("scatter", NAME, equal_groups)
def scatter(
    ranks: int,
    size: float,
    groups: IntArray,
    root: int = 0,
    pods: IntArray | None = None,
    inner: str = "binomial",
    middle: str | None = None,
    outer: str = "binomial",
    inner_options: Options = None,
    middle_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """Scatter: between the ranks of the root's place first, then inside every group.

    Parameters as for `broadcast`; ``size`` is the whole buffer (p parts).

    Examples
    --------
    >>> scatter(12, 1200.0, np.arange(12) % 3, root=5).check()
    """
    levels = levels_of(groups, pods, inner, middle, outer, inner_options, middle_options, outer_options)
    between, inside = _parts("scatter", levels, size, root)
    return _composed("scatter", levels, size, [between, inside], root)


@algorithm("gather", NAME, equal_groups)
def gather(
    ranks: int,
    size: float,
    groups: IntArray,
    root: int = 0,
    pods: IntArray | None = None,
    inner: str = "binomial",
    middle: str | None = None,
    outer: str = "binomial",
    inner_options: Options = None,
    middle_options: Options = None,
    outer_options: Options = None,
) -> Schedule:
    """Gather: inside every group to the root's place, then between.

    Parameters as for `scatter`.

    Examples
    --------
    >>> gather(12, 1200.0, np.arange(12) % 3, root=5).check()
    """
    levels = levels_of(groups, pods, inner, middle, outer, inner_options, middle_options, outer_options)
    between, inside = _parts("gather", levels, size, root)
    return _composed("gather", levels, size, [inside, between], root)


def _seat(levels: Levels, root: int) -> tuple[int, int]:
    """Number of the root's group and its place in it."""
    home, place = np.argwhere(levels.members == root)[0]
    return int(home), int(place)


def _direct_or_tree(inner: str) -> str:
    return "mesh" if inner == "mesh" else "binomial"


def _parts(kind: str, levels: Levels, size: float, root: int) -> tuple[Phase, Phase]:
    """Phase between the ranks of the root's place, and phase inside every group."""
    home, place = _seat(levels, root)
    count = levels.members.shape[0]
    between = Phase(
        levels.between(kind, size, root=home), levels.members[:, place][None, :], label="between the groups"
    )
    inside = Phase(
        levels.inside(kind, size / count, root=place),
        levels.members,
        parts=count,
        part=np.arange(count),
        label="inside the groups",
    )
    return between, inside


def _composed(kind: str, levels: Levels, size: float, phases: list[Phase], root: int) -> Schedule:
    return compose(
        kind,
        NAME,
        levels.members.size,
        size,
        phases,
        order=levels.members.ravel(),
        root=root,
        groups=levels.groups,
        options=levels.noted,
    )
