"""A connection to a node's control socket."""

import asyncio
import contextlib
from typing import TypeVar

from mxlab.backends.real.rpc import Calls
from mxlab.errors import NodeUnreachable
from mxlab_services.control.requests import Request
from mxlab_services.control.rpc import MAX_LINE
from mxlab_services.errors import ControlError

R = TypeVar("R")


class SocketChannel:
    """One open connection. Make it with `open_channel`."""

    def __init__(
        self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._calls = Calls(node)
        self._reading = asyncio.create_task(self._read())

    @property
    def open(self) -> bool:
        return not self._reading.done()

    async def send(self, request: Request[R]) -> "asyncio.Future[R]":
        line, future = self._calls.begin(request)
        if self.open:
            self._writer.write(line)
        else:
            self._calls.fail("its control connection is closed")
        return future

    async def _read(self) -> None:
        problem = "it closed its control connection"
        try:
            while line := await self._reader.readline():
                with contextlib.suppress(ControlError):  # its request was given up
                    self._calls.answer(line)
        except (OSError, ValueError) as error:
            problem = str(error)
        finally:
            self._calls.fail(problem)

    async def close(self) -> None:
        """Hang up; whatever waits fails."""
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)


async def open_channel(node: str, path: str) -> SocketChannel:
    """Connect to a node. Raises NodeUnreachable."""
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
    except OSError as error:
        raise NodeUnreachable(
            f"{node} does not answer: {error.strerror or error}", f"see `mxlab logs {node}`"
        ) from error
    return SocketChannel(node, reader, writer)
