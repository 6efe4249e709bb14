"""Opens the spool's database, finds damage, and saves what can be read. Damage is never silent.

What the check costs grows with the file, so it has two depths. Up to FULL_CHECK bytes (well above
100,000 messages of 1 KiB) every opening compares the structure, the indexes, the counts and the CRC
of every row. Above that, a spool that was closed in good order (it has a marker beside it) is only
opened, and any other gets SQLite's quick check of the structure; a content's CRC is compared
whenever it is read, in either case.

A damaged database is moved aside, whole, as `spool.db.damaged-N`, and every message that is still
whole (fields, recipients and content) is copied into a fresh one, which takes the place of the
old one only once it is durable. A crash on the way leaves the damaged file where it was.
"""

import contextlib
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mxlab_services.errors import SpoolError
from mxlab_services.mta import spool_tables as tables
from mxlab_services.mta.spool_tables import Stored

log = logging.getLogger(__name__)

FULL_CHECK = 512 * 1024 * 1024
_REFUSED = {  # the disk or the system says no; all else that goes wrong in a check is damage
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT,
}  # fmt: skip
_MESSAGES = (
    "SELECT m.id, m.queue_id, m.key, m.digest, m.sender, m.size, m.arrived, m.eightbit,"
    " m.smtputf8, m.ret, m.envid, m.crc, c.crc, c.content"
    " FROM messages AS m LEFT JOIN contents AS c ON c.id = m.id"
)
_GROUP = 500  # messages saved in one transaction
_SIDES = ("-wal", "-shm")
_GAP = 1_000_000  # row ids looked up one by one where the tables cannot be walked


@dataclass(frozen=True, slots=True)
class Damage:
    """What was wrong with a spool when it was opened; the damaged database lies at `kept`.

    `saved` messages were whole. `lost` are the queue ids that could still be read of those that
    were not; there may have been others.
    """

    problem: str
    saved: int
    lost: tuple[str, ...]
    kept: Path


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose commits are durable when they return."""
    db = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=tables.STATEMENTS
    )
    try:
        db.execute("PRAGMA journal_mode = WAL").close()
        db.execute("PRAGMA synchronous = FULL").close()
        db.execute("PRAGMA wal_autocheckpoint = 4000").close()  # pages: checkpoint every 16 MiB
        db.execute("PRAGMA cache_size = -8192").close()  # KiB
    except sqlite3.Error:
        db.close()
        raise
    return db


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, or 0 where the error is not SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def open_database(path: Path) -> tuple[sqlite3.Connection, Damage | None]:
    """Open or make the database at `path`. Raises sqlite3.Error where the disk refuses."""
    clean = _beside(path, ".closed").exists()
    _beside(path, ".closed").unlink(missing_ok=True)
    _finish_repair(path)
    problem = "" if path.exists() else _missing(path)
    if not problem:
        db, problem = _checked(path, clean)
        if db is not None:
            return db, None
    log.error("the spool %s is damaged (%s): saving what can be read", path, problem)
    damage = _salvage(path, problem)
    return connect(path), damage


def mark_closed(path: Path) -> None:
    """Note that the database was closed in good order. Only ever saves the next opening time."""
    _beside(path, ".closed").touch()


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    db.executescript(f"BEGIN IMMEDIATE; {tables.SCHEMA} COMMIT;")
    return db


# --- finding damage ------------------------------------------------------------------------------


def _checked(path: Path, clean: bool) -> tuple[sqlite3.Connection | None, str]:
    """The database, or what is wrong with it."""
    db: sqlite3.Connection | None = None
    try:
        db = connect(path)
        problem = _check(db, path, clean)
        if not problem:
            return db, ""
    except SpoolError:
        db.close() if db is not None else None
        raise
    except sqlite3.Error as error:
        if primary_code(error) in _REFUSED:
            if db is not None:
                db.close()
            raise
        problem = str(error)
    if db is not None:
        with contextlib.suppress(sqlite3.Error):  # the files stay as they are; damage is known
            db.close()
    return None, problem


def _check(db: sqlite3.Connection, path: Path, clean: bool) -> str:
    """What is wrong with the database, or an empty string."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, tables.VERSION):
        raise SpoolError(f"the spool has version {version}; this program knows {tables.VERSION}")
    problem = "" if _schema(db) == _schema_wanted() else "its tables are not a spool's"
    if problem or path.stat().st_size > FULL_CHECK:
        return problem or ("" if clean else _structure(db, "quick_check"))
    return _structure(db, "integrity_check") or _rows(db)


