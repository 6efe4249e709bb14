"""What lies where in the end: the client's record, every queue, every mailbox, and what could not
be asked. Collected once, judged by the ledger and the checks, and kept with a report."""

from collections.abc import AsyncIterator

import msgspec

from mxlab.backends.base import Lab, Node
from mxlab.errors import LabError
from mxlab.model.topology import Topology
from mxlab_services.control.replies import MailboxEntry, QueueEntry, RecordEntry
from mxlab_services.control.requests import MailboxList, QueueList, Record


class Submission(msgspec.Struct, frozen=True):
    """A message that a `send` step submitted through the client, and got an answer for."""

    batch: str
    message: str
    digest: str
    sender: str
    recipients: tuple[str, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """`missing`: node -> why it could not be asked for its part. `queues` and `mailboxes` have an
    entry for each node that answered, empty or not."""

    topology: Topology
    submissions: tuple[Submission, ...] = ()
    record: tuple[RecordEntry, ...] = ()
    queues: dict[str, tuple[QueueEntry, ...]] = {}
    mailboxes: dict[str, tuple[MailboxEntry, ...]] = {}
    missing: dict[str, str] = {}


async def collect(lab: Lab, submissions: tuple[Submission, ...]) -> Evidence:
    """Ask every node. Never raises for a node that does not answer: it is named in `missing`."""
    record: tuple[RecordEntry, ...] = ()
    queues: dict[str, tuple[QueueEntry, ...]] = {}
    mailboxes: dict[str, tuple[MailboxEntry, ...]] = {}
    missing: dict[str, str] = {}
    for name, node in lab.nodes.items():
        if name == lab.topology.dns:
            continue
        try:
            queues[name] = tuple([entry async for entry in queue_of(node)])
            mailboxes[name] = tuple(await node.request(MailboxList()))
            if name == lab.topology.client:
                record = tuple(await node.request(Record()))
        except LabError as error:
            missing[name] = str(error)
    return Evidence(
        topology=lab.topology,
        submissions=submissions,
        record=record,
        queues=queues,
        mailboxes=mailboxes,
        missing=missing,
    )


PAGE = 1000


async def queue_of(node: Node) -> AsyncIterator[QueueEntry]:
    """A node's whole queue, asked for page by page."""
    after = ""
    while page := await node.request(QueueList(after, PAGE)):
        for entry in page:
            yield entry
        if len(page) < PAGE:
            return
        after = page[-1].queue_id
