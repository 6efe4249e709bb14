"""What was heard of the messages that go into a product: each is found again by its queue id.

A product names a message by a queue id of its own, in its log and in its reply to the final dot;
what the message is (its digest, mostly) is known only to who saw it go in.
"""

import asyncio
import hashlib
import re

from msgspec import Struct

from mxlab_services.message import (
    content_below_trace,
    content_digest,
    header_block,
    message_id,
    name_of,
    subject_of,
)

_MOST = 10_000  # messages that are remembered
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{3,}")  # in a reply: a queue id may be any of them
_PATIENCE = 2.0  # real seconds in which a reply that is under way is waited for
_HEAD = 1024 * 1024  # bytes of a header section


class Content(Struct, frozen=True):
    """What a message's content says of it. `size` is bytes."""

    key: str
    digest: str
    subject: str = ""
    size: int = 0


class Heard(Struct, frozen=True, kw_only=True):
    """A message as it went in. `silent`: as in `events.Accepted`."""

    sender: str
    recipients: tuple[str, ...]
    content: Content
    peer: str = ""
    helo: str = ""
    protocol: str = ""
    silent: tuple[str, ...] = ()
    batch: str = ""


class Digesting:
    """Reads content as it goes by, without keeping it."""

    def __init__(self) -> None:
        self._head: bytearray | None = bytearray()  # None: it is read
        self._sum = hashlib.sha256()
        self._id = self._subject = ""
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take what came, its dots unstuffed."""
        self._size += len(data)
        if self._head is None:
            self._sum.update(data)
            return
        start = max(0, len(self._head) - 3)
        self._head += data
        if self._head.find(b"\r\n\r\n", start) >= 0 or len(self._head) > _HEAD:
            self._read(bytes(self._head))

    def _read(self, head: bytes) -> None:
        section = header_block(head)
        self._id, self._subject = message_id(section), subject_of(head)
        self._sum.update(content_below_trace(head))
        self._head = None

    def end(self) -> Content:
        """What it was, all in all."""
        if self._head is not None:
            self._read(bytes(self._head))
        digest = self._sum.hexdigest()
        return Content(self._id or name_of(digest), digest, self._subject, self._size)


def read_content(content: bytes) -> Content:
    """What a message's whole content says of it."""
    digest = content_digest(content)
    key = message_id(header_block(content)) or name_of(digest)
    return Content(key, digest, subject_of(content), len(content))


class Hearing:
    """What was heard lately, by the words of the product's reply to the final dot."""

    def __init__(self) -> None:
        self._by_word: dict[str, Heard] = {}
        self._undecided: set[asyncio.Future[None]] = set()

    def undecided(self) -> "asyncio.Future[None]":
        """A message is whole, and the product's word on it is awaited: done once it is there, or
        never will be."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._undecided.add(future)
        future.add_done_callback(self._undecided.discard)
        return future

    def tell(self, reply: str, heard: Heard) -> None:
        """The product took the message with this reply."""
        for word in _WORD.findall(reply):
            self._by_word.pop(word, None)
            self._by_word[word] = heard
        while len(self._by_word) > _MOST:
            del self._by_word[next(iter(self._by_word))]

    async def find(self, queue_id: str) -> Heard | None:
        """The message that has this queue id, once no reply that is under way can tell it."""
        loop = asyncio.get_running_loop()
        until, waiting = loop.time() + _PATIENCE, set(self._undecided)
        while queue_id not in self._by_word and waiting and (left := until - loop.time()) > 0:
            _, waiting = await asyncio.wait(
                waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
        return self._by_word.get(queue_id)
