"""Scenarios: the right question is asked, the files are the same each time, mistakes cost one line."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd
import pytest

import sim
import topologies
from scenarios import allreduce_scaling, collectives_table, demo, domestic_vs_global, measured_overlay
from scenarios.pages import marked
from scenarios.survey import Survey, survey
from scenarios.upgrades import upgrades
from sim.collectives import algorithms, kinds
from sim.sensitivity import SCALE_OUT, SCALE_UP, best, changed, tiers
from topologies.errors import OutputError
from topologies.graph import link_bandwidth, link_latency

Call = Callable[..., Any]
SMALL = Survey(("metax-c500", "hgx-a100"), (16, 8), (2.0**20, 2.0**30), ("nominal", "low"))


def two_hosts() -> nx.Graph[Any]:
    """Two scale-up domains of two chips, each chip with a port to one switch."""
    graph: nx.Graph[Any] = nx.Graph(name="two hosts")
    graph.add_node("switch", kind="switch")
    for chip in range(4):
        graph.add_node(chip, kind="chip", domain=chip // 2)
        graph.add_edge(chip, "switch", bandwidth=25e9, latency=2e-6, tier="port")
    for chip in (0, 2):
        graph.add_edge(chip, chip + 1, bandwidth="100 GB/s", latency="0.5 us", tier="board")
    return graph


class TestSurvey:
    def test_is_the_table_of_scaling_in_the_order_of_the_question(self) -> None:
        """Row by row what one call for each machine gives; here the estimates come last in the order."""
        table = survey(SMALL)
        oracle = sim.scaling(SMALL.machines, [8, 16], SMALL.sizes, estimates=SMALL.estimates)
        keys = ["machine", "chips", "size", "estimate"]
        pd.testing.assert_frame_equal(
            table.drop(columns="origin").set_index(keys),
            oracle.set_index(keys).loc[table.set_index(keys).index],
        )
        assert table[keys].to_numpy().tolist() == [
            [machine, chips, size, estimate]
            for machine in SMALL.machines
            for chips in (8, 16)
            for size in SMALL.sizes
            for estimate in SMALL.estimates
        ]
        assert table.groupby("machine")["origin"].first().to_dict() == {
            "metax-c500": "domestic", "hgx-a100": "global",
        }  # fmt: skip

    def test_low_is_no_faster_than_nominal(self) -> None:
        times = survey(SMALL).pivot(index=["machine", "chips", "size"], columns="estimate", values="time")
        assert (times["low"] >= times["nominal"]).all()

    def test_ends_of_soft_figures_are_run_up_to_where_bands_end(self) -> None:
        asked = Survey(("hgx-a100",), (8, 16, 32), (2.0**20,), band_chips=16)
        counts = survey(asked).groupby("chips")["estimate"].apply(list).to_dict()
        every = ["nominal", "low", "high"]
        assert counts == {8: every, 16: every, 32: ["nominal"]}

    def test_a_machine_that_ends_early_is_left_out_there(self) -> None:
        table = survey(Survey(("sophia", "hgx-a100"), (8, 512), (2.0**20,), ("nominal",)))
        there = list(zip(table["machine"], table["chips"], strict=True))
        assert there == [("sophia", 8), ("hgx-a100", 8), ("hgx-a100", 512)]

    @pytest.mark.slow
    def test_any_number_of_processes_gives_the_same_table(self) -> None:
        pd.testing.assert_frame_equal(survey(SMALL, workers=1), survey(SMALL, workers=2), check_exact=True)


class TestUpgrades:
    def test_tiers_share_out_the_links(self) -> None:
        graph = two_hosts()
        found = tiers(sim.compile_fabric(graph))
        assert {name: int(links.sum()) for name, links in found.items()} == {"port": 8, "board": 4}
        graph.edges[0, "switch"]["tier"] = "other port"
        again = tiers(sim.compile_fabric(graph))
        assert again[SCALE_OUT].sum() == 8
        assert SCALE_UP not in again

    def test_changed_leaves_the_fabric_as_it_is(self) -> None:
        fabric = sim.compile_fabric(two_hosts())
        board, port = fabric.link_between(0, 1)[0], fabric.link_between(0, "switch")[0]
        fabric.notes["estimate"] = 1.0
        better = changed(fabric, tiers(fabric)["board"], bandwidth=2, latency=0.5)
        assert better.bandwidth[board] == 200e9
        assert better.latency_ps[board] == 250_000
        assert better.bandwidth[port] == fabric.bandwidth[port]
        assert better.latency_ps[port] == fabric.latency_ps[port]
        assert fabric.bandwidth[board] == 100e9
        assert better.notes == {}

    def test_a_better_fabric_is_the_fabric_of_the_better_graph(self) -> None:
        """The arrays replaced, or the graph's edges: the same run to the picosecond."""
        graph = two_hosts()
        fabric = sim.compile_fabric(graph)
        better = changed(fabric, tiers(fabric)["port"], bandwidth=2, latency=0.5)
        for _, _, attributes in graph.edges(data=True):
            if attributes["tier"] == "port":
                attributes["bandwidth"] = 2 * link_bandwidth(attributes, "port")
                attributes["latency"] = link_latency(attributes, "port") / 2
        for kind in ("all_reduce", "all_to_all"):
            run = sim.collective(kind, fabric, 2.0**20)
            assert run.again(fabric=better).time == sim.collective(kind, graph, 2.0**20).time != run.time

    def test_all_links_without_latency_at_twice_their_bandwidth_halve_the_time(self) -> None:
        """Time is bytes over bandwidth alone, whatever the algorithm: the gain is 2 - 1."""
        table = upgrades(topologies.ring(6, bandwidth="50 GB/s", latency="0 s"), 2.0**30)
        assert best(table, "bandwidth x2")["gain"] == pytest.approx(1.0, abs=1e-6)
        assert best(table, "latency x0.5")["gain"] == pytest.approx(0.0, abs=1e-12)

    def test_next_to_no_bytes_wait_for_latency_alone(self) -> None:
        """Time is a sum of latencies: half of them, half the time."""
        table = upgrades(topologies.ring(6, bandwidth="1e6 GB/s", latency="1 ms"), 8.0)
        assert best(table, "latency x0.5")["gain"] == pytest.approx(1.0, abs=1e-6)
        assert best(table, "bandwidth x2")["gain"] == pytest.approx(0.0, abs=1e-6)

    def test_a_tier_that_carries_nothing_gains_nothing(self) -> None:
        graph = two_hosts()
        graph.add_node("spare", kind="switch")
        graph.add_edge("spare", "switch", bandwidth=25e9, latency=2e-6, tier="spare")
        table = upgrades(graph, 2.0**26)
        assert (table.loc[table["links"] == "spare", "gain"] == 0).all()
        assert best(table, "bandwidth x2")["links"] != "spare"
        assert best(table, "bandwidth x2")["gain"] == table.loc[
            table["single"] & (table["change"] == "bandwidth x2"), "gain"
        ].max()  # fmt: skip

    def test_summary_and_markdown_name_the_tier(self) -> None:
        table = upgrades(two_hosts(), 2.0**26).assign(machine="mine", chips=4)
        rows = domestic_vs_global.summary(table)
        assert rows.loc[0, "bandwidth_tier"] == best(table, "bandwidth x2")["links"]
        assert math.isnan(rows.loc[0, "scale_out_gain"])
        head, rule, line = domestic_vs_global.markdown(rows).splitlines()
        assert head.count("|") == rule.count("|") == line.count("|") == len(domestic_vs_global._HEADS) + 1
        assert f"| {rows.loc[0, 'bandwidth_tier']} |" in line


