"""One SMTP session as the server: the only module that touches aiosmtpd.

Guarantee: 250 to the final dot is sent only after `accept` has returned, and every other outcome is
a 4yz or 5yz reply; whatever a client sends, memory and time stay bounded by the limits and no
exception leaves. aiosmtpd brings the connection and STARTTLS; the commands are answered here.
"""

import asyncio
import logging
import math
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from aiosmtpd import smtp

from mxlab_services import events
from mxlab_services.config import MtaConfig
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.mta import commands
from mxlab_services.mta.message_data import TOO_LARGE, read_data
from mxlab_services.mta.policy import Policy
from mxlab_services.mta.types import Envelope, Origin, Recipient, Reply

log = logging.getLogger(__name__)
logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's, several lines a connection

Flush = Callable[[str], Awaitable[int]]

_LINE = 2048  # bytes of a command; RFC 5321 §4.5.3.1.4 asks for 512, and more with extensions
_REPLIES = 100  # that wait at the most for the pipelined commands before them to be answered
_PROGRESS = 16 * 1024  # bytes of content that count as a sign of life
_LAST_WORD = 5.0  # real seconds that a client gets to read why it is cut off


class Sessions(Protocol):
    """What a session asks of the edge that made it."""

    config: MtaConfig
    policy: Policy
    tls: ssl.SSLContext | None
    hops: int
    flush: Flush | None

    def closed(self, session: "Session") -> None: ...

    def emit(self, body: events.Body, message: str | None = None) -> None: ...

    async def accept(self, envelope: Envelope, content: bytes, origin: Origin) -> str: ...


