"""What transfers cost, class by class, is what each costs by itself, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import sim
import topologies
from sim.libraries import costs, library
from sim.libraries.costs import Setting
from sim.routing import Router


@pytest.mark.parametrize("machine", ["hgx-h100", "mi300x", "atlas-800t-a2"])
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("sizes", [1, 3])
def test_classes(machine: str, mean: bool, sizes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = sim.compile_fabric(topologies.machine(machine, chips=64))
    chance = np.random.default_rng(sizes)
    src = fabric.rank_nodes[chance.integers(0, 64, 2000)]
    dst = fabric.rank_nodes[chance.integers(0, 64, 2000)]
    paths = Router(fabric).route(src, dst)
    payload = chance.choice([0.0, 12345.6, 2.0**21][-sizes:], 2000)
    own = library(str(fabric.library))
    setting = Setting("ring", 64, 8, mean=mean)
    for protocol in own.protocols:
        asked = own.costs(protocol, setting, fabric.attributes)
        found = []
        for worthwhile in (1, 10**9):
            monkeypatch.setattr(costs, "WORTHWHILE", worthwhile)
            found.append(asked.of(fabric, paths, payload, True))
        for name in ("overhead_ps", "cap", "wire_bytes", "reduce_ps", "latency_ps"):
            mine, alone = (getattr(one, name) for one in found)
            assert mine.tobytes() == alone.tobytes(), name
