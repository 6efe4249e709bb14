"""One SMTP session as the server: the only module that touches aiosmtpd.

Guarantee: 250 to the final dot is sent only after `accept` has returned, and every other outcome is
a 4yz or 5yz reply; whatever a client sends, memory stays bounded by the limits and no exception
leaves. aiosmtpd runs the session's loop, timer and STARTTLS; the commands are answered here.
"""

import asyncio
import logging
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, cast

from aiosmtpd import smtp

from mxlab_services import events
from mxlab_services.config import MtaConfig
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.mta import commands
from mxlab_services.mta.policy import Policy
from mxlab_services.mta.types import (
    Envelope,
    Origin,
    Recipient,
    Reply,
    received_count,
)

log = logging.getLogger(__name__)

Flush = Callable[[str], Awaitable[int]]

_CHUNK = 1 << 20  # bytes; more than the stream reader ever holds, so that a read empties it
_ENHANCED = {  # for the replies that aiosmtpd words itself (RFC 3463)
    "221": "2.0.0", "250": "2.0.0", "421": "4.7.0", "454": "4.7.0", "500": "5.5.2",
    "501": "5.5.4", "502": "5.5.1", "503": "5.5.1", "504": "5.5.4", "554": "5.5.1",
}  # fmt: skip
_HOST_NAME_BYTES = 255  # RFC 5321 §4.5.3.1.2; it goes into the Received field
_LAST_WORD = 5.0  # real seconds that a client gets to read why it is cut off
_COMMANDS = "HELO EHLO MAIL RCPT DATA RSET NOOP QUIT VRFY HELP STARTTLS ETRN"


class Sessions(Protocol):
    """What a session asks of the edge that made it."""

    config: MtaConfig
    policy: Policy
    tls: ssl.SSLContext | None
    hops: int
    flush: Flush | None

    def opened(self, session: "Session") -> None: ...

    def closed(self, session: "Session") -> None: ...

    def emit(self, body: events.Body, message: str | None = None) -> None: ...

    async def accept(self, envelope: Envelope, content: bytes, origin: Origin) -> str: ...