class TestMeasured:
    def test_rows_are_good_sourced_and_consistent(self) -> None:
        """busbw = bytes / time * 2 (n - 1) / n, to the two digits that sources print."""
        for case in measured_overlay.CASES:
            with case.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert rows
            for row in rows:
                assert (row["quality"], row["collective"]) == ("good", "all_reduce")
                assert row["source"] and int(row["n_ranks"]) == case.chips
                expected = (
                    float(row["message_bytes"]) / float(row["time_us"]) * 1e-3 * 2 * (1 - 1 / case.chips)
                )
                assert float(row["busbw_GBps"]) == pytest.approx(expected, rel=2e-3, abs=0.0051)

    def test_points_are_the_rows_in_si(self) -> None:
        points = measured_overlay.measured()
        assert len(points) == 80
        last = points[points["case"] == "HGX H100 × 8"].iloc[-1]
        assert (last["size"], last["time"]) == (2.0**29, pytest.approx(2111.06e-6))
        assert last["busbw"] == pytest.approx(445.0485e9, rel=1e-6)

    def test_errors_of_a_model_that_is_a_tenth_too_slow(self) -> None:
        compared = pd.DataFrame({"case": ["a", "a", "b"], "size": [8.0, 16.0, 8.0], "ratio": 1.1})
        table = measured_overlay.errors(compared)
        assert table["case"].tolist() == ["a", "b", "all"]
        assert table["points"].tolist() == [2, 1, 3]
        for column in ("median_error", "p90_error", "bias", "worst_error"):
            assert table[column].to_numpy() == pytest.approx(0.1)

    def test_overlay_writes_what_it_prints(self, chipweave: Call, tmp_path: Path) -> None:
        """Polaris alone: the ratio is simulated over measured time, and the summary follows from it."""
        outcome = chipweave("run", "measured_overlay", "-o", tmp_path, "--machines", "polaris", "-q")
        assert outcome.code == 0, outcome.err
        points = pd.read_csv(tmp_path / "measured_overlay-points.csv")
        assert len(points) == 29
        assert points["ratio"].to_numpy() == pytest.approx(
            (points["time"] / points["time_measured"]).to_numpy()
        )
        table = pd.read_csv(tmp_path / "measured_overlay.csv")
        off = (points["ratio"] - 1).abs()
        assert table["median_error"].tolist() == pytest.approx([off.median()] * 2)
        assert table["p90_error"].tolist() == pytest.approx([off.quantile(0.9)] * 2)
        assert f"{off.median():.0%}" in outcome.out
        manifest = json.loads((tmp_path / "measured_overlay.manifest.json").read_text())
        assert [Path(name).name for name in manifest["input_files"]] == ["polaris-32.csv"]


