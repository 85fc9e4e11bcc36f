"""Sweeps as people meet them: killed, doubled, spread over a cluster, and the store is the same."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import sim
import topologies
from scenarios.store import Store
from scenarios.store.table import table
from scenarios.sweep import batch, campaign
from scenarios.sweep.batch import Batch, Done
from scenarios.sweep.campaign import Campaign
from scenarios.sweep.specification import parse
from scenarios.sweep.sweep import sweep
from scenarios.sweep.workers import Here

ROOT = Path(__file__).parents[2]

#: 3 machines x 2 numbers of chips x 20 sizes x 2 algorithms; TPUs come in powers of two here.
SWEEP = """
[sweep]
machine = ["hgx-h100", "atlas-800t-a2", "tpu-v4"]
chips = [8, 12]
size = "1 KiB:512 MiB"
algorithm = ["ring", "halving_doubling"]
"""
POINTS = 3 * 2 * 20 * 2
REFUSED = 2 * 20  # tpu-v4 has no slice of 12

fork = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(SWEEP)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "s.sqlite"
    states = sweep(SWEEP, path, workers=1).tally.states
    assert states == {"done": POINTS - REFUSED, "refused": REFUSED}
    return path


@contextmanager
def opened(path: Path | str) -> Iterator[sqlite3.Connection]:
    """A transaction on a connection that is closed afterwards, which sqlite3's own is not."""
    with closing(sqlite3.connect(path, timeout=30)) as db, db:
        yield db


def contents(path: Path | str) -> list[Any]:
    with opened(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM claims").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM owners").fetchone() == (0,)
        assert db.execute("SELECT key FROM runs EXCEPT SELECT key FROM timings").fetchall() == []
        return [db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in ("runs", "machines")]


def exported(path: Path | str, to: str) -> bytes:
    with Store(path) as store:
        write = table(store)
    file = Path(to)
    (write.write_csv if file.suffix == ".csv" else write.write_parquet)(file)
    return file.read_bytes()


def test_a_row_is_what_sim_says() -> None:
    """By hand: the same collective, called directly, on the same graph with the same links."""
    text = SWEEP + '[sweep.link.nvlink4]\nbandwidth = ["x0.5"]\nlatency = "1 us"\n'
    text += "[sweep.link.ib-ndr]\nefficiency = 0.5"
    assert sweep(text, "s.sqlite").tally.settled == POINTS
    with Store("s.sqlite") as store:
        frame = table(store).to_frame()
    graph = topologies.machine("hgx-h100", chips=12)
    for _, _, link in graph.edges(data=True):
        if link["tier"] == "nvlink4":
            link.update(bandwidth=225e9, latency=1e-6)
        if link["tier"] == "ib-ndr":
            link.update(efficiency=0.5)
    asked = frame[(frame.machine == "hgx-h100") & (frame.chips == 12) & (frame.algorithm == "ring")]
    assert len(asked) == 20
    assert set(asked["link.nvlink4.bandwidth"]) == {225e9}
    for one in asked.itertuples():
        run = sim.all_reduce(graph, one.size, algorithm="ring")
        assert (one.time, one.busbw, one.ran_protocol, one.bounded_by) == (
            run.time, run.busbw, run.protocol, run.bounded_by
        )  # fmt: skip
    causes = asked[[c for c in asked if c.startswith("breakdown.")]].fillna(0.0)
    assert (abs(causes.sum(axis=1) - asked.time) < 1e-12).all()


def test_points_that_cannot_be_are_recorded_and_stop_nothing(undisturbed: Path) -> None:
    with Store(undisturbed) as store:
        frame = table(store).to_frame()
    refused = frame[frame.state == "refused"]
    assert set(refused.error) == {"MachineError: tpu-v4: no slice of 12 chips; the nearest are 8 or 16"}
    assert len(refused) == REFUSED
    assert refused.time.isna().all() and frame[frame.state == "done"].time.notna().all()


