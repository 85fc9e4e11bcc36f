"""A store of runs, as sweeps write it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scenarios.outputs import check_writable
from scenarios.store.owners import HEARTBEAT, Owner, alive, this_process
from scenarios.store.runs import COLUMNS, Outcome
from scenarios.store.schema import connect, reported, transaction
from topologies.errors import ChipweaveError, FormatError, OutputError

__all__ = ["Claimed", "Store"]


@dataclass(frozen=True, slots=True)
class Claimed:
    """What became of the keys that a sweep wants to run.

    Attributes
    ----------
    mine : list of str
        Nobody else runs them now.
    settled : dict
        Rows that another process has written meanwhile: key to state.
    elsewhere : list of str
        In flight in another process that lives.
    """

    mine: list[str]
    settled: dict[str, str]
    elsewhere: list[str]


class Store:
    """A store of runs.

    Use it as a context manager; with ``sweeping=True`` it makes the file if there is
    none, enters this process among the owners, and keeps its heartbeat going.

    Parameters
    ----------
    path : path
        The file.
    sweeping : bool
        Whether to write.

    Attributes
    ----------
    path : Path

    Raises
    ------
    FormatError
        If the file is no store, or one of another version; it is left as it is.
    OutputError
        If it cannot be opened, made or written.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Store(folder.name + "/study.sqlite", sweeping=True) as store:
    ...     store.claim(["a", "b"]).mine
    ['a', 'b']
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], *, sweeping: bool = False) -> None:
        self.path = Path(path)
        self.sweeping = sweeping
        if sweeping:
            check_writable(self.path.parent)
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot make the folder of '{path}': {error.strerror}") from error
        self._connection = connect(self.path, create=sweeping)
        self._owner: Owner | None = None
        self._stop = threading.Event()
        self._failure: ChipweaveError | None = None
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Store:
        if self.sweeping:
            owner = this_process()
            with transaction(self._connection, self.path) as db:
                self._bury(db)
                db.execute("INSERT INTO owners VALUES (?, ?, ?, ?, ?, ?)", (*astuple(owner), time.time()))
            self._owner = owner
            self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._owner is not None:
                self._leave(self._owner)
        finally:
            self._connection.close()

    def states(self, model: str) -> dict[str, str]:
        """State of every run of a version of the model, by key."""
        with reported(self.path):
            return dict(self._connection.execute("SELECT key, state FROM runs WHERE model = ?", (model,)))

    def begin(self, name: str, text: str, model: str, machines: Iterable[tuple[str, str, str]]) -> None:
        """Note a sweep and its machines, as (digest, name, description)."""
        with transaction(self._connection, self.path) as db:
            db.executemany("INSERT OR IGNORE INTO machines VALUES (?, ?, ?)", machines)
            db.execute(
                "INSERT INTO sweeps (name, text, model, started) VALUES (?, ?, ?, ?)",
                (name, text, model, _now()),
            )

    def claim(self, keys: Sequence[str], *, retry: bool = False) -> Claimed:
        """Take runs that nobody else does; arguments as for `exchange`."""
        return self.exchange([], [], keys, retry=retry)

    def exchange(
        self,
        outcomes: Sequence[Outcome],
        rows: Sequence[Sequence[Any]],
        wanted: Sequence[str],
        *,
        retry: bool = False,
    ) -> Claimed:
        """Write what has been run, and take what shall be run next: all of it or nothing.

        Parameters
        ----------
        outcomes : sequence of Outcome
            Runs that this process had claimed.
        rows : sequence
            Their rows for the table ``runs``.
        wanted : sequence of str
            Keys to claim.
        retry : bool
            Whether runs that are there but not done are to be run again.

        Raises
        ------
        OutputError
            If they cannot be written; nothing has changed then.
        """
        self.check()
        owner = None if self._owner is None else self._owner.id
        finished = _now()
        with transaction(self._connection, self.path) as db:
            if outcomes:
                db.executemany(_insert("runs", len(COLUMNS)), rows)
                db.executemany(
                    _insert("timings", 4), [(o.key, o.seconds, o.worker, finished) for o in outcomes]
                )
                db.executemany(
                    "DELETE FROM claims WHERE key = ? AND owner = ?", [(o.key, owner) for o in outcomes]
                )
            return self._take(wanted, retry)

    def check(self) -> None:
        """Raise what the heartbeat met."""
        if self._failure is not None:
            raise self._failure

    def release(self, keys: Iterable[str]) -> None:
        """Give back claims without having run them."""
        if self._owner is not None:
            owner = self._owner.id
            with transaction(self._connection, self.path) as db:
                db.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", [(k, owner) for k in keys])

    def find(self, prefix: str) -> Mapping[str, Any]:
        """The run whose key begins so, with its machine's description.

        Raises
        ------
        FormatError
            If there is none, or several.
        """
        if not prefix or not set(prefix) <= set("0123456789abcdef"):
            raise FormatError(
                f"'{prefix}' is no ID of a run; give the first digits of the column id of export"
            )
        with reported(self.path):
            cursor = self._connection.execute(
                "SELECT runs.*, machines.description, timings.seconds, timings.worker, timings.finished "
                "FROM runs JOIN machines USING (digest) LEFT JOIN timings USING (key) "
                "WHERE key >= ? AND key < ? LIMIT 2",
                (prefix, prefix + "g"),
            )
            names = [column[0] for column in cursor.description]
            found = [dict(zip(names, values, strict=True)) for values in cursor]
        if len(found) != 1:
            what = "no run" if not found else "more than one run"
            raise FormatError(
                f"'{self.path}' has {what} whose ID begins with '{prefix}'; "
                f"see chipweave export '{self.path}'"
            )
        return found[0]

    def rows(self) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Names of the columns, and every run with its timing, in no certain order."""
        with reported(self.path):
            cursor = self._connection.execute(
                "SELECT runs.*, timings.seconds, timings.worker, timings.finished "
                "FROM runs LEFT JOIN timings USING (key)"
            )
            return [column[0] for column in cursor.description], cursor.fetchall()

    def first_error(self) -> str | None:
        """The error of the first run that is not done, in the order of the keys."""
        with reported(self.path):
            found = self._connection.execute(
                "SELECT error FROM runs WHERE state <> 'done' ORDER BY key LIMIT 1"
            )
            return next((error for (error,) in found), None)

    def models(self) -> list[str]:
        """Versions of the model that runs are of, that of the newest sweep last."""
        with reported(self.path):
            return [
                model
                for (model,) in self._connection.execute(
                    "SELECT model FROM (SELECT DISTINCT model FROM runs) "
                    "LEFT JOIN (SELECT model, max(id) AS last FROM sweeps GROUP BY model) USING (model) "
                    "ORDER BY last, model"
                )
            ]

    def _take(self, wanted: Sequence[str], retry: bool) -> Claimed:
        db = self._connection
        mine: list[str] = []
        settled: dict[str, str] = {}
        elsewhere: list[str] = []
        # Only within this transaction: nobody can die in a way that matters during it.
        lives: dict[str, bool] = {}
        owner = "" if self._owner is None else self._owner.id
        for key in wanted:
            state = db.execute("SELECT state FROM runs WHERE key = ?", (key,)).fetchone()
            if state and (state[0] == "done" or not retry):
                settled[key] = state[0]
                continue
            holder = db.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
            if holder and holder[0] != owner and lives.setdefault(holder[0], self._lives(holder[0])):
                elsewhere.append(key)
            else:
                mine.append(key)
        db.executemany(_insert("claims", 2), [(key, owner) for key in mine])
        return Claimed(mine, settled, elsewhere)

    def _lives(self, owner: str) -> bool:
        row = self._connection.execute("SELECT * FROM owners WHERE id = ?", (owner,)).fetchone()
        return row is not None and alive(Owner(*row[:-1]), row[-1])

    @staticmethod
    def _bury(db: Any) -> None:
        """Forget processes that have died, and their claims."""
        dead = [
            (row[0],) for row in db.execute("SELECT * FROM owners") if not alive(Owner(*row[:-1]), row[-1])
        ]
        db.executemany("DELETE FROM owners WHERE id = ?", dead)
        db.execute("DELETE FROM claims WHERE owner NOT IN (SELECT id FROM owners)")

    def _beat(self) -> None:
        assert self._owner is not None
        try:
            connection = connect(self.path)
            try:
                while not self._stop.wait(HEARTBEAT):
                    with transaction(connection, self.path) as db:
                        db.execute(
                            "UPDATE owners SET heartbeat = ? WHERE id = ?", (time.time(), self._owner.id)
                        )
            finally:
                connection.close()
        except ChipweaveError as error:
            self._failure = error  # raised by the next write

    def _leave(self, owner: Owner) -> None:
        self._stop.set()
        if self._heart is not None:
            self._heart.join()
        try:
            with transaction(self._connection, self.path) as db:
                db.execute("DELETE FROM claims WHERE owner = ?", (owner.id,))
                db.execute("DELETE FROM owners WHERE id = ?", (owner.id,))
        except OutputError:
            # The disk that stopped the sweep stops this too; the next process sees
            # that this one is gone.
            pass


def _insert(table: str, columns: int) -> str:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * columns)})"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
