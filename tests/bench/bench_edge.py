"""How fast the edge alone takes mail, against aiosmtpd's own server with a null handler.

Both accept at once and store nothing; Postfix's smtp-source is the client. The rate per second of
the processor is that of the server's process alone, and bears other load on the machine.
"""

import asyncio
import shutil
import time
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from mxlab_services.events import Body
from mxlab_services.message import Envelope, Origin
from mxlab_services.queue.live import LiveConfig
from mxlab_services.smtp.server.listener import Edge
from tests.bench.table import Table, machine
from tests.support.edge_lab import CONFIG

MESSAGES = 2000
SIZE = 1024  # bytes
FLOOR = 1.0  # times aiosmtpd's rate per second of the processor

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not shutil.which("smtp-source"), reason="needs Postfix's smtp-source"),
]


class Null:
    """A handler that accepts and forgets."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        return "250 2.0.0 Ok"


async def accept(envelope: Envelope, content: bytes, origin: Origin) -> str:
    return "4Q"


def ignore(body: Body, message: str | None = None) -> None:
    pass


async def send(address: str, sessions: int, *options: str) -> tuple[float, float]:
    """Messages per second of time, and per second of this process on the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    client = await asyncio.create_subprocess_exec(
        "smtp-source", *options, "-s", str(sessions), "-m", str(MESSAGES), "-l", str(SIZE),
        "-f", "a@client.test", "-t", "bob@example.test", f"inet:{address}",
    )  # fmt: skip
    assert await client.wait() == 0
    return MESSAGES / (time.perf_counter() - wall), MESSAGES / (time.process_time() - processor)


async def test_rate_of_the_edge_against_aiosmtpd() -> None:
    edge = Edge(LiveConfig(CONFIG), accept, ignore)
    await edge.start()
    loop = asyncio.get_running_loop()
    stock = await loop.create_server(
        lambda: SMTP(Null(), hostname="mx1.example.test", loop=loop), "127.0.0.1", 0
    )
    host, port = stock.sockets[0].getsockname()[:2]
    table = Table(
        f"Accepting {MESSAGES} messages of {SIZE} bytes, storing nothing ({machine()})",
        "sessions", "connections", "mxlab /s", "aiosmtpd /s",
        "mxlab / s of processor", "aiosmtpd / s of processor", "ratio",
    )  # fmt: skip
    ratios = []
    for sessions in (1, 10, 20):
        for name, options in (("a message", ()), ("kept", ("-d",))):
            ours = await send(edge.addresses[0], sessions, *options)
            theirs = await send(f"{host}:{port}", sessions, *options)
            ratios.append(ours[1] / theirs[1])
            cells = [f"{rate:.0f}" for rate in (ours[0], theirs[0], ours[1], theirs[1])]
            table.row(sessions, name, *cells, f"{ratios[-1]:.2f}")
    await edge.close()
    stock.close()
    table.show()
    assert min(ratios) >= FLOOR
