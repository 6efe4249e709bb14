"""The default lab as processes that can be told where to die (see crash_node), for tests."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from mxlab.model.topology import Topology
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab_services import events
from mxlab_services.config import encode_config
from mxlab_services.control.requests import Request
from mxlab_services.control.rpc import decode_answer, encode_call
from mxlab_services.errors import ControlError
from mxlab_services.events import Event

B = TypeVar("B", bound=events.Body)
R = TypeVar("R")
SECONDS = 20  # real seconds for anything here
PORT = 2525
LAUNCHER = Path(__file__).with_name("crash_node.py")


Sent = Literal["acked", "unknown"]


class Refused(Exception):
    """A 4yz or 5yz reply."""


def subnet() -> str:
    """Addresses of this process alone: of this worker of this test run."""
    high, low = divmod(os.getpid(), 250)
    return f"127.{64 + high % 64}.{low}.0/28"


class ProcessLab:
    """Nodes by name, each started, armed and killed by itself. `heard` are all their events.
    `launchers`: what starts a node, where it is not `crash_node`."""

    def __init__(
        self,
        folder: Path,
        topology: Topology | None = None,
        launchers: Mapping[str, Path] | None = None,
    ) -> None:
        self.folder = folder
        self._launchers = launchers or {}
        world = AddressPlan(
            subnet(), smtp_port=PORT, dns_port=5353,
            control=str(folder / "{node}.sock"), data=str(folder / "{node}"),
        )  # fmt: skip
        self.plan = make_plan("test", "run", topology or Topology(), world)
        self.heard: list[Event] = []
        self._news = asyncio.Condition()
        self._acked: dict[str, int] = {}  # messages that a node acknowledged since its start
        self._processes: dict[str, Process] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}

    def log(self, node: str) -> str:
        return (self.folder / f"{node}.log").read_text()

    def address(self, node: str) -> str:
        return self.plan.node(node).address

    def data(self, node: str) -> Path:
        return self.folder / node

    async def start(self, *nodes: str) -> None:
        """Start what does not run, and wait until it is ready."""
        nodes = tuple(node for node in nodes if node not in self._processes)
        before = {node: len(self.of(events.NodeReady, node)) for node in nodes}
        for node in nodes:
            await self.launch(node)
        for node in nodes:
            await self.until(lambda n=node: len(self.of(events.NodeReady, n)) > before[n])  # type: ignore[misc]

    async def launch(self, node: str) -> None:
        """Start a node and do not wait."""
        self._acked[node] = 0
        config = self.folder / f"{node}.json"
        config.write_text(encode_config(self.plan.node(node)))
        with (self.folder / f"{node}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(self._launchers.get(node, LAUNCHER)), str(config),
                str(self._plan_of(node)),
                stdin=DEVNULL, stdout=PIPE, stderr=log,
            )  # fmt: skip
        self._processes[node] = process
        self._readers[node] = asyncio.create_task(self._read(process))

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self.heard.append(events.decode(line))
            async with self._news:
                self._news.notify_all()

    def arm(self, node: str, step: str) -> None:
        """From the next step on, the node heeds this plan."""
        waiting = self._plan_of(node).with_suffix(".new")
        waiting.write_text(step)
        waiting.rename(self._plan_of(node))

    def disarm(self, node: str) -> None:
        self._plan_of(node).unlink(missing_ok=True)

    async def died(self, node: str) -> int:
        """Wait for the node's end, disarm it, and answer its exit code."""
        async with asyncio.timeout(SECONDS):
            code = await self._processes[node].wait()
            await self._readers.pop(node)
        del self._processes[node]
        self.disarm(node)
        return code

    async def end(self, *nodes: str, kill: bool = False) -> None:
        """Stop nodes in good order, or kill them; without names, all."""
        for node in nodes or tuple(self._processes):
            process = self._processes[node]
            if process.returncode is None:
                process.kill() if kill else process.terminate()
            await self.died(node)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for events until `true`. Fails with the nodes' logs."""
        try:
            async with asyncio.timeout(SECONDS), self._news:
                await self._news.wait_for(true)
        except TimeoutError:
            logs = "".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
            told = "\n".join(f"{e.node} {e.kind} {e.message}" for e in self.heard[-30:])
            raise AssertionError(f"waited in vain\n{told}\n{logs}") from None

    def of(self, kind: type[B], node: str) -> list[B]:
        return [e.body for e in self.heard if e.node == node and isinstance(e.body, kind)]

    async def drained(self, node: str, accepted: int = 0) -> int:
        """Wait until all that the node had when it was ready, and all since, has left it.

        `accepted`: so many have come since then, at least; what `send` had acknowledged counts by
        itself. Answers how many messages left.
        """
        least = max(accepted, self._acked[node])

        def counted() -> tuple[int, int, int]:
            life = self._life(node)
            kinds = [event.kind for event in life]
            ready = next(e.body for e in life if isinstance(e.body, events.NodeReady))
            return ready.queued, kinds.count("message.accepted"), kinds.count("queue.removed")

        def empty() -> bool:
            queued, came, left = counted()
            return came >= least and left == queued + came

        await self.until(empty)
        return counted()[2]

    def _life(self, node: str) -> list[Event]:
        """The node's events since its last start."""
        own = [event for event in self.heard if event.node == node]
        start = max(n for n, event in enumerate(own) if event.seq == 0)
        return own[start:]

    async def send(self, node: str, sender: str, recipient: str, content: bytes) -> Sent:
        """Send a message to a node by SMTP. unknown: the dot was sent and no reply was read.

        Raises Refused with the reply.
        """
        sent = await _send(self.address(node), sender, recipient, content)
        self._acked[node] += sent == "acked"
        return sent

    async def ask(self, node: str, request: Request[R]) -> R:
        """Put a request. Raises ConnectionError when the node dies before it answers."""
        reader, writer = await asyncio.open_unix_connection(
            self.plan.node(node).control, limit=1 << 24
        )
        try:
            async with asyncio.timeout(SECONDS):
                writer.write(encode_call(1, request))
                line = await reader.readline()
                if not line:
                    raise ConnectionResetError(f"{node} is gone")
            _, answer = decode_answer(line, {1: request})
            if isinstance(answer, ControlError):
                raise answer
            found: R = answer
            return found
        finally:
            writer.close()

    def _plan_of(self, node: str) -> Path:
        return self.folder / f"{node}.plan"


async def _send(address: str, sender: str, recipient: str, content: bytes) -> Sent:
    reader, writer = await asyncio.open_connection(address, PORT)

    async def reply() -> bytes:
        line = await reader.readline()
        while line[3:4] == b"-":
            line = await reader.readline()
        if line[:1] in (b"4", b"5"):
            raise Refused(line.decode().strip())
        return line

    try:
        async with asyncio.timeout(SECONDS):
            await reply()
            for command in (
                "EHLO client.test", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA",
            ):  # fmt: skip
                writer.write(f"{command}\r\n".encode())
                if not await reply():
                    raise ConnectionResetError(f"lost after {command}")
            writer.write(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            try:
                return "acked" if await reply() else "unknown"
            except ConnectionError:
                return "unknown"
    finally:
        writer.close()
