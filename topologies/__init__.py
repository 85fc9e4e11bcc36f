"""What is there: chips, switches, NICs, and the links between them, as networkx graphs.

Generators build the fabrics of the textbook, `machine` those of the catalogue;
`check` says what is wrong with a graph of one's own. The graph contract is in
docs/design.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from topologies.clos import attach_clos, fat_tree, leaf_spine, multi_plane, rail_optimized
from topologies.dragonfly import dragonfly, dragonfly_plus
from topologies.formats import read, write
from topologies.graph import check, chips, faults
from topologies.shapes import full_mesh, hypercube, hyperx, mesh, ring, switch, torus

if TYPE_CHECKING:
    from topologies.machines import machine, machines

__all__ = [
    "attach_clos",
    "check",
    "chips",
    "dragonfly",
    "dragonfly_plus",
    "fat_tree",
    "faults",
    "full_mesh",
    "hypercube",
    "hyperx",
    "leaf_spine",
    "machine",
    "machines",
    "mesh",
    "multi_plane",
    "rail_optimized",
    "read",
    "ring",
    "switch",
    "torus",
    "write",
]


def __getattr__(name: str) -> Any:
    # The catalogue is heavier than the rest and many programmes do not need it.
    if name in ("machine", "machines"):
        import topologies.machines as catalogue

        # Also undoes that importing the module binds its name here.
        globals().update(machine=catalogue.machine, machines=catalogue.machines)
        return globals()[name]
    raise AttributeError(f"module 'topologies' has no attribute {name!r}")
