"""Stores: what is in them stands, whatever happens to the file, the disk, or those who write."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from scenarios.store import Outcome, Store, owners, schema
from scenarios.store.owners import Owner, alive, this_process
from scenarios.store.table import table
from topologies.errors import FormatError, OutputError

SWEEP = '[sweep]\nmachine = "hgx-h100"\nsize = "1 KiB:1 MiB"\nalgorithm = ["ring", "auto"]\n'


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(SWEEP)
    return tmp_path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk of its own, whose options can be changed while it is mounted."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options: str) -> Path:
        again = "remount," if os.path.ismount(disk) else ""
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", again + options, "none", str(disk)],
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode and not again:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        return disk

    yield mount
    if os.path.ismount(disk):
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def opened(path: Path | str) -> Iterator[sqlite3.Connection]:
    """A transaction on a connection that is closed afterwards, which sqlite3's own is not."""
    with closing(sqlite3.connect(path, timeout=10)) as db, db:
        yield db


def rows(path: Path) -> list[Any]:
    """Everything in a store that a sweep may be compared by."""
    with opened(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in ("runs", "machines")]


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outcome(key: str, state: str = "done") -> tuple[Outcome, list[Any]]:
    inputs = '{"machine":"m","chips":8,"collective":"send","size":8.0,"algorithm":"auto","link":{}}'
    row = [key, "v", state, None, "m", 8, "send", 8.0, "auto", inputs, "d", *[None] * 11]
    return Outcome(key, state, None, (), 0.0, "here"), row


def test_what_is_written_is_found_and_its_claim_is_gone() -> None:
    with Store("s.sqlite", sweeping=True) as store:
        assert store.claim(["a", "b"]).mine == ["a", "b"]
        one, row = outcome("a")
        found = store.exchange([one], [row], ["a", "c"])
        assert (found.mine, found.settled, found.elsewhere) == (["c"], {"a": "done"}, [])
        assert store.states("v") == {"a": "done"} and store.states("w") == {}
    with opened("s.sqlite") as db:
        assert (
            db.execute("SELECT * FROM claims").fetchall()
            == db.execute("SELECT * FROM owners").fetchall()
            == []
        )
    assert sorted(p.name for p in Path().iterdir()) == ["s.sqlite", "study.toml"]


def test_a_failed_run_is_taken_again_only_when_asked() -> None:
    with Store("s.sqlite", sweeping=True) as store:
        one, row = outcome("a", "failed")
        store.exchange([one], [row], [])
        assert store.claim(["a"]).settled == {"a": "failed"}
        assert store.claim(["a"], retry=True).mine == ["a"]
        one, row = outcome("a")
        store.exchange([one], [row], [])
        assert store.claim(["a"], retry=True).settled == {"a": "done"}


def test_another_look_at_a_store_of_this_process_keeps_its_locks() -> None:
    """With POSIX locks, a file that is closed loses every lock that the process has on it."""
    with Store("s.sqlite", sweeping=True) as store:
        with schema.transaction(store._connection, store.path):
            with Store("s.sqlite"), Store("s.sqlite"):
                pass
            probe = "import sqlite3; sqlite3.connect('s.sqlite', timeout=0).execute('BEGIN IMMEDIATE')"
            other = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False, text=True)
        assert "database is locked" in other.stderr


def test_a_transaction_that_fails_leaves_nothing() -> None:
    with Store("s.sqlite", sweeping=True) as store:
        one, row = outcome("a")
        bad, bad_row = outcome("b", "nonsense")
        with pytest.raises(OutputError, match="CHECK constraint"):
            store.exchange([one, bad], [row, bad_row], ["c"])
        assert store.states("v") == {}
        assert store.claim(["a", "b", "c"]).mine == ["a", "b", "c"]


def enter(path: str, owner: Owner, heartbeat: float, *keys: str) -> None:
    """Claims as another process leaves them."""
    with opened(path) as db:
        values = (owner.id, owner.host, owner.boot, owner.pid, owner.born, heartbeat)
        db.execute("INSERT INTO owners VALUES (?, ?, ?, ?, ?, ?)", values)
        db.executemany("INSERT INTO claims VALUES (?, ?)", [(key, owner.id) for key in keys])


