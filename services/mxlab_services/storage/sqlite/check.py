"""Finds damage in the spool's database.

What it costs grows with the file, so it has two depths. Up to FULL_CHECK bytes (well above 100,000
messages of 1 KiB) every opening compares the structure, the indexes, the counts and the CRC of
every row. Above that, a spool that was closed in good order is taken at its word, and any other
gets SQLite's quick check of the structure; a content's CRC is compared whenever it is read, in
either case.
"""

import contextlib
import sqlite3
import zlib
from pathlib import Path

from mxlab_services.errors import SpoolError
from mxlab_services.storage.sqlite import tables

FULL_CHECK = 512 * 1024 * 1024
_REFUSED = {  # the disk or the system says no; all else that goes wrong in a check is damage
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT,
}  # fmt: skip
MESSAGES = (
    "SELECT m.id, m.queue_id, m.key, m.digest, m.sender, m.size, m.arrived, m.eightbit,"
    " m.smtputf8, m.ret, m.envid, m.crc, c.crc, c.content, m.held, m.warned, m.waiting"
    " FROM messages AS m LEFT JOIN contents AS c ON c.id = m.id"
)


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


def checked(path: Path, clean: bool) -> tuple[sqlite3.Connection | None, str]:
    """The database, or what is wrong with it."""
    db: sqlite3.Connection | None = None
    try:
        db = connect(path)
        problem = _check(db, path, clean)
        if not problem:
            return db, ""
    except (SpoolError, OSError):
        if db is not None:
            db.close()
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
    for row in db.execute(f"{MESSAGES} ORDER BY m.id"):  # by number: a start waits for this loop
        messages += 1
        if row[11] != tables.crc(row[1:11]):
            return f"a row of message {row[1]} is damaged"
        if not isinstance(row[13], bytes) or zlib.crc32(row[13]) != row[12]:
            return f"the content of message {row[1]} is damaged"
    for row in db.execute("SELECT address, notify, orcpt, domain, crc FROM recipients"):
        if row[4] != tables.crc(row[:4]):
            return f"the row of recipient {row[0]} is damaged"
    return _counts(db, messages)


def _counts(db: sqlite3.Connection, messages: int) -> str:
    """Compare each count with what it counts; `messages` have a row."""
    missing = db.execute(
        "SELECT queue_id FROM messages AS m WHERE waiting < 1 OR waiting !="
        " (SELECT count(*) FROM recipients WHERE message = m.id) LIMIT 1"
    ).fetchone()
    if missing is not None:
        return f"message {missing[0]} has other recipients than it should have"
    owned, recipients, contents = db.execute(
        "SELECT (SELECT coalesce(sum(waiting), 0) FROM messages),"
        " (SELECT count(*) FROM recipients), (SELECT count(*) FROM contents)"
    ).fetchone()
    if owned != recipients or not messages == contents == tables.count(db):
        return (
            f"{messages} messages for {owned} recipients;"
            f" {contents} contents and {recipients} recipients"
        )
    counted = db.execute("SELECT domain, count(*) FROM recipients GROUP BY domain").fetchall()
    if counted != db.execute("SELECT domain, recipients FROM domains ORDER BY domain").fetchall():
        return "the counts of recipients are wrong"
    return ""
