"""A damaged spool is told of when it is opened, what is whole is saved, and the rest is kept."""

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mxlab_services.errors import SpoolError
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.storage.ports import Settled
from mxlab_services.storage.sqlite import check as spool_check
from mxlab_services.storage.sqlite import spool, tables
from mxlab_services.storage.sqlite.spool import SqliteSpool

COUNT = 300
PAGE = 4096


def message(number: int) -> Queued:
    return Queued(
        f"Q{number:05}", f"<{number}@client.test>", "d" * 64, "alice@client.test", 2000,
        float(number),
        (Pending(Recipient(f"r{number}@example.test")), Pending(Recipient("x@other.test"))),
    )  # fmt: skip


def content(number: int) -> bytes:
    return f"{number:05} ".encode() * 400


async def filled(path: Path) -> None:
    """A spool with COUNT messages, closed in good order."""
    spool = await SqliteSpool.open(path)
    await asyncio.gather(*(spool.put(message(n), content(n)) for n in range(COUNT)))
    await spool.close()


async def survey(spool: SqliteSpool) -> set[str]:
    """What the spool holds; every message must be as it was put, or on record as damaged."""
    found = set()
    recipients = 0
    async for m in spool.load():
        number = int(m.queue_id[1:])
        recipients += len(m.pending)
        if spool.damage is None or m.queue_id not in spool.damage.lost:
            assert m == message(number)
        else:
            assert set(m.pending) < set(message(number).pending)
        assert await spool.content(m.queue_id) == content(number)
        found.add(m.queue_id)
    assert len(found) == await spool.count()
    assert sum(d.recipients for d in await spool.destinations()) == recipients
    return found


async def check_reported(path: Path) -> tuple[set[str], SqliteSpool]:
    """Open the damaged spool: reported, kept, consistent, and working."""
    spool = await SqliteSpool.open(path)
    assert spool.damage is not None
    assert spool.damage.problem
    found = await survey(spool)
    assert spool.damage.saved == len(found)
    await spool.put(message(COUNT), content(COUNT))
    assert await spool.settle(Settled(f"Q{COUNT:05}", (f"r{COUNT}@example.test", "x@other.test")))
    return found, spool


async def test_an_undamaged_spool_reports_nothing(tmp_path: Path) -> None:
    await filled(tmp_path / "spool.db")
    spool = await SqliteSpool.open(tmp_path / "spool.db")
    assert spool.damage is None
    assert len(await survey(spool)) == COUNT
    await spool.close()
    assert not (tmp_path / "spool.db.damaged-1").exists()


@pytest.mark.parametrize("part", [0.99, 0.6, 0.2])
async def test_of_a_truncated_spool_what_is_left_is_saved(tmp_path: Path, part: float) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    found, spool = await check_reported(path)
    damage = spool.damage
    await spool.close()
    assert damage is not None
    assert damage.kept.read_bytes() == data[: int(len(data) * part)]
    if part > 0.9:
        assert len(found) > COUNT // 2
    spool = await SqliteSpool.open(path)  # repaired for good
    assert spool.damage is None
    assert {m.queue_id async for m in spool.load()} == found
    await spool.close()


async def test_a_message_that_lost_a_recipient_is_saved_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER recipient_out")  # the row goes, and nothing else hears of it
        db.execute("DELETE FROM recipients WHERE address = 'r150@example.test'")
        db.commit()
    found, spool = await check_reported(path)
    assert spool.damage is not None
    assert spool.damage.lost == ("Q00150",)
    assert len(found) == COUNT
    assert (await spool.get("Q00150")).pending == message(150).pending[1:]
    await spool.close()


async def test_a_missing_recipient_is_found_where_nothing_else_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE messages SET waiting = 3 WHERE queue_id = 'Q00150'")
        db.commit()
    spool = await SqliteSpool.open(path)
    assert spool.damage is not None
    assert spool.damage.lost == ("Q00150",)
    assert "Q00150 has other recipients" in spool.damage.problem
    await spool.close()
    spool = await SqliteSpool.open(path)
    assert spool.damage is None
    await spool.close()


