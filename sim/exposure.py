"""Communication that nothing hides: when chips talk and do not compute meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sim.network.recorder import Activity

__all__ = ["exposed"]

Span = tuple[int, int]


def exposed(activities: Sequence[Activity], ranks: int) -> list[tuple[Activity, list[Span]]]:
    """When each communication is exposed: not all chips that take part compute.

    Parameters
    ----------
    activities : sequence of Activity
    ranks : int
        Chips of the fabric.

    Returns
    -------
    list of (Activity, list of (begin, end))
        The communications in their order; spans in picoseconds, apart and rising,
        none where all of it is hidden.

    Examples
    --------
    >>> talk = Activity("2 chips", "all_reduce", True, (0, 1), 0, 10)
    >>> one, both = Activity("chip 0", "f", False, (0,), 0, 8), Activity("all chips", "g", False, None, 5, 7)
    >>> exposed([talk, one, both], 2)[0][1]
    [(0, 5), (7, 10)]
    """
    everyone: list[Span] = []
    own: dict[int, list[Span]] = {}
    for a in activities:
        if not a.communicates and a.ranks is None:
            everyone.append((a.begin_ps, a.end_ps))
        elif not a.communicates:
            for rank in a.ranks or ():
                own.setdefault(rank, []).append((a.begin_ps, a.end_ps))
    common = _union(everyone)
    busy = {rank: _union(everyone + spans) for rank, spans in own.items()}
    found = []
    for a in activities:
        if not a.communicates:
            continue
        members = range(ranks) if a.ranks is None else a.ranks
        special = [busy[rank] for rank in members if rank in busy]
        # Chips that compute on nobody's account but everyone's are alike: counted once, by weight.
        covered = [(spans, 1) for spans in special] + [(common, len(members) - len(special))]
        found.append((a, _uncovered(a.begin_ps, a.end_ps, covered, len(members))))
    return found


def _union(spans: Iterable[Span]) -> list[Span]:
    """Spans joined where they touch."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def _uncovered(begin: int, end: int, covered: list[tuple[list[Span], int]], whole: int) -> list[Span]:
    """Parts of a span at which the covering spans weigh less than the whole together."""
    steps: dict[int, int] = {begin: 0, end: 0}
    for spans, weight in covered:
        for opens, closes in spans:
            first, last = max(opens, begin), min(closes, end)
            if first < last:
                steps[first] = steps.get(first, 0) + weight
                steps[last] = steps.get(last, 0) - weight
    there, at, found = 0, begin, []
    for instant in sorted(steps):
        if there < whole and instant > at:
            found.append((at, instant))
        there += steps[instant]
        at = instant
    return _union(found)
