"""The catalogue of machines: names, descriptions, graphs.

`machine` builds the graph of any number of chips of a machine, `machines` is the
catalogue as a table, `describe` one machine with the evidence of every figure.
The machines stand in ``topologies/catalog/*.toml``; docs/machines.md says how to
write one's own.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx

from topologies.collector import no_collection
from topologies.errors import FormatError, MachineError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from topologies.description import MachineDescription

__all__ = ["ESTIMATES", "describe", "machine", "machines", "names", "scale_up_rate"]

#: Which end of the soft figures a graph is built with; low is the slower machine.
ESTIMATES = ("low", "nominal", "high")

_CATALOG = Path(__file__).parent / "catalog"


def names() -> list[str]:
    """Names of the machines of the catalogue, sorted.

    Examples
    --------
    >>> names()[:3]
    ['a100-bridge', 'arc-pro-b60', 'atlas-800']
    """
    return sorted(path.stem for path in _CATALOG.glob("*.toml"))


def machine(
    name_or_description: str | os.PathLike[str] | Mapping[str, Any] | MachineDescription,
    chips: int | None = None,
    *,
    estimate: str = "nominal",
    scale_out: bool | None = None,
) -> nx.Graph[Any]:
    """Build the graph of a machine.

    Parameters
    ----------
    name_or_description : str, path, mapping or MachineDescription
        A name of the catalogue, the path of a ``.toml`` file, or what such a file
        holds.
    chips : int, optional
        Number of chips. If not given, those of one host.
    estimate : str
        ``"nominal"``, or the ``"low"`` or ``"high"`` end of every soft figure; low
        is the slower machine (less bandwidth, more latency).
    scale_out : bool, optional
        Whether to build NICs and scale-out fabric. If not given, they are built
        when the chips fill more than one scale-up domain and more than one host;
        else no transfer could use them.

    Returns
    -------
    networkx.Graph
        Chips ``0 .. chips - 1`` in rank order, host by host; the last host and the
        last scale-up domain may be partly filled. See docs/design.md.

    Raises
    ------
    UnknownNameError
        If the catalogue has no such machine, or there is no such estimate.
    MachineError
        If `chips` is no integer from 1 to the machine's limit, or a torus has no
        slice of so many, or the description is faulty.
    FormatError
        If the file cannot be read.

    Examples
    --------
    >>> graph = machine("hgx-h100", chips=16)
    >>> sorted(graph[0]), graph.edges[0, "up0"]["bandwidth"]
    (['nic0.0', 'up0'], 450000000000.0)
    >>> machine("hgx-h100", chips=0)
    Traceback (most recent call last):
    topologies.errors.MachineError: hgx-h100: chips (=0) must be an integer from 1 to 65536
    """
    from topologies.assembly import assemble

    described = describe(name_or_description)
    if estimate not in ESTIMATES:
        raise nearest("estimate", estimate, ESTIMATES)
    wanted = described.host.chips.value if chips is None else _count(described, chips)
    with no_collection():
        return assemble(described, wanted, estimate, scale_out)


def describe(
    name_or_description: str | os.PathLike[str] | Mapping[str, Any] | MachineDescription,
) -> MachineDescription:
    """Read the description of a machine.

    Parameters
    ----------
    name_or_description : str, path, mapping or MachineDescription
        As for `machine`.

    Returns
    -------
    MachineDescription
        Frozen; ``figures()`` gives every figure with its key path.

    Raises
    ------
    UnknownNameError, MachineError, FormatError
        As for `machine`.

    Examples
    --------
    >>> figure = describe("hgx-h100").scale_up.link.bandwidth
    >>> figure.text(), figure.evidence
    ('450 GB/s', 'vendor')
    """
    given = name_or_description
    if isinstance(given, str) and not given.endswith(".toml"):
        return _of_catalog(given)
    if isinstance(given, (str, os.PathLike)):
        return _of_file(Path(given))
    from topologies.description import MachineDescription, parse

    if isinstance(given, MachineDescription):
        return given
    if isinstance(given, Mapping):
        return parse(given, f"machine {given.get('name', 'description')!r}")
    raise MachineError(f"a machine must be a name, a path of a .toml file or a mapping, not {given!r}")


def machines() -> pd.DataFrame:
    """The catalogue as a table, one row a machine.

    Returns
    -------
    pandas.DataFrame
        Columns ``name``, ``title``, ``vendor``, ``origin`` (domestic or global), ``chip``,
        ``chips_per_host``, ``domain`` (chips in a scale-up domain), ``scale_up`` and
        ``scale_out`` (bytes/s of one chip and direction; nan where there is no scale-out),
        ``max_chips``, ``evidence`` (weakest grade of any figure), ``assumed`` (number of
        figures with that grade), ``figures`` (their number), ``source`` (of the scale-up
        bandwidth).

    Examples
    --------
    >>> machines().set_index("name").loc["hgx-h100", ["scale_up", "scale_out"]].tolist()
    [450000000000.0, 50000000000.0]
    """
    import pandas as pd

    return pd.DataFrame([_row(_of_catalog(name)) for name in names()])


def _row(described: MachineDescription) -> dict[str, object]:
    from topologies.figures import EVIDENCE

    figures = [figure for _, figure in described.figures()]
    nic, domain = described.nic, described.scale_up
    return {
        "name": described.name,
        "title": described.title,
        "vendor": described.vendor,
        "origin": described.origin,
        "chip": described.chip.name,
        "chips_per_host": described.host.chips.value,
        "domain": domain.chips.value,
        "scale_up": scale_up_rate(described),
        "scale_out": (
            float("nan")
            if nic is None
            else nic.bandwidth.value * nic.per_host.value / described.host.chips.value
        ),
        "max_chips": described.limits.chips.value,
        "evidence": max((f.evidence for f in figures), key=EVIDENCE.index),
        "assumed": sum(f.evidence == "assumed" for f in figures),
        "figures": len(figures),
        "source": domain.link.bandwidth.source,
    }


def scale_up_rate(described: MachineDescription) -> float:
    """Bytes/s that one chip (of a full domain; the best connected) can send inside it."""
    domain = described.scale_up
    each = float(domain.link.bandwidth.value)
    if domain.shape == "full_mesh":
        return each * (domain.chips.value - 1)
    if domain.shape == "clos":
        return each * domain.planes.value
    if domain.shape == "torus":
        return each * 2 * len(domain.limits())
    if domain.shape == "links":
        ends: dict[int, int] = {}
        for pair, times in domain.pairs().items():
            for chip in pair:
                ends[chip] = ends.get(chip, 0) + times
        return each * max(ends.values())
    return each


def _count(described: MachineDescription, chips: object) -> int:
    most = described.limits.chips.value
    whole = getattr(chips, "__index__", None)
    if isinstance(chips, bool) or whole is None or not 1 <= whole() <= most:
        raise MachineError(f"{described.name}: chips (={chips!r}) must be an integer from 1 to {most}")
    return int(whole())


@functools.cache
def _of_catalog(name: str) -> MachineDescription:
    if name not in names():
        raise nearest("machine", name, names())
    return _of_file(_CATALOG / f"{name}.toml")


def _of_file(path: Path) -> MachineDescription:
    import tomllib

    from topologies.description import parse

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read: {error}; give the path of a description") from error
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"{path}: no TOML: {error}; correct the file there") from error
    return parse(content, str(path))
