"""The content of a message as DATA brings it (RFC 5321 §4.1.1.4, §4.5.2).

Guarantee: only CR LF "." CR LF ends the content; content with a bare CR or LF is refused, so that
no two servers can differ about where a message ends. Memory stays bounded by the limit for content
in memory: what is beyond it lies in a scratch until the dot.
"""

import asyncio
import logging
from collections.abc import Callable

from mxlab_services.config import Limits
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.message import received_count
from mxlab_services.reply import Reply
from mxlab_services.smtp.server.aiosmtpd_adapter import unread
from mxlab_services.storage.ports import Scratch
from mxlab_services.storage.scratch import Raw

log = logging.getLogger(__name__)

_CHUNK = 1 << 20  # bytes; more than the stream reader ever holds, so that a read empties it
_END = b"\r\n.\r\n"
TOO_LARGE = Reply(552, "5.3.4", "the message is larger than this server takes")


def disk_refusal(error: SpoolError) -> Reply:
    """What a client is told when the disk refuses its message."""
    if isinstance(error, SpoolFull):
        return Reply(452, "4.3.1", "insufficient system storage")
    return Reply(451, "4.3.0", "the queue cannot be written now")


async def read_data(
    reader: asyncio.StreamReader,
    limits: Limits,
    scratch: Callable[[], Scratch],
    came: Callable[[int], None],
) -> Raw | Reply:
    """The content up to the final dot, as it came, or why it is refused.

    What is refused is read to its end and forgotten, since a reply may only be sent there. `came`
    hears how many bytes each read brought. Commands sent ahead (RFC 2920) stay in the reader.
    Raises IncompleteReadError where the client is gone before the dot.
    """
    most = limits.message_size * 4 // 3 + 4  # stuffing makes of "." + CRLF four bytes at the most
    data = bytearray(b"\r\n")  # stands for the end of the DATA line
    raw = Raw(scratch)
    refusal: Reply | None = None
    try:
        while True:
            chunk = await reader.read(_CHUNK)
            if not chunk:
                raise asyncio.IncompleteReadError(b"", None)
            came(len(chunk))
            start = max(0, len(data) - 4)
            data += chunk
            end = data.find(_END, start)
            if end >= 0:
                break
            if refusal is None and raw.aside + len(data) > most:
                refusal = TOO_LARGE
            if refusal is None and len(data) > limits.content_in_memory:
                refusal = _put_aside(raw, data[:-4])
                del data[:-4]
            if refusal is not None:
                raw.close()
                del data[:-4]
    except BaseException:
        raw.close()
        raise
    unread(reader, data[end + len(_END) :])
    if refusal is not None:
        return refusal
    raw.end(bytes(data[: end + 2]))
    return raw


def _put_aside(raw: Raw, data: bytearray) -> Reply | None:
    """Put `data` aside; why the message is refused, if the disk does not take it."""
    try:
        raw.put_aside(data)
    except SpoolError as error:
        log.error("content cannot be put aside: %s", error)
        return disk_refusal(error)
    return None


def checked(raw: bytes, limits: Limits, hops: int) -> bytes | Reply:
    """The content without its dot-stuffing, or why it is refused; `raw` as `read_data` read it."""
    content = raw[2:]
    ends = content.count(b"\r\n")
    if content.count(b"\n") != ends or content.count(b"\r") != ends:
        return Reply(550, "5.5.2", "bare CR or LF in the message (RFC 5321 section 2.3.8)")
    if b"\r\n." in content or content.startswith(b"."):
        content = (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:]
    if len(content) > limits.message_size:
        return TOO_LARGE
    most = limits.line_length
    if len(content) > most and max(map(len, content.split(b"\r\n"))) > most:
        return Reply(550, "5.6.0", f"a line is longer than {most} bytes")
    if received_count(content) >= hops:
        return Reply(554, "5.4.6", "too many hops: this message is looping")
    return content
