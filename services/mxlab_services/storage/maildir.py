"""Where a primary delivers: Maildir folders on a disk.

Guarantee: when `deliver` has returned, the message survives a crash; when it has raised,
the mailbox is as it was. A Maildir message is written in `tmp`, synced, renamed into `new`, and
then `new` is synced, so a reader never sees a part of one. Deliveries that wait at the same time
are done in one turn of the disk thread and share the sync of each folder.

A crash can come between a delivery and its record in the spool; then the same bytes (the Received
field in them names the queue entry) are delivered again in the node's next life. What the former
lives left last is therefore known by digest, and is not stored a second time.
"""

import contextlib
import hashlib
import heapq
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from urllib.parse import quote, unquote

from msgspec import Struct

from mxlab_services.errors import SpoolError
from mxlab_services.ids import Ids
from mxlab_services.storage.disk import disk_error, sync_directory
from mxlab_services.storage.ports import Stored
from mxlab_services.storage.worker import Caller, Failure, Worker

_SAFE = "@+"  # beside letters, digits and _.-~: these stay as they are in a folder's name
_NAME = re.compile(r"(\d+)\.M(\d{6})Q\w+\.([0-9a-f]{32})\.mxlab")
KNOWN = 1000  # messages of former lives known in each mailbox: more than are under way at a time
_LONGEST = 255  # bytes of a file name
_OPEN = 64  # files open at a time
_LOOKS = 100  # at a mailbox that a mail reader goes on changing while it is read


def folder_of(address: str) -> str:
    """The folder's name for an address: reversible, and never a path or a hidden file."""
    name = quote(address, safe=_SAFE)
    if len(name) > _LONGEST:  # the longest address (RFC 5321 §4.5.3.1.3) nearly fills a file name
        name = "".join(
            quote(c, safe="") if c in "%/" or not c.isprintable() else c for c in address
        )
    if name.startswith("."):
        name = "%2E" + name[1:]
    if not name or len(name.encode()) > _LONGEST:
        raise SpoolError(f"no folder can have the name of {address[:80]!r}")
    return name


def unique_name(name: str) -> str:
    """A Maildir file's name without the flags that a mail reader gives it."""
    return name.partition(":")[0]


def is_own(name: str) -> bool:
    """Whether a primary gave the file its name; what a mail program put there has another."""
    return _NAME.fullmatch(unique_name(name)) is not None


def with_crlf(content: bytes) -> bytes:
    """What another program put into a mailbox, as the lab has mail: there, lines end in LF."""
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class _Delivery(Struct, frozen=True):
    address: str
    instant: str
    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.blake2b(self.content, digest_size=16).hexdigest()


class MaildirMailboxes:
    """Mailboxes as Maildir folders below `root`, one for each address."""

    def __init__(self, root: Path, ids: Ids) -> None:
        self._root = root
        self._ids = ids
        self._deliveries: Worker[_Delivery] = Worker("mailbox-writer", _Maildir(root))
        self._read = Caller("mailbox-reader")

    async def deliver(self, address: str, content: bytes, at: float) -> str:
        """Store durably and return the file's name. Raises SpoolFull or SpoolError."""
        seconds, micro = divmod(int(at * 1_000_000), 1_000_000)
        instant = f"{seconds}.M{micro:06}Q{self._ids.queue_id()}"
        return cast("str", await self._deliveries.submit(_Delivery(address, instant, content)))

    async def read(self, address: str | None = None) -> Sequence[Stored]:
        """The messages of one mailbox or, for None, of all, oldest first."""
        return await self._read(_read, self._root, address)

    async def one(self, address: str, name: str) -> Stored | None:
        """One message by its name, whatever its flags; None where it is not there."""
        return await self._read(_one, self._root, address, unique_name(name))

    async def close(self) -> None:
        await self._deliveries.close()
        await self._read.close()


