"""Users' own algorithms: written in Python, or read from MSCCL XML and GOAL files."""

from sim.programs.chunks import Chunk
from sim.programs.files import Algorithm, algorithm_of, protocol_of, read, schedule_of, text, write
from sim.programs.messages import LOGGOPSIM, LogGOPS, Messages
from sim.programs.program import Lane, Program, Step
from sim.programs.unrolling import from_schedule, unrolled

__all__ = [
    "LOGGOPSIM",
    "Algorithm",
    "Chunk",
    "Lane",
    "LogGOPS",
    "Messages",
    "Program",
    "Step",
    "algorithm_of",
    "from_schedule",
    "protocol_of",
    "read",
    "schedule_of",
    "text",
    "unrolled",
    "write",
]
