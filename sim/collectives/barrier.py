"""Barrier: nobody goes on before everybody has come.

An all-reduce of a token, as NCCL's users (PyTorch) and HCCL do it; the size is
the token's. The schedule of the all-reduce is the barrier's.
"""

from __future__ import annotations

from dataclasses import replace

from sim.collectives import binomial, double_binary_tree, recursive_doubling
from sim.collectives import ring as ring_
from sim.collectives.registry import algorithm
from sim.schedule import Schedule

__all__ = ["binomial_tree", "doubling", "ring", "tree"]


@algorithm("barrier", "recursive_doubling")
def doubling(ranks: int, size: float) -> Schedule:
    """Swap tokens at all strides: the fewest steps.

    Examples
    --------
    >>> doubling(6, 8.0).check()
    """
    return replace(recursive_doubling.all_reduce(ranks, size), kind="barrier")


@algorithm("barrier", "binomial")
def binomial_tree(ranks: int, size: float) -> Schedule:
    """Gather tokens up a binomial tree and release down it.

    Examples
    --------
    >>> binomial_tree(6, 8.0).check()
    """
    return replace(binomial.all_reduce(ranks, size), kind="barrier")


@algorithm("barrier", "double_binary_tree")
def tree(ranks: int, size: float) -> Schedule:
    """NCCL's tree all-reduce of the token.

    Examples
    --------
    >>> tree(6, 8.0).check()
    """
    return replace(double_binary_tree.all_reduce(ranks, size, pipeline=1), kind="barrier")


@algorithm("barrier", "ring")
def ring(ranks: int, size: float) -> Schedule:
    """NCCL's ring all-reduce of the token.

    Examples
    --------
    >>> ring(6, 8.0).check()
    """
    return replace(ring_.all_reduce(ranks, size), kind="barrier")