class Session(smtp.SMTP):
    """One connection. State of the transaction: `_mail`, `_recipients` (RFC 5321 §4.1.4)."""

    line_length_limit = 64 * 1024  # of the stream reader: what a client may send ahead

    def __init__(self, edge: Sessions) -> None:
        self._edge = edge
        self._limits = edge.config.limits
        self._peer = self._helo = ""
        self._extended = False  # EHLO was said
        self._mail: commands.MailFrom | None = None
        self._recipients: list[Recipient] = []
        self._verb = "CONNECT"
        self._named: str | None = None  # the recipient that the command under way is about
        self._commands = self._errors = self._progress = 0
        self._out: list[str] = []  # replies not written yet
        self._accepting = self._ending = False
        self._last_reply = ""  # what to say after the message that is being accepted
        self._deadline = 0.0
        self._timer_at = math.inf  # when the timer goes off, at the latest at the deadline
        super().__init__(
            self,
            hostname=edge.config.hostname,
            tls_context=edge.tls,
            timeout=edge.config.timeouts.idle,
            loop=asyncio.get_running_loop(),
        )

    def __dir__(self) -> Iterable[str]:
        """Nothing: aiosmtpd looks through all attributes of every new session for commands and
        hooks. Ours are in a table, and none of its own is to be answered."""
        return ()

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called a second time when TLS begins: all that was said before is forgotten."""
        self._helo, self._extended = "", False
        self._forget()
        peer: Any = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._edge.closed(self)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        # A client that closes its half after the dot still waits for the reply.
        if self._tls_protocol is not None:
            return False
        return asyncio.StreamReaderProtocol.eof_received(self)

    def hang_up(self, reply: str) -> None:
        """Say `reply` and close; of a message that is being accepted, first tell the outcome."""
        if self._accepting:
            self._last_reply = reply
            return
        self._ending = True
        if self.transport is not None and not self.transport.is_closing():
            self._refused(reply)
            self._write(reply)
            self._close()

    def _close(self) -> None:
        """Close once the replies are read; a client that does not read them is cut off."""
        self._ending = True
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
        if self._accepting:
            self._reset_timeout()
        elif self._deadline > self.loop.time():
            self._set_timer()
        elif self._ending:
            self.abort()
        else:
            self.hang_up("421 4.4.2 idle for too long")

    def abort(self) -> None:
        """Cut the connection, whatever is still to be said."""
        transport: Any = self._original_transport or self.transport
        if transport is not None:
            transport.abort()

    def _came(self, count: int) -> None:
        """Content came in; a byte now and then does not keep the session open."""
        self._progress += count
        if self._progress >= _PROGRESS:
            self._progress = 0
            self._reset_timeout()

    # --- the dialog -------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        """aiosmtpd runs this for each connection, and cancels it when the connection is lost."""
        self._write(f"220 {self.hostname} ESMTP mxlab")
        try:
            while not self._ending:
                line = await self._line()
                self._answer(await self._obey(line))
        except (asyncio.IncompleteReadError, ConnectionError):
            log.debug("%s went away after %s", self._peer, self._verb)
        self._write()
        self._close()

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
        self._named = None
        return line

    async def _skip_line(self, consumed: int) -> None:
        while True:
            await self._reader.readexactly(consumed)
            try:
                await self._reader.readuntil(b"\n")
                return
            except asyncio.LimitOverrunError as longer:
                consumed = longer.consumed

    async def _obey(self, line: bytes) -> str:
        """Do what one command line says; answers the reply."""
        name, _, argument = line[:-2].partition(b" ")
        verb = name.upper().decode("ascii", "replace")
        method = _VERBS.get(verb)
        self._verb = verb if method else commands.shown(verb)
        if not line or len(line) > _LINE:
            return "500 5.5.2 the line is too long"
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            return "500 5.5.2 bare CR or LF: lines end with both (RFC 5321 section 2.3.8)"
        if self._commands > self._limits.commands:
            self.hang_up("421 4.7.0 too many commands in one session")
            return ""
        if method is None:
            return "500 5.5.2 command not recognized"
        try:
            return await method(self, argument.strip().decode("utf-8", "surrogateescape"))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise
        except Exception:  # a bug must cost one command, not the session
            log.exception("%s failed", verb)
            self._forget()
            return "451 4.3.0 internal error; see the log"

    def _answer(self, reply: str) -> None:
        """Have `reply` written; put refusals on record, and end a session of too many errors."""
        if not reply:
            return
        self._out.append(reply)
        self._refused(reply)
        if self._last_reply:
            self.hang_up(self._last_reply)
        elif reply[0] == "5":
            self._errors += 1
            if self._errors > self._limits.errors:
                self.hang_up("421 4.7.0 too many errors")

    def _refused(self, reply: str) -> None:
        if reply[0] in "45":
            self._edge.emit(events.Refused(self._verb, reply, self._peer, self._named))

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

    async def push(self, status: Any) -> None:
        """How aiosmtpd speaks; it only ever does to start TLS."""
        self._out.append(f"220 2.0.0 {str(status)[4:]}")
        await self._flush()

    def _forget(self) -> None:
        """The transaction is over, or never was (RFC 5321 §4.1.1.5)."""
        self._mail, self._recipients = None, []

    # --- commands: each answers its reply ---------------------------------------------------------

    async def on_helo(self, argument: str) -> str:
        if not (name := commands.host_name(argument)):
            return "501 5.5.4 syntax: HELO hostname"
        self._forget()
        self._helo, self._extended = name, False
        return f"250 {self.hostname}"  # no enhanced codes here (RFC 2034 §4)

    async def on_ehlo(self, argument: str) -> str:
        if not (name := commands.host_name(argument)):
            return "501 5.5.4 syntax: EHLO hostname"
        self._forget()
        self._helo, self._extended = name, True
        lines = [self.hostname, "PIPELINING", f"SIZE {self._limits.message_size}"]
        lines += ["8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"]
        if self._edge.flush is not None:
            lines.append("ETRN")
        if self._edge.tls is not None and self._tls_protocol is None:
            lines.append("STARTTLS")
        return "\r\n".join([*(f"250-{line}" for line in lines), "250 HELP"])

    async def on_mail(self, argument: str) -> str:
        if not self._helo:
            return "503 5.5.1 send EHLO or HELO first"
        if self._mail is not None:
            return "503 5.5.1 nested MAIL command"
        mail = commands.mail_from(argument, extended=self._extended)
        if isinstance(mail, Reply):
            return str(mail)
        if mail.size > self._limits.message_size:
            return str(TOO_LARGE)
        self._mail = mail
        return f"250 2.1.0 <{mail.sender}> ok"

    async def on_rcpt(self, argument: str) -> str:
        if self._mail is None:
            return "503 5.5.1 need MAIL first"
        recipient = commands.rcpt_to(
            argument, extended=self._extended, smtputf8=self._mail.smtputf8
        )
        if isinstance(recipient, Reply):
            return str(recipient)
        address = self._named = self._edge.policy.complete(recipient.address)
        if len(self._recipients) >= self._limits.recipients:
            return "452 4.5.3 too many recipients"
        if refusal := self._edge.policy.judge(address, self._peer):
            return str(refusal)
        self._recipients.append(Recipient(address, recipient.notify, recipient.orcpt))
        return f"250 2.1.5 <{address}> ok"

    async def on_data(self, argument: str) -> str:
        if argument:
            return "501 5.5.4 syntax: DATA"
        if self._mail is None:
            return "503 5.5.1 need MAIL first"
        if not self._recipients:
            return "554 5.5.1 no valid recipients"
        self._out.append("354 end data with <CR><LF>.<CR><LF>")
        await self._flush()
        data = await read_data(self._reader, self._limits, self._edge.hops, self._came)
        reply = data if isinstance(data, Reply) else await self._take(self._mail, data)
        self._reset_timeout()
        self._forget()
        return str(reply)

    async def _take(self, mail: commands.MailFrom, content: bytes) -> Reply:
        envelope = Envelope(
            mail.sender,
            tuple(self._recipients),
            mail.eightbit or not content.isascii(),
            mail.smtputf8,
            mail.ret,
            mail.envid,
        )
        self._accepting = True
        try:
            origin = Origin(self._peer, self._helo, self._protocol(mail))
            queue_id = await self._edge.accept(envelope, content, origin)
        except SpoolFull:
            return Reply(452, "4.3.1", "insufficient system storage")
        except SpoolError as error:
            log.error("the spool refuses a message: %s", error)
            return Reply(451, "4.3.0", "the queue cannot be written now")
        finally:
            self._accepting = False
        return Reply(250, "2.0.0", f"Ok: queued as {queue_id}")

    def _protocol(self, mail: commands.MailFrom) -> str:
        """The `with` word of the Received field (RFC 3848, RFC 6531 §4.3)."""
        if not self._extended:
            return "SMTP"
        word = "UTF8SMTP" if mail.smtputf8 else "ESMTP"
        return word if self._tls_protocol is None else word + "S"

    async def on_rset(self, argument: str) -> str:
        if argument:
            return "501 5.5.4 syntax: RSET"
        self._forget()
        return "250 2.0.0 ok"

    async def on_noop(self, argument: str) -> str:
        return "250 2.0.0 ok"

    async def on_quit(self, argument: str) -> str:
        if argument:
            return "501 5.5.4 syntax: QUIT"
        self._ending = True
        return "221 2.0.0 bye"

    async def on_vrfy(self, argument: str) -> str:
        if not argument:
            return "501 5.5.4 syntax: VRFY address"
        return "252 2.0.0 not verified; send mail and it will be tried"

    async def on_help(self, argument: str) -> str:
        return f"214 2.0.0 {' '.join(verb for verb in _VERBS if verb not in _ABSENT)}"

    async def on_absent(self, argument: str) -> str:
        return f"502 5.5.1 {self._verb} is not implemented"

    async def on_starttls(self, argument: str) -> str:
        """RFC 3207; what the client sent ahead of the handshake is discarded with the rest."""
        if argument:
            return "501 5.5.4 syntax: STARTTLS"
        if self._edge.tls is None:
            return "454 4.7.0 TLS is not available"
        if self._tls_protocol is not None:
            return "503 5.5.1 TLS is active already"
        problem: BaseException | None = None
        try:
            await self.smtp_STARTTLS("")
        except smtp.TLSSetupException as error:
            problem = error.__cause__
        assert self.session is not None
        if self.session.ssl is None:
            log.info("%s: no TLS: %s", self._peer, problem or "the connection was lost")
            self._ending = True
            self.abort()
            self.connection_lost(None)  # nobody else tells, since TLS never began
        return ""

    async def on_etrn(self, argument: str) -> str:
        """Start the queue for a node, or with @ for a domain and all below it (RFC 1985 §5.3)."""
        node = argument.lower().rstrip(".")
        if self._edge.flush is None:
            return "502 5.5.1 ETRN is not implemented"
        if not self._extended:
            return "503 5.5.1 send EHLO first"
        if self._mail is not None:
            return "503 5.5.1 not within a transaction"
        if not node or " " in node:
            return "501 5.5.4 syntax: ETRN node"
        domains = self._edge.policy.queues(node)
        shown = commands.shown(node)
        if not domains:
            return f"459 4.7.1 node {shown} not allowed: no mail is kept for it"
        try:
            count = sum([await self._edge.flush(domain) for domain in domains])
        except SpoolError as error:
            log.error("ETRN: %s", error)
            return f"458 4.3.0 unable to queue messages for node {shown}"
        if count:
            return f"253 2.0.0 ok, {count} pending messages for node {shown} started"
        return f"251 2.0.0 ok, no messages waiting for node {shown}"


_ABSENT = ("EXPN", "AUTH", "TURN", "SEND", "SOML", "SAML")
_VERBS: dict[str, Callable[[Session, str], Awaitable[str]]] = {
    "HELO": Session.on_helo,
    "EHLO": Session.on_ehlo,
    "MAIL": Session.on_mail,
    "RCPT": Session.on_rcpt,
    "DATA": Session.on_data,
    "RSET": Session.on_rset,
    "NOOP": Session.on_noop,
    "QUIT": Session.on_quit,
    "VRFY": Session.on_vrfy,
    "HELP": Session.on_help,
    "STARTTLS": Session.on_starttls,
    "ETRN": Session.on_etrn,
    **dict.fromkeys(_ABSENT, Session.on_absent),
}
