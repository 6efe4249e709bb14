"""The durable spool: an SQLite database, one writer thread, group commit.

Guarantee: when `put` or `settle` has returned, its change survives SIGKILL and power loss (of an
honest disk); when it has raised, nothing has changed. The crash argument, step by step:

1. Changes wait in a queue. The writer takes all that wait, applies them in one transaction and
   commits. Callers are resumed only after COMMIT has returned, so a 250 never comes before it.
2. The database is in WAL mode with synchronous=FULL: COMMIT appends the changed pages to the log,
   each with a checksum, the last with a commit mark, and returns after fsync of the log. When the
   log is new, SQLite syncs its directory too.
3. A crash before the commit mark is on disk: recovery stops at the last whole transaction. The
   messages of the group were not acknowledged; their senders still have them.
4. A crash after the mark and before the caller heard of it: the message is stored and the sender
   tries again. That is a duplicate, and the client has an `unknown` on record to explain it.
5. A checkpoint copies pages into the database and syncs it before the log may be written from its
   start again. A crash in between repeats the copy, which changes nothing.
6. A message, its content and its recipients, and an outcome with the notifications about it, are
   each in one transaction: neither is ever seen in part.
7. A change that fails (a full or failing disk, a wrong value) rolls the group back, and the group's
   changes are done again one by one, each in its own transaction: one cannot spoil another.
8. A new database is made and synced under another name and then renamed, and so is a repaired one
   (see `spool_repair`): a file without tables is damaged, never new.
"""

import asyncio
import errno
import fcntl
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar, cast

from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.mta import spool_repair as repair
from mxlab_services.mta import spool_tables as tables
from mxlab_services.mta.spool_check import connect, primary_code
from mxlab_services.mta.spool_repair import Damage
from mxlab_services.mta.types import Destination, Queued, Settled
from mxlab_services.mta.worker import Caller, Failure, Worker

log = logging.getLogger(__name__)

T = TypeVar("T")
PAGE = 500  # messages that `load` reads at a time
_MOST_PAGES = 0xFFFFFFFE  # SQLite's own limit


@dataclass(frozen=True, slots=True)
class _Put:
    message: Queued
    content: bytes


@dataclass(frozen=True, slots=True)
class _Settle:
    settled: Settled
    extra: tuple[tuple[Queued, bytes], ...]


@dataclass(frozen=True, slots=True)
class _Hold:
    queue_id: str
    held: bool


@dataclass(frozen=True, slots=True)
class _Requeue:
    now: float
    domain: str
    queue_id: str


@dataclass(frozen=True, slots=True)
class _Remove:
    queue_id: str


@dataclass(frozen=True, slots=True)
class _Restrict:
    full: bool
    read_only: bool


_Change = _Put | _Settle | _Hold | _Requeue | _Remove | _Restrict


class SqliteSpool:
    """A Spool in an SQLite database. Made by `open`.

    `damage` tells what was wrong when it was opened, or is None.
    """

    def __init__(
        self, path: Path, writer: "_Writer", reader: sqlite3.Connection, damage: Damage | None
    ) -> None:
        self.damage = damage
        self._path = path
        self._writer = writer
        self._reader = reader
        self._changes: Worker[_Change] = Worker("spool-writer", writer.run)
        self._reads = Caller("spool-reader")
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> "SqliteSpool":
        """Open the spool or make one; save what can be saved if it is damaged (see `damage`).

        Raises SpoolError when the disk refuses, or when another process has the spool open.
        """
        return cls(path, *await asyncio.to_thread(_open, path))

    async def put(self, message: Queued, content: bytes) -> None:
        await self._changes.submit(_Put(_checked(message), content))

    async def settle(self, settled: Settled, extra: Sequence[tuple[Queued, bytes]] = ()) -> bool:
        for message, _ in extra:
            _checked(message)
        return cast("bool", await self._changes.submit(_Settle(settled, tuple(extra))))

    async def hold(self, queue_id: str, held: bool) -> None:
        await self._changes.submit(_Hold(queue_id, held))

    async def requeue(self, now: float, *, domain: str = "", queue_id: str = "") -> int:
        return cast("int", await self._changes.submit(_Requeue(now, domain, queue_id)))

    async def remove(self, queue_id: str) -> None:
        await self._changes.submit(_Remove(queue_id))

    async def restrict(self, *, full: bool = False, read_only: bool = False) -> None:
        """The disk-full and read-only faults, by SQLite's own limits, until called again without.

        A full database takes no new page; a message that fits into pages already there may pass.
        """
        await self._changes.submit(_Restrict(full, read_only))

    async def get(self, queue_id: str) -> Queued:
        return await self._ask(tables.get, queue_id)

    async def content(self, queue_id: str) -> bytes:
        """The content as it was put. Raises KeyError when there is no such message, and SpoolError
        when the disk gives back something else than was stored."""
        return await self._ask(tables.content, queue_id)

    async def destinations(self) -> Sequence[Destination]:
        return await self._ask(tables.destinations)

    async def due(self, domain: str, now: float, limit: int) -> Sequence[Queued]:
        return await self._ask(tables.due, domain, now, limit)

    async def arrived_before(
        self, at: float, limit: int, *, unwarned: bool = False
    ) -> Sequence[Queued]:
        return await self._ask(tables.arrived_before, at, limit, unwarned)

    async def oldest(self, *, unwarned: bool = False) -> float | None:
        return await self._ask(tables.oldest, unwarned)

    async def count(self) -> int:
        return await self._ask(tables.count)

    async def load(self, after: str = "") -> AsyncIterator[Queued]:
        while messages := await self._ask(tables.page, after, PAGE):
            for message in messages:
                yield message
            after = messages[-1].queue_id

    async def close(self) -> None:
        """Finish what was begun and close the database in good order. May be called again."""
        await self._changes.close()
        await self._reads.close()
        if not self._closed:
            self._closed = True
            self._reader.close()
            self._writer.close(self._path)

    async def _ask(self, question: Callable[..., T], *args: object) -> T:
        return await self._reads(_answer, self._reader, question, args)


