"""A small SMTP server on loopback that keeps every rule, but for those that a test has it break.

`says` maps a pattern of command lines to the reply in their place: text, or `cut` (close),
`silence`, or what a function makes of the line; the state stays as it was. The content that it took
can be looked at, as at a server whose mail can be seen to arrive.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from mxlab.conform.server import TestedServer

OFFERS = (
    "PIPELINING", "SIZE 200000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "HELP"
)  # fmt: skip
_PATH = re.compile(r'<(?:@[a-z.@,]+:)?("[^"]+"|[^\s<>@"]+)(?:@([a-z0-9.-]+|\[[0-9.]+\]))?>', re.I)
_PARAMETERS = re.compile(
    r"( (SIZE=\d+|BODY=8BITMIME|BODY=7BIT|SMTPUTF8|RET=HDRS|ENVID=\w+|NOTIFY=[A-Z]+))*"
)


def traced(content: bytes, word: str) -> bytes | None:
    """With the field of this hop."""
    head = f"Received: from a by rogue.test with {word} id 1; Fri, 27 Nov 2026 12:00:00 +0000\r\n"
    return head.encode() + content


@dataclass
class Mailbox:
    """What a RogueServer filed, as it lies in a mailbox."""

    rogue: "RogueServer"

    async def arrived(self, token: str) -> bytes | None:
        found = await self.rogue.arrived(token)
        return None if found is None else self.rogue.return_path + found

    def there(self, token: str) -> bool:
        return self.rogue.there(token)


@dataclass
class RogueServer:
    """Fields are what it does; `contents` are the messages that it took, their dots unstuffed."""

    greeting: str = "220 rogue.test ESMTP"
    says: Mapping[str, str] = field(default_factory=dict)
    offers: tuple[str, ...] = OFFERS
    ends: tuple[bytes, ...] = (b"\r\n.\r\n",)
    strict: bool = True  # refuses bare CR and LF, lines too long, too many hops, too much
    dot: str = "250 2.0.0 taken"
    dots: list[str] = field(default_factory=list)  # replies to the first dots, in the place of it
    passes: Callable[[bytes, str], bytes | None] = traced  # what becomes of content; None: lost
    return_path: bytes = b"Return-Path: <alice@client.test>\r\n"
    ehlo_resets: bool = True
    rcpt_after_refusal: bool = True
    needs_mail: bool = True
    packets: bool = False  # each packet is a command, whole or not
    line_end: str = "\r\n"
    idle: float | None = None
    told: float | None = None  # how long it was told to wait for a silent client
    most: int = 1000
    beyond: str = "452 4.5.3 too many"
    nested: bool = False
    keeps_pieces: bool = False
    tls: ssl.SSLContext | None = None
    keeps_injected: bool = False
    domains: tuple[str, ...] = ("example.test", "[127.0.0.1]")  # of any other it takes nothing
    open: bool = False  # whether it knows no users, and takes all
    relay: Callable[[str, list[str], bytes], None] | None = None  # told of each message
    contents: list[bytes] = field(default_factory=list)
    port: int = 0

    async def arrived(self, token: str) -> bytes | None:
        return next((one for one in self.contents if token.encode() in one), None)

    def there(self, token: str) -> bool:
        return any(token.encode() in one for one in self.contents)

    def subject(self) -> TestedServer:
        """How the rules see it."""
        return TestedServer(
            "127.0.0.1", self.port, "bob@example.test", "nobody@example.test",
            relayed="bob@example.test", sight=self, mailbox=Mailbox(self), address="127.0.0.1",
            trusted=False, seconds=0.5, idle=self.told,
        )  # fmt: skip


class _Leave(Exception):
    """The connection ends."""


class _Session:
    def __init__(
        self, rogue: RogueServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._rogue, self._reader, self._writer = rogue, reader, writer
        self._buffer = b""
        self._helo = self._mail = ""
        self._rcpts: list[str] = []
        self._refused = False
        self._word = "SMTP"
        self._encrypted = False

    async def run(self) -> None:
        self._say(self._rogue.greeting)
        while True:
            line = await self._line()
            for pattern, reply in self._rogue.says.items():
                if re.match(pattern, line, re.DOTALL):
                    self._say(reply)
                    break
            else:
                await self._obey(line)

    def _say(self, reply: str) -> None:
        if reply == "cut":
            raise _Leave
        if reply != "silence":
            self._writer.write((reply + "\n").replace("\n", self._rogue.line_end).encode())

    async def _more(self) -> None:
        try:
            async with asyncio.timeout(self._rogue.idle):
                data = await self._reader.read(2**20)
        except TimeoutError:
            self._say("421 4.4.2 idle")
            raise _Leave from None
        if not data:
            raise _Leave
        self._buffer += data

    async def _line(self) -> str:
        if self._rogue.packets:
            await self._more()
            line, self._buffer = self._buffer, b""
            return line.decode().removesuffix("\r\n")
        while b"\r\n" not in self._buffer:
            await self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode("utf-8", "replace")

    async def _obey(self, line: str) -> None:
        verb, _, rest = line.strip(" ").partition(" ")
        method = getattr(self, f"on_{verb.lower()}", None)
        if len(line) > 3000 or (method is None and verb.upper() != "DATA"):
            self._say("500 5.5.2 what?")
        elif method is None:
            await self._data()
        elif verb.upper() == "STARTTLS" and self._rogue.tls is not None:
            await self._start_tls(self._rogue.tls)
        else:
            self._say(method(rest))
            if verb.upper() == "QUIT":
                raise _Leave

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        self._say("220 2.0.0 go")
        if not self._rogue.keeps_injected:
            self._buffer = b""
        self._helo = ""
        self.on_rset("")
        self._encrypted = True
        await self._writer.start_tls(context)

    def on_starttls(self, _: str) -> str:
        return "454 4.7.0 no TLS"

    def on_ehlo(self, rest: str) -> str:
        if not rest:
            return "501 5.5.4 who?"
        self._helo, self._word = rest, "ESMTP"
        if self._rogue.ehlo_resets:
            self.on_rset("")
        offers = [o for o in self._rogue.offers if o != "STARTTLS" or not self._encrypted]
        lines = ["rogue.test", *offers]
        return "\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    def on_helo(self, rest: str) -> str:
        self._helo, self._word = rest, "SMTP"
        return "250 rogue.test"

    def on_rset(self, rest: str) -> str:
        if rest:
            return "501 5.5.4 RSET alone"
        self._mail, self._rcpts, self._refused = "", [], False
        return "250 2.0.0 ok"

    def on_noop(self, _: str) -> str:
        return "250 2.0.0 ok"

    def on_vrfy(self, _: str) -> str:
        return "252 2.0.0 perhaps"

    def on_help(self, _: str) -> str:
        return "214 2.0.0 read the RFC"

    def on_quit(self, _: str) -> str:
        return "221 2.0.0 bye"

    def on_mail(self, rest: str) -> str:
        if not self._helo or (self._mail and not self._rogue.nested):
            return "503 5.5.1 not now"
        if re.fullmatch("FROM:<>", rest, re.IGNORECASE):
            self._mail = rest
            return "250 2.1.0 ok"
        found = _PATH.match(rest.partition(":")[2])
        if found is None:
            return "501 5.1.7 no path"
        parameters = rest.partition(":")[2][found.end() :]
        if re.search("SIZE=(?!\\d)|BODY=9", parameters):
            return "501 5.5.4 a bad value"
        if not _PARAMETERS.fullmatch(parameters):
            return "555 5.5.4 unknown parameter"
        if (size := re.search(r"SIZE=(\d+)", parameters)) and int(size[1]) > 200_000:
            return "552 5.3.4 too large"
        if not found[0].isascii() and "SMTPUTF8" not in parameters:
            return "553 5.6.7 no UTF-8"
        self._mail = rest
        return "250 2.1.0 ok"

    def on_rcpt(self, rest: str) -> str:
        if not self._mail:
            return "503 5.5.1 MAIL first"
        if self._refused and not self._rogue.rcpt_after_refusal:
            return "503 5.5.1 no more"
        found = _PATH.match(rest.partition(":")[2])
        if found is None or ".." in rest or "<." in rest:
            return "501 5.1.3 no path"
        if len(rest) > 320:
            return "501 5.1.3 too long"
        if re.search("NOTIFY=NEVER,", rest):
            return "501 5.5.4 a bad value"
        user, domain = found[1].strip('"').lower(), (found[2] or "example.test").lower()
        if domain not in self._rogue.domains:
            return "550 5.7.1 no relay"
        if user not in ("bob", "postmaster") and not self._rogue.open:
            self._refused = True
            return "550 5.1.1 nobody"
        if len(self._rcpts) >= self._rogue.most:
            return self._rogue.beyond
        self._rcpts.append(rest)
        return "250 2.1.5 ok"

    async def _data(self) -> None:
        if not self._rcpts and self._rogue.needs_mail:
            return self._say("503 5.5.1 RCPT first")
        self._say("354 go on")
        content = await self._content()
        self._say(self._judged(content))
        self.on_rset("")
        return None

    async def _content(self) -> bytes:
        self._buffer = b"\r\n" + self._buffer
        while not (ends := [end for end in self._rogue.ends if end in self._buffer]):
            try:
                await self._more()
            except _Leave:
                if self._rogue.keeps_pieces:
                    self._rogue.contents.append(self._buffer)
                raise
        end = min(ends, key=self._buffer.index)
        content, _, self._buffer = self._buffer.partition(end)
        return (content.replace(b"\r\n.", b"\r\n") + b"\r\n").removeprefix(b"\r\n")

    def _judged(self, content: bytes) -> str:
        rogue = self._rogue
        if rogue.dots:
            return rogue.dots.pop(0)
        if rogue.strict:
            if b"\n" in content.replace(b"\r\n", b"") or b"\r" in content.replace(b"\r\n", b""):
                return "550 5.5.2 bare CR or LF"
            if max(map(len, content.split(b"\r\n"))) > 998:
                return "550 5.6.0 a line too long"
            if content.count(b"Received:") > 100:
                return "554 5.4.6 a loop"
            if len(content) > 200_000:
                return "552 5.3.4 too large"
        passed = rogue.passes(content, self._word)
        if rogue.dot.startswith("250") and passed is not None:
            rogue.contents.append(passed)
            if rogue.relay is not None:
                rogue.relay(self._mail, self._rcpts, passed)
        return rogue.dot


@contextlib.asynccontextmanager
async def serving(rogue: RogueServer) -> AsyncIterator[RogueServer]:
    """Let it serve on a port of its own."""
    tasks: set[asyncio.Task[None]] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _Session(rogue, reader, writer).run()
        except (_Leave, OSError, asyncio.CancelledError):
            pass  # the session is over
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    rogue.port = server.sockets[0].getsockname()[1]
    try:
        yield rogue
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
