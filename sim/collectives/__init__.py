"""Collective algorithms: pure functions to a :class:`sim.schedule.Schedule`.

>>> from sim.collectives import algorithms, build, serves
>>> build("all_reduce", 6, 600.0, "ring").check()
>>> serves("reduce_scatter", "halving_doubling", 6)
'needs a power of two of ranks, not 6'
"""

from sim.collectives import (
    barrier,
    binomial,
    bruck,
    chain,
    direct,
    double_binary_tree,
    halving_doubling,
    hierarchical,
    mesh,
    nb,
    nhr,
    pairwise,
    pat,
    recursive_doubling,
    ring,
    scatter_all_gather,
)
from sim.collectives.compose import Phase, compose
from sim.collectives.registry import algorithms, build, kinds, options, serves

__all__ = [
    "Phase",
    "algorithms",
    "barrier",
    "binomial",
    "bruck",
    "build",
    "chain",
    "compose",
    "direct",
    "double_binary_tree",
    "halving_doubling",
    "hierarchical",
    "kinds",
    "mesh",
    "nb",
    "nhr",
    "options",
    "pairwise",
    "pat",
    "recursive_doubling",
    "ring",
    "scatter_all_gather",
    "serves",
]
