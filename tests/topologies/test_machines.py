"""`machine`, `machines` and `describe`: sizes, estimates, own descriptions, wrong input."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from topologies.errors import ChipweaveError, FormatError, MachineError, UnknownNameError
from topologies.machines import describe, machine, machines, names

DOCS = Path(topologies.__file__).parents[1] / "docs" / "machines.md"


def block(language: str, number: int = 0) -> str:
    """A code block of docs/machines.md."""
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[number]


def mine() -> dict[str, Any]:
    return tomllib.loads(block("toml"))


def without(description: dict[str, Any], path: str) -> dict[str, Any]:
    found = copy.deepcopy(description)
    *parents, last = path.split(".")
    part = found
    for key in parents:
        part = part[key]
    del part[last]
    return found


def with_(description: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    found = copy.deepcopy(description)
    *parents, last = path.split(".")
    part = found
    for key in parents:
        part = part.setdefault(key, {})
    part[last] = value
    return found


def test_without_chips_it_is_one_host() -> None:
    assert len(topologies.chips(machine("hgx-h100"))) == 8
    assert len(topologies.chips(machine("gb200-nvl72"))) == 4
    assert len(topologies.chips(machine("zhenwu-810e"))) == 16


@pytest.mark.parametrize(
    ("name", "chips", "nics"),
    [
        ("hgx-h100", 8, 0),
        ("hgx-h100", 9, 9),
        ("dgx-v100", 13, 7),
        ("metax-c500", 9, 4),
        ("cloudmatrix384", 384, 0),
    ],
)
def test_nics_of_partly_filled_hosts(name: str, chips: int, nics: int) -> None:
    """By hand: one NIC a GPU; V100 host two GPUs a NIC, so 4 + 3 of 13; MetaX two on each host's bus."""
    graph = machine(name, chips)
    assert sum(graph.nodes[n]["kind"] == "nic" for n in graph) == nics


def test_scale_out_can_be_forced_and_left_out() -> None:
    forced = machine("hgx-h100", 8, scale_out=True)
    assert {"nic0.7", "leaf0", "leaf7"} <= set(forced)
    assert topologies.faults(forced) == []
    alone = machine("metax-c500", 8, scale_out=False)
    assert {alone.nodes[n]["kind"] for n in alone} == {"chip", "host"}


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(
        ["dgx-v100", "hgx-h100", "gb200-nvl72", "cloudmatrix384", "polaris", "metax-c500", "mi250x"]
    ),
    chips=st.integers(1, 900),
)
def test_any_number_of_chips(name: str, chips: int) -> None:
    """Only the last host and domain may be short; NICs join their own host; ranks go host by host."""
    graph = machine(name, chips)
    d = describe(name)
    assert topologies.faults(graph) == []
    assert topologies.chips(graph) == list(range(chips))
    for c in range(chips):
        assert graph.nodes[c]["host"] == c // d.host.chips.value
        assert graph.nodes[c]["domain"] == c // d.scale_up.chips.value
    for n, attributes in graph.nodes(data=True):
        if attributes["kind"] == "nic":
            assert "domain" not in attributes
            below = [m for m in graph[n] if graph.nodes[m]["kind"] in ("chip", "host")]
            assert below and {graph.nodes[m]["host"] for m in below} == {attributes["host"]}


def test_same_input_same_graph() -> None:
    first, second = (machine("mi250x", 100) for _ in range(2))
    assert list(first.nodes(data=True)) == list(second.nodes(data=True))
    assert list(first.edges(data=True)) == list(second.edges(data=True))
    first.edges[0, 1]["bandwidth"] = 1.0
    assert second.edges[0, 1]["bandwidth"] != 1.0 and machine("mi250x", 100).edges[0, 1]["bandwidth"] != 1.0


def test_edges_share_no_attributes() -> None:
    """A link that is changed must not change its neighbours."""
    graph = machine("cloudmatrix384", 400)
    attributes = [a for _, _, a in graph.edges(data=True)]
    assert len({id(a) for a in attributes}) == len(attributes)


def test_catalogue_as_a_table() -> None:
    table = machines().set_index("name")
    assert sorted(table.index) == names()
    assert set(table["origin"]) == {"domestic", "global"}
    assert table.loc["cloudmatrix384", "scale_up"] == 392e9
    assert table.loc["polaris", "scale_out"] == 12.5e9
    assert table.loc["dgx-v100", "scale_up"] == 150e9
    assert table.loc["tpu-v4", "scale_up"] == 6 * 45e9
    assert table.loc["marenostrum5", "evidence"] == "assumed"


