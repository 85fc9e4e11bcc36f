"""Links changed by tier: what changes, what stays, what is refused."""

from __future__ import annotations

import networkx as nx
import pytest

import topologies
from topologies.errors import MachineError, UnitError, UnknownNameError
from topologies.links import change, change_links, link_figure, new_figure, tiers
from topologies.machines import ESTIMATES, describe, names


@pytest.mark.parametrize("name", names())
def test_the_links_of_a_tier_change_and_nothing_else(name: str) -> None:
    """Twice the bandwidth of a tier is twice the bandwidth of each of its edges, also of
    one that stands for several links; a latency is that latency."""
    description = describe(name)
    chips = min(2 * max(description.scale_up.chips.value, description.host.chips.value), 512)
    try:
        before = topologies.machine(description, chips=min(chips, description.limits.chips.value))
    except MachineError:
        before = topologies.machine(description)
    for tier in tiers(description):
        after = before.copy()
        values = {
            (tier, "bandwidth"): new_figure(description, tier, "bandwidth", "x2"),
            (tier, "latency"): 1.25e-7,
        }
        change_links(after, description, values)
        assert nx.utils.nodes_equal(after.nodes(data=True), before.nodes(data=True))
        assert set(after.edges) == set(before.edges)
        for edge in before.edges:
            was, now = before.edges[edge], after.edges[edge]
            if was["tier"] == tier:
                assert now == was | {"bandwidth": 2 * was["bandwidth"], "latency": 1.25e-7}
            else:
                assert now == was


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_a_value_holds_at_every_estimate_and_a_factor_is_of_the_estimate(estimate: str) -> None:
    machine = describe("hgx-h100")
    was = link_figure(machine, "nvlink4", "latency", estimate)
    assert len({link_figure(machine, "nvlink4", "latency", e) for e in ESTIMATES}) == 3
    assert new_figure(machine, "nvlink4", "latency", "x0.5", estimate) == was * 0.5
    assert new_figure(machine, "nvlink4", "latency", 1e-6, estimate) == 1e-6
    graph = topologies.machine(machine, estimate=estimate)
    change_links(graph, machine, {("nvlink4", "latency"): was * 0.5}, estimate)
    assert graph.edges[0, "up0"]["latency"] == was * 0.5


def test_an_efficiency_nobody_stated_is_one() -> None:
    machine = describe("hgx-h100")
    link = machine.scale_up.link.model_copy(update={"efficiency": None})
    bare = machine.model_copy(update={"scale_up": machine.scale_up.model_copy(update={"link": link})})
    assert link_figure(bare, "nvlink4", "efficiency") == 1.0
    graph = topologies.machine(bare)
    change_links(graph, bare, {("nvlink4", "efficiency"): new_figure(bare, "nvlink4", "efficiency", "x0.5")})
    assert graph.edges[0, "up0"]["efficiency"] == 0.5


def test_what_cannot_be_is_refused() -> None:
    machine = describe("hgx-h100")
    with pytest.raises(UnknownNameError, match="did you mean 'nvlink4'"):
        new_figure(machine, "nvlink", "bandwidth", "x2")
    with pytest.raises(UnknownNameError, match="unknown figure of a link 'bandwith'"):
        new_figure(machine, "nvlink4", "bandwith", "x2")
    with pytest.raises(MachineError, match=r"nvlink4.efficiency would be 1.64 \(x2 of 0.82\)"):
        new_figure(machine, "nvlink4", "efficiency", "x2")
    with pytest.raises(UnknownNameError):
        change_links(topologies.machine(machine), machine, {("hccs", "bandwidth"): 1.0})


@pytest.mark.parametrize(
    ("figure", "x"),
    [
        *(("bandwidth", x) for x in ("x0", "x-2", "x1e999", "x..", "50", "1 us")),
        *(("latency", x) for x in ("1 GB/s", -1.0)),
        *(("efficiency", x) for x in (1.5, True, "0.5")),
    ],
)
def test_a_change_that_is_none_is_refused_by_name(figure: str, x: object) -> None:
    with pytest.raises(UnitError, match=r"sweep\.link"):
        change(figure, x, name="sweep.link")
