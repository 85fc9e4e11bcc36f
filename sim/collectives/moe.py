"""Mixture of experts: who sends how many bytes to whom in dispatch and combine.

Experts are spread over the ranks in order, rank j having experts
ceil(j E / p) to ceil((j+1) E / p) - 1. Every rank has as many tokens, and every
token goes to ``top_k`` different experts. Dispatch is an all-to-all-v by the
matrix given here, combine by its transpose.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim.collectives.arguments import whole_number
from sim.schedule import FloatArray
from topologies.errors import ScheduleError

__all__ = ["moe_matrix"]

WHAT = "moe_matrix"


def moe_matrix(
    ranks: int,
    tokens: int,
    hidden_bytes: float,
    top_k: int,
    experts: int,
    load: npt.ArrayLike | None = None,
    seed: int | None = 0,
    *,
    once_per_rank: bool = False,
) -> FloatArray:
    """Bytes of an expert-parallel dispatch from each rank to each.

    Parameters
    ----------
    ranks : int
        Number of ranks p.
    tokens : int
        Tokens of each rank.
    hidden_bytes : float
        Bytes of a token on the wire (hidden size times bytes of an element).
    top_k : int
        Different experts that each token goes to.
    experts : int
        Number of experts E >= top_k, of all ranks together.
    load : array, shape (experts,), optional
        How much the experts are in demand, >= 0, in any unit; even if not given.
    seed : int or None
        Seed of the draw: every token draws its experts one after the other
        without putting them back, in proportion to their load (Gumbel top-k,
        Kool, van Hoof and Welling 2019). None draws nothing and gives the bytes
        of an exact load, each expert getting ``top_k`` * its share of the tokens.
    once_per_rank : bool
        Whether a token crosses only once to a rank that has several of its
        experts (as DeepEP sends it); needs a draw.

    Returns
    -------
    float64 array, shape (p, p)
        Bytes from i (row) to j (column), with what stays on the rank. The
        transpose is the combine.

    Raises
    ------
    ScheduleError
        If a number has no meaning, or an exact load gives an expert more copies
        than there are tokens.

    Examples
    --------
    >>> matrix = moe_matrix(4, tokens=128, hidden_bytes=7168, top_k=2, experts=8)
    >>> (matrix.sum(axis=1) / 7168).tolist()
    [256.0, 256.0, 256.0, 256.0]
    >>> moe_matrix(2, 100, 1.0, 1, 4, load=[3, 1, 0, 0], seed=None).tolist()
    [[100.0, 0.0], [100.0, 0.0]]
    """
    p, e = whole_number(WHAT, "ranks", ranks), whole_number(WHAT, "experts", experts)
    count, k = whole_number(WHAT, "tokens", tokens, 0), whole_number(WHAT, "top_k", top_k)
    if not (hidden_bytes > 0 and math.isfinite(hidden_bytes)):
        raise ScheduleError(f"{WHAT}: hidden_bytes (={hidden_bytes!r}) must be a finite number > 0")
    share = _shares(load, e)
    if np.count_nonzero(share) < k:
        raise ScheduleError(
            f"{WHAT}: top_k (={k}) must be <= the experts in demand, {np.count_nonzero(share)} of {e}"
        )
    home = np.arange(e) * p // e
    if seed is None:
        if once_per_rank:
            raise ScheduleError(f"{WHAT}: once_per_rank needs a draw; give a seed, not None")
        if k * share.max() > 1 + 1e-12:
            raise ScheduleError(
                f"{WHAT}: load: expert {int(share.argmax())} would get {k * share.max():.3g} copies of "
                "every token, at most 1; even the load out or give a seed to draw"
            )
        row = np.bincount(home, weights=share, minlength=p) * (count * k * hidden_bytes)
        return np.tile(row, (p, 1))
    draw = np.random.default_rng(seed)
    with np.errstate(divide="ignore"):
        level = np.log(share)
    matrix = np.zeros((p, p))
    for rank in range(p):
        chosen = np.argpartition(-(level + draw.gumbel(size=(count, e))), k - 1, axis=1)[:, :k]
        pairs = np.arange(count)[:, None] * p + home[chosen]
        where = np.unique(pairs) if once_per_rank else pairs.ravel()
        matrix[rank] = np.bincount(where % p, minlength=p) * hidden_bytes
    return matrix


def _shares(load: npt.ArrayLike | None, experts: int) -> FloatArray:
    """Share of each expert in the demand; they sum to 1."""
    if load is None:
        return np.full(experts, 1 / experts)
    try:
        found = np.asarray(load, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScheduleError(f"{WHAT}: load (={load!r}) must be one number for each expert") from None
    if found.shape != (experts,):
        raise ScheduleError(
            f"{WHAT}: load must be one number for each of the {experts} experts, not of shape {found.shape}"
        )
    wrong = ~((found >= 0) & np.isfinite(found))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ScheduleError(f"{WHAT}: load[{i}] (={found[i]:.15g}) must be a finite number >= 0")
    if not found.sum() > 0:
        raise ScheduleError(f"{WHAT}: load is 0 for all experts; at least top_k must be in demand")
    shares: FloatArray = found / found.sum()
    return shares