def test_running_again_runs_nothing(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not(one: Batch) -> Done:
        raise AssertionError(f"runs {len(one.jobs)} jobs")

    before = contents(undisturbed)
    monkeypatch.setattr(campaign.Campaign.__init__, "__kwdefaults__", {
        **campaign.Campaign.__init__.__kwdefaults__, "task": must_not,
    })  # fmt: skip
    again = sweep(SWEEP, undisturbed)
    assert (again.tally.before, again.tally.settled) == (POINTS, POINTS)
    assert contents(undisturbed) == before
    with pytest.raises(AssertionError, match="runs"):
        sweep(SWEEP, undisturbed, retry_failed=True)
    assert contents(undisturbed) == before


def test_retry_failed_runs_what_is_not_done_and_nothing_else(undisturbed: Path) -> None:
    sweep(SWEEP, "s.sqlite")
    with opened("s.sqlite") as db:
        db.execute("UPDATE runs SET state = 'failed', error = 'MemoryError: ', time = NULL WHERE size = 1024")
        db.execute("UPDATE timings SET worker = 'earlier'")
    sweep(SWEEP, "s.sqlite")
    assert contents("s.sqlite") != contents(undisturbed)
    sweep(SWEEP, "s.sqlite", retry_failed=True)
    assert contents("s.sqlite") == contents(undisturbed)
    with opened("s.sqlite") as db:
        (kept,) = db.execute("SELECT count(*) FROM timings WHERE worker = 'earlier'").fetchone()
    # Of 1 KiB there are 12 points, 2 of them refused and so in both numbers.
    assert kept == POINTS - REFUSED - (12 - 2)


def test_a_bug_in_one_point_costs_that_point(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sim.collective

    def buggy(kind: str, graph: Any, size: Any, **same: Any) -> Any:
        if size == 4096:
            raise ZeroDivisionError("division\nby zero")
        if size == 8192:
            raise MemoryError
        return real(kind, graph, size, **same)

    buggy.__signature__ = __import__("inspect").signature(real)  # type: ignore[attr-defined]
    monkeypatch.setattr(sim, "collective", buggy)
    states = sweep(SWEEP, "s.sqlite", workers=1).tally.states
    assert states == {"done": POINTS - REFUSED - 20, "refused": REFUSED, "failed": 20}
    with opened("s.sqlite") as db:
        errors = {e for (e,) in db.execute("SELECT error FROM runs WHERE state = 'failed'")}
    assert errors == {"ZeroDivisionError: division by zero", "MemoryError:"}


def child(pipe: Any, text: str, path: str) -> None:
    """A sweep in a process of its own, which says after each write how far it is."""
    sweep(text, path, workers=1, report=lambda tally: pipe.send(tally.settled))
    pipe.send("end")


def start(text: str, path: str) -> tuple[Any, Any]:
    here, there = fork.Pipe()
    process = fork.Process(target=child, args=(there, text, path))
    process.start()
    there.close()
    return process, here


def test_killed_ten_times_at_random_the_store_ends_like_an_undisturbed_one(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 at any instant: what was reported as written is there, and the rest follows."""
    monkeypatch.setattr(campaign, "LARGEST_BATCH", 4)
    chance = random.Random(6)
    kills = written = 0
    while kills < 10:
        process, pipe = start(SWEEP, "s.sqlite")
        goal = written + chance.randrange(20)
        while isinstance(settled := pipe.recv(), int) and settled < goal:
            pass
        assert isinstance(settled, int), "the sweep was through before it was killed ten times"
        time.sleep(chance.random() * 0.01)
        process.kill()
        process.join()
        kills += 1
        with opened("s.sqlite") as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            (written,) = db.execute("SELECT count(*) FROM runs").fetchone()
        # At most the batch between two reports is more than was reported.
        assert settled <= written < POINTS
    last = sweep(SWEEP, "s.sqlite", workers=1)
    assert last.tally.before == written
    assert contents("s.sqlite") == contents(undisturbed)
    assert exported("s.sqlite", "a.csv") == exported(undisturbed, "b.csv")


def test_two_processes_write_one_store_and_no_row_is_lost_or_run_twice(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same sweep twice and another beside it, begun together on a store that is not there."""
    monkeypatch.setattr(campaign, "LARGEST_BATCH", 4)
    monkeypatch.setattr(campaign, "GLANCE", 0.02)
    log = tmp_path / "log"
    real = batch.run_batch

    def logged(one: Batch) -> Done:
        done = real(one)
        with log.open("a") as file:
            file.write("".join(f"{os.getpid()} {o.key}\n" for o in done.outcomes))
        return done

    monkeypatch.setattr(campaign.Campaign.__init__, "__kwdefaults__", {
        **campaign.Campaign.__init__.__kwdefaults__, "task": logged,
    })  # fmt: skip
    other = SWEEP.replace('"ring"', '"double_binary_tree"')  # shares half of its points
    crew = [start(text, "s.sqlite") for text in (SWEEP, SWEEP, other)]
    for process, pipe in crew:
        while pipe.recv() != "end":
            pass
        process.join()
        assert process.exitcode == 0
    ran = [line.split() for line in log.read_text().splitlines()]
    assert len({key for _, key in ran}) == len(ran) == POINTS * 3 // 2
    assert len({pid for pid, _ in ran}) == 3
    sweep(other, undisturbed.with_name("both.sqlite"), workers=1)
    sweep(SWEEP, undisturbed.with_name("both.sqlite"), workers=1)
    assert contents("s.sqlite") == contents(undisturbed.with_name("both.sqlite"))


class Mortal(Here):
    """Workers that die over certain sizes, and take everything in flight with them."""

    def __init__(self, deadly: dict[float, int], pool: bool) -> None:
        self.deadly = dict(deadly)  # size: how often it kills
        self.pool = pool
        self.deaths = 0
        self.ran: list[str] = []

    def slots(self) -> int:
        return 4

    def submit(self, function: Callable[[Any], Any], one: Any) -> Future[Any]:
        future: Future[Any] = Future()
        for job in one.jobs:
            if self.deadly.get(job.size, 0) > 0:
                self.deadly[job.size] -= 1
                self.deaths += 1
                future.set_exception(BrokenExecutor())
                return future
        self.ran += [job.key for job in one.jobs]
        return super().submit(function, one)

    def lost(self, error: BaseException) -> bool:
        return isinstance(error, BrokenExecutor)

    def revive(self) -> bool:
        return self.pool


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize(
    ("deadly", "failed"),  # of each size there are 3 x 2 x 2 points
    [({2048.0: 1}, 0), ({2048.0: 2, 4096.0: 2}, 0), ({2048.0: 999}, 12), ({2048.0: 999, 4096.0: 999}, 24)],
)  # fmt: skip
def test_a_point_that_kills_its_workers_is_found_out_and_no_other_is_blamed(
    pool: bool, deadly: dict[float, int], failed: int
) -> None:
    asked = parse(SWEEP.replace("512 MiB", "8 KiB"))
    points = {p.key("m"): p for p in asked.points}
    with Store("s.sqlite", sweeping=True) as store:
        machines = [(p.cluster.digest, p.cluster.machine, "{}") for p in asked.points]
        store.begin("s", "", "m", machines)
        one = Campaign(store, points, asked.descriptions, "m", task=_unchecked)
        assert one.pending() == 48
        workers = Mortal(deadly, pool)
        tally = one.run(workers)
    assert tally.lost >= 1 and tally.settled == 48
    assert tally.states.get("failed", 0) == failed
    with opened("s.sqlite") as db:
        blamed = db.execute("SELECT DISTINCT size, error FROM runs WHERE state = 'failed'").fetchall()
        assert {size for size, _ in blamed} == ({float(s) for s in deadly} if failed else set())
        assert all("its worker died" in error for _, error in blamed)


def _unchecked(one: Batch) -> Done:
    """`run_batch` under any version of the model."""
    return batch._run(one)


def test_a_worker_of_another_version_is_refused() -> None:
    from topologies.errors import SimulationError

    with pytest.raises(SimulationError, match="install the same version there"):
        batch.run_batch(Batch("{}", 8, "nominal", None, (), (), "0.0.1"))


def test_a_batch_comes_back_after_its_time_with_what_it_has_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "PATIENCE", -1.0)
    monkeypatch.setattr(batch, "max", lambda *values: -1.0, raising=False)
    seen: list[int] = []
    text = SWEEP.replace("512 MiB", "8 KiB")
    done = sweep(text, "s.sqlite", workers=1, report=lambda tally: seen.append(tally.settled))
    assert done.tally.settled == 48
    steps = {b - a for a, b in itertools.pairwise(seen)} - {0}
    # A cluster that is refused comes back whole, all others one by one.
    assert steps == {1, 8}


def test_exports_are_sorted_whole_and_the_same_bytes(
    undisturbed: Path, chipweave: Callable[..., Any]
) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    for suffix in ("csv", "parquet"):
        outcome = chipweave("export", undisturbed, "-o", f"a.{suffix}")
        assert outcome.code == 0 and f"written: a.{suffix}, {POINTS} runs" in outcome.err
        assert Path(f"a.{suffix}").read_bytes() == exported(undisturbed, f"b.{suffix}")
        assert Path(f"a.{suffix}.manifest.json").exists()
    assert chipweave("export", undisturbed).out == Path("a.csv").read_text()
    frame = pq.read_table("a.parquet").to_pandas()
    order = frame[["machine", "chips", "size", "algorithm"]].apply(tuple, axis=1).tolist()
    assert order == sorted(order) and len(frame) == POINTS
    assert "seconds" not in frame
    timed = chipweave("export", undisturbed, "--timing").out.splitlines()[0]
    assert timed.endswith(",model,seconds,worker,finished")


def test_parquet_without_pyarrow_says_what_to_install(
    undisturbed: Path, chipweave: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = chipweave("export", undisturbed, "-o", "a.parquet")
    assert outcome.code == 2 and "pip install 'chipweave[parquet]'" in outcome.err
    assert not list(Path().glob("a.parquet*"))
    assert chipweave("export", undisturbed, "-o", "a.xlsx").code == 2


def test_explain_runs_the_stored_point_again(undisturbed: Path, chipweave: Callable[..., Any]) -> None:
    with Store(undisturbed) as store:
        frame = table(store).to_frame()
    done = frame[(frame.state == "done") & (frame["size"] == 2**29)].iloc[0]
    outcome = chipweave("explain", undisturbed, done.id)
    assert outcome.code == 0
    run = sim.all_reduce(
        topologies.machine(done.machine, chips=int(done.chips)), 2**29, algorithm=done.algorithm
    )
    assert outcome.out.endswith(f"\n\n{run.explain()}\n")
    assert "Run again it takes" not in outcome.out
    refused = frame[frame.state == "refused"].iloc[0]
    outcome = chipweave("explain", undisturbed, refused.id)
    assert outcome.code == 0 and refused.error in outcome.out


def test_explain_uses_the_links_and_options_of_the_point_and_tells_a_result_that_differs(
    chipweave: Callable[..., Any],
) -> None:
    Path("one.toml").write_text(
        '[[point]]\nmachine = "hgx-h100"\nchips = 16\nsize = "8 MiB"\nalgorithm = "ring"\nchannels = 2\n'
        'ranks = [0, 8, 1]\nestimate = "low"\nlink.ib-ndr.bandwidth = "x0.25"\nlibrary = "ideal"\n'
    )
    assert chipweave("sweep", "one.toml").code == 0
    with opened("one.sqlite") as db:
        key, seconds = db.execute("SELECT key, time FROM runs").fetchone()
        assert seconds > 8 * 2**20 / 12.5e9  # the slow link is in the ring
    told = chipweave("explain", "one.sqlite", key)
    assert "link.ib-ndr.bandwidth       12.5 GB/s" in told.out and "Run again" not in told.out
    with opened("one.sqlite") as db:
        db.execute("UPDATE runs SET time = 1.0, model = '0.0.1'")
    assert "the stored run is of chipweave 0.0.1" in chipweave("explain", "one.sqlite", key).out


def test_a_sweep_of_which_nothing_can_be_run_is_an_error(chipweave: Callable[..., Any]) -> None:
    Path("none.toml").write_text('[sweep]\nmachine = "tpu-v4"\nchips = [9, 11]\nsize = 8')
    outcome = chipweave("sweep", "none.toml")
    assert outcome.code == 2
    assert "no point of the sweep could be run; the first: MachineError: tpu-v4: no slice of" in outcome.err


def test_a_log_has_lines_with_the_time_left_and_quiet_has_none(
    chipweave: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.commands.sweep.PAUSE", 0.0)
    lines = chipweave("sweep", "study.toml", "--workers", 1).err.splitlines()
    assert lines[0] == f"study.toml: 0 of {POINTS}, time left unknown"
    begun = [line for line in lines if not line.startswith("study.toml: 0 of ")]
    assert len(begun) > 1 and all(line.endswith(" s left") for line in begun)
    assert lines[-1] == f"study.toml: {POINTS} of {POINTS}, {REFUSED} refused, 0 s left"
    assert chipweave("sweep", "study.toml", "-o", "quiet.sqlite", "-q").err == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", sorted((ROOT / "docs" / "sweeps").glob("*.toml")), ids=lambda file: file.stem
)
def test_the_examples_run_to_the_last_point(file: Path) -> None:
    done = sweep(file, "s.sqlite", workers=1)
    assert done.tally.states == {"done": done.tally.total}


def test_options_that_exclude_each_other(chipweave: Callable[..., Any]) -> None:
    assert chipweave("sweep", "study.toml", "--workers", 2, "--scheduler", "tcp://127.0.0.1:1").code == 2
    assert chipweave("sweep", "study.toml", "--workers", 0).code == 2
    assert chipweave("sweep", "gone.toml").code == 2


def run_command(*arguments: str) -> subprocess.Popen[str]:
    # Who is started in the background of a shell ignores Ctrl-C, and so do its children.
    programme = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from scenarios.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", programme, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What a condition gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def written(path: str) -> int:
    """Rows of a store, which may not be there yet."""
    if not Path(path).exists():
        return 0
    try:
        with opened(path) as db:
            return int(db.execute("SELECT count(*) FROM runs").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


#: Each point some milliseconds, so that there is time to interrupt.
LONG = SWEEP.replace("[8, 12]", "[8, 12, 128]").replace('"ring"', '"ring", "auto"')


@pytest.mark.slow
def test_ctrl_c_says_what_stands_and_how_to_go_on() -> None:
    Path("long.toml").write_text(LONG)
    process = run_command("sweep", "long.toml", "--workers", "1")
    wait_for(lambda: written("long.sqlite"))
    os.killpg(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"{written('long.sqlite')} of 540 points stand in long.sqlite" in complaint
    assert "to go on: chipweave sweep long.toml -o long.sqlite" in complaint
    assert "Traceback" not in complaint


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_sweep_cost_only_their_runs_in_flight() -> None:
    """Two processes; one is killed, then the sweep itself; no process is left behind."""
    psutil = pytest.importorskip("psutil")
    Path("long.toml").write_text(LONG)
    process = run_command("sweep", "long.toml", "--workers", "2")

    def workers() -> list[Any]:
        family = psutil.Process(process.pid).children()
        return [p for p in family if "LokyProcess" in " ".join(p.cmdline())]

    wait_for(lambda: written("long.sqlite"))
    victim, *others = workers()
    victim.kill()
    before = written("long.sqlite")
    wait_for(lambda: written("long.sqlite") > before or process.poll() is not None)
    family = psutil.Process(process.pid).children() if process.poll() is None else []
    process.kill()
    process.communicate()
    _, left = psutil.wait_procs([*others, *family], timeout=30)
    assert left == []
    assert sweep(LONG, "long.sqlite", workers=1).tally.states.get("failed") is None
    sweep(LONG, "undisturbed.sqlite", workers=1)
    assert contents("long.sqlite") == contents("undisturbed.sqlite")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers on loopback, each a process; (address, workers)."""
    pytest.importorskip("distributed")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = (tmp_path / "dask.log").open("wb")

    def dask(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1", "--no-dashboard"]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)

    contact = tmp_path / "scheduler.json"
    scheduler = dask("scheduler", "--port", "0", "--scheduler-file", str(contact))
    crew: list[subprocess.Popen[bytes]] = []
    try:
        wait_for(contact.exists)
        import json

        address = json.loads(contact.read_text())["address"]
        crew += [dask("worker", address, "--nthreads", "1", "--no-nanny") for _ in range(2)]
        from distributed import Client

        with Client(address) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, crew
    finally:
        for process in (*crew, scheduler):
            process.kill()
            process.wait()
        log.close()


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], chipweave: Callable[..., Any]
) -> None:
    """One worker is killed in the middle; the exports equal those of a local sweep."""
    address, crew = cluster
    Path("long.toml").write_text(LONG)
    process = run_command("sweep", "long.toml", "--scheduler", address)
    wait_for(lambda: written("long.sqlite") and workers_of("long.sqlite") == 2)
    crew[0].kill()
    out, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    assert out == "long.sqlite: 540 points: 480 done, 60 refused (0 of them before)\n"
    sweep(LONG, "local.sqlite", workers=1)
    assert contents("long.sqlite") == contents("local.sqlite")
    for suffix in ("csv", "parquet"):
        assert exported("long.sqlite", f"a.{suffix}") == exported("local.sqlite", f"b.{suffix}")
    assert workers_of("long.sqlite") == 2


def workers_of(path: str) -> int:
    """How many workers have rows in a store."""
    with opened(path) as db:
        (workers,) = db.execute("SELECT count(DISTINCT worker) FROM timings").fetchone()
    return int(workers)


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named(
    chipweave: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("scenarios.sweep.workers.ANSWER", 1.0)
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "tcp://no-such-host.invalid:8786"):
        refused = chipweave("sweep", "study.toml", "--scheduler", address)
        assert refused.code == 2, refused
        assert f"no Dask scheduler answers at '{address}'" in refused.err and refused.err.count("\n") == 1


def test_a_cluster_without_dask_says_what_to_install(
    chipweave: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    refused = chipweave("sweep", "study.toml", "--scheduler", "tcp://127.0.0.1:9")
    assert refused.code == 2 and "pip install 'chipweave[cluster]'" in refused.err
