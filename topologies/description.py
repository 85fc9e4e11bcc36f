"""What a machine description may say: the schema of ``topologies/catalog/*.toml``.

Every number is a figure with evidence and source (topologies/figures.py). This
module imports pydantic; import it only where a description is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AliasChoices, BaseModel, Field, StringConstraints, ValidationError, model_validator

from topologies.errors import MachineError
from topologies.figures import (
    Bandwidth,
    Count,
    Efficiency,
    Figure,
    Latency,
    Part,
    Ratio,
    Size,
    Speed,
    Text,
    Wiring,
)

__all__ = [
    "Clos",
    "ClosDomain",
    "Dragonfly",
    "FullMeshDomain",
    "Link",
    "MachineDescription",
    "Nic",
    "SwitchDomain",
    "TorusDomain",
    "WiredDomain",
    "parse",
]

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


class Link(Part):
    """A kind of link: ``tier`` names it, the figures are those of one direction."""

    tier: Name
    bandwidth: Bandwidth
    latency: Latency
    efficiency: Efficiency | None = None


class Chip(Part):
    """The chip; what is not known stays away."""

    name: Text
    flops: Speed | None = None
    memory: Size | None = None
    memory_bandwidth: Bandwidth | None = None


class _Domain(Part):
    chips: Count
    link: Link


class SwitchDomain(_Domain):
    """All chips at one non-blocking switch (which may stand for several that are striped)."""

    shape: Literal["switch"]


class FullMeshDomain(_Domain):
    """A link between every two chips; ``link.bandwidth`` is that of one of them."""

    shape: Literal["full_mesh"]


class WiredDomain(_Domain):
    """Links one by one: ``wiring`` is text such as ``"0-1:2 0-2"``, two links and one."""

    shape: Literal["links"]
    wiring: Wiring

    def pairs(self) -> dict[tuple[int, int], int]:
        """Number of links between two chips, ``(smaller, greater) -> count``."""
        found: dict[tuple[int, int], int] = {}
        for word in self.wiring.value.split():
            ends, _, times = word.partition(":")
            tail, _, head = ends.partition("-")
            if not (tail.isdecimal() and head.isdecimal() and (times or "1").isdecimal()):
                raise ValueError(f"wiring has {word!r}; write 0-1 for a link and 0-1:2 for two")
            a, b = sorted((int(tail), int(head)))
            if a == b or b >= self.chips.value or (a, b) in found or times == "0":
                raise ValueError(
                    f"wiring has {word!r}: a chip with itself or not there, or a pair named twice"
                )
            found[a, b] = int(times or 1)
        return found

    @model_validator(mode="after")
    def _readable(self) -> WiredDomain:
        pairs = self.pairs()
        for chip in range(1, self.chips.value):
            if not any(b == chip for _, b in pairs):
                raise ValueError(
                    f"wiring joins chip {chip} to none before it; order the chips so that it does"
                )
        return self


class TorusDomain(_Domain):
    """A torus of up to ``limit`` chips along each axis, cut into slices.

    A slice's axes are divisors of ``block``, or all of them multiples of it. With
    ``wrap`` ``"whole_blocks"`` the axes close in slices of whole blocks; with
    ``"full_axis"`` an axis closes where it is a multiple of ``block``.
    """

    shape: Literal["torus"]
    limit: Wiring
    block: Count
    wrap: Literal["whole_blocks", "full_axis"]

    def limits(self) -> tuple[int, ...]:
        """Greatest length of each axis, in ascending order."""
        parts = self.limit.value.split("x")
        if not all(p.isdecimal() and int(p) > 0 for p in parts):
            raise ValueError(f"limit {self.limit.value!r} is no shape; write '16x16x16'")
        return tuple(sorted(int(p) for p in parts))

    @model_validator(mode="after")
    def _readable(self) -> TorusDomain:
        size = 1
        for axis in self.limits():
            size *= axis
        if size != self.chips.value:
            raise ValueError(f"limit {self.limit.value!r} has {size} places, not chips (={self.chips.value})")
        return self


class ClosDomain(_Domain):
    """Two tiers in ``planes`` that share nothing: ``link`` chip to leaf, ``uplink`` leaf to spine.

    ``per_leaf`` chips share their leaves, one for each plane; each leaf has one
    uplink to each of the ``spines`` of its plane. Bandwidths are of one plane.
    """

    shape: Literal["clos"]
    planes: Count
    per_leaf: Count
    spines: Count
    uplink: Link


class Host(Part):
    """The server; ``bus`` joins its chips with the node ``host``, where there is need of one."""

    chips: Count
    bus: Link | None = None


class Nic(Part):
    """Network cards: ``at`` says whether they hang off the chips or off the host's bus.

    ``bandwidth`` is that of a card's ports taken together, ``bus`` the link between
    the card and its chips (or the host).
    """

    per_host: Count
    at: Literal["chip", "host"]
    bandwidth: Bandwidth
    bus: Link


class Hop(Part):
    """The link between a NIC and its first switch; its bandwidth is the NIC's."""

    tier: Name
    latency: Latency
    efficiency: Efficiency | None = None


class Clos(Part):
    """Leaf, spine and core switches of ``radix`` ports; as many tiers as the chips need."""

    shape: Literal["clos"]
    rails: bool = False
    radix: Count
    oversubscription: Ratio
    leaf: Hop
    spine: Link
    core: Link | None = None


