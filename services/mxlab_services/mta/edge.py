"""Where mail comes in by SMTP: the listening socket and the sessions on it.

Guarantee: a message that is being accepted when its client goes away, or when the node stops, is
accepted to the end or not at all; at most `limits.sessions` connections are open.
"""

import asyncio
import logging
import ssl
from pathlib import Path

from mxlab_services.board import Board
from mxlab_services.config import MtaConfig
from mxlab_services.events import Emit, Refused
from mxlab_services.mta.edge_faults import EdgeFaults
from mxlab_services.mta.policy import Policy
from mxlab_services.mta.read_buffer import read_buffer
from mxlab_services.mta.retry import schedule_of
from mxlab_services.mta.smtp_server import Flush, Session
from mxlab_services.mta.types import Accept, Envelope, Origin

log = logging.getLogger(__name__)

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
    ) -> None:
        self.config = config
        self.policy = Policy(config)
        self.emit = emit
        self.flush = flush
        self.faults = faults or EdgeFaults(Board(emit))
        self.tls = server_context(config.tls.certificate, config.tls.key) if config.tls else None
        self.hops = min(config.limits.hops, schedule_of(config.retry).hops)
        self.buffer = read_buffer()
        self._accept = accept
        self._sessions: dict[Session, None] = {}
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

    async def accept(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        """Accept to the end, even if the session that asks is cancelled meanwhile."""
        task = asyncio.create_task(self._accept_now(envelope, content, origin))
        self._accepting[task] = None
        task.add_done_callback(self._accepted)
        return await asyncio.shield(task)

    def closed(self, session: Session) -> None:
        self._sessions.pop(session, None)
        self._less.set()

    async def _accept_now(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        return await self._accept(envelope, content, origin)

    def _accepted(self, task: "asyncio.Task[str]") -> None:
        del self._accepting[task]
        self._less.set()
        if not task.cancelled():
            task.exception()  # told to the session, if it still listens

    def _session(self) -> asyncio.Protocol:
        if len(self._sessions) >= self.config.limits.sessions:
            return _Busy(self.emit)
        session = Session(self)
        self._sessions[session] = None
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
