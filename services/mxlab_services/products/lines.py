"""Lines out of bytes: of a pipe as they come, and of a file that is followed over its rotation.

Guarantee: every byte is in exactly one line, also the last ones, which no line feed ends; what is
kept of a line that never ends is bounded.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

LONGEST = 64 * 1024  # bytes of a line; a longer one is cut
_LOOK = 0.025  # real seconds between two looks at a file that is followed
_CHUNK = 256 * 1024

Heard = Callable[[bytes], None]


class Lines:
    """Hands each line, without its end, to `heard`."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what came."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._cut(line)
        while len(self._rest) > LONGEST:
            self._heard(self._rest[:LONGEST])
            self._rest = self._rest[LONGEST:]

    def end(self) -> None:
        """Nothing more comes of what was begun."""
        rest, self._rest = self._rest, b""
        if rest:
            self._cut(rest)

    def _cut(self, line: bytes) -> None:
        while len(line) > LONGEST:
            self._heard(line[:LONGEST])
            line = line[LONGEST:]
        self._heard(line.removesuffix(b"\r"))


class PipeLines(asyncio.Protocol):
    """The lines of a pipe. `ended` is done once its last writer has gone."""

    def __init__(self, heard: Heard) -> None:
        self._lines = Lines(heard)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._lines.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._lines.end()
        if not self.ended.done():
            self.ended.set_result(None)


class FollowedFile:
    """A file that somebody else writes to, from its end on; it may appear later, be cut to nothing,
    or be moved away and another be put in its place."""

    def __init__(self, path: Path, heard: Heard) -> None:
        """Raises OSError where it is there and cannot be read."""
        self._path = path
        self._lines = Lines(heard)
        self._file: int | None = None
        self._at = 0
        self._open()
        if self._file is not None:
            self._at = os.lseek(self._file, 0, os.SEEK_END)

    async def follow(self) -> None:
        """Read on until it is cancelled. Raises OSError."""
        while True:
            self.read()
            await asyncio.sleep(_LOOK)

    def read(self) -> None:
        """Take what is there by now. Raises OSError."""
        self._drain()
        while self._replaced():
            self._drain()  # what was written to the old one since
            self.close()
            self._open()
            self._drain()

    def close(self) -> None:
        """The line that was begun is the last one."""
        self._lines.end()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._file = None
        self._at = 0

    def _replaced(self) -> bool:
        """Whether another file is there by its name."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        mine = os.fstat(self._file)
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)

    def _drain(self) -> None:
        if self._file is None:
            return
        if os.fstat(self._file).st_size < self._at:  # it was cut
            self._lines.end()
            self._at = 0
        while data := os.pread(self._file, _CHUNK, self._at):
            self._at += len(data)
            self._lines.feed(data)
