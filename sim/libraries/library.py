"""One library: its figures, and the costs they mean for transfers."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from sim.clock import picoseconds
from sim.fabric import Fabric
from sim.routing import Paths
from sim.schedule import FloatArray
from sim.transfers import TransferCosts
from topologies import units
from topologies.errors import LibraryError, nearest

__all__ = ["Library", "Protocol", "libraries", "library"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a library moves bytes.

    Attributes
    ----------
    name : str
        ``simple``, ``ll``, ``ll128``, ...
    inside, outside : float
        Seconds before a transfer holds its links, inside the scale-up domain (or on
        a graph without domains) and beyond it.
    wire : float
        Bytes on the wire for each byte of payload, >= 1.
    reduce_rate : float
        Bytes/s at which a receiver adds what has arrived; infinite: it keeps up.
    """

    name: str
    inside: float
    outside: float
    wire: float = 1.0
    reduce_rate: float = float("inf")


@dataclass(frozen=True, slots=True)
class Library:
    """What a library adds to the wire, and what it can do.

    Attributes
    ----------
    launch : float
        Seconds once for every collective.
    efficient : bool
        Whether links give payload only their measured share (`Fabric.efficiency`).
    protocols : dict of Protocol by name
    candidates : dict
        For each collective, the algorithms the library chooses among; a collective
        that is not there: all that can serve.
    figures : dict
        The TOML as read, with evidence and sources.
    """

    name: str
    title: str
    launch: float
    efficient: bool
    protocols: dict[str, Protocol]
    candidates: dict[str, tuple[str, ...]]
    figures: dict[str, Any]

    def protocol(self, name: str) -> Protocol:
        """A protocol by name.

        Raises
        ------
        UnknownNameError
            If the library has none of that name.
        """
        if name not in self.protocols:
            raise nearest(f"protocol of {self.name}", name, self.protocols)
        return self.protocols[name]

    def costs(self, protocol: str) -> LibraryCosts:
        """What a network asks for the costs of transfers."""
        return LibraryCosts(self, self.protocol(protocol))


@dataclass(frozen=True, slots=True)
class LibraryCosts:
    """A library's protocol as `sim.transfers.Costs`."""

    library: Library
    protocol: Protocol

    def of(self, fabric: Fabric, paths: Paths, payload: FloatArray, reduce: bool) -> TransferCosts:
        """Overhead by how far a transfer goes, wire bytes and reduction by the protocol."""
        p = self.protocol
        count = payload.size
        inside, outside = picoseconds(p.inside, "inside"), picoseconds(p.outside, "outside")
        overhead = np.where(paths.outside, outside, inside).astype(np.int64)
        took = np.zeros(count, dtype=np.int64)
        if reduce and np.isfinite(p.reduce_rate):
            took = np.rint(payload / p.reduce_rate * 1e12).astype(np.int64)
        return TransferCosts(overhead, np.full(count, np.inf), payload * p.wire, took)

    def capacity(self, fabric: Fabric) -> FloatArray:
        """Bytes/s that payload gets on each link."""
        return fabric.bandwidth * fabric.efficiency if self.library.efficient else fabric.bandwidth


def libraries() -> list[str]:
    """Names of the libraries, sorted.

    Examples
    --------
    >>> "ideal" in libraries()
    True
    """
    folder = resources.files("sim.libraries")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


@cache
def library(name: str) -> Library:
    """A library by name.

    Parameters
    ----------
    name : str
        One of `libraries()`.

    Raises
    ------
    UnknownNameError
        If there is none of that name.

    Examples
    --------
    >>> library("ideal").launch
    0.0
    """
    if name not in libraries():
        raise nearest("library", name, libraries())
    return parse(tomllib.loads(resources.files("sim.libraries").joinpath(f"{name}.toml").read_text()), name)


def parse(figures: dict[str, Any], where: str) -> Library:
    """A library from its description.

    Raises
    ------
    LibraryError
        If a figure is missing or has no meaning; the key is named.
    """

    def seconds(table: dict[str, Any], key: str, path: str) -> float:
        if key not in table:
            raise LibraryError(f"{where}: {path}.{key} is missing; give a table with value, evidence, source")
        return units.duration(table[key]["value"], name=f"{where}: {path}.{key}")

    protocols = {}
    for name, table in figures.get("protocol", {}).items():
        path = f"protocol.{name}"
        wire = float(table.get("wire", {"value": 1.0})["value"])
        if not wire >= 1:
            raise LibraryError(
                f"{where}: {path}.wire (={wire}) must be >= 1: bytes on the wire for each of payload"
            )
        rate = table.get("reduce_rate")
        protocols[name] = Protocol(
            name,
            seconds(table, "inside", path),
            seconds(table, "outside", path),
            wire,
            units.bandwidth(rate["value"], name=f"{where}: {path}.reduce_rate") if rate else float("inf"),
        )
    if not protocols:
        raise LibraryError(f"{where}: no protocol; give at least one table [protocol.NAME]")
    return Library(
        name=str(figures.get("name", where)),
        title=str(figures.get("title", where)),
        launch=seconds(figures, "launch", where),
        efficient=bool(figures.get("efficient", True)),
        protocols=protocols,
        candidates={k: tuple(v) for k, v in figures.get("candidates", {}).items()},
        figures=figures,
    )
