"""Libraries: what NCCL, HCCL and others add to the wire, as data.

A library is a TOML file (figures at dotted paths, each with its evidence and
source; candidates; rules) and one small model that all share (`sim.libraries.costs`):
a base once, and for every transfer a step by protocol and kind of hop, chunks, wire
bytes, rate caps. How a library chooses is apart from what its choice costs.
"""

from sim.libraries.choice import Choice, candidates, choose
from sim.libraries.costs import LibraryCosts, Setting
from sim.libraries.features import Features, Prediction
from sim.libraries.library import Library, libraries, library, parse
from sim.libraries.parameters import Figure, Parameters
from sim.libraries.request import Request, levels

__all__ = [
    "Choice",
    "Features",
    "Figure",
    "Library",
    "LibraryCosts",
    "Parameters",
    "Prediction",
    "Request",
    "Setting",
    "candidates",
    "choose",
    "levels",
    "libraries",
    "library",
    "parse",
]
