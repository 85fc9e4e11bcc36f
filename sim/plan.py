"""From a request to a job: checked names, ranks, schedule, protocol.

One place where ``kind, size, algorithm="auto", ...`` become a schedule on
certain chips, for one-call runs and for `World` alike.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim import collectives
from sim.fabric import Fabric
from sim.libraries import (
    Choice,
    Features,
    Library,
    LibraryCosts,
    Request,
    candidates,
    choose,
    library,
)
from sim.libraries.parameters import ESTIMATES
from sim.programs import Algorithm, algorithm_of, protocol_of, schedule_of
from sim.routing import Router
from sim.schedule import IntArray, Schedule
from topologies import units
from topologies.errors import LibraryError, ScheduleError, TopologyError, UnitError

__all__ = ["BEST", "Plan", "Size", "as_library", "as_size", "chip_nodes", "plan"]

#: What ``algorithm=`` takes for: simulate the candidates and take the fastest.
BEST = "best"

#: A number of bytes, text with a unit, or a (p, p) matrix of bytes.
Size = float | str | npt.NDArray[Any] | Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is going to be simulated: a schedule, on nodes, with a protocol's costs."""

    schedule: Schedule
    nodes: IntArray
    router: Router
    library: Library
    choice: Choice
    groups: IntArray | None
    request: Request

    @property
    def costs(self) -> LibraryCosts:
        """What its transfers cost."""
        fabric = self.router.fabric
        return self.library.costs(self.choice.protocol, self.choice.setting, fabric.attributes)

    @property
    def launch(self) -> float:
        """Seconds before its first transfer; none for one rank, who has nothing to send."""
        if self.nodes.size < 2:
            return 0.0
        size = np.array([self.schedule.size])
        return float(self.costs.steps.once(size, np.zeros(1, dtype=np.int64))[0])

    def features(self) -> Features:
        """What its time depends on, whatever the parameters (`sim.libraries.features`)."""
        choice = self.choice
        return self.request.features_of(choice.schedule, choice.setting)


def as_library(name: str | Library | None, fabric: Fabric) -> Library:
    """A library: the one given, or of that name or TOML; else the machine's own, else ``ideal``.

    A machine at its low or high estimate has its library's figures at the same end.
    """
    if isinstance(name, Library):
        return name
    if name is not None and not isinstance(name, str):
        raise LibraryError(f"library (={name!r}) must be a name, or what sim.libraries.library gives")
    estimate = str(fabric.attributes.get("estimate", "nominal"))
    wanted = name if name is not None else fabric.library or "ideal"
    return library(wanted, estimate=estimate if estimate in ESTIMATES else "nominal")


def as_size(kind: str, size: Size) -> float | npt.NDArray[np.float64]:
    """Bytes as a number > 0, or a matrix of bytes for an uneven all-to-all.

    Raises
    ------
    UnitError
        If there is no unit, a unit of another kind, or not a size.
    """
    if isinstance(size, str | int | float | np.number):
        return units.size(size, name="size")
    try:
        matrix = np.asarray(size, dtype=np.float64)
    except (TypeError, ValueError):
        raise UnitError(f"size (={size!r}) must be bytes, text with a unit, or a matrix of bytes") from None
    if kind != "all_to_all" or matrix.ndim != 2:
        raise UnitError(f"size: {kind} takes one number of bytes, not an array of shape {matrix.shape}")
    return matrix


def chip_nodes(fabric: Fabric, ranks: int | Sequence[Any] | None) -> IntArray:
    """Nodes of the ranks that take part, in rank order.

    Parameters
    ----------
    fabric : Fabric
    ranks : None, int, or sequence
        All chips; the first so many; or chip names in rank order.

    Raises
    ------
    TopologyError
        If a chip is not there, not a chip, or listed twice.
    """
    if ranks is None:
        return fabric.rank_nodes
    if not isinstance(ranks, Sequence | np.ndarray | range):
        try:
            count = operator.index(None if isinstance(ranks, bool) else ranks)  # type: ignore[arg-type]
        except TypeError:
            raise TopologyError(f"ranks (={ranks!r}) must be a number of chips or a list of chips") from None
        if not 1 <= count <= fabric.ranks:
            raise TopologyError(f"ranks (={count}) must be 1 to {fabric.ranks}, the chips of {fabric.name}")
        return fabric.rank_nodes[:count]
    nodes = []
    seen: dict[Any, int] = {}
    for place, chip in enumerate(ranks):
        name = chip.item() if isinstance(chip, np.generic) else chip
        if not isinstance(name, Hashable) or name not in fabric.index or fabric.kind[fabric.index[name]] != 0:
            raise TopologyError(
                f"rank {place}: {name!r} is not a chip of {fabric.name}; see topologies.chips(graph)"
            )
        if name in seen:
            raise TopologyError(f"rank {place}: chip {name!r} is listed twice (also as rank {seen[name]})")
        seen[name] = place
        nodes.append(fabric.index[name])
    if not nodes:
        raise TopologyError("ranks (=[]) must name at least one chip")
    return np.array(nodes, dtype=np.int64)


