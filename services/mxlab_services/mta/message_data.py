"""The content of a message as DATA brings it (RFC 5321 §4.1.1.4, §4.5.2).

Guarantee: only CR LF "." CR LF ends the content; content with a bare CR or LF is refused, so that
no two servers can differ about where a message ends. Memory stays bounded by the size limit.
"""

import asyncio
from collections.abc import Callable

from mxlab_services.config import Limits
from mxlab_services.mta.types import Reply, received_count

_CHUNK = 1 << 20  # bytes; more than the stream reader ever holds, so that a read empties it
_END = b"\r\n.\r\n"
TOO_LARGE = Reply(552, "5.3.4", "the message is larger than this server takes")


async def read_data(
    reader: asyncio.StreamReader, limits: Limits, hops: int, came: Callable[[int], None]
) -> bytes | Reply:
    """The content up to the final dot, without dot-stuffing, or why it is refused.

    What is too large is read to its end and forgotten, since a reply may only be sent there. `came`
    hears how many bytes each read brought. Commands sent ahead (RFC 2920) stay in the reader.
    Raises IncompleteReadError where the client is gone before the dot.
    """
    most = limits.message_size * 4 // 3 + 4  # stuffing makes of "." + CRLF four bytes at the most
    data = bytearray(b"\r\n")  # stands for the end of the DATA line
    large = False
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
        if len(data) > most:
            large = True
            del data[:-4]
    _unread(reader, data[end + len(_END) :])
    if large:
        return TOO_LARGE
    return _checked(bytes(data[2 : end + 2]) if end else b"", limits, hops)


def _unread(reader: asyncio.StreamReader, rest: bytes | bytearray) -> None:
    """Give bytes back to a reader that is empty, whether or not its stream has ended."""
    reader._buffer += rest  # type: ignore[attr-defined]  # feed_data refuses after the end


def _checked(content: bytes, limits: Limits, hops: int) -> bytes | Reply:
    """The content without its dot-stuffing, or why it is refused."""
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
