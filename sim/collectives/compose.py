"""Build large schedules out of small ones: side by side, one after the other.

A :class:`Phase` is a schedule over g ranks that runs on many disjoint sets of g
ranks at once, each on its own part of the buffer. :func:`compose` puts phases
one after the other. Two- and three-level algorithms, the fold to a power of
two, broadcast by scatter and all-gather: all are lists of phases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.collectives.parallel import Copies
from sim.schedule import IntArray, Payload, Round, Schedule
from sim.waits import ranges
from topologies.errors import ScheduleError

__all__ = ["Phase", "compose", "embed", "share_ends", "then"]


@dataclass(frozen=True, slots=True)
class Phase:
    """One schedule on many disjoint sets of ranks at once.

    Parameters
    ----------
    schedule : Schedule
        The schedule over g ranks; its size is the whole buffer / ``parts``.
    members : int64 array, shape (copies, g)
        Rank that plays rank j of the schedule in each copy.
    parts : int
        The buffer is cut into so many equal parts ...
    part : int64 array, shape (copies,), optional
        ... and copy i works on this one; the first if not given.
    label : str
        What the phase is for, put before the rounds' own labels.
    """

    schedule: Schedule
    members: IntArray
    parts: int = 1
    part: IntArray | None = None
    label: str = ""


def compose(
    kind: str,
    algorithm: str,
    ranks: int,
    size: float,
    phases: Sequence[Phase],
    *,
    order: IntArray | None = None,
    root: int = 0,
    groups: IntArray | None = None,
    options: dict[str, Any] | None = None,
) -> Schedule:
    """Run phases one after the other as one schedule.

    Parameters
    ----------
    kind, algorithm, ranks, size, root, groups, options
        As in `sim.schedule.Schedule`.
    phases : sequence of Phase
        In order. There is no barrier between them: a rank goes on as soon as
        its own transfers are done.
    order : int64 array, shape (p,), optional
        For collectives with a part for each rank: the ranks whose parts lie one
        after the other in the buffer that the phases see; by default 0 to p - 1.

    Returns
    -------
    Schedule
        Over as many chunks as all phases need to be cut into whole ones.

    Raises
    ------
    ScheduleError
        If the members of a phase do not fit its schedule, are not disjoint, or
        its size is not the size of a part.

    Examples
    --------
    Broadcast by scatter and all-gather:

    >>> from sim.collectives.registry import build
    >>> everyone = np.arange(6)[None, :]
    >>> phases = [Phase(build(kind, 6, 600.0, name), everyone)
    ...           for kind, name in [("scatter", "binomial"), ("all_gather", "ring")]]
    >>> compose("broadcast", "by hand", 6, 600.0, phases).check()
    """
    for phase in phases:
        _check_phase(f"{kind} by {algorithm}", phase, ranks, size)
    chunks = math.lcm(
        *(phase.parts * phase.schedule.chunks for phase in phases), 1 if order is None else ranks
    )
    chunk_order = None
    if order is not None:
        width = chunks // ranks
        chunk_order = (order[:, None] * width + np.arange(width)).ravel() if width > 1 else order

    def rounds() -> Iterator[Round]:
        return share_ends(then(*(embed(phase, chunks, chunk_order) for phase in phases)))

    return Schedule(
        kind, algorithm, ranks, size, rounds, chunks=chunks, root=root, groups=groups, options=options or {},
        in_network=any(phase.schedule.in_network for phase in phases),
    )  # fmt: skip


def embed(phase: Phase, chunks: int, order: IntArray | None = None) -> Iterator[Round]:
    """Rounds of a phase over the ranks and chunks of the whole.

    Parameters
    ----------
    phase : Phase
    chunks : int
        Chunks of the whole buffer, a multiple of those the phase cuts it into.
    order : int64 array, shape (chunks,), optional
        Chunk that stands at each place of the buffer the phase sees.

    Examples
    --------
    Two pairs swap their halves of the sum at the same time:

    >>> from sim.collectives.registry import build
    >>> pairs = Phase(build("all_gather", 2, 8.0, "ring"), np.array([[0, 2], [1, 3]]))
    >>> for round in embed(pairs, 2):
    ...     print(round.src, round.dst, round.bytes)
    [0 2 1 3] [2 0 3 1] [4. 4. 4. 4.]
    """
    members, copies = phase.members, phase.members.shape[0]
    width = chunks // (phase.parts * phase.schedule.chunks)
    part = np.zeros(copies, dtype=np.int64) if phase.part is None else phase.part
    first = part * (chunks // phase.parts)
    made = Copies(members)
    for small in phase.schedule.rounds():
        known = small.payload is not None
        yield made.of(
            small,
            _Embedded(small, first, width, order, made) if known else None,
            f"{phase.label}: {small.label}" if phase.label else small.label,
        )


def then(*phases: Iterable[Round]) -> Iterator[Round]:
    """Rounds of one phase after the other."""
    for rounds in phases:
        yield from rounds


def share_ends(rounds: Iterable[Round], window: int = 64) -> Iterator[Round]:
    """Give rounds with equal ends the very same arrays.

    Networks route a round's ends once and know them again by the arrays; the
    all-gather that mirrors a reduce-scatter then costs no routing.

    Parameters
    ----------
    rounds : iterable of Round
    window : int
        How many of the last different ends are remembered.
    """
    seen: dict[tuple[int, int, int, int], tuple[IntArray, IntArray]] = {}
    for round_ in rounds:
        if round_.parts is not None:  # networks know the parts again
            yield round_
            continue
        src, dst = round_.src, round_.dst
        if not src.size:
            yield round_
            continue
        # The middle tells strides apart where first and last ends are the same.
        middle = src.size // 2
        key = (src.size, int(src[middle]), int(dst[middle]), int(dst[0]))
        known = seen.get(key)
        if known is not None and np.array_equal(known[0], src) and np.array_equal(known[1], dst):
            src, dst = known
        else:
            seen.pop(key, None)
            if len(seen) == window:
                del seen[next(iter(seen))]
            seen[key] = (src, dst)
        yield round_ if src is round_.src and dst is round_.dst else replace(round_, src=src, dst=dst)


@dataclass(frozen=True, slots=True)
class _Embedded:
    """Payload of an embedded round: the small round's chunks, in every copy."""

    small: Round
    first: IntArray
    width: int
    order: IntArray | None
    copies: Copies

    def __call__(self, k: int) -> Payload:
        if self.small.payload is None:
            raise ScheduleError(f"round {self.small.label!r} has no payload to embed")
        offsets, chunks = self.small.payload(k)
        within = (chunks[:, None] * self.width + np.arange(self.width)).ravel()
        places = (self.first[:, None] + within).ravel()
        each = np.tile(np.diff(offsets) * self.width, self.first.size)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(each)])
        turned = self.copies.order(self.small)
        if turned is not None:
            places = places[ranges(starts[turned], each[turned])]
            starts = np.concatenate([starts[:1], np.cumsum(each[turned])])
        return starts, places if self.order is None else self.order[places]


def _check_phase(what: str, phase: Phase, ranks: int, size: float) -> None:
    small, members = phase.schedule, phase.members
    where = f"{what}, phase {phase.label or small!r}"
    if members.ndim != 2 or members.shape[1] != small.ranks:
        raise ScheduleError(f"{where}: members of shape {members.shape} for {small.ranks} ranks a copy")
    if members.size and (members.min() < 0 or members.max() >= ranks):
        raise ScheduleError(f"{where}: members must be ranks 0 to {ranks - 1}")
    if np.bincount(members.ravel(), minlength=1).max(initial=0) > 1:
        raise ScheduleError(f"{where}: a rank is a member of two copies, they must be disjoint")
    if small.chunk_bytes is not None or not math.isclose(small.size * phase.parts, size, rel_tol=1e-9):
        raise ScheduleError(
            f"{where}: works on {small.size:.15g} bytes, a part of the buffer has {size / phase.parts:.15g}"
        )
