"""What a command is about: a machine of the catalogue, one described in a file, or a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topologies.errors import FormatError, MachineError

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
    ranks : list of int or None
        The first N ranks where fewer chips than the graph has were asked for.
    files : list of Path
        What was read.
    """

    name: str
    graph: nx.Graph[Any]
    ranks: list[int] | None = None
    files: list[Path] = field(default_factory=list)

    @property
    def chips(self) -> int:
        """Number of chips that take part."""
        from topologies.graph import chips

        return len(chips(self.graph)) if self.ranks is None else len(self.ranks)


def open_subject(text: str, chips: int | None = None) -> Subject:
    """Build or read the graph that a command line names.

    Parameters
    ----------
    text : str
        A name of the catalogue, the path of a machine description (``.toml``)
        or of a graph (``.graphml``, ``.json``).
    chips : int, optional
        A machine of that many chips; of a graph the first so many.

    Raises
    ------
    UnknownNameError, MachineError, TopologyError, FormatError
        As the catalogue, the reader and the check say.
    """
    import topologies

    path = Path(text)
    suffix = path.suffix.lower()
    if suffix == ".toml" or not (suffix in GRAPH_SUFFIXES or path.is_file()):
        files = [path] if suffix == ".toml" else []
        if files and not path.is_file():
            raise FormatError(f"cannot read '{path}': there is no such file; check the path")
        return Subject(path.stem if files else text, topologies.machine(text, chips=chips), files=files)
    graph = topologies.read(text)
    topologies.check(graph)
    subject = Subject(str(graph.graph.get("name") or path.stem), graph, files=[path])
    if chips is None or chips == subject.chips:
        return subject
    if not 1 <= chips <= subject.chips:
        raise MachineError(
            f"--chips {chips}: the graph in '{path}' has {subject.chips} chips; ask for 1 to {subject.chips}"
        )
    return Subject(subject.name, graph, ranks=list(range(chips)), files=[path])
