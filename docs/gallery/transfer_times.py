"""How long the transfers of an all-to-all take, on fabrics of more and less oversubscription."""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure

import sim
from scenarios.outputs import save_figure
from sim.plots import panels, plot_transfer_times
from topologies import leaf_spine

CHIPS, PER_LEAF = 64, 8


def figure() -> Figure:
    """All-to-all of 16 MiB by 64 chips whose ranks a scheduler has placed anywhere."""
    ranks = np.random.default_rng(1).permutation(CHIPS).tolist()
    times = {}
    for ratio in (1, 2, 4):
        graph = leaf_spine(
            CHIPS, per_leaf=PER_LEAF, oversubscription=ratio, bandwidth="50 GB/s", latency="1 us"
        )
        recorder = sim.Recorder()
        sim.all_to_all(graph, "16 MiB", ranks=ranks, algorithm="pairwise", library="nccl", recorder=recorder)
        times[f"{ratio}:1"] = recorder.transfers()
    drawn, (ax,) = panels()
    plot_transfer_times(times, ax=ax)
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "transfer_times.svg", figure())
