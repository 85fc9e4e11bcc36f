"""Users' own algorithms: written in Python, or read from MSCCL XML and GOAL files."""

from sim.programs.chunks import Chunk
from sim.programs.program import Lane, Program, Step

__all__ = ["Chunk", "Lane", "Program", "Step"]