class Dragonfly(Part):
    """Groups of switches joined all to all by ``local``, and the groups by ``global_link``."""

    shape: Literal["dragonfly"]
    endpoints_per_switch: Count
    switches_per_group: Count
    links_per_group_pair: Count
    groups: Count
    leaf: Hop
    local: Link
    global_link: Link

    @model_validator(mode="after")
    def _fits(self) -> Dragonfly:
        if self.links_per_group_pair.value > self.switches_per_group.value:
            raise ValueError("links_per_group_pair must not exceed switches_per_group; at most one a switch")
        return self


Domain: TypeAlias = Annotated[
    SwitchDomain | FullMeshDomain | WiredDomain | TorusDomain | ClosDomain, Field(discriminator="shape")
]
ScaleOut: TypeAlias = Annotated[Clos | Dragonfly, Field(discriminator="shape")]


class Limits(Part):
    """How far the machine goes."""

    chips: Count


class MachineDescription(Part):
    """A machine of the catalogue, or of one's own: see docs/machines.md.

    ``systems`` (or ``aliases``) are names under which measurements call it;
    ``generation``, ``network``, ``cpu`` and ``in_network`` what its libraries ask
    (`topologies.traits`), by default as the names of chip and links say.
    """

    name: Name
    title: Text
    vendor: Text
    origin: Literal["domestic", "global"]
    library: Text
    notes: str = ""
    systems: tuple[Text, ...] = Field(default=(), validation_alias=AliasChoices("systems", "aliases"))
    generation: Name | None = None
    network: Name | None = None
    cpu: Name | None = None
    in_network: tuple[Literal["domain", "fabric"], ...] | None = None
    chip: Chip
    scale_up: Domain
    host: Host
    nic: Nic | None = None
    scale_out: ScaleOut | None = None
    limits: Limits

    @model_validator(mode="after")
    def _consistent(self) -> MachineDescription:
        domain, host, most = self.scale_up.chips.value, self.host.chips.value, self.limits.chips.value
        torus = isinstance(self.scale_up, TorusDomain)
        if max(domain, host) % min(domain, host) and not torus:
            raise ValueError(f"scale_up.chips (={domain}) and host.chips (={host}) must divide one another")
        if domain < host and self.host.bus is None:
            raise ValueError(
                f"host.bus is missing: {host // domain} scale-up domains of a host need it to meet"
            )
        if (self.nic is None) != (self.scale_out is None):
            raise ValueError("nic and scale_out go together; give both or neither")
        if self.nic is None and most > max(domain, host):
            raise ValueError(
                f"limits.chips (={most}) needs nic and scale_out above {max(domain, host)} chips"
            )
        if self.nic is not None and self.nic.at == "host" and self.host.bus is None:
            raise ValueError("host.bus is missing: nic.at = 'host' hangs the NICs off it")
        if self.nic is not None:
            for cards in {self.nic.per_host.at(e) for e in ("low", "nominal", "high")}:
                if host % cards:
                    raise ValueError(
                        f"nic.per_host (={cards}) must divide host.chips (={host}); "
                        "state several cards of one chip as one with their bandwidths added"
                    )
        if isinstance(self.scale_up, ClosDomain) and domain % self.scale_up.per_leaf.value:
            raise ValueError(f"scale_up.per_leaf must divide scale_up.chips (={domain})")
        return self

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Every figure with its key path, in the order of the schema."""
        yield from _figures(self, "")


def _figures(part: BaseModel, path: str) -> Iterator[tuple[str, Figure]]:
    for key in type(part).model_fields:
        child = getattr(part, key)
        where = f"{path}.{key}" if path else key
        if isinstance(child, Figure):
            yield where, child
        elif isinstance(child, BaseModel):
            yield from _figures(child, where)


def parse(content: Mapping[str, Any], origin: str) -> MachineDescription:
    """Read a description.

    Parameters
    ----------
    content : mapping
        As a TOML file gives it.
    origin : str
        Where it comes from, for the message.

    Raises
    ------
    MachineError
        Naming the key path, the value, and what is allowed.

    Examples
    --------
    >>> parse({"name": "mine"}, "mine.toml")
    Traceback (most recent call last):
    topologies.errors.MachineError: mine.toml: title: Field required (and 7 more faults)
    """
    try:
        return MachineDescription.model_validate(content)
    except ValidationError as error:
        raise MachineError(f"{origin}: {_one_line(error)}") from error


#: Tags that pydantic puts into key paths for the member of a union it took.
_TAGS = {"scale_up": {"switch", "full_mesh", "links", "torus", "clos"}, "scale_out": {"clos", "dragonfly"}}


def _one_line(error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    fault = faults[0]
    path = list(fault["loc"])
    if len(path) > 1 and path[1] in _TAGS.get(str(path[0]), ()):
        del path[1]
    where = ".".join(map(str, path))
    text, given = fault["msg"].removeprefix("Value error, "), fault["input"]
    if fault["type"] == "extra_forbidden":
        text = "unknown key; remove it or mend its spelling"
    elif fault["type"] not in ("missing", "value_error") and not isinstance(given, Mapping):
        text = f"{text}, not {given!r}"
    more = f" (and {len(faults) - 1} more fault{'s' * (len(faults) > 2)})" if len(faults) > 1 else ""
    head = f"{where}: " if where else ""
    return " ".join(f"{head}{text}".split()) + more
