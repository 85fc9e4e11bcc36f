"""What physics allows: lower bounds of collectives, and bus-bandwidth factors.

Pure functions of numbers. A bound counts the bytes that must leave or enter a
rank, or all ranks together, whatever the algorithm and the fabric; times are
bytes over the ranks' injection bandwidth (bytes/s, each direction).

Sources: Patarasuk and Yuan, JPDC 2009, for the 2 (p-1) n bytes that an
all-reduce moves; Chan, Heimlich, Purkayastha and van de Geijn, "Collective
communication: theory, practice, and experience", 2007, for the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from topologies.errors import ScheduleError, nearest

__all__ = ["bus_factor", "lower_bound"]

FloatArray = npt.NDArray[np.float64]


def bus_factor(kind: str, ranks: int) -> float:
    """Factor from algorithm bandwidth to bus bandwidth, as nccl-tests has it.

    ``busbw = size / time * factor``: the rate that the links of an ideal ring
    would need, to be compared with the hardware whatever the number of ranks. A
    barrier moves nothing worth counting: 0.
    Source: nccl-tests, doc/PERFORMANCE.md, and its ``*GetBw`` functions.

    Parameters
    ----------
    kind : str
        The collective, such as ``"all_reduce"``.
    ranks : int
        Number of ranks p >= 1.

    Raises
    ------
    UnknownNameError
        If there is no such collective.
    ScheduleError
        If there is less than one rank.

    Examples
    --------
    >>> bus_factor("all_reduce", 8), bus_factor("all_gather", 8), bus_factor("broadcast", 8)
    (1.75, 0.875, 1.0)
    """
    _check_ranks(kind, ranks)
    others = (ranks - 1) / ranks
    factors = {
        "all_reduce": 2 * others,
        "reduce_scatter": others,
        "all_gather": others,
        "all_to_all": others,
        "gather": others,
        "scatter": others,
        "broadcast": 1.0,
        "reduce": 1.0,
        "send": 1.0,
        "barrier": 0.0,
    }
    if kind not in factors:
        raise nearest("collective", kind, factors)
    return factors[kind]


def lower_bound(
    kind: str,
    ranks: int,
    size: float,
    injection_bandwidth: float | npt.ArrayLike,
    latency: float = 0.0,
    matrix: npt.ArrayLike | None = None,
    *,
    root: int = 0,
    destination: int | None = None,
    one_partner: bool = False,
    in_network: bool = False,
) -> float:
    """Time in seconds that no schedule on any graph can beat.

    Parameters
    ----------
    kind : str
        The collective, such as ``"all_reduce"``.
    ranks : int
        Number of ranks p >= 1; one rank alone needs no time.
    size : float
        Bytes n > 0, as nccl-tests counts them (see `sim.schedule.Schedule`).
    injection_bandwidth : float or float64 array, shape (p,)
        Bytes/s a rank can send, and receive, over all its links together; one
        value or one for each rank, > 0.
    latency : float
        Seconds of the shortest path between two ranks, >= 0; counted once.
    matrix : array, shape (p, p), optional
        Bytes from rank i (row) to rank j (column) of an uneven all-to-all, in
        place of the size.
    root : int
        Root of gather and scatter; source of send.
    destination : int, optional
        Receiver of send; the last rank if not given.
    one_partner : bool
        Whether a rank talks to one partner at a time. What depends on all ranks
        then takes at least ceil(log2 p) latencies, whatever the bytes.
    in_network : bool
        Whether switches can reduce and multicast (SHARP, NVLS): a rank then
        sends and receives every byte of an all-reduce once.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    UnknownNameError
        If there is no such collective.
    ScheduleError
        If a number has no meaning.

    Notes
    -----
    For ranks of unequal bandwidth the all-reduce's bound is the larger of the
    slowest rank's own share (every byte leaves it once: n / B_min) and
    the 2 (p-1) n bytes that all must send together over the sum of B.

    Examples
    --------
    >>> lower_bound("all_reduce", 8, 1e9, 50e9)
    0.035
    >>> lower_bound("all_gather", 8, 1e9, 50e9, latency=0.5)
    0.5175
    """
    _check_ranks(kind, ranks)
    if kind not in _BOUNDS:
        raise nearest("collective", kind, _BOUNDS)
    rates = _rates(kind, ranks, injection_bandwidth)
    if not latency >= 0 or not math.isfinite(latency):
        raise ScheduleError(f"bound of {kind}: latency (={latency}) must be a finite number of seconds >= 0")
    if matrix is not None and kind != "all_to_all":
        raise ScheduleError(f"bound of {kind}: only all_to_all takes a matrix")
    if matrix is None and not (size > 0 and math.isfinite(size)):
        raise ScheduleError(f"bound of {kind}: size (={size}) must be a finite number of bytes > 0")
    target = ranks - 1 if destination is None else destination
    for name, rank in (("root", root), ("destination", target)):
        if not 0 <= rank < ranks:
            raise ScheduleError(f"bound of {kind}: {name} (={rank}) must be one of the {ranks} ranks")
    if ranks == 1:
        return 0.0
    if kind == "all_to_all":
        sent, received = _exchanged(ranks, size, matrix)
        if not sent.any():
            return 0.0
        seconds = float(max((sent / rates).max(), (received / rates).max()))
    elif kind == "send":
        seconds = size / float(min(rates[root], rates[target]))
    elif kind == "all_reduce" and in_network:
        seconds = size / float(rates.min())
    else:
        seconds = _BOUNDS[kind](ranks, size, rates, root)
    # The first byte moves one latency after the start; with one partner at a
    # time what a rank knows only doubles from step to step (Chan et al. 2007).
    doublings = (ranks - 1).bit_length() if one_partner and kind != "send" and matrix is None else 1
    return max(latency + seconds, doublings * latency)


def _all_reduce(p: int, size: float, rates: FloatArray, root: int) -> float:
    """Time for each byte to leave every rank once, and for 2 (p - 1) sends of it in all."""
    return max(size / float(rates.min()), 2 * (p - 1) * size / float(rates.sum()))


def _all_parts_but_one(p: int, size: float, rates: FloatArray, root: int) -> float:
    """Every rank must send (reduce-scatter) or receive (all-gather) the others' parts."""
    return (p - 1) / p * size / float(rates.min())


