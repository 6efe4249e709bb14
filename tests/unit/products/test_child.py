"""A product's process: heard to the end, stopped in order or by force, orphans taken."""

import asyncio
import os
import select
import subprocess
import sys

import pytest

from mxlab_services.products.child import Child


class Ears(list[bytes]):
    """The lines that were heard."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = asyncio.Event()

    def append(self, line: bytes) -> None:
        super().append(line)
        if line == b"ready":
            self.ready.set()


async def started(script: str, heard: Ears) -> Child:
    """A child that has said that it is ready."""
    child = await Child.start(["/bin/sh", "-c", script], heard.append)
    await asyncio.wait_for(heard.ready.wait(), 30)
    return child


async def test_it_is_heard_to_its_last_line() -> None:
    heard = Ears()
    child = await Child.start(
        ["/bin/sh", "-c", "echo one; echo two >&2; printf end; exit 3"], heard.append
    )
    assert await child.ended == 3
    await child.hear_out()
    assert heard == [b"one", b"two", b"end"]
    await child.stop()


async def test_it_is_asked_to_stop_and_says_its_last() -> None:
    heard = Ears()
    child = await started(
        "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done", heard
    )
    await child.stop()
    assert (heard, child.ended.result()) == ([b"ready", b"bye"], 0)


async def test_parts_of_other_users_are_waited_for_and_cannot_be_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(group: int, number: int) -> None:
        raise PermissionError(f"{group} {number}")

    heard = Ears()
    child = await started("(sleep 0.3; echo last) & echo ready; exit 0", heard)
    monkeypatch.setattr(os, "killpg", refuse)
    await child.stop()
    assert heard == [b"ready", b"last"]


async def test_what_does_not_stop_is_killed_with_its_group() -> None:
    heard = Ears()
    child = await started("trap '' TERM; sleep 100 & echo $!; echo ready; wait; wait", heard)
    grandchild = os.pidfd_open(int(heard[0]))
    await child.stop(grace=0.3)
    assert child.ended.result() == -9
    ended, _, _ = await asyncio.to_thread(select.select, [grandchild], [], [], 10)
    assert ended
    os.close(grandchild)


async def test_what_its_group_still_does_is_waited_for() -> None:
    heard = Ears()
    script = "(trap '' TERM; sleep 0.5; echo done) & trap 'exit 0' TERM; echo ready; wait"
    child = await started(script, heard)
    await child.stop()
    assert heard == [b"ready", b"done"]


async def test_it_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXLAB_CONFIG", "secret")
    heard = Ears()
    child = await Child.start(["/usr/bin/env"], heard.append)
    assert await child.ended == 0
    await child.hear_out()
    names = {line.partition(b"=")[0] for line in heard}
    assert names <= {b"PATH", b"LC_ALL", b"TZ", b"PWD", b"LC_CTYPE"}


async def test_it_never_waits_for_us_to_read() -> None:
    heard = Ears()
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo ready"
    child = await started(script, heard)
    assert len(heard) == 20_001
    await child.stop()


ORPHANS = """
import asyncio, ctypes, os, sys
from mxlab_services.products.child import Child, Reaper
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
async def main():
    child = await Child.start(["/bin/sh", "-c", "(sleep 0.2 & echo $!) ; exit 7"], print)
    own = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 5")
    reaper, taken = Reaper(), []
    while not taken:
        taken = reaper.look()
        await asyncio.sleep(0.1)
    print("taken", len(taken), await child.ended, await own.wait(), flush=True)
asyncio.run(main())
"""


def test_orphans_are_taken_and_nobody_elses_child() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ORPHANS], capture_output=True, text=True, timeout=60, check=True,
        env=dict(os.environ),
    )  # fmt: skip
    assert ran.stdout.splitlines()[-1] == "taken 1 7 5"
    assert ran.stderr == ""
