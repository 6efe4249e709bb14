"""Listens to an SMTP conversation that goes by: commands, replies, content. It changes nothing.

Guarantee: whatever goes by, what is kept is bounded; what cannot be followed (TLS, AUTH, rubbish)
makes it deaf for the rest of that conversation, and nothing is told that was not heard.
"""

import asyncio
import re
from collections import deque

from msgspec import Struct

from mxlab_services.message import Recipient
from mxlab_services.products.hearing import Content, Digesting, Heard, Hearing
from mxlab_services.queue.dsn import is_silent
from mxlab_services.reply import Reply
from mxlab_services.smtp import commands

_MOST = 64 * 1024  # bytes of a line, or of what waits for a reply to DATA
_OUTSTANDING = 5000  # commands whose replies have not come
_DOT = b"\r\n.\r\n"
_REPLY = re.compile(rb"\d{3}([ -]|\r?$)")


class ReplyLines:
    """Cuts what a server says into replies, each with all its lines."""

    def __init__(self) -> None:
        self._half = b""
        self._reply = b""

    @property
    def begun(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._half or self._reply)

    def feed(self, data: bytes) -> list[bytes]:
        """The replies that are whole by now. Raises ValueError for what is none."""
        *lines, self._half = (self._half + data).split(b"\n")
        found = []
        for line in lines:
            if not (end := _REPLY.match(line)):
                raise ValueError(f"no reply: {line[:80]!r}")
            self._reply += line + b"\n"
            if end[1] != b"-":
                found.append(self._reply)
                self._reply = b""
        if len(self._half) + len(self._reply) > _MOST:
            raise ValueError("a reply without an end")
        return found


class Said(Struct, frozen=True):
    """The commands of a peer that were answered with yes and hold still, as lines; `sender` is None
    outside a transaction."""

    hello: bytes = b""
    mail: bytes = b""
    sender: str | None = None
    recipients: tuple[tuple[Recipient, bytes], ...] = ()


class _Command(Struct, frozen=True):
    verb: str
    argument: str = ""
    line: bytes = b""
    content: Content | None = None  # of DOT, and of the last BDAT (RFC 3030)


