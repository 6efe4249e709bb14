"""Five days of lab time in seconds, with real processes: the clock's scale reaches everything.

::

    client ──x mx1 (dead for five days)      1 s here = hours there
       └─────> mx2: retries, a warning, a bounce ──> client
"""

import asyncio
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab.backends.process import ProcessBackend
from mxlab.cli import app
from mxlab_services import events
from mxlab_services.control.requests import MailboxList, MailboxRead

DAY = 86400
SECONDS = 60


class Lab:
    """The command line, on one lab of local processes in which a day passes in a second."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.name = f"t-{secrets.token_hex(4)}"

    def __call__(self, *words: str) -> str:
        environment = {
            "MXLAB_STATE_DIR": str(self.state),
            "MXLAB_LAB": self.name,
            "MXLAB_BACKEND": "process",
        }
        result = CliRunner(env=environment).invoke(app, list(words))
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    made("up", "--mx", "1", "--schedule", "postfix", "--time-scale", str(DAY))
    yield made
    made("down")


def test_c_five_days_pass_in_seconds_and_the_bounce_arrives(lab: Lab) -> None:
    lab("kill", "mx1")
    began = time.monotonic()
    lab("send", "--from", "alice@client.test", "--to", "bob@example.test")
    lived, attempts, text = asyncio.run(_bounce(lab))
    assert time.monotonic() - began < SECONDS
    assert lived == pytest.approx(5 * DAY, abs=DAY / 2)
    assert attempts > 20
    assert "Status: 5.4.7" in text
    [entry] = msgspec.json.decode(lab("mailbox", "alice@client.test", "--json"))
    assert entry["address"] == "alice@client.test"


async def _bounce(lab: Lab) -> tuple[float, int, str]:
    """How long the message lived (lab seconds), how often it was tried, and its bounce."""
    async with (
        asyncio.timeout(SECONDS),
        ProcessBackend(lab.state / "mxlab").attach(lab.name) as running,
    ):
        client = running.nodes["client"]
        accepted, lived, attempts = 0.0, 0.0, 0
        async for event in client.events():
            match event.body:
                case events.Accepted(sender="alice@client.test"):
                    accepted = event.at
                case events.Tried():
                    attempts += 1
                case events.Bounced():
                    lived = event.at - accepted
                case events.MailboxDelivered():
                    break
        [entry] = await client.request(MailboxList("alice@client.test"))
        report = await client.request(MailboxRead(entry.address, entry.name))
        return lived, attempts, report.decode()