def test_graph_says_what_it_is() -> None:
    """989 dense BF16 TFLOP/s of an H100-SXM5; GraphML takes nothing but scalars."""
    about = machine("hgx-h100", 16, estimate="low").graph
    assert about["peak_flops"] == 989e12
    assert (about["machine"], about["library"], about["estimate"]) == ("hgx-h100", "nccl", "low")
    assert (about["routing"], about["domain_routing"]) == ("up_down", "up_down")
    assert all(isinstance(value, (str, int, float)) for value in about.values())
    assert "peak_flops" not in machine("mtt-s5000").graph


def test_docs_list_every_machine_with_its_figures() -> None:
    rows = dict(
        re.findall(
            r"^\| `([a-z0-9.-]+)` \| ((?:[^|\n]*\|){6}[^|\n]*) \|$",
            DOCS.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    )
    table = machines().set_index("name")
    assert sorted(rows) == names()
    for name, text in rows.items():
        _, host, domain, up, _, most, assumed = (cell.strip() for cell in text.split("|"))
        row = table.loc[name]
        assert int(host) == row["chips_per_host"] and int(domain.replace(",", "")) == row["domain"], name
        assert float(up) == pytest.approx(row["scale_up"] / 1e9, rel=1e-3), name
        assert int(most.replace(",", "")) == row["max_chips"], name
        assert assumed == f"{row['assumed']} of {row['figures']}", name


@pytest.mark.parametrize("number", [0, 1])
def test_python_of_the_docs_runs(number: int) -> None:
    scope: dict[str, Any] = {}
    exec(compile(block("python", number), str(DOCS), "exec"), scope)
    if number == 0:
        assert len(topologies.chips(scope["graph"])) == 1024
        assert scope["slow"].edges[0, 1]["latency"] > scope["graph"].edges[0, 1]["latency"]


def test_machine_of_the_docs(tmp_path: Path) -> None:
    """As dict and as file; 4 NICs of 50 GB/s for 8 chips; leaves 2:1, so 42 ports down and 21 up."""
    path = tmp_path / "mine.toml"
    path.write_text(block("toml"), encoding="utf-8")
    for given_ in (mine(), path, str(path), describe(path)):
        graph = machine(given_, 2048)
        assert topologies.faults(graph) == []
        assert graph.name == "mine-2048"
        assert sorted(map(str, graph[1])) == ["nic0.0", "up0"]
        kinds = [a["tier"] for a in graph.adj["leaf0"].values()]
        assert kinds.count("roce-400g") == 42 and kinds.count("roce-400g-spine") == 21
    assert machine(mine(), 16, estimate="low").edges[0, "up0"]["bandwidth"] == 150e9


@pytest.mark.parametrize("chips", [0, -1, 1.5, True, "8", 2241])
def test_chips_out_of_range(chips: Any) -> None:
    with pytest.raises(MachineError, match=r"polaris: chips \(=.*\) must be an integer from 1 to 2240"):
        machine("polaris", chips)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown machine 'hgx-h10'; did you mean 'hgx-h"):
        machine("hgx-h10")
    with pytest.raises(UnknownNameError, match="unknown estimate 'lo'; did you mean 'low'"):
        machine("hgx-h100", 8, estimate="lo")
    with pytest.raises(MachineError, match="a machine must be a name"):
        machine(7)  # type: ignore[arg-type]


def test_no_slice_of_that_size() -> None:
    """Whole cubes: 15, 14 and 13 have a factor above 16 / 4, 12 = 1 x 3 x 4 has none, so 768 chips."""
    with pytest.raises(MachineError, match="tpu-v4: no slice of 1000 chips; the nearest are 768 or 1024"):
        machine("tpu-v4", 1000)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"gone\.toml: cannot be read"):
        machine(tmp_path / "gone.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text(block("toml")[:700], encoding="utf-8")
    with pytest.raises(FormatError, match=r"broken\.toml: no TOML"):
        machine(broken)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match=r"binary\.toml: cannot be read"):
        machine(str(binary))


