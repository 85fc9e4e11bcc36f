"""The command line: what it prints, and that every mistake ends in one line and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import sim
import topologies
from scenarios import cli
from scenarios.commands.options import chip_counts

GOOD = {"bandwidth": 50e9, "latency": 1e-6}
Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plain_ring(chips: int = 4, **link: object) -> nx.Graph[Any]:
    """A user's own graph: kind, bandwidth, latency and nothing else."""
    graph: nx.Graph[Any] = nx.Graph()
    graph.add_nodes_from(range(chips), kind="chip")
    graph.add_edges_from(((chip, (chip + 1) % chips) for chip in range(chips)), **(GOOD | link))
    return graph


def faulty(fault: str) -> nx.Graph[Any]:
    graph = plain_ring(4)
    if fault == "no chips":
        nx.set_node_attributes(graph, "switch", "kind")
    elif fault == "unreachable":
        graph.remove_edges_from([(0, 1), (2, 3)])
    elif fault == "zero bandwidth":
        graph[1][2]["bandwidth"] = 0.0
    elif fault == "missing bandwidth":
        del graph[1][2]["bandwidth"]
    elif fault == "missing latency":
        del graph[1][2]["latency"]
    elif fault == "negative latency":
        graph[1][2]["latency"] = -1e-6
    elif fault == "unit missing":
        nx.set_edge_attributes(graph, "400 G", "bandwidth")
    elif fault == "unit of another kind":
        nx.set_edge_attributes(graph, "5 s", "bandwidth")
    elif fault == "unknown kind":
        graph.nodes[2]["kind"] = "chp"
    elif fault == "self-loop":
        graph.add_edge(3, 3, **GOOD)
    return graph


#: What a fault's complaint must name.
FAULTS = {
    "no chips": "chip",
    "unreachable": "reach",
    "zero bandwidth": "bandwidth",
    "missing bandwidth": "bandwidth",
    "missing latency": "latency",
    "negative latency": "latency",
    "unit missing": "400 G",
    "unit of another kind": "5 s",
    "unknown kind": "chp",
    "self-loop": "3",
}


def refused(outcome: Any, folder: Path, before: set[Path]) -> str:
    """Assert exit code 2, nothing on stdout, one line on stderr, no new file; give the line."""
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("chipweave: error: ")
    assert set(folder.rglob("*")) == before
    return str(lines[0])


