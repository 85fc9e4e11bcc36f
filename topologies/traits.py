"""What software asks of a machine: generation of the chips, kind of network, CPU, switches that reduce.

Libraries have figures of their own for some kinds of machine
(``where.generation.hopper`` in their files). A description may say what its
machine is; where it does not, the names of chip and links do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topologies.description import MachineDescription

__all__ = ["generation_of", "network_of", "traits"]

#: Names of chips, in lower case, and their generation; the first that is found counts.
GENERATIONS = (
    (r"v100", "volta"),
    (r"l40s?|rtx 6000 ada|l4\b", "ada"),
    (r"rtx pro|gb10\b", "blackwell-pcie"),
    (r"a100|a800|a30", "ampere"),
    (r"gh200|h[128]00|h20\b|h200", "hopper"),
    (r"b[23]00", "blackwell"),
    (r"mi250|mi210", "cdna2"),
    (r"mi3[02]\d", "cdna3"),
    (r"mi35\d", "cdna4"),
    (r"910b", "ascend-910b"),
    (r"910c", "ascend-910c"),
    (r"950", "ascend-950"),
    (r"c500", "metax-c500"),
)

#: Generations whose scale-up switches reduce and multicast (NVLS).
REDUCING = ("hopper", "blackwell")


def generation_of(chip: str) -> str | None:
    """Generation of a chip by its name, or None.

    Examples
    --------
    >>> [generation_of(name) for name in ("A100-SXM4-40GB", "H20", "GB300", "MI300X", "X1")]
    ['ampere', 'hopper', 'blackwell', 'cdna3', None]
    """
    plain = chip.casefold()
    return next((generation for name, generation in GENERATIONS if re.search(name, plain)), None)


def network_of(tier: str) -> str:
    """Kind of network by the tier of the NICs' links: what stands before digits and hyphens.

    Examples
    --------
    >>> [network_of(tier) for tier in ("ib-ndr200", "slingshot11", "roce-400g", "efa-100g")]
    ['ib', 'slingshot', 'roce', 'efa']
    """
    found = re.match(r"[a-z_]+", tier)
    return found[0] if found else tier


def traits(machine: MachineDescription) -> dict[str, str]:
    """Graph attributes ``generation``, ``network``, ``cpu`` and ``in_network``; only those known.

    ``in_network`` lists, with commas, where switches reduce: ``domain`` and ``fabric``.
    """
    found: dict[str, str] = {}
    generation = machine.generation or generation_of(machine.chip.name)
    if generation:
        found["generation"] = generation
    network = machine.network
    if network is None and machine.scale_out is not None:
        network = network_of(machine.scale_out.leaf.tier)
    if network:
        found["network"] = network
    if machine.cpu is not None:
        found["cpu"] = machine.cpu
    places = machine.in_network
    if places is None:
        places = ("domain",) if generation in REDUCING and machine.scale_up.shape == "switch" else ()
    if places:
        found["in_network"] = ",".join(places)
    return found