class Conversation:
    """One conversation, between `peer` (an IP address) and a product."""

    def __init__(self, peer: str, hearing: Hearing) -> None:
        self._peer = peer
        self._hearing = hearing
        self._deaf = False
        self._awaited = deque([_Command("CONNECT")])  # whose replies have not come
        self._client = bytearray()
        self._replies = ReplyLines()
        self._data: _Data | None = None
        self._chunk = 0  # bytes that are left of a BDAT
        self._last = False  # it is the last one
        self._chunks: Digesting | None = None
        self._undecided: asyncio.Future[None] | None = None
        self._helo, self._hello, self._extended = "", b"", False
        self._forget()

    @property
    def said(self) -> "Said":
        """What holds of all that the peer said."""
        sender = None if self._mail is None else self._mail.sender
        return Said(self._hello, self._mail_line, sender, tuple(self._recipients))

    @property
    def deaf(self) -> bool:
        """Whether what goes by is not understood any more."""
        return self._deaf

    @property
    def at_rest(self) -> bool:
        """Whether all that was said has its answer, and nothing is half said."""
        busy = self._awaited or self._client or self._replies.begun or self._chunk
        return not (self._deaf or busy or self._data or self._chunks)

    def client(self, data: bytes) -> None:
        """The client said this."""
        if not self._deaf:
            self._client += data
            self._read_client()

    def server(self, data: bytes) -> None:
        """The product said this."""
        try:
            replies = [] if self._deaf else self._replies.feed(data)
        except ValueError:
            self.stop()
            return
        for reply in replies:
            if self._awaited and not self._deaf:  # else it is said unasked: that time is up
                self._answered(self._awaited.popleft(), int(reply[:3]), _text(reply))
                self._read_client()

    def stop(self) -> None:
        """The conversation is over, or goes on unheard."""
        self._deaf = True
        self._client.clear()
        self._awaited.clear()
        self._data = self._chunks = None
        self._decided()

    def _forget(self) -> None:
        self._mail: commands.MailFrom | None = None
        self._mail_line = b""
        self._recipients: list[tuple[Recipient, bytes]] = []
        self._chunks = None

    # --- what the client says ---------------------------------------------------------------------

    def _read_client(self) -> None:
        while self._client and not self._deaf:
            if self._chunk:
                self._take_chunk()
            elif self._data is not None:
                self._take_data()
            elif self._awaited and self._awaited[-1].verb in ("DATA", "STARTTLS", "AUTH"):
                break  # what follows depends on the reply
            elif (end := self._client.find(b"\n")) >= 0:
                line = bytes(self._client[:end])
                del self._client[: end + 1]
                self._command(line)
            else:
                break
        if len(self._client) > _MOST or len(self._awaited) > _OUTSTANDING:
            self.stop()

    def _command(self, line: bytes) -> None:
        name, _, rest = line.removesuffix(b"\r").partition(b" ")
        argument = rest.strip().decode("utf-8", "surrogateescape")
        verb = name.upper().decode("ascii", "replace")
        if verb != "BDAT":
            self._awaited.append(_Command(verb, argument, line + b"\n"))
            return
        size, _, last = argument.partition(" ")
        if not (size.isascii() and size.isdigit()):
            self.stop()
            return
        self._chunks = self._chunks or Digesting()
        self._chunk, self._last = int(size), last.strip().upper() == "LAST"
        if not self._chunk:
            self._end_chunk()

    def _take_chunk(self) -> None:
        part = bytes(self._client[: self._chunk])
        del self._client[: self._chunk]
        self._chunk -= len(part)
        if self._chunks is not None:
            self._chunks.feed(part)
        if not self._chunk:
            self._end_chunk()

    def _end_chunk(self) -> None:
        content = None
        if self._last and self._chunks is not None:
            content, self._chunks = self._chunks.end(), None
            self._undecided = self._undecided or self._hearing.undecided()
        self._awaited.append(_Command("BDAT", content=content))

    def _take_data(self) -> None:
        assert self._data is not None
        data = bytes(self._client)
        self._client.clear()
        rest = self._data.feed(data)
        if rest is not None:
            self._client += rest
            self._awaited.append(_Command("DOT", content=self._data.digesting.end()))
            self._data = None
            self._undecided = self._undecided or self._hearing.undecided()

    # --- what the product says --------------------------------------------------------------------

    def _answered(self, command: _Command, code: int, text: str) -> None:
        good = 200 <= code < 400
        match command.verb:
            case "STARTTLS" if good:
                self.stop()
            case "AUTH" if good:
                self.stop()
            case "HELO" | "EHLO" if good:
                self._hello = command.line
                self._helo = commands.host_name(command.argument)
                self._extended = command.verb == "EHLO"
                self._forget()
            case "RSET" if good:
                self._forget()
            case "MAIL" if good:
                mail = commands.mail_from(command.argument, extended=True, auth=True)
                self._mail = None if isinstance(mail, Reply) else mail
                self._mail_line = command.line
                self._recipients.clear()
            case "RCPT" if good:
                one = commands.rcpt_to(command.argument, extended=True, smtputf8=True)
                if not isinstance(one, Reply):
                    self._recipients.append((one, command.line))
            case "DATA" if code == 354:
                self._data = _Data()
            case "DOT" | "BDAT":
                self._taken(command, text, good=good)

    def _taken(self, command: _Command, text: str, *, good: bool) -> None:
        if command.content is None and good:
            return
        if command.content is not None and good and self._mail is not None:
            word = "ESMTP" if self._extended else "SMTP"
            heard = Heard(
                sender=self._mail.sender,
                recipients=tuple(one.address for one, _ in self._recipients),
                content=command.content,
                peer=self._peer,
                helo=self._helo,
                protocol="UTF8SMTP" if self._mail.smtputf8 else word,
                silent=tuple(one.address for one, _ in self._recipients if is_silent(one)),
            )
            self._hearing.tell(text, heard)
        self._decided()
        self._forget()

    def _decided(self) -> None:
        if self._undecided is not None and not self._undecided.done():
            self._undecided.set_result(None)
        self._undecided = None


def _text(reply: bytes) -> str:
    return " ".join(line[4:].decode("utf-8", "replace") for line in reply.splitlines())


class _Data:
    """The content after DATA, up to its final dot."""

    def __init__(self) -> None:
        self.digesting = Digesting()
        self._kept = b""  # may be the beginning of the end
        self._before = b"\r\n"  # the two bytes before it; at first, the end of the DATA line

    def feed(self, data: bytes) -> bytes | None:
        """Take what came; what follows the final dot, or None before it."""
        data = self._kept + data
        end = (self._before + data).find(_DOT)
        if end >= 0:  # `end` counts from the two bytes before
            self._pass(data[:end])
            return data[end + len(_DOT) - 2 :]
        cut = max(0, len(data) - (len(_DOT) - 1))
        self._pass(data[:cut])
        self._kept = data[cut:]
        return None

    def _pass(self, part: bytes) -> None:
        whole = self._before + part
        self.digesting.feed(whole.replace(b"\r\n.", b"\r\n")[2:])
        self._before = whole[-2:]
