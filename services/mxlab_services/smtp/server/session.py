"""One SMTP session as the server: what its commands mean, and the transaction they make.

Guarantee: 250 to the final dot is sent only after `accept` has returned, every other outcome is a
4yz or 5yz reply, and no exception leaves.

Long: a method for each command, over the state of one transaction.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar, Protocol

from mxlab_services import events
from mxlab_services.config import MtaConfig
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.message import Envelope, Origin, Recipient
from mxlab_services.queue.ports import Accept
from mxlab_services.queue.room import Room
from mxlab_services.reply import Reply
from mxlab_services.smtp import commands
from mxlab_services.smtp.server.connection import Connection
from mxlab_services.smtp.server.data import TOO_LARGE, checked, disk_refusal, read_data
from mxlab_services.smtp.server.faults import EdgeFaults, SessionFaults
from mxlab_services.smtp.server.policy import Policy
from mxlab_services.storage.ports import Scratch
from mxlab_services.storage.scratch import Raw

log = logging.getLogger(__name__)

Flush = Callable[[str], Awaitable[int]]


class Sessions(Protocol):
    """What a session asks of the edge that made it."""

    config: MtaConfig
    policy: Policy
    faults: EdgeFaults
    tls: ssl.SSLContext | None
    hops: int
    flush: Flush | None
    buffer: memoryview
    accept: Accept
    scratch: Callable[[], Scratch]
    room: Room

    def admit(self, session: "ServerSession") -> str | None: ...

    def closed(self, session: "ServerSession") -> None: ...

    def emit(self, body: events.Body, message: str | None = None) -> None: ...

    async def finish(self, taking: Coroutine[Any, Any, str]) -> str: ...


class ServerSession(Connection):
    """One session. State of the transaction: `_mail`, `_recipients` (RFC 5321 §4.1.4)."""

    absent: ClassVar[tuple[str, ...]] = ("EXPN", "AUTH", "TURN", "SEND", "SOML", "SAML")

    def __init__(self, edge: Sessions) -> None:
        self._edge = edge
        self._verb = "CONNECT"
        self._named: str | None = None  # the recipient that the command under way is about
        self._unwelcome: str | None = None  # why the client is refused, whatever it says
        self._met = False
        self.begun()
        super().__init__(edge.config, edge.tls, SessionFaults(edge.faults), edge.buffer)

    def begun(self) -> None:
        self._helo = ""
        self._extended = False  # EHLO was said
        self._forget()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._met:  # it is called again when TLS begins
            self._met = True
            self._unwelcome = self._edge.admit(self)

    def ended(self) -> None:
        self._edge.closed(self)

    def refused(self, verb: str, reply: str) -> None:
        shown = commands.shown(verb) or self._verb
        self._edge.emit(events.Refused(shown, reply, self.peer, self._named))

    async def obey(self, verb: str, argument: str) -> str:
        self._verb, self._named = commands.shown(verb), None
        if verb not in VERBS:
            return "500 5.5.2 command not recognized"
        try:
            if verb in self.absent:
                return f"502 5.5.1 {self._verb} is not implemented"
            reply: str = await getattr(self, VERBS[verb])(argument)
            return reply
        except (asyncio.IncompleteReadError, ConnectionError):
            raise
        except Exception:  # a bug must cost one command, not the session
            log.exception("%s failed", verb)
            self._forget()
            return "451 4.3.0 internal error; see the log"

    def greet(self) -> str:
        if self._unwelcome is not None:
            self.closing = True
            return self._unwelcome
        struck = self._struck("CONNECT")
        return super().greet() if struck is None else struck

    def _struck(self, verb: str, recipient: str = "", content: bytes | None = None) -> str | None:
        """What a fault puts in the place of a positive reply to `verb`, None if none does; empty
        where the connection was reset."""
        if not self.faults.injector and verb != "DOT":  # while it is accepted, a fault may come
            return None
        sender = None if self._mail is None else self._mail.sender
        recipients = tuple(one.address for one in self._recipients)
        self.faults.at(verb, sender, (recipient,) if recipient else recipients, content)
        instead = self.faults.instead()
        if instead is None:
            return None
        if instead.reset:
            self.reset()
        self.closing = self.closing or instead.ends
        return instead.reply

    def _forget(self) -> None:
        """The transaction is over, or never was (RFC 5321 §4.1.1.5)."""
        self._mail: commands.MailFrom | None = None
        self._recipients: list[Recipient] = []

    # --- commands: each returns its reply ---------------------------------------------------------

    def _greeted(self, argument: str, *, extended: bool) -> str | None:
        """Begin anew with that client, or return the reply that refuses it."""
        if not (name := commands.host_name(argument)):
            return f"501 5.5.4 syntax: {'EHLO' if extended else 'HELO'} hostname"
        if (struck := self._struck("EHLO")) is not None:
            return struck
        self._forget()
        self._helo, self._extended = name, extended
        return None

    async def on_helo(self, argument: str) -> str:
        if (refused := self._greeted(argument, extended=False)) is not None:
            return refused
        return f"250 {self.hostname}"  # no enhanced codes here (RFC 2034 §4)

    async def on_ehlo(self, argument: str) -> str:
        if (refused := self._greeted(argument, extended=True)) is not None:
            return refused
        self.limits = self._edge.config.limits
        lines = [self.hostname, *self.extensions()]
        return "\r\n".join([*(f"250-{line}" for line in lines), "250 HELP"])

    def extensions(self) -> list[str]:
        """What EHLO tells of, but for HELP."""
        lines = ["PIPELINING", f"SIZE {self.limits.message_size}"]
        lines += ["8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"]
        if self._edge.flush is not None:
            lines.append("ETRN")
        if self.tls is not None and not self.encrypted:
            lines.append("STARTTLS")
        return lines

    async def on_mail(self, argument: str) -> str:
        if not self._helo:
            return "503 5.5.1 send EHLO or HELO first"
        if self._mail is not None:
            return "503 5.5.1 nested MAIL command"
        self.limits = self._edge.config.limits  # as they are now, whatever was announced
        mail = self.parse_mail(argument)
        if isinstance(mail, Reply):
            return str(mail)
        if mail.size > self.limits.message_size:
            return str(TOO_LARGE)
        self._mail = mail
        if (struck := self._struck("MAIL")) is not None:
            self._mail = None
            return struck
        return f"250 2.1.0 <{mail.sender}> ok"

    def parse_mail(self, argument: str) -> commands.MailFrom | Reply:
        """What MAIL says, with the parameters that are known here."""
        return commands.mail_from(argument, extended=self._extended)

    def judge(self, recipient: str) -> Reply | None:
        """Why a recipient is refused, or None."""
        return self._edge.policy.judge(recipient, self.peer)

    async def on_rcpt(self, argument: str) -> str:
        if self._mail is None:
            return "503 5.5.1 need MAIL first"
        recipient = commands.rcpt_to(
            argument, extended=self._extended, smtputf8=self._mail.smtputf8
        )
        if isinstance(recipient, Reply):
            return str(recipient)
        address = self._named = self._edge.policy.complete(recipient.address)
        if len(self._recipients) >= self.limits.recipients:
            return "452 4.5.3 too many recipients"
        if refusal := self.judge(address):
            return str(refusal)
        if (struck := self._struck("RCPT", address)) is not None:
            return struck
        self._recipients.append(Recipient(address, recipient.notify, recipient.orcpt))
        return f"250 2.1.5 <{address}> ok"

    async def on_data(self, argument: str) -> str:
        if argument:
            return "501 5.5.4 syntax: DATA"
        if self._mail is None:
            return "503 5.5.1 need MAIL first"
        if not self._recipients:
            return "554 5.5.1 no valid recipients"
        if (struck := self._struck("DATA")) is not None:
            return struck
        await self.delay()
        await self.say("354 end data with <CR><LF>.<CR><LF>")
        self.expect_content()
        raw = await read_data(self.reader, self.limits, self._edge.scratch, self.came)
        if isinstance(raw, Reply):
            self.faults.at("DOT")
            reply = str(raw)
        else:
            with self.busy():
                reply = await self._edge.finish(self._take(self._mail, raw))
        self._forget()
        return reply

    async def _take(self, mail: commands.MailFrom, raw: Raw) -> str:
        """Take the message to its end, when there is room for all of it in memory."""
        try:
            async with self._edge.room.of(raw.aside):
                content = checked(raw.take(), self.limits, self._edge.hops)
                self.faults.at("DOT")
                if isinstance(content, Reply):
                    return str(content)
                return await self._accept(mail, self.completed(content))
        except SpoolError as error:
            log.error("content that was put aside cannot be read: %s", error)
            return str(disk_refusal(error))
        finally:
            raw.close()

    def completed(self, content: bytes) -> bytes:
        """The content as it is taken: a relay changes nothing (RFC 5321 §6.4)."""
        return content

    async def _accept(self, mail: commands.MailFrom, content: bytes) -> str:
        if (struck := self._struck("DOT", content=content)) is not None:
            return struck
        reply = await self._store(mail, content)
        if reply.code == 250 and self.faults.loses_ack():
            self.closing = True
            return ""
        return str(reply)

    async def _store(self, mail: commands.MailFrom, content: bytes) -> Reply:
        envelope = Envelope(
            mail.sender,
            tuple(self._recipients),
            mail.eightbit or not content.isascii(),
            mail.smtputf8,
            mail.ret,
            mail.envid,
        )
        origin = Origin(self.peer, self._helo, self.protocol(mail.smtputf8))
        try:
            queue_id = await self._edge.accept(envelope, content, origin)
        except SpoolError as error:
            if not isinstance(error, SpoolFull):
                log.error("the spool refuses a message: %s", error)
            return disk_refusal(error)
        return Reply(250, "2.0.0", f"Ok: queued as {queue_id}")

    def protocol(self, smtputf8: bool) -> str:
        """The `with` word of the Received field (RFC 3848, RFC 6531 §4.3)."""
        if not self._extended:
            return "SMTP"
        word = "UTF8SMTP" if smtputf8 else "ESMTP"
        return word + "S" if self.encrypted else word

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
        self.closing = True
        return "221 2.0.0 bye"

    async def on_vrfy(self, argument: str) -> str:
        if not argument:
            return "501 5.5.4 syntax: VRFY address"
        return "252 2.0.0 not verified; send mail and it will be tried"

    async def on_help(self, argument: str) -> str:
        return f"214 2.0.0 {' '.join(verb for verb in VERBS if verb not in self.absent)}"

    async def on_starttls(self, argument: str) -> str:
        if argument:
            return "501 5.5.4 syntax: STARTTLS"
        if self.tls is None:
            return "454 4.7.0 TLS is not available"
        if self.encrypted:
            return "503 5.5.1 TLS is active already"
        if (struck := self._struck("STARTTLS")) is not None:
            return struck
        await self.delay()
        await self.start_tls()
        return ""

    async def on_etrn(self, argument: str) -> str:
        """Start the queue for a node, or with @ for a domain and all below it (RFC 1985 §5.3)."""
        node = argument.lower().removesuffix(".")
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


VERBS = {
    verb: f"on_{verb.lower()}"
    for verb in (
        *("HELO", "EHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "HELP"),
        *("STARTTLS", "ETRN", *ServerSession.absent),
    )
}
