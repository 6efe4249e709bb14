"""All that this project takes of aiosmtpd; no other module imports it.

aiosmtpd gives a connection's protocol, and STARTTLS. Its dialog is not used: it waits for the peer
to take each reply before it reads on, tells each line to the log, and has no hook before a command
and after it. Its private names, which the tests hold complete and `make oldest` tries on the oldest
release:

- `_handle_client`: the dialog, which `connection_made` starts; ours takes its place
- `_reader`, `_writer`: the streams of the dialog; aiosmtpd gives them to nobody
- `_tls_protocol`: whether TLS has begun; `session.ssl` tells only once the handshake is over
- `_original_transport`: the socket's; TLS would say goodbye where a connection is to be cut
- `_buffer` (asyncio's): what a StreamReader holds; it cannot be asked whether a line is there, nor
  be given back what was read too much once its stream has ended
"""

import asyncio
import logging
import ssl
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from aiosmtpd import smtp

from mxlab_services.smtp.read_buffer import ReadsIntoBuffer

logging.getLogger("mail.log").setLevel(logging.WARNING)  # several lines a connection

_NEVER = 10 * 365 * 86400.0  # seconds; aiosmtpd's own timer closes without a word


class StreamProtocol(smtp.SMTP, ReadsIntoBuffer):
    """A connection with its streams. What is said on it is the subclass's `converse`."""

    line_length_limit = 64 * 1024  # of the stream reader: what a client may send ahead
    implicit = False  # TLS begins unasked (RFC 8314 §3)
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, hostname: str, tls: ssl.SSLContext | None, buffer: memoryview) -> None:
        self.buffer = buffer
        super().__init__(
            self,
            hostname=hostname,
            tls_context=tls,
            timeout=_NEVER,
            loop=asyncio.get_running_loop(),
        )

    def __dir__(self) -> Iterable[str]:
        """Nothing: aiosmtpd looks through all attributes of every new session for commands and
        hooks, which takes longer than a message. Ours are in a table, and none of its own is to be
        answered."""
        return ()

    @abstractmethod
    async def converse(self) -> None:
        """The dialog, from the greeting on; cancelled when the connection is lost."""

    @abstractmethod
    async def say(self, reply: str) -> None:
        """Send a reply now."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called a second time when TLS begins."""
        if self.implicit and not self.encrypted:
            assert isinstance(transport, asyncio.ReadTransport)
            transport.pause_reading()  # what comes is for the TLS layer, once it is there
        super().connection_made(transport)
        self.reader, self.writer = self._reader, self._writer

    def feed(self, data: bytes) -> None:
        """Hand data that came in to the reader."""
        asyncio.StreamReaderProtocol.data_received(self, data)

    def feed_eof(self) -> bool | None:
        """End the reader's stream, and go on with the dialog, which aiosmtpd would cancel."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    @property
    def encrypted(self) -> bool:
        return self._tls_protocol is not None

    async def begin_tls(self, context: ssl.SSLContext) -> str:
        """Say 220 and shake hands (RFC 3207); where TLS is implicit, only shake hands. Returns why
        there is no TLS, or an empty string."""
        self.tls_context = context
        if self.implicit:
            assert isinstance(self.transport, asyncio.ReadTransport)
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)
        problem: BaseException | None = None
        try:
            await self.smtp_STARTTLS("")
        except smtp.TLSSetupException as error:
            problem = error.__cause__
        assert self.session is not None
        return (
            "" if self.session.ssl is not None else str(problem or "") or "the connection was lost"
        )

    async def push(self, status: Any) -> None:
        """How aiosmtpd speaks; it only ever does to start TLS."""
        if not self.implicit:
            await self.say(f"220 2.0.0 {str(status)[4:]}")

    def abort(self) -> None:
        """Cut the connection, whatever is still to be said."""
        transport: Any = self._original_transport or self.transport
        if transport is not None:
            transport.abort()

    async def _handle_client(self) -> None:
        await self.converse()


def has_line(reader: asyncio.StreamReader) -> bool:
    """Whether a whole line is there to be read."""
    return b"\n" in reader._buffer  # type: ignore[attr-defined]


def unread(reader: asyncio.StreamReader, rest: bytes | bytearray) -> None:
    """Give bytes back to a reader that is empty, whether or not its stream has ended."""
    reader._buffer += rest  # type: ignore[attr-defined]  # feed_data refuses after the end
