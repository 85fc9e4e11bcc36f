"""The SimPy side: a world in which training jobs, collectives and faults happen.

`World` holds a SimPy environment. ``world.send(...)``, ``world.compute(...)``
and ``world.all_reduce(...)`` return SimPy events, so that a user's generator
reads like the programme it models.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import simpy

from sim.clock import Clock, picoseconds, seconds
from sim.exposure import exposed
from sim.fabric import Fabric, compile_fabric
from sim.libraries import Library
from sim.network.job import Finished, Job, NetworkModel
from sim.network.recorder import Activity, Recorder
from sim.network.remembered import Remembered
from sim.plan import Plan, Size, as_library, chip_nodes, plan
from sim.programs import Algorithm
from sim.routing import Router
from sim.schedule import FloatArray
from topologies import memory, units
from topologies.errors import SimulationError, UnitError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["NETWORKS", "World", "link_table"]

#: Bytes that a recorded transfer takes until it is in a table or a trace.
RECORDED_BYTES = 400

#: Names that ``network=`` takes.
NETWORKS = ("fluid", "reference", "analytic")


class World:
    """A cluster on which things happen.

    Parameters
    ----------
    graph : networkx graph
        See `topologies.check` for what it must hold.
    library : str, optional
        The communication library; else the machine's own, else ``"ideal"``.
    network : {"fluid", "reference", "analytic"}
    routing : str, optional
        Replaces the graph's own routing.
    fast_forward : bool
        Whether the network may jump over repetitions whose effect it knows.
    seed : int
        Kept for the record; nothing here is drawn at random.
    recorder : Recorder, optional
        Told of every transfer, which the network then follows one by one: for
        `sim.trace` and the times of transfers.

    Attributes
    ----------
    env : simpy.Environment
        Its time is exact (integer picoseconds) and shown in seconds.

    Examples
    --------
    >>> import topologies
    >>> world = World(topologies.switch(4, bandwidth="50 GB/s", latency="1 us"))
    >>> def training(world):
    ...     for _ in range(3):
    ...         yield world.compute(seconds=1e-3)
    ...         yield world.all_reduce("1 MB", algorithm="ring")
    >>> _ = world.process(training(world))
    >>> world.run()
    >>> round(world.now * 1e6, 3)  # 3 (1000 us + 6 (2 us + 5 us))
    3126.0
    """

    def __init__(
        self,
        graph: nx.Graph[Any] | Fabric,
        *,
        library: str | Library | None = None,
        network: str = "fluid",
        routing: str | None = None,
        fast_forward: bool = True,
        seed: int = 0,
        recorder: Recorder | None = None,
    ) -> None:
        if network not in NETWORKS:
            raise nearest("network", network, NETWORKS)
        self.fabric = compile_fabric(graph)
        self.library = as_library(library, self.fabric)
        self.env = Clock()
        self.router = Router(self.fabric, routing)
        self._routing, self._how = routing, (network, fast_forward)
        self.seed = seed
        share = self.fabric.efficiency if self.library.efficient else 1.0
        self._share: FloatArray = np.broadcast_to(np.asarray(share, dtype=np.float64), self.fabric.links)
        self.network = self._model(network, fast_forward, recorder)
        self._speed = np.ones(self.fabric.ranks)
        self._activities: list[Activity] = []
        self._recorder = recorder
        if recorder is not None:
            if recorder.fabric is not None:
                raise SimulationError(
                    f"recorder: it holds what happened on {recorder.fabric.name}; make a new Recorder()"
                )
            recorder.fabric, recorder.activities = self.fabric, self._activities

    def _model(self, name: str, fast_forward: bool, recorder: Recorder | None) -> NetworkModel:
        # Imported here: the compiled models take half a second, the reference none.
        capacity = self.fabric.bandwidth * self._share
        if name == "reference":
            from sim.network.reference import ReferenceNetwork

            return ReferenceNetwork(self.env, self.fabric, capacity, recorder=recorder)
        if name == "analytic":
            if recorder is not None:
                raise SimulationError(
                    'network="analytic" computes when transfers end without following them one by one: '
                    'there is nothing to record; use network="fluid"'
                )
            from sim.network.analytic import AnalyticNetwork

            return AnalyticNetwork(self.env, self.fabric, capacity, fast_forward=fast_forward)
        from sim.network.fluid import FluidNetwork

        return FluidNetwork(self.env, self.fabric, capacity, fast_forward=fast_forward, recorder=recorder)

    # -------------------------------------------------------------- processes

    @property
    def now(self) -> float:
        """The current time in seconds."""
        return self.env.now

    def process(self, generator: Generator[Any, Any, Any]) -> simpy.Process:
        """Start a process, as in SimPy."""
        return self.env.process(generator)

    def run(self, until: float | str | simpy.Event | None = None) -> Any:
        """Run until nothing happens any more, until a time, or until an event.

        Raises
        ------
        SimulationError
            If transfers wait for something that will never happen.
        KeyboardInterrupt
            As usual, with a word on where the simulation was.
        """
        if isinstance(until, str):
            until = units.duration(until, name="until")
        if isinstance(until, int | float) and until <= self.now:
            raise UnitError(f"until (={until!r}) must be later than now, {self.now:.9g} s")
        try:
            result = self.env.run(until)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted at {self.now:.9g} s of simulated time: {self.network.where()}"
            ) from None
        except RuntimeError as error:
            if not isinstance(until, simpy.Event) or "No scheduled events left" not in str(error):
                raise
            raise SimulationError(self.network.stuck()) from None
        if until is None and self.network.where():
            raise SimulationError(self.network.stuck())
        return result

    def compute(
        self,
        flops: float | None = None,
        *,
        seconds: float | str | None = None,
        chip: Hashable | None = None,
        name: str = "compute",
    ) -> simpy.Event:
        """Compute on one chip, or on all of them at the pace of the slowest.

        Parameters
        ----------
        flops : float, optional
            Operations per chip, at the chip's peak (graph attribute ``peak_flops``).
        seconds : float or str, optional
            The time it takes at speed 1; give this or ``flops``.
        chip : node, optional
            Where; all chips if not given.
        """
        if (flops is None) == (seconds is None):
            raise UnitError("compute: give flops= or seconds=, one of them")
        if seconds is not None:
            span = units.duration(seconds, name="seconds")
        else:
            peak = self.fabric.attributes.get("peak_flops")
            if not peak:
                raise UnitError(
                    f"compute: the peak of {self.fabric.name}'s chips is not known; give seconds=, "
                    f"or set the graph attribute peak_flops (operations/s)"
                )
            if not isinstance(flops, int | float) or not flops >= 0:
                raise UnitError(f"compute: flops (={flops!r}) must be a number >= 0")
            span = flops / float(peak)
        speed = float(self._speed.min()) if chip is None else float(self._speed[self._rank(chip)])
        delay = picoseconds(span / speed, "compute")
        actor = "all chips" if chip is None else f"chip {chip}"
        ranks = None if chip is None else (self._rank(chip),)
        now = self.env.now_ps
        self._activities.append(Activity(actor, name, False, ranks, now, now + delay))
        return self.env.timeout_ps(delay)

    def close(self) -> None:
        """Let go of everything that has not happened yet, and of the network's memory.

        A world that nobody refers to goes of itself in the end; a programme that
        makes many of them closes each.
        """
        self.network.close()
        self.env.clear()

    # ---------------------------------------------------------- communication

    def collective(
        self,
        kind: str,
        size: Size,
        group: int | Sequence[Any] | None = None,
        *,
        algorithm: Algorithm = "auto",
        protocol: str = "auto",
        name: str | None = None,
        **options: Any,
    ) -> simpy.Event:
        """Start a collective on a group of chips; the event happens when its last rank is through.

        Parameters
        ----------
        kind : str
            ``"all_reduce"``, ``"all_to_all"``, ... (`sim.collectives.kinds`).
        size : float, str or matrix
            Bytes, as nccl-tests counts them.
        group : None, int or sequence of chips
            Who takes part: all, the first so many, or these in rank order.
        algorithm : str, path or Program
            A name, ``"auto"``: as the library chooses, or an algorithm of your own.
        protocol : str
            A name, or ``"auto"``: as the library chooses.
        **options
            What the algorithm takes besides (``root``, ``pipeline``, ...).
        """
        planned = plan(
            kind,
            self.router,
            size,
            ranks=group,
            algorithm=algorithm,
            protocol=protocol,
            library=self.library,
            simulate=self.alone,
            **options,
        )
        return self.start(planned, name or kind)

    def alone(self, planned: Plan) -> float:
        """Seconds that a collective takes when nothing else happens and nothing has failed."""
        network, fast_forward = self._how
        world = World(
            self.fabric, library=planned.library, network=network,
            routing=self._routing, fast_forward=fast_forward,
        )  # fmt: skip
        finished = world.run(until=world.start(planned, planned.schedule.kind))
        world.close()
        return float(seconds(finished.at_ps))

    def start(self, planned: Plan, name: str) -> simpy.Event:
        """Start what has been planned; the event's value is its `Finished`."""
        if self._recorder is not None:
            transfers, _ = planned.schedule.totals()
            memory.require(
                transfers * RECORDED_BYTES,
                f"recording {transfers} transfers of {name} one by one; record fewer ranks or no recorder",
            )
        launch = picoseconds(planned.launch)
        now = self.env.now_ps
        arrivals = np.full(planned.nodes.size, now + launch, dtype=np.int64)
        rounds = Remembered(planned.schedule.rounds)
        job = Job(name, rounds, planned.nodes, arrivals, planned.router, planned.costs)
        done = self.network.launch(job)
        if done.callbacks is not None:
            done.callbacks.append(lambda event: self._note(event.value, now))
        return done

    def _note(self, finished: Finished, begun: int) -> None:
        job = finished.job
        ranks = tuple(np.searchsorted(self.fabric.rank_nodes, job.nodes).tolist())
        actor = f"{len(ranks)} chips"
        self._activities.append(Activity(actor, job.name, True, ranks, begun, finished.at_ps))

    def send(self, src: Hashable, dst: Hashable, size: Size, **options: Any) -> simpy.Event:
        """Send bytes from one chip to another."""
        return self.collective("send", size, [src, dst], name=f"send {src}-{dst}", **options)

    def all_reduce(self, size: Size, group: int | Sequence[Any] | None = None, **options: Any) -> simpy.Event:
        """All-reduce; see `collective`."""
        return self.collective("all_reduce", size, group, **options)

    def reduce_scatter(
        self, size: Size, group: int | Sequence[Any] | None = None, **options: Any
    ) -> simpy.Event:
        """Reduce-scatter; see `collective`."""
        return self.collective("reduce_scatter", size, group, **options)

    def all_gather(self, size: Size, group: int | Sequence[Any] | None = None, **options: Any) -> simpy.Event:
        """All-gather; see `collective`."""
        return self.collective("all_gather", size, group, **options)

    def all_to_all(self, size: Size, group: int | Sequence[Any] | None = None, **options: Any) -> simpy.Event:
        """All-to-all; see `collective`."""
        return self.collective("all_to_all", size, group, **options)

    def broadcast(self, size: Size, group: int | Sequence[Any] | None = None, **options: Any) -> simpy.Event:
        """Broadcast; see `collective`."""
        return self.collective("broadcast", size, group, **options)

    def reduce(self, size: Size, group: int | Sequence[Any] | None = None, **options: Any) -> simpy.Event:
        """Reduce; see `collective`."""
        return self.collective("reduce", size, group, **options)

    def gather(self, size: Size, group: int | Sequence[Any] | None = None, **options: Any) -> simpy.Event:
        """Gather; see `collective`."""
        return self.collective("gather", size, group, **options)

    def scatter(self, size: Size, group: int | Sequence[Any] | None = None, **options: Any) -> simpy.Event:
        """Scatter; see `collective`."""
        return self.collective("scatter", size, group, **options)

    # ----------------------------------------------------------------- faults

    def set_link(
        self, tail: Hashable, head: Hashable, *, bandwidth: float | str | None = None, up: bool = True
    ) -> None:
        """Change a link, in this direction, from this instant on.

        Parameters
        ----------
        tail, head : node
            The ends; of a multigraph's parallel links all are changed alike.
        bandwidth : float or str, optional
            The new bytes/s; the graph's own if not given.
        up : bool
            Whether the link works; transfers on a link that does not wait for it.
        """
        given = None if bandwidth is None else units.bandwidth(bandwidth, name="bandwidth")
        for link in self.fabric.link_between(tail, head):
            rate = float(self.fabric.bandwidth[link]) if given is None else given
            self.network.set_capacity(link, rate * float(self._share[link]) if up else 0.0)

    def set_chip(self, chip: Hashable, *, speed: float) -> None:
        """Change how fast a chip computes, relative to its peak, from the next `compute` on."""
        if not isinstance(speed, int | float) or not 0 < speed < float("inf"):
            raise UnitError(
                f"set_chip: speed (={speed!r}) of chip {chip!r} must be a number > 0 (1 is its peak)"
            )
        self._speed[self._rank(chip)] = speed

    def _rank(self, chip: Hashable) -> int:
        node = int(chip_nodes(self.fabric, [chip])[0])
        return int(np.searchsorted(self.fabric.rank_nodes, node))

    # ---------------------------------------------------------------- results

    def links(self) -> pd.DataFrame:
        """Bytes and utilisation of every link up to now.

        Returns
        -------
        DataFrame
            Columns tail, head, tier, bandwidth (bytes/s), bytes, utilisation (0 to 1).
        """
        return link_table(self.fabric, self.network.carried(), self.now)

    def timeline(self) -> pd.DataFrame:
        """What has happened: columns actor, what, kind (compute or communication), start, end (seconds)."""
        import pandas as pd

        rows = [
            (a.actor, a.what, "communication" if a.communicates else "compute",
             seconds(a.begin_ps), seconds(a.end_ps))
            for a in self._activities
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["actor", "what", "kind", "start", "end"]).sort_values(
            "start", kind="stable", ignore_index=True
        )

    def exposed(self) -> pd.DataFrame:
        """Communication that no computing hides: columns actor, what, start, end (seconds).

        A collective is hidden while all chips that take part in it compute.
        """
        import pandas as pd

        rows = [
            (a.actor, a.what, seconds(begin), seconds(end))
            for a, spans in exposed(self._activities, self.fabric.ranks)
            for begin, end in spans
        ]
        return pd.DataFrame(rows, columns=["actor", "what", "start", "end"])

    def plot_timeline(self, ax: Axes | None = None) -> Axes:
        """Draw `timeline` as a Gantt chart, exposed communication hatched."""
        from sim.plots import plot_timeline

        return plot_timeline(self.timeline(), exposed=self.exposed(), ax=ax)

    def __repr__(self) -> str:
        return f"<World of {self.fabric.name} with {self.fabric.ranks} chips at {self.now:.9g} s>"


def link_table(fabric: Fabric, carried: FloatArray, span: float) -> pd.DataFrame:
    """Bytes and utilisation of every link over ``span`` seconds."""
    import pandas as pd

    with np.errstate(invalid="ignore", divide="ignore"):
        used = np.where(carried > 0, carried / (fabric.bandwidth * span), 0.0)
    return pd.DataFrame(
        {
            "tail": [fabric.nodes[i] for i in fabric.tail],
            "head": [fabric.nodes[i] for i in fabric.head],
            "tier": np.array(fabric.tiers, dtype=object)[fabric.tier],
            "bandwidth": fabric.bandwidth,
            "bytes": carried,
            "utilisation": used,
        }
    )
