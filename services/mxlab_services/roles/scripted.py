"""An SMTP server that replies by a script, and keeps every byte that it is told: a test's peer.

Without a script it behaves: it takes all mail, and throws it away. Guarantee: what came and what
was said stands in the record in its order, before anybody who waits for it hears of it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from mxlab_services.clock import Clock
from mxlab_services.control.peers import PeerEvent, PeerReply, PeerScript, PeerWord
from mxlab_services.errors import ControlError

CHUNK = 64 * 1024
LONGEST_LINE = 1024 * 1024  # bytes of a command, after which a peer hears nothing more
END = b"\r\n.\r\n"
BEHAVED = {
    "CONNECT": "220 {name} ESMTP",
    "HELO": "250 {name}",
    "STARTTLS": "454 4.7.0 no TLS here",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "DOT": "250 2.0.0 taken",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


class _Ends(Exception):
    """This connection is over."""


class ScriptedServer:
    """One server on its addresses. `record` is all that happened, by number from 1."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self.record: list[PeerEvent] = []
        self.script = PeerScript()
        self._used: dict[int, int] = {}
        self._more = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._clients: set[asyncio.Task[None]] = set()
        self._places: list[tuple[str, int]] = []
        self._sessions = 0

    async def listen(self, addresses: Sequence[str], port: int) -> None:
        """Serve there. Raises OSError."""
        self._places = [(address, port) for address in addresses]
        await self._open()

    async def _open(self) -> None:
        for address, port in self._places:
            server = await asyncio.start_server(self._client, address, port, limit=LONGEST_LINE)
            self._servers.append(server)

    async def follow(self, script: PeerScript) -> None:
        """Reply by this script from now on. Raises ControlError where it cannot listen again."""
        self.script, self._used = script, {}
        if not script.listening:
            self._shut()
        elif not self._servers:
            try:
                await self._open()
            except OSError as error:
                raise ControlError(f"{self.name} cannot listen: {error}") from error

    async def since(self, after: int, seconds: float) -> list[PeerEvent]:
        """What happened after event number `after`; waits for it, so long (real seconds)."""
        if len(self.record) <= after:
            try:
                async with asyncio.timeout(seconds):
                    while len(self.record) <= after:
                        self._more.clear()
                        await self._more.wait()
            except TimeoutError:
                return []
        return self.record[after:]

    def note(self, session: int, word: PeerWord, data: bytes = b"") -> None:
        number = len(self.record) + 1
        text = data.decode("latin-1")
        self.record.append(PeerEvent(number, session, self.clock.time(), word, text))
        self._more.set()

    def reply(self, stage: str, about: str) -> PeerReply:
        """What the script says at a stage: the first rule for it that fits and has a reply left."""
        for place, rule in enumerate(self.script.rules):
            used = self._used.get(place, 0)
            if rule.stage != stage or rule.about not in about:
                continue
            if used >= len(rule.replies) and not rule.stays:
                continue
            self._used[place] = used + 1
            return rule.replies[min(used, len(rule.replies) - 1)]
        return PeerReply(self._behaved(stage))

    def _behaved(self, stage: str) -> str:
        if stage == "EHLO":
            lines = [self.name, *self.script.offers]
            return "\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])
        return BEHAVED.get(stage, "500 5.5.2 what?").format(name=self.name)

    async def close(self) -> None:
        """End all connections."""
        self._shut()
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients)

    def _shut(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        self._sessions += 1
        number = self._sessions
        self.note(number, "open", str(writer.get_extra_info("peername")[0]).encode())
        try:
            await _Dialogue(self, number, reader, writer).run()
        except (_Ends, OSError, asyncio.CancelledError):
            pass  # the peer has gone, or it was told to go, or the node stops
        finally:
            writer.close()
            self._clients.discard(task)
            self.note(number, "close")


class _Dialogue:
    """One connection: the state of its transaction, as far as replies need it."""

    def __init__(
        self,
        server: ScriptedServer,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._server, self._number = server, number
        self._reader, self._writer = reader, writer
        self._buffer = b""
        self._mail = ""
        self._taken = 0  # recipients

    async def run(self) -> None:
        await self._say("CONNECT", "")
        async for line in self._lines():
            verb = line.split(" ", 1)[0].strip().upper()
            if (verb == "RCPT" and not self._mail) or (verb == "DATA" and not self._taken):
                await self._write(PeerReply("503 5.5.1 not now"))
                continue
            code = await self._say(verb, line)
            good = code[:1] in ("2", "3")
            if verb in ("EHLO", "HELO", "RSET") and good:
                self._mail, self._taken = "", 0
            elif verb == "MAIL":
                self._mail, self._taken = line if good else "", 0
            elif verb == "RCPT":
                self._taken += good
            elif verb == "DATA" and good:
                await self._content()
            elif verb == "QUIT":
                raise _Ends

    async def _lines(self) -> AsyncIterator[str]:
        while True:
            while b"\n" not in self._buffer:
                await self._read()
            line, mark, self._buffer = self._buffer.partition(b"\n")
            self._server.note(self._number, "line", line + mark)
            yield line.rstrip(b"\r").decode("utf-8", "replace")

    async def _read(self) -> None:
        data = await self._reader.read(CHUNK)
        if not data or len(self._buffer) > LONGEST_LINE * 64:
            raise _Ends
        self._buffer += data

    async def _content(self) -> None:
        """All up to the final dot, as it came: dots stuffed, line ends as they are."""
        self._buffer = b"\r\n" + self._buffer
        while END not in self._buffer:
            await self._read()
        content, _, self._buffer = self._buffer.partition(END)
        self._server.note(self._number, "content", content.removeprefix(b"\r\n") + b"\r\n")
        await self._say("DOT", self._mail)
        self._mail, self._taken = "", 0

    async def _say(self, stage: str, line: str) -> str:
        reply = self._server.reply(stage, f"{self._mail} {line}")
        await self._write(reply)
        return reply.text

    async def _write(self, reply: PeerReply) -> None:
        if reply.wait:
            await self._listen(reply.wait)
        if reply.text:
            data = reply.text.replace("\n", "\r\n").encode("latin-1") + b"\r\n"
            self._server.note(self._number, "reply", data)
            await self._send(data, reply.pieces)
        if reply.then in ("cut", "reset"):
            self._server.note(self._number, "cut")
        match reply.then:
            case "cut":
                raise _Ends
            case "reset":
                self._writer.transport.abort()
                raise _Ends
            case "silence":
                while True:
                    await self._read()

    async def _listen(self, seconds: float) -> None:
        """Wait so long; what comes meanwhile came before its time."""
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    await self._read()
        except TimeoutError:
            if self._buffer:
                self._server.note(self._number, "early", self._buffer)

    async def _send(self, data: bytes, pieces: int) -> None:
        """All of it, in pieces of so many bytes (0: whole), each on its way before the next."""
        step = pieces or len(data)
        for start in range(0, len(data), step):
            self._writer.write(data[start : start + step])
            await self._writer.drain()
            if pieces:
                await asyncio.sleep(0.01)  # so that TCP does not join them