FIGURE = {"evidence": "vendor", "source": "s"}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("origin", "martian", r"origin: Input should be 'domestic' or 'global', not 'martian'"),
        ("scale_up.shape", "ring", r"scale_up: .*'ring'.*'switch'"),
        ("scale_up.link.bandwidth.value", "200 G", r"scale_up\.link\.bandwidth\.value: .*200 G"),
        ("scale_up.link.bandwidth.value", "5 s", r"scale_up\.link\.bandwidth\.value: .*5 s"),
        ("scale_up.link.bandwidth.value", "-1 GB/s", r"scale_up\.link\.bandwidth\.value: .*-1 GB/s"),
        ("scale_up.link.latency.value", float("nan"), r"scale_up\.link\.latency\.value: .*nan"),
        ("scale_up.link.bandwidth.evidence", "hearsay", r"bandwidth\.evidence: .*'assumed', not 'hearsay'"),
        (
            "scale_up.link.latency",
            {"value": "1 us", "evidence": "assumed", "source": "s"},
            r"latency: is assumed, so",
        ),
        (
            "scale_up.link.latency",
            FIGURE | {"value": "1 us", "low": "1 us"},
            r"latency: has only one of low and high",
        ),
        (
            "scale_up.link.latency",
            FIGURE | {"value": "1 us", "low": "2 us", "high": "3 us"},
            r"low .*does not hold",
        ),
        (
            "scale_up.link.efficiency",
            FIGURE | {"value": 1.2},
            r"efficiency\.value: .*less than or equal to 1, not 1\.2",
        ),
        (
            "scale_up.chips",
            FIGURE | {"value": 0},
            r"scale_up\.chips\.value: .*greater than or equal to 1, not 0",
        ),
        ("scale_up.chips", FIGURE | {"value": 8.0}, r"scale_up\.chips\.value: .*integer, not 8\.0"),
        (
            "scale_up.chips",
            FIGURE | {"value": 3},
            r"scale_up\.chips \(=3\) and host\.chips \(=8\) must divide",
        ),
        ("scale_up.chips", FIGURE | {"value": 4}, r"host\.bus is missing: 2 scale-up domains"),
        ("nic.per_host", FIGURE | {"value": 16}, r"nic\.per_host \(=16\) must divide host\.chips \(=8\)"),
        ("nic.at", "host", r"host\.bus is missing: nic\.at = 'host'"),
        ("nic.wifi", "yes", r"nic\.wifi: unknown key; remove it"),
        ("chip.name", "  ", r"chip\.name: String should have at least 1 character"),
    ],
)
def test_faulty_descriptions(path: str, value: object, message: str) -> None:
    with pytest.raises(MachineError, match=message) as caught:
        machine(with_(mine(), path, value), 16)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("machine 'mine': ")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("title", r"title: Field required"),
        ("scale_up.link.tier", r"scale_up\.link\.tier: Field required"),
        ("scale_up.link.bandwidth.source", r"scale_up\.link\.bandwidth\.source: Field required"),
        ("nic", r"nic and scale_out go together"),
    ],
)
def test_missing_keys(path: str, message: str) -> None:
    with pytest.raises(MachineError, match=message):
        machine(without(mine(), path), 16)


def test_limits_without_a_fabric() -> None:
    lonely = without(without(mine(), "nic"), "scale_out")
    with pytest.raises(MachineError, match=r"limits\.chips \(=2048\) needs nic and scale_out above 8 chips"):
        machine(lonely, 8)
    assert len(machine(with_(lonely, "limits.chips", FIGURE | {"value": 8}), 8)) == 9


@pytest.mark.parametrize(
    ("wiring", "message"),
    [
        ("0-1 0=2", "wiring has '0=2'; write 0-1"),
        ("0-1 0-8", "wiring has '0-8': a chip with itself or not there"),
        ("0-1 1-0", "wiring has '1-0': .* a pair named twice"),
        ("0-1 0-2 0-3 4-5 0-6 0-7", "wiring joins chip 4 to none before it"),
    ],
)
def test_faulty_wiring(wiring: str, message: str) -> None:
    wired = with_(mine(), "scale_up.shape", "links")
    with pytest.raises(MachineError, match=message):
        machine(with_(wired, "scale_up.wiring", FIGURE | {"value": wiring}), 8)


