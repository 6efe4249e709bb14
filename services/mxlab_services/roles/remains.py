"""Answers what lies in the queue and the mailboxes of an MTA that is down, from a copy of its data.

The spool is opened as the node itself would open it, with recovery and repair: never on the
original, whose next life is to find it as it was left.
"""

import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

from mxlab_services.clock import Clock
from mxlab_services.config import MtaConfig
from mxlab_services.control.replies import QueueEntry
from mxlab_services.control.requests import MailboxList, MailboxRead, QueueList
from mxlab_services.control.rpc import Controls
from mxlab_services.directory import directory_of
from mxlab_services.ids import SeededIds
from mxlab_services.queue.operator import entry_of
from mxlab_services.roles.mailbox import Reading
from mxlab_services.storage.files import FileStorage
from mxlab_services.storage.ports import Spool


@contextlib.asynccontextmanager
async def remains(data: Path, clock: Clock, config: MtaConfig) -> AsyncIterator[Controls]:
    """What answers QueueList, MailboxList and MailboxRead from the copy `data`, in which
    `spool` and `mailboxes` are the folders that these need. `config` is the node's.

    Raises SpoolError where the disk refuses.
    """
    storage = FileStorage(data, clock, SeededIds(clock, random.Random(0)))
    async with contextlib.AsyncExitStack() as stack:
        spool = await storage.spool()
        stack.push_async_callback(spool.close)
        mailboxes = await storage.mailboxes()
        stack.push_async_callback(mailboxes.close)
        reading = Reading(mailboxes, directory_of(config))
        controls = Controls()
        controls.add(QueueList, lambda request: _page(spool, request))
        controls.add(MailboxList, reading.entries)
        controls.add(MailboxRead, reading.whole)
        yield controls


async def _page(spool: Spool, request: QueueList) -> list[QueueEntry]:
    found: list[QueueEntry] = []
    async with aclosing(spool.load(request.after)) as messages:  # type: ignore[type-var]
        async for message in messages:
            found.append(entry_of(message, message.pending, active=False))
            if len(found) == request.limit:
                break
    return found
