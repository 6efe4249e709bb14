"""Reads the lines of a file that grows. New ones are announced by the kernel (inotify), not polled.

A file ends for its followers when it is deleted.
"""

import asyncio
import contextlib
import ctypes
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from mxlab.errors import EnvironmentProblem

CHUNK = 1 << 16
_IN_MODIFY, _IN_ATTRIB = 0x002, 0x004  # deletion of a file that is open shows as IN_ATTRIB


async def lines(path: Path, *, follow: bool, offset: int = 0) -> AsyncGenerator[str, None]:
    """The lines behind byte `offset` so far; with `follow`, new ones too.

    A last line without its end is not given.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        with _news(path) if follow else contextlib.nullcontext() as news:
            rest = b""
            while True:
                while chunk := os.read(descriptor, CHUNK):
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line.decode("utf-8", "replace")
                if news is None or os.fstat(descriptor).st_nlink == 0:
                    return
                await news.wait()
                news.clear()
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _news(path: Path) -> Iterator[asyncio.Event]:
    """An event that is set whenever the file changes."""
    library = ctypes.CDLL(None, use_errno=True)
    watch = _checked(library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    loop = asyncio.get_running_loop()
    news = asyncio.Event()

    def heard() -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(watch, CHUNK)
        news.set()

    try:
        _checked(library.inotify_add_watch(watch, os.fsencode(path), _IN_MODIFY | _IN_ATTRIB))
        loop.add_reader(watch, heard)
        try:
            news.set()  # what came before the watch was set is read at once
            yield news
        finally:
            loop.remove_reader(watch)
    finally:
        os.close(watch)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise EnvironmentProblem(
            f"this system would not watch a file: {os.strerror(number)}",
            "see /proc/sys/fs/inotify for the limits",
        )
    return result
