"""What worlds with real nodes share: how a request is put to a node and its answer found, and how
a line of a node's output becomes an event. A world adds how it connects, and a node's state.
"""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from mxlab.backends.base import State
from mxlab.backends.liveness import not_running
from mxlab.errors import NodeUnreachable, Refused
from mxlab_services.config import AnyConfig
from mxlab_services.control.requests import Ping, Request
from mxlab_services.control.rpc import decode_answer, encode_call
from mxlab_services.errors import ControlError
from mxlab_services.events import Event, decode

log = logging.getLogger(__name__)

R = TypeVar("R")

READY_SECONDS = 60.0  # for a node to say that it is ready
STOP_SECONDS = 10  # for it to stop in good order; then SIGKILL
ANSWER_SECONDS = 1.0  # without an answer for so long, look whether the node runs, and ping it
PING_SECONDS = 15.0  # for an answer, or for the Ping's
LAST_LINES = 12  # of a node's log, told when it fails


class Channel(Protocol):
    """An open connection to a node's control interface."""

    @property
    def open(self) -> bool: ...

    async def send(self, request: Request[R]) -> "asyncio.Future[R]":
        """Send a request; the future brings the reply, Refused, or NodeUnreachable."""
        ...

    async def close(self) -> None:
        """Hang up; whatever waits fails."""
        ...


class Calls:
    """The requests under way on one channel. They may overlap; answers find them by id."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._next = 0
        self._waiting: dict[int, tuple[Request[Any], asyncio.Future[Any]]] = {}

    def begin(self, request: Request[R]) -> "tuple[bytes, asyncio.Future[R]]":
        """The line to send, and the future of the reply."""
        number = self._next
        self._next += 1
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (request, future)
        future.add_done_callback(lambda _: self._waiting.pop(number, None))
        return encode_call(number, request), future

    def answer(self, line: bytes) -> None:
        """Settle the request that a line answers. Raises ControlError where there is none: it was
        given up, or the node speaks nonsense."""
        number, reply = decode_answer(line, {n: r for n, (r, _) in self._waiting.items()})
        future = self._waiting[number][1]
        if isinstance(reply, ControlError):
            future.set_exception(Refused(f"{self._node}: {reply}"))
        else:
            future.set_result(reply)

    def fail(self, reason: str) -> None:
        """Nothing more will be answered."""
        for _, future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(NodeUnreachable(f"{self._node} does not answer: {reason}"))


class Conversing(ABC):
    """A node that is asked over a channel, which is opened when needed and kept."""

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

    @abstractmethod
    async def state(self) -> State: ...

    @abstractmethod
    async def _connect(self) -> Channel:
        """Open a channel. Raises NodeUnreachable."""
        ...

    async def request(self, request: Request[R]) -> R:
        channel = await self._open()
        answer = await channel.send(request)
        try:
            while not await _any_done(ANSWER_SECONDS, answer):
                await self._must_answer()
                ping = await channel.send(Ping())
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


async def _any_done(seconds: float, *wanted: "asyncio.Future[Any]") -> bool:
    done, _ = await asyncio.wait(wanted, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)


def event_of(line: str) -> Event | None:
    """The event in a line of output; a line torn by a kill is none, and `seq` shows its loss."""
    if not line:
        return None
    with contextlib.suppress(ValueError):
        return decode(line)
    log.warning("a line that is no event: %.200s", line)
    return None


def with_last_lines(problem: str, written: Sequence[str]) -> str:
    """`problem`, and the end of what the node wrote to its log."""
    last = [line for line in written if line][-LAST_LINES:]
    if not last:
        return f"{problem}, and its log is empty"
    return "\n  ".join([f"{problem}; its last lines:", *last])
