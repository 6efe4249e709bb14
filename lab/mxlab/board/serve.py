"""The server: one process, one loop, on one address."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn

from mxlab.board.app import application
from mxlab.board.board import Board
from mxlab.errors import EnvironmentProblem

CONNECTIONS = 500  # at a time; more are told to come again
LARGEST_MESSAGE = 256 * 1024  # bytes of what a terminal's viewer sends at once
IDLE = 10  # real seconds that a connection is kept without a request
ANY = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Served:
    """Where a board can be reached. `url` has the token in it, for a browser."""

    address: str
    port: int
    token: str
    base: str = ""

    @property
    def root(self) -> str:
        """The address without the token, for programs."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}{self.base}/?token={self.token}"


def listen(address: str, port: int, option: str = "--port") -> socket.socket:
    """A socket there; port 0: any that is free. Raises EnvironmentProblem; `option` says where the
    port comes from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address, port))
        found.listen(CONNECTIONS)
    except OSError as error:
        found.close()
        text = f"port {port} of {address} cannot be had: {error.strerror or error}"
        raise EnvironmentProblem(text, f"choose another with {option}, or 0 for any") from error
    return found


@contextlib.asynccontextmanager
async def serving(
    board: Board,
    listener: socket.socket,
    token: str = "",
    base: str = "",
    hosts: Sequence[str] = (),
) -> AsyncIterator[Served]:
    """Serve the board until the end of the block. `token` empty: a new one; `base`: as of Guard;
    `hosts`: by which other names it may be called, with the port where it is not that of http."""
    address, port = listener.getsockname()[:2]
    served = Served(address, port, token or secrets.token_urlsafe(24), base)
    app = application(board, served.token, [*_hosts(served), *hosts], base)
    async with serving_app(
        app, listener, limit_concurrency=CONNECTIONS,
        ws="none" if board.terminals is None else "websockets-sansio",
        ws_max_size=LARGEST_MESSAGE, ws_per_message_deflate=False,
    ):  # fmt: skip
        yield served


@contextlib.asynccontextmanager
async def serving_app(app: Any, listener: socket.socket, **options: Any) -> AsyncIterator[None]:
    """Serve an ASGI application until the end of the block. `options`: more of uvicorn's."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", server_header=False,
        timeout_keep_alive=IDLE, timeout_graceful_shutdown=1, h11_max_incomplete_event_size=65_536,
        **options,
    )  # fmt: skip
    server = QuietServer(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.ready(running)
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(running, return_exceptions=True)


class QuietServer(uvicorn.Server):
    """uvicorn, which leaves the signals to us and says when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._up.set()

    async def ready(self, running: "asyncio.Task[None]") -> None:
        """Return when it serves. Raises what ended it before."""
        up = asyncio.create_task(self._up.wait())
        await asyncio.wait([up, running], return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if running.done():
            running.result()
            raise EnvironmentProblem("the server did not come up")


def _hosts(served: Served) -> list[str]:
    """The names by which it may be asked for: never one that somebody's DNS could lead here."""
    port = served.port
    names = [served.root.removeprefix("http://")]
    if served.address in ("127.0.0.1", "::1", *ANY):
        names += [f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"]
    if served.address in ANY:
        names += [f"{name}:{port}" for name in _own_addresses()]
    return names


def _own_addresses() -> list[str]:
    found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    addresses = {str(entry[4][0]) for entry in found}
    return [f"[{one}]" if ":" in one else one for one in sorted(addresses)]