class TestFiles:
    OPTIONS = ("--machines", "metax-c500", "hgx-a100", "--chips", "8,16", "--quiet")

    @pytest.mark.parametrize(
        ("scenario", "figures", "tables"),
        [
            ("allreduce_scaling", ["busbw-1MiB", "efficiency-1MiB"], [".csv"]),
            ("domestic_vs_global", ["1MiB"], [".csv", "-upgrades.csv", "-upgrade-runs.csv", "-upgrades.md"]),
        ],
    )
    def test_are_complete_and_the_same_each_time(
        self, chipweave: Call, tmp_path: Path, scenario: str, figures: list[str], tables: list[str]
    ) -> None:
        for name in ("one", "two"):
            outcome = chipweave("run", scenario, "-o", tmp_path / name, *self.OPTIONS, "--size", "1 MiB")
            assert (outcome.code, outcome.err) == (0, "")
        expected = {f"{scenario}-{figure}{suffix}" for figure in figures for suffix in (".png", ".svg")}
        expected |= {f"{scenario}{table}" for table in tables} | {"index.html"}
        assert {path.name for path in (tmp_path / "one").iterdir()} == expected | {
            f"{scenario}.manifest.json"
        }
        for name in expected:
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
        manifest = json.loads((tmp_path / "one" / f"{scenario}.manifest.json").read_text())
        assert set(manifest["files"]) == expected
        assert manifest["inputs"]["chips"] == [8, 16]

    def test_default_machines_are_in_the_catalogue_and_of_both_families(self) -> None:
        origin = topologies.machines().set_index("name")["origin"]
        for scenario in (allreduce_scaling, domestic_vs_global):
            families = [origin[name] for name in scenario.MACHINES]
            assert min(families.count("domestic"), families.count("global")) >= 4
        assert max(families.count("domestic"), families.count("global")) <= 8
        six = [origin[name] for name in allreduce_scaling.MACHINES]
        assert max(six.count("domestic"), six.count("global")) <= 6


@pytest.mark.parametrize("scenario", ["allreduce_scaling", "domestic_vs_global"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--machines", "hgx-h10"], "hgx-h100"),
        (["--machines", "sophia", "--chips", "1024"], "192"),
        (["--chips", "0"], "--chips"),
        (["--size", "5 s"], "5 s"),
        (["--size", "-1 MiB"], "-1 MiB"),
        (["--sizes", "1 MiB"], "--sizes"),
        (["-o", "/dev/null/results"], "/dev/null"),
    ],
)
def test_mistakes_cost_one_line_and_leave_nothing(
    chipweave: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scenario: str,
    options: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = chipweave("run", scenario, *options)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1 and words in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_overlay_knows_only_what_was_measured(chipweave: Call, tmp_path: Path) -> None:
    outcome = chipweave("run", "measured_overlay", "-o", tmp_path / "out", "--machines", "polari")
    assert outcome.code == 2
    assert "did you mean 'polaris'?" in outcome.err
    assert not (tmp_path / "out").exists()


class TestWireOrAlgorithm:
    def test_a_curve_is_a_machine_with_a_library(self, chipweave: Call, tmp_path: Path) -> None:
        """Each point is what one call gives; the figure and the manifest stand beside the table."""
        done = chipweave(
            "run", "wire_or_algorithm", "-o", str(tmp_path), "--size", "64 MiB", "--chips", "16", "-q"
        )
        assert done.code == 0, done.err
        found = pd.read_csv(tmp_path / "wire_or_algorithm.csv")
        assert found["curve"].tolist() == [
            "Atlas 800T A2, HCCL", "Atlas 800T A2, NCCL", "HGX H100, HCCL", "HGX H100, NCCL",
        ]  # fmt: skip
        for row in found.to_dict("records"):
            graph = topologies.machine(row["machine"], chips=16)
            run = sim.all_reduce(graph, "64 MiB", library=row["library"])
            assert row["time"] == pytest.approx(run.time, rel=1e-11)
            assert row["algorithm"] == run.algorithm
        assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".png", ".svg", ".json", ".html"}


