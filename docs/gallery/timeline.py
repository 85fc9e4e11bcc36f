"""A training step as a Gantt chart: gradients travel while the chips compute, the rest is exposed."""

from __future__ import annotations

import sys
from collections.abc import Generator

import simpy
from matplotlib.figure import Figure

import sim
from scenarios.outputs import save_figure
from sim.plots import panels, plot_timeline
from topologies.machines import machine

LAYERS = 4


def step(world: sim.World) -> Generator[simpy.Event, None, None]:
    """Forward, then backward layer by layer, each layer's gradients sent as soon as they are there."""
    yield world.compute(seconds="3 ms", name="forward")
    sent = []
    for _ in range(LAYERS):
        yield world.compute(seconds="1.5 ms", name="backward")
        sent.append(world.all_reduce("256 MiB", name="all-reduce of gradients"))
    yield simpy.AllOf(world.env, sent)
    yield world.compute(seconds="0.5 ms", name="optimiser")


def figure() -> Figure:
    """Two steps on 16 H100."""
    world = sim.World(machine("hgx-h100", chips=16))

    def job() -> Generator[simpy.Event, None, None]:
        for _ in range(2):
            yield from step(world)

    world.process(job())
    world.run()
    drawn, (ax,) = panels()
    plot_timeline(world.timeline(), exposed=world.exposed(), ax=ax)
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "timeline.svg", figure())
