"""Memory of a node while clients hold large messages before the dot, and while it takes them.

30 clients send 9 MB each and wait; then all say the dot at once. What lies before the dot is on
disk, and what comes after it is whole in memory for a few messages at a time, so the node's memory
has a ceiling whatever the clients do. It was 315 MB when all was held in memory.
"""

import asyncio
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import pytest

from mxlab.model.topology import Topology
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab_services import events
from mxlab_services.config import AnyConfig, encode_config
from tests.bench.table import Table, machine

CLIENTS = 30
SIZE = 9 * 1000 * 1000  # bytes of each message
HELD = 32  # MB that they may take before the dot
TAKEN = 200  # MB that taking and delivering them may take at the most
MB = 1024  # kB, in which the kernel counts
SECONDS = 120
LINE = b"x" * 98 + b"\r\n"
OPENING = b"EHLO c.test\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"

pytestmark = pytest.mark.bench


def memory(process: Process, what: str) -> float:
    """MB: VmRSS is what the process has now, VmHWM the most that it had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(rf"^{what}:\s+(\d+) kB", status, re.MULTILINE)
    assert found
    return int(found[1]) / MB


async def start(config: AnyConfig) -> Process:
    """The node, ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mxlab_services", stdout=PIPE, stderr=DEVNULL,
        env={"MXLAB_CONFIG": encode_config(config), "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    await until(process, "node.ready", 1)
    return process


async def until(process: Process, kind: str, count: int) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        while count:
            count -= events.decode(await process.stdout.readline()).kind == kind


async def hold(config: AnyConfig) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that has sent all but its dot."""
    reader, writer = await asyncio.open_connection(config.address, 2525)
    writer.write(OPENING)
    while not (await reader.readline()).startswith(b"354"):
        pass
    block = LINE * 100
    for _ in range(SIZE // len(block)):
        writer.write(block)
        await writer.drain()
    return reader, writer


async def finish(ends: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    reader, writer = ends
    writer.write(b".\r\n")
    assert (await reader.readline()).startswith(b"250 ")
    writer.close()


async def settled(process: Process) -> float:
    """MB that the process has once it has read all that was sent: nothing grows any more."""
    last, now = -1.0, memory(process, "VmRSS")
    while abs(now - last) > 0.5:
        await asyncio.sleep(0.5)
        last, now = now, memory(process, "VmRSS")
    return now


async def test_memory_has_a_ceiling_whatever_clients_hold(tmp_path: Path) -> None:
    world = AddressPlan(
        "127.66.9.0/28", smtp_port=2525, dns_port=5353,
        control=str(tmp_path / "{node}.sock"), data=str(tmp_path / "{node}"),
    )  # fmt: skip
    config = make_plan("bench", "run", Topology(), world).node("mx1")
    process = await start(config)
    try:
        before = await settled(process)
        clients = await asyncio.gather(*(hold(config) for _ in range(CLIENTS)))
        held = await settled(process)
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(finish(ends) for ends in clients), delivered(process))
        most, after = memory(process, "VmHWM"), await settled(process)
    finally:
        process.kill()
        await process.communicate()
    table = Table(
        f"Memory of a node, {CLIENTS} clients with {SIZE / 1e6:g} MB each ({machine()})",
        "at rest", "all held before the dot", "at most, until all are delivered", "after",
    )  # fmt: skip
    table.row(*(f"{size:.0f} MB" for size in (before, held, most, after)))
    table.show()
    assert held - before < HELD
    assert most - before < TAKEN


async def delivered(process: Process) -> None:
    await until(process, "mailbox.delivered", CLIENTS)
