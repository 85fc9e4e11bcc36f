"""``chipweave algorithm``: ours as files, files of one's own, and mistakes in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim import collectives, programs

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_exported_checked_and_run(chipweave: Call) -> None:
    """The table of a file is that of the algorithm it was made of; the manifest knows the file."""
    assert chipweave("algorithm", "export", "all_gather", "ring", "--ranks", "8", "-o", "ring.xml").code == 0
    checked = chipweave("algorithm", "check", "ring.xml")
    assert checked.out == (
        "ring.xml: good; all_gather by ring, 8 ranks, 8 chunks, 56 messages in 16 thread blocks, "
        "messages that wait for their receiver\n"
    )
    bench = ["bench", "hgx-h100", "--chips", "8", "-c", "all_gather", "-b", "1M", "-e", "4M", "-q"]
    # A library without fitted figures of its own for rings on this generation: both cost the same.
    bench += ["--library", "rccl"]
    own = chipweave(*bench, "--algorithm", "ring.xml", "--json", "own.json")
    ours = chipweave(*bench, "--algorithm", "ring", "--protocol", "simple")
    assert own.code == ours.code == 0
    assert table(own.out) == table(ours.out)
    manifest = json.loads(Path("own.json.manifest.json").read_text())
    assert "ring.xml" in json.dumps(manifest["input_files"])


def test_goal_of_one_size(chipweave: Call) -> None:
    made = chipweave(
        "algorithm", "export", "all_reduce", "hierarchical:mesh/ring", "--ranks", "16", "--group", "8",
        "--size", "64M", "-o", "two.goal",
    )  # fmt: skip
    assert (made.code, made.out) == (0, "")
    checked = chipweave("algorithm", "check", "two.goal")
    assert checked.out.startswith(
        "two.goal: every message has both ends; all_reduce of 67108864 bytes by hier"
    )
    bench = ["bench", "hgx-h100", "--chips", "16", "--algorithm", "two.goal", "-q"]
    assert chipweave(*bench, "-b", "64M", "-e", "64M").code == 0
    other = chipweave(*bench, "-b", "32M", "-e", "64M")
    assert other.code == 2
    assert "those of 67108864 bytes, not 33554432" in other.err


def test_every_option_of_export_reaches_the_algorithm(chipweave: Call) -> None:
    for arguments, options in (
        (["broadcast", "binomial", "--root", "3"], {"root": 3}),
        (["all_reduce", "torus", "--dims", "2x4"], {"dims": "2x4"}),
        (["all_reduce", "ring", "--channels", "2"], {"channels": 2}),
    ):
        assert chipweave("algorithm", "export", *arguments, "-o", "own.xml").code == 0
        kind, name, *_ = arguments
        want = programs.text(collectives.build(kind, 8, float(8 << 20), name, **options), ".xml")
        assert Path("own.xml").read_text() == want


def test_what_there_is(chipweave: Call) -> None:
    assert chipweave("algorithm", "list", "send").out == "send:           direct\n"
    assert len(chipweave("algorithm", "list").out.splitlines()) == len(collectives.kinds())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "all_redoce"], "unknown collective 'all_redoce'; did you mean 'all_reduce'"),
        (["check", "none.xml"], "cannot read none.xml: no such file or directory"),
        (["check", "bad.xml"], "cannot read bad.xml: line 1: no well-formed XML"),
        (["check", "bad.goal"], "cannot read bad.goal: line 1: 'num_ranks' must stand here"),
        (["export", "all_reduce", "rng", "-o", "x.xml"], "unknown algorithm of all_reduce 'rng'"),
        (
            ["export", "all_reduce", "ring", "-o", "x.txt"],
            "unknown suffix '.txt'; take .xml (MSCCL) or .goal",
        ),
        (["export", "all_reduce", "ring", "-o", "no/x.xml", "--ranks", "0"], "'0' is no whole number"),
        (["export", "all_reduce", "in_network", "-o", "x.xml"], "take another algorithm"),
        (["export", "all_reduce", "ring", "-o", "x.goal", "--size", "9"], "such as 8"),
        (
            ["export", "broadcast", "chain", "-o", "x.xml", "--root", "9"],
            "root (=9) must be one of the 8 ranks",
        ),
        (["export", "all_reduce", "ring", "-o", "x.xml", "--size", "9 quid"], "--size"),
    ],
)
def test_mistakes_end_in_one_line(chipweave: Call, arguments: list[str], message: str) -> None:
    Path("bad.xml").write_text("<algo")
    Path("bad.goal").write_text("ranks 4")
    before = sorted(Path().iterdir())
    outcome = chipweave("algorithm", *arguments)
    assert outcome.code == 2
    assert outcome.err.startswith("chipweave: error: ")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted(Path().iterdir()) == before
