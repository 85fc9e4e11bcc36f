"""Files: what is written is read again exactly; what is no graph is refused with path and reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from topologies.errors import FormatError, OutputError
from topologies.formats import SUFFIXES

LINK = {"bandwidth": "50 GB/s", "latency": "1 us"}
CLASSES = [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]
suffixes = pytest.mark.parametrize("suffix", SUFFIXES)

TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=6
)
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
# Names that neither the formats nor the contract give a meaning of their own.
ATTRIBUTES = st.dictionaries(TEXT.map("x".__add__), SCALARS, max_size=3)
NODES = st.one_of(st.integers(-99, 10**6), TEXT, st.sampled_from(["7", "-3", "007", "1.5", "None"]))


def _same(a: nx.Graph, b: nx.Graph) -> None:
    keys = {"keys": True} if a.is_multigraph() else {}
    assert type(a) is type(b)
    assert dict(a.graph) == dict(b.graph)
    for left, right in (
        (a.nodes(data=True), b.nodes(data=True)),
        (a.edges(data=True, **keys), b.edges(data=True, **keys)),
    ):
        assert list(left) == list(right)
        # 1 == 1.0 == True: types are part of what must come back.
        assert [{k: type(v) for k, v in e[-1].items()} for e in left] == [
            {k: type(v) for k, v in e[-1].items()} for e in right
        ]
    assert [type(n) for n in a] == [type(n) for n in b]


@suffixes
@settings(max_examples=120)
@given(cls=st.sampled_from(CLASSES), data=st.data())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, suffix: str, cls: type[nx.Graph], data) -> None:
    nodes = data.draw(st.lists(NODES, min_size=1, max_size=6, unique_by=str))
    graph = cls(**data.draw(ATTRIBUTES))
    for node in nodes:
        graph.add_nodes_from([(node, data.draw(ATTRIBUTES))])
    ends = st.tuples(st.sampled_from(nodes), st.sampled_from(nodes))
    for tail, head in data.draw(st.lists(ends, max_size=8)):
        graph.add_edges_from([(tail, head, data.draw(ATTRIBUTES))])
    path = tmp_path_factory.mktemp("graphs") / f"graph{suffix}"
    topologies.write(graph, path)
    _same(topologies.read(path), graph)
    assert os.listdir(path.parent) == [path.name]


@suffixes
@pytest.mark.parametrize(
    "graph",
    [
        topologies.torus((4, 3, 2), **LINK),
        topologies.fat_tree(16, radix=4, **LINK),
        topologies.rail_optimized(4, 2, **LINK),
        topologies.dragonfly(3, 2, 2, **LINK),
        topologies.ring(1, **LINK),
    ],
    ids=lambda g: g.graph["name"],
)
def test_generated_graphs_come_back_whole(tmp_path: Path, suffix: str, graph: nx.Graph) -> None:
    topologies.write(graph, str(tmp_path / f"g{suffix}"))
    again = topologies.read(str(tmp_path / f"g{suffix}"))
    _same(again, graph)
    topologies.check(again)


@suffixes
def test_numpy_scalars_are_written_as_numbers(tmp_path: Path, suffix: str) -> None:
    graph = nx.Graph()
    graph.add_node(np.int64(3), kind="chip", level=np.int32(2))
    graph.add_edge(np.int64(3), 4, bandwidth=np.float64(1e9), up=np.bool_(True))
    topologies.write(graph, tmp_path / f"g{suffix}")
    again = topologies.read(tmp_path / f"g{suffix}")
    assert list(again.edges(data=True)) == [(3, 4, {"bandwidth": 1e9, "up": True})]
    assert type(again.nodes[3]["level"]) is int


def test_graphml_of_others_needs_only_the_contract(tmp_path: Path) -> None:
    (tmp_path / "lab.graphml").write_text(
        """<?xml version="1.0"?>
        <graphml xmlns="http://graphml.graphdrawing.org/xmlns">
          <key id="k" for="node" attr.name="kind" attr.type="string"><default>chip</default></key>
          <key id="b" for="edge" attr.name="bandwidth" attr.type="string"/>
          <key id="l" for="edge" attr.name="latency" attr.type="string"><default>1e-6</default></key>
          <key id="v" for="node" attr.name="level" attr.type="double"/>
          <graph edgedefault="undirected">
            <node id="a"><data key="v">0.0</data></node><node id="1"/>
            <node id="sw"><data key="k">switch</data></node>
            <edge source="a" target="sw"><data key="b">50e9</data></edge>
            <edge id="e7" source="1" target="sw">
              <data key="b">400 Gbit/s</data><data key="l">2 us</data>
            </edge>
          </graph>
        </graphml>"""
    )
    graph = topologies.read(tmp_path / "lab.graphml")
    topologies.check(graph)
    assert type(graph) is nx.Graph
    assert topologies.chips(graph) == ["a", 1]
    assert graph.edges["a", "sw"] == {"bandwidth": 50e9, "latency": 1e-6}
    assert graph.edges[1, "sw"] == {"bandwidth": "400 Gbit/s", "latency": "2 us"}
    assert graph.nodes["a"]["level"] == 0 and type(graph.nodes["a"]["level"]) is int


def test_networkx_and_we_read_each_other(tmp_path: Path) -> None:
    graph = topologies.fat_tree(16, radix=4, **LINK)
    nx.write_graphml(graph, tmp_path / "theirs.graphml")
    _same(topologies.read(tmp_path / "theirs.graphml"), graph)
    topologies.write(graph, tmp_path / "ours.graphml")
    theirs = nx.read_graphml(tmp_path / "ours.graphml")
    assert nx.utils.edges_equal(theirs.edges(data=True), nx.relabel_nodes(graph, str).edges(data=True))
    (tmp_path / "theirs.json").write_text(json.dumps(nx.node_link_data(graph, edges="links")))
    _same(topologies.read(tmp_path / "theirs.json"), graph)


GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
BROKEN = [
    ("empty.graphml", "", "not whole XML"),
    ("text.graphml", "hello", "not whole XML"),
    ("json.graphml", '{"nodes": []}', "not whole XML"),
    ("other.graphml", "<svg></svg>", "no <graph>"),
    ("nothing.graphml", f"{GRAPHML}</graphml>", "no <graph>"),
    ("cut.graphml", f'{GRAPHML}<graph edgedefault="undirected"><node id="1"/>', "not whole XML"),
    (
        "key.graphml",
        f'{GRAPHML}<graph><node id="1"><data key="x">1</data></node></graph></graphml>',
        "no key x",
    ),
    ("id.graphml", f"{GRAPHML}<graph><node/></graph></graphml>", "no id"),
    ("end.graphml", f'{GRAPHML}<graph><node id="1"/><edge source="1"/></graph></graphml>', "no id"),
    (
        "type.graphml",
        f'{GRAPHML}<key id="x" for="node" attr.name="n" attr.type="int"/><graph><node id="1">'
        '<data key="x">one</data></node></graph></graphml>',
        "one",
    ),
    ("empty.json", "", "not whole JSON"),
    ("cut.json", '{"nodes": [{"id": 1}', "not whole JSON"),
    ("list.json", "[1, 2]", "no list 'nodes'"),
    ("nodes.json", '{"nodes": 3, "edges": []}', "no list 'nodes'"),
    ("edges.json", '{"nodes": []}', "no list 'edges'"),
    ("noid.json", '{"nodes": [{"kind": "chip"}], "edges": []}', "nodes[0]"),
    ("badid.json", '{"nodes": [{"id": [1]}], "edges": []}', "nodes[0]"),
    ("twice.json", '{"nodes": [{"id": 1}, {"id": 1}], "edges": []}', "twice"),
    ("unknown.json", '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 2}]}', "no node 2"),
    ("noend.json", '{"nodes": [{"id": 1}], "edges": [{"source": 1}]}', "edges[0]"),
    (
        "parallel.json",
        '{"nodes": [{"id": 1}, {"id": 2}], "edges": [{"source": 1, "target": 2}, '
        '{"source": 2, "target": 1}]}',
        "multigraph",
    ),
]


@pytest.mark.parametrize(("name", "text", "reason"), BROKEN, ids=[b[0] for b in BROKEN])
def test_broken_files_are_refused_with_path_and_reason(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError) as caught:
        topologies.read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and reason in str(caught.value)
    assert "\n" not in str(caught.value)


@suffixes
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"g{suffix}"
    topologies.write(topologies.ring(3, **LINK), path)
    whole = path.read_bytes().rstrip()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(FormatError):
            topologies.read(path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "binary.json").write_bytes(b'{"\xff\xfe')
    for name, reason in (
        ("absent.graphml", "no such file"),
        ("folder.json", "directory"),
        ("binary.json", "UTF-8"),
    ):
        with pytest.raises(FormatError, match=reason):
            topologies.read(tmp_path / name)
    for name in ("g.gml", "g", "g.graphml.gz"):
        with pytest.raises(FormatError, match=r"\.graphml or \.json"):
            topologies.read(tmp_path / name)
        with pytest.raises(FormatError, match=r"\.graphml or \.json"):
            topologies.write(topologies.ring(2, **LINK), tmp_path / name)


@suffixes
def test_what_cannot_be_written(tmp_path: Path, suffix: str) -> None:
    good = topologies.ring(3, **LINK)
    with pytest.raises(OutputError, match="no such file"):
        topologies.write(good, tmp_path / "nowhere" / f"g{suffix}")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="not a directory"):
        topologies.write(good, tmp_path / "file" / f"g{suffix}")
    (tmp_path / f"taken{suffix}").mkdir()
    with pytest.raises(OutputError, match="directory"):
        topologies.write(good, tmp_path / f"taken{suffix}")
    for node, attribute in (((0, 1), 1), (1.5, 1), (True, 1), ("a", [1]), ("a", {"b": 1}), ("a", 1j)):
        graph = nx.Graph()
        graph.add_node(node, x=attribute)
        with pytest.raises(FormatError, match="type"):
            topologies.write(graph, tmp_path / f"bad{suffix}")
    assert {p.name for p in tmp_path.iterdir()} == {"file", f"taken{suffix}"}, "no half files are left"


def test_what_only_one_format_cannot_hold(tmp_path: Path) -> None:
    both = nx.Graph()
    both.add_nodes_from([0, "0"])
    with pytest.raises(FormatError, match="two nodes"):
        topologies.write(both, tmp_path / "g.graphml")
    control = nx.Graph()
    control.add_node("a", note="bell \a")
    with pytest.raises(FormatError, match="control"):
        topologies.write(control, tmp_path / "g.graphml")
    infinite = nx.Graph(limit=float("inf"))
    with pytest.raises(FormatError, match="infinity"):
        topologies.write(infinite, tmp_path / "g.json")
    clash = nx.Graph()
    clash.add_node("a", id=3)
    with pytest.raises(FormatError, match="rename"):
        topologies.write(clash, tmp_path / "g.json")
    for graph, name in ((both, "b.json"), (control, "c.json"), (infinite, "i.graphml"), (clash, "k.graphml")):
        topologies.write(graph, tmp_path / name)
        _same(topologies.read(tmp_path / name), graph)


@suffixes
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"g{suffix}"
    topologies.write(topologies.ring(3, **LINK), path)
    before = path.read_bytes()
    bad = topologies.ring(3, **LINK)
    bad.nodes[2]["coord"] = (0, 1)
    with pytest.raises(FormatError, match="node 2"):
        topologies.write(bad, path)
    assert path.read_bytes() == before
