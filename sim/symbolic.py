"""The symbolic checker: run a schedule on sets of contributions.

State: ``held[r, c]`` is the set of ranks whose data are summed into rank r's
copy of chunk c, as a bit mask over ranks (64 ranks a word). A reduce is a
disjoint union (a rank counted twice is an error: the sum would be wrong); a
copy replaces.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sim.schedule import Round, Schedule, Trees
from sim.waits import waits_of
from topologies.errors import ScheduleError

__all__ = ["check"]

Masks = npt.NDArray[np.uint64]

#: Relative tolerance between a transfer's bytes and the bytes of its chunks.
BYTES_TOLERANCE = 1e-9


def check(schedule: Schedule) -> None:
    """Raise `ScheduleError` unless every rank ends with what is promised."""
    held = initial(schedule)
    sizes = schedule.bytes_of_chunks()
    if abs(float(sizes.sum()) - expected_bytes(schedule)) > BYTES_TOLERANCE * max(1.0, float(sizes.sum())):
        raise ScheduleError(f"{schedule!r}: chunks add up to {sizes.sum():.15g} bytes")
    for index, round_ in enumerate(schedule.rounds()):
        _check_parts(schedule, index, round_)
        apply_round(schedule, held, sizes, index, round_)
    want, must = promised(schedule)
    wrong = (held != want).any(axis=2) & must
    if wrong.any():
        rank, chunk = (int(i) for i in np.argwhere(wrong)[0])
        raise ScheduleError(
            f"{schedule.kind} by {schedule.algorithm}, {schedule.ranks} ranks: rank {rank} ends with "
            f"{_ranks(held[rank, chunk])} in chunk {chunk}, needs {_ranks(want[rank, chunk])}"
        )


def _check_parts(schedule: Schedule, index: int, round_: Round) -> None:
    """Raise `ScheduleError` where a round's parts, one after the other, are not its transfers."""
    for name in ("src", "dst", "bytes") if round_.parts is not None else ():
        made = np.concatenate([getattr(part, name) for part in round_.parts or ()])
        if not np.array_equal(made, getattr(round_, name)):
            raise ScheduleError(
                f"{schedule.kind} by {schedule.algorithm}: {name} of round {index} ({round_.label!r}) "
                f"are not those of its parts"
            )


def expected_bytes(schedule: Schedule) -> float:
    """Bytes of all chunks together: the size, or p sizes for all-to-all."""
    if schedule.chunk_bytes is not None:
        return float(schedule.chunk_bytes.sum())
    return schedule.size * (schedule.ranks if schedule.kind == "all_to_all" else 1)


