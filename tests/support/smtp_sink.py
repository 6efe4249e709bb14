"""An SMTP server that misbehaves on command, and records what it was told.

A script gives the replies to a verb in order, across connections; after the last one, and for
other verbs, the sink behaves. Verbs: greeting, EHLO, HELO, STARTTLS, MAIL, RCPT, DATA, content,
dot, QUIT.
Each reply goes out as the pieces that `cut(verb, bytes)` makes of it, `PAUSE` seconds of the loop's
time between two of them: for the simulation, where a pause is a pause and costs nothing.
A reply is text, or cut (close), reset (RST), hang (say nothing more), or text and then one of them
after a bar: `421 bye|cut`.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Cut = Callable[[str, bytes], Sequence[bytes]]
PAUSE = 0.2  # seconds between two pieces of a reply
PLAIN = ("PIPELINING", "8BITMIME", "SIZE 1000000")
_DEFAULT = {
    "greeting": "220 sink.test ESMTP",
    "HELO": "250 sink.test",
    "STARTTLS": "220 go ahead",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 end with a dot",
    "content": "",
    "QUIT": "221 2.0.0 bye",
    "RSET": "250 2.0.0 ok",
}


@dataclass
class Received:
    """One message that got 250."""

    mail: str
    rcpts: list[str]
    content: bytes
    connection: int


@dataclass
class _Transaction:
    mail: str = ""
    rcpts: list[str] = field(default_factory=list)


class _Ended(Exception):
    """This connection is over."""


class Sink:
    """One server. `lines` holds (connection number, command line)."""

    def __init__(
        self,
        script: Mapping[str, Sequence[str]] | None = None,
        *,
        extensions: Sequence[str] = PLAIN,
        tls: ssl.SSLContext | None = None,
        cut: Cut = lambda _, reply: [reply],
    ) -> None:
        self._script = {verb: list(replies) for verb, replies in (script or {}).items()}
        self._extensions = extensions
        self._tls = tls
        self._cut = cut
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self.released = asyncio.Event()  # lets go of the clients that hang
        self.hanging = asyncio.Event()  # a client is hung
        self.address = ""
        self.port = 0
        self.connections = 0
        self.peers: list[str] = []
        self.lines: list[tuple[int, str]] = []
        self.received: list[Received] = []

    def script(self, verb: str, *replies: str) -> None:
        self._script[verb] = list(replies)

    async def start(self, address: str, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._client, address, port, limit=2**20)
        self.address, self.port = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        self.released.set()
        if self._server is not None:
            self._server.close()
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients)

    def commands(self, verb: str = "") -> list[str]:
        return [line for _, line in self.lines if line.upper().startswith(verb)]

    async def all_closed(self) -> None:
        """Wait until every client has gone."""
        while self._clients:
            await asyncio.wait(self._clients)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        self.connections += 1
        self.peers.append(writer.get_extra_info("peername")[0])
        try:
            await self._session(reader, writer, self.connections)
        except (_Ended, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or `stop` ended it
        finally:
            writer.close()
            self._clients.discard(task)

    async def _session(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        await self._say(writer, "greeting")
        now = _Transaction()
        while True:
            line = (await reader.readuntil(b"\r\n"))[:-2].decode()
            self.lines.append((number, line))
            verb = line.split(" ")[0].upper()
            match verb:
                case "EHLO":
                    await self._say(writer, verb)
                case "STARTTLS":
                    said = await self._say(writer, verb)
                    if said.startswith("220") and self._tls is not None:
                        await writer.start_tls(self._tls)
                case "MAIL":
                    said = await self._say(writer, verb)
                    now = _Transaction(line if said.startswith("250") else "")
                case "RCPT":
                    if (await self._say(writer, verb)).startswith("25"):
                        now.rcpts.append(line)
                case "DATA":
                    if not (now.mail and now.rcpts) and verb not in self._script:
                        await self._write(writer, verb, "503 5.5.1 no valid recipients")
                    elif (await self._say(writer, verb)).startswith("354"):
                        await self._content(reader, writer, now, number)
                        now = _Transaction()
                case "QUIT":
                    await self._say(writer, verb)
                    return
                case _:
                    await self._say(writer, verb)

    async def _content(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        now: _Transaction,
        number: int,
    ) -> None:
        await self._say(writer, "content")
        content = []
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            content.append(line[1:] if line.startswith(b".") else line)
        said = await self._say(writer, "dot")
        if said.startswith("250"):
            self.received.append(Received(now.mail, now.rcpts, b"".join(content), number))

    async def _say(self, writer: asyncio.StreamWriter, verb: str) -> str:
        replies = self._script.get(verb)
        text, _, action = (replies.pop(0) if replies else self._default(verb)).partition("|")
        if text in ("cut", "reset", "hang"):
            text, action = "", text
        if text:
            await self._write(writer, verb, text)
        match action:
            case "cut":
                raise _Ended
            case "reset":
                writer.transport.abort()
                raise _Ended
            case "hang":
                self.hanging.set()
                await self.released.wait()
                raise _Ended
        return text

    def _default(self, verb: str) -> str:
        if verb == "EHLO":
            lines = ["sink.test greets you", *self._extensions]
            return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])
        if verb == "dot":
            return f"250 2.0.0 Ok: queued as 4Q{len(self.received)}Z"
        return _DEFAULT.get(verb, "500 5.5.2 what?")

    async def _write(self, writer: asyncio.StreamWriter, verb: str, text: str) -> None:
        reply = text.encode("utf-8", "surrogateescape") + b"\r\n"
        for number, piece in enumerate(self._cut(verb, reply)):
            if number:
                await asyncio.sleep(PAUSE)
            writer.write(piece)
            await writer.drain()
