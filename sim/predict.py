"""What the simulator says of a measured point: from a row of a table to a run.

A row names a system, some hosts and the chips used on each of them; the chips
of a partly used host are its first ones. What a measured collective is to the
simulator: ``sendrecv`` is a ring of sends at once (nccl-tests); ``p2p_write`` and
``p2p_read`` are one message between two chips of a host, of two hosts, or, where
the row says that it went over the network, of two scale-up domains; MoE dispatch
and combine are an all-to-all of what a rank sends, with the library's figures for such
kernels where it has a family of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sim.clock import seconds
from sim.collectives import algorithms
from sim.fabric import Fabric, compile_fabric
from sim.libraries import Library
from sim.libraries import library as named
from sim.plan import Plan, as_library, plan
from sim.routing import Router
from sim.world import World
from topologies.errors import ChipweaveError, MachineError

if TYPE_CHECKING:
    from topologies.description import MachineDescription

__all__ = ["ALGORITHMS", "Point", "Predicted", "Predictor"]

#: What tables call an algorithm, without spaces and in lower case: names it may have here.
ALGORITHMS = {
    "ring": ("ring",),
    "tree": ("tree", "double_binary_tree"),
    "nvls": ("nvls",),
    "nvlstree": ("nvls_tree",),
    "nvlsnvlstree": ("nvls_tree",),
    "collnet": ("collnet",),
    "collnetdirect": ("collnet",),
    "collnetchain": ("collnet",),
    "pat": ("pat",),
    "recursivedoubling": ("recursive_doubling",),
    "halvingdoubling": ("halving_doubling",),
}

#: Collectives of measurements that are one message between two chips.
ONE_MESSAGE = ("send", "p2p_write", "p2p_read")


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured, without the time.

    Attributes
    ----------
    collective : str
        One of `sim.measurements.KINDS`.
    ranks : int
    nodes, per_node : int
        Hosts, and chips used on each; 0 where nothing is known.
    size : float
        Bytes as nccl-tests counts them.
    algorithm, protocol : str
        As forced, or ``""``.
    network : bool
        Whether a single message went over the network though a scale-up link was there.
    environment : str
        Settings of the software that a library has figures for (``where.environment.…``).
    """

    collective: str
    ranks: int
    nodes: int
    per_node: int
    size: float
    algorithm: str = ""
    protocol: str = ""
    network: bool = False
    environment: str = ""

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Point:
        """From a row of `sim.measurements.read`."""
        kind = str(row["collective"])
        return cls(
            kind, int(row["n_ranks"]), int(row["n_nodes"]), int(row["chips_per_node"]),
            float(row["message_bytes"]), str(row["algorithm"]), str(row["protocol"]),
            kind in ONE_MESSAGE and "roce" in str(row.get("inter_network", "")).lower(), _environment(row),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Predicted:
    """What the simulator says.

    Attributes
    ----------
    time : float
        Seconds; nan where it cannot say.
    algorithm, protocol : str
        What ran.
    remark : str
        Why there is no time, or what was taken differently from the row.
    """

    time: float
    algorithm: str = ""
    protocol: str = ""
    remark: str = ""


class Predictor:
    """Simulates measured points; graphs and answers are kept.

    Parameters
    ----------
    library : Library or str, optional
        In place of each machine's own.
    estimate : str
        Which end of the machines' soft figures; see `topologies.machine`.

    Examples
    --------
    >>> from topologies.machines import describe
    >>> point = Point("all_reduce", ranks=2, nodes=2, per_node=1, size=1 << 20)
    >>> Predictor().predict(describe("hgx-h100"), point).remark
    ''
    """

    def __init__(self, library: Library | str | None = None, estimate: str = "nominal") -> None:
        self.library = named(library) if isinstance(library, str) else library
        self.estimate = estimate
        self._fabrics: dict[tuple[str, int, str], Fabric] = {}
        self._routers: dict[tuple[str, int, str], Router] = {}
        self._known: dict[tuple[str, Point], Predicted] = {}

    def predict(self, machine: MachineDescription, point: Point) -> Predicted:
        """Simulate one point on a machine."""
        key = (machine.name, point)
        if key not in self._known:
            try:
                self._known[key] = self._simulate(machine, point)
            except ChipweaveError as error:
                self._known[key] = Predicted(float("nan"), remark=str(error))
        return self._known[key]

    def fabric(self, machine: MachineDescription, point: Point) -> tuple[Fabric, list[int]]:
        """Where a point ran: the fabric, and the chips in rank order.

        Raises
        ------
        MachineError
            If the machine has not so many chips.
        """
        host = machine.host.chips.value
        chips = ranked(point, host)
        if point.network:
            chips = [0, max(machine.scale_up.chips.value, host)]
        hosts = max(max(chips) // host + 1, point.nodes)
        count = min(max(hosts * host, max(chips) + 1), machine.limits.chips.value)
        if max(chips) >= count:
            raise MachineError(
                f"{machine.name}: {point.ranks} ranks on {point.nodes or 'any number of'} hosts need chip "
                f"{max(chips)}, but the machine has at most {count} chips"
            )
        key = (machine.name, count, point.environment)
        if key not in self._fabrics:
            import topologies

            graph = topologies.machine(machine, count, estimate=self.estimate)
            if point.environment:
                graph.graph["environment"] = point.environment
            self._fabrics[key] = compile_fabric(graph)
        return self._fabrics[key], chips

    def plan(self, machine: MachineDescription, point: Point) -> tuple[Plan, str]:
        """What would run: algorithm and protocol chosen, and what was taken differently from the row.

        Raises
        ------
        ChipweaveError
            If it cannot run on this machine.
        """
        fabric, chips = self.fabric(machine, point)
        key = (machine.name, fabric.ranks, point.environment)
        router = self._routers.setdefault(key, Router(fabric))
        if point.collective == "sendrecv" or point.collective in ONE_MESSAGE:
            ends = [chips[-1], chips[0]] if len(chips) > 1 else chips
            return plan("send", router, point.size, ranks=ends, library=self.library), ""
        kind = "all_to_all" if point.collective.startswith("moe_") else point.collective
        chosen = as_library(self.library, fabric)
        if point.collective in chosen.parameters.names("family"):
            # Kernels that exchange in their own way, such as a mixture of experts' dispatch.
            own = dict.fromkeys(algorithms(kind), point.collective)
            chosen = replace(chosen, families={**chosen.families, **own})
        asked, remarks = _forced(point, kind, chosen)
        try:
            found = plan(kind, router, point.size, ranks=chips, library=chosen, **asked)
        except ChipweaveError as error:
            if not asked:
                raise
            remarks.append(f"as forced it cannot run ({error}): the library's choice")
            found = plan(kind, router, point.size, ranks=chips, library=chosen)
        return found, "; ".join(remarks)

    def _simulate(self, machine: MachineDescription, point: Point) -> Predicted:
        if point.collective == "sendrecv" or point.collective in ONE_MESSAGE:
            return self._messages(*self.fabric(machine, point), point)
        planned, remark = self.plan(machine, point)
        world = World(planned.router.fabric, library=planned.library)
        finished = world.run(until=world.start(planned, point.collective))
        world.close()
        time = seconds(finished.at_ps) if planned.nodes.size > 1 else 0.0
        return Predicted(time, planned.schedule.algorithm, planned.choice.protocol, remark)

    def _messages(self, fabric: Fabric, chips: list[int], point: Point) -> Predicted:
        world = World(fabric, library=self.library)
        if point.collective.startswith("p2p"):
            # A steady stream of blocks: launched once, long before.
            launched = plan(
                "send", world.router, point.size, ranks=[chips[0], chips[-1]], library=world.library
            )
            begun = launched.launch
        else:
            begun = 0.0
        pairs = [(chips[0], chips[-1])]
        if point.collective == "sendrecv":
            pairs = [(a, b) for a, b in zip(chips, [*chips[1:], chips[0]], strict=True) if a != b]
        sends = [world.send(a, b, point.size) for a, b in pairs]
        world.run(until=world.env.all_of(sends))
        time = world.now - begun
        world.close()
        return Predicted(time, "direct", "")


def _environment(row: Mapping[Any, Any]) -> str:
    """Environment of a row: its column ``environment``, or what ALCF's sweeps are numbered by.

    argonne-lcf/alcf-nccl-tests runs every test in numbered sets of settings; 5 is
    tuned for all-to-all (software matching, another rendezvous), 3 and 4 are not.
    """
    given = str(row.get("environment", "") or "")
    numbered = re.search(r"-env(\d)-", str(row.get("sweep_id", "")))
    if given or numbered is None:
        return given
    return f"alcf-{numbered[1]}"


def _forced(point: Point, kind: str, library: Library) -> tuple[dict[str, Any], list[str]]:
    """Algorithm and protocol of a row by the library's names, and what it does not know."""
    asked: dict[str, Any] = {}
    remarks = []
    known = {*algorithms(kind), *library.forms}
    plain = re.sub(r"[\W_]+", "", point.algorithm.casefold())
    named = next((n for n in ALGORITHMS.get(plain, (point.algorithm.casefold(),)) if n in known), None)
    protocol = point.protocol.casefold()
    for what, given, found in (
        ("algorithm", point.algorithm, named),
        ("protocol", point.protocol, protocol if protocol in library.protocols else None),
    ):
        if given and found is None:
            remarks.append(f"{what} {given!r} is not modelled: the library's choice")
        elif given and found is not None:
            asked[what] = found
    return asked, remarks


def ranked(point: Point, host: int) -> list[int]:
    """Chips of the ranks in order, on hosts of ``host`` chips.

    Examples
    --------
    Two chips on each of two hosts of eight, and five ranks on two hosts:

    >>> ranked(Point("all_reduce", 4, 2, 2, 8.0), 8), ranked(Point("all_reduce", 5, 2, 0, 8.0), 4)
    ([0, 1, 8, 9], [0, 1, 2, 4, 5])
    """
    nodes = point.nodes or -(-point.ranks // (min(point.per_node, host) or host))
    each = max(-(-point.ranks // nodes), 1)
    if each > host:
        # A "node" of the table that is larger than a host: a rack, or a box counted as one.
        return list(range(point.ranks))
    return [rank // each * host + rank % each for rank in range(point.ranks)]