def initial(schedule: Schedule) -> Masks:
    """Contributions each rank starts with, shape (ranks, chunks, words)."""
    p, chunks = schedule.ranks, schedule.chunks
    held: Masks = np.zeros((p, chunks, (p + 63) // 64), dtype=np.uint64)
    ranks = np.arange(p)
    own = own_bits(p)
    if schedule.kind in ("all_reduce", "barrier", "reduce_scatter", "reduce"):
        held[:] = own[:, None, :]
    elif schedule.kind in ("all_gather", "gather"):
        owner = owners(schedule)
        held[owner, np.arange(chunks)] = own[owner]
    elif schedule.kind in ("broadcast", "scatter"):
        held[schedule.root] = own[schedule.root]
    elif schedule.kind == "all_to_all":
        sender = np.arange(chunks) // pieces(schedule) // p
        held[sender, np.arange(chunks)] = own[sender]
    elif schedule.kind in ("send", "send_recv"):
        held[ranks] = own[:, None, :]
    else:
        raise ScheduleError(f"no symbolic meaning for collective {schedule.kind!r}")
    return held


def promised(schedule: Schedule) -> tuple[Masks, npt.NDArray[np.bool_]]:
    """Contributions every rank must end with, and where they are demanded."""
    p, chunks = schedule.ranks, schedule.chunks
    own = own_bits(p)
    full = np.bitwise_or.reduce(own, axis=0)
    want: Masks = np.zeros((p, chunks, (p + 63) // 64), dtype=np.uint64)
    must = np.zeros((p, chunks), dtype=np.bool_)
    every = np.arange(chunks)
    if schedule.kind in ("all_reduce", "barrier"):  # a barrier is an all-reduce of a token
        want[:], must[:] = full, True
    elif schedule.kind == "reduce":
        want[schedule.root], must[schedule.root] = full, True
    elif schedule.kind == "reduce_scatter":
        owner = owners(schedule)
        want[owner, every], must[owner, every] = full, True
    elif schedule.kind == "all_gather":
        want[:], must[:] = own[owners(schedule)], True
    elif schedule.kind == "gather":
        want[schedule.root], must[schedule.root] = own[owners(schedule)], True
    elif schedule.kind == "broadcast":
        want[:], must[:] = own[schedule.root], True
    elif schedule.kind == "scatter":
        owner = owners(schedule)
        want[owner, every], must[owner, every] = own[schedule.root], True
    elif schedule.kind == "all_to_all":
        sender, receiver = np.divmod(every // pieces(schedule), p)
        want[receiver, every] = own[sender]
        # A pair with nothing to send (all-to-all-v) has no transfer.
        must[receiver, every] = schedule.bytes_of_chunks() > 0
    else:  # send: the last round's receivers hold the root's data
        destination = int(schedule.options.get("destination", p - 1))
        want[destination], must[destination] = own[schedule.root], True
    return want, must


def owners(schedule: Schedule) -> npt.NDArray[np.int64]:
    """Rank whose part each chunk belongs to, shape (chunks,)."""
    if schedule.chunks % schedule.ranks:
        raise ScheduleError(
            f"{schedule.kind} by {schedule.algorithm}: chunks (={schedule.chunks}) must be a "
            f"multiple of ranks (={schedule.ranks})"
        )
    return np.arange(schedule.chunks) // (schedule.chunks // schedule.ranks)


def pieces(schedule: Schedule) -> int:
    """Chunks of what one rank has for another in an all-to-all."""
    if schedule.chunks % schedule.ranks**2:
        raise ScheduleError(
            f"{schedule.kind} by {schedule.algorithm}: chunks (={schedule.chunks}) must be a "
            f"multiple of ranks * ranks (={schedule.ranks**2})"
        )
    return schedule.chunks // schedule.ranks**2


def own_bits(ranks: int) -> Masks:
    """Mask with only rank r's bit set, for each r, shape (ranks, words)."""
    bits: Masks = np.zeros((ranks, (ranks + 63) // 64), dtype=np.uint64)
    r = np.arange(ranks)
    bits[r, r // 64] = np.uint64(1) << (r % 64).astype(np.uint64)
    return bits


def apply_round(
    schedule: Schedule, held: Masks, sizes: npt.NDArray[np.float64], index: int, round_: Round
) -> None:
    """Do all repetitions of one round on ``held``, in place."""
    where = f"{schedule.kind} by {schedule.algorithm}, round {index} {round_.label!r}"
    p = schedule.ranks
    ends = np.concatenate([round_.src, round_.dst])
    if ends.size and (ends.min() < 0 or ends.max() >= p):
        stray = int(ends.max() if ends.max() >= p else ends.min())
        raise ScheduleError(f"{where}: rank {stray} is not one of the {p} ranks")
    alone = (round_.src == round_.dst) & (round_.bytes > 0)
    if alone.any():
        raise ScheduleError(f"{where}: rank {int(round_.src[alone][0])} sends to itself")
    if round_.payload is None:
        raise ScheduleError(f"{where}: no payload, so nothing can be checked")
    for k in range(round_.repeat):
        offsets, chunks = round_.payload(k)
        counts = np.diff(offsets)
        fits = offsets.size == round_.src.size + 1 and offsets[0] == 0 and offsets[-1] == chunks.size
        if not fits or (counts < 0).any():
            raise ScheduleError(f"{where}, repetition {k}: payload offsets do not fit the transfers")
        if chunks.size and (chunks.min() < 0 or chunks.max() >= schedule.chunks):
            stray = int(chunks.max() if chunks.max() >= schedule.chunks else chunks.min())
            raise ScheduleError(f"{where}, repetition {k}: no chunk {stray}")
        carrier = np.repeat(np.arange(round_.src.size), counts)
        carried = np.bincount(carrier, weights=sizes[chunks], minlength=round_.src.size)
        # Negated, so that bytes that are not a number are off as well.
        off = ~(np.abs(carried - round_.bytes) <= BYTES_TOLERANCE * np.maximum(1.0, round_.bytes))
        if off.any():
            i = int(np.argmax(off))
            raise ScheduleError(
                f"{where}, repetition {k}: rank {int(round_.src[i])} sends {round_.bytes[i]:.15g} bytes to "
                f"rank {int(round_.dst[i])}, its chunks are {carried[i]:.15g}"
            )
        step = f"{where}, repetition {k}"
        if round_.trees is not None:
            _over_trees(step, held, round_.trees, carrier, chunks)
            continue
        for layer in _layers(round_):
            now = layer[carrier]
            _deliver(step, held, round_, carrier[now], chunks[now])


def _layers(round_: Round) -> Iterator[npt.NDArray[np.bool_]]:
    """Which transfers are done at once: all, or layer by layer those whose predecessors are done."""
    waits = waits_of(round_)
    if waits is None:
        yield np.ones(round_.src.size, dtype=np.bool_)
        return
    depth = np.zeros(round_.src.size, dtype=np.int64)
    for f in waits.order:
        earlier = waits.before[1][waits.before[0][f] : waits.before[0][f + 1]]
        depth[f] = depth[earlier].max() + 1 if earlier.size else 0
    for level in range(int(depth.max()) + 1 if depth.size else 0):
        yield depth == level


def _over_trees(
    where: str, held: Masks, trees: Trees, carrier: npt.NDArray[np.int64], chunks: npt.NDArray[np.int64]
) -> None:
    """What the switches sum replaces what every receiver has."""
    (up_at, up), (down_at, down) = trees.up, trees.down
    before = held.copy()
    for i, chunk in zip(carrier.tolist(), chunks.tolist(), strict=True):
        total = np.zeros(held.shape[2], dtype=np.uint64)
        for rank in up[up_at[i] : up_at[i + 1]].tolist():
            mine = before[rank, chunk]
            if not mine.any():
                raise ScheduleError(f"{where}: rank {rank} sends chunk {chunk}, which it does not have")
            if (mine & total).any():
                raise ScheduleError(
                    f"{where}: the network would add {_ranks(mine & total)} to chunk {chunk} twice"
                )
            total |= mine
        held[down[down_at[i] : down_at[i + 1]], chunk] = total


def _deliver(
    where: str, held: Masks, round_: Round, carrier: npt.NDArray[np.int64], chunks: npt.NDArray[np.int64]
) -> None:
    arriving = held[round_.src[carrier], chunks].copy()
    empty = ~arriving.any(axis=1)
    if empty.any():
        i = int(np.argmax(empty))
        sender = int(round_.src[carrier[i]])
        raise ScheduleError(f"{where}: rank {sender} sends chunk {int(chunks[i])}, which it does not have")
    target = round_.dst[carrier] * held.shape[1] + chunks
    order = np.argsort(target, kind="stable")
    # Several arrivals for one (rank, chunk) in one round: take them in layers.
    first = np.searchsorted(target[order], target[order], side="left")
    layer = np.arange(order.size) - first
    for depth in range(int(layer.max()) + 1 if layer.size else 0):
        pick = order[layer == depth]
        ranks, cells = round_.dst[carrier[pick]], chunks[pick]
        if round_.reduce:
            twice = (held[ranks, cells] & arriving[pick]).any(axis=1)
            if twice.any():
                i = int(np.argmax(twice))
                raise ScheduleError(
                    f"{where}: rank {int(ranks[i])} would add "
                    f"{_ranks(held[ranks[i], cells[i]] & arriving[pick][i])} to chunk {int(cells[i])} twice"
                )
            held[ranks, cells] |= arriving[pick]
        else:
            if depth:
                raise ScheduleError(
                    f"{where}: rank {int(ranks[0])} gets chunk {int(cells[0])} from two ranks"
                )
            held[ranks, cells] = arriving[pick]


def _ranks(mask: Masks) -> str:
    bits = [64 * w + b for w, word in enumerate(mask) for b in range(64) if int(word) >> b & 1]
    if not bits:
        return "nothing"
    shown = ", ".join(map(str, bits[:8])) + (", ..." if len(bits) > 8 else "")
    return f"ranks {{{shown}}} ({len(bits)})"
