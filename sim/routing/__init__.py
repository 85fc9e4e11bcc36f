"""Routing: which links a transfer between two chips holds.

`Router` compiles the rules of a fabric once and answers for arrays of chips.
Paths are deterministic: equal choices are told apart by the digits of the
destination's address (D-mod-k), never at random.
"""

from sim.routing.paths import Paths
from sim.routing.router import ROUTINGS, Router

__all__ = ["ROUTINGS", "Paths", "Router"]
