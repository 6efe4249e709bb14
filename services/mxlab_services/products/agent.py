"""Runs a product as a node: its configuration, its process, its log, its port, its requests.

Guarantee: the agent adds nothing to what the product does, and its death loses no mail, since it
keeps none; all that the product writes is on the node's standard error as it was written.

Long: the life of one product, from its configuration to its end.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from mxlab_services.config import ClientConfig, MtaConfig
from mxlab_services.control.replies import Pong, RecordEntry
from mxlab_services.control.requests import (
    Forget,
    MailboxList,
    MailboxRead,
    Ping,
    RecordRead,
    Submit,
)
from mxlab_services.control.rpc import Controls
from mxlab_services.directory import directory_of
from mxlab_services.errors import ConfigError, NodeBroken
from mxlab_services.events import NodeReady
from mxlab_services.faults.injector import NodeInjector
from mxlab_services.ip import joined
from mxlab_services.products.base import (
    INNER_HOST,
    INNER_PORT,
    ListensAt,
    MailServer,
    Tended,
    ToolFailed,
)
from mxlab_services.products.child import Child, Reaper
from mxlab_services.products.handing import Handing
from mxlab_services.products.hearing import Hearing
from mxlab_services.products.lines import FollowedFile
from mxlab_services.products.maildirs import Deliveries, ProductMailboxes
from mxlab_services.products.names import Names
from mxlab_services.products.operator import ProductOperator, by_tool
from mxlab_services.products.product_faults import ProductFaults
from mxlab_services.products.product_settings import ProductSettings
from mxlab_services.products.proxy import Address, Proxy, proxy_header
from mxlab_services.products.registry import server_of
from mxlab_services.products.telling import Telling
from mxlab_services.queue.live import LiveConfig
from mxlab_services.roles.mailbox import Reading
from mxlab_services.roles.outward import Outward
from mxlab_services.roles.settings import resumed
from mxlab_services.runtime import Counting, Journal, Parts, ids_for, randomness
from mxlab_services.smtp.server.faults import EdgeFaults

log = logging.getLogger(__name__)

NOT_UNDERSTOOD = "log-lines-not-understood"
READY = 30.0  # real seconds in which a product must greet
_LAST = 12  # lines that are shown of a product that ended
_AGAIN = 0.05  # real seconds between two tries whether it greets
_DRAIN = 5.0  # real seconds in which what the log said last is told


async def start_agent(
    config: MtaConfig,
    parts: Parts,
    emit: Counting,
    controls: Controls,
    *,
    make: Callable[[MtaConfig], MailServer] = server_of,
    inner: Address | None = None,
) -> "Agent":
    """Start the product that `config` asks for, and the agent before it.

    Returns once it greets. Raises ConfigError, NodeBroken, or OSError; then nothing runs.
    """
    if config.submission is not None:
        text = f"no {config.software} takes submissions with a password here"
        raise ConfigError(f"configuration: `submission`: {text}")
    journal = await parts.storage.journal() if isinstance(config, ClientConfig) else None
    agent = Agent(config, make, parts, emit, journal, inner)
    try:
        await agent.start(ProductMailboxes(await parts.storage.mailboxes(), agent.lab_time))
        agent.answer(controls)
    except BaseException:
        await agent.close()
        raise
    return agent


class Agent:
    """One product that runs, and what is around it."""

    def __init__(
        self,
        first: MtaConfig,
        make: Callable[[MtaConfig], MailServer],
        parts: Parts,
        emit: Counting,
        journal: Journal | None,
        inner: Address | None,
    ) -> None:
        """`first`: what the node was given, before what was changed while it ran."""
        self.config = config = resumed(first, parts.storage.overrides())
        self._first = first
        self._make = make
        self.failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._server = server = make(config)
        self._parts = parts
        self._emit = emit
        self._journal = journal
        if inner is None:
            inner = server.inner if isinstance(server, ListensAt) else (INNER_HOST, INNER_PORT)
        self._inner = inner
        self._live = LiveConfig(config)
        self._grammar = server.grammar()
        self._last: deque[str] = deque(maxlen=_LAST)
        self.child: Child | None = None
        self._followed: FollowedFile | None = None
        self._stopping = False
        self._version = ""
        self._tasks = contextlib.AsyncExitStack()
        data = Path(config.data)
        self._hearing = Hearing()
        self._names = Names(data / "agent" / "names.jsonl")
        deliveries = Deliveries(data / "mailboxes")
        self._telling = Telling(
            config, server, self._hearing, self._names, deliveries, emit, journal
        )
        self.injector = NodeInjector(emit, lambda fault: randomness(config, f"fault/{fault}"))
        scratch = parts.storage.scratch
        edge = EdgeFaults(self.injector)
        self.proxy = Proxy(config, inner, self._hearing, edge, emit, scratch)
        self._live.when_changed(lambda: self.proxy.limit(self._live.config.limits))
        self._faults = ProductFaults(config, self.proxy, parts.clock)
        self._outward = Outward(self._live, journal, parts.clock, emit)
        self._operator = ProductOperator(lambda: self._server, self._telling, emit, self.lab_time)
        emit.counts.setdefault(NOT_UNDERSTOOD, 0)
        emit.counts.setdefault("backscatter", 0)

    def lab_time(self, host: float) -> float:
        """Lab time, for the host's (Unix time in real seconds)."""
        time = self.config.time
        return host if time.scale == 1.0 else time.epoch + (host - time.epoch) * time.scale

    # --- its life ---------------------------------------------------------------------------------

    async def start(self, mailboxes: ProductMailboxes) -> None:
        """Prepare and start the product, and wait until it greets. Raises as `start_agent`."""
        self._reading = Reading(mailboxes, directory_of(self.config))
        self._server.prepare()
        if os.getpid() == 1:
            self._run(Reaper().run())
        if (path := self._server.log) is not None:
            self._followed = FollowedFile(path, self._heard)
            self._run(self._followed.follow())
        self.child = await Child.start(self._server.command(), self._heard)
        self._run(self._watch(self.child))
        await self._until_it_greets()
        try:
            held = await self._server.queue()
        except ToolFailed as error:
            raise NodeBroken(f"{self.config.software}: {error}") from error
        if self._followed is not None:
            self._followed.read()  # what was done before the queue was looked at
        await self.proxy.start()
        doors = [f"tcp:{joined(*address)}" for address in self.proxy.addresses]
        addresses = list(self.config.addresses)
        self._emit(
            NodeReady(self._role, doors, len(held), addresses, software=await self._software())
        )
        await self._telling.begin(held)
        self._run(self._telling.run())
        if isinstance(self._server, Tended):
            self._run(self._server.tend())

    async def _software(self) -> str:
        """The product and its version, or without it where it does not say."""
        with contextlib.suppress(ToolFailed):
            self._version = await self._server.version()
        return f"{self.config.software} {self._version}".rstrip()

    async def close(self) -> None:
        """Stop the product in good order, tell what its log said last, and let go of all."""
        self._stopping = True
        self.proxy.stop_listening()
        if self.child is not None:
            await self.child.stop()
        if self._followed is not None:
            self._followed.read()
        await self.proxy.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN):
                await self._telling.idle()
        await self._tasks.aclose()
        if self._followed is not None:
            self._followed.close()
        await self._outward.relay.close()
        self._names.close()

    def _run(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._tasks.push_async_callback(end)

    async def _watch(self, child: Child) -> None:
        """Hear of the product's end where nobody asked for it."""
        code = await asyncio.shield(child.ended)
        if self._stopping:
            return
        await child.hear_out()
        if self._followed is not None:
            self._followed.read()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        lines = "".join(f"\n  {line}" for line in self._last) or " none"
        self.failure.set_result(f"{self.config.software} {how}; its last lines:{lines}")

    async def _until_it_greets(self) -> None:
        """Return once the product says 220 at its own port. Raises NodeBroken."""
        greeting = asyncio.create_task(self._greeting())
        try:
            async with asyncio.timeout(READY):
                ends: list[asyncio.Future[Any]] = [greeting, self.failure]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            lines = "".join(f"\n  {line}" for line in self._last) or " none"
            text = f"{self.config.software} does not greet at {joined(*self._inner)}"
            raise NodeBroken(f"{text} within {READY:g} s; its last lines:{lines}") from None
        finally:
            greeting.cancel()
        if self.failure.done():
            raise NodeBroken(self.failure.result())

    async def _greeting(self) -> None:
        source = (self.config.address, self._inner[1])
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(5.0):
                    reader, writer = await asyncio.open_connection(*self._inner)
                    try:
                        writer.write(proxy_header(source, source))
                        if (await reader.readline()).startswith(b"220"):
                            writer.write(b"QUIT\r\n")
                            writer.write_eof()  # for this Exim waits before it replies
                            await reader.read()
                            return
                    finally:
                        writer.close()
            await asyncio.sleep(_AGAIN)

    # --- its log ----------------------------------------------------------------------------------

    def _heard(self, line: bytes) -> None:
        """A line that the product wrote: kept as it is, and told of as far as it is understood."""
        to_stderr(line + b"\n")
        text = line.decode("utf-8", "backslashreplace")
        self._last.append(text)
        try:
            facts = self._grammar.read(text)
        except Exception:  # a bug must cost one line
            log.exception("the grammar failed at the line above")
            facts = None
        if facts is None:
            self._emit.count(NOT_UNDERSTOOD)
        else:
            self._telling.take(facts)

    # --- its requests -----------------------------------------------------------------------------

    @property
    def _role(self) -> Literal["mx", "client"]:
        return "client" if isinstance(self.config, ClientConfig) else "mx"

    def answer(self, controls: Controls) -> None:
        """Answer the requests to this node."""
        controls.add(Ping, self._pong)
        controls.add(Forget, self._forget)
        controls.add(MailboxList, self._reading.entries)
        controls.add(MailboxRead, self._reading.whole)
        self._operator.answer(controls)
        self._outward.answer(controls)
        ProductSettings(
            self._first, self._live, self._make, self._parts.storage.overrides(), self._emit
        ).answer(controls)
        self.injector.answer(controls, self._faults)
        if self._journal is not None:
            from mxlab_services.submit.submission import Submission

            handing = Handing(
                self._inner, (self.config.address, self._inner[1]), self.config.hostname,
                self._hearing, self._telling,
            )  # fmt: skip
            ids = ids_for(self.config, self._parts.clock)
            controls.add(Submit, Submission(self._live, handing, self._parts.clock, ids))
            controls.add(RecordRead, self._record)

    async def _pong(self, _: Ping) -> Pong:
        queued = len(await self._operator.queue())
        software = f"{self.config.software} {self._version}".rstrip()
        return Pong(self.config.node, self._role, self._parts.clock.time(), queued, software)

    async def _forget(self, _: Forget) -> bool:
        self._outward.resolver.forget()
        self._outward.relay.renew()
        await by_tool(self._server.forget())
        return True

    async def _record(self, _: RecordRead) -> list[RecordEntry]:
        return self._journal.entries() if self._journal is not None else []


def to_stderr(data: bytes) -> None:
    """Write it as it is to the node's standard error, as long as anybody has it open."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
