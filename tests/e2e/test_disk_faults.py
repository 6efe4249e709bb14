"""A real node whose disk is full, refuses to be written, or was damaged: what SMTP clients hear.

::

    SMTP client ──> node ──x its disk: full, read-only, damaged      452, 451, or 250 and kept
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mxlab_services import events
from mxlab_services.control.requests import MailboxList, Ping, QueueFlush, QueueList
from tests.support.process_lab import ProcessLab, Refused

ALICE, BOB = "alice@client.test", "bob@example.test"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
SPACE = "4m"
FULL = "452 4.3.1 insufficient system storage"
READ_ONLY = "451 4.3.0 the queue cannot be written now"


@pytest.fixture
async def lab() -> AsyncIterator[ProcessLab]:
    folder = Path(tempfile.mkdtemp(prefix="mxlab-disk-"))  # short, for the sockets' names
    found = ProcessLab(folder)
    try:
        await found.start("dns")
        yield found
    finally:
        await found.end()
        shutil.rmtree(folder)


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mount here: {done.stderr.strip()}")


@pytest.fixture
def disk(lab: ProcessLab) -> Iterator[Path]:
    """The data folder of mx2, on a small disk of its own."""
    folder = lab.data("mx2")
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SPACE},mode=700", "mxlab-test", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the space that is left."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def message(number: int) -> bytes:
    head = f"Message-ID: <{number}@client.test>\r\nSubject: {number}\r\n\r\n"
    return head.encode() + f"{number:070}\r\n".encode() * 100


async def offer(lab: ProcessLab, number: int) -> str:
    """What mx2 answers to a message: acked, unknown, or the refusal."""
    try:
        return await lab.send("mx2", ALICE, BOB, message(number))
    except Refused as refusal:
        return str(refusal)


async def offer_until(lab: ProcessLab, first: int, answer: str) -> tuple[list[int], int]:
    """Offer messages until that answer comes: the acknowledged ones, and the one it came to."""
    acked: list[int] = []
    for number in range(first, first + 1000):
        found = await offer(lab, number)
        if found == answer:
            return acked, number
        assert found == "acked"
        acked.append(number)
    raise AssertionError(f"never {answer}")


async def delivered(lab: ProcessLab) -> list[int]:
    """Let mx2 send all that it has, and list what reached the mailbox."""
    await lab.start("mx1")
    await lab.ask("mx2", QueueFlush())
    await lab.drained("mx1", await lab.drained("mx2"))
    assert (await lab.ask("mx2", Ping())).queued == 0
    return sorted(int(entry.subject) for entry in await lab.ask("mx1", MailboxList(BOB)))


@ROOT
async def test_a_full_disk_is_452_and_mail_is_taken_again_when_there_is_space(
    lab: ProcessLab, disk: Path
) -> None:
    await lab.start("mx2")
    acked = [number for number in range(20) if await offer(lab, number) == "acked"]
    assert len(acked) == 20
    filler = fill(disk)
    more, refused = await offer_until(lab, 20, FULL)
    assert [await offer(lab, number) for number in range(2000, 2005)] == [FULL] * 5
    filler.unlink()
    assert await offer(lab, refused) == "acked"
    assert await delivered(lab) == [*acked, *more, refused]


@ROOT
async def test_a_node_killed_on_a_full_disk_still_has_what_it_acknowledged(
    lab: ProcessLab, disk: Path
) -> None:
    await lab.start("mx2")
    before = [number for number in range(20) if await offer(lab, number) == "acked"]
    filler = fill(disk)
    more, _ = await offer_until(lab, 20, FULL)
    await lab.end("mx2", kill=True)
    await lab.launch("mx2")
    assert await lab.died("mx2") == 1  # there is no room to read the log of the last life
    assert "no space" in lab.log("mx2").splitlines()[-1]
    filler.unlink()
    await lab.start("mx2")
    assert not lab.of(events.SpoolDamaged, "mx2")
    assert await delivered(lab) == [*before, *more] != []


async def test_a_read_only_spool_is_451_and_mail_is_taken_again_later(lab: ProcessLab) -> None:
    await lab.start("mx2")
    assert await offer(lab, 0) == "acked"
    lab.arm("mx2", "read-only")
    assert [await offer(lab, number) for number in (1, 2)] == [READ_ONLY] * 2
    lab.disarm("mx2")
    assert await offer(lab, 1) == "acked"
    assert await delivered(lab) == [0, 1]


@ROOT
async def test_a_disk_that_is_read_only_at_the_start_is_one_line_and_nothing_is_lost(
    lab: ProcessLab, disk: Path
) -> None:
    await lab.start("mx2")
    acked = [number for number in range(5) if await offer(lab, number) == "acked"]
    await lab.end("mx2", kill=True)
    before = len(lab.log("mx2"))
    mount("-o", "remount,ro", str(disk))
    await lab.launch("mx2")
    assert await lab.died("mx2") == 1
    told = lab.log("mx2")[before:]
    assert told.count("\n") == 1
    assert "read-only" in told.lower()
    mount("-o", "remount,rw", str(disk))
    await lab.start("mx2")
    assert await delivered(lab) == acked == list(range(5))


async def test_of_a_damaged_spool_all_that_is_whole_is_delivered(lab: ProcessLab) -> None:
    await lab.start("mx2")
    for number in range(12):
        assert await offer(lab, number) == "acked"
    queue_ids = {entry.message: entry.queue_id for entry in await lab.ask("mx2", QueueList())}
    await lab.end("mx2")
    database = lab.data("mx2") / "spool" / "spool.db"
    content = bytearray(database.read_bytes())
    place = content.index(f"{5:070}\r\n".encode() * 10)
    content[place] ^= 1
    database.write_bytes(content)
    await lab.start("mx2")
    (damage,) = lab.of(events.SpoolDamaged, "mx2")
    lost = queue_ids["<5@client.test>"]
    assert damage == events.SpoolDamaged(f"the content of message {lost} is damaged", 11, [lost])
    kinds = [event.kind for event in lab.heard if event.node == "mx2"]
    assert kinds.index("spool.damaged") < kinds.index("node.ready", kinds.index("node.stopping"))
    assert await delivered(lab) == [number for number in range(12) if number != 5]
