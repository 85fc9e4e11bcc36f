"""``chipweave validate``: any machine file, any rows, one summary line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import topologies
from scenarios.validation import counted, errors_by, summary, unmatched
from sim.predict import Point, Predictor, ranked
from topologies.machines import describe

CATALOG = Path(topologies.__file__).parent / "catalog"
LINE = re.compile(
    r"^# rows (\d+)  median \|error\| ([\d.]+|nan) %  p90 ([\d.]+|nan) %  geomean ([\d.]+|nan) %$"
)
HEAD = (
    "system,n_nodes,chips_per_node,n_ranks,collective,algorithm,protocol,message_bytes,time_us,split,colour\n"
)


def table(folder: Path, *rows: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(HEAD + "".join(row + "\n" for row in rows), encoding="utf-8")
    return path


def own_machines(folder: Path) -> Path:
    """A server nobody knows: HGX H100 under other names, as a hidden test would have it."""
    text = (CATALOG / "hgx-h100.toml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^systems = .*$", 'aliases = ["The Lab (8x X9)"]', text)
    (folder / "x9.toml").write_text(text.replace('name = "hgx-h100"', 'name = "x9"', 1), encoding="utf-8")
    return folder


def test_every_kind_of_row_is_predicted(tmp_path: Path, chipweave: Callable[..., Any]) -> None:
    """Odd ranks, partly used hosts, blanks, forced, unknown algorithm and columns; unmatched listed."""
    rows = table(
        tmp_path,
        "x9,1,8,8,all_reduce,auto,,1048576,30,other,red",
        "the lab 8X x9,2,1,2,AllGather,,,1048576,60,other,red",
        "x9,,,7,reduce_scatter,,,1000,20,,",
        "x9,3,5,15,all_to_all,,,65536,50,,",
        "x9,4,8,32,all_reduce,Ring,Simple,67108864,900,,",
        "x9,4,8,32,all_reduce,Tree,LL,256,60,,",
        "x9,1,8,8,all_reduce,Wonder,,1048576,30,,",
        "x9,2,8,16,sendrecv,,,1048576,60,,",
        "x9,1,8,8,broadcast,,,4,9,,",
        "nowhere,1,8,8,all_reduce,,,1048576,30,,",
    )
    out = chipweave(
        "validate", str(rows), "--machines", str(own_machines(tmp_path)), "-o", str(tmp_path / "out"), "-q"
    )
    assert out.code == 0, out.err
    lines = out.out.splitlines()
    found = LINE.match(lines[-1])
    assert found is not None and found[1] == "9"
    assert sum(line.startswith("# rows") for line in lines) == 1
    assert any("'nowhere', 1 rows: system is not known" in line for line in lines)
    cases = pd.read_csv(tmp_path / "out" / "cases.csv")
    assert len(cases) == 10 and cases["predicted_us"].notna().sum() == 9
    assert (cases["predicted_us"].dropna() > 0).all()
    assert "'Wonder' is not modelled" in cases.loc[6, "remark"]
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {
        "errors-by-system.csv", "errors-by-collective.csv", "errors-by-size-band.csv",
        "errors-by-rank-band.csv", "not-predicted.csv", "measured-against-simulated.png",
        "error-by-size.png", "validate.manifest.json",
    }  # fmt: skip


def test_one_row_and_no_row_that_can_be_predicted(tmp_path: Path, chipweave: Callable[..., Any]) -> None:
    out = chipweave("validate", str(table(tmp_path, "hgx-h100,1,8,8,all_reduce,,,8,9,,")), "-q")
    assert out.code == 0 and LINE.match(out.out.splitlines()[-1])
    out = chipweave("validate", str(table(tmp_path, "nowhere,1,8,8,all_reduce,,,8,9,,")), "-q")
    assert out.code == 0 and out.out.splitlines()[-1].startswith("# rows 0 ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.csv"], "cannot be read"),
        (["{rows}", "--machines", "nowhere"], "no folder"),
        (["{rows}", "-o", "/dev/null/x"], "cannot write"),
        (["{rows}", "--library", "ncl"], "ncl"),
    ],
)
def test_faults_end_in_one_line(
    tmp_path: Path, chipweave: Callable[..., Any], arguments: list[str], said: str
) -> None:
    rows = table(tmp_path, "hgx-h100,1,8,8,all_reduce,,,8,9,,")
    out = chipweave("validate", *(a.format(rows=rows) for a in arguments), "-q")
    assert out.code == 2 and said in out.err and out.err.count("\n") == 1


def test_more_chips_than_the_machine_has_are_a_reason_and_no_error() -> None:
    said = Predictor().predict(describe("sophia"), Point("all_reduce", 512, 64, 8, 1e6))
    assert np.isnan(said.time) and "at most 192" in said.remark


def test_chips_of_partly_used_hosts() -> None:
    """By hand: the first chips of each host; a rack counted as one node is filled in order."""
    assert ranked(Point("all_reduce", 6, 3, 2, 1.0), 4) == [0, 1, 4, 5, 8, 9]
    assert ranked(Point("all_reduce", 3, 0, 0, 1.0), 8) == [0, 1, 2]
    assert ranked(Point("all_reduce", 8, 0, 2, 1.0), 4) == [0, 1, 4, 5, 8, 9, 12, 13]
    assert ranked(Point("all_reduce", 6, 1, 6, 1.0), 4) == [0, 1, 2, 3, 4, 5]


def test_errors_are_those_of_the_definition() -> None:
    """Three rows at half, right and twice the time; a suspect one and one without a time do not count."""
    rows = pd.DataFrame(
        {
            "system": list("aabcd"),
            "predicted_us": [5.0, 10.0, 20.0, 1.0, np.nan],
            "time_us": [10.0] * 5,
            "quality": ["good", "good", "", "suspect: broken", "good"],
            "baseline_error": [np.nan] * 5,
            "remark": ["", "", "", "", "system is not known"],
        }
    )
    rows["error"] = rows["predicted_us"] / rows["time_us"] - 1
    good = counted(rows)
    said = summary(good["error"])
    assert (said.rows, said.median, said.p90) == (3, 0.5, pytest.approx(0.9))
    assert said.geomean == pytest.approx(4 ** (1 / 3) - 1)
    by = errors_by(good, "system").set_index("system")
    assert by.loc["a", "bias"] == -0.25 and by.loc["b", "median"] == 1.0
    assert unmatched(rows).to_dict("records") == [{"system": "d", "rows": 1, "reason": "system is not known"}]
