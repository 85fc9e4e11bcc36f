"""What an all-reduce costs on fabrics of more or less bisection bandwidth."""

from __future__ import annotations

import sys

import pandas as pd
from matplotlib.figure import Figure

import sim
from scenarios.outputs import save_figure
from sim.bisection import bisection
from sim.plots import panels, plot_bisection
from topologies import leaf_spine

CHIPS, PER_LEAF = 64, 8


def figure() -> Figure:
    """Leaf and spine at oversubscriptions from 8:1 to none, three algorithms, all-reduce of 256 MiB."""
    ranks = sorted(range(CHIPS), key=lambda chip: chip % PER_LEAF)
    rows = []
    for ratio in (8, 4, 2, 1):
        graph = leaf_spine(
            CHIPS, per_leaf=PER_LEAF, oversubscription=ratio, bandwidth="50 GB/s", latency="1 us"
        )
        fabric = sim.compile_fabric(graph)
        for algorithm in ("ring", "halving_doubling", "double_binary_tree"):
            run = sim.all_reduce(fabric, "256 MiB", algorithm=algorithm, ranks=ranks)
            rows.append((algorithm, "all_reduce", run.size, bisection(fabric) / CHIPS, run.time))
    table = pd.DataFrame(rows, columns=["algorithm", "collective", "size", "bisection", "time"])
    drawn, (ax,) = panels()
    plot_bisection(table, by="algorithm", ax=ax)
    return drawn


if __name__ == "__main__":
    save_figure(sys.argv[1] if len(sys.argv) > 1 else "bisection.svg", figure())