class Session(smtp.SMTP):
    """One connection. State of the transaction: `_mail`, `_recipients` (RFC 5321 §4.1.4)."""

    line_length_limit = 64 * 1024  # of the stream reader; commands have their own, below
    command_size_limit = 2048  # RFC 5321 §4.5.3.1.4 asks for 512, and more with extensions

    def __init__(self, edge: Sessions) -> None:
        self._edge = edge
        self._limits = edge.config.limits
        self._verb = "CONNECT"
        self._named = ""  # the recipient that the command under way is about
        self._commands = self._errors = 0
        self._mail: commands.MailFrom | None = None
        self._recipients: list[Recipient] = []
        super().__init__(
            self,
            data_size_limit=self._limits.message_size,
            enable_SMTPUTF8=True,
            hostname=edge.config.hostname,
            ident="ESMTP mxlab",
            tls_context=edge.tls,
            timeout=edge.config.timeouts.idle,
            loop=asyncio.get_running_loop(),
        )
        # After EHLO; aiosmtpd's own stays at 512, too few for ORCPT (RFC 3461 §4.2).
        self.command_size_limits = defaultdict(lambda: Session.command_size_limit)
        self._smtp_methods = {
            verb: partial(self._run, verb, method) for verb, method in self._smtp_methods.items()
        }

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._edge.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._edge.closed(self)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        # A client that closes its half after the dot still waits for the reply.
        if self._now().ssl is not None:
            return False
        return asyncio.StreamReaderProtocol.eof_received(self)

    def _timeout_cb(self) -> None:
        if self.transport is not None and self.transport.is_closing():
            cast("asyncio.WriteTransport", self.transport).abort()  # it does not read its replies
        else:
            self.hang_up("421 4.4.2 idle for too long")

    def hang_up(self, reply: str) -> None:
        """Say `reply` and close, whatever the session is doing."""
        if self.transport is not None and not self.transport.is_closing():
            self._writer.write(reply.encode() + b"\r\n")
            self.transport.close()
            self._reset_timeout(_LAST_WORD)

    async def handle_exception(self, error: Exception) -> str:
        """The reply to what went wrong inside; a peer that is gone gets none."""
        if isinstance(error, asyncio.IncompleteReadError | ConnectionError):
            if self.transport is not None:
                self.transport.close()
                self._reset_timeout(_LAST_WORD)
        else:
            log.error("%s: %r", self._verb, error, exc_info=error)
        return "451 4.3.0 internal error; see the log"

    # Methods, since aiosmtpd reads every property of a session before it begins.

    def _now(self) -> "smtp.Session":
        """aiosmtpd's account of the session; there from the connection's first moment."""
        assert self.session is not None
        return self.session

    def peer(self) -> str:
        peer: Any = self._now().peer  # (address, port), whatever aiosmtpd declares
        return str(peer[0]) if peer else ""

    # --- replies ----------------------------------------------------------------------------------

    async def push(self, status: Any) -> None:
        """Send one reply line; put refusals on record, and end a session of too many errors."""
        if self.transport is None or self.transport.is_closing():
            await self.loop.create_future()  # nobody to tell; connection_lost ends this task
        text = status.decode() if isinstance(status, bytes) else str(status)
        code, enhanced = text[:3], _ENHANCED.get(text[:3])
        words = text[4:].split(" ", 1)
        if enhanced and text[3:4] == " " and self._verb != "CONNECT" and not _is_enhanced(words[0]):
            text = f"{code} {enhanced} {text[4:].removeprefix('Error: ')}"
        if code[:1] in "45" and self._commands:
            self._edge.emit(events.Refused(self._verb, text, self.peer(), self._named or None))
        self._writer.write(text.encode("utf-8", "replace") + b"\r\n")
        await self._writer.drain()
        if code[:1] == "5":
            self._errors += 1
            if self._errors > self._limits.errors:
                self.hang_up("421 4.7.0 too many errors")

    async def _say(self, reply: Reply) -> None:
        await self.push(str(reply))

    async def _run(self, verb: str, method: Callable[[Any], Awaitable[None]], arg: Any) -> None:
        self._verb, self._named = verb, ""
        self._commands += 1
        if self._commands > self._limits.commands:
            self.hang_up("421 4.7.0 too many commands in one session")
            return
        await method(arg)

    def _set_post_data_state(self) -> None:
        super()._set_post_data_state()  # type: ignore[no-untyped-call]
        self._mail, self._recipients = None, []

    # --- commands ---------------------------------------------------------------------------------

    async def smtp_HELO(self, hostname: str | None) -> None:  # noqa: N802
        if not hostname or len(hostname.encode("utf-8", "replace")) > _HOST_NAME_BYTES:
            await self.push("501 5.5.4 syntax: HELO hostname")
            return
        self._set_post_data_state()
        self._now().extended_smtp, self._now().host_name = False, hostname
        await self._lines(self.hostname)

    async def smtp_EHLO(self, hostname: str | None) -> None:  # noqa: N802
        if not hostname or len(hostname.encode("utf-8", "replace")) > _HOST_NAME_BYTES:
            await self.push("501 5.5.4 syntax: EHLO hostname")
            return
        self._set_post_data_state()
        self._now().extended_smtp, self._now().host_name = True, hostname
        offers = ["PIPELINING", f"SIZE {self._limits.message_size}", "8BITMIME", "SMTPUTF8", "DSN"]
        offers.append("ENHANCEDSTATUSCODES")
        if self._edge.flush is not None:
            offers.append("ETRN")
        if self.tls_context and self._now().ssl is None:
            offers.append("STARTTLS")
        await self._lines(self.hostname, *offers, "HELP")

    async def _lines(self, *lines: str) -> None:
        """250 with these lines (RFC 5321 §4.2.1); no enhanced codes here (RFC 2034 §4)."""
        block = [f"250-{line}\r\n" for line in lines[:-1]] + [f"250 {lines[-1]}\r\n"]
        self._writer.write("".join(block).encode())
        await self._writer.drain()

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        if not self._now().host_name:
            await self.push("503 5.5.1 send EHLO or HELO first")
            return
        if self._mail is not None:
            await self.push("503 5.5.1 nested MAIL command")
            return
        mail = commands.mail_from(arg or "", extended=self._now().extended_smtp)
        if isinstance(mail, Reply):
            await self._say(mail)
        elif mail.size > self._limits.message_size:
            await self.push("552 5.3.4 the message is larger than this server takes")
        else:
            self._mail = mail
            await self.push(f"250 2.1.0 <{mail.sender}> ok")

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        if self._mail is None:
            await self.push("503 5.5.1 need MAIL first")
            return
        recipient = commands.rcpt_to(
            arg or "", extended=self._now().extended_smtp, smtputf8=self._mail.smtputf8
        )
        if isinstance(recipient, Reply):
            await self._say(recipient)
            return
        address = self._named = self._edge.policy.complete(recipient.address)
        if len(self._recipients) >= self._limits.recipients:
            await self.push("452 4.5.3 too many recipients")
        elif refusal := self._edge.policy.judge(address, self.peer()):
            await self._say(refusal)
        else:
            self._recipients.append(Recipient(address, recipient.notify, recipient.orcpt))
            await self.push(f"250 2.1.5 <{address}> ok")

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        if arg:
            await self.push("501 5.5.4 syntax: DATA")
        elif self._mail is None:
            await self.push("503 5.5.1 need MAIL first")
        elif not self._recipients:
            await self.push("554 5.5.1 no valid recipients")
        else:
            await self.push("354 end data with <CR><LF>.<CR><LF>")
            mail, recipients = self._mail, tuple(self._recipients)
            data = await self._read_data()
            reply = data if isinstance(data, Reply) else await self._take(mail, recipients, data)
            self._set_post_data_state()
            await self._say(reply)

    async def _take(
        self, mail: commands.MailFrom, recipients: tuple[Recipient, ...], content: bytes
    ) -> Reply:
        envelope = Envelope(
            mail.sender,
            recipients,
            mail.eightbit or not content.isascii(),
            mail.smtputf8,
            mail.ret,
            mail.envid,
        )
        origin = Origin(self.peer(), str(self._now().host_name), self._protocol(mail))
        try:
            queue_id = await self._edge.accept(envelope, content, origin)
        except SpoolFull:
            return Reply(452, "4.3.1", "insufficient system storage")
        except SpoolError as error:
            log.error("the spool refuses a message: %s", error)
            return Reply(451, "4.3.0", "the queue cannot be written now")
        return Reply(250, "2.0.0", f"Ok: queued as {queue_id}")

    def _protocol(self, mail: commands.MailFrom) -> str:
        """The `with` word of the Received field (RFC 3848, RFC 6531 §4.3)."""
        if not self._now().extended_smtp:
            return "SMTP"
        word = "UTF8SMTP" if mail.smtputf8 else "ESMTP"
        return word + "S" if self._now().ssl is not None else word

    async def _read_data(self) -> bytes | Reply:
        """The content up to the final dot, without dot-stuffing, or why it is refused.

        Only CR LF "." CR LF ends the data (RFC 5321 §4.1.1.4). What is too large is read to its end
        and forgotten, since a reply may only be sent there.
        """
        data = bytearray(b"\r\n")  # stands for the end of the DATA line
        large = False
        while True:
            chunk = await self._reader.read(_CHUNK)
            if not chunk:
                raise asyncio.IncompleteReadError(b"", None)
            self._reset_timeout()
            start = max(0, len(data) - 4)
            data += chunk
            end = data.find(b"\r\n.\r\n", start)
            if end >= 0:
                break
            if len(data) > self._limits.message_size + 2:
                large = True
                del data[:-4]
        rest = bytes(data[end + 5 :])
        if rest:  # commands sent ahead (RFC 2920): the reader is empty, so they come next
            self._unread(rest)
        if large or end > self._limits.message_size:
            return Reply(552, "5.3.4", "the message is larger than this server takes")
        content = bytes(data[2 : end + 2]) if end else b""
        return _checked(content, self._limits.line_length, self._edge.hops)

    def _unread(self, rest: bytes) -> None:
        """Give bytes back to the reader, even if the client has closed its half meanwhile."""
        if not self._reader.at_eof():
            self._reader.feed_data(rest)
            return
        reader = asyncio.StreamReader(limit=self.line_length_limit, loop=self.loop)
        reader.feed_data(rest)
        reader.feed_eof()
        self._reader = reader

    async def smtp_RSET(self, arg: str | None) -> None:  # noqa: N802
        if arg:
            await self.push("501 5.5.4 syntax: RSET")
            return
        self._set_post_data_state()
        await self.push("250 2.0.0 ok")

    async def smtp_VRFY(self, arg: str | None) -> None:  # noqa: N802
        if arg:
            await self.push("252 2.5.0 not verified; send mail and it will be tried")
        else:
            await self.push("501 5.5.4 syntax: VRFY address")

    async def smtp_HELP(self, arg: str | None) -> None:  # noqa: N802
        await self.push(f"214 2.0.0 {_COMMANDS}")

    async def smtp_EXPN(self, arg: str | None) -> None:  # noqa: N802
        await self.push("502 5.5.1 EXPN is not implemented")

    async def smtp_AUTH(self, arg: str | None) -> None:  # noqa: N802
        await self.push("502 5.5.1 AUTH is not implemented")

    async def smtp_ETRN(self, arg: str | None) -> None:  # noqa: N802
        """Start the queue for a node (RFC 1985 §5)."""
        node = (arg or "").strip().lstrip("@#").lower()
        if self._edge.flush is None:
            await self.push("502 5.5.1 ETRN is not implemented")
        elif not self._now().host_name:
            await self.push("503 5.5.1 send EHLO first")
        elif self._mail is not None:
            await self.push("503 5.5.1 not within a transaction")
        elif not node or " " in node:
            await self.push("501 5.5.4 syntax: ETRN node")
        elif not self._edge.policy.relays_for(node):
            await self.push(
                f"459 4.7.1 node {commands.shown(node)} not allowed: no mail is kept for it"
            )
        else:
            try:
                count = await self._edge.flush(node)
            except SpoolError as error:
                log.error("ETRN: %s", error)
                await self.push(f"458 4.3.0 unable to queue messages for node {node}")
                return
            if count:
                await self.push(f"253 2.0.0 ok, {count} pending messages for node {node} started")
            else:
                await self.push(f"251 2.0.0 ok, no messages waiting for node {node}")


def _checked(content: bytes, line_length: int, hops: int) -> bytes | Reply:
    """The content without its dot-stuffing (RFC 5321 §4.5.2), or why it is refused."""
    ends = content.count(b"\r\n")
    if content.count(b"\n") != ends or content.count(b"\r") != ends:
        return Reply(550, "5.5.2", "bare CR or LF in the message (RFC 5321 section 2.3.8)")
    if b"\r\n." in content or content.startswith(b"."):
        content = (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:]
    if len(content) > line_length and max(map(len, content.split(b"\r\n"))) > line_length:
        return Reply(550, "5.6.0", f"a line is longer than {line_length} bytes")
    if received_count(content) >= hops:
        return Reply(554, "5.4.6", "too many hops: this message is looping")
    return content


def _is_enhanced(word: str) -> bool:
    parts = word.split(".")
    return len(parts) == 3 and all(part.isdigit() for part in parts)
