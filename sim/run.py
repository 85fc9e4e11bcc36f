"""The one-call face: a collective on a graph, or a table of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import networkx as nx

from sim import collectives
from sim.clock import seconds
from sim.fabric import Fabric, compile_fabric
from sim.libraries import Library
from sim.limits import fabric_bound
from sim.network.recorder import Recorder
from sim.plan import Plan, Size, plan
from sim.programs import Algorithm
from sim.results import Run
from sim.schedule import Schedule
from sim.world import World
from topologies.collector import no_collection
from topologies.errors import MachineError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "algorithms",
    "all_gather",
    "all_reduce",
    "all_to_all",
    "broadcast",
    "collective",
    "gather",
    "reduce",
    "reduce_scatter",
    "scaling",
    "scatter",
    "schedule",
    "send",
]

#: Columns of `scaling`.
COLUMNS = (
    "machine", "chips", "collective", "size", "algorithm", "protocol", "library", "estimate",
    "time", "algbw", "busbw", "lower_bound", "efficiency", "bounded_by",
)  # fmt: skip


def collective(
    kind: str,
    graph: nx.Graph[Any] | Fabric,
    size: Size,
    *,
    ranks: int | Sequence[Any] | None = None,
    algorithm: Algorithm = "auto",
    protocol: str = "auto",
    library: str | Library | None = None,
    routing: str | None = None,
    network: str = "fluid",
    fast_forward: bool = True,
    seed: int = 0,
    recorder: Recorder | None = None,
    **options: Any,
) -> Run:
    """Simulate one collective.

    Parameters
    ----------
    kind : str
        ``"all_reduce"``, ``"all_gather"``, ... (`sim.collectives.kinds`).
    graph : networkx graph or Fabric
        What is there.
    size : float, str, or (p, p) matrix for all-to-all
        Bytes, or text with a unit; as nccl-tests counts them: the buffer of a rank
        for all-reduce, broadcast and reduce, the total buffer for the others.
    ranks : int or sequence, optional
        The first so many chips, or chips in rank order; all if not given.
    algorithm : str, path or Program
        A name, ``"auto"``: as the library chooses, or an algorithm of your own: a
        `sim.Program`, or the path of an ``.xml`` (MSCCL) or ``.goal`` file.
    protocol : str
        A name, or ``"auto"``: as the library chooses. Algorithm ``"best"`` simulates
        every candidate of the library with every protocol and takes the fastest.
    library : str, optional
        The communication library; else the machine's own, else ``"ideal"``.
    routing : str, optional
        Replaces the graph's own routing (`sim.routing.ROUTINGS`).
    network : {"fluid", "reference", "analytic"}
        How links are shared; see `sim.network`.
    fast_forward : bool
        Whether to jump over repetitions whose effect is known; the answer is the
        same to the last picosecond.
    seed : int
        Kept for the record; nothing here is drawn at random.
    recorder : Recorder, optional
        Told of every transfer, for `sim.trace` and the times of transfers.
    **options
        What the algorithm takes besides (``root``, ``groups``, ``pipeline``, ...).

    Returns
    -------
    Run

    Raises
    ------
    ChipweaveError
        If anything in the request has no meaning; the message says what and where.

    Examples
    --------
    >>> import topologies
    >>> ring = topologies.ring(4, bandwidth="50 GB/s", latency="1 us")
    >>> run = collective("all_reduce", ring, "1 MB", algorithm="ring")
    >>> round(run.time * 1e6, 6)  # 6 (1 us + 250 kB / 50 GB/s)
    36.0
    """
    return Request(
        kind, compile_fabric(graph), size, ranks, algorithm, protocol, library, routing, network,
        fast_forward, seed, options, recorder,
    ).run()  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What `collective` was asked for, to be asked again with something changed."""

    kind: str
    fabric: Fabric
    size: Size
    ranks: int | Sequence[Any] | None
    algorithm: Algorithm
    protocol: str
    library: str | Library | None
    routing: str | None
    network: str
    fast_forward: bool
    seed: int
    options: dict[str, Any]
    recorder: Recorder | None = None

    def run(self) -> Run:
        """Simulate it."""
        world = World(
            self.fabric,
            library=self.library,
            network=self.network,
            routing=self.routing,
            fast_forward=self.fast_forward,
            seed=self.seed,
            recorder=self.recorder,
        )
        planned = plan(
            self.kind,
            world.router,
            self.size,
            ranks=self.ranks,
            algorithm=self.algorithm,
            protocol=self.protocol,
            library=world.library,
            simulate=world.alone,
            **self.options,
        )
        return _measure(world, planned, self)

    def again(self, **changes: Any) -> Run:
        """Simulate it with some of its fields changed; a recorder serves one run only."""
        unknown = changes.keys() - {field.name for field in fields(self)}
        if unknown:
            raise nearest("argument of again", unknown.pop(), [field.name for field in fields(self)])
        return replace(self, **{"recorder": None, **changes}).run()


def _measure(world: World, planned: Plan, request: Request) -> Run:
    done = world.start(planned, planned.schedule.kind)
    finished = world.run(until=done)
    # Not env.now: after a single job the clock stands at its end exactly.
    time = seconds(finished.at_ps)
    run = Run(
        fabric=world.fabric,
        plan=planned,
        network=request.network,
        finished=finished,
        carried=world.network.carried(),
        time=time if planned.nodes.size > 1 else 0.0,
        lower_bound=fabric_bound(world.fabric, planned.nodes, planned.groups, planned.schedule),
        cost=world.network.cost,
        rerun=request.again,
    )
    world.close()
    return run


