"""Sweep files: which points they mean, and that every fault is found before anything runs."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
import topologies
from scenarios.sweep.meaning import known_keys
from scenarios.sweep.point import Cluster, Point
from scenarios.sweep.specification import parse
from topologies.errors import CapacityError, ChipweaveError, FormatError

GRID = """
[sweep]
machine = ["atlas-800t-a2", "hgx-h100"]
chips = [8, 16]
size = ["1 MiB", "1 GiB"]
algorithm = ["auto", "ring"]
"""


def point(text: str) -> Point:
    (found,) = parse(text).points
    return found


def test_a_grid_is_the_product_of_its_lists() -> None:
    points = parse(GRID).points
    found = {
        (p.cluster.machine, p.cluster.chips, p.size, p.arguments.get("algorithm", "auto")) for p in points
    }
    assert len(points) == len(found) == 2**4
    assert ("hgx-h100", 16, 2.0**30, "ring") in found


def test_every_argument_of_collective_and_machine_is_a_key() -> None:
    asked = {*inspect.signature(sim.collective).parameters, *inspect.signature(topologies.machine).parameters}
    asked -= {"kind", "graph", "options", "name_or_description", "recorder"}
    assert asked | {"collective", "machine"} <= known_keys()


def test_texts_that_double() -> None:
    points = parse('[sweep]\nmachine = "hgx-h100"\nchips = "8:65"\nsize = "1 KiB:16 GiB"').points
    assert sorted({p.cluster.chips for p in points}) == [8, 16, 32, 64]
    assert sorted({p.size for p in points}) == [2.0**k for k in range(10, 35)]


def test_chips_that_are_not_given_are_those_of_a_host() -> None:
    assert point('[sweep]\nmachine = "hgx-h100"\nsize = 8').cluster.chips == 8


def test_a_changed_link_makes_points_only_of_machines_that_have_it() -> None:
    """Two values of a tier of one of two machines: 2 x 8 points there, 8 of the other."""
    points = parse(GRID + '[sweep.link.roce-200g]\nbandwidth = ["x1", "50 GB/s"]').points
    by = {m: [p for p in points if p.cluster.machine == m] for m in ("atlas-800t-a2", "hgx-h100")}
    assert {m: len(p) for m, p in by.items()} == {"atlas-800t-a2": 16, "hgx-h100": 8}
    values = {p.cluster.changed["roce-200g"]["bandwidth"] for p in by["atlas-800t-a2"]}
    assert values == {25e9, 50e9}  # factors are resolved: a table holds bytes/s
    assert all(not p.cluster.link for p in by["hgx-h100"])


def test_an_option_makes_points_only_of_algorithms_that_take_it() -> None:
    text = GRID.replace('"auto"', '"pipeline"') + "root = [0, 1]"
    with pytest.raises(FormatError, match=r"sweep\.root: no algorithm of the sweep takes this option"):
        parse(text)
    text = '[sweep]\nmachine="hgx-h100"\nsize=8\nalgorithm="binomial"\nroot=[0,1]\n'
    text += 'collective=["broadcast", "all_reduce"]'
    points = parse(text).points
    assert sorted((p.collective, p.arguments.get("root")) for p in points if p.collective == "broadcast") == [
        ("broadcast", 0), ("broadcast", 1)
    ]  # fmt: skip
    assert [p.arguments.get("root") for p in points if p.collective == "all_reduce"] == [None]


def test_a_description_lies_beside_the_file(tmp_path: Path) -> None:
    source = Path(topologies.__file__).parent / "catalog" / "hgx-h100.toml"
    (tmp_path / "mine.toml").write_text(source.read_text().replace('name = "hgx-h100"', 'name = "mine"'))
    asked = parse('[sweep]\nmachine = "mine.toml"\nsize = 8', folder=tmp_path)
    assert asked.points[0].cluster.machine == "mine"


def test_points_one_by_one_join_the_grid_and_none_counts_twice() -> None:
    one = '[[point]]\nmachine = "hgx-h100"\nchips = 16\nsize = "1 GiB"\nalgorithm = "ring"\n'
    assert len(parse(GRID + one).points) == 16
    assert len(parse(GRID + one + "seed = 1").points) == 17
    alone = point(one + 'link.nvlink4 = { bandwidth = "x2", efficiency = 0.9 }')
    assert alone.cluster.changed == {"nvlink4": {"bandwidth": 9e11, "efficiency": 0.9}}


def test_random_points_are_the_same_for_the_same_seed_and_within_their_ranges() -> None:
    text = GRID.replace('["1 MiB", "1 GiB"]', '{ low = "1 KiB", high = "1 GiB" }') + (
        '[sweep.link.hccs]\nbandwidth = { low = "x0.5", high = "x2" }\n'
        "efficiency = { low = 0.5, high = 0.9 }\n[sweep.random]\ncount = 200\nseed = "
    )
    first, again, other = (parse(text + seed).points for seed in "778")
    assert first == again != other
    assert len(first) == 200
    assert all(1024 <= p.size <= 2**30 and p.size == round(p.size) for p in first)
    below = sum(p.size < 2**20 for p in first) / 200  # half of the doublings
    assert abs(below - 0.5) < 0.12
    links = [p.cluster.changed["hccs"] for p in first if p.cluster.link]
    assert all(14e9 <= l["bandwidth"] <= 56e9 and 0.5 <= l["efficiency"] <= 0.9 for l in links)
    assert len({l["bandwidth"] for l in links}) == len(links) > 50


def test_more_random_points_than_there_are_is_all_of_them() -> None:
    assert len(parse(GRID + "[sweep.random]\ncount = 1000\nseed = 1").points) == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "s.toml: no TOML: "),
        ("", "s.toml: nothing to run"),
        ("[sweeps]\nsize = 1", "s.toml: sweeps: unknown table"),
        ("sweep = 3", "s.toml: sweep: must be one table"),
        ("point = 3", "s.toml: point: must be a list of tables"),
        ("[sweep]\nsize = 1", "s.toml: sweep.machine is missing"),
        (GRID + "chanels = 2", "s.toml: sweep.chanels: unknown key 'chanels'; did you mean 'channels'"),
        (GRID.replace("8, 16", "8, 0"), "sweep.chips[1] (=0) must be"),
        (GRID.replace("8, 16", "8, true"), "sweep.chips[1] (=True) must be"),
        (GRID.replace("[8, 16]", "'64:8'"), "sweep.chips (='64:8') must rise"),
        (GRID.replace("[8, 16]", "[]"), "sweep.chips (=[]) must have at least one"),
        (GRID.replace("1 MiB", "5 s"), "sweep.size[0] (='5 s') is not a size"),
        (GRID.replace('"auto"', '"rng"'), "sweep.algorithm: unknown algorithm of all_reduce 'rng'; did"),
        (GRID.replace('"auto"', '"a.xml"'), "sweep.algorithm: 'a.xml' is a file; a sweep takes"),
        (GRID.replace("hgx-h100", "hgx-h10"), "sweep.machine[1]: unknown machine 'hgx-h10'; did you mean"),
        (GRID.replace("hgx-h100", "no.toml"), "sweep.machine[1]: no.toml: cannot be read"),
        (GRID + 'collective = "allreduce"', "sweep.collective: unknown collective 'allreduce'"),
        (GRID + 'protocol = "lx"', "sweep.protocol: unknown protocol of hccl 'lx'"),
        (GRID + 'library = "nccll"', "sweep.library: unknown library 'nccll'; did you mean 'nccl'"),
        (GRID + 'network = "fluit"', "sweep.network: unknown network 'fluit'"),
        (GRID + 'routing = "up"', "sweep.routing: unknown routing 'up'"),
        (GRID + 'estimate = ["low", "hi"]', "sweep.estimate[1]: unknown estimate 'hi'"),
        (GRID + "fast_forward = 1", "sweep.fast_forward (=1) must be true or false"),
        (GRID + "ranks = [8, [0, -1]]", "sweep.ranks[1][1] (=-1) must be"),
        (GRID + "channels = nan", "sweep.channels (=nan) must be finite"),
        (GRID + "seed = 1979-05-27", "sweep.seed (=datetime.date(1979, 5, 27)) must be a whole number"),
        (GRID + "[sweep.link.roce]\nbandwidth = 1", "sweep.link.roce: unknown tier 'roce'; "),
        (GRID + "[sweep.link.hccs]\nspeed = 1", "sweep.link.hccs.speed: unknown figure of a link 'speed'"),
        (GRID + "[sweep.link.hccs]\nbandwidth = ['x1', '5 GB']", "hccs.bandwidth[1] (='5 GB') is not"),
        (GRID + "[sweep.link.hccs]\nlatency = '1'", "sweep.link.hccs.latency (='1') has no unit"),
        (GRID + "[sweep.link]\nhccs = 3", "sweep.link.hccs: must be a table"),
        (GRID + "link = 3", "sweep.link: must be tables by tier"),
        (GRID.replace("[8, 16]", "{ low = 8, high = 64 }"), "sweep.chips: a range needs [sweep.random]"),
        (GRID + "[sweep.random]\nseed = 1", "sweep.random.count is missing"),
        (GRID + "[sweep.random]\ncount = 1", "sweep.random.seed is missing"),
        (GRID + "[sweep.random]\ncount = 0\nseed = 1", "sweep.random.count (=0) is none"),
        (GRID + "[sweep.random]\ncount = 1\nseed = 1\nsize = 2", "sweep.random.size: unknown key"),
        (GRID + "random = 5", "sweep.random: must be a table"),
        (GRID + "channels = { low = 1, high = 2 }\n[sweep.random]\ncount=1\nseed=1", "channels has no range"),
        (GRID + "[sweep.link.nvlink4]\nefficiency = 'x2'", "would be 1.64 (x2 of 0.82)"),
        ('[[point]]\nmachine = "hgx-h100"\nsize = 8\nlink.hccs.latency = 1', "point[0].link.hccs: unknown"),
        ('[[point]]\nmachine = "hgx-h100"\nsize = [8]', "point[0].size (=[8]) is not a number"),
        ('[[point]]\nmachine = "hgx-h100"', "point[0].size is missing"),
    ],
)  # fmt: skip
def test_every_fault_names_its_key_and_its_value(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(text, "s.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("s.toml: ")
    assert "\n" not in str(caught.value)


def test_several_faults_are_counted() -> None:
    with pytest.raises(FormatError, match=r"chips\[1\].* \(and 2 more faults\)$"):
        parse(GRID.replace("8, 16", "8, 0").replace("1 GiB", "1 s") + "seed = -1")


def test_more_points_than_memory_holds_are_refused_before_they_are_made() -> None:
    seeds = list(range(10_000))
    with pytest.raises(CapacityError, match="250,000,000 points"):
        parse(f'[sweep]\nmachine = "hgx-h100"\nchips = {[8] * 2500}\nsize = [1{",1" * 9}]\nseed = {seeds}')


leaves = st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | st.text(max_size=8)
trees = st.recursive(
    leaves, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3)
)


@given(st.dictionaries(st.sampled_from(sorted(known_keys() | {"link", "random", "x"})), trees, max_size=4))
def test_no_value_of_any_key_breaks_the_reader(table: dict[str, Any]) -> None:
    """Whatever TOML can hold is a list of points or one line."""
    from scenarios.sweep.specification import _Reading

    content = {"sweep": {"machine": "hgx-h100", "size": 8, **table}}
    try:
        found = _Reading("s.toml", Path()).specification(content, "")
    except ChipweaveError as error:
        assert "\n" not in str(error) or any("\n" in str(x) for x in table.values())
    else:
        assert all(p.key("m") for p in found.points)


def test_a_default_that_is_spelled_out_is_the_same_run() -> None:
    spelled = "[sweep]\nmachine = 'hgx-h100'\nsize = '8 MiB'\n"
    same = spelled + "chips = 8\nalgorithm = 'auto'\nestimate = 'nominal'\nnetwork = 'fluid'\nseed = 0"
    assert point(spelled).key("m") == point(same.replace("8 MiB", "8388608")).key("m")


@pytest.mark.parametrize(
    "other", ["chips = 16", "algorithm = 'ring'", "estimate = 'low'", "seed = 1", "scale_out = true",
              "library = 'ideal'", "ranks = 4", "channels = 2", "collective = 'all_gather'",
              "link.nvlink4.bandwidth = 'x1'", "link.nvlink4.bandwidth = 'x2'"],
)  # fmt: skip
def test_any_other_input_is_another_run(other: str) -> None:
    base = "[sweep]\nmachine = 'hgx-h100'\nsize = '8 MiB'\n"
    assert point(base).key("m") != point(base + other).key("m")


def test_a_figure_of_the_machine_or_the_model_makes_another_run_but_a_title_does_not(tmp_path: Path) -> None:
    text = (Path(topologies.__file__).parent / "catalog" / "hgx-h100.toml").read_text()

    def key(content: str, model: str = "m") -> str:
        (tmp_path / "mine.toml").write_text(content)
        return parse('[sweep]\nmachine = "mine.toml"\nsize = 8', folder=tmp_path).points[0].key(model)

    assert key(text) == key(text.replace("NVIDIA DGX/HGX H100", "Ours"))
    assert key(text) != key(text.replace('"450 GB/s"', '"451 GB/s"'))
    assert key(text) != key(text, model="n")


def test_a_key_is_the_same_tomorrow() -> None:
    """The digest of the canonical JSON, by hand: nothing of Python's hash() is in it."""
    import hashlib
    import json

    one = Point(Cluster("m", "d", 8), "all_reduce", 8.0, {"algorithm": "ring"})
    inputs = {
        "machine": "m", "chips": 8, "estimate": "nominal", "scale_out": None, "link": {},
        "collective": "all_reduce", "size": 8.0, "ranks": None, "algorithm": "ring", "protocol": "auto",
        "library": None, "routing": None, "network": "fluid", "fast_forward": True, "seed": 0,
        "model": "v", "figures": "d",
    }  # fmt: skip
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    assert one.key("v") == hashlib.sha256(text.encode()).hexdigest()
    assert math.isfinite(one.size)