def _checked(message: Queued) -> Queued:
    if not message.pending:
        raise ValueError(f"message {message.queue_id} has no recipient")
    return message


def _open(path: Path) -> tuple["_Writer", sqlite3.Connection, Damage | None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            db, damage = repair.open_database(path)
            return _Writer(db, lock), connect(path), damage
        except BaseException:
            lock.close()
            raise
    except BlockingIOError as error:
        raise SpoolError(f"the spool {path} is in use by another process") from error
    except (sqlite3.Error, OSError) as error:
        raise spool_error(error) from error


def _answer(db: sqlite3.Connection, question: Callable[..., T], args: tuple[object, ...]) -> T:
    """Answer from one snapshot of the database."""
    try:
        db.execute("BEGIN")
        try:
            return question(db, *args)
        finally:
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise spool_error(error) from error


_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SHM_SIZE = 4874  # SQLITE_IOERR_SHMSIZE: no space for the log's index


def spool_error(error: Exception) -> SpoolError:
    """An error of SQLite or the system as one of ours."""
    if isinstance(error, SpoolError):
        return error
    if isinstance(error, sqlite3.Error):
        full = primary_code(error) == sqlite3.SQLITE_FULL
        full = full or getattr(error, "sqlite_errorcode", 0) == _SHM_SIZE
    else:
        full = isinstance(error, OSError) and error.errno in _NO_SPACE
    return SpoolFull(f"no space for the spool: {error}") if full else SpoolError(f"spool: {error}")


class _Writer:
    """Applies groups of changes; lives on the writer thread once it is made."""

    def __init__(self, db: sqlite3.Connection, lock: IO[bytes]) -> None:
        self._db = db
        self._lock = lock
        row = db.execute("SELECT coalesce(max(id), 0) + 1 FROM messages").fetchone()
        self._next_id: int = row[0]

    def run(self, changes: Sequence[_Change]) -> list[object]:
        """One transaction for all; where that fails, one for each."""
        if len(changes) > 1 and not any(isinstance(change, _Restrict) for change in changes):
            try:
                return self._transaction(changes)
            except (sqlite3.Error, ValueError):
                log.info("a group of %d changes failed; doing them singly", len(changes))
        return [self._single(change) for change in changes]

    def close(self, path: Path) -> None:
        self._db.close()
        try:
            repair.mark_closed(path)
        except OSError as error:
            log.warning("the next start will check the spool in full: %s", error)
        self._lock.close()

    def _single(self, change: _Change) -> object:
        try:
            if isinstance(change, _Restrict):
                self._restrict(change)
                return None
            return self._transaction([change])[0]
        except sqlite3.IntegrityError as error:
            return Failure(ValueError(f"a queue id is in the spool already: {error}"))
        except sqlite3.Error as error:
            return Failure(spool_error(error))
        except ValueError as error:  # a text that is not Unicode
            return Failure(error)

    def _transaction(self, changes: Sequence[_Change]) -> list[object]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            outcomes = self._apply(changes)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite may have rolled back by itself
                self._db.execute("ROLLBACK")
            raise
        return outcomes

    def _apply(self, changes: Sequence[_Change]) -> list[object]:
        outcomes: list[object] = []
        puts: list[tuple[Queued, bytes]] = []
        for change in changes:
            if isinstance(change, _Put):
                puts.append((change.message, change.content))
                outcomes.append(None)
            else:
                self._insert(puts)  # in order: what follows may concern them
                outcomes.append(self._change(change))
        self._insert(puts)
        return outcomes

    def _insert(self, puts: list[tuple[Queued, bytes]]) -> None:
        if puts:
            self._next_id = tables.insert(self._db, self._next_id, puts)
            puts.clear()

    def _change(self, change: _Change) -> object:
        match change:
            case _Settle(settled, extra):
                gone = self._settle(settled)
                self._insert(list(extra))
                return gone
            case _Requeue(now, domain, queue_id):
                return tables.requeue(self._db, now, domain, queue_id)
            case _Hold(queue_id) | _Remove(queue_id):
                number = tables.find(self._db, queue_id)
                if number is None:
                    return Failure(KeyError(queue_id))
                if isinstance(change, _Hold):
                    tables.hold(self._db, number, change.held)
                else:
                    self._db.execute("DELETE FROM messages WHERE id = ?", (number,))
        return None

    def _settle(self, settled: Settled) -> bool:
        number = tables.find(self._db, settled.queue_id)
        if number is None:  # deleted by hand during the attempt
            return True
        if tables.settle(self._db, number, settled.done, settled.deferred):
            return True
        if settled.warned is not None:
            self._db.execute(
                "UPDATE messages SET warned = ? WHERE id = ?", (settled.warned, number)
            )
        return False

    def _restrict(self, change: _Restrict) -> None:
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        most = pages if change.full else _MOST_PAGES
        self._db.execute(f"PRAGMA max_page_count = {most}").close()
        self._db.execute(f"PRAGMA query_only = {int(change.read_only)}").close()
