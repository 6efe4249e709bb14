"""Where the content of a message lies before its final dot: in memory up to a bound, then on disk.

Guarantee: until then a message takes no more memory than the bound and one read, whatever its size.
A scratch is no promise: nobody is told 250 for what lies there, and it is gone when it is closed or
when its process ends. The spool makes the message durable, after the dot (see `spool`).
"""

from collections.abc import Callable
from pathlib import Path

from mxlab_services.storage.disk import disk_error
from mxlab_services.storage.ports import Scratch


class FileScratch:
    """A file without a name in `folder` (None: the system's for temporary files)."""

    def __init__(self, folder: Path | None = None) -> None:
        """Raises SpoolFull or SpoolError."""
        import tempfile  # at the first large message: a node's start should not wait for it

        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - `close`
        except OSError as error:
            raise disk_error(error) from error

    def write(self, data: bytes | bytearray) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise disk_error(error) from error

    def read(self) -> bytes:
        try:
            self._file.seek(0)
            return self._file.read()
        except OSError as error:
            raise disk_error(error) from error

    def close(self) -> None:
        self._file.close()


class Raw:
    """Content as it came, dot-stuffing and all: the beginning perhaps in a scratch that `make`
    makes, the rest in memory."""

    def __init__(self, make: Callable[[], Scratch]) -> None:
        self._make = make
        self._aside: Scratch | None = None
        self._rest = b""
        self.aside = 0  # bytes that lie in the scratch

    def put_aside(self, data: bytes | bytearray) -> None:
        """Add to the beginning. Raises SpoolFull or SpoolError."""
        if self._aside is None:
            self._aside = self._make()
        self._aside.write(data)
        self.aside += len(data)

    def end(self, data: bytes) -> None:
        """What comes after all that was put aside."""
        self._rest = data

    def take(self) -> bytes:
        """All of it, once. Raises SpoolError."""
        try:
            return self._rest if self._aside is None else self._aside.read() + self._rest
        finally:
            self.close()

    def close(self) -> None:
        """Forget it. May be called again."""
        if self._aside is not None:
            self._aside.close()
        self._rest = b""