def _whole_buffer(p: int, size: float, rates: FloatArray, root: int) -> float:
    """Time for every rank but the root to receive (broadcast) or send (reduce) all; the root the other."""
    return size / float(rates.min())


def _through_root(p: int, size: float, rates: FloatArray, root: int) -> float:
    """Time for p - 1 parts to pass the root, and one each other rank."""
    return max((p - 1) / p * size / float(rates[root]), size / p / float(rates.min()))


_BOUNDS: dict[str, Callable[[int, float, FloatArray, int], float]] = {
    "all_reduce": _all_reduce,
    "reduce_scatter": _all_parts_but_one,
    "all_gather": _all_parts_but_one,
    "all_to_all": _all_parts_but_one,
    "broadcast": _whole_buffer,
    "reduce": _whole_buffer,
    "gather": _through_root,
    "scatter": _through_root,
    "send": _whole_buffer,
    "barrier": _all_reduce,
}


def _check_ranks(kind: str, ranks: int) -> None:
    if not ranks >= 1:
        raise ScheduleError(f"{kind}: ranks (={ranks}) must be >= 1")


def _rates(kind: str, ranks: int, bandwidth: float | npt.ArrayLike) -> FloatArray:
    rates = np.asarray(bandwidth, dtype=np.float64)
    if rates.ndim and rates.shape != (ranks,):
        raise ScheduleError(
            f"bound of {kind}: injection_bandwidth must be one number or one for each of the "
            f"{ranks} ranks, not of shape {rates.shape}"
        )
    if not (rates > 0).all():
        raise ScheduleError(
            f"bound of {kind}: injection_bandwidth must be > 0 bytes/s, not {rates.min():.15g}"
        )
    return np.broadcast_to(rates, (ranks,))


def _exchanged(ranks: int, size: float, matrix: npt.ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    """Bytes that each rank sends to and receives from others, shape (p,) each."""
    if matrix is None:
        each = np.full(ranks, (ranks - 1) / ranks * size)
        return each, each
    amounts = np.array(matrix, dtype=np.float64)
    if amounts.shape != (ranks, ranks) or not (amounts >= 0).all():
        raise ScheduleError(
            f"bound of all_to_all: the matrix must be {ranks} by {ranks} numbers of bytes >= 0, "
            f"not of shape {amounts.shape}"
        )
    np.fill_diagonal(amounts, 0.0)
    return amounts.sum(axis=1), amounts.sum(axis=0)
