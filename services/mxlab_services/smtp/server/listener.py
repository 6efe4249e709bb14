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
from typing import Any

from mxlab_services.config import MtaConfig
from mxlab_services.events import Emit, Refused
from mxlab_services.faults.injector import Board
from mxlab_services.queue.ports import Accept
from mxlab_services.queue.retry import schedule_of
from mxlab_services.queue.room import Room
from mxlab_services.smtp.read_buffer import read_buffer
from mxlab_services.smtp.server.faults import EdgeFaults
from mxlab_services.smtp.server.policy import Policy
from mxlab_services.smtp.server.session import Flush, Session
from mxlab_services.storage.ports import Scratch
from mxlab_services.storage.scratch import FileScratch

log = logging.getLogger(__name__)

CONTENT = 16 * 1024 * 1024  # bytes of content, once put aside, that are in memory at a time
_CLOSING = 5.0  # real seconds that messages under way get when the node stops


class Edge:
    """The SMTP server of one MTA. `flush` starts the queue for a domain (ETRN)."""

    def __init__(
        self,
        config: MtaConfig,
        accept: Accept,
        emit: Emit,
        flush: Flush | None = None,
        faults: EdgeFaults | None = None,
        scratch: Callable[[], Scratch] = FileScratch,
    ) -> None:
        """`scratch` makes a place for content that is too much for memory."""
        self.config = config
        self.policy = Policy(config)
        self.emit = emit
        self.flush = flush
        self.faults = faults or EdgeFaults(Board(emit))
        self.tls = server_context(config.tls.certificate, config.tls.key) if config.tls else None
        self.hops = min(config.limits.hops, schedule_of(config.retry).hops)
        self.buffer = read_buffer()
        self.accept = accept
        self.scratch = scratch
        self.room = Room(CONTENT)
        self._sessions: dict[Session, str] = {}  # and the client as which each counts
        self._clients: dict[str, int] = {}  # address -> sessions
        self._accepting: dict[asyncio.Task[str], None] = {}
        self._less = asyncio.Event()  # a session or a message fewer
        self._server: asyncio.AbstractServer | None = None
        self._port = config.smtp_port

    async def start(self) -> None:
        """Listen, where it was listened before if it was refused since. Raises OSError when the
        address or port is not to be had."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._session, self.config.bind, self._port)
            if isinstance(self._server, asyncio.Server):
                self._port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Listen no more, and end the sessions, each after the message that it is accepting."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in list(self._sessions):
            session.hang_up("421 4.3.2 this server takes no mail now")

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as `address:port`; empty before the start."""
        sockets = self._server.sockets if isinstance(self._server, asyncio.Server) else ()
        return ["{}:{}".format(*socket.getsockname()[:2]) for socket in sockets]

    async def close(self) -> None:
        """Listen no more, let messages under way be accepted, and tell every client 421."""
        if self._server is not None:
            self._server.close()
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

    def admit(self, session: Session) -> str | None:
        """Count the session for its client, whose address is known now; or why it is refused."""
        count = self._clients.get(session.peer, 0)
        if count >= self.config.limits.sessions_per_client:
            self._sessions.pop(session, None)  # it takes no room from others
            return f"421 4.7.0 too many connections from {session.peer}; try again later"
        self._clients[session.peer] = count + 1
        self._sessions[session] = session.peer
        return None

    def closed(self, session: Session) -> None:
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

    def _session(self) -> asyncio.Protocol:
        if len(self._sessions) >= self.config.limits.sessions:
            return _Busy(self.emit)
        session = Session(self)
        self._sessions[session] = ""
        return session


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
