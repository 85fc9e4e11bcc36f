"""Libraries: what NCCL, HCCL and others add to the wire, as data.

A library is a TOML file (latencies, wire factors, candidates, each figure with
its evidence and source) and one small model that all share. The model is NCCL's
own way to think about time: a launch once, and for every transfer an overhead
that depends on the protocol and on whether the transfer leaves the scale-up
domain.
"""

from sim.libraries.choice import Choice, choose, levels
from sim.libraries.library import Library, Protocol, libraries, library

__all__ = ["Choice", "Library", "Protocol", "choose", "levels", "libraries", "library"]
