"""A client of SMTP that speaks bytes: what a rule asks about is sent as it stands.

Guarantee: no server can hold it. Every reply has a deadline for the whole of it, and a bound on its
length; what is no reply is told as such.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from mxlab.conform.rule import Obstacle

REPLY_SECONDS = 10.0  # real seconds for one reply, from its question to its end
MOST_BYTES = 64 * 1024  # of one reply
_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}\b")
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)

End = Literal["", "closed", "silent", "garbled"]


@dataclass(frozen=True, slots=True)
class ReplySeen:
    """A reply of the server (RFC 5321 §4.2): its code and the text of each line. With code 0 there
    was none: `end` says how that showed. `faults` are offences against the form of replies."""

    code: int
    lines: tuple[str, ...] = ()
    end: End = ""
    faults: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return 200 <= self.code < 400

    @property
    def refused(self) -> bool:
        """A permanent no."""
        return 500 <= self.code < 600

    @property
    def enhanced(self) -> str:
        """The enhanced code of the first line (RFC 3463), or nothing."""
        found = _ENHANCED.match(self.lines[0]) if self.lines else None
        return found[0] if found else ""

    def __str__(self) -> str:
        if not self.code:
            words = {"closed": "the connection closed", "silent": "no reply in time"}
            return words.get(self.end, f"no reply, but {' '.join(self.lines)[:60]!r}")
        text = self.lines[0] if self.lines else ""
        return f"{self.code} {text}".strip()[:90]


class Talk:
    """One connection to the server. `said` are all its replies, in order."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
    ) -> None:
        self._reader, self._writer = reader, writer
        self.seconds = seconds
        self.said: list[ReplySeen] = []
        self.offers: dict[str, str] = {}

    async def say(self, data: bytes) -> None:
        """Send bytes. A server that has gone is told by the next reply."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self.seconds):
                self._writer.write(data)
                await self._writer.drain()

    async def read(self, seconds: float | None = None) -> ReplySeen:
        """The next reply, or how there was none."""
        got = bytearray()
        try:
            async with asyncio.timeout(self.seconds if seconds is None else seconds):
                answer = await self._reply(got)
        except TimeoutError:
            answer = ReplySeen(0, (_text(bytes(got)),), "silent")
        except (OSError, asyncio.IncompleteReadError):
            answer = ReplySeen(0, (_text(bytes(got)),), "closed")
        except asyncio.LimitOverrunError:
            answer = ReplySeen(0, ("a line without an end",), "garbled")
        self.said.append(answer)
        return answer

    async def _reply(self, got: bytearray) -> ReplySeen:
        lines: list[str] = []
        faults: list[str] = []
        first = 0
        while True:
            line = await self._reader.readuntil(b"\n")
            got += line
            found = _LINE.fullmatch(line.rstrip(b"\r\n"))
            if found is None or len(got) > MOST_BYTES:
                return ReplySeen(0, (_text(line),), "garbled")
            code = int(found[1])
            if not line.endswith(b"\r\n"):
                faults.append("a line of a reply ends with a bare LF")
            if not line.isascii():
                faults.append("a reply is not ASCII")
            if first and code != first:
                faults.append(f"the lines of a reply have the codes {first} and {code}")
            first = first or code
            lines.append(_text(found[3] or b""))
            if found[2] != b"-":
                return ReplySeen(first, tuple(lines), faults=tuple(dict.fromkeys(faults)))

    async def ask(self, line: str | bytes, seconds: float | None = None) -> ReplySeen:
        """Send a command, and read the reply to it."""
        await self.say((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.read(seconds)

    async def must(self, line: str | bytes) -> ReplySeen:
        """The same for what leads to the question only. Raises Obstacle where it is refused."""
        answer = await self.ask(line)
        if not answer.good:
            shown = line if isinstance(line, str) else line.decode("latin-1")
            raise Obstacle(f"{shown[:60]}: {answer}")
        return answer

    async def greeted(self) -> None:
        """Read the greeting. Raises Obstacle."""
        greeting = await self.read()
        if greeting.code != 220:
            raise Obstacle(f"greeting: {greeting}")

    async def ehlo(self, name: str) -> None:
        """Say EHLO and note what is offered. Raises Obstacle."""
        self.note_offers(await self.must(f"EHLO {name}"))

    def note_offers(self, answer: ReplySeen) -> None:
        words = (line.partition(" ") for line in answer.lines[1:])
        self.offers = {word.upper(): rest for word, _, rest in words}

    async def rest(self) -> list[ReplySeen]:
        """All further replies until the server closes, or says nothing more in time."""
        answers: list[ReplySeen] = []
        while len(answers) < 1000:
            answer = await self.read()
            if not answer.code:
                break
            answers.append(answer)
        return answers

    async def start_tls(self) -> None:
        """The handshake, after 220 to STARTTLS; any certificate will do. Raises Obstacle."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            async with asyncio.timeout(self.seconds):
                await self._writer.start_tls(context)
        except (OSError, TimeoutError) as error:
            why = str(error) or "no end in time"
            raise Obstacle(f"the TLS handshake fails: {why}") from error

    def abort(self) -> None:
        """Let go of the connection at once."""
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(host: str, port: int, seconds: float = REPLY_SECONDS) -> AsyncIterator[Talk]:
    """A connection, nothing read yet. Raises Obstacle."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port, limit=MOST_BYTES)
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or "no answer in time"
        raise Obstacle(f"no connection to {host} port {port}: {why}") from error
    talk = Talk(reader, writer, seconds)
    try:
        yield talk
    finally:
        talk.abort()


def _text(data: bytes) -> str:
    return data.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
