"""Stands between a peer and a product where faults are set: command by command, as they say.

Guarantee: what no fault strikes reaches the other side as it was said, though what was sent ahead
waits its turn; of a command in whose place a fault puts something else, nothing is left in the
product: it is asked anew, on another connection, up to the command before.

Long: a method for each command that a fault can strike, over the state of one conversation.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable
from typing import NoReturn, Protocol

from mxlab_services import events
from mxlab_services.config import Limits
from mxlab_services.errors import SpoolError
from mxlab_services.faults.injector import Occasion, Wait
from mxlab_services.faults.kinds import (
    Delay,
    DiskFull,
    Greylist,
    Latency,
    LoseAck,
    ReplyWith,
    Reset,
    SlowClose,
    Tarpit,
    TlsBroken,
)
from mxlab_services.message import Recipient
from mxlab_services.products.overhear import ReplyLines, Said
from mxlab_services.reply import Reply
from mxlab_services.smtp import commands
from mxlab_services.smtp.server.data import disk_refusal, read_data
from mxlab_services.smtp.server.faults import SessionFaults
from mxlab_services.storage.ports import Scratch

log = logging.getLogger(__name__)

STEPS_IN = (
    ReplyWith, Delay, Tarpit, Latency, Greylist, Reset, LoseAck, SlowClose, TlsBroken, DiskFull,
)  # fmt: skip
"""The faults that must see the commands."""
HIDDEN = (b"STARTTLS", b"CHUNKING")  # what is not offered meanwhile: nobody could see it
_FULL = "452 4.3.1 insufficient system storage"
_LINE = 64 * 1024  # bytes of a command
_HANDSHAKE = 30.0  # real seconds
_UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # stands for the product's own TLS


class Ends(Protocol):
    """The two connections, as this sees them."""

    def say(self, data: bytes) -> None:
        """To the peer."""
        ...

    def ask(self, data: bytes) -> None:
        """Of the product."""
        ...

    async def renew(self) -> None:
        """Break off with the product, and begin with it anew. Raises OSError."""
        ...

    def let_go(self, rest: bytes) -> None:
        """Splice them again; `rest` of what the peer said goes first."""
        ...

    def reset(self) -> None:
        """Reset both."""
        ...

    def close(self) -> None:
        """Close both, once all is said."""
        ...

    async def encrypt(self, context: ssl.SSLContext) -> None:
        """Begin TLS with the peer. Raises OSError (an SSLError is one)."""
        ...

    def emit(self, body: events.Body) -> None: ...


class _Over(Exception):
    """Nothing is to be done between them any more."""


class Between:
    """One conversation. `limits` and `scratch` bound what is kept of a message before its dot."""

    def __init__(
        self,
        ends: Ends,
        faults: SessionFaults,
        peer: str,
        limits: Limits,
        scratch: Callable[[], Scratch],
    ) -> None:
        self._ends = ends
        self._faults = faults
        self._injector = faults.injector
        self._peer = peer
        self._limits = limits
        self._scratch = scratch
        self._reader = asyncio.StreamReader(_LINE)
        self._lines = ReplyLines()
        self._replies: deque[bytes] = deque()
        self._news = asyncio.Event()  # from the product
        self._product_ended = False
        self._next: asyncio.Task[bytes] | None = None  # the peer's next line
        self._busy = False
        self._last_word = ""
        self._asked: asyncio.Task[None] | None = None
        self._hello = self._mail = b""
        self._sender: str | None = None
        self._recipients: list[tuple[Recipient, bytes]] = []

    def begin(self, said: Said | None) -> None:
        """Step in: after all of `said`, or, for None, before the greeting."""
        greeted = said is not None
        self._faults.begin(self._peer)
        if said is not None:
            self._hello, self._mail, self._sender = said.hello, said.mail, said.sender
            self._recipients = list(said.recipients)
        self._asked = asyncio.create_task(self._run(greeted=greeted))

    def peer_said(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def peer_ended(self) -> None:
        self._reader.feed_eof()

    def product_said(self, data: bytes) -> None:
        try:
            self._replies.extend(self._lines.feed(data))
        except ValueError as error:
            log.warning("the product says what is no SMTP: %s", error)
            self._ends.reset()
        self._news.set()

    def product_ended(self) -> None:
        self._product_ended = True
        self._news.set()

    def lost(self) -> None:
        """A connection is gone."""
        if self._asked is not None:
            self._asked.cancel()

    def hang_up(self, reply: str) -> None:
        """Say `reply` and close; of a message that is being taken, first tell the outcome."""
        if self._busy:
            self._last_word = reply
            return
        self._ends.say(reply.encode() + b"\r\n")
        self._ends.close()
        self.lost()

    def _forget(self) -> None:
        self._sender, self._mail, self._recipients = None, b"", []

    # --- its course -------------------------------------------------------------------------------

    async def _run(self, *, greeted: bool) -> None:
        try:
            if not greeted:
                await self._greet()
            while True:
                await self._turn()
        except _Over:
            pass
        except (OSError, asyncio.IncompleteReadError) as error:
            log.info("%s: %s", self._peer, error)
            self._ends.reset()
        except Exception:  # a bug must cost one session, not leave it open
            log.exception("the session with %s failed", self._peer)
            self._ends.reset()
        finally:
            if self._next is not None:
                self._next.cancel()

    async def _turn(self) -> None:
        """The peer's next command, or what the product says unasked."""
        self._next = self._next or asyncio.create_task(self._reader.readuntil(b"\n"))
        news = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait([self._next, news], return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        if self._replies:
            self._ends.say(self._replies.popleft())
        elif self._product_ended:
            await self._leave()
        elif self._next.done():
            line, self._next = self._next, None
            try:
                await self._command(line.result())
            except asyncio.IncompleteReadError as end:
                await self._leave(end.partial)
        else:
            self._news.clear()

    async def _leave(self, rest: bytes = b"") -> NoReturn:
        """Nothing more can be struck here: splice on, with what was read too much."""
        if self._next is not None:
            if not self._next.done():
                self._next.cancel()
                await asyncio.wait([self._next])
            if not self._next.cancelled() and self._next.exception() is None:
                rest += self._next.result()
        self._reader.feed_eof()  # what is there already is all that is read
        rest += await self._reader.read()
        self._ends.let_go(rest)
        raise _Over

    async def _reply(self) -> bytes:
        """The product's next reply, all its lines."""
        while not self._replies:
            if self._product_ended:
                await self._leave()
            self._news.clear()
            await self._news.wait()
        return self._replies.popleft()

    async def _ask(self, line: bytes) -> bytes:
        self._ends.ask(line)
        return await self._reply()

    async def _say(self, reply: bytes, *, verb: str = "") -> None:
        """Give the peer a reply, as late as faults say. With `verb` it is ours, and put on record
        where it refuses."""
        await self._injector.sleep(self._faults.delays())
        if verb and reply[:1] in b"45":
            named = self._recipients[-1][0].address if verb == "RCPT" and self._recipients else None
            text = reply.decode("utf-8", "replace").rstrip()
            self._ends.emit(events.Refused(verb, text, self._peer, named))
        self._ends.say(reply)
        if self._last_word:
            self._ends.say(self._last_word.encode() + b"\r\n")
            self._finish()

    def _finish(self) -> NoReturn:
        self._ends.close()
        raise _Over

    def _at(self, verb: str, recipient: str = "", content: bytes | None = None) -> None:
        recipients = tuple(one.address for one, _ in self._recipients)
        named = (recipient,) if recipient else recipients
        self._faults.at(verb, self._sender, named, content)

    async def _struck(self, verb: str, recipient: str = "", content: bytes | None = None) -> bool:
        """Whether a fault took the place of a positive reply here, and did what it does."""
        self._at(verb, recipient, content)
        instead = self._faults.instead()
        if instead is None:
            return False
        if instead.reset:
            self._ends.reset()
            raise _Over
        reply = instead.reply.encode() + b"\r\n"
        await self._injector.sleep(self._faults.delays())
        self._ends.emit(events.Refused(verb, instead.reply, self._peer, recipient or None))
        self._ends.say(reply)
        if instead.ends or self._last_word:
            self._finish()
        return True

    async def _again(self) -> None:
        """Bring a new conversation with the product to where this one is."""
        self._replies.clear()
        self._lines = ReplyLines()
        self._product_ended = False
        await self._ends.renew()
        said = [await self._reply()]
        for line in (self._hello, self._mail, *(line for _, line in self._recipients)):
            if line:
                said.append(await self._ask(line))
        if bad := [reply for reply in said if not _good(reply)]:
            raise ConnectionError(f"the product does not say again what it said: {bad[0]!r}")

    # --- commands ---------------------------------------------------------------------------------

    async def _greet(self) -> None:
        greeting = await self._reply()
        self._at("CONNECT")
        if not (_good(greeting) and await self._struck("CONNECT")):
            await self._say(greeting)

    async def _command(self, line: bytes) -> None:
        name, _, rest = line.rstrip(b"\r\n").partition(b" ")
        verb = name.upper().decode("ascii", "replace")
        argument = rest.strip().decode("utf-8", "surrogateescape")
        self._at("EHLO" if verb == "HELO" else verb)
        match verb:
            case "EHLO" | "HELO":
                await self._on_hello(line)
            case "MAIL":
                await self._on_mail(line, argument)
            case "RCPT":
                await self._on_rcpt(line, argument)
            case "DATA":
                await self._on_data(line)
            case "BDAT":
                await self._on_chunk(line, argument)
            case "STARTTLS":
                await self._on_starttls(line)
            case "QUIT":
                await self._on_quit(line)
            case "RSET":
                await self._say(reply := await self._ask(line))
                if _good(reply):
                    self._forget()
            case _:
                await self._on_other(line)

    async def _on_hello(self, line: bytes) -> None:
        reply = await self._ask(line)
        if _good(reply):
            if await self._struck("EHLO"):
                return
            self._hello = line
            self._forget()
            if self._injector.of(*STEPS_IN):
                reply = _without(reply, HIDDEN if not self._injector.of(TlsBroken) else HIDDEN[1:])
        await self._say(reply)

    async def _on_mail(self, line: bytes, argument: str) -> None:
        reply = await self._ask(line)
        if _good(reply):
            mail = commands.mail_from(argument, extended=True, auth=True)
            self._sender = "" if isinstance(mail, Reply) else mail.sender
            if await self._struck("MAIL") or await self._full():
                self._sender = None
                await self._again()
                return
            self._mail = line
        await self._say(reply)

    async def _full(self) -> bool:
        """Whether the disk is full, by a fault; then it is said."""
        self._at("MAIL")
        here = Occasion("disk", self._peer)
        if not any(self._injector.strikes(one, here) for one in self._injector.of(DiskFull)):
            return False
        await self._say(_FULL.encode() + b"\r\n", verb="MAIL")
        return True

    async def _on_rcpt(self, line: bytes, argument: str) -> None:
        reply = await self._ask(line)
        if _good(reply):
            found = commands.rcpt_to(argument, extended=True, smtputf8=True)
            one = Recipient(argument) if isinstance(found, Reply) else found
            if await self._struck("RCPT", one.address):
                await self._again()
                return
            self._recipients.append((one, line))
        await self._say(reply)

    async def _on_data(self, line: bytes) -> None:
        if self._recipients and await self._struck("DATA"):
            return
        reply = await self._ask(line)
        await self._say(reply)
        if not reply.startswith(b"354"):
            return
        raw = await read_data(self._reader, self._limits, self._scratch, lambda _: None)
        if isinstance(raw, Reply):  # too much of it: the product does not get to hear it
            self._forget()
            await self._again()
            self._at("DOT")
            await self._say(str(raw).encode() + b"\r\n", verb="DOT")
            return
        try:
            stuffed = raw.take()[2:]
        except SpoolError as error:
            self._forget()
            await self._again()
            await self._say(str(disk_refusal(error)).encode() + b"\r\n", verb="DOT")
            return
        finally:
            raw.close()
        content = (b"\r\n" + stuffed).replace(b"\r\n.", b"\r\n")[2:]
        await self._hand_on(stuffed + b".\r\n", content)

    async def _hand_on(self, data: bytes, content: bytes) -> None:
        """Give the product a message, which is whole, and the peer its reply."""
        if await self._struck("DOT", content=content):
            self._forget()
            await self._again()
            return
        self._busy = True
        try:
            reply = await self._ask(data)
            if _good(reply) and self._faults.loses_ack():
                self._finish()
            self._forget()
            await self._say(reply)
        finally:
            self._busy = False

    async def _on_chunk(self, line: bytes, argument: str) -> None:
        """Of one that was told of CHUNKING before (RFC 3030): its chunks are kept to the last."""
        chunks = b""
        whole = b""
        while True:
            size, _, last = argument.partition(" ")
            if not (size.isascii() and size.isdigit()):
                await self._say(await self._ask(line))
                return
            if len(chunks) + int(size) > 2 * self._limits.message_size:
                raise ConnectionError("more chunks than a message may have")
            chunk = await self._reader.readexactly(int(size))
            chunks += chunk
            whole += line + chunk
            if last.strip().upper() == "LAST":
                break
            reply = await self._ask(whole)
            whole = b""
            await self._say(reply)
            if not _good(reply):
                return
            line = await self._reader.readuntil(b"\n")
            name, _, rest = line.rstrip(b"\r\n").partition(b" ")
            if name.upper() != b"BDAT":
                await self._command(line)
                return
            argument = rest.decode("utf-8", "surrogateescape")
        await self._hand_on(whole, chunks)

    async def _on_starttls(self, line: bytes) -> None:
        context = self._faults.tls(_UNUSED)
        if context is _UNUSED:
            reply = await self._ask(line)
            if _good(reply) and await self._struck("STARTTLS"):
                await self._again()
                return
            await self._say(reply)
            if _good(reply):
                await self._leave()
            return
        await self._say(b"220 2.0.0 Ready to start TLS\r\n")
        if context is None:
            await self._reader.read(1)  # the handshake has begun: cut it
            self._ends.reset()
            raise _Over
        self._reader = asyncio.StreamReader(_LINE)
        self._forget()
        async with asyncio.timeout(_HANDSHAKE):
            await self._ends.encrypt(context)

    async def _on_quit(self, line: bytes) -> None:
        await self._say(await self._ask(line))
        await self._linger(self._faults.lingers())
        self._finish()

    async def _linger(self, waits: list[Wait]) -> None:
        await self._injector.sleep(waits)

    async def _on_other(self, line: bytes) -> None:
        reply = await self._ask(line)
        while reply.startswith(b"334"):  # AUTH goes on (RFC 4954 §4)
            await self._say(reply)
            reply = await self._ask(await self._reader.readuntil(b"\n"))
        await self._say(reply)


def _good(reply: bytes) -> bool:
    return reply[:1] in (b"2", b"3")


def _without(reply: bytes, keywords: tuple[bytes, ...]) -> bytes:
    """A reply to EHLO without the lines of these keywords."""
    lines = reply.splitlines()
    kept = [one for one in lines[1:] if one[4:].split(b" ")[0].upper() not in keywords]
    kept = [lines[0], *kept]
    ends = [b"-"] * (len(kept) - 1) + [b" "]
    return b"".join(one[:3] + end + one[4:] + b"\r\n" for one, end in zip(kept, ends, strict=True))