def plan(
    kind: str,
    router: Router,
    size: Size,
    *,
    ranks: int | Sequence[Any] | None = None,
    algorithm: Algorithm = "auto",
    protocol: str = "auto",
    library: str | Library | None = None,
    simulate: Callable[[Plan], float] | None = None,
    **options: Any,
) -> Plan:
    """Check a request and choose what it leaves open.

    Algorithm ``"best"`` is whichever of the library's candidates, with whichever
    protocol, ``simulate`` finds the fastest; what the library itself would choose is
    always one of them.

    Raises
    ------
    UnknownNameError, UnitError, TopologyError, ScheduleError
        If a name, the size, the ranks or an option has no meaning, or no algorithm
        can serve so many ranks.
    """
    fabric = router.fabric
    collectives.algorithms(kind)  # refuses an unknown collective first
    own = algorithm_of(algorithm)
    if own is None and not isinstance(algorithm, str):
        raise ScheduleError(
            f"{kind}: algorithm (={algorithm!r}) must be a name, 'auto', a Program, or the path of an .xml "
            f"or .goal"
        )
    if not isinstance(protocol, str):
        raise ScheduleError(f"{kind}: protocol (={protocol!r}) must be a name, or 'auto'")
    chosen = as_library(library, fabric)
    amount = as_size(kind, size)
    nodes = chip_nodes(fabric, ranks)
    if not isinstance(amount, float) and amount.shape != (nodes.size, nodes.size):
        raise ScheduleError(
            f"size: matrix of shape {amount.shape} for {nodes.size} ranks; give ({nodes.size}, {nodes.size})"
        )
    groups = fabric.groups(nodes)
    whole = nodes.size == fabric.ranks and bool((nodes == fabric.rank_nodes).all())
    if own is not None and protocol == "auto":
        protocol = protocol_of(own, chosen.protocols)
    request = Request(
        kind, amount, router, nodes, chosen, options, groups, fabric.dims if fabric.dims and whole else None,
        None if own is None else lambda: schedule_of(own, kind, nodes.size, amount, options),
    )  # fmt: skip
    if algorithm == BEST:
        return _fastest(request, protocol, simulate)
    choice = choose(request, str(algorithm) if own is None else own.name, protocol)
    return Plan(choice.schedule, nodes, router, chosen, choice, groups, request)


def _fastest(request: Request, protocol: str, simulate: Callable[[Plan], float] | None) -> Plan:
    """The fastest of all candidates and protocols, each simulated."""
    if simulate is None:
        raise ScheduleError(f"algorithm 'best' of {request.kind} needs a network to simulate on; name one")

    def planned(choice: Choice) -> Plan:
        return Plan(
            choice.schedule, request.nodes, request.router, request.library, choice, request.groups, request
        )

    auto = planned(choose(request, "auto", protocol))
    if request.ranks == 1:
        return auto
    plans = {(auto.schedule.algorithm, auto.choice.protocol): auto}
    labels, protocols = candidates(request, "auto", protocol)
    for label in labels:
        for name in request.protocols(label, protocols):
            if (label, name) not in plans:
                plans[label, name] = planned(choose(request, label, name))
    times = {pair: simulate(one) for pair, one in plans.items()}
    order = sorted(times, key=lambda pair: (times[pair], pair))
    reason = f"the fastest of {len(order)} simulated"
    best = plans[order[0]]
    choice = replace(best.choice, estimates={pair: times[pair] for pair in order}, reason=reason)
    return replace(best, choice=choice)
