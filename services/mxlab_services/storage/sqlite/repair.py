"""Opens the spool's database; finds damage, saves what can be read, and tells of it.

A damaged database is moved aside as `spool.db.damaged-N` (as SQLite's own recovery left it), and
every message that is still whole (fields, content, and a recipient at least) is copied into a fresh
one, which takes its place only once it is durable. A crash on the way leaves the damaged one where
it was, or the repair is finished at the next opening. Of a damaged log the part before the damage
counts; the log lies beside as `spool.db.damaged-N-wal`.
"""

import contextlib
import logging
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from mxlab_services.errors import SpoolError
from mxlab_services.storage.disk import sync_directory
from mxlab_services.storage.sqlite import tables
from mxlab_services.storage.sqlite.check import MESSAGES, checked, connect
from mxlab_services.storage.sqlite.log import LogPages, log_pages
from mxlab_services.storage.sqlite.tables import Stored

log = logging.getLogger(__name__)

_GROUP = 500  # messages saved in one transaction
_SIDES = ("-wal", "-shm")
_GAP = 1_000_000  # row ids looked up one by one where the tables cannot be walked


class Damage(Struct, frozen=True):
    """What was wrong with a spool when it was opened; the damaged database lies at `kept`.

    `saved` messages are in the spool again. `lost` are the queue ids that could still be read of
    those that were not whole; there may have been others. Of these, one that lacked nothing but
    some of its recipients is among the saved too, with the recipients that are left.
    """

    problem: str
    saved: int
    lost: tuple[str, ...]
    kept: Path


def open_database(path: Path) -> tuple[sqlite3.Connection, Damage | None]:
    """Open or make the database at `path`. Raises sqlite3.Error where the disk refuses."""
    clean = _beside(path, ".closed").exists()
    if clean:
        _beside(path, ".closed").unlink()
        sync_directory(path.parent)
    resumed = _finish_repair(path)
    problem = "" if path.exists() else _missing(path)
    wal, log_kept = _beside(path, "-wal"), _beside(path, ".log")
    log_kept.unlink(missing_ok=True)
    if wal.exists():
        log_kept.hardlink_to(wal)  # SQLite removes the log when it has read it
    pages = log_pages(log_kept)
    try:
        db: sqlite3.Connection | None = None
        if not problem:
            db, problem = checked(path, clean)
        if db is None:
            log.error("the spool %s is damaged (%s): saving what can be read", path, problem)
            damage: Damage | None = _salvage(path, problem)
            return connect(path), damage
        try:
            return db, _left_open(db, path, pages, log_kept, resumed)
        except BaseException:
            db.close()
            raise
    finally:
        log_kept.unlink(missing_ok=True)


def _left_open(
    db: sqlite3.Connection, path: Path, pages: LogPages, log_kept: Path, resumed: bool
) -> Damage | None:
    """What else there is to tell of a database that is whole itself."""
    _, valid, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    problem = pages.problem(valid)
    if problem:
        log.error("the spool %s: %s", path, problem)
        kept = _kept(path, 1)
        kept.touch()  # the number is taken
        kept = _beside(kept, "-wal")
        kept.write_bytes(log_kept.read_bytes())
        return Damage(problem, tables.count(db), (), kept)
    if resumed:
        problem = "a crash cut a repair short; it is finished now"
        return Damage(problem, tables.count(db), (), _kept(path, 0))
    return None


def mark_closed(path: Path) -> None:
    """Note that the database was closed in good order. Only ever saves the next opening time."""
    _beside(path, ".closed").touch()


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _missing(path: Path) -> str:
    """Make a database where there was none; the problem where there should have been one."""
    if _beside(path, "-wal").exists():
        return "the database is gone, its log is there"
    _fresh(path).close()
    _beside(path, ".making").rename(path)  # so that a database without tables is a damaged one
    sync_directory(path.parent)
    return ""