def _schema(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    return db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()


def _schema_wanted() -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(tables.SCHEMA)
        return _schema(db)


def _structure(db: sqlite3.Connection, pragma: str) -> str:
    found = [str(row[0]) for row in db.execute(f"PRAGMA {pragma}(3)")]
    return "" if found == ["ok"] else "; ".join(found).replace("\n", " ")


def _rows(db: sqlite3.Connection) -> str:
    """Compare every CRC, and each count with what it counts."""
    messages = 0
    for _, *fixed, crc, content_crc, content in db.execute(f"{_MESSAGES} ORDER BY m.id"):
        messages += 1
        if crc != tables.crc(tuple(fixed)):
            return f"a row of message {fixed[0]} is damaged"
        if not isinstance(content, bytes) or zlib.crc32(content) != content_crc:
            return f"the content of message {fixed[0]} is damaged"
    having, last = 0, None
    for message, *fixed, crc in db.execute(
        "SELECT message, address, notify, orcpt, domain, crc FROM recipients ORDER BY message, n"
    ):
        if crc != tables.crc(tuple(fixed)):
            return f"the row of recipient {fixed[0]} is damaged"
        having += message != last
        last = message
    contents = db.execute("SELECT count(*) FROM contents").fetchone()[0]
    if not messages == having == contents == tables.count(db):
        return f"{messages} messages, {contents} contents, {having} with recipients"
    counted = db.execute("SELECT domain, count(*) FROM recipients GROUP BY domain").fetchall()
    if counted != db.execute("SELECT domain, recipients FROM domains ORDER BY domain").fetchall():
        return "the counts of recipients are wrong"
    return ""


# --- saving --------------------------------------------------------------------------------------


def _salvage(path: Path, problem: str) -> Damage:
    """Copy what is whole into a fresh database, move the old one aside, and change places."""
    names: dict[int, str] = {}
    saved: set[int] = set()
    with contextlib.closing(_fresh(path)) as fresh:
        group: list[Stored] = []
        taken: set[str] = set()
        for number, stored in _readable(path, names):
            if stored[0].queue_id in taken:  # an old copy of a row, come up again
                continue
            taken.add(stored[0].queue_id)
            saved.add(number)
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
    lost = tuple(sorted({name for number, name in names.items() if number not in saved}))
    return Damage(problem, len(saved), lost, kept)


def _finish_repair(path: Path) -> None:
    """Put the saved database in its place, once the damaged one has left it; also after a crash."""
    ready = _beside(path, ".ready")
    if path.exists() or not ready.exists():
        ready.unlink(missing_ok=True)  # a repair that ended before it moved anything: begin again
        return
    _beside(path, "-shm").unlink(missing_ok=True)
    wal = _beside(path, "-wal")
    if wal.exists():
        wal.rename(_beside(_kept(path, 0), "-wal"))
    ready.rename(path)
    sync_directory(path.parent)


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


def _readable(path: Path, names: dict[int, str]) -> Iterator[tuple[int, Stored]]:
    """The whole messages of a damaged database by row id; `names` gets every queue id seen."""
    if not path.exists():
        return
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as db:
        db.text_factory = _text
        with contextlib.suppress(sqlite3.Error):  # then no walk can read anything either
            db.execute("PRAGMA writable_schema = ON").close()  # read on where the file is too short
        for number in _candidates(db, names):
            stored = _read(db, number, names)
            if stored is not None:
                yield number, stored


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


def _read(db: sqlite3.Connection, number: int, names: dict[int, str]) -> Stored | None:
    """The message of a row id, if all of it is whole."""
    try:
        row = db.execute(f"{_MESSAGES} WHERE m.id = ?", (number,)).fetchone()
        if row is None:
            return None
        names[number] = row[1]
        _, *fixed, crc, content_crc, content = row
        held, warned = db.execute(
            "SELECT held, warned FROM messages WHERE id = ?", (number,)
        ).fetchone()
        rows = db.execute(
            "SELECT address, notify, orcpt, domain, crc, attempts, next_attempt, reason"
            " FROM recipients WHERE message = ? ORDER BY n",
            (number,),
        ).fetchall()
        if (
            crc != tables.crc(tuple(fixed))
            or not isinstance(content, bytes)
            or zlib.crc32(content) != content_crc
            or not rows
            or any(row[4] != tables.crc(row[:4]) for row in rows)
        ):
            return None
        pending = [(*row[:3], *row[5:]) for row in rows]
        return tables.queued((number, *fixed, held, warned), pending)[1], content
    except (sqlite3.Error, SpoolError) as error:
        log.warning("message %s of the damaged spool: %s", names.get(number, number), error)
        return None