def test_too_few_ports_for_the_limit() -> None:
    """64 leaves of 42 in two tiers: 4 rails of 16 leaves, 672 hosts; 673 need a core that is not there."""
    wide = with_(mine(), "limits.chips", FIGURE | {"value": 8000})
    assert topologies.faults(machine(wide, 672 * 8)) == []
    with pytest.raises(
        MachineError, match=r"mine: 2692 NICs need 68 leaves, more than 2 tiers of scale_out\.radix"
    ):
        machine(wide, 673 * 8)


def test_faster_uplinks_stand_for_several() -> None:
    """50 GB/s NICs, 100 GB/s uplinks, 1:1: n down and n / 2 up on 64 ports, so 42 and 21."""
    fast = with_(mine(), "scale_out.oversubscription", FIGURE | {"value": 1})
    fast = with_(fast, "scale_out.spine.bandwidth", FIGURE | {"value": "800 Gbit/s"})
    graph = machine(fast, 1024)
    down = [a["bandwidth"] for a in graph.adj["leaf0"].values() if a["tier"] == "roce-400g"]
    up = [a["bandwidth"] for a in graph.adj["leaf0"].values() if a["tier"] == "roce-400g-spine"]
    assert len(down) == 42 and sum(down) == sum(up)


def test_all_errors_are_chipweave_errors_of_one_line() -> None:
    for bad in ("no-such", {"name": 3}, {}, "missing.toml"):
        with pytest.raises(ChipweaveError) as caught:
            machine(bad)
        assert "\n" not in str(caught.value)


def test_importing_is_light() -> None:
    """Neither the package nor the names of the machines need pydantic or pandas."""
    script = (
        "import sys, topologies; from topologies.machines import names; names(); "
        "print({'pydantic', 'pandas', 'pint', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_systems_of_measurements(tmp_path: Path) -> None:
    """Case and punctuation do not count; one's own folder goes first; two of one name are refused."""
    from topologies.systems import Systems

    catalog = Systems()
    for name in names():
        assert catalog.find(name) is not None
        for system in describe(name).systems:
            found = catalog.find(system.upper().replace(" ", "-"))
            assert found is not None and found.name == name, system
    assert catalog.find("") is None and catalog.find("nobody's") is None
    assert catalog.nearest("hgx h10") == "hgx-h100"

    own = (Path(topologies.__file__).parent / "catalog" / "hgx-h100.toml").read_text(encoding="utf-8")
    own = re.sub(r"(?m)^systems = .*$", 'aliases = ["Azure ND H100 v5"]', own)
    (tmp_path / "box-7.toml").write_text(
        own.replace('name = "hgx-h100"', 'name = "mine"', 1), encoding="utf-8"
    )
    found = Systems(tmp_path)
    assert {found.find(n).name for n in ("Box 7", "mine", "azure nd h100 v5")} == {"mine"}  # type: ignore[union-attr]
    assert found.find("hgx-h100").name == "hgx-h100"  # type: ignore[union-attr]
    (tmp_path / "twin.toml").write_text(
        own.replace('name = "hgx-h100"', 'name = "mine"', 1), encoding="utf-8"
    )
    with pytest.raises(MachineError, match="both answer to"):
        Systems(tmp_path)
    with pytest.raises(FormatError, match="no folder"):
        Systems(tmp_path / "nowhere")


def test_what_libraries_ask_of_a_machine() -> None:
    """By the names of chip and links, or as the description says; on the graph as attributes."""
    from topologies.traits import traits

    def of(name: str, **changes: Any) -> dict[str, str]:
        content = tomllib.loads(
            (Path(topologies.__file__).parent / "catalog" / f"{name}.toml").read_text(encoding="utf-8")
        )
        return traits(describe({**content, **changes}))

    assert of("hgx-b200") == {"generation": "blackwell", "network": "ib", "in_network": "domain"}
    assert of("polaris") == {"generation": "ampere", "network": "slingshot", "cpu": "amd"}
    assert of("tpu-v5p") == {}
    given = of("hgx-h100", generation="x1", network="own", cpu="arm", in_network=["fabric"])
    assert given == {"generation": "x1", "network": "own", "cpu": "arm", "in_network": "fabric"}
    assert "in_network" not in of("hgx-h100", in_network=[])
    assert machine("aws-p5", 16).graph["network"] == "efa"
