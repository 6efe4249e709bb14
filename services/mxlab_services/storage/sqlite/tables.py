"""The spool's tables, and the statements that change and read them.

Each index answers one question of the Spool protocol, so that no statement steps over messages that
it does not answer; counts are kept by triggers, in the same transaction as what they count:
`waiting` are the recipients that a message must have, so that the loss of one shows.
`contents` stands apart: listing never reads it. Rows carry a CRC of what must not change, which the
check at opening compares (see `spool_repair`). All functions run on the connection's own thread.

Long: the schema beside every statement that relies on it.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence

import msgspec

from mxlab_services.address import domain_of
from mxlab_services.errors import SpoolError
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.storage.ports import Destination

VERSION = 3
SCHEMA = f"""
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, queue_id TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL,
    sender TEXT NOT NULL, size INTEGER NOT NULL, arrived REAL NOT NULL, eightbit INTEGER NOT NULL,
    smtputf8 INTEGER NOT NULL, ret TEXT NOT NULL, envid TEXT NOT NULL, crc INTEGER NOT NULL,
    held INTEGER NOT NULL, warned INTEGER NOT NULL, waiting INTEGER NOT NULL
);
CREATE UNIQUE INDEX by_queue_id ON messages (queue_id);
CREATE INDEX by_arrival ON messages (arrived);
CREATE INDEX unwarned ON messages (arrived) WHERE warned = 0;
CREATE TABLE contents (id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, content BLOB NOT NULL);
CREATE TABLE recipients (
    message INTEGER NOT NULL, n INTEGER NOT NULL, address TEXT NOT NULL, notify TEXT NOT NULL,
    orcpt TEXT NOT NULL, domain TEXT NOT NULL, crc INTEGER NOT NULL,
    held INTEGER NOT NULL, attempts INTEGER NOT NULL, next_attempt REAL NOT NULL,
    reason TEXT NOT NULL, tried REAL NOT NULL, PRIMARY KEY (message, n)
) WITHOUT ROWID;
CREATE INDEX by_due ON recipients (domain, held, next_attempt);
CREATE TABLE domains (domain TEXT PRIMARY KEY, recipients INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE total (messages INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER message_in AFTER INSERT ON messages BEGIN
    UPDATE total SET messages = messages + 1;
END;
CREATE TRIGGER message_out AFTER DELETE ON messages BEGIN
    UPDATE total SET messages = messages - 1;
    DELETE FROM contents WHERE id = old.id;
    DELETE FROM recipients WHERE message = old.id;
END;
CREATE TRIGGER recipient_in AFTER INSERT ON recipients BEGIN
    INSERT INTO domains VALUES (new.domain, 1)
        ON CONFLICT (domain) DO UPDATE SET recipients = recipients + 1;
END;
CREATE TRIGGER recipient_out AFTER DELETE ON recipients BEGIN
    UPDATE messages SET waiting = waiting - 1 WHERE id = old.message;
    UPDATE domains SET recipients = recipients - 1 WHERE domain = old.domain;
    DELETE FROM domains WHERE domain = old.domain AND recipients = 0;
END;
PRAGMA user_version = {VERSION};
"""

MESSAGE = (
    "m.id, m.queue_id, m.key, m.digest, m.sender, m.size, m.arrived, m.eightbit, m.smtputf8,"
    " m.ret, m.envid, m.held, m.warned"
)
PENDING = "r.address, r.notify, r.orcpt, r.attempts, r.next_attempt, r.reason, r.tried"
_ROWS = 64  # rows in one INSERT, at most: each number of rows is a statement to prepare and keep
STATEMENTS = 256  # so many prepared statements a connection keeps

_pack = msgspec.msgpack.Encoder().encode

Stored = tuple[Queued, bytes]


def crc(fixed: Sequence[object]) -> int:
    """A CRC of the fields of a row that stay as they were put."""
    return zlib.crc32(_pack(fixed))


def fixed_fields(m: Queued) -> tuple[object, ...]:
    """The fields of a message that stay as they were put, as the table holds them."""
    return (
        m.queue_id, m.key, m.digest, m.sender, int(m.size), float(m.arrived), int(m.eightbit),
        int(m.smtputf8), m.ret, m.envid,
    )  # fmt: skip


# --- changes -------------------------------------------------------------------------------------


def insert(db: sqlite3.Connection, first_id: int, puts: Sequence[Stored]) -> int:
    """Store messages under ids from `first_id` on; returns the next free id.

    A statement takes many rows, because each call into SQLite gives up the interpreter's lock, and
    a busy event loop is slow to hand it back.
    """
    messages: list[tuple[object, ...]] = []
    contents: list[tuple[object, ...]] = []
    recipients: list[tuple[object, ...]] = []
    for number, (m, content) in enumerate(puts, first_id):
        fixed = fixed_fields(m)
        messages.append((number, *fixed, crc(fixed), m.held, m.warned, len(m.pending)))
        contents.append((number, zlib.crc32(content), content))
        for n, p in enumerate(m.pending):
            r = p.recipient
            fixed = (r.address, r.notify, r.orcpt, domain_of(r.address))
            changing = (m.held, p.attempts, p.next_attempt, p.reason, p.tried)
            recipients.append((number, n, *fixed, crc(fixed), *changing))
    _insert_rows(db, "messages", messages)
    _insert_rows(db, "contents", contents)
    _insert_rows(db, "recipients", recipients)
    return first_id + len(puts)


def _insert_rows(db: sqlite3.Connection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    for start in range(0, len(rows), _ROWS):
        page = rows[start : start + _ROWS]
        marks = ", ".join([f"({', '.join('?' * len(page[0]))})"] * len(page))
        db.execute(f"INSERT INTO {table} VALUES {marks}", [value for row in page for value in row])


def find(db: sqlite3.Connection, queue_id: str) -> int | None:
    """The row id of a message."""
    row = db.execute("SELECT id FROM messages WHERE queue_id = ?", (queue_id,)).fetchone()
    return None if row is None else int(row[0])


def settle(
    db: sqlite3.Connection, number: int, done: Iterable[str], deferred: Sequence[Pending]
) -> bool:
    """Record outcomes of a message's recipients; True when that was the last of them."""
    left = dict(
        db.execute("SELECT n, address FROM recipients WHERE message = ?", (number,)).fetchall()
    )
    gone = set(done)
    drop = [n for n, address in left.items() if address in gone]
    if len(drop) == len(left):
        db.execute("DELETE FROM messages WHERE id = ?", (number,))
        return True
    db.executemany(
        "DELETE FROM recipients WHERE message = ? AND n = ?", [(number, n) for n in drop]
    )
    later = {pending.address: pending for pending in deferred}
    db.executemany(
        "UPDATE recipients SET attempts = ?, next_attempt = ?, reason = ?, tried = ?"
        " WHERE message = ? AND n = ?",
        [
            (p.attempts, p.next_attempt, p.reason, p.tried, number, n)
            for n, address in left.items()
            if address not in gone and (p := later.get(address)) is not None
        ],
    )
    return False


def hold(db: sqlite3.Connection, number: int, held: bool) -> None:
    db.execute("UPDATE messages SET held = ? WHERE id = ?", (held, number))
    db.execute("UPDATE recipients SET held = ? WHERE message = ?", (held, number))


def requeue(db: sqlite3.Connection, now: float, domain: str, queue_id: str) -> int:
    """Make recipients due at `now` unless they already are; counts the messages they belong to.

    Held messages are left alone, unless one is meant by its id.
    """
    if not domain and not queue_id:
        db.execute(
            "UPDATE recipients SET next_attempt = ? WHERE held = 0 AND next_attempt > ?", (now, now)
        )
        return int(db.execute("SELECT count(*) FROM messages WHERE held = 0").fetchone()[0])
    where, values = [], list[object]()
    if domain:
        where.append(f"domain = ? AND held IN ({'0, 1' if queue_id else '0'})")
        values.append(domain)
    if queue_id:
        where.append("message = (SELECT id FROM messages WHERE queue_id = ?)")
        values.append(queue_id)
    chosen = " AND ".join(where)
    db.execute(
        f"UPDATE recipients SET next_attempt = ? WHERE {chosen} AND next_attempt > ?",
        (now, *values, now),
    )
    counted = db.execute(f"SELECT count(DISTINCT message) FROM recipients WHERE {chosen}", values)
    return int(counted.fetchone()[0])


# --- answers -------------------------------------------------------------------------------------


def count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT messages FROM total").fetchone()[0])


def oldest(db: sqlite3.Connection, unwarned: bool) -> float | None:
    where = " WHERE warned = 0" if unwarned else ""
    found: float | None = db.execute(f"SELECT min(arrived) FROM messages{where}").fetchone()[0]
    return found


def destinations(db: sqlite3.Connection) -> list[Destination]:
    rows = db.execute(
        "SELECT domain, recipients, (SELECT min(next_attempt) FROM recipients AS r"
        " WHERE r.domain = d.domain AND r.held = 0) FROM domains AS d ORDER BY domain"
    )
    return [Destination(*row) for row in rows]


def due(db: sqlite3.Connection, domain: str, now: float, limit: int) -> list[Queued]:
    if limit <= 0:
        return []
    order: dict[int, int] = {}  # the row ids, by how long they are due
    cursor = db.execute(
        "SELECT message FROM recipients WHERE domain = ? AND held = 0 AND next_attempt <= ?"
        " ORDER BY next_attempt, message",
        (domain, now),
    )
    for (number,) in cursor:
        if number not in order:
            if len(order) == limit:
                break
            order[number] = len(order)
    cursor.close()
    found = _messages(db, order, "+r.domain = ? AND r.next_attempt <= ?", (domain, now))
    return [message for _, message in sorted(found, key=lambda item: order[item[0]])]


def arrived_before(db: sqlite3.Connection, at: float, limit: int, unwarned: bool) -> list[Queued]:
    where = " AND warned = 0" if unwarned else ""
    return _listed(db, f"arrived <= ?{where} ORDER BY arrived, id LIMIT ?", (at, max(0, limit)))


def page(db: sqlite3.Connection, after: str, limit: int) -> list[Queued]:
    """Messages with a queue id above `after`, by queue id."""
    return _listed(db, "queue_id > ? ORDER BY queue_id LIMIT ?", (after, limit))


def get(db: sqlite3.Connection, queue_id: str) -> Queued:
    found = _listed(db, "queue_id = ?", (queue_id,))
    if not found:
        raise KeyError(queue_id)
    return found[0]


def content(db: sqlite3.Connection, queue_id: str) -> bytes:
    row = db.execute(
        "SELECT c.crc, c.content FROM messages AS m LEFT JOIN contents AS c ON c.id = m.id"
        " WHERE m.queue_id = ?",
        (queue_id,),
    ).fetchone()
    if row is None:
        raise KeyError(queue_id)
    expected, stored = row
    if not isinstance(stored, bytes) or zlib.crc32(stored) != expected:
        raise SpoolError(f"the content of {queue_id} is damaged on disk")
    return stored


def _listed(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[Queued]:
    rows = db.execute(f"SELECT id FROM messages WHERE {where}", values).fetchall()
    order = {number: n for n, (number,) in enumerate(rows)}
    found = _messages(db, order, "1", ())
    return [message for _, message in sorted(found, key=lambda item: order[item[0]])]


def _messages(
    db: sqlite3.Connection, numbers: Iterable[int], where: str, values: tuple[object, ...]
) -> list[tuple[int, Queued]]:
    """The messages of these row ids, each with those of its recipients for which `where` holds."""
    rows = db.execute(
        f"SELECT {MESSAGE}, {PENDING} FROM messages AS m CROSS JOIN recipients AS r"
        " WHERE m.id IN (SELECT value FROM json_each(?)) AND r.message = m.id"
        f" AND {where} ORDER BY m.id, r.n",
        (json.dumps(list(numbers)), *values),
    ).fetchall()
    return list(_grouped(rows))


def _grouped(rows: Sequence[tuple[object, ...]]) -> Iterable[tuple[int, Queued]]:
    begin = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or rows[end][0] != rows[begin][0]:
            yield queued(rows[begin][:13], [row[13:] for row in rows[begin:end]])
            begin = end


def queued(message: Sequence[object], pending: Iterable[Sequence[object]]) -> tuple[int, Queued]:
    """A row of MESSAGE and its rows of PENDING as the row id and the value that they hold."""
    number, queue_id, key, digest, sender, size, arrived, *rest = message
    eightbit, smtputf8, ret, envid, held, warned = rest
    waiting = tuple(
        Pending(
            Recipient(str(address), str(notify), str(orcpt)),
            _integer(attempts), _real(next_attempt), str(reason), _real(tried),
        )
        for address, notify, orcpt, attempts, next_attempt, reason, tried in pending
    )  # fmt: skip
    return _integer(number), Queued(
        str(queue_id), str(key), str(digest), str(sender), _integer(size), _real(arrived), waiting,
        bool(eightbit), bool(smtputf8), str(ret), str(envid), bool(held), bool(warned),
    )  # fmt: skip


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise SpoolError(f"a number in the spool is damaged: {value!r}")
    return value


def _real(value: object) -> float:
    if not isinstance(value, float):
        raise SpoolError(f"a time in the spool is damaged: {value!r}")
    return value
