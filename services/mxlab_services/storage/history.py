"""The client's own record of its transactions, kept apart from the event stream.

Guarantee: what was written is there after the client was killed, because each entry is one write to
the file, without a buffer in between. (It is evidence about crashes of nodes, not of the host, so
it is not synced.) `invoked` is on record before MAIL is sent; a transaction of which nothing more
is on record stays `invoked`, and is to be judged as unknown.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from mxlab_services.clock import Clock
from mxlab_services.control.replies import RecordEntry

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RecordEntry).decode


class FileJournal:
    """The record as JSON lines in a file, one RecordEntry each, in the order of the events."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Go on with the file at `path`. A last line that a crash cut short is taken off."""
        self._path = path
        self._clock = clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        written = path.read_bytes()
        os.ftruncate(self._file, written.rfind(b"\n") + 1)

    def invoked(self, message: str, recipients: Sequence[str], host: str) -> None:
        self._write(begun_entries(message, recipients, host, self._clock.time()))

    def ended(
        self,
        message: str,
        recipient: str,
        host: str,
        outcome: Literal["acked", "refused", "unknown"],
        reply: str,
    ) -> None:
        self._write([RecordEntry(message, recipient, host, outcome, reply, self._clock.time())])

    def entries(self) -> list[RecordEntry]:
        """Every transaction so far, in order, across restarts."""
        lines = self._path.read_bytes().splitlines()
        return transactions(_decode(line) for line in lines)

    def close(self) -> None:
        os.close(self._file)

    def _write(self, entries: Iterable[RecordEntry]) -> None:
        rest = b"".join(_encode(entry) + b"\n" for entry in entries)
        while rest:
            rest = rest[os.write(self._file, rest) :]


def transactions(written: Iterable[RecordEntry]) -> list[RecordEntry]:
    """One entry for each transaction, in the order in which they began.

    The end of a transaction takes the place of its beginning: the oldest open one of that message,
    recipient and host.
    """
    found: list[RecordEntry] = []
    begun: dict[tuple[str, str, str], list[int]] = {}
    for entry in written:
        key = (entry.message, entry.recipient, entry.host)
        waiting = begun.get(key)
        if entry.outcome == "invoked":
            begun.setdefault(key, []).append(len(found))
            found.append(entry)
        elif waiting:
            found[waiting.pop(0)] = entry
        else:
            found.append(entry)
    return found


def begun_entries(
    message: str, recipients: Sequence[str], host: str, at: float
) -> list[RecordEntry]:
    """What is on record as MAIL is about to be sent: an entry for each recipient."""
    return [RecordEntry(message, address, host, "invoked", "", at) for address in recipients]
