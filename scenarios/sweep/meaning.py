"""What the values of a sweep mean together: which of them say something of a point.

A figure of a tier says nothing of a machine without that tier, and an option
nothing of an algorithm that does not take it. In a grid such values are left
out of the point, so that it is run once and not once for each of them; a name
that no machine and no algorithm of the sweep knows is a fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from scenarios.sweep.axes import Axis, Key, Range
from scenarios.sweep.point import Cluster, Point, collective_defaults, figures_digest
from topologies.errors import ChipweaveError, UnknownNameError, nearest
from topologies.links import new_figure, tiers

if TYPE_CHECKING:
    from topologies.description import MachineDescription

__all__ = ["Meaning", "known_keys"]

#: Keys that are no keyword of `sim.collective`.
_PLACE = ("machine", "chips", "estimate", "scale_out", "collective", "size")


class Meaning:
    """Brings values to points; remembers the machines it met.

    Attributes
    ----------
    descriptions : dict
        Machines as JSON, by the digest of their figures.
    """

    def __init__(self) -> None:
        self.descriptions: dict[str, str] = {}
        self._clusters: dict[Any, Cluster] = {}
        self._digests: dict[int, str] = {}

    def faults(self, axes: dict[Key, Axis], where: str = "sweep") -> Iterator[str]:
        """Names that nothing else in the sweep knows."""
        kinds = _some(axes, "collective") or ["all_reduce"]
        machines: list[MachineDescription] = _some(axes, "machine")
        algorithms = _some(axes, "algorithm") or ["auto"]
        for name in algorithms:
            yield from _unknown_algorithm(f"{where}.algorithm", name, kinds)
        for name in _some(axes, "protocol"):
            libraries = _some(axes, "library") or [m.library for m in machines]
            yield from _unknown_protocol(f"{where}.protocol", name, libraries)
        for key in axes:
            if key[0] == "link" and machines and not any(key[1] in tiers(m) for m in machines):
                known = list(dict.fromkeys(tier for m in machines for tier in tiers(m)))
                yield f"{where}.link.{key[1]}: {nearest('tier', key[1], known)}"
            elif key[0] not in ("link", *_PLACE, *collective_defaults()):
                takes = [n for k in kinds for n in algorithms if _takes(k, n, key[0])]
                if not takes:
                    yield f"{where}.{key[0]}: no algorithm of the sweep takes this option; remove it"

    def point(self, values: dict[Key, Any]) -> Point:
        """The point of some values, without those that say nothing of it."""
        kind = values.get(("collective",), "all_reduce")
        algorithm = values.get(("algorithm",), "auto")
        defaults = collective_defaults()
        arguments = {
            key[0]: x
            for key, x in values.items()
            if key[0] not in ("link", *_PLACE)
            and (x != defaults[key[0]] if key[0] in defaults else _takes(kind, algorithm, key[0]))
        }
        return Point(self._cluster(values), kind, float(values["size",]), arguments)

    def _cluster(self, values: dict[Key, Any]) -> Cluster:
        """So many chips of a machine with its links changed; the same object for the same values."""
        machine: MachineDescription = values["machine",]
        link = tuple(((key[1], key[2]), x) for key, x in values.items() if key[0] == "link")
        rest = tuple(values.get((name,)) for name in ("chips", "estimate", "scale_out"))
        # By identity: descriptions are compared in milliseconds, and `values` keeps them alive.
        known = self._clusters.get((id(machine), link, rest))
        if known is None:
            known = self._clusters[id(machine), link, rest] = self._new_cluster(machine, link, *rest)
        return known

    def _new_cluster(
        self,
        machine: MachineDescription,
        link: Iterable[tuple[tuple[str, str], Any]],
        chips: int | None,
        estimate: str | None,
        scale_out: bool | None,
    ) -> Cluster:
        end = estimate or "nominal"
        there = tiers(machine)
        digest = self._digests.get(id(machine))
        if digest is None:
            digest = self._digests[id(machine)] = figures_digest(machine)
            self.descriptions.setdefault(digest, machine.model_dump_json(exclude_none=True))
        return Cluster(
            machine=machine.name,
            digest=digest,
            chips=machine.host.chips.value if chips is None else chips,
            estimate=end,
            scale_out=scale_out,
            link=tuple(
                sorted((pair, new_figure(machine, *pair, x, end)) for pair, x in link if pair[0] in there)
            ),
        )


def known_keys() -> frozenset[str]:
    """Keys that a table of the file may have, besides ``link``."""
    return frozenset({*_PLACE, *collective_defaults()}) | _options_of_all()


def _some(axes: dict[Key, Axis], key: str) -> list[Any]:
    axis = axes.get((key,), [])
    return [] if isinstance(axis, Range) else axis


@cache
def _options_of_all() -> frozenset[str]:
    from sim import collectives

    kinds = collectives.kinds()
    return frozenset().union(
        *(collectives.options(kind, name) for kind in kinds for name in collectives.algorithms(kind))
    )


@cache
def _takes(kind: str, label: str, option: str) -> bool:
    """Whether an algorithm takes an option; ``auto`` hands every option on."""
    from sim import collectives
    from sim.libraries import levels

    if label == "auto":
        return option in _options_of_all()
    try:
        name, _ = levels(kind, label)
    except ChipweaveError:
        return False
    return option in collectives.options(kind, name)


def _unknown_algorithm(where: str, label: str, kinds: list[str]) -> Iterator[str]:
    from sim.libraries import levels
    from sim.programs.files import SUFFIXES

    if label == "auto":
        return
    if label.lower().endswith(SUFFIXES):
        # Workers elsewhere have no such file, and its content is not in the key.
        yield f"{where}: {label!r} is a file; a sweep takes algorithms by name, sim.collective takes files"
        return
    refusals = []
    for kind in kinds:
        try:
            levels(kind, label)
            return
        except ChipweaveError as error:
            refusals.append(error)
    yield f"{where}: {refusals[0]}"


def _unknown_protocol(where: str, name: str, libraries: list[str]) -> Iterator[str]:
    from sim.libraries import library

    if name == "auto" or not libraries:
        return
    refusal: UnknownNameError | None = None
    for one in libraries:
        try:
            library(one).protocol(name)
            return
        except UnknownNameError as error:
            refusal = refusal or error
    yield f"{where}: {refusal}"
