"""What the rules' tests share: a simulated lab, its zone, its events, its mailboxes, raw SMTP."""

import asyncio
import email
import email.policy
from collections.abc import Awaitable, Callable, Sequence
from email.message import EmailMessage
from typing import Any, TypeVar

import msgspec

from mxlab.backends.base import Order
from mxlab.backends.sim.backend import SimBackend, SimLab, simulate
from mxlab.backends.sim.node import EPOCH
from mxlab.model.topology import Exchange, Topology
from mxlab_services import events
from mxlab_services.config import TimeConfig
from mxlab_services.control.replies import QueueEntry, RouteReport, SubmittedMessage
from mxlab_services.control.requests import (
    MailboxList,
    MailboxRead,
    QueueList,
    RouteRead,
    Stats,
    Submit,
    ZoneUpdate,
)
from mxlab_services.events import Event

R = TypeVar("R")
B = TypeVar("B", bound=events.Body)
ALICE, BOB, CAROL = "alice@client.test", "bob@example.test", "carol@example.test"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
ALONE = (Exchange("mx1", 10),)
THREE = (Exchange("mx1", 10), Exchange("mx2", 20), Exchange("mx3", 30))
TRAVEL = 1.0  # lab seconds: more than any message needs on its way where nobody is slow


def in_lab(
    story: Callable[[SimLab], Awaitable[R]],
    *,
    seed: int = 1,
    topology: Topology | None = None,
    scale: float = 1.0,
    **changes: Any,
) -> R:
    """Run `story` in a simulated lab of its own; `changes` are made to the topology."""
    shape = msgspec.structs.replace(topology or Topology(), **changes)

    async def main() -> R:
        order = Order("lab", "run", shape, TimeConfig(scale, EPOCH), seed)
        async with SimBackend().deploy(order, _silent) as lab:
            return await story(lab)

    return simulate(main)


def _silent(_: str) -> None: ...


async def reconfigure(lab: SimLab, node: str, **changes: Any) -> None:
    """Start a node again with another configuration."""
    it = lab.nodes[node]
    await it.stop()
    it.config = msgspec.structs.replace(it.config, **changes)
    await it.start()


def address_of(lab: SimLab, node: str) -> str:
    return lab.nodes[node].config.address


async def zone(
    lab: SimLab, *lines: str, without: Sequence[str] = ("@ MX",), origin: str = "example.test"
) -> None:
    """Put `lines` in the place of the records `without`, right or wrong."""
    update = ZoneUpdate(origin, add=list(lines), remove=list(without), strict=False)
    await lab.nodes["dns"].request(update)


async def route(lab: SimLab, node: str, address: str = BOB) -> RouteReport:
    return await lab.nodes[node].request(RouteRead(address))


async def send(
    lab: SimLab,
    *recipients: str,
    sender: str = ALICE,
    count: int = 1,
    **more: Any,
) -> list[SubmittedMessage]:
    """Submit at the client."""
    to = list(recipients or (BOB,))
    return await lab.nodes["client"].request(Submit(sender, to, count=count, **more))


async def queue(lab: SimLab, node: str) -> list[QueueEntry]:
    return await lab.nodes[node].request(QueueList())


async def count(lab: SimLab, node: str, name: str) -> int:
    return (await lab.nodes[node].request(Stats())).get(name, 0)


async def happened(lab: SimLab, node: str, kind: type[B]) -> list[B]:
    """The node's events of one kind so far."""
    return [body for _, body in await when(lab, node, kind)]


async def when(lab: SimLab, node: str, kind: type[B]) -> list[tuple[float, B]]:
    """The same, each with its lab time."""
    return [
        (event.at, event.body)
        async for event in lab.nodes[node].events(follow=False)
        if isinstance(event.body, kind)
    ]


async def until(
    lab: SimLab,
    node: str,
    kind: type[B],
    number: int = 1,
    *,
    within: float = 7 * DAY,
    like: Callable[[B], bool] = lambda _: True,
) -> Event:
    """Wait for the `number`th event of a kind, at most so many virtual seconds."""
    async with asyncio.timeout(within):
        async for event in lab.nodes[node].events():
            if isinstance(event.body, kind) and like(event.body):
                number -= 1
                if number == 0:
                    return event
    raise AssertionError("the events ended")


async def mail_of(lab: SimLab, node: str, address: str) -> list[str]:
    """The messages in a mailbox, whole."""
    it = lab.nodes[node]
    entries = await it.request(MailboxList(address))
    read = [await it.request(MailboxRead(entry.address, entry.name)) for entry in entries]
    return [content.decode("utf-8", "surrogateescape") for content in read]


async def reports(lab: SimLab, address: str = ALICE, node: str = "client") -> list["Report"]:
    """The delivery reports in a mailbox."""
    return [Report(text) for text in await mail_of(lab, node, address)]


class Report:
    """A delivery status notification, parsed by the standard library."""

    def __init__(self, text: str) -> None:
        self.text = text
        parsed = email.message_from_string(text, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.message = parsed
        self.parts = list(parsed.iter_parts())
        section = text.split(f"--{parsed.get_boundary()}")[2].partition("\r\n\r\n")[2]
        blocks = [email.message_from_string(block) for block in section.strip().split("\r\n\r\n")]
        self.fields, *self.recipients = [dict(block.items()) for block in blocks]

    @property
    def status(self) -> str:
        return self.recipients[0]["Status"]

    @property
    def action(self) -> str:
        return self.recipients[0]["Action"]


class Raw:
    """A client on a host of its own that types SMTP by hand."""

    def __init__(self, lab: SimLab, node: str, address: str = "10.53.25.200") -> None:
        from tests.support.peers import new_life

        host = lab.network.host(address)
        life = host.life if host is not None and host.life is not None else new_life(lab, address)
        self._lab = lab
        self._context = life.context
        self._target = address_of(lab, node)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def _inside(self, work: Any) -> Any:
        return await self._lab.network.loop.create_task(work, context=self._context)

    async def __aenter__(self) -> "Raw":
        connecting = asyncio.open_connection(self._target, 25)
        self._reader, self._writer = await self._inside(connecting)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._context.run(self._writer.close)

    async def reply(self) -> str:
        """One reply, its lines joined; empty at the end of the stream."""
        assert self._reader is not None
        lines: list[str] = []
        while True:
            line: bytes = await self._inside(self._reader.readline())
            lines.append(line.decode().rstrip())
            if line[3:4] != b"-":
                return "\n".join(lines)

    def write(self, data: bytes) -> None:
        assert self._writer is not None
        self._context.run(self._writer.write, data)

    async def say(self, *lines: str) -> list[str]:
        """Say each line and read its reply."""
        said = []
        for line in lines:
            self.write(line.encode() + b"\r\n")
            said.append(await self.reply())
        return said


async def talk(lab: SimLab, node: str, *lines: str) -> list[str]:
    """The replies to a dialog by hand, the greeting first."""
    async with Raw(lab, node) as raw:
        return [await raw.reply(), *await raw.say(*lines)]
