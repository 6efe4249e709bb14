"""Mailboxes: Maildir folders and those of the simulated disk."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxlab_services.clock import ScaledClock
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.ids import SeededIds
from mxlab_services.storage.maildir import MaildirMailboxes, folder_of, is_own, unique_name
from mxlab_services.storage.memory import MemoryMailboxes
from mxlab_services.storage.memory_disk import MemoryDisk
from mxlab_services.storage.ports import Mailboxes


def ids() -> SeededIds:
    return SeededIds(ScaledClock(), random.Random(1))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
async def maildir(tmp_path: Path) -> AsyncIterator[MaildirMailboxes]:
    opened = MaildirMailboxes(tmp_path / "mailboxes", ids())
    yield opened
    await opened.close()


@pytest.fixture(params=["maildir", "memory"])
def mailboxes(request: pytest.FixtureRequest, maildir: MaildirMailboxes) -> Mailboxes:
    return maildir if request.param == "maildir" else MemoryMailboxes(MemoryDisk(), ids())


async def test_what_is_delivered_is_read_oldest_first(mailboxes: Mailboxes) -> None:
    second = await mailboxes.deliver("bob@example.test", b"two\r\n", 200.5)
    first = await mailboxes.deliver("bob@example.test", b"one\r\n\xff\x00", 100.25)
    other = await mailboxes.deliver("eve@example.test", b"three", 150.0)
    everything = await mailboxes.read()
    assert [(m.address, m.name, m.content, m.at) for m in everything] == [
        ("bob@example.test", first, b"one\r\n\xff\x00", 100.25),
        ("eve@example.test", other, b"three", 150.0),
        ("bob@example.test", second, b"two\r\n", 200.5),
    ]
    assert [m.name for m in await mailboxes.read("bob@example.test")] == [first, second]
    assert list(await mailboxes.read("nobody@example.test")) == []


async def test_one_is_read_by_its_name_and_no_other(mailboxes: Mailboxes) -> None:
    bob = "bob@example.test"
    first = await mailboxes.deliver(bob, b"one\r\n\xff\x00", 100.25)
    await mailboxes.deliver(bob, b"two\r\n", 200.5)
    one = await mailboxes.one(bob, first)
    assert one is not None
    assert (one.address, one.name, one.content, one.at) == (
        bob, first, b"one\r\n\xff\x00", 100.25
    )  # fmt: skip
    assert await mailboxes.one("eve@example.test", first) is None
    for name in ("", ".", "..", "nothing", f"../{first}", f"../../{first}", "a\0b"):
        assert await mailboxes.one(bob, name) is None


async def test_one_is_found_where_a_mail_reader_has_put_it_and_the_others_are_not_opened(
    maildir: MaildirMailboxes, tmp_path: Path
) -> None:
    bob = "bob@example.test"
    names_ = [await maildir.deliver(bob, b"%d\r\n" % n, float(n)) for n in range(3)]
    folder = tmp_path / "mailboxes" / folder_of(bob)
    (folder / "new" / names_[1]).rename(folder / "cur" / f"{names_[1]}:2,S")
    (folder / "new" / names_[2]).unlink()
    (folder / "new" / names_[2]).mkdir()  # reading it would fail
    for name in (names_[1], f"{names_[1]}:2,FS"):
        one = await maildir.one(bob, name)
        assert one is not None
        assert (one.name, one.content) == (f"{names_[1]}:2,S", b"1\r\n")
    (folder / "cur" / f"{names_[1]}:2,S").unlink()
    assert await maildir.one(bob, names_[1]) is None


async def test_there_is_nothing_before_the_first_delivery(mailboxes: Mailboxes) -> None:
    assert list(await mailboxes.read()) == []


async def test_names_differ_within_one_instant(mailboxes: Mailboxes) -> None:
    told = await asyncio.gather(
        *(mailboxes.deliver("bob@example.test", f"{n}".encode(), 1.0) for n in range(200))
    )
    assert len(set(told)) == 200
    contents = [m.content for m in await mailboxes.read("bob@example.test")]
    assert contents == [f"{n}".encode() for n in range(200)]  # and keep their order


@pytest.mark.parametrize(
    "address",
    [
        "../../etc/passwd@example.test", "/etc/passwd", "..", ".", ".hidden@example.test",
        "a/b@example.test", "a\0b@example.test", "tab\t@example.test", "jörg@exämple.test",
        '"quoted local"@example.test', "100%@example.test", "a:2,S@example.test", "~root",
        f"{'!' * 64}@{'y.' * 90}test", f"{'ü' * 32}@{'y.' * 90}test",
        f"./{'%' * 9}{'ü' * 25}@{'y.' * 80}a",
    ],
)  # fmt: skip
async def test_no_address_leaves_the_folder(
    maildir: MaildirMailboxes, tmp_path: Path, address: str
) -> None:
    await maildir.deliver(address, b"x", 1.0)
    assert [m.address for m in await maildir.read()] == [address]
    assert [m.address for m in await maildir.read(address)] == [address]
    folder = folder_of(address)
    assert "/" not in folder
    assert not folder.startswith(".")
    found = {p.relative_to(tmp_path).parts[:2] for p in tmp_path.rglob("*.mxlab")}  # noqa: ASYNC240
    assert found == {("mailboxes", folder)}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_folder_has_one_safe_name(address: str) -> None:
    folder = folder_of(address)
    assert folder.isascii()
    assert folder.isprintable()
    assert "/" not in folder
    assert folder not in {".", ".."}


async def test_an_address_too_long_for_a_folder_is_an_error(maildir: MaildirMailboxes) -> None:
    with pytest.raises(SpoolError, match="no folder"):
        await maildir.deliver("a" * 300 + "@example.test", b"x", 1.0)
    with pytest.raises(SpoolError, match="no folder"):
        await maildir.deliver("", b"x", 1.0)


async def test_it_is_a_maildir_with_nothing_left_in_tmp(
    maildir: MaildirMailboxes, tmp_path: Path
) -> None:
    name = await maildir.deliver("bob@example.test", b"content", 1.0)
    folder = tmp_path / "mailboxes" / "bob@example.test"
    assert names(folder) == ["cur", "new", "tmp"]
    assert names(folder / "tmp") == []
    assert names(folder / "cur") == []
    assert names(folder / "new") == [name]
    assert (folder / "new" / name).read_bytes() == b"content"


async def test_what_a_mail_reader_moved_and_another_program_put_is_read_too(
    maildir: MaildirMailboxes, tmp_path: Path
) -> None:
    name = await maildir.deliver("bob@example.test", b"seen", 5.0)
    folder = tmp_path / "mailboxes" / "bob@example.test"
    (folder / "new" / name).rename(folder / "cur" / f"{name}:2,S")
    (folder / "new" / "foreign.name").write_bytes(b"foreign\n")
    (folder / "tmp" / "half").write_bytes(b"not yet")
    found = await maildir.read("bob@example.test")
    assert [(m.name, m.content) for m in found] == [
        (f"{name}:2,S", b"seen"), ("foreign.name", b"foreign\r\n"),
    ]  # fmt: skip
    assert found[0].at == 5.0


async def test_a_primarys_own_files_are_told_from_a_mail_programs(
    maildir: MaildirMailboxes,
) -> None:
    name = await maildir.deliver("bob@example.test", b"own", 5.0)
    assert is_own(name)
    assert is_own(f"{name}:2,RS")
    assert not is_own("1795806543.M797820P31.79c17595c897,S=32,W=36:2,S")
    assert not is_own(f"x{name}")


async def test_each_message_is_read_once_while_a_mail_reader_marks_them(
    maildir: MaildirMailboxes, tmp_path: Path
) -> None:
    given = [
        await maildir.deliver("bob@example.test", f"{n}".encode(), float(n)) for n in range(20)
    ]
    cur, new = (tmp_path / "mailboxes" / "bob@example.test" / part for part in ("cur", "new"))
    ended = threading.Event()

    def mark() -> None:
        """Show all, then mark and unmark each, over and over."""
        for name in given:
            (new / name).rename(cur / f"{name}:2,S")
        flags = itertools.cycle([(":2,S", ":2,RS"), (":2,RS", ":2,S")])
        while not ended.is_set():
            old, now = next(flags)
            for name in given:
                (cur / f"{name}{old}").rename(cur / f"{name}{now}")

    with ThreadPoolExecutor(1) as reader:
        marking = reader.submit(mark)
        try:
            for _ in range(100):
                found = await maildir.read("bob@example.test")
                assert [unique_name(m.name) for m in found] == given
        finally:
            ended.set()
            marking.result()


@pytest.mark.parametrize("world", ["maildir", "memory"])
async def test_what_a_former_life_delivered_is_not_stored_again(tmp_path: Path, world: str) -> None:
    disk = MemoryDisk()
    told: list[list[str]] = []
    for at in (1.0, 2.0, 3.0):
        maildir = MaildirMailboxes(tmp_path / "mailboxes", ids())
        life = maildir if world == "maildir" else MemoryMailboxes(disk, ids())
        told.append([await life.deliver("bob@example.test", b"same", at)])
        told[-1] += [await life.deliver("eve@example.test", f"{at}".encode(), at)]
        found = await life.read("bob@example.test")
        assert [(m.name, m.content, m.at) for m in found] == [(told[0][0], b"same", 1.0)]
        await maildir.close()
    assert {names[0] for names in told} == {told[0][0]}
    assert len({names[1] for names in told}) == 3


async def test_within_one_life_every_delivery_is_stored(mailboxes: Mailboxes) -> None:
    first = await mailboxes.deliver("bob@example.test", b"same", 1.0)
    assert await mailboxes.deliver("bob@example.test", b"same", 1.0) != first
    assert len(await mailboxes.read()) == 2


async def test_what_a_mail_reader_has_moved_is_known_too(tmp_path: Path) -> None:
    folder = tmp_path / "mailboxes" / "bob@example.test"
    maildir = MaildirMailboxes(tmp_path / "mailboxes", ids())
    name = await maildir.deliver("bob@example.test", b"seen", 1.0)
    await maildir.close()
    (folder / "new" / name).rename(folder / "cur" / f"{name}:2,S")
    maildir = MaildirMailboxes(tmp_path / "mailboxes", ids())
    assert await maildir.deliver("bob@example.test", b"seen", 2.0) == f"{name}:2,S"
    assert len(await maildir.read()) == 1
    await maildir.close()


async def test_what_a_crash_left_in_tmp_is_cleared_away(tmp_path: Path) -> None:
    folder = tmp_path / "mailboxes" / "bob@example.test"
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp" / f"1.M000000Q1.{'0' * 32}.mxlab").write_bytes(b"hal")
    (folder / "tmp" / "another.program").write_bytes(b"its own")
    maildir = MaildirMailboxes(tmp_path / "mailboxes", ids())
    await maildir.deliver("bob@example.test", b"whole", 1.0)
    assert names(folder / "tmp") == ["another.program"]
    await maildir.close()


async def test_a_folder_that_was_removed_is_made_again(
    maildir: MaildirMailboxes, tmp_path: Path
) -> None:
    await maildir.deliver("bob@example.test", b"one", 1.0)
    subprocess.run(["rm", "-r", str(tmp_path / "mailboxes")], check=True)  # noqa: ASYNC221
    await maildir.deliver("bob@example.test", b"two", 2.0)
    assert [m.content for m in await maildir.read()] == [b"two"]


async def test_a_delivery_that_fails_leaves_the_others_of_its_group_alone(
    maildir: MaildirMailboxes, tmp_path: Path
) -> None:
    (tmp_path / "mailboxes").mkdir()
    (tmp_path / "mailboxes" / "eve@example.test").write_bytes(b"a file in the folder's place")
    results = await asyncio.gather(
        maildir.deliver("bob@example.test", b"one", 1.0),
        maildir.deliver("eve@example.test", b"two", 1.0),
        maildir.deliver("bob@example.test", b"three", 1.0),
        return_exceptions=True,
    )
    assert [type(r) for r in results] == [str, SpoolError, str]
    found = await maildir.read("bob@example.test")
    assert [m.content for m in found] == [b"one", b"three"]


async def test_a_full_disk_is_spool_full_and_leaves_nothing(
    maildir: MaildirMailboxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await maildir.deliver("bob@example.test", b"before", 1.0)
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) <= 2:
            raise OSError(28, "No space left on device")
        return write(descriptor, bytes(data)[:2])

    monkeypatch.setattr("mxlab_services.storage.maildir.os.write", full)
    with pytest.raises(SpoolFull, match="No space left"):
        await maildir.deliver("bob@example.test", b"after", 2.0)
    monkeypatch.undo()
    folder = tmp_path / "mailboxes" / "bob@example.test"
    assert names(folder / "tmp") == []
    assert [m.content for m in await maildir.read()] == [b"before"]
    await maildir.deliver("bob@example.test", b"space again", 3.0)
    assert len(await maildir.read()) == 2


async def test_memory_mailboxes_keep_over_a_crash_what_was_synced() -> None:
    disk = MemoryDisk()
    mailboxes = MemoryMailboxes(disk, ids())
    await mailboxes.deliver("bob@example.test", b"synced", 1.0)
    pending = asyncio.create_task(mailboxes.deliver("bob@example.test", b"pending", 2.0))
    await asyncio.sleep(0)
    disk.crash()
    assert [m.content for m in await MemoryMailboxes(disk, ids()).read()] == [b"synced"]
    assert not pending.done()
    pending.cancel()
    disk.full = True
    with pytest.raises(SpoolFull):
        await mailboxes.deliver("bob@example.test", b"no", 3.0)


CHILD = """
import asyncio, os, random, sys
from pathlib import Path
from mxlab_services.clock import ScaledClock
from mxlab_services.ids import SeededIds
from mxlab_services.storage.maildir import MaildirMailboxes

async def main():
    boxes = MaildirMailboxes(Path(sys.argv[1]), SeededIds(ScaledClock(), random.Random(2)))
    async def work(w):
        n = 0
        while True:
            name = await boxes.deliver(f"r{w}@example.test", f"{w} {n} ".encode() * 3000, float(n))
            os.write(1, f"{w} {n} {name}\\n".encode())
            n += 1
    await asyncio.gather(*(work(w) for w in range(5)))

asyncio.run(main())
"""


async def test_what_was_delivered_survives_sigkill_and_nothing_is_there_in_part(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(120)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    opened = MaildirMailboxes(tmp_path, ids())
    found = {m.name: m.content for m in await opened.read()}
    await opened.close()
    for line in told:
        if line.endswith(b"\n"):
            worker, number, name = line.decode().split()
            assert found[name] == f"{worker} {number} ".encode() * 3000
    assert {content[:1] for content in found.values()} <= {b"0", b"1", b"2", b"3", b"4"}
    assert all(content == content[: len(content) // 3000] * 3000 for content in found.values())
