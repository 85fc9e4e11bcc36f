"""Pipelining: the buffer flows in pieces over transfers that stand in stages.

A transfer of stage t moves piece s - t at step s: S stages and C pieces take
S + C - 1 steps. While all stages are busy the step is one repeated round.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from sim.collectives.payload import even
from sim.schedule import Assembled, IntArray, Payload, Round
from topologies.errors import ScheduleError

__all__ = ["BREAK_EVEN", "MOST_PIECES", "pieces_for", "pipelined"]

#: Bytes that a link moves in the time of one step's latency and overhead, 512 KiB:
#: some 10 us at 50 GB/s, between NCCL's LL128 and Simple on a network (4 and 14 us,
#: tuning.cc), and the chunk that NCCL moves at a time (a buffer of 4 MiB in 8 steps).
BREAK_EVEN = 512 * 1024

#: More pieces than this gain nothing that could be measured.
MOST_PIECES = 1024


def pieces_for(what: str, stages: int, size: float, pipeline: int | str | None) -> int:
    """Number of pieces: what the caller asks for, or the textbook optimum.

    With C pieces the time is (S + C - 1) (alpha + n beta / C), least at
    C = sqrt((S - 1) n beta / alpha) (Sanders, Speck and Träff 2009). A schedule
    knows no fabric, so alpha / beta is taken as `BREAK_EVEN` bytes.

    Parameters
    ----------
    what : str
        The collective and algorithm, for the error.
    stages : int
        Stages S of the pipeline.
    size : float
        Bytes n that flow through it.
    pipeline : int, ``"auto"`` or None
        The caller's number of pieces, >= 1.

    Raises
    ------
    ScheduleError
        If the caller's number is not a whole number >= 1.

    Examples
    --------
    >>> pieces_for("broadcast by chain", 10, 2.0**30, None)
    136
    >>> pieces_for("broadcast by chain", 10, 8.0, None)
    1
    """
    if pipeline is None or pipeline == "auto":
        best = math.sqrt((stages - 1) * size / BREAK_EVEN)
        return max(1, min(MOST_PIECES, math.ceil(best)))
    if isinstance(pipeline, bool) or not isinstance(pipeline, int | np.integer) or pipeline < 1:
        raise ScheduleError(
            f"{what}: pipeline (={pipeline!r}) must be a whole number of pieces >= 1, or 'auto'"
        )
    return int(pipeline)


def pipelined(
    src: IntArray,
    dst: IntArray,
    stage: IntArray,
    first: IntArray,
    pieces: int,
    piece_bytes: float,
    *,
    reduce: bool,
    label: str,
) -> Iterator[Round]:
    """Rounds of a pipeline over transfers that stand in stages.

    Parameters
    ----------
    src, dst : int64 array, shape (m,)
        Ends of each transfer.
    stage : int64 array, shape (m,)
        Stage of each transfer, from 0, every stage up to the last in use.
    first : int64 array, shape (m,)
        Chunk that is piece 0 of the buffer each transfer is for; the others follow.
    pieces : int
        Number of pieces C.
    piece_bytes : float
        Bytes of a piece.
    reduce : bool
        Whether receivers add or replace.
    label : str
        What it is for.

    Examples
    --------
    A chain of three ranks and four pieces:

    >>> chain = np.arange(2)
    >>> rounds = pipelined(chain, chain + 1, chain, 0 * chain, 4, 1.0, reduce=False, label="chain")
    >>> [(round.src.tolist(), round.repeat) for round in rounds]
    [([0], 1), ([0, 1], 3), ([1], 1)]
    """
    order = np.argsort(stage, kind="stable")
    src, dst, stage, first = src[order], dst[order], stage[order], first[order]
    each = np.full(src.size, piece_bytes)
    stages = int(stage[-1]) + 1
    starts = np.searchsorted(stage, np.arange(stages + 1))
    parts = tuple(
        Round(src[a:b], dst[a:b], each[a:b], reduce, label=label) for a, b in pairwise(starts.tolist())
    )
    step = 0
    while step < stages + pieces - 1:
        low, high = max(0, step - pieces + 1), min(step, stages - 1)
        steady = low == 0 and high == stages - 1
        repeat = pieces - step if steady else 1
        busy = slice(int(starts[low]), int(starts[high + 1]))
        lag = first[busy] - stage[busy] + step

        def payload(k: int, lag: IntArray = lag) -> Payload:
            return even(lag + k)

        yield Assembled.of(
            parts[low : high + 1], repeat, payload, label, src=src[busy], dst=dst[busy], bytes=each[busy]
        )
        step += repeat
