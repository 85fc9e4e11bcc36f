"""A machine with some links changed: other bandwidth, latency or efficiency, by tier.

The description is changed, not the graph, so that whatever follows from a
figure follows from the new one too: a NIC's bandwidth is that of its link to
the first switch, and the efficiency of a link stays apart from its bandwidth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from topologies import units
from topologies.errors import MachineError, UnitError, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel

    from topologies.description import MachineDescription

__all__ = ["FIGURES", "change", "link_figure", "overridden", "tiers"]

#: What a link has, in the order of the schema.
FIGURES = ("bandwidth", "latency", "efficiency")

_FACTOR = re.compile(r"\s*(?:x\s*(?P<after>[\d.eE+-]+)|(?P<before>[\d.eE+-]+)\s*x)\s*$")

#: (tier, figure) to a number in SI units, or a factor such as ``"x2"``.
Changes = Mapping[tuple[str, str], float | str]


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
    return list(dict.fromkeys(link.tier for link in _links(description)))  # type: ignore[attr-defined]


def link_figure(description: MachineDescription, tier: str, figure: str, estimate: str = "nominal") -> float:
    """A figure of the first link of a tier, in SI units; 1 for an efficiency that is not stated.

    Raises
    ------
    UnknownNameError
        If the machine has no such tier.

    Examples
    --------
    >>> from topologies.machines import describe
    >>> link_figure(describe("hgx-h100"), "ib-ndr", "bandwidth")  # the NIC's
    50000000000.0
    """
    for link in _links(description):
        if link.tier == tier:  # type: ignore[attr-defined]
            found = _bearer(description, link, figure)
            stated = getattr(found, figure)
            return 1.0 if stated is None else float(stated.at(estimate))
    raise nearest(f"tier of {description.name}", tier, tiers(description))


def overridden(description: MachineDescription, changes: Changes) -> MachineDescription:
    """Change figures of a machine's links.

    Parameters
    ----------
    description : MachineDescription
        Stays as it is.
    changes : mapping
        ``(tier, figure)`` to what `change` gives. A value holds at every estimate; a
        factor multiplies the low and the high end as well. All links of the tier
        are changed.

    Returns
    -------
    MachineDescription

    Raises
    ------
    UnknownNameError
        If the machine has no such tier, or links no such figure.
    MachineError
        If the machine cannot be so, such as an efficiency above 1.

    Examples
    --------
    >>> from topologies.machines import describe
    >>> faster = overridden(describe("hgx-h100"), {("nvlink4", "bandwidth"): "x2"})
    >>> faster.scale_up.link.bandwidth.text()
    '900 GB/s'
    """
    from topologies.description import parse

    content = description.model_dump(mode="python", exclude_none=True)
    known = tiers(description)
    for (tier, figure), wanted in changes.items():
        if tier not in known:
            raise nearest(f"tier of {description.name}", tier, known)
        if figure not in FIGURES:
            raise nearest("figure of a link", figure, FIGURES)
        for table in _tables(content, tier, figure):
            table[figure] = _changed(table.get(figure), wanted)
    try:
        return parse(content, description.name)
    except MachineError as error:
        what = ", ".join(f"{tier}.{figure} = {wanted}" for (tier, figure), wanted in changes.items())
        raise MachineError(f"{error}; changed: {what}") from error


def _changed(figure: dict[str, Any] | None, wanted: float | str) -> dict[str, Any]:
    """A figure with another value; it is what somebody assumes, whatever it was before."""
    origin = {"evidence": "assumed", "source": f"changed to {wanted}"}
    if not isinstance(wanted, str):
        return {"value": wanted, "low": wanted, "high": wanted, **origin}
    factor = float(wanted[1:])
    old = figure or {"value": 1.0}
    value = old["value"]
    return {
        "value": value * factor,
        "low": old.get("low", value) * factor,
        "high": old.get("high", value) * factor,
        **origin,
    }


def _links(part: BaseModel) -> Iterator[BaseModel]:
    """Every part that names a tier, in the order of the schema."""
    from pydantic import BaseModel

    if "tier" in type(part).model_fields:
        yield part
        return
    for key in type(part).model_fields:
        child = getattr(part, key)
        if isinstance(child, BaseModel):
            yield from _links(child)


def _bearer(description: MachineDescription, link: BaseModel, figure: str) -> Any:
    """The part that states a figure: for the bandwidth of a NIC's link, the NIC."""
    return link if figure in type(link).model_fields else description.nic


def _tables(content: dict[str, Any], tier: str, figure: str) -> list[dict[str, Any]]:
    """The tables of a description's content that state a figure of a tier."""
    found = []
    pending = [content]
    while pending:
        table = pending.pop()
        if table.get("tier") == tier:
            on_nic = figure == "bandwidth" and "bandwidth" not in table
            found.append(content["nic"] if on_nic else table)
        pending += [child for child in table.values() if isinstance(child, dict)]
    return found
