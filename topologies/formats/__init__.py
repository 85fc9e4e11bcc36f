"""Graphs in files: GraphML and node-link JSON, told apart by the suffix.

Both keep the order of nodes and edges, all scalar attributes, direction and
parallel edges. A file is written next to its place and moved there when it is
whole, so that nobody ever reads half of one.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx

from topologies.errors import FormatError
from topologies.formats.whole import read_text, write_text

__all__ = ["SUFFIXES", "read", "write"]

#: Suffix of a file -> module with ``parse(text) -> graph`` and ``text(graph) -> str``;
#: imported when a file is, because most programmes have none.
SUFFIXES = {".graphml": "topologies.formats.graphml", ".json": "topologies.formats.node_link"}

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")
_INTEGERS = ("level", "host", "domain", "rail", "pod")
_NUMBERS = ("bandwidth", "latency", "efficiency")


def read(path: str | os.PathLike[str]) -> nx.Graph[Any]:
    """Read a graph from a file.

    Numbers that the file holds as text become numbers; text with a unit ("400
    Gbit/s") stays as it is. Whether the graph keeps the graph contract is for
    `topologies.check` to say.

    Parameters
    ----------
    path : path
        Ending in ``.graphml`` or ``.json``.

    Returns
    -------
    networkx graph
        Of the class that was written: directed or not, with or without parallel
        edges.

    Raises
    ------
    FormatError
        If the file cannot be read, or is not of the format that its suffix says.
    """
    file = Path(path)
    form = _form(file, "read")
    text = read_text(file)
    try:
        graph: nx.Graph[Any] = form.parse(text)
    except FormatError as error:
        raise FormatError(f"cannot read {file}: {error}") from error
    for _, attributes in graph.nodes(data=True):
        _settle(attributes, _INTEGERS, int)
    for _, _, attributes in graph.edges(data=True):
        _settle(attributes, _NUMBERS, float)
    return graph


def write(graph: nx.Graph[Any], path: str | os.PathLike[str]) -> None:
    """Write a graph to a file, whole or not at all.

    Parameters
    ----------
    graph : networkx graph
    path : path
        Ending in ``.graphml`` or ``.json``; an existing file is replaced.

    Raises
    ------
    FormatError
        If the suffix is unknown, or the graph holds what the format cannot.
    OutputError
        If the file cannot be written.
    """
    file = Path(path)
    form = _form(file, "write")
    if not isinstance(graph, nx.Graph):
        raise FormatError(f"cannot write {file}: {type(graph).__name__} is no networkx graph")
    try:
        text = form.text(graph)
    except FormatError as error:
        raise FormatError(f"cannot write {file}: {error}") from error
    write_text(file, text)


def _form(file: Path, verb: str) -> Any:
    try:
        module = SUFFIXES[file.suffix.lower()]
    except KeyError:
        raise FormatError(
            f"cannot {verb} {file}: unknown suffix {file.suffix!r}; take {' or '.join(SUFFIXES)}"
        ) from None
    return importlib.import_module(module)


def _settle(attributes: dict[str, Any], keys: tuple[str, ...], to: Callable[[float], Any]) -> None:
    """Make numbers of numbers that the file holds as text or as another kind of number."""
    for key in keys:
        value = attributes.get(key)
        if type(value) is to or value is None or isinstance(value, bool):
            continue
        if isinstance(value, str):
            if not _NUMBER.match(value):
                continue
            value = float(value)
        if isinstance(value, (int, float)) and to(value) == value:
            attributes[key] = to(value)