class TestMistakes:
    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("command", [["bench", "--json", "x.json"], ["topo", "check"]])
    def test_a_graph_that_breaks_the_contract(
        self, chipweave: Call, tmp_path: Path, fault: str, command: list[str]
    ) -> None:
        nx.write_graphml(faulty(fault), "graph.graphml")
        before = set(tmp_path.rglob("*"))
        outcome = (
            chipweave(*command[:1], *command[1:2], "graph.graphml")
            if command[0] == "topo"
            else (chipweave("bench", "graph.graphml", *command[1:]))
        )
        assert FAULTS[fault] in refused(outcome, tmp_path, before)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            # units
            (["scaling", "hgx-h100", "--size", "400 G", "-o", "out"], "400 G"),
            (["scaling", "hgx-h100", "--size", "5 s", "-o", "out"], "5 s"),
            (["scaling", "hgx-h100", "--size", "-1 MiB", "-o", "out"], "-1 MiB"),
            (["scaling", "hgx-h100", "--size", "nan", "-o", "out"], "nan"),
            (["bench", "hgx-h100", "-b", "5 s"], "5 s"),
            (["bench", "hgx-h100", "-e", "-8"], "-8"),
            (["bench", "hgx-h100", "-b", "1M", "-e", "1K"], "sizes must begin"),
            (["bench", "hgx-h100", "-f", "1"], "factor"),
            (["bench", "hgx-h100", "-f", "inf"], "factor"),
            (["bench", "hgx-h100", "-f", "1.0000001"], "sizes"),
            # ranks and chips
            (["bench", "hgx-h100", "--ranks", "0,1,1"], "twice"),
            (["bench", "ring.graphml", "--ranks", "0,99"], "99"),
            (["bench", "ring.graphml", "--ranks", "a"], "'a'"),
            (["bench", "ring.graphml", "--ranks", "0:9999999999999"], "9999999999999"),
            (["bench", "ring.graphml", "--chips", "99999999999999999999"], "has no more"),
            (["bench", "ring.graphml", "--chips", "5"], "4"),
            (["bench", "ring.graphml", "--chips", "2", "--ranks", "0,1"], "--ranks"),
            (["bench", "hgx-h100", "--chips", "0"], "'0'"),
            (["bench", "hgx-h100", "--chips", "many"], "'many'"),
            (["bench", "hgx-h100", "--chips", "1000000000"], "1000000000"),
            (["scaling", "hgx-h100", "--chips", "64:8", "-o", "out"], "64:8"),
            (["topo", "export", "hgx-h100", "--chips", "1000000000", "-o", "x.graphml"], "1000000000"),
            # names, with the nearest
            (["bench", "hgx-h10"], "hgx-h100"),
            (["scaling", "atlas-800t", "-o", "out"], "atlas-800"),
            (["topo", "show", "hgx-h10"], "hgx-h100"),
            (["bench", "ring.graphml", "--algorithm", "rong"], "ring"),
            (["bench", "ring.graphml", "-c", "all_redcue"], "all_reduce"),
            (["bench", "ring.graphml", "--library", "ncc"], "nccl"),
            (["bench", "ring.graphml", "--network", "flud"], "fluid"),
            (["bench", "ring.graphml", "--library", "nccl", "--protocol", "ll12"], "ll128"),
            (["run", "allreduce_scalin"], "allreduce_scaling"),
            (["bench", "ring.graphml", "--library", ""], "hccl"),
            (["scaling", "ring.graphml", "-o", "out"], "bench takes graphs"),
            # an algorithm that cannot serve these ranks
            (["bench", "ring3.graphml", "-c", "all_gather", "--algorithm", "swing"], "3"),
            # files
            (["bench", "gone.graphml"], "gone.graphml"),
            (["bench", "gone.toml"], "gone.toml"),
            (["bench", "cut.graphml"], "cut.graphml"),
            (["bench", "cut.json"], "cut.json"),
            (["bench", "cut.toml"], "cut.toml"),
            (["bench", "noise.txt"], "noise.txt"),
            (["topo", "check", "cut.graphml"], "cut.graphml"),
            (["run", "gone.py"], "gone.py"),
            (["run", "empty.py"], "main"),
            (["run", "cut.py"], "line 1"),
            (["bench", "ages.graphml"], "53 days"),
            # places that cannot be written
            (["scaling", "hgx-h100", "--chips", "8", "-o", "noise.txt/out"], "noise.txt"),
            (["bench", "ring.graphml", "--json", "noise.txt/x.json"], "noise.txt"),
            (["topo", "draw", "ring.graphml", "-o", "noise.txt/x.png"], "noise.txt"),
            (["bench", "ring.graphml", "--json", "folder"], "folder"),
            (["topo", "draw", "ring.graphml", "-o", "x.docx"], ".docx"),
            (["topo", "draw", "ring.graphml", "-o", "/proc/x.png"], "/proc"),
            (["topo", "export", "ring.graphml", "-o", "noise.txt/x.json"], "noise.txt"),
            (["topo", "export", "ring.graphml", "-o", "x.docx"], ".docx"),
            # words that mean nothing
            (["bonch"], "bonch"),
            (["bench"], "MACHINE|GRAPH"),
            (["bench", "hgx-h100", "--sizes", "8"], "--sizes"),
            (["topo"], "command"),
        ],
    )
    def test_one_line_and_no_file(
        self, chipweave: Call, tmp_path: Path, arguments: list[str], says: str
    ) -> None:
        nx.write_graphml(plain_ring(), "ring.graphml")
        nx.write_graphml(plain_ring(3), "ring3.graphml")
        whole = Path("ring.graphml").read_text()
        Path("cut.graphml").write_text(whole[: len(whole) // 2])
        Path("cut.json").write_text('{"nodes": [{"id": 0')
        Path("cut.toml").write_text("name = ")
        Path("noise.txt").write_bytes(bytes(range(256)))
        nx.write_graphml(plain_ring(latency=4e9), "ages.graphml")
        Path("empty.py").write_text("")
        Path("cut.py").write_text("def main(:")
        Path("folder").mkdir()
        before = set(tmp_path.rglob("*"))
        assert says in refused(chipweave(*arguments), tmp_path, before)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "arguments",
        [
            ["topo", "draw", "hgx-h100", "-o", "x.png"],
            ["topo", "export", "hgx-h100", "-o", "x.json"],
            ["bench", "ring.graphml", "-e", "8", "--json", "x.json"],
            ["scaling", "hgx-h100", "--chips", "8", "--size", "1MiB", "--quiet", "-o", "."],
        ],
    )
    def test_a_disk_that_fills_up_leaves_no_half_a_file(self, tmp_path: Path, arguments: list[str]) -> None:
        """A file may have 64 bytes, so that every write stops in the middle.

        What simulates has done so before: the compiler's cache must not meet the limit.
        """
        nx.write_graphml(plain_ring(), "ring.graphml")
        before = set(tmp_path.rglob("*"))
        call = (
            "import resource, signal, sys; from scenarios.cli import main;"
            "sys.argv[1] == 'topo' or main(sys.argv[1:-2]);"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)); sys.exit(main())"
        )
        done = subprocess.run(
            [sys.executable, "-B", "-c", call, *arguments], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent)},
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert done.stderr.splitlines()[-1].startswith("chipweave: error: cannot write ")
        assert "x." in done.stderr or "scaling.csv" in done.stderr
        assert f"/.{os.getpid()}" not in done.stderr
        assert set(tmp_path.rglob("*")) == before

    def test_a_bug_shows_its_traceback(self, chipweave: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(topologies, "machines", broken, raising=False)
        with pytest.raises(ZeroDivisionError):
            chipweave("topo", "list")

    def test_interrupted_says_so(self, chipweave: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        def waiting(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(sim, "collective", waiting)
        nx.write_graphml(plain_ring(), "ring.graphml")
        outcome = chipweave("bench", "ring.graphml")
        assert (outcome.code, outcome.err) == (130, "chipweave: error: interrupted\n")

    def test_installed_command_gives_the_exit_code_to_the_shell(self) -> None:
        call = "import sys; from scenarios.cli import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", call, "run", "nonsense"],
            capture_output=True, text=True, check=False, cwd=Path(cli.__file__).parent.parent,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.startswith("chipweave: error: unknown scenario 'nonsense'")
        assert done.stderr.count("\n") == 1


def table(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines() if not line.startswith("#")]


class TestBench:
    def test_a_graph_with_just_kind_bandwidth_latency(self, chipweave: Call) -> None:
        """Ring all-reduce of n bytes over p chips, ideal library: 2 (p-1) (latency + n / p / bandwidth)."""
        nx.write_graphml(plain_ring(), "ring.graphml")
        outcome = chipweave(
            "bench", "ring.graphml", "-b", "1M", "-e", "4M", "--algorithm", "ring", "--library", "ideal"
        )
        assert outcome.code == 0, outcome.err
        rows = table(outcome.out)
        assert [int(row[0]) for row in rows] == [2**20, 2**21, 2**22]
        for row in rows:
            seconds = 6 * (1e-6 + int(row[0]) / 4 / 50e9)
            for half in (row[5:9], row[9:13]):
                assert float(half[0]) == pytest.approx(seconds * 1e6, abs=0.0051)
                assert float(half[1]) == pytest.approx(int(row[0]) / seconds / 1e9, abs=0.0051)
                assert float(half[2]) == pytest.approx(1.5 * int(row[0]) / seconds / 1e9, abs=0.0051)
        last = outcome.out.splitlines()[-1]
        mean = sum(float(row[7]) for row in rows) / len(rows)
        assert last.startswith("# Avg bus bandwidth    : ")
        assert float(last.split(":")[1]) == pytest.approx(mean, abs=0.006)

    @pytest.mark.parametrize("units", [False, True])
    def test_any_kind_of_graph_with_chips_that_forward(self, chipweave: Call, units: bool) -> None:
        """A ring of 4 by ring: 6 (latency + n/4 / bandwidth), one way or both, with parallel links or not.

        On a line the step from the last to the first passes all 3 links, in the direction
        that nobody else uses: 6 (3 latency + n/4 / bandwidth).
        """
        link = {"bandwidth": "400 Gbit/s", "latency": "1 us"} if units else GOOD
        ring = [(chip, (chip + 1) % 4) for chip in range(4)]
        for name, kind, edges, hops in (
            ("undirected", nx.Graph, ring, 1),
            ("one way", nx.DiGraph, ring, 1),
            ("parallel", nx.MultiGraph, ring * 2, 1),
            ("parallel one way", nx.MultiDiGraph, ring * 2, 1),
            ("line", nx.Graph, ring[:3], 3),
        ):
            graph = kind()
            graph.add_nodes_from(range(4), kind="chip")
            graph.add_edges_from(edges, **link)
            nx.write_graphml(graph, "own.graphml")
            outcome = chipweave("bench", "own.graphml", "-b", "1M", "-e", "1M", "--algorithm", "ring")
            assert outcome.code == 0, (name, outcome.err)
            seconds = 6 * (hops * 1e-6 + 2**18 / 50e9)
            assert float(table(outcome.out)[0][5]) == pytest.approx(seconds * 1e6, abs=0.0051), name

    def test_chips_that_take_no_part_need_not_be_reached(self, chipweave: Call) -> None:
        graph = plain_ring()
        graph.add_node("spare", kind="chip")
        nx.write_graphml(graph, "own.graphml")
        assert "'spare'" in chipweave("bench", "own.graphml", "-e", "8").err
        whole = chipweave("bench", "own.graphml", "-e", "1K", "--ranks", "0:4")
        assert whole.code == 0, whole.err
        assert whole.out == chipweave("bench", "own.graphml", "-e", "1K", "--chips", "4").out
        assert "'spare'" in chipweave("bench", "own.graphml", "-e", "8", "--ranks", "0,4").err

    def test_one_chip_alone_needs_no_time(self, chipweave: Call) -> None:
        graph: nx.Graph[Any] = nx.Graph()
        graph.add_node("chip", kind="chip")
        nx.write_graphml(graph, "one.graphml")
        outcome = chipweave("bench", "one.graphml", "-b", "1K", "-e", "1K", "--json", "one.json")
        assert outcome.code == 0, outcome.err
        assert [float(x) for x in table(outcome.out)[0][5:8]] == [0, 0, 0]
        json.loads(Path("one.json").read_text(), parse_constant=pytest.fail)

    def test_fewer_chips_and_named_ranks_are_the_same(self, chipweave: Call) -> None:
        topologies.write(topologies.full_mesh(6, **GOOD), "mesh.json")
        few = chipweave("bench", "mesh.json", "-e", "1K", "--chips", 3)
        named = chipweave("bench", "mesh.json", "-e", "1K", "--ranks", "0:3")
        assert few.code == named.code == 0
        assert few.out == named.out

    def test_sizes_too_small_for_their_parts_are_said(self, chipweave: Call) -> None:
        nx.write_graphml(plain_ring(), "ring.graphml")
        outcome = chipweave("bench", "ring.graphml", "-c", "all_gather", "-e", "128")
        assert [row[:2] for row in table(outcome.out)] == [["64", "4"], ["128", "8"]]
        assert "# Sizes up to 32 are too small for 4 parts and left out" in outcome.out.splitlines()

    def test_json_says_the_same_and_has_its_manifest(self, chipweave: Call) -> None:
        nx.write_graphml(plain_ring(), "ring.graphml")
        first = chipweave("bench", "ring.graphml", "-e", "64", "--json", "a/x.json", "--seed", 3)
        content = Path("a/x.json").read_bytes()
        again = chipweave("bench", "ring.graphml", "-e", "64", "--json", "a/x.json", "--seed", 3)
        assert first == again
        assert content == Path("a/x.json").read_bytes()
        rows = json.loads(content)["results"]
        assert [str(row["size"]) for row in rows] == [row[0] for row in table(first.out)]
        manifest = json.loads(Path("a/x.json.manifest.json").read_text())
        assert manifest["seed"] == 3
        assert list(manifest["input_files"]) == ["ring.graphml"]

    def test_a_machine_of_the_catalogue(self, chipweave: Call) -> None:
        outcome = chipweave("bench", "hgx-h100", "--chips", 8, "-b", "1G", "-e", "1G")
        assert outcome.code == 0, outcome.err
        # Eight H100 reach 360 to 490 GB/s of bus bandwidth: less than the 450 GB/s
        # of their NVLinks by protocol, more by NVLS.
        assert 200 < float(table(outcome.out)[0][7]) < 500


class TestScaling:
    ARGUMENTS = ("scaling", "hgx-h100", "atlas-800t-a2", "--chips", "8:16", "--size", "1MiB", "--quiet")

    def test_same_bytes_twice(self, chipweave: Call) -> None:
        written = []
        for folder in ("one", "two"):
            outcome = chipweave(*self.ARGUMENTS, "-o", folder)
            assert outcome.code == 0, outcome.err
            assert outcome.err == ""
            written.append((outcome.out, Path(folder, "scaling.csv").read_bytes()))
            assert Path(folder, "scaling.manifest.json").is_file()
        assert written[0] == written[1]

    @pytest.mark.parametrize(
        ("options", "figures"),
        [
            ((), {"scaling-1MiB"}),
            (("--size", "2MiB"), {"scaling-1MiB", "scaling-2MiB"}),
            (("--size", "2MiB", "--chips", "8"), {"busbw"}),
            (("--chips", "8"), set()),
        ],
    )
    def test_figures_and_a_page(self, chipweave: Call, options: tuple[str, ...], figures: set[str]) -> None:
        """Over chips for each size; over sizes at one number of chips; none of a single point."""
        outcome = chipweave(*self.ARGUMENTS, *options, "-o", "out")
        assert outcome.code == 0, outcome.err
        assert {path.stem for path in Path("out").glob("*.svg")} == figures
        assert {path.stem for path in Path("out").glob("*.png")} == figures
        page = Path("out", "index.html").read_text(encoding="utf-8")
        assert page.count("Bounded by") == 2
        assert page.count("<img ") == len(figures)

    def test_one_row_a_point(self, chipweave: Call) -> None:
        rows = json.loads(chipweave(*self.ARGUMENTS, "--json").out)
        assert [(row["machine"], row["chips"]) for row in rows] == [
            (machine, chips) for machine in ("hgx-h100", "atlas-800t-a2") for chips in (8, 16)
        ]
        assert all(0 < row["efficiency"] <= 1 for row in rows)

    def test_chips_double(self) -> None:
        assert chip_counts("8:16384") == [2**power for power in range(3, 15)]


class TestTopo:
    def test_list_names_the_machines(self, chipweave: Call) -> None:
        shown = chipweave("topo", "list").out
        listed = json.loads(chipweave("topo", "list", "--json").out)
        assert {row["name"] for row in listed} >= {"hgx-h100", "cloudmatrix384", "tpu-v4"}
        assert all(row["name"] in shown for row in listed)

    def test_show_counts_nodes_and_links(self, chipweave: Call) -> None:
        nx.write_graphml(plain_ring(bandwidth=25e9), "ring.graphml")
        shown = json.loads(chipweave("topo", "show", "ring.graphml", "--json").out)
        assert shown["nodes"] == {"chip": 4}
        assert shown["links"] == [{"tier": "link", "number": 4, "bandwidth": 25e9, "latency": 1e-6}]
        text = chipweave("topo", "show", "ring.graphml").out
        assert "4 chip" in text
        assert "25 GB/s" in text

    def test_show_gives_every_figure_of_a_machine_its_evidence(self, chipweave: Call) -> None:
        shown = json.loads(chipweave("topo", "show", "hgx-h100", "--json").out)
        assert shown["nodes"]["chip"] == 8
        assert {row["evidence"] for row in shown["figures"]} <= {"measured", "vendor", "derived", "assumed"}
        assert all(row["source"] and row["value"] for row in shown["figures"])
        text = chipweave("topo", "show", "hgx-h100").out
        assert all(row["source"] in text for row in shown["figures"])

    @pytest.mark.parametrize("suffix", [".graphml", ".json"])
    def test_exported_machine_is_the_machine(self, chipweave: Call, suffix: str) -> None:
        assert chipweave("topo", "export", "hgx-h100", "--chips", 16, "-o", f"x{suffix}").code == 0
        assert Path(f"x{suffix}.manifest.json").is_file()
        there, here = topologies.read(f"x{suffix}"), topologies.machine("hgx-h100", chips=16)
        assert list(there.nodes) == list(here.nodes)
        assert sorted(map(str, there.edges)) == sorted(map(str, here.edges))
        assert chipweave("topo", "check", f"x{suffix}").out.startswith(f"x{suffix}: good; 16 chips")

    def test_draw_writes_a_picture(self, chipweave: Call) -> None:
        nx.write_graphml(plain_ring(), "ring.graphml")
        for _ in range(2):
            assert chipweave("topo", "draw", "ring.graphml", "-o", "ring.png").code == 0
        assert Path("ring.png").read_bytes().startswith(b"\x89PNG")
        assert sorted(path.name for path in Path().iterdir()) == [
            "ring.graphml", "ring.png", "ring.png.manifest.json",
        ]  # fmt: skip


class TestRun:
    def test_alone_lists_the_scenarios(self, chipweave: Call) -> None:
        listed = chipweave("run").out.splitlines()
        assert [line.split()[0] for line in listed] == sorted(line.split()[0] for line in listed)
        assert {"allreduce_scaling", "domestic_vs_global", "measured_overlay"} <= {
            line.split()[0] for line in listed
        }
        assert all(len(line.split()) > 1 for line in listed)

    def test_a_script_by_its_path_gets_its_own_options(self, chipweave: Call) -> None:
        Path("mine.py").write_text(
            '"""Mine."""\ndef main(argv):\n    print(argv)\n    return 3 if "--fail" in argv else None\n'
        )
        outcome = chipweave("run", "mine.py", "--help", "-o", "out", "x")
        assert (outcome.code, outcome.out) == (0, "['--help', '-o', 'out', 'x']\n")
        assert chipweave("run", "mine.py", "--fail").code == 3

    def test_help_of_a_scenario_is_its_own(self, chipweave: Call) -> None:
        outcome = chipweave("run", "allreduce_scaling", "--help")
        assert outcome.code == 0
        assert "--machines" in outcome.out


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_every_command(chipweave: Call, arguments: tuple[str, ...]) -> None:
    outcome = chipweave(*arguments)
    assert outcome.code == 0
    for command in ("scaling", "bench", "topo", "run"):
        assert f"\n  {command} " in outcome.out


def test_version(chipweave: Call) -> None:
    assert chipweave("--version").out == f"chipweave {cli.__version__}\n"
