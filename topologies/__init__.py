"""What is there: chips, switches, NICs, and the links between them, as networkx graphs.

Generators build the fabrics of the textbook, `machine` those of the catalogue;
`check` says what is wrong with a graph of one's own. The graph contract is in
docs/design.md.

``dragonfly``, ``draw``, ``machines`` and ``summary`` are functions here and modules below;
being imported here, the functions keep the names.
"""

from __future__ import annotations

from topologies.clos import attach_clos, fat_tree, leaf_spine, multi_plane, rail_optimized
from topologies.dragonfly import dragonfly, dragonfly_plus
from topologies.draw import draw
from topologies.formats import read, write
from topologies.graph import check, chips, faults
from topologies.machines import machine, machines
from topologies.shapes import full_mesh, hypercube, hyperx, mesh, ring, switch, torus
from topologies.summary import summary

__all__ = [
    "attach_clos",
    "check",
    "chips",
    "dragonfly",
    "dragonfly_plus",
    "draw",
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
    "summary",
    "switch",
    "torus",
    "write",
]