def test_claims_of_the_living_are_respected_and_those_of_the_dead_are_taken_over() -> None:
    me = this_process()
    gone = subprocess.Popen(["true"])
    gone.wait()
    another_boot = Owner("boot", me.host, f"earlier {me.boot}", me.pid, me.born)
    number_again = Owner("number", me.host, me.boot, me.pid, str(int(me.born) - 1))
    dead = Owner("dead", me.host, me.boot, gone.pid, me.born)
    far, silent = Owner("far", "elsewhere", "b", 1, "1"), Owner("silent", "elsewhere", "b", 2, "1")
    container = Owner("container", me.host, f"{me.kernel} pid:[1]", 999999, "1")
    now = time.time()
    with Store("s.sqlite", sweeping=True) as store:
        enter("s.sqlite", me, 0.0, f"key of {me.id}")
        for owner in (another_boot, number_again, dead, far, container):
            enter("s.sqlite", owner, now, f"key of {owner.id}")
        enter("s.sqlite", silent, now - 2 * owners.SILENCE, "key of silent")
        names = {
            o.id: f"key of {o.id}" for o in (me, another_boot, number_again, dead, far, silent, container)
        }
        found = store.claim(list(names.values()))
    assert set(found.elsewhere) == {names[me.id], names["far"], names["container"]}
    assert set(found.mine) == {names[o] for o in ("boot", "number", "dead", "silent")}


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen(["true"])
    time.sleep(0.2)  # not waited for: it stays in the table of processes
    me = this_process()
    assert not alive(Owner("", me.host, me.boot, child.pid, "1"), time.time())
    child.wait()


