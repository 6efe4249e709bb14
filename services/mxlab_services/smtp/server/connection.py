"""One SMTP connection as the server: lines in, replies out, the timer, TLS and the end.

Guarantee: whatever a client sends or leaves unread, memory and time stay bounded by the limits. The
only module that touches aiosmtpd, which brings the protocol and STARTTLS.
"""

import asyncio
import contextlib
import logging
import math
import ssl
import struct
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

from aiosmtpd import smtp

from mxlab_services.config import MtaConfig
from mxlab_services.faults.injector import Wait
from mxlab_services.smtp.read_buffer import ReadsIntoBuffer
from mxlab_services.smtp.server.faults import SessionFaults
from mxlab_services.smtp.server.throttle import Inflow

log = logging.getLogger(__name__)
logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's, several lines a connection

_LINE = 2048  # bytes of a command; RFC 5321 §4.5.3.1.4 asks for 512, and more with extensions
_REPLIES = 100  # that wait at the most for the pipelined commands before them to be answered
_PROGRESS = 16 * 1024  # bytes of content ...
_SLOW = 10  # ... that must come within so many times the idle limit
_LAST_WORD = 5.0  # real seconds that a client gets to read why it is cut off


class Connection(smtp.SMTP, ReadsIntoBuffer):
    """One connection. What the commands mean is the subclass's; `faults` may come in between."""

    line_length_limit = 64 * 1024  # of the stream reader: what a client may send ahead

    def __init__(
        self,
        config: MtaConfig,
        tls: ssl.SSLContext | None,
        faults: SessionFaults,
        buffer: memoryview,
    ) -> None:
        self.buffer = buffer
        self.limits = config.limits
        self.peer = ""  # the client's address
        self.tls = tls
        self.closing = False  # after the replies so far
        self.faults = faults
        self._inflow = Inflow(faults.board, super().data_received, self._feed_eof, self.reset)
        self._busy = False
        self._nap: asyncio.Task[None] | None = None  # delays a reply that is due
        self._last_reply = ""  # what to say after the message that is being accepted
        self._out: list[str] = []  # replies not written yet
        self._commands = self._errors = self._progress = 0
        self._deadline = self._content_until = 0.0
        self._timer_at = math.inf  # when the timer goes off
        super().__init__(
            self,
            hostname=config.hostname,
            tls_context=tls,
            timeout=config.timeouts.idle,
            loop=asyncio.get_running_loop(),
        )

    def __dir__(self) -> Iterable[str]:
        """Nothing: aiosmtpd looks through all attributes of every new session for commands and
        hooks. Ours are in a table, and none of its own is to be answered."""
        return ()

    @abstractmethod
    async def obey(self, verb: str, argument: str) -> str:
        """Do what a command says; answers the reply, or nothing if there is none to give.

        IncompleteReadError and ConnectionError say that the client is gone.
        """

    @abstractmethod
    def refused(self, verb: str, reply: str) -> None:
        """Hear of a 4yz or 5yz reply."""

    @abstractmethod
    def begun(self) -> None:
        """Forget all that was said: the connection begins, or begins anew within TLS."""

    @abstractmethod
    def ended(self) -> None:
        """The connection is gone."""

    # --- beginning and end ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called a second time when TLS begins."""
        self.begun()
        peer: Any = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        self.faults.begin(self.peer)
        self._inflow.begin(transport, self.peer)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended()
        self._inflow.lost()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._inflow.data(data)

    def eof_received(self) -> bool | None:
        # A client that closes its half after the dot still waits for the reply.
        if self._tls_protocol is not None:
            return False
        return self._inflow.eof()

    def _feed_eof(self) -> bool | None:
        return asyncio.StreamReaderProtocol.eof_received(self)

    @property
    def encrypted(self) -> bool:
        return self._tls_protocol is not None

    async def start_tls(self) -> None:
        """RFC 3207; what the client sent ahead of the handshake is discarded with the rest."""
        self.tls_context = self.faults.tls(self.tls)
        if self.tls_context is None:
            await self.push("220 Ready to start TLS")
            await self._reader.read(1)  # the handshake has begun: cut it
            self.reset()
            return
        problem: BaseException | None = None
        try:
            await self.smtp_STARTTLS("")
        except smtp.TLSSetupException as error:
            problem = error.__cause__
        assert self.session is not None
        if self.session.ssl is None:
            log.info("%s: no TLS: %s", self.peer, problem or "the connection was lost")
            self.closing = True
            self.abort()
            self.connection_lost(None)  # nobody else tells, since TLS never began

    async def push(self, status: Any) -> None:
        """How aiosmtpd speaks; it only ever does to start TLS."""
        await self.say(f"220 2.0.0 {str(status)[4:]}")

    def hang_up(self, reply: str) -> None:
        """Say `reply` and close; of a message that is being accepted, first tell the outcome."""
        if self._busy:
            self._last_reply = reply
            if self._nap is not None:
                self._nap.cancel()
            return
        self.closing = True
        if self.transport is not None and not self.transport.is_closing():
            self.refused("", reply)
            self._write(reply)
            self._close()

    def abort(self) -> None:
        """Cut the connection, whatever is still to be said."""
        transport: Any = self._original_transport or self.transport
        if transport is not None:
            transport.abort()

    def reset(self) -> None:
        """Cut the connection so that the peer gets a RST, after the replies that are due."""
        self.closing = True
        if self.transport is not None:
            self._write()
            socket: Any = self.transport.get_extra_info("socket")
            if socket is not None:
                socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def _close(self) -> None:
        """Close once the replies are read; a client that does not read them is cut off."""
        self.closing = True
        if self.transport is not None:
            self.transport.close()
            self._reset_timeout(_LAST_WORD)

    # One timer, set again when it goes off too early: most commands come long before.

    def _reset_timeout(self, duration: float | None = None) -> None:
        self._deadline = self.loop.time() + (duration or self._timeout_duration)
        if self._deadline < self._timer_at:
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._set_timer()

    def _set_timer(self) -> None:
        self._timer_at = self._deadline
        self._timeout_handle = self.loop.call_at(self._deadline, self._timeout_cb)

    def _timeout_cb(self) -> None:
        self._timer_at = math.inf
        if self._busy:
            self._reset_timeout()
        elif self._deadline > self.loop.time():
            self._set_timer()
        elif self.closing:
            self.abort()
        else:
            self.hang_up("421 4.4.2 idle for too long")

    def expect_content(self) -> None:
        """Content begins, or goes on in earnest."""
        self._progress = 0
        self._content_until = self.loop.time() + _SLOW * self._timeout_duration

    def came(self, count: int) -> None:
        """Content came in: the client lives, but with a byte now and then not forever."""
        self._progress += count
        if self._progress >= _PROGRESS:
            self.expect_content()
        self._reset_timeout()
        self._deadline = min(self._deadline, self._content_until)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Within, the client may wait as long as it takes, and nothing ends the session."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self._deadline = self.loop.time() + self._timeout_duration

    # --- the dialog -------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        """aiosmtpd runs this for each connection, and cancels it when the connection is lost."""
        verb = "CONNECT"
        try:
            await self._answer_late(verb, self.greet())
            self._write()
            while not self.closing:
                verb, argument, problem = _parsed(await self._line())
                if self.faults.board:
                    self.faults.at(verb)
                await self._answer_late(verb, problem or await self._counted(verb, argument))
        except (asyncio.IncompleteReadError, ConnectionError):
            log.debug("%s went away after %s", self.peer, verb)
        except Exception:  # a bug must cost one session, not leave it open
            log.exception("the session with %s failed after %s", self.peer, verb)
        self._write()
        if verb == "QUIT":
            await self._wait(self.faults.lingers())
        self._close()

    def greet(self) -> str:
        """The greeting."""
        return f"220 {self.hostname} ESMTP mxlab"

    async def _counted(self, verb: str, argument: str) -> str:
        if self._commands > self.limits.commands:
            self.hang_up("421 4.7.0 too many commands in one session")
            return ""
        return await self.obey(verb, argument)

    async def _line(self) -> bytes:
        """The next command with its line end; empty if it was too long.

        Replies go out first, unless the next command is there already (RFC 2920 §3.2).
        """
        if b"\n" not in self._reader._buffer or len(self._out) >= _REPLIES:  # type: ignore[attr-defined]
            await self._flush()
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as long:
            await self._skip_line(long.consumed)
            line = b""
        self._reset_timeout()
        self._commands += 1
        return line

    async def _skip_line(self, consumed: int) -> None:
        while True:
            await self._reader.readexactly(consumed)
            try:
                await self._reader.readuntil(b"\n")
                return
            except asyncio.LimitOverrunError as longer:
                consumed = longer.consumed

    def _answer(self, verb: str, reply: str) -> None:
        """Have `reply` written; put refusals on record, and end a session of too many errors."""
        if not reply:
            return
        self._out.append(reply)
        if reply[0] in "45":
            self.refused(verb, reply)
        if self._last_reply:
            self.hang_up(self._last_reply)
        elif reply[0] == "5":
            self._errors += 1
            if self._errors > self.limits.errors:
                self.hang_up("421 4.7.0 too many errors")

    async def _answer_late(self, verb: str, reply: str) -> None:
        """Answer when the faults that delay a reply let it go."""
        if reply:
            await self.delay()
        self._answer(verb, reply)

    async def delay(self) -> None:
        """Wait as faults say. Who is to be hung up on is told before of a message accepted."""
        if not self.faults.board or not (waits := self.faults.delays()):
            return
        await self._flush()
        if self.faults.place != "DOT":
            await self._wait(waits)
            return
        self._nap = self.loop.create_task(self.faults.board.sleep(waits))
        try:
            with self.busy():
                await asyncio.wait([self._nap])
        finally:
            self._nap.cancel()
            self._nap = None

    async def _wait(self, waits: list[Wait]) -> None:
        if waits:
            self._reset_timeout(sum(seconds for _, seconds in waits) + self._timeout_duration)
            await self.faults.board.sleep(waits)

    async def say(self, reply: str) -> None:
        """Send a reply now, before the command is done."""
        self._out.append(reply)
        await self._flush()

    def _write(self, *replies: str) -> None:
        """Write what is to be written, and `replies` after it."""
        lines = [*self._out, *replies]
        if lines:
            self._out.clear()
            self._writer.write(("\r\n".join(lines) + "\r\n").encode("utf-8", "replace"))

    async def _flush(self) -> None:
        if self._out:
            self._write()
            await self._writer.drain()


def _parsed(line: bytes) -> tuple[str, str, str]:
    """The verb and the argument of a command line, and the reply if it is none."""
    name, _, rest = line.removesuffix(b"\r\n").partition(b" ")
    verb = name.upper().decode("ascii", "replace")
    problem = ""
    if not line or len(line) > _LINE:
        problem = "500 5.5.2 the line is too long"
    elif not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        problem = "500 5.5.2 bare CR or LF: lines end with both (RFC 5321 section 2.3.8)"
    return verb, rest.strip().decode("utf-8", "surrogateescape"), problem
