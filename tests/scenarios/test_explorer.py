"""The explorer: a hand on its widgets redraws, and what cannot be run is said in a line."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import networkx as nx
import pytest

import sim
import topologies
from scenarios import explorer
from scenarios.explorer import explore
from topologies.errors import MissingPackageError, UnknownNameError

PNG = b"\x89PNG\r\n\x1a\n"


def test_every_widget_redraws() -> None:
    panel = explore(["hgx-h100", "atlas-800t-a2"], chips=[8, 16], sizes=[2**10, 2**20])
    seen = {bytes(panel.picture.value)}
    for widget, value in (
        (panel.chips, 16),
        (panel.size, 2.0**10),
        (panel.algorithm, "ring"),
        (panel.machine, "atlas-800t-a2"),
    ):
        widget.value = value
        drawn = bytes(panel.picture.value)
        assert drawn.startswith(PNG)
        assert drawn not in seen
        seen.add(drawn)
    run = sim.all_reduce(topologies.machine("atlas-800t-a2", chips=16), 2**10, algorithm="ring")
    assert panel.run is not None
    assert (panel.run.time, panel.run.algorithm) == (run.time, "ring")
    assert panel.words.value == run._repr_html_()
    assert "application/vnd.jupyter.widget-view+json" in str(panel._repr_mimebundle_())


def test_what_has_been_seen_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "PATIENCE", 60.0)
    calls = []
    plain = sim.collective
    monkeypatch.setattr(sim, "collective", lambda *a, **k: (calls.append(k), plain(*a, **k))[1])
    panel = explore(["hgx-h100"], chips=[8, 16], sizes=[2**10, 2**15, 2**20])
    assert len(calls) == 3
    panel.chips.value = 16
    panel.chips.value = 8
    assert len(calls) == 6
    panel.algorithm.value = "ring"
    assert len(calls) == 9
    assert {k["algorithm"] for k in calls[6:]} == {"ring"}


def test_without_patience_the_point_chosen_is_all_and_the_rest_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[dict[str, list[float]]] = []
    plain = explorer._drawn

    def watched(run: sim.Run, curves: Any) -> bytes:
        drawn.append({name: sorted(runs) for name, runs in curves.items()})
        return plain(run, curves)

    monkeypatch.setattr(explorer, "_drawn", watched)
    monkeypatch.setattr(explorer, "PATIENCE", 0.0)
    panel = explore(["hgx-h100"], chips=[8], sizes=[2**10, 2**15, 2**20])
    assert drawn == [{"auto": [2.0**15]}]
    panel.algorithm.value = "ring"
    assert drawn[-1] == {"auto": [2.0**15], "ring": [2.0**15]}
    monkeypatch.setattr(explorer, "PATIENCE", 60.0)
    panel.size.value = 2.0**20
    every = [2.0**10, 2.0**15, 2.0**20]
    assert drawn[-1] == {"auto": every, "ring": every}


@pytest.mark.parametrize(
    ("machine", "algorithm", "said"),
    [("a100-bridge", "auto", "from 1 to 4"), ("hgx-h100", "torus", "dims")],
)
def test_what_cannot_be_run_is_said_in_one_line(machine: str, algorithm: str, said: str) -> None:
    panel = explore(["hgx-h100", "a100-bridge"], chips=[8], sizes=[2**20])
    panel.machine.value = machine
    panel.algorithm.value = algorithm
    assert panel.run is None
    assert said in panel.words.value
    assert "\n" not in panel.words.value
    assert "Traceback" not in panel.words.value
    assert panel.picture.layout.display == "none"
    panel.machine.value, panel.algorithm.value = "hgx-h100", "auto"
    assert panel.run is not None
    assert panel.picture.layout.display is None


def test_a_cluster_of_ones_own_with_an_awkward_name() -> None:
    def pair(chips: int) -> nx.Graph[Any]:
        graph = topologies.ring(chips, bandwidth="50 GB/s", latency="1 us")
        graph.graph["name"] = "<b>mine</b>"
        return graph

    panel = explore([], graphs={"mine": pair}, chips=[4], sizes=[2**20], collective="all_gather")
    assert repr(panel) == "<Explorer all_gather: mine, 4 chips, 1 MiB, auto>"
    assert "<b>mine" not in panel.words.value
    assert "&lt;b&gt;mine" in panel.words.value


def test_unknown_names_are_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match="hgx-h100"):
        explore(["hgx-h10"])
    with pytest.raises(UnknownNameError, match="all_reduce"):
        explore(["hgx-h100"], collective="allreduce")


def test_without_ipywidgets_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "ipywidgets":
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "ipywidgets")
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingPackageError, match=r"chipweave\[notebook\]"):
        explore(["hgx-h100"])