async def test_settled_recipients_are_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    spool = await SqliteSpool.open(path)
    assert not await spool.settle(Settled("Q00007", ("x@other.test",)))
    await spool.close()
    spool = await SqliteSpool.open(path)
    assert spool.damage is None
    assert (await spool.get("Q00007")).pending == message(7).pending[:1]
    await spool.close()


async def test_of_a_spool_with_a_garbage_page_only_its_messages_are_lost(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    data = bytearray(path.read_bytes())
    at = data.index(content(150)[:30]) // PAGE * PAGE
    data[at : at + PAGE] = random.Random(1).randbytes(PAGE)
    path.write_bytes(data)
    found, spool = await check_reported(path)
    assert spool.damage is not None
    assert COUNT - 5 <= len(found) < COUNT
    assert set(spool.damage.lost) == {f"Q{n:05}" for n in range(COUNT)} - found
    await spool.close()


@pytest.mark.parametrize("data", [b"", b"not a database", bytes(PAGE * 3), b"x" * PAGE * 3])
async def test_a_file_that_is_no_spool_is_kept_and_replaced(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(data)
    found, spool = await check_reported(path)
    assert found == set()
    assert spool.damage is not None
    assert spool.damage.kept == tmp_path / "spool.db.damaged-1"
    await spool.close()
    path.write_bytes(b"again")
    _, spool = await check_reported(path)
    assert spool.damage is not None
    assert spool.damage.kept.name == "spool.db.damaged-2"
    assert spool.damage.kept.read_bytes() == b"again"
    await spool.close()


async def test_a_lost_database_with_its_log_left_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    (tmp_path / "spool.db-wal").write_bytes(b"a log")
    _, spool = await check_reported(path)
    await spool.close()
    assert (tmp_path / "spool.db.damaged-1-wal").read_bytes() == b"a log"


@pytest.mark.parametrize("seed", range(25))
async def test_a_flipped_bit_never_passes_in_silence(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    data = bytearray(path.read_bytes())
    rng = random.Random(seed)
    place = rng.randrange(len(data)) if seed % 5 else rng.randrange(100, PAGE)
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    spool = await SqliteSpool.open(path)
    found = await survey(spool)  # everything that is there is as it was put
    if len(found) < COUNT:
        assert spool.damage is not None
    if spool.damage is not None:
        assert spool.damage.saved == len(found)
    await spool.close()


async def test_a_content_damaged_while_open_is_an_error_and_not_a_wrong_mail(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    spool = await SqliteSpool.open(path)
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(data.index(content(150)[:30]))
        file.write(b"X")
    with pytest.raises(SpoolError, match="Q00150 is damaged"):
        await spool.content("Q00150")
    await spool.close()


async def test_a_crash_between_the_renames_of_a_repair_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    path.rename(tmp_path / "spool.db.ready")
    (tmp_path / "spool.db.damaged-1").write_bytes(b"what was damaged")
    (tmp_path / "spool.db-wal").write_bytes(b"its log")
    spool = await SqliteSpool.open(path)
    assert len(await survey(spool)) == COUNT
    await spool.close()
    assert (tmp_path / "spool.db.damaged-1-wal").read_bytes() == b"its log"
    assert spool.damage is not None
    assert spool.damage.saved == COUNT
    assert spool.damage.kept == tmp_path / "spool.db.damaged-1"


async def test_a_crash_while_a_repair_saves_begins_it_again(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    (tmp_path / "spool.db.making").write_bytes(b"half of a database")
    (tmp_path / "spool.db.ready").write_bytes(b"whole, but nothing was moved yet")
    spool = await SqliteSpool.open(path)
    assert spool.damage is None
    assert len(await survey(spool)) == COUNT
    await spool.close()


async def test_above_the_limit_a_spool_that_was_not_closed_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_check, "FULL_CHECK", 0)
    path = tmp_path / "spool.db"
    await filled(path)
    data = path.read_bytes()
    at = data.index(content(150)[:30]) // PAGE * PAGE
    path.write_bytes(data[:at] + bytes(PAGE) + data[at + PAGE :])
    spool = await SqliteSpool.open(path)
    assert spool.damage is None  # closed in good order: taken at its word
    await spool.close()
    (tmp_path / "spool.db.closed").unlink()
    _, spool = await check_reported(path)
    await spool.close()


async def test_a_spool_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version = 9')"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)  # noqa: ASYNC221
    with pytest.raises(SpoolError, match="version 9"):
        await SqliteSpool.open(path)
    assert not (tmp_path / "spool.db.damaged-1").exists()


@pytest.mark.parametrize("step", ["schema", "check", "reader"])
async def test_an_open_that_fails_leaves_no_connection_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> str:
        raise OSError(5, "Input/output error")

    made: list[sqlite3.Connection] = []
    real = sqlite3.connect

    def connect(*given: Any, **more: Any) -> sqlite3.Connection:
        made.append(real(*given, **more | {"check_same_thread": False}))
        return made[-1]

    if step != "schema":
        await (await SqliteSpool.open(tmp_path / "spool.db")).close()
    monkeypatch.setattr(sqlite3, "connect", connect)
    match step:
        case "schema":
            monkeypatch.setattr(tables, "SCHEMA", "CREATE nothing;")
        case "check":
            monkeypatch.setattr(spool_check, "_check", refuse)
        case "reader":
            monkeypatch.setattr(spool, "connect", refuse)
    with pytest.raises(SpoolError):
        await SqliteSpool.open(tmp_path / "spool.db")
    assert made
    for db in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            db.execute("SELECT 1")


async def test_changed_counters_of_a_recipient_survive_a_repair(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    await filled(path)
    spool = await SqliteSpool.open(path)
    later = Pending(Recipient("x@other.test"), 3, 77.0, "450 later")
    await spool.settle(Settled("Q00001", ("r1@example.test",), (later,), warned=True))
    await spool.hold("Q00001", True)
    await spool.close()
    data = bytearray(path.read_bytes())
    place = data.index(content(250)[:30])
    data[place] ^= 1
    path.write_bytes(data)
    spool = await SqliteSpool.open(path)
    assert spool.damage is not None
    assert spool.damage.lost == ("Q00250",)
    expected = replace(message(1), pending=(later,), warned=True, held=True)
    assert await spool.get("Q00001") == expected
    await spool.close()


CHILD = """
import asyncio, os, sys
from pathlib import Path
from mxlab_services.storage.sqlite.spool import SqliteSpool
from mxlab_services.message import Pending, Queued, Recipient

async def main():
    spool = await SqliteSpool.open(Path(sys.argv[1]))
    for n in range(60):
        await spool.put(
            Queued(
                f"Q{n:05}", f"<{n}@client.test>", "d" * 64, "alice@client.test", 2000, float(n),
                (Pending(Recipient(f"r{n}@example.test")), Pending(Recipient("x@other.test"))),
            ),
            f"{n:05} ".encode() * 400,
        )
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def killed(path: Path) -> Path:
    """The log of a spool whose process was killed after 60 messages."""
    subprocess.run([sys.executable, "-c", CHILD, str(path)], check=False)
    return path.with_name("spool.db-wal")


async def test_a_log_left_by_a_crash_is_no_damage_even_with_a_torn_end(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    log = killed(path)
    log.write_bytes(log.read_bytes()[:-100])
    spool = await SqliteSpool.open(path)
    assert spool.damage is None
    assert len(await survey(spool)) == 59
    await spool.close()
    assert not (tmp_path / "spool.db.log").exists()


@pytest.mark.parametrize("part", [0.0, 0.2, 0.5, 0.8])
async def test_a_flipped_bit_in_the_log_is_damage_and_the_log_is_kept(
    tmp_path: Path, part: float
) -> None:
    path = tmp_path / "spool.db"
    log = killed(path)
    data = bytearray(log.read_bytes())
    data[20 + int(len(data) * part)] ^= 4
    log.write_bytes(data)
    found, spool = await check_reported(path)
    assert spool.damage is not None
    assert "log" in spool.damage.problem
    assert spool.damage.kept.read_bytes() == data
    assert len(found) == pytest.approx(60 * part, abs=6)
    await spool.close()
