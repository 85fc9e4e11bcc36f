"""Which algorithms there are for each collective, and building one by name.

An algorithm is a function ``(ranks, size, **options) -> Schedule`` that its
module enters here with :func:`algorithm`. What it can serve is said by a
predicate next to it, so that nobody has to try in order to know.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.collectives.arguments import Layout, as_dims, as_groups, as_ranks, as_size, check_rank
from sim.collectives.channels import channel_orders, in_channels
from sim.collectives.pipeline import pieces_for
from sim.collectives.staggered import in_pieces, stages_of
from sim.schedule import FloatArray, IntArray, Schedule
from topologies.errors import ScheduleError, nearest

__all__ = [
    "Serves",
    "algorithm",
    "algorithms",
    "build",
    "cuts_by_size",
    "kinds",
    "options",
    "power_of_two",
    "serves",
    "uses_network",
]

#: ``serves(layout)``: None, or why the algorithm cannot serve such ranks.
Serves = Callable[[Layout], str | None]
Builder = Callable[..., Schedule]

#: Options that every algorithm takes, because they are compositions of it.
ORDERED = frozenset({"order", "channels", "channel_map", "pipeline", "groups"})

#: Collectives between two ranks, or without data, whose ranks have no order.
UNORDERED = ("send", "barrier")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm of one collective."""

    function: Builder
    serves: Serves | None
    options: frozenset[str]
    in_network: bool = False


_TABLE: dict[str, dict[str, Algorithm]] = {}


def algorithm(
    kind: str, name: str, serves: Serves | None = None, *, in_network: bool = False
) -> Callable[[Builder], Builder]:
    """Enter the decorated function as algorithm ``name`` of collective ``kind``.

    ``in_network``: it asks switches to sum or multicast, which not all can.
    """

    def enter(function: Builder) -> Builder:
        options = frozenset(inspect.signature(function).parameters) - {"ranks", "size"}
        _TABLE.setdefault(kind, {})[name] = Algorithm(function, serves, options, in_network)
        return function

    return enter


def kinds() -> list[str]:
    """Names of the collectives, sorted.

    Examples
    --------
    >>> "all_reduce" in kinds()
    True
    """
    return sorted(_TABLE)


def algorithms(kind: str) -> list[str]:
    """Names of the algorithms of a collective, sorted.

    Parameters
    ----------
    kind : str
        The collective, such as ``"all_reduce"``.

    Raises
    ------
    UnknownNameError
        If there is no such collective.

    Examples
    --------
    >>> algorithms("send")
    ['direct']
    """
    return sorted(_of_kind(kind))


def serves(
    kind: str,
    algorithm: str,
    ranks: int,
    groups: npt.ArrayLike | None = None,
    *,
    pods: npt.ArrayLike | None = None,
    dims: str | Sequence[int] | None = None,
) -> str | None:
    """Say why an algorithm cannot serve so many ranks, or these groups.

    Parameters
    ----------
    kind, algorithm : str
        The collective and its algorithm.
    ranks : int
        Number of ranks p.
    groups : int array, shape (p,), optional
        The group (host) of each rank.
    pods : int array, shape (p,), optional
        The group of groups (pod) of each rank.
    dims : sequence of int, or text such as ``"4x4"``, optional
        Ranks along each dimension of a torus.

    Returns
    -------
    str or None
        None if it can; else the reason, fit to be shown.

    Raises
    ------
    UnknownNameError
        If there is no such collective or algorithm.

    Examples
    --------
    >>> serves("all_reduce", "ring", 7)
    >>> serves("reduce_scatter", "swing", 7)
    'needs a power of two of ranks, not 7'
    >>> serves("all_reduce", "torus", 16)
    'needs dims=, the ranks along each dimension of the torus'
    """
    entry = _entry(kind, algorithm)
    if ranks <= 1 or entry.serves is None:
        return None
    what = f"{kind} by {algorithm}"
    return entry.serves(
        Layout(
            ranks,
            None if groups is None else np.asarray(groups, dtype=np.int64),
            None if pods is None else np.asarray(pods, dtype=np.int64),
            None if dims is None else as_dims(what, dims),
        )
    )


