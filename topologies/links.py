"""A machine with some links changed: other bandwidth, latency or efficiency, by tier.

The links of the graph are changed and nothing else: as many, and wired as before.
(A description with a faster NIC would be another fabric: its leaves get more links
up, so that the oversubscription is what it says.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import networkx as nx

from topologies import units
from topologies.errors import MachineError, UnitError, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel

    from topologies.description import MachineDescription

__all__ = ["FIGURES", "change", "change_links", "link_figure", "new_figure", "tiers"]

#: What a link has, in the order of the schema.
FIGURES = ("bandwidth", "latency", "efficiency")

_FACTOR = re.compile(r"\s*(?:x\s*(?P<after>[\d.eE+-]+)|(?P<before>[\d.eE+-]+)\s*x)\s*$")


def change(figure: str, x: object, *, name: str) -> float | str:
    """Read a change of a link's figure.

    Parameters
    ----------
    figure : str
        One of `FIGURES`.
    x : str or number
        A value with its unit (bandwidth, latency), a share (efficiency), or a factor
        on what the machine has: ``"x2"`` or ``"2x"``.
    name : str
        What it is, for the message.

    Returns
    -------
    float or str
        Bytes/s, seconds or a share; a factor as ``"x2"``.

    Raises
    ------
    UnitError
        If it is none of these, or not above zero (a latency may be zero).

    Examples
    --------
    >>> change("bandwidth", "400 Gbit/s", name="roce"), change("latency", "0.50x", name="roce")
    (50000000000.0, 'x0.5')
    """
    match = _FACTOR.match(x) if isinstance(x, str) else None
    if match is not None:
        try:
            factor = float(match["after"] or match["before"])
        except ValueError:
            factor = math.nan
        if not 0 < factor < math.inf:
            raise UnitError(f"{name} (={x!r}) must be a factor > 0, such as 'x2'")
        return f"x{factor!r}".removesuffix(".0")
    if figure == "bandwidth":
        return units.bandwidth(x, name=name)
    if figure == "latency":
        return units.duration(x, name=name)
    if isinstance(x, bool) or not isinstance(x, int | float) or not 0 < x <= 1:
        raise UnitError(f"{name} (={x!r}) must be a number > 0 and <= 1, or a factor such as 'x0.9'")
    return float(x)


def tiers(description: MachineDescription) -> list[str]:
    """Names of the tiers of a machine, in the order of its description.

    Examples
    --------
    >>> from topologies.machines import describe
    >>> tiers(describe("hgx-h100"))
    ['nvlink4', 'pcie5', 'ib-ndr', 'ib-ndr-spine', 'ib-ndr-core']
    """
    return list(dict.fromkeys(link.tier for link in _links(description)))


def link_figure(description: MachineDescription, tier: str, figure: str, estimate: str = "nominal") -> float:
    """A figure of the links of a tier, in SI units; 1 for an efficiency that is not stated.

    The bandwidth of the link between a NIC and its first switch is the NIC's. Where
    links of different figures share the tier's name, it is the first one's.

    Raises
    ------
    UnknownNameError
        If the machine has no such tier, or links no such figure.

    Examples
    --------
    >>> from topologies.machines import describe
    >>> link_figure(describe("hgx-h100"), "ib-ndr", "bandwidth")
    50000000000.0
    """
    if figure not in FIGURES:
        raise nearest("figure of a link", figure, FIGURES)
    for link in _links(description):
        if link.tier == tier:
            bearer = link if figure in type(link).model_fields else description.nic
            stated = getattr(bearer, figure)
            return 1.0 if stated is None else float(stated.at(estimate))
    raise nearest(f"tier of {description.name}", tier, tiers(description))


def new_figure(
    description: MachineDescription, tier: str, figure: str, wanted: float | str, estimate: str = "nominal"
) -> float:
    """The value that a change gives a figure of a machine.

    Parameters
    ----------
    description : MachineDescription
    tier, figure : str
    wanted : float or str
        As `change` gives it.
    estimate : str

    Raises
    ------
    UnknownNameError
        As for `link_figure`.
    MachineError
        If the efficiency would be above 1.

    Examples
    --------
    >>> from topologies.machines import describe
    >>> new_figure(describe("hgx-h100"), "nvlink4", "bandwidth", "x2")
    900000000000.0
    """
    old = link_figure(description, tier, figure, estimate)
    value = old * float(wanted[1:]) if isinstance(wanted, str) else wanted
    if figure == "efficiency" and value > 1:
        raise MachineError(
            f"{description.name}: {tier}.efficiency would be {value:g} ({wanted} of {old:g}); "
            "it must be at most 1"
        )
    return value


def change_links(
    graph: nx.Graph[Any],
    description: MachineDescription,
    values: Mapping[tuple[str, str], float],
    estimate: str = "nominal",
) -> None:
    """Change figures of the links of a graph, in place.

    Parameters
    ----------
    graph : networkx graph
        As `topologies.machine` builds it of the description, at the same estimate.
    description : MachineDescription
    values : mapping
        ``(tier, figure)`` to the new value, in SI units. An edge that stands for
        several links keeps standing for as many.
    estimate : str

    Raises
    ------
    UnknownNameError
        If the machine has no such tier, or links no such figure.

    Examples
    --------
    >>> import topologies
    >>> from topologies.machines import describe
    >>> graph = topologies.machine("hgx-h100", chips=8)
    >>> change_links(graph, describe("hgx-h100"), {("nvlink4", "bandwidth"): 900e9})
    >>> graph.edges[0, "up0"]["bandwidth"]
    900000000000.0
    """
    for (tier, figure), value in values.items():
        old = link_figure(description, tier, figure, estimate)
        for _, _, attributes in graph.edges(data=True):
            if attributes["tier"] == tier:
                now = attributes.get(figure, 1.0)
                attributes[figure] = value if now == old else now * (value / old)


def _links(part: BaseModel) -> Iterator[Any]:
    """Every part that names a tier, in the order of the schema."""
    from pydantic import BaseModel

    if "tier" in type(part).model_fields:
        yield part
        return
    for key in type(part).model_fields:
        child = getattr(part, key)
        if isinstance(child, BaseModel):
            yield from _links(child)
