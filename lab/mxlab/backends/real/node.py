"""A node that is a real program, in a container or a process: its start, its output, its requests.

Guarantee: `start` returns once the node said node.ready in this life. A backend adds how its
program is launched and ended, and how its output and its control interface are reached.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from mxlab.backends.liveness import not_running
from mxlab.backends.real.program import READY_SECONDS, RealProgram, with_last_lines
from mxlab.backends.real.rpc import Channel
from mxlab.errors import NodeFailed, NodeUnreachable
from mxlab_services.config import AnyConfig
from mxlab_services.control.requests import Ping, Request
from mxlab_services.events import Event, NodeReady, decode

log = logging.getLogger(__name__)

Output = Literal["stdout", "stderr"]
R = TypeVar("R")

ANSWER_SECONDS = 1.0  # without an answer for so long, look whether the node runs, and ping it
PING_SECONDS = 15.0  # for an answer, or for the Ping's


@dataclass(frozen=True, slots=True)
class Launch:
    """A life of a node that has just begun. `ready`: whether it says node.ready, or ends before.
    `exit_code`: with which code it ended, where that can be known. `log`: what it has written to
    standard error so far.
    """

    ready: Coroutine[Any, Any, bool]
    exit_code: Callable[[], Awaitable[int | None]]
    log: Callable[[], AsyncGenerator[str, None]]


class RealNode(RealProgram):
    """A node of a lab. It is asked over a channel, which is opened when needed and kept."""

    def __init__(self, config: AnyConfig) -> None:
        self._config = config
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()

    @property
    def config(self) -> AnyConfig:
        return self._config

    @property
    def name(self) -> str:
        return self._config.node

    # --- what a backend adds -----------------------------------------------------------------

    @abstractmethod
    async def stop(self) -> None: ...

    @abstractmethod
    async def kill(self) -> None: ...

    @abstractmethod
    async def _launch(self) -> Launch:
        """Begin a life of a stopped node. Raises NodeFailed."""
        ...

    @abstractmethod
    def _lines(self, output: Output, *, follow: bool) -> AsyncGenerator[str, None]:
        """All that it wrote there; with `follow`, go on through every restart."""
        ...

    @abstractmethod
    async def _connect(self) -> Channel:
        """Open a channel. Raises NodeUnreachable."""
        ...

    # --- its start ---------------------------------------------------------------------------

    async def _start_stopped(self) -> None:
        await self._get_ready(await self._launch())

    async def _get_ready(self, launch: Launch) -> None:
        """Wait for node.ready. Raises NodeFailed with the node's last lines."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                if await launch.ready:
                    return
        except TimeoutError:
            problem = f"{self.name} was not ready within {READY_SECONDS:g} s"
        else:
            code = await launch.exit_code()
            known = "unknown" if code is None else code
            problem = f"{self.name} died while starting (exit code {known})"
        raise NodeFailed(await with_last_lines(problem, launch.log()))

    # --- what it says ------------------------------------------------------------------------

    async def events(self, *, follow: bool = True) -> AsyncIterator[Event]:
        async with aclosing(events_in(self._lines("stdout", follow=follow))) as events:
            async for event in events:
                yield event

    def logs(self, *, follow: bool) -> AsyncIterator[str]:
        """What it wrote to standard error, a line each."""
        return self._lines("stderr", follow=follow)

    # --- its control interface ---------------------------------------------------------------

    async def request(self, request: Request[R]) -> R:
        channel = await self._open()
        answer = await channel.send(request)
        try:
            while not await _any_done(ANSWER_SECONDS, answer):
                await self._must_answer()
                ping = await channel.send(Ping())
                ping.add_done_callback(_heard)  # the answer may come first
                if not await _any_done(PING_SECONDS, answer, ping):
                    ping.cancel()
                    await self._must_answer()
                    raise NodeUnreachable(
                        f"{self.name} runs, but has not answered for {PING_SECONDS:g} s",
                        f"see `mxlab logs {self.name}`",
                    )
            return await answer
        except NodeUnreachable:
            await self._must_answer()
            raise
        finally:
            answer.cancel()

    async def let_go(self) -> None:
        """Close the control channel, if one is open."""
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    async def _open(self) -> Channel:
        async with self._opening:
            if self._channel is not None and self._channel.open:
                return self._channel
            await self.let_go()
            try:
                self._channel = await self._connect()
            except NodeUnreachable:
                await self._must_answer()
                raise
            return self._channel

    async def _must_answer(self) -> None:
        """Raise NodeUnreachable if the node's state alone explains that it does not answer."""
        seen = await self.state()
        if seen != "running":
            raise not_running(self.name, seen) from None


async def is_ready(output: AsyncGenerator[str, None]) -> bool:
    """True once node.ready is in the output; False when it ends before."""
    async with aclosing(events_in(output)) as events:
        async for event in events:
            if isinstance(event.body, NodeReady):
                return True
    return False


async def events_in(output: AsyncGenerator[str, None]) -> AsyncGenerator[Event, None]:
    """The events in the lines of an output. A line torn by a kill is none; `seq` shows its loss."""
    async with aclosing(output):
        async for line in output:
            if not line:
                continue
            try:
                event = decode(line)
            except ValueError:
                log.warning("a line that is no event: %.200s", line)
            else:
                yield event


def _heard(ping: "asyncio.Future[Any]") -> None:
    """Whatever came of it: what it was for is told by the request that it went beside."""
    if not ping.cancelled():
        ping.exception()


async def _any_done(seconds: float, *wanted: "asyncio.Future[Any]") -> bool:
    done, _ = await asyncio.wait(wanted, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)
