"""The control channel of one node: requests over one long-lived exec inside its container.

The exec runs `mxlab_services.control.bridge`, which copies lines between its standard streams and
the node's control socket. A channel lives until the node or the exec ends, and then fails
everything that waits.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any, TypeVar

from docker import APIClient

from mxlab.backends.docker.engine import Engine, release
from mxlab.backends.docker.shape import PYTHON
from mxlab.backends.docker.streams import Stream, run_in_thread
from mxlab.backends.real.rpc import Calls
from mxlab_services.control.requests import Request
from mxlab_services.errors import ControlError

R = TypeVar("R")

STDOUT = 1  # the engine's number of the stream in a frame's header
HEADER = struct.Struct(">BxxxL")


class ExecChannel:
    """One open exec. Make it with `open_channel`."""

    def __init__(self, node: str, sock: Any) -> None:
        self._sock = sock
        self._calls = Calls(node)
        self._complaints = bytearray()
        self._frames: Stream[tuple[int, bytes]] = Stream(_frames(sock), self._hang_up)
        self._reading = asyncio.create_task(self._read())
        self._writing = asyncio.Lock()

    @property
    def open(self) -> bool:
        return not self._reading.done()

    async def send(self, request: Request[R]) -> "asyncio.Future[R]":
        line, future = self._calls.begin(request)
        try:
            async with self._writing:
                await asyncio.shield(run_in_thread(lambda: _base(self._sock).sendall(line)))
        except OSError:
            self._fail()
        if self._reading.done() and not future.done():
            self._fail()
        return future

    async def _read(self) -> None:
        buffer = bytearray()
        try:
            async for stream, data in self._frames:
                if stream != STDOUT:
                    self._complain(data)
                    continue
                buffer += data
                while (end := buffer.find(b"\n")) >= 0:
                    self._answer(bytes(buffer[:end]))
                    del buffer[: end + 1]
        except OSError as error:
            self._complain(str(error).encode())
        finally:
            self._fail()

    def _answer(self, line: bytes) -> None:
        try:
            self._calls.answer(line)
        except ControlError as error:  # shown if in the end an answer is missing
            self._complain(f"{error}\n".encode())

    def _complain(self, text: bytes) -> None:
        self._complaints = (self._complaints + text)[-2000:]

    def _fail(self) -> None:
        words = self._complaints.decode("utf-8", "replace").strip().splitlines()
        self._calls.fail(words[-1] if words else "its control channel closed")

    def _hang_up(self) -> None:
        try:
            _base(self._sock).shutdown(socket.SHUT_RDWR)
        except OSError:  # it has closed by itself
            return

    async def close(self) -> None:
        """End the exec; whatever waits fails."""
        await self._frames.close()
        await asyncio.wait([self._reading])
        release(self._sock)


async def open_channel(engine: Engine, container: str, node: str, control: str) -> ExecChannel:
    """Start the bridge in the container. Raises EngineRefused (409: it does not run)."""

    def work(api: APIClient) -> Any:
        command = [*PYTHON, "mxlab_services.control.bridge", control]
        made = api.exec_create(container, command, stdin=True, stdout=True, stderr=True)
        sock = api.exec_start(made["Id"], socket=True)
        _base(sock).settimeout(None)
        return sock

    return ExecChannel(node, await engine.call("open a node's control channel", work))


def _base(sock: Any) -> Any:
    """The socket itself, where docker hands out the file object around it."""
    return getattr(sock, "_sock", sock)


def _frames(sock: Any) -> Iterator[tuple[int, bytes]]:
    """The engine's frames (stream, data), in pieces as they arrive, until the end."""
    receive = _base(sock).recv
    buffer = bytearray()
    while data := receive(65536):
        buffer += data
        while len(buffer) >= HEADER.size:
            stream, length = HEADER.unpack_from(buffer)
            end = HEADER.size + length
            if len(buffer) < end:
                break
            yield stream, bytes(buffer[HEADER.size : end])
            del buffer[:end]