def all_reduce(graph: nx.Graph[Any] | Fabric, size: Size, **same: Any) -> Run:
    """Simulate an all-reduce; keywords as for `collective`."""
    return collective("all_reduce", graph, size, **same)


def reduce_scatter(graph: nx.Graph[Any] | Fabric, size: Size, **same: Any) -> Run:
    """Simulate a reduce-scatter; keywords as for `collective`."""
    return collective("reduce_scatter", graph, size, **same)


def all_gather(graph: nx.Graph[Any] | Fabric, size: Size, **same: Any) -> Run:
    """Simulate an all-gather; keywords as for `collective`."""
    return collective("all_gather", graph, size, **same)


def all_to_all(graph: nx.Graph[Any] | Fabric, size: Size, **same: Any) -> Run:
    """Simulate an all-to-all; a (p, p) matrix of bytes is the uneven case. Keywords as for `collective`."""
    return collective("all_to_all", graph, size, **same)


def broadcast(graph: nx.Graph[Any] | Fabric, size: Size, **same: Any) -> Run:
    """Simulate a broadcast; keywords as for `collective`."""
    return collective("broadcast", graph, size, **same)


def reduce(graph: nx.Graph[Any] | Fabric, size: Size, **same: Any) -> Run:
    """Simulate a reduce; keywords as for `collective`."""
    return collective("reduce", graph, size, **same)


def gather(graph: nx.Graph[Any] | Fabric, size: Size, **same: Any) -> Run:
    """Simulate a gather; keywords as for `collective`."""
    return collective("gather", graph, size, **same)


def scatter(graph: nx.Graph[Any] | Fabric, size: Size, **same: Any) -> Run:
    """Simulate a scatter; keywords as for `collective`."""
    return collective("scatter", graph, size, **same)


def send(graph: nx.Graph[Any] | Fabric, size: Size, **same: Any) -> Run:
    """Simulate one message from the first of ``ranks`` to the last; keywords as for `collective`."""
    return collective("send", graph, size, **same)


def algorithms(kind: str) -> list[str]:
    """Names of the algorithms of a collective.

    Examples
    --------
    >>> "ring" in algorithms("all_reduce")
    True
    """
    return collectives.algorithms(kind)


def schedule(kind: str, ranks: int, size: Size, algorithm: str, **options: Any) -> Schedule:
    """The schedule of a collective, to look at, check, or export.

    Examples
    --------
    >>> schedule("all_reduce", 6, "6 kB", "ring").check()
    """
    from sim.plan import as_size

    return collectives.build(kind, ranks, as_size(kind, size), algorithm, **options)


def scaling(
    machines: str | Iterable[str | dict[str, Any]],
    chips: int | Iterable[int],
    sizes: Size | Iterable[float | str],
    collective: str = "all_reduce",
    *,
    estimates: Sequence[str] = ("nominal",),
    progress: Callable[[int, int, str], None] | None = None,
    each: Callable[[Run], None] | None = None,
    **same: Any,
) -> pd.DataFrame:
    """Simulate a collective on machines of growing size.

    Parameters
    ----------
    machines : name, or list of names, descriptions or .toml paths
    chips : int or list of int
        A machine that does not allow a number is left out there (unless it allows
        none of them, which is an error).
    sizes : size or list of sizes
    collective : str
    estimates : sequence of {"nominal", "low", "high"}
        Ends of the soft figures to run at.
    progress : callable, optional
        Called with (done, total, what) before each graph.
    each : callable, optional
        Called with every run, in the order of the rows.
    **same
        As for `collective`.

    Returns
    -------
    DataFrame
        Tidy, one row a point: `COLUMNS`.
    """
    import pandas as pd

    import topologies

    names = [machines] if isinstance(machines, str | dict) else list(machines)
    counts = [chips] if isinstance(chips, int) else list(chips)
    wanted = [sizes] if isinstance(sizes, str | int | float) else list(sizes)
    for what, given in (("machines", names), ("chips", counts), ("sizes", wanted)):
        if not given:
            raise MachineError(f"scaling: {what} (={given!r}) must name at least one")
    total = len(names) * len(counts) * len(estimates)
    rows: list[tuple[Any, ...]] = []
    done = 0
    for name in names:
        allowed = 0
        refusal: MachineError | None = None
        label = name if isinstance(name, str) else str(name.get("name", "machine"))
        for count in counts:
            for estimate in estimates:
                if progress:
                    progress(done, total, f"{label}, {count} chips")
                done += 1
                try:
                    # The graph is gone before the collector sees it.
                    with no_collection():
                        fabric = compile_fabric(topologies.machine(name, chips=count, estimate=estimate))
                except MachineError as error:
                    refusal = error
                    continue
                allowed += 1
                for size in wanted:
                    run = globals()["collective"](collective, fabric, size, **same)
                    if each:
                        each(run)
                    rows.append(
                        (
                            label, count, run.kind, run.size, run.algorithm, run.protocol, run.library,
                            estimate,
                            run.time, run.algbw, run.busbw, run.lower_bound, run.efficiency, run.bounded_by,
                        )
                    )  # fmt: skip
        if not allowed and refusal is not None:
            raise refusal
    if progress:
        progress(total, total, "done")
    return pd.DataFrame(rows, columns=list(COLUMNS))
