"""The names of the messages in a product's queue, kept over the node's death: which queue id is
which message, and that this was told.

Guarantee: what `add` was given is there after a SIGKILL (not after a crash of the host: a message
that is in the queue and not here is found by its content, and told then).
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct, field


class Named(Struct):
    """A message of the product's. `recipients`: those of whom nothing final is known. In this life
    of the node, `failed`: the replies to those that failed and of whom nobody was told yet; `last`:
    each one's last reply; `attempts`: how often each of its domains was tried."""

    queue_id: str
    key: str
    digest: str
    sender: str = ""
    recipients: list[str] = []
    about: str = ""  # the queue id of the message of which it notifies somebody
    failed: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    left: bool = False  # it was told that it left the queue


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Named).decode


class Names:
    """JSON lines in a file; of a queue id that is there twice, the last one holds."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def load(self) -> dict[str, Named]:
        """All that was added; a line that a crash cut short is left out."""
        found: dict[str, Named] = {}
        for line in self._path.read_bytes().splitlines():
            try:
                named = _decode(line)
            except msgspec.MsgspecError:
                continue
            found[named.queue_id] = named
        return found

    def add(self, named: Named) -> None:
        """Keep it. Raises OSError."""
        self._write(self._file, [named])

    def keep(self, only: Iterable[Named]) -> None:
        """Forget all others. Raises OSError."""
        new = self._path.with_suffix(".new")
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._write(file, only)
        new.replace(self._path)
        os.close(self._file)
        self._file = file

    def close(self) -> None:
        os.close(self._file)

    def _write(self, file: int, several: Iterable[Named]) -> None:
        rest = b"".join(_encode(named) + b"\n" for named in several)
        while rest:
            rest = rest[os.write(file, rest) :]
