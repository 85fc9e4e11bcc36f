"""``chipweave calibrate``: from a log to figures that the simulator takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sim
import topologies
from sim.libraries import library

HEAD = "system,n_nodes,n_ranks,collective,algorithm,protocol,message_bytes,time_us\n"


def rows(folder: Path) -> Path:
    """Rings of Simple on one host, 30 us + 5 us a step and 300 GB/s; one row is ten times too slow."""
    lines = []
    for p in (2, 4, 8):
        for e in range(16, 31, 2):
            time = 30 + (p - 1) * (5 + 2**e / p / 300e3)
            lines.append(
                f"mine,1,{p},all_gather,Ring,Simple,{2**e},{time * (10 if (p, e) == (4, 20) else 1):.3f}"
            )
    path = folder / "rows.csv"
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_from_rows_to_a_library(tmp_path: Path, chipweave: Callable[..., Any]) -> None:
    out = tmp_path / "params.toml"
    done = chipweave("calibrate", str(rows(tmp_path)), "--machine", "hgx-h100", "-o", str(out), "-q")
    assert done.code == 0, done.err
    assert "no rows of several hosts: scale-out latency and efficiency left" in done.out
    assert "left out: " in done.out and "times slower" in done.out
    assert {p.name for p in tmp_path.iterdir()} >= {"params.toml", "params.png", "params.toml.manifest.json"}
    mine = library(str(out))
    assert mine.parameters.figures["family.ring.simple.base"].range["ranks"] == (2.0, 8.0)
    run = sim.all_gather(
        topologies.machine("hgx-h100"), 2**28, library=str(out), algorithm="ring", protocol="simple"
    )
    assert abs(run.time / ((30 + 7 * (5 + 2**28 / 8 / 300e3)) * 1e-6) - 1) < 0.03


def test_faults_end_in_one_line(tmp_path: Path, chipweave: Callable[..., Any]) -> None:
    table = str(rows(tmp_path))
    for arguments, said in (
        ((table, "--machine", "hgx-h10"), "hgx-h10"),
        ((str(tmp_path / "no.log"), "--machine", "hgx-h100"), "cannot be read"),
        ((table, "--machine", "hgx-h100", "-o", str(tmp_path / "p.txt")), "toml"),
    ):
        given = arguments if "-o" in arguments else (*arguments, "-o", str(tmp_path / "p.toml"))
        done = chipweave("calibrate", *given, "-q")
        assert done.code == 2 and said in done.err and done.err.count("\n") == 1, (arguments, done.err)
    assert not (tmp_path / "p.toml").exists()
