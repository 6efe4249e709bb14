"""Applies the spool's changes in groups: one transaction for all that wait, or nothing of it."""

import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct

from mxlab_services.errors import SpoolError
from mxlab_services.message import Queued
from mxlab_services.storage.disk import disk_error
from mxlab_services.storage.ports import Settled
from mxlab_services.storage.sqlite import repair, tables
from mxlab_services.storage.sqlite.check import primary_code
from mxlab_services.storage.worker import Failure

log = logging.getLogger(__name__)

_MOST_PAGES = 0xFFFFFFFE  # SQLite's own limit


class Put(Struct, frozen=True):
    message: Queued
    content: bytes


class Settle(Struct, frozen=True):
    settled: Settled
    extra: tuple[tuple[Queued, bytes], ...]


class Hold(Struct, frozen=True):
    queue_id: str
    held: bool


class Requeue(Struct, frozen=True):
    now: float
    domain: str
    queue_id: str


class Remove(Struct, frozen=True):
    queue_id: str


class Restrict(Struct, frozen=True):
    full: bool
    read_only: bool


Change = Put | Settle | Hold | Requeue | Remove | Restrict


_SHM_SIZE = 4874  # SQLITE_IOERR_SHMSIZE: no space for the log's index


def spool_error(error: Exception) -> SpoolError:
    """An error of SQLite or the system as one of ours."""
    full = isinstance(error, sqlite3.Error) and (
        primary_code(error) == sqlite3.SQLITE_FULL
        or getattr(error, "sqlite_errorcode", 0) == _SHM_SIZE
    )
    return disk_error(error, full=full)


class Writer:
    """Applies groups of changes; lives on the writer thread once it is made."""

    def __init__(self, db: sqlite3.Connection, lock: IO[bytes]) -> None:
        self._db = db
        self._lock = lock
        row = db.execute("SELECT coalesce(max(id), 0) + 1 FROM messages").fetchone()
        self._next_id: int = row[0]

    def run(self, changes: Sequence[Change]) -> list[object]:
        """One transaction for all; where that fails, one for each."""
        if len(changes) > 1 and not any(isinstance(change, Restrict) for change in changes):
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

    def _single(self, change: Change) -> object:
        try:
            if isinstance(change, Restrict):
                self._restrict(change)
                return None
            return self._transaction([change])[0]
        except sqlite3.IntegrityError as error:
            return Failure(ValueError(f"a queue id is in the spool already: {error}"))
        except sqlite3.Error as error:
            return Failure(spool_error(error))
        except ValueError as error:  # a text that is not Unicode
            return Failure(error)

    def _transaction(self, changes: Sequence[Change]) -> list[object]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            outcomes = self._apply(changes)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite may have rolled back by itself
                self._db.execute("ROLLBACK")
            raise
        return outcomes

    def _apply(self, changes: Sequence[Change]) -> list[object]:
        outcomes: list[object] = []
        puts: list[tuple[Queued, bytes]] = []
        for change in changes:
            if isinstance(change, Put):
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

    def _change(self, change: Change) -> object:
        match change:
            case Settle(settled, extra):
                for message, _ in extra:
                    if tables.find(self._db, message.queue_id) is not None:
                        return Failure(ValueError(f"{message.queue_id} is in the spool already"))
                gone = self._settle(settled)
                self._insert(list(extra))
                return gone
            case Requeue(now, domain, queue_id):
                return tables.requeue(self._db, now, domain, queue_id)
            case Hold(queue_id) | Remove(queue_id):
                number = tables.find(self._db, queue_id)
                if number is None:
                    return Failure(KeyError(queue_id))
                if isinstance(change, Hold):
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

    def _restrict(self, change: Restrict) -> None:
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        most = pages if change.full else _MOST_PAGES
        self._db.execute(f"PRAGMA max_page_count = {most}").close()
        self._db.execute(f"PRAGMA query_only = {int(change.read_only)}").close()