class TestCollectivesTable:
    NAMES = ("full mesh of 8", "ring of 8", "random graph of 20")

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls) -> pd.DataFrame:
        return collectives_table.table(list(cls.NAMES), 2.0**20, workers=1)

    def test_every_algorithm_runs_or_says_why_not(self, found: pd.DataFrame) -> None:
        pairs = [(kind, name) for kind in kinds() for name in sorted(algorithms(kind))]
        for _, part in found.groupby("fabric"):
            rows = zip(part["collective"], part["algorithm"], strict=True)
            assert [pair for pair in rows if ":" not in pair[1]] == pairs
        ran = found["refused"] == ""
        assert (found[ran]["time"] > 0).all()
        assert found[~ran]["refused"].str.contains(r"needs|network|groups|ranks").all()
        assert (found[ran]["lower_bound"] <= found[ran]["time"] * (1 + 1e-9)).all()

    def test_side_by_side_are_the_fabrics_of_the_question(self, found: pd.DataFrame) -> None:
        beside = collectives_table.side_by_side(found)
        assert beside.columns.tolist() == ["collective", "algorithm", *self.NAMES]
        ran = found[found["busbw"] > 0]
        assert len(beside) == ran.groupby(["collective", "algorithm"]).ngroups
        ring = beside[(beside["collective"] == "all_reduce") & (beside["algorithm"] == "ring")]
        same = ran[(ran["collective"] == "all_reduce") & (ran["algorithm"] == "ring")].set_index("fabric")
        for name in self.NAMES:
            assert ring[name].item() == same["busbw"][name] / 1e9

    def test_a_row_is_one_call(self, found: pd.DataFrame) -> None:
        ring = found[(found["fabric"] == "ring of 8") & (found["algorithm"] == "ring")]
        graph = topologies.ring(8, bandwidth="50 GB/s", latency="1 us")
        for row in ring.to_dict("records"):
            run = sim.collective(row["collective"], graph, row["size"], algorithm="ring", library="ideal")
            assert row["time"] == run.time

    def test_the_page_has_a_row_for_every_algorithm(self) -> None:
        """Made by ``chipweave run collectives_table --page docs/collectives.md``."""
        page = Path(collectives_table.__file__).parents[1] / "docs" / "collectives.md"
        block = marked(page.read_text(encoding="utf-8"), collectives_table.MARK)
        assert all(name in block for name in collectives_table.FABRICS)
        for part in block.split("\n\n**")[0:]:
            kind = part.strip().lstrip("*").partition("**")[0].replace("-", "_")
            rows = {line.split("`")[1] for line in part.splitlines() if line.startswith("| `")}
            if rows:
                there = rows - {*collectives_table.LEVELS.get(kind, ())}
                assert there == set(algorithms(kind)), "chipweave run collectives_table --page makes it anew"
        assert sum(f"**{kind.replace('_', '-')}**," in block for kind in kinds()) == len(kinds())

    def test_figures_on_the_page_are_those_of_today(self, found: pd.DataFrame) -> None:
        """A small part made anew: the full mesh and the ring at the page's size."""
        page = Path(collectives_table.__file__).parents[1] / "docs" / "collectives.md"
        block = marked(page.read_text(encoding="utf-8"), collectives_table.MARK)
        fresh = collectives_table.markdown(
            collectives_table.table(["full mesh of 8", "ring of 8"], 2.0**28, workers=1)
        )
        for line in fresh.splitlines():
            if line.startswith("| `"):
                cells = line.split(" | ")[:3]
                assert any(row.startswith(" | ".join(cells).rstrip(" |")) for row in block.splitlines()), line

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--fabrics", "ring of 9"], "ring of 8"),
            (["--size", "1 mile"], "--size"),
            (["--fabrics", "ring of 8", "--size", "8 B", "--page", "README.md"], "marks"),
        ],
    )
    def test_mistakes_are_one_line(
        self,
        chipweave: Call,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
        says: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "README.md").write_text("nothing here")
        done = chipweave("run", "collectives_table", "-o", "out", "-q", *arguments)
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert says in done.err


def test_the_main_job_is_three_scenarios_each_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which scenarios, with which options: what they do themselves is tested above."""
    asked: list[list[str]] = []
    for module in (allreduce_scaling, domestic_vs_global, measured_overlay):
        monkeypatch.setattr(module, "main", asked.append)
    assert demo.main(["-o", str(tmp_path), "-q"]) == 0
    assert asked == [["-o", str(tmp_path / name), "-q"] for name in demo.NAMES]
    with pytest.raises(OutputError):
        demo.main(["-o", "/proc/nowhere"])
