"""Where mail comes in by SMTP: the listening socket and the sessions on it.

Guarantee: a message that is being accepted when its client goes away, or when the node stops, is
accepted to the end or not at all; at most `limits.sessions` connections are open, of one client at
most `limits.sessions_per_client`. Content that was put aside before its dot is whole in memory only
after it, and only `CONTENT` bytes of it at a time.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mxlab_services.events import Emit, Refused
from mxlab_services.faults.injector import NodeInjector
from mxlab_services.ip import joined
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.ports import Accept
from mxlab_services.queue.room import Room
from mxlab_services.smtp.read_buffer import read_buffer
from mxlab_services.smtp.server.faults import EdgeFaults
from mxlab_services.smtp.server.policy import Policy
from mxlab_services.storage.ports import Scratch
from mxlab_services.storage.scratch import FileScratch

if TYPE_CHECKING:
    from mxlab_services.smtp.server.session import Flush, ServerSession
    from mxlab_services.smtp.server.submission import SubmissionDesk

log = logging.getLogger(__name__)

CONTENT = 16 * 1024 * 1024  # bytes of content, once put aside, that are in memory at a time
LOAD_AFTER = 0.5  # real seconds after the start at which sessions are loaded, if nobody came
_CLOSING = 5.0  # real seconds that messages under way get when the node stops


class Edge:
    """The SMTP server of one MTA. `flush` starts the queue for a domain (ETRN); with `desk` it
    takes submissions, too, on ports of their own."""

    def __init__(
        self,
        live: LiveConfig,
        accept: Accept,
        emit: Emit,
        flush: "Flush | None" = None,
        faults: EdgeFaults | None = None,
        scratch: Callable[[], Scratch] = FileScratch,
        desk: "SubmissionDesk | None" = None,
    ) -> None:
        """`scratch` makes a place for content that is too much for memory."""
        self._live = live
        self._configure()
        live.when_changed(self._configure)
        config = live.config
        self.emit = emit
        self.flush = flush
        self.faults = faults or EdgeFaults(NodeInjector(emit))
        self.tls = server_context(config.tls.certificate, config.tls.key) if config.tls else None
        self.buffer = read_buffer()
        self.accept = accept
        self.scratch = scratch
        self.room = Room(CONTENT)
        self._sessions: dict[ServerSession, str] = {}  # and the client as which each counts
        self._clients: dict[str, int] = {}  # address -> sessions
        self._accepting: dict[asyncio.Task[str], None] = {}
        self._less = asyncio.Event()  # a session or a message fewer
        self._servers: list[asyncio.AbstractServer] = []
        self._loading: asyncio.TimerHandle | None = None
        self._doors: list[tuple[int, Callable[[], ServerSession]]] = [
            (config.smtp_port, self._relaying)
        ]
        if desk is not None and (wanted := config.submission) is not None:
            self._doors += [
                (wanted.port, lambda: _submitting(self, desk, implicit=False)),
                (wanted.tls_port, lambda: _submitting(self, desk, implicit=True)),
            ]

    def _configure(self) -> None:
        """Make of the configuration as it is now what new sessions need."""
        self.config = self._live.config
        self.policy = Policy(self.config)
        self.hops = min(self.config.limits.hops, self._live.schedule.hops)

    async def start(self) -> None:
        """Listen, where it was listened before if it was refused since. Raises OSError when the
        address or port is not to be had."""
        if self._servers:
            return
        try:
            for number, (port, make) in enumerate(self._doors):
                server = await self._listen(port, make)
                self._servers.append(server)
                if isinstance(server, asyncio.Server):
                    self._doors[number] = (server.sockets[0].getsockname()[1], make)
        except OSError:
            self._stop_listening()
            raise
        self._loading = asyncio.get_running_loop().call_later(LOAD_AFTER, self._load)

    async def _listen(
        self, port: int, make: "Callable[[], ServerSession]"
    ) -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: self._session(make), self.config.binds, port)

    def _stop_listening(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
        for server in self._servers:
            server.close()
        self._servers.clear()

    def refuse(self) -> None:
        """Listen no more, and end the sessions, each after the message that it is accepting."""
        self._stop_listening()
        for session in list(self._sessions):
            session.hang_up("421 4.3.2 this server takes no mail now")

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as `address:port`, relaying first; empty before the start."""
        servers = [server for server in self._servers if isinstance(server, asyncio.Server)]
        sockets = [socket for server in servers for socket in server.sockets]
        return [joined(*socket.getsockname()[:2]) for socket in sockets]

    async def close(self) -> None:
        """Listen no more, let messages under way be accepted, and tell every client 421."""
        self._stop_listening()
        for session in list(self._sessions):
            session.hang_up("421 4.3.2 the server is going down")
        try:
            async with asyncio.timeout(_CLOSING):
                while self._sessions or self._accepting:
                    self._less.clear()
                    await self._less.wait()
        except TimeoutError:
            log.warning("closed with %d messages under way", len(self._accepting))
        for session in list(self._sessions):
            session.abort()

    async def finish(self, taking: Coroutine[Any, Any, str]) -> str:
        """Bring to its end what takes a message, even if its session is cancelled meanwhile."""
        task = asyncio.create_task(taking)
        self._accepting[task] = None
        task.add_done_callback(self._accepted)
        return await asyncio.shield(task)

    def admit(self, session: "ServerSession") -> str | None:
        """Count the session for its client, whose address is known now; or why it is refused."""
        count = self._clients.get(session.peer, 0)
        if count >= self.config.limits.sessions_per_client:
            self._sessions.pop(session, None)  # it takes no room from others
            return f"421 4.7.0 too many connections from {session.peer}; try again later"
        self._clients[session.peer] = count + 1
        self._sessions[session] = session.peer
        return None

    def closed(self, session: "ServerSession") -> None:
        client = self._sessions.pop(session, "")
        if client:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
        self._less.set()

    def _accepted(self, task: "asyncio.Task[str]") -> None:
        del self._accepting[task]
        self._less.set()
        if not task.cancelled():
            task.exception()  # told to the session, if it still listens

    def _session(self, make: "Callable[[], ServerSession]") -> asyncio.Protocol:
        if len(self._sessions) >= self.config.limits.sessions:
            return _Busy(self.emit)
        session = make()
        self._sessions[session] = ""
        return session

    # What a node loads before it is ready, the whole lab waits for: with the first client, or soon.

    def _load(self) -> None:
        """Load what sessions need while files can be opened: later there may be too many."""
        import mxlab_services.smtp.server.session  # noqa: F401

    def _relaying(self) -> "ServerSession":
        from mxlab_services.smtp.server.session import ServerSession

        return ServerSession(self)


def _submitting(edge: Edge, desk: "SubmissionDesk", *, implicit: bool) -> "ServerSession":
    from mxlab_services.smtp.server.submission import SubmissionSession

    return SubmissionSession(edge, desk, implicit=implicit)


class _Busy(asyncio.Protocol):
    """Says that there are too many connections, and closes."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        reply = "421 4.3.2 too many connections; try again later"
        peer = transport.get_extra_info("peername")
        self._emit(Refused("CONNECT", reply, str(peer[0]) if peer else ""))
        transport.write(reply.encode() + b"\r\n")
        transport.close()


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """A server's context (RFC 3207) from PEM texts. Raises ssl.SSLError where they are none.

    Python reads certificates from files only.
    """
    import tempfile  # a start without TLS need not load it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as chain:
        chain.write(f"{certificate}\n{key}")
        chain.flush()
        context.load_cert_chain(Path(chain.name))
    return context
