"""Where a node keeps its data: files below one folder (a node.Storage).

spool/spool.db      queued messages (and what spool_repair keeps beside it)
mailboxes/ADDRESS/  a Maildir for each address
record.jsonl        the client's own record of its transactions
settings.json       settings that were changed while the node ran
incoming/           content before its final dot, in files without a name
"""

from pathlib import Path

from mxlab_services.clock import Clock
from mxlab_services.errors import SpoolError
from mxlab_services.ids import Ids
from mxlab_services.storage.history import FileJournal
from mxlab_services.storage.maildir import MaildirMailboxes
from mxlab_services.storage.overrides import FileOverrides
from mxlab_services.storage.scratch import FileScratch
from mxlab_services.storage.sqlite.spool import SqliteSpool


class FileStorage:
    """A node's data in files below `path`."""

    def __init__(self, path: Path, clock: Clock, ids: Ids) -> None:
        self._path = path
        self._clock = clock
        self._ids = ids

    async def spool(self) -> SqliteSpool:
        """Open the spool. Raises SpoolError when the disk refuses or another process has it."""
        return await SqliteSpool.open(self._path / "spool" / "spool.db")

    async def mailboxes(self) -> MaildirMailboxes:
        return MaildirMailboxes(self._path / "mailboxes", self._ids)

    async def journal(self) -> FileJournal:
        """Raises SpoolError when the disk refuses."""
        try:
            return FileJournal(self._path / "record.jsonl", self._clock)
        except OSError as error:
            raise SpoolError(f"the client's record: {error}") from error

    def overrides(self) -> FileOverrides:
        return FileOverrides(self._path / "settings.json")

    def scratch(self) -> FileScratch:
        """A file without a name. Raises SpoolFull or SpoolError when the disk refuses."""
        return FileScratch(self._path / "incoming")
