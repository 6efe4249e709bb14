"""Labs of one shape for every software: a client, a primary and a backup, one of them foreign.

Ours and the fake run as local processes, a product in containers.
"""

import asyncio
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

from mxlab.backends.base import CanPause, Lab, Order
from mxlab.errors import Refused as NodeRefused
from mxlab.model.topology import Exchange, Topology
from mxlab_services import events
from mxlab_services.config import Software
from mxlab_services.control.requests import Request
from mxlab_services.errors import ControlError
from mxlab_services.events import Event
from tests.support.process_lab import PORT, ProcessLab
from tests.support.product_lab import free_port

R = TypeVar("R")
B = TypeVar("B", bound=events.Body)
SECONDS = 25  # real seconds for anything here
KNOWN = ("bob@example.test", "carol@example.test", "eve@example.test")


class Bench(Protocol):
    """A lab with the nodes dns, mx1 (primary), mx2 (backup) and client. `heard`: all events."""

    heard: list[Event]

    async def ask(self, node: str, request: Request[R]) -> R:
        """Raises ControlError where the node says no."""
        ...

    async def kill(self, node: str) -> None: ...

    async def pause(self, node: str) -> None: ...

    async def resume(self, node: str) -> None: ...

    async def start(self, *nodes: str) -> None: ...

    async def news(self) -> None:
        """Return when a further event was heard."""
        ...

    def door(self, node: str) -> tuple[str, int]:
        """Where it takes mail."""
        ...


def topology(software: str, node: str) -> Topology:
    """The lab's, without a retry within the time of a test."""
    mx = tuple(
        Exchange(host, preference, software=software if host == node else "mxlab")  # type: ignore[arg-type]
        for host, preference in (("mx1", 10), ("mx2", 20))
    )
    client: Software = software if node == "client" else "mxlab"  # type: ignore[assignment]
    return Topology(mx=mx, recipients=KNOWN, schedule="rfc", jitter=0.0, client_software=client)


class LocalBench(ProcessLab):
    """Local processes; `fake` is the node whose mail server is the fake product, if any."""

    def __init__(self, folder: Path, fake: str | None) -> None:
        launchers = {} if fake is None else {fake: Path(__file__).with_name("fake_node.py")}
        super().__init__(folder, topology("mxlab", ""), launchers)
        self._fake = fake
        self._inner = free_port()

    async def launch(self, node: str) -> None:
        if node == self._fake:
            routes = {
                "example.test": [
                    (f"{mx}.example.test", self.address(mx), PORT)
                    for mx in (("mx1", "mx2") if node == "client" else ("mx1",))
                ],
                "client.test": [("client.client.test", self.address("client"), PORT)],
            }
            given = {"port": self._inner, "routes": routes, "retry": 1800}
            (self.folder / f"{node}.fake").write_text(json.dumps(given))
        await super().launch(node)

    async def kill(self, node: str) -> None:
        process = self._processes[node]
        children = _children(process.pid)
        await self.end(node, kill=True)
        for child in children if node == self._fake else ():  # as a container's end takes all of it
            with suppress(ProcessLookupError):
                os.killpg(int(child), signal.SIGKILL)

    async def pause(self, node: str) -> None:
        self._signal(node, signal.SIGSTOP)

    async def resume(self, node: str) -> None:
        self._signal(node, signal.SIGCONT)

    def _signal(self, node: str, number: int) -> None:
        process = self._processes[node].pid
        for one in (process, *map(int, _children(process))):
            os.kill(one, number)

    async def news(self) -> None:
        known = len(self.heard)
        async with self._news:
            await self._news.wait_for(lambda: len(self.heard) > known)

    def door(self, node: str) -> tuple[str, int]:
        return self.address(node), PORT


def _children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


class DockerBench:
    """Containers."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.heard: list[Event] = []
        self._more = asyncio.Event()

    async def listen(self, node: str) -> None:
        async with aclosing(self._lab.nodes[node].events()) as stream:  # type: ignore[type-var]
            async for event in stream:
                self.heard.append(event)
                self._more.set()

    async def ask(self, node: str, request: Request[R]) -> R:
        try:
            return await self._lab.nodes[node].request(request)
        except NodeRefused as error:
            raise ControlError(str(error)) from error

    async def kill(self, node: str) -> None:
        await self._lab.nodes[node].kill()

    async def pause(self, node: str) -> None:
        await self._pausable(node).pause()

    async def resume(self, node: str) -> None:
        await self._pausable(node).resume()

    def _pausable(self, node: str) -> CanPause:
        found = self._lab.nodes[node]
        assert isinstance(found, CanPause)
        return found

    async def start(self, *nodes: str) -> None:
        for node in nodes:
            await self._lab.nodes[node].start()

    async def news(self) -> None:
        self._more.clear()
        await self._more.wait()

    def door(self, node: str) -> tuple[str, int]:
        return self._lab.nodes[node].config.address, 25


class SoftwareLab:
    """A bench, with what the tests ask of it. `node` runs the software that is tried."""

    def __init__(self, bench: Bench, node: str) -> None:
        self.bench = bench
        self.node = node

    async def ask(self, request: Request[R], node: str = "") -> R:
        return await self.bench.ask(node or self.node, request)

    def of(self, kind: type[B], node: str = "") -> list[B]:
        """What the node told, of that kind."""
        told = (e.body for e in self.bench.heard if e.node == (node or self.node))
        return [body for body in told if isinstance(body, kind)]

    def kinds(self, message: str) -> list[str]:
        """What the node under test told of a message, in order."""
        heard = self.bench.heard
        return [e.kind for e in heard if e.node == self.node and e.message == message]

    async def until(self, kind: type[B], count: int = 1, node: str = "") -> list[B]:
        """So many events of the kind, from a node."""
        try:
            async with asyncio.timeout(SECONDS):
                while len(self.of(kind, node)) < count:
                    await self.bench.news()
        except TimeoutError:
            told = "\n".join(
                f"{e.node} {e.kind} {e.message} {e.body}"[:300] for e in self.bench.heard[-40:]
            )
            raise AssertionError(
                f"no {kind.kind} number {count} of {node or self.node}\n{told}"
            ) from None
        return self.of(kind, node)

    @property
    def address(self) -> tuple[str, int]:
        return self.bench.door(self.node)


@asynccontextmanager
async def software_lab(software: str, node: str, folder: Path) -> AsyncIterator[SoftwareLab]:
    """A lab in which `node` runs `software`, up, until the end of the block."""
    if software in ("mxlab", "fake"):
        local = LocalBench(folder, node if software == "fake" else None)
        try:
            await local.start("dns", "mx1", "mx2", "client")
            yield SoftwareLab(local, node)
        finally:
            await local.end(kill=True)
        return
    from mxlab.backends.docker import DockerBackend

    backend, name = DockerBackend(), f"t-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        order = Order(name, "run", topology(software, node))
        lab = await stack.enter_async_context(backend.deploy(order, lambda _: None))
        bench = DockerBench(lab)
        for one in lab.nodes:
            task = asyncio.create_task(bench.listen(one))
            stack.callback(task.cancel)
        yield SoftwareLab(bench, node)
