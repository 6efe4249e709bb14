"""The control channel of one node: requests over one long-lived exec inside its container.

The exec runs `mxlab_services.bridge`, which copies lines between its standard streams and the
node's control socket. Requests may overlap; answers find them by id. A channel lives until the
node or the exec ends, and then fails everything that waits.
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
from mxlab.errors import NodeUnreachable, Refused
from mxlab_services.control import Request, decode_answer, encode_call
from mxlab_services.errors import ControlError

R = TypeVar("R")

STDOUT = 1  # the engine's number of the stream in a frame's header
HEADER = struct.Struct(">BxxxL")


class Channel:
    """One open exec. Make it with `open_channel`."""

    def __init__(self, node: str, sock: Any) -> None:
        self._node = node
        self._sock = sock
        self._next = 0
        self._waiting: dict[int, tuple[Request[Any], asyncio.Future[Any]]] = {}
        self._complaints = bytearray()
        self._frames: Stream[tuple[int, bytes]] = Stream(_frames(sock), self._hang_up)
        self._reading = asyncio.create_task(self._read())
        self._writing = asyncio.Lock()

    @property
    def open(self) -> bool:
        return not self._reading.done()

    async def send(self, request: Request[R]) -> "asyncio.Future[R]":
        """Send a request; the answer comes in the future (or Refused, or NodeUnreachable)."""
        number = self._next
        self._next += 1
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (request, future)
        future.add_done_callback(lambda _: self._waiting.pop(number, None))
        line = encode_call(number, request)
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
                    self._complaints = (self._complaints + data)[-2000:]
                    continue
                buffer += data
                while (end := buffer.find(b"\n")) >= 0:
                    self._answer(bytes(buffer[:end]))
                    del buffer[: end + 1]
        except OSError as error:
            self._complaints += str(error).encode()
        finally:
            self._fail()

    def _answer(self, line: bytes) -> None:
        try:
            number, reply = decode_answer(line, {n: r for n, (r, _) in self._waiting.items()})
        except ControlError as error:
            # Its request has been given up, or the node speaks nonsense; the latter ends in a
            # missing answer, and then this text is shown.
            self._complaints += f"{error}\n".encode()
            return
        future = self._waiting[number][1]
        if isinstance(reply, ControlError):
            future.set_exception(Refused(f"{self._node}: {reply}"))
        else:
            future.set_result(reply)

    def _fail(self) -> None:
        words = self._complaints.decode("utf-8", "replace").strip().splitlines()
        reason = words[-1] if words else "its control channel closed"
        for _, future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(NodeUnreachable(f"{self._node} does not answer: {reason}"))

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


async def open_channel(engine: Engine, container: str, node: str, control: str) -> Channel:
    """Start the bridge in the container. Raises EngineRefused (409: it does not run)."""

    def work(api: APIClient) -> Any:
        command = [*PYTHON, "mxlab_services.bridge", control]
        made = api.exec_create(container, command, stdin=True, stdout=True, stderr=True)
        sock = api.exec_start(made["Id"], socket=True)
        _base(sock).settimeout(None)
        return sock

    return Channel(node, await engine.call("open a node's control channel", work))


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
