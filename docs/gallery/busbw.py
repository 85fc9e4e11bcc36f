"""Bus bandwidth of an H100 host over message size: simulated line, measured markers, line rate dashed."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import scenarios
import sim
from scenarios.outputs import save_figure
from sim.bounds import bus_factor
from sim.plots import panels, plot_busbw
from topologies.machines import machine

CHIPS = 8


def figure() -> Figure:
    """An all-reduce sweep beside one that was measured with nccl-tests."""
    sizes = [2**e for e in range(10, 34, 1)]
    simulated = sim.scaling("hgx-h100", CHIPS, sizes)
    rows = pd.read_csv(Path(scenarios.__file__).parent / "measured" / "hgx-h100-8.csv")
    size, time = rows["message_bytes"], rows["time_us"] * 1e-6
    busbw = size / time * bus_factor("all_reduce", CHIPS)
    line_rate = float(sim.compile_fabric(machine("hgx-h100", chips=CHIPS)).injection()[0])
    drawn, (ax,) = panels()
    plot_busbw(
        simulated,
        line_rate=line_rate,
        measured=pd.DataFrame({"machine": "hgx-h100", "size": size, "busbw": busbw}),
        ax=ax,
    )
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "busbw.svg", figure())
