"""What graphs, schedules, runs and sweeps show of themselves: small, escaped, whole by themselves."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import sim
import topologies
from scenarios.sweep.sweep import SHOWN, sweep
from sim.schedule import SHOWN_ROUNDS
from topologies.summary import SHOWN as SHOWN_KINDS

NASTY = "<img src='http://x/'>&\"'"


def named(graph: nx.Graph[Any], tier: str | None = None) -> nx.Graph[Any]:
    """The graph under an awkward name, and so its links."""
    graph.graph["name"] = NASTY
    for _, _, link in graph.edges(data=True):
        link["tier"] = tier or link["tier"]
    return graph


class Checked(HTMLParser):
    """Tags that are opened and closed in order, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"style"}, "nothing is loaded, nothing happens"
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(shown: Any) -> Checked:
    page = shown._repr_html_()
    assert len(page) < 6000
    found = Checked(page)
    assert set(found.tags) <= {"b", "br", "table", "tr", "th", "td"}
    return found


def test_a_graph() -> None:
    graph = named(topologies.machine("hgx-h100", chips=16))
    held = topologies.summary(graph)
    assert (held.chips, held.hosts, held.domains, held.nodes["nic"]) == (16, 2, 2, 16)
    assert sum(kind.number for kind in held.links) == graph.number_of_edges()
    page = checked(held)
    assert page.text.startswith(NASTY)
    assert "16 chips, 2 hosts, 2 scale-up domains, 16 NICs" in page.text
    assert "450 GB/s" in page.text
    text = repr(held)
    assert len(text.splitlines()) == 1 + len(held.links)
    assert "16 links of 450 GB/s each way" in text


def test_a_graph_of_many_kinds_of_link() -> None:
    graph = topologies.full_mesh(8, bandwidth="50 GB/s", latency="1 us")
    for i, (_, _, link) in enumerate(graph.edges(data=True)):
        link["latency"] = 1e-6 * (i + 1)
    held = topologies.summary(graph)
    assert len(held.links) == 28
    assert checked(held).tags.count("tr") == SHOWN_KINDS + 1
    assert repr(held).endswith("and 16 more kinds of link")


def test_a_graph_without_names() -> None:
    graph = nx.Graph([(0, 1, {"bandwidth": "1 GB/s", "latency": "0 s"})])
    nx.set_node_attributes(graph, "chip", "kind")
    assert repr(topologies.summary(graph)).startswith("graph: 2 chips\n")


def test_a_graph_with_a_fault_names_the_link() -> None:
    graph = nx.Graph([(0, 1)])
    nx.set_node_attributes(graph, "chip", "kind")
    with pytest.raises(ValueError, match="link 0 to 1"):
        topologies.summary(graph)


def test_a_schedule() -> None:
    schedule = sim.schedule("all_reduce", 8, "8 MiB", "ring")
    assert repr(schedule) == "<Schedule all_reduce by ring: 8 ranks, 8388608 bytes in 8 chunks>"
    page = checked(schedule)
    assert page.tags.count("tr") == 3
    assert re.search(r"reduce-scatter\s*7\s*8\s*8 MiB\s*add", page.text)


def test_a_schedule_of_many_rounds_and_of_ones_own_name() -> None:
    with sim.Program("all_gather", ranks=2, name=NASTY) as program:
        program.chunk(0, 0).send(1)
        program.chunk(1, 1).send(0)
    assert NASTY in checked(program.schedule(2**20)).text
    many = checked(sim.schedule("all_reduce", 256, "1 GiB", "double_binary_tree"))
    assert many.tags.count("tr") <= SHOWN_ROUNDS + 1
    assert many.text.endswith("and more rounds")


def test_the_largest_schedule_shows_itself_as_fast() -> None:
    assert checked(sim.schedule("all_reduce", 65536, "1 GiB", "ring")).tags.count("tr") == 3


def test_a_run() -> None:
    graph = named(topologies.switch(4, bandwidth="50 GB/s", latency="1 us"), NASTY)
    run = sim.all_reduce(graph, "64 MiB", algorithm="ring")
    page = checked(run)
    assert NASTY in page.text
    assert f"serialisation:{NASTY}" in page.text
    assert "\n" not in repr(run)


def test_a_sweep(tmp_path: Path) -> None:
    text = '[sweep]\nmachine = ["hgx-h100", "a100-bridge"]\nchips = 4\nsize = "1 KiB:64 KiB"'
    done = sweep(text, tmp_path / "<b>.sqlite")
    assert repr(done).startswith("<Sweep of 14 points in ")
    page = checked(done)
    assert "<b>.sqlite" in page.text
    assert page.tags.count("tr") == SHOWN + 1
    assert page.text.endswith("and 4 more rows")
    (tmp_path / "<b>.sqlite").unlink()
    assert "14" in checked(done).text, "the store is gone, the tally is not"