def _fresh(path: Path) -> sqlite3.Connection:
    """A new database with nothing in it, in a file beside `path`."""
    making = _beside(path, ".making")
    for suffix in ("", *_SIDES):
        _beside(making, suffix).unlink(missing_ok=True)
    db = connect(making)
    try:
        db.executescript(f"BEGIN IMMEDIATE; {tables.SCHEMA} COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


def _salvage(path: Path, problem: str) -> Damage:
    """Copy what is whole into a fresh database, move the old one aside, and change places."""
    names: dict[int, str] = {}
    saved = 0
    whole: set[int] = set()
    with contextlib.closing(_fresh(path)) as fresh:
        group: list[Stored] = []
        taken: set[str] = set()
        for number, stored, complete in _readable(path, names):
            if stored[0].queue_id in taken:  # an old copy of a row, come up again
                continue
            taken.add(stored[0].queue_id)
            saved += 1
            whole.update([number] if complete else [])
            group.append(stored)
            if len(group) == _GROUP:
                _save(fresh, group)
        _save(fresh, group)
    kept = _kept(path, 1)
    _beside(path, ".making").rename(_beside(path, ".ready"))
    sync_directory(path.parent)
    if path.exists():
        path.rename(kept)
    else:
        kept.touch()
    _finish_repair(path)
    lost = tuple(sorted({name for number, name in names.items() if number not in whole}))
    return Damage(problem, saved, lost, kept)


def _finish_repair(path: Path) -> bool:
    """Put the saved database in its place, once the damaged one has left it; also after a crash."""
    ready = _beside(path, ".ready")
    if path.exists() or not ready.exists():
        ready.unlink(missing_ok=True)  # a repair that ended before it moved anything: begin again
        return False
    _beside(path, "-shm").unlink(missing_ok=True)
    wal = _beside(path, "-wal")
    if wal.exists():
        wal.rename(_beside(_kept(path, 0), "-wal"))
    ready.rename(path)
    sync_directory(path.parent)
    return True


def _kept(path: Path, more: int) -> Path:
    """The name `damaged-N` that was used last, or the one `more` after it."""
    number = 0
    while _beside(path, f".damaged-{number + 1}").exists():
        number += 1
    return _beside(path, f".damaged-{number + more}")


def _save(fresh: sqlite3.Connection, group: list[Stored]) -> None:
    fresh.execute("BEGIN IMMEDIATE")
    first = fresh.execute("SELECT coalesce(max(id), 0) + 1 FROM messages").fetchone()[0]
    tables.insert(fresh, first, group)
    fresh.execute("COMMIT")
    group.clear()


def _readable(path: Path, names: dict[int, str]) -> Iterator[tuple[int, Stored, bool]]:
    """The messages of a damaged database that can be saved, by row id, each with whether it has all
    its recipients; `names` gets every queue id seen."""
    if not path.exists():
        return
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as db:
        db.text_factory = _text
        with contextlib.suppress(sqlite3.Error):  # then no walk can read anything either
            db.execute("PRAGMA writable_schema = ON").close()  # read on where the file is too short
        for number in _candidates(db, names):
            found = _read(db, number, names)
            if found is not None:
                yield number, *found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _candidates(db: sqlite3.Connection, names: dict[int, str]) -> list[int]:
    """The row ids that any table or index still tells of; `names` gets the queue ids beside them.

    Each is walked from both ends up to the first unreadable page; ids in between are tried too.
    """
    found: set[int] = set()
    for source in (
        "queue_id, id FROM messages INDEXED BY by_queue_id ORDER BY queue_id",
        "queue_id, id FROM messages ORDER BY id",
        "'', id FROM contents ORDER BY id",
        "'', message FROM recipients ORDER BY message",
    ):
        for direction in ("ASC", "DESC"):
            with contextlib.suppress(sqlite3.Error):  # the end of what this walk can read
                for name, number in db.execute(f"SELECT {source} {direction}"):
                    if isinstance(number, int):
                        found.add(number)
                        if name:
                            names.setdefault(number, name)
    if found and max(found) - min(found) < _GAP:
        return list(range(min(found), max(found) + 1))
    return sorted(found)


def _read(db: sqlite3.Connection, number: int, names: dict[int, str]) -> tuple[Stored, bool] | None:
    """The message of a row id if it and its content are whole, with the recipients that are, and
    whether those are all of them."""
    try:
        row = db.execute(f"{MESSAGES} WHERE m.id = ?", (number,)).fetchone()
        if row is None:
            return None
        names[number] = row[1]
        _, *fixed, crc, content_crc, content, held, warned, waiting = row
        pending = _recipients(db, number)
        if (
            crc != tables.crc(tuple(fixed))
            or not isinstance(content, bytes)
            or zlib.crc32(content) != content_crc
            or not pending
        ):
            return None
        message = tables.queued((number, *fixed, held, warned), pending)[1]
        return (message, content), len(pending) == waiting
    except (sqlite3.Error, SpoolError) as error:
        log.warning("message %s of the damaged spool: %s", names.get(number, number), error)
        return None


def _recipients(db: sqlite3.Connection, number: int) -> list[tuple[object, ...]]:
    """The recipients of a row id whose rows are whole, walked from both ends."""
    found: dict[int, tuple[object, ...]] = {}
    for direction in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.Error):  # the end of what this walk can read
            for n, crc, *fields in db.execute(
                "SELECT n, crc, address, notify, orcpt, domain, attempts, next_attempt, reason,"
                f" tried FROM recipients WHERE message = ? ORDER BY n {direction}",
                (number,),
            ):
                if crc == tables.crc(fields[:4]):
                    found[n] = (*fields[:3], *fields[4:])
    return [found[n] for n in sorted(found)]