def test_a_sweep_waits_for_a_run_in_flight_elsewhere_and_counts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host holds one point; after a while it writes it, and only then the sweep ends."""
    from scenarios.sweep import campaign
    from scenarios.sweep.sweep import sweep

    monkeypatch.setattr(campaign, "GLANCE", 0.05)
    whole = sweep(SWEEP, "whole.sqlite", workers=1)
    shutil.copy("whole.sqlite", "s.sqlite")
    with opened("s.sqlite") as db:
        key, *_ = row = db.execute("SELECT * FROM runs").fetchone()
        db.execute("DELETE FROM runs WHERE key = ?", (key,))
    enter("s.sqlite", Owner("far", "elsewhere", "b", 1, "1"), time.time(), key)

    def write() -> None:
        with opened("s.sqlite") as db:
            db.execute(f"INSERT INTO runs VALUES ({', '.join('?' * len(row))})", row)

    timer = threading.Timer(0.5, write)
    started = time.monotonic()
    timer.start()
    done = sweep(SWEEP, "s.sqlite", workers=1)
    assert time.monotonic() - started > 0.4
    assert done.tally.states == whole.tally.states == {"done": 22}
    assert rows(Path("s.sqlite")) == rows(Path("whole.sqlite"))


def test_a_lock_is_waited_for_and_named_when_it_stays(
    chipweave: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chipweave("sweep", "study.toml", "-o", "s.sqlite", "-q").code == 0
    other = sqlite3.connect("s.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
    timer.start()
    assert chipweave("sweep", "study.toml", "-o", "s.sqlite", "-q").code == 0
    timer.join()
    monkeypatch.setattr(schema, "BUSY", 0.1)
    other.execute("BEGIN EXCLUSIVE")
    refused = chipweave("sweep", "study.toml", "-o", "s.sqlite", "-q")
    other.execute("ROLLBACK")
    assert refused.code == 2 and "another process has held it" in refused.err
    assert "database is locked" not in refused.err


def a_table(path: Path) -> None:
    with opened(path) as db:
        db.execute("CREATE TABLE t (a)")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_text("size,time\n"), "no SQLite file"),
        (a_table, "another SQLite file"),
        (lambda p: p.mkdir(), "it is a folder"),
        (lambda p: p.write_bytes(b"SQLite format 3\0" + bytes(range(200)) * 20), "damaged"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", [("sweep", "study.toml", "-o"), ("export",), ("explain",)])
def test_what_is_no_store_is_left_as_it_is(
    make: Callable[[Path], object], message: str, command: tuple[str, ...], chipweave: Callable[..., Any]
) -> None:
    path = Path("x.sqlite")
    make(path)
    before = sha(path) if path.is_file() else None
    extra = ["abc"] if command == ("explain",) else []
    refused = chipweave(*command, path, *extra)
    assert refused.code == 2 and message in refused.err, refused.err
    assert refused.err.count("\n") == 1 and "x.sqlite" in refused.err
    assert before is None or sha(path) == before


@pytest.mark.parametrize(("version", "age"), [(0, "an older"), (99, "a newer")])
def test_a_store_of_another_version_is_left_as_it_is(
    version: int, age: str, chipweave: Callable[..., Any]
) -> None:
    assert chipweave("sweep", "study.toml", "-o", "s.sqlite").code == 0
    with opened("s.sqlite") as db:
        db.execute(f"PRAGMA user_version = {version}")
    before = sha(Path("s.sqlite"))
    for command in (
        ("sweep", "study.toml", "-o", "s.sqlite"),
        ("export", "s.sqlite"),
        ("explain", "s.sqlite", "a"),
    ):
        refused = chipweave(*command)
        assert refused.code == 2 and f"a store of {age} chipweave (layout {version}" in refused.err
    assert sha(Path("s.sqlite")) == before


def test_a_store_that_is_not_there_is_made_by_a_sweep_and_by_nothing_else(
    chipweave: Callable[..., Any],
) -> None:
    for command in (("export", "s.sqlite"), ("explain", "s.sqlite", "a")):
        refused = chipweave(*command)
        assert refused.code == 2 and "there is no store; chipweave sweep" in refused.err
    assert not Path("s.sqlite").exists()
    Path("s.sqlite").touch()  # what a process leaves that died while it made one
    assert chipweave("sweep", "study.toml", "-o", "s.sqlite").code == 0
    assert chipweave("sweep", "study.toml", "-o", "new/folder/s.sqlite").code == 0
    assert rows(Path("new/folder/s.sqlite")) == rows(Path("s.sqlite"))


def test_a_disk_that_fills_up_costs_nothing_that_was_written(
    small_disk: Callable[[str], Path], chipweave: Callable[..., Any]
) -> None:
    """The sweep stops in one line; what is in the store stands; with room it goes on to the end."""
    disk = small_disk("size=100k")
    Path("many.toml").write_text(SWEEP.replace('"1 KiB:1 MiB"', str(list(range(1000, 1100)))))
    assert chipweave("sweep", "study.toml", "-o", disk / "s.sqlite").code == 0
    early = rows(disk / "s.sqlite")
    refused = chipweave("sweep", "many.toml", "-o", disk / "s.sqlite", "--workers", 1)
    assert refused.code == 2 and "the disk is full; what is in it stands" in refused.err, refused.err
    assert refused.err.count("\n") == 1
    full = rows(disk / "s.sqlite")
    assert set(early[0]) <= set(full[0]) and len(full[0]) < 222
    exported = chipweave("export", disk / "s.sqlite")
    assert exported.code == 0 and exported.out.count("\n") == len(full[0]) + 1
    with pytest.raises(OSError, match="No space left"), (disk / "rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(bytes(1024))
    refused = chipweave("export", disk / "s.sqlite", "-o", disk / "s.csv")
    assert refused.code == 2 and "No space left" in refused.err
    assert sorted(p.name for p in disk.iterdir()) == ["rest", "s.sqlite"]
    small_disk("size=10m")
    assert chipweave("sweep", "many.toml", "-o", disk / "s.sqlite", "--workers", 1).code == 0
    for file in ("study.toml", "many.toml"):
        assert chipweave("sweep", file, "-o", "undisturbed.sqlite", "--workers", 1).code == 0
    assert rows(disk / "s.sqlite") == rows(Path("undisturbed.sqlite"))


def test_a_disk_too_small_for_a_store_is_named(
    small_disk: Callable[[str], Path], chipweave: Callable[..., Any]
) -> None:
    disk = small_disk("size=4k")
    refused = chipweave("sweep", "study.toml", "-o", disk / "s.sqlite")
    assert refused.code == 2 and "the disk is full" in refused.err and refused.err.count("\n") == 1


def test_a_folder_that_cannot_be_written(
    small_disk: Callable[[str], Path], chipweave: Callable[..., Any]
) -> None:
    """A sweep says so before it runs anything; an export reads the store all the same."""
    disk = small_disk("size=1m")
    assert chipweave("sweep", "study.toml", "-o", disk / "s.sqlite").code == 0
    before, exported = sha(disk / "s.sqlite"), chipweave("export", disk / "s.sqlite").out
    small_disk("ro")
    for name in ("s.sqlite", "new.sqlite", "folder/new.sqlite"):
        refused = chipweave("sweep", "study.toml", "-o", disk / name)
        assert refused.code == 2 and "Read-only file system" in refused.err and refused.err.count("\n") == 1
    assert chipweave("export", disk / "s.sqlite").out == exported
    refused = chipweave("export", disk / "s.sqlite", "-o", disk / "s.csv")
    assert refused.code == 2 and "Read-only" in refused.err
    assert sha(disk / "s.sqlite") == before


def test_a_heartbeat_that_cannot_be_written_stops_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "HEARTBEAT", 0.05)
    monkeypatch.setattr("scenarios.store.store.HEARTBEAT", 0.05)
    with Store("s.sqlite", sweeping=True) as store:
        with opened("s.sqlite") as db:
            first = db.execute("SELECT heartbeat FROM owners").fetchone()
        time.sleep(0.3)
        with opened("s.sqlite") as db:
            assert db.execute("SELECT heartbeat FROM owners").fetchone() > first
            db.execute("ALTER TABLE owners RENAME COLUMN heartbeat TO gone")
        time.sleep(0.3)
        with pytest.raises(OutputError, match="no such column: heartbeat"):
            store.exchange([], [], ["a"])


def test_a_model_that_is_another_runs_again_and_export_takes_the_newest(
    chipweave: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chipweave("sweep", "study.toml").out == "study.sqlite: 22 points: 22 done (0 of them before)\n"
    assert chipweave("sweep", "study.toml").out == "study.sqlite: 22 points: 22 done (22 of them before)\n"
    with opened("study.sqlite") as db:
        db.execute("UPDATE runs SET model = 'old', key = 'old ' || key")
        db.execute("DELETE FROM sweeps")
    assert chipweave("sweep", "study.toml").out == "study.sqlite: 22 points: 22 done (0 of them before)\n"
    newest = chipweave("export", "study.sqlite")
    assert newest.out.count("\n") == 23 and "runs of 1 other version of" in newest.err
    assert chipweave("export", "study.sqlite", "--every-model").out.count("\n") == 45


def test_ids_find_one_run_or_say_so(chipweave: Callable[..., Any]) -> None:
    chipweave("sweep", "study.toml")
    with Store("study.sqlite") as store:
        ids = table(store).columns["id"]
        for bad in ("", "xyz", "%", "é"):
            with pytest.raises(FormatError, match="is no ID"):
                store.find(bad)
        with pytest.raises(FormatError, match="no run whose ID"):
            store.find("0" * 64)
        with pytest.raises(FormatError, match="more than one run"):
            store.find(next(c for c in "0123456789abcdef" if sum(i[0] == c for i in ids) > 1))
        assert all(store.find(i)["key"].startswith(i) for i in ids)


def test_a_process_is_told_from_another_of_its_number() -> None:
    me = this_process()
    assert me.pid == os.getpid() and me.host == socket.gethostname()
    assert alive(me, 0.0)
    assert not alive(Owner(me.id, me.host, me.boot, 2**22 + 1, me.born), time.time())
