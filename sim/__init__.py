"""What happens: collectives on fabrics, simulated.

>>> import sim, topologies
>>> run = sim.all_reduce(topologies.ring(8, bandwidth="50 GB/s", latency="1 us"), "64 MiB")
>>> run.kind, run.ranks
('all_reduce', 8)
"""

from sim.collectives import moe_matrix
from sim.fabric import Fabric, compile_fabric
from sim.network.recorder import Recorder
from sim.programs import Program
from sim.results import Run
from sim.run import (
    algorithms,
    all_gather,
    all_reduce,
    all_to_all,
    broadcast,
    collective,
    gather,
    reduce,
    reduce_scatter,
    scaling,
    scatter,
    schedule,
    send,
)
from sim.schedule import Round, Schedule
from sim.trace import write_trace
from sim.world import World

__all__ = [
    "Fabric",
    "Program",
    "Recorder",
    "Round",
    "Run",
    "Schedule",
    "World",
    "algorithms",
    "all_gather",
    "all_reduce",
    "all_to_all",
    "broadcast",
    "collective",
    "compile_fabric",
    "gather",
    "moe_matrix",
    "reduce",
    "reduce_scatter",
    "scaling",
    "scatter",
    "schedule",
    "send",
    "write_trace",
]
