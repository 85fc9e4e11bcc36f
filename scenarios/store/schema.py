"""The tables of a store, and opening a file that may be anything.

A store is one SQLite file. It is written with a rollback journal and
``synchronous = FULL``: what has been committed survives a power cut, a commit
that does not come through (kill -9, full disk) leaves what was there before, and
between two commits there is nothing beside the one file, so that it can be
copied, and read from a folder that cannot be written. (Write-ahead logging needs
shared memory: not on network file systems, and not read-only.)

Nothing but SQLite opens the file, not even to look at its first bytes: with POSIX
locks, a process that closes a file gives up every lock it has on it, and the sweep
of the same process would write unprotected.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from topologies.errors import FormatError, OutputError

__all__ = ["BUSY", "SCHEMA_VERSION", "connect", "reported", "transaction"]

#: ``PRAGMA user_version``; one more whenever a table changes.
SCHEMA_VERSION = 1

#: ``PRAGMA application_id``: "Cwv1" in ASCII.
APPLICATION_ID = 0x43777631

#: Seconds to wait for another process that writes; it holds the file for milliseconds.
BUSY = 120.0

_TABLES = """
CREATE TABLE machines (
    digest TEXT PRIMARY KEY,      -- of the figures
    name TEXT NOT NULL,
    description TEXT NOT NULL     -- JSON, as topologies.machine takes it
) WITHOUT ROWID;
CREATE TABLE runs (
    key TEXT PRIMARY KEY,         -- SHA-256 of inputs, figures and model
    model TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'refused', 'failed')),
    error TEXT,                   -- one line, where state is not 'done'
    machine TEXT NOT NULL,
    chips INTEGER NOT NULL,
    collective TEXT NOT NULL,
    size REAL NOT NULL,           -- bytes
    algorithm TEXT NOT NULL,      -- as asked
    inputs TEXT NOT NULL,         -- JSON: every argument, defaults included
    digest TEXT NOT NULL REFERENCES machines,
    ran_algorithm TEXT,           -- as run
    ran_protocol TEXT,
    ran_library TEXT,
    ran_ranks INTEGER,
    time REAL,                    -- seconds
    algbw REAL,                   -- bytes/s
    busbw REAL,                   -- bytes/s
    lower_bound REAL,             -- seconds
    efficiency REAL,              -- lower_bound / time
    bounded_by TEXT,
    breakdown TEXT                -- JSON: seconds by cause
) WITHOUT ROWID;
CREATE TABLE timings (            -- what differs from sweep to sweep
    key TEXT PRIMARY KEY REFERENCES runs,
    seconds REAL NOT NULL,        -- of the run itself
    worker TEXT NOT NULL,
    finished TEXT NOT NULL        -- UTC
) WITHOUT ROWID;
CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    text TEXT NOT NULL,           -- the sweep file
    model TEXT NOT NULL,
    started TEXT NOT NULL         -- UTC
);
CREATE TABLE owners (             -- processes that sweep now
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    boot TEXT NOT NULL,
    pid INTEGER NOT NULL,
    born TEXT NOT NULL,           -- start of the process, as the system counts it
    heartbeat REAL NOT NULL       -- seconds since 1970
) WITHOUT ROWID;
CREATE TABLE claims (             -- runs in flight
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL
) WITHOUT ROWID;
"""


def connect(path: Path, *, create: bool = False, any_thread: bool = False) -> sqlite3.Connection:
    """Open a store.

    Parameters
    ----------
    path : Path
    create : bool
        Whether to make it if there is none.
    any_thread : bool
        Whether threads share the connection; they must take turns.

    Raises
    ------
    FormatError
        If there is no such file, it is no store, or one of another version.
    OutputError
        If it cannot be opened or made.
    """
    if path.is_dir():
        raise FormatError(f"cannot open '{path}': it is a folder; give the name of a store")
    # A process that dies while it makes a store leaves an empty file.
    fresh = not path.exists() or path.stat().st_size == 0
    if fresh and not create:
        raise FormatError(f"cannot open '{path}': there is no store; chipweave sweep -o '{path}' makes one")
    with reported(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=BUSY,
            isolation_level=None,
            check_same_thread=not any_thread,
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            if create:
                _make(connection)
            _check_version(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """All of the statements inside, or none of them."""
    with reported(path):
        # IMMEDIATE: a reader that turned writer could meet another that waits for it.
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Say in one line what SQLite could not do, and why."""
    try:
        yield
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise FormatError(
                f"'{path}' is no store: no SQLite file, or a damaged one ({error}); give another name"
            ) from error
        name = getattr(error, "sqlite_errorname", "")
        reason = {
            sqlite3.SQLITE_FULL: "the disk is full; what is in it stands: free some space and run again",
            sqlite3.SQLITE_IOERR: f"{error} ({name}); what is in it stands: see to the disk and run again",
            sqlite3.SQLITE_READONLY: "it, or its folder, is read-only; choose another place with -o",
            sqlite3.SQLITE_CANTOPEN: "it, or its folder, cannot be opened; choose another place with -o",
            sqlite3.SQLITE_PERM: "access is denied; choose another place with -o",
            sqlite3.SQLITE_BUSY: f"another process has held it for {BUSY:.0f} s; end that one and run again",
            sqlite3.SQLITE_LOCKED: "another process holds it; end that one and run again",
        }.get(primary, str(error))
        raise OutputError(f"cannot use '{path}': {reason}") from error


def _make(connection: sqlite3.Connection) -> None:
    """Make the tables, if the file is empty; two processes may try at once."""
    if connection.execute("PRAGMA page_count").fetchone()[0]:
        return
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise FormatError(f"'{path}' is no store of chipweave but another SQLite file; give another name")
    if version != SCHEMA_VERSION:
        age = "an older" if version < SCHEMA_VERSION else "a newer"
        raise FormatError(
            f"'{path}' is a store of {age} chipweave (layout {version}, this one has {SCHEMA_VERSION}); "
            "it is left as it is: read it with that version, or give another name"
        )
