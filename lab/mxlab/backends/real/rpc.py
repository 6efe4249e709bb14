"""Requests to a real program's control interface over an open channel, and how replies find them.

A backend adds how it connects.
"""

import asyncio
from typing import Any, Protocol, TypeVar

from mxlab.errors import NodeUnreachable, Refused
from mxlab_services.control.requests import Request
from mxlab_services.control.rpc import decode_answer, encode_call
from mxlab_services.errors import ControlError

R = TypeVar("R")


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
        waiting = {n: r for n, (r, future) in self._waiting.items() if not future.done()}
        number, reply = decode_answer(line, waiting)
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
                future.exception()  # who was cancelled as it sent the request will not ask for it
