"""What happened in a class, on disk: events, appended to a SQLite file.

Guarantee: once `append` has returned, the events outlive a kill of the server and of the machine
(WAL, synchronous=FULL); those of one call are there all or not at all. Of one seat's progress the
newest few hundred states are kept, so that a seat that floods cannot fill the disk.
"""

import asyncio
import fcntl
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from mxlab.errors import EnvironmentProblem

FILE = "class.sqlite"
MOST = 400  # states of one seat's progress; the older half goes when there are more
_TABLES = """
CREATE TABLE IF NOT EXISTS happened (
  number INTEGER PRIMARY KEY, at REAL NOT NULL, seat INTEGER NOT NULL, kind TEXT NOT NULL,
  body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_seat ON happened (seat, kind, number);
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
_PRUNE = """
DELETE FROM happened WHERE seat = ?1 AND kind = 'progress' AND number <= (
  SELECT number FROM happened WHERE seat = ?1 AND kind = 'progress'
  ORDER BY number DESC LIMIT 1 OFFSET ?2)
"""
R = TypeVar("R")


class Happening(msgspec.Struct, frozen=True):
    """Something that happened at a seat (0: to the whole class), at so many seconds since the Unix
    epoch. `body` is JSON."""

    at: float
    seat: int
    kind: str
    body: bytes


class ClassStore:
    """The file in a folder, which one server has at a time. Raises EnvironmentProblem."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="class-store")
        self._counts: dict[int, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "class.lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            text = f"another class server keeps its progress in {folder}"
            raise EnvironmentProblem(text, "end that one, or give another folder") from error
        except OSError as error:
            raise _no_folder(folder, error.strerror or str(error)) from error
        try:
            self._base = self._open(folder / FILE)
        except sqlite3.Error as error:
            self._lock.close()
            raise _no_folder(folder, str(error)) from error

    def _open(self, file: Path) -> sqlite3.Connection:
        base = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.executescript(_TABLES)
        key = secrets.token_bytes(32)
        base.execute("INSERT OR IGNORE INTO kept VALUES ('key', ?)", (key,))
        rows = "SELECT seat, count(*) FROM happened WHERE kind = 'progress' GROUP BY seat"
        self._counts = dict(base.execute(rows).fetchall())
        return base

    @property
    def key(self) -> bytes:
        """Drawn when the file was made: what this class signs with."""
        found = self._base.execute("SELECT value FROM kept WHERE name = 'key'").fetchone()
        return bytes(found[0])

    def everything(self) -> list[Happening]:
        """All that happened, in order."""
        rows = self._base.execute("SELECT at, seat, kind, body FROM happened ORDER BY number")
        return [Happening(*row) for row in rows]

    async def append(self, happened: Sequence[Happening]) -> None:
        """Write them down. Raises EnvironmentProblem where that cannot be done, a full disk say."""
        try:
            await self._aside(lambda: self._append(happened))
        except sqlite3.Error as error:
            raise _no_folder(self._folder, str(error)) from error

    def _append(self, happened: Sequence[Happening]) -> None:
        base = self._base
        base.execute("BEGIN IMMEDIATE")
        try:
            for one in happened:
                row = (one.at, one.seat, one.kind, one.body)
                base.execute("INSERT INTO happened (at, seat, kind, body) VALUES (?,?,?,?)", row)
                if one.kind == "progress":
                    self._counts[one.seat] = self._counts.get(one.seat, 0) + 1
            for seat in {one.seat for one in happened if self._counts.get(one.seat, 0) > MOST}:
                base.execute(_PRUNE, (seat, MOST // 2))
                self._counts[seat] = MOST // 2
            base.execute("COMMIT")
        except BaseException:
            if base.in_transaction:
                base.execute("ROLLBACK")
            raise

    async def _aside(self, work: Callable[[], R]) -> R:
        """In a thread of its own: a disk that is slow holds nobody up. What has begun is finished,
        even where the one who asked is gone."""
        task = asyncio.get_running_loop().run_in_executor(self._worker, work)
        return await asyncio.shield(task)

    def close(self) -> None:
        self._worker.shutdown()
        self._base.close()
        self._lock.close()


def _no_folder(folder: Path, why: str) -> EnvironmentProblem:
    text = f"the class's progress cannot be kept in {folder}: {why}"
    return EnvironmentProblem(text, "is there room, and may this user write there?")
