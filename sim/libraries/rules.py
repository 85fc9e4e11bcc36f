"""Rules: which algorithm a library takes by the number of servers, the bytes, the shape.

A rule is a table of the library's TOML::

    [[rule]]
    collective = ["all_reduce"]
    when = { hosts = [2, 4], size = ["0 B", "1 MiB"] }
    take = "hierarchical:mesh/ring"
    because = "few servers: ring between them"

The first rule whose conditions all hold and whose algorithm can serve is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sim.libraries.request import Request
from topologies import units
from topologies.errors import LibraryError, UnknownNameError, nearest

__all__ = ["fitting"]


def fitting(request: Request, able: list[str]) -> tuple[str, str] | None:
    """The algorithm of the first rule that fits, and why; None if none does.

    Raises
    ------
    UnknownNameError, LibraryError
        If a rule has a condition that is not known or has no meaning.
    """
    known = request.known()
    for number, rule in enumerate(request.library.rules):
        where = f"{request.library.name}: rule {number + 1}"
        if request.kind not in _kinds(rule, where):
            continue
        if not all(_holds(request, key, value, where) for key, value in rule.get("when", {}).items()):
            continue
        label = str(rule.get("take", ""))
        if label.partition(":")[0] not in known:
            if not label:
                raise LibraryError(f"{where} has no take; name an algorithm")
            continue
        if label in able or request.refusal(label) is None:
            return label, str(rule.get("because", "")) or f"rule {number + 1}"
    return None


def _kinds(rule: Mapping[str, Any], where: str) -> list[str]:
    kinds = rule.get("collective")
    if not isinstance(kinds, list) or not kinds:
        raise LibraryError(f"{where}: collective (={kinds!r}) must be a list of collectives")
    return kinds


def _between(value: float, bounds: Any, where: str, read: Callable[[Any], float] = float) -> bool:
    """Whether a value is at least the first bound and below the second, if there is one."""
    if not isinstance(bounds, list) or not 1 <= len(bounds) <= 2:
        raise LibraryError(f"{where} (={bounds!r}) must be a list [least] or [least, below]")
    low = read(bounds[0])
    return low <= value and (len(bounds) == 1 or value < read(bounds[1]))


def _holds(request: Request, key: str, value: Any, where: str) -> bool:
    if key not in CONDITIONS:
        raise nearest(f"condition of {where}", key, CONDITIONS)
    return CONDITIONS[key](request, value, f"{where}: {key}")


def _equal_groups(request: Request) -> bool:
    if request.groups is None:
        return True
    sizes = np.bincount(request.groups)
    return bool(sizes.min() == sizes.max())


def _power_of_two(request: Request, of: Any, where: str) -> bool:
    if of not in ("hosts", "ranks"):
        raise UnknownNameError(f"{where} (={of!r}) must be 'hosts' or 'ranks'")
    count = _groups(request) if of == "hosts" else request.ranks
    return count & (count - 1) == 0


def _groups(request: Request) -> int:
    return 1 if request.groups is None else int(np.unique(request.groups).size)


#: What a rule may ask: servers (groups of ranks, 1 where there are none), scale-up
#: domains or hosts with a network between, ranks, ranks of a server, bytes, bytes a
#: rank, a power of two, groups of equal size, several pods of several servers, a link
#: for every pair inside a server, a torus, graph attributes.
CONDITIONS: dict[str, Callable[[Request, Any, str], bool]] = {
    "servers": lambda r, v, w: _between(_groups(r), v, w),
    "domains": lambda r, v, w: _between(r.hosts, v, w),
    "ranks": lambda r, v, w: _between(r.ranks, v, w),
    "per_server": lambda r, v, w: _between(r.ranks / _groups(r), v, w),
    "size": lambda r, v, w: _between(r.size, v, w, lambda x: units.size(x, name=w, zero=True)),
    "size_per_rank": lambda r, v, w: _between(
        r.size / r.ranks, v, w, lambda x: units.size(x, name=w, zero=True)
    ),
    "power_of_two": _power_of_two,
    "equal": lambda r, v, w: _equal_groups(r) == bool(v),
    "pods": lambda r, v, w: (r.pods is not None) == bool(v),
    "mesh": lambda r, v, w: r.meshed == bool(v),
    "torus": lambda r, v, w: (r.dims is not None) == bool(v),
    "generation": lambda r, v, w: r.router.fabric.attributes.get("generation") in v,
    "machine": lambda r, v, w: r.router.fabric.attributes.get("machine") in v,
}
