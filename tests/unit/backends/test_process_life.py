"""A process has ended when its last thread has, not its first: until then it holds its sockets."""

import asyncio
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxlab.backends.process.life import ProcessLife

# Ends the first thread alone, as SIGKILL may while another is in the kernel: it shows as Z.
LEADER_GONE = """
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
exit_thread = {"x86_64": 60, "aarch64": 93}[platform.machine()]
ctypes.CDLL(None).syscall(exit_thread, 0)
"""


def fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@pytest.fixture
def headless() -> Iterator[ProcessLife]:
    """A process whose first thread is gone, and whose second one is not."""
    child = subprocess.Popen([sys.executable, "-c", LEADER_GONE])
    try:
        while fields(child.pid)[0] != "Z":
            time.sleep(0.001)  # nothing announces it
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        yield ProcessLife(child.pid, fields(child.pid)[19], boot)
    finally:
        child.kill()
        child.wait()


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="the number of a system call"
)
async def test_a_process_whose_first_thread_is_gone_has_not_ended(headless: ProcessLife) -> None:
    ended = asyncio.create_task(headless.ended(reap=False))
    done, _ = await asyncio.wait([ended], timeout=0.2)
    assert not done
    os.kill(headless.pid, signal.SIGKILL)
    await asyncio.wait_for(ended, 10)
