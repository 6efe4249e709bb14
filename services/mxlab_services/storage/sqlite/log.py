"""Tells a write-ahead log that lost committed changes from one that merely ends in a torn write.

SQLite reads a log up to the last transaction that is whole and passes over the rest in silence. A
torn last transaction was never acknowledged, so that is right. But a transaction begins only after
the one before it was synced: if pages of a later one follow a broken one, the broken one had been
acknowledged, and the log is damaged. (Damage to the very last transaction cannot be told apart.)
"""

import struct
from pathlib import Path

from msgspec import Struct

_HEADER = struct.Struct(">8I")  # magic, version, page size, sequence, salts (2), checksums (2)
_FRAME = struct.Struct(">6I")  # page, pages after commit or 0, salts (2), checksums (2)


class LogPages(Struct, frozen=True):
    """The pages of a log's present generation, in order: does each end a transaction?

    `header_damaged`: there are pages, but SQLite will not accept what stands before them.
    """

    ends: tuple[bool, ...] = ()
    header_damaged: bool = False

    def problem(self, valid: int) -> str:
        """What is wrong when SQLite took `valid` pages of it; empty if nothing is."""
        if self.header_damaged:
            return "the log's header is damaged: the changes in it are lost"
        beyond = [n for n in range(valid, len(self.ends)) if self.ends[n]]
        if not beyond or beyond[0] == len(self.ends) - 1:
            return ""
        return f"the log is damaged after {valid} of {len(self.ends)} pages: later changes are lost"


def log_pages(log: Path) -> LogPages:
    """Read the log at a path, before SQLite does. A missing or empty one has no pages."""
    if not log.exists():
        return LogPages()
    with log.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return LogPages()
        magic, _, page_size, _, *salts, first, second = _HEADER.unpack(head)
        step = _FRAME.size + page_size
        size = log.stat().st_size
        if _checksum(head[:24], big=bool(magic & 1)) != (first, second):
            return LogPages(header_damaged=size > _HEADER.size)
        ends: list[bool] = []
        for place in range(_HEADER.size, size - step + 1, step):
            file.seek(place)
            _, pages, *own, _, _ = _FRAME.unpack(file.read(_FRAME.size))
            if own == salts:
                ends.append(pages != 0)
            elif ends and place + step <= size:
                ends.append(False)  # broken, or of an older generation
    while ends and not ends[-1]:
        ends.pop()
    return LogPages(tuple(ends))


def _checksum(data: bytes, *, big: bool) -> tuple[int, int]:
    """SQLite's checksum of its log (its file format's section 4.2)."""
    words = struct.unpack(f"{'>' if big else '<'}{len(data) // 4}I", data)
    first = second = 0
    for x, y in zip(words[::2], words[1::2], strict=True):
        first = (first + x + second) & 0xFFFFFFFF
        second = (second + y + first) & 0xFFFFFFFF
    return first, second