class _Maildir:
    """Does a group of deliveries; lives on the writer thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[Path, dict[str, Path]] = {}  # durable folders: former lives' last files

    def __call__(self, deliveries: Sequence[_Delivery]) -> list[object]:
        outcomes: list[object] = []
        for start in range(0, len(deliveries), _OPEN):
            outcomes += self._group(deliveries[start : start + _OPEN])
        return outcomes

    def _group(self, deliveries: Sequence[_Delivery]) -> list[object]:
        """Write all, sync all, rename all, and sync each folder once.

        Begun writes of all the files before the first sync let the file system put them into one
        transaction of its own; that is worth about a quarter of the time.
        """
        outcomes: list[object] = [None] * len(deliveries)
        written: list[tuple[int, Path, str, int]] = []
        renamed: dict[Path, list[tuple[int, Path]]] = {}
        for n, delivery in enumerate(deliveries):
            try:
                folder, digest = self._folder(delivery.address), delivery.digest
                if (stored := self._made[folder].get(digest)) is not None:
                    sync_directory(stored.parent)
                    outcomes[n] = stored.name
                    continue
                name = f"{delivery.instant}.{digest}.mxlab"
                descriptor = _write(folder / "tmp" / name, delivery)
                written.append((n, folder, name, descriptor))
            except OSError as error:
                outcomes[n] = Failure(disk_error(error))
        for n, folder, name, descriptor in written:
            try:
                stored = _publish(folder, name, descriptor)
                renamed.setdefault(folder / "new", []).append((n, stored))
                outcomes[n] = name
            except OSError as error:
                outcomes[n] = Failure(disk_error(error))
        for new, names in renamed.items():
            try:
                sync_directory(new)
            except OSError as error:
                for n, stored in names:
                    with contextlib.suppress(OSError):  # the disk fails; one copy may come twice
                        stored.unlink(missing_ok=True)
                    outcomes[n] = Failure(disk_error(error))
        return outcomes

    def _folder(self, address: str) -> Path:
        """The folder of an address, made if it is new, with its name durable."""
        folder = self._root / folder_of(address)
        if folder not in self._made or not (folder / "new").is_dir():
            for part in ("tmp", "cur", "new"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            sync_directory(folder)
            sync_directory(self._root)
            sync_directory(self._root.parent)
            for half in (folder / "tmp").glob("*.mxlab"):  # a former life's; nobody else writes
                half.unlink()
            self._made[folder] = _last_files(folder)
        return folder


def _last_files(folder: Path) -> dict[str, Path]:
    """The newest files that were delivered to a mailbox, by digest."""
    files = (file for part in ("new", "cur") for file in (folder / part).iterdir())
    named = (
        (int(found[1]), file.name, file, found[3])
        for file in files
        if (found := _NAME.match(file.name))
    )
    return {digest: file for _, _, file, digest in heapq.nlargest(KNOWN, named)}


def _write(temporary: Path, delivery: _Delivery) -> int:
    """Write the message to a new file whose descriptor stays open; it is not synced yet."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(delivery.content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if hasattr(os, "posix_fadvise"):  # begins to write; a hint, no promise
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)
        raise
    return descriptor


def _publish(folder: Path, name: str, descriptor: int) -> Path:
    """Sync and close the file, then move it from `tmp` into `new`, which is not synced yet."""
    temporary, stored = folder / "tmp" / name, folder / "new" / name
    try:
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if stored.exists():  # this thread is the only writer, so it cannot appear in between
            raise FileExistsError(f"{stored} is there already")
        temporary.rename(stored)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return stored


def _read(root: Path, address: str | None) -> list[Stored]:
    try:
        if address is not None:
            folders = [root / folder_of(address)]
        else:
            folders = sorted(root.iterdir()) if root.is_dir() else []
        found = [message for folder in folders for message in _messages(folder)]
    except OSError as error:
        raise disk_error(error) from error
    return sorted(found, key=lambda message: (message.at, message.name))


def _one(root: Path, address: str, unique: str) -> Stored | None:
    if not unique or "/" in unique or "\0" in unique:  # no name of a file
        return None
    try:
        folder = root / folder_of(address)
        for _ in range(_LOOKS):
            file = _file_of(folder, unique)
            if file is None:
                return None
            with contextlib.suppress(FileNotFoundError):  # renamed meanwhile: look again
                return _stored(folder, file)
    except OSError as error:
        raise disk_error(error) from error
    return None


def _file_of(folder: Path, unique: str) -> Path | None:
    """The message's file: under its bare name in `new`, or as a mail reader has renamed it."""
    if (bare := folder / "new" / unique).is_file():
        return bare
    parts = (directory for part in ("new", "cur") if (directory := folder / part).is_dir())
    files = (file for directory in parts for file in directory.iterdir())
    return next((file for file in files if unique_name(file.name) == unique), None)


def _stored(folder: Path, file: Path) -> Stored:
    """What is in a file, as the lab has mail. Raises FileNotFoundError."""
    content, named = file.read_bytes(), _NAME.match(file.name)
    at = int(named[1]) + int(named[2]) / 1e6 if named else file.stat().st_mtime
    content = content if named else with_crlf(content)
    return Stored(unquote(folder.name), file.name, content, at)


def _messages(folder: Path) -> list[Stored]:
    """Its messages, each once, whatever a mail reader does meanwhile: it moves what it has shown
    from `new` to `cur`, and renames there what it marks (`unique:2,flags`)."""
    found: dict[str, Stored] = {}
    for _ in range(_LOOKS):
        news = [_look(folder, part, found) for part in ("new", "cur")]
        if not any(news):
            break
    return list(found.values())


def _look(folder: Path, part: str, found: dict[str, Stored]) -> bool:
    """Add what lies there to `found`, by unique name; False where nothing was new."""
    directory, new = folder / part, False
    for file in directory.iterdir() if directory.is_dir() else ():
        unique = unique_name(file.name)
        if unique in found:
            continue
        new = True
        try:
            found[unique] = _stored(folder, file)
        except FileNotFoundError:  # renamed, or taken away: the next look tells
            continue
    return new
