"""A connection to a node's control socket: requests may overlap, answers find them by id."""

import asyncio
from typing import Any, TypeVar

from mxlab.errors import NodeUnreachable, Refused
from mxlab_services.control import MAX_LINE, Request, decode_answer, encode_call
from mxlab_services.errors import ControlError

R = TypeVar("R")


class Channel:
    """One open connection. Make it with `open_channel`."""

    def __init__(
        self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._node = node
        self._reader = reader
        self._writer = writer
        self._next = 0
        self._waiting: dict[int, tuple[Request[Any], asyncio.Future[Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    @property
    def open(self) -> bool:
        return not self._reading.done()

    def send(self, request: Request[R]) -> "asyncio.Future[R]":
        """Send a request; the future brings the reply, Refused, or NodeUnreachable."""
        number = self._next
        self._next += 1
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (request, future)
        future.add_done_callback(lambda _: self._waiting.pop(number, None))
        if self.open:
            self._writer.write(encode_call(number, request))
        else:
            self._fail("its control connection is closed")
        return future

    async def _read(self) -> None:
        problem = "it closed its control connection"
        try:
            while line := await self._reader.readline():
                self._answer(line)
        except (OSError, ValueError) as error:
            problem = str(error)
        finally:
            self._fail(problem)

    def _answer(self, line: bytes) -> None:
        try:
            number, reply = decode_answer(line, {n: r for n, (r, _) in self._waiting.items()})
        except ControlError:  # the answer to a request that was given up
            return
        future = self._waiting[number][1]
        if isinstance(reply, ControlError):
            future.set_exception(Refused(f"{self._node}: {reply}"))
        else:
            future.set_result(reply)

    def _fail(self, problem: str) -> None:
        for _, future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(NodeUnreachable(f"{self._node} does not answer: {problem}"))

    async def close(self) -> None:
        """Hang up; whatever waits fails."""
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)


async def open_channel(node: str, path: str) -> Channel:
    """Connect to a node. Raises NodeUnreachable."""
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
    except OSError as error:
        raise NodeUnreachable(
            f"{node} does not answer: {error.strerror or error}", f"see `mxlab logs {node}`"
        ) from error
    return Channel(node, reader, writer)
