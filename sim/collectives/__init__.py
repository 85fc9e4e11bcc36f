"""Collective algorithms: pure functions to a :class:`sim.schedule.Schedule`.

>>> from sim.collectives import algorithms, build, serves
>>> build("all_reduce", 6, 600.0, "ring").check()
>>> serves("reduce_scatter", "swing", 6)
'needs a power of two of ranks, not 6'
"""

from sim.collectives import (
    ahc,
    barrier,
    bine,
    binomial,
    bruck,
    chain,
    direct,
    double_binary_tree,
    grouped_mesh,
    halving_doubling,
    hierarchical,
    hierarchical_all_to_all,
    hierarchical_rooted,
    in_network,
    mesh,
    nb,
    nhr,
    nvls,
    pairwise,
    pat,
    recursive_doubling,
    ring,
    ring_over_mesh,
    scatter_all_gather,
    swing,
    torus,
    tree_of_chains,
)
from sim.collectives.channels import in_channels
from sim.collectives.compose import Phase, compose
from sim.collectives.moe import moe_matrix
from sim.collectives.registry import (
    algorithms,
    build,
    cuts_by_size,
    kinds,
    options,
    serves,
    uses_network,
)

__all__ = [
    "Phase",
    "ahc",
    "algorithms",
    "barrier",
    "bine",
    "binomial",
    "bruck",
    "build",
    "chain",
    "compose",
    "cuts_by_size",
    "direct",
    "double_binary_tree",
    "grouped_mesh",
    "halving_doubling",
    "hierarchical",
    "hierarchical_all_to_all",
    "hierarchical_rooted",
    "in_channels",
    "in_network",
    "kinds",
    "mesh",
    "moe_matrix",
    "nb",
    "nhr",
    "nvls",
    "options",
    "pairwise",
    "pat",
    "recursive_doubling",
    "ring",
    "ring_over_mesh",
    "scatter_all_gather",
    "serves",
    "swing",
    "torus",
    "tree_of_chains",
    "uses_network",
]
