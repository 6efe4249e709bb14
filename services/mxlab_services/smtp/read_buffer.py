"""Reading from connections into one buffer that all of them share.

A transport of asyncio would otherwise allocate 256 KiB for each read, however little comes, and
SMTP's lines are short.
"""

import asyncio
from abc import abstractmethod

SIZE = 64 * 1024  # bytes


def read_buffer() -> memoryview:
    """A buffer for all connections of one event loop: each read is taken out before the next."""
    return memoryview(bytearray(SIZE))


class ReadsIntoBuffer(asyncio.BufferedProtocol):
    """A protocol whose data comes by way of `buffer`, which its maker gives it."""

    buffer: memoryview

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Take what came in."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport is to put what comes; it asks again for every read."""
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        self.data_received(bytes(self.buffer[:nbytes]))
