"""One SMTP connection as a sender holds it: commands out, replies in, in order.

Replies are queued, so that commands can be pipelined (RFC 2920). That no reply came is a value too:
a Reply with code 0 whose text says why. Then the connection is of no more use, and every later
reply is the same.
"""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Sequence
from typing import cast

from mxlab_services.reply import Reply
from mxlab_services.smtp.client.aiosmtplib_adapter import ReplyProtocol, SMTPResponse
from mxlab_services.smtp.client.dialog import Dialog

BLOCK = 64 * 1024  # bytes of message data written before waiting for the peer to take them
_MAX_UNREAD = 10_000  # replies; a peer that sends more than was asked for is cut off
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:[ \t]+|$)")


class ClientSession(ReplyProtocol):
    """A connection to `peer` (how it is named in replies and logs).

    `dialog` collects the conversation, a line each. `extensions` are the peer's, keywords in lower
    case; `used` counts the messages taken.
    """

    def __init__(self, buffer: memoryview, peer: str, dialog: Dialog) -> None:
        super().__init__(buffer)
        self.peer = peer
        self.dialog = dialog
        self.extensions: dict[str, str] = {}
        self.used = 0
        self.lost = False
        self._unread: deque[SMTPResponse] = deque()
        self._awaited: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        """Open, in step, and nothing said unasked (421 as a server leaves)."""
        return not (self.trouble or self._unread or self.partly_read) and self.is_connected

    # --- commands and replies --------------------------------------------------------------------

    def send(self, commands: Sequence[str]) -> None:
        """Write commands at once. On a lost connection nothing is sent; `reply` tells."""
        if self.is_connected:
            self.dialog += [f"C: {command}" for command in commands]
            self.write("".join(f"{command}\r\n" for command in commands).encode())

    def send_secret(self, line: str, shown: str) -> None:
        """Write one line, as `send` does; in the dialog stands `shown`."""
        if self.is_connected:
            self.dialog.append(f"C: {shown}")
            self.write(f"{line}\r\n".encode())

    async def send_content(self, content: bytes, within: float) -> bool:
        """Write the message and the final dot, dots stuffed (RFC 5321 §4.5.2).

        `within`: real seconds for the peer to take a block. False: the connection was lost, or
        the peer stopped reading, before the dot was written.
        """
        data = content if content.endswith(b"\r\n") else content + b"\r\n"
        data = data.replace(b"\r\n.", b"\r\n..")
        if data.startswith(b"."):
            data = b"." + data
        self.dialog.append(f"C: <message, {len(content)} bytes>")
        for start in range(0, len(data), BLOCK):
            block = data[start : start + BLOCK]
            last = start + BLOCK >= len(data)
            if not self.is_connected:
                return False
            self.write(block + b".\r\n" if last else block)
            if not last and not await self._drained(within):
                return False
        self.dialog.append("C: .")
        return True

    async def reply(self, within: float, to: str) -> Reply:
        """The next reply. `within` in real seconds; `to` names what it answers."""
        response = await self.response(within)
        return self.silence(to) if response is None else as_reply(response)

    def silence(self, to: str) -> Reply:
        """What stands for a reply to `to` where none could be read."""
        return Reply(0, "4.4.2", f"{self.trouble} with {self.peer} after {to}")

    async def response(self, within: float) -> SMTPResponse | None:
        """The next reply as its lines, or None.

        A reply is there once its last line is (RFC 5321 §4.2.1), in however many pieces it came;
        `within` is for all of it.
        """
        if not self._unread and not self.trouble:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(within, self._break, f"no reply within {within:g} s")
            try:
                while not self._unread and not self.trouble:
                    self._awaited = loop.create_future()
                    await self._awaited
            finally:
                timer.cancel()
                self._awaited = None
        if not self._unread:
            self.dialog.append(f"S: <{self.trouble}>")
            return None
        response = _printable(self._unread.popleft())
        self.dialog += reply_lines(response)
        return response

    async def upgrade(self, context: ssl.SSLContext, name: str, within: float) -> str:
        """STARTTLS (RFC 3207). Returns why there is no TLS, or an empty string.

        `usable` tells whether the conversation can go on in plain text.
        """
        self.dialog.append("C: STARTTLS")
        why, said_no = await self.secure(context, name, within)
        if why and not said_no:
            self._break(f"TLS failed: {why}")
            self.abort()
        if why:
            return why
        self._unread.clear()  # replies that came before TLS may be forged (RFC 3207 §6)
        self.note_tls(name)
        return ""

    def note_tls(self, name: str) -> None:
        """Say in the dialog that TLS has begun."""
        tls = cast(
            "ssl.SSLObject", cast("asyncio.Transport", self.transport).get_extra_info("ssl_object")
        )
        self.dialog.append(f"C: <{tls.version()} with {name}, certificate verified>")

    def note_ports(self) -> None:
        """Say in the dialog over which connection it goes."""
        assert self.transport is not None
        ends = map(self.transport.get_extra_info, ("sockname", "peername"))
        own, theirs = (end[1] if end else 0 for end in ends)
        self.dialog.over(own, theirs)

    async def quit(self, within: float) -> None:
        """Wait for the reply to QUIT, which the caller has sent if it could be, and close."""
        answered = False
        try:
            answered = not self.trouble and await self.response(within) is not None
        finally:
            if answered:
                self.close()
            else:  # nobody there with whom to close in good order
                self.abort()

    def close(self) -> None:
        """Close once what was written is sent."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is not None:
            cast("asyncio.WriteTransport", self.transport).abort()

    # --- the protocol's callbacks ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            for response in self.replies(data):
                self._unread.append(response)
            if len(self._unread) > _MAX_UNREAD:
                raise ValueError("reply without end")
        except ValueError as error:
            self._break(str(error))
            self.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost = True
        if isinstance(exc, ConnectionError):
            self.dialog.was_reset()
        self._break("lost connection")

    async def _drained(self, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                await self.drained()
        except TimeoutError:
            self._break(f"data not taken within {within:g} s")
        return not self.trouble

    def _break(self, trouble: str) -> None:
        self.trouble = self.trouble or trouble
        self._wake()

    def _wake(self) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)


def _printable(response: SMTPResponse) -> SMTPResponse:
    """The reply with what no terminal or JSON text should get replaced by question marks."""
    if response.message.isprintable():
        return response
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in response.message)
    return SMTPResponse(response.code, shown)


def as_reply(response: SMTPResponse) -> Reply:
    """A reply in parts: enhanced status code (RFC 2034 §4) and text, on one line."""
    enhanced = ""
    texts = []
    for line in response.message.split("\n"):
        found = _ENHANCED.match(line)
        if found and found[1][0] == str(response.code)[0]:
            enhanced = enhanced or found[1]
            line = line[found.end() :]
        texts.append(line)
    return Reply(response.code, enhanced, " ".join(texts).strip())


def reply_lines(response: SMTPResponse) -> list[str]:
    """A reply as the peer sent it, for the dialog."""
    *first, last = response.message.split("\n")
    return [
        *(f"S: {response.code}-{line}" for line in first),
        f"S: {response.code} {last}".rstrip(),
    ]
