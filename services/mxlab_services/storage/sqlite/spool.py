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
import fcntl
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from mxlab_services.errors import SpoolError
from mxlab_services.message import Queued
from mxlab_services.storage.ports import Destination, Settled
from mxlab_services.storage.sqlite import repair, tables
from mxlab_services.storage.sqlite.check import connect
from mxlab_services.storage.sqlite.repair import Damage
from mxlab_services.storage.sqlite.writer import (
    Change,
    Hold,
    Put,
    Remove,
    Requeue,
    Restrict,
    Settle,
    Writer,
    spool_error,
)
from mxlab_services.storage.worker import Caller, Worker

T = TypeVar("T")
PAGE = 500  # messages that `load` reads at a time


class SqliteSpool:
    """A Spool in an SQLite database. Made by `open`.

    `damage` tells what was wrong when it was opened, or is None.
    """

    def __init__(
        self, path: Path, writer: Writer, reader: sqlite3.Connection, damage: Damage | None
    ) -> None:
        self.damage = damage
        self._path = path
        self._writer = writer
        self._reader = reader
        self._changes: Worker[Change] = Worker("spool-writer", writer.run)
        self._reads = Caller("spool-reader")
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> "SqliteSpool":
        """Open the spool or make one; save what can be saved if it is damaged (see `damage`).

        Raises SpoolError when the disk refuses, or when another process has the spool open.
        """
        return cls(path, *await asyncio.to_thread(_open, path))

    async def put(self, message: Queued, content: bytes) -> None:
        await self._changes.submit(Put(_checked(message), content))

    async def settle(self, settled: Settled, extra: Sequence[tuple[Queued, bytes]] = ()) -> bool:
        for message, _ in extra:
            _checked(message)
        return cast("bool", await self._changes.submit(Settle(settled, tuple(extra))))

    async def hold(self, queue_id: str, held: bool) -> None:
        await self._changes.submit(Hold(queue_id, held))

    async def requeue(self, now: float, *, domain: str = "", queue_id: str = "") -> int:
        return cast("int", await self._changes.submit(Requeue(now, domain, queue_id)))

    async def remove(self, queue_id: str) -> None:
        await self._changes.submit(Remove(queue_id))

    async def restrict(self, *, full: bool = False, read_only: bool = False) -> None:
        """The disk-full and read-only faults, by SQLite's own limits, until called again without.

        A full database takes no new page; a message that fits into pages already there may pass.
        """
        await self._changes.submit(Restrict(full, read_only))

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


def _open(path: Path) -> tuple[Writer, sqlite3.Connection, Damage | None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            db, damage = repair.open_database(path)
            try:
                return Writer(db, lock), connect(path), damage
            except BaseException:
                db.close()
                raise
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
