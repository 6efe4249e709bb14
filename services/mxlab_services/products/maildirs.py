"""What a product has put into the Maildirs of a primary.

Its files have names of its own; their age is the file's, by the host's clock.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from mxlab_services.products.hearing import Content, read_content
from mxlab_services.storage.maildir import folder_of, is_own, unique_name, with_crlf
from mxlab_services.storage.ports import Mailboxes, Stored


class ProductMailboxes:
    """Mailboxes to which a product delivers. `lab_time` makes lab time of the host's."""

    def __init__(self, mailboxes: Mailboxes, lab_time: Callable[[float], float]) -> None:
        self._mailboxes = mailboxes
        self._lab_time = lab_time

    async def deliver(self, address: str, content: bytes, at: float) -> str:
        """As `Mailboxes` has it."""
        return await self._mailboxes.deliver(address, content, at)

    async def read(self, address: str | None = None) -> Sequence[Stored]:
        """As `Mailboxes` has it."""
        return [self._ours(stored) for stored in await self._mailboxes.read(address)]

    async def one(self, address: str, name: str) -> Stored | None:
        """As `Mailboxes` has it."""
        stored = await self._mailboxes.one(address, name)
        return None if stored is None else self._ours(stored)

    def _ours(self, stored: Stored) -> Stored:
        own = is_own(stored.name)
        return stored if own else replace(stored, at=self._lab_time(stored.at))


class Deliveries:
    """Finds what was delivered just now: each file that is new below `root` is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[str, set[str]] = {}  # folder -> its files
        self._fresh: dict[tuple[str, str], list[tuple[str, Content]]] = {}
        for folder in root.iterdir() if root.is_dir() else ():
            self._seen[folder.name] = {unique_name(file.name) for file in _files(folder)}

    def take(self, mailbox: str, key: str) -> tuple[str, Content] | None:
        """The next file in the mailbox with the message of that name, and what it says; None if
        there is none that was not taken. Raises OSError."""
        folder = folder_of(mailbox)
        seen = self._seen.setdefault(folder, set())
        for file in _files(self._root / folder):
            name = unique_name(file.name)
            if name not in seen:
                try:
                    content = read_content(with_crlf(file.read_bytes()))
                except FileNotFoundError:  # a mail program renamed it, or took it away
                    continue
                seen.add(name)
                self._fresh.setdefault((folder, content.key), []).append((name, content))
        found = self._fresh.get((folder, key))
        if not found:
            return None
        first = found.pop(0)
        if not found:
            del self._fresh[folder, key]
        return first


def _files(folder: Path) -> list[Path]:
    """The messages in a Maildir, the oldest first."""
    parts = [at for part in ("new", "cur") if (at := folder / part).is_dir()]
    return sorted((file for at in parts for file in at.iterdir()), key=lambda file: file.name)
