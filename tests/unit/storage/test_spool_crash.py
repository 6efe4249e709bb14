"""B4: what was acknowledged is there after SIGKILL, whole, at whatever point it struck."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.storage.ports import Settled
from mxlab_services.storage.sqlite.spool import SqliteSpool

CHILD = """
import asyncio, itertools, os, sys
from pathlib import Path
from mxlab_services.storage.sqlite.spool import SqliteSpool
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.storage.ports import Settled

def content(number):
    return f"{number} ".encode() * (number * 7 % 4000 + 1)

def message(number):
    recipients = tuple(Pending(Recipient(f"r{n}@example.test")) for n in range(number % 3 + 1))
    return Queued(f"Q{number:08}", "<k>", "d", "", len(content(number)), float(number), recipients)

async def main():
    spool = await SqliteSpool.open(Path(sys.argv[1]))
    if spool.damage:
        os.write(1, b"damage\\n")
    numbers = itertools.count(int(sys.argv[2]))
    async def work():
        for number in numbers:
            await spool.put(message(number), content(number))
            os.write(1, f"put {number}\\n".encode())
            if number % 5 == 0:
                done = tuple(p.address for p in message(number).pending)
                os.write(1, f"settling {number}\\n".encode())
                await spool.settle(Settled(f"Q{number:08}", done))
                os.write(1, f"gone {number}\\n".encode())
    await asyncio.gather(*(work() for _ in range(10)))

asyncio.run(main())
"""


def content(number: int) -> bytes:
    return f"{number} ".encode() * (number * 7 % 4000 + 1)


def run_until_killed(path: Path, first: int, lines: int) -> list[tuple[str, int]]:
    """Run the child, kill it once it has told `lines` lines; everything that it told."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(first)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    words = [line.decode().split() for line in told if line.endswith(b"\n")]
    return [(what, int(number)) for what, number in words]


@pytest.mark.parametrize("seed", range(4))
async def test_b4_every_acknowledged_message_survives_sigkill(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "spool.db"
    there: set[int] = set()
    gone: set[int] = set()
    first = 0
    for round_number in range(3):  # killed again and again, the log never checkpointed in order
        digest = hashlib.sha256(f"{seed} {round_number}".encode()).digest()
        told = run_until_killed(path, first, 1 + int.from_bytes(digest[:2], "big") % 600)
        put = {n for what, n in told if what == "put"}
        there |= put - {n for what, n in told if what == "settling"}
        gone |= {n for what, n in told if what == "gone"}
        first = max(put, default=first) + 100  # above whatever was put and not acknowledged
    spool = await SqliteSpool.open(path)
    assert spool.damage is None
    found = {int(m.queue_id[1:]): m async for m in spool.load()}
    assert there <= set(found)
    assert not gone & set(found)
    for number, message in found.items():
        assert await spool.content(message.queue_id) == content(number)
        assert len(message.pending) == number % 3 + 1
    assert await spool.count() == len(found)
    await spool.close()


async def test_a_second_process_is_told_that_the_spool_is_in_use(tmp_path: Path) -> None:
    spool = await SqliteSpool.open(tmp_path / "spool.db")
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from mxlab_services.storage.sqlite.spool import SqliteSpool\n"
        "asyncio.run(SqliteSpool.open(Path(sys.argv[1])))"
    )
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "spool.db"), stderr=subprocess.PIPE
    )
    _, errors = await second.communicate()
    assert second.returncode == 1
    assert b"SpoolError" in errors
    assert b"in use by another process" in errors
    await spool.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
async def test_enospc_of_a_real_file_system_is_spool_full_and_passes(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = await asyncio.create_subprocess_exec(
        "mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount), stderr=subprocess.PIPE
    )
    await mounted.communicate()
    if mounted.returncode:
        pytest.skip("this root may not mount")
    try:
        spool = await SqliteSpool.open(mount / "spool.db")
        stored: list[str] = []
        full: list[SpoolError] = []
        while not full:
            names = [f"Q{len(stored) + n:05}" for n in range(10)]
            outcomes = await asyncio.gather(
                *(
                    spool.put(
                        Queued(n, "k", "d", "", 5, 1.0, (Pending(Recipient("a@b.test")),)),
                        n.encode() * 5000,
                    )
                    for n in names
                ),
                return_exceptions=True,
            )
            stored += [n for n, outcome in zip(names, outcomes, strict=True) if outcome is None]
            full += [outcome for outcome in outcomes if isinstance(outcome, SpoolError)]
        assert {type(error) for error in full} == {SpoolFull}
        assert [m.queue_id async for m in spool.load()] == sorted(stored)
        resized = await asyncio.create_subprocess_exec(
            "mount", "-o", "remount,size=30m", str(mount)
        )
        assert await resized.wait() == 0
        await spool.put(Queued("R", "k", "d", "", 5, 1.0, (Pending(Recipient("a@b.test")),)), b"r")
        assert await spool.settle(Settled(stored[0], ("a@b.test",)))
        for name in stored[1:]:
            assert await spool.content(name) == name.encode() * 5000
        await spool.close()
        spool = await SqliteSpool.open(mount / "spool.db")
        assert spool.damage is None
        assert [m.queue_id async for m in spool.load()] == [*sorted(stored[1:]), "R"]
        await spool.close()
    finally:
        unmounted = await asyncio.create_subprocess_exec("umount", str(mount))
        assert await unmounted.wait() == 0
