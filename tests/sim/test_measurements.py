"""Reading what benchmarks print: whole logs, torn logs, wrong logs.

The logs here are written by the tests in the formats of nccl-tests
(doc/PERFORMANCE.md, column widths of common.cu) and hccl_test; where the sample
logs of other projects are at hand (../shared/data/formats) they are read too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.measurements import COLUMNS, kind_of, read
from topologies.errors import ChipweaveError, FormatError, UnknownNameError

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "formats"
FACTOR = {"all_reduce": lambda p: 2 * (p - 1) / p, "sendrecv": lambda p: 1.0, "broadcast": lambda p: 1.0}


def nccl_log(
    collective: str = "all_reduce",
    ranks: int = 16,
    per_host: int = 8,
    sizes: tuple[int, ...] = (1 << 20, 1 << 24),
    *,
    named: bool = True,
    heading: str = "(us)",
    prefix: str = "",
    ended: bool = True,
) -> str:
    """A log as nccl-tests 2.13 writes it; 10 us and 100 GB/s."""
    lines = [f"# Collective test starting: {collective}_perf"] if named else []
    lines += ["# nThread 1 nGpus 1 minBytes 1 maxBytes 8 step: 2(factor) iters: 20", "#", "# Using devices"]
    lines += [
        f"#  Rank {r:2d} Group  0 Pid  7 on host{r // per_host} device  {r % per_host} [00:04:00] H100"
        for r in range(ranks)
    ]
    lines.append("#       size         count      type   redop    root     time   algbw   busbw #wrong")
    lines.append(f"#        (B)    (elements)                               {heading}  (GB/s)  (GB/s)")
    factor = FACTOR.get(collective, lambda p: (p - 1) / p)(ranks)
    for size in sizes:
        time = 10.0 + size / 100e3
        row = [f"{time:.2f}", f"{size / time / 1e3:.2f}", f"{size / time / 1e3 * factor:.2f}", "0"]
        reduces = "sum" if "reduce" in collective else "none"
        lines.append("  ".join([str(size), str(size // 4), "float", reduces, "-1", *row, *row]))
    if ended:
        lines += ["# Out of bounds values : 0 OK", "# Avg bus bandwidth    : 80.1"]
    return "\n".join(prefix + line for line in lines) + "\n"


def write(folder: Path, text: str, name: str = "run.log") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("collective", ["all_reduce", "all_gather", "reduce_scatter", "alltoall", "sendrecv"])
@pytest.mark.parametrize("prefix", ["", "[1,0]<stdout>:", "0: "])
def test_a_log_of_nccl_tests(tmp_path: Path, collective: str, prefix: str) -> None:
    """Two hosts of 8, two sizes: times as written, 10 us + size / 100 GB/s."""
    rows = read(write(tmp_path, nccl_log(collective, prefix=prefix)), system="mine").rows
    assert list(rows.columns) == list(COLUMNS)
    assert rows["collective"].unique().tolist() == [kind_of(collective, "here")]
    assert rows[["n_ranks", "n_nodes", "chips_per_node"]].drop_duplicates().to_numpy().tolist() == [
        [16, 2, 8]
    ]
    assert rows["time_us"].tolist() == pytest.approx([10 + 10.48576, 10 + 167.77216], abs=5e-3)
    assert rows["source"].tolist()[0].startswith(str(tmp_path / "run.log") + ":")


def test_several_runs_of_other_hosts_in_one_log_and_in_several(tmp_path: Path) -> None:
    both = write(tmp_path, nccl_log(ranks=16) + "srun: job done\n" + nccl_log(ranks=32), "both.log")
    third = write(tmp_path, nccl_log("all_gather", ranks=8), "third.log")
    rows = read([both, third]).rows
    assert sorted(set(zip(rows["collective"], rows["n_ranks"], rows["n_nodes"], strict=True))) == [
        ("all_gather", 8, 1),
        ("all_reduce", 16, 2),
        ("all_reduce", 32, 4),
    ]


def test_forced_algorithm_and_protocol_are_kept(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "mpirun -x NCCL_ALGO=Tree -x NCCL_PROTO=Simple\n" + nccl_log())).rows
    assert rows[["algorithm", "protocol"]].drop_duplicates().to_numpy().tolist() == [["Tree", "Simple"]]


def test_noise_between_and_within_rows(tmp_path: Path) -> None:
    lines = nccl_log(sizes=(1 << 20, 1 << 22, 1 << 24)).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("1048576"))
    lines[at : at + 1] = ["host0:12:34 [0] NCCL INFO Launch mode Parallel", lines[at]]
    # Another rank's line breaks into a row: once after its figures, once before them.
    lines[at + 2] = " ".join(lines[at + 2].split()[:9]) + "host1:99 [3] NCCL INFO Channel 00"
    lines[at + 3] = " ".join(lines[at + 3].split()[:5]) + "host1:99 [3] NCCL INFO Channel 00"
    measured = read(write(tmp_path, "\n".join(lines)))
    assert measured.rows["message_bytes"].tolist() == [1 << 20, 1 << 22]
    assert any("torn" in note for note in measured.notes)


def test_a_collective_without_a_name_is_taken_from_its_factor(tmp_path: Path) -> None:
    measured = read(write(tmp_path, nccl_log("reduce_scatter", named=False)))
    assert measured.rows["collective"].unique().tolist() == ["reduce_scatter"]
    assert any("taken for reduce_scatter" in note for note in measured.notes)
    with pytest.raises(FormatError, match="give --collective"):
        read(write(tmp_path, nccl_log("all_gather", named=False)))
    rows = read(write(tmp_path, nccl_log("all_gather", named=False)), collective="all_gather").rows
    assert rows["collective"].unique().tolist() == ["all_gather"]


def _row_with(text: str, old: str, new: str) -> str:
    return "\n".join(
        line.replace(old, new, 1) if line.startswith("1048576") else line for line in text.splitlines()
    )


BAD = {
    "another collective": (nccl_log("all_gather"), {"collective": "all_reduce"}, "is of all_gather, not of"),
    "another rank count": (
        nccl_log().replace("#  Rank 15", "#  Rank 16"),
        {},
        "rank 15 is not among the devices",
    ),
    "factor of another": (
        nccl_log("all_reduce").replace("all_reduce_perf", "all_gather_perf"),
        {},
        "log of another collective or rank count",
    ),
    "mixed sizes": (_row_with(nccl_log(), "262144", "1000"), {}, "sizes are mixed up"),
    "cut off": (nccl_log(ended=False)[:-60].rstrip() + "\n16777216 4194304 float sum -1 177.", {}, "cut off"),
    "milliseconds": (nccl_log(heading="(ms)"), {}, "times are in ms"),
    "milliseconds unsaid": (_row_with(nccl_log(), "20.49", "0.02049"), {}, "is in ms"),
    "zero": (_row_with(nccl_log(), "20.49", "0.00"), {}, "must be > 0"),
    "no devices": (
        "\n".join(line for line in nccl_log().splitlines() if "Rank" not in line),
        {},
        "give --ranks",
    ),
    "empty": ("", {}, "is empty"),
    "no rows": (nccl_log(sizes=()), {}, "no row of results"),
    "another tool": ("hello world\n", {}, "not written by"),
    "unknown": (nccl_log("hypercube"), {}, "hypercube"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_logs_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    text, options, said = BAD[case]
    with pytest.raises((FormatError, UnknownNameError)) as caught:
        read(write(tmp_path, text), **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_table_without_its_end_is_said_to_be_cut_off(tmp_path: Path) -> None:
    assert any("may be cut off" in note for note in read(write(tmp_path, nccl_log(ended=False))).notes)


def test_copies_are_left_out_and_repetitions_kept(tmp_path: Path) -> None:
    log = nccl_log(sizes=(1 << 20,))
    again = log.replace("20.49", "21.03").replace("51.19", "49.86").replace("95.97", "93.49")
    measured = read(
        [write(tmp_path, log, "a.log"), write(tmp_path, log, "b.log"), write(tmp_path, again, "c.log")]
    )
    assert measured.rows["time_us"].tolist() == [20.49, 21.03]
    assert [note for note in measured.notes if "duplicate of" in note]


def json_log(**changes: Any) -> dict[str, Any]:
    out = {"time": 20.49, "alg_bw": 51.2, "bus_bw": 96.0, "nwrong": 0}
    content = {
        "version": "2.17",
        "args": ["./build/all_reduce_perf", "-b", "1M"],
        "env": {"NCCL_ALGO": "Ring"},
        "config": {"devices": [{"rank": r, "host": f"h{r // 8}"} for r in range(16)]},
        "results": [
            {"size": 1 << 20, "count": 1 << 18, "type": "float", "redop": "sum", "out_of_place": out}
        ],
    }
    return content | changes


def test_json_of_nccl_tests(tmp_path: Path) -> None:
    rows = read(write(tmp_path, json.dumps(json_log()), "run.json")).rows
    assert rows[["n_ranks", "n_nodes", "algorithm", "time_us"]].to_numpy().tolist() == [
        [16, 2, "Ring", 20.49]
    ]
    for bad, said in (
        (json_log(results=[]), "no 'results'"),
        (json_log(results=[{"size": 8}]), "no 'out_of_place'"),
        (json_log(config={}), "give --ranks"),
    ):
        with pytest.raises(FormatError, match=said):
            read(write(tmp_path, json.dumps(bad), "bad.json"))
    with pytest.raises(FormatError, match="cut off"):
        read(write(tmp_path, json.dumps(json_log())[:-20], "cut.json"))


HCCL = """mpirun -n 16 ./bin/all_reduce_test -b 8K -e 64M -f 2 -d fp32 -o sum -p 8
the minbytes is 8192, maxbytes is 67108864, iters is 20, warmup_iters is 10
data_size(Bytes):| aveg_time(us):| alg_bandwidth(GB/s): | check_result:
8192             | 92.10         | 0.08895              | success
67108864         | 2630.20       | 25.51474             | success
"""


def test_a_log_of_hccl_test(tmp_path: Path) -> None:
    rows = read(write(tmp_path, HCCL)).rows
    assert rows[["collective", "n_ranks", "n_nodes", "message_bytes"]].to_numpy().tolist() == [
        ["all_reduce", 16, 2, 8192.0],
        ["all_reduce", 16, 2, 67108864.0],
    ]
    # data_size is one chip's: of an all-gather the whole buffer is p times that.
    rows = read(write(tmp_path, HCCL.replace("all_reduce", "all_gather"))).rows
    assert rows["message_bytes"].tolist() == [8192.0 * 16, 67108864.0 * 16]
    failed = read(write(tmp_path, HCCL.replace("0.08895              | success", "0.08895 | failed")))
    assert len(failed.rows) == 1 and "check_result" in failed.notes[0]
    for text, said in (
        (HCCL.replace("aveg_time(us)", "aveg_time(ms)"), "are in ms"),
        (HCCL.replace("2630.20", "0.00"), "must be > 0"),
        (HCCL.replace("2630.20", "2.6302"), "is in ms"),
        (HCCL.replace("-n 16 ", ""), "give --ranks"),
        (HCCL.replace("./bin/all_reduce_test", "x") + "rank_size: 16", "the log does not say"),
        (HCCL.replace("| 25.51474             | success", "|"), "cut off"),
    ):
        with pytest.raises(FormatError, match=said):
            read(write(tmp_path, text))


TABLE = "system,n_ranks,collective,message_bytes,time_us\nmine,8,all_reduce,1048576,20.5\n"


def test_a_table_of_the_schema(tmp_path: Path) -> None:
    more = TABLE.replace("time_us", "time_us,colour,algorithm,n_nodes").replace("20.5", "20.5,red,auto,2")
    row = read(write(tmp_path, more, "t.csv")).rows.iloc[0]
    assert (row["algorithm"], row["n_nodes"], row["chips_per_node"], row["colour"]) == ("", 2, 0, "red")
    bandwidth = TABLE.replace("time_us", "algbw_GBps").replace("20.5", "100")
    assert read(write(tmp_path, bandwidth, "b.csv")).rows["time_us"].tolist() == [10.48576]
    twice = read(write(tmp_path, TABLE + TABLE.splitlines()[1] + "\n", "d.csv"))
    assert len(twice.rows) == 2 and "duplicate of line 2" in twice.notes[0]
    empty = read(write(tmp_path, TABLE + "mine,8,all_reduce,1048576,\nmine,8,all_reduce,8,0\n", "e.csv"))
    assert len(empty.rows) == 1 and len(empty.notes) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("time_us", "time_ms", "microseconds"),
        ("n_ranks", "ranks", "'n_ranks' is missing"),
        ("all_reduce", "all_shuffle", "all_shuffle"),
        (",8,", ",eight,", "n_ranks"),
        (",8,", ",-8,", "n_ranks"),
        (",8,", ",2.5,", "whole number"),
        ("20.5", "quick", "time_us"),
        ("1048576", "1M", "message_bytes"),
        (",20.5", "", "4 columns where the heading has 5"),
        ("mine,8,all_reduce,1048576,20.5\n", "", "no rows"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises((FormatError, UnknownNameError), match=said) as caught:
        read(
            write(
                tmp_path, TABLE.replace(old, new, 1) if old != ",20.5" else TABLE.replace(old, new), "t.csv"
            )
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.log", "missing.csv"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        read(tmp_path / name)


@settings(max_examples=150, deadline=None)
@given(
    text=st.sampled_from([nccl_log(ranks=4, per_host=2), HCCL, json.dumps(json_log()), TABLE]),
    edits=st.lists(
        st.tuples(st.sampled_from(["drop", "insert", "swap", "cut"]), st.integers(0, 4000), st.characters()),
        min_size=1,
        max_size=4,
    ),
    suffix=st.sampled_from([".log", ".csv"]),
)
def test_whatever_is_read_gives_rows_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str, edits: list[tuple[str, int, str]], suffix: str
) -> None:
    """Mutated files: positive times and sizes, whole ranks, or a ChipweaveError of one line."""
    for what, place, character in edits:
        at = place % max(1, len(text))
        if what == "cut":
            text = text[:at]
        elif what == "swap":
            text = text[:at] + character + text[at + 1 :]
        else:
            text = text[:at] + (character if what == "insert" else "") + text[at + (what == "drop") :]
    path = tmp_path_factory.mktemp("mutated") / ("m" + suffix)
    path.write_text(text, encoding="utf-8", errors="surrogatepass" if text.isascii() else "replace")
    try:
        rows = read(path).rows
    except ChipweaveError as error:
        assert "\n" not in str(error)
    else:
        assert (
            (rows["time_us"] > 0).all() and (rows["message_bytes"] > 0).all() and (rows["n_ranks"] > 0).all()
        )


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample logs are not at hand")
def test_sample_logs_of_other_projects() -> None:
    """The largest message of each, by eye from the file."""
    for name, collective, size, time, ranks, nodes in (
        ("nccl_tests_allreduce_8xa100.log", None, 8589934592, 63896.0, 8, 1),
        ("nccl_tests_alltoall_8xa100.log", "alltoall", 8589934592, 33508.0, 8, 1),
        ("msccl_teccl_allgather_32_measured.txt", "all_gather", 1073741824, 127776.0, 32, 2),
    ):
        rows = read(SAMPLES / name, collective=collective).rows
        last = rows.loc[rows["message_bytes"].idxmax()]
        assert (last["message_bytes"], last["time_us"], last["n_ranks"], last["n_nodes"]) == (
            size, time, ranks, nodes,
        )  # fmt: skip
