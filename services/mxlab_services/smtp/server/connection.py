"""One SMTP connection as the server: lines in, replies out, the timer, TLS and the end.

Guarantee: whatever a client sends or leaves unread, memory and time stay bounded by the limits.

Long: the bounds on reading, writing and time hold only together.
"""

import asyncio
import contextlib
import logging
import math
import ssl
import struct
from abc import abstractmethod
from collections.abc import Iterator
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

from mxlab_services.config import MtaConfig
from mxlab_services.faults.injector import Wait
from mxlab_services.smtp.server.aiosmtpd_adapter import StreamProtocol, has_line
from mxlab_services.smtp.server.faults import SessionFaults
from mxlab_services.smtp.server.throttle import Inflow

log = logging.getLogger(__name__)

_LINE = 2048  # bytes of a command; RFC 5321 §4.5.3.1.4 asks for 512, and more with extensions
_REPLIES = 100  # that wait at the most for the pipelined commands before them to be answered
_PROGRESS = 16 * 1024  # bytes of content ...
_SLOW = 10  # ... that must come within so many times the idle limit
_LAST_WORD = 5.0  # real seconds that a client gets to read why it is cut off


class Connection(StreamProtocol):
    """One connection. What the commands mean is the subclass's; `faults` may come in between."""

    def __init__(
        self,
        config: MtaConfig,
        tls: ssl.SSLContext | None,
        faults: SessionFaults,
        buffer: memoryview,
    ) -> None:
        self.limits = config.limits
        self.peer = ""  # the client's address
        self.tls = tls
        self.closing = False  # after the replies so far
        self.faults = faults
        self._inflow = Inflow(faults.injector, self.feed, self.feed_eof, self.reset)
        self._busy = False
        self._nap: asyncio.Task[None] | None = None  # delays a reply that is due
        self._last_reply = ""  # what to say after the message that is being accepted
        self._out: list[str] = []  # replies not written yet
        self._commands = self._errors = self._progress = 0
        self._deadline = self._content_until = 0.0
        self._idle = config.timeouts.idle
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf  # when the timer goes off
        super().__init__(config.hostname, tls, buffer)

    @abstractmethod
    async def obey(self, verb: str, argument: str) -> str:
        """Do what a command says; returns the reply, or nothing if there is none to give.

        IncompleteReadError and ConnectionError say that the client is gone.
        """

    def named(self, verb: str) -> str:
        """A verb as it may be told to others."""
        return verb

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
        self._expect()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended()
        self._inflow.lost()
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._inflow.data(data)

    def eof_received(self) -> bool | None:
        # A client that closes its half after the dot still waits for the reply.
        return False if self.encrypted else self._inflow.eof()

    async def start_tls(self) -> None:
        """RFC 3207; what the client sent ahead of the handshake is discarded with the rest."""
        context = self.faults.tls(self.tls)
        if context is None:
            if not self.implicit:
                await self.say("220 2.0.0 Ready to start TLS")
                await self.reader.read(1)  # the handshake has begun: cut it
            self.reset()
        elif problem := await self.begin_tls(context):
            log.info("%s: no TLS: %s", self.peer, problem)
            self.closing = True
            self.abort()
            self.connection_lost(None)  # nobody else tells, since TLS never began

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
            self._expect(_LAST_WORD)

    # One timer, set again when it goes off too early: most commands come long before.

    def _expect(self, duration: float | None = None) -> None:
        self._deadline = self.loop.time() + (duration or self._idle)
        if self._deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._set_timer()

    def _set_timer(self) -> None:
        self._timer_at = self._deadline
        self._timer = self.loop.call_at(self._deadline, self._overdue)

    def _overdue(self) -> None:
        self._timer_at = math.inf
        if self._busy:
            self._expect()
        elif self._deadline > self.loop.time():
            self._set_timer()
        elif self.closing:
            self.abort()
        else:
            self.hang_up("421 4.4.2 idle for too long")

    def expect_content(self) -> None:
        """Content begins, or goes on in earnest."""
        self._progress = 0
        self._content_until = self.loop.time() + _SLOW * self._idle

    def came(self, count: int) -> None:
        """Content came in: the client lives, but with a byte now and then not forever."""
        self._progress += count
        if self._progress >= _PROGRESS:
            self.expect_content()
        self._expect()
        self._deadline = min(self._deadline, self._content_until)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Within, the client may wait as long as it takes, and nothing ends the session."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self._deadline = self.loop.time() + self._idle

    # --- the dialog -------------------------------------------------------------------------------

    async def converse(self) -> None:
        verb = "CONNECT"
        try:
            if self.implicit:
                await self.start_tls()
            if not self.closing:
                await self._welcome()
            while not self.closing:
                word, argument, problem = _parsed(await self.line())
                verb = self.named(word)
                if self.faults.injector:
                    self.faults.at(verb)
                reply = problem or await self._counted(verb, argument)
                if reply and self.faults.injector:
                    await self.delay()
                self._answer(verb, reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            log.debug("%s went away after %s", self.peer, verb)
        except Exception:  # a bug must cost one session, not leave it open
            log.exception("the session with %s failed after %s", self.peer, verb)
        self._write()
        if verb == "QUIT":
            await self._wait(self.faults.lingers())
        self._close()

    async def _welcome(self) -> None:
        greeting = self.greet()
        if greeting:
            await self.delay()
        self._answer("CONNECT", greeting)
        self._write()

    def greet(self) -> str:
        """The greeting."""
        return f"220 {self.hostname} ESMTP mxlab"

    async def _counted(self, verb: str, argument: str) -> str:
        if self._commands > self.limits.commands:
            self.hang_up("421 4.7.0 too many commands in one session")
            return ""
        return await self.obey(verb, argument)

    async def line(self) -> bytes:
        """The next command with its line end; empty if it was too long.

        Replies go out first, unless the next command is there already (RFC 2920 §3.2).
        """
        if not has_line(self.reader) or len(self._out) >= _REPLIES:
            await self._flush()
        try:
            line = await self.reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as long:
            await self._skip_line(long.consumed)
            line = b""
        self._expect()
        self._commands += 1
        return line

    async def _skip_line(self, consumed: int) -> None:
        while True:
            await self.reader.readexactly(consumed)
            try:
                await self.reader.readuntil(b"\n")
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

    async def delay(self) -> None:
        """Wait as faults say. Who is to be hung up on is told before of a message accepted."""
        if not self.faults.injector or not (waits := self.faults.delays()):
            return
        await self._flush()
        if self.faults.place != "DOT":
            await self._wait(waits)
            return
        self._nap = self.loop.create_task(self.faults.injector.sleep(waits))
        try:
            with self.busy():
                await asyncio.wait([self._nap])
        finally:
            self._nap.cancel()
            self._nap = None

    async def _wait(self, waits: list[Wait]) -> None:
        if waits:
            self._expect(sum(seconds for _, seconds in waits) + self._idle)
            await self.faults.injector.sleep(waits)

    async def say(self, reply: str) -> None:
        """Send a reply now, before the command is done."""
        self._out.append(reply)
        await self._flush()

    def _write(self, *replies: str) -> None:
        """Write what is to be written, and `replies` after it."""
        lines = [*self._out, *replies]
        if lines:
            self._out.clear()
            self.writer.write(("\r\n".join(lines) + "\r\n").encode("utf-8", "replace"))

    async def _flush(self) -> None:
        if self._out:
            self._write()
            await self.writer.drain()


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
