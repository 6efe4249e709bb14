"""A relay and scripted hosts in the simulation: mx1, mx2... at 10.0.0.1, .2, and the client."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from mxlab.backends.sim.guard import guarded
from mxlab.backends.sim.loop import HostLife, SimLoop
from mxlab.backends.sim.network import Host, Network
from mxlab_services import events
from mxlab_services.config import PATIENCE, ClientConfig, TlsConfig
from mxlab_services.message import Envelope, Recipient
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.ports import Job, Result, Route, Target, Witness
from mxlab_services.relay.relay import SmtpRelay

R = TypeVar("R")
CLIENT = "10.0.0.9"
BOB, CAROL = "bob@example.test", "carol@example.test"
CONTENT = b"From: a@client.test\r\nSubject: hi\r\n\r\nbody\r\n"
RFC = replace(PATIENCE["rfc"], connect=1.0)


class Peer(Protocol):
    """A server that a story starts at its host's address."""

    async def start(self, address: str, port: int = 0) -> None: ...
    async def stop(self) -> None: ...


class SimRelay:
    """One simulated world. `run` a story that uses `send`, `etrn` and `on`."""

    def __init__(
        self,
        *peers: Peer,
        tls: TlsConfig | None = None,
        seed: int = 1,
        witness: Witness | None = None,
    ) -> None:
        self.loop = SimLoop()
        self.network = Network(self.loop, seed)
        self._peers = {f"10.0.0.{number}": peer for number, peer in enumerate(peers, 1)}
        self._hosts: dict[str, Host] = {}
        for address in (*self._peers, CLIENT):
            host = self._hosts[address] = self.network.add_host(f"h{address[-1]}", address)
            host.life = HostLife(host.name, self.loop)
        self.events: list[events.Body] = []
        config = ClientConfig(
            node="client",
            address=CLIENT,
            hostname="client.test",
            dns="10.0.0.3",
            networks=["10.0.0.0/24"],
            timeouts=RFC,
            tls=tls,
        )
        self.relay = SmtpRelay(
            LiveConfig(config), witness, lambda body, message=None: self.events.append(body)
        )

    def run(self, story: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Start the peers, play the story on the client, end all."""

        async def whole() -> R:
            for address, peer in self._peers.items():
                await self.on(address, lambda at=address, it=peer: it.start(at, 25))  # type: ignore[misc]
            try:
                return await self.on(CLIENT, story)
            finally:
                await self.on(CLIENT, self.relay.close)
                for address, peer in self._peers.items():
                    await self.on(address, peer.stop)

        try:
            with guarded():
                return self.loop.run_until_complete(whole())
        finally:
            self.loop.close()

    def on(self, address: str, work: Callable[[], Awaitable[R]]) -> "asyncio.Task[R]":
        async def begun() -> R:
            return await work()

        life = self._hosts[address].life
        context = contextvars.copy_context() if life is None else life.context
        return self.loop.create_task(begun(), context=context)

    async def send(self, *recipients: str, first: int = 1) -> list[Result]:
        """One attempt at all hosts in order, from mx`first` on; the results in the recipients'
        order."""
        wanted = recipients or (BOB,)
        envelope = Envelope("a@client.test", tuple(map(Recipient, wanted)))
        targets = tuple(
            Target(f"mx{number}.example.test", 10 * number, (address,))
            for number, address in enumerate(self._peers, 1)
            if number >= first
        )
        job = Job("Q1", "<1@client.test>", envelope, CONTENT)
        results = await self.relay.deliver(Route("example.test", targets, ()), job)
        return [results[address] for address in wanted]

    @property
    def tried(self) -> list[events.Tried]:
        return [event for event in self.events if isinstance(event, events.Tried)]
