"""What the relay's tests share: sinks on one port at several addresses, and a relay before them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import pytest
from msgspec.structs import replace

from mxlab_services import events
from mxlab_services.config import ClientConfig, Timeouts, TlsConfig
from mxlab_services.message import Envelope, Recipient
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.ports import Job, Result, Route, Target
from mxlab_services.relay.relay import SmtpRelay
from tests.support.smtp_sink import Sink

CONTENT = b"From: a@client.test\r\nSubject: hi\r\n\r\nbody\r\n"
BOB, CAROL, DAVE = "bob@example.test", "carol@example.test", "dave@example.test"
SERIAL = ("8BITMIME",)  # no PIPELINING
BOTH = pytest.mark.parametrize("extensions", [("PIPELINING",), SERIAL], ids=["pipelined", "serial"])
# So long that no busy machine is taken for a silent peer; what QUIT brings changes nothing.
PATIENT = replace(Timeouts(*[60.0] * 10), quit=0.3)
HUNG = 120  # seconds after which a test has failed


class Notebook:
    """A witness that writes everything into one list."""

    def __init__(self, mail_seen: Callable[[], int] = lambda: 0) -> None:
        self.pages: list[tuple[str, ...]] = []
        self._mail_seen = mail_seen
        self.mail_before: list[int] = []

    def invoked(self, message: str, recipients: Sequence[str], host: str) -> None:
        self.mail_before.append(self._mail_seen())
        self.pages.append(("invoked", message, host, *recipients))

    def ended(
        self,
        message: str,
        recipient: str,
        host: str,
        outcome: Literal["acked", "refused", "unknown"],
        reply: str,
    ) -> None:
        self.pages.append((outcome, message, host, recipient, reply))

    def outcomes(self) -> list[str]:
        return [page[0] for page in self.pages]


class RelayLab:
    """Hosts mx1, mx2... at 127.77.0.1, .2...; a sink per host, or None where nothing listens."""

    def __init__(self) -> None:
        self.sinks: list[Sink | None] = []
        self.events: list[events.Body] = []
        self.notebook = Notebook(lambda: sum(len(s.commands("MAIL")) for s in self._running()))
        self.times = PATIENT
        self.tls: TlsConfig | None = None
        self.address = "127.77.0.9"
        self.port = 0
        self._live: LiveConfig | None = None
        self._relay: SmtpRelay | None = None

    def impatient(self, *stages: str) -> None:
        """Take the first host for silent soon at these stages; the next one has all the time."""
        self.times = replace(PATIENT, **dict.fromkeys(stages, 0.3))

    def _running(self) -> list[Sink]:
        return [sink for sink in self.sinks if sink is not None]

    async def hosts(self, *sinks: Sink | None) -> None:
        for sink in sinks:
            self.sinks.append(sink)
            if sink is not None:
                await sink.start(f"127.77.0.{len(self.sinks)}", self.port)
                self.port = sink.port

    @property
    def relay(self) -> SmtpRelay:
        if self._relay is None:
            config = ClientConfig(
                node="client",
                address=self.address,
                hostname="client.test",
                dns="127.0.0.1",
                networks=["127.0.0.0/8"],
                smtp_port=self.port or 9,
                timeouts=self.times,
                tls=self.tls,
            )
            self._live = LiveConfig(config)
            self._relay = SmtpRelay(self._live, self.notebook, self._emit)
        return self._relay

    def _emit(self, body: events.Body, message: str | None = None) -> None:
        assert message == "<m@client.test>"
        self.events.append(body)
        if isinstance(body, events.Tried) and self._live is not None:
            self._live.change(replace(self._live.config, timeouts=PATIENT))

    def route(self) -> Route:
        targets = [
            Target(f"mx{number}.example.test", 10 * number, (f"127.77.0.{number}",))
            for number in range(1, len(self.sinks) + 1)
        ]
        return Route("example.test", tuple(targets), ())

    def job(
        self,
        *recipients: str | Recipient,
        content: bytes = CONTENT,
        sender: str = "alice@client.test",
        eightbit: bool = False,
        smtputf8: bool = False,
        ret: str = "",
        envid: str = "",
    ) -> Job:
        all_of = tuple(Recipient(r) if isinstance(r, str) else r for r in recipients or (BOB,))
        envelope = Envelope(sender, all_of, eightbit, smtputf8, ret, envid)
        return Job("Q1", "<m@client.test>", envelope, content)

    async def send(self, *recipients: str, route: Route | None = None) -> Mapping[str, Result]:
        return await self.deliver(self.job(*recipients), route)

    async def deliver(self, job: Job, route: Route | None = None) -> Mapping[str, Result]:
        async with asyncio.timeout(HUNG):
            return await self.relay.deliver(route or self.route(), job)

    async def one(self, *recipients: str) -> Result:
        """Send to one recipient and return its result."""
        results = await self.send(*recipients)
        [result] = results.values()
        return result

    @property
    def tried(self) -> list[events.Tried]:
        return [event for event in self.events if isinstance(event, events.Tried)]

    @property
    def stages(self) -> list[tuple[str, str]]:
        return [(event.host.split(".")[0], event.stage) for event in self.tried]

    @property
    def outcomes(self) -> list[tuple[str, str, str]]:
        """(local part, outcome, host) of each outcome event."""
        return [
            (event.recipient.split("@")[0], event.outcome, event.host.split(".")[0])
            for event in self.events
            if isinstance(event, events.Outcome)
        ]

    async def close(self) -> None:
        async with asyncio.timeout(HUNG):
            await self.relay.close()
            for sink in self._running():
                await sink.stop()
