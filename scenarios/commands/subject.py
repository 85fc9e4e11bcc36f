"""What a command is about: a machine of the catalogue, one described in a file, or a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topologies.errors import FormatError, TopologyError

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Subject", "open_subject"]

GRAPH_SUFFIXES = (".graphml", ".json")


@dataclass(frozen=True)
class Subject:
    """A graph and where it came from.

    Attributes
    ----------
    name : str
        What people call it.
    graph : networkx graph
        Checked.
    members : list
        The chips that take part, in rank order.
    described : bool
        Whether it was built from a machine description.
    files : list of Path
        What was read.
    """

    name: str
    graph: nx.Graph[Any]
    members: list[Any]
    described: bool
    files: list[Path] = field(default_factory=list)

    @property
    def hosts(self) -> list[int]:
        """Host of each member; 0 where the graph knows no hosts."""
        nodes = self.graph.nodes
        return [int(nodes[member].get("host", 0)) for member in self.members]


def open_subject(text: str, chips: int | None = None, ranks: list[int] | None = None) -> Subject:
    """Build or read the graph that a command line names.

    Parameters
    ----------
    text : str
        A name of the catalogue, the path of a machine description (``.toml``)
        or of a graph (``.graphml``, ``.json``).
    chips : int, optional
        A machine of that many chips; of a graph the first so many.
    ranks : list of int, optional
        Which of its chips take part, by their place in the graph.

    Raises
    ------
    UnknownNameError, MachineError, TopologyError, FormatError
        As the catalogue, the reader and the check say.
    """
    import topologies
    from topologies.graph import chips as chips_of

    path = Path(text)
    described = path.suffix.lower() == ".toml"
    drawn = path.suffix.lower() in GRAPH_SUFFIXES or path.is_file()
    if described and not path.is_file():
        raise FormatError(f"cannot read '{path}': there is no such file; check the path")
    if described or not drawn:
        graph = topologies.machine(text, chips=_enough(chips, ranks))
        files = [path] if described else []
    else:
        graph = topologies.read(text)
        files = [path]
    name = str(graph.graph.get("name") or path.stem)
    there = chips_of(graph)
    if not there:
        topologies.check(graph)
    if chips is not None and chips > len(there):
        raise TopologyError(f"{text}: {chips} chips (--chips) of {len(there)}; it has no more")
    if ranks is None:
        ranks = list(range(len(there) if chips is None else chips))
    for rank in ranks:
        if not rank < len(there):
            raise TopologyError(
                f"{text}: no rank {rank} among its {len(there)} chips; ranks go from 0 to {len(there) - 1}"
            )
    members = [there[rank] for rank in ranks]
    if drawn and not described:
        # Chips that do not take part need not be reached.
        topologies.check(graph, among=members)
    return Subject(name, graph, members, described or not drawn, files)


def _enough(chips: int | None, ranks: list[int] | None) -> int | None:
    """Chips that a machine must have so that all ranks that were named exist."""
    return chips if chips is not None or ranks is None else max(ranks) + 1