def build(kind: str, ranks: int, size: float | npt.ArrayLike, algorithm: str, **options: Any) -> Schedule:
    """Build the schedule of a collective by one algorithm.

    Parameters
    ----------
    kind : str
        The collective, such as ``"all_reduce"``.
    ranks : int
        Number of ranks p, >= 1. One rank alone has nothing to send.
    size : float, or array of shape (p, p) for all-to-all
        Bytes, > 0, as nccl-tests counts them (see `sim.schedule.Schedule`). A
        matrix gives the bytes rank i (row) has for rank j (column).
    algorithm : str
        One of ``algorithms(kind)``.
    **options
        What the algorithm takes besides: ``root``, ``groups``, ``pipeline``, ...
        Every algorithm takes ``order``, the ranks in the order in which it counts
        them, ``channels``, how many times it runs at once on a share of the data
        each, ``channel_map``, how they pass through a host
        (`sim.collectives.channels.channel_orders`), and ``pipeline``, the
        pieces that follow each other through its rounds (a number or ``"auto"``;
        `sim.collectives.staggered`).

    Returns
    -------
    Schedule

    Raises
    ------
    UnknownNameError
        If there is no such collective, algorithm or option.
    ScheduleError
        If ranks, size or an option has no meaning, or the algorithm cannot
        serve so many ranks or these groups.

    Examples
    --------
    >>> build("all_reduce", 8, 1024.0, "ring")
    <Schedule all_reduce by ring: 8 ranks, 1024 bytes in 8 chunks>
    >>> build("all_reduce", 8, 1024.0, "ring", channels="auto", groups=[0, 0, 0, 0, 1, 1, 1, 1])
    <Schedule all_reduce by ring: 8 ranks, 1024 bytes in 32 chunks>
    """
    entry = _entry(kind, algorithm)
    what = f"{kind} by {algorithm}"
    ranks = as_ranks(what, ranks)
    _check_options(what, kind, entry, options, ranks)
    amount = as_size(what, kind, ranks, size)
    if ranks == 1:
        total = amount if isinstance(amount, float) else float(amount.sum())
        return Schedule(kind, algorithm, 1, total, lambda: iter(()), chunks=1)
    reason = serves(
        kind,
        algorithm,
        ranks,
        options.get("groups"),
        pods=options.get("pods"),
        dims=options.get("dims"),
    )
    if reason is not None:
        raise ScheduleError(f"{what}: {reason}")
    orders = channel_orders(
        what,
        ranks,
        options.get("order"),
        options.get("channels"),
        options.get("groups"),
        options.get("channel_map"),
    )
    own = {name: value for name, value in options.items() if name in entry.options}
    pipeline = None if "pipeline" in entry.options else options.get("pipeline")
    if orders is None:
        return _flowing(what, entry, ranks, amount, own, pipeline)

    def channel(share: float | FloatArray, order: IntArray) -> Schedule:
        return _flowing(what, entry, ranks, share, _seen_in_order(own, entry, order), pipeline)

    return in_channels(kind, algorithm, ranks, amount, orders, channel, root=options.get("root", 0))


def _flowing(
    what: str,
    entry: Algorithm,
    ranks: int,
    amount: float | FloatArray,
    own: dict[str, Any],
    pipeline: int | str | None,
) -> Schedule:
    """An algorithm whose data flow in pieces, if several are asked for."""
    if pipeline is None:
        return entry.function(ranks, amount, **own)
    total = amount if isinstance(amount, float) else float(amount.sum(axis=1).max())
    stages = stages_of(entry.function(ranks, amount, **own)) if pipeline == "auto" else 1
    pieces = pieces_for(what, stages, total, pipeline)
    matrix = None if isinstance(amount, float) else amount
    return in_pieces(entry.function(ranks, amount / pieces, **own), pieces, total, matrix)


def cuts_by_size(kind: str, algorithm: str) -> bool:
    """Whether the algorithm cuts its data into more pieces the larger they are, if not told how many.

    Examples
    --------
    >>> cuts_by_size("broadcast", "chain"), cuts_by_size("broadcast", "binomial")
    (True, False)
    """
    return "pipeline" in _entry(kind, algorithm).options


def options(kind: str, algorithm: str) -> frozenset[str]:
    """Names of the options an algorithm takes besides ranks and size.

    Examples
    --------
    >>> sorted(options("broadcast", "binomial"))
    ['channel_map', 'channels', 'groups', 'order', 'pipeline', 'root']
    """
    return _options(kind, _entry(kind, algorithm))


def uses_network(kind: str, algorithm: str) -> bool:
    """Whether an algorithm asks switches to sum or multicast.

    Examples
    --------
    >>> uses_network("all_reduce", "nvls"), uses_network("all_reduce", "ring")
    (True, False)
    """
    return _entry(kind, algorithm).in_network


def power_of_two(layout: Layout) -> str | None:
    """Serve powers of two only (a `Serves` predicate)."""
    ranks = layout.ranks
    return f"needs a power of two of ranks, not {ranks}" if ranks & (ranks - 1) else None


def _of_kind(kind: str) -> dict[str, Algorithm]:
    if kind not in _TABLE:
        raise nearest("collective", kind, _TABLE)
    return _TABLE[kind]


def _entry(kind: str, name: str) -> Algorithm:
    entries = _of_kind(kind)
    if name not in entries:
        raise nearest(f"algorithm of {kind}", name, entries)
    return entries[name]


def _options(kind: str, entry: Algorithm) -> frozenset[str]:
    return entry.options if kind in UNORDERED else entry.options | ORDERED


def _check_options(what: str, kind: str, entry: Algorithm, options: dict[str, Any], ranks: int) -> None:
    """Refuse options that are unknown or have no meaning; bring the rest into shape."""
    known = _options(kind, entry)
    for name in options:
        if name not in known:
            raise nearest(f"option of {what}", name, known or {"(none)"})
    for name in ("root", "source", "destination"):
        check_rank(what, name, options.get(name), ranks)
    for name in ("groups", "pods"):
        if options.get(name) is not None:
            options[name] = as_groups(what, name, options[name], ranks)
    if options.get("dims") is not None:
        options["dims"] = as_dims(what, options["dims"])


def _seen_in_order(own: dict[str, Any], entry: Algorithm, order: IntArray) -> dict[str, Any]:
    """Options of an algorithm that counts the ranks in this order."""
    seen = dict(own)
    if "root" in entry.options:
        seen["root"] = int(np.flatnonzero(order == own.get("root", 0))[0])
    for name in ("groups", "pods"):
        if own.get(name) is not None:
            seen[name] = own[name][order]
    return seen
