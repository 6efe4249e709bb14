"""All that this project takes of aiosmtplib; no other module imports it.

aiosmtplib pairs one command with one reply and drops what comes unasked; a relay pipelines (RFC
2920) and keeps connections on which a server may say 421 before it leaves. So replies are taken
from the library's parser one after another. Its private names, which the tests hold complete and
`make oldest` tries on the oldest release:

- `_buffer`: what came and is no whole reply yet; cleared before TLS begins
- `_read_response_from_buffer`: its parser; the public way to it waits for one reply at a time
"""

import asyncio
import ssl
from abc import abstractmethod
from collections.abc import Iterator

from aiosmtplib import (
    SMTPException,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import SMTPProtocol

from mxlab_services.smtp.read_buffer import ReadsIntoBuffer

__all__ = ["ReplyProtocol", "SMTPResponse", "parse_esmtp_extensions"]

_LONGEST = 32 * 1024  # bytes of a reply


class ReplyProtocol(SMTPProtocol, ReadsIntoBuffer):
    """A connection on which replies are read whole, however many were asked for."""

    def __init__(self, buffer: memoryview) -> None:
        super().__init__(asyncio.get_running_loop())
        self.buffer = buffer
        self.trouble = ""  # why no further reply can be read
        self._writable = asyncio.Event()
        self._writable.set()

    @abstractmethod
    async def response(self, within: float) -> SMTPResponse | None:
        """The next reply, within so many real seconds."""

    @property
    def partly_read(self) -> bool:
        """Whether the beginning of a reply has come."""
        return bool(self._buffer)

    def replies(self, data: bytes) -> Iterator[SMTPResponse]:
        """The replies that are whole with `data`. Raises ValueError for what is none."""
        self._buffer.extend(data)
        try:
            while (response := self._read_response_from_buffer()) is not None:
                yield response
        except SMTPResponseException as error:
            self._buffer.clear()
            raise ValueError(error.message) from error
        if len(self._buffer) > _LONGEST:
            self._buffer.clear()
            raise ValueError("reply without end")

    async def secure(self, context: ssl.SSLContext, name: str, within: float) -> tuple[str, bool]:
        """STARTTLS. Returns why there is no TLS, or an empty string; and whether the peer just
        said no."""
        try:
            await self.start_tls(context, server_hostname=name, timeout=within)
        except SMTPResponseException as error:
            return f"{error.code} {error.message}", True
        except (SMTPException, OSError, ValueError) as error:  # ValueError: no name for TLS
            return getattr(error, "verify_message", "") or str(error), False
        return "", False

    async def read_response(self, timeout: float | None = None) -> SMTPResponse:  # noqa: ASYNC109
        """For start_tls, which wants exceptions. What came behind the reply may be forged (RFC 3207
        §6), and older releases let half a reply pass."""
        response = await self.response(timeout or 0.0)
        self._buffer.clear()
        if response is None:
            raise SMTPServerDisconnected(self.trouble)
        return response

    async def drained(self) -> None:
        """Wait until the peer has taken enough of what was written, or is gone."""
        await self._writable.wait()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._writable.set()
