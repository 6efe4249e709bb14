"""SMTP dialogs kept as data, each held with a real edge over loopback.

In a dialog `C: ` is what the client writes and `S: ` what must come back, where `*` stands for any
text; lines with `#` are comments. Each dialog opens with one that says why it must go so.
"""

import asyncio
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from mxlab_services.config import Limits, MxConfig
from mxlab_services.message import Envelope, Origin
from tests.support.edge_lab import Desk, serving

DIALOGS = sorted(Path(__file__).parent.glob("*.txt"))
CONFIG = MxConfig(
    node="mx1",
    address="127.0.0.1",
    hostname="mx1.example.test",
    dns="127.0.0.1",
    smtp_port=0,
    local_domains=["example.test"],
    relay_domains=["backup.test"],
    networks=[],
    recipients=["bob@example.test", "carol@example.test", "bob@backup.test"],
    limits=Limits(message_size=2000, recipients=3, hops=3, errors=6),
)


class Host(Desk):
    """A desk that queues all as Q1, and where mail for one domain waits."""

    async def accept(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        return "Q1"

    async def flush(self, domain: str) -> int:
        return 2 if domain == "backup.test" else 0


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
async def test_dialog(path: Path) -> None:
    lines = path.read_text().splitlines()  # noqa: ASYNC240 - a small file, before the clock runs
    async with serving(Host(CONFIG)) as host, asyncio.timeout(10):
        reader, writer = await host.connect()
        try:
            for number, line in enumerate(lines, 1):
                if line.startswith("#"):
                    continue
                side, text = line[:3], line[3:]
                assert side in ("C: ", "S: "), f"{path.name}:{number}: neither C: nor S:"
                if side == "C: ":
                    writer.write(text.encode() + b"\r\n")
                    continue
                said = (await reader.readline()).decode().rstrip("\r\n")
                assert fnmatchcase(said, text), f"{path.name}:{number}: {said!r}, not {text!r}"
            if lines[-1].startswith(("S: 221", "S: 421")):
                assert await reader.read() == b"", f"{path.name}: not closed"
        finally:
            writer.close()
            await writer.wait_closed()


def test_each_dialog_says_why() -> None:
    assert len(DIALOGS) >= 15
    assert [path.name for path in DIALOGS if not path.read_text().startswith("# ")] == []
