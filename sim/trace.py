"""What a recorder has kept, as a trace that Perfetto and chrome://tracing open.

Chrome's trace event format (Google, "Trace Event Format", 2016) as JSON:

- process ``activities``: a track for each actor of a world, what it did;
- process ``chips``: tracks for what each chip sends and what it receives; a slice
  lasts from when both ends were there to the last byte, and holds inside it the
  time before it held its links and, at the receiver, the reduction; arrows lead
  from each send to its receipt;
- process ``links``: a track for each direction of each link that carried
  something, and a counter of its utilisation in percent.

Where things on one track overlap, it has several lanes, so that slices on one
lane nest or follow each other. Instants are rounded down to nanoseconds,
Perfetto's resolution, which keeps that so.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.fabric import Fabric
from sim.network.recorder import Lives, Recorder
from sim.schedule import FloatArray, IntArray
from topologies.errors import OutputError, SimulationError

__all__ = ["chrome_trace", "write_trace"]

ACTIVITIES, CHIPS, LINKS = 1, 2, 3
PS_PER_NS = 1000

#: Events in one piece of text.
CHUNK = 20_000


def write_trace(recorder: Recorder, path: str | os.PathLike[str], *, links: bool = True) -> Path:
    """Write a trace, compressed where the name ends with ``.gz``.

    Parameters
    ----------
    recorder : Recorder
        What a run or a world was given.
    path : path
    links : bool
        Whether the links have tracks and counters.

    Returns
    -------
    Path

    Raises
    ------
    SimulationError
        If nothing was recorded.
    OutputError
        If the file cannot be written.
    """
    target = Path(path)
    text = chrome_trace(recorder, links=links)
    try:
        with target.open("wb") as file:
            if target.suffix == ".gz":
                # No time of day in it: the same trace is the same bytes.
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                    packed.writelines(piece.encode() for piece in text)
            else:
                file.writelines(piece.encode() for piece in text)
    except OSError as error:
        raise OutputError(
            f"cannot write '{target}': {error.strerror or error}; choose another place"
        ) from error
    return target


def chrome_trace(recorder: Recorder, *, links: bool = True) -> Iterator[str]:
    """The text of a trace, piece by piece.

    Parameters
    ----------
    recorder : Recorder
    links : bool
        Whether the links have tracks and counters.

    Yields
    ------
    str
        Pieces of one JSON object.

    Raises
    ------
    SimulationError
        If nothing was recorded.
    """
    fabric = recorder.fabric
    if fabric is None or not (recorder.rounds or recorder.activities):
        raise SimulationError(
            "the recorder has recorded nothing; hand it to sim.collective(..., recorder=) or sim.World first"
        )
    return _pieces(recorder, fabric, links)


def _pieces(recorder: Recorder, fabric: Fabric, links: bool) -> Iterator[str]:
    lives = recorder.lives()
    tracks = _Tracks()
    yield '{"displayTimeUnit":"ns","traceEvents":[\n'
    yield from _joined(_activities(recorder, tracks))
    yield from _joined(_chips(recorder, fabric, lives, tracks))
    if links:
        yield from _joined(_links(recorder, fabric, lives, tracks))
        yield from _joined(_counters(recorder, fabric))
    # The names of the tracks are known last; the order in the file does not matter.
    yield ",\n".join(tracks.names())
    yield "\n]}\n"


def _joined(events: Iterator[str]) -> Iterator[str]:
    piece: list[str] = []
    for event in events:
        piece.append(event)
        if len(piece) == CHUNK:
            yield ",\n".join(piece) + ",\n"
            piece = []
    if piece:
        yield ",\n".join(piece) + ",\n"


class _Tracks:
    """Numbers of the tracks, lane by lane, and what they are called."""

    def __init__(self) -> None:
        self._number: dict[tuple[int, str, int], int] = {}

    def of(self, process: int, names: Sequence[str], track: IntArray, lane: IntArray) -> list[int]:
        """Track number of each slice, whose track has the name ``names[track]``."""
        lanes = int(lane.max(initial=0)) + 1
        keys, inverse = np.unique(track * lanes + lane, return_inverse=True)
        numbers: list[int] = [
            self._number.setdefault((process, names[key // lanes], key % lanes), len(self._number) + 1)
            for key in keys.tolist()
        ]
        return [numbers[i] for i in inverse.tolist()]

    def names(self) -> Iterator[str]:
        """Metadata events."""
        for process, name in ((ACTIVITIES, "activities"), (CHIPS, "chips"), (LINKS, "links")):
            yield _event(ph="M", pid=process, name="process_name", args={"name": name})
            yield _event(ph="M", pid=process, name="process_sort_index", args={"sort_index": process})
        for (process, name, lane), number in self._number.items():
            label = name if lane == 0 else f"{name} ({lane + 1})"
            yield _event(ph="M", pid=process, tid=number, name="thread_name", args={"name": label})
            yield _event(
                ph="M", pid=process, tid=number, name="thread_sort_index", args={"sort_index": number}
            )


def _event(**fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _activities(recorder: Recorder, tracks: _Tracks) -> Iterator[str]:
    done = recorder.activities
    if not done:
        return
    actors = list(dict.fromkeys(a.actor for a in done))
    place = {actor: i for i, actor in enumerate(actors)}
    track = np.array([place[a.actor] for a in done])
    begin = np.array([a.begin_ps for a in done]) // PS_PER_NS
    end = np.array([a.end_ps for a in done]) // PS_PER_NS
    order, lane = _lanes(track, begin, end)
    tids = tracks.of(ACTIVITIES, actors, track[order], lane)
    for i, tid in zip(order.tolist(), tids, strict=True):
        kind = "communication" if done[i].communicates else "compute"
        yield _slice(json.dumps(done[i].what), kind, ACTIVITIES, tid, int(begin[i]), int(end[i]))


def _chips(recorder: Recorder, fabric: Fabric, lives: Lives, tracks: _Tracks) -> Iterator[str]:
    chips = [str(node) for node in fabric.nodes]
    labels = [json.dumps(chip)[1:-1] for chip in chips]
    jobs = [json.dumps(job.name)[1:-1] for job, _ in recorder.rounds]
    rounds = [json.dumps(one.round.label)[1:-1] for _, one in recorder.rounds]
    ready, begin, end, reduced = (
        instants // PS_PER_NS for instants in (lives.ready_ps, lives.begin_ps, lives.end_ps, lives.reduced_ps)
    )
    arrows: list[tuple[list[int], list[int]]] = []
    for verb, at, other, until in (
        ("sends", lives.src, lives.dst, end),
        ("receives", lives.dst, lives.src, reduced),
    ):
        # Local work has no receiver.
        moved = np.flatnonzero(lives.src != lives.dst) if verb == "receives" else np.arange(end.size)
        order, lane = _lanes(at[moved], ready[moved], until[moved])
        order = moved[order]
        tids = tracks.of(CHIPS, [f"chip {chip} {verb}" for chip in chips], at[order], lane)
        columns = (
            order, lives.round[order], lives.repetition[order], at[order], other[order], lives.bytes[order],
            ready[order], begin[order], end[order], until[order],
        )  # fmt: skip
        preposition = "to" if verb == "sends" else "from"
        for tid, _, r, k, here, there, size, t0, t1, t2, t3 in zip(
            tids, *(column.tolist() for column in columns), strict=True
        ):
            name = f"{preposition} {labels[there]}" if here != there else "work"
            yield (
                f'{{"ph":"X","name":"{name}","cat":"{jobs[r]}","pid":{CHIPS},"tid":{tid},'
                f'"ts":{t0 / 1000:.3f},"dur":{(t3 - t0) / 1000:.3f},'
                f'"args":{{"bytes":{size:.15g},"round":"{rounds[r]}","repetition":{k}}}}}'
            )
            if t1 > t0:
                yield _slice('"overhead, latency"', "delay", CHIPS, tid, t0, t1)
            if t3 > t2:
                yield _slice('"reduce"', "reduce", CHIPS, tid, t2, t3)
        arrows.append((order.tolist(), tids))
    (sent, send_tids), (received, receive_tids) = arrows
    moves = (lives.src != lives.dst).tolist()
    # Within the slice, whose end is not part of it.
    starts, ends = ready.tolist(), np.maximum(ready, end - 1).tolist()
    for i, tid in zip(sent, send_tids, strict=True):
        if moves[i]:
            yield _arrow("s", i, tid, starts[i])
    for i, tid in zip(received, receive_tids, strict=True):
        yield _arrow("f", i, tid, ends[i])


def _links(recorder: Recorder, fabric: Fabric, lives: Lives, tracks: _Tracks) -> Iterator[str]:
    labels = [str(node) for node in fabric.nodes]
    names = [f"{labels[t]} -> {labels[h]}" for t, h in zip(fabric.tail, fabric.head, strict=True)]
    whose, link, _ = _entries(recorder, lives.round, lives.transfer)
    begin, end = lives.begin_ps[whose] // PS_PER_NS, lives.end_ps[whose] // PS_PER_NS
    order, lane = _lanes(link, begin, end)
    tids = tracks.of(LINKS, names, link[order], lane)
    ends = [json.dumps(label)[1:-1] for label in labels]
    src, dst = lives.src[whose[order]].tolist(), lives.dst[whose[order]].tolist()
    for tid, s, d, t0, t1 in zip(tids, src, dst, begin[order].tolist(), end[order].tolist(), strict=True):
        yield (
            f'{{"ph":"X","name":"{ends[s]} to {ends[d]}","cat":"link","pid":{LINKS},"tid":{tid},'
            f'"ts":{t0 / 1000:.3f},"dur":{(t1 - t0) / 1000:.3f}}}'
        )


def _counters(recorder: Recorder, fabric: Fabric) -> Iterator[str]:
    """Utilisation of each link, in percent, from the instant on at which it changes."""
    labels = [json.dumps(str(node))[1:-1] for node in fabric.nodes]
    s = recorder.segments()
    whose, link, weight = _entries(recorder, s.round, s.transfer)
    share = 100 * weight * s.rate[whose] / fabric.bandwidth[link]
    at = np.concatenate([s.begin_ps[whose], s.end_ps[whose]]) // PS_PER_NS
    on, step = np.concatenate([link, link]), np.concatenate([share, -share])
    order = np.lexsort((at, on))
    at, on = at[order], on[order]
    level = np.cumsum(step[order])
    # The sum runs over all links; each begins where the one before has come back to zero.
    first = np.searchsorted(on, on, side="left")
    level -= np.where(first > 0, level[first - 1], 0.0)
    level = np.maximum(np.round(level, 6), 0.0)
    last = np.ones(on.size, dtype=bool)
    last[:-1] = (on[1:] != on[:-1]) | (at[1:] != at[:-1])
    tails, heads = fabric.tail[on[last]].tolist(), fabric.head[on[last]].tolist()
    for t, h, instant, value in zip(tails, heads, at[last].tolist(), level[last].tolist(), strict=True):
        yield (
            f'{{"ph":"C","name":"{labels[t]} -> {labels[h]}","pid":{LINKS},"ts":{instant / 1000:.3f},'
            f'"args":{{"utilisation %":{value:.4g}}}}}'
        )


def _slice(name: str, category: str, process: int, tid: int, begin: int, end: int) -> str:
    """A slice between two instants (ns); the name is JSON already."""
    return (
        f'{{"ph":"X","name":{name},"cat":"{category}","pid":{process},"tid":{tid},'
        f'"ts":{begin / 1000:.3f},"dur":{(end - begin) / 1000:.3f}}}'
    )


def _arrow(phase: str, number: int, tid: int, at: int) -> str:
    """An end of an arrow; it belongs to the slice around it."""
    return (
        f'{{"ph":"{phase}","name":"transfer","cat":"transfer","id":{number},"bp":"e",'
        f'"pid":{CHIPS},"tid":{tid},"ts":{at / 1000:.3f}}}'
    )


def _entries(
    recorder: Recorder, round_: IntArray, transfer: IntArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """The (transfer, link) pairs of these transfers: whose, link, weight."""
    starts = [one.route.start for _, one in recorder.rounds]
    base = np.cumsum([0, *(int(start[-1]) for start in starts)])
    place = np.cumsum([0, *(start.size for start in starts)])[round_] + transfer
    flat = np.concatenate([*starts, np.zeros(0, np.int64)])
    first, count = base[round_] + flat[place], flat[place + 1] - flat[place]
    whose = np.repeat(np.arange(round_.size), count)
    within = np.arange(whose.size) - np.repeat(np.cumsum(count) - count, count)
    entry = first[whose] + within
    link = np.concatenate([*(one.route.link for _, one in recorder.rounds), np.zeros(0, np.int64)])
    weight = np.concatenate([*(one.route.weight for _, one in recorder.rounds), np.zeros(0)])
    return whose, link[entry].astype(np.int64), weight[entry]


def _lanes(track: npt.NDArray[np.int64], begin: IntArray, end: IntArray) -> tuple[IntArray, IntArray]:
    """Sort slices by track and begin, and put those that overlap on different lanes.

    Returns
    -------
    (order, lane)
        The sorted order, and the lane of each slice in that order: the first that is
        free when it begins.
    """
    order = np.lexsort((end, begin, track))
    lane = np.zeros(order.size, dtype=np.int64)
    free: list[int] = []
    current = -1
    for i, (t, b, e) in enumerate(
        zip(track[order].tolist(), begin[order].tolist(), end[order].tolist(), strict=True)
    ):
        if t != current:
            current, free = t, [e]
            continue
        for number, until in enumerate(free):
            if until <= b:
                free[number] = e
                lane[i] = number
                break
        else:
            lane[i] = len(free)
            free.append(e)
    return order, lane
